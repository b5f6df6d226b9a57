//! The content of a database beyond a backup: events by kind, orders, and the payments and refunds to compare with the
//! providers.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::sqlite::{self, Access};
use crate::types::Seq;

/// The part of a newer database that a restored one lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingSince {
    /// Last event of the backup.
    pub since: Seq,
    /// Last event of the database that has more.
    pub until: Seq,
    /// Number of missing events by kind.
    pub events: Vec<(String, u64)>,
    /// Orders that were placed since.
    pub orders: u64,
    pub units: u64,
    /// Payments that were recorded since, and older ones of orders whose money moved since.
    pub payments: Vec<MissingPayment>,
}

/// A payment as the newer database has it, in minor units of its currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingPayment {
    pub order_seq: Seq,
    pub drop_id: u32,
    pub provider: String,
    pub reference: String,
    pub currency: String,
    pub received: u64,
    pub refunded: u64,
    pub refund_due: u64,
    /// The backup does not have the payment: only what was refunded of it changed since otherwise.
    pub is_new: bool,
}

impl MissingSince {
    /// Reads what the database at `path` has after `since`.
    ///
    /// # Errors
    /// If it cannot be read, or is another one.
    pub(super) fn list(path: &Path, file_id: [u8; 16], since: Seq) -> rusqlite::Result<MissingSince> {
        let connection = sqlite::open(path, Access::Read)?;
        let found: [u8; 16] = connection.query_row("SELECT file_id FROM meta WHERE id = 1", [], |row| row.get(0))?;
        if found != file_id {
            return Err(rusqlite::Error::InvalidParameterName("it is another database".into()));
        }
        let until = connection.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| row.get(0))?;
        let (orders, units) = connection.query_row(
            "SELECT count(*), coalesce(sum(quantity), 0) FROM orders WHERE seq > ?1",
            [since],
            |row| Ok((number(row, 0)?, number(row, 1)?)),
        )?;
        let (events, payments) = (events(&connection, since)?, payments(&connection, since)?);
        Ok(MissingSince { since, until, events, orders, units, payments })
    }
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

fn events(connection: &Connection, since: Seq) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement =
        connection.prepare("SELECT kind, count(*) FROM audit WHERE seq > ?1 GROUP BY kind ORDER BY kind")?;
    statement.query_map([since], |row| Ok((row.get(0)?, number(row, 1)?)))?.collect()
}

fn payments(connection: &Connection, since: Seq) -> rusqlite::Result<Vec<MissingPayment>> {
    let mut of_payments = connection.prepare(
        "SELECT p.order_seq, o.drop_id, p.provider, p.reference, coalesce(p.foreign_currency, d.currency), p.received,
             p.refunded, p.refund_due, p.seq > ?1
         FROM payments p JOIN orders o ON o.seq = p.order_seq JOIN drops d ON d.id = o.drop_id
         WHERE p.order_seq = ?2 ORDER BY p.seq",
    )?;
    let mut orders = connection
        .prepare("SELECT DISTINCT order_seq FROM audit WHERE seq > ?1 AND amount IS NOT NULL ORDER BY order_seq")?;
    let mut orders = orders.query([since])?;
    let mut found = Vec::new();
    while let Some(order) = orders.next()? {
        let Some(order_seq) = order.get::<_, Option<Seq>>(0)? else { continue };
        let rows = of_payments.query_map(params![since, order_seq], |row| {
            Ok(MissingPayment {
                order_seq: row.get(0)?,
                drop_id: row.get(1)?,
                provider: row.get(2)?,
                reference: row.get(3)?,
                currency: row.get(4)?,
                received: number(row, 5)?,
                refunded: number(row, 6)?,
                refund_due: number(row, 7)?,
                is_new: row.get(8)?,
            })
        })?;
        for payment in rows {
            found.push(payment?);
        }
    }
    Ok(found)
}
