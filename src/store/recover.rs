//! Recovery after a fault: the readable content of the files is copied into a new file, verified, and swapped in.
//!
//! A restart on files whose fsync failed loses later sales at the next power failure, without any error; so does a
//! checkpoint of them. A copy of what the OS page cache holds, before any reboot, keeps everything.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::accepted_loss::NewEpoch;
use super::advice;
use super::beside::{self, Replaced};
use super::load::load;
use super::lock::DirectoryLock;
use super::open::{DATABASE_FILE, Trust, check_identity, compare, last_link};
use super::ownership::is_there;
use super::rebuild::rebuild;
use super::rescue::found;
use super::stray_log;
use super::verify::{self, VerifyReport};
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use super::{Store, StoreError, accepted_loss};
use crate::sqlite::{self, Access};
use crate::types::{DropId, UnixMillis};

/// Risks that an operator accepts.
#[derive(Clone, Copy, Default, Debug)]
pub struct AcceptedRisks {
    /// Number of missing events, which must be exact.
    pub loss: Option<u64>,
    /// Ignore the watermark: missing events are not detected.
    pub without_watermark: bool,
}

/// Result of a recovery.
#[derive(Debug)]
pub struct Recovered {
    /// Report on the new file. `None` if an earlier run had verified it.
    pub report: Option<VerifyReport>,
    /// Number of lost events.
    pub lost: u64,
    /// Drops that are paused because their draw may be among what is lost.
    pub paused: Vec<DropId>,
    /// Directory with the old files.
    pub kept: PathBuf,
}

/// Rebuilds the file of `directory`.
///
/// # Errors
/// If the file is unreadable or inconsistent, or events are missing and exactly that loss was not accepted. Nothing is
/// changed in these cases.
pub fn recover(directory: &Path, now: UnixMillis, accepted: AcceptedRisks) -> Result<Recovered, StoreError> {
    recover_telling(directory, now, accepted, || {})
}

/// The same; `begins` is called once the directory is this process's, before anything is read.
///
/// # Errors
/// As of `recover`.
pub fn recover_telling(
    directory: &Path,
    now: UnixMillis,
    accepted: AcceptedRisks,
    begins: impl FnOnce(),
) -> Result<Recovered, StoreError> {
    let path = directory.join(DATABASE_FILE);
    if !is_there(&path)? && !directory.is_dir() {
        return Err(found::tell(directory, StoreError::Missing { path }));
    }
    let recovered = DirectoryLock::take(directory).and_then(|_lock| {
        beside::check(directory)?;
        begins();
        recover_locked(directory, now, accepted)
    });
    recovered.map_err(|error| explain(&path, error))
}

/// Returns an error of the files of a directory in which no server runs, with the advice that fits: a loss is not offered for
/// acceptance if the database and its log do not fit together.
#[must_use]
pub fn explain(path: &Path, error: StoreError) -> StoreError {
    found::tell(path.parent().unwrap_or(path), explain_files(path, error))
}

fn explain_files(path: &Path, error: StoreError) -> StoreError {
    let error = advice::advise(path, stray_log::explain(path.parent().unwrap_or(path), error));
    if !matches!(error, StoreError::EventsMissing { .. } | StoreError::OtherLoss { .. }) || !advice::has_log(path) {
        return error;
    }
    let cause = match verify::verify_file(path) {
        Ok(report) => report.problems.into_iter().next(),
        Err(fault @ StoreError::DiskFault { .. }) => return fault,
        Err(problem) => Some(problem.to_string()),
    };
    cause.map_or(error, |cause| StoreError::Mixed { path: path.to_path_buf(), cause })
}

/// Rebuilds the file of `directory`, whose lock this process holds.
pub(super) fn recover_locked(
    directory: &Path,
    now: UnixMillis,
    accepted: AcceptedRisks,
) -> Result<Recovered, StoreError> {
    let path = directory.join(DATABASE_FILE);
    let rebuilt = rebuild(directory, now, |copy| {
        check_identity(&sqlite::open(&copy.join(DATABASE_FILE), Access::Write)?, &path)?;
        let compared = compare_copy(directory, &copy.join(DATABASE_FILE), accepted)?;
        Ok((finish(copy, now, compared.missing, compared.epoch)?, compared.missing))
    })?;
    let (finished, lost) = rebuilt.made.map_or((None, 0), |(finished, lost)| (Some(finished), lost));
    let (report, paused) =
        finished.map_or((None, Vec::new()), |FinishedCopy { report, paused }| (Some(report), paused));
    Ok(Recovered { report, lost, paused, kept: rebuilt.kept })
}

/// Result of the comparison of a copy with the watermark of its source.
pub(super) struct Compared {
    /// Number of acknowledged events that the copy does not have, and that the operator has accepted.
    pub(super) missing: u64,
    /// Epoch above which a new one must begin; `None` if the epoch stays.
    pub(super) epoch: Option<u64>,
}

/// Compares a copy, which is not changed yet, with the watermark of its source.
///
/// # Errors
/// If events are missing and exactly that loss was not accepted, or the two do not match.
pub(super) fn compare_copy(directory: &Path, copy: &Path, accepted: AcceptedRisks) -> Result<Compared, StoreError> {
    let path = directory.join(DATABASE_FILE);
    let acknowledged = Watermark::read(directory)?;
    if accepted.without_watermark || accepted.loss.is_some_and(|loss| loss > 0) {
        found::refuse_loss(directory, last_link(&sqlite::open(copy, Access::Write)?)?.0.get())?;
    }
    if accepted.without_watermark {
        return Ok(Compared { missing: 0, epoch: Some(last_epoch(directory, acknowledged)) });
    }
    let (missing, replaced) = missing_events(&path, copy, acknowledged)?;
    if missing > 0
        && accepted.loss.is_some()
        && let Some(nothing_lost) = stray_log::whole_without_log(directory, &format!("lacks {missing} events"))
    {
        return Err(nothing_lost);
    }
    match (missing, accepted.loss) {
        (0, None | Some(0)) => {}
        (missing, Some(quoted)) if missing == quoted => {}
        (missing, Some(quoted)) => return Err(StoreError::OtherLoss { missing, quoted }),
        (missing, None) => return Err(lost_events(&path, acknowledged, missing)),
    }
    Ok(Compared { missing, epoch: replaced.map(|replaced| replaced.epoch) })
}

/// Returns the number of acknowledged events that the copy does not have; and what lay in the place of its source, if that is
/// an older file that was put there.
fn missing_events(
    path: &Path,
    copy: &Path,
    acknowledged: WatermarkState,
) -> Result<(u64, Option<Replaced>), StoreError> {
    let connection = sqlite::open(copy, Access::Write)?;
    compare_open(&connection, path, acknowledged)
        .map_err(|error| advice::unread(copy, &connection, &error).unwrap_or(error))
}

fn compare_open(
    connection: &Connection,
    path: &Path,
    acknowledged: WatermarkState,
) -> Result<(u64, Option<Replaced>), StoreError> {
    let acknowledged = match acknowledged {
        WatermarkState::Present(mark) => mark,
        WatermarkState::Absent => return Err(no_watermark(path, "there is no watermark")),
        WatermarkState::Unreadable => return Err(no_watermark(path, "the watermark is damaged")),
    };
    let (epoch, file_id): (i64, [u8; 16]) =
        connection
            .query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (seq, link) = last_link(connection)?;
    let file = WatermarkRecord { file_id, epoch: u64::try_from(epoch).unwrap_or(1), seq, link, synced: seq };
    let replaced = beside::replaced(path, &file, connection)?;
    match compare(connection, path, &acknowledged, &file) {
        Ok(lost) => Ok((lost.map_or(0, |lost| lost.events), replaced)),
        // The watermark says what is missing, and a loss that is accepted begins a new epoch anyway.
        Err(StoreError::EventsMissing { missing, .. }) => Ok((missing, replaced)),
        Err(other) => Err(other),
    }
}

fn no_watermark(path: &Path, what: &str) -> StoreError {
    StoreError::Strange { path: path.to_path_buf(), what: what.into() }
}

fn lost_events(path: &Path, acknowledged: WatermarkState, missing: u64) -> StoreError {
    let last = match acknowledged {
        WatermarkState::Present(mark) => mark.seq.get(),
        WatermarkState::Absent | WatermarkState::Unreadable => 0,
    };
    let found = last.saturating_sub(missing);
    StoreError::EventsMissing { path: path.to_path_buf(), found, acknowledged: last, missing }
}

/// Returns the highest epoch that a file of this directory is known to have had.
fn last_epoch(directory: &Path, acknowledged: WatermarkState) -> u64 {
    let noted = beside::read(directory).iter().map(|note| note.epoch).max().unwrap_or(0);
    match acknowledged {
        WatermarkState::Present(mark) => noted.max(mark.epoch),
        WatermarkState::Absent | WatermarkState::Unreadable => noted,
    }
}

/// A copy that is whole.
pub(super) struct FinishedCopy {
    pub(super) report: VerifyReport,
    /// Drops that are paused because their draw may be among what is lost.
    pub(super) paused: Vec<DropId>,
}

/// Verifies the copy, records the loss in it or begins an epoch above `epoch`, and closes it with an empty log and a
/// watermark beside it.
pub(super) fn finish(
    copy: &Path,
    now: UnixMillis,
    missing: u64,
    epoch: Option<u64>,
) -> Result<FinishedCopy, StoreError> {
    let mut store = Store::open_trusting(copy, now, Trust::File)?;
    let finished = finish_open(&mut store, now, missing, epoch);
    // A read of the copy that the disk refuses looks like damage here, too.
    finished.map_err(|error| store.with_cause(error))
}

fn finish_open(
    store: &mut Store,
    now: UnixMillis,
    missing: u64,
    epoch: Option<u64>,
) -> Result<FinishedCopy, StoreError> {
    let report = verify::verify_connection(&store.connection)?;
    if let Some(problem) = report.problems.first() {
        return Err(StoreError::Inconsistent(format!("{problem} ({} problems in all)", report.problem_count)));
    }
    // The verification does not cover everything that a start loads.
    let mut loaded = load(&store.connection, &store.digest_key, usize::MAX)?;
    let mut paused = Vec::new();
    if missing > 0 || epoch.is_some() {
        let (at, above) = (now.max(loaded.state.at()), epoch.unwrap_or(store.epoch));
        let begins = NewEpoch { lost: missing, above, pauses_draws: true };
        paused = accepted_loss::record_above(store, &mut loaded, at, begins)?;
    }
    store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(FinishedCopy { report, paused })
}
