//! The signals and recent writes of buyers, in a table of a fixed size.
//!
//! A buyer's key leads to one bucket of four places. When each signal was raised is read without a lock, so a read of a buyer
//! with a token waits for no other; writes of the buyers of one bucket wait for each other. A newcomer takes the place of the
//! buyer with the lowest score, the longest silent of them first, and never that of a suspected one: where all four are
//! suspected, newcomers have no signals until one of the four has decayed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Millis;
use super::signals::{MilliPoints, decayed, is_regular};
use crate::config::RiskSettings;
use crate::types::{RiskNote, Signal, SignalSet};

const WAYS: usize = 4;
/// Parts that are allocated when their first buyer comes: a server whose clients are exempt has no table.
const SHARDS: usize = 64;
/// Remembered gaps, addresses and user agents of a buyer.
const PLACES: usize = 8;
/// Gaps that are longer start anew.
const GAP_MAX_MS: u64 = 60_000;

/// The recent writes of a buyer.
#[derive(Clone, Copy, Default)]
struct RecentWrites {
    /// The low bits of the time of the last write.
    last_ms: u32,
    gaps_ms: [u16; PLACES],
    /// Gaps since they were started anew.
    gaps: u8,
    /// The second in which the window of addresses and user agents began.
    origins_since: u32,
    /// Parts of hashes; 0 for none.
    addresses: [u16; PLACES],
    agents: [u16; PLACES],
}

/// The time of each signal's last raising, in tenths of a second; 0 for never.
type RaisedTimes = [AtomicU32; Signal::ALL.len()];

#[derive(Default)]
struct BuyerBucket {
    keys: [AtomicU64; WAYS],
    raised: [RaisedTimes; WAYS],
    writes: Mutex<[RecentWrites; WAYS]>,
}

/// The signs of a write together with those before it.
#[derive(Clone, Copy, Default)]
pub(super) struct SeenHistory {
    pub(super) is_regular: bool,
    pub(super) has_many_origins: bool,
    /// There was another write within a minute before.
    pub(super) has_written: bool,
}

/// The table of all buyers with signals or recent writes.
pub(super) struct BuyerTable {
    shards: Box<[OnceLock<Box<[BuyerBucket]>>]>,
    buckets_per_shard: usize,
}

impl BuyerTable {
    pub(super) fn new(entries_max: usize) -> BuyerTable {
        let buckets_per_shard = entries_max.checked_div(WAYS * SHARDS).unwrap_or(0).max(1);
        BuyerTable { shards: (0..SHARDS).map(|_| OnceLock::new()).collect(), buckets_per_shard }
    }

    /// Notes a write of a buyer from an address with a user agent, as far as these are known.
    pub(super) fn note_write(
        &self,
        key: u64,
        (address, agent): (Option<u64>, Option<u64>),
        rules: &RiskSettings,
        now: Millis,
    ) -> SeenHistory {
        let bucket = self.bucket(key);
        let mut writes = bucket.writes.lock();
        let Some(way) = bucket.find_or_insert(key, &mut writes, rules, now) else { return SeenHistory::default() };
        let recent = &mut writes[way];
        recent.note_origin(address, agent, rules, now);
        let is_regular = recent.note_gap(rules, now);
        // The first gap is that between the newcomer and itself.
        SeenHistory { is_regular, has_many_origins: recent.has_many_origins(rules), has_written: recent.gaps > 1 }
    }

    /// Raises signals of a buyer.
    pub(super) fn raise(&self, key: u64, signals: SignalSet, rules: &RiskSettings, now: Millis) {
        let bucket = self.bucket(key);
        let mut writes = bucket.writes.lock();
        let Some(way) = bucket.find_or_insert(key, &mut writes, rules, now) else { return };
        for signal in signals.iter() {
            bucket.raised[way][signal as usize].store(tenths(now), Ordering::Release);
        }
    }

    /// Returns a buyer's score and signals; `None` without any.
    pub(super) fn note_of(&self, key: u64, rules: &RiskSettings, now: Millis) -> Option<RiskNote> {
        let bucket = self.bucket_if_made(key)?;
        let way = bucket.find(key)?;
        let note = note(&bucket.raised[way], rules, now);
        // A newcomer may have taken the place meanwhile.
        note.filter(|_| bucket.keys[way].load(Ordering::Acquire) == key)
    }

    /// Returns whether a buyer's score is at least `suspect_at`.
    pub(super) fn is_suspected(&self, key: u64, rules: &RiskSettings, now: Millis) -> bool {
        let Some(bucket) = self.bucket_if_made(key) else { return false };
        bucket.find(key).is_some_and(|way| {
            score(&bucket.raised[way], rules, now) >= suspect_at(rules)
                && bucket.keys[way].load(Ordering::Acquire) == key
        })
    }

    /// Returns the number of suspected buyers, of used places, and of all places.
    pub(super) fn counts(&self, rules: &RiskSettings, now: Millis) -> (u64, u64, u64) {
        let (mut suspected, mut used) = (0, 0);
        for bucket in self.shards.iter().filter_map(OnceLock::get).flatten() {
            for (key, raised) in bucket.keys.iter().zip(&bucket.raised) {
                let is_used = key.load(Ordering::Relaxed) != 0;
                used += u64::from(is_used);
                suspected += u64::from(is_used && score(raised, rules, now) >= suspect_at(rules));
            }
        }
        let places = self.buckets_per_shard.saturating_mul(WAYS * SHARDS);
        (suspected, used, u64::try_from(places).unwrap_or(u64::MAX))
    }

    fn bucket(&self, key: u64) -> &BuyerBucket {
        let (shard, bits) = place(key);
        self.shards[shard]
            .get_or_init(|| (0..self.buckets_per_shard).map(|_| BuyerBucket::default()).collect())
            .get(self.index(bits))
            .unwrap_or_else(|| unreachable!("the index is below the number of buckets"))
    }

    fn bucket_if_made(&self, key: u64) -> Option<&BuyerBucket> {
        let (shard, bits) = place(key);
        self.shards[shard].get()?.get(self.index(bits))
    }

    /// Returns bits of a key, scaled to the number of buckets.
    fn index(&self, bits: u64) -> usize {
        let scaled = bits.wrapping_mul(u64::try_from(self.buckets_per_shard).unwrap_or(1)) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn bytes_of_a_buyer() -> usize {
        size_of::<BuyerBucket>().div_ceil(WAYS)
    }
}

/// Returns the shard of a key, and the 32 bits that choose its bucket.
fn place(key: u64) -> (usize, u64) {
    (usize::try_from(key >> 58).unwrap_or(0), (key << 6) >> 32)
}

impl BuyerBucket {
    fn find(&self, key: u64) -> Option<usize> {
        self.keys.iter().position(|known| known.load(Ordering::Acquire) == key)
    }

    /// Returns the place of a buyer. The caller holds the lock.
    fn find_or_insert(
        &self,
        key: u64,
        writes: &mut [RecentWrites; WAYS],
        rules: &RiskSettings,
        now: Millis,
    ) -> Option<usize> {
        if let Some(way) = self.find(key) {
            return Some(way);
        }
        let worth = |way: &usize| {
            let is_used = self.keys[*way].load(Ordering::Relaxed) != 0;
            let silence = since(writes[*way].last_ms, now).unwrap_or(0);
            (is_used, score(&self.raised[*way], rules, now), u32::MAX - silence)
        };
        let way = (0..WAYS).min_by_key(worth)?;
        if score(&self.raised[way], rules, now) >= suspect_at(rules) {
            return None;
        }
        self.keys[way].store(0, Ordering::Release);
        self.raised[way].iter().for_each(|raised| raised.store(0, Ordering::Release));
        writes[way] = RecentWrites { last_ms: low_bits(now), ..RecentWrites::default() };
        self.keys[way].store(key, Ordering::Release);
        Some(way)
    }
}

impl RecentWrites {
    /// Notes the time of a write. Returns whether the last gaps are regular.
    fn note_gap(&mut self, rules: &RiskSettings, now: Millis) -> bool {
        let Some(gap) = since(self.last_ms, now) else { return false };
        self.last_ms = low_bits(now);
        let Ok(gap) = u16::try_from(gap) else {
            self.gaps = 0;
            return false;
        };
        if u64::from(gap) > GAP_MAX_MS {
            self.gaps = 0;
            return false;
        }
        self.gaps_ms.rotate_right(1);
        self.gaps_ms[0] = gap;
        self.gaps = self.gaps.saturating_add(1);
        let wanted = usize::try_from(rules.interval_gaps).unwrap_or(PLACES).min(PLACES);
        // The first gap is that between the newcomer and itself.
        usize::from(self.gaps) > wanted && is_regular(&self.gaps_ms[..wanted], rules.interval_percent)
    }

    fn note_origin(&mut self, address: Option<u64>, agent: Option<u64>, rules: &RiskSettings, now: Millis) {
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        if second.saturating_sub(self.origins_since) >= rules.addresses_window_seconds {
            (self.addresses, self.agents, self.origins_since) = ([0; PLACES], [0; PLACES], second);
        }
        for (places, hash) in [(&mut self.addresses, address), (&mut self.agents, agent)] {
            let Some(hash) = hash else { continue };
            let part = u16::try_from(hash >> 48).unwrap_or(0).max(1);
            let place = places.iter_mut().find(|known| **known == part || **known == 0);
            if let Some(place) = place {
                *place = part;
            }
        }
    }

    fn has_many_origins(&self, rules: &RiskSettings) -> bool {
        let count = |places: &[u16; PLACES]| places.iter().filter(|known| **known != 0).count();
        let exceeds = |count: usize, max: u32| u32::try_from(count).is_ok_and(|count| count > max);
        exceeds(count(&self.addresses), rules.addresses_max) || exceeds(count(&self.agents), rules.agents_max)
    }
}

/// Returns the sum of what is left of each signal's weight.
fn score(raised: &RaisedTimes, rules: &RiskSettings, now: Millis) -> MilliPoints {
    Signal::ALL.into_iter().map(|signal| left(signal, raised, rules, now)).sum()
}

fn left(signal: Signal, raised: &RaisedTimes, rules: &RiskSettings, now: Millis) -> MilliPoints {
    let at = raised[signal as usize].load(Ordering::Acquire);
    if at == 0 {
        return 0;
    }
    let age_ms = u64::from(tenths(now).saturating_sub(at)).saturating_mul(100);
    decayed(rules.weights[signal as usize], age_ms, rules.half_life_seconds)
}

/// Returns the score, and the signals of which at least a point is left.
fn note(raised: &RaisedTimes, rules: &RiskSettings, now: Millis) -> Option<RiskNote> {
    let signals = Signal::ALL.into_iter().filter(|signal| left(*signal, raised, rules, now) >= 1000);
    let signals = signals.fold(SignalSet::default(), SignalSet::with);
    let score = u16::try_from(score(raised, rules, now) / 1000).unwrap_or(u16::MAX);
    (!signals.is_empty()).then_some(RiskNote { score, signals })
}

fn suspect_at(rules: &RiskSettings) -> MilliPoints {
    MilliPoints::from(rules.suspect_at).saturating_mul(1000)
}

/// Returns a time in tenths of a second, not 0.
fn tenths(now: Millis) -> u32 {
    u32::try_from(now / 100).unwrap_or(u32::MAX - 1).saturating_add(1)
}

/// Returns the milliseconds since a time of less than 24 days ago; `None` if it is later than `now`, which a request that began
/// earlier on another thread may have.
fn since(last_ms: u32, now: Millis) -> Option<u32> {
    let silence = low_bits(now).wrapping_sub(last_ms);
    (silence <= u32::MAX / 2).then_some(silence)
}

fn low_bits(now: Millis) -> u32 {
    u32::try_from(now & u64::from(u32::MAX)).unwrap_or(0)
}
