//! Who has read which drop: one byte for each hash of a reader and a drop, with the hour of the last read. A read stores one
//! byte. Two readers who meet in a byte have read each other's drops: an error in favour of the client, of one in a hundred with
//! 40,000 readers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Millis;

/// 4 MiB, allocated at the first read that counts.
const BYTES: usize = 1 << 22;
const HOUR_MS: u64 = 3_600_000;
/// The hours for which a read counts: a page may lie open for a day.
const HOURS_MAX: u64 = 24;
/// The hours after which a stamp looks like that of another time. 0 is no stamp.
const STAMPS: u64 = 255;
/// Drops are numbers of 32 bits; a bit above them marks orders.
const ORDER: u64 = 1 << 32;

/// The filter of reads.
#[derive(Default)]
pub(super) struct ReadFilter(OnceLock<Box<[AtomicU8]>>);

impl ReadFilter {
    /// Marks a drop as read by a reader, a secret hash.
    pub(super) fn mark(&self, reader: u64, drop: u32, now: Millis) {
        self.cell(reader, drop.into()).store(stamp(now), Ordering::Relaxed);
    }

    pub(super) fn is_marked(&self, reader: u64, drop: u32, now: Millis) -> bool {
        is_fresh(self.cell(reader, drop.into()), now)
    }

    /// Marks that a buyer has tried to order a drop. Returns whether it is the first time.
    pub(super) fn mark_order(&self, buyer: u64, drop: u32, now: Millis) -> bool {
        let cell = self.cell(buyer, ORDER | u64::from(drop));
        let is_first = !is_fresh(cell, now);
        cell.store(stamp(now), Ordering::Relaxed);
        is_first
    }

    fn cell(&self, reader: u64, what: u64) -> &AtomicU8 {
        let cells = self.0.get_or_init(|| (0..BYTES).map(|_| AtomicU8::new(0)).collect());
        let hash = (reader ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let index = usize::try_from(hash >> (u64::BITS - BYTES.trailing_zeros())).unwrap_or(0);
        &cells[index]
    }
}

fn stamp(now: Millis) -> u8 {
    u8::try_from((now / HOUR_MS) % STAMPS).unwrap_or(0).saturating_add(1)
}

fn is_fresh(cell: &AtomicU8, now: Millis) -> bool {
    let stored = cell.load(Ordering::Relaxed);
    let age = (STAMPS + u64::from(stamp(now)) - u64::from(stored)) % STAMPS;
    stored != 0 && age <= HOURS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_counts_for_a_day_for_its_reader_and_its_drop() {
        let reads = ReadFilter::default();
        for began in [1, 254 * HOUR_MS, 1000 * HOUR_MS + 7] {
            let reader = began.wrapping_mul(0x1234_5678_9abc_def1);
            assert!(!reads.is_marked(reader, 7, began));
            reads.mark(reader, 7, began);
            assert!(reads.is_marked(reader, 7, began) && reads.is_marked(reader, 7, began + 24 * HOUR_MS));
            assert!(!reads.is_marked(reader, 7, began + 26 * HOUR_MS), "{began}");
            assert!(!reads.is_marked(reader, 8, began) && !reads.is_marked(reader + 1, 7, began));
            assert!(reads.mark_order(reader, 7, began), "a read is no order");
            assert!(!reads.mark_order(reader, 7, began + HOUR_MS));
        }
    }
}
