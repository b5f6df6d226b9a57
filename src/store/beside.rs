//! The note beside the data directory: which file the directory has. It survives the removal of the directory, after which
//! no empty file is created in its place; and it tells a file that was put back from the one that lay there.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::StoreError;
use super::ownership::{give, open_private};
use crate::sqlite::{self, Access};
use crate::types::hex;

/// Content of the note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Random id of the database, as hexadecimal digits.
    file_id: String,
    /// Highest epoch that the database had in this directory.
    pub epoch: u64,
    /// Inode and birth time of the database file; device and inode where there is no birth time. A file system may give the inode of a removed file to the next
    /// one; the birth time (nanoseconds since 1970; 0 where the file system has none) tells them apart.
    place: String,
}

impl Note {
    /// Describes the database at `path`.
    pub fn of(path: &Path, file_id: [u8; 16], epoch: u64) -> io::Result<Note> {
        let found = std::fs::metadata(path)?;
        let birth =
            found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_nanos());
        // The number of a device may change with a boot, so it is not compared where the birth time says enough.
        let device = if birth == 0 { found.dev() } else { 0 };
        let place = format!("{device}:{}:{birth}", found.ino());
        Ok(Note { file_id: hex::encode(&file_id), epoch, place })
    }

    /// Describes a database whose directory is lost: whatever comes in its place is a copy.
    #[must_use]
    pub fn of_a_lost_one(file_id: [u8; 16], epoch: u64) -> Note {
        Note { file_id: hex::encode(&file_id), epoch, place: "0:0:0".into() }
    }

    /// Returns true if `found` is the same database in another file: a copy was put in its place.
    #[must_use]
    pub fn is_copied_by(&self, found: &Note) -> bool {
        self.file_id == found.file_id && self.place != found.place
    }
}

/// Returns the path of the note, `DIR.firstcome`; `None` if the directory has no parent.
#[must_use]
pub fn path(directory: &Path) -> Option<PathBuf> {
    // A directory that is gone cannot be resolved, and the one above can.
    let whole = match directory.canonicalize() {
        Ok(whole) => whole,
        Err(_) => {
            let above = directory.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            above.canonicalize().ok()?.join(directory.file_name()?)
        }
    };
    let name = format!("{}.firstcome", whole.file_name()?.to_string_lossy());
    Some(whole.parent()?.join(name))
}

/// Reads the note of a directory.
#[must_use]
pub fn read(directory: &Path) -> Option<Note> {
    let text = std::fs::read_to_string(path(directory)?).ok()?;
    let mut words = text.lines().next()?.split(' ');
    let mut value = |name| if words.next()? == name { words.next() } else { None };
    let (file_id, epoch, place) = (value("file")?.into(), value("epoch")?.parse().ok()?, value("inode")?.into());
    Some(Note { file_id, epoch, place })
}

/// Writes the note unless it says that already. A directory above that is not writable has no note: that is no reason to
/// refuse.
pub fn write(directory: &Path, note: &Note) {
    let Some(path) = path(directory) else { return };
    if read(directory).as_ref() == Some(note) {
        return;
    }
    let Note { file_id, epoch, place } = note;
    let text = format!(
        "file {file_id} epoch {epoch} inode {place}\nThe directory {} has this database. While this note is here,\n\
         firstcome creates no empty database in its place. To begin anew, delete the note.\n",
        directory.display()
    );
    let written =
        open_private(&path).and_then(|mut file| file.set_len(0).and_then(|()| file.write_all(text.as_bytes())));
    if let Ok(owner) = std::fs::metadata(directory) {
        let _not_root = give(&path, &owner);
    }
    if let Err(error) = written
        && !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    {
        tracing::warn!(%error, path = %path.display(), "note beside the data directory not written");
    }
}

/// Writes the note again after a rebuild: its copy is the file of the directory now.
pub(super) fn renew(directory: &Path, database: &Path) -> Result<(), StoreError> {
    let connection = sqlite::open(database, Access::Read)?;
    let (epoch, file_id): (i64, [u8; 16]) =
        connection
            .query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if let Ok(note) = Note::of(database, file_id, u64::try_from(epoch).unwrap_or(1)) {
        write(directory, &note);
    }
    Ok(())
}
