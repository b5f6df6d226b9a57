//! Tiers of buyers that operators have set, as the door of every thread asks for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::{Digest, Tier, UnixMillis};

/// The most buyers of one file with a tier of an operator: about 8 MB of memory. The engine refuses more.
pub const OPERATOR_TIERS_MAX: usize = 100_000;

/// A tier that an operator has set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperatorTier {
    pub tier: Tier,
    /// The exclusive end of the tier; it stays until it is removed if none.
    pub expires_at: Option<UnixMillis>,
}

impl OperatorTier {
    /// Returns true if the tier counts at an instant.
    #[must_use]
    pub fn is_in_force(&self, at: UnixMillis) -> bool {
        self.expires_at.is_none_or(|end| at < end)
    }
}

/// The tiers of operators, by the digest of the buyer. The writer publishes them after COMMIT and before the replies, so a
/// tier is in force for every request that begins after the answer.
#[derive(Default)]
pub struct OperatorTiers {
    /// Number of entries: without any no request waits for a lock or digests a name.
    count: AtomicUsize,
    tiers: RwLock<BTreeMap<Digest, OperatorTier>>,
}

impl OperatorTiers {
    /// Publishes the tier of a buyer; `None` if it was removed.
    pub fn publish(&self, buyer: Digest, tier: Option<OperatorTier>) {
        let mut tiers = self.tiers.write();
        match tier {
            Some(tier) => tiers.insert(buyer, tier),
            None => tiers.remove(&buyer),
        };
        self.count.store(tiers.len(), Ordering::Release);
    }

    /// Returns the tier of a buyer in force, if an operator has set one.
    #[must_use]
    pub fn of(&self, buyer: impl FnOnce() -> Digest, now: impl FnOnce() -> UnixMillis) -> Option<Tier> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let found = self.tiers.read().get(&buyer()).copied()?;
        found.is_in_force(now()).then_some(found.tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_in_force_from_its_publication_until_its_end_or_its_removal() {
        let tiers = OperatorTiers::default();
        let (ann, bob) = (Digest([1; 16]), Digest([2; 16]));
        let at = |ms| UnixMillis::new(ms).expect("in range");
        let of = |buyer, ms| tiers.of(|| buyer, || at(ms));
        assert_eq!(of(ann, 0), None);
        tiers.publish(ann, Some(OperatorTier { tier: Tier::Premium, expires_at: Some(at(10)) }));
        assert_eq!((of(ann, 9), of(ann, 10), of(bob, 9)), (Some(Tier::Premium), None, None));
        tiers.publish(ann, Some(OperatorTier { tier: Tier::New, expires_at: None }));
        assert_eq!(of(ann, i64::from(i32::MAX)), Some(Tier::New));
        tiers.publish(ann, None);
        assert_eq!(of(ann, 0), None);
    }
}
