//! The origin of a rebuilt file: what it was made from. It lies in the directory of the rebuilt file, and decides whether
//! an interrupted swap may go on: not if the files have changed since.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::StoreError;
use super::super::open::{DATABASE_FILE, last_link};
use super::super::ownership::open_private;
use super::super::watermark::{WATERMARK_FILE, Watermark, WatermarkState};
use super::{Replacement, at_path};
use crate::sqlite::{self, Access};
use crate::types::{UnixMillis, hex};

/// File of the origin, inside the directory of the rebuilt file.
const ORIGIN_FILE: &str = "origin.json";

/// Content of a file: its last event, and the link of the chain that ends with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Content {
    seq: u64,
    link: String,
}

/// A database file on the disk, as `stat` tells it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct OnDisk {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

/// Source and content of a rebuilt file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RebuildOrigin {
    /// Content of the files, with their log.
    from: Content,
    /// Content of the rebuilt file.
    made: Content,
    /// Database file that is replaced; `None` if there was none.
    database: Option<OnDisk>,
    /// Content that the watermark recorded; `None` without a readable one.
    watermark: Option<Content>,
    /// Name of the directory that gets the old files.
    pub(super) kept: String,
}

/// Usability of a `rebuilt` directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leftover {
    /// The rebuilt files belong in place of those of the data directory.
    ToBeSwapped,
    /// The rebuilt files are in their place already.
    Swapped,
    /// The files of the data directory are not those that it was made from.
    Stale,
}

impl RebuildOrigin {
    /// Returns the name of the directory that gets the files which are replaced at `now`.
    pub(super) fn kept_name(now: UnixMillis) -> String {
        format!("before-{}", now.get())
    }

    /// Notes the files of `directory`, and what lies in `growing`, which is not changed yet.
    pub(super) fn note(
        directory: &Path,
        growing: &Path,
        kept: String,
        replacement: Replacement,
    ) -> Result<RebuildOrigin, StoreError> {
        let database = directory.join(DATABASE_FILE);
        let from = match replacement {
            Replacement::Copy => content(&growing.join(DATABASE_FILE))?,
            // A damaged file is known by its place, size and time alone.
            Replacement::Other => content(&database).unwrap_or_else(|_| Content { seq: 0, link: String::new() }),
        };
        let database = match replacement {
            Replacement::Copy => Some(at_path(&database, on_disk(&database))?),
            Replacement::Other => on_disk(&database).ok(),
        };
        Ok(RebuildOrigin { made: from.clone(), from, database, watermark: marked(directory)?, kept })
    }

    /// Writes the origin beside the finished copy.
    pub(super) fn write(mut self, growing: &Path) -> Result<(), StoreError> {
        self.made = content(&growing.join(DATABASE_FILE))?;
        let path = growing.join(ORIGIN_FILE);
        let written = serde_json::to_vec(&self).map_err(std::io::Error::other).and_then(|text| {
            let mut file = open_private(&path)?;
            file.write_all(&text)?;
            file.sync_all()
        });
        at_path(&path, written)
    }

    pub(super) fn read(ready: &Path) -> Option<RebuildOrigin> {
        serde_json::from_slice(&fs::read(ready.join(ORIGIN_FILE)).ok()?).ok()
    }

    /// Judges the rebuilt file that lies in `ready`.
    pub(super) fn judge(&self, directory: &Path, ready: &Path) -> Result<Leftover, StoreError> {
        let database = directory.join(DATABASE_FILE);
        if !ready.join(DATABASE_FILE).exists() {
            let same = database.exists() && content(&database).is_ok_and(|found| found == self.made);
            return Ok(if same { Leftover::Swapped } else { Leftover::Stale });
        }
        let watermark = marked(directory)?;
        let unchanged = if database.exists() {
            let untouched = on_disk(&database).is_ok_and(|found| Some(found) == self.database);
            let same = (untouched && !has_log(directory)) || content(&database).is_ok_and(|found| found == self.from);
            same && watermark == self.watermark
        } else if ready.join(WATERMARK_FILE).exists() {
            // The old watermark is moved away after the old database.
            watermark.is_none() || watermark == self.watermark
        } else {
            watermark.as_ref() == Some(&self.made)
        };
        Ok(if unchanged { Leftover::ToBeSwapped } else { Leftover::Stale })
    }
}

/// Returns true if there is a log that can have events of its own.
fn has_log(directory: &Path) -> bool {
    fs::metadata(directory.join(super::LOG_FILE)).is_ok_and(|log| log.len() > 0)
}

fn content(database: &Path) -> Result<Content, StoreError> {
    let opened = sqlite::open(database, Access::Read);
    let connection = opened.map_err(|error| super::super::open::cannot_open(database, error))?;
    let (seq, link) = last_link(&connection)?;
    Ok(Content { seq: seq.get(), link: hex::encode(&link.0) })
}

fn on_disk(path: &Path) -> std::io::Result<OnDisk> {
    let found = fs::metadata(path)?;
    Ok(OnDisk {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.len(),
        modified_seconds: found.mtime(),
        modified_nanoseconds: found.mtime_nsec(),
    })
}

fn marked(directory: &Path) -> Result<Option<Content>, StoreError> {
    Ok(match Watermark::read(directory)? {
        WatermarkState::Present(mark) => Some(Content { seq: mark.seq.get(), link: hex::encode(&mark.link.0) }),
        WatermarkState::Absent | WatermarkState::Unreadable => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_with_content_can_have_events() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert!(!has_log(scratch.path()));
        let log = scratch.path().join(super::super::LOG_FILE);
        fs::write(&log, "").expect("written");
        assert!(!has_log(scratch.path()));
        fs::write(&log, "a frame").expect("written");
        assert!(has_log(scratch.path()));
    }
}
