//! The rows of a drop's audit, one after the other.

use std::time::Duration;

use serde_json::Value;

use crate::cli::verbs::OperatorSession;
use crate::exit::Exit;

/// The longest row of the audit, in bytes.
const ROW_BYTES_MAX: usize = 1 << 20;
/// The longest wait for the audit's next rows.
pub(super) const PIECE_WAIT: Duration = Duration::from_secs(30);

/// Calls a function with each row of a drop's audit, in order, until it returns false.
///
/// # Errors
/// 69 and a line, if the audit cannot be read.
pub(super) async fn each(
    session: &OperatorSession<'_>,
    drop: u64,
    mut goes_on: impl FnMut(&Value) -> bool,
) -> Result<(), Exit> {
    let path = format!("/v1/audit?drop_id={drop}");
    let failed =
        |error: &dyn std::fmt::Display| Exit::unavailable(format!("GET {path}: the audit was not read: {error}"));
    let mut response =
        session.admin().open(&path, PIECE_WAIT).await.map_err(|error| session.admin().exit(&path, &error))?;
    let mut rest = Vec::new();
    while let Some(piece) = response.piece(PIECE_WAIT).await.map_err(|error| failed(&error))? {
        rest.extend_from_slice(&piece);
        let mut from = 0;
        while let Some(end) = rest[from..].iter().position(|byte| *byte == b'\n') {
            let row: Value = serde_json::from_slice(&rest[from..from + end]).map_err(|error| failed(&error))?;
            from += end + 1;
            if !goes_on(&row) {
                return Ok(());
            }
        }
        rest.drain(..from);
        if rest.len() > ROW_BYTES_MAX {
            return Err(failed(&"a row has no end"));
        }
    }
    Ok(())
}
