//! Caps on identities: units of orders with the same e-mail address, phone, payment or postal address, counted where the
//! units of a buyer are, and decided in the same instant.
//!
//! Digests are made for one kind and one drop, so that a drop counts all kinds in one map.

use super::digest_map::DigestMap;
use super::{DropEntry, Invalid, Refusal, State};
use crate::failpoints::{self, Bug};
use crate::types::{Digest, DropId, IdentityDigests, IdentityKind, Quantity, Seq};

/// Units by the digest of an identity.
pub(crate) type IdentityUnits = DigestMap<u32>;

impl DropEntry {
    /// Units that orders with an identity hold or have bought, while the drop has not ended.
    #[must_use]
    pub fn used_by_identity(&self, digest: &Digest) -> u32 {
        self.identity_units.get(digest).copied().unwrap_or(0)
    }

    /// Returns the first kind of identity whose cap leaves no room, with its cap.
    pub(super) fn capped_identity(
        &self,
        identities: &IdentityDigests,
        quantity: Quantity,
    ) -> Option<(IdentityKind, u32)> {
        self.spec.identity_limits.iter().find(|(kind, limit)| {
            let used = identities.get(*kind).map_or(0, |digest| self.used_by_identity(&digest));
            u64::from(used).saturating_add(u64::from(quantity.get())) > u64::from(*limit)
                && identities.get(*kind).is_some()
        })
    }

    /// Moves the counts of identities by `units`.
    pub(crate) fn use_identities(&mut self, identities: &IdentityDigests, units: i64) {
        if self.ended {
            return;
        }
        let units = if failpoints::enabled(Bug::CapCountsOrders) { units.signum() } else { units };
        for (_, digest) in identities.iter() {
            let used = super::drops::moved(self.used_by_identity(&digest), units, "an identity's count");
            if used == 0 {
                self.identity_units.remove(&digest);
            } else {
                self.identity_units.insert(digest, used);
            }
        }
    }
}

/// Checks that an order has the identities that its drop has caps on.
pub(super) fn check_missing(entry: &DropEntry, identities: &IdentityDigests) -> Result<(), Refusal> {
    let missing = entry.spec.identity_limits.iter().find(|(kind, _)| identities.get(*kind).is_none());
    missing.map_or(Ok(()), |(kind, _)| Err(Refusal::Invalid(Invalid::IdentityMissing { kind })))
}

/// Moves the counts of an order's identities.
pub(super) fn move_identities(state: &mut State, order: Seq, drop_id: DropId, units: i64) {
    // Empty but for drops with caps.
    if state.identities.is_empty() {
        return;
    }
    let Some(identities) = state.identities.get(&order) else { return };
    if let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) {
        entry.use_identities(identities, units);
    }
}

impl State {
    /// The identities of an order in memory; empty where its drop had no caps.
    #[must_use]
    pub fn identities_of(&self, order: Seq) -> IdentityDigests {
        self.identities.get(&order).copied().unwrap_or_default()
    }
}
