//! The files of the data directory as the server opened them, held against what their paths name now. A file that was
//! removed, moved, replaced or cut under the running server takes every later commit with it, and SQLite does not tell.
//!
//! A look is a handful of `stat` calls, once a second and before each checkpoint; it costs nothing per command.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;
use super::fault_marker::MARKER_FILE;
use super::live_copy::SharedFiles;
use super::lock::LOCK_FILE;
use super::log_index::{INDEX_BYTES, LogIndex, LogState};
use super::open::DATABASE_FILE;
use super::watermark::WATERMARK_FILE;

pub(super) const LOG_FILE: &str = "firstcome.db-wal";
const INDEX_FILE: &str = "firstcome.db-shm";

/// A file that is no longer the one that was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    pub path: PathBuf,
    /// Predicate of the path in a message.
    pub what: &'static str,
    /// The database and its log are as they were: nothing needs to be copied.
    pub content_is_safe: bool,
}

/// Result of a look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    Same,
    /// The database file was written, and not by a checkpoint of this process.
    Touched,
    Lost(Lost),
    /// The disk does not tell: the number of its error.
    Unreadable {
        path: PathBuf,
        errno: i32,
    },
}

/// Reason of a path that does not name the file that was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PathChange {
    /// Predicate of the path in a message.
    Lost(&'static str),
    /// Number of the error of the operating system.
    Unreadable(i32),
}

/// The identity of an open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(found: &Metadata) -> FileId {
        FileId { device: found.dev(), inode: found.ino() }
    }
}

/// Size and time of the last change of the database file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Written {
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Written {
    fn of(found: &Metadata) -> Written {
        Written { bytes: found.len(), seconds: found.mtime(), nanoseconds: found.mtime_nsec() }
    }
}

/// The names of the files, and which files they were when the server opened them.
#[derive(Clone, Debug)]
pub struct KnownFiles {
    directory: PathBuf,
    directory_id: FileId,
    parts: Vec<(&'static str, FileId)>,
}

impl KnownFiles {
    /// Returns true if the path of the directory still names the directory that was opened.
    #[must_use]
    pub fn directory_is_here(&self) -> bool {
        same(&self.directory, self.directory_id).is_ok()
    }

    /// Returns true if the content of the database is in open files only: it or its log is no longer at its path.
    #[must_use]
    pub fn content_is_lost(&self) -> bool {
        let is_content = |(name, _): &&(&str, FileId)| [DATABASE_FILE, LOG_FILE].contains(name);
        let is_lost =
            |(name, id): &(&str, FileId)| matches!(same(&self.directory.join(name), *id), Err(PathChange::Lost(_)));
        matches!(same(&self.directory, self.directory_id), Err(PathChange::Lost(_)))
            || self.parts.iter().filter(is_content).any(is_lost)
    }
}

/// The files as they were opened.
pub struct OpenFiles {
    known: KnownFiles,
    /// Stays open, as its log does: closing it would release SQLite's own locks on it.
    database: Arc<File>,
    log: LogIndex,
    written: Cell<Written>,
    /// True after a second name of a file was told.
    has_told_name: Cell<bool>,
    /// True after a link to a file was told.
    has_told_link: Cell<bool>,
}

impl OpenFiles {
    /// Notes the files of `directory`. The database must be open.
    pub fn note(directory: &Path) -> Result<OpenFiles, StoreError> {
        let at = |name: &str| directory.join(name);
        let failed = |path: PathBuf| move |source| StoreError::Io { path, source };
        let stat = |name: &str| std::fs::metadata(at(name)).map_err(failed(at(name)));
        let mut parts = Vec::new();
        for name in [DATABASE_FILE, LOG_FILE, INDEX_FILE, WATERMARK_FILE, MARKER_FILE, LOCK_FILE] {
            parts.push((name, FileId::of(&stat(name)?)));
        }
        let open = |name: &str| File::open(at(name)).map_err(failed(at(name)));
        Ok(OpenFiles {
            known: KnownFiles { directory: directory.to_path_buf(), directory_id: FileId::of(&stat("")?), parts },
            database: Arc::new(open(DATABASE_FILE)?),
            log: LogIndex::new(Arc::new(open(LOG_FILE)?), Arc::new(open(INDEX_FILE)?)),
            written: Cell::new(Written::of(&stat(DATABASE_FILE)?)),
            has_told_name: Cell::new(false),
            has_told_link: Cell::new(false),
        })
    }

    /// Returns the names of the files and which files they were, for other threads.
    #[must_use]
    pub fn known(&self) -> &KnownFiles {
        &self.known
    }

    /// Returns the open database and its log, with the names that a copy of them must have.
    #[must_use]
    pub fn content(&self) -> [(&'static str, &File); 2] {
        [(DATABASE_FILE, &*self.database), (LOG_FILE, &*self.log.log)]
    }

    /// Returns the open files for a copy beside the writer, which shares their descriptors: to close one of its own would release
    /// SQLite's locks.
    #[must_use]
    pub(super) fn shared(&self) -> SharedFiles {
        SharedFiles {
            database: Arc::clone(&self.database),
            log: Arc::clone(&self.log.log),
            index: Arc::clone(&self.log.index),
        }
    }

    /// Notes that this process has written the database file.
    pub fn note_written(&self) {
        if let Ok(found) = std::fs::metadata(self.known.directory.join(DATABASE_FILE)) {
            self.written.set(Written::of(&found));
        }
    }

    /// Waits until the log is on the disk.
    ///
    /// # Errors
    /// If the disk refuses: what the log has may never reach it.
    pub fn sync_log(&self) -> Result<(), StoreError> {
        self.log.log.sync_all().map_err(|source| StoreError::Io { path: self.known.directory.join(LOG_FILE), source })
    }

    /// Looks at every file. Called between batches, when nothing writes.
    pub fn look(&self) -> Look {
        let KnownFiles { directory, directory_id, parts } = &self.known;
        if let Err(difference) = same(directory, *directory_id) {
            return self.different("", difference, false);
        }
        let mut touched = false;
        for (name, id) in parts {
            let safe = ![DATABASE_FILE, LOG_FILE].contains(name);
            let found = same_or_link(&directory.join(name), *id);
            if let Ok(found) = &found {
                self.tell_of_another_name(name, found);
            }
            match found.map(|found| found.metadata) {
                Err(difference) => return self.different(name, difference, safe),
                Ok(found) if *name == DATABASE_FILE => {
                    let written = self.written.get();
                    if found.len() < written.bytes {
                        return self.lost(name, "was cut", safe);
                    }
                    touched = Written::of(&found) != written;
                }
                Ok(found) if *name == WATERMARK_FILE && found.len() == 0 => return self.lost(name, "was cut", safe),
                Ok(found) if *name == INDEX_FILE && found.len() < INDEX_BYTES => {
                    return self.lost(name, "was cut", safe);
                }
                Ok(_) => {}
            }
        }
        match self.log.look() {
            Ok(LogState::Whole) if touched => Look::Touched,
            Ok(LogState::Whole) => Look::Same,
            Ok(LogState::LogChanged) => self.lost(LOG_FILE, "was cut or overwritten", false),
            // The database and its log have everything, unless SQLite has written by this index.
            Ok(LogState::IndexChanged) => self.lost(INDEX_FILE, "was overwritten", false),
            Err(error) => self.different(LOG_FILE, PathChange::of(&error, "was cut or overwritten"), false),
        }
    }

    /// Tells once each that a file has a second name, such as a snapshot with hard links makes, and that it was moved and a
    /// link leads to it: the next start refuses it.
    fn tell_of_another_name(&self, name: &str, found: &FoundFile) {
        let (names, path) = (found.metadata.nlink(), || self.known.directory.join(name));
        match &found.link {
            Some(target) if !self.has_told_link.replace(true) => tracing::error!(
                path = %path().display(),
                target = %target.display(),
                "the file was moved, and a link to it lies in its place, and the next start will refuse it: move the file \
                 itself back with `mv -T {} {}`",
                target.display(),
                path().display()
            ),
            None if names > 1 && !self.has_told_name.replace(true) => tracing::error!(
                path = %path().display(),
                names,
                "the file has a second name (a hard link), and the next start will refuse it: remove the other one; a hard \
                 link is no backup"
            ),
            Some(_) | None => {}
        }
    }

    fn different(&self, name: &str, difference: PathChange, content_is_safe: bool) -> Look {
        match difference {
            PathChange::Lost(what) => self.lost(name, what, content_is_safe),
            PathChange::Unreadable(errno) => Look::Unreadable { path: self.known.directory.join(name), errno },
        }
    }

    fn lost(&self, name: &str, what: &'static str, content_is_safe: bool) -> Look {
        Look::Lost(Lost { path: self.known.directory.join(name), what, content_is_safe })
    }
}

/// A file that is the one that was opened.
struct FoundFile {
    metadata: Metadata,
    /// The path of the file if a symbolic link leads to it.
    link: Option<PathBuf>,
}

/// Compares the file of a name in the directory with the one that was opened. Only for a link this is a second call.
fn same_or_link(path: &Path, id: FileId) -> Result<FoundFile, PathChange> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if FileId::of(&metadata) == id => Ok(FoundFile { metadata, link: None }),
        Ok(found) if found.is_symlink() => {
            let metadata = same(path, id)?;
            let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
            Ok(FoundFile { metadata, link: Some(target) })
        }
        Ok(_) | Err(_) => same(path, id).map(|metadata| FoundFile { metadata, link: None }),
    }
}

/// Compares the file that a path names with the one that was opened.
fn same(path: &Path, id: FileId) -> Result<Metadata, PathChange> {
    match std::fs::metadata(path) {
        Ok(found) if FileId::of(&found) == id => Ok(found),
        Ok(_) => Err(PathChange::Lost("was replaced")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PathChange::Lost("was removed or moved")),
        Err(error) => Err(PathChange::of(&error, "cannot be reached")),
    }
}

impl PathChange {
    /// Tells a fault of the disk from a loss, whose predicate is `what`.
    fn of(error: &io::Error, what: &'static str) -> PathChange {
        use rustix::io::Errno;
        let of_the_way = [Errno::ACCESS, Errno::PERM, Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error);
        match error.raw_os_error() {
            // An end that comes too early has no number.
            None => PathChange::Lost(what),
            Some(errno) if of_the_way.contains(&errno) => PathChange::Lost(what),
            Some(errno) => PathChange::Unreadable(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::types::UnixMillis;

    fn lost(look: Look) -> (PathBuf, &'static str, bool) {
        let Look::Lost(Lost { path, what, content_is_safe }) = look else { panic!("not lost: {look:?}") };
        (path, what, content_is_safe)
    }

    #[test]
    fn a_write_of_others_is_told_from_that_of_this_process_and_an_empty_watermark_is_lost() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        assert_eq!(store.files.look(), Look::Same);
        let database = scratch.path().join(DATABASE_FILE);
        let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5);
        let touch = || File::options().write(true).open(&database).and_then(|file| file.set_modified(later));
        touch().expect("touched");
        assert_eq!(store.files.look(), Look::Touched);
        store.files.note_written();
        assert_eq!(store.files.look(), Look::Same);
        let watermark = scratch.path().join(WATERMARK_FILE);
        File::options().write(true).open(&watermark).and_then(|file| file.set_len(0)).expect("cut");
        assert_eq!(lost(store.files.look()), (watermark, "was cut", true));
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_no_loss_of_a_file() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(&scratch.path().join("data"), UnixMillis::ZERO).expect("made");
        let mut files = OpenFiles::note(store.directory()).expect("noted");
        assert_eq!(files.look(), Look::Same);
        // Its first bytes cannot be read: EIO.
        files.log.index = Arc::new(File::open("/proc/self/mem").expect("opened"));
        let found = files.look();
        assert_eq!(found, Look::Unreadable { path: store.directory().join(LOG_FILE), errno: libc::EIO });
        files.log.index = Arc::new(File::open("/dev/null").expect("opened"));
        assert!(matches!(files.look(), Look::Lost(lost) if lost.what == "was cut or overwritten"));
    }
}
