//! The check of a backup: a single file, only read, against the database that it is a copy of.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::advice::has_log;
use super::chain::ChainLink;
use super::open::{DATABASE_FILE, FileIdentity, check_identity, last_link, link_at};
use super::packing::packing_of;
use crate::exit;
use crate::sqlite::{self, Access};
use crate::types::{Packing, Seq, hex};

/// A backup that is a whole firstcome database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupState {
    /// Random id of the database, as hexadecimal digits.
    pub file_id: String,
    /// Last event of the backup.
    pub seq: Seq,
    /// Events that the server's database has beyond; the reason if the two could not be compared.
    pub behind: Result<u64, String>,
}

/// Checks the file at `backup`, and that its history is the beginning of the one of the database in `data`.
///
/// # Errors
/// A predicate of the file, such as `is damaged: …`.
pub fn check(backup: &Path, data: &Path) -> Result<BackupState, String> {
    if let Ok(Some(form @ (Packing::Zstd | Packing::Gzip))) = File::open(backup).and_then(|file| packing_of(&file)) {
        return Err(format!("is packed with {}: unpack it, and name what is unpacked", form.as_str()));
    }
    let connection = open(backup).map_err(|error| predicate(&error))?;
    let damaged = |error: rusqlite::Error| format!("is damaged: {error}");
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if found != "ok" {
        return Err(format!("is damaged: {found}"));
    }
    let id = file_id(&connection).map_err(damaged)?;
    let (seq, link) = last_link(&connection).map_err(damaged)?;
    let last_event = connection.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| row.get::<_, Seq>(0));
    let last_event = last_event.map_err(damaged)?;
    if last_event != seq {
        return Err(format!("is incomplete: its events end at {last_event}, and its hash chain at {seq}"));
    }
    let behind = match compare(&data.join(DATABASE_FILE), id, seq, link) {
        Ok(Comparison::Same(behind)) => Ok(behind),
        Ok(Comparison::OtherFile(of_server)) => {
            return Err(format!(
                "is of another database: its file id is {}, and the server has {of_server}",
                hex::encode(&id)
            ));
        }
        Ok(Comparison::OtherHistory) => {
            return Err(format!("has another history than the server's database: that does not have its event {seq}"));
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(BackupState { file_id: hex::encode(&id), seq, behind })
}

enum Comparison {
    /// The history of the backup is the beginning of the server's, which has so many more events.
    Same(u64),
    /// File id of the server's database.
    OtherFile(String),
    OtherHistory,
}

fn compare(database: &Path, id: [u8; 16], seq: Seq, link: ChainLink) -> Result<Comparison, StoreError> {
    if !super::ownership::is_there(database)? {
        return Err(StoreError::Missing { path: database.to_path_buf() });
    }
    let server = sqlite::open(database, Access::Read)?;
    let of_server = file_id(&server)?;
    if of_server != id {
        return Ok(Comparison::OtherFile(hex::encode(&of_server)));
    }
    if link_at(&server, seq)? != Some(link) {
        return Ok(Comparison::OtherHistory);
    }
    let (last, _) = last_link(&server)?;
    Ok(Comparison::Same(last.get().saturating_sub(seq.get())))
}

/// Opens a backup. Without a log beside it no file is made beside it either.
fn open(path: &Path) -> Result<Connection, StoreError> {
    super::ownership::check_readable(path)?;
    let connection = if has_log(path) { sqlite::open(path, Access::Read)? } else { sqlite::open_unchanging(path)? };
    match check_identity(&connection, path)? {
        FileIdentity::Ours => Ok(connection),
        FileIdentity::Empty => Err(StoreError::Empty { path: path.to_path_buf() }),
    }
}

fn file_id(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    connection.query_row("SELECT file_id FROM meta WHERE id = 1", [], |row| row.get(0))
}

fn predicate(error: &StoreError) -> String {
    if let StoreError::NotOurs { found, .. } = error {
        return format!("is not a firstcome database: {found}");
    }
    if let StoreError::OlderSchema { found, expected, .. } | StoreError::NewerSchema { found, expected, .. } = error {
        return format!("has schema {found}, and this program needs {expected}");
    }
    if let StoreError::Empty { .. } = error {
        return "has no tables".into();
    }
    if error.exit_code() == exit::BAD_DATA {
        format!("is damaged: {error}")
    } else {
        format!("cannot be read: {error}")
    }
}
