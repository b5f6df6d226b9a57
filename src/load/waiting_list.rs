//! The waiting list of buyers who found the drop sold out, and the returned units. Pure; shared by the load threads behind
//! one lock.
//!
//! Every returned unit is asked for once more while a buyer waits. A "sold out" for a request that left after a unit was
//! returned proves that another buyer has taken that unit: it is removed from the list.

use std::collections::VecDeque;

/// A buyer on the list, by number and key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WaitingBuyer {
    pub(super) number: u32,
    pub(super) key: u16,
}

/// Waiting buyers, and the instants of units that were returned while no buyer waited.
#[derive(Default, Debug)]
pub(super) struct WaitingList {
    waiting: VecDeque<WaitingBuyer>,
    returned_ns: VecDeque<u64>,
}

impl WaitingList {
    /// Adds a buyer whose request left at `sent_ns` and was answered "sold out"; gives the buyer back if a unit returned since
    /// then should be asked for.
    pub(super) fn sold_out(&mut self, buyer: WaitingBuyer, sent_ns: u64) -> Option<WaitingBuyer> {
        while self.returned_ns.front().is_some_and(|returned_ns| *returned_ns <= sent_ns) {
            self.returned_ns.pop_front();
        }
        if self.returned_ns.pop_front().is_some() {
            return Some(buyer);
        }
        self.waiting.push_back(buyer);
        None
    }

    /// Adds a returned unit, known from an answer read at `now_ns`; gives the first waiting buyer, who asks for it.
    pub(super) fn unit_returned(&mut self, now_ns: u64) -> Option<WaitingBuyer> {
        let first = self.waiting.pop_front();
        if first.is_none() {
            // Threads take the lock in another order than they read their clocks: kept sorted, from the back.
            let at = self.returned_ns.iter().rposition(|earlier| *earlier <= now_ns).map_or(0, |index| index + 1);
            self.returned_ns.insert(at, now_ns);
        }
        first
    }

    /// The number of waiting buyers.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyer(number: u32) -> WaitingBuyer {
        WaitingBuyer { number, key: 0 }
    }

    #[test]
    fn a_returned_unit_goes_to_the_first_in_line() {
        let mut desk = WaitingList::default();
        assert_eq!(desk.sold_out(buyer(1), 10), None);
        assert_eq!(desk.sold_out(buyer(2), 11), None);
        assert_eq!(desk.unit_returned(20), Some(buyer(1)));
        assert_eq!(desk.unit_returned(21), Some(buyer(2)));
        assert_eq!(desk.unit_returned(22), None);
        assert_eq!(desk.waiting(), 0);
    }

    #[test]
    fn a_unit_that_came_back_while_a_refusal_was_under_way_is_asked_for_again() {
        let mut desk = WaitingList::default();
        assert_eq!(desk.unit_returned(20), None);
        assert_eq!(desk.sold_out(buyer(1), 19), Some(buyer(1)));
        assert_eq!(desk.sold_out(buyer(2), 19), None, "one unit, one more try");
    }

    #[test]
    fn a_refusal_sent_after_the_return_proves_the_unit_taken() {
        let mut desk = WaitingList::default();
        for at in [20, 40, 30] {
            assert_eq!(desk.unit_returned(at), None);
        }
        assert_eq!(desk.sold_out(buyer(1), 35), Some(buyer(1)), "the one of 40 is open");
        assert_eq!(desk.sold_out(buyer(2), 15), None, "those of 20 and 30 were taken before 35");
    }
}
