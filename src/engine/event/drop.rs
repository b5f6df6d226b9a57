//! Events of drops.

use super::metadata::{EventHeader, StockDelta};
use crate::engine::{CommandKey, DropEntry, DropPatch, DropSpec, Due, EndedDrop, PlaceEnding, State, Waiting, standby};
use crate::types::{Digest, DropId, Seq, TicketNumber};

/// An event of a drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DropEvent {
    Created(DropCreated),
    Patched(DropPatched),
    /// The drop's start came.
    Started,
    /// The drop's end came.
    Ended,
    /// An operator stopped new orders.
    Paused {
        reason: Box<str>,
    },
    /// An operator let orders in again.
    Resumed {
        reason: Box<str>,
    },
    /// An operator ended the drop; its end is this event's instant.
    Closed {
        reason: Box<str>,
    },
    StockAdjusted(StockAdjusted),
    /// The auditor's recount disagrees: the drop is paused.
    MismatchFound,
    /// The auditor's recount agrees again; the drop stays paused until an operator resumes it.
    MismatchCleared,
    /// A buyer joined the line; the seq of this event is their place in it.
    StandbyJoined(Box<StandbyJoined>),
    /// A buyer left the line without an order.
    StandbyLeft {
        /// The event by which the buyer joined.
        joined: Seq,
        buyer: Digest,
        leaving: StandbyLeaving,
    },
    /// The blind window ended: these many orders were recorded in it, and are drawn.
    WindowEnded {
        recorded: u32,
    },
}

/// A buyer who joined the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StandbyJoined {
    pub waiting: Waiting,
    /// The number of an order that the blind window recorded.
    pub number: Option<TicketNumber>,
}

/// The reason of an entry's end without an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StandbyLeaving {
    Buyer,
    /// A limit of the drop left no room when the units were there.
    Limit,
    /// The blind window was decided, and too few units were left when the buyer's turn came.
    SoldOut,
}

impl StandbyLeaving {
    pub const ALL: [StandbyLeaving; 3] = [StandbyLeaving::Buyer, StandbyLeaving::Limit, StandbyLeaving::SoldOut];

    /// Returns the reason of a word in the audit.
    #[must_use]
    pub fn parse(word: &str) -> Option<StandbyLeaving> {
        StandbyLeaving::ALL.into_iter().find(|leaving| leaving.as_str() == word)
    }

    /// The ending of the place that an entry had; `None` if its buyer took it back.
    #[must_use]
    pub const fn ending_of(self, joined: Seq) -> Option<PlaceEnding> {
        match self {
            StandbyLeaving::Buyer => None,
            StandbyLeaving::Limit | StandbyLeaving::SoldOut => Some(PlaceEnding::Left(joined)),
        }
    }

    /// The word in the audit, in answers and in webhooks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StandbyLeaving::Buyer => "buyer",
            StandbyLeaving::Limit => "limit",
            StandbyLeaving::SoldOut => "sold_out",
        }
    }
}

/// The creation of a drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropCreated {
    pub spec: Box<DropSpec>,
    pub key: CommandKey,
}

/// An operator's change of a drop's spec.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropPatched {
    pub patch: Box<DropPatch>,
    pub reason: Box<str>,
}

/// Units were added, or free units removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StockAdjusted {
    /// Units that were added; negative where units were removed.
    pub delta: i64,
    pub reason: Box<str>,
}

impl DropEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            DropEvent::Created(_) => "drop_created",
            DropEvent::Patched(_) => "drop_patched",
            DropEvent::Started => "drop_started",
            DropEvent::Ended => "drop_ended",
            DropEvent::Paused { .. } => "drop_paused",
            DropEvent::Resumed { .. } => "drop_resumed",
            DropEvent::Closed { .. } => "drop_closed",
            DropEvent::StockAdjusted(_) => "stock_adjusted",
            DropEvent::MismatchFound => "mismatch_found",
            DropEvent::MismatchCleared => "mismatch_cleared",
            DropEvent::StandbyJoined(_) => "standby_joined", // not sent: too frequent; the drop tells how many stand by
            DropEvent::StandbyLeft { .. } => "standby_left",
            DropEvent::WindowEnded { .. } => "window_ended", // not sent: the draw comes next
        }
    }

    /// Every event of a drop gives it a new version, whether or not its counters move.
    pub(super) fn stock_delta(&self) -> StockDelta {
        let total = match self {
            DropEvent::Created(created) => i64::from(created.spec.total),
            DropEvent::StockAdjusted(adjusted) => adjusted.delta,
            DropEvent::Patched(_)
            | DropEvent::Started
            | DropEvent::Ended
            | DropEvent::Paused { .. }
            | DropEvent::Resumed { .. }
            | DropEvent::Closed { .. }
            | DropEvent::MismatchFound
            | DropEvent::MismatchCleared
            | DropEvent::StandbyJoined(_)
            | DropEvent::StandbyLeft { .. }
            | DropEvent::WindowEnded { .. } => 0,
        };
        StockDelta { total, ..StockDelta::default() }
    }

    /// Returns whether the event counts as a revision: operators' changes after the creation do.
    #[must_use]
    pub const fn revises(&self) -> bool {
        match self {
            DropEvent::Patched(_)
            | DropEvent::Paused { .. }
            | DropEvent::Resumed { .. }
            | DropEvent::Closed { .. }
            | DropEvent::StockAdjusted(_) => true,
            DropEvent::Created(_)
            | DropEvent::Started
            | DropEvent::Ended
            | DropEvent::MismatchFound
            | DropEvent::MismatchCleared
            | DropEvent::StandbyJoined(_)
            | DropEvent::StandbyLeft { .. }
            | DropEvent::WindowEnded { .. } => false,
        }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, body: &DropEvent) {
    let Some(drop_id) = event.drop_id() else { return };
    if let DropEvent::Created(DropCreated { spec, key }) = body {
        assert_eq!(drop_id.place_in(state.shard), state.drops.len(), "drops are numbered in order");
        state.remember(key, event, u64::from(drop_id.get()));
        state.drops.push(DropEntry::created(drop_id, spec.clone(), event.seq, event.at));
        return state.schedule_window(drop_id);
    }
    let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) else { return };
    if body.revises() {
        entry.count_revision();
    }
    match body {
        DropEvent::Patched(DropPatched { patch, .. }) => {
            let (starts_at, ends_at) = (entry.spec.starts_at, entry.spec.ends_at);
            patch.apply_to(&mut entry.spec);
            entry.capped = !entry.spec.identity_limits.is_empty();
            entry.started = entry.spec.has_started(event.at);
            if let (Some(room), Some(spec)) = (&mut entry.room, &entry.spec.room) {
                state.due.remove(&(room.spec.opens_at, Due::RoomOpening(drop_id)));
                room.change(spec, event.at);
            }
            state.unschedule_window(drop_id, starts_at, ends_at);
            state.schedule_window(drop_id);
        }
        DropEvent::Started => {
            entry.started = true;
            if let Some(room) = &mut entry.room {
                room.begin_draw();
            }
            let starts_at = entry.spec.starts_at;
            state.due.remove(&(starts_at, Due::DropStart(drop_id)));
            state.schedule_window_end(drop_id);
        }
        DropEvent::Ended => end(state, drop_id),
        DropEvent::Closed { .. } => {
            end(state, drop_id);
            if let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) {
                entry.spec.ends_at = Some(event.at);
            }
        }
        DropEvent::Paused { .. } => entry.pause(event.at),
        DropEvent::Resumed { .. } => entry.resume(event.at),
        DropEvent::MismatchFound => {
            entry.mismatch = true;
            entry.pause(event.at);
        }
        DropEvent::MismatchCleared => entry.mismatch = false,
        DropEvent::StandbyJoined(joined) => standby::joined(state, event, drop_id, joined),
        DropEvent::StandbyLeft { joined, buyer, leaving } => {
            standby::left(state, drop_id, *joined, buyer, leaving.ending_of(*joined));
        }
        DropEvent::WindowEnded { recorded } => state.end_window(drop_id, *recorded),
        DropEvent::Created(_) | DropEvent::StockAdjusted(_) => {}
    }
}

fn end(state: &mut State, drop_id: DropId) {
    state.unschedule_window_end(drop_id);
    let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) else { return };
    let (starts_at, ends_at) = (entry.spec.starts_at, entry.spec.ends_at);
    entry.ended = true;
    entry.blind = None;
    let (used, identity_units) = (std::mem::take(&mut entry.used), std::mem::take(&mut entry.identity_units));
    state.ended_drops.push(EndedDrop::Counts { used, identity_units });
    let room = entry.room.as_ref().map(|room| room.spec.opens_at);
    state.unschedule_window(drop_id, starts_at, ends_at);
    if let Some(opens_at) = room {
        state.due.remove(&(opens_at, Due::RoomOpening(drop_id)));
        state.unschedule_beacon_end(drop_id);
        state.schedule_admission(drop_id);
        let room = state.drops.get_mut(drop_id.place_in(state.shard)).and_then(|entry| entry.room.take());
        state.ended_drops.extend(room.map(EndedDrop::Room));
    }
    state.end_standby(drop_id);
}
