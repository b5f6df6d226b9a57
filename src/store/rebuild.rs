//! Replacement of a file: it is copied, changed, verified, and only then swapped in. The old files are never written and
//! are kept in a directory of their own. A rebuild can be interrupted at any point and run again.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::StoreError;
use super::fault_marker::{FaultMarker, MARKER_FILE};
use super::lock::sync_directory;
use super::open::DATABASE_FILE;
use super::watermark::WATERMARK_FILE;
use crate::types::UnixMillis;

/// Directory in which the new file is built.
const GROWING: &str = "rebuilding";
/// Directory of the new file once it is complete and verified.
const READY: &str = "rebuilt";
/// Files of a database, in the order in which they may be moved away: a database without its log is only older, while a
/// log beside another database would be applied to that one.
const PARTS: [&str; 4] = ["firstcome.db-wal", "firstcome.db-shm", DATABASE_FILE, WATERMARK_FILE];

/// Result of a rebuild.
pub struct Rebuilt<T> {
    /// Result of the change. `None` if an earlier run had completed it.
    pub made: Option<T>,
    /// Directory with the old files.
    pub kept: PathBuf,
}

/// Rebuilds the database of `directory`. `change` gets a directory with a copy of the database, and must leave a verified
/// file and its watermark in it. Until the new file is complete and verified, nothing is changed.
pub fn rebuild<T>(
    directory: &Path,
    now: UnixMillis,
    change: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<Rebuilt<T>, StoreError> {
    let (growing, ready) = (directory.join(GROWING), directory.join(READY));
    let mut made = None;
    if !ready.exists() {
        remove_directory(&growing)?;
        at_path(&growing, fs::create_dir(&growing))?;
        copy(&directory.join(DATABASE_FILE), &growing.join(DATABASE_FILE))?;
        made = Some(change(&growing)?);
        for part in [DATABASE_FILE, WATERMARK_FILE] {
            let path = growing.join(part);
            at_path(&path, fs::File::open(&path).and_then(|file| file.sync_all()))?;
        }
        sync_directory(&growing)?;
        at_path(&ready, fs::rename(&growing, &ready))?;
        sync_directory(directory)?;
    }
    let kept = swap(directory, &ready, now)?;
    Ok(Rebuilt { made, kept })
}

/// Moves the old files away and the new ones in. The fault marker prevents a start during the swap.
fn swap(directory: &Path, ready: &Path, now: UnixMillis) -> Result<PathBuf, StoreError> {
    let marker = FaultMarker::open(directory)?;
    marker.raise("a rebuild of the file was interrupted; run the same command again to complete it")?;
    let kept = directory.join(format!("before-{}", now.get()));
    at_path(&kept, fs::create_dir_all(&kept))?;
    let (database, watermark) = (ready.join(DATABASE_FILE), ready.join(WATERMARK_FILE));
    for part in PARTS {
        let old = directory.join(part);
        let replaced = match part {
            WATERMARK_FILE => !watermark.exists(),
            _ => !database.exists(),
        };
        if !replaced && old.exists() {
            at_path(&old, fs::rename(&old, kept.join(part)))?;
        }
    }
    sync_directory(&kept)?;
    sync_directory(directory)?;
    for (new, part) in [(watermark, WATERMARK_FILE), (database, DATABASE_FILE)] {
        if new.exists() {
            at_path(&new, fs::rename(&new, directory.join(part)))?;
        }
    }
    sync_directory(directory)?;
    remove_directory(ready)?;
    marker.lower()?;
    // A marker beside the old files keeps a server from starting on them.
    let old_marker = kept.join(MARKER_FILE);
    at_path(
        &old_marker,
        fs::write(&old_marker, "these files were replaced; delete them when they are no longer needed\n"),
    )?;
    sync_directory(directory)?;
    Ok(kept)
}

/// Copies the readable content of a database, including its log, into a new file.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.exists() {
        return Err(StoreError::Missing { path: from.to_path_buf() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(|error| super::open::cannot_open(from, error))?;
    super::settings::configure(&source)?;
    let to = to.to_string_lossy();
    source.execute("VACUUM INTO ?1", params![to])?;
    Ok(())
}

fn remove_directory(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => at_path(path, Err(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn at_path<T>(path: &Path, result: std::io::Result<T>) -> Result<T, StoreError> {
    result.map_err(|source| StoreError::Io { path: path.to_path_buf(), source })
}
