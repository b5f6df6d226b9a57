//! Errors of the file and the disk, each with its exit code (`src/exit.rs`) and its meaning for the current batch.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::exit;
use crate::sqlite::ConnectError;

/// An error of the file or the disk.
#[derive(thiserror::Error, Debug)]
pub enum StoreError {
    #[error("data directory {path}: {source}{}; choose a writable directory with --data", exit::next_step(.source))]
    Directory { path: PathBuf, source: std::io::Error },
    /// The data directory is on a network file system, whose locks do not exclude a second server.
    #[error(
        "data directory {path} is on {kind}, where file locks are not reliable; choose a directory on a local disk with --data"
    )]
    Network { path: PathBuf, kind: &'static str },
    /// A name in the data directory leads to a file elsewhere, or to something else than a file.
    #[error("{path} {what}")]
    NotPlain {
        path: PathBuf,
        /// Predicate of the path, and what to do.
        what: String,
    },
    /// The note beside the data directory says nothing, and without it a copy that is put back is not noticed.
    #[error(
        "the note {path} {what}: it tells a database that is put back, or an empty directory, from the database that lay in \
         {directory}; restore the note, or, if `firstcome verify --data {directory}` shows the right database, delete it: the \
         next start writes it again"
    )]
    BadNote {
        path: PathBuf,
        /// Predicate of the path.
        what: &'static str,
        directory: PathBuf,
    },
    /// This user may not use a file of the data directory.
    #[error("permission denied for {path}: {whose}; {advice}; nothing is wrong with the disk")]
    Denied {
        path: PathBuf,
        /// Owner of the file, and user of the process.
        whose: String,
        /// Commands that an operator may type.
        advice: &'static str,
    },
    #[error("{path} is locked by {holder}; only one server may use a data directory")]
    InUse {
        path: PathBuf,
        /// The process that has the lock, as far as its id is written.
        holder: String,
    },
    /// A program that does not use the lock writes to the file.
    #[error(
        "another program has written to {path}; stop it, because only the server may write, and run `firstcome verify`"
    )]
    ForeignWriter { path: PathBuf },
    /// The file belongs to another program, or is not an SQLite file.
    #[error("{path} is not a firstcome database ({found}); choose another directory with --data")]
    NotOurs { path: PathBuf, found: String },
    #[error("{path} has schema {found}, this program needs schema {expected}; convert it with `firstcome migrate`")]
    OlderSchema { path: PathBuf, found: i64, expected: i64 },
    #[error(
        "{path} has schema {found}, this program supports up to schema {expected}; use the version that wrote the file"
    )]
    NewerSchema { path: PathBuf, found: i64, expected: i64 },
    #[error("{path} does not exist; `firstcome serve --data DIR` creates a database")]
    Missing { path: PathBuf },
    /// The database is missing, but its watermark is present.
    #[error(
        "{path} is missing, but its watermark records {seq} events; no empty database is created in its place: \
         restore the file or a backup"
    )]
    Vanished { path: PathBuf, seq: u64 },
    /// The database and its watermark are missing, but there was a database.
    #[error(
        "{path} is missing, and there was one; no empty database is created in its place: restore the directory or a \
         backup, or use another directory; to begin anew in this one, empty it and delete {note}"
    )]
    NoEmptyFile { path: PathBuf, note: PathBuf },
    /// A file of the data directory is not the one that the server has open.
    #[error("{path} {what} while the server ran; {kept}")]
    FileLost {
        path: PathBuf,
        /// Predicate of the path in the message.
        what: &'static str,
        /// Result of the rescue, for the operator.
        kept: String,
    },
    /// The ids in the file are of another shard than those that the start would make.
    #[error(
        "its drops are of shard {found}, and this start is of shard {expected}: name the directory of shard {expected} with \
         --data, or a cluster file with `shard = {found}` (without a cluster the shard is 0); nothing was changed"
    )]
    OtherShard { found: u8, expected: u8 },
    /// The file and the replicated log do not belong together, or this program cannot read the log.
    #[error("{path}: {what}; this node serves nothing")]
    NotOfTheLog {
        path: PathBuf,
        /// The disagreement, and the operator's next step.
        what: String,
    },
    /// The thread that carries a node's requests has ended: a bug.
    #[error("{path}: the thread of the replicated log has ended; this node stops, and may be started again")]
    LogThreadEnded { path: PathBuf },
    /// The fault marker is set: the last run ended with a storage fault.
    #[error(
        "the last run ended with a storage fault ({what}); run `firstcome recover --data {directory}` now, before any \
         reboot: data that exists only in the OS page cache would be lost"
    )]
    Marked { directory: PathBuf, what: String },
    /// A rescue has what the directory lacks.
    #[error(
        "{directory} may lack what was acknowledged, and {path} has everything up to event {seq}: the last run kept it there, \
         because a file was lost; verify it with `firstcome verify --data {path}`, put it in the place of the directory with \
         `{commands}`, and start; nothing was changed (to give the copy up, move it to another directory)"
    )]
    Rescued {
        path: PathBuf,
        seq: u64,
        directory: PathBuf,
        /// Commands that an operator may type.
        commands: String,
        /// Exit code of the error without the rescue.
        code: u8,
    },
    /// A rebuilt file lies in the directory and has not taken its place.
    #[error(
        "a recovery or migration of {directory} was interrupted; run `firstcome recover --data {directory}` to complete it: \
         no server starts before"
    )]
    Interrupted { directory: PathBuf },
    /// The file has fewer events than were acknowledged.
    #[error(
        "{path} ends at event {found}, but event {acknowledged} was acknowledged: {missing} events are missing; restore \
         the file or its -wal, restore a backup, or accept the loss with `firstcome recover --accept-loss={missing}` \
         (`firstcome migrate --accept-loss={missing}`, if the file has an older schema)"
    )]
    EventsMissing { path: PathBuf, found: u64, acknowledged: u64, missing: u64 },
    /// The log beside the database is an older one, or of another database.
    #[error(
        "{log} does not belong to {path}: without {log} the file has every acknowledged event, up to event {seq}, and \
         verifies; with it, it {why}. Nothing is lost: move {log} away, and start again"
    )]
    StrayLog {
        path: PathBuf,
        log: PathBuf,
        seq: u64,
        /// Predicate of the database with its log.
        why: String,
    },
    /// The file and the watermark do not match.
    #[error(
        "{path} does not match its watermark: {what}; restore the file that belongs here, or verify this one and adopt \
         it with `firstcome recover --without-watermark` (`firstcome migrate --without-watermark`, if the file has an older \
         schema)"
    )]
    Strange { path: PathBuf, what: String },
    /// `--accept-loss` differs from the number of missing events.
    #[error(
        "{missing} events are missing, not {quoted}; nothing was changed; `--accept-loss={missing}` accepts the loss"
    )]
    OtherLoss { missing: u64, quoted: u64 },
    /// A backup that is not made, or cannot be restored here.
    #[error("{path} {what}")]
    Backup {
        path: PathBuf,
        /// Predicate of the path, and what to do.
        what: String,
    },
    /// A setting of a connection did not take effect.
    #[error("SQLite setting {name} is {found} instead of {expected}; the server does not run with it")]
    Setting { name: &'static str, found: String, expected: String },
    /// Rows of the file contradict each other.
    #[error("the file is inconsistent: {0}; `firstcome verify` lists all problems; restore a backup")]
    Inconsistent(String),
    /// The pages of the database have another size than this program's.
    #[error(
        "{path} has pages of {found} bytes, as `VACUUM` in another program makes them, and this program needs 4096: \
         `firstcome recover --data {directory}` makes the file again with these"
    )]
    PageSize { path: PathBuf, found: i64, directory: PathBuf },
    /// An I/O error of SQLite with its cause.
    #[error("{path} or its log: {cause}: {source}{}", exit::next_step(.source))]
    DiskFault {
        path: PathBuf,
        cause: rusqlite::Error,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The directory is on a file system that is mounted read-only.
    #[error(
        "{path}: the file system is read-only (os error 30), which the kernel makes it after an error of the disk (`dmesg` \
         says so); copy the directory to another disk now, before any reboot, with `cp -a {directory} COPY`, \
         and run `firstcome recover --data COPY`; or mount it read-write, if it was mounted so on purpose"
    )]
    ReadOnlyFileSystem { path: PathBuf, directory: PathBuf },
    /// SQLite reads a database with a log only where it may write its index.
    #[error(
        "{path} cannot be read where nothing can be written, because its log needs an index; copy the directory with \
         `cp -r {directory} COPY` to a disk that is writable, and run `firstcome verify --data COPY`"
    )]
    NotInPlace { path: PathBuf, directory: PathBuf },
    /// The log beside the database is of another state of it.
    #[error(
        "{path} and its log do not fit together ({cause}): a backup was copied over the database beside the log of another \
         state, or one of them is damaged; restore all files of one state, or move firstcome.db-wal and firstcome.db-shm out of \
         the directory, and run the command again: it says how many events the database alone lacks"
    )]
    Mixed { path: PathBuf, cause: String },
    /// The database has no tables.
    #[error("{path} is empty: there is nothing to recover or to migrate; restore the file or a backup")]
    Empty { path: PathBuf },
    #[error("{path}: SQLite: {cause}")]
    AtFile { path: PathBuf, cause: rusqlite::Error },
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{path}: {source}{}", exit::next_step(.source))]
    Io { path: PathBuf, source: std::io::Error },
}

/// Meaning of an error for the batch being recorded (`src/README.md`, "When things break").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Another program writes the file: nothing was applied, and the process ends.
    ForeignWriter,
    /// The disk is full: nothing was applied, and sales resume when there is space.
    Full,
    /// A file was removed, moved, replaced or cut: the process ends, and no supervisor restarts it.
    FileLost,
    /// The node cannot follow its log: nothing is wrong with the file by itself, and the process ends.
    Log,
    /// A bug: the batch is rolled back, and the process ends and may be restarted.
    Bug,
    /// The file or the disk is not reliable: the batch may or may not be in the file. No start before
    /// `firstcome recover`.
    Storage,
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> StoreError {
        match error {
            ConnectError::Sqlite(error) => StoreError::Sqlite(error),
            ConnectError::Disk { path, cause, source } => StoreError::DiskFault { path, cause, source },
            ConnectError::Setting { name, found, expected } => StoreError::Setting { name, found, expected },
        }
    }
}

impl StoreError {
    /// Exit code of a process that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            StoreError::Io { source, .. }
            | StoreError::Directory { source, .. }
            | StoreError::DiskFault { source, .. }
                if source.kind() == ErrorKind::PermissionDenied =>
            {
                exit::DENIED
            }
            StoreError::Directory { source, .. } if exit::is_of_the_disk(source) => exit::DISK,
            StoreError::Directory { .. }
            | StoreError::Network { .. }
            | StoreError::NotPlain { .. }
            | StoreError::BadNote { .. }
            | StoreError::NotInPlace { .. }
            | StoreError::OtherLoss { .. } => exit::USAGE,
            StoreError::InUse { .. } | StoreError::ForeignWriter { .. } => exit::CANNOT_CREATE,
            StoreError::NotOurs { .. }
            | StoreError::OtherShard { .. }
            | StoreError::NotOfTheLog { .. }
            | StoreError::OlderSchema { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::EventsMissing { .. }
            | StoreError::StrayLog { .. }
            | StoreError::Strange { .. }
            | StoreError::PageSize { .. }
            | StoreError::Mixed { .. }
            | StoreError::Empty { .. }
            | StoreError::Backup { .. }
            | StoreError::Inconsistent(_) => exit::BAD_DATA,
            StoreError::Missing { .. } | StoreError::Vanished { .. } | StoreError::NoEmptyFile { .. } => exit::MISSING,
            StoreError::Denied { .. } => exit::DENIED,
            StoreError::FileLost { .. } => exit::FILE_LOST,
            StoreError::Setting { .. } | StoreError::LogThreadEnded { .. } => exit::BUG,
            StoreError::Rescued { code, .. } => *code,
            StoreError::Marked { .. }
            | StoreError::Interrupted { .. }
            | StoreError::ReadOnlyFileSystem { .. }
            | StoreError::DiskFault { .. }
            | StoreError::Io { .. } => exit::DISK,
            StoreError::Sqlite(error) | StoreError::AtFile { cause: error, .. } => exit_code_of(error),
        }
    }

    /// Returns the error as an operator reads it, with the file at `path` if it names none.
    #[must_use]
    pub fn told(&self, path: &Path) -> String {
        let has_no_path = matches!(
            self,
            StoreError::Sqlite(_)
                | StoreError::Setting { .. }
                | StoreError::Inconsistent(_)
                | StoreError::OtherShard { .. }
                | StoreError::OtherLoss { .. }
        );
        if has_no_path { format!("{}: {self}", path.display()) } else { self.to_string() }
    }

    /// Returns SQLite's codes, if the error is one of SQLite.
    #[must_use]
    pub(super) fn sqlite_code(&self) -> Option<rusqlite::ffi::Error> {
        if let StoreError::Sqlite(error) = self { error.sqlite_error().copied() } else { None }
    }

    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            StoreError::ForeignWriter { .. } => Severity::ForeignWriter,
            StoreError::FileLost { .. } => Severity::FileLost,
            StoreError::Setting { .. } => Severity::Bug,
            StoreError::NotOfTheLog { .. } | StoreError::LogThreadEnded { .. } => Severity::Log,
            // A quota, or a full disk that SQLite does not call one. After a failed sync nothing is known.
            StoreError::DiskFault { cause, source, .. } if is_full(source) && is_of_a_write(cause) => Severity::Full,
            StoreError::Sqlite(error) | StoreError::AtFile { cause: error, .. } => match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Severity::Full,
                Some(rusqlite::ErrorCode::ConstraintViolation) => Severity::Bug,
                _ => Severity::Storage,
            },
            StoreError::Directory { .. }
            | StoreError::Network { .. }
            | StoreError::NotPlain { .. }
            | StoreError::BadNote { .. }
            | StoreError::ReadOnlyFileSystem { .. }
            | StoreError::NotInPlace { .. }
            | StoreError::Mixed { .. }
            | StoreError::Empty { .. }
            | StoreError::InUse { .. }
            | StoreError::Denied { .. }
            | StoreError::NotOurs { .. }
            | StoreError::OtherShard { .. }
            | StoreError::OlderSchema { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::Missing { .. }
            | StoreError::Vanished { .. }
            | StoreError::NoEmptyFile { .. }
            | StoreError::Marked { .. }
            | StoreError::Rescued { .. }
            | StoreError::Interrupted { .. }
            | StoreError::EventsMissing { .. }
            | StoreError::StrayLog { .. }
            | StoreError::Strange { .. }
            | StoreError::OtherLoss { .. }
            | StoreError::Inconsistent(_)
            | StoreError::PageSize { .. }
            | StoreError::Backup { .. }
            | StoreError::DiskFault { .. }
            | StoreError::Io { .. } => Severity::Storage,
        }
    }
}

/// Returns true if a disk, or what a user may have of it, is full.
#[must_use]
pub fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Returns true if a file could not grow: the database, its log, or the index of the log.
fn is_of_a_write(cause: &rusqlite::Error) -> bool {
    use rusqlite::ffi;
    cause
        .sqlite_error()
        .is_some_and(|code| [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE].contains(&code.extended_code))
}

/// Exit code of an SQL error: bug (70), foreign writer (73), corruption (65) or storage fault (74).
fn exit_code_of(error: &rusqlite::Error) -> u8 {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => exit::BUG,
        Some(ErrorCode::PermissionDenied) => exit::DENIED,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => exit::CANNOT_CREATE,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => exit::BAD_DATA,
        // A table or column that is not there: no disk is at fault.
        Some(ErrorCode::Unknown) if is_of_a_statement(error) => exit::BAD_DATA,
        _ => exit::DISK,
    }
}

fn is_of_a_statement(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|code| code.extended_code == rusqlite::ffi::SQLITE_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn a_write_for_which_there_is_no_room_is_a_full_disk_and_another_fault_of_the_disk_is_none() {
        let fault = |code, errno| StoreError::DiskFault {
            path: PathBuf::from("firstcome.db"),
            cause: rusqlite::Error::SqliteFailure(ffi::Error::new(code), None),
            source: std::io::Error::from_raw_os_error(errno),
        };
        let (no_space, no_device) = (rustix::io::Errno::NOSPC.raw_os_error(), rustix::io::Errno::IO.raw_os_error());
        for (code, errno, severity) in [
            (ffi::SQLITE_IOERR_WRITE, no_space, Severity::Full),
            (ffi::SQLITE_IOERR_SHMSIZE, no_space, Severity::Full),
            (ffi::SQLITE_IOERR_FSYNC, no_space, Severity::Storage),
            (ffi::SQLITE_IOERR_WRITE, no_device, Severity::Storage),
        ] {
            assert_eq!(fault(code, errno).severity(), severity, "{code} {errno}");
        }
    }

    #[test]
    fn an_error_without_a_path_gets_that_of_the_file_in_any_directory_and_another_keeps_its_own() {
        for directory in ["", ".", "/", "./a", "/var/lib/firstcome"] {
            let path = Path::new(directory).join("firstcome.db");
            let told = StoreError::Inconsistent("a.b".into()).told(&path);
            assert!(told.starts_with(&format!("{}: the file is inconsistent: a.b", path.display())), "{told}");
            let told = StoreError::Missing { path: "/other/firstcome.db".into() }.told(&path);
            assert!(told.starts_with("/other/firstcome.db does not exist"), "{told}");
        }
    }

    #[test]
    fn permission_has_its_exit_code_wherever_the_system_refuses_it() {
        let source = |errno: rustix::io::Errno| std::io::Error::from_raw_os_error(errno.raw_os_error());
        let path = || PathBuf::from("firstcome.db");
        let cause = || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), None);
        for errno in [rustix::io::Errno::ACCESS, rustix::io::Errno::PERM] {
            let io = StoreError::Io { path: path(), source: source(errno) };
            let directory = StoreError::Directory { path: path(), source: source(errno) };
            let fault = StoreError::DiskFault { path: path(), cause: cause(), source: source(errno) };
            assert_eq!([io, directory, fault].map(|error| error.exit_code()), [exit::DENIED; 3], "{errno}");
        }
    }

    #[test]
    fn a_directory_for_which_the_disk_has_no_room_is_a_matter_of_the_disk_with_the_next_step() {
        let of =
            |errno| StoreError::Directory { path: "/data".into(), source: std::io::Error::from_raw_os_error(errno) };
        let full = of(libc::ENOSPC);
        assert!(full.exit_code() == exit::DISK && full.to_string().contains("; free space on its disk"), "{full}");
        assert_eq!([libc::ENOENT, libc::ENOTDIR].map(|errno| of(errno).exit_code()), [exit::USAGE; 2]);
    }

    #[test]
    fn an_sql_error_has_the_exit_code_of_its_cause() {
        for (code, exit) in [
            (ffi::SQLITE_CONSTRAINT, exit::BUG),
            (ffi::SQLITE_PERM, exit::DENIED),
            (ffi::SQLITE_BUSY, exit::CANNOT_CREATE),
            (ffi::SQLITE_LOCKED, exit::CANNOT_CREATE),
            (ffi::SQLITE_CORRUPT, exit::BAD_DATA),
            (ffi::SQLITE_NOTADB, exit::BAD_DATA),
            (ffi::SQLITE_ERROR, exit::BAD_DATA),
            (ffi::SQLITE_IOERR, exit::DISK),
            (ffi::SQLITE_FULL, exit::DISK),
        ] {
            let error = StoreError::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            assert_eq!(error.exit_code(), exit, "{error}");
        }
    }
}
