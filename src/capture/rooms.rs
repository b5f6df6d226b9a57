//! The encoding of waiting rooms, by the rules of [`encoding`](super::encoding).

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::encoding::{encoding_of_enum, encoding_of_number, encoding_of_struct};
use crate::engine::draw::TicketSet;
use crate::engine::{
    BeaconObstacle, BeaconPosted, DrawFinished, DrawPhase, FinishDraw, FinishedDraw, FixedDraw, PostBeacon,
    PreparedDraw, RoomClock, RoomCommand, RoomEvent, RoomInstant, RoomServed, TakeTicket, TicketTaken,
};
use crate::types::{
    Beacon, BeaconRule, Commitment, Digest, DrawResult, DropId, MerkleRoot, Quantity, RoomDraw, RoomState, Seed, Seq,
    TicketNumber, TicketPosition, UnixMillis,
};

encoding_of_number! {
    TicketNumber: u32;
}
encoding_of_enum!(RoomState { 1 = Closed, 2 = Gathering, 3 = Drawing, 4 = Serving, 5 = Over });
encoding_of_enum!(RoomDraw { 1 = Arrival, 2 = Random { beacon } });
encoding_of_struct!(BeaconRule { seconds });

impl Encode for TicketPosition {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for TicketPosition {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        u32::decode(decoder).map(TicketPosition)
    }
}

impl Encode for RoomInstant {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for RoomInstant {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        UnixMillis::decode(decoder).map(RoomInstant)
    }
}

/// Gives a hash of 32 bytes its encoding.
macro_rules! encoding_of_hash {
    ($($type:ident),*) => { $(
        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.0.encode(encoder)
            }
        }
        impl<Context> Decode<Context> for $type {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                <[u8; 32]>::decode(decoder).map($type)
            }
        }
    )* };
}
encoding_of_hash!(Commitment, MerkleRoot, DrawResult);

/// The seed of a draw that is done, or of private data: no seed is encoded in anything else.
impl Encode for Seed {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_bytes().encode(encoder)
    }
}

impl<Context> Decode<Context> for Seed {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = zeroize::Zeroizing::new(<[u8; Seed::BYTES]>::decode(decoder)?);
        Seed::from_slice(bytes.as_ref()).ok_or(DecodeError::Other("bytes are no seed"))
    }
}

impl Encode for Beacon {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_bytes().encode(encoder)
    }
}

impl<Context> Decode<Context> for Beacon {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = Vec::<u8>::decode(decoder)?;
        Beacon::from_slice(&bytes).ok_or(DecodeError::Other("bytes are no beacon"))
    }
}

/// The order follows from what is encoded, and is computed again.
impl Encode for PreparedDraw {
    fn encode<E: Encoder>(&self, _encoder: &mut E) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<Context> Decode<Context> for PreparedDraw {
    fn decode<D: Decoder<Context = Context>>(_decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(PreparedDraw::default())
    }
}

impl Encode for TicketSet {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.count().encode(encoder)?;
        self.root().encode(encoder)
    }
}

impl<Context> Decode<Context> for TicketSet {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (count, root) = (u32::decode(decoder)?, MerkleRoot::decode(decoder)?);
        TicketSet::new(count, root).ok_or(DecodeError::Other("more tickets than a draw can have"))
    }
}

encoding_of_struct!(TakeTicket { drop_id, buyer } later { origin });
encoding_of_struct!(PostBeacon { drop_id, beacon, source, reason });
encoding_of_struct!(FinishDraw { drop_id, seed, prepared });
encoding_of_enum!(RoomCommand {
    1 = TakeTicket(command),
    2 = FixTickets { drop_id, root },
    3 = PostBeacon(command),
    4 = FinishDraw(command),
} extended {
    5 = TakeTicket(command),
});
encoding_of_struct!(RoomServed { serving, window_from, rate_from });
encoding_of_struct!(BeaconPosted { beacon, source, reason });
encoding_of_struct!(DrawFinished { seed, beacon, result, prepared });
encoding_of_struct!(TicketTaken { buyer, number } later { origin });
encoding_of_enum!(RoomEvent {
    1 = Opened,
    2 = TicketTaken(event),
    3 = Served(served),
    4 = TicketsFixed { tickets, root },
    5 = BeaconPosted(event),
    6 = BeaconMissed,
    7 = Drawn(event),
} extended {
    8 = TicketTaken(event),
});
encoding_of_enum!(BeaconObstacle { 1 = NotAwaited, 2 = TicketsNotFixed, 3 = Posted, 4 = TooLate, 5 = Drawn });

/// The draw of a room or of a blind window of a state, once it has begun: before the tickets or the recorded orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedDraw {
    pub drop_id: DropId,
    pub phase: SavedPhase,
}
encoding_of_struct!(SavedDraw { drop_id, phase });

/// The phase of a draw in a capture. The order follows from seed, beacon and tickets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SavedPhase {
    Begun { tickets: u32 },
    Fixed { tickets: TicketSet, at: UnixMillis, beacon: Option<Beacon>, missed: bool },
    Drawn { tickets: TicketSet, seed: Seed, beacon: Option<Beacon> },
}
encoding_of_enum!(SavedPhase {
    1 = Begun { tickets },
    2 = Fixed { tickets, at, beacon, missed },
    3 = Drawn { tickets, seed, beacon },
});

impl SavedPhase {
    /// Returns what a capture keeps of a draw's phase; nothing of one that has not begun.
    pub(super) fn of(phase: &DrawPhase) -> Option<SavedPhase> {
        Some(match phase {
            DrawPhase::Pending => return None,
            DrawPhase::Begun { tickets } => SavedPhase::Begun { tickets: *tickets },
            DrawPhase::Fixed(fixed) => {
                let FixedDraw { tickets, at, ref beacon, missed } = **fixed;
                SavedPhase::Fixed { tickets, at, beacon: beacon.clone(), missed }
            }
            DrawPhase::Drawn(done) => {
                let FinishedDraw { tickets, seed, beacon, drawn: _ } = &**done;
                SavedPhase::Drawn { tickets: *tickets, seed: seed.clone(), beacon: beacon.clone() }
            }
        })
    }

    /// Returns the phase of a draw with this commitment; one that is done is drawn again.
    pub(super) fn restore(self, commitment: &Commitment) -> Result<DrawPhase, String> {
        Ok(match self {
            SavedPhase::Begun { tickets } => DrawPhase::Begun { tickets },
            SavedPhase::Fixed { tickets, at, beacon, missed } => {
                DrawPhase::Fixed(Box::new(FixedDraw { tickets, at, beacon, missed }))
            }
            SavedPhase::Drawn { seed, .. } if seed.commitment() != *commitment => {
                return Err("a draw whose seed is not the one that was committed to".into());
            }
            SavedPhase::Drawn { tickets, seed, beacon } => {
                DrawPhase::Drawn(FinishedDraw::draw(tickets, seed, beacon).into())
            }
        })
    }
}

/// An order that the blind window of a drop recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedRecorded {
    pub drop_id: DropId,
    /// The event that recorded it.
    pub seq: Seq,
    pub quantity: Quantity,
}
encoding_of_struct!(SavedRecorded { drop_id, seq, quantity });

/// A waiting room of a state, before its tickets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedRoom {
    pub drop_id: DropId,
    pub opened: bool,
    /// The first position of the oldest admission that is kept; of none, the first that was not admitted.
    pub first: u32,
    pub served_at: UnixMillis,
    pub rate_from: UnixMillis,
    /// Units of the drop's orders that came back.
    pub returned: u64,
    pub clock: RoomClock,
}
encoding_of_struct!(RoomClock { paused_ms, paused_at });
encoding_of_struct!(SavedRoom { drop_id, opened, first, served_at, rate_from, returned, clock });

/// A ticket of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedTicket {
    pub drop_id: DropId,
    pub buyer: Digest,
    /// True once the buyer has placed an order of the drop.
    pub ordered: bool,
}
encoding_of_struct!(SavedTicket { drop_id, buyer, ordered });

/// Positions that were admitted at one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedAdmission {
    pub drop_id: DropId,
    /// The first position behind it.
    pub until: u32,
    pub at: RoomInstant,
}
encoding_of_struct!(SavedAdmission { drop_id, until, at });
