//! What travels beside a command.

use crate::types::{BuyerText, Contact, EndpointUrl, OrderSecret, SigningSecret};

/// What travels beside a command and goes into rows only: never into events, captures or logs.
#[derive(Clone, Debug)]
pub enum Beside {
    /// Of a new order.
    Order {
        /// The unguessable part of its id.
        secret: OrderSecret,
        /// The buyer's text.
        buyer: BuyerText,
        /// A contact, if it came along.
        contact: Option<Box<Contact>>,
    },
    /// Of a checkout.
    Contact(Box<Contact>),
    /// Of a bid.
    Bid {
        /// The buyer's text.
        buyer: BuyerText,
    },
    /// Of a provider's event.
    ProviderEvent {
        /// Its name at the provider.
        event_id: Box<str>,
    },
    /// Of an endpoint that is new, or changes.
    Endpoint {
        /// Where it is.
        url: Option<EndpointUrl>,
        /// What signs what it is told.
        secret: Option<SigningSecret>,
    },
    /// Of a payment session.
    Session {
        /// Its name at the provider.
        reference: Box<str>,
        /// Where the buyer pays.
        url: Box<str>,
    },
}
