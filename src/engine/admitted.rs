//! State that leaves memory with its batch and comes back for the commands that need it: orders that have ended, providers'
//! events, settlements of refunds.

use std::collections::{BTreeMap, BTreeSet};

use super::{EarlyEvent, KnownRefund, Order, State};
use crate::types::{Digest, IdentityDigests, Seq};

/// State that memory lacked for a command, and that prefetch found in the file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Admitted {
    /// The order that it names.
    pub order: Option<Order>,
    /// The identities of that order.
    pub identities: IdentityDigests,
    /// Providers' events that are in the inbox, of those that it names.
    pub heard: BTreeSet<Digest>,
    /// Refunds and chargebacks that wait for the payment that it names, by their event.
    pub early: BTreeMap<Seq, EarlyEvent>,
    /// Refunds that have the reference of its settlement, by order and reference.
    pub known_refunds: KnownRefunds,
}

/// Refunds by their order and the reference of their settlement.
pub type KnownRefunds = BTreeMap<(Seq, Box<str>), Vec<KnownRefund>>;

impl Admitted {
    /// Returns whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_none()
            && self.identities.is_empty()
            && self.heard.is_empty()
            && self.early.is_empty()
            && self.known_refunds.is_empty()
    }
}

impl State {
    /// Puts into memory what prefetch found for a command. Without effect as far as it is there already.
    pub fn admit(&mut self, admitted: Admitted) {
        let Admitted { order, identities, heard, early, known_refunds } = admitted;
        if let Some(order) = order
            && !order.state.is_live()
            && !self.orders.contains_key(&order.seq)
        {
            self.settled.insert(order.seq);
            if !identities.is_empty() {
                self.identities.insert(order.seq, identities);
            }
            self.orders.insert(order.seq, Box::new(order));
        }
        self.heard.extend(heard);
        self.early.extend(early);
        for (name, known) in known_refunds {
            let before = self.known_refunds.entry(name).or_default();
            for refund in known {
                if !before.contains(&refund) {
                    before.push(refund);
                }
            }
        }
    }

    /// Returns whether memory knows that a provider's event has been recorded.
    #[must_use]
    pub fn has_heard(&self, event: &Digest) -> bool {
        self.heard.contains(event)
    }

    /// Lets those orders go that are not live, and the events of providers: their batch is durable, and prefetch will
    /// find them in the file.
    pub fn release_settled(&mut self) {
        self.heard.clear();
        self.early.clear();
        self.known_refunds.clear();
        while let Some(seq) = self.settled.pop_first() {
            self.orders.remove(&seq);
            if !self.identities.is_empty() {
                self.identities.remove(&seq);
            }
        }
    }
}
