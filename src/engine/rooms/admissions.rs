//! Admissions of a room in which an order can still be placed, and those of their positions that are idle.

use std::collections::VecDeque;

use super::RoomInstant;
use crate::types::TicketPosition;

/// Admissions whose idle positions are summed up together. With the longest time to order there are 36,000 admissions, and every
/// event of the drop asks which of them makes room.
const GROUP: usize = 128;

/// Positions that were admitted at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AdmittedBatch {
    pub(crate) from: u32,
    /// The first position behind it.
    pub(crate) until: u32,
    pub(crate) at: RoomInstant,
    /// Positions in it whose buyer has not placed an order.
    pub(crate) idle: u32,
}

/// Admissions, oldest first.
#[derive(Clone, Default, Debug)]
pub(crate) struct Admissions {
    batches: VecDeque<AdmittedBatch>,
    /// The idle positions of every [`GROUP`] admissions; the first group has lost `gone` of its admissions.
    groups: VecDeque<u64>,
    gone: usize,
    /// The sum of the groups.
    idle: u64,
}

/// Groups follow from the admissions that were there before.
impl PartialEq for Admissions {
    fn eq(&self, other: &Admissions) -> bool {
        self.batches == other.batches
    }
}
impl Eq for Admissions {}

impl Admissions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &AdmittedBatch> {
        self.batches.iter()
    }

    pub(crate) fn first(&self) -> Option<&AdmittedBatch> {
        self.batches.front()
    }

    pub(super) fn last(&self) -> Option<&AdmittedBatch> {
        self.batches.back()
    }

    pub(super) fn idle(&self) -> u64 {
        self.idle
    }

    pub(super) fn push(&mut self, batch: AdmittedBatch) {
        self.batches.push_back(batch);
        let idle = u64::from(batch.idle);
        match self.groups.back_mut().filter(|_| (self.batches.len() + self.gone) % GROUP != 1) {
            Some(group) => *group = group.saturating_add(idle),
            None => self.groups.push_back(idle),
        }
        self.idle = self.idle.saturating_add(idle);
    }

    pub(super) fn pop_first(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        self.lose(0, u64::from(batch.idle));
        self.gone = self.gone.saturating_add(1);
        if self.gone == GROUP {
            self.gone = 0;
            self.groups.pop_front();
        }
        if self.batches.is_empty() {
            *self = Admissions::default();
        }
    }

    /// The admission that a position belongs to.
    pub(super) fn of(&self, position: TicketPosition) -> Option<&AdmittedBatch> {
        self.batches.get(self.index_of(position)?)
    }

    fn index_of(&self, position: TicketPosition) -> Option<usize> {
        let index = self.batches.partition_point(|batch| batch.until <= position.0);
        self.batches.get(index).filter(|batch| batch.from <= position.0).map(|_| index)
    }

    /// Notes that the buyer at an idle position has placed an order.
    pub(super) fn note_order(&mut self, position: TicketPosition) {
        let Some(index) = self.index_of(position) else { return };
        if let Some(batch) = self.batches.get_mut(index) {
            batch.idle = batch.idle.saturating_sub(1);
            self.lose(self.group_of(index), 1);
        }
    }

    /// The group of the admission at an index.
    fn group_of(&self, index: usize) -> usize {
        index.saturating_add(self.gone) / GROUP
    }

    fn lose(&mut self, group: usize, idle: u64) {
        self.idle = self.idle.saturating_sub(idle);
        if let Some(group) = self.groups.get_mut(group) {
            *group = group.saturating_sub(idle);
        }
    }

    /// The first admission at whose end fewer than `most` positions are idle, where so many or more are idle now.
    pub(super) fn first_below(&self, most: u64) -> Option<&AdmittedBatch> {
        let mut idle = self.idle;
        for (number, group) in self.groups.iter().enumerate() {
            let behind = idle.saturating_sub(*group);
            if behind < most {
                let from = number.saturating_mul(GROUP).saturating_sub(self.gone);
                return self.batches.range(from..).find(|batch| {
                    idle = idle.saturating_sub(u64::from(batch.idle));
                    idle < most
                });
            }
            idle = behind;
        }
        None
    }

    /// The number of admissions from the first one on for which something holds that holds for none behind another.
    pub(super) fn count_while(&self, holds: impl Fn(&AdmittedBatch) -> bool) -> usize {
        self.batches.partition_point(holds)
    }

    /// The last of the first `count` admissions.
    pub(super) fn last_of_first(&self, count: usize) -> Option<&AdmittedBatch> {
        self.batches.get(count.checked_sub(1)?)
    }

    /// The idle positions of the first `count` admissions.
    pub(super) fn idle_of_first(&self, count: usize) -> u64 {
        let whole = self.group_of(count);
        let from = whole.saturating_mul(GROUP).saturating_sub(self.gone);
        let rest = self.batches.iter().take(count).skip(from).map(|batch| u64::from(batch.idle));
        self.groups.iter().take(whole).copied().chain(rest).fold(0, u64::saturating_add)
    }

    /// Returns whether sums are those of the admissions.
    pub(super) fn is_summed_up(&self) -> bool {
        let mut groups = vec![0u64; self.groups.len()];
        for (index, batch) in self.batches.iter().enumerate() {
            match groups.get_mut(self.group_of(index)) {
                Some(group) => *group = group.saturating_add(u64::from(batch.idle)),
                None => return false,
            }
        }
        self.idle == groups.iter().sum::<u64>() && self.groups.iter().eq(groups.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::UnixMillis;

    #[test]
    fn the_first_admission_that_makes_room_and_the_idle_of_the_first_ones_are_those_of_a_walk_over_all() {
        let (mut admissions, mut position, mut random) = (Admissions::default(), 0u32, 7u64);
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for round in 0..3000i64 {
            let size = u32::try_from(next(5)).expect("small") + 1;
            let at = RoomInstant(UnixMillis::new(round).expect("in range"));
            admissions.push(AdmittedBatch { from: position, until: position + size, at, idle: size });
            position += size;
            for _ in 0..next(4) {
                let first = admissions.first().expect("one").from;
                let ordered = first + u32::try_from(next(u64::from(position - first))).expect("small");
                if admissions.of(TicketPosition(ordered)).is_some_and(|batch| batch.idle > 0) {
                    admissions.note_order(TicketPosition(ordered));
                }
            }
            // The line grows, and then shrinks to nothing.
            for _ in 0..if round < 1500 { next(2) } else { next(5) } {
                admissions.pop_first();
            }
            assert!(admissions.is_summed_up(), "round {round}");
            for most in [0, 1, admissions.idle() / 2, admissions.idle()] {
                let mut idle = admissions.idle();
                let walked = admissions.iter().find(|batch| {
                    idle -= u64::from(batch.idle);
                    idle < most
                });
                assert_eq!(admissions.first_below(most), walked, "round {round}, fewer than {most}");
            }
            let all = admissions.iter().count();
            for count in [0, 1.min(all), GROUP.min(all), all / 2, all.saturating_sub(1), all] {
                let walked: u64 = admissions.iter().take(count).map(|batch| u64::from(batch.idle)).sum();
                assert_eq!(admissions.idle_of_first(count), walked, "round {round}, the first {count}");
            }
        }
    }
}
