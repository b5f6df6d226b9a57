//! Blind windows: the orders of a drop's first moments are recorded as they arrive, and decided at the end of the window in the
//! order of a draw that buyers can verify (`src/engine/BLIND.md`).
//!
//! A recorded order is an entry of the drop's line ([`standby`](super::standby)) with a number. The draw gives each number a
//! position; then the line is offered what is free by position, not by what fits, and each entry becomes an order or leaves.

use super::DropSpec;
use super::draws::Draw;
use super::line::{StandbyLine, Waiting};
use crate::failpoints::{self, Bug};
use crate::types::{Quantity, RoomDraw, Seq, TicketNumber, UnixMillis};

/// Orders that are decided at one instant; the next ones are decided a millisecond later or at the next command, so that other
/// commands need not wait.
const STEP: u32 = 200;

impl DropSpec {
    /// The end of its blind window.
    #[must_use]
    pub fn window_ends_at(&self) -> UnixMillis {
        self.starts_at.plus_millis(i64::from(self.blind_ms))
    }
}

/// So few waiting orders, among more than [`SPARSE`] times as many positions, are asked for their positions. A walk over the
/// positions of a million orders that their buyers took back would keep the writer for 0.1 s.
const FEW: u32 = 64;
const SPARSE: u32 = 1000;

/// A blind window in memory: from the creation of its drop until every recorded order is decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlindWindow {
    pub draw: Draw,
    /// The recorded orders, by their numbers: the event that recorded each, and its units.
    recorded: Vec<(Seq, Quantity)>,
    /// Positions whose order is decided.
    decided: u32,
}

impl BlindWindow {
    /// Returns the window of a new drop; `None` for a drop without one.
    #[must_use]
    pub fn of(spec: &DropSpec) -> Option<Box<BlindWindow>> {
        let commitment = spec.commitment.filter(|_| spec.blind_ms > 0);
        let draw = Draw::of(RoomDraw::Random { beacon: None }, Some(commitment?))?;
        Some(Box::new(BlindWindow { draw, recorded: Vec::new(), decided: 0 }))
    }

    /// The number of recorded orders.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.recorded.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether no order is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recorded.is_empty()
    }

    /// The number of the next order that is recorded.
    #[must_use]
    pub fn next_number(&self) -> Option<TicketNumber> {
        TicketNumber::new(self.len().saturating_add(1))
    }

    /// The number of an order, by the event that recorded it.
    #[must_use]
    pub fn number_of(&self, recorded: Seq) -> Option<TicketNumber> {
        let index = self.recorded.binary_search_by_key(&recorded, |(seq, _)| *seq).ok()?;
        TicketNumber::new(u32::try_from(index).ok()?.saturating_add(1))
    }

    /// The recorded orders, by their numbers: the event that recorded each, and its units.
    #[must_use]
    pub fn recorded(&self) -> &[(Seq, Quantity)] {
        &self.recorded
    }

    /// Notes an order that was recorded. Returns false if it was recorded before another one of the window.
    pub(crate) fn record(&mut self, seq: Seq, quantity: Quantity) -> bool {
        let is_next = self.recorded.last().is_none_or(|(last, _)| *last < seq);
        if is_next {
            self.recorded.push((seq, quantity));
        }
        is_next
    }

    /// The order that is decided next; it has left the line if its buyer took it back.
    fn at_decision(&self) -> Option<(Seq, Quantity)> {
        if !self.draw.is_drawn() || self.decided >= self.len() {
            return None;
        }
        let index = match failpoints::enabled(Bug::BlindByArrival) {
            true => self.decided as usize,
            false => self.draw.index_at(self.decided),
        };
        self.recorded.get(index).copied()
    }

    /// The first position of the orders that wait in the line, which has only a few.
    fn first_position(&self, line: &StandbyLine) -> Option<u32> {
        let position = |(seq, _)| self.draw.position_of(self.number_of(seq)?);
        line.entries().filter_map(position).map(|position| position.0).min()
    }

    /// The entry that is decided next.
    pub(super) fn next<'a>(&self, line: &'a StandbyLine) -> Option<(Seq, &'a Waiting)> {
        let (seq, quantity) = self.at_decision()?;
        line.entry(seq, quantity).map(|waiting| (seq, waiting))
    }

    /// Moves on to the next order that is in the line. Returns whether all are decided.
    pub(super) fn settle(&mut self, line: Option<&StandbyLine>) -> bool {
        if !self.draw.is_drawn() {
            return false;
        }
        let Some(line) = line.filter(|line| !line.is_empty()) else { return true };
        let ahead = self.len().saturating_sub(self.decided);
        if line.len() <= FEW && ahead / line.len() > SPARSE {
            self.decided = self.first_position(line).unwrap_or_else(|| self.len());
            return self.decided >= self.len();
        }
        while let Some((seq, quantity)) = self.at_decision() {
            if line.entry(seq, quantity).is_some() {
                return false;
            }
            self.decided = self.decided.saturating_add(1);
        }
        true
    }

    /// Returns whether the next decision waits for a millisecond.
    pub(super) fn pauses(&self) -> bool {
        self.decided.is_multiple_of(STEP)
    }

    /// Returns the first sentence about the window that does not hold.
    pub(super) fn contradiction(&self, line: Option<&StandbyLine>) -> Option<&'static str> {
        let waiting = || line.into_iter().flat_map(StandbyLine::entries);
        let drawn = self.draw.tickets();
        [
            (self.recorded.is_sorted_by(|one, next| one.0 < next.0), "its orders are out of order"),
            (waiting().all(|(seq, _)| self.number_of(seq).is_some()), "an order that waits was not recorded"),
            (drawn.is_none_or(|drawn| drawn <= self.len()), "it draws orders that it does not have"),
        ]
        .into_iter()
        .find(|(holds, _)| !holds)
        .map(|(_, what)| what)
    }
}
