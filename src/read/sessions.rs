//! What payment sessions and webhooks need of the file: orders that want a session, and the order of a payment.

use rusqlite::{Connection, OptionalExtension, params};

use crate::types::{OrderState, Seq};

/// Rows looked at in one snapshot.
const ROWS_PER_SCAN: u32 = 2000;

/// A scan along rows that are ordered by their number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderScan {
    /// Orders that await payment, or did when that was written.
    pub orders: Vec<Seq>,
    /// The last row that was looked at.
    pub last: Seq,
    /// Whether there may be more at once.
    pub more: bool,
}

/// The last event.
///
/// # Errors
/// What SQLite says.
pub fn last_event(connection: &Connection) -> rusqlite::Result<Seq> {
    let last: Option<Seq> = connection.query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))?;
    Ok(last.unwrap_or(Seq::ZERO))
}

/// Orders that went on to payment after an event, in the order in which they did.
///
/// # Errors
/// What SQLite says.
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

/// Where an order can be paid, if its provider has made the session.
///
/// # Errors
/// What SQLite says.
pub fn url_of(connection: &Connection, order: Seq) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT url FROM sessions WHERE order_seq = ?1")?;
    statement.query_row(params![order], |row| row.get(0)).optional()
}

/// Orders after this one that await payment.
///
/// # Errors
/// What SQLite says.
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

/// Whether it is known where an order can be paid.
///
/// # Errors
/// What SQLite says.
pub fn has_session(connection: &Connection, order: Seq) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM sessions WHERE order_seq = ?1")?.exists(params![order])
}

/// The order of a payment at Stripe.
///
/// # Errors
/// What SQLite says.
pub fn order_of_stripes_payment(connection: &Connection, reference: &str) -> rusqlite::Result<Option<Seq>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_seq FROM payments INDEXED BY payments_of_stripe WHERE provider = 'stripe' AND reference = ?1",
    )?;
    statement.query_row(params![reference], |row| row.get(0)).optional()
}
