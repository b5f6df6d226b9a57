//! A thread's own read-only connection.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::types::SnapshotGate;

/// Longest wait of a reader for the gate. The writer closes it for `writer.reset_gate_ms`, 5 ms by default.
const GATE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Capacity of the statement cache: all statements of a reader.
const STATEMENTS_KEPT: usize = 32;

/// A read-only connection, which enters the gate for each snapshot.
pub struct Reader {
    connection: Connection,
    gate: Arc<SnapshotGate>,
}

impl Reader {
    /// Opens a reader of the file that a writer has open.
    pub fn open(path: &Path, gate: Arc<SnapshotGate>) -> rusqlite::Result<Reader> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.pragma_update(None, "query_only", "ON")?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // Otherwise SQLite plans a join again for every bound value, four fifths of the time to read an order.
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        // A reader of a write-ahead log never waits, except for the first one after a start, which may find the log locked.
        connection.busy_timeout(GATE_WAIT_MAX)?;
        Ok(Reader { connection, gate })
    }

    /// Size of the database file in bytes; 0 if it is unknown.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        let path = self.connection.path().unwrap_or_default();
        std::fs::metadata(path).map_or(0, |metadata| metadata.len())
    }

    /// Runs one statement, which sees one snapshot.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let until = Instant::now() + GATE_WAIT_MAX;
        let _inside = loop {
            match self.gate.try_enter() {
                Some(inside) => break Some(inside),
                None if Instant::now() >= until => break None,
                None => std::thread::yield_now(),
            }
        };
        query(&self.connection)
    }

    /// Runs several statements at one snapshot. It must be short, because an open snapshot prevents a reset of the log.
    pub fn snapshot<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            query(&transaction)
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound_to_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        Connection::open(&path).expect("opened").execute_batch(include_str!("../../schema.sql")).expect("made");
        let reader = Reader::open(&path, Arc::new(SnapshotGate::default())).expect("opened");
        let join = "SELECT orders.seq FROM orders JOIN drops ON drops.id = orders.drop_id WHERE orders.seq = ?1";
        let planned_again = |seq: i64| {
            reader.read(|connection| {
                let mut statement = connection.prepare_cached(join)?;
                assert!(!statement.exists([seq])?);
                Ok(statement.get_status(StatementStatus::RePrepare))
            })
        };
        for seq in 1..=20 {
            assert_eq!(planned_again(seq).expect("read"), 0);
        }
    }
}
