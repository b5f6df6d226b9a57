//! Queries of buyers.

use rusqlite::{Connection, OptionalExtension};

use crate::types::{BuyerText, Seq, Tier, UnixMillis};

/// A tier that an operator has set, whether it is in force or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierRow {
    pub tier: Tier,
    pub reason: Box<str>,
    /// The exclusive end of the tier.
    pub expires_at: Option<UnixMillis>,
    /// The event that set it.
    pub seq: Seq,
}

/// Returns the tier that an operator has set for a buyer.
pub fn tier(connection: &Connection, buyer: &BuyerText) -> rusqlite::Result<Option<TierRow>> {
    let mut statement =
        connection.prepare_cached("SELECT tier, reason, expires_at_ms, seq FROM buyer_tiers WHERE buyer = ?1")?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(TierRow { tier: row.get(0)?, reason: row.get(1)?, expires_at: row.get(2)?, seq: row.get(3)? })
    };
    statement.query_row([buyer.as_str()], row).optional()
}
