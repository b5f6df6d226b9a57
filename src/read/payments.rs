//! Rows of payments.

use rusqlite::{Connection, params};

use super::lists::ListPage;
use crate::types::{Amount, Currency, DropId, Provider, Seq, UnixMillis};

/// Maximum number of rows that one page scans.
const ROWS_SCANNED_MAX: u32 = 5000;

/// A payment as operators see it.
#[derive(Clone, Debug)]
pub struct PaymentRow {
    pub seq: Seq,
    pub provider: Provider,
    pub reference: String,
    pub currency: Currency,
    pub received: Amount,
    pub pays: bool,
    pub refunded: Amount,
    pub refund_due: Amount,
}

/// Returns the payments of an order, in the order of their arrival.
pub fn payments_of(connection: &Connection, order: Seq) -> rusqlite::Result<Vec<PaymentRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT payments.seq, payments.provider, payments.reference, coalesce(foreign_currency, drops.currency),
             payments.received, pays, payments.refunded, payments.refund_due
         FROM payments JOIN orders ON orders.seq = order_seq JOIN drops ON drops.id = orders.drop_id
         WHERE order_seq = ?1 AND (payments.received > 0 OR pays) ORDER BY payments.seq",
    )?;
    statement.query_map(params![order], payment_of)?.collect()
}

/// A payment with its order.
#[derive(Clone, Debug)]
pub struct AnyPayment {
    pub order: Seq,
    pub drop_id: DropId,
    /// The instant at which it was recorded.
    pub at: UnixMillis,
    pub payment: PaymentRow,
}

/// Filter of payments; all set conditions must hold.
#[derive(Clone, Copy, Default, Debug)]
pub struct PaymentFilter {
    pub drop_id: Option<DropId>,
    pub provider: Option<Provider>,
}

/// Returns the payments of the orders after `after`, by the numbers of their orders. A page scans a bounded number of rows. It
/// has all payments of an order or none, so that it may have a few more than `limit`.
pub fn payments_page(
    connection: &Connection,
    filter: PaymentFilter,
    after: Seq,
    limit: usize,
) -> rusqlite::Result<ListPage<AnyPayment>> {
    let rows = payments_after(connection, (after, Seq::MAX), ROWS_SCANNED_MAX)?;
    let has_all = rows.len() < usize::try_from(ROWS_SCANNED_MAX).unwrap_or(usize::MAX);
    // An order has far fewer payments than a page scans; those of the last one may be cut off here.
    let cut_off = rows.last().map(|last| last.order).filter(|_| !has_all);
    let (mut items, mut reached) = (Vec::new(), after);
    for row in rows {
        let is_full = row.order != reached && items.len() >= limit;
        if is_full || Some(row.order) == cut_off {
            return Ok(ListPage { items, next_after: Some(reached.get()) });
        }
        reached = row.order;
        let fits = filter.drop_id.is_none_or(|id| id == row.drop_id)
            && filter.provider.is_none_or(|provider| provider == row.payment.provider);
        if fits {
            items.push(row);
        }
    }
    Ok(ListPage { items, next_after: None })
}

/// Returns the payments after one of an order, by the numbers of their orders and their own, at most `limit`.
pub fn payments_after(
    connection: &Connection,
    (order, seq): (Seq, Seq),
    limit: u32,
) -> rusqlite::Result<Vec<AnyPayment>> {
    // Refunds that came before their payment are rows without money.
    let mut statement = connection.prepare_cached(
        "SELECT payments.seq, payments.provider, payments.reference, coalesce(foreign_currency, drops.currency),
             payments.received, pays, payments.refunded, payments.refund_due, payments.order_seq, orders.drop_id, audit.at_ms
         FROM payments JOIN orders ON orders.seq = payments.order_seq JOIN drops ON drops.id = orders.drop_id
             JOIN audit ON audit.seq = payments.seq
         WHERE (payments.order_seq, payments.seq) > (?1, ?2) AND (payments.received > 0 OR pays)
         ORDER BY payments.order_seq, payments.seq LIMIT ?3",
    )?;
    let payment = |row: &rusqlite::Row<'_>| {
        Ok(AnyPayment { order: row.get(8)?, drop_id: row.get(9)?, at: row.get(10)?, payment: payment_of(row)? })
    };
    statement.query_map(params![order, seq, limit], payment)?.collect()
}

fn payment_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<PaymentRow> {
    Ok(PaymentRow {
        seq: row.get(0)?,
        provider: row.get(1)?,
        reference: row.get(2)?,
        currency: row.get(3)?,
        received: row.get(4)?,
        pays: row.get(5)?,
        refunded: row.get(6)?,
        refund_due: row.get(7)?,
    })
}

/// Returns the orders after `after` with an open refund.
pub fn orders_with_refunds_due(connection: &Connection, after: Seq, limit: u32) -> rusqlite::Result<Vec<Seq>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT order_seq FROM payments INDEXED BY payments_due
         WHERE refund_due > 0 AND order_seq > ?1 ORDER BY order_seq LIMIT ?2",
    )?;
    statement.query_map(params![after, limit], |row| row.get(0))?.collect()
}

/// Number of payments with an open refund, in whole or in part.
pub fn refunds_due(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM payments WHERE refund_due > 0")?;
    statement.query_row([], |row| row.get::<_, i64>(0)).map(|count| u64::try_from(count).unwrap_or(0))
}
