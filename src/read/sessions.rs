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
    /// Orders that ended without a session, although one may have been requested.
    pub unsure: Vec<Seq>,
    /// Last row of the scan.
    pub last: Seq,
    /// True if there may be more at once.
    pub more: bool,
}

impl OrderScan {
    fn after(last: Seq) -> OrderScan {
        OrderScan { orders: Vec::new(), ended: Vec::new(), unsure: Vec::new(), last, more: false }
    }
}

/// Instants since which orders that have ended matter to a scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanSince {
    /// Orders with a session, by their end.
    pub ended: UnixMillis,
    /// Orders without one, by the time until which they could be paid.
    pub expired: UnixMillis,
}

pub fn last_event(connection: &Connection) -> rusqlite::Result<Seq> {
    let last: Option<Seq> = connection.query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))?;
    Ok(last.unwrap_or(Seq::ZERO))
}

/// Returns the orders that were checked out after an event, in that order, and those that ended.
pub fn checked_out_since(connection: &Connection, since: Seq) -> rusqlite::Result<OrderScan> {
    let mut statement = connection
        .prepare_cached("SELECT seq, kind, order_seq, detail FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![since, ROWS_PER_SCAN])?;
    let (mut scan, mut seen) = (OrderScan::after(since), 0u32);
    while let Some(row) = rows.next()? {
        (scan.last, seen) = (row.get(0)?, seen.saturating_add(1));
        match row.get_ref(1)?.as_str()? {
            // A winner's order awaits its payment from its first event on.
            "order_checked_out" | "auction_awarded" => scan.orders.push(row.get(2)?),
            "order_reserved" if awaits_payment(row.get_ref(3)?.as_str_or_null()?) => scan.orders.push(row.get(2)?),
            "order_cancelled" | "order_expired" | "order_paid" => scan.ended.push(row.get(2)?),
            _ => {}
        }
    }
    scan.more = seen == ROWS_PER_SCAN;
    Ok(scan)
}

/// Returns whether an order from the line behind a drop awaits its payment from its first event on.
fn awaits_payment(detail: Option<&str>) -> bool {
    // The state is the only text of a reservation's detail that could be this word.
    detail.is_some_and(|detail| detail.contains("\"awaiting_payment\""))
}

/// Returns the provider at which an order can be paid and the URL there, if the session has been created.
pub fn url_of(connection: &Connection, order: Seq) -> rusqlite::Result<Option<(Provider, String)>> {
    let mut statement = connection.prepare_cached("SELECT provider, url FROM sessions WHERE order_seq = ?1")?;
    statement.query_row(params![order], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Returns the provider's id of an order's session, if the order has one at this provider.
pub fn reference_at(connection: &Connection, order: Seq, provider: Provider) -> rusqlite::Result<Option<Box<str>>> {
    let mut statement =
        connection.prepare_cached("SELECT reference FROM sessions WHERE order_seq = ?1 AND provider = ?2")?;
    statement.query_row(params![order, provider], |row| row.get::<_, String>(0)).optional().map(|r| r.map(Into::into))
}

/// Returns the provider of an order's session.
pub fn provider_of(connection: &Connection, order: Seq) -> rusqlite::Result<Option<Provider>> {
    Ok(url_of(connection, order)?.map(|(provider, _)| provider))
}

/// Returns the orders after `after` that await payment, and those that ended or were paid lately, with a session, or
/// without one although they awaited payment.
pub fn awaiting_payment(connection: &Connection, after: Seq, since: ScanSince) -> rusqlite::Result<OrderScan> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, state, coalesce(ended_at_ms, paid_at_ms), expires_at_ms FROM orders WHERE seq > ?1
         ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, ROWS_PER_SCAN])?;
    let (mut scan, mut seen) = (OrderScan::after(after), 0u32);
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
                let ended: Option<UnixMillis> = row.get(2)?;
                if ended < Some(since.ended) {
                    continue;
                }
                if has_session(connection, scan.last)? {
                    scan.ended.push(scan.last);
                } else if row.get::<_, UnixMillis>(3)? >= since.expired && has_awaited(connection, scan.last)? {
                    scan.unsure.push(scan.last);
                }
            }
            OrderState::Reserved => {}
        }
    }
    scan.more = seen == ROWS_PER_SCAN;
    Ok(scan)
}

/// Returns whether an order has awaited its payment: only then it has a contact, or is an auction's.
fn has_awaited(connection: &Connection, order: Seq) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM orders WHERE seq = ?1 AND (EXISTS (SELECT 1 FROM contacts WHERE order_seq = ?1)
             OR EXISTS (SELECT 1 FROM auctions WHERE auctions.drop_id = orders.drop_id))",
    )?;
    statement.exists(params![order])
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
