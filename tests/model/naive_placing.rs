//! Orders once more, as plain as can be.

use firstcome::engine::{Effect, Invalid, Outcome, PlaceOrder, Refusal, Reservation, SoldOut, Subject};
use firstcome::types::{Digest, IdentityDigests, OrderState, Quantity};

use super::naive::{DAY_MS, Naive, NaiveOrder, NaivePayment, instant, seq};

impl Naive {
    /// The answer to an order whose key is remembered.
    pub(super) fn known_order(&self, order: &PlaceOrder) -> Option<Outcome> {
        let known = |o: &&NaiveOrder| o.key == order.key && o.left_at.is_none_or(|left| self.at < left + DAY_MS);
        let known = self.orders.iter().rev().find(known)?;
        Some(match known.quantity == order.quantity.get() {
            true => self.repeat(Subject::Order(seq(known.seq))),
            false => self.refuse(Refusal::KeyReused),
        })
    }

    /// Why a drop takes no order of a buyer.
    pub(super) fn not_open(&self, drop: usize, buyer: Digest, quantity: u16) -> Option<Refusal> {
        let d = &self.drops[drop];
        match () {
            () if d.ended => Some(Refusal::Ended { ends_at: d.spec.ends_at.unwrap_or_default() }),
            () if !d.started => Some(Refusal::NotStarted { starts_at: d.spec.starts_at }),
            () if d.paused => Some(Refusal::DropPaused),
            () => self.not_admitted(drop, buyer, quantity),
        }
    }

    /// The limit or cap that an order would break.
    pub(super) fn over_limit(
        &self,
        drop: usize,
        buyer: Digest,
        of: &IdentityDigests,
        quantity: u16,
    ) -> Option<Refusal> {
        let d = &self.drops[drop];
        if let Some((kind, _)) = d.spec.identity_limits.iter().find(|(kind, _)| of.get(*kind).is_none()) {
            return Some(Refusal::Invalid(Invalid::IdentityMissing { kind }));
        }
        self.over_given(drop, buyer, of, quantity)
    }

    /// The same, with what the buyer gave: a cap that came after joining a line needs no more.
    pub(super) fn over_given(
        &self,
        drop: usize,
        buyer: Digest,
        of: &IdentityDigests,
        quantity: u16,
    ) -> Option<Refusal> {
        let d = &self.drops[drop];
        let used: u64 = self.orders.iter().filter(|o| o.drop == drop && o.buyer == buyer).map(NaiveOrder::units).sum();
        let limit = d.spec.per_buyer_limit;
        if used + u64::from(quantity) > u64::from(limit) {
            return Some(Refusal::LimitReached { limit, used: u32::try_from(used).expect("in range") });
        }
        let (identity, limit) = self.capped(drop, of, quantity)?;
        Some(Refusal::IdentityLimitReached { identity, limit })
    }

    pub(super) fn what_is_left(&self, drop: usize) -> SoldOut {
        let expiries = self.orders.iter().filter(|o| o.drop == drop && o.live()).map(|o| o.expires_at);
        SoldOut {
            available: u32::try_from(self.free(drop)).expect("in range"),
            held: u32::try_from(self.held(drop)).expect("in range"),
            next_expiry_at: expiries.min().map(instant),
            standby: self.standing_by(drop),
        }
    }

    pub(super) fn place(&mut self, order: &PlaceOrder) -> Outcome {
        let PlaceOrder { drop_id: id, buyer, key, quantity, contact_given: contact, ref facts } = *order;
        let identities = facts.as_ref().map(|facts| facts.identities).unwrap_or_default();
        let quantity = quantity.get();
        let Some(drop) = self.index(id) else { return self.refuse(Refusal::NotFound) };
        if let Some(known) = self.known_order(order).or_else(|| self.waits_with_key(drop, order)) {
            return known;
        }
        if self.window_of(drop).is_some() {
            return self.join(order);
        }
        let not_open = self.not_open(drop, buyer, quantity);
        if let Some(refusal) = not_open.or_else(|| self.over_limit(drop, buyer, &identities, quantity)) {
            return self.refuse(refusal);
        }
        if u64::from(quantity) > self.free(drop) {
            let left = self.what_is_left(drop);
            return self.refuse(match self.drops[drop].spec.room.is_some() && left.available + left.held == 0 {
                true => Refusal::AllSold { standby: left.standby },
                false => Refusal::SoldOut(left),
            });
        }
        let spec = self.drops[drop].spec.clone();
        self.events += 1;
        let number = self.events;
        let seconds = if contact { spec.payment_seconds } else { spec.reservation_seconds };
        self.events += u64::from(contact);
        let is_free = contact && spec.unit_price.get() == 0;
        self.events += u64::from(is_free);
        let state = match contact {
            _ if is_free => OrderState::Paid,
            true => OrderState::AwaitingPayment,
            false => OrderState::Reserved,
        };
        let expires_at = self.at + i64::from(seconds) * 1000;
        self.orders.push(NaiveOrder {
            seq: number,
            drop,
            buyer,
            key,
            identities,
            quantity,
            returned: 0,
            unit_price: spec.unit_price.get(),
            state,
            expires_at,
            left_at: is_free.then_some(self.at),
            settled: Vec::new(),
            payments: is_free.then(|| NaivePayment::of_nothing(spec.currency)).into_iter().collect(),
        });
        Outcome::Accepted(Effect::Reserved(Reservation {
            order: seq(number),
            seq: seq(self.events),
            drop_id: id,
            state,
            quantity: Quantity::new(quantity).expect("not 0"),
            unit_price: spec.unit_price,
            currency: spec.currency,
            reserved_at: instant(self.at),
            expires_at: instant(expires_at),
        }))
    }
}
