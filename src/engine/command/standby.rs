//! Commands about the line behind a drop that is sold out.

use super::order::{PlaceOrder, check_limits, may_order};
use crate::engine::drops::{find, find_open};
use crate::engine::event::{DropEvent, StandbyJoined, StandbyLeaving};
use crate::engine::standby::STANDBY_MAX;
use crate::engine::{
    BlindWindow, Decision, DropEntry, Effect, EventSubject, Invalid, Outcome, PlaceEnding, RecordedReceipt, Refusal,
    StandbyReceipt, Subject, Waiting,
};
use crate::types::{Digest, DropId, Quantity, Seq, TicketNumber};

/// The answer to an order with the key of an entry in the line: the quantity must be the same.
pub(super) fn repeated_key(decision: &Decision<'_>, entry: &DropEntry, order: &PlaceOrder) -> Option<Outcome> {
    let (_, waiting) = entry.standby.as_deref()?.of_buyer(&order.buyer)?;
    if waiting.key == order.key { repeated(decision, entry, order) } else { None }
}

/// The answer to a buyer who stands by already: with the same key the same quantity must come again; another key gets the entry as
/// it stands.
fn repeated(decision: &Decision<'_>, entry: &DropEntry, order: &PlaceOrder) -> Option<Outcome> {
    let (joined, waiting) = entry.standby.as_deref()?.of_buyer(&order.buyer)?;
    if waiting.key == order.key && waiting.quantity != order.quantity {
        return Some(decision.refuse(Refusal::KeyReused));
    }
    Some(standing(decision, entry, joined, waiting))
}

/// Tells of an entry as it stands.
fn standing(decision: &Decision<'_>, entry: &DropEntry, joined: Seq, waiting: &Waiting) -> Outcome {
    if let Some(ticket) = entry.blind.as_deref().and_then(|window| window.number_of(joined)) {
        return recorded(entry, decision.state.seq, waiting.quantity, ticket, true);
    }
    let position = entry.standby.as_deref().map_or(0, |line| line.position_of(joined));
    Outcome::Accepted(Effect::Standby(StandbyReceipt {
        drop_id: entry.id,
        seq: decision.state.seq,
        quantity: waiting.quantity,
        position,
        standby: entry.standby_len(),
        available: entry.available(),
        held: entry.held,
        next_expiry_at: entry.next_expiry().map(|(at, _)| at),
        repeated: true,
    }))
}

/// Tells of an order that the blind window has recorded.
fn recorded(entry: &DropEntry, seq: Seq, quantity: Quantity, ticket: TicketNumber, repeated: bool) -> Outcome {
    let decided_at = entry.spec.window_ends_at();
    let receipt = RecordedReceipt { drop_id: entry.id, seq, quantity, ticket, decided_at, repeated };
    Outcome::Accepted(Effect::Recorded(receipt))
}

/// Joins the line: that of a blind window, as long as there is one. Where units are free for it, the order follows at once: the line is served before any new buyer.
pub(super) fn join(decision: &mut Decision<'_>, order: &PlaceOrder) -> Result<Outcome, Refusal> {
    let entry = find(decision.state, order.drop_id)?;
    if let Some(remembered) = decision.state.order_keys.get(&order.key) {
        return match remembered.quantity == order.quantity {
            true => Ok(decision.repeat(Subject::Order(remembered.seq))),
            false => Err(Refusal::KeyReused),
        };
    }
    if let Some(outcome) = repeated(decision, entry, order) {
        return Ok(outcome);
    }
    match may_order(entry, order, decision.at()) {
        Ok(()) | Err(Refusal::SoldOut(_) | Refusal::AllSold { .. }) => {}
        Err(refusal) => return Err(refusal),
    }
    // A room's refusal of buyers who are not admitted comes before the limits, which hold for them, too.
    check_limits(entry, order)?;
    let standby = entry.standby_len();
    if standby >= STANDBY_MAX {
        return Err(Refusal::Invalid(Invalid::StandbyFull));
    }
    let PlaceOrder { drop_id, buyer, key, quantity, contact_given, ref facts } = *order;
    let waiting = Waiting { buyer, key, quantity, contact_given, facts: facts.clone() };
    let (available, held) = (entry.available(), entry.held);
    let next_expiry_at = entry.next_expiry().map(|(at, _)| at);
    let number = entry.blind.as_deref().and_then(BlindWindow::next_number);
    let event = DropEvent::StandbyJoined(Box::new(StandbyJoined { waiting, number }));
    let seq = decision.emit(entry.last_seq, EventSubject::Drop(drop_id), event);
    if let Some(ticket) = number {
        return Ok(recorded(entry, seq, quantity, ticket, false));
    }
    let standby = standby.saturating_add(1);
    let (position, repeated) = (standby, false);
    Ok(Outcome::Accepted(Effect::Standby(StandbyReceipt {
        drop_id,
        seq,
        quantity,
        position,
        standby,
        available,
        held,
        next_expiry_at,
        repeated,
    })))
}

/// Leaves the line, for the buyer.
pub(super) fn leave(decision: &mut Decision<'_>, drop_id: DropId, buyer: Digest) -> Result<Outcome, Refusal> {
    let entry = find_open(decision.state, drop_id)?;
    let found = entry.standby.as_deref().and_then(|line| line.of_buyer(&buyer));
    let (joined, _) = found.ok_or(Refusal::NotFound)?;
    let event = DropEvent::StandbyLeft { joined, buyer, leaving: StandbyLeaving::Buyer };
    let seq = decision.emit(entry.last_seq, EventSubject::Drop(drop_id), event);
    Ok(Outcome::changed(seq, Subject::Drop(drop_id)))
}

/// Tells of a buyer's entry, or of the ending of the last one.
pub(super) fn look_up(decision: &Decision<'_>, drop_id: DropId, buyer: Digest) -> Result<Outcome, Refusal> {
    let entry = find(decision.state, drop_id)?;
    let line = entry.standby.as_deref().ok_or(Refusal::NotFound)?;
    if let Some((joined, waiting)) = line.of_buyer(&buyer) {
        return Ok(standing(decision, entry, joined, waiting));
    }
    Ok(decision.repeat(match line.ending_of(&buyer).ok_or(Refusal::NotFound)? {
        PlaceEnding::Ordered(order) => Subject::Order(order),
        PlaceEnding::Left(joined) => Subject::LineEntry(joined),
    }))
}
