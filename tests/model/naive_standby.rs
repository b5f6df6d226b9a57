//! Lines of buyers who stand by, once more, as plain as can be.

use firstcome::engine::{
    Command, Effect, OrderCommand, Outcome, PlaceOrder, Refusal, SoldOut, StandbyReceipt, Subject,
};
use firstcome::types::{Digest, DropId, IdentityDigests, OrderState, Quantity};

use super::World;
use super::naive::{Naive, NaiveOrder, seq};

pub struct NaiveWaiting {
    pub(super) drop: usize,
    buyer: Digest,
    key: Digest,
    identities: IdentityDigests,
    quantity: u16,
    contact_given: bool,
    /// The event by which the buyer joined.
    joined: u64,
    /// Of an order that a blind window recorded: how many were before it.
    pub(super) number: Option<usize>,
}

pub struct NaiveEnding {
    pub(super) drop: usize,
    buyer: Digest,
    /// The order, or the entry that left.
    subject: Subject,
}

/// Something about the line: of one of the six buyers, or an order that goes into it.
pub(super) fn command(world: &mut World, drop_id: DropId, order: PlaceOrder) -> Command {
    let buyer = order.buyer;
    Command::Order(match world.random.below(6) {
        0 => OrderCommand::LeaveStandby { drop_id, buyer },
        1 => OrderCommand::FindStandby { drop_id, buyer },
        2 | 3 => OrderCommand::PlaceOrStandBy(order),
        _ => OrderCommand::JoinStandby(order),
    })
}

impl Naive {
    pub(super) fn on_line(&mut self, command: &OrderCommand) -> Outcome {
        match command {
            OrderCommand::PlaceOrStandBy(order) => match self.place(order) {
                Outcome::Refused { refusal: Refusal::SoldOut(_) | Refusal::AllSold { .. }, .. } => self.join(order),
                outcome => outcome,
            },
            OrderCommand::JoinStandby(order) => self.join(order),
            OrderCommand::LeaveStandby { drop_id, buyer } => self.leave_line(*drop_id, *buyer),
            OrderCommand::FindStandby { drop_id, buyer } => self.find_in_line(*drop_id, *buyer),
            other => panic!("not about a line: {other:?}"),
        }
    }

    fn waits(&self, drop: usize, buyer: Digest) -> Option<usize> {
        self.line.iter().position(|w| w.drop == drop && w.buyer == buyer)
    }

    pub(super) fn standing_by(&self, drop: usize) -> u32 {
        u32::try_from(self.line.iter().filter(|w| w.drop == drop).count()).expect("few")
    }

    fn told(&self, place: usize, repeated: bool) -> Outcome {
        let waiting = &self.line[place];
        if let Some(number) = waiting.number {
            return self.recorded(waiting.drop, number, waiting.quantity, repeated);
        }
        let SoldOut { available, held, next_expiry_at, standby } = self.what_is_left(waiting.drop);
        let before = self.line[..place].iter().filter(|w| w.drop == waiting.drop).count();
        Outcome::Accepted(Effect::Standby(StandbyReceipt {
            drop_id: DropId::new(self.id_at(waiting.drop)).expect("not 0"),
            seq: seq(self.events),
            quantity: Quantity::new(waiting.quantity).expect("not 0"),
            position: u32::try_from(before + 1).expect("few"),
            standby,
            available,
            held,
            next_expiry_at,
            repeated,
        }))
    }

    /// The answer to a buyer who is in the line.
    fn waits_already(&self, drop: usize, order: &PlaceOrder) -> Option<Outcome> {
        let place = self.waits(drop, order.buyer)?;
        let waiting = &self.line[place];
        if waiting.key == order.key && waiting.quantity != order.quantity.get() {
            return Some(self.refuse(Refusal::KeyReused));
        }
        Some(self.told(place, true))
    }

    /// The answer to an order with the key of the buyer's entry.
    pub(super) fn waits_with_key(&self, drop: usize, order: &PlaceOrder) -> Option<Outcome> {
        let place = self.waits(drop, order.buyer)?;
        if self.line[place].key == order.key { self.waits_already(drop, order) } else { None }
    }

    pub(super) fn join(&mut self, order: &PlaceOrder) -> Outcome {
        let PlaceOrder { drop_id: id, buyer, key, quantity, contact_given, ref facts } = *order;
        let identities = facts.as_ref().map(|facts| facts.identities).unwrap_or_default();
        let Some(drop) = self.index(id) else { return self.refuse(Refusal::NotFound) };
        if let Some(known) = self.known_order(order).or_else(|| self.waits_already(drop, order)) {
            return known;
        }
        let closed = self
            .not_open(drop, buyer, quantity.get())
            .filter(|refusal| !matches!(refusal, Refusal::SoldOut(_) | Refusal::AllSold { .. }));
        if let Some(refusal) = closed.or_else(|| self.over_limit(drop, buyer, &identities, quantity.get())) {
            return self.refuse(refusal);
        }
        self.events += 1;
        let (quantity, number, joined) = (quantity.get(), self.record(drop), self.events);
        self.endings.retain(|ending| {
            (ending.drop, ending.buyer) != (drop, buyer) || !matches!(ending.subject, Subject::LineEntry(_))
        });
        self.line.push(NaiveWaiting { drop, buyer, key, identities, quantity, contact_given, joined, number });
        self.told(self.line.len() - 1, false)
    }

    fn leave_line(&mut self, id: DropId, buyer: Digest) -> Outcome {
        let Some(drop) = self.index(id) else { return self.refuse(Refusal::NotFound) };
        if self.drops[drop].ended {
            return self.refuse(Refusal::Ended { ends_at: self.drops[drop].spec.ends_at.unwrap_or_default() });
        }
        let Some(place) = self.waits(drop, buyer) else { return self.refuse(Refusal::NotFound) };
        self.line.remove(place);
        self.settle_window(drop);
        self.accept(Subject::Drop(id))
    }

    fn find_in_line(&self, id: DropId, buyer: Digest) -> Outcome {
        let Some(drop) = self.index(id) else { return self.refuse(Refusal::NotFound) };
        if let Some(place) = self.waits(drop, buyer) {
            return self.told(place, true);
        }
        match self.endings.iter().rev().find(|ending| ending.drop == drop && ending.buyer == buyer) {
            Some(ending) => self.repeat(ending.subject),
            None => self.refuse(Refusal::NotFound),
        }
    }

    /// The place in the line of who is offered units of a drop now, and since when.
    pub(super) fn next_offer(&self, drop: usize) -> Option<(usize, i64)> {
        let d = &self.drops[drop];
        let runs = d.started && !d.ended && !d.paused;
        if let Some(window) = self.window_of(drop) {
            return self.next_decision(window, runs);
        }
        let fits = |w: &NaiveWaiting| w.drop == drop && u64::from(w.quantity) <= self.free(drop);
        self.line.iter().position(|w| runs && fits(w)).map(|place| (place, self.at))
    }

    pub(super) fn next_in_line(&self, drop: usize) -> Option<usize> {
        self.next_offer(drop).map(|(place, _)| place)
    }

    /// The first in line who fits gets the order, or leaves.
    pub(super) fn offer(&mut self, drop: usize) {
        let next = self.next_in_line(drop).expect("it is due");
        let NaiveWaiting { buyer, key, identities, quantity, contact_given, joined, number, .. } =
            self.line.remove(next);
        let is_recorded = number.is_some();
        let too_many = is_recorded && u64::from(quantity) > self.free(drop);
        self.settle_window(drop);
        if self.over_given(drop, buyer, &identities, quantity).is_some() || too_many {
            return self.endings.push(NaiveEnding { drop, buyer, subject: Subject::LineEntry(seq(joined)) });
        }
        let spec = &self.drops[drop].spec;
        let (state, seconds) = match contact_given && spec.unit_price.get() > 0 {
            true => (OrderState::AwaitingPayment, spec.payment_seconds),
            false => (OrderState::Reserved, spec.reservation_seconds),
        };
        self.endings.push(NaiveEnding { drop, buyer, subject: Subject::Order(seq(self.events)) });
        self.orders.push(NaiveOrder {
            seq: self.events,
            drop,
            buyer,
            key,
            identities,
            quantity,
            returned: 0,
            unit_price: spec.unit_price.get(),
            state,
            expires_at: self.at + i64::from(seconds) * 1000,
            left_at: None,
            settled: Vec::new(),
            payments: Vec::new(),
        });
    }
}
