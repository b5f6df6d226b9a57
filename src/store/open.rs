//! Opening the file: the lock, the schema, the settings, each asserted.
//!
//! Settings are those of SQLite's own security and reliability pages; every one is read back, because a setting that
//! silently did not take is how sales are lost.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, params};

use super::StoreError;
use crate::types::keyed::DIGEST_KEY_BYTES;
use crate::types::{DigestKey, UnixMillis};

/// The database inside the data directory.
pub const DATABASE_FILE: &str = "firstcome.db";
/// The lock inside the data directory: held as long as a server runs.
pub const LOCK_FILE: &str = "firstcome.lock";

const APPLICATION_ID: i64 = 0x4643_5331; // "FCS1"
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("../../schema.sql");
/// The first SQLite without the WAL-reset corruption bug (its release notes of 2026-03-13).
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// What a commit waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The disk, every time: an acknowledged order survives a power loss.
    Full,
    /// The disk at least this often: a crash of the process loses nothing, a power loss at most this much.
    Interval(Duration),
}

/// The open file: the one connection that writes, the lock, and what belongs to the file as a whole.
pub struct Store {
    /// The connection that writes. Nobody else has one.
    pub connection: Connection,
    /// The key of this file's digests.
    pub digest_key: DigestKey,
    /// How often the file's history was set back: raised by a restore and by accepted loss.
    pub epoch: u64,
    /// Where the database is.
    pub path: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens the file in `directory`, or makes it.
    ///
    /// # Errors
    /// See [`StoreError`]: each has its exit code.
    pub fn open(directory: &Path, now: UnixMillis) -> Result<Store, StoreError> {
        make_directory(directory)?;
        let lock = lock(directory)?;
        let path = directory.join(DATABASE_FILE);
        let connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|error| cannot_open(&path, error))?;
        let fresh = check_identity(&connection, &path)? == Identity::Empty;
        configure(&connection)?;
        configure_writer(&connection)?;
        if fresh {
            create(&connection, now)?;
        }
        let (epoch, key): (u64, [u8; DIGEST_KEY_BYTES]) =
            connection.query_row("SELECT epoch, digest_key FROM meta WHERE id = 1", [], |row| {
                Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(1), row.get(1)?))
            })?;
        Ok(Store { connection, digest_key: DigestKey::new(&key), epoch, path, _lock: lock })
    }

    /// Where the write-ahead log is.
    #[must_use]
    pub fn wal_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        PathBuf::from(path)
    }
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    match std::fs::create_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(refuse(error)),
    }
}

/// Takes the lock, so that no second process opens the file; writes down who has it.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let refuse = |source| StoreError::Directory { path: path.clone(), source };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _unreadable = file.read_to_string(&mut holder);
            return Err(StoreError::InUse { path, holder: holder.trim().to_string() });
        }
        Err(TryLockError::Error(error)) => return Err(refuse(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(refuse)?;
    writeln!(file, "{}", std::process::id()).map_err(refuse)?;
    Ok(file)
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => {
            StoreError::Directory { path: path.to_path_buf(), source: std::io::Error::other(error.to_string()) }
        }
        _ => StoreError::Sqlite(error),
    }
}

/// Whose file it is.
#[derive(PartialEq, Eq)]
pub(super) enum Identity {
    /// Nobody's: there is nothing in it.
    Empty,
    /// Ours.
    Ours,
}

/// Looks whose file it is, and of which schema.
pub(super) fn check_identity(connection: &Connection, path: &Path) -> Result<Identity, StoreError> {
    let not_ours = |found: String| StoreError::NotOurs { path: path.to_path_buf(), found };
    let number = |name: &str| -> Result<i64, StoreError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => not_ours("it is no SQLite file".into()),
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => cannot_open(path, error),
            _ => StoreError::Sqlite(error),
        })
    };
    let tables: i64 = {
        number("schema_version")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?
    };
    let application_id = number("application_id")?;
    if application_id == 0 && tables == 0 {
        return Ok(Identity::Empty);
    }
    if application_id != APPLICATION_ID {
        return Err(not_ours(format!("application id {application_id}, {tables} tables and indexes")));
    }
    match number("user_version")? {
        SCHEMA_VERSION => Ok(Identity::Ours),
        found => Err(StoreError::OtherSchema { path: path.to_path_buf(), found, expected: SCHEMA_VERSION }),
    }
}

/// What every connection of this program has, readers too.
///
/// # Errors
/// [`StoreError::Setting`] if one does not take.
pub fn configure(connection: &Connection) -> Result<(), StoreError> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        return Err(setting("version", version, SQLITE_VERSION_MIN));
    }
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        // A close must never checkpoint: after a fault that would write to suspect files.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        let now = connection.set_db_config(config, on)?;
        if now != on {
            return Err(setting("db_config", format!("{config:?} {now}"), on));
        }
    }
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, 1_000_000),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 10),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 3),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
        (Limit::SQLITE_LIMIT_ATTACHED, 1),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 32),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ] {
        connection.set_limit(limit, value)?;
        let now = connection.limit(limit)?;
        if now != value {
            return Err(setting("limit", format!("{limit:?} {now}"), value));
        }
    }
    set(connection, "cell_size_check", "ON", "1")?;
    set(connection, "mmap_size", "0", "0")?;
    set(connection, "temp_store", "MEMORY", "2")?;
    set(connection, "foreign_keys", "ON", "1")
}

/// What the one connection that writes has besides.
fn configure_writer(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "page_size", 4096)?;
    set(connection, "journal_mode", "WAL", "wal")?;
    set_synchronous(connection, true)?;
    // The writer checkpoints by itself, between batches.
    set(connection, "wal_autocheckpoint", "0", "0")?;
    set(connection, "journal_size_limit", "67108864", "67108864")?;
    // Somebody else writing is a fault to be seen, not to be waited for here.
    connection.busy_timeout(Duration::ZERO)?;
    expect(connection, "page_size", "4096")?;
    expect(connection, "encoding", "UTF-8")
}

/// Whether the next commits wait for the disk.
///
/// # Errors
/// [`StoreError::Setting`] if it does not take.
pub fn set_synchronous(connection: &Connection, full: bool) -> Result<(), StoreError> {
    if full { set(connection, "synchronous", "FULL", "2") } else { set(connection, "synchronous", "NORMAL", "1") }
}

fn set(connection: &Connection, name: &'static str, value: &str, expected: &str) -> Result<(), StoreError> {
    connection.pragma_update(None, name, value)?;
    expect(connection, name, expected)
}

fn expect(connection: &Connection, name: &'static str, expected: &str) -> Result<(), StoreError> {
    let found = connection.pragma_query_value(None, name, |row| {
        let value = row.get_ref(0)?;
        Ok(value.as_i64().map(|number| number.to_string()).or_else(|_| value.as_str().map(str::to_string))?)
    });
    match found {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(setting(name, found, expected)),
        // mmap_size answers nothing where it is compiled out: then there is none.
        Err(rusqlite::Error::QueryReturnedNoRows) if name == "mmap_size" => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn setting(name: &'static str, found: impl ToString, expected: impl ToString) -> StoreError {
    StoreError::Setting { name, found: found.to_string(), expected: expected.to_string() }
}

fn create(connection: &Connection, now: UnixMillis) -> Result<(), StoreError> {
    let mut key = [0u8; DIGEST_KEY_BYTES];
    crate::types::random::fill(&mut key);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO meta (id, epoch, digest_key, created_at_ms, synced_at_ms) VALUES (1, 1, ?1, ?2, ?2)",
        params![&key[..], now],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Result<Store, StoreError> {
        Store::open(directory, UnixMillis::ZERO)
    }

    #[test]
    fn a_new_directory_gets_a_file_with_our_marks_and_keeps_its_key() {
        let scratch = tempfile::tempdir().expect("scratch");
        let directory = scratch.path().join("data");
        let first = open(&directory).expect("made").digest_key.buyer("ann");
        let again = open(&directory).expect("opened").digest_key.buyer("ann");
        assert_eq!(first, again);
    }

    #[test]
    fn a_missing_parent_is_refused_with_64() {
        let scratch = tempfile::tempdir().expect("scratch");
        let error = open(&scratch.path().join("no/such")).err().expect("refused");
        assert_eq!(error.exit_code(), 64, "{error}");
    }

    #[test]
    fn a_second_opener_is_refused_with_73_and_told_who_has_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let _first = open(scratch.path()).expect("opened");
        let error = open(scratch.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 73);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    }

    #[test]
    fn files_of_others_are_refused_with_65_and_left_as_they_are() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join(DATABASE_FILE);
        std::fs::write(&path, "this is a shopping list, not a database, and long enough to have a header".repeat(20))
            .expect("written");
        let before = std::fs::read(&path).expect("read");
        let error = open(scratch.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 65, "{error}");
        assert_eq!(std::fs::read(&path).expect("read"), before);

        std::fs::remove_file(&path).expect("removed");
        Connection::open(&path).expect("opened").execute_batch("CREATE TABLE theirs (x)").expect("made");
        let error = open(scratch.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 65, "{error}");
    }

    #[test]
    fn another_schema_is_refused_with_65() {
        let scratch = tempfile::tempdir().expect("scratch");
        drop(open(scratch.path()).expect("made"));
        let path = scratch.path().join(DATABASE_FILE);
        Connection::open(&path).expect("opened").pragma_update(None, "user_version", 2).expect("set");
        let error = open(scratch.path()).err().expect("refused");
        assert!(matches!(error, StoreError::OtherSchema { found: 2, expected: 1, .. }), "{error}");
        assert_eq!(error.exit_code(), 65);
    }

    #[test]
    fn the_bundled_sqlite_is_built_as_wanted() {
        let connection = Connection::open_in_memory().expect("opened");
        let mut statement = connection.prepare("PRAGMA compile_options").expect("prepared");
        let options: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("asked").collect::<Result<_, _>>().expect("read");
        assert!(!options.iter().any(|option| option == "ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
        assert!(options.iter().any(|option| option == "DEFAULT_MEMSTATUS=0"), "{options:?}");
    }
}
