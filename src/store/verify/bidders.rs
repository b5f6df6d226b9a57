//! Contacts of bidders: each belongs to a bid of its buyer, and to the order that was awarded to that bidder.

use rusqlite::{Connection, OptionalExtension, params};

use super::expected_row::detail_of;
use super::report::VerifyReport;
use crate::store::audit::AuditRow;
use crate::types::{AuctionId, Seq};

/// Contacts whose bid is not one of their buyer.
const STRANGE_BIDS: &str = "SELECT contact.bid_seq FROM bidder_contacts AS contact
     LEFT JOIN bids ON bids.auction_id = contact.auction_id AND bids.seq = contact.bid_seq AND bids.buyer = contact.buyer
     WHERE bids.seq IS NULL";
/// Contacts whose order is not one of their buyer and auction.
const STRANGE_ORDERS: &str = "SELECT contact.bid_seq FROM bidder_contacts AS contact
     LEFT JOIN auctions ON auctions.id = contact.auction_id
     LEFT JOIN orders ON orders.seq = contact.order_seq AND orders.buyer = contact.buyer
         AND orders.drop_id = auctions.drop_id
     WHERE contact.order_seq IS NOT NULL AND orders.seq IS NULL";

/// The awards by the audit: the order and the bid of each.
#[derive(Default)]
pub(super) struct AuditedAwards(Vec<(AuctionId, Seq, Seq)>);

impl AuditedAwards {
    /// Adds a row of the audit.
    pub(super) fn add(&mut self, row: &AuditRow) {
        if &*row.kind != "auction_awarded" {
            return;
        }
        let detail = detail_of(row);
        let auction = detail["auction_id"].as_u64().and_then(|id| AuctionId::new(u32::try_from(id).ok()?));
        if let (Some(auction), Some(bid)) = (auction, detail["bid_seq"].as_u64().and_then(Seq::new)) {
            self.0.push((auction, bid, row.seq));
        }
    }

    /// Compares the rows of contacts with bids and awards. Problems name bids and orders, and nothing of a contact.
    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        for (whose, strangers) in [("bid", STRANGE_BIDS), ("order", STRANGE_ORDERS)] {
            let mut strangers = connection.prepare(strangers)?;
            for seq in strangers.query_map([], |row| row.get::<_, Seq>(0))? {
                report.problem(format!("the contact of bid {}: its {whose} is of another buyer", seq?));
            }
        }
        let mut order_of = connection.prepare(
            "SELECT order_seq FROM bidder_contacts WHERE auction_id = ?1
                 AND buyer = (SELECT buyer FROM bids WHERE auction_id = ?1 AND seq = ?2)",
        )?;
        for (auction, bid, order) in &self.0 {
            let found: Option<Option<Seq>> = order_of.query_row(params![auction, bid], |row| row.get(0)).optional()?;
            if found.is_some_and(|found| found != Some(*order)) {
                report.problem(format!("the contact of the bidder to whom order {order} was awarded does not name it"));
            }
        }
        Ok(())
    }
}
