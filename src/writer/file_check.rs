//! The check of a file that another program has written: a thread of its own verifies it, so that the writer can answer
//! meanwhile, however large the file is.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::ErrorCode;

use super::affinity;
use crate::failpoints::{self, PausePoint};
use crate::memory;
use crate::store::verify::VerifyReport;
use crate::store::{StoreError, verify};

/// The way in which another program wrote the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ForeignWrite {
    /// By SQLite: a commit, or a lock under which there may have been one.
    Commit,
    /// Past SQLite, or by a checkpoint.
    InPlace,
}

/// Result of a check.
#[derive(Debug)]
pub(super) enum FileVerdict {
    /// Every row is as its events say, and the last event is the one that the writer committed last.
    Sound,
    Unsound,
    /// The check could not be made, which says nothing about the file.
    Failed(String),
}

/// The state of the file as the writer left it.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownFile {
    /// Last event that the writer committed.
    pub(super) last: u64,
    pub(super) epoch: u64,
    pub(super) file_id: [u8; 16],
}

/// A check in progress.
pub(super) struct FileCheck {
    path: PathBuf,
    known: KnownFile,
    pub(super) write: ForeignWrite,
    /// The file was written again after the check had begun.
    stale: bool,
    /// The thread; an error if there was none to be had.
    running: std::io::Result<JoinHandle<FileVerdict>>,
}

impl FileCheck {
    pub(super) fn begin(path: &Path, known: KnownFile, write: ForeignWrite) -> FileCheck {
        let owned = path.to_path_buf();
        let thread = std::thread::Builder::new().name("file-check".into());
        let running = thread.spawn(move || {
            affinity::release();
            failpoints::pause(PausePoint::FileCheck);
            check(&owned, known)
        });
        FileCheck { path: path.to_path_buf(), known, write, stale: false, running }
    }

    /// Notes that the file was written again: what this check finds counts no more.
    pub(super) fn written_again(&mut self, write: ForeignWrite) {
        self.stale = true;
        if write == ForeignWrite::Commit {
            self.write = write;
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.running.as_ref().map_or(true, JoinHandle::is_finished)
    }

    /// Waits for the result. `Err` is the next check, if the file was written again or this check could not be made.
    pub(super) fn finish(self) -> Result<FileVerdict, FileCheck> {
        let verdict = match self.running {
            Ok(thread) => thread.join().unwrap_or_else(|_logged| FileVerdict::Failed("the check panicked".into())),
            Err(error) => FileVerdict::Failed(error.to_string()),
        };
        if let FileVerdict::Failed(why) = &verdict {
            tracing::warn!(why, path = %self.path.display(), "the database cannot be verified now: trying again");
        } else if !self.stale {
            return Ok(verdict);
        }
        Err(FileCheck::begin(&self.path, self.known, self.write))
    }
}

/// Verifies the file on the calling thread, and compares it with what the writer knows: a start compares the watermark with
/// the same.
pub(super) fn check(path: &Path, known: KnownFile) -> FileVerdict {
    let KnownFile { last, epoch, file_id } = known;
    let is_known = |report: &VerifyReport| {
        (report.last_seq.get(), report.epoch, report.file_id) == (last, epoch, file_id) && report.problem_count == 0
    };
    let verified = verify::verify_file(path);
    memory::give_back();
    match verified {
        Ok(report) if is_known(&report) => FileVerdict::Sound,
        Ok(_) => FileVerdict::Unsound,
        Err(error) if may_pass(&error) => FileVerdict::Failed(error.to_string()),
        Err(_) => FileVerdict::Unsound,
    }
}

/// Returns true for errors of the moment: a lock, no descriptor, no memory, a read that failed. Every other error comes
/// from the content.
fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Sqlite(error) | StoreError::AtFile { cause: error, .. } => matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied
                    | ErrorCode::ReadOnly
                    | ErrorCode::OutOfMemory
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::OperationAborted
                    | ErrorCode::SchemaChanged
                    | ErrorCode::DiskFull
            )
        ),
        StoreError::Io { .. }
        | StoreError::Directory { .. }
        | StoreError::Denied { .. }
        | StoreError::InUse { .. }
        | StoreError::DiskFault { .. }
        | StoreError::ReadOnlyFileSystem { .. }
        | StoreError::NotInPlace { .. }
        | StoreError::Setting { .. }
        | StoreError::ForeignWriter { .. } => true,
        StoreError::Network { .. }
        | StoreError::NotPlain { .. }
        | StoreError::NotOfTheLog { .. }
        | StoreError::LogThreadEnded { .. }
        | StoreError::BadNote { .. }
        | StoreError::Mixed { .. }
        | StoreError::Rescued { .. }
        | StoreError::Empty { .. }
        | StoreError::NotOurs { .. }
        | StoreError::OlderSchema { .. }
        | StoreError::NewerSchema { .. }
        | StoreError::Missing { .. }
        | StoreError::Vanished { .. }
        | StoreError::NoEmptyFile { .. }
        | StoreError::FileLost { .. }
        | StoreError::Marked { .. }
        | StoreError::Interrupted { .. }
        | StoreError::EventsMissing { .. }
        | StoreError::StrayLog { .. }
        | StoreError::Strange { .. }
        | StoreError::PageSize { .. }
        | StoreError::Backup { .. }
        | StoreError::OtherLoss { .. }
        | StoreError::OtherShard { .. }
        | StoreError::Inconsistent(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::types::UnixMillis;

    fn made(directory: &Path) -> KnownFile {
        let store = Store::open(directory, UnixMillis::ZERO).expect("made");
        KnownFile { last: 0, epoch: store.epoch, file_id: store.file_id }
    }

    #[test]
    fn errors_of_the_moment_say_nothing_about_the_file_and_errors_of_the_content_do() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("firstcome.db");
        let known = made(scratch.path());
        assert!(matches!(check(&path, known), FileVerdict::Sound));
        assert!(matches!(check(&path, KnownFile { last: 1, ..known }), FileVerdict::Unsound), "an event is missing");
        assert!(matches!(check(&path, KnownFile { epoch: 2, ..known }), FileVerdict::Unsound), "another epoch");
        assert!(matches!(check(&path, KnownFile { file_id: [0; 16], ..known }), FileVerdict::Unsound), "another id");
        assert!(matches!(check(&scratch.path().join("none"), known), FileVerdict::Failed(_)));
        let other = rusqlite::Connection::open(&path).expect("opened");
        other.execute_batch("DROP TABLE drop_seconds; DROP TABLE deliveries").expect("changed");
        assert!(matches!(check(&path, known), FileVerdict::Unsound), "a table is gone");
        drop(other);
        std::fs::write(&path, [7; 8192]).expect("written");
        assert!(matches!(check(&path, known), FileVerdict::Unsound), "no database");
    }

    #[test]
    fn a_check_is_made_again_if_the_file_is_written_meanwhile() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("firstcome.db");
        let known = made(scratch.path());
        let mut first = FileCheck::begin(&path, known, ForeignWrite::InPlace);
        first.written_again(ForeignWrite::InPlace);
        let second = first.finish().expect_err("made again");
        assert!(matches!(second.finish(), Ok(FileVerdict::Sound)));
    }
}
