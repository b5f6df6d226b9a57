//! The recount: sums of the audit rows for every drop and every order.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::endpoints::AuditedEndpoints;
use super::{VerifyReport, makes_order};
use crate::store::audit::AuditRow;
use crate::types::{DropId, OrderState, Seq};

/// Units of one drop, counted from orders or from audit rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct RecountedStock {
    pub(super) total: i64,
    pub(super) held: i64,
    pub(super) sold: i64,
}

/// `scripts/conditions.sh` reads this form out of a problem that `verify` reports.
impl fmt::Display for RecountedStock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "total {}, held {}, sold {}", self.total, self.held, self.sold)
    }
}

pub(super) type Stocks = BTreeMap<DropId, RecountedStock>;

/// An order by its audit rows.
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

/// Bids of an auction by its audit rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct AuditedBids {
    pub(super) count: i64,
    pub(super) current: Option<i64>,
}

/// Sums of the audit rows so far.
#[derive(Default)]
pub(super) struct AuditRecount {
    pub(super) stocks: Stocks,
    pub(super) orders: HashMap<Seq, AuditedOrder>,
    pub(super) endpoints: AuditedEndpoints,
    /// Bids of each auction, by its hidden drop.
    pub(super) bids: BTreeMap<DropId, AuditedBids>,
    subjects: HashMap<DropId, Seq>,
}

impl AuditRecount {
    pub(super) fn add(&mut self, row: &AuditRow, report: &mut VerifyReport) {
        let units = row.quantity.unwrap_or(0);
        self.check_previous(row, report);
        if let Some(drop_id) = row.drop_id {
            let stock = self.stocks.entry(drop_id).or_default();
            match &*row.kind {
                "drop_created" | "auction_created" | "stock_adjusted" => {
                    stock.total = stock.total.saturating_add(units)
                }
                "order_reserved" | "auction_awarded" => stock.held = stock.held.saturating_add(units),
                "order_cancelled" | "order_expired" => stock.held = stock.held.saturating_sub(units),
                "order_paid" => {
                    stock.held = stock.held.saturating_sub(units);
                    stock.sold = stock.sold.saturating_add(units);
                }
                "order_retaken" => stock.sold = stock.sold.saturating_add(units),
                "order_refunded" | "refund_requested" => stock.sold = stock.sold.saturating_sub(units),
                _ => {}
            }
            if stock.held < 0 || stock.sold < 0 || stock.held.saturating_add(stock.sold) > stock.total {
                report.problem(format!("drop {drop_id} is oversold after event {}: {stock:?}", row.seq));
            }
        }
        if row.drop_id.is_none() {
            self.endpoints.add(row);
        }
        if let (Some(drop_id), "bid_placed") = (row.drop_id, &*row.kind) {
            let bids = self.bids.entry(drop_id).or_default();
            *bids = AuditedBids { count: bids.count.saturating_add(1), current: row.amount };
        }
        if let (Some(order), Some(drop_id)) = (row.order, row.drop_id) {
            self.add_to_order(order, drop_id, row, report);
        }
    }

    /// Checks that the row names the previous event of the same subject.
    fn check_previous(&mut self, row: &AuditRow, report: &mut VerifyReport) {
        let expected = match (row.order, row.drop_id) {
            (Some(order), _) => self.orders.get(&order).map_or(Seq::ZERO, |told| told.last_seq),
            (None, Some(drop_id)) => self.subjects.insert(drop_id, row.seq).unwrap_or_default(),
            (None, None) => Seq::ZERO,
        };
        if row.prev_seq != expected {
            report.problem(format!(
                "event {} names event {} as its predecessor, which is {expected}",
                row.seq, row.prev_seq
            ));
        }
    }

    fn add_to_order(&mut self, order: Seq, drop_id: DropId, row: &AuditRow, report: &mut VerifyReport) {
        let units = row.quantity.unwrap_or(0);
        if makes_order(row) {
            let reserved = &*row.kind == "order_reserved";
            let told = AuditedOrder {
                last_seq: row.seq,
                state: if reserved { OrderState::Reserved } else { OrderState::AwaitingPayment },
                drop_id,
                quantity: units,
                returned: 0,
                received: 0,
                refunded: 0,
                refund_due: 0,
            };
            self.orders.insert(order, told);
            return;
        }
        let Some(told) = self.orders.get_mut(&order) else {
            report.problem(format!("event {} is about order {order} of drop {drop_id}, never reserved", row.seq));
            return;
        };
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
        told.state = state;
    }
}

impl AuditedOrder {
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
                self.refunded = self.refunded.saturating_sub(money);
                self.refund_due = self.refund_due.saturating_add(money);
            }
            "refund_reported" => self.refunded = self.refunded.saturating_add(money),
            _ => {}
        }
    }
}

/// Returns the order's state after a payment event, from the event's detail.
fn state_in(row: &AuditRow) -> Option<OrderState> {
    let detail: serde_json::Value = serde_json::from_str(row.detail.as_deref()?).ok()?;
    OrderState::parse(detail.get("state")?.as_str()?)
}
