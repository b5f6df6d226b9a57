//! Reading of key files, which refuses files that other users may read or write, and stamps that show their changes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::model::ConfigError;

/// Access that other users than the owner must not have to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileProtection {
    /// Neither read nor write: the file is a secret.
    Secret,
    /// No write: a user who can replace the file can forge signatures.
    Unforgeable,
}

/// Metadata that differs when a file has been replaced, changed, or given another owner or mode: a file that was refused
/// for its mode is read again after a `chmod` alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStamp {
    file: (u64, u64),
    size: u64,
    /// Mode, user and group of the file.
    access: (u32, u32, u32),
    changed: (i64, i64),
    written: (i64, i64),
}

impl FileStamp {
    /// Returns the stamp of the file at a path, if it exists.
    #[must_use]
    pub fn of(path: &Path) -> Option<FileStamp> {
        fs::metadata(path).ok().map(|metadata| FileStamp::from(&metadata))
    }
}

impl From<&fs::Metadata> for FileStamp {
    fn from(metadata: &fs::Metadata) -> FileStamp {
        FileStamp {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            access: (metadata.mode(), metadata.uid(), metadata.gid()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Reads the whole file that a setting names, after checking its mode.
///
/// # Errors
/// One sentence that contains nothing of the file's content. A value that names no file is not shown either: it may be the
/// secret, typed where the name of its file belongs.
pub fn read(setting: &str, path: &Path, protection: FileProtection, bytes_max: u64) -> Result<Vec<u8>, ConfigError> {
    let told = |error: std::io::Error| match fs::symlink_metadata(path) {
        Ok(_) => ConfigError(format!("{}: {error}", path.display())),
        Err(_) => {
            let bytes = path.as_os_str().len();
            ConfigError(format!("no such file: {setting} (its {bytes} bytes are not shown: a secret may stand there)"))
        }
    };
    let file = open_regular(path).map_err(told)?;
    read_open(&file, path, protection, bytes_max)
}

/// Opens a file to read. Anything else, such as a named pipe without a writer, is refused and never waited for.
///
/// # Errors
/// If the file cannot be opened, or is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Does the same with an open file, so that the checked file is the one that is read.
pub fn read_open(
    mut file: &File,
    path: &Path,
    protection: FileProtection,
    bytes_max: u64,
) -> Result<Vec<u8>, ConfigError> {
    let told = |error: std::io::Error| ConfigError(format!("{}: {error}", path.display()));
    let (mode, name) = (file.metadata().map_err(told)?.mode() & 0o777, path.display());
    let (forbidden, advice) = match protection {
        FileProtection::Secret => (0o077, "600"),
        FileProtection::Unforgeable => (0o022, "644"),
    };
    if mode & forbidden != 0 {
        let done = if protection == FileProtection::Secret { "read" } else { "written" };
        return Err(ConfigError(format!(
            "{name}: may be {done} by others than its owner (mode {mode:03o}); use chmod {advice}"
        )));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(told)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(ConfigError(format!("{name}: larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_typed_where_the_name_of_its_file_belongs_is_not_shown() {
        let scratch = tempfile::tempdir().expect("scratch");
        let long = "x".repeat(5000);
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "/whsec/MfKQ9r8G", "sk_live_MfKQ/9r8G", "a\0b", &long]
        {
            let path = scratch.path().join(secret);
            for path in [Path::new(secret), &path] {
                let told = read("payments.stripe_secret_files", path, FileProtection::Secret, 10);
                let told = told.expect_err("refused").to_string();
                assert!(told.starts_with("no such file: payments.stripe_secret_files"), "{told}");
                assert!(told.contains(&format!("{} bytes", path.as_os_str().len())), "{told}");
                assert!(!told.contains(secret) && !told.contains("MfKQ"), "{told}");
            }
        }
        let told = read("payments.stripe_secret_files", scratch.path(), FileProtection::Secret, 10);
        assert!(told.expect_err("a directory").to_string().contains("not a regular file"));
    }
}
