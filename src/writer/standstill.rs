//! The writer's standstill: nothing is decided and the state does not advance, until the disk has space again.

use std::sync::atomic::Ordering;

use super::disk_space::FreeSpace;
use super::writer_loop::WriterLoop;
use crate::store::StoreError;

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
}
