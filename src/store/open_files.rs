//! The files of the data directory as the server opened them, held against what their paths name now. A file that was
//! removed, moved, replaced or cut under the running server takes every later commit with it, and SQLite does not tell.
//!
//! A look is a handful of `stat` calls, once a second and before each checkpoint; it costs nothing per command.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::fault_marker::MARKER_FILE;
use super::lock::LOCK_FILE;
use super::open::DATABASE_FILE;
use super::watermark::WATERMARK_FILE;

const LOG_FILE: &str = "firstcome.db-wal";
const INDEX_FILE: &str = "firstcome.db-shm";

/// Bytes before the first frame of a write-ahead log.
const LOG_HEADER_BYTES: u64 = 32;
/// Bytes of a frame: its header and a page.
const FRAME_BYTES: u64 = 24 + 4096;
/// Bytes of the index that SQLite maps at once; it is never shorter.
const INDEX_BYTES: u64 = 32_768;
/// Places in the header of the index (sqlite.org/walformat.html): the last frame, and the salt of the log.
const INDEX_LAST_FRAME_AT: u64 = 16;
const INDEX_SALT_AT: u64 = 32;
/// Place of the salt in the header of the log.
const LOG_SALT_AT: u64 = 16;

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
}

/// The identity of an open file.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// The files as they were opened.
pub struct OpenFiles {
    directory: PathBuf,
    directory_id: FileId,
    parts: Vec<(&'static str, FileId)>,
    /// The log and its index. They stay open: closing one would release SQLite's own locks on it.
    log: File,
    index: File,
    written: Cell<Written>,
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
        Ok(OpenFiles {
            directory: directory.to_path_buf(),
            directory_id: FileId::of(&stat("")?),
            parts,
            log: File::open(at(LOG_FILE)).map_err(failed(at(LOG_FILE)))?,
            index: File::open(at(INDEX_FILE)).map_err(failed(at(INDEX_FILE)))?,
            written: Cell::new(Written::of(&stat(DATABASE_FILE)?)),
        })
    }

    /// Notes that this process has written the database file.
    pub fn note_written(&self) {
        if let Ok(found) = std::fs::metadata(self.directory.join(DATABASE_FILE)) {
            self.written.set(Written::of(&found));
        }
    }

    /// Waits until the log is on the disk.
    ///
    /// # Errors
    /// If the disk refuses: what the log has may never reach it.
    pub fn sync_log(&self) -> Result<(), StoreError> {
        self.log.sync_all().map_err(|source| StoreError::Io { path: self.directory.join(LOG_FILE), source })
    }

    /// Returns true if the path of the directory still names the directory that was opened.
    #[must_use]
    pub fn directory_is_here(&self) -> bool {
        std::fs::metadata(&self.directory).is_ok_and(|found| FileId::of(&found) == self.directory_id)
    }

    /// Looks at every file. Called between batches, when nothing writes.
    pub fn look(&self) -> Look {
        if let Err(what) = same(&self.directory, self.directory_id) {
            return self.lost("", what, false);
        }
        let mut touched = false;
        for (name, id) in &self.parts {
            let safe = ![DATABASE_FILE, LOG_FILE].contains(name);
            match same(&self.directory.join(name), *id) {
                Err(what) => return self.lost(name, what, safe),
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
        match self.log_is_whole() {
            Ok(true) if touched => Look::Touched,
            Ok(true) => Look::Same,
            Ok(false) | Err(_) => self.lost(LOG_FILE, "was cut or overwritten", false),
        }
    }

    fn lost(&self, name: &str, what: &'static str, content_is_safe: bool) -> Look {
        Look::Lost(Lost { path: self.directory.join(name), what, content_is_safe })
    }

    /// Compares the log with its index: it must have every frame, without a hole, under the same salt.
    fn log_is_whole(&self) -> io::Result<bool> {
        let mut last_frame = [0; 4];
        self.index.read_exact_at(&mut last_frame, INDEX_LAST_FRAME_AT)?;
        let last_frame = u64::from(u32::from_ne_bytes(last_frame));
        if last_frame == 0 {
            return Ok(true);
        }
        let bytes = LOG_HEADER_BYTES.saturating_add(last_frame.saturating_mul(FRAME_BYTES));
        if self.log.metadata()?.len() < bytes {
            return Ok(false);
        }
        let (mut expected, mut found) = ([0; 8], [0; 8]);
        self.index.read_exact_at(&mut expected, INDEX_SALT_AT)?;
        self.log.read_exact_at(&mut found, LOG_SALT_AT)?;
        // A log that was cut and written on has a hole. A file system that does not know holes reports the end of the file.
        let hole = rustix::fs::seek(&self.log, rustix::fs::SeekFrom::Hole(0)).unwrap_or(u64::MAX);
        Ok(found == expected && hole >= bytes)
    }
}

/// Compares the file that a path names with the one that was opened.
fn same(path: &Path, id: FileId) -> Result<Metadata, &'static str> {
    match std::fs::metadata(path) {
        Ok(found) if FileId::of(&found) == id => Ok(found),
        Ok(_) => Err("was replaced"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("was removed or moved"),
        Err(_) => Err("cannot be reached"),
    }
}
