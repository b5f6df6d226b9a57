//! The writer's standstill: nothing is decided and the state does not advance, until the disk has space again, the file is
//! unlocked, or what another program has written is verified.

use std::sync::atomic::Ordering;

use super::disk_space::FreeSpace;
use super::file_check::{FileCheck, FileVerdict, ForeignWrite};
use super::replies::{NotApplied, WriterReply};
use super::writer_loop::WriterLoop;
use crate::engine::Admitted;
use crate::failpoints::{self, Bug};
use crate::store::error::is_full;
use crate::store::{StoreError, resumption};
use crate::types::Seq;

/// Cause of a standstill.
pub(super) enum Standstill {
    /// The disk is full, or nearly.
    Full,
    /// Another program holds the lock of the file.
    Locked,
    /// Another program has written the file.
    Unverified(FileCheck),
}

impl WriterLoop<'_> {
    pub(super) fn is_read_only(&self) -> bool {
        self.standstill.is_some()
    }

    /// Returns true while another program's write is not verified: nothing may be written, not even a checkpoint.
    pub(super) fn is_unverified(&self) -> bool {
        matches!(self.standstill, Some(Standstill::Unverified(_)))
    }

    fn stand_still(&mut self, cause: Standstill) {
        self.standstill = Some(cause);
        self.shared.read_only.store(true, Ordering::SeqCst);
    }

    pub(super) fn become_read_only(&mut self, why: &str) {
        if !self.is_read_only() {
            tracing::error!(why, "disk full: read-only until space is free");
            self.stand_still(Standstill::Full);
        }
    }

    /// Writes the watermark of what was committed, up to `synced` on the disk. If there is no space for it, what was committed
    /// is not acknowledged: the outcome is unknown to the clients, and nothing is sold until the watermark is written.
    pub(super) fn mark(&mut self, synced: Seq) -> Result<(), StoreError> {
        if failpoints::enabled(Bug::NoWatermark) {
            return Ok(());
        }
        let mark = self.store.mark(self.state.seq(), self.recorder.link(), synced);
        match self.store.watermark.write(&mark) {
            Ok(()) => {
                self.is_unmarked = false;
                Ok(())
            }
            Err(StoreError::Io { path, source }) if is_full(&source) => {
                self.reply_to_all(|| WriterReply::Unknown);
                self.is_unmarked = true;
                self.become_read_only(&format!("{}: {source}", path.display()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Becomes read-only before the disk is full; resumes when the cause of a standstill is gone and a commit succeeds.
    pub(super) fn end_standstill(&mut self) -> Result<(), StoreError> {
        let space = FreeSpace::of(&self.store.path, self.options.free_bytes_min);
        self.meter.disk_space(space.free_bytes, self.is_read_only());
        match self.standstill.take() {
            None => {
                if space.is_short() {
                    self.become_read_only(&format!("{} bytes are free", space.free_bytes));
                }
                Ok(())
            }
            Some(Standstill::Unverified(check)) if check.is_finished() => {
                self.take_verdict(check)?;
                if space.is_ample() { self.sell_again("the database is verified: sales resume") } else { Ok(()) }
            }
            Some(cause @ Standstill::Unverified(_)) => {
                self.standstill = Some(cause);
                Ok(())
            }
            Some(Standstill::Locked) if space.is_ample() => {
                self.standstill = Some(Standstill::Locked);
                self.verify_if_unlocked()
            }
            Some(Standstill::Full) if space.is_ample() => {
                self.standstill = Some(Standstill::Full);
                self.sell_again("disk space available again: sales resume")
            }
            Some(cause @ (Standstill::Locked | Standstill::Full)) => {
                self.standstill = Some(cause);
                Ok(())
            }
        }
    }

    /// Sells again if a commit succeeds. Does nothing while the file is still to be verified.
    fn sell_again(&mut self, why: &str) -> Result<(), StoreError> {
        if !matches!(self.standstill, Some(Standstill::Full)) {
            return Ok(());
        }
        match self.commit() {
            Ok(_) if self.is_unmarked => Ok(()),
            Ok(_) => {
                self.standstill = None;
                // In a cluster a change of the leader records it.
                if self.replica.is_none() && !failpoints::enabled(Bug::StandstillCountsAsTime) {
                    self.record_stop();
                }
                self.shared.read_only.store(false, Ordering::SeqCst);
                tracing::info!("{why}");
                Ok(())
            }
            Err(error) => self.not_committed(error),
        }
    }

    /// Records that no buyer could order or pay until now, if a unit is offered or a room admits buyers in that time: those buyers
    /// have their time from now on, and rooms go on admitting now. The batch takes the event, before anything else is due.
    pub(super) fn record_stop(&mut self) {
        let (now, at) = (self.clock.now(), self.state.at());
        if !self.state.offers_a_unit_until(now) {
            return;
        }
        let (command, outcome) = resumption::resume(&mut self.state, now, &mut self.batch);
        if let Some(tap) = &mut self.tap {
            tap.note(at, command, Admitted::default(), outcome, self.batch.events.len());
        }
    }

    /// Stands still while another program holds the lock of the file: nothing of the batch is in it.
    pub(super) fn stand_still_while_locked(&mut self) -> Result<(), StoreError> {
        self.reply_to_all(|| WriterReply::NotApplied(NotApplied::ReadOnly));
        if !matches!(self.standstill, Some(Standstill::Locked)) {
            self.reload_state().map_err(|error| self.foreign_write_or(error))?;
            tracing::error!("another program holds the lock of the database: nothing is sold while it does");
        }
        self.stand_still(Standstill::Locked);
        Ok(())
    }

    /// Returns the error of a foreign write if another program has committed since the last look, as it may between the
    /// lock that was found and the reload; otherwise the error itself.
    fn foreign_write_or(&mut self, error: StoreError) -> StoreError {
        match self.store.foreign_commits.are_new(&self.store.connection) {
            Ok(true) => self.end_with_foreign_write(ForeignWrite::Commit),
            Ok(false) | Err(_) => error,
        }
    }

    /// Verifies the file once its lock is free: the other program may have written.
    fn verify_if_unlocked(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.begin() {
            return self.not_committed(error);
        }
        if self.is_rolled_back() {
            tracing::info!("the database is unlocked: verifying it");
            self.standstill = None;
            self.stand_still_until_verified(ForeignWrite::Commit);
        }
        Ok(())
    }

    /// Stands still until the file is verified. A lock is waited for first.
    pub(super) fn stand_still_until_verified(&mut self, write: ForeignWrite) {
        match &mut self.standstill {
            Some(Standstill::Locked) => return,
            Some(Standstill::Unverified(check)) => return check.written_again(write),
            Some(Standstill::Full) | None => {}
        }
        let path = &self.store.path;
        tracing::error!(path = %path.display(), "another program has written the database: nothing is sold until it is verified");
        let check = FileCheck::begin(path, self.known_file(), write);
        self.stand_still(Standstill::Unverified(check));
    }

    /// Takes the result of a check: goes on if the file is as the writer left it, checks again if nothing is known, and
    /// otherwise ends.
    fn take_verdict(&mut self, check: FileCheck) -> Result<(), StoreError> {
        let write = check.write;
        self.standstill = Some(match check.finish() {
            Ok(FileVerdict::Sound) => Standstill::Full,
            Ok(FileVerdict::Unsound | FileVerdict::Failed(_)) => return Err(self.end_with_foreign_write(write)),
            Err(next) => Standstill::Unverified(next),
        });
        Ok(())
    }

    /// Waits for a check at an ordered end. If it cannot be made, the writer ends without writing, and the next start
    /// verifies the file.
    pub(super) fn wait_for_verdict(&mut self) -> Result<(), StoreError> {
        if let Some(Standstill::Unverified(check)) = self.standstill.take() {
            self.take_verdict(check)?;
            if matches!(self.standstill, Some(Standstill::Full)) {
                self.standstill = None;
            }
        }
        Ok(())
    }
}
