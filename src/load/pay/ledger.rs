//! The books of a crowd that pays. Pure; one ledger per thread, merged at the end.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::{AdditionError, CreationError, Histogram};

use crate::load::meter::{DIGITS, LATENCY_US_MAX};
use crate::types::OrderId;

/// A violation of what orders and payments promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum PayViolation {
    AppliedTwice,
    NeverApplied,
    PaymentIgnored,
    WebhookRefused,
    InvalidResponse,
}

impl PayViolation {
    pub(super) const fn words(self) -> &'static str {
        match self {
            PayViolation::AppliedTwice => "an event was applied more than once",
            PayViolation::NeverApplied => "no delivery of an event was applied",
            PayViolation::PaymentIgnored => "a payment of the order's amount was ignored",
            PayViolation::WebhookRefused => "a signed webhook was refused",
            PayViolation::InvalidResponse => "a response outside of the contract",
        }
    }
}

/// A kind of events in the books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum PayCount {
    Ordered,
    CheckedOut,
    Paid,
    SoldOut,
    Deliveries,
    Applied,
    Duplicates,
    Rejected,
    Unsure,
    NotConnected,
    CutOff,
}

impl PayCount {
    pub(super) const ALL: [PayCount; 11] = [
        PayCount::Ordered,
        PayCount::CheckedOut,
        PayCount::Paid,
        PayCount::SoldOut,
        PayCount::Deliveries,
        PayCount::Applied,
        PayCount::Duplicates,
        PayCount::Rejected,
        PayCount::Unsure,
        PayCount::NotConnected,
        PayCount::CutOff,
    ];

    /// The name in JSON, and the words of the table.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            PayCount::Ordered => ("ordered", "orders"),
            PayCount::CheckedOut => ("checked_out", "checked out"),
            PayCount::Paid => ("paid", "paid"),
            PayCount::SoldOut => ("sold_out", "buyers who found it sold out"),
            PayCount::Deliveries => ("deliveries", "webhooks acknowledged (200)"),
            PayCount::Applied => ("applied", "  of them applied"),
            PayCount::Duplicates => ("duplicates", "  of them duplicates"),
            PayCount::Rejected => ("rejected", "rejected, sent again"),
            PayCount::Unsure => ("unsure", "no definite answer, sent again"),
            PayCount::NotConnected => ("not_connected", "could not connect"),
            PayCount::CutOff => ("cut_off", "cut off by the time limit"),
        }
    }
}

/// The spans that are timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PayTimed {
    Orders,
    Checkouts,
    Webhooks,
    /// The time from the order's request to the first acknowledged delivery of its payment.
    Paid,
}

impl PayTimed {
    pub(super) const ALL: [PayTimed; 4] = [PayTimed::Orders, PayTimed::Checkouts, PayTimed::Webhooks, PayTimed::Paid];

    /// The name in JSON, and the words of the table.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            PayTimed::Orders => ("orders", "order"),
            PayTimed::Checkouts => ("checkouts", "checkout"),
            PayTimed::Webhooks => ("webhooks", "webhook"),
            PayTimed::Paid => ("paid", "order's request to paid"),
        }
    }
}

/// The counts of one thread, or of all.
pub(super) struct PayLedger {
    /// Acknowledged orders, each once.
    pub(super) orders: Vec<OrderId>,
    counts: BTreeMap<PayCount, u64>,
    /// Violations, with the first buyer of each.
    violations: BTreeMap<PayViolation, (u64, u32)>,
    latencies: [Histogram<u64>; 4],
    /// The instants of the last order that was paid, and of the last acknowledged delivery.
    pub(super) last_paid: Option<Instant>,
    pub(super) last_delivery: Option<Instant>,
}

impl PayLedger {
    /// Books without an entry.
    ///
    /// # Errors
    /// Never with these bounds; the histogram's own.
    pub(super) fn new() -> Result<PayLedger, CreationError> {
        let one = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        Ok(PayLedger {
            orders: Vec::new(),
            counts: BTreeMap::new(),
            violations: BTreeMap::new(),
            latencies: [one()?, one()?, one()?, one()?],
            last_paid: None,
            last_delivery: None,
        })
    }

    pub(super) fn count(&mut self, what: PayCount) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn counted(&self, what: PayCount) -> u64 {
        self.counts.get(&what).copied().unwrap_or(0)
    }

    pub(super) fn violated(&mut self, violation: PayViolation, buyer: u32) {
        self.violations.entry(violation).or_insert((0, buyer)).0 += 1;
    }

    /// The violations, how often, and the first buyer of each.
    pub(super) fn violations(&self) -> impl Iterator<Item = (PayViolation, u64, u32)> {
        self.violations.iter().map(|(violation, (count, first))| (*violation, *count, *first))
    }

    pub(super) fn timed(&mut self, what: PayTimed, since: Instant, now: Instant) {
        let us = u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX);
        self.latencies[what as usize].saturating_record(us);
    }

    pub(super) const fn latencies(&self, what: PayTimed) -> &Histogram<u64> {
        &self.latencies[what as usize]
    }

    /// Adds another thread's books.
    ///
    /// # Errors
    /// Never among ledgers, whose bounds are the same; the histogram's own.
    pub(super) fn merge(&mut self, other: PayLedger) -> Result<(), AdditionError> {
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
        self.last_paid = self.last_paid.max(other.last_paid);
        self.last_delivery = self.last_delivery.max(other.last_delivery);
        Ok(())
    }

    /// The number of acknowledged orders whose id another order has, too.
    pub(super) fn orders_doubled(&self) -> u64 {
        let mut ids: Vec<[u8; 16]> = self.orders.iter().map(|id| id.to_bytes()).collect();
        ids.sort_unstable();
        ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }
}
