//! Reports of providers about refunds and chargebacks of payments that are recorded.
//!
//! The refunds of a payment that succeeded and did not fail count up to the amount received: the amount that counts does
//! not depend on the order of the events. The rest is remembered, and counts when another refund fails.

use super::payment::RecordProviderEvent;
use super::settlement::settled;
use crate::engine::event::{DeferredProviderEvent, PaymentEvent, PaymentReplaced, RefundFailed, RefundReported};
use crate::engine::payments::{Balance, PAYMENTS_PER_ORDER_MAX, Payment, balance_after};
use crate::engine::{Order, State};
use crate::types::{Amount, Currency, Digest, IgnoredReason, OrderState, ProviderEventKind, ReceivedPayment};

/// The amounts of refunds that succeeded and are over what their payment received, in the order of their
/// events. In the file they are deferred events of the kind [`ProviderEventKind::RefundFailed`], because they count no
/// more than if they had failed. Of one refund, which its counterpart names, the last such event holds; 0 is the end.
pub(super) struct Uncounted(Vec<DeferredProviderEvent>);

impl Uncounted {
    /// Returns those of the payment that an event names.
    pub(super) fn of(state: &State, event: &RecordProviderEvent) -> Uncounted {
        let mut uncounted = Uncounted(Vec::new());
        for early in state.early.values().filter(|early| early.is_of(event.provider, &event.reference, event.order)) {
            if early.event.kind == ProviderEventKind::RefundFailed {
                uncounted.put(early.event.clone());
            }
        }
        uncounted
    }

    fn put(&mut self, event: DeferredProviderEvent) {
        match self.0.iter_mut().find(|known| known.counterpart == event.counterpart) {
            Some(known) => *known = event,
            None => self.0.push(event),
        }
    }

    /// Notes how much of a refund does not count.
    fn note(&mut self, event: DeferredProviderEvent) -> PaymentEvent {
        self.put(event.clone());
        PaymentEvent::ProviderEventDeferred(Box::new(event))
    }

    fn waiting(&self) -> impl Iterator<Item = &DeferredProviderEvent> {
        self.0.iter().filter(|event| event.amount != Amount::ZERO)
    }
}

/// A provider's report about a payment.
pub(super) struct Report {
    pub(super) kind: ProviderEventKind,
    pub(super) money: ReceivedPayment,
    pub(super) currency: Currency,
    /// The inbox key of the failure of the refund.
    pub(super) failure: Option<Digest>,
    /// True if the event that reports the opposite has been recorded.
    pub(super) counterpart_heard: bool,
}

/// Returns the events of a report about a payment that is recorded. `order` and `uncounted` follow.
pub(super) fn reported(
    order: &mut Order,
    uncounted: &mut Uncounted,
    report: Report,
) -> Result<Vec<PaymentEvent>, IgnoredReason> {
    let of_report = |payment: &Payment| payment.is(report.money.provider, &report.money.reference);
    let position = order.payments.iter().position(of_report).ok_or(IgnoredReason::UnknownPayment)?;
    match report.kind {
        ProviderEventKind::RefundSucceeded => refund_succeeded(order, uncounted, position, &report),
        ProviderEventKind::RefundFailed if report.counterpart_heard => {
            refund_failed(order, uncounted, position, &report)
        }
        // It never reached the state in which it counts; if its success comes late, both are applied.
        ProviderEventKind::RefundFailed => Err(IgnoredReason::UnknownRefund),
        ProviderEventKind::ChargebackCreated => Ok(vec![PaymentEvent::ChargebackCreated(report.money)]),
        ProviderEventKind::PaymentSucceeded | ProviderEventKind::PaymentFailed => Ok(Vec::new()),
    }
}

/// Returns the amount that can still go back of the payment at `position`.
fn room(order: &Order, position: usize) -> Amount {
    let payment = order.payments.get(position);
    payment.and_then(|payment| payment.received.amount.minus(payment.refunded)).unwrap_or(Amount::ZERO)
}

/// Money went back. What is over the amount received waits, unless the refund is known to have failed.
fn refund_succeeded(
    order: &mut Order,
    uncounted: &mut Uncounted,
    position: usize,
    report: &Report,
) -> Result<Vec<PaymentEvent>, IgnoredReason> {
    let (payment, amount) = (payment_of(order, position, report)?, report.money.amount);
    if amount > payment.received.amount {
        return Err(IgnoredReason::ExceedsReceived);
    }
    let counts = amount.min(room(order, position));
    let rest = amount.minus(counts).unwrap_or(Amount::ZERO);
    if rest == Amount::ZERO || (report.counterpart_heard && counts != Amount::ZERO) {
        let mut events = count(order, position, counts);
        if report.counterpart_heard {
            events.extend(owe_again(order, &report.money, counts));
        }
        return Ok(events);
    }
    let (Some(failure), false) = (report.failure, report.counterpart_heard) else {
        return Err(IgnoredReason::ExceedsReceived);
    };
    if uncounted.waiting().count() >= PAYMENTS_PER_ORDER_MAX {
        return Err(IgnoredReason::TooManyPayments);
    }
    let mut events = count(order, position, counts);
    events.push(uncounted.note(DeferredProviderEvent {
        kind: ProviderEventKind::RefundFailed,
        provider: report.money.provider,
        payment: report.money.reference.clone(),
        amount: rest,
        currency: report.currency,
        counterpart: Some(failure),
    }));
    Ok(events)
}

/// A refund that had succeeded did not arrive: what counted of it is owed again, which makes room for what waits.
fn refund_failed(
    order: &mut Order,
    uncounted: &mut Uncounted,
    position: usize,
    report: &Report,
) -> Result<Vec<PaymentEvent>, IgnoredReason> {
    let refunded = payment_of(order, position, report)?.refunded;
    let waited = uncounted.waiting().find(|event| event.counterpart == report.failure).cloned();
    let never_counted = waited.as_ref().map_or(Amount::ZERO, |event| event.amount);
    let counted = report.money.amount.minus(never_counted).unwrap_or(Amount::ZERO);
    if refunded < counted {
        return Err(IgnoredReason::ExceedsReceived);
    }
    let mut events = Vec::new();
    if let Some(waited) = waited {
        events.push(uncounted.note(DeferredProviderEvent { amount: Amount::ZERO, ..waited }));
    }
    events.extend(owe_again(order, &report.money, counted));
    for waiting in uncounted.waiting().cloned().collect::<Vec<_>>() {
        let counts = waiting.amount.min(room(order, position));
        if counts != Amount::ZERO {
            events.extend(count(order, position, counts));
            let amount = waiting.amount.minus(counts).unwrap_or(Amount::ZERO);
            events.push(uncounted.note(DeferredProviderEvent { amount, ..waiting }));
        }
    }
    Ok(events)
}

/// The payment at `position`, if a report about it is in its currency.
fn payment_of<'a>(order: &'a Order, position: usize, report: &Report) -> Result<&'a Payment, IgnoredReason> {
    let payment = order.payments.get(position).ok_or(IgnoredReason::UnknownPayment)?;
    if payment.received.foreign == report.money.foreign { Ok(payment) } else { Err(IgnoredReason::CurrencyDiffers) }
}

/// An amount for which there is room went back: first it settles what is owed, of its payment and then of the order; the
/// rest is a refund that no operator requested. `order` follows.
fn count(order: &mut Order, position: usize, amount: Amount) -> Vec<PaymentEvent> {
    let mut events = Vec::new();
    let due = |order: &Order| order.payments.get(position).map_or(Amount::ZERO, |payment| payment.refund_due);
    if amount > due(order)
        && let Some(replaced) = replacement(order, position)
    {
        let replaced = PaymentEvent::PaymentReplaced(Box::new(replaced));
        order.follow_money(&replaced);
        events.push(replaced);
    }
    let owed = amount.min(due(order));
    let Some(payment) = order.payments.get(position).cloned() else { return events };
    if owed != Amount::ZERO {
        let state = balance_after(order, position, |payment| payment.settle(owed)).state_with_less_owed(order.state);
        let event = settled(&payment, owed, state, "", "");
        order.follow_money(&event);
        events.push(event);
    }
    let unasked = amount.minus(owed).unwrap_or(Amount::ZERO);
    if unasked != Amount::ZERO {
        let state = balance_after(order, position, |payment| payment.give_back(unasked)).state_with_less_kept();
        let event = PaymentEvent::RefundReported(RefundReported {
            provider: payment.received.provider,
            payment: payment.received.reference,
            amount: unasked,
            state,
        });
        order.follow_money(&event);
        events.push(event);
    }
    events
}

/// An amount that had counted as gone back is owed again. `order` follows.
fn owe_again(order: &mut Order, of: &ReceivedPayment, amount: Amount) -> Option<PaymentEvent> {
    let event = PaymentEvent::RefundFailed(Box::new(RefundFailed {
        provider: of.provider,
        payment: of.reference.clone(),
        amount,
        foreign: of.foreign,
        state: Balance::state_with_more_owed(order.state),
    }));
    if amount == Amount::ZERO {
        return None;
    }
    order.follow_money(&event);
    Some(event)
}

/// Another payment of the order that is owed back and can pay for it instead of the one at `position`: of an order that
/// was paid twice, one payment stays, whichever of them the provider refunds.
fn replacement(order: &Order, position: usize) -> Option<PaymentReplaced> {
    let before = order.payments.get(position).filter(|payment| payment.pays && order.state == OrderState::Paid)?;
    let kept = Some(before.kept()).filter(|kept| *kept != Amount::ZERO)?;
    let able = |payment: &&Payment| !payment.pays && payment.received.foreign.is_none() && payment.refund_due >= kept;
    let after = order.payments.iter().find(able)?;
    Some(PaymentReplaced {
        provider: before.received.provider,
        payment: before.received.reference.clone(),
        by_provider: after.received.provider,
        by_payment: after.received.reference.clone(),
        amount: kept,
    })
}
