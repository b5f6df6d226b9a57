//! Rows of orders, compared with what their events say: states, units, sums, instants and payments.

use rusqlite::Row;
use rusqlite::types::Value;

use super::expected_row::detail_of;
use super::money::{OrderPayments, PaymentSums};
use super::report::VerifyReport;
use super::words::{differences, seq_value};
use crate::store::audit::AuditRow;
use crate::types::{DropId, OrderState, Seq};

/// An instant that has not come.
const NEVER: i64 = i64::MIN;
/// An instant that the events do not say.
pub(super) const UNKNOWN: i64 = i64::MIN + 1;

/// The part of an order that its audit rows and its own row both have.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct AuditedOrder {
    pub(super) last_seq: Seq,
    pub(super) state: OrderState,
    pub(super) drop_id: DropId,
    pub(super) quantity: i64,
    pub(super) returned: i64,
    pub(super) received: i64,
    pub(super) refunded: i64,
    pub(super) refund_due: i64,
}

/// The instants of an order, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instants {
    reserved: i64,
    pub(super) expires: i64,
    paid: i64,
    idle: i64,
    ended: i64,
}

/// The row of an order, with what the rows of its payments say.
pub(in crate::store) struct StoredOrder {
    pub(super) seq: Seq,
    pub(super) order: AuditedOrder,
    pub(super) instants: Instants,
    pub(super) payments: PaymentSums,
    pub(super) cancel_reason: Option<Box<str>>,
}

/// An order by its audit rows.
pub(super) struct ToldOrder {
    pub(super) order: AuditedOrder,
    pub(super) instants: Instants,
    pub(super) payments: OrderPayments,
}

impl StoredOrder {
    /// Reads the row from the column `first` on, which has its number; the others are in the order of this function.
    pub(super) fn read(row: &Row<'_>, first: usize, payments: PaymentSums) -> rusqlite::Result<StoredOrder> {
        let column = |place: usize| first.saturating_add(place);
        let at = |place| row.get::<_, Option<i64>>(column(place)).map(|at| at.unwrap_or(NEVER));
        Ok(StoredOrder {
            seq: row.get(column(0))?,
            order: AuditedOrder {
                drop_id: row.get(column(1))?,
                state: row.get(column(2))?,
                quantity: row.get(column(3))?,
                returned: row.get(column(4))?,
                last_seq: row.get(column(5))?,
                received: row.get(column(6))?,
                refunded: row.get(column(7))?,
                refund_due: row.get(column(8))?,
            },
            instants: Instants { reserved: at(9)?, expires: at(10)?, paid: at(11)?, idle: at(12)?, ended: at(13)? },
            payments,
            cancel_reason: row.get_ref(column(14))?.as_str_or_null()?.map(Box::from),
        })
    }
}

impl AuditedOrder {
    /// Names what a row has otherwise than the audit; empty if nothing is.
    fn differences_from(&self, told: &AuditedOrder) -> String {
        if self == told {
            return String::new();
        }
        let text = |words: String| Value::Text(words);
        differences([
            ("its drop", text(self.drop_id.to_string()), text(told.drop_id.to_string())),
            ("state", text(self.state.as_str().into()), text(told.state.as_str().into())),
            ("quantity", self.quantity.into(), told.quantity.into()),
            ("returned", self.returned.into(), told.returned.into()),
            ("last_seq", seq_value(Some(self.last_seq)), seq_value(Some(told.last_seq))),
            ("received", self.received.into(), told.received.into()),
            ("refunded", self.refunded.into(), told.refunded.into()),
            ("refund_due", self.refund_due.into(), told.refund_due.into()),
        ])
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

impl ToldOrder {
    pub(super) fn new(row: &AuditRow, drop_id: DropId, state: OrderState, expires: i64) -> ToldOrder {
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
        ToldOrder { order, instants, payments: OrderPayments::default() }
    }

    /// Adds a later event of the order.
    pub(super) fn change(&mut self, row: &AuditRow, report: &mut VerifyReport) {
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
            report.problem(format!("event {} ({}) cannot follow {}", row.seq, row.kind, told.state.as_str()));
        }
        self.instants.change(row, told.state, state);
        told.state = state;
        self.payments.add(row);
    }

    /// Compares the order's row. What events of older programs do not say is not compared.
    pub(super) fn compare(&self, seq: Seq, found: &AuditedOrder, instants: Instants, report: &mut VerifyReport) {
        // Only the amounts show if a refund was the last of its order.
        let refunded_whole = self.order.state == OrderState::Paid && found.state == OrderState::Refunded;
        let refunded_whole = refunded_whole && found.received == found.refunded;
        let state = if refunded_whole { found.state } else { self.order.state };
        let differing = found.differences_from(&AuditedOrder { state, ..self.order });
        if !differing.is_empty() {
            report.problem(format!("order {seq}: {differing}"));
        }
        let ended = if refunded_whole { UNKNOWN } else { self.instants.ended };
        // A file that was migrated from schema 2 has the payment's instant for an order that was taken again.
        let retaken = instants.idle != NEVER && instants.idle == self.instants.paid;
        let idle = if retaken { UNKNOWN } else { self.instants.idle };
        let told = Instants { ended, idle, ..self.instants };
        let pairs = [
            ("reserved_at_ms", instants.reserved, told.reserved),
            ("expires_at_ms", instants.expires, told.expires),
            ("paid_at_ms", instants.paid, told.paid),
            ("idle_at_ms", instants.idle, told.idle),
            ("ended_at_ms", instants.ended, told.ended),
        ];
        if pairs.iter().any(|(_, found, told)| told != found && *told != UNKNOWN) {
            let value = |at| if at == NEVER { Value::Null } else { Value::Integer(at) };
            let known = pairs
                .map(|(name, found, told)| (name, value(found), value(if told == UNKNOWN { found } else { told })));
            report.problem(format!("order {seq}: {}", differences(known)));
        }
    }
}

/// Returns the order's state after a payment event, from the event's detail.
fn state_in(row: &AuditRow) -> Option<OrderState> {
    OrderState::parse(detail_of(row).get("state")?.as_str()?)
}

#[cfg(test)]
impl StoredOrder {
    /// The row of an order that was reserved by an event, whose last event is another.
    pub(super) fn reserved(event: &AuditRow, drop_id: DropId, last_seq: Seq, payments: PaymentSums) -> StoredOrder {
        let ToldOrder { order, instants, .. } = ToldOrder::new(event, drop_id, OrderState::Reserved, UNKNOWN);
        StoredOrder {
            seq: event.seq,
            order: AuditedOrder { last_seq, ..order },
            instants,
            payments,
            cancel_reason: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let told = ToldOrder { order: order(state), instants: told, payments: OrderPayments::default() };
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
}
