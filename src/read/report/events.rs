//! Events of the audit as a report counts them.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::timeline::{StockLevel, Timeline, TimelinePoint};
use super::{BEFORE_START_SECONDS, ROWS_PER_STEP, ReportFacts};
use crate::types::{DropId, Seq, UnixMillis};

/// Orders and their units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CountedUnits {
    pub orders: u64,
    pub units: u64,
}

impl CountedUnits {
    fn count(&mut self, units: u64) {
        self.orders = self.orders.saturating_add(1);
        self.units = self.units.saturating_add(units);
    }
}

/// Events of orders and their money.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OrderCounts {
    pub placed: CountedUnits,
    pub checked_out: u64,
    /// Orders that were paid while they were live.
    pub paid: CountedUnits,
    /// Orders that were paid after they had expired, and whose units were taken again.
    pub paid_late: CountedUnits,
    pub expired: CountedUnits,
    pub cancelled_by_buyer: CountedUnits,
    pub cancelled_by_operator: CountedUnits,
    /// Units that refunds put on sale again.
    pub units_restocked: u64,
    pub payments_failed: u64,
    /// Payments that are owed back at once, by the word of their reason.
    pub payments_not_kept: BTreeMap<String, u64>,
    /// Refunds that an operator made, and requested of the provider.
    pub refunds_made: u64,
    pub refunds_requested: u64,
    /// Refunds that a provider or an operator reported as paid out.
    pub refunds_settled: u64,
    /// Refunds that a provider made without a request.
    pub refunds_reported: u64,
    pub refunds_failed: u64,
    pub chargebacks: u64,
}

/// A row of the audit.
struct EventRow<'a> {
    at: UnixMillis,
    kind: &'a str,
    order: Option<Seq>,
    /// The column as it is: a change of the total can be negative.
    quantity: i64,
    detail: Option<&'a str>,
}

impl EventRow<'_> {
    fn units(&self) -> u64 {
        u64::try_from(self.quantity).unwrap_or(0)
    }

    /// A text of the detail; empty without one.
    fn text(&self, member: &str) -> String {
        let detail = self.detail.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
        detail[member].as_str().unwrap_or("").to_owned()
    }
}

impl ReportFacts {
    /// Counts the next events. Returns the last one if there may be more.
    pub(super) fn count_events(&mut self, connection: &Connection, after: Seq) -> rusqlite::Result<Option<Seq>> {
        let mut statement = connection.prepare_cached(
            "SELECT seq, at_ms, kind, drop_id, order_seq, quantity, detail FROM audit
             WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut reserved = connection.prepare_cached("SELECT reserved_at_ms FROM orders WHERE seq = ?1")?;
        let mut rows = statement.query(params![after, self.as_of.0, ROWS_PER_STEP])?;
        let (mut last, mut read) = (after, 0u32);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            read = read.saturating_add(1);
            if row.get::<_, Option<DropId>>(3)? != Some(self.drop.id) {
                continue;
            }
            let event = event_of(row)?;
            if let ("order_checked_out" | "order_paid", Some(order)) = (event.kind, event.order) {
                let since: Option<UnixMillis> = reserved.query_row(params![order], |row| row.get(0)).optional()?;
                let took = since.map_or(0, |since| event.at.get().saturating_sub(since.get()));
                let into = if event.kind == "order_paid" { &mut self.until_payment } else { &mut self.until_checkout };
                note(into, took);
            }
            self.count_event(&event);
        }
        Ok((read == ROWS_PER_STEP).then_some(last))
    }

    fn count_event(&mut self, event: &EventRow<'_>) {
        let (units, quantity) = (event.units(), event.quantity);
        let orders = &mut self.orders;
        let mut point = TimelinePoint::default();
        let stock = &mut self.recount;
        match event.kind {
            "drop_created" => {
                self.created_at = Some(event.at);
                stock.total = units;
            }
            "stock_adjusted" => stock.total = stock.total.saturating_add_signed(quantity),
            "drop_started" => self.opened_at = self.opened_at.or(Some(event.at)),
            "order_reserved" => {
                orders.placed.count(units);
                stock.held = stock.held.saturating_add(units);
                self.opened_at = self.opened_at.or(Some(event.at));
            }
            "order_checked_out" => orders.checked_out = orders.checked_out.saturating_add(1),
            "order_paid" => {
                orders.paid.count(units);
                stock.held = stock.held.saturating_sub(units);
                stock.sold = stock.sold.saturating_add(units);
                point.units_paid = units;
            }
            "order_retaken" => {
                orders.paid_late.count(units);
                stock.sold = stock.sold.saturating_add(units);
                point.units_paid = units;
            }
            "order_expired" => {
                orders.expired.count(units);
                stock.held = stock.held.saturating_sub(units);
                point.units_expired = units;
            }
            "order_cancelled" => {
                let by_operator = event.text("by") == "operator";
                let into = if by_operator { &mut orders.cancelled_by_operator } else { &mut orders.cancelled_by_buyer };
                into.count(units);
                stock.held = stock.held.saturating_sub(units);
                point.units_cancelled = units;
            }
            "order_refunded" | "refund_requested" => {
                let made = event.kind == "order_refunded";
                let into = if made { &mut orders.refunds_made } else { &mut orders.refunds_requested };
                *into = into.saturating_add(1);
                orders.units_restocked = orders.units_restocked.saturating_add(units);
                stock.sold = stock.sold.saturating_sub(units);
            }
            "payment_not_kept" => {
                let count = orders.payments_not_kept.entry(event.text("why")).or_default();
                *count = count.saturating_add(1);
            }
            "payment_failed" => orders.payments_failed = orders.payments_failed.saturating_add(1),
            "refund_settled" => orders.refunds_settled = orders.refunds_settled.saturating_add(1),
            "refund_reported" => orders.refunds_reported = orders.refunds_reported.saturating_add(1),
            "refund_failed" => orders.refunds_failed = orders.refunds_failed.saturating_add(1),
            "chargeback_created" => orders.chargebacks = orders.chargebacks.saturating_add(1),
            _ => {}
        }
        self.note_stock(event.at, &point);
    }

    /// Notes the stock after an event, and the units that moved with it.
    fn note_stock(&mut self, at: UnixMillis, moved: &TimelinePoint) {
        let stock = self.recount;
        let is_sold_out = stock.total > 0 && stock.available() == 0;
        if is_sold_out && self.orders.placed.orders > 0 {
            self.sold_out_at = self.sold_out_at.or(Some(at));
        }
        let is_all_paid = is_sold_out && stock.held == 0 && stock.sold > 0;
        self.all_paid_at = if is_all_paid { self.all_paid_at.or(Some(at)) } else { None };
        if self.opening.is_none() && self.opened_at.is_some() && self.orders.placed.orders > 0 {
            self.open_timelines(at);
        }
        let until = self.opening_until();
        let second = at.second();
        let opening = self.opening.as_mut().filter(|_| second <= until);
        // Before the first request only the stock changes.
        let whole = self.whole.as_mut();
        for timeline in [whole, opening].into_iter().flatten() {
            note_in(timeline, second, stock, moved);
        }
    }

    /// Begins the timelines with the first order.
    fn open_timelines(&mut self, at: UnixMillis) {
        let opened = self.opened_at.unwrap_or(at).second();
        let before = StockLevel { total: self.recount.total, held: 0, sold: 0 };
        let whole = self.whole.get_or_insert_with(|| Timeline::new(at.second(), before));
        let from = opened.saturating_sub(BEFORE_START_SECONDS).max(whole.origin());
        // A drop whose first request came long after its start opens with that request.
        self.opening = Some(Timeline::new(from, before));
    }
}

fn note_in(timeline: &mut Timeline, second: i64, stock: StockLevel, moved: &TimelinePoint) {
    if second < timeline.origin() {
        timeline.set_before(stock);
        return;
    }
    let point = timeline.at(second);
    point.level = Some(stock);
    point.units_paid = point.units_paid.saturating_add(moved.units_paid);
    point.units_expired = point.units_expired.saturating_add(moved.units_expired);
    point.units_cancelled = point.units_cancelled.saturating_add(moved.units_cancelled);
}

fn note(histogram: &mut Histogram<u64>, milliseconds: i64) {
    histogram.saturating_record(u64::try_from(milliseconds).unwrap_or(0));
}

fn event_of<'a>(row: &'a Row<'_>) -> rusqlite::Result<EventRow<'a>> {
    Ok(EventRow {
        at: row.get(1)?,
        kind: row.get_ref(2)?.as_str()?,
        order: row.get(4)?,
        quantity: row.get::<_, Option<i64>>(5)?.unwrap_or(0),
        detail: row.get_ref(6)?.as_str_or_null()?,
    })
}
