//! Checkpoints: from the write-ahead log into the database, by the writer alone, between batches.
//!
//! PASSIVE waits for nobody. It cannot reset the log while some reader is always inside; so past a second size the
//! writer closes the readers' gate for a few milliseconds and resets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::types::SnapshotGate;

const PAGE_BYTES: u64 = 4096;

/// When to checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointLimits {
    /// From this size of the log on, what is new since the last time is copied.
    pub passive_bytes: u64,
    /// From this size on, the log is reset.
    pub reset_bytes: u64,
    /// How long readers are kept out for a reset at most.
    pub gate_max: Duration,
}

/// What a checkpoint did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckpointResult {
    /// The log was copied as far as readers allow.
    Passive,
    /// The log is empty again.
    Reset,
    /// Readers were in the way of a reset; it is tried again after the next commit.
    Busy,
}

/// Watches the log's size, which SQLite tells after every commit.
pub struct Checkpointer {
    pages: Arc<AtomicU64>,
    copied_pages: u64,
    gate: Arc<SnapshotGate>,
    limits: CheckpointLimits,
}

impl Checkpointer {
    /// Hooks into the connection's commits.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn new(
        connection: &mut Connection,
        gate: Arc<SnapshotGate>,
        limits: CheckpointLimits,
    ) -> rusqlite::Result<Checkpointer> {
        let pages = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Checkpointer { pages, copied_pages: 0, gate, limits })
    }

    /// The size of the log, in bytes.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        self.pages.load(Ordering::Relaxed).saturating_mul(PAGE_BYTES)
    }

    /// Checkpoints if it is time to.
    ///
    /// # Errors
    /// What SQLite says: a fault of the storage.
    pub fn run_if_due(&mut self, connection: &Connection) -> rusqlite::Result<Option<CheckpointResult>> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.copied_pages {
            // The log began anew: everything in it is new.
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

    /// Copies everything and empties the log, for an ordered end.
    ///
    /// # Errors
    /// What SQLite says.
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

/// Runs a checkpoint; returns whether somebody was in the way. Its busy column is easily overlooked: logs of many
/// gigabytes have come from that.
fn checkpoint(connection: &Connection, sql: &'static str) -> rusqlite::Result<bool> {
    connection.query_row(sql, [], |row| row.get(0))
}
