//! What can go wrong with the file, and which exit code it has (design section 9).

use std::path::PathBuf;

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
    /// Another process has the file.
    #[error("{path} is in use by process {holder}; only one server may have it")]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// The process, as it wrote itself down.
        holder: String,
    },
    /// The file is some other program's, or none of SQLite's.
    #[error("{path} is not a firstcome database ({found}); name another directory with --data")]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file has another schema.
    #[error("{path} has schema {found}, this program has schema {expected}; use the version that wrote it")]
    OtherSchema {
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
}

impl StoreError {
    /// The exit code of a process that ends because of this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            StoreError::Directory { .. } => 64,
            StoreError::InUse { .. } => 73,
            StoreError::NotOurs { .. } | StoreError::OtherSchema { .. } | StoreError::Inconsistent(_) => 65,
            StoreError::Missing { .. } => 66,
            StoreError::Setting { .. } => 70,
            StoreError::Sqlite(error) => exit_code_of(error),
        }
    }
}

/// The class of an SQL error: a bug (70), a foreign writer (73), corruption (65), or a fault of the storage (74).
fn exit_code_of(error: &rusqlite::Error) -> u8 {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => 70,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => 73,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => 65,
        _ => 74,
    }
}
