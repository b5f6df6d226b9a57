//! An operator says that money which was owed has gone back.

use crate::engine::event::{PaymentEvent, RefundSettled};
use crate::engine::orders::{find_order, refusal_of_transition};
use crate::engine::payments::{Payment, balance_after};
use crate::engine::{Decision, Invalid, Order, Outcome, Refusal, State, Subject};
use crate::types::{Amount, OrderState, Seq};

/// The parameters of the settlement of a refund.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettleRefund {
    pub order: Seq,
    /// The operator's reference; the same one again, of the same payment, is the same settlement.
    pub reference: Box<str>,
    /// The reference of the payment that is owed; not needed where the order has only one.
    pub payment: Option<Box<str>>,
    /// The amount that went back; all that is owed of the payment if not given.
    pub amount: Option<Amount>,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// A refund of an order that has the reference of a settlement already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KnownRefund {
    /// An operator settled so much of this payment.
    Settled { payment: Box<str>, amount: Amount },
    /// The provider reported it, and what it changes is done.
    Reported,
}

pub(super) fn settle(decision: &mut Decision<'_>, command: &SettleRefund) -> Result<Outcome, Refusal> {
    let (order, _) = find_order(decision.state, command.order)?;
    if is_repeated(decision.state, command)? {
        return Ok(decision.repeat(Subject::Order(order.seq)));
    }
    let (position, payment) = owed_payment(order, command)?;
    let amount = command.amount.unwrap_or(payment.refund_due);
    // A settlement of nothing would take the reference from the refund that follows.
    if amount == Amount::ZERO || amount > payment.refund_due {
        return Err(Refusal::Invalid(Invalid::SettlementOutOfRange { owed: payment.refund_due }));
    }
    let state = balance_after(order, position, |payment| payment.settle(amount)).state_with_less_owed(order.state);
    let event = settled(payment, amount, state, &command.reference, &command.reason);
    let seq = decision.emit(order.last_seq, order.event_subject(), event);
    Ok(Outcome::changed(seq, Subject::Order(order.seq)))
}

/// Returns whether the settlement was made before.
fn is_repeated(state: &State, command: &SettleRefund) -> Result<bool, Refusal> {
    let key = (command.order, command.reference.clone());
    let mut another = None;
    for known in state.known_refunds.get(&key).into_iter().flatten() {
        match known {
            KnownRefund::Reported => return Ok(true),
            KnownRefund::Settled { payment, .. } if command.payment.as_ref().is_some_and(|named| named != payment) => {}
            KnownRefund::Settled { amount, .. } if command.amount.is_none_or(|told| told == *amount) => {
                return Ok(true);
            }
            // Older files have one reference on several payments: another one may match.
            KnownRefund::Settled { amount, .. } => another = another.or(Some(*amount)),
        }
    }
    another.map_or(Ok(false), |amount| Err(Refusal::Invalid(Invalid::SettlementDiffers { amount })))
}

/// Returns the payment that is owed, and its place: the one that is named, or the only one.
fn owed_payment<'a>(order: &'a Order, command: &SettleRefund) -> Result<(usize, &'a Payment), Refusal> {
    let owed = || order.payments.iter().enumerate().filter(|(_, payment)| payment.refund_due != Amount::ZERO);
    if owed().next().is_none() {
        return Err(refusal_of_transition(order, OrderState::Refunded));
    }
    let is_named =
        |payment: &Payment| command.payment.as_ref().is_none_or(|name| *payment.received.reference == **name);
    let mut named = owed().filter(|(_, payment)| is_named(payment));
    match (named.next(), named.next()) {
        // Payments of two providers may have one reference: their settlements have two.
        (Some(found), another) if another.is_none() || command.payment.is_some() => Ok(found),
        _ => Err(Refusal::Invalid(Invalid::PaymentNotOwed { owed: u16::try_from(owed().count()).unwrap_or(u16::MAX) })),
    }
}

pub(super) fn settled(
    payment: &Payment,
    amount: Amount,
    state: OrderState,
    reference: &str,
    reason: &str,
) -> PaymentEvent {
    PaymentEvent::RefundSettled(Box::new(RefundSettled {
        provider: payment.received.provider,
        payment: payment.received.reference.clone(),
        amount,
        foreign: payment.received.foreign,
        state,
        reference: reference.into(),
        reason: reason.into(),
    }))
}
