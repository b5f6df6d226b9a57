//! The restore of a backup into a data directory: unpacked, verified, compared with what lies there and what is known of it,
//! and only then swapped in, as by `recover`. The old files are kept.

mod missing;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use missing::{MissingPayment, MissingSince};

use super::beside;
use super::lock::DirectoryLock;
use super::migrate;
use super::open::{DATABASE_FILE, FileIdentity, check_identity, last_link};
use super::ownership::{self, is_there, open_private};
use super::packing::{self, packing_of};
use super::rebuild::{Replacement, replace};
use super::recover::{FinishedCopy, finish};
use super::rescue::found;
use super::verify::{self, VerifyReport};
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use super::{StoreError, advice, backup_file, log_position};
use crate::failpoints::{self, PausePoint};
use crate::sqlite::{self, Access};
use crate::types::{DropId, Packing, Seq, UnixMillis, hex};

/// A backup, and the directory that is to have it.
#[derive(Clone, Copy, Debug)]
pub struct RestorePlan<'a> {
    pub backup: &'a Path,
    pub directory: &'a Path,
    /// A database that has more than the backup, to list what is missing: a file, or a data directory.
    pub newer: Option<&'a Path>,
    /// Number of events of the directory that the backup lacks, which must be exact.
    pub accept_loss: Option<u64>,
    pub now: UnixMillis,
}

/// Result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// Report on the new file. `None` if an interrupted run was completed.
    pub report: Option<VerifyReport>,
    /// The part of the old database, or of the newer one, that the backup lacks; `None` if neither is there. The error is that
    /// of the last one that could not be read.
    pub missing: Option<Result<MissingSince, String>>,
    /// Number of events that are known to be missing.
    pub lost: u64,
    /// Drops that are paused because their draw may be among what is lost.
    pub paused: Vec<DropId>,
    /// The backup had a watermark, and has everything that it names.
    pub had_watermark: bool,
    /// Directory with the old files, if there were any.
    pub kept: PathBuf,
}

/// Restores a backup.
///
/// # Errors
/// If a process uses the directory, the backup is damaged, cut, of another database or of a newer version, or the directory
/// has events that it lacks and exactly that loss was not accepted. Nothing is changed in these cases.
pub fn restore(plan: &RestorePlan<'_>) -> Result<Restored, StoreError> {
    let form = form_of(plan.backup)?;
    let _lock = DirectoryLock::take(plan.directory)?;
    beside::check(plan.directory)?;
    let mut old = Old::of(plan)?;
    let mut had_watermark = false;
    let fill = |database: &Path| unpack(plan.backup, form, database);
    let rebuilt = replace(plan.directory, plan.now, Replacement::Other, fill, |copy| {
        let database = copy.join(DATABASE_FILE);
        let backup = identify(plan.backup, &database)?;
        had_watermark = compare_watermark(plan.backup, &database)?;
        old.refuse(plan, &backup)?;
        failpoints::pause(PausePoint::RestoreVerifies);
        // The event that records the loss says how many events are missing.
        let lost = old.lost(&backup);
        let epoch = old.epoch.max(backup.epoch);
        let finished = finish(copy, plan.now, lost, Some(epoch)).map_err(|error| of_backup(plan.backup, error))?;
        failpoints::pause(PausePoint::RestoreInstalls);
        Ok((finished, lost, old.missing(&backup)))
    })?;
    let (report, paused, lost, missing) = match rebuilt.made {
        Some((FinishedCopy { report, paused }, lost, missing)) => (Some(report), paused, lost, missing),
        None => (None, Vec::new(), 0, None),
    };
    Ok(Restored { report, missing, lost, paused, had_watermark, kept: rebuilt.kept })
}

/// Returns the form of a backup.
fn form_of(backup: &Path) -> Result<Packing, StoreError> {
    if !is_there(backup)? {
        return Err(StoreError::Missing { path: backup.to_path_buf() });
    }
    if backup.is_dir() {
        let what = "is a directory: name the file of a backup in it".into();
        return Err(StoreError::Backup { path: backup.to_path_buf(), what });
    }
    ownership::check_readable(backup)?;
    if advice::has_log(backup) {
        let what = "has a log beside it (-wal), so it is no backup but the file of a server, or was opened by another program: copy both with SQLite's `.backup`".into();
        return Err(StoreError::Backup { path: backup.to_path_buf(), what });
    }
    let found = File::open(backup).and_then(|file| packing_of(&file));
    found.map_err(|source| StoreError::Io { path: backup.to_path_buf(), source })?.ok_or_else(|| StoreError::Backup {
        path: backup.to_path_buf(),
        what: "is no backup: it is neither an SQLite file nor packed with zstd or gzip".into(),
    })
}

fn unpack(backup: &Path, form: Packing, database: &Path) -> Result<(), StoreError> {
    let from = File::open(backup).map_err(|source| StoreError::Io { path: backup.to_path_buf(), source })?;
    let to = open_private(database).map_err(|source| StoreError::Io { path: database.to_path_buf(), source })?;
    match packing::unpack(form, &from, &to) {
        Ok(_) => to.sync_all().map_err(|source| StoreError::Io { path: database.to_path_buf(), source }),
        // The disk's own errors have a number; those of what was packed have none.
        Err(source) if source.raw_os_error().is_some() => Err(StoreError::Io { path: database.to_path_buf(), source }),
        Err(error) => {
            let what = format!("is cut or damaged, and cannot be unpacked ({error}): take another backup");
            Err(StoreError::Backup { path: backup.to_path_buf(), what })
        }
    }
}

/// Content of a backup.
struct Backup {
    file_id: [u8; 16],
    epoch: u64,
    seq: Seq,
}

/// Reads what an unpacked backup is, after it has this program's schema.
fn identify(backup: &Path, database: &Path) -> Result<Backup, StoreError> {
    let opened = sqlite::open(database, Access::Write).map_err(|error| of_backup(backup, error.into()))?;
    let identity = check_identity(&opened, backup);
    drop(opened);
    match identity {
        Ok(FileIdentity::Ours) => {}
        Ok(FileIdentity::Empty) => {
            let what = "has no tables: it is no backup".into();
            return Err(StoreError::Backup { path: backup.to_path_buf(), what });
        }
        Err(StoreError::OlderSchema { found, .. }) if found >= 2 => {
            migrate::change(database, found).map_err(|error| of_backup(backup, error))?;
        }
        Err(other) => return Err(of_backup(backup, other)),
    }
    let connection = sqlite::open(database, Access::Write)?;
    let mark = mark_of(&connection).map_err(|error| of_backup(backup, error.into()))?;
    if log_position::read(&connection).map_err(|error| of_backup(backup, error.into()))?.is_some() {
        tracing::info!("the backup is of a node of a cluster");
    }
    Ok(Backup { file_id: mark.file_id, epoch: mark.epoch, seq: mark.seq })
}

fn mark_of(connection: &rusqlite::Connection) -> rusqlite::Result<WatermarkRecord> {
    let (epoch, file_id): (i64, [u8; 16]) =
        connection
            .query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (seq, link) = last_link(connection)?;
    Ok(WatermarkRecord { file_id, epoch: u64::try_from(epoch).unwrap_or(1), seq, link, synced: seq })
}

/// Compares an unpacked backup with the watermark beside it. Returns false without one.
fn compare_watermark(backup: &Path, database: &Path) -> Result<bool, StoreError> {
    let mark = match backup_file::read_watermark(backup)? {
        WatermarkState::Present(mark) => mark,
        WatermarkState::Absent => return Ok(false),
        WatermarkState::Unreadable => {
            let what = "is damaged: take another backup, or delete it if the backup itself verifies".into();
            return Err(StoreError::Backup { path: backup_file::watermark_of(backup), what });
        }
    };
    let connection = sqlite::open(database, Access::Write)?;
    match verify::compare_watermark(&connection, backup, &mark) {
        Ok(None) => Ok(true),
        Ok(Some(lost)) => {
            let what = format!("lacks {} events that its watermark names: take another backup", lost.events);
            Err(StoreError::Backup { path: backup.to_path_buf(), what })
        }
        Err(StoreError::EventsMissing { missing, .. }) => {
            let what = format!("lacks {missing} events that its watermark names: take another backup");
            Err(StoreError::Backup { path: backup.to_path_buf(), what })
        }
        Err(StoreError::Strange { .. }) => {
            let what = format!("is not the file that {} is of", backup_file::watermark_of(backup).display());
            Err(StoreError::Backup { path: backup.to_path_buf(), what })
        }
        Err(other) => Err(of_backup(backup, other)),
    }
}

/// Returns an error of an unpacked copy with the name of the backup.
fn of_backup(backup: &Path, error: StoreError) -> StoreError {
    let is_damage = |cause: &rusqlite::Error| {
        let code = cause.sqlite_error_code();
        matches!(code, Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
    };
    let what = if let StoreError::Inconsistent(what) = &error {
        format!("is damaged: {what}; take another backup")
    } else if let StoreError::Sqlite(cause) | StoreError::AtFile { cause, .. } = &error
        && is_damage(cause)
    {
        format!("is cut or damaged ({cause}): take another backup")
    } else {
        return error;
    };
    StoreError::Backup { path: backup.to_path_buf(), what }
}

/// The database in whose place the backup comes, as far as it is known.
struct Old {
    /// The database's id in hexadecimal digits, and the file that names it.
    file_id: Option<(String, PathBuf)>,
    /// Highest event and epoch that it is known to have had.
    seq: Seq,
    epoch: u64,
    /// Databases that can be read, to list what is missing.
    readable: Vec<PathBuf>,
}

impl Old {
    fn of(plan: &RestorePlan<'_>) -> Result<Old, StoreError> {
        let mut old = Old { file_id: None, seq: Seq::ZERO, epoch: 0, readable: Vec::new() };
        let database = plan.directory.join(DATABASE_FILE);
        if is_there(&database)? {
            let read = sqlite::open(&database, Access::Read).map_err(rusqlite::Error::from);
            // A database that fails to be read is replaced: that is what backups are for.
            if let Ok(mark) = read.and_then(|connection| mark_of(&connection)) {
                old.add(hex::encode(&mark.file_id), &database, mark.epoch, mark.seq);
                old.readable.push(database);
            }
        }
        if let WatermarkState::Present(mark) = Watermark::read(plan.directory)? {
            old.add(
                hex::encode(&mark.file_id),
                &plan.directory.join(super::watermark::WATERMARK_FILE),
                mark.epoch,
                mark.seq,
            );
        }
        let noted = beside::existing(plan.directory).unwrap_or_default();
        for note in beside::read(plan.directory) {
            let seq = note.known.map_or(Seq::ZERO, |(seq, _)| seq);
            old.add(note.file_id, &noted, note.epoch, seq);
        }
        if let Some(newer) = plan.newer {
            let file = if newer.is_dir() { newer.join(DATABASE_FILE) } else { newer.to_path_buf() };
            if !is_there(&file)? {
                return Err(StoreError::Missing { path: file });
            }
            // Its epoch counts, and its events do not: it stays where it is.
            let read = sqlite::open(&file, Access::Read).map_err(rusqlite::Error::from);
            match read.and_then(|connection| mark_of(&connection)) {
                Ok(mark) => {
                    old.epoch = old.epoch.max(mark.epoch);
                    old.readable.insert(0, file);
                }
                Err(error) => {
                    let what = format!(
                        "cannot be read ({error}): restore without --newer; nothing lists what is missing then"
                    );
                    return Err(StoreError::Backup { path: file, what });
                }
            }
        }
        Ok(old)
    }

    fn add(&mut self, file_id: String, found: &Path, epoch: u64, seq: Seq) {
        self.file_id.get_or_insert_with(|| (file_id, found.to_path_buf()));
        self.epoch = self.epoch.max(epoch);
        self.seq = self.seq.max(seq);
    }

    /// Refuses a backup of another database, and one that lacks events whose loss was not accepted.
    fn refuse(&self, plan: &RestorePlan<'_>, backup: &Backup) -> Result<(), StoreError> {
        let of_backup = hex::encode(&backup.file_id);
        if let Some((file_id, found)) = self.file_id.as_ref().filter(|(file_id, _)| *file_id != of_backup) {
            let what = format!(
                "is a backup of another database: its file id is {of_backup}, and {} is of {file_id}; restore it into another \
                 directory",
                found.display()
            );
            return Err(StoreError::Backup { path: plan.backup.to_path_buf(), what });
        }
        let lost = self.lost(backup);
        if lost == 0 && plan.accept_loss.is_none_or(|quoted| quoted == 0) {
            return Ok(());
        }
        found::refuse_loss(plan.directory, backup.seq.get())?;
        match plan.accept_loss {
            Some(quoted) if quoted == lost => Ok(()),
            Some(quoted) => Err(StoreError::OtherLoss { missing: lost, quoted }),
            None => {
                let what = format!(
                    "is older than the database of {0}: it ends at event {1}, and that has event {2}: {lost} events would be \
                     missing, orders and payments among them; accept that with `--accept-loss={lost}`, or move {0} away and \
                     list them with `--newer`; nothing was changed",
                    plan.directory.display(),
                    backup.seq,
                    self.seq
                );
                Err(StoreError::Backup { path: plan.backup.to_path_buf(), what })
            }
        }
    }

    fn lost(&self, backup: &Backup) -> u64 {
        self.seq.get().saturating_sub(backup.seq.get())
    }

    /// Lists what the databases that can be read have beyond the backup.
    fn missing(&mut self, backup: &Backup) -> Option<Result<MissingSince, String>> {
        let mut last = None;
        for path in self.readable.drain(..) {
            match MissingSince::list(&path, backup.file_id, backup.seq) {
                Ok(missing) => return Some(Ok(missing)),
                Err(error) => last = Some(Err(format!("{}: {error}", path.display()))),
            }
        }
        last
    }
}
