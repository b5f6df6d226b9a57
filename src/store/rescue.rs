//! The rescue of a file that was lost under the running server: SQLite still has it open, with everything that was
//! acknowledged, until the process ends. Its content is copied out to a new directory, which can be served.

use std::path::{Path, PathBuf};

use rusqlite::params;

use super::beside;
use super::fault_marker::FaultMarker;
use super::lock::sync_directory;
use super::open::{DATABASE_FILE, last_link};
use super::open_files::Lost;
use super::ownership::{create_private_directory, open_private};
use super::verify;
use super::watermark::{Watermark, WatermarkRecord};
use super::{Store, StoreError};
use crate::sqlite::{self, Access};
use crate::types::{Seq, UnixMillis};

/// Keeps what the open files hold, and returns the error that ends the server. `acknowledged` is the last event whose
/// outcome was sent.
pub fn end_without_file(store: &Store, lost: Lost, acknowledged: u64, now: UnixMillis) -> StoreError {
    let Lost { path, what, content_is_safe } = lost;
    let directory = store.directory();
    let kept = if content_is_safe {
        // The watermark is to call everything synced. After a failed sync this is a fault of the disk, not a lost file.
        if let Err(error) = store.files.sync_log() {
            return error;
        }
        match rewrite_watermark(store, None) {
            Ok(()) => "the database is whole: start the server again".to_string(),
            Err(error) => format!("the watermark could not be written: {error}"),
        }
    } else {
        rescue(store, acknowledged, now)
    };
    if !store.files.directory_is_here() && beside::read(directory).is_none() {
        // No empty database takes the place of this one, although the note was removed with the directory.
        beside::write(directory, &beside::Note::of_a_lost_one(store.file_id, store.epoch));
    }
    if !content_is_safe && store.files.directory_is_here() {
        let text = format!("{} {what} while the server ran; {kept}", path.display());
        if let Err(error) = FaultMarker::open(directory).and_then(|marker| marker.raise(&text)) {
            tracing::error!(%error, "fault marker not written");
        }
    }
    StoreError::FileLost { path, what, kept }
}

/// Writes the watermark of the last commit to its path, which may be lost. `synced` is the last event that is known to be on
/// the disk; `None` if all are.
pub fn rewrite_watermark(store: &Store, synced: Option<Seq>) -> Result<(), StoreError> {
    let (seq, link) = last_link(&store.connection)?;
    Watermark::open(store.directory())?.establish(&store.mark(seq, link, synced.unwrap_or(seq)))
}

/// Copies the content to the first directory that can be made. Returns what an operator must know.
fn rescue(store: &Store, acknowledged: u64, now: UnixMillis) -> String {
    let mut failures = Vec::new();
    for target in targets(store, now) {
        match copy_to(store, &target, acknowledged) {
            Ok(seq) => {
                return format!(
                    "everything up to event {seq} is kept in {}: run `firstcome verify --data` on it, and put it in the \
                     place of the lost one",
                    target.display()
                );
            }
            Err(error) => failures.push(format!("{}: {error}", target.display())),
        }
    }
    format!("what the open file held could not be kept ({}): restore the file or a backup", failures.join("; "))
}

/// New names for the copy: inside the directory if it is still there, and beside it.
fn targets(store: &Store, now: UnixMillis) -> Vec<PathBuf> {
    let directory = store.directory();
    let mut targets = Vec::new();
    if store.files.directory_is_here() {
        targets.push(directory.join(format!("rescued-{}", now.get())));
    }
    if let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) {
        targets.push(parent.join(format!("{}.rescued-{}", name.to_string_lossy(), now.get())));
    }
    targets
}

/// Copies the content, verifies it, and puts a watermark beside it. Returns the copy's last event.
fn copy_to(store: &Store, target: &Path, acknowledged: u64) -> Result<u64, StoreError> {
    let failed = |source| StoreError::Io { path: target.to_path_buf(), source };
    create_private_directory(target).map_err(failed)?;
    let path = target.join(DATABASE_FILE);
    open_private(&path).map_err(failed)?;
    store.connection.execute("VACUUM INTO ?1", params![path.to_string_lossy()])?;
    let copy = sqlite::open(&path, Access::Write)?;
    let report = verify::verify_connection(&copy)?;
    if let Some(problem) = report.problems.first() {
        return Err(StoreError::Inconsistent(format!("the copy is damaged: {problem}")));
    }
    let (seq, link) = last_link(&copy)?;
    if seq.get() < acknowledged {
        let missing = acknowledged.saturating_sub(seq.get());
        return Err(StoreError::EventsMissing { path, found: seq.get(), acknowledged, missing });
    }
    drop(copy);
    std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
    let mark = WatermarkRecord { file_id: store.file_id, epoch: store.epoch, seq, link, synced: seq };
    Watermark::open(target)?.establish(&mark)?;
    sync_directory(target)?;
    Ok(seq.get())
}
