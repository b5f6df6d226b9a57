//! The load's own books, and the check against the server's. Pure; one ledger per thread, merged at the end.

use std::collections::BTreeMap;

use super::answer::DropView;
use super::outcome::Outcome;
use crate::types::OrderId;

/// How a buyer's story ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum End {
    /// Has a unit and keeps it.
    Keeps,
    /// Gave the unit back, for good.
    Cancelled,
    /// Let the reservation lapse and wants no other.
    Lapsed,
    /// Wanted a unit and was told "sold out", last.
    Unsatisfied,
    /// Ran out of retries without a definite answer.
    GaveUp,
    /// Got an answer that breaks the contract.
    Odd,
}

/// What no server that keeps the contract does.
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
    StrangeAnswer,
    NotConserved,
}

impl Violation {
    /// What happened, in words.
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
            Violation::WrongState => "an order was in a state that nobody asked for",
            Violation::UnexpectedRefusal => "a refusal for which there was no reason",
            Violation::StrangeAnswer => "an answer that is not in the contract",
            Violation::NotConserved => "a drop was shown with total other than available + held + sold",
        }
    }
}

/// How often something happened, and to whom first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) first_buyer: u32,
}

/// The books of one thread, or of all.
#[derive(Clone, Default, Debug)]
pub(super) struct Ledger {
    /// Orders that were acknowledged, each once.
    orders: Vec<OrderId>,
    cancelled: u64,
    lapsed: u64,
    ends: BTreeMap<End, u64>,
    violations: BTreeMap<Violation, Seen>,
    outcomes: [u64; Outcome::ALL.len()],
}

impl Ledger {
    /// A buyer learnt of a reservation that he did not know of.
    pub(super) fn reserved(&mut self, id: OrderId) {
        self.orders.push(id);
    }

    /// A cancellation was acknowledged.
    pub(super) fn cancelled(&mut self) {
        self.cancelled += 1;
    }

    /// A buyer learnt that his reservation is over.
    pub(super) fn lapsed(&mut self) {
        self.lapsed += 1;
    }

    /// A buyer's story is over.
    pub(super) fn end(&mut self, end: End) {
        *self.ends.entry(end).or_default() += 1;
    }

    /// The server broke the contract.
    pub(super) fn violated(&mut self, violation: Violation, buyer: u32) {
        self.violations.entry(violation).or_insert(Seen { count: 0, first_buyer: buyer }).count += 1;
    }

    /// A request ended.
    pub(super) fn count(&mut self, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
    }

    /// How many requests ended so.
    pub(super) fn counted(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many stories ended so.
    pub(super) fn ended(&self, end: End) -> u64 {
        self.ends.get(&end).copied().unwrap_or(0)
    }

    /// How many stories are over.
    fn ended_all(&self) -> u64 {
        self.ends.values().sum()
    }

    /// What broke the contract.
    pub(super) fn violations(&self) -> impl Iterator<Item = (Violation, Seen)> {
        self.violations.iter().map(|(violation, seen)| (*violation, *seen))
    }

    /// Takes another thread's books in.
    pub(super) fn merge(&mut self, other: Ledger) {
        self.orders.extend(other.orders);
        self.cancelled += other.cancelled;
        self.lapsed += other.lapsed;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        for (violation, seen) in other.violations {
            self.violations.entry(violation).or_insert(Seen { count: 0, ..seen }).count += seen.count;
        }
        for (sum, count) in self.outcomes.iter_mut().zip(other.outcomes) {
            *sum += count;
        }
    }

    /// Orders acknowledged and neither cancelled nor lapsed, as far as the buyers know.
    fn orders_standing(&self) -> u64 {
        (self.orders.len() as u64).saturating_sub(self.cancelled + self.lapsed)
    }

    /// How many acknowledged orders have an id that another one has, too.
    fn orders_doubled(&self) -> u64 {
        let mut ids: Vec<[u8; 16]> = self.orders.iter().map(|id| id.to_bytes()).collect();
        ids.sort_unstable();
        ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }
}

/// What the check looks at, when the last buyer has been answered.
pub(super) struct Facts<'a> {
    pub(super) ledger: &'a Ledger,
    /// The drop before the first request.
    pub(super) before: DropView,
    /// The drop after the last answer, or why it cannot be read.
    pub(super) after: Result<DropView, String>,
    /// Buyers who were to come.
    pub(super) buyers: u64,
    /// Buyers still in line.
    pub(super) waiting: u64,
    /// Reservations may have lapsed during the run without anybody looking.
    pub(super) lapses_unwatched: bool,
}

/// One line of the check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) holds: bool,
    pub(super) sentence: String,
}

/// The result of the check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// Units held or sold by this run, where the drop can be read.
    pub(super) accepted: Option<u64>,
    /// Units that were free at the start.
    pub(super) stock: u64,
    /// Buyers who have a unit to keep, or want one still.
    pub(super) demand: u64,
    /// Buyers whose last answer is a definite one.
    pub(super) answered: u64,
    /// Buyers whom the time limit cut off.
    pub(super) cut_off: u64,
    /// Whether `accepted == min(stock, demand)` could be decided exactly.
    pub(super) exact: bool,
    pub(super) findings: Vec<Finding>,
}

impl Verdict {
    /// Whether everything that was checked holds.
    pub(super) fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.holds)
    }
}

mod check;
pub(super) use check::check;

#[cfg(test)]
mod tests;
