//! Money: what comes in, what is kept, what is owed back.
//!
//! An order keeps at most one payment, the one that paid for it. Every other is owed back at once. So for each payment
//! `received = kept + refunded + refund_due`, and an order's kept money is what its buyer has paid for it.

use super::Order;
use crate::failpoints::{self, Bug};
use crate::types::{Amount, OrderState, Provider, ReceivedPayment};

/// The most payments of one order: one, and those that buyers and providers make by mistake.
pub const PAYMENTS_PER_ORDER_MAX: usize = 100;

/// Money that came in for an order, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    pub received: ReceivedPayment,
    /// True if it paid for the order.
    pub pays: bool,
    /// The amount that went back.
    pub refunded: Amount,
    /// The amount that is owed back.
    pub refund_due: Amount,
}

impl Payment {
    /// A payment that pays for its order.
    pub(super) fn paying(received: ReceivedPayment) -> Payment {
        Payment { received, pays: true, refunded: Amount::ZERO, refund_due: Amount::ZERO }
    }

    /// A payment that is owed back.
    pub(super) fn not_kept(received: ReceivedPayment) -> Payment {
        let refund_due = if failpoints::enabled(Bug::MoneyForNothing) { Amount::ZERO } else { received.amount };
        Payment { received, pays: false, refunded: Amount::ZERO, refund_due }
    }

    /// The amount that stays.
    ///
    /// # Panics
    /// If more goes back than came in: an invariant.
    #[must_use]
    pub fn kept(&self) -> Amount {
        let back = self.refunded.plus(self.refund_due).and_then(|back| self.received.amount.minus(back));
        back.unwrap_or_else(|| panic!("more of payment {:?} goes back than came in", self.received))
    }

    pub(super) fn is(&self, provider: Provider, reference: &str) -> bool {
        self.received.provider == provider && *self.received.reference == *reference
    }
}

/// The sums of an order's payments after one of them changes.
pub(super) struct Balance {
    kept: Amount,
    owes: bool,
}

/// The order's balance if `change` is made to a copy of its payment at `position`.
pub(super) fn balance_after(order: &Order, position: usize, change: impl Fn(&mut Payment)) -> Balance {
    let mut balance = Balance { kept: Amount::ZERO, owes: false };
    for (at, payment) in order.payments.iter().enumerate() {
        let mut payment = payment.clone();
        if at == position {
            change(&mut payment);
        }
        balance.owes |= payment.refund_due != Amount::ZERO;
        if payment.pays {
            balance.kept = payment.kept();
        }
    }
    balance
}

impl Balance {
    /// The state of a paid order after something of what it keeps goes back, or is owed back.
    pub(super) fn state_with_less_kept(&self) -> OrderState {
        if self.kept != Amount::ZERO {
            OrderState::Paid
        } else if self.owes {
            OrderState::RefundDue
        } else {
            OrderState::Refunded
        }
    }

    /// The state of an order after a refund of it failed.
    pub(super) fn state_with_more_owed(before: OrderState) -> OrderState {
        if before == OrderState::Refunded { OrderState::RefundDue } else { before }
    }

    /// The state of an order after something that was owed has gone back.
    pub(super) fn state_with_less_owed(&self, before: OrderState) -> OrderState {
        if before == OrderState::RefundDue && !self.owes { OrderState::Refunded } else { before }
    }
}

impl Payment {
    /// The amount goes back out of what is kept.
    pub(super) fn give_back(&mut self, amount: Amount) {
        self.refunded = self.plus(self.refunded, amount);
    }

    /// The amount is owed out of what is kept.
    pub(super) fn owe(&mut self, amount: Amount) {
        self.refund_due = self.plus(self.refund_due, amount);
    }

    /// Moves an owed amount to the refunded one.
    pub(super) fn settle(&mut self, amount: Amount) {
        let left = self.refund_due.minus(amount);
        self.refund_due = left.unwrap_or_else(|| panic!("more of payment {:?} went back than was owed", self.received));
        self.refunded = self.plus(self.refunded, amount);
    }

    /// Moves an amount that had gone back to what is owed.
    pub(super) fn owe_again(&mut self, amount: Amount) {
        let left = self.refunded.minus(amount);
        self.refunded = left.unwrap_or_else(|| panic!("more of payment {:?} failed than went back", self.received));
        self.refund_due = self.plus(self.refund_due, amount);
    }

    fn plus(&self, before: Amount, amount: Amount) -> Amount {
        let after = before.plus(amount).filter(|after| *after <= self.received.amount);
        after.unwrap_or_else(|| panic!("more of payment {:?} goes back than came in", self.received))
    }
}
