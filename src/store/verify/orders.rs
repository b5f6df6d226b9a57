//! Orders by the audit, each compared with its row.
//!
//! Rows and events are read side by side. A row says which event is its order's last: it is compared when that event has come, so
//! that memory holds only the orders whose last event has not come yet.

use std::collections::{BTreeMap, HashMap};

use super::drops::AuditedDrop;
use super::expected_row::detail_of;
use super::order_rows::{StoredOrder, ToldOrder, UNKNOWN};
use super::recount::Stocks;
use super::report::VerifyReport;
use super::standby::is_granted;
use crate::store::audit::AuditRow;
use crate::types::{DropId, OrderState, Seq};

/// An order whose last event has not come yet.
struct OpenOrder {
    told: ToldOrder,
    /// `None` if the order has no row.
    row: Option<StoredOrder>,
}

/// All orders by the audit.
#[derive(Default)]
pub(super) struct AuditedOrders {
    /// Units of all orders by their rows.
    pub(super) stocks: Stocks,
    open: BTreeMap<Seq, Box<OpenOrder>>,
    /// The number of orders that events created.
    created: u64,
    /// The first of them without a row.
    missing: Option<Seq>,
    /// Reasons of operators' cancellations, which are rare.
    cancel_reasons: HashMap<Seq, String>,
    /// The end of the last stop in which units were offered, in milliseconds since 1970.
    stopped_until: i64,
}

impl AuditedOrders {
    /// Returns the last event of an order so far; 0 if it has none, or if its row says that there is no other.
    pub(super) fn last_seq(&self, order: Seq) -> Seq {
        self.open.get(&order).map_or(Seq::ZERO, |open| open.told.order.last_seq)
    }

    /// Notes the end of a stop.
    pub(super) fn add_stop(&mut self, row: &AuditRow) {
        self.stopped_until = detail_of(row)["until_ms"].as_i64().unwrap_or(0);
    }

    /// Adds the row of an order, before its first event: sums up its units, and compares it with its payments.
    pub(super) fn add_row(&mut self, row: &StoredOrder, report: &mut VerifyReport) {
        let (seq, found) = (row.seq, &row.order);
        report.orders = report.orders.saturating_add(1);
        let sums = (found.received, found.refunded, found.refund_due);
        if row.payments.sums != sums {
            let ((received, refunded, due), of) = (sums, row.payments.sums);
            let given = format_args!("its payments give {}, {} and {}", of.0, of.1, of.2);
            report.problem(format!(
                "order {seq}: received, refunded and due are {received}, {refunded} and {due}; {given}"
            ));
        }
        let stock = self.stocks.entry(found.drop_id).or_default();
        let taken = found.quantity.saturating_sub(found.returned);
        if found.state.is_live() {
            stock.held = stock.held.saturating_add(taken);
        } else {
            stock.sold = stock.sold.saturating_add(taken);
        }
    }

    /// Adds the row of an order that no event created.
    pub(super) fn add_stray(&mut self, row: &StoredOrder, report: &mut VerifyReport) {
        self.add_row(row, report);
        report.problem(format!("order {} has a row, but no event created it", row.seq));
    }

    /// Adds an event that creates an order of a drop, with the row of the order.
    pub(super) fn create(
        &mut self,
        order: Seq,
        drop_id: DropId,
        row: &AuditRow,
        found: Option<StoredOrder>,
        known: Option<&AuditedDrop>,
        report: &mut VerifyReport,
    ) {
        let is_reserved = &*row.kind == "order_reserved";
        // What is offered within a stop is offered for as long after its end.
        let offered = row.at.get().max(self.stopped_until);
        let after = |from: i64, ms: Option<i64>| ms.map_or(UNKNOWN, |ms| from.saturating_add(ms));
        let reservation = known.and_then(|drop| drop.reservation_ms);
        let payment = known.and_then(|drop| drop.payment_ms);
        let is_granted = is_reserved && is_granted(row);
        let awaits_payment = !is_reserved || is_granted && detail_of(row)["state"] == "awaiting_payment";
        let (state, expires) = match (awaits_payment, is_granted) {
            (true, _) => (OrderState::AwaitingPayment, after(offered, payment)),
            (false, true) => (OrderState::Reserved, after(offered, reservation)),
            (false, false) => (OrderState::Reserved, after(row.at.get(), reservation)),
        };
        self.created = self.created.saturating_add(1);
        if found.is_none() {
            self.missing.get_or_insert(order);
        }
        let told = ToldOrder::new(row, drop_id, state, expires);
        match found {
            Some(found) if found.order.last_seq <= row.seq => self.compare(order, &told, &found, report),
            found => drop(self.open.insert(order, Box::new(OpenOrder { told, row: found }))),
        }
    }

    /// Adds a later event of an order of a drop.
    pub(super) fn change(
        &mut self,
        order: Seq,
        drop_id: DropId,
        row: &AuditRow,
        known: Option<&AuditedDrop>,
        report: &mut VerifyReport,
    ) {
        let Some(open) = self.open.get_mut(&order) else {
            let what = "never reserved, or its row names an earlier event as its last";
            report.problem(format!("event {} is about order {order} of drop {drop_id}, {what}", row.seq));
            return;
        };
        if &*row.kind == "order_checked_out" {
            let payment = known.and_then(|drop| drop.payment_ms);
            open.told.instants.expires = payment.map_or(UNKNOWN, |ms| row.at.get().saturating_add(ms));
        }
        if &*row.kind == "order_cancelled" && row.detail.is_some() {
            let reason = detail_of(row)["reason"].as_str().unwrap_or_default().to_string();
            self.cancel_reasons.insert(order, reason);
        }
        open.told.change(row, report);
        if open.row.as_ref().is_some_and(|found| found.order.last_seq <= row.seq)
            && let Some(open) = self.open.remove(&order)
        {
            self.compare_open(order, &open, report);
        }
    }

    /// Compares the orders whose last event has not come, after the last row of the audit.
    pub(super) fn finish(&mut self, report: &mut VerifyReport) {
        for (order, open) in std::mem::take(&mut self.open) {
            self.compare_open(order, &open, report);
        }
        if let Some(order) = self.missing {
            let (created, rows) = (self.created, report.orders);
            report.problem(format!("{created} orders were created, {rows} have a row: order {order} has none"));
        }
    }

    fn compare_open(&mut self, order: Seq, open: &OpenOrder, report: &mut VerifyReport) {
        if let Some(found) = &open.row {
            self.compare(order, &open.told, found, report);
        }
    }

    fn compare(&mut self, order: Seq, told: &ToldOrder, found: &StoredOrder, report: &mut VerifyReport) {
        told.compare(order, &found.order, found.instants, report);
        if found.payments.payments.differs_from(told.payments) {
            report.problem(format!("order {order}: the rows of its payments and the audit differ"));
        }
        let reason = if self.cancel_reasons.is_empty() { None } else { self.cancel_reasons.remove(&order) };
        if found.cancel_reason.as_deref() != reason.as_deref() {
            report.problem(format!("order {order}: the reason of its cancellation and the audit differ"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::money::PaymentSums;
    use super::*;
    use crate::types::UnixMillis;

    fn seq(number: u64) -> Seq {
        Seq::new(number).expect("in range")
    }

    fn event(number: u64, prev: u64, kind: &'static str) -> AuditRow {
        AuditRow {
            seq: seq(number),
            at: UnixMillis::ZERO,
            kind: kind.into(),
            drop_id: DropId::new(1),
            order: Some(seq(2)),
            quantity: Some(1),
            amount: None,
            prev_seq: seq(prev),
            detail: None,
        }
    }

    /// Problems of order 2, which three events are about, if its row names this event as its last; and how many orders memory holds
    /// after each event.
    fn problems(last: u64) -> (Vec<String>, [usize; 3]) {
        let (mut orders, mut report) = (AuditedOrders::default(), VerifyReport::default());
        let drop_id = DropId::new(1).expect("in range");
        // The second event changes nothing but the number of the last.
        let events = [event(2, 0, "order_reserved"), event(3, 2, "session_recorded"), event(5, 3, "session_recorded")];
        let row = StoredOrder::reserved(&events[0], drop_id, seq(last), PaymentSums::default());
        orders.add_row(&row, &mut report);
        orders.create(seq(2), drop_id, &events[0], Some(row), None, &mut report);
        let first = orders.open.len();
        let later = [1, 2].map(|index: usize| {
            orders.change(seq(2), drop_id, &events[index], None, &mut report);
            orders.open.len()
        });
        orders.finish(&mut report);
        assert_eq!(orders.open.len(), 0);
        (report.problems, [first, later[0], later[1]])
    }

    #[test]
    fn an_order_leaves_memory_with_the_event_that_its_row_names_as_its_last_and_any_other_is_noticed() {
        assert_eq!(problems(5), (Vec::new(), [1, 1, 0]));
        for (wrong, held) in [(2, [0, 0, 0]), (3, [1, 0, 0]), (4, [1, 1, 0]), (6, [1, 1, 1])] {
            let (problems, open) = problems(wrong);
            assert!(!problems.is_empty(), "the row names event {wrong}");
            assert_eq!(open, held, "the row names event {wrong}");
        }
    }

    #[test]
    fn an_order_without_a_row_is_a_problem_and_a_row_for_each_order_is_none() {
        let drop_id = DropId::new(1).expect("in range");
        let problems_with = |row: bool| {
            let (mut orders, mut report) = (AuditedOrders::default(), VerifyReport::default());
            let reserved = event(2, 0, "order_reserved");
            let row = row.then(|| StoredOrder::reserved(&reserved, drop_id, seq(2), PaymentSums::default()));
            if let Some(row) = &row {
                orders.add_row(row, &mut report);
            }
            orders.create(seq(2), drop_id, &reserved, row, None, &mut report);
            orders.finish(&mut report);
            report.problems
        };
        assert_eq!(problems_with(true), Vec::<String>::new());
        assert_eq!(problems_with(false), ["1 orders were created, 0 have a row: order 2 has none"]);
    }
}
