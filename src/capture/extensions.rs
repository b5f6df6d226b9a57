//! Fields that types have got since captures of version 3 began. A value in which they say something has a tag of its own
//! where its type is a variant, and they follow it; any other value has the bytes that it always had. So older captures stay
//! readable, their digests stay what they were, and what is not used costs nothing.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::encoding::{encoding_of_enum, encoding_of_struct};
use crate::engine::{CreateDrop, DropCreated, DropPatch, DropPatched, DropSpec, PatchDrop, PlaceOrder};
use crate::types::identity::PerIdentity;
use crate::types::{ChallengeKind, ChallengeRule, IdentityKind, IdentityLimits, OrderFacts, RiskNote, SignalSet, Tier};

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

encoding_of_enum!(Tier { 1 = Suspected, 2 = New, 3 = Verified, 4 = Premium });
encoding_of_enum!(IdentityKind { 1 = Email, 2 = Phone, 3 = Payment, 4 = Address });
encoding_of_enum!(ChallengeKind { 1 = None, 2 = ProofOfWork, 3 = External });
encoding_of_struct!(RiskNote { score, signals });
encoding_of_struct!(OrderFacts { identities, risk });

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
