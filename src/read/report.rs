//! The facts of a drop's sale, for its report: counted from the audit, `drop_seconds` and the payments.
//!
//! The facts are read in steps of a bounded number of rows. Each step sees one snapshot and ends it, so that other work of the
//! thread is not delayed and the log is not pinned. Units and orders are those at one event, whatever happens meanwhile:
//! the audit is counted up to it. Figures of seconds and payments are those of the moment at which their rows are read.
//!
//! Invariant: memory is bounded whatever the length of the sale and the number of its orders: see [`shares`] for the largest part.

pub mod drawn;
mod events;
pub mod fairness;
pub mod groups;
pub mod line;
pub mod seconds;
pub mod shares;
pub mod timeline;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rusqlite::Connection;

pub use self::events::{CountedUnits, OrderCounts};
use self::seconds::{SecondFigures, first_second, rows_after};
use self::shares::ShareCounter;
use self::timeline::{StockLevel, Timeline};
use super::lists::reach_of;
use super::payments::{AnyPayment, payments_after};
use super::rows::{DropRow, drop_by_id};
use crate::types::{Currency, DropId, Provider, Seq, UnixMillis};

/// Rows per step; one takes about 5 ms.
const ROWS_PER_STEP: u32 = 5000;
/// Seconds that the timeline of the opening shows before the drop started.
const BEFORE_START_SECONDS: i64 = 30;
/// The least seconds that the timeline of the opening shows after the last unit was taken.
const AFTER_SOLD_OUT_SECONDS: i64 = 60;

/// Sums over payments of one provider and currency, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MoneySums {
    pub payments: u64,
    /// Payments that paid for no order: they are owed back in full.
    pub not_kept: u64,
    pub received: u64,
    pub refunded: u64,
    pub refund_due: u64,
}

impl MoneySums {
    /// Money that stays with the shop.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.received.saturating_sub(self.refunded).saturating_sub(self.refund_due)
    }
}

/// The second with the most commands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PeakSecond {
    pub second: i64,
    pub commands: u64,
    /// Requests of buyers among them that were orders or refusals.
    pub orders: u64,
}

/// The facts of a sale, as far as they are counted.
pub struct ReportFacts {
    /// The drop at the event of `as_of`.
    pub drop: DropRow,
    /// The last event that is counted, and its instant.
    pub as_of: (Seq, UnixMillis),
    pub created_at: Option<UnixMillis>,
    /// The instant at which the drop began to sell: its start, or its first order.
    pub opened_at: Option<UnixMillis>,
    /// The first instant at which every unit was held or sold.
    pub sold_out_at: Option<UnixMillis>,
    /// The instant since which every unit is paid for.
    pub all_paid_at: Option<UnixMillis>,
    /// The stock that the events add up to.
    pub recount: StockLevel,
    pub orders: OrderCounts,
    /// Milliseconds from the reservation to the checkout, and to the payment.
    pub until_checkout: Histogram<u64>,
    pub until_payment: Histogram<u64>,
    pub figures: SecondFigures,
    pub peak: PeakSecond,
    /// From the first request to the last event or request; `None` if nothing has happened.
    pub whole: Option<Timeline>,
    /// From the start until the drop was sold out, and some time more.
    pub opening: Option<Timeline>,
    pub payments: BTreeMap<(Provider, Currency), MoneySums>,
    /// The buyers of the units, and the line of a waiting room.
    pub shares: ShareCounter,
}

/// Counts the facts step by step.
pub struct ReportCounter {
    facts: ReportFacts,
    /// Orders have numbers from here to below there.
    reach: (Seq, Seq),
    phase: CountPhase,
}

/// The rows of the next step.
#[derive(Clone, Copy)]
enum CountPhase {
    /// Events after this one.
    Events(Seq),
    /// Rows of `drop_seconds` after this second.
    Seconds(i64),
    /// Payments after this one of this order.
    Payments(Seq, Seq),
    /// Orders by their buyers, then tickets.
    Shares,
    Finished,
}

impl ReportCounter {
    /// Begins with a drop at the last event. Returns `None` if there is no such drop.
    pub fn begin(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<ReportCounter>> {
        let Some(drop) = drop_by_id(connection, drop_id)? else { return Ok(None) };
        let reach = reach_of(connection, drop_id)?;
        let mut last = connection.prepare_cached("SELECT seq, at_ms FROM audit ORDER BY seq DESC LIMIT 1")?;
        let as_of: (Seq, UnixMillis) = last.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let origin = first_second(connection, drop_id)?;
        // The creation itself is the first event that is counted.
        let before = Seq::new(reach.0.get().saturating_sub(1)).unwrap_or_default();
        let facts = ReportFacts {
            drop,
            as_of,
            created_at: None,
            opened_at: None,
            sold_out_at: None,
            all_paid_at: None,
            recount: StockLevel::default(),
            orders: OrderCounts::default(),
            until_checkout: durations(),
            until_payment: durations(),
            figures: SecondFigures::default(),
            peak: PeakSecond::default(),
            whole: origin.map(|second| Timeline::new(second, StockLevel::default())),
            opening: None,
            payments: BTreeMap::new(),
            shares: ShareCounter::begin(connection, drop_id, before)?,
        };
        Ok(Some(ReportCounter { facts, reach, phase: CountPhase::Events(before) }))
    }

    /// Counts the next rows. Returns true if there are more.
    pub fn step(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        self.phase = match self.phase {
            CountPhase::Events(after) => match self.facts.count_events(connection, after)? {
                Some(last) => CountPhase::Events(last),
                None => CountPhase::Seconds(i64::MIN),
            },
            CountPhase::Seconds(after) => match self.facts.count_seconds(connection, after)? {
                Some(last) => CountPhase::Seconds(last),
                None => CountPhase::Payments(self.reach.0, Seq::ZERO),
            },
            CountPhase::Payments(order, seq) => match self.count_payments(connection, (order, seq))? {
                Some((order, seq)) => CountPhase::Payments(order, seq),
                None => CountPhase::Shares,
            },
            CountPhase::Shares => {
                let ReportFacts { drop, as_of, shares, .. } = &mut self.facts;
                if shares.step(connection, drop.id, as_of.0)? { CountPhase::Shares } else { CountPhase::Finished }
            }
            CountPhase::Finished => CountPhase::Finished,
        };
        Ok(!matches!(self.phase, CountPhase::Finished))
    }

    /// Returns what was counted.
    #[must_use]
    pub fn finish(self) -> ReportFacts {
        self.facts
    }

    fn count_payments(&mut self, connection: &Connection, after: (Seq, Seq)) -> rusqlite::Result<Option<(Seq, Seq)>> {
        let (drop_id, below) = (self.facts.drop.id, self.reach.1);
        let payments = payments_after(connection, after, ROWS_PER_STEP)?;
        let reached = payments.last().map(|last| (last.order, last.payment.seq));
        let more = payments.len() >= usize::try_from(ROWS_PER_STEP).unwrap_or(usize::MAX);
        for AnyPayment { drop_id: of, payment, order, .. } in &payments {
            if *of != drop_id || *order >= below {
                continue;
            }
            let sums = self.facts.payments.entry((payment.provider, payment.currency)).or_default();
            sums.payments = sums.payments.saturating_add(1);
            sums.not_kept = sums.not_kept.saturating_add(u64::from(!payment.pays));
            sums.received = sums.received.saturating_add(payment.received.get());
            sums.refunded = sums.refunded.saturating_add(payment.refunded.get());
            sums.refund_due = sums.refund_due.saturating_add(payment.refund_due.get());
        }
        Ok(reached.filter(|(order, _)| more && *order < below))
    }
}

impl ReportFacts {
    fn count_seconds(&mut self, connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
        let opening_until = self.opening_until();
        let ReportFacts { figures: sum, whole, opening, peak, .. } = self;
        rows_after(connection, self.drop.id, after, ROWS_PER_STEP, |second, figures| {
            sum.add(figures);
            let commands = figures.commands();
            if commands > peak.commands {
                *peak = PeakSecond { second, commands, orders: figures.orders.saturating_add(figures.refused()) };
            }
            let fits = |timeline: &Timeline| second >= timeline.origin();
            let parts = [whole.as_mut().filter(|whole| fits(whole)), opening.as_mut().filter(|o| fits(o))];
            for (part, until) in parts.into_iter().zip([i64::MAX, opening_until]) {
                let Some(timeline) = part.filter(|_| second <= until) else { continue };
                let point = timeline.at(second);
                point.figures.add(figures);
                point.commands_max = point.commands_max.max(commands);
            }
        })
    }

    /// The last second of the timeline of the opening: as long again as the drop took to sell out.
    fn opening_until(&self) -> i64 {
        let Some((opened, sold_out)) = self.opened_at.zip(self.sold_out_at) else { return i64::MAX };
        let took = sold_out.second().saturating_sub(opened.second()).max(AFTER_SOLD_OUT_SECONDS);
        sold_out.second().saturating_add(took)
    }

    /// Returns true if the events add up to the counters of the drop.
    #[must_use]
    pub fn counters_agree(&self) -> bool {
        let counters = [self.drop.total, self.drop.held, self.drop.sold].map(u64::from);
        counters == [self.recount.total, self.recount.held, self.recount.sold]
    }

    /// Orders that wait for their buyers.
    #[must_use]
    pub fn live(&self) -> CountedUnits {
        let OrderCounts { placed, paid, expired, cancelled_by_buyer, cancelled_by_operator, .. } = self.orders;
        [paid, expired, cancelled_by_buyer, cancelled_by_operator].iter().fold(placed, |live, gone| CountedUnits {
            orders: live.orders.saturating_sub(gone.orders),
            units: live.units.saturating_sub(gone.units),
        })
    }
}

/// The longest duration of a report, in milliseconds: ten years. Longer ones count as this. A histogram has 230 kB.
const DURATION_MS_MAX: u64 = 10 * 366 * 86_400_000;

/// Returns an empty histogram of milliseconds with three digits.
fn durations() -> Histogram<u64> {
    // Three digits are within the bounds of the crate, so the fallback is never used.
    Histogram::new_with_bounds(1, DURATION_MS_MAX, 3)
        .unwrap_or_else(|error| panic!("a histogram with three digits: {error}"))
}
