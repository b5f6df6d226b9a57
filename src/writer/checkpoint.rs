//! Checkpoints: the writer copies the write-ahead log into the database, between batches.
//!
//! A PASSIVE checkpoint never waits, but cannot reset the log while readers keep snapshots open. Above a second size the
//! writer therefore closes the readers' gate for a few milliseconds and resets the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::types::SnapshotGate;

const PAGE_BYTES: u64 = 4096;

/// Sizes of the log at which checkpoints run.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointLimits {
    /// New bytes of log since the last checkpoint that start a PASSIVE one.
    pub passive_bytes: u64,
    /// Size of the log, in bytes, that starts a reset.
    pub reset_bytes: u64,
    /// Longest time that readers are kept out for a reset.
    pub gate_max: Duration,
}

/// Result of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckpointResult {
    /// The log was copied as far as open snapshots allow.
    Passive,
    /// The log is empty again.
    Reset,
    /// Open snapshots prevented a reset, which is tried again after the next commit.
    Busy,
}

/// Follows the size of the log, which SQLite reports after every commit.
pub struct Checkpointer {
    pages: Arc<AtomicU64>,
    copied_pages: u64,
    gate: Arc<SnapshotGate>,
    limits: CheckpointLimits,
}

impl Checkpointer {
    /// Installs a hook on the connection's commits.
    pub fn new(
        connection: &mut Connection,
        gate: Arc<SnapshotGate>,
        limits: CheckpointLimits,
    ) -> rusqlite::Result<Checkpointer> {
        let pages = Arc::new(AtomicU64::new(0));
        let reported = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            reported.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Checkpointer { pages, copied_pages: 0, gate, limits })
    }

    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        self.pages.load(Ordering::Relaxed).saturating_mul(PAGE_BYTES)
    }

    /// Returns true if the log has reached a limit.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        let copied = if pages < self.copied_pages { 0 } else { self.copied_pages };
        let new_bytes = pages.saturating_sub(copied).saturating_mul(PAGE_BYTES);
        self.wal_bytes() >= self.limits.reset_bytes || new_bytes >= self.limits.passive_bytes
    }

    /// Runs a checkpoint if the log has reached a limit. An error is a fault of the storage.
    pub fn run_if_due(&mut self, connection: &Connection) -> rusqlite::Result<Option<CheckpointResult>> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.copied_pages {
            // The log was restarted, so everything in it is new.
            self.copied_pages = 0;
        }
        if self.wal_bytes() >= self.limits.reset_bytes {
            return self.reset(connection).map(Some);
        }
        let new_bytes = pages.saturating_sub(self.copied_pages).saturating_mul(PAGE_BYTES);
        if new_bytes >= self.limits.passive_bytes {
            self.copied_pages = pages;
            checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
            return Ok(Some(CheckpointResult::Passive));
        }
        Ok(None)
    }

    /// Copies everything into the database and empties the log.
    pub fn reset(&mut self, connection: &Connection) -> rusqlite::Result<CheckpointResult> {
        let closed = self.gate.close();
        let until = Instant::now() + self.limits.gate_max;
        while self.gate.open_snapshots() > 0 && Instant::now() < until {
            std::thread::yield_now();
        }
        let busy = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
        drop(closed);
        if busy {
            return Ok(CheckpointResult::Busy);
        }
        self.pages.store(0, Ordering::Relaxed);
        self.copied_pages = 0;
        Ok(CheckpointResult::Reset)
    }
}

/// Runs a checkpoint. Returns true if snapshots prevented it. That column is easily overlooked, which lets logs grow to
/// many gigabytes.
fn checkpoint(connection: &Connection, sql: &'static str) -> rusqlite::Result<bool> {
    connection.query_row(sql, [], |row| row.get(0))
}
