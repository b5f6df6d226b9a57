//! Lists, searches and the audit, for the query thread. A page scans a bounded number of rows, so that no snapshot stays
//! open; it may therefore be short although there are more rows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::payments;
use super::rows::{DropRow, OrderRow, contact_of, drop_of, order_by_seq, order_of};
use crate::types::{Contact, DropId, DropState, OrderState, Seq};

/// Maximum number of rows that one page scans.
pub(super) const ROWS_SCANNED_MAX: u32 = 5000;

/// A page of items, and the start of the next one.
#[derive(Debug)]
pub struct ListPage<T> {
    pub items: Vec<T>,
    /// Start of the next page, if there may be more items.
    pub next_after: Option<u64>,
}

impl<T> ListPage<T> {
    /// Makes another item of each.
    #[must_use]
    pub fn map<U>(&self, item: impl FnMut(&T) -> U) -> ListPage<U> {
        ListPage { items: self.items.iter().map(item).collect(), next_after: self.next_after }
    }
}

/// Returns the drops after `after`, by number, without hidden drops of auctions.
pub fn drops(connection: &Connection, after: u32, limit: u32) -> rusqlite::Result<ListPage<DropRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, sku, name, description, image_url, currency, unit_price, total, held, sold, starts_at_ms, ends_at_ms,
             per_buyer_limit, reservation_seconds, payment_seconds, revision, started, paused, ended, mismatch, version,
             email_limit, phone_limit, payment_limit, address_limit, challenge, challenge_below, opens_at_ms, draw,
             admit_per_second, order_seconds, oversubscribe_percent,
             (SELECT beacon_seconds FROM draws WHERE drop_id = drops.id), (SELECT commitment FROM draws WHERE drop_id = drops.id),
             standby, blind_ms
         FROM drops LEFT JOIN rooms ON rooms.drop_id = drops.id
         WHERE id > ?1 AND NOT EXISTS (SELECT 1 FROM auctions WHERE drop_id = drops.id)
         ORDER BY id LIMIT ?2",
    )?;
    let mut items =
        statement.query_map(params![after, limit.saturating_add(1)], drop_of)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        items.pop();
    }
    let next_after = items.last().filter(|_| more).map(|drop| u64::from(drop.id.get()));
    Ok(ListPage { items, next_after })
}

/// Returns the drops below `before`, newest first, of one state if that is wanted. A page scans a bounded number of rows: it may
/// be short although there are more.
pub fn drops_before(
    connection: &Connection,
    before: u32,
    state: Option<DropState>,
    limit: usize,
) -> rusqlite::Result<ListPage<DropRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, sku, name, description, image_url, currency, unit_price, total, held, sold, starts_at_ms, ends_at_ms,
             per_buyer_limit, reservation_seconds, payment_seconds, revision, started, paused, ended, mismatch, version,
             email_limit, phone_limit, payment_limit, address_limit, challenge, challenge_below, opens_at_ms, draw,
             admit_per_second, order_seconds, oversubscribe_percent,
             (SELECT beacon_seconds FROM draws WHERE drop_id = drops.id), (SELECT commitment FROM draws WHERE drop_id = drops.id),
             standby, blind_ms
         FROM drops LEFT JOIN rooms ON rooms.drop_id = drops.id
         WHERE id < ?1 AND NOT EXISTS (SELECT 1 FROM auctions WHERE drop_id = drops.id)
         ORDER BY id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![before, ROWS_SCANNED_MAX], drop_of)?;
    first_fitting(rows, limit, |drop| (drop.id.get(), state.is_none_or(|state| drop.state() == state)))
}

/// Returns the first rows that fit. `look` gives a row's number and whether it fits; the next page starts at the last number that
/// was looked at.
pub(super) fn first_fitting<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    limit: usize,
    look: impl Fn(&T) -> (u32, bool),
) -> rusqlite::Result<ListPage<T>> {
    let (mut items, mut scanned, mut last) = (Vec::new(), 0u32, None);
    for row in rows {
        let row = row?;
        let (number, fits) = look(&row);
        if fits && items.len() >= limit {
            return Ok(ListPage { items, next_after: last });
        }
        scanned = scanned.saturating_add(1);
        last = Some(u64::from(number));
        if fits {
            items.push(row);
        }
    }
    Ok(ListPage { items, next_after: last.filter(|_| scanned >= ROWS_SCANNED_MAX) })
}

/// Filter of orders; all set conditions must hold.
#[derive(Clone, Copy, Default, Debug)]
pub struct OrderFilter {
    pub drop_id: Option<DropId>,
    pub state: Option<OrderState>,
    /// True for orders with an open refund only.
    pub refund_due: bool,
}

impl OrderFilter {
    fn fits(&self, order: &OrderRow) -> bool {
        self.drop_id.is_none_or(|id| id == order.drop_id) && self.state.is_none_or(|state| state == order.state)
    }
}

/// Does the same for orders with an open refund, which have an index.
fn orders_with_refunds_due(
    connection: &Connection,
    filter: OrderFilter,
    after: Seq,
    limit: u32,
) -> rusqlite::Result<ListPage<OrderRow>> {
    let due = payments::orders_with_refunds_due(connection, after, limit)?;
    let more = due.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_after = due.last().filter(|_| more).map(|last| last.get());
    let mut items = Vec::with_capacity(due.len());
    for seq in due {
        items.extend(order_by_seq(connection, seq)?.filter(|order| filter.fits(order)));
    }
    Ok(ListPage { items, next_after })
}

/// Returns the orders after `after`, by number. Orders have no other index: a page scans a bounded number of rows and may
/// be short although there are more.
pub fn orders(
    connection: &Connection,
    filter: OrderFilter,
    after: Seq,
    limit: u32,
) -> rusqlite::Result<ListPage<OrderRow>> {
    if filter.refund_due {
        return orders_with_refunds_due(connection, filter, after, limit);
    }
    let mut statement = connection.prepare_cached(
        "SELECT orders.seq, orders.secret, orders.drop_id, orders.buyer, orders.quantity, orders.unit_price,
             drops.currency, orders.state, orders.reserved_at_ms, orders.expires_at_ms, orders.paid_at_ms,
             orders.ended_at_ms, orders.refunded, orders.last_seq, orders.refund_due,
             orders.cancel_reason IS NOT NULL
         FROM orders JOIN drops ON drops.id = orders.drop_id WHERE orders.seq > ?1 ORDER BY orders.seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, ROWS_SCANNED_MAX])?;
    let mut items = Vec::new();
    let mut scanned = 0u32;
    let mut last = after;
    while let Some(row) = rows.next()? {
        scanned = scanned.saturating_add(1);
        let order = order_of(row)?;
        last = order.seq;
        if filter.fits(&order) {
            items.push(order);
            if items.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                return Ok(ListPage { items, next_after: Some(last.get()) });
            }
        }
    }
    let more = scanned == ROWS_SCANNED_MAX;
    Ok(ListPage { items, next_after: more.then_some(last.get()) })
}

/// Query for the last live and paid orders of a drop, for an undo.
#[derive(Clone, Copy, Debug)]
pub struct LastOrders {
    pub drop_id: DropId,
    /// Lowest order number, inclusive.
    pub from: Seq,
    /// Highest order number, exclusive.
    pub below: Seq,
    pub limit: u32,
}

/// A page of the last orders, newest first.
#[derive(Debug)]
pub struct LastOrdersPage {
    pub items: Vec<OrderRow>,
    /// Exclusive upper bound of the next page, if there may be more orders.
    pub next_below: Option<Seq>,
}

/// Returns the last live and paid orders of a drop, newest first. A page scans a bounded number of rows and may be short
/// although there are more.
pub fn last_orders(connection: &Connection, wanted: LastOrders) -> rusqlite::Result<LastOrdersPage> {
    let mut statement = connection.prepare_cached(
        "SELECT orders.seq, orders.secret, orders.drop_id, orders.buyer, orders.quantity, orders.unit_price,
             drops.currency, orders.state, orders.reserved_at_ms, orders.expires_at_ms, orders.paid_at_ms,
             orders.ended_at_ms, orders.refunded, orders.last_seq, orders.refund_due,
             orders.cancel_reason IS NOT NULL
         FROM orders JOIN drops ON drops.id = orders.drop_id WHERE orders.seq >= ?1 AND orders.seq < ?2
         ORDER BY orders.seq DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![wanted.from, wanted.below, ROWS_SCANNED_MAX])?;
    let (mut items, mut scanned, mut last) = (Vec::new(), 0u32, wanted.below);
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    while let Some(row) = rows.next()? {
        scanned = scanned.saturating_add(1);
        last = row.get(0)?;
        let order = order_of(row)?;
        if order.drop_id == wanted.drop_id && (order.state.is_live() || order.state == OrderState::Paid) {
            items.push(order);
            if items.len() >= limit {
                return Ok(LastOrdersPage { items, next_below: Some(last) });
            }
        }
    }
    Ok(LastOrdersPage { items, next_below: (scanned == ROWS_SCANNED_MAX).then_some(last) })
}

/// Returns the range of event numbers that a drop's orders can have, the upper bound excluded.
pub fn reach_of(connection: &Connection, drop_id: DropId) -> rusqlite::Result<(Seq, Seq)> {
    let mut statement = connection.prepare_cached("SELECT last_seq, version FROM drops WHERE id = ?1")?;
    let (mut seq, version): (Seq, Seq) = statement.query_row(params![drop_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The drop's own events lead back to its creation. They are few, because operators made them; all but a few of those that
    // others made, tickets and admissions, come after its first ticket.
    let mut ticket = connection.prepare_cached("SELECT seq FROM tickets WHERE drop_id = ?1 AND number = 1")?;
    seq = ticket.query_row(params![drop_id], |row| row.get(0)).optional()?.unwrap_or(seq);
    let mut before = connection.prepare_cached("SELECT prev_seq FROM audit WHERE seq = ?1")?;
    loop {
        match before.query_row(params![seq], |row| row.get::<_, Seq>(0))? {
            Seq::ZERO => return Ok((seq, version.next())),
            earlier => seq = earlier,
        }
    }
}

/// Returns the orders whose contact has this e-mail address, in either case of ASCII letters, or this telephone number,
/// newest last.
pub fn orders_by_contact(connection: &Connection, by: ContactKey<'_>, limit: u32) -> rusqlite::Result<Vec<OrderRow>> {
    let (sql, value) = match by {
        ContactKey::Email(email) => {
            // The index is in the order of bytes: all of it is scanned, 35 bytes of each contact.
            let sql = "SELECT order_seq FROM contacts INDEXED BY contacts_by_email \
                       WHERE email IS NOT NULL AND email = ?1 COLLATE NOCASE ORDER BY order_seq LIMIT ?2";
            (sql, email)
        }
        ContactKey::Phone(phone) => {
            ("SELECT order_seq FROM contacts WHERE phone = ?1 ORDER BY order_seq LIMIT ?2", phone)
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let seqs = statement
        .query_map(params![value, limit], |row| row.get::<_, Seq>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut orders = Vec::with_capacity(seqs.len());
    for seq in seqs {
        orders.extend(super::rows::order_by_seq(connection, seq)?);
    }
    Ok(orders)
}

/// Search key of a contact, compared byte by byte.
#[derive(Clone, Copy)]
pub enum ContactKey<'a> {
    Email(&'a str),
    Phone(&'a str),
}

/// Returns the contacts of orders, for an owner's export.
pub fn contacts_of(connection: &Connection, orders: &[OrderRow]) -> rusqlite::Result<Vec<Option<Contact>>> {
    orders.iter().map(|order| contact_of(connection, order.seq)).collect()
}

/// Filter of audit rows; all set conditions must hold.
#[derive(Clone, Copy, Default, Debug)]
pub struct AuditFilter {
    pub drop_id: Option<DropId>,
    pub order: Option<Seq>,
    /// Without the kinds of `BUYERS_KINDS`.
    pub without_buyers: bool,
}

/// Events that a sale has thousands of in a second: steps of buyers, and what follows from them by itself.
const BUYERS_KINDS: [&str; 14] = [
    "order_reserved",
    "order_checked_out",
    "order_paid",
    "order_cancelled",
    "order_expired",
    "bid_placed",
    "ticket_taken",
    "room_served",
    "standby_joined",
    "standby_left",
    "contact_corrected",
    "session_recorded",
    "provider_event_recorded",
    "deliveries_marked",
];

/// Returns audit rows after `since` as JSON objects, the last scanned row, and true if there may be more.
pub fn audit(connection: &Connection, since: Seq, filter: AuditFilter) -> rusqlite::Result<(Vec<String>, Seq, bool)> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, at_ms, kind, drop_id, order_seq, quantity, amount, prev_seq, detail
         FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![since, ROWS_SCANNED_MAX])?;
    let (mut lines, mut last, mut scanned) = (Vec::new(), since, 0u32);
    while let Some(row) = rows.next()? {
        scanned = scanned.saturating_add(1);
        last = row.get(0)?;
        let fits = filter.drop_id.is_none_or(|id| row.get(3).is_ok_and(|found: Option<DropId>| found == Some(id)))
            && filter.order.is_none_or(|seq| row.get(4).is_ok_and(|found: Option<Seq>| found == Some(seq)))
            && !(filter.without_buyers && is_of_buyers(row)?);
        if fits {
            lines.push(audit_line(row)?);
        }
    }
    Ok((lines, last, scanned == ROWS_SCANNED_MAX))
}

fn is_of_buyers(row: &Row<'_>) -> rusqlite::Result<bool> {
    let kind = row.get_ref(2)?.as_str()?;
    Ok(BUYERS_KINDS.contains(&kind))
}

fn audit_line(row: &Row<'_>) -> rusqlite::Result<String> {
    let mut line = serde_json::Map::new();
    let mut put = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            line.insert(name.into(), value);
        }
    };
    put("seq", Some(row.get::<_, i64>(0)?.into()));
    let at: crate::types::UnixMillis = row.get(1)?;
    put("at", Some(crate::types::text::rfc3339(at).into()));
    put("kind", Some(row.get::<_, String>(2)?.into()));
    put("drop_id", row.get::<_, Option<i64>>(3)?.map(Into::into));
    put("order_seq", row.get::<_, Option<i64>>(4)?.map(Into::into));
    put("quantity", row.get::<_, Option<i64>>(5)?.map(Into::into));
    put("amount", row.get::<_, Option<i64>>(6)?.map(Into::into));
    put("prev_seq", Some(row.get::<_, i64>(7)?.into()));
    let detail: Option<String> = row.get(8)?;
    put("detail", detail.and_then(|text| serde_json::from_str(&text).ok()));
    Ok(serde_json::Value::Object(line).to_string())
}
