//! Rows of tiers that operators have set. Buyers' names are here and in no event.

use rusqlite::{Connection, Statement, params};
use serde_json::{Value, json};

use super::private_data::PrivateData;
use crate::engine::{BuyerEvent, Event, TierSet};
use crate::types::operator_tiers::OperatorTier;
use crate::types::{Digest, DigestKey, hex};

/// Writes the rows that events of buyers make.
pub(super) struct TierWriter<'conn> {
    set: Statement<'conn>,
    remove: Statement<'conn>,
}

impl<'conn> TierWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<TierWriter<'conn>> {
        Ok(TierWriter {
            set: connection.prepare(
                "INSERT INTO buyer_tiers (buyer, tier, reason, expires_at_ms, seq) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (buyer) DO UPDATE SET tier = excluded.tier, reason = excluded.reason,
                     expires_at_ms = excluded.expires_at_ms, seq = excluded.seq",
            )?,
            remove: connection.prepare("DELETE FROM buyer_tiers WHERE buyer = ?1")?,
        })
    }

    /// Writes what an event changes.
    pub(super) fn record(
        &mut self,
        event: &Event,
        body: &BuyerEvent,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let Some(PrivateData::Tier { buyer }) = private_data else {
            panic!("event {} came without its buyer's name", event.seq)
        };
        match body {
            BuyerEvent::TierSet(TierSet { tier, expires_at, reason, .. }) => {
                self.set.execute(params![buyer.as_str(), tier, reason, expires_at, event.seq])?;
            }
            BuyerEvent::TierRemoved { .. } => drop(self.remove.execute([buyer.as_str()])?),
        }
        Ok(())
    }
}

/// All tiers, as the engine has them.
pub(super) fn load(connection: &Connection, key: &DigestKey) -> rusqlite::Result<Vec<(Digest, OperatorTier)>> {
    let mut statement = connection.prepare("SELECT buyer, tier, expires_at_ms FROM buyer_tiers")?;
    let rows = statement.query_map([], |row| {
        Ok((key.buyer(row.get_ref(0)?.as_str()?), OperatorTier { tier: row.get(1)?, expires_at: row.get(2)? }))
    })?;
    rows.collect()
}

/// The audit's detail of a buyer's event.
pub(super) fn detail(event: &BuyerEvent) -> Value {
    let buyer = hex::encode(&event.buyer().0);
    match event {
        BuyerEvent::TierSet(TierSet { tier, expires_at: Some(end), reason, .. }) => {
            json!({ "buyer": buyer, "tier": tier.as_str(), "expires_at_ms": end.get(), "reason": reason })
        }
        BuyerEvent::TierSet(TierSet { tier, expires_at: None, reason, .. }) => {
            json!({ "buyer": buyer, "tier": tier.as_str(), "reason": reason })
        }
        BuyerEvent::TierRemoved { reason, .. } => json!({ "buyer": buyer, "reason": reason }),
    }
}
