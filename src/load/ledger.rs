//! The load's own counts of orders, outcomes and violations. Pure; one ledger per thread, merged at the end.

use std::collections::BTreeMap;

use super::outcome::RequestOutcome;
use crate::types::OrderId;

/// The end of a buyer's run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum BuyerEnd {
    /// Holds a unit at the end.
    Keeps,
    /// Cancelled, and wants no other unit.
    Cancelled,
    /// Let the reservation lapse and wants no other.
    Lapsed,
    /// Wanted a unit; the last answer was "sold out".
    Unsatisfied,
    /// Ran out of retries without a definite answer.
    GaveUp,
    /// Got an answer that breaks the contract.
    Violation,
}

/// A violation of the server's contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Violation {
    ReplayedUnasked,
    RepeatGaveAnotherOrder,
    RepeatNotMarked,
    LimitNotHeld,
    LapsedEarly,
    NotLapsed,
    WrongState,
    UnexpectedRefusal,
    InvalidResponse,
    NotConserved,
}

impl Violation {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Violation::ReplayedUnasked => {
                "an order was answered as a repeat, though its key was new (an earlier run with this seed on this drop?)"
            }
            Violation::RepeatGaveAnotherOrder => "the same key gave another order",
            Violation::RepeatNotMarked => "a repeat was not marked Idempotent-Replayed",
            Violation::LimitNotHeld => "a buyer got a second unit on a drop of one each",
            Violation::LapsedEarly => "a reservation ended before its time",
            Violation::NotLapsed => "a reservation was still held 10 s after its end",
            Violation::WrongState => "an order was in a state that no request asked for",
            Violation::UnexpectedRefusal => "a refusal for which there was no reason",
            Violation::InvalidResponse => "a response outside of the contract",
            Violation::NotConserved => "a drop was shown with total other than available + held + sold",
        }
    }
}

/// The number of violations of a kind, and the first buyer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ViolationCount {
    pub(super) count: u64,
    pub(super) first_buyer: u32,
}

/// The counts of one thread, or of all.
#[derive(Clone, Default, Debug)]
pub(super) struct Ledger {
    /// Orders that were acknowledged, each once.
    pub(super) orders: Vec<OrderId>,
    pub(super) cancelled: u64,
    pub(super) lapsed: u64,
    ends: BTreeMap<BuyerEnd, u64>,
    violations: BTreeMap<Violation, ViolationCount>,
    outcomes: [u64; RequestOutcome::ALL.len()],
}

impl Ledger {
    /// Counts a reservation when its buyer first sees it.
    pub(super) fn reserved(&mut self, id: OrderId) {
        self.orders.push(id);
    }

    /// Counts an acknowledged cancellation.
    pub(super) fn cancelled(&mut self) {
        self.cancelled += 1;
    }

    /// Counts a reservation that its buyer saw lapsed.
    pub(super) fn lapsed(&mut self) {
        self.lapsed += 1;
    }

    /// Counts the end of a buyer's run.
    pub(super) fn end(&mut self, end: BuyerEnd) {
        *self.ends.entry(end).or_default() += 1;
    }

    /// Counts a violation of the contract.
    pub(super) fn violated(&mut self, violation: Violation, buyer: u32) {
        self.violations.entry(violation).or_insert(ViolationCount { count: 0, first_buyer: buyer }).count += 1;
    }

    /// Counts the outcome of a request.
    pub(super) fn count(&mut self, outcome: RequestOutcome) {
        self.outcomes[outcome as usize] += 1;
    }

    /// The number of requests with this outcome.
    pub(super) fn counted(&self, outcome: RequestOutcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// The number of buyers with this end.
    pub(super) fn ended(&self, end: BuyerEnd) -> u64 {
        self.ends.get(&end).copied().unwrap_or(0)
    }

    /// The number of buyers whose run has ended.
    pub(super) fn ended_all(&self) -> u64 {
        self.ends.values().sum()
    }

    /// The violations of the contract.
    pub(super) fn violations(&self) -> impl Iterator<Item = (Violation, ViolationCount)> {
        self.violations.iter().map(|(violation, seen)| (*violation, *seen))
    }

    /// Adds another thread's counts.
    pub(super) fn merge(&mut self, other: Ledger) {
        self.orders.extend(other.orders);
        self.cancelled += other.cancelled;
        self.lapsed += other.lapsed;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        for (violation, seen) in other.violations {
            self.violations.entry(violation).or_insert(ViolationCount { count: 0, ..seen }).count += seen.count;
        }
        for (sum, count) in self.outcomes.iter_mut().zip(other.outcomes) {
            *sum += count;
        }
    }

    /// Orders acknowledged and neither cancelled nor lapsed, as far as the buyers know.
    pub(super) fn orders_standing(&self) -> u64 {
        (self.orders.len() as u64).saturating_sub(self.cancelled + self.lapsed)
    }

    /// The number of acknowledged orders whose id another order has, too.
    pub(super) fn orders_doubled(&self) -> u64 {
        let mut ids: Vec<[u8; 16]> = self.orders.iter().map(|id| id.to_bytes()).collect();
        ids.sort_unstable();
        ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }
}
