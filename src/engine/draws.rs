//! Draws in memory: what is fixed of the draw of a room, and the order once it is drawn.
//!
//! A draw is pending while tickets are taken. At the start their number is fixed; then the root that binds them is published.
//! Only after that a beacon is taken, so that no client could know it who took a ticket. Once nothing is waited for, the seed is published, and every position follows from what is public.

use std::fmt;
use std::sync::Arc;

use super::draw::{DrawRun, Drawn, TicketSet};
use crate::types::{
    Beacon, BeaconRule, Commitment, DrawResult, DrawState, MerkleRoot, RoomDraw, Seed, TicketNumber, TicketPosition,
    UnixMillis,
};

/// The draw of a drop in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draw {
    pub commitment: Commitment,
    /// The rule of the beacon that it waits for; `None` without a beacon.
    pub beacon: Option<BeaconRule>,
    pub phase: DrawPhase,
}

/// The phase of a draw, with everything that it has fixed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DrawPhase {
    /// Tickets are taken that will be drawn.
    Pending,
    /// The start has come: these many tickets are drawn.
    Begun {
        tickets: u32,
    },
    /// The tickets are bound by their root.
    Fixed(Box<FixedDraw>),
    Drawn(Arc<FinishedDraw>),
}

/// A draw whose tickets are fixed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixedDraw {
    pub tickets: TicketSet,
    /// The instant at which the root was published: a beacon is taken from then on.
    pub at: UnixMillis,
    /// The beacon that was posted.
    pub beacon: Option<Beacon>,
    /// True once the time for a beacon has passed without one.
    pub missed: bool,
}

/// A draw that is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinishedDraw {
    pub tickets: TicketSet,
    pub seed: Seed,
    pub beacon: Option<Beacon>,
    pub drawn: Drawn,
}

/// An order that was computed beside the writer, so that the writer need not. It says nothing that its command or event does
/// not say, so it is no part of their equality or encoding; without it the engine computes the order itself.
#[derive(Clone, Default)]
pub struct PreparedDraw(Option<Arc<FinishedDraw>>);

impl PreparedDraw {
    #[must_use]
    pub fn new(draw: FinishedDraw) -> PreparedDraw {
        PreparedDraw(Some(Arc::new(draw)))
    }

    pub(crate) const fn shared(draw: Arc<FinishedDraw>) -> PreparedDraw {
        PreparedDraw(Some(draw))
    }

    /// Returns the prepared draw if it is of these tickets, seed and beacon; otherwise draws.
    pub(crate) fn or_draw(&self, tickets: &TicketSet, seed: &Seed, beacon: Option<&Beacon>) -> Arc<FinishedDraw> {
        let fits = |draw: &&Arc<FinishedDraw>| {
            draw.tickets == *tickets && draw.seed == *seed && draw.beacon.as_ref() == beacon
        };
        match self.0.as_ref().filter(fits) {
            Some(draw) => Arc::clone(draw),
            None => Arc::new(FinishedDraw::draw(*tickets, seed.clone(), beacon.cloned())),
        }
    }
}

impl PartialEq for PreparedDraw {
    fn eq(&self, _other: &PreparedDraw) -> bool {
        true
    }
}

impl Eq for PreparedDraw {}

impl fmt::Debug for PreparedDraw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "PreparedDraw" } else { "NotPrepared" })
    }
}

impl FinishedDraw {
    /// Draws in one piece: half a second for a million tickets.
    #[must_use]
    pub fn draw(tickets: TicketSet, seed: Seed, beacon: Option<Beacon>) -> FinishedDraw {
        let drawn = DrawRun::new(&tickets, &seed, beacon.as_ref().unwrap_or(&Beacon::default())).run();
        FinishedDraw { tickets, seed, beacon, drawn }
    }
}

impl FixedDraw {
    /// Returns the draw right after its root was published.
    #[must_use]
    pub const fn new(tickets: TicketSet, at: UnixMillis) -> FixedDraw {
        FixedDraw { tickets, at, beacon: None, missed: false }
    }
}

impl Draw {
    /// Returns the draw of a rule of positions; `None` where nothing is drawn.
    ///
    /// # Panics
    /// Panics if tickets are drawn and there is no commitment.
    #[must_use]
    pub fn of(rule: RoomDraw, commitment: Option<Commitment>) -> Option<Draw> {
        match rule {
            RoomDraw::Arrival => None,
            RoomDraw::Random { beacon } => {
                let commitment = commitment.unwrap_or_else(|| panic!("a draw has a commitment"));
                Some(Draw { commitment, beacon, phase: DrawPhase::Pending })
            }
        }
    }

    #[must_use]
    pub fn state(&self) -> DrawState {
        match &self.phase {
            DrawPhase::Pending => DrawState::Pending,
            DrawPhase::Begun { .. } => DrawState::Fixing,
            DrawPhase::Fixed(fixed) if self.is_ready(fixed) => DrawState::Drawing,
            DrawPhase::Fixed(_) => DrawState::AwaitingBeacon,
            DrawPhase::Drawn(_) => DrawState::Drawn,
        }
    }

    /// Returns whether nothing is waited for.
    fn is_ready(&self, fixed: &FixedDraw) -> bool {
        self.beacon.is_none() || fixed.beacon.is_some() || fixed.missed
    }

    #[must_use]
    pub const fn is_drawn(&self) -> bool {
        matches!(self.phase, DrawPhase::Drawn(_))
    }

    /// The number of tickets that are drawn, once it is fixed.
    #[must_use]
    pub fn tickets(&self) -> Option<u32> {
        match &self.phase {
            DrawPhase::Pending => None,
            DrawPhase::Begun { tickets } => Some(*tickets),
            DrawPhase::Fixed(fixed) => Some(fixed.tickets.count()),
            DrawPhase::Drawn(done) => Some(done.tickets.count()),
        }
    }

    /// The position of a ticket, once it is known: that of a ticket behind the drawn ones is known at once.
    #[must_use]
    pub fn position_of(&self, number: TicketNumber) -> Option<TicketPosition> {
        if self.tickets()? < number.get() {
            return Some(number.position_by_arrival());
        }
        match &self.phase {
            DrawPhase::Pending | DrawPhase::Begun { .. } | DrawPhase::Fixed(_) => None,
            DrawPhase::Drawn(done) => done.drawn.order.position(number),
        }
    }

    /// The index of the ticket at a position in lists by number.
    ///
    /// # Panics
    /// Before the draw is done: no position is served then.
    pub(crate) fn index_at(&self, position: u32) -> usize {
        let DrawPhase::Drawn(done) = &self.phase else { panic!("a position is asked for before the draw") };
        let drawn = done.drawn.order.number(TicketPosition(position));
        drawn.map_or(position as usize, TicketNumber::index)
    }

    /// Fixes the number of tickets that are drawn: the start has come.
    pub(crate) fn begin(&mut self, tickets: u32) {
        assert_eq!(self.phase, DrawPhase::Pending, "a draw begins once");
        self.phase = DrawPhase::Begun { tickets };
    }

    /// Fixes the tickets by their root.
    pub(super) fn fix(&mut self, tickets: u32, root: MerkleRoot, at: UnixMillis) {
        assert_eq!(self.phase, DrawPhase::Begun { tickets }, "the tickets of a draw are fixed once");
        let set = TicketSet::new(tickets, root).unwrap_or_else(|| panic!("a room has more tickets than it can"));
        self.phase = DrawPhase::Fixed(Box::new(FixedDraw::new(set, at)));
    }

    /// Returns the draw as long as its tickets are fixed and it is not done.
    pub(super) fn fixed_mut(&mut self) -> &mut FixedDraw {
        match &mut self.phase {
            DrawPhase::Fixed(fixed) => fixed,
            DrawPhase::Pending | DrawPhase::Begun { .. } | DrawPhase::Drawn(_) => {
                panic!("an event of a draw whose tickets are not fixed, or that is done")
            }
        }
    }

    /// Publishes seed and order.
    pub(super) fn finish(&mut self, seed: &Seed, prepared: &PreparedDraw, result: DrawResult) {
        let fixed = self.fixed_mut();
        let done = prepared.or_draw(&fixed.tickets, seed, fixed.beacon.as_ref());
        assert_eq!(done.drawn.result, result, "a draw gives the result of its event");
        self.phase = DrawPhase::Drawn(done);
    }

    /// The instant until which the draw waits for its beacon, while it does.
    pub(super) fn waits_until(&self) -> Option<UnixMillis> {
        match &self.phase {
            DrawPhase::Fixed(fixed) if !self.is_ready(fixed) => {
                self.beacon.map(|rule| fixed.at.plus_seconds(rule.seconds))
            }
            DrawPhase::Pending | DrawPhase::Begun { .. } | DrawPhase::Fixed(_) | DrawPhase::Drawn(_) => None,
        }
    }
}
