//! The endings of places in lines: those of the orders that blind windows recorded, and those without an order.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::engine::StandbyLeaving;
use crate::types::{Digest, DropId, Quantity, Seq, TicketNumber};

/// The end of a recorded order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordedEnding {
    Ordered(Seq),
    Left(StandbyLeaving),
    /// The order is not decided, or the drop ended before.
    Undecided,
}

/// Returns the ending of a recorded order. `None` if no order of this buyer with this key has the number: an ending leads to an
/// order, which a name and a number must not.
pub fn recorded_ending(
    connection: &Connection,
    drop_id: DropId,
    ticket: TicketNumber,
    buyer: &str,
    key: &Digest,
) -> rusqlite::Result<Option<RecordedEnding>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_seq, left_seq, (SELECT detail FROM audit WHERE seq = left_seq) FROM standby
         WHERE drop_id = ?1 AND number = ?2 AND buyer = ?3 AND key_digest = ?4",
    )?;
    statement
        .query_row(params![drop_id, ticket.get(), buyer, key], |row| {
            let (order, left): (Option<Seq>, Option<Seq>) = (row.get(0)?, row.get(1)?);
            let reason = reason_in(row.get_ref(2)?.as_str_or_null()?);
            Ok(match (order, left) {
                (Some(order), _) => RecordedEnding::Ordered(order),
                (None, Some(_)) => RecordedEnding::Left(reason.unwrap_or(StandbyLeaving::SoldOut)),
                (None, None) => RecordedEnding::Undecided,
            })
        })
        .optional()
}

fn reason_in(detail: Option<&str>) -> Option<StandbyLeaving> {
    let detail: Value = serde_json::from_str(detail?).ok()?;
    detail["reason"].as_str().and_then(StandbyLeaving::parse)
}

/// A place in a line that ended without an order.
#[derive(Debug)]
pub struct LeftPlace {
    pub drop_id: DropId,
    pub buyer: String,
    pub quantity: Quantity,
    /// The number of an order that a blind window recorded.
    pub ticket: Option<u32>,
    pub reason: StandbyLeaving,
    /// The digest of the idempotency key with which the buyer had joined.
    pub key: Digest,
}

/// Returns a place that ended without an order, by the event by which its buyer had joined.
pub fn left_place(connection: &Connection, joined: Seq) -> rusqlite::Result<Option<LeftPlace>> {
    let mut statement = connection.prepare_cached(
        "SELECT standby.drop_id, buyer, standby.quantity, number, key_digest, audit.detail
         FROM standby JOIN audit ON audit.seq = standby.left_seq WHERE standby.seq = ?1",
    )?;
    statement
        .query_row([joined], |row| {
            Ok(LeftPlace {
                drop_id: row.get(0)?,
                buyer: row.get(1)?,
                quantity: row.get(2)?,
                ticket: row.get(3)?,
                reason: reason_in(row.get_ref(5)?.as_str_or_null()?).ok_or(FromSqlError::InvalidType)?,
                key: row.get(4)?,
            })
        })
        .optional()
}
