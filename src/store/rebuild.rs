//! Replacement of a file: it is copied, changed, verified, and only then swapped in. The old files are never written and
//! are kept in a directory of their own. A rebuild can be interrupted at any point and run again.

mod origin;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::params;

use self::origin::{Leftover, RebuildOrigin};
use super::StoreError;
use super::advice;
use super::beside::{self, OPERATORS_FILE, OPERATORS_LOCK_FILE};
use super::fault_marker::{FaultMarker, MARKER_FILE, READY};
use super::kept_tokens::KeptTokens;
use super::lock::sync_directory;
use super::open::{DATABASE_FILE, FileIdentity, check_identity};
use super::ownership::{adopt, create_private_directory, give, give_back, is_there, open_private};
use super::schema_parts;
use super::settings::PAGE_BYTES;
use super::watermark::WATERMARK_FILE;
use crate::failpoints::{self, Bug};
use crate::sqlite::{self, Access};
use crate::types::UnixMillis;

/// Directory in which the new file is built.
const GROWING: &str = "rebuilding";
/// Text of the fault marker during a swap.
const INTERRUPTED: &str = "a rebuild of the file was interrupted; run the same command again to complete it";
/// Log of the database, inside its directory.
const LOG_FILE: &str = "firstcome.db-wal";
/// Files of a database, in the order in which they may be moved away: a database without its log is only older, while a
/// log beside another database would be applied to that one.
const PARTS: [&str; 4] = [LOG_FILE, "firstcome.db-shm", DATABASE_FILE, WATERMARK_FILE];

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
    let database = directory.join(DATABASE_FILE);
    let fill = |growing: &Path| {
        copy(&database, growing)?;
        refuse_incomplete(&database, growing)
    };
    replace(directory, now, Replacement::Copy, fill, change)
}

/// Content of a file that takes the place of the one in a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Replacement {
    /// The content of the file that is replaced.
    Copy,
    /// Another content. The file to replace may be missing or damaged.
    Other,
}

/// Replaces the database of `directory` by the one that `fill` writes to the path that it gets and `change` completes, as
/// [`rebuild`] does.
pub(super) fn replace<T>(
    directory: &Path,
    now: UnixMillis,
    replacement: Replacement,
    fill: impl FnOnce(&Path) -> Result<(), StoreError>,
    change: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<Rebuilt<T>, StoreError> {
    if let Some(kept) = complete_interrupted(directory, now)? {
        return Ok(Rebuilt { made: None, kept });
    }
    let (growing, ready) = (directory.join(GROWING), directory.join(READY));
    remove_directory(&growing)?;
    let grown = grow(directory, &growing, RebuildOrigin::kept_name(now), replacement, fill, change);
    let (made, kept) = grown.inspect_err(|_| {
        // It has contacts, and takes space.
        let _unremoved = remove_directory(&growing);
    })?;
    // The marker comes first: no server may start, and sell, while there is a file that is to take the place of this one.
    let marker = FaultMarker::open(directory)?;
    give_back(directory)?;
    marker.raise(INTERRUPTED)?;
    at_path(&ready, fs::rename(&growing, &ready))?;
    sync_directory(directory)?;
    swap(directory, &ready, &kept)?;
    finish(directory, &ready, &marker)?;
    Ok(Rebuilt { made: Some(made), kept })
}

/// Makes the new file in `growing`, up to its last byte on the disk. Returns the directory that is to have the old files, too.
fn grow<T>(
    directory: &Path,
    growing: &Path,
    kept: String,
    replacement: Replacement,
    fill: impl FnOnce(&Path) -> Result<(), StoreError>,
    change: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<(T, PathBuf), StoreError> {
    at_path(growing, create_private_directory(growing))?;
    let database = directory.join(DATABASE_FILE);
    fill(&growing.join(DATABASE_FILE))?;
    let origin = RebuildOrigin::note(directory, growing, kept, replacement)?;
    let made = change(growing)?;
    let replaced = match fs::metadata(&database) {
        Err(error) if replacement == Replacement::Other && error.kind() == std::io::ErrorKind::NotFound => None,
        found => Some(at_path(&database, found)?),
    };
    for part in [DATABASE_FILE, WATERMARK_FILE] {
        let path = growing.join(part);
        match &replaced {
            Some(replaced) => adopt(&path, replaced)?,
            None => give(&path, &at_path(directory, fs::metadata(directory))?)?,
        }
        at_path(&path, fs::File::open(&path).and_then(|file| file.sync_all()))?;
    }
    let kept = directory.join(&origin.kept);
    origin.write(growing)?;
    sync_directory(growing)?;
    Ok((made, kept))
}

/// Returns true if the fault marker of `directory` says that a rebuild was interrupted.
pub fn is_marked_interrupted(directory: &Path) -> Result<bool, StoreError> {
    Ok(FaultMarker::read(directory)?.is_some_and(|text| text == INTERRUPTED))
}

/// Completes an interrupted rebuild. Returns the directory with the old files, or `None` if there was none to complete. A
/// rebuilt file whose origin is no longer what lies in `directory` is set aside and never used.
pub fn complete_interrupted(directory: &Path, now: UnixMillis) -> Result<Option<PathBuf>, StoreError> {
    let ready = directory.join(READY);
    if !ready.exists() {
        return Ok(None);
    }
    let Some((origin, leftover)) = judge(directory, &ready)? else {
        set_aside(directory, &ready, now)?;
        return Ok(None);
    };
    let kept = directory.join(&origin.kept);
    let marker = FaultMarker::open(directory)?;
    match leftover {
        Leftover::ToBeSwapped => {
            marker.raise(INTERRUPTED)?;
            swap(directory, &ready, &kept)?;
        }
        Leftover::Swapped => {}
        Leftover::Stale => {
            set_aside(directory, &ready, now)?;
            return Ok(None);
        }
    }
    finish(directory, &ready, &marker)?;
    Ok(Some(kept))
}

/// Judges the rebuilt file; `None` if it tells no origin.
fn judge(directory: &Path, ready: &Path) -> Result<Option<(RebuildOrigin, Leftover)>, StoreError> {
    let Some(origin) = RebuildOrigin::read(ready) else { return Ok(None) };
    let leftover = if failpoints::enabled(Bug::SwapsStaleRebuilt) {
        Leftover::ToBeSwapped
    } else {
        origin.judge(directory, ready)?
    };
    Ok(Some((origin, leftover)))
}

/// Renames a stale rebuilt file. It is kept, because the files that it was made from may be gone.
fn set_aside(directory: &Path, ready: &Path, now: UnixMillis) -> Result<(), StoreError> {
    let aside = directory.join(format!("unused-{}", now.get()));
    FaultMarker::open(ready)?.raise("this rebuilt file was never used; delete it when it is no longer needed")?;
    close(directory, ready)?;
    at_path(ready, fs::rename(ready, &aside))?;
    sync_directory(directory)
}

/// Moves the old files away and the new ones in. The fault marker prevents a start during the swap.
fn swap(directory: &Path, ready: &Path, kept: &Path) -> Result<(), StoreError> {
    if !kept.exists() {
        at_path(kept, create_private_directory(kept))?;
    }
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
    // A marker beside the old files keeps a server from starting on them.
    FaultMarker::open(kept)?.raise("these files were replaced; delete them when they are no longer needed")?;
    close(directory, kept)?;
    let owner = at_path(directory, fs::metadata(directory))?;
    for path in [kept.to_path_buf(), kept.join(MARKER_FILE)] {
        give(&path, &owner)?;
    }
    sync_directory(kept)?;
    sync_directory(directory)?;
    for (new, part) in [(watermark, WATERMARK_FILE), (database, DATABASE_FILE)] {
        if new.exists() {
            at_path(&new, fs::rename(&new, directory.join(part)))?;
            // The watermark is on the disk before the database, so that an interruption finds both or neither.
            sync_directory(directory)?;
        }
    }
    Ok(())
}

/// Puts the operators' tokens of `directory` beside files that leave it: a server that is started there later, after a
/// `recover`, must not take every request for the owner's.
fn close(directory: &Path, kept: &Path) -> Result<(), StoreError> {
    KeptTokens::in_directory(directory).write(kept)?;
    let owner = at_path(directory, fs::metadata(directory))?;
    for path in [OPERATORS_LOCK_FILE, OPERATORS_FILE].map(|name| kept.join(name)) {
        if path.exists() {
            give(&path, &owner)?;
        }
    }
    Ok(())
}

/// Ends a rebuild whose files are in their place. One rename takes `rebuilt` away, so that it never lies there in part.
fn finish(directory: &Path, ready: &Path, marker: &FaultMarker) -> Result<(), StoreError> {
    let growing = directory.join(GROWING);
    beside::renew(&directory.join(DATABASE_FILE))?;
    give_back(directory)?;
    marker.lower()?;
    remove_directory(&growing)?;
    at_path(ready, fs::rename(ready, &growing))?;
    sync_directory(directory)?;
    remove_directory(&growing)
}

/// Copies the readable content of a database, including its log, into a new file.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !is_there(from)? {
        return Err(StoreError::Missing { path: from.to_path_buf() });
    }
    let source = sqlite::open(from, Access::Read).map_err(|error| super::open::cannot_open(from, error))?;
    at_path(to, open_private(to))?;
    let to = to.to_string_lossy();
    // Whatever size the source has.
    let copied = source.pragma_update(None, "page_size", PAGE_BYTES).and_then(|()| {
        source.execute("VACUUM INTO ?1", params![to])?;
        Ok(())
    });
    copied.map_err(|error| advice::named(from, Some(&source), error.into()))
}

/// Refuses the copy of a database that has no tables, or lacks one. What an older schema lacks is the business of its
/// migration.
fn refuse_incomplete(database: &Path, copy: &Path) -> Result<(), StoreError> {
    let copied = sqlite::open(copy, Access::Read)?;
    match check_identity(&copied, database) {
        Ok(FileIdentity::Ours) => schema_parts::require_all(&copied),
        Ok(FileIdentity::Empty) => Err(StoreError::Empty { path: database.to_path_buf() }),
        Err(StoreError::OlderSchema { .. }) => Ok(()),
        Err(other) => Err(other),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_removed_with_its_content_and_only_a_missing_one_needs_not_be() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("old");
        remove_directory(&path).expect("there is none");
        fs::create_dir(&path).and_then(|()| fs::write(path.join("file"), "")).expect("made");
        remove_directory(&path).expect("removed");
        assert!(!path.exists());
        fs::write(&path, "").expect("written");
        let error = remove_directory(&path).expect_err("it is no directory");
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
    }

    #[test]
    fn a_copy_has_the_content_and_a_missing_database_is_refused() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        assert!(matches!(copy(&from, &to), Err(StoreError::Missing { .. })));
        let made = rusqlite::Connection::open(&from).expect("opened");
        made.execute_batch("CREATE TABLE numbers (number); INSERT INTO numbers VALUES (42)").expect("made");
        copy(&from, &to).expect("copied");
        let copied = sqlite::open(&to, Access::Read).expect("opened");
        let number: i64 = copied.query_row("SELECT number FROM numbers", [], |row| row.get(0)).expect("read");
        assert_eq!(number, 42);
    }
}
