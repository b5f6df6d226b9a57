//! Places in a line: how many of those who joined up to an entry still wait.

use crate::types::Seq;

/// The most entries of a block. A million entries are about a thousand blocks: every call touches one block and the lengths of
/// the others, a few microseconds.
const BLOCK_MAX: usize = 1024;
/// Two neighbours become one block when they have no more entries together, so that few blocks are nearly empty.
const JOINED_MAX: usize = BLOCK_MAX / 2;

/// The entries of a line in ascending order, in blocks.
#[derive(Clone, Default, Debug)]
pub(super) struct Ranks {
    /// No block is empty.
    blocks: Vec<Vec<Seq>>,
}

/// Blocks follow from what joined and left; all that counts is who waits.
impl PartialEq for Ranks {
    fn eq(&self, other: &Ranks) -> bool {
        self.blocks.iter().flatten().eq(other.blocks.iter().flatten())
    }
}
impl Eq for Ranks {}

impl Ranks {
    /// The last entry that waits.
    pub(super) fn last(&self) -> Option<Seq> {
        self.blocks.last()?.last().copied()
    }

    /// Adds an entry behind all others.
    pub(super) fn push(&mut self, joined: Seq) {
        assert!(self.last().is_none_or(|last| last < joined), "a line is joined at its end");
        match self.blocks.last_mut().filter(|block| block.len() < BLOCK_MAX) {
            Some(block) => block.push(joined),
            None => self.blocks.push(vec![joined]),
        }
    }

    /// Takes an entry out that waits.
    pub(super) fn remove(&mut self, joined: Seq) {
        let index = self.block_of(joined);
        let Some(block) = self.blocks.get_mut(index) else { return };
        let Ok(place) = block.binary_search(&joined) else { return };
        block.remove(place);
        let left = block.len();
        if left == 0 {
            self.blocks.remove(index);
        } else if self.blocks.get(index.saturating_add(1)).is_some_and(|next| left + next.len() <= JOINED_MAX) {
            let next = self.blocks.remove(index.saturating_add(1));
            if let Some(block) = self.blocks.get_mut(index) {
                block.extend(next);
            }
        }
    }

    /// The number of waiting entries up to one, itself included.
    pub(super) fn up_to(&self, joined: Seq) -> u32 {
        let index = self.block_of(joined);
        let before: usize = self.blocks.iter().take(index).map(Vec::len).sum();
        let within = self.blocks.get(index).map_or(0, |block| block.partition_point(|known| *known <= joined));
        u32::try_from(before.saturating_add(within)).unwrap_or(u32::MAX)
    }

    /// The index of the first block whose last entry is not before one.
    fn block_of(&self, joined: Seq) -> usize {
        self.blocks.partition_point(|block| block.last().is_some_and(|last| *last < joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).expect("in range")
    }

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) as usize
        }
    }

    #[test]
    fn places_are_those_of_a_count_by_hand_whoever_leaves() {
        let (mut ranks, mut by_hand, mut random) = (Ranks::default(), Vec::new(), Random(7));
        for number in 1..8000 {
            ranks.push(seq(number));
            by_hand.push(seq(number));
            // More leave than join in the second half, so that blocks are joined.
            let leaving = if number < 4000 { random.next() % 2 } else { random.next() % 4 };
            for _ in 0..leaving.min(by_hand.len()) {
                let gone = by_hand.remove(random.next() % by_hand.len());
                ranks.remove(gone);
            }
            if number % 50 == 0 {
                for (place, joined) in by_hand.iter().enumerate() {
                    assert_eq!(ranks.up_to(*joined) as usize, place + 1, "{joined} of {number}");
                }
                assert_eq!(ranks.last(), by_hand.last().copied());
            }
        }
        let fewest = by_hand.len().div_ceil(BLOCK_MAX);
        assert!(ranks.blocks.len() <= fewest * 4 + 2, "{} blocks of {} entries", ranks.blocks.len(), by_hand.len());
        assert!(ranks.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK_MAX));
    }

    #[test]
    fn lines_with_the_same_entries_are_equal_however_they_came_to_be() {
        let (mut straight, mut detour) = (Ranks::default(), Ranks::default());
        for number in 1..5000 {
            detour.push(seq(number));
            if number % 3 == 0 {
                straight.push(seq(number));
            }
        }
        (1..5000).filter(|number| number % 3 != 0).for_each(|number| detour.remove(seq(number)));
        assert!(straight == detour);
        detour.remove(seq(3));
        assert!(straight != detour);
    }
}
