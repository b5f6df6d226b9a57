//! Commits of other connections to the open database: SQLite counts them, and the writer must be the only one who commits.

use std::cell::Cell;

use rusqlite::{Connection, ErrorCode};

/// The version of the data that a connection has seen last: only commits of other connections change it
/// (sqlite.org/pragma.html, `data_version`).
#[derive(Debug)]
pub struct ForeignCommits {
    /// `None` after an error of this connection's own, which changes the version as well.
    seen: Cell<Option<i64>>,
}

impl ForeignCommits {
    /// Begins to watch; earlier commits do not count.
    pub(super) fn watch(connection: &Connection) -> rusqlite::Result<ForeignCommits> {
        Ok(ForeignCommits { seen: Cell::new(Some(data_version(connection)?)) })
    }

    /// Returns true if another connection has committed since the last call. Reads a few words of the log's index.
    ///
    /// # Errors
    /// If SQLite cannot tell now, such as while another program has the file locked. Nothing is known then.
    pub fn are_new(&self, connection: &Connection) -> rusqlite::Result<bool> {
        match data_version(connection) {
            Ok(found) => Ok(self.seen.replace(Some(found)).is_some_and(|seen| seen != found)),
            // Under a lock there may be a commit.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Err(error),
            Err(error) => {
                self.seen.set(None);
                Err(error)
            }
        }
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
