//! The encoding of outcomes, by the rules of [`encoding`](super::encoding).

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::encoding::{encoding_of_enum, encoding_of_struct};
use crate::engine::{
    BidReceipt, Effect, Invalid, Outcome, RecordedReceipt, Refusal, Reservation, SoldOut, StandbyReceipt, Subject,
    TicketReceipt,
};

encoding_of_struct!(Reservation {
    order,
    seq,
    drop_id,
    state,
    quantity,
    unit_price,
    currency,
    reserved_at,
    expires_at
});
impl Encode for Subject {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self {
            Subject::Drop(id) => (1u8, id).encode(encoder),
            Subject::Order(seq) => (2u8, seq).encode(encoder),
            Subject::File => 3u8.encode(encoder),
            Subject::Auction(id) => (4u8, id).encode(encoder),
            Subject::Bid(id, seq) => (5u8, id, seq).encode(encoder),
            Subject::Endpoint(id) => (6u8, id).encode(encoder),
            Subject::LineEntry(joined) => (7u8, joined).encode(encoder),
        }
    }
}

impl<Context> Decode<Context> for Subject {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(match u8::decode(decoder)? {
            1 => Subject::Drop(Decode::decode(decoder)?),
            2 => Subject::Order(Decode::decode(decoder)?),
            3 => Subject::File,
            4 => Subject::Auction(Decode::decode(decoder)?),
            5 => Subject::Bid(Decode::decode(decoder)?, Decode::decode(decoder)?),
            6 => Subject::Endpoint(Decode::decode(decoder)?),
            7 => Subject::LineEntry(Decode::decode(decoder)?),
            _ => return Err(DecodeError::Other("a number is no Subject")),
        })
    }
}

encoding_of_struct!(BidReceipt {
    auction_id,
    seq,
    repeated,
    leading,
    amount,
    current,
    minimum_next,
    ends_at,
    currency
});
encoding_of_struct!(RecordedReceipt { drop_id, seq, quantity, ticket, decided_at, repeated });
encoding_of_struct!(StandbyReceipt {
    drop_id,
    seq,
    quantity,
    position,
    standby,
    available,
    held,
    next_expiry_at,
    repeated
});
encoding_of_struct!(TicketReceipt {
    drop_id,
    seq,
    number,
    position,
    serving,
    state,
    paused,
    paused_ms,
    order_until,
    available,
    held,
    repeated
});
encoding_of_enum!(Effect {
    1 = Reserved(reservation),
    2 = Changed { seq, subject },
    3 = ProviderEventRecorded { seq, disposition },
    4 = Bid(receipt),
    5 = Standby(receipt),
    7 = Recorded(receipt),
    6 = Ticket(receipt),
});
encoding_of_enum!(Outcome {
    1 = Accepted(effect),
    2 = Repeated { as_of_seq, subject },
    3 = Refused { as_of_seq, refusal },
    4 = Advanced,
});
encoding_of_enum!(Refusal {
    1 = NotFound,
    2 = KeyReused,
    3 = NotStarted { starts_at },
    4 = Ended { ends_at },
    5 = DropPaused,
    6 = LimitReached { limit, used },
    7 = SoldOut(left),
    8 = OrderExpired { expired_at },
    9 = IllegalTransition { from, to },
    10 = MismatchStands { from },
    11 = PreconditionFailed { revision },
    12 = Invalid(invalid),
    13 = BidTooLow { current, minimum_next, ends_at },
    14 = ExposureReached { limit, used },
    15 = IdentityLimitReached { identity, limit },
    18 = NotAdmitted { position, serving },
    19 = NotOpen { opens_at },
    22 = BeaconNotTaken { why },
    30 = AllSold { standby },
} extended {
    16 = SoldOut(left),
});
encoding_of_struct!(SoldOut { available, held, next_expiry_at } later { standby });
encoding_of_enum!(Invalid {
    1 = EndBeforeStart,
    2 = EndInThePast,
    3 = TotalBelowTaken { taken },
    4 = TotalTooLarge,
    5 = TooManyDrops,
    6 = PaymentDiffers { amount, currency },
    7 = RefundOutOfRange { remaining },
    8 = RestockOutOfRange { sold },
    9 = TooManyEndpoints,
    10 = SettlementOutOfRange { owed },
    11 = PaymentNotOwed { owed },
    12 = SettlementDiffers { amount },
    13 = IdentityMissing { kind },
    14 = TooManyTiers,
    15 = TierEndInThePast,
    16 = StandbyFull,
    20 = RoomOpensLate,
    21 = RoomIsOpen,
    22 = TooManyTickets,
    24 = DrawNotReady,
    25 = SeedDiffers,
    26 = RootDiffers,
    32 = NoRoom,
    33 = RoomFixed { member, started },
});
