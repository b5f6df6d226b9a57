//! The writer's look at its files, once a second and before each checkpoint: whether they are still those that were opened.

use super::clock::wall_clock;
use super::thread::reject_queued;
use super::writer_loop::WriterLoop;
use crate::failpoints::{self, Bug};
use crate::store::open_files::{Look, Lost};
use crate::store::{Severity, StoreError, rescue, verify};

impl WriterLoop<'_> {
    /// Looks whether the files are those that were opened. If one is lost: rejects what is queued, and keeps what the open
    /// files hold.
    pub(super) fn look(&self) -> Result<(), StoreError> {
        let mut look = if failpoints::enabled(Bug::SellsWithoutFile) { Look::Same } else { self.store.files.look() };
        if look == Look::Touched {
            look = self.prove_again();
        }
        let Look::Lost(lost) = look else { return Ok(()) };
        reject_queued(self.receiver, self.shared);
        let _uncommitted = self.is_rolled_back();
        Err(rescue::end_without_file(self.store, lost, self.published.seq(), wall_clock()))
    }

    /// Proves the database again after another program has written its file: a checkpoint by another program changes nothing,
    /// another content in the same file does.
    fn prove_again(&self) -> Look {
        tracing::warn!(path = %self.store.path.display(), "another program wrote the database file: verifying it again");
        self.store.files.note_written();
        match verify::verify_file(&self.store.path) {
            Ok(report) if report.problem_count == 0 && report.last_seq.get() >= self.published.seq() => Look::Same,
            Ok(_) | Err(_) => {
                Look::Lost(Lost { path: self.store.path.clone(), what: "was overwritten", content_is_safe: false })
            }
        }
    }

    /// Returns the error that ends the writer: the loss of a file explains an error of the storage.
    pub(super) fn explain(&self, error: StoreError) -> StoreError {
        match error.severity() {
            Severity::Storage => self.look().err().unwrap_or(error),
            Severity::ForeignWriter | Severity::Full | Severity::FileLost | Severity::Bug => error,
        }
    }
}
