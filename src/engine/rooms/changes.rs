//! Changes of a room by operators.

use super::Room;
use crate::engine::{DropEntry, DropPatch, DropSpec, Invalid, Refusal};
use crate::types::{RoomMember, RoomSpec, UnixMillis};

impl DropEntry {
    /// Refuses changes that would break what buyers were told: `spec` is what the patch makes.
    ///
    /// Everything may change before the room opens. While buyers wait for the start, it may only come later, and once it has
    /// come it stays; then an operator may admit faster or slower. The time to order stays from the opening on: it is part
    /// of what admitted buyers were told.
    pub(in crate::engine) fn check_room_patch(
        &self,
        patch: &DropPatch,
        spec: &DropSpec,
        at: UnixMillis,
    ) -> Result<(), Refusal> {
        let refused = |invalid| Err(Refusal::Invalid(invalid));
        if self.spec.blind_ms > 0 && self.started && spec.starts_at != self.spec.starts_at {
            return refused(Invalid::RoomIsOpen);
        }
        let (Some(room), Some(changed)) = (self.room.as_deref(), spec.room.as_deref()) else {
            return if patch.room.is_some() { refused(Invalid::NoRoom) } else { Ok(()) };
        };
        let (before, after) = (self.spec.starts_at, spec.starts_at);
        // The start is an event of its own: with it the draw begins.
        if after != before && after <= at && !self.started {
            return refused(Invalid::RoomIsOpen);
        }
        if !room.opened {
            return Ok(());
        }
        if after != before && (self.started || after < before) {
            return refused(Invalid::RoomIsOpen);
        }
        match first_fixed(&room.spec, changed, self.started) {
            Some(member) => refused(Invalid::RoomFixed { member, started: self.started }),
            None => Ok(()),
        }
    }
}

/// Returns the first changed parameter that may not change any more in an open room.
fn first_fixed(before: &RoomSpec, after: &RoomSpec, started: bool) -> Option<RoomMember> {
    [
        (RoomMember::OpensAt, before.opens_at != after.opens_at),
        (RoomMember::AdmitPerSecond, !started && before.admit_per_second != after.admit_per_second),
        (RoomMember::OrderSeconds, before.order_seconds != after.order_seconds),
        (RoomMember::OversubscribePercent, !started && before.oversubscribe_percent != after.oversubscribe_percent),
    ]
    .into_iter()
    .find_map(|(member, is_refused)| is_refused.then_some(member))
}

impl Room {
    /// Takes changed parameters over; an opening that has come by then opens it.
    pub(in crate::engine) fn change(&mut self, spec: &RoomSpec, at: UnixMillis) {
        self.spec = *spec;
        self.opened |= spec.opens_at <= at;
    }
}
