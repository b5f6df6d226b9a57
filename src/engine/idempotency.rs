//! Remembered keys: what makes a repeat a repeat.
//!
//! A key is remembered as long as its order is live and 24 hours after that; other commands' keys 24 hours after the
//! command. There are at most `max` of them: then the oldest that is no longer needed for a live order goes early.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::types::{Digest, Quantity, Seq, UnixMillis};

/// How long a key is remembered after its order has ended, or after its command: 24 hours (`api.md`, as Stripe does).
pub const KEY_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

/// What is remembered of an order's key: the order, and the parameter that a repeat must share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedOrder {
    /// The order.
    pub seq: Seq,
    /// The quantity that was asked for.
    pub quantity: Quantity,
}

/// What is remembered of another command's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedCommand {
    /// The command's event.
    pub seq: Seq,
    /// The digest of the compared parameters.
    pub params: Digest,
    /// What it happened to: the number of a drop, or of an order.
    pub subject: u64,
}

/// Keys and what is remembered of them.
#[derive(Clone, Debug)]
pub struct Retained<T> {
    by_key: HashMap<Digest, T, BuildHasherDefault<DigestHasher>>,
    /// Those that nothing live needs, by the instant since when, with the seq to order equals.
    idle: BTreeSet<(UnixMillis, Seq, Digest)>,
    max: usize,
    evicted: u64,
}

impl<T> Retained<T> {
    /// No keys, and room for `max`.
    #[must_use]
    pub fn new(max: usize) -> Retained<T> {
        Retained { by_key: HashMap::default(), idle: BTreeSet::new(), max, evicted: 0 }
    }

    /// What is remembered of a key.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<&T> {
        self.by_key.get(key)
    }

    /// How many there may be.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many keys went early because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Remembers a key for as long as something live needs it.
    pub fn remember(&mut self, key: Digest, value: T) {
        self.by_key.insert(key, value);
        self.evict();
    }

    /// From `since` on nothing live needs the key: it stays for [`KEY_RETENTION_MS`]. `seq` orders equals.
    pub fn release(&mut self, key: Digest, since: UnixMillis, seq: Seq) {
        if self.by_key.contains_key(&key) {
            self.idle.insert((since, seq, key));
            self.evict();
        }
    }

    /// The keys that nothing live needs, oldest first: since when, the seq that orders equals, and what is remembered.
    pub fn idle(&self) -> impl Iterator<Item = (UnixMillis, Seq, Digest, &T)> {
        let known = |(since, seq, key): &(UnixMillis, Seq, Digest)| Some((*since, *seq, *key, self.by_key.get(key)?));
        self.idle.iter().filter_map(known)
    }

    /// Forgets what has been idle long enough by `at`.
    pub fn forget_until(&mut self, at: UnixMillis) {
        while let Some(&(since, _, key)) = self.idle.first() {
            if since.plus_millis(KEY_RETENTION_MS) > at {
                return;
            }
            self.idle.pop_first();
            self.by_key.remove(&key);
        }
    }

    fn evict(&mut self) {
        while self.by_key.len() > self.max {
            let Some((_, _, key)) = self.idle.pop_first() else { return };
            self.by_key.remove(&key);
            self.evicted = self.evicted.saturating_add(1);
        }
    }
}

impl<T: PartialEq> PartialEq for Retained<T> {
    /// Whether both remember the same; how many went early is no part of that.
    fn eq(&self, other: &Retained<T>) -> bool {
        self.max == other.max && self.by_key == other.by_key && self.idle == other.idle
    }
}

/// Digests are keyed and uniform already: their first eight bytes are the hash. Nobody outside can choose them.
#[derive(Clone, Default)]
pub struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Digest {
        Digest([n; 16])
    }
    fn seq(n: u64) -> Seq {
        Seq::new(n).expect("in range")
    }
    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    #[test]
    fn a_key_is_remembered_exactly_24_hours_after_its_release() {
        let mut keys = Retained::new(10);
        keys.remember(key(1), 1);
        keys.forget_until(at(10 * KEY_RETENTION_MS));
        assert_eq!(keys.get(&key(1)), Some(&1), "a live order's key stays");
        keys.release(key(1), at(1000), seq(1));
        keys.forget_until(at(1000 + KEY_RETENTION_MS - 1));
        assert_eq!(keys.get(&key(1)), Some(&1));
        keys.forget_until(at(1000 + KEY_RETENTION_MS));
        assert_eq!(keys.get(&key(1)), None);
        assert_eq!(keys.evicted(), 0);
    }

    #[test]
    fn beyond_the_bound_the_oldest_idle_key_goes_and_live_ones_stay() {
        let mut keys = Retained::new(2);
        keys.remember(key(1), 1);
        keys.remember(key(2), 2);
        keys.remember(key(3), 3);
        assert_eq!(keys.len(), 3, "all are live: none may go");
        keys.release(key(2), at(5), seq(2));
        assert_eq!((keys.len(), keys.get(&key(2))), (2, None));
        keys.release(key(1), at(6), seq(1));
        keys.release(key(3), at(6), seq(3));
        keys.remember(key(4), 4);
        assert_eq!((keys.get(&key(1)), keys.get(&key(3))), (None, Some(&3)));
        assert_eq!(keys.evicted(), 2);
    }
}
