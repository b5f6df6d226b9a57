//! Orders that get no session at the provider, and why, so that their pages say so.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::types::Seq;

/// Orders that are remembered; the oldest ones are forgotten first. A start requests their sessions again.
const ORDERS_MAX: usize = 10_000;

/// The reason why an order has no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSession {
    /// The provider rejects the order.
    Refused,
    /// No buyer can be sent to the session that the provider made.
    Unusable,
}

/// The orders without a way to pay at the provider.
#[derive(Default)]
pub struct RefusedSessions {
    orders: Mutex<BTreeMap<Seq, NoSession>>,
}

impl RefusedSessions {
    #[must_use]
    pub fn reason(&self, order: Seq) -> Option<NoSession> {
        self.orders.lock().get(&order).copied()
    }

    pub(super) fn add(&self, order: Seq, reason: NoSession) {
        let mut orders = self.orders.lock();
        orders.insert(order, reason);
        if orders.len() > ORDERS_MAX {
            orders.pop_first();
        }
    }

    pub(super) fn remove(&self, order: Seq) {
        self.orders.lock().remove(&order);
    }
}
