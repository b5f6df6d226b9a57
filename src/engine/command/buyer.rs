//! Commands about buyers themselves.

use crate::engine::event::{BuyerEvent, TierSet};
use crate::engine::{Decision, EventBody, EventSubject, Invalid, Outcome, Refusal, Subject};
use crate::types::operator_tiers::OPERATOR_TIERS_MAX;
use crate::types::{Digest, Seq, Tier, UnixMillis};

/// A command about a buyer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BuyerCommand {
    SetTier(SetTier),
    RemoveTier(RemoveTier),
}

super::names!(BuyerCommand { SetTier = "set_buyer_tier", RemoveTier = "remove_buyer_tier" });

/// The parameters of an operator's tier of a buyer. It takes the place of the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetTier {
    pub buyer: Digest,
    pub tier: Tier,
    /// The exclusive end of the tier, if it has one.
    pub expires_at: Option<UnixMillis>,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The parameters of a removal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoveTier {
    pub buyer: Digest,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

impl BuyerCommand {
    /// Returns the digest of the buyer.
    #[must_use]
    pub const fn buyer(&self) -> Digest {
        match self {
            BuyerCommand::SetTier(SetTier { buyer, .. }) | BuyerCommand::RemoveTier(RemoveTier { buyer, .. }) => *buyer,
        }
    }
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &BuyerCommand) -> Result<Outcome, Refusal> {
    match command {
        BuyerCommand::SetTier(SetTier { buyer, tier, expires_at, reason }) => {
            if expires_at.is_some_and(|end| end <= decision.at()) {
                return Err(Refusal::Invalid(Invalid::TierEndInThePast));
            }
            let tiers = &decision.state.operator_tiers;
            if tiers.len() >= OPERATOR_TIERS_MAX && !tiers.contains_key(buyer) {
                return Err(Refusal::Invalid(Invalid::TooManyTiers));
            }
            let set = TierSet { buyer: *buyer, tier: *tier, expires_at: *expires_at, reason: reason.clone() };
            Ok(accept(decision, BuyerEvent::TierSet(set)))
        }
        BuyerCommand::RemoveTier(RemoveTier { buyer, reason }) => {
            if !decision.state.operator_tiers.contains_key(buyer) {
                return Ok(decision.repeat(Subject::File));
            }
            Ok(accept(decision, BuyerEvent::TierRemoved { buyer: *buyer, reason: reason.clone() }))
        }
    }
}

fn accept(decision: &mut Decision<'_>, event: BuyerEvent) -> Outcome {
    let seq = decision.emit(Seq::ZERO, EventSubject::File, EventBody::Buyer(Box::new(event)));
    Outcome::changed(seq, Subject::File)
}
