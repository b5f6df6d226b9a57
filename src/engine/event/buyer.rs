//! Events of buyers themselves. Their names are private data: events have digests.

use crate::engine::State;
use crate::types::operator_tiers::OperatorTier;
use crate::types::{Digest, Tier, UnixMillis};

/// An event of a buyer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BuyerEvent {
    TierSet(TierSet),
    TierRemoved { buyer: Digest, reason: Box<str> },
}

/// An operator set a buyer's tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierSet {
    pub buyer: Digest,
    pub tier: Tier,
    /// The exclusive end of the tier, if it has one.
    pub expires_at: Option<UnixMillis>,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

impl BuyerEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            BuyerEvent::TierSet(_) => "buyer_tier_set", // not sent: of the door alone
            BuyerEvent::TierRemoved { .. } => "buyer_tier_removed", // not sent: of the door alone
        }
    }

    /// Returns the digest of the buyer.
    #[must_use]
    pub const fn buyer(&self) -> Digest {
        match self {
            BuyerEvent::TierSet(TierSet { buyer, .. }) | BuyerEvent::TierRemoved { buyer, .. } => *buyer,
        }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, body: &BuyerEvent) {
    match body {
        BuyerEvent::TierSet(TierSet { buyer, tier, expires_at, .. }) => {
            state.operator_tiers.insert(*buyer, OperatorTier { tier: *tier, expires_at: *expires_at });
        }
        BuyerEvent::TierRemoved { buyer, .. } => drop(state.operator_tiers.remove(buyer)),
    }
}
