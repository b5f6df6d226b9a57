//! The position of a file in a replicated log, written in the transaction of the entry that it names.
//!
//! Only the file of a node has this table: it is made at the node's first start. A copy of the file takes it along.

use rusqlite::{Connection, OptionalExtension, Statement, params};

/// The last entry of the log that a file has, beside the end of its chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPosition {
    /// Number of the entry; 0 before the first.
    pub number: u64,
    /// The epoch of the leader that made it.
    pub epoch: u64,
    /// The tenure in which it was made.
    pub tenure: u64,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS log_position (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL CHECK (number >= 0), -- of the last entry in this file
    epoch  INTEGER NOT NULL CHECK (epoch >= 0),
    tenure INTEGER NOT NULL CHECK (tenure >= 0)
) STRICT";

/// Returns the position of a file. `None` if it has never been a node's.
///
/// # Errors
/// The error of SQLite.
pub fn read(connection: &Connection) -> rusqlite::Result<Option<LogPosition>> {
    let has_table: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'log_position')",
        [],
        |row| row.get(0),
    )?;
    if !has_table {
        return Ok(None);
    }
    let position = connection.query_row("SELECT number, epoch, tenure FROM log_position WHERE id = 1", [], |row| {
        let column = |at| row.get::<_, i64>(at).map(|value| u64::try_from(value).unwrap_or(0));
        Ok(LogPosition { number: column(0)?, epoch: column(1)?, tenure: column(2)? })
    });
    position.optional()
}

/// Writes positions into the writer's transactions.
pub struct PositionWriter<'conn> {
    write: Statement<'conn>,
}

impl<'conn> PositionWriter<'conn> {
    /// Makes the table if the file has none, and prepares the statement.
    ///
    /// # Errors
    /// The error of SQLite.
    pub fn new(connection: &'conn Connection) -> rusqlite::Result<PositionWriter<'conn>> {
        connection.execute_batch(TABLE)?;
        let write = connection
            .prepare("INSERT OR REPLACE INTO log_position (id, number, epoch, tenure) VALUES (1, ?1, ?2, ?3)")?;
        Ok(PositionWriter { write })
    }

    /// Writes the position into the open transaction.
    ///
    /// # Errors
    /// The error of SQLite; the transaction must not be committed.
    pub fn write(&mut self, position: LogPosition) -> rusqlite::Result<()> {
        let LogPosition { number, epoch, tenure } = position;
        let [number, epoch, tenure] = [number, epoch, tenure].map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        self.write.execute(params![number, epoch, tenure]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_position_of_the_last_transaction_that_was_committed() {
        let connection = Connection::open_in_memory().expect("opened");
        assert_eq!(read(&connection).expect("read"), None);
        let mut writer = PositionWriter::new(&connection).expect("made");
        assert_eq!(read(&connection).expect("read"), None, "the node has no entry yet");
        let first = LogPosition { number: 1, epoch: 2, tenure: 3 };
        writer.write(first).expect("written");
        connection.execute_batch("BEGIN").expect("begun");
        writer.write(LogPosition { number: 2, ..first }).expect("written");
        connection.execute_batch("ROLLBACK").expect("rolled back");
        drop(writer);
        assert_eq!(read(&connection).expect("read"), Some(first));
    }
}
