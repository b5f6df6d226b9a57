//! Queries for payment sessions and webhooks: orders that need a session, and the order of a payment.

use rusqlite::{Connection, OptionalExtension, params};

use crate::types::{OrderState, Seq};

/// Maximum number of rows per snapshot.
const ROWS_PER_SCAN: u32 = 2000;

/// Result of a scan along rows in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderScan {
    /// Orders that await payment, or did at the time of the scanned row.
    pub orders: Vec<Seq>,
    /// Last row of the scan.
    pub last: Seq,
    /// True if there may be more at once.
    pub more: bool,
}

pub fn last_event(connection: &Connection) -> rusqlite::Result<Seq> {
    let last: Option<Seq> = connection.query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))?;
    Ok(last.unwrap_or(Seq::ZERO))
}

/// Returns the orders that were checked out after an event, in that order.
pub fn checked_out_since(connection: &Connection, since: Seq) -> rusqlite::Result<OrderScan> {
    let mut statement =
        connection.prepare_cached("SELECT seq, kind, order_seq FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![since, ROWS_PER_SCAN])?;
    let (mut scan, mut seen) = (OrderScan { orders: Vec::new(), last: since, more: false }, 0u32);
    while let Some(row) = rows.next()? {
        (scan.last, seen) = (row.get(0)?, seen.saturating_add(1));
        if row.get_ref(1)?.as_str()? == "order_checked_out" {
            scan.orders.push(row.get(2)?);
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

/// Returns the orders after `after` that await payment.
pub fn awaiting_payment(connection: &Connection, after: Seq) -> rusqlite::Result<OrderScan> {
    let mut statement =
        connection.prepare_cached("SELECT seq, state FROM orders WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![after, ROWS_PER_SCAN])?;
    let (mut scan, mut seen) = (OrderScan { orders: Vec::new(), last: after, more: false }, 0u32);
    while let Some(row) = rows.next()? {
        (scan.last, seen) = (row.get(0)?, seen.saturating_add(1));
        if row.get::<_, OrderState>(1)? == OrderState::AwaitingPayment {
            scan.orders.push(scan.last);
        }
    }
    scan.more = seen == ROWS_PER_SCAN;
    Ok(scan)
}

pub fn has_session(connection: &Connection, order: Seq) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM sessions WHERE order_seq = ?1")?.exists(params![order])
}
