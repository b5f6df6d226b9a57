//! Fields that types have got since captures of version 3 began. A value in which they say something has a tag of its own
//! where its type is a variant, and they follow it; any other value has the bytes that it always had. So older captures stay
//! readable, their digests stay what they were, and what is not used costs nothing.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::encoding::{encoding_of_enum, encoding_of_struct};
use crate::engine::spec::BLIND_MS_MAX;
use crate::engine::{
    CreateDrop, DropCreated, DropPatch, DropPatched, DropSpec, PatchDrop, PlaceOrder, RoomSpec, SoldOut, TakeTicket,
    TicketTaken,
};
use crate::types::identity::PerIdentity;
use crate::types::{
    BlockMark, BuyerOrigin, ChallengeKind, ChallengeRule, Commitment, IdentityKind, IdentityLimits, OrderFacts,
    RiskNote, SignalSet, Tier,
};

/// A type with fields in an extension.
pub(crate) trait Extended {
    /// Returns true if the later fields say something.
    fn is_extended(&self) -> bool;
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError>;
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError>;
}

/// Reads the extension of a value. One that says nothing is refused: the value would have other bytes.
pub(crate) fn decode_into<D: Decoder>(value: &mut impl Extended, decoder: &mut D) -> Result<(), DecodeError> {
    value.decode_extension(decoder)?;
    if value.is_extended() { Ok(()) } else { Err(DecodeError::Other("an extension that says nothing")) }
}

/// A type with a drop's waiting room or blind window, which came after the other extensions.
pub(crate) trait WithRoom: Extended {
    fn front(&self) -> Front;
    fn set_front(&mut self, front: Front);
}

/// The waiting room or the blind window of a drop, before its orders by arrival.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Front {
    room: Option<RoomSpec>,
    /// The length of the blind window, in milliseconds.
    blind_ms: u16,
    /// The commitment to the seed of the draw.
    commitment: Option<Commitment>,
}

/// Returns whether there is a waiting room or a blind window.
pub(crate) fn has_front(value: &impl WithRoom) -> bool {
    let front = value.front();
    front.room.is_some() || front.blind_ms > 0
}

/// Writes the waiting room or the blind window of a value that has one.
pub(crate) fn encode_room<E: Encoder>(value: &impl WithRoom, encoder: &mut E) -> Result<(), EncodeError> {
    let Front { room, blind_ms, commitment } = value.front();
    room.encode(encoder)?;
    if room.is_none() {
        blind_ms.encode(encoder)?;
    }
    commitment.map_or(Ok(()), |commitment| commitment.encode(encoder))
}

/// Reads the extension of a value and what stands in front of it, which is checked like that of a client.
pub(crate) fn decode_with_room<D: Decoder>(value: &mut impl WithRoom, decoder: &mut D) -> Result<(), DecodeError> {
    value.decode_extension(decoder)?;
    let room: Option<RoomSpec> = Decode::decode(decoder)?;
    let Some(spec) = room else {
        let blind_ms = Decode::decode(decoder)?;
        if !(1..=BLIND_MS_MAX).contains(&blind_ms) {
            return Err(DecodeError::Other("a blind window that no drop can have"));
        }
        let commitment = Some(Decode::decode(decoder)?);
        value.set_front(Front { room, blind_ms, commitment });
        return Ok(());
    };
    if spec.admit_per_second == 0 || spec.order_seconds == 0 || spec.oversubscribe_percent < 100 {
        return Err(DecodeError::Other("a waiting room that admits no buyer"));
    }
    if spec.draw.beacon().is_some_and(|rule| rule.seconds == 0) {
        return Err(DecodeError::Other("a draw that waits no time for its beacon"));
    }
    let commitment = spec.draw.is_random().then(|| Decode::decode(decoder)).transpose()?;
    value.set_front(Front { room, blind_ms: 0, commitment });
    Ok(())
}

impl WithRoom for DropSpec {
    fn front(&self) -> Front {
        Front { room: self.room.as_deref().copied(), blind_ms: self.blind_ms, commitment: self.commitment }
    }
    fn set_front(&mut self, front: Front) {
        let Front { room, blind_ms, commitment } = front;
        self.room = room.map(Box::new);
        (self.blind_ms, self.commitment) = (blind_ms, commitment);
    }
}

impl<T: WithRoom> WithRoom for Box<T> {
    fn front(&self) -> Front {
        (**self).front()
    }
    fn set_front(&mut self, front: Front) {
        (**self).set_front(front);
    }
}

/// Gives a struct what stands in front of the spec in it.
macro_rules! room_of_spec {
    ($($type:ident),*) => { $(
        impl $crate::capture::extensions::WithRoom for $type {
            fn front(&self) -> $crate::capture::extensions::Front {
                $crate::capture::extensions::WithRoom::front(&self.spec)
            }
            fn set_front(&mut self, front: $crate::capture::extensions::Front) {
                $crate::capture::extensions::WithRoom::set_front(&mut self.spec, front);
            }
        }
    )* };
}
pub(crate) use room_of_spec;

room_of_spec!(CreateDrop, DropCreated);
encoding_of_struct!(RoomSpec { opens_at, draw, admit_per_second, order_seconds, oversubscribe_percent });

/// Gives a struct the extension of one of its fields.
macro_rules! extension_of {
    ($type:ident { $field:ident }) => {
        impl $crate::capture::extensions::Extended for $type {
            fn is_extended(&self) -> bool {
                $crate::capture::extensions::Extended::is_extended(&self.$field)
            }
            fn encode_extension<E: ::bincode::enc::Encoder>(
                &self,
                encoder: &mut E,
            ) -> Result<(), ::bincode::error::EncodeError> {
                $crate::capture::extensions::Extended::encode_extension(&self.$field, encoder)
            }
            fn decode_extension<D: ::bincode::de::Decoder>(
                &mut self,
                decoder: &mut D,
            ) -> Result<(), ::bincode::error::DecodeError> {
                $crate::capture::extensions::Extended::decode_extension(&mut self.$field, decoder)
            }
        }
    };
}
pub(crate) use extension_of;

impl<T: Extended> Extended for Box<T> {
    fn is_extended(&self) -> bool {
        (**self).is_extended()
    }
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (**self).encode_extension(encoder)
    }
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError> {
        (**self).decode_extension(decoder)
    }
}

impl Extended for Option<Box<OrderFacts>> {
    fn is_extended(&self) -> bool {
        self.is_some()
    }
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_deref().map_or(Ok(()), |facts| facts.encode(encoder))
    }
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError> {
        let facts: OrderFacts = Decode::decode(decoder)?;
        *self = facts.boxed();
        Ok(())
    }
}

/// The origin of a ticket.
impl Extended for Option<BuyerOrigin> {
    fn is_extended(&self) -> bool {
        self.is_some()
    }
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |origin| origin.encode(encoder))
    }
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError> {
        *self = Some(Decode::decode(decoder)?);
        Ok(())
    }
}

/// The number of buyers who stand by.
impl Extended for u32 {
    fn is_extended(&self) -> bool {
        *self != 0
    }
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.encode(encoder)
    }
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError> {
        *self = Decode::decode(decoder)?;
        Ok(())
    }
}

impl Extended for DropSpec {
    fn is_extended(&self) -> bool {
        !self.identity_limits.is_empty() || self.challenge != ChallengeRule::default()
    }
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.identity_limits.encode(encoder)?;
        self.challenge.kind.encode(encoder)?;
        self.challenge.below.encode(encoder)
    }
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError> {
        self.identity_limits = checked_limits(Decode::decode(decoder)?)?;
        self.challenge.kind = Decode::decode(decoder)?;
        self.challenge.below = checked_tier(Decode::decode(decoder)?)?;
        Ok(())
    }
}

impl Extended for DropPatch {
    fn is_extended(&self) -> bool {
        self.identity_limits.is_some() || self.challenge.is_some() || self.challenge_below.is_some()
    }
    fn encode_extension<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.identity_limits.encode(encoder)?;
        self.challenge.encode(encoder)?;
        self.challenge_below.encode(encoder)
    }
    fn decode_extension<D: Decoder>(&mut self, decoder: &mut D) -> Result<(), DecodeError> {
        let limits: Option<IdentityLimits> = Decode::decode(decoder)?;
        self.identity_limits = limits.map(checked_limits).transpose()?;
        self.challenge = Decode::decode(decoder)?;
        let below: Option<Tier> = Decode::decode(decoder)?;
        self.challenge_below = below.map(checked_tier).transpose()?;
        Ok(())
    }
}

/// Checks caps like those of a client.
fn checked_limits(limits: IdentityLimits) -> Result<IdentityLimits, DecodeError> {
    if limits.iter().any(|(_, cap)| cap == 0) { Err(DecodeError::Other("a cap of 0 units")) } else { Ok(limits) }
}

/// Checks the tier of a challenge like that of a client: no buyer is below the lowest.
fn checked_tier(tier: Tier) -> Result<Tier, DecodeError> {
    if tier == Tier::Suspected { Err(DecodeError::Other("a challenge for no tier")) } else { Ok(tier) }
}

extension_of!(CreateDrop { spec });
extension_of!(PatchDrop { patch });
extension_of!(DropCreated { spec });
extension_of!(DropPatched { patch });
extension_of!(PlaceOrder { facts });
extension_of!(SoldOut { standby });
extension_of!(TakeTicket { origin });
extension_of!(TicketTaken { origin });

encoding_of_enum!(Tier { 1 = Suspected, 2 = New, 3 = Verified, 4 = Premium });
encoding_of_enum!(IdentityKind { 1 = Email, 2 = Phone, 3 = Payment, 4 = Address });
encoding_of_enum!(ChallengeKind { 1 = None, 2 = ProofOfWork, 3 = External });
encoding_of_struct!(RiskNote { score, signals });
encoding_of_struct!(BuyerOrigin { tier, block });

/// The tag of the risk says what else follows: 0 and 1 are its absence and presence, as they always were, 2 and 3 the same before
/// an origin.
impl Encode for OrderFacts {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let OrderFacts { identities, risk, origin } = self;
        identities.encode(encoder)?;
        (u8::from(risk.is_some()) + 2 * u8::from(origin.is_some())).encode(encoder)?;
        if let Some(risk) = risk {
            risk.encode(encoder)?;
        }
        origin.as_ref().map_or(Ok(()), |origin| origin.encode(encoder))
    }
}

impl<Context> Decode<Context> for OrderFacts {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let identities = Decode::decode(decoder)?;
        let tag = u8::decode(decoder)?;
        if tag > 3 {
            return Err(DecodeError::Other("a number is no tag of an order's facts"));
        }
        let risk = if tag & 1 == 1 { Some(Decode::decode(decoder)?) } else { None };
        let origin = if tag & 2 == 2 { Some(Decode::decode(decoder)?) } else { None };
        Ok(OrderFacts { identities, risk, origin })
    }
}

impl Encode for BlockMark {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.get().encode(encoder)
    }
}

impl<Context> Decode<Context> for BlockMark {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        BlockMark::new(u32::decode(decoder)?).ok_or(DecodeError::Other("a number is no BlockMark"))
    }
}

impl Encode for SignalSet {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.get().encode(encoder)
    }
}

impl<Context> Decode<Context> for SignalSet {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        SignalSet::new(u16::decode(decoder)?).ok_or(DecodeError::Other("a number is no SignalSet"))
    }
}

impl<T: Encode> Encode for PerIdentity<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let PerIdentity { email, phone, payment, address } = self;
        email.encode(encoder)?;
        phone.encode(encoder)?;
        payment.encode(encoder)?;
        address.encode(encoder)
    }
}

impl<Context, T: Decode<Context>> Decode<Context> for PerIdentity<T> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(PerIdentity {
            email: Decode::decode(decoder)?,
            phone: Decode::decode(decoder)?,
            payment: Decode::decode(decoder)?,
            address: Decode::decode(decoder)?,
        })
    }
}
