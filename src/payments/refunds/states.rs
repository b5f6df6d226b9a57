//! The states of automatic refunds in memory, which operators see beside each payment.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::read::refunds::PaymentKey;

/// Payments that are remembered; the oldest ones are forgotten first.
const PAYMENTS_MAX: usize = 20_000;

/// The state of a payment's automatic refund.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AutomaticRefund {
    /// The provider has not finished it.
    Pending,
    /// The last attempt failed for this reason; another one follows.
    Retried(String),
    /// It is left to an operator for this reason.
    GivenUp(String),
}

impl AutomaticRefund {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            AutomaticRefund::Pending => "pending",
            AutomaticRefund::Retried(_) => "retried",
            AutomaticRefund::GivenUp(_) => "given_up",
        }
    }

    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            AutomaticRefund::Pending => None,
            AutomaticRefund::Retried(reason) | AutomaticRefund::GivenUp(reason) => Some(reason),
        }
    }
}

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
