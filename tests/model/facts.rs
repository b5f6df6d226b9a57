//! Notes about the orders of the random world.

use firstcome::engine::State;
use firstcome::types::{BlockMark, BuyerOrigin, DropId, OrderFacts, RiskNote, Signal, SignalSet, Tier};

use super::World;

impl World {
    /// What is noted about an order: digests for the caps of its drop, now and then without one of them, a risk, and an origin.
    pub(super) fn facts(&mut self, state: &State, drop_id: DropId) -> Option<Box<OrderFacts>> {
        let limits = state.drop_entry(drop_id).map(|entry| entry.spec.identity_limits).unwrap_or_default();
        let mut facts = OrderFacts::default();
        for (kind, _) in limits.iter() {
            let number = self.random.below(4);
            let digest = self.digest(kind.as_str(), number);
            facts.identities.set(kind, (!self.random.one_in(12)).then_some(digest));
        }
        if self.random.one_in(12) {
            let signals = SignalSet::default().with(self.random.pick(&Signal::ALL));
            facts.risk = Some(RiskNote { score: 70, signals });
        }
        let origin = BuyerOrigin { tier: self.random.pick(&Tier::ALL), block: BlockMark::new(0x00ab_cdef) };
        facts.origin = self.random.one_in(12).then_some(origin);
        facts.boxed()
    }
}
