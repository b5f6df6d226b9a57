//! Drops in memory: their counters, their window, and the units that each buyer has.

use std::collections::BTreeSet;

use super::blind::BlindWindow;
use super::digest_map::DigestMap;
use super::identities::IdentityUnits;
use super::line::StandbyLine;
use super::{DropSpec, Due, EventHeader, Refusal, Room, State, StockDelta};
use crate::types::{AuctionId, Digest, DropId, DropState, Seq, UnixMillis};

/// A drop in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropEntry {
    pub id: DropId,
    /// The parameters as they are now; `spec.total` is the current total.
    pub spec: Box<DropSpec>,
    /// Units of live orders.
    pub held: u32,
    /// Units of paid orders, and of refunded ones that did not come back.
    pub sold: u32,
    /// The number of operators' changes, counting the creation.
    pub revision: u32,
    /// Stopped by an operator or by the auditor.
    pub paused: bool,
    pub ended: bool,
    /// True once its start has come.
    pub started: bool,
    /// The auction whose one unit this is: then clients do not see the drop.
    pub auction: Option<AuctionId>,
    /// The auditor's recount does not agree: it cannot be resumed.
    pub mismatch: bool,
    /// The last event of the drop itself (not of its orders).
    pub last_seq: Seq,
    /// The last event that changed the drop as clients see it.
    pub version: Seq,
    /// Units that each buyer holds or has bought; empty once the drop has ended.
    pub(crate) used: DigestMap<u32>,
    /// True if there is a cap on an identity, so that an order of any other drop costs a comparison.
    pub(crate) capped: bool,
    /// Units that orders with the same identity hold or have bought; empty once the drop has ended.
    pub(crate) identity_units: IdentityUnits,
    /// The instants at which its live orders expire.
    pub(crate) expiries: BTreeSet<(UnixMillis, Seq)>,
    /// The waiting room, until the drop has ended.
    pub room: Option<Box<Room>>,
    /// The buyers who stand by, if there are any.
    pub(crate) standby: Option<Box<StandbyLine>>,
    /// The blind window, until every recorded order is decided.
    pub(crate) blind: Option<Box<BlindWindow>>,
}

impl DropEntry {
    /// A drop as its creation makes it.
    #[must_use]
    pub fn created(id: DropId, spec: Box<DropSpec>, seq: Seq, at: UnixMillis) -> DropEntry {
        let mut room = spec.room.as_deref().map(|room| Box::new(Room::new(*room, spec.commitment, at)));
        let started = spec.has_started(at);
        if let Some(room) = room.as_mut().filter(|_| started) {
            room.begin_draw();
        }
        DropEntry {
            id,
            started,
            capped: !spec.identity_limits.is_empty(),
            room,
            blind: BlindWindow::of(&spec),
            spec,
            held: 0,
            sold: 0,
            revision: 1,
            paused: false,
            ended: false,
            auction: None,
            mismatch: false,
            last_seq: seq,
            version: seq,
            used: DigestMap::default(),
            identity_units: IdentityUnits::default(),
            expiries: BTreeSet::new(),
            standby: None,
        }
    }

    /// Units that are held or sold.
    ///
    /// # Panics
    /// If the counters are broken beyond 2^32: an invariant.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.held.checked_add(self.sold).unwrap_or_else(|| panic!("drop {}: held + sold overflows", self.id))
    }

    /// Units that are free.
    ///
    /// # Panics
    /// If more units are taken than there are: an invariant.
    #[must_use]
    pub fn available(&self) -> u32 {
        let taken = self.taken();
        self.spec.total.checked_sub(taken).unwrap_or_else(|| panic!("drop {}: oversold", self.id))
    }

    /// The state that clients see.
    #[must_use]
    pub fn state(&self) -> DropState {
        DropState::of(self.ended, self.paused, self.started, self.available())
    }

    /// Units that a buyer holds or has bought, while the drop has not ended.
    #[must_use]
    pub fn used_by(&self, buyer: &Digest) -> u32 {
        self.used.get(buyer).copied().unwrap_or(0)
    }

    /// The earliest expiry of its live orders.
    #[must_use]
    pub fn next_expiry(&self) -> Option<(UnixMillis, Seq)> {
        self.expiries.first().copied()
    }

    /// Moves a buyer's count by `units`.
    pub(crate) fn use_units(&mut self, buyer: Digest, units: i64) {
        if self.ended {
            return;
        }
        let used = moved(self.used_by(&buyer), units, "a buyer's count");
        if used == 0 {
            self.used.remove(&buyer);
        } else {
            self.used.insert(buyer, used);
        }
    }

    fn move_counters(&mut self, delta: StockDelta) {
        self.spec.total = moved(self.spec.total, delta.total, "total");
        self.held = moved(self.held, delta.held, "held");
        self.sold = moved(self.sold, delta.sold, "sold");
        assert!(self.taken() <= self.spec.total, "drop {}: oversold", self.id);
    }
}

pub(super) fn moved(counter: u32, delta: i64, what: &str) -> u32 {
    let value = i64::from(counter).checked_add(delta).and_then(|value| u32::try_from(value).ok());
    value.unwrap_or_else(|| panic!("{what} leaves its range: {counter} moved by {delta}"))
}

/// The drop that a command names.
#[inline]
pub(super) fn find(state: &State, drop_id: DropId) -> Result<&DropEntry, Refusal> {
    state.drop_entry(drop_id).filter(|entry| entry.auction.is_none()).ok_or(Refusal::NotFound)
}

/// The drop that a command names, unless it is over.
pub(super) fn find_open(state: &State, drop_id: DropId) -> Result<&DropEntry, Refusal> {
    let entry = find(state, drop_id)?;
    if entry.ended { Err(ended(entry)) } else { Ok(entry) }
}

/// The refusal of whatever comes after a drop's end.
pub(super) fn ended(entry: &DropEntry) -> Refusal {
    // A drop without an end gets one when it is closed.
    Refusal::Ended { ends_at: entry.spec.ends_at.unwrap_or_default() }
}

/// Moves the counters and the version of an event's drop: by its own events, and by those of its orders. Returns whether the
/// drop has a waiting room, a blind window or buyers stand by.
pub(super) fn count(state: &mut State, event: EventHeader, delta: Option<StockDelta>) -> bool {
    let Some(drop_id) = event.drop_id() else { return false };
    let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) else {
        panic!("event {} is about drop {drop_id}, which does not exist", event.seq)
    };
    if let Some(delta) = delta {
        entry.move_counters(delta);
        entry.version = event.seq;
        if let Some(room) = &mut entry.room {
            room.count_returned(&delta);
            room.version_at = event.at;
        }
    }
    if event.order().is_none() {
        entry.last_seq = event.seq;
    }
    entry.room.is_some() || entry.standby.is_some() || entry.blind.is_some()
}

impl DropEntry {
    /// Pauses the drop, and stops the clock of its room.
    pub(super) fn pause(&mut self, at: UnixMillis) {
        self.paused = true;
        if let Some(room) = &mut self.room {
            room.clock.stop(at);
        }
    }

    /// Lets the drop and the clock of its room go on.
    pub(super) fn resume(&mut self, at: UnixMillis) {
        self.paused = false;
        if let Some(room) = &mut self.room {
            room.clock.go_on(at);
        }
    }

    pub(super) fn count_revision(&mut self) {
        self.revision = self.revision.checked_add(1).unwrap_or_else(|| panic!("drop {}: revisions used up", self.id));
    }
}

impl State {
    /// Puts a drop's start and end on the list of what is due, as far as they lie ahead.
    pub(crate) fn schedule_window(&mut self, drop_id: DropId) {
        let Some(entry) = self.drops.get(drop_id.place_in(self.shard)) else { return };
        if entry.ended {
            return;
        }
        if let Some(room) = entry.room.as_ref().filter(|room| !room.opened) {
            self.due.insert((room.spec.opens_at, Due::RoomOpening(drop_id)));
        }
        if !entry.started {
            self.due.insert((entry.spec.starts_at, Due::DropStart(drop_id)));
        }
        if let Some(ends_at) = entry.spec.ends_at {
            self.due.insert((ends_at, Due::DropEnd(drop_id)));
        }
        self.schedule_window_end(drop_id);
    }

    pub(super) fn unschedule_window(&mut self, drop_id: DropId, starts_at: UnixMillis, ends_at: Option<UnixMillis>) {
        self.due.remove(&(starts_at, Due::DropStart(drop_id)));
        if let Some(ends_at) = ends_at {
            self.due.remove(&(ends_at, Due::DropEnd(drop_id)));
        }
    }
}

impl State {
    /// Puts a live order's expiry on the list of its drop, and the drop's earliest on the list of all.
    pub(crate) fn schedule_expiry(&mut self, drop_id: DropId, expires_at: UnixMillis, seq: Seq) {
        let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) else { return };
        let before = entry.next_expiry();
        entry.expiries.insert((expires_at, seq));
        let after = entry.next_expiry();
        self.reschedule(drop_id, before, after);
    }

    /// Takes a live order's expiry off the lists.
    pub(crate) fn unschedule_expiry(&mut self, drop_id: DropId, expires_at: UnixMillis, seq: Seq) {
        let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) else { return };
        let before = entry.next_expiry();
        let was_there = entry.expiries.remove(&(expires_at, seq));
        assert!(was_there, "every live order has an expiry");
        let after = entry.next_expiry();
        self.reschedule(drop_id, before, after);
    }

    fn reschedule(&mut self, drop_id: DropId, before: Option<(UnixMillis, Seq)>, after: Option<(UnixMillis, Seq)>) {
        let (before, after) = (before.map(|(at, _)| at), after.map(|(at, _)| at));
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.due.remove(&(at, Due::OrderExpiry(drop_id)));
        }
        if let Some(at) = after {
            self.due.insert((at, Due::OrderExpiry(drop_id)));
        }
    }
}
