//! The arrival times of all clients, in a table of a fixed size.
//!
//! A key leads to one bucket, which has a few places and one overflow cell. A newcomer gets the place of the client that has
//! recovered longest: its arrival time is past, so forgetting it loses nothing. Where no client has recovered, newcomers share
//! the overflow cell as if they were one client: a flood of keys evicts no client that is over a limit, and no client passes without a limit
//! because the table is full.
//!
//! A client that has a place waits for no lock: its charge is one compare-exchange. Only newcomers of one bucket wait for
//! each other. Races are decided against the client: a charge counts if the place is still the client's after it, otherwise
//! it is made again, and the newcomer of that place begins with one request less. So no client gets more than the quota.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::gcra::{Nanos, Quota};

/// Places of a bucket. With the overflow cell and the lock it is 128 bytes: two cache lines.
const WAYS: usize = 7;
/// Parts that are allocated when their first client comes: a server whose clients are exempt has no table.
const SHARDS: usize = 64;
/// Bits of a key that choose the shard.
const SHARD_BITS: u32 = SHARDS.trailing_zeros();

/// A client under a policy: a hash that is secret to this process, so that no client can choose keys that meet. Two of a
/// million clients meet with a probability of one in ten million.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key(u64);

impl Key {
    /// Returns the hash.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the key of the same client for another purpose.
    pub(super) fn of(self, purpose: u64) -> Key {
        Key(mix(self.0 ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Returns the key of a pair.
    pub(super) fn with(self, other: Key) -> Key {
        Key(mix(self.0 ^ other.0.rotate_left(32)))
    }
}

/// MurmurHash3's finalizer. Its input is secret already. 0 stands for an empty place.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)).max(1)
}

/// Returns both halves of a product, exclusive or.
fn folded(product: u128) -> u64 {
    let halves = product ^ (product >> 64);
    u64::try_from(halves & u128::from(u64::MAX)).unwrap_or(0)
}

#[derive(Default)]
#[repr(align(128))]
struct TableBucket {
    keys: [AtomicU64; WAYS],
    overflow: AtomicU64,
    arrivals: [AtomicU64; WAYS],
    /// Held by a newcomer that looks for a place.
    insertion: Mutex<()>,
}

/// A place in a bucket.
#[derive(Clone, Copy)]
enum CellPlace {
    Way(usize),
    Overflow,
}

/// The table of all clients under all policies.
pub(super) struct Table {
    hasher: RandomState,
    /// Secrets of the hash of addresses.
    secrets: [u64; 2],
    shards: Box<[OnceLock<Box<[TableBucket]>>]>,
    buckets_per_shard: usize,
}

impl Table {
    /// Returns an empty table for at most so many entries.
    pub(super) fn new(entries_max: usize) -> Table {
        let buckets_per_shard = entries_max.checked_div(WAYS * SHARDS).unwrap_or(0).max(1);
        let shards = (0..SHARDS).map(|_| OnceLock::new()).collect();
        let hasher = RandomState::new();
        let secrets = [hasher.hash_one(0), hasher.hash_one(1) | 1];
        Table { hasher, secrets, shards, buckets_per_shard }
    }

    /// Returns the key of a client.
    pub(super) fn key(&self, client: impl Hash) -> Key {
        Key(mix(self.hasher.hash_one(client)))
    }

    /// Returns the key of an address. It is on the path of every read, so it is hashed by one multiplication with secrets: a
    /// tenth of the instructions of the other. No answer shows a hash, from which the secrets could be learned.
    pub(super) fn address_key(&self, bits: u64) -> Key {
        let [offset, factor] = self.secrets;
        let product = u128::from(bits ^ offset).wrapping_mul(factor.into());
        Key(mix(folded(product)))
    }

    /// Charges a client for one request. Returns the arrival time after it.
    ///
    /// # Errors
    /// The time after which there is room.
    pub(super) fn take(&self, key: Key, quota: Quota, now: Nanos) -> Result<Nanos, Nanos> {
        let bucket = self.bucket(key);
        loop {
            let place = bucket.find(key).unwrap_or_else(|| bucket.insert(key, now));
            let taken = take_cell(bucket.arrival(place), quota, now);
            if bucket.is_of(place, key) {
                return taken;
            }
        }
    }

    /// Leaves a client that has a place no room under a quota, as if all of it had been used at once.
    pub(super) fn use_up(&self, key: Key, quota: Quota, now: Nanos) {
        let bucket = self.bucket(key);
        if let Some(place) = bucket.find(key) {
            bucket.arrival(place).fetch_max(quota.used_up(now), Ordering::SeqCst);
        }
    }

    /// Checks whether there is room for one request, without a place for a newcomer.
    ///
    /// # Errors
    /// The time after which there is room.
    pub(super) fn check(&self, key: Key, quota: Quota, now: Nanos) -> Result<(), Nanos> {
        let bucket = self.bucket(key);
        let place = match bucket.find(key) {
            Some(place) => place,
            None if bucket.recovered_longest(now).is_some() => return Ok(()),
            None => CellPlace::Overflow,
        };
        quota.next(bucket.arrival(place).load(Ordering::SeqCst), now).map(|_| ())
    }

    /// Returns the time until which a client has not recovered, if it has a place and has not yet.
    pub(super) fn charged_until(&self, key: Key, now: Nanos) -> Option<Nanos> {
        let bucket = self.bucket(key);
        let arrival = bucket.find(key).map(|place| bucket.arrival(place).load(Ordering::SeqCst));
        arrival.filter(|arrival| *arrival > now)
    }

    /// Gives room back to a request that another policy refused. A client in the overflow cell gets nothing back.
    pub(super) fn give_back(&self, key: Key, room: Nanos) {
        let bucket = self.bucket(key);
        if let Some(place) = bucket.find(key) {
            give_back_cell(bucket.arrival(place), room);
        }
    }

    fn bucket(&self, key: Key) -> &TableBucket {
        let shard = usize::try_from(key.0 >> (u64::BITS - SHARD_BITS)).unwrap_or(0);
        let buckets =
            self.shards[shard].get_or_init(|| (0..self.buckets_per_shard).map(|_| TableBucket::default()).collect());
        // The bits below the shard's, scaled to the number of buckets.
        let bits = (key.0 << SHARD_BITS) >> 32;
        let scaled = bits.wrapping_mul(u64::try_from(buckets.len()).unwrap_or(1)) >> 32;
        &buckets[usize::try_from(scaled).unwrap_or(0)]
    }

    /// Returns the number of clients that have not recovered, and of all places.
    pub(super) fn fill(&self, now: Nanos) -> (u64, u64) {
        let buckets = self.shards.iter().filter_map(OnceLock::get).flatten();
        let arrivals = buckets.flat_map(|bucket| &bucket.arrivals);
        let used = arrivals.filter(|arrival| arrival.load(Ordering::Relaxed) > now).count();
        let places = self.buckets_per_shard.saturating_mul(WAYS * SHARDS);
        (u64::try_from(used).unwrap_or(u64::MAX), u64::try_from(places).unwrap_or(u64::MAX))
    }

    /// Returns the bytes of all parts that have clients.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().filter_map(OnceLock::get).map(|buckets| size_of_val(&**buckets)).sum()
    }
}

impl TableBucket {
    fn find(&self, key: Key) -> Option<CellPlace> {
        self.keys.iter().position(|known| known.load(Ordering::SeqCst) == key.0).map(CellPlace::Way)
    }

    fn arrival(&self, place: CellPlace) -> &AtomicU64 {
        match place {
            CellPlace::Way(way) => &self.arrivals[way],
            CellPlace::Overflow => &self.overflow,
        }
    }

    /// Returns whether a place is a client's; the overflow cell is not, once the client has a place.
    fn is_of(&self, place: CellPlace, key: Key) -> bool {
        match place {
            CellPlace::Way(way) => self.keys[way].load(Ordering::SeqCst) == key.0,
            CellPlace::Overflow => self.find(key).is_none(),
        }
    }

    /// Returns the place whose client has recovered longest, with its arrival time.
    fn recovered_longest(&self, now: Nanos) -> Option<(usize, Nanos)> {
        let arrivals = self.arrivals.iter().map(|arrival| arrival.load(Ordering::SeqCst)).enumerate();
        arrivals.min_by_key(|(_, arrival)| *arrival).filter(|(_, arrival)| *arrival <= now)
    }

    /// Returns the place of a newcomer.
    fn insert(&self, key: Key, now: Nanos) -> CellPlace {
        let _newcomers_one_by_one = self.insertion.lock();
        loop {
            if let Some(place) = self.find(key) {
                return place;
            }
            let Some((way, arrival)) = self.recovered_longest(now) else { return CellPlace::Overflow };
            // Empty for a moment: a charge of the client that had the place is seen here, or sees that it was late.
            let evicted = self.keys[way].swap(0, Ordering::SeqCst);
            // The newcomer may have charged the overflow cell before: what was taken there counts on.
            let shared = self.overflow.load(Ordering::SeqCst).max(now);
            let inherited = arrival.max(shared);
            let still = self.arrivals[way].compare_exchange(arrival, inherited, Ordering::SeqCst, Ordering::SeqCst);
            if still.is_ok() {
                self.keys[way].store(key.0, Ordering::SeqCst);
                // Or it charges that cell in this instant, and has not seen its place yet.
                let taken = self.overflow.load(Ordering::SeqCst).max(now).saturating_sub(shared);
                self.arrivals[way].fetch_add(taken, Ordering::SeqCst);
                return CellPlace::Way(way);
            }
            self.keys[way].store(evicted, Ordering::SeqCst);
        }
    }
}

/// Charges a cell for one request. Returns the arrival time after it.
///
/// # Errors
/// The time after which there is room.
pub(super) fn take_cell(cell: &AtomicU64, quota: Quota, now: Nanos) -> Result<Nanos, Nanos> {
    let mut arrival = cell.load(Ordering::SeqCst);
    loop {
        let next = quota.next(arrival, now)?;
        match cell.compare_exchange_weak(arrival, next, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return Ok(next),
            Err(changed) => arrival = changed,
        }
    }
}

/// Gives room back to a cell.
pub(super) fn give_back_cell(cell: &AtomicU64, room: Nanos) {
    let _never_refused =
        cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |arrival| Some(arrival.saturating_sub(room)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LIMIT_ENTRY_BYTES;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_hundred_thousand_neighbours_have_keys_of_their_own_that_fill_all_parts_evenly() {
        let table = Table::new(7_000);
        let keys: std::collections::BTreeSet<u64> = (0..100_000).map(|bits| table.address_key(bits).0).collect();
        assert_eq!(keys.len(), 100_000);
        let mut buckets = std::collections::BTreeMap::new();
        for key in keys {
            *buckets.entry(std::ptr::from_ref(table.bucket(Key(key)))).or_insert(0) += 1;
        }
        assert!(buckets.values().all(|keys| (30..=200).contains(keys)), "a hundred in each of a thousand: {buckets:?}");
    }

    #[test]
    fn a_million_entries_take_less_than_64_megabytes_and_an_unused_table_takes_nothing() {
        assert_eq!(size_of::<TableBucket>(), 128);
        let table = Table::new(1_000_000);
        assert_eq!(table.bytes(), 0);
        let whole = table.buckets_per_shard * SHARDS * size_of::<TableBucket>();
        assert!(whole <= 1_000_000 * LIMIT_ENTRY_BYTES && LIMIT_ENTRY_BYTES <= 64, "{whole} bytes");
    }

    #[test]
    fn a_flood_of_a_million_new_keys_evicts_nobody_over_the_limit_disturbs_no_known_client_and_passes_only_with_room() {
        let (table, entries) = (Table::new(7_000), 7_000);
        let (one, many) = (Quota::new(1).expect("a limit"), Quota::new(100).expect("a limit"));
        let now = 100 * SECOND;
        let (limited, good) = (table.key("limited"), table.key("good"));
        table.take(limited, one, now).expect("room");
        table.take(good, many, now).expect("room");
        let mut passed = 0;
        for number in 0..1_000_000u64 {
            passed += u64::from(table.take(table.key(number), one, now + number).is_ok());
            if number % 20_000 == 0 {
                let after = now + number;
                assert!(table.take(limited, one, after).is_err(), "still limited after {number} keys");
                table.take(good, many, after).expect("the known client has its own room");
            }
        }
        let cells = entries + u64::try_from(table.buckets_per_shard * SHARDS).expect("few");
        assert!(passed <= cells, "{passed} passed, and there are {cells} cells");
        assert!(passed > cells / 2, "newcomers get the places there are: {passed}");
        assert!(table.bytes() <= 7_000 / WAYS * size_of::<TableBucket>());
        let later = now + 61 * SECOND;
        assert!(table.take(table.key("newcomer"), one, later).is_ok(), "those who have recovered make room");
        assert!(table.take(limited, one, later).is_ok());
    }

    #[test]
    fn threads_that_charge_one_client_while_newcomers_want_its_place_never_get_more_than_the_limit() {
        // One bucket a shard: newcomers meet all the time.
        let (table, quota) = (Table::new(1), Quota::new(500).expect("a limit"));
        let clients: Vec<Key> = (0..4).map(|number| table.key(("client", number))).collect();
        let passed: Vec<AtomicU64> = clients.iter().map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (table, clients, passed) = (&table, &clients, &passed);
                scope.spawn(move || {
                    for round in 0..2_000u64 {
                        for (client, passed) in clients.iter().zip(passed) {
                            passed.fetch_add(u64::from(table.take(*client, quota, 1).is_ok()), Ordering::SeqCst);
                        }
                        let _stranger = table.take(table.key((thread, round)), quota, 1);
                    }
                });
            }
        });
        for passed in passed {
            assert!(passed.into_inner() <= 500);
        }
    }
}
