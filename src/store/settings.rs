//! SQLite's settings, after its own pages on security and reliability. Each is read back, because a setting that silently
//! has no effect loses sales.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;

use super::StoreError;

/// First SQLite version without the WAL-reset corruption bug (release notes of 2026-03-13).
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Sets what the writer and all tools of the store have in common. Workers' readers set their few settings in
/// `read::connection`.
///
/// # Errors
/// [`StoreError::Setting`] if a setting has no effect.
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

/// Sets what only the writing connection has.
pub(super) fn configure_writer(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "page_size", 4096)?;
    set(connection, "journal_mode", "WAL", "wal")?;
    set_synchronous(connection, true)?;
    // The writer checkpoints by itself, between batches.
    set(connection, "wal_autocheckpoint", "0", "0")?;
    set(connection, "journal_size_limit", "67108864", "67108864")?;
    // Another writer is a fault to report, not to wait for.
    connection.busy_timeout(Duration::ZERO)?;
    expect(connection, "page_size", "4096")?;
    expect(connection, "encoding", "UTF-8")
}

/// Makes the next commits wait for the disk (`FULL`), or not (`NORMAL`).
///
/// # Errors
/// [`StoreError::Setting`] if the setting has no effect.
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
        // mmap_size returns no row if it is compiled out, which is the wanted state.
        Err(rusqlite::Error::QueryReturnedNoRows) if name == "mmap_size" => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn setting(name: &'static str, found: impl ToString, expected: impl ToString) -> StoreError {
    StoreError::Setting { name, found: found.to_string(), expected: expected.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
