//! Requests for backups, and the state of the last one: one is made at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::backup_file::MadeBackup;
use crate::types::{Packing, UnixMillis};

/// A wish for a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupOrder {
    /// A file that does not exist, or a directory.
    pub to: PathBuf,
    pub packing: Packing,
}

/// The last backup that was begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupReport {
    /// Number of backups that were begun since the start of the server, this one included.
    pub number: u64,
    pub order: BackupOrder,
    pub started_at: UnixMillis,
    pub result: BackupResult,
}

/// The state of a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackupResult {
    Running,
    Made { at: UnixMillis, made: MadeBackup },
    Failed { at: UnixMillis, error: String },
}

/// The requests that the thread of backups waits for.
#[derive(Default)]
pub struct BackupRequests {
    state: Mutex<RequestState>,
    changed: Condvar,
    /// The id of the database, which is in the names of its backups.
    pub file_id: [u8; 16],
    /// The server stops: a backup under way ends.
    pub stopping: AtomicBool,
}

#[derive(Default)]
struct RequestState {
    wanted: Option<BackupOrder>,
    last: Option<BackupReport>,
    begun: u64,
}

impl BackupRequests {
    /// Returns none yet, for the database with this id.
    #[must_use]
    pub fn of(file_id: [u8; 16]) -> BackupRequests {
        BackupRequests { file_id, ..BackupRequests::default() }
    }

    /// Begins a backup at `now`, unless one is being made. Returns its state.
    pub fn begin(&self, order: BackupOrder, now: UnixMillis) -> Option<BackupReport> {
        let mut state = self.state.lock();
        if state.last.as_ref().is_some_and(|last| last.result == BackupResult::Running) {
            return None;
        }
        state.begun = state.begun.saturating_add(1);
        let report =
            BackupReport { number: state.begun, order: order.clone(), started_at: now, result: BackupResult::Running };
        state.last = Some(report.clone());
        state.wanted = Some(order);
        self.changed.notify_one();
        Some(report)
    }

    /// Returns the last backup that was begun.
    #[must_use]
    pub fn last(&self) -> Option<BackupReport> {
        self.state.lock().last.clone()
    }

    /// Waits for a wish, at most so long.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> Option<BackupOrder> {
        let mut state = self.state.lock();
        if state.wanted.is_none() && !self.stopping.load(Ordering::Relaxed) {
            self.changed.wait_for(&mut state, longest);
        }
        state.wanted.take()
    }

    /// Notes the end of the backup that was taken last.
    pub fn end(&self, result: BackupResult) {
        if let Some(last) = &mut self.state.lock().last {
            last.result = result;
        }
    }

    /// Ends a backup whose thread has panicked.
    pub fn fail_running(&self, at: UnixMillis) {
        if let Some(last) = &mut self.state.lock().last
            && last.result == BackupResult::Running
        {
            last.result = BackupResult::Failed { at, error: "a bug: the log has its panic".into() };
        }
    }

    /// Lets the thread end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_backup_is_made_at_a_time_and_its_end_is_told() {
        let requests = BackupRequests::default();
        let order = BackupOrder { to: "/b".into(), packing: Packing::Zstd };
        assert_eq!((requests.last(), requests.wait(Duration::ZERO)), (None, None));
        let begun = requests.begin(order.clone(), UnixMillis::ZERO).expect("begun");
        assert_eq!((begun.number, &begun.result), (1, &BackupResult::Running));
        assert_eq!(requests.begin(order.clone(), UnixMillis::ZERO), None, "it waits");
        assert_eq!(requests.wait(Duration::from_secs(9)), Some(order.clone()));
        assert_eq!(requests.begin(order.clone(), UnixMillis::ZERO), None, "it is being made");
        let result = BackupResult::Failed { at: UnixMillis::ZERO, error: "no space".into() };
        requests.end(result.clone());
        assert_eq!(requests.last().map(|last| last.result), Some(result));
        assert_eq!(requests.begin(order, UnixMillis::ZERO).map(|begun| begun.number), Some(2));
    }
}
