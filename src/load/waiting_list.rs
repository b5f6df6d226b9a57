//! Where returned units meet the buyers who found the drop sold out. Pure; shared by the load threads behind one lock.
//!
//! Every unit that comes back is asked for once more while somebody waits. A buyer told "sold out" whose request left
//! after a unit had come back proves that somebody else has taken that unit: it is crossed out.

use std::collections::VecDeque;

/// A buyer in line: his number and his key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WaitingBuyer {
    pub(super) number: u32,
    pub(super) key: u16,
}

/// Buyers in line, and instants at which units came back while nobody was.
#[derive(Default, Debug)]
pub(super) struct WaitingList {
    waiting: VecDeque<WaitingBuyer>,
    returned_ns: VecDeque<u64>,
}

impl WaitingList {
    /// A buyer was told "sold out" on a request that left at `sent_ns`. Gives him back if he should ask once more.
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

    /// A unit came back, known from an answer read at `now_ns`. Gives the buyer who asks for it, if one waits.
    pub(super) fn unit_back(&mut self, now_ns: u64) -> Option<WaitingBuyer> {
        let first = self.waiting.pop_front();
        if first.is_none() {
            // Threads take the lock in another order than they read their clocks: kept sorted, from the back.
            let at = self.returned_ns.iter().rposition(|earlier| *earlier <= now_ns).map_or(0, |index| index + 1);
            self.returned_ns.insert(at, now_ns);
        }
        first
    }

    /// How many wait.
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
        assert_eq!(desk.unit_back(20), Some(buyer(1)));
        assert_eq!(desk.unit_back(21), Some(buyer(2)));
        assert_eq!(desk.unit_back(22), None);
        assert_eq!(desk.waiting(), 0);
    }

    #[test]
    fn a_unit_that_came_back_while_a_refusal_was_under_way_is_asked_for_again() {
        let mut desk = WaitingList::default();
        assert_eq!(desk.unit_back(20), None);
        assert_eq!(desk.sold_out(buyer(1), 19), Some(buyer(1)));
        assert_eq!(desk.sold_out(buyer(2), 19), None, "one unit, one more try");
    }

    #[test]
    fn a_refusal_sent_after_the_return_proves_the_unit_taken() {
        let mut desk = WaitingList::default();
        for at in [20, 40, 30] {
            assert_eq!(desk.unit_back(at), None);
        }
        assert_eq!(desk.sold_out(buyer(1), 35), Some(buyer(1)), "the one of 40 is open");
        assert_eq!(desk.sold_out(buyer(2), 15), None, "those of 20 and 30 were taken before 35");
    }
}
