//! Audit rows with the rows that the chain seals together with them.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::money::{PAYMENTS, PaymentRows};
use super::order_rows::StoredOrder;
use crate::store::StoreError;
use crate::store::audit::AuditRow;
use crate::store::chain::{BidSeal, OrderSeal};
use crate::store::identity_rows::{IDENTITIES, IdentityRows};
use crate::types::{AuctionId, Digest, DropId, IdentityDigests, Seq, UnitPrice, UnixMillis};

fn row_of(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        kind: kind_of(row.get_ref(2)?.as_str()?),
        drop_id: row.get(3)?,
        order: row.get(4)?,
        quantity: row.get(5)?,
        amount: row.get(6)?,
        prev_seq: row.get(7)?,
        detail: row.get(8)?,
    })
}

/// Kinds of which a large file has many.
const FREQUENT: [&str; 8] = [
    "order_reserved",
    "order_expired",
    "order_cancelled",
    "order_checked_out",
    "order_paid",
    "bid_placed",
    "ticket_taken",
    "standby_joined",
];

/// Returns a kind, without an allocation if it is a frequent one.
fn kind_of(kind: &str) -> Cow<'static, str> {
    let frequent = FREQUENT.iter().find(|frequent| **frequent == kind);
    frequent.map_or_else(|| Cow::Owned(kind.to_owned()), |frequent| Cow::Borrowed(*frequent))
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
    /// A buyer who stands by: the order that it becomes, without a price.
    Standby(OrderSeal<'a>),
}

/// A bid's row.
pub(in crate::store) struct SealedBid<'a> {
    pub(super) seal: BidSeal<'a>,
    /// The price after the bid.
    pub(super) current: Option<i64>,
    pub(super) at: UnixMillis,
}

/// Orders: the columns that the chain seals, then those of [`StoredOrder::read`].
const ORDERS: &str = "SELECT secret, buyer, key_digest, unit_price, seq, drop_id, state, quantity, returned, last_seq,
         received, refunded, refund_due, reserved_at_ms, expires_at_ms, paid_at_ms, idle_at_ms, ended_at_ms, cancel_reason
     FROM orders ORDER BY orders.seq";
/// The place of an order's number in [`ORDERS`].
const SEQ: usize = 4;

/// A thing that [`walk_sealed`] comes by.
pub(in crate::store) enum Visited<'a> {
    /// An audit row, with the row that its event made. An order has its whole row beside it.
    Event(&'a AuditRow, SealedRow<'a>, Option<StoredOrder>),
    /// The row of an order that no event created.
    StrayOrder(StoredOrder),
    /// Payments of an order that has no row.
    StrayPayments(Seq),
}

/// Visits all audit rows, each with the row of the order or bid that it created, and all orders, in one pass over each table.
pub(in crate::store) fn walk_sealed(
    connection: &Connection,
    mut visit: impl FnMut(Visited<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let auctions = auctions_by_drop(connection)?;
    let mut bids = connection
        .prepare("SELECT buyer, amount, maximum, leads, current, at_ms FROM bids WHERE auction_id = ?1 AND seq = ?2")?;
    let mut entries = connection
        .prepare("SELECT secret, buyer, key_digest, email, phone, payment, address FROM standby WHERE seq = ?1")?;
    let mut orders = connection.prepare(ORDERS)?;
    let mut orders = orders.query([])?;
    let mut identities = connection.prepare(IDENTITIES)?;
    let mut identities = IdentityRows::begin(&mut identities)?;
    let mut payments = connection.prepare(PAYMENTS)?;
    let mut payments = PaymentRows::begin(&mut payments)?;
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
            let bid = found.next()?.map(bid_of).transpose()?;
            visit(Visited::Event(&row, bid.map_or(SealedRow::None, SealedRow::Bid), None))?;
            continue;
        }
        if &*row.kind == "standby_joined" {
            let mut found = entries.query([row.seq])?;
            match found.next()? {
                Some(entry) => {
                    let key = entry.get(2)?;
                    visit(Visited::Event(&row, SealedRow::Standby(entry_of(entry, &key)?), None))?;
                }
                None => visit(Visited::Event(&row, SealedRow::None, None))?,
            }
            continue;
        }
        if !makes_order(&row) {
            visit(Visited::Event(&row, SealedRow::None, None))?;
            continue;
        }
        while let Some(found) = order
            && seq_of(found)? < row.seq
        {
            visit_stray(found, &mut payments, &mut visit)?;
            order = orders.next()?;
        }
        let Some(found) = order.filter(|found| seq_of(found) == Ok(row.seq)) else {
            visit(Visited::Event(&row, SealedRow::None, None))?;
            continue;
        };
        let key = found.get(2)?;
        let seal = seal_of(found, &key, identities.of(row.seq)?)?;
        let own = order_row(found, &mut payments, &mut visit)?;
        visit(Visited::Event(&row, SealedRow::Order(seal), Some(own)))?;
        order = orders.next()?;
    }
    while let Some(found) = order {
        visit_stray(found, &mut payments, &mut visit)?;
        order = orders.next()?;
    }
    visit_payments_before(Seq::MAX, &mut payments, &mut visit)
}

fn seq_of(order: &Row<'_>) -> rusqlite::Result<Seq> {
    order.get(SEQ)
}

/// Reads the row of an order, with its payments.
fn order_row(
    row: &Row<'_>,
    payments: &mut PaymentRows<'_>,
    visit: &mut impl FnMut(Visited<'_>) -> Result<(), StoreError>,
) -> Result<StoredOrder, StoreError> {
    let seq = seq_of(row)?;
    visit_payments_before(seq, payments, visit)?;
    Ok(StoredOrder::read(row, SEQ, payments.of(seq)?)?)
}

fn visit_stray(
    row: &Row<'_>,
    payments: &mut PaymentRows<'_>,
    visit: &mut impl FnMut(Visited<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let stray = order_row(row, payments, visit)?;
    visit(Visited::StrayOrder(stray))
}

fn visit_payments_before(
    order: Seq,
    payments: &mut PaymentRows<'_>,
    visit: &mut impl FnMut(Visited<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    while let Some(stray) = payments.next_before(order)? {
        visit(Visited::StrayPayments(stray))?;
    }
    Ok(())
}

/// Returns the auctions by their hidden drops. Before schema 3 there was no such table.
fn auctions_by_drop(connection: &Connection) -> rusqlite::Result<HashMap<DropId, AuctionId>> {
    let mut statement = connection.prepare("SELECT drop_id, id FROM auctions")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn seal_of<'row>(
    row: &'row Row<'_>,
    key: &'row Digest,
    identities: IdentityDigests,
) -> rusqlite::Result<OrderSeal<'row>> {
    let (secret, buyer) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_str()?);
    Ok(OrderSeal { secret, buyer, key, unit_price: row.get(3)?, identities })
}

fn entry_of<'row>(row: &'row Row<'_>, key: &'row Digest) -> rusqlite::Result<OrderSeal<'row>> {
    let (email, phone, payment, address) = (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
    let identities = IdentityDigests { email, phone, payment, address };
    let (secret, buyer) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_str()?);
    Ok(OrderSeal { secret, buyer, key, unit_price: UnitPrice::default(), identities })
}

fn bid_of<'row>(row: &'row Row<'_>) -> rusqlite::Result<SealedBid<'row>> {
    let buyer = row.get_ref(0)?.as_str()?;
    let seal = BidSeal { buyer, amount: row.get(1)?, maximum: row.get(2)?, leads: row.get(3)? };
    Ok(SealedBid { seal, current: row.get(4)?, at: row.get(5)? })
}

#[cfg(test)]
mod tests {
    use crate::store::{Store, verify};
    use crate::types::UnixMillis;

    #[test]
    fn a_row_of_an_order_that_no_event_created_and_payments_without_an_order_are_problems() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        let problems = || verify::verify_connection(&store.connection).expect("verified").problems;
        assert_eq!(problems(), Vec::<String>::new());
        let payment = |order: u32| {
            format!(
                "INSERT INTO payments (order_seq, seq, provider, reference, received, pays, refunded, refund_due)
                 VALUES ({order}, {order}, 'manual', 'r{order}', 5, 0, 5, 0);"
            )
        };
        let order =
            "INSERT INTO orders (seq, secret, drop_id, buyer, key_digest, quantity, returned, unit_price, state,
                 reserved_at_ms, expires_at_ms, last_seq, received, refunded)
             VALUES (7, zeroblob(10), 1, 'ann', zeroblob(16), 1, 0, 5, 'reserved', 1, 2, 7, 5, 5);";
        let rows = [payment(3), order.to_string(), payment(7), payment(9), payment(9).replace("9, 9", "9, 10")];
        store.connection.execute_batch(&rows.concat()).expect("written");
        let found = problems();
        for problem in [
            "order 3 has payments, but no row",
            "order 7 has a row, but no event created it",
            "order 9 has payments, but no row",
        ] {
            assert_eq!(found.iter().filter(|found| *found == problem).count(), 1, "{problem}: {found:?}");
        }
        assert!(!found.iter().any(|problem| problem.contains("order 7 has payments")), "{found:?}");
    }
}
