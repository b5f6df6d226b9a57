//! The recount: sums of the audit rows for every drop and every order.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::auctions::AuditedAuctions;
use super::bidders::AuditedAwards;
use super::caps::AuditedCaps;
use super::draws::AuditedDraws;
use super::drops::AuditedDrops;
use super::endpoints::AuditedEndpoints;
use super::money::AuditedMoney;
use super::order_rows::StoredOrder;
use super::orders::AuditedOrders;
use super::report::VerifyReport;
use super::rooms::AuditedRooms;
use super::sealed_rows::{SealedRow, makes_order};
use super::standby::AuditedLines;
use super::tiers::AuditedTiers;
use crate::store::audit::AuditRow;
use crate::types::{DropId, Seq};

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

/// Sums of the audit rows so far.
#[derive(Default)]
pub(super) struct AuditRecount {
    pub(super) stocks: Stocks,
    pub(super) drops: AuditedDrops,
    pub(super) auctions: AuditedAuctions,
    pub(super) awards: AuditedAwards,
    pub(super) lines: AuditedLines,
    pub(super) orders: AuditedOrders,
    pub(super) money: AuditedMoney,
    pub(super) endpoints: AuditedEndpoints,
    caps: AuditedCaps,
    pub(super) tiers: AuditedTiers,
    pub(super) rooms: AuditedRooms,
    pub(super) draws: AuditedDraws,
    subjects: HashMap<DropId, Seq>,
}

impl AuditRecount {
    /// Adds a row of the audit, with the row that its event made; an order has its whole row beside it.
    pub(super) fn add(
        &mut self,
        row: &AuditRow,
        sealed: &SealedRow<'_>,
        order_row: Option<StoredOrder>,
        report: &mut VerifyReport,
    ) {
        let units = row.quantity.unwrap_or(0);
        self.check_previous(row, report);
        if let Some(order_row) = &order_row {
            self.orders.add_row(order_row, report);
        }
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
                report.problem(format!("drop {drop_id} is oversold after event {}: {stock}", row.seq));
            }
        }
        if row.drop_id.is_none() {
            self.endpoints.add(row);
            self.tiers.add(row);
            if &*row.kind == "stop_ended" {
                self.orders.add_stop(row);
            }
        }
        if let Some(drop_id) = row.drop_id {
            self.drops.add(drop_id, row);
            self.auctions.add(drop_id, row, sealed, report);
            self.awards.add(row);
            self.lines.add(drop_id, row, &self.draws, report);
            self.rooms.add(drop_id, row, report);
            if self.draws.concern(drop_id, row) {
                let (tickets, recorded) = (self.rooms.buyers_of(drop_id), self.lines.buyers_of(drop_id));
                let count = u32::try_from(tickets.len().saturating_add(recorded.len())).unwrap_or(u32::MAX);
                self.draws.add(drop_id, row, count, tickets.chain(recorded), report);
            }
        }
        self.money.add(row);
        if let (Some(order), Some(drop_id)) = (row.order, row.drop_id) {
            let known = self.drops.get(drop_id);
            if makes_order(row) {
                self.orders.create(order, drop_id, row, order_row, known, report);
            } else {
                self.orders.change(order, drop_id, row, known, report);
            }
            self.caps.add(order, drop_id, row, sealed, known, report);
        }
    }

    /// Checks that the row names the previous event of the same subject.
    fn check_previous(&mut self, row: &AuditRow, report: &mut VerifyReport) {
        let expected = match (row.order, row.drop_id) {
            // A new order has no event yet.
            (Some(order), _) if order == row.seq => Seq::ZERO,
            (Some(order), _) => self.orders.last_seq(order),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::UnixMillis;

    fn row(seq: u64, prev_seq: u64, kind: &'static str, drop_id: Option<u32>, order: Option<u64>) -> AuditRow {
        let seq_of = |seq| Seq::new(seq).expect("in range");
        AuditRow {
            seq: seq_of(seq),
            at: UnixMillis::ZERO,
            kind: kind.into(),
            drop_id: drop_id.and_then(DropId::new),
            order: order.map(seq_of),
            quantity: Some(1),
            amount: None,
            prev_seq: seq_of(prev_seq),
            detail: None,
        }
    }

    #[test]
    fn every_event_names_the_previous_event_of_its_drop_or_order_and_any_other_is_a_problem() {
        let rows = [
            (1, 0, "drop_created", Some(1), None),
            (2, 0, "order_reserved", Some(1), Some(2)),
            (3, 1, "drop_paused", Some(1), None),
            (4, 2, "order_cancelled", Some(1), Some(2)),
            (5, 0, "endpoint_created", None, None),
        ];
        let problems_with = |altered: Option<usize>| {
            let (mut recount, mut report) = (AuditRecount::default(), VerifyReport::default());
            for (index, (seq, prev_seq, kind, drop_id, order)) in rows.into_iter().enumerate() {
                // No event has its own number as that of its predecessor.
                let prev_seq = if altered == Some(index) { seq } else { prev_seq };
                recount.check_previous(&row(seq, prev_seq, kind, drop_id, order), &mut report);
                recount.add(
                    &row(seq, prev_seq, kind, drop_id, order),
                    &SealedRow::None,
                    None,
                    &mut VerifyReport::default(),
                );
            }
            report.problems
        };
        assert_eq!(problems_with(None), Vec::<String>::new());
        for (index, (seq, prev_seq, ..)) in rows.into_iter().enumerate() {
            let expected = format!("event {seq} names event {seq} as its predecessor, which is {prev_seq}");
            assert_eq!(problems_with(Some(index)), [expected]);
        }
        let mut report = VerifyReport::default();
        AuditRecount::default().add(&row(1, 1, "drop_created", Some(1), None), &SealedRow::None, None, &mut report);
        assert!(report.problems.iter().any(|problem| problem.contains("predecessor")), "{:?}", report.problems);
    }
}
