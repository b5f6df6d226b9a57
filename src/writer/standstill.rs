//! The writer's standstill: nothing is decided and the state does not advance, until the disk has space again or
//! the file is unlocked.

use std::sync::atomic::Ordering;

use super::disk_space::FreeSpace;
use super::replies::{NotApplied, WriterReply};
use super::writer_loop::WriterLoop;
use crate::store::{StoreError, verify};

impl WriterLoop<'_> {
    pub(super) fn become_read_only(&mut self, why: &str) {
        if !self.read_only {
            tracing::error!(why, "disk full: read-only until space is free");
        }
        self.read_only = true;
        self.shared.read_only.store(true, Ordering::SeqCst);
    }

    /// Becomes read-only before the disk is full; resumes when there is space and a commit succeeds.
    pub(super) fn check_disk_space(&mut self) -> Result<(), StoreError> {
        let space = FreeSpace::of(&self.store.path, self.options.free_bytes_min);
        self.meter.disk_space(space.free_bytes, self.read_only);
        if !self.read_only {
            if space.is_short() {
                self.become_read_only(&format!("{} bytes are free", space.free_bytes));
            }
            return Ok(());
        }
        if !space.is_ample() {
            return Ok(());
        }
        if self.locked {
            return self.sell_again_if_unlocked();
        }
        match self.commit() {
            Ok(_) => {
                self.read_only = false;
                self.shared.read_only.store(false, Ordering::SeqCst);
                tracing::info!(free_bytes = space.free_bytes, "disk space available again: sales resume");
                Ok(())
            }
            Err(error) => self.not_committed(error),
        }
    }

    /// Stands still while another program holds the lock of the file: nothing of the batch is in it.
    pub(super) fn stand_still_while_locked(&mut self) -> Result<(), StoreError> {
        self.reply_to_all(|| WriterReply::NotApplied(NotApplied::ReadOnly));
        if !self.locked {
            self.reload_state()?;
            tracing::error!("another program holds the lock of the database: nothing is sold while it does");
        }
        (self.locked, self.read_only) = (true, true);
        self.shared.read_only.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Sells again once the lock is free, unless the other program has changed what decisions rest on.
    fn sell_again_if_unlocked(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.commit() {
            return self.not_committed(error);
        }
        let found = verify::verify_file(&self.store.path)?;
        if found.problem_count > 0 || found.last_seq.get() != self.published.seq() {
            return Err(StoreError::ForeignWriter { path: self.store.path.clone() });
        }
        (self.locked, self.read_only) = (false, false);
        self.shared.read_only.store(false, Ordering::SeqCst);
        tracing::info!("the database is unlocked and verified: sales resume");
        Ok(())
    }
}
