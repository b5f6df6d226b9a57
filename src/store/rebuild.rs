//! A new file in the place of an old one: copied, changed, verified, and only then swapped in. The old files are never
//! written; they are kept in a directory of their own. Can be interrupted anywhere and run again.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::StoreError;
use super::fault_marker::{FaultMarker, MARKER_FILE};
use super::lock::sync_directory;
use super::open::DATABASE_FILE;
use super::watermark::WATERMARK_FILE;
use crate::types::UnixMillis;

/// Where the new file grows.
const GROWING: &str = "rebuilding";
/// Where it waits, whole and verified, for the swap.
const READY: &str = "rebuilt";
/// What belongs to a database, in the order in which it may leave: without its log a database is only older, while a
/// log beside another database would be taken for that one's.
const PARTS: [&str; 4] = ["firstcome.db-wal", "firstcome.db-shm", DATABASE_FILE, WATERMARK_FILE];

/// What a rebuild leaves.
pub struct Rebuilt<T> {
    /// What the change returned; nothing if an earlier run had come that far already.
    pub made: Option<T>,
    /// Where the old files are.
    pub kept: PathBuf,
}

/// Builds the database of `directory` anew. `change` gets a directory with a copy of the database, and must leave a
/// verified file and its watermark in it.
///
/// # Errors
/// What went wrong; until the new file is whole and verified nothing has changed.
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

/// Moves the old files away and the new ones in. From the first move to the last nobody else may start.
fn swap(directory: &Path, ready: &Path, now: UnixMillis) -> Result<PathBuf, StoreError> {
    let marker = FaultMarker::open(directory)?;
    marker.raise("a rebuild of the file was interrupted; the same command again ends it")?;
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
    // The copy of the marker that told why is in the directory of the old files no more than in this one: say so there.
    let told = kept.join(MARKER_FILE);
    at_path(&told, fs::write(&told, "these files were replaced; delete them when nobody needs them any more\n"))?;
    sync_directory(directory)?;
    Ok(kept)
}

/// Copies a database as it is now, its log included, into a new file: what is readable, and nothing else.
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
