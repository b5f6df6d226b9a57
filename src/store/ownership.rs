//! Owner and mode of the files of the data directory: theirs alone to read, whatever the umask says, and those of the files
//! that they replace.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::StoreError;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// Files that a server keeps open, by the end of their name.
const KEPT: [&str; 7] = [
    "firstcome.db",
    "firstcome.db-wal",
    "firstcome.db-shm",
    "firstcome.watermark",
    "firstcome.fault",
    "firstcome.lock",
    "firstcome.clock",
];

/// Predicate of an immutable file, in a refusal.
const IMMUTABLE: &str = "it is immutable (os error 1)";
/// Directories that a rebuild makes.
const DIRECTORIES: [&str; 2] = ["rebuilding", "rebuilt"];

/// Opens a file to read and write; creates it readable by its owner alone.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    match OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path) {
        // The umask can only take bits away.
        Ok(made) => made.set_permissions(Permissions::from_mode(FILE_MODE)).map(|()| made),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => OpenOptions::new().read(true).write(true).open(path),
        Err(error) => Err(error),
    }
}

/// Creates a new file that its owner alone may read and write.
///
/// # Errors
/// If there is one, or it cannot be made.
pub fn open_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Creates a directory that its owner alone may enter.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))
}

/// Creates a data directory that its owner alone may enter. One that root makes belongs to the owner of the directory above:
/// the service that has that one is to use it.
pub fn create_data_directory(path: &Path) -> io::Result<()> {
    create_private_directory(path)?;
    let whole = std::path::absolute(path)?;
    let Some(above) = whole.parent().filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let owner = std::fs::metadata(above)?;
    // The owner of the directory above may have exchanged it for a link meanwhile.
    lchown(path, Some(owner.uid()), Some(owner.gid()))
}

/// Gives a file the owner and the mode of the one that it replaces.
pub(super) fn adopt(path: &Path, replaced: &Metadata) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io { path: path.to_path_buf(), source };
    give(path, replaced)?;
    std::fs::set_permissions(path, Permissions::from_mode(replaced.mode() & 0o7777)).map_err(failed)
}

/// Gives a file the owner of another, and leaves its mode.
pub(super) fn give(path: &Path, other: &Metadata) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io { path: path.to_path_buf(), source };
    let found = std::fs::metadata(path).map_err(failed)?;
    if (found.uid(), found.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    chown(path, Some(other.uid()), Some(other.gid())).map_err(failed)
}

/// Gives the files that a command has made in `directory`, perhaps as root, to the owner of the directory.
pub(super) fn give_back(directory: &Path) -> Result<(), StoreError> {
    let at = |path: &Path, source| StoreError::Io { path: path.to_path_buf(), source };
    let owner = std::fs::metadata(directory).map_err(|source| at(directory, source))?;
    for path in KEPT.map(|name| directory.join(name)) {
        if path.exists() {
            give(&path, &owner)?;
        }
    }
    Ok(())
}

/// Refuses a directory in which a name of a kept file leads elsewhere: SQLite would put the log beside the target of a link,
/// and a second server could open a file of two names by the other one.
pub(super) fn check_plain(directory: &Path) -> Result<(), StoreError> {
    for path in KEPT.map(|name| directory.join(name)) {
        let of_a_link = "move the files of the data directory into one directory, which may be a link itself";
        let of_names = "delete the other names, or copy the whole directory with `cp -r`, and use the copy";
        check_plain_file(&path, of_a_link, of_names)?;
    }
    for path in DIRECTORIES.map(|name| directory.join(name)) {
        if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) {
            let what = "is not a directory, and `firstcome recover` makes one of that name; move it away".into();
            return Err(StoreError::NotPlain { path, what });
        }
    }
    Ok(())
}

/// Refuses a note beside a data directory that leads elsewhere.
pub(super) fn check_plain_note(path: &Path) -> Result<(), StoreError> {
    let of_a_link = "delete the link, and move the note itself here, or let the next start write it again";
    check_plain_file(path, of_a_link, "delete the other names")
}

fn check_plain_file(path: &Path, of_a_link: &str, of_names: &str) -> Result<(), StoreError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let what = if found.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        format!("is a link to {}; {of_a_link}", target.display())
    } else if !found.is_file() {
        "is not a regular file".to_string()
    } else if found.nlink() > 1 {
        format!("has {} names (hard links); {of_names}", found.nlink())
    } else {
        return Ok(());
    };
    Err(StoreError::NotPlain { path: path.to_path_buf(), what })
}

/// Refuses a path that is not a directory, or one with files that are not plain, or that this user may not read and write.
pub fn check(directory: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(directory) {
        Ok(found) if !found.is_dir() => return Err(no_directory(directory)),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(no_directory(directory)),
        Ok(_) | Err(_) => {}
    }
    check_plain(directory)?;
    let files = KEPT.map(|name| directory.join(name));
    let all =
        std::iter::once((directory, Access::EXEC_OK)).chain(files.iter().map(|path| (path.as_path(), Access::empty())));
    for (path, more) in all {
        if denied(path, Access::READ_OK | Access::WRITE_OK | more) {
            return Err(refusal(path));
        }
        if is_immutable(path) {
            return Err(immutable(path));
        }
    }
    Ok(())
}

/// Returns true if there is a file or directory at a path.
///
/// # Errors
/// [`StoreError::Denied`] if this user may not look there.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    match path.try_exists() {
        Ok(is_there) => Ok(is_there),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(refusal(path)),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(no_directory(path)),
        Err(source) => Err(StoreError::Io { path: path.to_path_buf(), source }),
    }
}

/// Describes a path on which a file lies where a directory must be.
fn no_directory(path: &Path) -> StoreError {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let what = "is not a directory; name the directory of the database with --data".into();
    StoreError::NotPlain { path: there.to_path_buf(), what }
}

/// Refuses a file that this user may not read.
///
/// # Errors
/// [`StoreError::Denied`].
pub fn check_readable(path: &Path) -> Result<(), StoreError> {
    if denied(path, Access::READ_OK) { Err(refusal(path)) } else { Ok(()) }
}

/// Refuses a file that this user may not write.
///
/// # Errors
/// [`StoreError::Denied`].
pub fn check_writable(path: &Path) -> Result<(), StoreError> {
    if denied(path, Access::WRITE_OK) { Err(refusal(path)) } else { Ok(()) }
}

fn denied(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_err_and(|error| error == rustix::io::Errno::ACCESS)
}

/// Returns true for a file that no user may write, root included: an attribute of the file system.
fn is_immutable(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_err_and(|error| error == rustix::io::Errno::PERM)
}

/// Describes why the system did not let this user use the file at `path`, or make or remove it.
pub(super) fn refused(path: &Path) -> StoreError {
    let all = Access::READ_OK | Access::WRITE_OK;
    let is_refused = |path: &&Path| match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => denied(path, all | Access::EXEC_OK),
        Ok(_) => denied(path, all),
        Err(_) => false,
    };
    if is_immutable(path) {
        return immutable(path);
    }
    refusal(path.ancestors().find(is_refused).unwrap_or(path))
}

fn immutable(path: &Path) -> StoreError {
    let advice = "take that attribute away with `chattr -i`";
    StoreError::Denied { path: path.to_path_buf(), whose: IMMUTABLE.into(), advice }
}

/// Describes what this user may not use: the file at `path`, or the directory on the way to it that may not be entered.
pub(super) fn refusal(path: &Path) -> StoreError {
    let user = rustix::process::geteuid().as_raw();
    for path in path.ancestors() {
        if let Ok(found) = std::fs::metadata(path) {
            let whose = format!(
                "it belongs to user {}, mode {:04o}, and this is user {user}",
                found.uid(),
                found.mode() & 0o7777
            );
            let advice = if found.uid() == user {
                "let its owner use it: `chmod -R u+rwX` the directory"
            } else {
                "start as its owner, or give the directory to this user with `chown -R`"
            };
            return StoreError::Denied { path: path.to_path_buf(), whose, advice };
        }
    }
    let whose = format!("user {user} may not see it");
    StoreError::Denied { path: path.to_path_buf(), whose, advice: "start as its owner" }
}

/// Returns the files of `directory`, and itself, that others than the owner may read or write, with their modes.
#[must_use]
pub fn open_to_others(directory: &Path) -> Vec<(PathBuf, u32)> {
    let paths = std::iter::once(directory.to_path_buf()).chain(KEPT.map(|name| directory.join(name)));
    let modes = paths.filter_map(|path| {
        let mode = std::fs::metadata(&path).ok()?.mode() & 0o7777;
        (mode & 0o077 != 0).then_some((path, mode))
    });
    modes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_files_that_others_may_use_are_open_to_others() {
        let scratch = tempfile::tempdir().expect("scratch");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        mode(scratch.path(), 0o700);
        for name in KEPT {
            std::fs::write(scratch.path().join(name), "").expect("written");
            mode(&scratch.path().join(name), 0o600);
        }
        assert_eq!(open_to_others(scratch.path()), []);
        for open in [0o640, 0o604, 0o610, 0o602] {
            let path = scratch.path().join(KEPT[0]);
            mode(&path, open);
            assert_eq!(open_to_others(scratch.path()), [(path, open)]);
        }
    }
}
