//! Private data: what accompanies a command and is stored in rows only.

use crate::types::{BuyerText, Contact, EndpointUrl, OrderSecret, Seed, SigningSecret};

/// The private data of a command. It goes into rows only: never into events, captures or logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PrivateData {
    /// Of a new order.
    Order {
        /// The unguessable part of the order's id.
        secret: OrderSecret,
        buyer: BuyerText,
        /// A contact, if the order was placed with one.
        contact: Option<Box<Contact>>,
    },
    /// Of an order that an auction awards; its buyer's text is that of the bid.
    Award {
        secret: OrderSecret,
    },
    Contact(Box<Contact>),
    /// Of a bid, or of the erasure of a bidder's contact.
    Bid {
        buyer: BuyerText,
    },
    /// Of a bid that a contact came with.
    BidWithContact {
        buyer: BuyerText,
        contact: Box<Contact>,
    },
    ProviderEvent {
        /// The event's name at the provider.
        event_id: Box<str>,
    },
    /// Of an endpoint that is new or changes.
    Endpoint {
        url: Option<EndpointUrl>,
        secret: Option<SigningSecret>,
    },
    /// Of a payment session.
    Session {
        /// The session's name at the provider.
        reference: Box<str>,
        /// The page on which the buyer pays.
        url: Box<str>,
    },
    /// The buyer of a ticket of a waiting room.
    Ticket {
        buyer: BuyerText,
    },
    /// The seed of a drop with a draw, until the draw is done.
    Seed {
        seed: Seed,
    },
    /// Of an operator's tier of a buyer.
    Tier {
        buyer: BuyerText,
    },
}
