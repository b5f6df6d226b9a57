//! A filter of reads of drops: one byte for each hash of a reader and a drop, with the hour of the last read. A read stores one
//! byte. Two readers who meet in a byte have read each other's drops: an error in favour of the client, of one in a hundred with
//! 40,000 readers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::READ_FILTER_BYTES;

/// Whole hours since the start of the process.
pub(super) type Hours = u64;

/// Allocated at the first read that counts.
const BYTES: usize = READ_FILTER_BYTES;
/// The hours for which a read counts: a page may lie open for a day.
const HOURS_MAX: u8 = 24;
/// Drops are numbers of 32 bits; a bit above them marks orders.
const ORDER: u64 = 1 << 32;

/// The filter of reads.
#[derive(Default)]
pub(super) struct ReadFilter(OnceLock<Box<[AtomicU8]>>);

impl ReadFilter {
    /// Marks a drop as read by a reader, a secret hash.
    pub(super) fn mark(&self, reader: u64, drop: u32, now: Hours) {
        self.cell(reader, drop.into()).store(stamp(now), Ordering::Relaxed);
    }

    pub(super) fn is_marked(&self, reader: u64, drop: u32, now: Hours) -> bool {
        is_fresh(self.cell(reader, drop.into()), now)
    }

    /// Marks that a buyer has tried to order a drop. Returns whether it is the first time.
    pub(super) fn mark_order(&self, buyer: u64, drop: u32, now: Hours) -> bool {
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

/// Returns the low bits of an hour; 0 is no stamp, so one hour of 256 has that of the next.
fn stamp(now: Hours) -> u8 {
    let [low, ..] = now.to_le_bytes();
    low.max(1)
}

fn is_fresh(cell: &AtomicU8, now: Hours) -> bool {
    let stored = cell.load(Ordering::Relaxed);
    stored != 0 && stamp(now).wrapping_sub(stored) <= HOURS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_counts_for_a_day_for_its_reader_and_its_drop() {
        let reads = ReadFilter::default();
        for began in [1, 254, 1007] {
            let reader = u64::wrapping_mul(began, 0x1234_5678_9abc_def1);
            assert!(!reads.is_marked(reader, 7, began));
            reads.mark(reader, 7, began);
            assert!(reads.is_marked(reader, 7, began) && reads.is_marked(reader, 7, began + 24));
            assert!(!reads.is_marked(reader, 7, began + 26), "{began}");
            assert!(!reads.is_marked(reader, 8, began) && !reads.is_marked(reader + 1, 7, began));
            assert!(reads.mark_order(reader, 7, began), "a read is no order");
            assert!(!reads.mark_order(reader, 7, began + 1));
        }
    }
}
