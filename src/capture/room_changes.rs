//! The encoding of changes of a waiting room. A patch with one has a tag of its own, and they follow its extension.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::encoding::{encoding_of_enum, encoding_of_struct};
use super::extensions::Extended;
use crate::engine::{DropPatch, DropPatched, PatchDrop};
use crate::types::{RoomMember, RoomPatch};

encoding_of_enum!(RoomMember { 1 = OpensAt, 2 = AdmitPerSecond, 3 = OrderSeconds, 4 = OversubscribePercent });
encoding_of_struct!(RoomPatch { opens_at, admit_per_second, order_seconds, oversubscribe_percent });

/// A type with changes of a waiting room.
pub(crate) trait ChangesRoom: Extended {
    fn changes(&self) -> Option<&RoomPatch>;
    fn set_changes(&mut self, changes: RoomPatch);
}

/// Writes the extension of a value and its changes of a room.
pub(crate) fn encode_changes<E: Encoder>(value: &impl ChangesRoom, encoder: &mut E) -> Result<(), EncodeError> {
    value.encode_extension(encoder)?;
    value.changes().map_or(Ok(()), |changes| changes.encode(encoder))
}

/// Reads the extension of a value and its changes of a room, which are checked like those of a client.
pub(crate) fn decode_changes<D: Decoder>(value: &mut impl ChangesRoom, decoder: &mut D) -> Result<(), DecodeError> {
    value.decode_extension(decoder)?;
    let changes: RoomPatch = Decode::decode(decoder)?;
    let RoomPatch { opens_at: _, admit_per_second, order_seconds, oversubscribe_percent } = changes;
    if changes == RoomPatch::default() {
        return Err(DecodeError::Other("changes of a room that say nothing"));
    }
    if admit_per_second == Some(0) || order_seconds == Some(0) || oversubscribe_percent.is_some_and(|most| most < 100) {
        return Err(DecodeError::Other("a waiting room that admits no buyer"));
    }
    value.set_changes(changes);
    Ok(())
}

impl ChangesRoom for DropPatch {
    fn changes(&self) -> Option<&RoomPatch> {
        self.room.as_ref()
    }
    fn set_changes(&mut self, changes: RoomPatch) {
        self.room = Some(changes);
    }
}

impl ChangesRoom for PatchDrop {
    fn changes(&self) -> Option<&RoomPatch> {
        self.patch.changes()
    }
    fn set_changes(&mut self, changes: RoomPatch) {
        self.patch.set_changes(changes);
    }
}

impl ChangesRoom for DropPatched {
    fn changes(&self) -> Option<&RoomPatch> {
        self.patch.changes()
    }
    fn set_changes(&mut self, changes: RoomPatch) {
        self.patch.set_changes(changes);
    }
}
