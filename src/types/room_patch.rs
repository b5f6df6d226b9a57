//! The changes that operators may make to a waiting room.

use super::{RoomSpec, UnixMillis};

/// The changes of a patch to a room: what is given replaces, what is not stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoomPatch {
    pub opens_at: Option<UnixMillis>,
    pub admit_per_second: Option<u32>,
    pub order_seconds: Option<u32>,
    pub oversubscribe_percent: Option<u32>,
}

/// A parameter of a room that a patch can change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomMember {
    OpensAt,
    AdmitPerSecond,
    OrderSeconds,
    OversubscribePercent,
}

impl RoomPatch {
    /// Applies the changes.
    pub fn apply_to(&self, room: &mut RoomSpec) {
        let RoomPatch { opens_at, admit_per_second, order_seconds, oversubscribe_percent } = *self;
        room.opens_at = opens_at.unwrap_or(room.opens_at);
        room.admit_per_second = admit_per_second.unwrap_or(room.admit_per_second);
        room.order_seconds = order_seconds.unwrap_or(room.order_seconds);
        room.oversubscribe_percent = oversubscribe_percent.unwrap_or(room.oversubscribe_percent);
    }
}
