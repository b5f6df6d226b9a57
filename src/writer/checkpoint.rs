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

/// A checkpoint that should run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckpointDue {
    /// Copies as far as open snapshots allow.
    Passive,
    /// Empties the log, for which readers are kept out.
    Reset,
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

    /// Returns the checkpoint of the limit that the log has reached. A reset comes before the other.
    #[must_use]
    pub fn due(&self) -> Option<CheckpointDue> {
        let pages = self.pages.load(Ordering::Relaxed);
        // A log with fewer pages was restarted, so everything in it is new.
        let copied = if pages < self.copied_pages { 0 } else { self.copied_pages };
        let new_bytes = pages.saturating_sub(copied).saturating_mul(PAGE_BYTES);
        if self.wal_bytes() >= self.limits.reset_bytes {
            Some(CheckpointDue::Reset)
        } else if new_bytes >= self.limits.passive_bytes {
            Some(CheckpointDue::Passive)
        } else {
            None
        }
    }

    /// Runs a checkpoint. An error is a fault of the storage.
    pub fn run(&mut self, due: CheckpointDue, connection: &Connection) -> rusqlite::Result<CheckpointResult> {
        match due {
            CheckpointDue::Reset => self.reset(connection),
            CheckpointDue::Passive => {
                self.copied_pages = self.pages.load(Ordering::Relaxed);
                checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
                Ok(CheckpointResult::Passive)
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{self, Access};

    const PASSIVE_PAGES: u64 = 6;
    const RESET_PAGES: u64 = 20;

    /// A database in WAL mode with a table, its directory, and a checkpointer that has seen one commit.
    fn prepared(gate: &Arc<SnapshotGate>) -> (tempfile::TempDir, Connection, Checkpointer) {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("file.db");
        drop(std::fs::File::create(&path).expect("created"));
        let mut connection = sqlite::open(&path, Access::Write).expect("opened");
        connection.pragma_update(None, "journal_mode", "wal").expect("WAL mode");
        connection.pragma_update(None, "wal_autocheckpoint", 0).expect("only the checkpointer's");
        let limits = CheckpointLimits {
            passive_bytes: PASSIVE_PAGES * PAGE_BYTES,
            reset_bytes: RESET_PAGES * PAGE_BYTES,
            gate_max: Duration::from_millis(5),
        };
        let checkpointer = Checkpointer::new(&mut connection, Arc::clone(gate), limits).expect("a hook");
        connection.execute_batch("CREATE TABLE t (n INTEGER)").expect("a table");
        (directory, connection, checkpointer)
    }

    /// Commits until the log has this many pages: each commit adds one.
    fn grow(connection: &Connection, checkpointer: &Checkpointer, pages: u64) {
        while checkpointer.wal_bytes() < pages * PAGE_BYTES {
            connection.execute("INSERT INTO t VALUES (1)", []).expect("inserted");
        }
        assert_eq!(checkpointer.wal_bytes(), pages * PAGE_BYTES);
    }

    #[test]
    fn a_passive_checkpoint_is_due_at_its_limit_of_new_pages_and_not_one_before() {
        let (_directory, connection, mut checkpointer) = prepared(&Arc::default());
        grow(&connection, &checkpointer, PASSIVE_PAGES - 1);
        assert_eq!(checkpointer.due(), None);
        grow(&connection, &checkpointer, PASSIVE_PAGES);
        assert_eq!(checkpointer.due(), Some(CheckpointDue::Passive));
        let done = checkpointer.run(CheckpointDue::Passive, &connection).expect("copied");
        assert_eq!((done, checkpointer.due()), (CheckpointResult::Passive, None), "what is copied is not new");
        // All was copied, so the log begins anew, with fewer pages than were copied: all of them are new.
        connection.execute("INSERT INTO t VALUES (1)", []).expect("inserted");
        assert_eq!(checkpointer.wal_bytes(), PAGE_BYTES);
        grow(&connection, &checkpointer, PASSIVE_PAGES - 1);
        assert_eq!(checkpointer.due(), None);
        let before_begun = checkpointer.copied_pages;
        assert!(checkpointer.wal_bytes() < before_begun * PAGE_BYTES);
    }

    #[test]
    fn a_log_at_its_second_limit_is_emptied_unless_a_reader_has_a_snapshot() {
        let gate = Arc::default();
        let (directory, connection, mut checkpointer) = prepared(&gate);
        grow(&connection, &checkpointer, 2);
        let reader = sqlite::open(&directory.path().join("file.db"), Access::Read).expect("opened");
        reader.execute_batch("BEGIN; SELECT * FROM t").expect("a snapshot");
        let snapshot = gate.try_enter();
        grow(&connection, &checkpointer, RESET_PAGES);
        assert_eq!(checkpointer.due(), Some(CheckpointDue::Reset));
        connection.pragma_update(None, "busy_timeout", 0).expect("set");
        let result = checkpointer.run(CheckpointDue::Reset, &connection).expect("tried");
        assert_eq!((result, checkpointer.wal_bytes()), (CheckpointResult::Busy, RESET_PAGES * PAGE_BYTES));
        assert!(gate.try_enter().is_some(), "the gate is open again");
        drop(snapshot);
        reader.execute_batch("COMMIT").expect("ended");
        let result = checkpointer.run(CheckpointDue::Reset, &connection).expect("emptied");
        assert_eq!((result, checkpointer.wal_bytes(), checkpointer.due()), (CheckpointResult::Reset, 0, None));
        let log = directory.path().join("file.db-wal");
        assert_eq!(std::fs::metadata(log).expect("the log").len(), 0);
    }
}
