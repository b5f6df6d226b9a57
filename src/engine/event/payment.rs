//! Events of money.

use super::metadata::{EventHeader, StockDelta};
use crate::engine::orders::{follow, leave, move_units};
use crate::engine::{CommandKey, KnownRefund, Order, Payment, State, auctions};
use crate::types::{
    Amount, Currency, Digest, Disposition, NotKeptReason, OrderState, Provider, ProviderEventKind, Quantity,
    ReceivedPayment, Seq,
};

/// An event of an order's money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PaymentEvent {
    Paid(OrderPaid),
    NotKept(PaymentNotKept),
    /// A buyer tried to pay and failed: the money did not come in.
    Failed(ReceivedPayment),
    /// Money went back, and units if the operator said so.
    Refunded(Box<Refund>),
    /// Money is to go back through its provider; units go back at once if the operator said so.
    RefundRequested(Box<Refund>),
    RefundSettled(Box<RefundSettled>),
    RefundReported(RefundReported),
    /// A buyer's bank takes a payment back, or a part of it.
    ChargebackCreated(ReceivedPayment),
    ProviderEventRecorded(ProviderEventRecorded),
    /// A refund or a chargeback of a payment that is not recorded yet: it waits for the payment. Or the part of a refund
    /// that is over what its payment received: it waits for the failure of another refund.
    ProviderEventDeferred(Box<DeferredProviderEvent>),
    /// Another payment of the order pays for it from here on.
    PaymentReplaced(Box<PaymentReplaced>),
    /// A refund that had succeeded did not reach the buyer: the money is owed again.
    RefundFailed(Box<RefundFailed>),
    /// A provider is ready to take an order's money.
    SessionRecorded {
        provider: Provider,
    },
}

/// Money came in: the units are sold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderPaid {
    pub quantity: Quantity,
    pub payment: ReceivedPayment,
    /// True if the order had expired, so that its units are taken again.
    pub retaken: bool,
    /// The operator's reason; empty where a provider reported the payment.
    pub reason: Box<str>,
}

/// Money came in that is owed back at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentNotKept {
    pub payment: ReceivedPayment,
    pub why: NotKeptReason,
    /// The order's state after it.
    pub state: OrderState,
}

/// A refund that was paid out or requested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refund {
    pub amount: Amount,
    /// Units that went back on sale.
    pub restock_quantity: u16,
    /// The order's state after it.
    pub state: OrderState,
    pub key: CommandKey,
    pub reason: Box<str>,
}

/// Money that was owed has gone back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundSettled {
    pub provider: Provider,
    /// The payment's name at its provider.
    pub payment: Box<str>,
    pub amount: Amount,
    /// The currency, where it is not the drop's.
    pub foreign: Option<Currency>,
    /// The order's state after it.
    pub state: OrderState,
    /// The operator's reference; empty where a provider reported it.
    pub reference: Box<str>,
    /// The operator's reason; empty where a provider reported it.
    pub reason: Box<str>,
}

/// A provider gave money back without a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundReported {
    pub provider: Provider,
    /// The payment's name at its provider.
    pub payment: Box<str>,
    pub amount: Amount,
    /// The order's state after it.
    pub state: OrderState,
}

/// A provider's event came in. It is the first event of its command: its effects follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderEventRecorded {
    pub provider: Provider,
    /// The event's key in the inbox.
    pub id: Digest,
    pub kind: ProviderEventKind,
    pub disposition: Disposition,
}

/// A refund or a chargeback that came before its payment, or what of a refund is over the amount received: that has the
/// kind [`ProviderEventKind::RefundFailed`], replaces the one before it of the same counterpart, and ends with 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeferredProviderEvent {
    pub kind: ProviderEventKind,
    pub provider: Provider,
    /// The payment's name at its provider.
    pub payment: Box<str>,
    pub amount: Amount,
    pub currency: Currency,
    /// The inbox key of the event that would report the failure of this refund.
    pub counterpart: Option<Digest>,
}

/// A refund or a chargeback that waits for its payment, or for room in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EarlyEvent {
    /// The order that it names. Refunds of Stripe name their payment alone.
    pub order: Option<Seq>,
    pub event: DeferredProviderEvent,
}

impl EarlyEvent {
    /// Returns whether it is of this payment of this order.
    #[must_use]
    pub fn is_of(&self, provider: Provider, reference: &str, order: Option<Seq>) -> bool {
        self.event.provider == provider
            && *self.event.payment == *reference
            && (self.order.is_none() || self.order == order)
    }
}

/// The payment that paid for an order is owed back as far as it was kept; another payment takes its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentReplaced {
    pub provider: Provider,
    /// The name at its provider of the payment that paid until here.
    pub payment: Box<str>,
    pub by_provider: Provider,
    /// The name at its provider of the payment that pays from here on.
    pub by_payment: Box<str>,
    /// The amount that the order keeps.
    pub amount: Amount,
}

/// Money that had gone back is owed again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundFailed {
    pub provider: Provider,
    /// The payment's name at its provider.
    pub payment: Box<str>,
    pub amount: Amount,
    /// The currency, where it is not the drop's.
    pub foreign: Option<Currency>,
    /// The order's state after it.
    pub state: OrderState,
}

impl PaymentEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            PaymentEvent::Paid(OrderPaid { retaken: false, .. }) => "order_paid",
            PaymentEvent::Paid(OrderPaid { retaken: true, .. }) => "order_retaken",
            PaymentEvent::NotKept(_) => "payment_not_kept",
            PaymentEvent::Failed(_) => "payment_failed",
            PaymentEvent::Refunded(_) => "order_refunded",
            PaymentEvent::RefundRequested(_) => "refund_requested",
            PaymentEvent::RefundSettled(_) => "refund_settled",
            PaymentEvent::RefundReported(_) => "refund_reported",
            PaymentEvent::ChargebackCreated(_) => "chargeback_created",
            PaymentEvent::ProviderEventRecorded(_) => "provider_event_recorded", // not sent: its effects are events of their own
            PaymentEvent::ProviderEventDeferred(_) => "provider_event_deferred", // not sent: sent when it is applied with its payment
            PaymentEvent::PaymentReplaced(_) => "payment_replaced", // not sent: nothing changes for the buyer; the refund that leads to it is sent
            PaymentEvent::RefundFailed(_) => "refund_failed",
            PaymentEvent::SessionRecorded { .. } => "session_recorded", // not sent: for the payment page
        }
    }

    pub(super) fn stock_delta(&self) -> Option<StockDelta> {
        match self {
            PaymentEvent::Paid(OrderPaid { quantity, retaken, .. }) => {
                let units = i64::from(quantity.get());
                let held = if *retaken { 0 } else { -units };
                Some(StockDelta { held, sold: units, ..StockDelta::default() })
            }
            PaymentEvent::Refunded(refund) | PaymentEvent::RefundRequested(refund) if refund.restock_quantity > 0 => {
                Some(StockDelta { sold: -i64::from(refund.restock_quantity), ..StockDelta::default() })
            }
            PaymentEvent::NotKept(_)
            | PaymentEvent::Failed(_)
            | PaymentEvent::Refunded(_)
            | PaymentEvent::RefundRequested(_)
            | PaymentEvent::RefundSettled(_)
            | PaymentEvent::RefundReported(_)
            | PaymentEvent::ChargebackCreated(_)
            | PaymentEvent::ProviderEventRecorded(_)
            | PaymentEvent::ProviderEventDeferred(_)
            | PaymentEvent::PaymentReplaced(_)
            | PaymentEvent::RefundFailed(_)
            | PaymentEvent::SessionRecorded { .. } => None,
        }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, body: &PaymentEvent) {
    if let PaymentEvent::ProviderEventRecorded(recorded) = body {
        state.heard.insert(recorded.id);
    }
    if let PaymentEvent::ProviderEventDeferred(deferred) = body {
        state.early.insert(event.seq, EarlyEvent { order: event.order(), event: (**deferred).clone() });
    }
    let Some(order) = follow(state, event) else { return };
    let order = order.seq;
    match body {
        PaymentEvent::Paid(OrderPaid { payment, retaken, .. }) => {
            state.order_mut(order).add(Payment::paying(payment.clone()));
            if *retaken {
                retake(state, order)
            } else {
                leave(state, event, order, OrderState::Paid)
            }
            auctions::paid(state, event);
        }
        PaymentEvent::NotKept(PaymentNotKept { payment, state: becomes, .. }) => {
            state.order_mut(order).add(Payment::not_kept(payment.clone()));
            state.set_order_state(order, *becomes);
        }
        PaymentEvent::Refunded(refund) => {
            state.order_mut(order).paying_mut().give_back(refund.amount);
            refunded(state, event, order, refund);
        }
        PaymentEvent::RefundRequested(refund) => {
            state.order_mut(order).paying_mut().owe(refund.amount);
            refunded(state, event, order, refund);
        }
        PaymentEvent::RefundSettled(settled) => {
            state.order_mut(order).payment_mut(settled.provider, &settled.payment).settle(settled.amount);
            state.set_order_state(order, settled.state);
            if !settled.reference.is_empty() {
                let known = KnownRefund::Settled { payment: settled.payment.clone(), amount: settled.amount };
                state.known_refunds.entry((order, settled.reference.clone())).or_default().push(known);
            }
        }
        PaymentEvent::RefundReported(reported) => {
            state.order_mut(order).payment_mut(reported.provider, &reported.payment).give_back(reported.amount);
            state.set_order_state(order, reported.state);
        }
        PaymentEvent::PaymentReplaced(replaced) => state.order_mut(order).replace_payment(replaced),
        PaymentEvent::RefundFailed(failed) => {
            state.order_mut(order).payment_mut(failed.provider, &failed.payment).owe_again(failed.amount);
            state.set_order_state(order, failed.state);
        }
        PaymentEvent::Failed(_)
        | PaymentEvent::ChargebackCreated(_)
        | PaymentEvent::ProviderEventRecorded(_)
        | PaymentEvent::ProviderEventDeferred(_)
        | PaymentEvent::SessionRecorded { .. } => {}
    }
}

/// Gives an expired order its units again.
fn retake(state: &mut State, seq: Seq) {
    let order = state.order_mut(seq);
    assert_eq!(order.state, OrderState::Expired, "only an expired order is taken again");
    order.returned = 0;
    let (drop_id, buyer, units) = (order.drop_id, order.buyer, i64::from(order.quantity.get()));
    state.set_order_state(seq, OrderState::Paid);
    move_units(state, seq, drop_id, buyer, units);
}

fn refunded(state: &mut State, event: EventHeader, seq: Seq, refund: &Refund) {
    let Refund { restock_quantity, state: becomes, key, .. } = refund;
    let order = state.order_mut(seq);
    let returned = order.returned.checked_add(*restock_quantity).filter(|returned| *returned <= order.quantity.get());
    order.returned = returned.unwrap_or_else(|| panic!("order {seq}: more units come back than there are"));
    let (drop_id, buyer) = (order.drop_id, order.buyer);
    state.set_order_state(seq, *becomes);
    move_units(state, seq, drop_id, buyer, -i64::from(*restock_quantity));
    state.remember(key, event, seq.get());
}

impl Order {
    /// Another payment takes the place of the one that pays.
    pub(in crate::engine) fn replace_payment(&mut self, replaced: &PaymentReplaced) {
        let before = self.payment_mut(replaced.provider, &replaced.payment);
        before.pays = false;
        before.owe(replaced.amount);
        let after = self.payment_mut(replaced.by_provider, &replaced.by_payment);
        let left = after.refund_due.minus(replaced.amount);
        after.refund_due = left.unwrap_or_else(|| panic!("payment {:?} cannot pay for its order", after.received));
        after.pays = true;
    }

    /// Changes a copy of the order by an event of money, for the decisions that follow it in the same command. Units and
    /// times of the order are not touched.
    pub(in crate::engine) fn follow_money(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::Paid(OrderPaid { payment, .. }) => {
                self.add(Payment::paying(payment.clone()));
                self.state = OrderState::Paid;
            }
            PaymentEvent::NotKept(PaymentNotKept { payment, state, .. }) => {
                self.add(Payment::not_kept(payment.clone()));
                self.state = *state;
            }
            PaymentEvent::RefundSettled(settled) => {
                self.payment_mut(settled.provider, &settled.payment).settle(settled.amount);
                self.state = settled.state;
            }
            PaymentEvent::RefundReported(reported) => {
                self.payment_mut(reported.provider, &reported.payment).give_back(reported.amount);
                self.state = reported.state;
            }
            PaymentEvent::RefundFailed(failed) => {
                self.payment_mut(failed.provider, &failed.payment).owe_again(failed.amount);
                self.state = failed.state;
            }
            PaymentEvent::PaymentReplaced(replaced) => self.replace_payment(replaced),
            PaymentEvent::Failed(_)
            | PaymentEvent::Refunded(_)
            | PaymentEvent::RefundRequested(_)
            | PaymentEvent::ChargebackCreated(_)
            | PaymentEvent::ProviderEventRecorded(_)
            | PaymentEvent::ProviderEventDeferred(_)
            | PaymentEvent::SessionRecorded { .. } => {}
        }
    }
}
