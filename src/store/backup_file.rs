//! The making of a backup: copied beside the sale, verified, packed if wanted, given its watermark, and only then its name.
//! Whatever goes wrong, and wherever the process is killed, no file has that name which is not whole.

use std::cell::Cell;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};

use super::live_copy::LiveCopy;
use super::lock::sync_directory;
use super::open::last_link;
use super::ownership::open_private;
use super::packing;
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use super::{StoreError, node_copy, verify};
use crate::failpoints::{self, PausePoint};
use crate::sqlite;
use crate::types::text::rfc3339;
use crate::types::{Packing, Seq, UnixMillis, hex};

/// Bytes after which a copy waits for its disk: a sale's own syncs must not wait for gigabytes of it.
const SYNC_EVERY: u64 = 8 << 20;
/// Longest wait of a copy that is ahead of its pace, after which it looks whether the server stops.
const PACE_STEP: Duration = Duration::from_millis(50);
/// Hexadecimal digits of the id of the database in the name of a backup.
const ID_DIGITS: usize = 8;

/// The place, form and pace of a backup.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// The file, which must not exist, or a directory, in which it gets a name by its instant.
    pub to: PathBuf,
    pub packing: Packing,
    /// Free bytes that the disk of the database must keep: below `writer.free_bytes_min` nothing is sold.
    pub free_bytes_min: u64,
    /// BackupPace of the copy, in bytes per second.
    pub bytes_per_second: u64,
    pub now: UnixMillis,
}

/// A backup that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MadeBackup {
    pub path: PathBuf,
    pub seq: Seq,
    pub epoch: u64,
    pub orders: u64,
    /// Size of the file, packed if it is.
    pub bytes: u64,
}

/// Returns the path of the watermark beside a backup.
#[must_use]
pub fn watermark_of(backup: &Path) -> PathBuf {
    with_end(backup, ".watermark")
}

/// Reads the watermark beside a backup.
///
/// # Errors
/// If this user may not read it.
pub fn read_watermark(backup: &Path) -> Result<WatermarkState, StoreError> {
    Watermark::read_at(watermark_of(backup))
}

/// Makes a backup of an open database with this id. Ends early once `stopping` is true.
///
/// # Errors
/// If it could not be made, or does not verify. Nothing of it is left.
pub fn make(
    source: &LiveCopy,
    file_id: [u8; 16],
    plan: &BackupPlan,
    stopping: &AtomicBool,
) -> Result<MadeBackup, StoreError> {
    let to = target(source, file_id, plan)?;
    let directory = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let growing = |end: &str| directory.join(format!(".firstcome-{}.{end}", hex::encode(&file_id)));
    let (plain, packed, mark_file) = (growing("growing"), growing("packed"), growing("mark"));
    let pace = BackupPace::begin(source, plan, stopping, &directory);
    pace.refuse_small_disk(source)?;
    // Another process may be making one here: its file is not taken away.
    let copy = lock_growing(&plain)?;
    let mut leftovers = Leftovers(vec![plain.clone()]);
    source.copy_to(&copy, &plain, |bytes| {
        pace.step(bytes, &copy, &plain)?;
        failpoints::pause(PausePoint::BackupCopies);
        Ok(())
    })?;
    at(&plain, copy.sync_all())?;
    failpoints::pause(PausePoint::BackupVerifies);
    let (mark, orders) = verified(&plain, file_id)?;
    let finished = if plan.packing == Packing::Plain {
        plain
    } else {
        leftovers.0.push(packed.clone());
        pack(plan.packing, &copy, &plain, &packed, &pace)?;
        packed
    };
    leftovers.0.push(mark_file.clone());
    let _none = fs::remove_file(&mark_file);
    Watermark::open_at(mark_file.clone())?.establish(&mark)?;
    let bytes = at(&finished, fs::metadata(&finished))?.len();
    failpoints::pause(PausePoint::BackupMarks);
    let watermark = watermark_of(&to);
    at(&watermark, fs::rename(&mark_file, &watermark))?;
    sync_directory(&directory)?;
    failpoints::pause(PausePoint::BackupNames);
    if let Err(error) = name(&finished, &to) {
        let _unused = fs::remove_file(&watermark);
        return at(&to, Err(error));
    }
    sync_directory(&directory)?;
    failpoints::pause(PausePoint::BackupNamed);
    Ok(MadeBackup { path: to, seq: mark.seq, epoch: mark.epoch, orders, bytes })
}

/// Removes the oldest backups of this database in a directory, which have the names that [`make`] gives, up to `keep`.
///
/// # Errors
/// If the directory cannot be read, or a file not be removed.
pub fn prune(directory: &Path, file_id: [u8; 16], keep: usize) -> Result<(), StoreError> {
    let found = backups_in(directory, file_id)?;
    let surplus = found.len().saturating_sub(keep.max(1));
    for path in found.into_iter().take(surplus) {
        at(&path, fs::remove_file(&path))?;
        let _without_one = fs::remove_file(watermark_of(&path));
    }
    Ok(())
}

/// Returns the newest backup in a directory.
#[must_use]
pub fn newest_file(directory: &Path, file_id: [u8; 16]) -> Option<PathBuf> {
    backups_in(directory, file_id).ok()?.pop()
}

/// Returns the instant of the newest backup in a directory.
#[must_use]
pub fn newest(directory: &Path, file_id: [u8; 16]) -> Option<UnixMillis> {
    let path = newest_file(directory, file_id)?;
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    UnixMillis::new(i64::try_from(since.as_millis()).ok()?)
}

/// Returns the backups of a database in a directory by their instants.
fn backups_in(directory: &Path, file_id: [u8; 16]) -> Result<Vec<PathBuf>, StoreError> {
    let beginning = beginning_of_name(file_id);
    let mut found = Vec::new();
    for entry in at(directory, fs::read_dir(directory))? {
        let entry = at(directory, entry)?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(&beginning)) else { continue };
        let is_one = rest.split_once(".db").is_some_and(|(instant, end)| {
            instant.len() == "20261128T073000Z".len() && ["", ".zst", ".gz"].contains(&end)
        });
        if is_one {
            found.push(entry.path());
        }
    }
    // The end of the name is irrelevant: instants have a second.
    found.sort();
    Ok(found)
}

fn beginning_of_name(file_id: [u8; 16]) -> String {
    let id = hex::encode(&file_id);
    format!("firstcome-{}-", id.get(..ID_DIGITS).unwrap_or_default())
}

/// Returns the path that the backup is to have.
fn target(source: &LiveCopy, file_id: [u8; 16], plan: &BackupPlan) -> Result<PathBuf, StoreError> {
    let refused = |path: &Path, what: &str| Err(StoreError::Backup { path: path.to_path_buf(), what: what.into() });
    let to = if plan.to.is_dir() {
        let instant: String = rfc3339(plan.now).chars().filter(|found| !"-:".contains(*found)).collect();
        let instant = instant.split(['.', 'Z']).next().unwrap_or_default();
        plan.to.join(format!("{}{instant}Z.db{}", beginning_of_name(file_id), plan.packing.extension()))
    } else {
        plan.to.clone()
    };
    if fs::symlink_metadata(&to).is_ok() {
        return refused(&to, "exists: a backup takes no other file's place; choose another name, or a directory");
    }
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = match above.canonicalize() {
        Ok(directory) => directory,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return refused(above, "is no directory of the server's machine: make it first, as the server's user");
        }
        Err(source) => return at(above, Err(source)),
    };
    let data = source.path().parent().and_then(|data| data.canonicalize().ok());
    if data.is_some_and(|data| directory.starts_with(data)) {
        return refused(&to, "is in the data directory, and would be lost with it: choose a directory on another disk");
    }
    Ok(to)
}

/// Creates the file in which a copy grows, in place of one that a killed process has left.
fn lock_growing(path: &Path) -> Result<File, StoreError> {
    let file = at(path, open_private(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let what = "is locked: another process makes a backup of this database there".into();
            return Err(StoreError::Backup { path: path.to_path_buf(), what });
        }
        Err(TryLockError::Error(source)) => return at(path, Err(source)),
    }
    at(path, file.set_len(0))?;
    Ok(file)
}

/// Proves a copy: its pages, every counter, every link of the chain. Returns its watermark and the number of its orders.
fn verified(copy: &Path, file_id: [u8; 16]) -> Result<(WatermarkRecord, u64), StoreError> {
    let report = verify::verify_copy(copy)?;
    if let Some(problem) = report.problems.first() {
        return Err(StoreError::Inconsistent(format!("{problem} ({} problems in all)", report.problem_count)));
    }
    let connection = sqlite::open_unchanging(copy)?;
    let (seq, link) = last_link(&connection)?;
    if report.file_id != file_id {
        let what = "is a copy of another database than the server has open".into();
        return Err(StoreError::Backup { path: copy.to_path_buf(), what });
    }
    Ok((WatermarkRecord { file_id, epoch: report.epoch, seq, link, synced: seq }, report.orders))
}

/// Packs the copy, and unpacks it again to compare.
fn pack(form: Packing, copy: &File, plain: &Path, packed: &Path, pace: &BackupPace<'_>) -> Result<(), StoreError> {
    let _none = fs::remove_file(packed);
    let file = at(packed, open_private(packed))?;
    let sum = packing::pack(form, copy, &file, |bytes| {
        failpoints::pause(PausePoint::BackupPacks);
        pace.look(bytes).map_err(Ended::ByServer)
    });
    let sum = sum.map_err(|ended| match ended {
        Ended::ByServer(error) => error,
        Ended::Io(source) => StoreError::Io { path: packed.to_path_buf(), source },
    })?;
    at(packed, file.sync_all())?;
    let read = at(packed, File::open(packed))?;
    if at(packed, packing::unpack(form, &read, io::sink()))? != sum {
        let what = format!("was packed from {} and is not unpacked as that", plain.display());
        return Err(StoreError::Backup { path: packed.to_path_buf(), what });
    }
    Ok(())
}

/// The end of a copy before its end.
enum Ended {
    ByServer(StoreError),
    Io(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Io(error)
    }
}

/// Gives a finished file its name, unless that has been taken meanwhile.
fn name(finished: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, finished, CWD, to, RenameFlags::NOREPLACE) {
        // A file system without it, such as NFS.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(finished, to)?;
            fs::remove_file(finished)
        }
        named => named.map_err(io::Error::from),
    }
}

/// Files that are removed at the end: those that have got their name are not there any more.
struct Leftovers(Vec<PathBuf>);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for path in &self.0 {
            let _none = fs::remove_file(path);
        }
    }
}

/// The pace of a copy, and the reasons to end it.
struct BackupPace<'a> {
    plan: &'a BackupPlan,
    stopping: &'a AtomicBool,
    directory: &'a Path,
    /// The copy takes space from the sale: both are on one file system.
    shares_disk: bool,
    began: Instant,
    bytes: Cell<u64>,
    unsynced: Cell<u64>,
}

impl<'a> BackupPace<'a> {
    fn begin(source: &LiveCopy, plan: &'a BackupPlan, stopping: &'a AtomicBool, directory: &'a Path) -> BackupPace<'a> {
        let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
        let shares_disk = device(source.path()) == device(directory);
        let (bytes, unsynced) = (Cell::new(0), Cell::new(0));
        BackupPace { plan, stopping, directory, shares_disk, began: Instant::now(), bytes, unsynced }
    }

    fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(self.directory)
            .map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize.max(1)))
    }

    /// Refuses to begin where the copy does not fit.
    fn refuse_small_disk(&self, source: &LiveCopy) -> Result<(), StoreError> {
        let database = node_copy::bytes_max(source.path());
        let kept = if self.shares_disk { self.plan.free_bytes_min } else { 0 };
        let (needed, free) = (database.saturating_add(kept), self.free_bytes());
        if free >= needed {
            return Ok(());
        }
        Err(self.no_room(format!(
            "has {free} free bytes, and a backup needs {needed}: {database} for the copy, {kept} for the sale"
        )))
    }

    /// Waits for the pace, and ends the copy if the server stops or the disk would be too full to sell.
    fn step(&self, bytes: u64, copy: &File, path: &Path) -> Result<(), StoreError> {
        self.look(bytes)?;
        self.unsynced.set(self.unsynced.get().saturating_add(bytes));
        if self.unsynced.get() < SYNC_EVERY {
            return Ok(());
        }
        self.unsynced.set(0);
        at(path, copy.sync_data())?;
        // The pages of the database are worth more in memory than those of its copy.
        let _advice = fadvise(copy, 0, None, Advice::DontNeed);
        loop {
            let due = Duration::from_secs_f64(self.bytes.get() as f64 / self.plan.bytes_per_second.max(1) as f64);
            let ahead = due.saturating_sub(self.began.elapsed());
            if ahead.is_zero() {
                return Ok(());
            }
            std::thread::park_timeout(ahead.min(PACE_STEP));
            self.look(0)?;
        }
    }

    fn look(&self, bytes: u64) -> Result<(), StoreError> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.stopping.load(Ordering::Relaxed) {
            let what = "got no backup: the server stops".into();
            return Err(StoreError::Backup { path: self.plan.to.clone(), what });
        }
        if self.shares_disk && self.free_bytes() < self.plan.free_bytes_min {
            let what = "has the disk of the sale, which has fewer free bytes than writer.free_bytes_min: the backup was given up";
            return Err(self.no_room(what.into()));
        }
        Ok(())
    }

    fn no_room(&self, what: String) -> StoreError {
        StoreError::Backup { path: self.directory.to_path_buf(), what }
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(end);
    PathBuf::from(name)
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, StoreError> {
    result.map_err(|source| StoreError::Io { path: path.to_path_buf(), source })
}
