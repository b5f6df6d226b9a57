//! What can go wrong with the file, what it means for the batch in hand, and which exit code it has (design section 9).

use std::path::PathBuf;

use crate::exit;

/// Something is wrong with the file or the disk.
#[derive(thiserror::Error, Debug)]
pub enum StoreError {
    /// The data directory cannot be made or used.
    #[error("{path}: {source}; choose a directory that can be written, with --data")]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory lies on a network file system, whose locks do not keep a second server away.
    #[error("{path} is on {kind}, where locks do not hold; choose a directory on a local disk, with --data")]
    Network {
        /// Which directory.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// Another process has the file.
    #[error("{path} is in use by process {holder}; only one server may have it")]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// The process, as it wrote itself down.
        holder: String,
    },
    /// Somebody who does not know the lock writes the file.
    #[error("another program has been writing {path} for longer than a second; end it: only the server may write")]
    ForeignWriter {
        /// Which file.
        path: PathBuf,
    },
    /// The file is some other program's, or none of SQLite's.
    #[error("{path} is not a firstcome database ({found}); name another directory with --data")]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file has an older schema.
    #[error("{path} has schema {found}, this program has schema {expected}; copy it over with `firstcome migrate`")]
    OlderSchema {
        /// Which file.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// This program's schema.
        expected: i64,
    },
    /// The file has a newer schema.
    #[error("{path} has schema {found}, this program only knows schema {expected}; use the version that wrote it")]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// This program's schema.
        expected: i64,
    },
    /// There is no database where one must be.
    #[error("{path} does not exist; a server makes it (`firstcome serve --data DIR`)")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The database is gone, but its watermark is still there.
    #[error(
        "{path} is missing, but its watermark says that it had {seq} events; an empty one will not be made in its \
         place: put the file back, or a backup"
    )]
    Vanished {
        /// Which file.
        path: PathBuf,
        /// The last event that it had.
        seq: u64,
    },
    /// The last run ended with a fault of the storage.
    #[error(
        "the last run ended with a fault of the storage ({what}); run `firstcome recover --data {directory}` now, \
         before any reboot: what only the system's memory holds would be gone after it"
    )]
    Marked {
        /// The data directory.
        directory: PathBuf,
        /// What the marker says.
        what: String,
    },
    /// The file has fewer events than were acknowledged.
    #[error(
        "{path} ends at event {found}, but event {acknowledged} was acknowledged: {missing} events are missing; put \
         the file or its -wal back, restore a backup, or accept the loss with `firstcome recover --accept-loss={missing}`"
    )]
    EventsMissing {
        /// Which file.
        path: PathBuf,
        /// The last event in it.
        found: u64,
        /// The last event that was acknowledged.
        acknowledged: u64,
        /// How many are missing.
        missing: u64,
    },
    /// File and watermark do not belong together.
    #[error(
        "{path} and its watermark do not belong together: {what}; put the file that belongs here back, or check this \
         one and begin anew with it: `firstcome recover --without-watermark`"
    )]
    Strange {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// `--accept-loss` quotes another number than what is missing.
    #[error("{missing} events are missing, not {quoted}: nothing was changed; `--accept-loss={missing}` accepts it")]
    OtherLoss {
        /// How many are missing.
        missing: u64,
        /// How many were quoted.
        quoted: u64,
    },
    /// A connection did not take a setting.
    #[error("SQLite setting {name} is {found}, not {expected}; the program refuses to sell with it")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// The rows contradict each other.
    #[error("the file contradicts itself: {0}; `firstcome verify` lists everything, a backup is the way back")]
    Inconsistent(String),
    /// SQLite says no.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system says no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What an error means for a batch that was being recorded (design section 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Somebody else writes the file: nothing was applied; the process ends.
    ForeignWriter,
    /// The disk is full: nothing was applied; selling goes on when there is room.
    Full,
    /// A bug: the batch is rolled back; the process ends and may be started again.
    Bug,
    /// The file or the disk cannot be trusted: whether the batch is in the file is unknown; nobody starts again
    /// before `firstcome recover`.
    Storage,
}

impl StoreError {
    /// The exit code of a process that ends because of this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            StoreError::Directory { .. } | StoreError::Network { .. } | StoreError::OtherLoss { .. } => exit::USAGE,
            StoreError::InUse { .. } | StoreError::ForeignWriter { .. } => exit::CANNOT_CREATE,
            StoreError::NotOurs { .. }
            | StoreError::OlderSchema { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::EventsMissing { .. }
            | StoreError::Strange { .. }
            | StoreError::Inconsistent(_) => exit::BAD_DATA,
            StoreError::Missing { .. } | StoreError::Vanished { .. } => exit::MISSING,
            StoreError::Setting { .. } => exit::BUG,
            StoreError::Marked { .. } | StoreError::Io { .. } => exit::DISK,
            StoreError::Sqlite(error) => exit_code_of(error),
        }
    }

    /// What it means for a batch that was being recorded.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            StoreError::ForeignWriter { .. } => Severity::ForeignWriter,
            StoreError::Setting { .. } => Severity::Bug,
            StoreError::Sqlite(error) => match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Severity::Full,
                Some(rusqlite::ErrorCode::ConstraintViolation) => Severity::Bug,
                _ => Severity::Storage,
            },
            StoreError::Directory { .. }
            | StoreError::Network { .. }
            | StoreError::InUse { .. }
            | StoreError::NotOurs { .. }
            | StoreError::OlderSchema { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::Missing { .. }
            | StoreError::Vanished { .. }
            | StoreError::Marked { .. }
            | StoreError::EventsMissing { .. }
            | StoreError::Strange { .. }
            | StoreError::OtherLoss { .. }
            | StoreError::Inconsistent(_)
            | StoreError::Io { .. } => Severity::Storage,
        }
    }
}

/// The exit code of an SQL error: a bug (70), a foreign writer (73), corruption (65), or a fault of the storage (74).
fn exit_code_of(error: &rusqlite::Error) -> u8 {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => exit::BUG,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => exit::CANNOT_CREATE,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => exit::BAD_DATA,
        _ => exit::DISK,
    }
}
