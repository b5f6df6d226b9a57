//! A write-ahead log that does not belong to the database beside it: SQLite applies an older or foreign one to a whole
//! database, which then seems to have lost events, or to be another file. Nothing is lost before the loss is accepted.

use std::path::Path;

use super::StoreError;
use super::open::{DATABASE_FILE, FileIdentity, check_identity, last_link};
use super::open_files::LOG_FILE;
use super::verify::{compare_watermark, verify_connection};
use super::watermark::{Watermark, WatermarkState};
use crate::exit;
use crate::sqlite;
use crate::types::Seq;

/// Returns the error of a file that is refused: if it is whole without its log, the one that says so.
pub(super) fn explain(directory: &Path, error: StoreError) -> StoreError {
    // Of the database itself, or said already.
    let is_said = matches!(error, StoreError::PageSize { .. } | StoreError::StrayLog { .. });
    if is_said || error.exit_code() != exit::BAD_DATA {
        return error;
    }
    let why = if let StoreError::EventsMissing { found, .. } = &error {
        format!("ends at event {found}")
    } else if let StoreError::Strange { what, .. } = &error {
        format!("does not match its watermark: {what}")
    } else if let StoreError::Inconsistent(what) = &error {
        format!("is inconsistent: {what}")
    } else if let StoreError::Mixed { cause, .. } = &error {
        format!("cannot be used: {cause}")
    } else {
        format!("cannot be used: {error}")
    };
    whole_without_log(directory, &why).unwrap_or(error)
}

/// Returns the error that tells to move the log away, if the database without it verifies and has every acknowledged event.
/// `why` is the predicate of the database with its log.
pub(super) fn whole_without_log(directory: &Path, why: &str) -> Option<StoreError> {
    let seq = last_event_without_log(directory)?;
    let (path, log) = (directory.join(DATABASE_FILE), directory.join(LOG_FILE));
    Some(StoreError::StrayLog { path, log, seq: seq.get(), why: why.to_string() })
}

fn last_event_without_log(directory: &Path) -> Option<Seq> {
    let path = directory.join(DATABASE_FILE);
    std::fs::metadata(directory.join(LOG_FILE)).ok().filter(|log| log.len() > 0)?;
    let WatermarkState::Present(acknowledged) = Watermark::read(directory).ok()? else { return None };
    let connection = sqlite::open_unchanging(&path).ok()?;
    let is_ours = matches!(check_identity(&connection, &path), Ok(FileIdentity::Ours));
    let is_sound = is_ours && verify_connection(&connection).is_ok_and(|report| report.problem_count == 0);
    let is_whole = is_sound && matches!(compare_watermark(&connection, &path, &acknowledged), Ok(None));
    let (seq, _) = last_link(&connection).ok()?;
    is_whole.then_some(seq)
}
