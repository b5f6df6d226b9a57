//! A buyer, and the requests in a buyer's life.

use super::response::{OrderView, ServerTime};
use crate::types::OrderId;

/// One request in a buyer's life, in the order of that life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BuyerStep {
    /// Places an order.
    Order,
    /// Sends the same order again with the same key.
    Repeat,
    /// Asks for another unit with another key.
    AskTwice,
    /// Checks out with a contact.
    CheckOut,
    /// Gives the unit back.
    Cancel,
    /// Looks whether the abandoned reservation has lapsed.
    SeeLapse,
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
    /// Which of his keys the order goes by; [`BuyerStep::AskTwice`] uses the next one.
    pub(super) key: u16,
    /// Tries of the present step that led to no answer.
    pub(super) tries: u16,
    /// An earlier try of this step may have been applied.
    pub(super) unsure: bool,
    pub(super) order: Option<HeldOrder>,
}

impl Buyer {
    /// A buyer who has not asked yet, or has been told "sold out".
    pub(super) const fn new(number: u32, key: u16) -> Buyer {
        Buyer { number, key, tries: 0, unsure: false, order: None }
    }

    /// The key that goes with a step.
    pub(super) const fn key_of(&self, step: BuyerStep) -> u16 {
        match step {
            BuyerStep::Order | BuyerStep::Repeat | BuyerStep::CheckOut | BuyerStep::Cancel | BuyerStep::SeeLapse => {
                self.key
            }
            BuyerStep::AskTwice => self.key + 1,
        }
    }

    pub(super) fn hold(&mut self, view: &OrderView) {
        self.order = Some(HeldOrder { id: view.id, expires_at: view.expires_at });
    }
}
