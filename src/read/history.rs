//! The history of an order: its events in the audit, walked by primary key from the last one back.

use std::collections::VecDeque;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::lists::ListPage;
use crate::types::{Seq, UnixMillis};

/// An event of an order, as the audit has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    pub seq: Seq,
    pub at: UnixMillis,
    pub kind: String,
    /// The units that moved.
    pub quantity: Option<i64>,
    /// The money that moved, in the currency of the order's drop.
    pub amount: Option<i64>,
    /// JSON for values without a column.
    pub detail: Option<String>,
}

/// Looks events of one order up by their numbers.
struct OrderEvents<'c> {
    statement: CachedStatement<'c>,
    order: Seq,
}

impl<'c> OrderEvents<'c> {
    fn of(connection: &'c Connection, order: Seq) -> rusqlite::Result<OrderEvents<'c>> {
        let statement = connection.prepare_cached(
            "SELECT at_ms, kind, quantity, amount, detail, prev_seq FROM audit WHERE seq = ?1 AND order_seq = ?2",
        )?;
        Ok(OrderEvents { statement, order })
    }

    /// Returns an event and the number of the one before it. None for an event of something else: those before the first one of
    /// an order that was awarded are those of its auction.
    fn event(&mut self, seq: Seq) -> rusqlite::Result<Option<(HistoryRow, Seq)>> {
        let found = self.statement.query_row(params![seq, self.order], |row| {
            let event = HistoryRow {
                seq,
                at: row.get(0)?,
                kind: row.get(1)?,
                quantity: row.get(2)?,
                amount: row.get(3)?,
                detail: row.get(4)?,
            };
            Ok((event, row.get::<_, Seq>(5)?))
        });
        found.optional()
    }
}

/// Returns the first events of an order after `after`, oldest first. `last_seq` is its last event.
pub fn history_of(
    connection: &Connection,
    (order, last_seq): (Seq, Seq),
    after: Seq,
    limit: usize,
) -> rusqlite::Result<ListPage<HistoryRow>> {
    let mut events = OrderEvents::of(connection, order)?;
    let (mut rows, mut seq, mut more) = (VecDeque::new(), last_seq, false);
    while seq > after {
        let Some((event, before)) = events.event(seq)? else { break };
        rows.push_front(event);
        if rows.len() > limit {
            rows.pop_back();
            more = true;
        }
        seq = before;
    }
    let next_after = rows.back().filter(|_| more).map(|row| row.seq.get());
    Ok(ListPage { items: rows.into(), next_after })
}

/// Returns the last events of an order, oldest first, and no more than `limit`, so that a page costs the same for every order.
pub fn last_events(
    connection: &Connection,
    (order, last_seq): (Seq, Seq),
    limit: usize,
) -> rusqlite::Result<Vec<HistoryRow>> {
    let mut events = OrderEvents::of(connection, order)?;
    let (mut rows, mut seq) = (VecDeque::new(), last_seq);
    while rows.len() < limit {
        let Some((event, before)) = events.event(seq)? else { break };
        rows.push_front(event);
        seq = before;
    }
    Ok(rows.into())
}
