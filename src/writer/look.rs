//! The writer's look at its files, once a second and before each checkpoint: whether they are still those that were opened,
//! and whether another program has written the database.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::clock::wall_clock;
use super::disk_space::FreeSpace;
use super::file_check::{self, FileVerdict, ForeignWrite, KnownFile};
use super::thread::reject_queued;
use super::writer_loop::WriterLoop;
use crate::failpoints::{self, Bug};
use crate::store::open_files::{Look, Lost};
use crate::store::rescue::{self, Rescue};
use crate::store::{Severity, StoreError};

/// Pause between two looks for a place to rescue lost files to, during which a command that was just queued waits.
const LOOK_FOR_SPACE: Duration = Duration::from_millis(100);

impl WriterLoop<'_> {
    /// Looks at the files. If one is lost: rejects what is queued, and keeps what the open files hold. If another program has
    /// written the database: stands still until it is verified, because a checkpoint by another program changes nothing,
    /// and another content in the same file does.
    pub(super) fn look(&mut self) -> Result<(), StoreError> {
        let found = self.look_at_files();
        match found {
            Look::Lost(lost) => return Err(self.end_without(lost)),
            Look::Unreadable { path, errno } => return Err(unreadable(path, errno)),
            Look::Same | Look::Touched => {}
        }
        // SQLite cannot tell while another program has the file locked, and the next look can.
        if self.store.foreign_commits.are_new(&self.store.connection).unwrap_or(false) {
            self.store.files.note_written();
            self.store.live_copy.spoil();
            self.stand_still_until_verified(ForeignWrite::Commit);
        } else if found == Look::Touched {
            self.store.files.note_written();
            self.store.live_copy.spoil();
            self.stand_still_until_verified(ForeignWrite::InPlace);
        }
        Ok(())
    }

    fn look_at_files(&self) -> Look {
        if failpoints::enabled(Bug::SellsWithoutFile) { Look::Same } else { self.store.files.look() }
    }

    /// Keeps what the open files hold, and returns the error that ends the writer. While there is no place for it, nothing is
    /// sold, and the process does not end.
    fn end_without(&mut self, lost: Lost) -> StoreError {
        self.shared.rescuing.store(true, Ordering::SeqCst);
        // Not ready from here on: the first attempt may take as long as the copy of a large file.
        self.shared.read_only.store(true, Ordering::SeqCst);
        reject_queued(self.receiver, self.shared);
        let _uncommitted = self.is_rolled_back();
        let operators = self.operators_file.as_ref().and_then(|content| content());
        let mut rescue = Rescue::begin(self.store, lost, self.published.seq(), operators, wall_clock());
        let (_never, nothing) = bounded::<()>(0);
        loop {
            if let Some(ended) = rescue.attempt(self.store) {
                return ended;
            }
            let space = FreeSpace::of(&self.store.path, self.options.free_bytes_min);
            self.meter.disk_space(space.free_bytes, true);
            let _elapsed = nothing.recv_timeout(LOOK_FOR_SPACE);
            reject_queued(self.receiver, self.shared);
        }
    }

    /// Returns the error of a file that another program has changed, and not by a checkpoint.
    pub(super) fn end_with_foreign_write(&mut self, write: ForeignWrite) -> StoreError {
        match write {
            ForeignWrite::Commit => StoreError::ForeignWriter { path: self.store.path.clone() },
            ForeignWrite::InPlace => self.end_without(self.overwritten()),
        }
    }

    pub(super) fn known_file(&self) -> KnownFile {
        KnownFile { last: self.published.seq(), epoch: self.store.epoch, file_id: self.store.file_id }
    }

    fn overwritten(&self) -> Lost {
        Lost { path: self.store.path.clone(), what: "was overwritten", content_is_safe: false }
    }

    /// Returns the error that ends the writer: the loss of the database or its log explains an error of the storage, and
    /// that of another file does not.
    pub(super) fn explain(&mut self, error: StoreError) -> StoreError {
        let error = self.store.with_cause(error);
        match error.severity() {
            Severity::Storage => {}
            Severity::ForeignWriter | Severity::Full | Severity::FileLost | Severity::Log | Severity::Bug => {
                return error;
            }
        }
        match self.look_at_files() {
            // The error has a cause of its own.
            Look::Same | Look::Unreadable { .. } => error,
            Look::Lost(lost) if lost.content_is_safe => {
                let _uncommitted = self.is_rolled_back();
                tracing::error!(path = %lost.path.display(), "the file {}, too", lost.what);
                // `firstcome recover` compares the copy with it.
                if let Err(error) = rescue::rewrite_watermark(self.store, Some(self.sync.synced())) {
                    tracing::error!(%error, "watermark not written");
                }
                error
            }
            Look::Lost(lost) => self.end_without(lost),
            Look::Touched => {
                reject_queued(self.receiver, self.shared);
                match file_check::check(&self.store.path, self.known_file()) {
                    FileVerdict::Unsound => self.end_without(self.overwritten()),
                    FileVerdict::Sound | FileVerdict::Failed(_) => error,
                }
            }
        }
    }
}

fn unreadable(path: PathBuf, errno: i32) -> StoreError {
    StoreError::Io { path, source: io::Error::from_raw_os_error(errno) }
}
