//! The books of a crowd in a room. Pure; one ledger per thread, merged at the end.

use std::collections::BTreeMap;

use hdrhistogram::{AdditionError, CreationError, Histogram};

use crate::load::meter::{DIGITS, LATENCY_US_MAX};
use crate::types::OrderId;

/// A violation of what a room promises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum RoomViolation {
    OutOfOrder,
    OrderedWithoutTicket,
    AdmittedRefused,
    NumberTwice,
    PositionTwice,
    AnotherTicket,
    RepeatNotMarked,
    AnotherPosition,
    ServingWentBack,
    InvalidResponse,
}

impl RoomViolation {
    pub(super) const fn words(self) -> &'static str {
        match self {
            RoomViolation::OutOfOrder => "a buyer got a unit before the own turn",
            RoomViolation::OrderedWithoutTicket => "a buyer without a ticket got a unit",
            RoomViolation::AdmittedRefused => "an admitted buyer was refused in time",
            RoomViolation::NumberTwice => "two buyers have tickets with one number",
            RoomViolation::PositionTwice => "two buyers have one position",
            RoomViolation::AnotherTicket => "a buyer got a second ticket",
            RoomViolation::RepeatNotMarked => "a repeated ticket was not marked Idempotent-Replayed",
            RoomViolation::AnotherPosition => "a refusal named another position than the ticket",
            RoomViolation::ServingWentBack => "`serving` was lower than before",
            RoomViolation::InvalidResponse => "a response outside of the contract",
        }
    }
}

/// A kind of events in the books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum RoomCount {
    Tickets,
    TicketsAskedTwice,
    Polls,
    PollsUnchanged,
    /// Polls while nothing else was asked.
    FastPolls,
    CheckedOut,
    /// Admitted buyers who never came back.
    Gone,
    /// Admitted buyers whose time had passed when they were served by the load.
    TooLate,
    /// Admitted buyers who found every unit taken.
    SoldOut,
    EarlyRefused,
    /// Buyers who ordered early, and whose turn came just then.
    EarlyInTurn,
    WithoutTicketRefused,
    Rejected,
    Unsure,
    NotConnected,
}

impl RoomCount {
    pub(super) const ALL: [RoomCount; 15] = [
        RoomCount::Tickets,
        RoomCount::TicketsAskedTwice,
        RoomCount::Polls,
        RoomCount::PollsUnchanged,
        RoomCount::FastPolls,
        RoomCount::CheckedOut,
        RoomCount::Gone,
        RoomCount::TooLate,
        RoomCount::SoldOut,
        RoomCount::EarlyRefused,
        RoomCount::EarlyInTurn,
        RoomCount::WithoutTicketRefused,
        RoomCount::Rejected,
        RoomCount::Unsure,
        RoomCount::NotConnected,
    ];

    /// The name in JSON, and the words of the table.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            RoomCount::Tickets => ("tickets", "tickets taken"),
            RoomCount::TicketsAskedTwice => ("tickets_asked_twice", "the same ticket, asked for again"),
            RoomCount::Polls => ("polls", "polls of the room"),
            RoomCount::PollsUnchanged => ("polls_unchanged", "  of them unchanged (304)"),
            RoomCount::FastPolls => ("fast_polls", "  of them as fast as possible"),
            RoomCount::CheckedOut => ("checked_out", "orders checked out"),
            RoomCount::Gone => ("gone", "admitted, never came back"),
            RoomCount::TooLate => ("too_late", "admitted, came too late"),
            RoomCount::SoldOut => ("sold_out", "admitted, every unit was taken"),
            RoomCount::EarlyRefused => ("early_refused", "before their turn: refused"),
            RoomCount::EarlyInTurn => ("early_in_turn", "before their turn, which came just then"),
            RoomCount::WithoutTicketRefused => ("without_ticket_refused", "without a ticket: refused"),
            RoomCount::Rejected => ("rejected", "rejected, asked again"),
            RoomCount::Unsure => ("unsure", "no definite answer, asked again"),
            RoomCount::NotConnected => ("not_connected", "could not connect"),
        }
    }
}

/// The kinds of requests that are timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RoomTimed {
    Tickets,
    Polls,
    Orders,
}

impl RoomTimed {
    pub(super) const ALL: [RoomTimed; 3] = [RoomTimed::Tickets, RoomTimed::Polls, RoomTimed::Orders];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            RoomTimed::Tickets => "tickets",
            RoomTimed::Polls => "polls",
            RoomTimed::Orders => "orders",
        }
    }
}

/// The counts of one thread, or of all.
pub(super) struct RoomLedger {
    /// Acknowledged orders, each once.
    pub(super) orders: Vec<OrderId>,
    counts: BTreeMap<RoomCount, u64>,
    /// Violations, with the first buyer of each.
    violations: BTreeMap<RoomViolation, (u64, u32)>,
    latencies: [Histogram<u64>; 3],
}

impl RoomLedger {
    /// Books without an entry.
    ///
    /// # Errors
    /// Never with these bounds; the histogram's own.
    pub(super) fn new() -> Result<RoomLedger, CreationError> {
        let one = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        Ok(RoomLedger {
            orders: Vec::new(),
            counts: BTreeMap::new(),
            violations: BTreeMap::new(),
            latencies: [one()?, one()?, one()?],
        })
    }

    pub(super) fn count(&mut self, what: RoomCount) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn counted(&self, what: RoomCount) -> u64 {
        self.counts.get(&what).copied().unwrap_or(0)
    }

    pub(super) fn violated(&mut self, violation: RoomViolation, buyer: u32) {
        self.violations.entry(violation).or_insert((0, buyer)).0 += 1;
    }

    /// The violations, how often, and the first buyer of each.
    pub(super) fn violations(&self) -> impl Iterator<Item = (RoomViolation, u64, u32)> {
        self.violations.iter().map(|(violation, (count, first))| (*violation, *count, *first))
    }

    pub(super) fn timed(&mut self, what: RoomTimed, us: u64) {
        self.latencies[what as usize].saturating_record(us);
    }

    pub(super) const fn latencies(&self, what: RoomTimed) -> &Histogram<u64> {
        &self.latencies[what as usize]
    }

    /// Adds another thread's books.
    ///
    /// # Errors
    /// Never among ledgers, whose bounds are the same; the histogram's own.
    pub(super) fn merge(&mut self, other: RoomLedger) -> Result<(), AdditionError> {
        self.orders.extend(other.orders);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (violation, (count, first)) in other.violations {
            self.violations.entry(violation).or_insert((0, first)).0 += count;
        }
        for (sum, part) in self.latencies.iter_mut().zip(&other.latencies) {
            sum.add(part)?;
        }
        Ok(())
    }

    /// The number of acknowledged orders whose id another order has, too.
    pub(super) fn orders_doubled(&self) -> u64 {
        let mut ids: Vec<[u8; 16]> = self.orders.iter().map(|id| id.to_bytes()).collect();
        ids.sort_unstable();
        ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }
}
