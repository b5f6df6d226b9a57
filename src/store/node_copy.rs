//! A copy of an open file for another node of a cluster: it is made in the data directory, without a name once it is there.
//!
//! The copy is read through a connection of its own, and has all that was committed when it began. Meanwhile the
//! write-ahead log of the file grows.

use std::fs::{self, File};
use std::path::Path;

use super::StoreError;
use super::open_files::LOG_FILE;
use super::ownership::open_private;
use crate::sqlite::{self, Access};

/// Name of a copy while it is made.
const COPY_FILE: &str = "copying";

/// Copies the database at `path`, and returns the copy, which has no name any more: it is gone once it is closed.
///
/// # Errors
/// If the database cannot be read, or the copy not written.
pub fn make(path: &Path) -> Result<File, StoreError> {
    let copy = path.with_file_name(COPY_FILE);
    let failed = |source| StoreError::Io { path: copy.clone(), source };
    remove_leftover(path.parent().unwrap_or(path));
    // SQLite takes an empty file, and leaves its mode.
    let file = open_private(&copy).map_err(failed)?;
    let made = write(path, &copy);
    fs::remove_file(&copy).map_err(failed)?;
    made.map(|()| file)
}

fn write(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let Some(name) = copy.to_str() else {
        let source = std::io::Error::other("the path of the data directory is not UTF-8");
        return Err(StoreError::Io { path: copy.to_path_buf(), source });
    };
    let connection = sqlite::open(path, Access::Read)?;
    let made = connection.execute("VACUUM INTO ?1", [name]);
    made.map(drop).map_err(|cause| StoreError::AtFile { path: copy.to_path_buf(), cause })
}

/// Returns the most bytes that a copy of the database at `path` has: those of the database and of its log.
#[must_use]
pub fn bytes_max(path: &Path) -> u64 {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    bytes(path).saturating_add(bytes(&path.with_file_name(LOG_FILE)))
}

/// Removes the copy that a process has left in a directory which was killed while it made one.
pub fn remove_leftover(directory: &Path) {
    for name in [COPY_FILE, "copying-journal"] {
        let _none = fs::remove_file(directory.join(name));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::store::Store;
    use crate::types::UnixMillis;

    #[test]
    fn a_copy_is_a_whole_database_without_a_name_and_one_that_was_left_is_replaced() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        fs::write(scratch.path().join(COPY_FILE), "half of one").expect("written");
        let mut copy = make(&store.path).expect("copied");
        assert!(!scratch.path().join(COPY_FILE).exists());
        assert_eq!(copy.metadata().expect("metadata").mode() & 0o777, 0o600);
        let mut bytes = Vec::new();
        copy.read_to_end(&mut bytes).expect("read");
        assert!(!bytes.is_empty() && bytes.len() as u64 <= bytes_max(&store.path));
        let other = scratch.path().join("other");
        fs::write(&other, bytes).expect("written");
        let id = |path: &Path| -> [u8; 16] {
            let connection = sqlite::open(path, Access::Read).expect("opened");
            connection.query_row("SELECT file_id FROM meta", [], |row| row.get(0)).expect("read")
        };
        assert_eq!(id(&other), store.file_id);
    }
}
