//! The policy that decides which commits wait for the disk.

use std::time::Instant;

use rusqlite::Connection;

use crate::failpoints::{self, Bug};
use crate::store::settings::set_synchronous;
use crate::store::{Durability, StoreError};
use crate::types::Seq;

/// Keeps the promise of the durability: every commit waits for the disk, or one at least every interval.
pub(super) struct SyncPolicy {
    durability: Durability,
    /// True if the connection waits for the disk at a commit.
    full: bool,
    /// Instant of the first commit that may not be on the disk.
    dirty_since: Option<Instant>,
    /// Last event that is known to be on the disk.
    synced: Seq,
}

impl SyncPolicy {
    /// The store opens with synchronous=FULL; the events up to `seq` that it found count as on the disk.
    pub(super) fn new(durability: Durability, seq: Seq) -> SyncPolicy {
        SyncPolicy { durability, full: true, dirty_since: None, synced: seq }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty_since.is_some()
    }

    /// Last event that is known to be on the disk.
    pub(super) fn synced(&self) -> Seq {
        self.synced
    }

    /// Latest instant at which a commit must wait for the disk.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.durability {
            Durability::Full => None,
            Durability::Interval(interval) => self.dirty_since.map(|since| since + interval),
        }
    }

    /// Returns true if the interval has passed since the first commit that did not wait for the disk.
    pub(super) fn is_due(&self) -> bool {
        self.due_at().is_some_and(|at| at <= Instant::now())
    }

    /// Makes every further commit wait for the disk.
    pub(super) fn make_due(&mut self) {
        self.durability = Durability::Full;
    }

    /// Sets `synchronous` for the next commit.
    pub(super) fn prepare(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if failpoints::enabled(Bug::SynchronousOff) {
            connection.pragma_update(None, "synchronous", "OFF")?;
            return Ok(());
        }
        let full = match self.durability {
            Durability::Full => true,
            Durability::Interval(_) => self.is_due(),
        };
        if full != self.full {
            set_synchronous(connection, full)?;
            self.full = full;
        }
        Ok(())
    }

    /// Notes that everything up to `seq` is committed. Returns the last event that is on the disk.
    pub(super) fn committed(&mut self, seq: Seq) -> Seq {
        if self.full {
            self.dirty_since = None;
            self.synced = seq;
        } else if self.dirty_since.is_none() {
            self.dirty_since = Some(Instant::now());
        }
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sqlite::{self, Access};

    fn seq(number: u64) -> Seq {
        Seq::new(number).expect("in range")
    }

    /// The setting of a connection: 1 does not wait for the disk at a commit, 2 does.
    fn synchronous(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("a setting")
    }

    #[test]
    fn between_two_waits_for_the_disk_commits_do_not_wait_and_do_not_count_as_synced() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let connection = sqlite::open(file.path(), Access::Write).expect("opened");
        set_synchronous(&connection, true).expect("set");
        let mut policy = SyncPolicy::new(Durability::Interval(Duration::from_secs(3600)), seq(4));
        assert_eq!((policy.is_dirty(), policy.due_at(), policy.synced()), (false, None, seq(4)));
        policy.prepare(&connection).expect("set");
        assert_eq!(synchronous(&connection), 1);
        assert_eq!(policy.committed(seq(5)), seq(4));
        assert!(policy.is_dirty() && policy.due_at().is_some() && !policy.is_due(), "the hour has not passed");
        policy.durability = Durability::Interval(Duration::ZERO);
        assert!(policy.is_due());
        policy.prepare(&connection).expect("set");
        assert_eq!(synchronous(&connection), 2);
        assert_eq!((policy.committed(seq(6)), policy.is_dirty(), policy.is_due()), (seq(6), false, false));
    }

    #[test]
    fn at_the_end_every_commit_waits_for_the_disk() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let connection = sqlite::open(file.path(), Access::Write).expect("opened");
        let mut policy = SyncPolicy::new(Durability::Interval(Duration::from_secs(3600)), Seq::ZERO);
        policy.prepare(&connection).expect("set");
        assert_eq!(policy.committed(seq(1)), Seq::ZERO);
        policy.make_due();
        policy.prepare(&connection).expect("set");
        assert_eq!((synchronous(&connection), policy.committed(seq(2)), policy.synced()), (2, seq(2), seq(2)));
    }
}
