//! The thread-local cache of reader connections. Each thread that reads a file has its own connection to it, with its own
//! cache of statements: opened by the thread's first read, shared by all readers of the thread, closed at its end.
//!
//! Invariant: all threads read the file that was at the path when the [`Reader`] was made. A connection is opened only to
//! that file, and dropped within a second once the path names another one; until then the writer has not noticed either.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use crate::sqlite::{self, Access};
use crate::types::SnapshotGate;

/// Longest wait of a reader for the gate. The writer closes it for `writer.reset_gate_ms`, 5 ms by default.
const GATE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Capacity of a connection's statement cache: all statements of this room.
const STATEMENTS_KEPT: usize = 96;
/// Connections of one thread; the one that was used last is the last to be closed. A server reads one file.
const CONNECTIONS_MAX: usize = 4;
/// Interval in which a used connection's file is compared with its path.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    static CONNECTIONS: RefCell<ConnectionCache> = const { RefCell::new(ConnectionCache(Vec::new())) };
}

/// Identity of a file, whatever its path. No other file has it while a connection is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileKey {
    device: u64,
    inode: u64,
}

impl FileKey {
    fn at(path: &Path) -> Option<FileKey> {
        let found = std::fs::metadata(path).ok()?;
        Some(FileKey { device: found.dev(), inode: found.ino() })
    }
}

/// Reads a file through the connection of the calling thread, which enters the gate for each snapshot.
#[derive(Clone)]
pub struct Reader(Arc<ReadFile>);

/// The file that a reader reads.
struct ReadFile {
    path: PathBuf,
    key: FileKey,
    gate: Arc<SnapshotGate>,
}

impl Reader {
    /// Returns a reader of the file that a writer has open, for any thread, and opens the connection of this thread.
    pub fn open(path: &Path, gate: Arc<SnapshotGate>) -> rusqlite::Result<Reader> {
        let key = FileKey::at(path).ok_or_else(|| moved(path))?;
        let reader = Reader(Arc::new(ReadFile { path: path.to_path_buf(), key, gate }));
        reader.connect()?;
        Ok(reader)
    }

    /// Opens the connection of this thread, which its first read would open otherwise.
    pub fn connect(&self) -> rusqlite::Result<()> {
        self.connection(Instant::now()).map(|_| ())
    }

    /// Path of the database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Size of the database file in bytes; 0 if it is unknown.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        std::fs::metadata(&self.0.path).map_or(0, |metadata| metadata.len())
    }

    /// Runs one statement, which sees one snapshot.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let now = Instant::now();
        let connection = self.connection(now)?;
        let until = now + GATE_WAIT_MAX;
        let _inside = loop {
            match self.0.gate.try_enter() {
                Some(inside) => break Some(inside),
                None if Instant::now() >= until => break None,
                None => std::thread::yield_now(),
            }
        };
        query(&connection).map_err(|error| with_cause(&self.0.path, &connection, error))
    }

    /// Runs several statements at one snapshot. It must be short, because an open snapshot prevents a reset of the log. The
    /// query must not open another snapshot of the file: the thread has one connection to it.
    pub fn snapshot<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            query(&transaction)
        })
    }

    fn connection(&self, now: Instant) -> rusqlite::Result<Rc<Connection>> {
        CONNECTIONS.with_borrow_mut(|connections| connections.of(&self.0, now))
    }
}

/// The connections of one thread, the one that was used last at the end.
struct ConnectionCache(Vec<CachedConnection>);

struct CachedConnection {
    key: FileKey,
    connection: Rc<Connection>,
    /// Instant at which the path was last found to name this file.
    looked_at: Instant,
}

impl ConnectionCache {
    /// Returns the connection to a file; the first call opens it.
    fn of(&mut self, file: &ReadFile, now: Instant) -> rusqlite::Result<Rc<Connection>> {
        let known = self.0.iter().position(|cached| cached.key == file.key);
        let cached = match known.map(|at| self.0.remove(at)) {
            Some(cached) if now.saturating_duration_since(cached.looked_at) < LOOK_INTERVAL => cached,
            Some(cached) => CachedConnection { looked_at: now, ..cached.if_still_at(&file.path)? },
            None => {
                let connection = Rc::new(connect(&file.path)?);
                CachedConnection { key: file.key, connection, looked_at: now }.if_still_at(&file.path)?
            }
        };
        if self.0.len() >= CONNECTIONS_MAX {
            self.0.remove(0);
        }
        let connection = Rc::clone(&cached.connection);
        self.0.push(cached);
        Ok(connection)
    }
}

impl CachedConnection {
    fn if_still_at(self, path: &Path) -> rusqlite::Result<CachedConnection> {
        if FileKey::at(path) == Some(self.key) { Ok(self) } else { Err(moved(path)) }
    }
}

/// Opens a connection with the settings of all connections and those of readers.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = sqlite::open(path, Access::Read)?;
    sqlite::set(&connection, "query_only", "ON", "1")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // A reader of a write-ahead log never waits, except for the first one after a start, which may find the log locked.
    connection.busy_timeout(GATE_WAIT_MAX)?;
    Ok(connection)
}

/// Returns true if a read failed because the file is no longer at its path. The writer notices that within a second, and the
/// server ends.
#[must_use]
pub fn is_moved(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == ffi::SQLITE_READONLY_DBMOVED)
}

/// Returns an I/O error with the file and the error of the operating system.
fn with_cause(path: &Path, connection: &Connection, error: rusqlite::Error) -> rusqlite::Error {
    if error.sqlite_error_code() != Some(rusqlite::ErrorCode::SystemIoFailure) {
        return error;
    }
    let (Some(code), Some(cause)) = (error.sqlite_error().copied(), sqlite::system_error(connection)) else {
        return error;
    };
    let text = format!("{} or its log: {error}: {cause}", path.display());
    rusqlite::Error::SqliteFailure(code, Some(text))
}

/// SQLite's error of a file that is no longer at its path.
fn moved(path: &Path) -> rusqlite::Error {
    let text = format!("{} is not the file that the server opened", path.display());
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED), Some(text))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    fn make_file(path: &Path) {
        Connection::open(path).expect("opened").execute_batch(include_str!("../../schema.sql")).expect("made");
    }

    fn open(path: &Path) -> Reader {
        Reader::open(path, Arc::new(SnapshotGate::default())).expect("opened")
    }

    fn drops(reader: &Reader) -> rusqlite::Result<u32> {
        reader.read(|connection| connection.query_row("SELECT count(*) FROM drops", [], |row| row.get(0)))
    }

    fn connections_of_this_thread() -> usize {
        CONNECTIONS.with_borrow(|connections| connections.0.len())
    }

    /// Counts the descriptors of this process that are open to a file.
    fn descriptors_of(path: &Path) -> usize {
        let path = path.canonicalize().expect("a path");
        let open = std::fs::read_dir("/proc/self/fd").expect("a list");
        open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).filter(|open| *open == path).count()
    }

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound_to_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        make_file(&path);
        let reader = open(&path);
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

    #[test]
    fn the_readers_of_a_thread_share_one_connection_per_file_and_it_is_closed_at_the_threads_end() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        make_file(&path);
        let reader = open(&path);
        let (first, second) = (reader.clone(), open(&path));
        assert_eq!((drops(&first), drops(&second)), (Ok(0), Ok(0)));
        assert_eq!((connections_of_this_thread(), descriptors_of(&path)), (1, 1));
        let there = std::thread::spawn({
            let path = path.clone();
            move || {
                let none_before = connections_of_this_thread() == 0;
                let read = drops(&reader);
                (none_before, read, connections_of_this_thread(), descriptors_of(&path))
            }
        });
        assert_eq!(there.join().expect("no panic"), (true, Ok(0), 1, 2));
        assert_eq!(descriptors_of(&path), 1);
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_connections_and_closes_the_one_that_was_used_least_recently() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = |number: usize| scratch.path().join(number.to_string());
        let readers: Vec<Reader> = (0..=CONNECTIONS_MAX)
            .map(|number| {
                make_file(&path(number));
                if number > 1 {
                    // The first file stays in use.
                    assert_eq!(drops(&open(&path(0))), Ok(0));
                }
                open(&path(number))
            })
            .collect();
        assert_eq!(connections_of_this_thread(), CONNECTIONS_MAX);
        let open: Vec<usize> = (0..=CONNECTIONS_MAX).map(|number| descriptors_of(&path(number))).collect();
        assert_eq!(open, [1, 0, 1, 1, 1]);
        assert_eq!(readers.get(1).map(drops), Some(Ok(0)), "a closed one is opened again");
    }

    #[test]
    fn a_file_that_was_replaced_is_read_by_no_thread_and_noticed_within_a_second() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (path, other) = (scratch.path().join("file"), scratch.path().join("other"));
        make_file(&path);
        make_file(&other);
        let reader = open(&path);
        std::fs::rename(&other, &path).expect("replaced");
        let refused = |read: rusqlite::Result<()>| read.is_err_and(|error| is_moved(&error));
        let late = reader.clone();
        let of_new_thread = std::thread::spawn(move || late.connect()).join().expect("no panic");
        assert!(refused(of_new_thread), "a new thread opens no other file");
        let after_the_interval = Instant::now() + LOOK_INTERVAL;
        assert!(refused(reader.connection(after_the_interval).map(|_| ())));
        assert_eq!(connections_of_this_thread(), 0, "its connection is closed");
        assert!(refused(reader.connect()), "and stays so");
        assert_eq!(drops(&open(&path)), Ok(0), "a reader of the new file reads it");
    }

    #[test]
    fn a_reader_has_the_settings_of_every_connection_and_cannot_write() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        make_file(&path);
        let reader = open(&path);
        reader
            .read(|connection| {
                use rusqlite::config::DbConfig;
                assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE)?);
                assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG)?);
                assert_eq!(connection.limit(rusqlite::limits::Limit::SQLITE_LIMIT_EXPR_DEPTH)?, 10);
                for name in ["cell_size_check", "query_only"] {
                    assert_eq!(connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0))?, 1, "{name}");
                }
                assert!(connection.execute("DELETE FROM drops", []).is_err());
                Ok(())
            })
            .expect("read");
    }
}
