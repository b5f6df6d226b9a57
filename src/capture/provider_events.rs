//! The encoding of commands about money that have grown, and of what their decisions needed. They have grown since captures of version 3
//! began: what is new has tags of its own, so that older captures stay readable.

use std::collections::{BTreeMap, BTreeSet};

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::encoding::encoding_of_enum;
use crate::engine::{Admitted, KnownRefund, KnownRefunds, RecordProviderEvent, SettleRefund};
use crate::types::{Digest, IdentityDigests, ProviderEventKind};

/// The tag before an event's counterpart, where it has one: no kind has this number, and captures without it stay
/// readable.
const WITH_COUNTERPART: u8 = 255;

impl Encode for RecordProviderEvent {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let RecordProviderEvent { provider, id, order, kind, reference, amount, currency, counterpart } = self;
        provider.encode(encoder)?;
        id.encode(encoder)?;
        order.encode(encoder)?;
        if let Some(counterpart) = counterpart {
            WITH_COUNTERPART.encode(encoder)?;
            counterpart.encode(encoder)?;
        }
        kind.encode(encoder)?;
        reference.encode(encoder)?;
        amount.encode(encoder)?;
        currency.encode(encoder)
    }
}

impl<Context> Decode<Context> for RecordProviderEvent {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (provider, id, order) = (Decode::decode(decoder)?, Decode::decode(decoder)?, Decode::decode(decoder)?);
        let mut tag = u8::decode(decoder)?;
        let counterpart = if tag == WITH_COUNTERPART {
            let counterpart = Digest::decode(decoder)?;
            tag = u8::decode(decoder)?;
            Some(counterpart)
        } else {
            None
        };
        let kind = kind_of(tag)?;
        let (reference, amount, currency) =
            (Decode::decode(decoder)?, Decode::decode(decoder)?, Decode::decode(decoder)?);
        Ok(RecordProviderEvent { provider, id, order, kind, reference, amount, currency, counterpart })
    }
}

fn kind_of(tag: u8) -> Result<ProviderEventKind, DecodeError> {
    Ok(match tag {
        1 => ProviderEventKind::PaymentSucceeded,
        2 => ProviderEventKind::PaymentFailed,
        3 => ProviderEventKind::RefundSucceeded,
        4 => ProviderEventKind::ChargebackCreated,
        5 => ProviderEventKind::RefundFailed,
        _ => return Err(DecodeError::OtherString(format!("{tag} is no ProviderEventKind"))),
    })
}

/// The mark of a settlement of one payment or of an amount: an empty reference, which no settlement has. Without it the
/// reference follows, as in captures before there were such settlements.
const OF_PAYMENT: &str = "";

impl Encode for SettleRefund {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let SettleRefund { order, reference, payment, amount, reason } = self;
        order.encode(encoder)?;
        if payment.is_some() || amount.is_some() {
            OF_PAYMENT.encode(encoder)?;
            payment.encode(encoder)?;
            amount.encode(encoder)?;
        }
        reference.encode(encoder)?;
        reason.encode(encoder)
    }
}

impl<Context> Decode<Context> for SettleRefund {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (order, mut reference) = (Decode::decode(decoder)?, Box::<str>::decode(decoder)?);
        let (mut payment, mut amount) = (None, None);
        if *reference == *OF_PAYMENT {
            (payment, amount) = (Decode::decode(decoder)?, Decode::decode(decoder)?);
            reference = Decode::decode(decoder)?;
            // Written again, such a settlement would have no mark, and its empty reference would be read as one.
            if payment.is_none() && amount.is_none() {
                return Err(DecodeError::Other(
                    "a settlement is marked as one of a payment or an amount, and names neither",
                ));
            }
        }
        if reference.is_empty() {
            return Err(DecodeError::Other("a settlement has no reference"));
        }
        Ok(SettleRefund { order, reference, payment, amount, reason: Decode::decode(decoder)? })
    }
}

encoding_of_enum!(KnownRefund {
    1 = Settled { payment, amount },
    2 = Reported,
});

/// The tag of what a command needed of its payment's other events. Without it there is an event of the inbox or none, as
/// in captures of the versions before.
const WITH_EARLY: u8 = 2;
/// The tag of that, and of refunds that are known.
const WITH_REFUNDS: u8 = 3;
/// The tag of the identities of the order that a command names; any of the others follows them.
const WITH_IDENTITIES: u8 = 4;

impl Encode for Admitted {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let Admitted { order, identities, heard, early, known_refunds } = self;
        order.encode(encoder)?;
        if !identities.is_empty() {
            WITH_IDENTITIES.encode(encoder)?;
            identities.encode(encoder)?;
        }
        if heard.len() <= 1 && early.is_empty() && known_refunds.is_empty() {
            return heard.first().copied().encode(encoder);
        }
        if known_refunds.is_empty() {
            WITH_EARLY.encode(encoder)?
        } else {
            WITH_REFUNDS.encode(encoder)?
        }
        heard.encode(encoder)?;
        early.encode(encoder)?;
        if known_refunds.is_empty() { Ok(()) } else { known_refunds.encode(encoder) }
    }
}

impl<Context> Decode<Context> for Admitted {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let order = Decode::decode(decoder)?;
        let mut tag = u8::decode(decoder)?;
        let mut identities = IdentityDigests::default();
        if tag == WITH_IDENTITIES {
            identities = Decode::decode(decoder)?;
            tag = u8::decode(decoder)?;
        }
        let (heard, early, known_refunds) = match tag {
            0 => (BTreeSet::new(), BTreeMap::new(), KnownRefunds::new()),
            1 => (BTreeSet::from([Digest::decode(decoder)?]), BTreeMap::new(), KnownRefunds::new()),
            WITH_EARLY => (Decode::decode(decoder)?, Decode::decode(decoder)?, KnownRefunds::new()),
            WITH_REFUNDS => (Decode::decode(decoder)?, Decode::decode(decoder)?, Decode::decode(decoder)?),
            tag => return Err(DecodeError::OtherString(format!("{tag} is no Admitted"))),
        };
        Ok(Admitted { order, identities, heard, early, known_refunds })
    }
}
