//! Standby: the line of buyers behind a drop that is sold out. A unit that comes back goes to the line in the same advance,
//! before any new buyer is decided.
//!
//! The next in line is the first whose quantity fits into what is free: no unit stays unsold while a buyer stands by who
//! would take it, and a larger wish is passed over only by smaller ones that fit.

use super::blind::BlindWindow;
use super::event::StandbyJoined;
use super::event::metadata::EventHeader;
use super::line::{PlaceEnding, StandbyLine, Waiting};
use super::{DropEntry, Due, EndedDrop, State};
use crate::failpoints::{self, Bug};
use crate::types::{Digest, DropId, RoomClaims, Seq, UnixMillis};

/// The most buyers who stand by for one drop: about 200 bytes of memory each.
pub const STANDBY_MAX: u32 = 1_000_000;

impl DropEntry {
    /// The buyers who stand by, if there are any.
    #[must_use]
    pub fn standby(&self) -> Option<&StandbyLine> {
        self.standby.as_deref()
    }

    /// The number of buyers who stand by.
    #[must_use]
    pub fn standby_len(&self) -> u32 {
        self.standby.as_deref().map_or(0, StandbyLine::len)
    }

    /// The buyers who come before those who wait in its room, counted at the instant of its version, so that a version has one
    /// count; `None` without a room.
    #[must_use]
    pub fn room_claims(&self) -> Option<RoomClaims> {
        let room = self.room.as_ref()?;
        let idle = u32::try_from(room.admitted_idle(room.version_at)).unwrap_or(u32::MAX);
        Some(RoomClaims { idle, standby: self.standby_len() })
    }

    /// The entry that is offered units now: the drop runs, and what is free is enough for it.
    #[must_use]
    pub fn owes_an_offer(&self) -> Option<(Seq, &Waiting)> {
        let line = self.standby.as_deref()?;
        if line.is_empty() || self.paused || self.ended || !self.started {
            return None;
        }
        match self.blind.as_deref() {
            // A recorded order is decided when its turn comes, whatever is free.
            Some(window) => window.next(line),
            None => line.next(self.available()),
        }
    }
}

/// A buyer joined the line.
pub(super) fn joined(state: &mut State, event: EventHeader, drop_id: DropId, joined: &StandbyJoined) {
    let is_in = state.restore_standby(drop_id, event.seq, joined.waiting.clone());
    assert!(is_in, "event {}: a buyer joins the line of an open drop once", event.seq);
    if joined.number.is_some() {
        let window = state.window_mut(drop_id);
        let number = window.and_then(|window| {
            window.record(event.seq, joined.waiting.quantity);
            window.number_of(event.seq)
        });
        assert_eq!(number, joined.number, "event {}: recorded orders are numbered in order", event.seq);
    }
}

/// A buyer left the line, with the ending of their place unless they took it back.
pub(super) fn left(state: &mut State, drop_id: DropId, joined: Seq, buyer: &Digest, ending: Option<PlaceEnding>) {
    let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) else { return };
    let line = entry.standby.as_deref_mut();
    let line = line.unwrap_or_else(|| panic!("drop {drop_id} has no line that entry {joined} could leave"));
    line.leave(joined, buyer);
    if let Some(ending) = ending {
        line.end(*buyer, ending);
    }
}

impl State {
    /// Puts a buyer at the end of the line of a drop; they joined by the event `seq`. Returns false if the drop is not open, the
    /// buyer stands by already, or joined before another one of the line.
    pub fn restore_standby(&mut self, drop_id: DropId, seq: Seq, waiting: Waiting) -> bool {
        let Some(line) = self.line_of_open(drop_id) else { return false };
        let is_next = line.ranks.last().is_none_or(|last| last < seq) && line.of_buyer(&waiting.buyer).is_none();
        if is_next {
            line.join(seq, waiting);
        }
        is_next
    }

    /// Notes the ending of a buyer's place in the line of a drop; `None` of one that the buyer took back. Returns false if the drop
    /// is not open.
    pub fn restore_ending(&mut self, drop_id: DropId, buyer: Digest, ending: Option<PlaceEnding>) -> bool {
        let Some(line) = self.line_of_open(drop_id) else { return false };
        match ending {
            Some(ending) => line.end(buyer, ending),
            None => line.forget_left(&buyer),
        }
        true
    }

    /// The line of an open drop that clients see, which is there from now on.
    fn line_of_open(&mut self, drop_id: DropId) -> Option<&mut StandbyLine> {
        let entry = self.drops.get_mut(drop_id.place_in(self.shard))?;
        let is_open = !entry.ended && entry.auction.is_none();
        is_open.then(|| &mut **entry.standby.get_or_insert_default())
    }

    /// Brings the offer of a drop on the list of what is due in line with the drop: after every event of one with a line,
    /// and after a load.
    pub(crate) fn schedule_offer(&mut self, drop_id: DropId, at: UnixMillis) {
        let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) else { return };
        let is_owed = entry.owes_an_offer().is_some();
        let Some(line) = entry.standby.as_deref_mut() else { return };
        let waits =
            failpoints::enabled(Bug::StandbyAfterNewBuyer) || entry.blind.as_deref().is_some_and(BlindWindow::pauses);
        let late = if waits { at.plus_millis(1) } else { at };
        match line.offer_at {
            None if is_owed => {
                line.offer_at = Some(late);
                self.due.insert((late, Due::StandbyOffer(drop_id)));
            }
            Some(before) if !is_owed => {
                line.offer_at = None;
                self.due.remove(&(before, Due::StandbyOffer(drop_id)));
            }
            Some(before) if entry.blind.is_some() && before < late => {
                line.offer_at = Some(late);
                self.due.remove(&(before, Due::StandbyOffer(drop_id)));
                self.due.insert((late, Due::StandbyOffer(drop_id)));
            }
            None | Some(_) => {}
        }
        if line.is_over() {
            entry.standby = None;
        }
    }

    /// Puts the offers that are owed on the list of what is due, after a load.
    pub fn restore_offers(&mut self) {
        let lines: Vec<_> = self.drops.iter().filter(|entry| entry.standby.is_some()).map(|entry| entry.id).collect();
        for id in lines {
            self.schedule_offer(id, self.at);
        }
    }

    /// Brings what is due of a drop with a waiting room, a blind window or a line in line with it, after an event of the drop or its orders.
    #[cold]
    pub(super) fn follow_up(&mut self, drop_id: DropId, at: UnixMillis) {
        self.settle_window(drop_id);
        self.schedule_offer(drop_id, at);
        self.schedule_admission(drop_id);
    }

    /// Ends the line of a drop that is over.
    pub(super) fn end_standby(&mut self, drop_id: DropId) {
        let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) else { return };
        let Some(line) = entry.standby.take() else { return };
        if let Some(at) = line.offer_at {
            self.due.remove(&(at, Due::StandbyOffer(drop_id)));
        }
        self.ended_drops.push(EndedDrop::Line(line));
    }

    /// Returns whether buyers stand by for a drop, so that units which come back are offered by an event.
    #[must_use]
    pub fn has_standby(&self, drop_id: DropId) -> bool {
        self.drops.get(drop_id.place_in(self.shard)).is_some_and(|entry| entry.standby_len() > 0)
    }
}
