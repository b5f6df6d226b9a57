//! The database of a node that joins a cluster, from the copy of another node's: it grows in a directory inside the data
//! directory, and takes its place once it is complete. An interruption leaves a directory in which it begins again, and in
//! which no server starts.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::lock::{DirectoryLock, sync_directory};
use super::log_position::{self, LogPosition};
use super::open::{DATABASE_FILE, Trust};
use super::ownership::{create_private_directory, give_back, is_there, open_private};
use super::watermark::WATERMARK_FILE;
use super::{Store, StoreError, beside, load, verify};
use crate::failpoints::{self, PausePoint};
use crate::sqlite;
use crate::store::chain::ChainLink;
use crate::types::{Seq, UnixMillis};

/// Directory in which the database grows.
const GROWING: &str = "joining";
/// The copy while it comes.
const PART_FILE: &str = "firstcome.db.part";
/// The entries of the log that are kept meanwhile.
const SPOOL_FILE: &str = "entries";

/// Returns true if the database of a directory is still growing.
#[must_use]
pub fn is_under_way(directory: &Path) -> bool {
    directory.join(GROWING).is_dir() && is_there(&directory.join(DATABASE_FILE)).is_ok_and(|is_there| !is_there)
}

/// Removes what is left of one that has taken its place.
pub fn remove_leftover(directory: &Path) {
    if directory.join(DATABASE_FILE).exists() {
        let _none = fs::remove_dir_all(directory.join(GROWING));
    }
}

/// A data directory whose database grows; locked until the end.
pub struct Joining {
    directory: PathBuf,
    _lock: DirectoryLock,
}

/// The database, complete up to an entry of the log.
pub struct GrowingStore {
    pub store: Store,
    pub position: LogPosition,
    pub seq: Seq,
    pub link: ChainLink,
}

impl Joining {
    /// Begins in a directory, again if an earlier attempt was interrupted.
    ///
    /// # Errors
    /// If there is a database, or the directory cannot be used.
    pub fn begin(directory: &Path) -> Result<Joining, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let database = directory.join(DATABASE_FILE);
        let growing = directory.join(GROWING);
        let watermark = directory.join(WATERMARK_FILE);
        if is_there(&database)? || (is_there(&watermark)? && !growing.is_dir()) {
            let path = if is_there(&database)? { database } else { watermark };
            let what = "is there already: a node joins with an empty directory; move this one away, and keep it until the node \
                        runs with the other nodes"
                .into();
            return Err(StoreError::NotPlain { path, what });
        }
        let at = |path: &Path, source| StoreError::Io { path: path.to_path_buf(), source };
        if growing.is_dir() {
            // The watermark of an attempt that was interrupted before its database came.
            if is_there(&watermark)? {
                fs::remove_file(&watermark).map_err(|source| at(&watermark, source))?;
            }
            fs::remove_dir_all(&growing).map_err(|source| at(&growing, source))?;
        }
        create_private_directory(&growing).map_err(|source| at(&growing, source))?;
        sync_directory(directory)?;
        Ok(Joining { directory: directory.to_path_buf(), _lock: lock })
    }

    /// Path of the file that keeps entries of the log.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.growing().join(SPOOL_FILE)
    }

    /// Creates the file of the copy, for its owner alone.
    ///
    /// # Errors
    /// The error of the disk.
    pub fn create_part(&self) -> Result<File, StoreError> {
        let path = self.growing().join(PART_FILE);
        open_private(&path).map_err(|source| StoreError::Io { path, source })
    }

    /// Opens and verifies the copy, all of which has come. `path` in the errors is that of the copy.
    ///
    /// # Errors
    /// If the copy is no database of this program, is damaged, or has no position in a log.
    pub fn open(&self, mut part: &File, now: UnixMillis) -> Result<GrowingStore, StoreError> {
        let (growing, database) = (self.growing(), self.growing().join(DATABASE_FILE));
        let at_database = |source| StoreError::Io { path: database.clone(), source };
        part.flush().and_then(|()| part.sync_all()).map_err(at_database)?;
        fs::rename(growing.join(PART_FILE), &database).map_err(at_database)?;
        let store = Store::open_trusting(&growing, now, Trust::File)?;
        let report = verify::verify_connection(&store.connection)?;
        if let Some(problem) = report.problems.first() {
            return Err(StoreError::Inconsistent(format!(
                "the copy: {problem} ({} problems in all)",
                report.problem_count
            )));
        }
        // The verification does not cover everything that a start loads.
        let loaded = load::load(&store.connection, &store.digest_key, usize::MAX)?;
        let position = log_position::read(&store.connection)?.unwrap_or(LogPosition { number: 0, epoch: 0, tenure: 0 });
        // A kill begins everything again, so nothing waits for the disk before the end.
        sqlite::set(&store.connection, "synchronous", "OFF", "0")?;
        Ok(GrowingStore { store, position, seq: loaded.state.seq(), link: loaded.link })
    }

    /// Puts the complete database in its place.
    ///
    /// # Errors
    /// The error of the disk: it begins again then.
    pub fn install(self, complete: GrowingStore) -> Result<(), StoreError> {
        let GrowingStore { store, seq, link, .. } = complete;
        store.watermark.establish(&store.mark(seq, link, seq))?;
        store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        let mark = store.mark(seq, link, seq);
        drop(store);
        let growing = self.growing();
        // The database is last: once it is there, the directory is that of a node.
        for name in [WATERMARK_FILE, DATABASE_FILE] {
            let (from, to) = (growing.join(name), self.directory.join(name));
            let moved = File::open(&from).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&from, &to));
            moved.map_err(|source| StoreError::Io { path: from, source })?;
            sync_directory(&self.directory)?;
            if name == WATERMARK_FILE {
                failpoints::pause(PausePoint::JoinInstalls);
            }
        }
        give_back(&self.directory)?;
        // What lay here before is no older state of this one.
        beside::write_of(&self.directory.join(DATABASE_FILE), &mark);
        remove_leftover(&self.directory);
        Ok(())
    }

    fn growing(&self) -> PathBuf {
        self.directory.join(GROWING)
    }
}
