//! The newest entries, as a member of etcd tells them by itself: a follower that has all others waits for them here.
//!
//! A look at the log (`Read`) costs a round of messages between the members, because it must not miss what was appended
//! before it. What a watch tells may come late or never (etcd#17529, etcd#18089), and says nothing about entries that do not
//! come: the follower looks five times a second, and compares number and link of every entry, wherever it comes from.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use etcd_client::{EventType, WatchOptions, WatchResponse};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{EtcdLog, REQUEST_MAX};
use crate::log::LogAnswer;

/// Longest time for which an entry is waited for: a follower's poll interval.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Time after the last wait at which the watch ends: a node that leads does not need its own entries.
const WANTED_FOR: Duration = Duration::from_secs(1);
/// Interval at which a watch without news looks whether it is of any use, and pause after one that has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Largest number of entries that are kept.
const ENTRIES_MAX: usize = 64;
/// Largest length of the entries that are kept, in bytes: 16 of the longest ones.
const BYTES_MAX: usize = 16 * crate::log::entry::ENTRY_BYTES_MAX;

/// The newest entries, encrypted, oldest first.
#[derive(Default)]
pub(super) struct Tail {
    kept: Mutex<Kept>,
    /// Tells those that wait that an entry came, or other news.
    news: Notify,
    /// Tells the watch that a node waits for an entry.
    wanted: Notify,
    wanted_at: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<KeptEntry>,
    bytes: usize,
}

/// An entry as a member told it.
struct KeptEntry {
    slot: Vec<u8>,
    sealed: Vec<u8>,
    /// Position of that member: another one is asked if the entry does not fit.
    member: usize,
}

impl Kept {
    fn push(&mut self, slot: &[u8], sealed: &[u8], member: usize) {
        self.bytes += sealed.len();
        self.entries.push_back(KeptEntry { slot: slot.to_vec(), sealed: sealed.to_vec(), member });
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.sealed.len();
        }
    }

    /// Returns the newest entry of a slot.
    fn newest(&self, slot: &[u8]) -> Option<&KeptEntry> {
        self.entries.iter().rev().find(|kept| kept.slot == slot)
    }
}

impl Tail {
    fn is_wanted(&self) -> bool {
        self.wanted_at.lock().is_some_and(|at| at.elapsed() < WANTED_FOR)
    }

    fn take(&self, told: &WatchResponse, member: usize) {
        let mut kept = self.kept.lock();
        for event in told.events() {
            if let (EventType::Put, Some(pair)) = (event.event_type(), event.kv()) {
                kept.push(pair.key(), pair.value(), member);
            }
        }
        drop(kept);
        self.news.notify_waiters();
    }
}

impl EtcdLog {
    /// Waits for the entry of a number, for at most [`WAIT_MAX`]; needs [`EtcdLog::watch_entries`] beside it.
    pub(super) async fn await_entry(&self, number: u64) -> LogAnswer {
        *self.tail.wanted_at.lock() = Some(Instant::now());
        self.tail.wanted.notify_one();
        let news = self.tail.news.notified();
        tokio::pin!(news);
        // From here on no news is missed.
        news.as_mut().enable();
        let slot = self.slot_key(number).into_bytes();
        let found = || {
            let kept = self.tail.kept.lock();
            let kept = kept.newest(&slot)?;
            self.note_reader(kept.member);
            Some(LogAnswer::Entry(self.open_entry(&kept.sealed).into()))
        };
        if let Some(entry) = found() {
            return entry;
        }
        let _in_time = timeout(WAIT_MAX, news).await;
        found().unwrap_or(LogAnswer::NoNews)
    }

    /// Ends the waits for an entry, because of other news.
    pub fn end_waits(&self) {
        self.tail.news.notify_waiters();
    }

    /// Watches the entries while a node waits for them, through the member that is used. Does not return.
    pub async fn watch_entries(&self) {
        loop {
            if !self.tail.is_wanted() {
                self.tail.wanted.notified().await;
            }
            let (at, mut member) = self.member();
            let all = WatchOptions::new().with_prefix();
            let opened = timeout(REQUEST_MAX, member.watch(format!("{}log/", self.prefix), Some(all))).await;
            if let Ok(Ok(watched)) = opened {
                self.follow_watch(at, watched).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes what a watch tells until it fails, is not wanted, or is one of a member that is not used any more.
    async fn follow_watch(&self, at: usize, mut watched: etcd_client::WatchStream) {
        while self.tail.is_wanted() && self.member().0 == at {
            match timeout(LOOK_EVERY, watched.message()).await {
                Ok(Ok(Some(told))) if !told.canceled() => self.tail.take(&told, at),
                Ok(_) => return,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entry_of_a_slot_is_found_and_the_kept_ones_are_bounded() {
        let mut kept = Kept::default();
        kept.push(b"log/0001", b"of the round before", 0);
        kept.push(b"log/0001", b"new", 2);
        let newest = kept.newest(b"log/0001").map(|kept| (kept.sealed.as_slice(), kept.member));
        assert_eq!((newest, kept.newest(b"log/0002").is_none()), (Some((&b"new"[..], 2)), true));
        for slot in 0..1000 {
            kept.push(format!("log/{slot:04}").as_bytes(), &[7; 10], 0);
        }
        assert_eq!((kept.entries.len(), kept.bytes), (ENTRIES_MAX, ENTRIES_MAX * 10));
        kept.push(b"log/1000", &vec![7; BYTES_MAX], 0);
        assert_eq!((kept.entries.len(), kept.bytes), (1, BYTES_MAX));
    }
}
