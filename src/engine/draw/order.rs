//! The order of the tickets, computed in slices of bounded time.
//!
//! Hashes are uniform, so tickets are put into buckets by the first bits of their hashes, about 256 into each, and every bucket
//! is sorted by itself. Memory: 8 bytes of hash, and twice 4 bytes of number for each ticket; the result keeps 8 bytes.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::TicketSet;
use crate::failpoints::{self, Bug};
use crate::types::draw::DigestTag;
use crate::types::{Beacon, DrawResult, Seed, TicketNumber, TicketPosition};

/// Tickets of a bucket on average. A bucket is sorted in one piece, and no bucket of uniform hashes is far longer.
const TICKETS_OF_BUCKET: u32 = 256;

/// The order of the drawn tickets, in both directions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permutation {
    numbers: Box<[u32]>,
    positions: Box<[u32]>,
}

impl Permutation {
    /// Returns the position of a ticket. `None` if it was not drawn.
    #[must_use]
    pub fn position(&self, number: TicketNumber) -> Option<TicketPosition> {
        self.positions.get(number.index()).copied().map(TicketPosition)
    }

    /// Returns the ticket at a position. `None` behind the last one.
    #[must_use]
    pub fn number(&self, position: TicketPosition) -> Option<TicketNumber> {
        self.numbers.get(position.0 as usize).copied().and_then(TicketNumber::new)
    }

    /// Returns the numbers of the tickets by position.
    #[must_use]
    pub const fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Returns the positions by the numbers of the tickets, beginning with ticket 1.
    #[must_use]
    pub const fn positions(&self) -> &[u32] {
        &self.positions
    }
}

/// A complete draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
    pub order: Permutation,
    pub result: DrawResult,
}

/// A draw in progress.
pub struct DrawRun {
    key: Box<hmac::Key>,
    count: u32,
    /// The first 64 bits of each ticket's hash, by number.
    prefixes: Box<[u64]>,
    /// Index in `numbers` at which each bucket begins, and the end of the last one.
    bucket_starts: Box<[u32]>,
    numbers: Box<[u32]>,
    positions: Box<[u32]>,
    result: Box<digest::Context>,
    stage: DrawStage,
}

/// The part of the work that comes next. The number says how many tickets, or buckets, have it behind them.
#[derive(Clone, Copy)]
enum DrawStage {
    Hash(u32),
    /// Numbers are put into their buckets.
    Scatter(u32),
    /// Buckets are sorted one by one.
    Sort(u32),
    /// Positions are noted, and the result hashes the order.
    Note(u32),
}

/// The state of a draw after a slice of its work.
pub enum DrawStep {
    More(DrawRun),
    Done(Drawn),
}

impl DrawRun {
    /// Begins a draw. The seed leaves the memory with it.
    #[must_use]
    pub fn new(tickets: &TicketSet, seed: &Seed, beacon: &Beacon) -> DrawRun {
        let mut result = digest::Context::new(&digest::SHA256);
        result.update(&[DigestTag::Result as u8]);
        result.update(seed.as_bytes());
        result.update(&[u8::try_from(beacon.as_bytes().len()).unwrap_or(u8::MAX)]);
        result.update(beacon.as_bytes());
        result.update(&tickets.root().0);
        let count = tickets.count() as usize;
        let buckets = bucket_count(tickets.count()) as usize;
        DrawRun {
            key: Box::new(key(seed, beacon)),
            count: tickets.count(),
            prefixes: vec![0; count].into(),
            bucket_starts: vec![0; buckets + 1].into(),
            numbers: vec![0; count].into(),
            positions: vec![0; count].into(),
            result: Box::new(result),
            stage: DrawStage::Hash(0),
        }
    }

    /// Draws to the end, in one piece: half a second for a million tickets.
    #[must_use]
    pub fn run(self) -> Drawn {
        let mut run = self;
        loop {
            match run.step(NonZeroU32::MAX) {
                DrawStep::More(next) => run = next,
                DrawStep::Done(drawn) => return drawn,
            }
        }
    }

    /// Does the next part of the work, for at most so many tickets and the rest of their bucket: 4,096 take
    /// about 2 ms.
    #[must_use]
    pub fn step(mut self, tickets: NonZeroU32) -> DrawStep {
        let end = |done: u32| done.saturating_add(tickets.get()).min(self.count);
        self.stage = match self.stage {
            DrawStage::Hash(done) => self.hash(done, end(done)),
            DrawStage::Scatter(done) => self.scatter(done, end(done)),
            DrawStage::Sort(bucket) => self.sort(bucket, tickets.get()),
            DrawStage::Note(done) if done == self.count => return DrawStep::Done(self.finish()),
            DrawStage::Note(done) => self.note(done, end(done)),
        };
        DrawStep::More(self)
    }

    fn hash(&mut self, from: u32, to: u32) -> DrawStage {
        for index in from..to {
            let hash = hash_of(&self.key, index + 1);
            let mut prefix = hash.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes);
            if failpoints::enabled(Bug::DrawByArrival) {
                prefix = (prefix >> 1) | (u64::from(index >= self.count / 2) << 63);
            }
            self.prefixes[index as usize] = prefix;
            // Counted one place further, so that the sums are the starts.
            let bucket = self.bucket_of(prefix);
            self.bucket_starts[bucket + 1] += 1;
        }
        if to < self.count {
            return DrawStage::Hash(to);
        }
        let mut sum = 0;
        for start in &mut self.bucket_starts {
            sum += *start;
            *start = sum;
        }
        DrawStage::Scatter(0)
    }

    /// Moves the start of each bucket to its end, ticket by ticket.
    fn scatter(&mut self, from: u32, to: u32) -> DrawStage {
        for index in from..to {
            let bucket = self.bucket_of(self.prefixes[index as usize]);
            let place = self.bucket_starts[bucket];
            self.numbers[place as usize] = index + 1;
            self.bucket_starts[bucket] = place + 1;
        }
        if to < self.count { DrawStage::Scatter(to) } else { DrawStage::Sort(0) }
    }

    /// Sorts buckets until they have so many tickets.
    fn sort(&mut self, bucket: u32, tickets: u32) -> DrawStage {
        let mut at = bucket as usize;
        let begin = if at == 0 { 0 } else { self.bucket_starts[at - 1] };
        let mut start = begin;
        while at + 1 < self.bucket_starts.len() && start - begin < tickets {
            let end = self.bucket_starts[at];
            let prefix = |number: u32| self.prefixes[number as usize - 1];
            sort_bucket(&mut self.numbers[start as usize..end as usize], prefix, |number| hash_of(&self.key, number));
            start = end;
            at += 1;
        }
        if at + 1 < self.bucket_starts.len() {
            return DrawStage::Sort(u32::try_from(at).unwrap_or(u32::MAX));
        }
        self.prefixes = Box::default();
        DrawStage::Note(0)
    }

    fn note(&mut self, from: u32, to: u32) -> DrawStage {
        let mut hashed = Vec::with_capacity((to - from) as usize * 8);
        for position in from..to {
            let number = self.numbers[position as usize];
            self.positions[number as usize - 1] = position;
            hashed.extend_from_slice(&u64::from(number).to_be_bytes());
        }
        self.result.update(&hashed);
        DrawStage::Note(to)
    }

    fn finish(self) -> Drawn {
        let mut result = [0; 32];
        result.iter_mut().zip(self.result.finish().as_ref()).for_each(|(to, from)| *to = *from);
        let order = Permutation { numbers: self.numbers, positions: self.positions };
        Drawn { order, result: DrawResult(result) }
    }

    fn bucket_of(&self, prefix: u64) -> usize {
        let bits = bucket_count(self.count).trailing_zeros();
        let bucket = prefix.checked_shr(u64::BITS - bits).unwrap_or(0);
        usize::try_from(bucket).unwrap_or(usize::MAX)
    }
}

/// Returns a power of two.
fn bucket_count(tickets: u32) -> u32 {
    (tickets / TICKETS_OF_BUCKET).max(1).next_power_of_two()
}

fn key(seed: &Seed, beacon: &Beacon) -> hmac::Key {
    let mut bytes = Zeroizing::new(Vec::with_capacity(Seed::BYTES + Beacon::BYTES_MAX));
    bytes.extend_from_slice(seed.as_bytes());
    bytes.extend_from_slice(beacon.as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

fn hash_of(key: &hmac::Key, number: u32) -> hmac::Tag {
    hmac::sign(key, &u64::from(number).to_be_bytes())
}

/// Sorts tickets by their hashes. The whole hash is asked for where two prefixes are equal: once in 30 million draws of a million.
fn sort_bucket<H: AsRef<[u8]>>(numbers: &mut [u32], prefix: impl Fn(u32) -> u64, hash: impl Fn(u32) -> H) {
    numbers.sort_unstable_by(|one, other| {
        prefix(*one).cmp(&prefix(*other)).then_with(|| hash(*one).as_ref().cmp(hash(*other).as_ref()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MerkleRoot;

    #[test]
    fn tickets_with_equal_prefixes_are_sorted_by_their_whole_hashes() {
        let key = key(&Seed::from_slice(&[3; 32]).expect("32 bytes"), &Beacon::default());
        let mut expected: Vec<u32> = (1..=500).collect();
        expected.sort_by_key(|number| hash_of(&key, *number).as_ref().to_vec());
        for bits in [0, 1, 4, 8, 64] {
            let mut numbers: Vec<u32> = (1..=500).collect();
            let prefix = |number| {
                let whole = hash_of(&key, number).as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes);
                whole.checked_shr(64 - bits).unwrap_or(0)
            };
            sort_bucket(&mut numbers, prefix, |number| hash_of(&key, number));
            assert_eq!(numbers, expected, "{bits} bits");
        }
    }

    #[test]
    fn every_size_of_a_slice_draws_the_order_of_a_plain_sort() {
        let seed = Seed::from_slice(&[9; 32]).expect("32 bytes");
        let beacon = Beacon::from_slice(b"beacon").expect("short");
        let key = key(&seed, &beacon);
        for count in [0, 1, 2, 255, 256, 257, 511, 512, 513, 1023, 1024, 3000] {
            let tickets = TicketSet::new(count, MerkleRoot([0; 32])).expect("few");
            let mut expected: Vec<u32> = (1..=count).collect();
            expected.sort_by_cached_key(|number| hash_of(&key, *number).as_ref().to_vec());
            let whole = DrawRun::new(&tickets, &seed, &beacon).run();
            assert_eq!(whole.order.numbers(), expected, "{count} tickets");
            for (position, number) in (0..).zip(&expected) {
                let number = TicketNumber::new(*number).expect("not 0");
                assert_eq!(whole.order.position(number), Some(TicketPosition(position)));
                assert_eq!(whole.order.number(TicketPosition(position)), Some(number));
            }
            assert_eq!(whole.order.number(TicketPosition(count)), None);
            for slice in [1, 7, 300] {
                let mut step = DrawRun::new(&tickets, &seed, &beacon).step(NonZeroU32::MIN);
                let drawn = loop {
                    step = match step {
                        DrawStep::More(run) => run.step(NonZeroU32::new(slice).expect("not 0")),
                        DrawStep::Done(drawn) => break drawn,
                    };
                };
                assert_eq!(drawn, whole, "{count} tickets in slices of {slice}");
            }
        }
    }
}
