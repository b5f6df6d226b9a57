//! Audit rows with the rows that the chain seals together with them.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use crate::store::StoreError;
use crate::store::audit::AuditRow;
use crate::store::chain::{BidSeal, OrderSeal};
use crate::store::identity_rows::{IDENTITIES, IdentityRows};
use crate::types::{AuctionId, DropId, Seq, UnixMillis};

fn row_of(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        kind: row.get::<_, String>(2)?.into(),
        drop_id: row.get(3)?,
        order: row.get(4)?,
        quantity: row.get(5)?,
        amount: row.get(6)?,
        prev_seq: row.get(7)?,
        detail: row.get(8)?,
    })
}

/// Returns true if the event of an audit row creates an order.
pub(super) fn makes_order(row: &AuditRow) -> bool {
    matches!(&*row.kind, "order_reserved" | "auction_awarded")
}

/// The row that an event made and that the chain seals with it.
pub(in crate::store) enum SealedRow<'a> {
    None,
    Order(OrderSeal<'a>),
    Bid(SealedBid<'a>),
}

/// A bid's row.
pub(in crate::store) struct SealedBid<'a> {
    pub(super) seal: BidSeal<'a>,
    /// The price after the bid.
    pub(super) current: Option<i64>,
    pub(super) at: UnixMillis,
}

/// Visits all audit rows, each with the row of the order or bid that it created.
pub(in crate::store) fn walk_sealed(
    connection: &Connection,
    mut visit: impl FnMut(&AuditRow, &SealedRow<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let auctions = auctions_by_drop(connection)?;
    let mut bids = connection
        .prepare("SELECT buyer, amount, maximum, leads, current, at_ms FROM bids WHERE auction_id = ?1 AND seq = ?2")?;
    let mut orders = connection
        .prepare("SELECT seq, secret, buyer, key_digest, unit_price FROM orders WHERE seq >= ?1 ORDER BY seq")?;
    let mut orders = orders.query([Seq::ZERO])?;
    let mut identities = connection.prepare(IDENTITIES)?;
    let mut identities = IdentityRows::begin(&mut identities)?;
    let mut statement = connection.prepare(
        "SELECT seq, at_ms, kind, drop_id, order_seq, quantity, amount, prev_seq, detail FROM audit ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let mut order = orders.next()?;
    while let Some(row) = rows.next()? {
        let row = row_of(row)?;
        if &*row.kind == "bid_placed"
            && let Some(auction) = row.drop_id.and_then(|drop_id| auctions.get(&drop_id))
        {
            let mut found = bids.query((auction, row.seq))?;
            match found.next()? {
                Some(bid) => visit(&row, &SealedRow::Bid(bid_of(bid)?))?,
                None => visit(&row, &SealedRow::None)?,
            }
            continue;
        }
        if !makes_order(&row) {
            visit(&row, &SealedRow::None)?;
            continue;
        }
        while let Some(found) = order
            && found.get::<_, Seq>(0)? < row.seq
        {
            order = orders.next()?;
        }
        match order {
            Some(found) if found.get::<_, Seq>(0)? == row.seq => {
                let key = found.get(3)?;
                let (secret, buyer) = (found.get_ref(1)?, found.get_ref(2)?);
                let secret = secret.as_blob().map_err(rusqlite::Error::from)?;
                let buyer = buyer.as_str().map_err(rusqlite::Error::from)?;
                let identities = identities.of(row.seq)?;
                let seal = OrderSeal { secret, buyer, key: &key, unit_price: found.get(4)?, identities };
                visit(&row, &SealedRow::Order(seal))?;
            }
            Some(_) | None => visit(&row, &SealedRow::None)?,
        }
    }
    Ok(())
}

/// Returns the auctions by their hidden drops. Before schema 3 there was no such table.
fn auctions_by_drop(connection: &Connection) -> rusqlite::Result<HashMap<DropId, AuctionId>> {
    let mut statement = connection.prepare("SELECT drop_id, id FROM auctions")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn bid_of<'row>(row: &'row Row<'_>) -> rusqlite::Result<SealedBid<'row>> {
    let buyer = row.get_ref(0)?.as_str()?;
    let seal = BidSeal { buyer, amount: row.get(1)?, maximum: row.get(2)?, leads: row.get(3)? };
    Ok(SealedBid { seal, current: row.get(4)?, at: row.get(5)? })
}
