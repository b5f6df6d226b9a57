//! Memory of drops that have ended. It is freed in steps: that of a million buyers at once would stop the writer for 20 to 100 ms.

use super::digest_map::DigestMap;
use super::identities::IdentityUnits;
use super::{Room, StandbyLine, State};

/// A part of a drop that has ended.
#[derive(Clone, Debug)]
pub(crate) enum EndedDrop {
    Counts { used: DigestMap<u32>, identity_units: IdentityUnits },
    Room(Box<Room>),
    Line(Box<StandbyLine>),
}

impl EndedDrop {
    /// Frees a part of it. Returns whether little is left.
    fn free_some(&mut self) -> bool {
        match self {
            EndedDrop::Counts { used, identity_units } => used.free_some() && identity_units.free_some(),
            EndedDrop::Room(room) => room.free_some(),
            EndedDrop::Line(line) => line.free_some(),
        }
    }
}

impl State {
    /// Frees some memory of drops that have ended: less than 1 ms.
    #[inline]
    pub(super) fn free_ended_drops(&mut self) {
        if let Some(ended) = self.ended_drops.last_mut()
            && ended.free_some()
        {
            self.ended_drops.pop();
        }
    }

    /// Returns whether memory of drops that have ended is still to be freed.
    #[must_use]
    pub fn frees_memory(&self) -> bool {
        !self.ended_drops.is_empty()
    }
}
