//! The fault marker: after a failed write or fsync no server may start on the same files, because data in the OS page cache
//! may never reach the disk. The marker's space is allocated at every start, so that it can be written in place on a full
//! or failing disk.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::ownership::open_private;

/// Marker file inside the data directory.
pub const MARKER_FILE: &str = "firstcome.fault";

/// Directory of a rebuilt file that is complete, until it has taken the place of the old one (`rebuild`).
pub(super) const READY: &str = "rebuilt";

const TEXT_BYTES: usize = 1024;
const CLEAR: &str = "no fault\n";

/// Returns true if a rebuild of the files of `directory` was interrupted after the new file was complete.
#[must_use]
pub(super) fn is_interrupted(directory: &Path) -> bool {
    directory.join(READY).exists()
}

pub struct FaultMarker {
    file: File,
    path: PathBuf,
}

impl FaultMarker {
    /// Returns the text of the marker of `directory` if it is set. Any content other than that of a cleared marker counts
    /// as set.
    pub fn read(directory: &Path) -> Result<Option<String>, StoreError> {
        let path = directory.join(MARKER_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        let mut bytes = Vec::with_capacity(TEXT_BYTES);
        let room = u64::try_from(TEXT_BYTES).unwrap_or(u64::MAX);
        file.take(room).read_to_end(&mut bytes).map_err(|source| StoreError::Io { path, source })?;
        let Some(text) =
            std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| !text.contains(char::is_control))
        else {
            return Ok(Some(format!("{MARKER_FILE} is damaged: it has no line of text")));
        };
        Ok((!text.is_empty() && text != CLEAR.trim()).then(|| text.to_string()))
    }

    /// Opens the marker of `directory` or creates it at full size. A marker that is set stays set.
    pub fn open(directory: &Path) -> Result<FaultMarker, StoreError> {
        let path = directory.join(MARKER_FILE);
        let refuse = |source| StoreError::Io { path: path.clone(), source };
        let file = open_private(&path).map_err(refuse)?;
        let full = u64::try_from(TEXT_BYTES).unwrap_or(u64::MAX);
        let whole = file.metadata().map_err(refuse)?.len() == full;
        let marker = FaultMarker { file, path };
        if !whole {
            marker.lower()?;
        }
        Ok(marker)
    }

    /// Sets the marker, also if its file is no longer at its path. If this fails, the process can only end.
    pub fn raise(&self, what: &str) -> Result<(), StoreError> {
        self.write(what)?;
        let refuse = |source| StoreError::Io { path: self.path.clone(), source };
        let own = self.file.metadata().map_err(refuse)?;
        let is_there = std::fs::metadata(&self.path).is_ok_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino()));
        if is_there {
            return Ok(());
        }
        let file = open_private(&self.path).map_err(refuse)?;
        FaultMarker { file, path: self.path.clone() }.write(what)
    }

    /// Clears the marker.
    pub fn lower(&self) -> Result<(), StoreError> {
        self.write(CLEAR)
    }

    fn write(&self, text: &str) -> Result<(), StoreError> {
        let mut bytes = [b' '; TEXT_BYTES];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        if let Some(last) = bytes.last_mut() {
            *last = b'\n';
        }
        let refuse = |source| StoreError::Io { path: self.path.clone(), source };
        self.file.write_all_at(&bytes, 0).map_err(refuse)?;
        self.file.sync_all().map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::types::UnixMillis;

    #[test]
    fn it_stands_from_raise_to_lower_and_keeps_its_room() {
        let scratch = tempfile::tempdir().expect("scratch");
        let read = || FaultMarker::read(scratch.path()).expect("read");
        assert_eq!(read(), None);
        let marker = FaultMarker::open(scratch.path()).expect("made");
        assert_eq!(read(), None);
        marker.raise(&"the disk failed ".repeat(200)).expect("written");
        assert!(read().expect("stands").starts_with("the disk failed the disk"));
        let again = FaultMarker::open(scratch.path()).expect("opened");
        assert!(read().is_some(), "opening takes nothing away");
        again.lower().expect("written");
        assert_eq!(read(), None);
        let length = std::fs::metadata(scratch.path().join(MARKER_FILE)).expect("there").len();
        assert_eq!(length, 1024);
    }

    #[test]
    fn it_is_set_at_its_path_although_its_file_was_removed_or_replaced() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join(MARKER_FILE);
        let marker = FaultMarker::open(scratch.path()).expect("made");
        let older = std::fs::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        marker.raise("the disk failed").expect("written");
        assert!(FaultMarker::read(scratch.path()).expect("read").is_some());
        let copy = scratch.path().join("copy");
        std::fs::write(&copy, older).expect("written");
        std::fs::rename(&copy, &path).expect("replaced");
        marker.raise("the disk failed").expect("written");
        assert!(FaultMarker::read(scratch.path()).expect("read").is_some());
    }

    #[test]
    fn a_damaged_one_stands() {
        let scratch = tempfile::tempdir().expect("scratch");
        drop(FaultMarker::open(scratch.path()).expect("made"));
        let path = scratch.path().join(MARKER_FILE);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        assert!(FaultMarker::read(scratch.path()).expect("read").is_some());
    }

    #[test]
    fn no_database_is_opened_beside_a_rebuilt_one_that_has_not_taken_its_place() {
        let scratch = tempfile::tempdir().expect("scratch");
        let open = || Store::open(scratch.path(), UnixMillis::ZERO).map(drop);
        assert!(open().is_ok());
        std::fs::create_dir(scratch.path().join(READY)).expect("made");
        assert!(matches!(open(), Err(StoreError::Interrupted { directory }) if directory == scratch.path()));
        std::fs::remove_dir(scratch.path().join(READY)).expect("removed");
        assert!(open().is_ok());
    }
}
