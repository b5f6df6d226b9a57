//! Commands about waiting rooms.

use crate::engine::drops::{ended, find, find_open};
use crate::engine::event::{BeaconPosted, DrawFinished, RoomEvent, TicketTaken};
use crate::engine::{
    BeaconObstacle, Decision, Draw, DrawPhase, DropEntry, Effect, EventSubject, Invalid, Outcome, PreparedDraw,
    Refusal, Subject, TicketReceipt,
};
use crate::failpoints::{self, Bug};
use crate::types::draw::TICKETS_MAX;
use crate::types::{Beacon, BuyerOrigin, Digest, DrawState, DropId, MerkleRoot, Seed, TicketNumber};

/// A command about a waiting room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomCommand {
    /// Takes the buyer's ticket, or gives the one that the buyer has.
    TakeTicket(TakeTicket),
    /// Binds the tickets of a draw by their root. Of the server itself, once their number is fixed.
    FixTickets { drop_id: DropId, root: MerkleRoot },
    /// Posts public randomness for a draw.
    PostBeacon(Box<PostBeacon>),
    /// Publishes the seed of a draw, and with it the positions. Of the server itself, once nothing is waited for.
    FinishDraw(Box<FinishDraw>),
}

super::names!(RoomCommand {
    TakeTicket = "take_ticket",
    FixTickets = "fix_tickets",
    PostBeacon = "post_beacon",
    FinishDraw = "finish_draw",
});

/// The parameters of a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TakeTicket {
    pub drop_id: DropId,
    pub buyer: Digest,
    /// A note of the front end for the audit; no decision rests on it.
    pub origin: Option<BuyerOrigin>,
}

/// The parameters of a beacon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostBeacon {
    pub drop_id: DropId,
    pub beacon: Beacon,
    /// The place where others find the same value.
    pub source: Box<str>,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The parameters of the end of a draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinishDraw {
    pub drop_id: DropId,
    pub seed: Seed,
    pub prepared: PreparedDraw,
}

impl RoomCommand {
    /// The drop of the room that the command names.
    pub(super) fn drop_id(&self) -> DropId {
        match self {
            RoomCommand::TakeTicket(command) => command.drop_id,
            RoomCommand::FixTickets { drop_id, .. } => *drop_id,
            RoomCommand::PostBeacon(command) => command.drop_id,
            RoomCommand::FinishDraw(command) => command.drop_id,
        }
    }
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &RoomCommand) -> Result<Outcome, Refusal> {
    match command {
        RoomCommand::TakeTicket(command) => take_ticket(decision, command),
        RoomCommand::FixTickets { drop_id, root } => fix_tickets(decision, *drop_id, *root),
        RoomCommand::PostBeacon(command) => post_beacon(decision, command),
        RoomCommand::FinishDraw(command) => finish_draw(decision, command),
    }
}

/// Returns the draw of a drop that has not ended.
fn find_draw<'a>(decision: &Decision<'a>, drop_id: DropId) -> Result<(&'a DropEntry, &'a Draw), Refusal> {
    let entry = find_open(decision.state, drop_id)?;
    entry.draw().map(|draw| (entry, draw)).ok_or(Refusal::NotFound)
}

/// Emits an event of the draw.
fn accept(decision: &mut Decision<'_>, entry: &DropEntry, event: RoomEvent) -> Result<Outcome, Refusal> {
    let seq = decision.emit(entry.last_seq, EventSubject::Drop(entry.id), event);
    Ok(Outcome::changed(seq, Subject::Drop(entry.id)))
}

fn fix_tickets(decision: &mut Decision<'_>, drop_id: DropId, root: MerkleRoot) -> Result<Outcome, Refusal> {
    let (entry, draw) = find_draw(decision, drop_id)?;
    let fixed = match &draw.phase {
        DrawPhase::Pending => return Err(Refusal::Invalid(Invalid::DrawNotReady)),
        DrawPhase::Begun { tickets } => {
            return accept(decision, entry, RoomEvent::TicketsFixed { tickets: *tickets, root });
        }
        DrawPhase::Fixed(fixed) => fixed.tickets,
        DrawPhase::Drawn(done) => done.tickets,
    };
    if fixed.root() == root {
        Ok(decision.repeat(Subject::Drop(drop_id)))
    } else {
        Err(Refusal::Invalid(Invalid::RootDiffers))
    }
}

fn post_beacon(decision: &mut Decision<'_>, command: &PostBeacon) -> Result<Outcome, Refusal> {
    let PostBeacon { drop_id, beacon, source, reason } = command;
    let (entry, draw) = find_draw(decision, *drop_id)?;
    if let Some(why) = beacon_obstacle(draw) {
        return Err(Refusal::BeaconNotTaken { why });
    }
    let posted = BeaconPosted { beacon: beacon.clone(), source: source.clone(), reason: reason.clone() };
    accept(decision, entry, RoomEvent::BeaconPosted(Box::new(posted)))
}

/// Returns the reason why a draw takes no beacon now.
fn beacon_obstacle(draw: &Draw) -> Option<BeaconObstacle> {
    if draw.beacon.is_none() {
        return Some(BeaconObstacle::NotAwaited);
    }
    match &draw.phase {
        DrawPhase::Pending | DrawPhase::Begun { .. } => Some(BeaconObstacle::TicketsNotFixed),
        DrawPhase::Fixed(_) if failpoints::enabled(Bug::BeaconReplaced) => None,
        DrawPhase::Fixed(fixed) if fixed.beacon.is_some() => Some(BeaconObstacle::Posted),
        DrawPhase::Fixed(fixed) => fixed.missed.then_some(BeaconObstacle::TooLate),
        DrawPhase::Drawn(_) => Some(BeaconObstacle::Drawn),
    }
}

fn finish_draw(decision: &mut Decision<'_>, command: &FinishDraw) -> Result<Outcome, Refusal> {
    let FinishDraw { drop_id, seed, prepared } = command;
    let (entry, draw) = find_draw(decision, *drop_id)?;
    let fixed = match &draw.phase {
        DrawPhase::Drawn(_) => return Ok(decision.repeat(Subject::Drop(*drop_id))),
        DrawPhase::Fixed(fixed) if draw.state() == DrawState::Drawing => fixed,
        DrawPhase::Pending | DrawPhase::Begun { .. } | DrawPhase::Fixed(_) => {
            return Err(Refusal::Invalid(Invalid::DrawNotReady));
        }
    };
    if seed.commitment() != draw.commitment {
        return Err(Refusal::Invalid(Invalid::SeedDiffers));
    }
    // An operator may have paused it to close it with its seed kept secret, while the draw was being computed.
    if entry.paused {
        return Err(Refusal::DropPaused);
    }
    let done = prepared.or_draw(&fixed.tickets, seed, fixed.beacon.as_ref());
    let (beacon, result) = (fixed.beacon.clone(), done.drawn.result);
    let prepared = PreparedDraw::shared(done);
    accept(decision, entry, RoomEvent::Drawn(Box::new(DrawFinished { seed: seed.clone(), beacon, result, prepared })))
}

fn take_ticket(decision: &mut Decision<'_>, command: &TakeTicket) -> Result<Outcome, Refusal> {
    let TakeTicket { drop_id, buyer, origin } = *command;
    let entry = find(decision.state, drop_id)?;
    if entry.ended && entry.spec.room.is_some() {
        return Err(ended(entry));
    }
    let room = entry.room.as_deref().ok_or(Refusal::NotFound)?;
    let receipt = |seq, number, repeated| {
        let (position, state) = (room.position_of(number), entry.room_state());
        let serving = room.serving;
        Ok(Outcome::Accepted(Effect::Ticket(TicketReceipt {
            drop_id,
            seq,
            number,
            position,
            serving,
            state,
            paused: entry.paused,
            paused_ms: room.clock.paused_ms,
            order_until: position.and_then(|position| room.order_until(position)),
            available: entry.available(),
            held: entry.held,
            repeated,
        })))
    };
    if let Some(number) = room.ticket_of(&buyer) {
        return receipt(decision.state.seq, number, true);
    }
    if !room.opened {
        return Err(Refusal::NotOpen { opens_at: room.spec.opens_at });
    }
    if entry.is_sold_for_good() {
        return Err(Refusal::AllSold { standby: entry.standby_len() });
    }
    let number = TicketNumber::new(room.ticket_count().saturating_add(1)).filter(|number| number.get() <= TICKETS_MAX);
    let number = number.ok_or(Refusal::Invalid(Invalid::TooManyTickets))?;
    let event = RoomEvent::TicketTaken(TicketTaken { buyer, number, origin });
    let seq = decision.emit(entry.last_seq, EventSubject::Drop(drop_id), event);
    receipt(seq, number, false)
}
