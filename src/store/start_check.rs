//! The check of a database before a start: it finds what the opening would refuse, takes no lock and changes nothing.

use std::path::Path;

use rusqlite::Connection;

use super::advice::{has_log, named};
use super::fault_marker::{FaultMarker, is_interrupted};
use super::lock::check_place;
use super::open::{
    DATABASE_FILE, FileIdentity, check_identity, compare, had_a_database, last_link, refuse_other_pages,
    refuse_vanished,
};
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use super::{StoreError, beside, ownership, schema_parts};
use crate::sqlite::{self, Access};
use crate::types::Seq;

/// Returns the last event of the database in `directory`; `None` if a start would make a new one. A server may run on it.
///
/// # Errors
/// The error with which a start would end, as far as reading tells.
pub fn check_database(directory: &Path) -> Result<Option<Seq>, StoreError> {
    let path = directory.join(DATABASE_FILE);
    check_place(directory)?;
    beside::check(directory)?;
    if let Some(what) = FaultMarker::read(directory)? {
        return Err(StoreError::Marked { directory: directory.to_path_buf(), what });
    }
    if is_interrupted(directory) {
        return Err(StoreError::Interrupted { directory: directory.to_path_buf() });
    }
    // Before the file: a running server writes the file first.
    let found = Watermark::read(directory)?;
    let had_one = had_a_database(directory);
    refuse_vanished(&path, found, had_one)?;
    if !ownership::is_there(&path)? {
        return Ok(None);
    }
    ownership::check_readable(&path)?;
    let connection = if has_log(&path) { sqlite::open(&path, Access::Read)? } else { sqlite::open_unchanging(&path)? };
    check_file(&connection, &path, found, had_one).map_err(|error| named(&path, Some(&connection), error))
}

fn check_file(
    connection: &Connection,
    path: &Path,
    found: WatermarkState,
    had_one: bool,
) -> Result<Option<Seq>, StoreError> {
    let strange = |what: &str| StoreError::Strange { path: path.to_path_buf(), what: what.into() };
    if check_identity(connection, path)? == FileIdentity::Empty {
        let is_new = found == WatermarkState::Absent && !had_one;
        return if is_new { Ok(None) } else { Err(strange("the database is empty, and there was one with events")) };
    }
    refuse_other_pages(connection, path)?;
    schema_parts::require_all(connection)?;
    let (epoch, file_id) = connection.query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| {
        Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(1), row.get(1)?))
    })?;
    let (seq, link) = last_link(connection)?;
    match found {
        WatermarkState::Present(written) => {
            let mark = WatermarkRecord { file_id, epoch, seq, link, synced: seq };
            compare(connection, path, &written, &mark)?;
        }
        WatermarkState::Absent if seq != Seq::ZERO => return Err(strange("there is no watermark")),
        WatermarkState::Unreadable if seq != Seq::ZERO => return Err(strange("the watermark is damaged")),
        WatermarkState::Absent | WatermarkState::Unreadable => {}
    }
    Ok(Some(seq))
}
