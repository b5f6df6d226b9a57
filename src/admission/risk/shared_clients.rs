//! Distinct buyers of each pair of an address and a user agent, in a table of a fixed size.
//!
//! A pair counts by a set of 128 bits, one of which each buyer sets: linear counting, with an error of a tenth at the default
//! threshold. A pair's window begins with its first buyer, and a pair makes room for a newcomer if it has the fewest buyers.

use std::sync::OnceLock;

use parking_lot::Mutex;

use super::Millis;

const WAYS: usize = 4;
const SHARDS: usize = 64;

#[derive(Clone, Copy, Default)]
struct Pair {
    /// The hash of an address and a user agent; 0 for none.
    client: u64,
    /// The second in which the window began.
    since: u32,
    buyers: [u64; 2],
}

type PairBucket = Mutex<[Pair; WAYS]>;

/// The table of all pairs.
pub(super) struct SharedClients {
    shards: Box<[OnceLock<Box<[PairBucket]>>]>,
    buckets_per_shard: usize,
}

impl SharedClients {
    pub(super) fn new(entries_max: usize) -> SharedClients {
        let buckets_per_shard = entries_max.checked_div(WAYS * SHARDS).unwrap_or(0).max(1);
        SharedClients { shards: (0..SHARDS).map(|_| OnceLock::new()).collect(), buckets_per_shard }
    }

    /// Counts a buyer of a client. Returns the number of its buyers in the window.
    pub(super) fn note(&self, client: u64, buyer: u64, window_seconds: u32, now: Millis) -> u32 {
        let client = client.max(1);
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let mut pairs = self.bucket(client).lock();
        let is_over = |pair: &Pair| second.saturating_sub(pair.since) >= window_seconds;
        let known = pairs.iter().position(|pair| pair.client == client && !is_over(pair));
        let index = known.unwrap_or_else(|| {
            // The place of the same client, of an empty or ended window, or of the fewest buyers.
            let cost = |pair: &Pair| {
                if pair.client == client {
                    0
                } else if is_over(pair) {
                    1
                } else {
                    2 + pair.count()
                }
            };
            let index = (0..WAYS).min_by_key(|index| cost(&pairs[*index])).unwrap_or(0);
            pairs[index] = Pair { client, since: second, buyers: [0; 2] };
            index
        });
        let pair = &mut pairs[index];
        let bit = buyer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
        pair.buyers[usize::from(bit >= 64)] |= 1 << (bit % 64);
        estimated(pair.count())
    }

    fn bucket(&self, client: u64) -> &PairBucket {
        let mixed = client.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let shard = usize::try_from(mixed >> 58).unwrap_or(0);
        let buckets =
            self.shards[shard].get_or_init(|| (0..self.buckets_per_shard).map(|_| PairBucket::default()).collect());
        let bits = (mixed << 6) >> 32;
        let scaled = bits.wrapping_mul(u64::try_from(buckets.len()).unwrap_or(1)) >> 32;
        &buckets[usize::try_from(scaled).unwrap_or(0)]
    }

    #[cfg(test)]
    pub(super) fn bytes_of_a_pair() -> usize {
        size_of::<PairBucket>().div_ceil(WAYS)
    }
}

impl Pair {
    /// Returns the bits that are set.
    fn count(&self) -> u32 {
        self.buyers.iter().map(|bits| bits.count_ones()).sum()
    }
}

/// Returns the number of buyers that set so many of 128 bits: 128 ln(128 / (128 - bits)), as the sum of the harmonic series.
fn estimated(bits: u32) -> u32 {
    let hundredths: u32 = (0..bits.min(127)).map(|set| 12_800 / (128 - set)).sum();
    hundredths.div_ceil(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyer(number: u64) -> u64 {
        (number + 1).wrapping_mul(0xff51_afd7_ed55_8ccd)
    }

    #[test]
    fn distinct_buyers_of_a_pair_are_counted_within_a_window() {
        let clients = SharedClients::new(1000);
        for (expected, most) in [(1, 1), (10, 11), (30, 36), (150, 200)] {
            let client = 77 + expected;
            let mut count = 0;
            for _ in 0..3 {
                for number in 0..expected {
                    count = clients.note(client, buyer(number), 600, 5_000);
                }
            }
            let least = u32::try_from(expected * 8 / 10).expect("few");
            assert!((least..=most).contains(&count), "{expected}: {count}");
            assert_eq!(clients.note(client, 1, 600, 605_000), 1, "another window");
        }
    }

    #[test]
    fn a_flood_of_new_pairs_takes_a_fixed_room_and_evicts_no_pair_of_many_buyers() {
        let clients = SharedClients::new(1000);
        for number in 0..40 {
            clients.note(5, buyer(number), 600, 1_000);
        }
        for number in 10..100_000 {
            clients.note(buyer(number), 1, 600, 2_000);
        }
        assert!(clients.note(5, buyer(1), 600, 3_000) > 30);
    }
}
