//! The tier of a buyer, decided in one place.

use std::time::Instant;

use super::rules::Rules;
use super::{Client, ClientKind, Door};
use crate::admission::Caller;
use crate::failpoints::{self, Bug};
use crate::types::{BuyerText, Tier, TierSource};

/// Returns the tier that an operator has set for a buyer, if it is in force.
pub type TierLookup = Box<dyn Fn(&BuyerText) -> Option<Tier> + Send + Sync>;

impl Door {
    /// Asks this for the tiers that operators have set, from now on. Only the first one given counts.
    pub fn ask_operators_by(&self, lookup: TierLookup) {
        let _first = self.operator_tier.set(lookup);
    }

    /// Returns the tier of a buyer and its origin.
    #[must_use]
    pub fn tier_of(&self, buyer: &BuyerText, claimed: Option<Tier>, now: Instant) -> (Tier, TierSource) {
        self.rules.ask(|rules| self.tier_by(rules, buyer, claimed, now))
    }

    /// An operator's tier wins; then the risk score; then the claim of a token; then the default.
    pub(super) fn tier_by(
        &self,
        rules: &Rules,
        buyer: &BuyerText,
        claimed: Option<Tier>,
        now: Instant,
    ) -> (Tier, TierSource) {
        let is_suspected = || self.risk.is_suspected(buyer, now);
        if failpoints::enabled(Bug::RiskBeforeOperator) && is_suspected() {
            return (Tier::Suspected, TierSource::Risk);
        }
        if let Some(tier) = self.operator_tier.get().and_then(|lookup| lookup(buyer)) {
            return (tier, TierSource::Operator);
        }
        if is_suspected() {
            return (Tier::Suspected, TierSource::Risk);
        }
        claimed.map_or((rules.default_tier, TierSource::Default), |tier| (tier, TierSource::Token))
    }

    /// Returns the tier of the buyer of an order, unless no limit applies to them.
    #[must_use]
    pub fn tier_unless_exempt(&self, client: Client, caller: &Caller, buyer: &BuyerText, now: Instant) -> Option<Tier> {
        if client.is_exempt() {
            return None;
        }
        self.rules.ask(|rules| {
            let is_proven = caller.token().is_some() || client.0 == ClientKind::Backend;
            let is_exempt = is_proven && rules.exempts_buyer(buyer.as_str());
            let (tier, _) = self.tier_by(rules, buyer, caller.token().map(|(_, claimed)| claimed), now);
            (!is_exempt).then_some(tier)
        })
    }
}
