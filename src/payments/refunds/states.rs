//! The states of automatic refunds in memory, which operators see beside each payment.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::read::refunds::PaymentKey;
use crate::types::AutomaticRefund;

/// Payments that are remembered; the oldest ones are forgotten first.
const PAYMENTS_MAX: usize = 20_000;

/// The payments whose automatic refund is not simply under way.
#[derive(Default)]
pub struct RefundStates(Mutex<BTreeMap<PaymentKey, AutomaticRefund>>);

impl RefundStates {
    #[must_use]
    pub fn state(&self, key: PaymentKey) -> Option<AutomaticRefund> {
        self.0.lock().get(&key).cloned()
    }

    pub(super) fn set(&self, key: PaymentKey, state: Option<AutomaticRefund>) {
        let mut states = self.0.lock();
        match state {
            Some(state) => states.insert(key, state),
            None => states.remove(&key),
        };
        if states.len() > PAYMENTS_MAX {
            states.pop_first();
        }
    }

    /// Forgets all: this node does not lead any more.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}
