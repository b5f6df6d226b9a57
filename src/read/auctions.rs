//! Rows of auctions and bids, without their secrets: the amount of the reserve price and buyers' maxima.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::lists::{ListPage, ROWS_SCANNED_MAX, first_fitting};
use super::rows::{OrderRow, order_by_seq};
use crate::types::{AuctionId, AuctionState, BuyerText, Currency, DropId, Increment, Seq, UnitPrice, UnixMillis};

/// An auction as clients see it.
#[derive(Clone, Debug)]
pub struct AuctionRow {
    pub id: AuctionId,
    pub drop_id: DropId,
    pub sku: String,
    pub name: String,
    pub currency: Currency,
    pub start_price: UnitPrice,
    pub increments: Box<[Increment]>,
    pub buy_now: Option<UnitPrice>,
    pub starts_at: UnixMillis,
    pub ends_at: UnixMillis,
    /// A bid in the last seconds moves the end that far away; 0 if none does.
    pub soft_close_seconds: u32,
    pub state: AuctionState,
    pub current: Option<UnitPrice>,
    pub leader_seq: Option<Seq>,
    pub bids: u32,
    pub version: Seq,
    /// True if the price has reached the reserve price.
    pub reserve_met: bool,
    pub leader: Option<String>,
}

impl AuctionRow {
    /// Minimum amount of the next bid.
    #[must_use]
    pub fn minimum_next(&self) -> UnitPrice {
        self.current.map_or(self.start_price, |current| Increment::above(&self.increments, current))
    }

    /// Buy-now price; `None` after the first bid and when the auction is over.
    #[must_use]
    pub fn open_buy_now(&self) -> Option<UnitPrice> {
        self.buy_now.filter(|_| self.bids == 0 && matches!(self.state, AuctionState::Scheduled | AuctionState::Live))
    }
}

/// `[[from, step], ...]`.
fn increments_of(text: &str) -> Option<Box<[Increment]>> {
    let pairs: Vec<[u64; 2]> = serde_json::from_str(text).ok()?;
    let increment =
        |[from, step]: [u64; 2]| Some(Increment { from: UnitPrice::new(from)?, step: UnitPrice::new(step)? });
    pairs.into_iter().map(increment).collect()
}

macro_rules! auction_where {
    ($rest:literal) => {
        concat!(
            "SELECT auctions.id, auctions.drop_id, drops.sku, drops.name, drops.currency, auctions.start_price,
                 auctions.increments, auctions.buy_now, auctions.starts_at_ms, auctions.ends_at_ms, auctions.state,
                 auctions.current, auctions.leader_seq, auctions.bids, drops.version,
                 coalesce(auctions.reserve_price <= auctions.current, auctions.reserve_price IS NULL), bids.buyer,
                 auctions.soft_close_seconds
             FROM auctions JOIN drops ON drops.id = auctions.drop_id
                 LEFT JOIN bids ON bids.auction_id = auctions.id AND bids.seq = auctions.leader_seq
             WHERE ",
            $rest
        )
    };
}

fn auction_of(row: &Row<'_>) -> rusqlite::Result<AuctionRow> {
    let increments: String = row.get(6)?;
    Ok(AuctionRow {
        id: row.get(0)?,
        drop_id: row.get(1)?,
        sku: row.get(2)?,
        name: row.get(3)?,
        currency: row.get(4)?,
        start_price: row.get(5)?,
        increments: increments_of(&increments)
            .ok_or_else(|| rusqlite::Error::InvalidColumnType(6, "increments".into(), rusqlite::types::Type::Text))?,
        buy_now: row.get(7)?,
        starts_at: row.get(8)?,
        ends_at: row.get(9)?,
        state: row.get(10)?,
        current: row.get(11)?,
        leader_seq: row.get(12)?,
        bids: row.get(13)?,
        version: row.get(14)?,
        reserve_met: row.get(15)?,
        leader: row.get(16)?,
        soft_close_seconds: row.get(17)?,
    })
}

pub fn auction_by_id(connection: &Connection, id: AuctionId) -> rusqlite::Result<Option<AuctionRow>> {
    let mut statement = connection.prepare_cached(auction_where!("auctions.id = ?1"))?;
    statement.query_row(params![id], auction_of).optional()
}

/// Returns the auctions after `after`, by number.
pub fn auctions(connection: &Connection, after: u32, limit: u32) -> rusqlite::Result<ListPage<AuctionRow>> {
    let mut statement = connection.prepare_cached(auction_where!("auctions.id > ?1 ORDER BY auctions.id LIMIT ?2"))?;
    let rows = statement.query_map(params![after, limit.saturating_add(1)], auction_of)?;
    let items = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(page(items, limit, |auction| u64::from(auction.id.get())))
}

/// Returns the auctions below `before` whose state fits, newest first. A page scans a bounded number of rows.
pub fn auctions_before(
    connection: &Connection,
    before: u32,
    fits: impl Fn(AuctionState) -> bool,
    limit: usize,
) -> rusqlite::Result<ListPage<AuctionRow>> {
    let mut statement =
        connection.prepare_cached(auction_where!("auctions.id < ?1 ORDER BY auctions.id DESC LIMIT ?2"))?;
    let rows = statement.query_map(params![before, ROWS_SCANNED_MAX], auction_of)?;
    first_fitting(rows, limit, |auction| (auction.id.get(), fits(auction.state)))
}

/// An accepted bid as clients see it.
#[derive(Clone, Debug)]
pub struct BidRow {
    pub seq: Seq,
    pub buyer: String,
    pub amount: UnitPrice,
    /// Price after this bid.
    pub current: UnitPrice,
    pub at: UnixMillis,
}

fn bid_of(row: &Row<'_>) -> rusqlite::Result<BidRow> {
    Ok(BidRow { seq: row.get(0)?, buyer: row.get(1)?, amount: row.get(2)?, current: row.get(3)?, at: row.get(4)? })
}

pub fn bid_by_seq(connection: &Connection, id: AuctionId, seq: Seq) -> rusqlite::Result<Option<BidRow>> {
    let mut statement = connection
        .prepare_cached("SELECT seq, buyer, amount, current, at_ms FROM bids WHERE auction_id = ?1 AND seq = ?2")?;
    statement.query_row(params![id, seq], bid_of).optional()
}

/// Returns the accepted bids of an auction after `after`, in order.
pub fn bids(connection: &Connection, id: AuctionId, after: Seq, limit: u32) -> rusqlite::Result<ListPage<BidRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, buyer, amount, current, at_ms FROM bids WHERE auction_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = statement.query_map(params![id, after, limit.saturating_add(1)], bid_of)?;
    let items = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(page(items, limit, |bid| bid.seq.get()))
}

/// Returns the latest order of an auction: bought, or awarded to the latest buyer who was offered the unit. The last event
/// of the hidden drop belongs to that order, or ended the auction right after a purchase.
pub fn last_order(connection: &Connection, id: AuctionId) -> rusqlite::Result<Option<OrderRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT audit.order_seq FROM auctions JOIN drops ON drops.id = auctions.drop_id
             JOIN audit ON audit.seq BETWEEN drops.version - 1 AND drops.version
         WHERE auctions.id = ?1 AND audit.drop_id = auctions.drop_id AND audit.order_seq IS NOT NULL
         ORDER BY audit.seq DESC LIMIT 1",
    )?;
    let order: Option<Seq> = statement.query_row(params![id], |row| row.get(0)).optional()?;
    order.map_or(Ok(None), |order| order_by_seq(connection, order))
}

/// Returns whether a bidder's contact is kept.
pub fn has_contact(connection: &Connection, id: AuctionId, buyer: &BuyerText) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM bidder_contacts WHERE auction_id = ?1 AND buyer = ?2")?;
    statement.exists(params![id, buyer.as_str()])
}

/// Makes a page of rows, one more than its limit if there are further rows.
fn page<T>(mut items: Vec<T>, limit: u32, number: impl Fn(&T) -> u64) -> ListPage<T> {
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        items.pop();
    }
    let next_after = items.last().filter(|_| more).map(number);
    ListPage { items, next_after }
}
