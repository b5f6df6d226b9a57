//! Remembered keys: what makes a repeat a repeat.
//!
//! A key is remembered as long as its order is live and 24 hours after that; other commands' keys 24 hours after the
//! command. There are at most `max` of them: then the oldest that is no longer needed for a live order goes early.

use std::collections::VecDeque;
use std::fmt::Debug;

use super::digest_map::DigestMap;
use crate::types::{Digest, Quantity, Seq, UnixMillis};

/// The time for which a key is remembered after its order has ended, or after its command: 24 hours, as at Stripe.
pub const KEY_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

/// The memory of an order's key: the order, and the parameter that a repeat must share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedOrder {
    pub seq: Seq,
    /// The quantity that was asked for.
    pub quantity: Quantity,
}

/// The memory of another command's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedCommand {
    pub seq: Seq,
    /// The digest of the compared parameters.
    pub params: Digest,
    /// The number of the drop, order or endpoint that the command changed.
    pub subject: u64,
}

/// The memory of a key, in its compact form: there are a million of them, so every byte counts.
pub trait Remembered: Copy {
    /// The same in memory.
    type Kept: Copy + PartialEq + Debug;

    /// Packs it.
    fn keep(self) -> Self::Kept;

    /// Unpacks it.
    fn recall(kept: Self::Kept) -> Self;
}

/// A [`RememberedOrder`] in 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptOrder {
    seq_upper: u16,
    seq_lower: u32,
    quantity: Quantity,
}

impl Remembered for RememberedOrder {
    type Kept = KeptOrder;

    fn keep(self) -> KeptOrder {
        let (seq_upper, seq_lower) = self.seq.to_words();
        KeptOrder { seq_upper, seq_lower, quantity: self.quantity }
    }

    fn recall(kept: KeptOrder) -> RememberedOrder {
        RememberedOrder { seq: Seq::from_words((kept.seq_upper, kept.seq_lower)), quantity: kept.quantity }
    }
}

impl Remembered for RememberedCommand {
    type Kept = RememberedCommand;

    fn keep(self) -> RememberedCommand {
        self
    }

    fn recall(kept: RememberedCommand) -> RememberedCommand {
        kept
    }
}

/// Keys and what is remembered of them.
#[derive(Clone, Debug)]
pub struct Retained<T: Remembered> {
    by_key: DigestMap<T::Kept>,
    /// Those that nothing live needs, by the instant since when, with the seq to order equals: ascending.
    idle: VecDeque<(UnixMillis, Seq, Digest)>,
    max: usize,
    evicted: u64,
}

impl<T: Remembered> Retained<T> {
    /// No keys, and room for `max`.
    #[must_use]
    pub fn new(max: usize) -> Retained<T> {
        Retained { by_key: DigestMap::default(), idle: VecDeque::new(), max, evicted: 0 }
    }

    /// Returns the memory of a key.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<T> {
        self.by_key.get(key).copied().map(T::recall)
    }

    /// The most keys that are remembered.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// The number of keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Returns whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The number of keys forgotten early because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Remembers a key for as long as something live needs it.
    pub fn remember(&mut self, key: Digest, value: T) {
        self.by_key.insert(key, value.keep());
        self.evict();
    }

    /// From `since` on nothing live needs the key: it stays for [`KEY_RETENTION_MS`]. `seq` orders equals.
    pub fn release(&mut self, key: Digest, since: UnixMillis, seq: Seq) {
        if !self.by_key.contains(&key) {
            return;
        }
        let idle = (since, seq, key);
        match self.idle.back() {
            // Keys are released as time goes by; only those of one instant come in any order.
            Some(last) if *last >= idle => {
                if let Err(place) = self.idle.binary_search(&idle) {
                    self.idle.insert(place, idle);
                }
            }
            Some(_) | None => self.idle.push_back(idle),
        }
        self.evict();
    }

    /// The keys that nothing live needs, oldest first: since when, the seq that orders equals, and what is remembered.
    pub fn idle(&self) -> impl Iterator<Item = (UnixMillis, Seq, Digest, T)> {
        let known = |(since, seq, key): &(UnixMillis, Seq, Digest)| Some((*since, *seq, *key, self.get(key)?));
        self.idle.iter().filter_map(known)
    }

    /// Forgets what has been idle long enough by `at`.
    pub fn forget_until(&mut self, at: UnixMillis) {
        while let Some(&(since, _, key)) = self.idle.front() {
            if since.plus_millis(KEY_RETENTION_MS) > at {
                return;
            }
            self.idle.pop_front();
            self.by_key.remove(&key);
        }
    }

    fn evict(&mut self) {
        while self.by_key.len() > self.max {
            let Some((_, _, key)) = self.idle.pop_front() else { return };
            self.by_key.remove(&key);
            self.evicted = self.evicted.saturating_add(1);
        }
    }
}

impl<T: Remembered> PartialEq for Retained<T> {
    /// Compares the remembered keys; the number of evicted ones does not count.
    fn eq(&self, other: &Retained<T>) -> bool {
        self.max == other.max && self.by_key == other.by_key && self.idle == other.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Remembered for i32 {
        type Kept = i32;

        fn keep(self) -> i32 {
            self
        }
        fn recall(kept: i32) -> i32 {
            kept
        }
    }

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
        assert_eq!(keys.get(&key(1)), Some(1), "a live order's key stays");
        keys.release(key(1), at(1000), seq(1));
        keys.forget_until(at(1000 + KEY_RETENTION_MS - 1));
        assert_eq!(keys.get(&key(1)), Some(1));
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
        assert_eq!((keys.get(&key(1)), keys.get(&key(3))), (None, Some(3)));
        assert_eq!(keys.evicted(), 2);
    }

    #[test]
    fn keys_that_are_released_at_one_instant_go_in_the_order_of_their_numbers() {
        let mut keys = Retained::new(10);
        for n in 1..=4 {
            keys.remember(key(n), i32::from(n));
        }
        for (n, since) in [(3, 5), (1, 5), (4, 6), (2, 5), (1, 5)] {
            keys.release(key(n), at(since), seq(u64::from(n)));
        }
        let idle: Vec<i32> = keys.idle().map(|(_, _, _, n)| n).collect();
        assert_eq!(idle, [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_remembered_of_an_order_takes_8_bytes_and_comes_back_as_it_was() {
        assert_eq!(size_of::<KeptOrder>(), 8);
        for seq in [Seq::ZERO, seq(1), seq(u64::from(u32::MAX)), seq(1 << 32), Seq::MAX] {
            let order = RememberedOrder { seq, quantity: Quantity::new(65_535).expect("in range") };
            assert_eq!(RememberedOrder::recall(order.keep()), order);
        }
    }
}
