//! Rows of auctions and bids, compared with what their events say of prices, ends and states.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::expected_row::{ExpectedRow, detail_of};
use super::report::VerifyReport;
use super::sealed_rows::SealedRow;
use super::words::{MissingRow, differences, seq_value};
use crate::store::audit::AuditRow;
use crate::types::{DropId, Seq};

const COLUMNS: [&str; 16] = [
    "id",
    "start_price",
    "reserve_price",
    "increments",
    "buy_now",
    "starts_at_ms",
    "planned_end_ms",
    "soft_close_seconds",
    "extensions_max",
    "hard_end_at_ms",
    "payment_seconds",
    "offer_next",
    "exposure_limit",
    "state",
    "settled",
    "ends_at_ms",
];

/// An auction by its audit rows and its sealed bids.
struct AuditedAuction {
    row: ExpectedRow,
    bids: AuditedBids,
}

/// The part of an auction's row that its bids change.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct AuditedBids {
    count: i64,
    current: Option<i64>,
    leader: Option<Seq>,
    extensions: i64,
}

/// All auctions by the audit, by their hidden drops.
#[derive(Default)]
pub(super) struct AuditedAuctions(BTreeMap<DropId, AuditedAuction>);

impl AuditedAuctions {
    /// Adds a row that belongs to a drop, which may be an auction's hidden drop.
    pub(super) fn add(&mut self, id: DropId, row: &AuditRow, sealed: &SealedRow<'_>, report: &mut VerifyReport) {
        if &*row.kind == "auction_created" {
            self.0.insert(id, AuditedAuction::created(row));
            return;
        }
        if self.0.is_empty() {
            return;
        }
        let Some(known) = self.0.get_mut(&id) else { return };
        match &*row.kind {
            "auction_started" => known.row.set("state", "live".to_string()),
            "auction_ended" => {
                known.row.set_from("state", &detail_of(row), "ending");
                known.end(row);
            }
            "auction_cancelled" => {
                known.row.set("state", "cancelled".to_string());
                known.end(row);
            }
            "order_paid" | "order_retaken" => known.row.set("settled", 1),
            "bid_placed" => known.take_bid(row, sealed, report),
            _ => {}
        }
    }

    /// Compares all rows of auctions, and the number of their bids.
    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT drop_id, bids, current, leader_seq, extensions,
                 (SELECT count(*) FROM bids WHERE auction_id = auctions.id), {} FROM auctions ORDER BY drop_id",
            ExpectedRow::list(&COLUMNS)
        );
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut auctions = 0usize;
        let mut missing = MissingRow::of(self.0.keys().copied());
        while let Some(row) = rows.next()? {
            let id: DropId = row.get(0)?;
            let Some(told) = self.0.get(&id) else {
                report.problem(format!("the auction of drop {id} has a row, but no event created it"));
                continue;
            };
            auctions = auctions.saturating_add(1);
            missing.found(&id);
            let found =
                AuditedBids { count: row.get(1)?, current: row.get(2)?, leader: row.get(3)?, extensions: row.get(4)? };
            let rows: i64 = row.get(5)?;
            let differing = differences([
                ("bids", found.count.into(), told.bids.count.into()),
                ("current", found.current.into(), told.bids.current.into()),
                ("leader_seq", seq_value(found.leader), seq_value(told.bids.leader)),
                ("extensions", found.extensions.into(), told.bids.extensions.into()),
                ("the number of its bids' rows", rows.into(), told.bids.count.into()),
            ]);
            if !differing.is_empty() {
                report.problem(format!("the auction of drop {id}: {differing}"));
            }
            told.row.compare(row, 6, format_args!("the auction of drop {id}"), report)?;
        }
        if let Some(id) = missing.first() {
            let created = self.0.len();
            let none = format_args!("the auction of drop {id} has none");
            report.problem(format!("{created} auctions were created, {auctions} have a row: {none}"));
        }
        Ok(())
    }
}

impl AuditedAuction {
    fn created(row: &AuditRow) -> AuditedAuction {
        let detail = detail_of(row);
        let mut expected = ExpectedRow::new(&COLUMNS);
        expected.set_all(&detail);
        expected.set_from("id", &detail, "auction_id");
        expected.set_from("planned_end_ms", &detail, "ends_at_ms");
        expected.set("settled", 0);
        if let Some(starts_at) = expected.number("starts_at_ms") {
            let state = if starts_at <= row.at.get() { "live" } else { "scheduled" };
            expected.set("state", state.to_string());
        }
        AuditedAuction { row: expected, bids: AuditedBids::default() }
    }

    fn end(&mut self, row: &AuditRow) {
        if let Some(ends_at) = self.row.number("ends_at_ms") {
            self.row.set("ends_at_ms", ends_at.min(row.at.get()));
        }
    }

    fn take_bid(&mut self, row: &AuditRow, sealed: &SealedRow<'_>, report: &mut VerifyReport) {
        let AuditedBids { count, current, leader, extensions } = &mut self.bids;
        *count = count.saturating_add(1);
        *current = row.amount;
        let SealedRow::Bid(bid) = sealed else { return };
        if bid.seal.leads {
            *leader = Some(row.seq);
        }
        if (bid.current, bid.at) != (row.amount, row.at) {
            let differing = differences([
                ("its price", bid.current.into(), row.amount.into()),
                ("its instant", bid.at.get().into(), row.at.get().into()),
            ]);
            report.problem(format!("bid {}: {differing}", row.seq));
        }
        // As `bidding::end_after_bid` moves the end.
        let number = |column: &str| self.row.number(column);
        let (Some(soft), Some(most), Some(ends_at)) =
            (number("soft_close_seconds"), number("extensions_max"), number("ends_at_ms"))
        else {
            return;
        };
        if soft == 0 || *extensions >= most {
            return;
        }
        let moved = row.at.get().saturating_add(soft.saturating_mul(1000));
        let moved = number("hard_end_at_ms").map_or(moved, |hard| moved.min(hard)).max(ends_at);
        if moved != ends_at {
            *extensions = extensions.saturating_add(1);
            self.row.set("ends_at_ms", moved);
        }
    }
}
