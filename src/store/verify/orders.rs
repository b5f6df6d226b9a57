//! Rows of orders, compared with their events: states, units, sums, instants and payments.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::drops::AuditedDrop;
use super::expected_row::detail_of;
use super::money::{OrderPayments, payments_by_order};
use super::recount::Stocks;
use super::report::VerifyReport;
use super::sealed_rows::makes_order;
use crate::store::audit::AuditRow;
use crate::types::{DropId, OrderState, Seq};

/// An instant that has not come.
const NEVER: i64 = i64::MIN;
/// An instant that the events do not say.
const UNKNOWN: i64 = i64::MIN + 1;

/// An order by its audit rows.
#[derive(PartialEq, Eq, Debug)]
struct AuditedOrder {
    last_seq: Seq,
    state: OrderState,
    drop_id: DropId,
    quantity: i64,
    returned: i64,
    received: i64,
    refunded: i64,
    refund_due: i64,
}

/// The instants of an order, in milliseconds; they take 40 bytes for each order while a file is verified.
#[derive(Clone, Copy, Debug)]
struct Instants {
    reserved: i64,
    expires: i64,
    paid: i64,
    idle: i64,
    ended: i64,
}

struct Told {
    order: AuditedOrder,
    instants: Instants,
    payments: OrderPayments,
}

/// All orders by the audit.
#[derive(Default)]
pub(super) struct AuditedOrders {
    orders: HashMap<Seq, Told>,
    /// Reasons of operators' cancellations, which are rare.
    cancel_reasons: HashMap<Seq, String>,
    /// The end of the last stop in which units of auctions were offered, in milliseconds since 1970.
    stopped_until: i64,
}

impl AuditedOrders {
    /// Returns the last event of an order so far; 0 if it has none.
    pub(super) fn last_seq(&self, order: Seq) -> Seq {
        self.orders.get(&order).map_or(Seq::ZERO, |told| told.order.last_seq)
    }

    /// Notes the end of a stop.
    pub(super) fn add_stop(&mut self, row: &AuditRow) {
        self.stopped_until = detail_of(row)["until_ms"].as_i64().unwrap_or(0);
    }

    /// Adds a row that belongs to an order of a drop.
    pub(super) fn add(
        &mut self,
        order: Seq,
        drop_id: DropId,
        row: &AuditRow,
        known: Option<&AuditedDrop>,
        report: &mut VerifyReport,
    ) {
        let after = |ms: Option<i64>| ms.map_or(UNKNOWN, |ms| row.at.get().saturating_add(ms));
        let reservation = known.and_then(|drop| drop.reservation_ms);
        let payment = known.and_then(|drop| drop.payment_ms);
        if makes_order(row) {
            let is_reserved = &*row.kind == "order_reserved";
            let offered = row.at.get().max(self.stopped_until);
            let to_pay = payment.map_or(UNKNOWN, |ms| offered.saturating_add(ms));
            let expires = if is_reserved { after(reservation) } else { to_pay };
            let state = if is_reserved { OrderState::Reserved } else { OrderState::AwaitingPayment };
            self.orders.insert(order, Told::new(row, drop_id, state, expires));
            return;
        }
        let Some(told) = self.orders.get_mut(&order) else {
            report.problem(format!("event {} is about order {order} of drop {drop_id}, never reserved", row.seq));
            return;
        };
        if &*row.kind == "order_checked_out" {
            told.instants.expires = after(payment);
        }
        if &*row.kind == "order_cancelled" && row.detail.is_some() {
            let reason = detail_of(row)["reason"].as_str().unwrap_or_default().to_string();
            self.cancel_reasons.insert(order, reason);
        }
        told.change(row, report);
    }

    /// Walks all orders: compares each with the audit, and sums up their units.
    pub(super) fn walk(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<Stocks> {
        let mut stocks = Stocks::new();
        let mut payments = payments_by_order(connection)?;
        let mut statement = connection.prepare(
            "SELECT seq, drop_id, state, quantity, returned, last_seq, received, refunded, refund_due, reserved_at_ms,
                 expires_at_ms, paid_at_ms, idle_at_ms, ended_at_ms, cancel_reason
             FROM orders ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq: Seq = row.get(0)?;
            let found = AuditedOrder::read(row)?;
            report.orders = report.orders.saturating_add(1);
            let paid = payments.remove(&seq).unwrap_or_default();
            let sums = (found.received, found.refunded, found.refund_due);
            if paid.sums != sums {
                report.problem(format!(
                    "order {seq}: received, refunded and due are {sums:?}; its payments give {:?}",
                    paid.sums
                ));
            }
            let stock = stocks.entry(found.drop_id).or_default();
            let taken = found.quantity.saturating_sub(found.returned);
            if found.state.is_live() {
                stock.held = stock.held.saturating_add(taken);
            } else {
                stock.sold = stock.sold.saturating_add(taken);
            }
            let Some(told) = self.orders.get(&seq) else {
                report.problem(format!("order {seq} has a row, but no event created it"));
                continue;
            };
            told.compare(seq, &found, Instants::read(row)?, report);
            if paid.payments.differs_from(told.payments) {
                report.problem(format!("order {seq}: the rows of its payments and the audit differ"));
            }
            let reason = row.get_ref(14)?.as_str_or_null()?;
            if reason != self.cancel_reasons.get(&seq).map(String::as_str) {
                report.problem(format!("order {seq}: the reason of its cancellation and the audit differ"));
            }
        }
        for order in payments.keys() {
            report.problem(format!("order {order} has payments, but no row"));
        }
        let rows = u64::try_from(self.orders.len()).unwrap_or(u64::MAX);
        if report.orders < rows {
            report.problem(format!("{rows} orders were created, {} have a row", report.orders));
        }
        Ok(stocks)
    }
}

impl AuditedOrder {
    fn read(row: &Row<'_>) -> rusqlite::Result<AuditedOrder> {
        Ok(AuditedOrder {
            drop_id: row.get(1)?,
            state: row.get(2)?,
            quantity: row.get(3)?,
            returned: row.get(4)?,
            last_seq: row.get(5)?,
            received: row.get(6)?,
            refunded: row.get(7)?,
            refund_due: row.get(8)?,
        })
    }

    fn add_units_and_money(&mut self, row: &AuditRow) {
        let (units, money) = (row.quantity.unwrap_or(0), row.amount.unwrap_or(0));
        match &*row.kind {
            "order_cancelled" | "order_expired" => self.returned = units,
            "order_paid" => self.received = self.received.saturating_add(money),
            "order_retaken" => {
                self.received = self.received.saturating_add(money);
                self.returned = 0;
            }
            "payment_not_kept" => {
                self.received = self.received.saturating_add(money);
                self.refund_due = self.refund_due.saturating_add(money);
            }
            "order_refunded" => {
                self.returned = self.returned.saturating_add(units);
                self.refunded = self.refunded.saturating_add(money);
            }
            "refund_requested" => {
                self.returned = self.returned.saturating_add(units);
                self.refund_due = self.refund_due.saturating_add(money);
            }
            "refund_settled" => {
                self.refund_due = self.refund_due.saturating_sub(money);
                self.refunded = self.refunded.saturating_add(money);
            }
            "refund_failed" => {
                self.refund_due = self.refund_due.saturating_add(money);
                self.refunded = self.refunded.saturating_sub(money);
            }
            "refund_reported" => self.refunded = self.refunded.saturating_add(money),
            _ => {}
        }
    }
}

impl Instants {
    fn read(row: &Row<'_>) -> rusqlite::Result<Instants> {
        let at = |column| row.get::<_, Option<i64>>(column).map(|at| at.unwrap_or(NEVER));
        Ok(Instants { reserved: at(9)?, expires: at(10)?, paid: at(11)?, idle: at(12)?, ended: at(13)? })
    }

    /// Notes what an event changes, after which the order is in `state`.
    fn change(&mut self, row: &AuditRow, before: OrderState, state: OrderState) {
        let at = row.at.get();
        match &*row.kind {
            "order_cancelled" | "order_expired" => (self.ended, self.idle) = (at, at),
            "order_paid" | "order_retaken" => {
                (self.paid, self.ended) = (at, NEVER);
                if self.idle == NEVER {
                    self.idle = at;
                }
            }
            "payment_not_kept" if state == OrderState::RefundDue && self.paid == NEVER => self.paid = at,
            "order_refunded" | "refund_requested" | "refund_settled" | "refund_reported"
                if state == OrderState::Refunded && before != state =>
            {
                self.ended = at;
            }
            _ => {}
        }
    }
}

impl Told {
    fn new(row: &AuditRow, drop_id: DropId, state: OrderState, expires: i64) -> Told {
        let order = AuditedOrder {
            last_seq: row.seq,
            state,
            drop_id,
            quantity: row.quantity.unwrap_or(0),
            returned: 0,
            received: 0,
            refunded: 0,
            refund_due: 0,
        };
        let instants = Instants { reserved: row.at.get(), expires, paid: NEVER, idle: NEVER, ended: NEVER };
        Told { order, instants, payments: OrderPayments::default() }
    }

    fn change(&mut self, row: &AuditRow, report: &mut VerifyReport) {
        let told = &mut self.order;
        told.last_seq = row.seq;
        let (state, may) = match &*row.kind {
            "order_checked_out" => (OrderState::AwaitingPayment, told.state == OrderState::Reserved),
            "order_cancelled" => (OrderState::Cancelled, told.state.is_live()),
            "order_expired" => (OrderState::Expired, told.state.is_live()),
            "order_paid" => (OrderState::Paid, told.state.is_live()),
            "order_retaken" => (OrderState::Paid, told.state == OrderState::Expired),
            "payment_not_kept" | "order_refunded" | "refund_requested" | "refund_settled" | "refund_reported"
            | "refund_failed" => {
                // Before schema 3 only the amounts in the order's row show if a refund was the last of its order.
                let state = state_in(row).unwrap_or(told.state);
                (state, !state.is_live() || state == told.state)
            }
            _ => (told.state, true),
        };
        told.add_units_and_money(row);
        if !may {
            report.problem(format!("event {} ({}) cannot follow {:?}", row.seq, row.kind, told.state));
        }
        self.instants.change(row, told.state, state);
        told.state = state;
        self.payments.add(row);
    }

    fn compare(&self, seq: Seq, found: &AuditedOrder, instants: Instants, report: &mut VerifyReport) {
        // Only the amounts show if a refund was the last of its order.
        let refunded_whole = self.order.state == OrderState::Paid && found.state == OrderState::Refunded;
        let refunded_whole = refunded_whole && found.received == found.refunded;
        let state = if refunded_whole { found.state } else { self.order.state };
        if *found != (AuditedOrder { state, ..self.order }) {
            report.problem(format!("order {seq}: the row has {found:?}, the audit gives {:?}", self.order));
        }
        let ended = if refunded_whole { UNKNOWN } else { self.instants.ended };
        // A file that was migrated from schema 2 has the payment's instant for an order that was taken again.
        let retaken = instants.idle != NEVER && instants.idle == self.instants.paid;
        let idle = if retaken { UNKNOWN } else { self.instants.idle };
        let told = Instants { ended, idle, ..self.instants };
        let pairs = [
            (told.reserved, instants.reserved),
            (told.expires, instants.expires),
            (told.paid, instants.paid),
            (told.idle, instants.idle),
            (told.ended, instants.ended),
        ];
        if pairs.iter().any(|(told, found)| told != found && *told != UNKNOWN) {
            report.problem(format!("order {seq}: the row has {instants:?}, the audit gives {told:?}"));
        }
    }
}

/// Returns the order's state after a payment event, from the event's detail.
fn state_in(row: &AuditRow) -> Option<OrderState> {
    OrderState::parse(detail_of(row).get("state")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::UnixMillis;

    fn instants(paid: i64, idle: i64, ended: i64) -> Instants {
        Instants { reserved: 1, expires: 50, paid, idle, ended }
    }

    /// Problems of an order's row with these instants, whose events give others.
    fn problems(told: Instants, found: Instants, state: OrderState, row_state: OrderState) -> usize {
        let order = |state| AuditedOrder {
            last_seq: Seq::ZERO,
            state,
            drop_id: DropId::new(1).expect("in range"),
            quantity: 1,
            returned: 0,
            received: 100,
            refunded: 100,
            refund_due: 0,
        };
        let told = Told { order: order(state), instants: told, payments: OrderPayments::default() };
        let mut report = VerifyReport::default();
        told.compare(Seq::ZERO, &order(row_state), found, &mut report);
        report.problems.len()
    }

    #[test]
    fn instants_that_older_files_do_not_tell_are_not_compared_and_all_others_are() {
        use OrderState::{Paid, Refunded};
        let told = instants(10, 20, NEVER);
        assert_eq!(problems(told, told, Paid, Paid), 0);
        for other in [
            Instants { reserved: 2, ..told },
            Instants { expires: 51, ..told },
            Instants { paid: 11, ..told },
            Instants { idle: 21, ..told },
            Instants { ended: 30, ..told },
        ] {
            assert_eq!(problems(told, other, Paid, Paid), 1, "{other:?}");
        }
        // Before schema 3 no event says that a refund was the last, nor when.
        assert_eq!(problems(told, Instants { ended: 30, ..told }, Paid, Refunded), 0);
        // A file of schema 2 has the payment's instant for an order that was taken again after its expiry.
        assert_eq!(problems(told, Instants { idle: 10, ..told }, Paid, Paid), 0);
        let never = instants(NEVER, 20, NEVER);
        assert_eq!(problems(never, Instants { idle: NEVER, ..never }, Paid, Paid), 1, "no payment, no exception");
    }

    #[test]
    fn an_order_without_a_row_is_a_problem_and_a_row_for_each_order_is_none() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = crate::store::Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        let missing = |orders: AuditedOrders| {
            let mut report = VerifyReport::default();
            orders.walk(&store.connection, &mut report).expect("walked");
            report.problems
        };
        assert_eq!(missing(AuditedOrders::default()), Vec::<String>::new());
        let row = AuditRow {
            seq: Seq::new(1).expect("in range"),
            at: UnixMillis::ZERO,
            kind: "order_reserved".into(),
            drop_id: DropId::new(1),
            order: Seq::new(1),
            quantity: Some(1),
            amount: None,
            prev_seq: Seq::ZERO,
            detail: None,
        };
        let mut orders = AuditedOrders::default();
        let mut report = VerifyReport::default();
        orders.add(row.seq, DropId::new(1).expect("in range"), &row, None, &mut report);
        assert_eq!(missing(orders), ["1 orders were created, 0 have a row"]);
    }
}
