//! Queries for refunds that are made at the provider: payments with money that is due.

use rusqlite::{Connection, OptionalExtension, params};

use super::payments::orders_with_refunds_due;
use super::rows;
use crate::types::{Amount, Currency, OrderId, Provider, Seq};

/// Maximum number of rows per snapshot.
const ROWS_PER_SCAN: u32 = 2000;

/// A payment by its order and the event that recorded it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PaymentKey {
    pub order: Seq,
    pub payment: Seq,
}

/// A payment with money that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DuePayment {
    pub key: PaymentKey,
    pub order_id: OrderId,
    pub provider: Provider,
    pub reference: Box<str>,
    pub currency: Currency,
    pub received: Amount,
    pub refund_due: Amount,
    /// Another payment of the order has the same reference: a settlement, which names the reference, could be of that one.
    pub has_namesake: bool,
}

/// Orders that a scan found, along rows in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TouchedOrders {
    pub orders: Vec<Seq>,
    /// Last row of the scan.
    pub last: Seq,
    /// True if there may be more at once.
    pub more: bool,
}

/// Returns the orders after `after` that have a refund due.
pub fn due_after(connection: &Connection, after: Seq) -> rusqlite::Result<TouchedOrders> {
    let orders = orders_with_refunds_due(connection, after, ROWS_PER_SCAN)?;
    let last = orders.last().copied().unwrap_or(after);
    Ok(TouchedOrders { more: u32::try_from(orders.len()) == Ok(ROWS_PER_SCAN), orders, last })
}

/// Returns the orders whose refunds changed after an event.
pub fn touched_since(connection: &Connection, since: Seq) -> rusqlite::Result<TouchedOrders> {
    let mut statement =
        connection.prepare_cached("SELECT seq, kind, order_seq FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![since, ROWS_PER_SCAN])?;
    let (mut touched, mut seen) = (TouchedOrders { orders: Vec::new(), last: since, more: false }, 0u32);
    while let Some(row) = rows.next()? {
        (touched.last, seen) = (row.get(0)?, seen.saturating_add(1));
        match row.get_ref(1)?.as_str()? {
            "payment_not_kept" | "refund_requested" | "refund_settled" | "refund_failed" | "payment_replaced" => {
                touched.orders.push(row.get(2)?);
            }
            _ => {}
        }
    }
    touched.more = seen == ROWS_PER_SCAN;
    Ok(touched)
}

/// Returns the payments of an order through a provider that are owed back, in whole or in part.
pub fn due_of_order(connection: &Connection, order: Seq, provider: Provider) -> rusqlite::Result<Vec<PaymentKey>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq FROM payments WHERE order_seq = ?1 AND provider = ?2 AND refund_due > 0 ORDER BY seq",
    )?;
    let key = |row: &rusqlite::Row<'_>| Ok(PaymentKey { order, payment: row.get(0)? });
    statement.query_map(params![order, provider], key)?.collect()
}

/// Returns a payment through a provider, if money of it is due.
pub fn due_payment(
    connection: &Connection,
    key: PaymentKey,
    provider: Provider,
) -> rusqlite::Result<Option<DuePayment>> {
    let Some(order) = rows::order_by_seq(connection, key.order)? else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT reference, foreign_currency, received, refund_due,
             (SELECT count(*) FROM payments AS same WHERE same.order_seq = ?1 AND same.reference = payments.reference) > 1
         FROM payments
         WHERE order_seq = ?1 AND seq = ?2 AND provider = ?3 AND refund_due > 0",
    )?;
    let due = |row: &rusqlite::Row<'_>| {
        let foreign: Option<Currency> = row.get(1)?;
        Ok(DuePayment {
            key,
            order_id: order.id(),
            provider,
            reference: row.get::<_, String>(0)?.into(),
            currency: foreign.unwrap_or(order.currency),
            received: row.get(2)?,
            refund_due: row.get(3)?,
            has_namesake: row.get(4)?,
        })
    };
    statement.query_row(params![key.order, key.payment, provider], due).optional()
}
