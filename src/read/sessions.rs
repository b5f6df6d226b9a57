//! Queries for payment sessions and webhooks: orders that need a session, and the order of a payment.

use rusqlite::{Connection, OptionalExtension, params};

use crate::types::{DropId, OrderState, Provider, Seq, UnixMillis};

/// Maximum number of rows per snapshot.
const ROWS_PER_SCAN: u32 = 2000;

/// Result of a scan along rows in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderScan {
    /// Orders that await payment, or did at the time of the scanned row.
    pub orders: Vec<Seq>,
    /// Orders that ended: cancelled, expired, or paid, perhaps elsewhere.
    pub ended: Vec<Seq>,
    /// Last row of the scan.
    pub last: Seq,
    /// True if there may be more at once.
    pub more: bool,
}

pub fn last_event(connection: &Connection) -> rusqlite::Result<Seq> {
    let last: Option<Seq> = connection.query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))?;
    Ok(last.unwrap_or(Seq::ZERO))
}

/// Returns the orders that were checked out after an event, in that order, and those that ended.
pub fn checked_out_since(connection: &Connection, since: Seq) -> rusqlite::Result<OrderScan> {
    let mut statement =
        connection.prepare_cached("SELECT seq, kind, order_seq FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![since, ROWS_PER_SCAN])?;
    let (mut scan, mut seen) = (OrderScan { orders: Vec::new(), ended: Vec::new(), last: since, more: false }, 0u32);
    while let Some(row) = rows.next()? {
        (scan.last, seen) = (row.get(0)?, seen.saturating_add(1));
        match row.get_ref(1)?.as_str()? {
            // A winner's order awaits its payment from its first event on.
            "order_checked_out" | "auction_awarded" => scan.orders.push(row.get(2)?),
            "order_cancelled" | "order_expired" | "order_paid" => scan.ended.push(row.get(2)?),
            _ => {}
        }
    }
    scan.more = seen == ROWS_PER_SCAN;
    Ok(scan)
}

/// Returns the payment URL of an order, if its provider has created the session.
pub fn url_of(connection: &Connection, order: Seq) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT url FROM sessions WHERE order_seq = ?1")?;
    statement.query_row(params![order], |row| row.get(0)).optional()
}

/// Returns the orders after `after` that await payment, and those with a session that ended or were paid since an instant.
pub fn awaiting_payment(connection: &Connection, after: Seq, ended_since: UnixMillis) -> rusqlite::Result<OrderScan> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, state, coalesce(ended_at_ms, paid_at_ms) FROM orders WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, ROWS_PER_SCAN])?;
    let (mut scan, mut seen) = (OrderScan { orders: Vec::new(), ended: Vec::new(), last: after, more: false }, 0u32);
    while let Some(row) = rows.next()? {
        (scan.last, seen) = (row.get(0)?, seen.saturating_add(1));
        match row.get::<_, OrderState>(1)? {
            OrderState::AwaitingPayment => scan.orders.push(scan.last),
            // A payment elsewhere leaves the session open: `to_close` tells these from payments with the session.
            OrderState::Cancelled
            | OrderState::Expired
            | OrderState::Paid
            | OrderState::RefundDue
            | OrderState::Refunded => {
                if row.get::<_, Option<UnixMillis>>(2)? >= Some(ended_since) && has_session(connection, scan.last)? {
                    scan.ended.push(scan.last);
                }
            }
            OrderState::Reserved => {}
        }
    }
    scan.more = seen == ROWS_PER_SCAN;
    Ok(scan)
}

pub fn has_session(connection: &Connection, order: Seq) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM sessions WHERE order_seq = ?1")?.exists(params![order])
}

/// Returns the session of an order that can no longer be paid with it, if the order has one at this provider: the order
/// has ended, and not by a payment through this provider.
pub fn to_close(connection: &Connection, order: Seq, provider: Provider) -> rusqlite::Result<Option<Box<str>>> {
    let mut statement = connection.prepare_cached(
        "SELECT sessions.reference FROM sessions JOIN orders ON orders.seq = sessions.order_seq
             LEFT JOIN payments ON payments.order_seq = ?1 AND payments.pays AND payments.provider = ?2
         WHERE sessions.order_seq = ?1 AND sessions.provider = ?2
             AND orders.state NOT IN ('reserved', 'awaiting_payment') AND payments.order_seq IS NULL",
    )?;
    statement.query_row(params![order, provider], |row| row.get::<_, String>(0)).optional().map(|r| r.map(Into::into))
}

/// Returns the name of what an order's drop sells, hidden or not.
pub fn name_of_drop(connection: &Connection, id: DropId) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM drops WHERE id = ?1")?;
    statement.query_row(params![id], |row| row.get(0)).optional()
}
