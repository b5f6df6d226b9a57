//! The due work of a line: an offer of free units to the first entry that fits.

use super::metadata::EventSubject;
use super::{DropEvent, Event, OrderEvent, OrderReserved, StandbyGranted, StandbyLeaving};
use crate::engine::{DropEntry, State, Waiting};
use crate::types::{DropId, IdentityDigests, OrderState, Seq, UnixMillis};

/// The event of an offer that is due: the first in line gets the order, or leaves because a limit leaves no room.
///
/// # Panics
/// If the drop owes no offer: an invariant.
pub(in crate::engine) fn due(state: &State, at: UnixMillis, drop_id: DropId) -> Event {
    let event = offer(state, at, drop_id);
    event.unwrap_or_else(|| panic!("drop {drop_id} has an offer due but nothing to offer"))
}

fn offer(state: &State, at: UnixMillis, drop_id: DropId) -> Option<Event> {
    let entry = state.drop_entry(drop_id)?;
    let (joined, waiting) = entry.owes_an_offer()?;
    let seq = state.seq.next();
    let leaving = match entry.leaves_room_for(waiting) {
        false => Some(StandbyLeaving::Limit),
        true => (waiting.quantity.units() > entry.available()).then_some(StandbyLeaving::SoldOut),
    };
    if let Some(leaving) = leaving {
        let body = DropEvent::StandbyLeft { joined, buyer: waiting.buyer, leaving };
        let (prev_seq, subject) = (entry.last_seq, EventSubject::Drop(drop_id));
        return Some(Event { seq, at, prev_seq, subject, body: body.into() });
    }
    let unit_price = entry.spec.unit_price;
    let awaits_payment = waiting.state_of_order(unit_price) == OrderState::AwaitingPayment;
    let seconds = if awaits_payment { entry.spec.payment_seconds } else { entry.spec.reservation_seconds };
    // A stop of the server is no time to pay.
    let expires_at = at.max(state.stopped_until).plus_seconds(seconds);
    let number = entry.blind.as_deref().and_then(|window| window.number_of(joined));
    let Waiting { buyer, key, quantity, contact_given: _, facts } = waiting.clone();
    let reserved = OrderReserved { buyer, key, quantity, unit_price, expires_at };
    let body = OrderEvent::Granted(Box::new(StandbyGranted { reserved, joined, awaits_payment, number, facts }));
    let subject = EventSubject::Order { order: seq, drop_id };
    Some(Event { seq, at, prev_seq: Seq::ZERO, subject, body: body.into() })
}

impl DropEntry {
    /// Returns whether the limits leave room for what a buyer waits for: they may have ordered elsewhere meanwhile, or an
    /// operator may have changed them. A cap that came after the buyer had joined counts only what the buyer gave.
    fn leaves_room_for(&self, waiting: &Waiting) -> bool {
        let identities = waiting.facts.as_deref().map_or(IdentityDigests::NONE, |facts| facts.identities);
        let used = u64::from(self.used_by(&waiting.buyer)).saturating_add(u64::from(waiting.quantity.get()));
        used <= u64::from(self.spec.per_buyer_limit) && self.capped_identity(&identities, waiting.quantity).is_none()
    }
}
