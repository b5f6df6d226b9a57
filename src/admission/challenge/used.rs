//! Used challenges and the orders that used them, so that each is used once.
//!
//! Challenges have numbers, from 0 on. The number leads to a place, which challenges of later rounds share: it keeps the last
//! round in which its challenge was used, and 32 bits of the key of the order that did. So memory is bounded by the places,
//! challenges that are never used take none, and the place of a used one is taken by one that is used `places` numbers later;
//! then the older one is refused, used or not.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::failpoints::{self, Bug};
use crate::types::Digest;

/// The result of using a challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    First,
    /// The same order has used it before.
    Repeated,
    /// Another order has used it before.
    Replayed,
    /// A later challenge has taken its place.
    Forgotten,
}

pub(super) struct UsedChallenges {
    /// Allocated with the first use.
    places: OnceLock<Box<[AtomicU64]>>,
    max: u64,
}

/// The part of an order's key that is kept. The digest is keyed, so no client can look for a key with the same part.
fn key_part(key: &Digest) -> u64 {
    key.0.first_chunk::<4>().map_or(0, |part| u32::from_be_bytes(*part).into())
}

impl UsedChallenges {
    pub(super) fn new(max: usize) -> UsedChallenges {
        UsedChallenges { places: OnceLock::new(), max: u64::try_from(max).unwrap_or(u64::MAX).max(1) }
    }

    /// Notes that an order uses a challenge, unless another one has.
    pub(super) fn note(&self, number: u64, key: &Digest) -> Use {
        let Some((place, round)) = self.find(number) else { return Use::Forgotten };
        let wanted = round << 32 | key_part(key);
        let mut seen = place.load(Ordering::SeqCst);
        loop {
            match compare(seen, round, key) {
                Use::First => {}
                Use::Replayed if failpoints::enabled(Bug::UsedChallengePasses) => return Use::First,
                known @ (Use::Repeated | Use::Replayed | Use::Forgotten) => return known,
            }
            match place.compare_exchange(seen, wanted, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Use::First,
                Err(changed) => seen = changed,
            }
        }
    }

    /// Returns what noting would, without doing it.
    pub(super) fn look(&self, number: u64, key: &Digest) -> Use {
        match self.find(number) {
            Some((place, round)) => compare(place.load(Ordering::SeqCst), round, key),
            None => Use::Forgotten,
        }
    }

    /// Returns the place of a challenge and its round, from 1 on.
    fn find(&self, number: u64) -> Option<(&AtomicU64, u64)> {
        let places = self.places.get_or_init(|| (0..self.max).map(|_| AtomicU64::new(0)).collect());
        let place = places.get(usize::try_from(number % self.max).ok()?)?;
        let round = (number / self.max).checked_add(1)?;
        (round <= u64::from(u32::MAX)).then_some((place, round))
    }
}

fn compare(seen: u64, round: u64, key: &Digest) -> Use {
    let (last, by) = (seen >> 32, seen & u64::from(u32::MAX));
    match last.cmp(&round) {
        std::cmp::Ordering::Less => Use::First,
        std::cmp::Ordering::Equal if by == key_part(key) => Use::Repeated,
        std::cmp::Ordering::Equal => Use::Replayed,
        std::cmp::Ordering::Greater => Use::Forgotten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(number: u8) -> Digest {
        Digest([number; 16])
    }

    #[test]
    fn a_challenge_is_used_by_one_order_which_may_repeat_it() {
        let used = UsedChallenges::new(1000);
        assert_eq!(used.look(7, &key(1)), Use::First);
        assert_eq!(used.note(7, &key(1)), Use::First);
        assert_eq!((used.note(7, &key(1)), used.look(7, &key(1))), (Use::Repeated, Use::Repeated));
        assert_eq!((used.note(7, &key(2)), used.look(7, &key(2))), (Use::Replayed, Use::Replayed));
        assert_eq!(used.note(8, &key(2)), Use::First);
    }

    #[test]
    fn a_used_challenge_whose_place_was_taken_does_not_pass_again() {
        let used = UsedChallenges::new(10);
        assert_eq!(used.note(3, &key(1)), Use::First);
        assert_eq!(used.note(13, &key(2)), Use::First, "the next round's");
        assert_eq!(used.note(3, &key(3)), Use::Forgotten);
        assert_eq!(used.note(13, &key(3)), Use::Replayed);
        assert_eq!(used.note(23, &key(3)), Use::First);
        assert_eq!(used.note(4, &key(1)), Use::First, "an unused place is everybody's");
        assert_eq!(used.note(u64::MAX, &key(1)), Use::Forgotten, "no number overflows");
    }

    #[test]
    fn of_many_threads_that_use_one_challenge_exactly_one_is_the_first() {
        let used = UsedChallenges::new(4);
        for number in 0..200 {
            let firsts: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|thread| {
                        scope.spawn({
                            let used = &used;
                            move || used.note(number, &key(thread))
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| usize::from(thread.join().expect("ends") == Use::First)).sum()
            });
            assert_eq!(firsts, 1, "challenge {number}");
        }
    }
}
