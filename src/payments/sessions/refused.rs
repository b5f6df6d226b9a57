//! Orders whose session the provider refuses for good, so that their pages say so.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::types::Seq;

/// Orders that are remembered; the oldest ones are forgotten first. A start requests their sessions again.
const ORDERS_MAX: usize = 10_000;

/// The orders without a way to pay at the provider.
#[derive(Default)]
pub struct RefusedSessions {
    orders: Mutex<BTreeSet<Seq>>,
}

impl RefusedSessions {
    #[must_use]
    pub fn contains(&self, order: Seq) -> bool {
        self.orders.lock().contains(&order)
    }

    pub(super) fn add(&self, order: Seq) {
        let mut orders = self.orders.lock();
        orders.insert(order);
        if orders.len() > ORDERS_MAX {
            orders.pop_first();
        }
    }

    pub(super) fn remove(&self, order: Seq) {
        self.orders.lock().remove(&order);
    }
}
