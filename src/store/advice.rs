//! Words for errors of the file and the disk as an operator sees them: always the file and the error of the operating system,
//! and what to do where the error alone says too little.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, ffi};

use super::{StoreError, ownership};
use crate::sqlite;

/// Returns an error of SQLite with the database at `path`, and with the error of the operating system behind it.
#[must_use]
fn at(path: &Path, connection: Option<&Connection>, error: StoreError) -> StoreError {
    let error = connection.and_then(|connection| unread(path, connection, &error)).unwrap_or(error);
    let StoreError::Sqlite(cause) = error else { return error };
    let found = match cause.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => connection
            .and_then(|connection| sqlite::system_error(connection).or_else(|| sqlite::read_error(connection)))
            .map(|source| (path.to_path_buf(), source))
            .or_else(|| refused_open(path)),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => refused_open(path),
        _ => None,
    };
    match found {
        Some((path, source)) => StoreError::DiskFault { path, cause, source },
        None => StoreError::AtFile { path: path.to_path_buf(), cause },
    }
}

/// Returns the fault of the disk behind an error of the content: what cannot be read now may be whole.
pub(super) fn unread(path: &Path, connection: &Connection, error: &StoreError) -> Option<StoreError> {
    let is_of_content = matches!(error, StoreError::Inconsistent(_) | StoreError::NotOurs { .. })
        || error
            .sqlite_code()
            .is_some_and(|found| matches!(found.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    let source = sqlite::read_error(connection).filter(|_| is_of_content)?;
    Some(read_fault(path, source))
}

/// Returns the fault of a disk that did not read the database at `path`.
pub(super) fn read_fault(path: &Path, source: io::Error) -> StoreError {
    let cause = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), None);
    StoreError::DiskFault { path: path.to_path_buf(), cause, source }
}

/// Returns the error with which the system refuses to open a database, its log or its index to write, or to make a file beside
/// them, and the file or directory: SQLite falls back to reading, or calls it only "unable to open database file".
pub(super) fn refused_open(path: &Path) -> Option<(PathBuf, io::Error)> {
    let open = |path: PathBuf| {
        let refused = OpenOptions::new().read(true).write(true).open(&path).err();
        refused.map(|error| (path, error))
    };
    let files = ["-wal", "-shm", ""].map(|end| with_end(path, end));
    files.into_iter().filter(|path| path.exists()).find_map(open).or_else(|| {
        let above = path.parent()?;
        let refused = rustix::fs::access(above, rustix::fs::Access::WRITE_OK).err()?;
        Some((above.to_path_buf(), refused.into()))
    })
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_os_string();
    whole.push(end);
    PathBuf::from(whole)
}

/// Returns an error with its file, with the error of the operating system, and with what to do on a file system that is mounted
/// read-only, or where this user may not use the file. `connection` is the one that failed.
#[must_use]
pub fn named(path: &Path, connection: Option<&Connection>, error: StoreError) -> StoreError {
    let error = at(path, connection, error);
    if let Some(refused) = of_permission(&error) {
        return ownership::refused(refused);
    }
    match of_read_only_file_system(&error) {
        Some(file) => {
            let directory = path.parent().unwrap_or(path).to_path_buf();
            StoreError::ReadOnlyFileSystem { path: file.to_path_buf(), directory }
        }
        None => error,
    }
}

/// Returns true if the database at `path` has a log with content.
#[must_use]
pub(super) fn has_log(path: &Path) -> bool {
    fs::metadata(with_end(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Returns an error of the files of a directory in which no server runs, with the advice that fits: also for a log that does not
/// belong to its database.
#[must_use]
pub fn advise(path: &Path, error: StoreError) -> StoreError {
    let error = named(path, None, error);
    let is_of_content = if let StoreError::AtFile { cause, .. } | StoreError::DiskFault { cause, .. } = &error {
        cause.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
    } else {
        matches!(error, StoreError::Inconsistent(_))
    };
    if is_of_content && has_log(path) {
        return StoreError::Mixed { path: path.to_path_buf(), cause: error.to_string() };
    }
    error
}

/// Returns the file that an error calls part of a read-only file system.
fn of_read_only_file_system(error: &StoreError) -> Option<&Path> {
    of_kind(error, ErrorKind::ReadOnlyFilesystem)
}

/// Returns the file that this user may not use. Of a data directory that this user may not make, the error
/// itself says so.
fn of_permission(error: &StoreError) -> Option<&Path> {
    let path = of_kind(error, ErrorKind::PermissionDenied)?;
    let is_to_be_made = matches!(error, StoreError::Directory { .. }) && !path.exists();
    (!is_to_be_made).then_some(path)
}

fn of_kind(error: &StoreError, kind: ErrorKind) -> Option<&Path> {
    let (StoreError::Directory { path, source }
    | StoreError::Io { path, source }
    | StoreError::DiskFault { path, source, .. }) = error
    else {
        return None;
    };
    (source.kind() == kind).then_some(path)
}
