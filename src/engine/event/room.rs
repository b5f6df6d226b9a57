//! Events of waiting rooms and their draws. Their subject is the drop.

use super::metadata::EventHeader;
use crate::engine::{PreparedDraw, RoomServed, State};
use crate::types::{Beacon, BuyerOrigin, Digest, DrawResult, MerkleRoot, Seed, TicketNumber};

/// An event of a waiting room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomEvent {
    /// The room's opening came.
    Opened,
    /// A buyer took a ticket.
    TicketTaken(TicketTaken),
    /// The next buyers of the line were admitted.
    Served(RoomServed),
    /// The tickets of the draw are bound by a root.
    TicketsFixed { tickets: u32, root: MerkleRoot },
    /// An operator posted the beacon of the draw.
    BeaconPosted(Box<BeaconPosted>),
    /// The time for a beacon passed: the draw goes on without.
    BeaconMissed,
    /// The seed is published, and the positions of all tickets follow.
    Drawn(Box<DrawFinished>),
}

/// A ticket that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TicketTaken {
    pub buyer: Digest,
    pub number: TicketNumber,
    /// A note of the front end for the audit.
    pub origin: Option<BuyerOrigin>,
}

/// The public randomness of a draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BeaconPosted {
    pub beacon: Beacon,
    /// The place where others find the same value.
    pub source: Box<str>,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The end of a draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrawFinished {
    pub seed: Seed,
    pub beacon: Option<Beacon>,
    pub result: DrawResult,
    pub prepared: PreparedDraw,
}

impl RoomEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            RoomEvent::Opened => "room_opened", // not sent: the drop tells its instant long before
            RoomEvent::TicketTaken(_) => "ticket_taken", // not sent: too frequent; the room's body has their number
            RoomEvent::Served(_) => "room_served", // not sent: too frequent; the room's body and stream have it
            RoomEvent::TicketsFixed { .. } => "room_tickets_fixed",
            RoomEvent::BeaconPosted(_) => "room_beacon_posted",
            RoomEvent::BeaconMissed => "room_beacon_missed",
            RoomEvent::Drawn(_) => "room_drawn",
        }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, body: &RoomEvent) {
    let Some(drop_id) = event.drop_id() else { return };
    match body {
        RoomEvent::Opened => state.open_room(drop_id),
        RoomEvent::TicketTaken(TicketTaken { buyer, number, origin: _ }) => {
            let room = state.room_mut(drop_id).unwrap_or_else(|| panic!("event {} is about no room", event.seq));
            room.add_ticket(*buyer, false);
            assert_eq!(room.ticket_count(), number.get(), "tickets are numbered in order");
        }
        RoomEvent::Served(served) => {
            let room = state.room_mut(drop_id).unwrap_or_else(|| panic!("event {} is about no room", event.seq));
            room.serve(event.at, served);
        }
        RoomEvent::TicketsFixed { .. } | RoomEvent::BeaconPosted(_) | RoomEvent::BeaconMissed | RoomEvent::Drawn(_) => {
            state.unschedule_beacon_end(drop_id);
            evolve_draw(state, event, body);
            state.schedule_beacon_end(drop_id);
        }
    }
}

fn evolve_draw(state: &mut State, event: EventHeader, body: &RoomEvent) {
    let draw = event.drop_id().and_then(|drop_id| state.draw_mut(drop_id));
    let draw = draw.unwrap_or_else(|| panic!("event {} is about no draw", event.seq));
    match body {
        RoomEvent::TicketsFixed { tickets, root } => draw.fix(*tickets, *root, event.at),
        RoomEvent::BeaconPosted(posted) => draw.fixed_mut().beacon = Some(posted.beacon.clone()),
        RoomEvent::BeaconMissed => draw.fixed_mut().missed = true,
        RoomEvent::Drawn(finished) => draw.finish(&finished.seed, &finished.prepared, finished.result),
        RoomEvent::Opened | RoomEvent::TicketTaken(_) | RoomEvent::Served(_) => {}
    }
}
