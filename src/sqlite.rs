//! Every connection to an SQLite file is opened here, with one list of settings, after SQLite's own pages on security and
//! reliability. Each setting is read back, because one that silently has no effect loses sales.
//!
//! The writer and the readers add their own: `store::settings::configure_writer`, `read::connection`.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

/// First SQLite version without the WAL-reset corruption bug (release notes of 2026-03-13).
const SQLITE_VERSION_MIN: i32 = 3_051_003;

const CONFIGS: [(DbConfig, bool); 8] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    // Otherwise SQLite plans a join again for every bound value, four fifths of the time to read an order.
    (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    // A close must never checkpoint: after a fault that would write to suspect files.
    (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
];

const LIMITS: [(Limit, i32); 10] = [
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
];

/// Name of a pragma, the value that it is set to, and the value that is read back.
const PRAGMAS: [(&str, &str, &str); 4] = [
    ("cell_size_check", "ON", "1"),
    ("mmap_size", "0", "0"),
    ("temp_store", "MEMORY", "2"),
    ("foreign_keys", "ON", "1"),
];

/// The use of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    /// The file must exist: nothing creates one by opening it.
    Write,
}

/// Reason of a connection that did not open: SQLite's own, or a setting without effect.
#[derive(thiserror::Error, Debug)]
pub enum ConnectError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{path}: {cause}: {source}")]
    Disk { path: PathBuf, cause: rusqlite::Error, source: io::Error },
    #[error("SQLite setting {name} is {found} instead of {expected}")]
    Setting { name: &'static str, found: String, expected: String },
}

impl From<ConnectError> for rusqlite::Error {
    fn from(error: ConnectError) -> rusqlite::Error {
        match error {
            ConnectError::Sqlite(error) | ConnectError::Disk { cause: error, .. } => error,
            ConnectError::Setting { .. } => {
                rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_MISUSE), Some(error.to_string()))
            }
        }
    }
}

/// Opens a connection to an existing file, with the settings of all connections.
///
/// # Errors
/// If the file cannot be opened, or a setting has no effect.
pub fn open(path: &Path, access: Access) -> Result<Connection, ConnectError> {
    let access = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let opened = Connection::open_with_flags(file_name(path), access | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = opened.map_err(|cause| match cause.sqlite_error_code() {
        // A failed opening keeps no error of the system. The first read has failed, which is nearly always this one.
        Some(ErrorCode::SystemIoFailure) => {
            ConnectError::Disk { path: path.to_path_buf(), cause, source: io::Error::from_raw_os_error(libc::EIO) }
        }
        _ => ConnectError::Sqlite(cause),
    })?;
    let configured = configure(&connection);
    match (configured, read_error(&connection)) {
        (Ok(()), _) => Ok(connection),
        // The connection knows the error of the system, and ends here.
        (Err(ConnectError::Sqlite(_)), Some(source)) => {
            let cause = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), None);
            Err(ConnectError::Disk { path: path.to_path_buf(), cause, source })
        }
        (Err(error), _) => Err(error),
    }
}

/// Opens a file that no process changes, such as a backup, to read: nothing is made beside it, and a log beside it is not read.
///
/// # Errors
/// If the file cannot be opened, or a setting has no effect.
pub fn open_unchanging(path: &Path) -> Result<Connection, ConnectError> {
    let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut uri = String::from("file:");
    for byte in file_name(path).as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let connection = Connection::open_with_flags(uri, access)?;
    configure(&connection)?;
    Ok(connection)
}

/// Opens an empty database in memory, for which the settings of files mean nothing.
///
/// # Errors
/// If there is no memory.
pub fn open_in_memory() -> rusqlite::Result<Connection> {
    Connection::open_in_memory()
}

/// Returns the path as SQLite must get it: absolute, because this build takes a name that begins with `file:` for a URI,
/// whose query may open something else (sqlite.org/uri.html).
fn file_name(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Error numbers of the operating system that SQLite keeps, or 0.
struct ErrorNumbers {
    of_connection: i32,
    of_database: i32,
    of_log: i32,
}

fn error_numbers(connection: &Connection) -> ErrorNumbers {
    let mut found = ErrorNumbers { of_connection: 0, of_database: 0, of_log: 0 };
    let mut log: *mut ffi::sqlite3_file = std::ptr::null_mut();
    let (of_database, of_log) = (std::ptr::from_mut(&mut found.of_database), std::ptr::from_mut(&mut found.of_log));
    #[expect(unsafe_code, reason = "rusqlite has no calls for it; handle and files are valid while it is borrowed")]
    unsafe {
        let (handle, name) = (connection.handle(), c"main".as_ptr());
        found.of_connection = ffi::sqlite3_system_errno(handle);
        ffi::sqlite3_file_control(handle, name, ffi::SQLITE_FCNTL_LAST_ERRNO, of_database.cast());
        let of_file = std::ptr::from_mut(&mut log).cast();
        ffi::sqlite3_file_control(handle, name, ffi::SQLITE_FCNTL_JOURNAL_POINTER, of_file);
        // The log is a file of SQLite's own, whose table of functions is null while it is closed.
        let methods = log.as_ref().and_then(|file| file.pMethods.as_ref());
        if let Some(control) = methods.and_then(|methods| methods.xFileControl) {
            control(log, ffi::SQLITE_FCNTL_LAST_ERRNO, of_log.cast());
        }
    }
    found
}

/// Returns the error of the operating system behind the last I/O error of a connection, which SQLite calls only "disk I/O
/// error"; `None` if there was none.
#[must_use]
pub fn system_error(connection: &Connection) -> Option<io::Error> {
    let errno = error_numbers(connection).of_connection;
    (errno != 0).then(|| io::Error::from_raw_os_error(errno))
}

/// Errors of a read that SQLite takes for a damaged file system, and calls a damaged file where a statement meets them.
const UNREADABLE: [i32; 3] = [libc::EIO, libc::ENXIO, libc::ERANGE];

/// Returns the error of the operating system with which a read of a connection's database or log failed, also where SQLite
/// says that the file is malformed; `None` if the content was read.
#[must_use]
pub fn read_error(connection: &Connection) -> Option<io::Error> {
    let ErrorNumbers { of_database, of_log, .. } = error_numbers(connection);
    let errno = [of_database, of_log].into_iter().find(|errno| UNREADABLE.contains(errno));
    errno.map(io::Error::from_raw_os_error)
}

fn configure(connection: &Connection) -> Result<(), ConnectError> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        return Err(setting("version", version, SQLITE_VERSION_MIN));
    }
    for (config, on) in CONFIGS {
        let now = connection.set_db_config(config, on)?;
        if now != on {
            return Err(setting("db_config", format!("{config:?} {now}"), on));
        }
    }
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value)?;
        let now = connection.limit(limit)?;
        if now != value {
            return Err(setting("limit", format!("{limit:?} {now}"), value));
        }
    }
    PRAGMAS.into_iter().try_for_each(|(name, value, expected)| set(connection, name, value, expected))
}

/// Sets a pragma, and reads it back.
///
/// # Errors
/// [`ConnectError::Setting`] if it has no effect.
pub fn set(
    connection: &Connection,
    name: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<(), ConnectError> {
    connection.pragma_update(None, name, value)?;
    expect(connection, name, expected)
}

/// Reads a pragma, and compares it.
///
/// # Errors
/// [`ConnectError::Setting`] if it has another value.
pub fn expect(connection: &Connection, name: &'static str, expected: &'static str) -> Result<(), ConnectError> {
    let found = connection.pragma_query_value(None, name, |row| {
        let value = row.get_ref(0)?;
        Ok(value.as_i64().map(|number| number.to_string()).or_else(|_| value.as_str().map(str::to_string))?)
    });
    match found {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(setting(name, found, expected)),
        // mmap_size returns no row if it is compiled out, which is the wanted state.
        Err(rusqlite::Error::QueryReturnedNoRows) if name == "mmap_size" => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn setting(name: &'static str, found: impl ToString, expected: impl ToString) -> ConnectError {
    ConnectError::Setting { name, found: found.to_string(), expected: expected.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_directory_of_an_operator_is_taken_for_a_uri() {
        let given = Path::new("file:data?mode=memory/firstcome.db");
        assert!(file_name(given).is_absolute() && file_name(given).ends_with(given));
    }

    #[test]
    fn the_bundled_sqlite_is_built_as_wanted() {
        let connection = Connection::open_in_memory().expect("opened");
        let mut statement = connection.prepare("PRAGMA compile_options").expect("prepared");
        let options: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("asked").collect::<Result<_, _>>().expect("read");
        let has = |wanted: &str| options.iter().any(|option| option == wanted);
        for unwanted in ["ENABLE_MEMORY_MANAGEMENT", "ENABLE_API_ARMOR", "ENABLE_FTS5", "ENABLE_LOAD_EXTENSION"] {
            assert!(!has(unwanted), "{unwanted}: {options:?}");
        }
        for wanted in ["DEFAULT_MEMSTATUS=0", "DQS=0", "OMIT_SHARED_CACHE", "OMIT_LOAD_EXTENSION"] {
            assert!(has(wanted), "{wanted}: {options:?}");
        }
    }

    #[test]
    fn a_file_that_no_process_changes_is_opened_by_any_name_and_gets_no_other_beside_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("a b?immutable=0#%20;\u{e4}.db");
        let made = Connection::open(file_name(&path)).expect("made");
        made.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).expect("set");
        made.execute_batch("CREATE TABLE t (x)").expect("made");
        drop(made);
        let count: i64 = open_unchanging(&path)
            .expect("opened")
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .expect("read");
        assert_eq!((count, std::fs::read_dir(scratch.path()).expect("read").count()), (1, 1));
    }

    #[test]
    fn opening_creates_no_file() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        for access in [Access::Read, Access::Write] {
            assert!(open(&path, access).is_err(), "{access:?}");
            assert!(!path.exists(), "{access:?}");
        }
    }
}
