//! The clock of a room: it stands still while the drop is paused, so that a pause takes nothing from the turn of a buyer, which
//! is the time of an admitted buyer for an order.

use crate::failpoints::{self, Bug};
use crate::types::UnixMillis;

/// An instant on the clock of a room: the instant of all other clocks, less the pauses of its drop before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RoomInstant(pub UnixMillis);

impl RoomInstant {
    /// Returns the reading at an instant outside of pauses, which had so many milliseconds of pauses before it.
    #[must_use]
    pub(crate) fn of(at: UnixMillis, paused_ms: i64) -> RoomInstant {
        RoomInstant(at.plus_millis(paused_ms.saturating_neg()))
    }

    pub(crate) fn plus_seconds(self, seconds: u32) -> RoomInstant {
        RoomInstant(self.0.plus_seconds(seconds))
    }
}

/// The clock of a room.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RoomClock {
    /// The length of all pauses that are over, in milliseconds; not negative.
    pub paused_ms: i64,
    /// The beginning of the pause that lasts.
    pub paused_at: Option<UnixMillis>,
}

impl RoomClock {
    /// Returns the reading at an instant, which is not before the last pause.
    pub(super) fn reading(&self, at: UnixMillis) -> RoomInstant {
        RoomInstant::of(self.paused_at.unwrap_or(at), self.paused_ms)
    }

    /// Returns the reading at which the clock stands still, if it does.
    pub(super) fn stopped(&self) -> Option<RoomInstant> {
        self.paused_at.map(|at| self.reading(at))
    }

    /// Returns the instant at which a clock that runs reads this, if no further pause begins before.
    pub(super) fn instant_of(&self, reading: RoomInstant) -> UnixMillis {
        reading.0.plus_millis(self.paused_ms)
    }

    /// Stops the clock. A clock that stands still stays as it is.
    pub(in crate::engine) fn stop(&mut self, at: UnixMillis) {
        self.paused_at = self.paused_at.or(Some(at));
    }

    /// Lets a clock that stands still run again.
    pub(in crate::engine) fn go_on(&mut self, at: UnixMillis) {
        let paused_ms = self.paused_at.take().map_or(0, |from| at.get().saturating_sub(from.get()));
        if !failpoints::enabled(Bug::PauseTakesTurns) {
            self.paused_ms = self.paused_ms.saturating_add(paused_ms);
        }
    }
}
