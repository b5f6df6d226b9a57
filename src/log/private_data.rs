//! The encoding of private data, and which of it an event's rows need.
//!
//! Values are checked as they are when a client sends them, as far as their types do that.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use crate::capture::encoding::{encoding_of_enum, encoding_of_struct};
use crate::engine::{AuctionEvent, DropEvent, EndpointEvent, Event, EventBody, OrderEvent, PaymentEvent, RoomEvent};
use crate::store::PrivateData;
use crate::types::{BuyerText, Contact, EndpointUrl, OrderSecret, SigningSecret};

encoding_of_enum!(PrivateData {
    1 = Order { secret, buyer, contact },
    2 = Award { secret },
    3 = Contact(contact),
    4 = Bid { buyer },
    5 = ProviderEvent { event_id },
    6 = Endpoint { url, secret },
    7 = Session { reference, url },
    8 = Tier { buyer },
    9 = BidWithContact { buyer, contact },
    11 = Ticket { buyer },
    12 = Seed { seed },
});
encoding_of_struct!(Contact { name, email, phone, address });

impl Encode for OrderSecret {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_bytes().encode(encoder)
    }
}

impl<Context> Decode<Context> for OrderSecret {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = <[u8; 10]>::decode(decoder)?;
        OrderSecret::from_stored(&bytes).ok_or(DecodeError::Other("bytes are no secret of an order"))
    }
}

/// Gives a type the encoding of its text.
macro_rules! encoding_of_text {
    ($type:ident, $text:ident, $parse:expr, $wrong:literal) => {
        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.$text().encode(encoder)
            }
        }

        impl<Context> Decode<Context> for $type {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                let text = String::decode(decoder)?;
                $parse(&text).ok_or(DecodeError::Other($wrong))
            }
        }
    };
}
encoding_of_text!(BuyerText, as_str, BuyerText::new, "a text is no buyer");
encoding_of_text!(SigningSecret, reveal, SigningSecret::parse, "a text is no signing secret");
encoding_of_text!(EndpointUrl, reveal, |text: &str| Some(EndpointUrl::new(text)), "a text is no URL");

/// Returns whether an event's private data are enough for its rows: without them the store cannot record it.
pub(super) fn suffices(event: &Event, own: Option<&PrivateData>) -> bool {
    match &event.body {
        EventBody::Order(OrderEvent::Reserved(_) | OrderEvent::ReservedWithFacts(_)) => {
            matches!(own, Some(PrivateData::Order { .. }))
        }
        EventBody::Drop(DropEvent::StandbyJoined(_)) => matches!(own, Some(PrivateData::Order { .. })),
        EventBody::Auction { event: AuctionEvent::Awarded(_), .. } => matches!(own, Some(PrivateData::Award { .. })),
        EventBody::Auction { event: AuctionEvent::BidPlaced(_), .. } => {
            matches!(own, Some(PrivateData::Bid { .. } | PrivateData::BidWithContact { .. }))
        }
        EventBody::Auction { event: AuctionEvent::ContactErased { .. }, .. } => {
            matches!(own, Some(PrivateData::Bid { .. }))
        }
        EventBody::Payment(PaymentEvent::ProviderEventRecorded(_)) => {
            matches!(own, Some(PrivateData::ProviderEvent { .. }))
        }
        EventBody::Payment(PaymentEvent::SessionRecorded { .. }) => matches!(own, Some(PrivateData::Session { .. })),
        EventBody::Endpoint { event, .. } if matches!(**event, EndpointEvent::Created(_)) => {
            matches!(own, Some(PrivateData::Endpoint { url: Some(_), secret: Some(_) }))
        }
        EventBody::Drop(DropEvent::Created(created)) => match (&created.spec.commitment, own) {
            (Some(commitment), Some(PrivateData::Seed { seed })) => seed.commitment() == *commitment,
            (commitment, _) => commitment.is_none(),
        },
        EventBody::Buyer(_) => matches!(own, Some(PrivateData::Tier { .. })),
        EventBody::Room(RoomEvent::TicketTaken(_)) => matches!(own, Some(PrivateData::Ticket { .. })),
        EventBody::Drop(_)
        | EventBody::Order(_)
        | EventBody::Payment(_)
        | EventBody::Auction { .. }
        | EventBody::Endpoint { .. }
        | EventBody::File(_)
        | EventBody::Room(_) => true,
    }
}
