//! Settings of the writing connection. `crate::sqlite` sets those of every connection.

use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;
use crate::sqlite::{expect, set};

/// Bytes of a page of every database.
pub(super) const PAGE_BYTES: i64 = 4096;

/// Sets what only the writing connection has.
pub(super) fn configure_writer(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    set(connection, "journal_mode", "WAL", "wal")?;
    set_synchronous(connection, true)?;
    // The writer checkpoints by itself, between batches.
    set(connection, "wal_autocheckpoint", "0", "0")?;
    set(connection, "journal_size_limit", "67108864", "67108864")?;
    // Not at erasures alone: a page that is split leaves copies of its cells, which nothing finds later.
    set(connection, "secure_delete", "ON", "1")?;
    // Another writer is a fault to report, not to wait for.
    connection.busy_timeout(Duration::ZERO)?;
    expect(connection, "page_size", "4096")?;
    Ok(expect(connection, "encoding", "UTF-8")?)
}

/// Makes the next commits wait for the disk (`FULL`), or not (`NORMAL`).
///
/// # Errors
/// [`StoreError::Setting`] if the setting has no effect.
pub fn set_synchronous(connection: &Connection, full: bool) -> Result<(), StoreError> {
    let (value, expected) = if full { ("FULL", "2") } else { ("NORMAL", "1") };
    Ok(set(connection, "synchronous", value, expected)?)
}
