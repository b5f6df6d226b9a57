//! The limits of reads.

use std::time::Instant;

use super::gcra::Quota;
use super::rules::{Policy, Rules};
use super::table::Key;
use super::{Charge, Client, ClientKind, Door, Exceeded, Nanos, Need, POLICIES_MAX, exceeded, purpose};
use crate::admission::Caller;
use crate::types::Tier;

/// The policies of a read, and the tier of its buyer, if a token names one.
type ReadNeeds = ([Option<Need>; POLICIES_MAX], Option<Tier>);

impl Door {
    /// Lets a read pass, or not.
    ///
    /// # Errors
    /// The policies that have no room for it.
    pub fn read(&self, client: Client, caller: &Caller, now: Instant) -> Result<(), Exceeded> {
        if client.is_exempt() {
            return Ok(());
        }
        self.rules.ask(|rules| {
            if let (ClientKind::Address(address), Caller::Anonymous, None) =
                (client.0, caller, rules.quota(Policy::GlobalReads))
            {
                return self.read_from(rules, address, self.nanos(now));
            }
            let Some((needs, tier)) = self.read_needs(rules, client, caller, now) else { return Ok(()) };
            if let Some(tier) = tier {
                self.tiers[tier as usize].increment(1);
            }
            self.pass(rules, needs, self.nanos(now)).map(|_| ())
        })
    }

    /// Gives back the charge of a read that passed at `charged` and got no place in flight. The charge itself is not kept, so
    /// it counts as the first of its client: what time may have given back is not given back again.
    #[cold]
    pub fn give_back_read(&self, client: Client, caller: &Caller, charged: Instant, now: Instant) {
        if client.is_exempt() {
            return;
        }
        self.rules.ask(|rules| {
            let Some((needs, _)) = self.read_needs(rules, client, caller, charged) else { return };
            for (policy, key) in needs.into_iter().flatten() {
                if let Some(quota) = rules.quota(policy) {
                    let arrival = self.nanos(charged).saturating_add(quota.interval);
                    self.uncharge(&Charge { policy, key, quota, arrival }, self.nanos(now));
                }
            }
        });
    }

    /// Returns the policies that apply to a read; `None` if its buyer is exempt.
    fn read_needs(&self, rules: &Rules, client: Client, caller: &Caller, now: Instant) -> Option<ReadNeeds> {
        let mut needs = [None; POLICIES_MAX];
        needs[0] = Some((Policy::GlobalReads, None));
        let tier = match caller.token() {
            Some((buyer, _)) if rules.exempts_buyer(buyer.as_str()) => return None,
            Some((buyer, claimed)) => {
                needs[1] = Some((Policy::BuyerReads, Some(self.buyer(buyer).of(purpose::READS))));
                Some(self.tier_by(rules, buyer, Some(claimed), now).0)
            }
            None => None,
        };
        if let (ClientKind::Address(address), None | Some(Tier::Suspected)) = (client.0, tier) {
            needs[2] = Some((Policy::AddressReads, Some(address.of(purpose::READS))));
        }
        Some((needs, tier))
    }

    /// Lets a read pass to which only its address' policy applies: most are such reads.
    fn read_from(&self, rules: &Rules, address: Key, now: Nanos) -> Result<(), Exceeded> {
        let Some(quota) = rules.quota(Policy::AddressReads) else { return Ok(()) };
        self.charge_read(address.of(purpose::READS), quota, now)
    }

    /// Charges an address for a read.
    pub(super) fn charge_read(&self, key: Key, quota: Quota, now: Nanos) -> Result<(), Exceeded> {
        match self.table.take(key, quota, now) {
            Ok(_) => Ok(()),
            Err(wait) => {
                let charge = Charge { policy: Policy::AddressReads, key: Some(key), quota, arrival: now };
                Err(self.count(vec![exceeded(&charge, wait)]))
            }
        }
    }
}
