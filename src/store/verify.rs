//! Verification of a file: recounts every counter from orders and from audit rows, and checks every link of the chain.
//! It only reads, at one snapshot, and needs no server.

mod auctions;
mod bidders;
mod caps;
mod content;
mod draws;
mod drops;
mod endpoints;
mod expected_row;
mod money;
mod order_rows;
mod orders;
mod recount;
mod report;
mod rooms;
mod sealed_rows;
mod shards;
mod standby;
mod tiers;
mod words;

use std::path::Path;

pub(super) use content::{Sealed, verify_sealed};
pub use report::VerifyReport;
use rusqlite::Connection;
pub(super) use sealed_rows::{SealedRow, Visited, walk_sealed};

use super::StoreError;
use super::advice;
use super::backup_file;
use super::open::{self, DATABASE_FILE, FileIdentity, MissingEvents, check_identity};
use super::ownership;
use super::packing::packing_of;
use super::schema_parts;
use super::stray_log;
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use crate::sqlite::{self, Access};
use crate::types::digest_key::DIGEST_KEY_BYTES;
use crate::types::{DigestKey, Packing, Seq};

/// Verifies the file in `directory` and compares it with its watermark.
///
/// # Errors
/// If the file is missing, unreadable or of another program. Inconsistencies are in the [`VerifyReport`].
pub fn verify(directory: &Path) -> Result<VerifyReport, StoreError> {
    let report = verify_with_log(directory).map_err(|error| stray_log::explain(directory, error))?;
    if report.problem_count == 0 {
        return Ok(report);
    }
    let why = format!("has {} problems", report.problem_count);
    stray_log::whole_without_log(directory, &why).map_or(Ok(report), Err)
}

fn verify_with_log(directory: &Path) -> Result<VerifyReport, StoreError> {
    let path = directory.join(DATABASE_FILE);
    verify_directory(directory).map_err(|error| {
        let error = advice::advise(&path, error);
        // The files can be read, and only the index cannot be made.
        let is_read = |refused: &Path| [refused, &path].iter().all(|path| ownership::check_readable(path).is_ok());
        if let StoreError::ReadOnlyFileSystem { path, directory } = error {
            return StoreError::NotInPlace { path, directory };
        }
        if matches!(&error, StoreError::Denied { path: refused, .. } if is_read(refused)) {
            return StoreError::NotInPlace { path: path.clone(), directory: directory.to_path_buf() };
        }
        error
    })
}

fn verify_directory(directory: &Path) -> Result<VerifyReport, StoreError> {
    let path = directory.join(DATABASE_FILE);
    ownership::check_plain(directory)?;
    super::beside::check_plain(directory)?;
    if !ownership::is_there(&path)? {
        return Err(StoreError::Missing { path });
    }
    // Read before the snapshot: the file of a running server has at least the events of this watermark.
    let acknowledged = Watermark::read(directory)?;
    let connection = open_to_read(&path)?;
    let mut report = verify_connection(&connection)?;
    match acknowledged {
        WatermarkState::Present(mark) => add_missing(&mut report, compare_watermark(&connection, &path, &mark))?,
        WatermarkState::Unreadable => report.problem("the watermark is damaged".into()),
        WatermarkState::Absent if report.last_seq == Seq::ZERO => {}
        WatermarkState::Absent => report.problem("the watermark is missing: missing events cannot be detected".into()),
    }
    Ok(report)
}

/// Adds what a comparison with the watermark says to the report of the database.
///
/// # Errors
/// The error of SQLite if the database has no problem otherwise: nothing may be missing that was not compared.
fn add_missing(
    report: &mut VerifyReport,
    compared: Result<Option<MissingEvents>, StoreError>,
) -> Result<(), StoreError> {
    match compared {
        Ok(None) => {}
        Ok(Some(lost)) => report.problem(format!("{} acknowledged events are missing", lost.events)),
        // A file that lacks a table cannot be compared.
        Err(StoreError::Sqlite(error)) if report.problem_count == 0 => return Err(error.into()),
        Err(StoreError::Sqlite(_)) => {}
        Err(error) => report.problem(error.to_string()),
    }
    Ok(())
}

/// Verifies a database without its watermark, through a connection of its own.
///
/// # Errors
/// If the file is unreadable or of another program. Inconsistencies are in the [`VerifyReport`].
pub fn verify_file(path: &Path) -> Result<VerifyReport, StoreError> {
    verify_connection(&open_to_read(path)?)
}

/// Verifies a whole database that nothing writes meanwhile: its pages and its rows side by side, through a connection each.
///
/// A start does this before there is a writer, with the lock of the directory: so there is one content, and every connection sees
/// it, however long after another it began to read.
///
/// # Errors
/// As of [`verify_file`].
pub(super) fn verify_still(path: &Path) -> Result<VerifyReport, StoreError> {
    let (pages, rows) = std::thread::scope(|scope| {
        let pages = scope.spawn(|| content::verify_pages(&open_to_read(path)?));
        let rows = open_to_read(path).and_then(|connection| verify_rows(&connection));
        (pages.join(), rows)
    });
    let pages = pages.map_err(|_| StoreError::Inconsistent("the verification panicked".into()))??;
    Ok(rows?.after(pages))
}

fn verify_rows(connection: &Connection) -> Result<VerifyReport, StoreError> {
    let mut report = content::verify_rows(connection, Sealed::EventsAndOrders)?;
    (report.epoch, report.file_id) = epoch_and_id(connection)?;
    Ok(report)
}

/// Verifies a single file that no process changes, such as a backup. There is no watermark to compare it with: events that are
/// missing at its end are not noticed. Nothing is made beside it.
///
/// # Errors
/// If the file is missing, unreadable or of another program. Inconsistencies are in the [`VerifyReport`].
pub fn verify_copy(path: &Path) -> Result<VerifyReport, StoreError> {
    if !ownership::is_there(path)? {
        return Err(StoreError::Missing { path: path.to_path_buf() });
    }
    ownership::check_readable(path)?;
    let connection =
        if advice::has_log(path) { sqlite::open(path, Access::Read)? } else { sqlite::open_unchanging(path)? };
    begin_reading(&connection, path).map_err(|error| advice::advise(path, error))?;
    verify_connection(&connection).map_err(|error| advice::advise(path, error))
}

/// Opens a database to read it, also that of a running server: each statement sees its own snapshot. Nothing is made beside a
/// file without a log.
///
/// # Errors
/// If the file is missing, packed, unreadable or of another program or version.
pub fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    if !ownership::is_there(path)? {
        return Err(StoreError::Missing { path: path.to_path_buf() });
    }
    ownership::check_readable(path)?;
    refuse_packed(path)?;
    let opened = if advice::has_log(path) { sqlite::open(path, Access::Read) } else { sqlite::open_unchanging(path) };
    let connection = opened.map_err(|error| advice::advise(path, error.into()))?;
    check_ours(&connection, path).map_err(|error| advice::advise(path, error))?;
    let missing = schema_parts::missing(&connection)?;
    match missing.into_iter().next() {
        Some(problem) => Err(StoreError::NotOurs { path: path.to_path_buf(), found: problem }),
        None => Ok(connection),
    }
}

/// Verifies a backup, as [`verify_copy`] does, against the watermark beside it. Returns false without one.
///
/// # Errors
/// As of [`verify_copy`]; and a packed file, with the command that unpacks it.
pub fn verify_backup(path: &Path) -> Result<(VerifyReport, bool), StoreError> {
    refuse_packed(path)?;
    let mut report = verify_copy(path)?;
    match backup_file::read_watermark(path)? {
        WatermarkState::Absent => return Ok((report, false)),
        WatermarkState::Unreadable => report.problem("the watermark beside it is damaged".into()),
        WatermarkState::Present(mark) => {
            let connection = sqlite::open_unchanging(path)?;
            add_missing(&mut report, compare_watermark(&connection, path, &mark))?;
        }
    }
    Ok((report, true))
}

fn refuse_packed(path: &Path) -> Result<(), StoreError> {
    let Ok(Some(form)) = std::fs::File::open(path).and_then(|file| packing_of(&file)) else { return Ok(()) };
    let command = match form {
        Packing::Plain => return Ok(()),
        Packing::Zstd => "zstd -dc",
        Packing::Gzip => "gzip -dc",
    };
    let what = format!(
        "is packed with {}: unpack it first, `{command} {} > COPY.db && firstcome verify COPY.db`; `firstcome restore` unpacks and \
         verifies by itself",
        form.as_str(),
        path.display()
    );
    Err(StoreError::Backup { path: path.to_path_buf(), what })
}

/// Opens a read-only connection at one snapshot.
fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    ownership::check_readable(path)?;
    let connection = sqlite::open(path, Access::Read)?;
    begin_reading(&connection, path)?;
    Ok(connection)
}

fn begin_reading(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    check_ours(connection, path)?;
    connection.execute_batch("BEGIN")?;
    Ok(())
}

fn check_ours(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let identity = check_identity(connection, path).map_err(|error| advice::named(path, Some(connection), error))?;
    if identity == FileIdentity::Empty {
        return Err(StoreError::NotOurs { path: path.to_path_buf(), found: "it is empty".into() });
    }
    Ok(())
}

/// Verifies the content that a connection sees.
pub fn verify_connection(connection: &Connection) -> Result<VerifyReport, StoreError> {
    let missing = schema_parts::missing(connection)?;
    if missing.is_empty() {
        let pages = content::verify_pages(connection)?;
        return Ok(verify_rows(connection)?.after(pages));
    }
    let mut report = VerifyReport::default();
    missing.into_iter().for_each(|problem| report.problem(problem));
    Ok(report)
}

/// Reads the key of the file's digests.
pub(super) fn digest_key(connection: &Connection) -> rusqlite::Result<DigestKey> {
    let bytes: [u8; DIGEST_KEY_BYTES] =
        connection.query_row("SELECT digest_key FROM meta WHERE id = 1", [], |row| row.get(0))?;
    Ok(DigestKey::new(&bytes))
}

fn epoch_and_id(connection: &Connection) -> rusqlite::Result<(u64, [u8; 16])> {
    connection.query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| {
        Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(1), row.get(1)?))
    })
}

/// Compares the file that a connection sees with a watermark, as [`open::compare`] does.
pub(super) fn compare_watermark(
    connection: &Connection,
    path: &Path,
    acknowledged: &WatermarkRecord,
) -> Result<Option<MissingEvents>, StoreError> {
    let (epoch, file_id) = epoch_and_id(connection)?;
    let (seq, link) = open::last_link(connection)?;
    let file = WatermarkRecord { file_id, epoch, seq, link, synced: seq };
    open::compare(connection, path, acknowledged, &file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_that_failed_is_an_error_of_a_database_without_problems_and_no_further_problem_of_others() {
        let failed = || Err(StoreError::Sqlite(rusqlite::Error::QueryReturnedNoRows));
        let mut report = VerifyReport::default();
        assert!(matches!(add_missing(&mut report, failed()), Err(StoreError::Sqlite(_))));
        report.problem("the table chain is missing".into());
        assert!(add_missing(&mut report, failed()).is_ok());
        assert_eq!(report.problems, ["the table chain is missing"]);
        let acknowledged = Seq::new(9).expect("in range");
        let mut report = VerifyReport::default();
        assert!(add_missing(&mut report, Ok(Some(MissingEvents { events: 4, acknowledged }))).is_ok());
        assert_eq!(report.problems, ["4 acknowledged events are missing"]);
    }
}
