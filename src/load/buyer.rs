//! A buyer, and the requests in a buyer's life.

use super::response::{OrderView, ServerTime};
use crate::types::OrderId;

/// One request in a buyer's life, in the order of that life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BuyerStep {
    Order,
    /// Sends the same order again with the same key.
    Repeat,
    /// Asks for another unit with another key.
    AskTwice,
    /// Checks the order out with a contact.
    CheckOut,
    /// Cancels the order, which returns the unit.
    Cancel,
    /// Reads the abandoned order, to see that it has lapsed.
    ReadLapsed,
}

/// A reservation as its buyer knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeldOrder {
    pub(super) id: OrderId,
    pub(super) expires_at: Option<ServerTime>,
}

/// A buyer between two requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Buyer {
    pub(super) number: u32,
    /// The number of the order's idempotency key; [`BuyerStep::AskTwice`] uses the next one.
    pub(super) key: u16,
    /// Attempts of the present step without a definite answer.
    pub(super) tries: u16,
    /// An earlier attempt of this step may have been applied.
    pub(super) unsure: bool,
    pub(super) order: Option<HeldOrder>,
}

impl Buyer {
    /// A buyer without an order.
    pub(super) const fn new(number: u32, key: u16) -> Buyer {
        Buyer { number, key, tries: 0, unsure: false, order: None }
    }

    /// The number of the idempotency key of a step.
    pub(super) const fn key_of(&self, step: BuyerStep) -> u16 {
        match step {
            BuyerStep::Order | BuyerStep::Repeat | BuyerStep::CheckOut | BuyerStep::Cancel | BuyerStep::ReadLapsed => {
                self.key
            }
            BuyerStep::AskTwice => self.key + 1,
        }
    }

    pub(super) fn hold(&mut self, view: &OrderView) {
        self.order = Some(HeldOrder { id: view.id, expires_at: view.expires_at });
    }
}
