//! Commands about money.

use super::CommandKey;
use super::order::accept;
use super::refunds::{Report, Uncounted, reported};
use super::settlement::{SettleRefund, settle};
use crate::engine::event::{
    DeferredProviderEvent, EventBody, OrderPaid, PaymentEvent, PaymentNotKept, ProviderEventRecorded, Refund,
};
use crate::engine::orders::{find_order, refusal_of_transition};
use crate::engine::payments::{PAYMENTS_PER_ORDER_MAX, balance_after};
use crate::engine::{Decision, DropEntry, Effect, EventSubject, Invalid, Order, Outcome, Refusal, State, Subject};
use crate::failpoints::{self, Bug};
use crate::types::{
    Amount, Currency, Digest, Disposition, IgnoredReason, NotKeptReason, OrderState, Provider, ProviderEventKind,
    ReceivedPayment, Seq,
};

/// A command about money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PaymentCommand {
    /// Records money that an operator saw coming in.
    Record(RecordPayment),
    /// Gives money back, and units if wanted.
    Refund(Box<RefundOrder>),
    /// Records that a refund which was due has been paid out.
    SettleRefund(Box<SettleRefund>),
    /// Records an event of a payment provider, and does what follows from it.
    RecordProviderEvent(Box<RecordProviderEvent>),
    /// Notes that a provider is ready to take an order's money; the address is private data.
    RecordSession { order: Seq, provider: Provider },
}

super::names!(PaymentCommand {
    Record = "record_payment",
    Refund = "refund_order",
    SettleRefund = "settle_refund",
    RecordProviderEvent = "hear_provider",
    RecordSession = "record_session",
});

/// The parameters of a payment that an operator records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordPayment {
    pub order: Seq,
    /// The operator's reference; the same one again is the same payment.
    pub reference: Box<str>,
    pub amount: Amount,
    pub currency: Currency,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The parameters of a refund.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundOrder {
    pub order: Seq,
    pub key: CommandKey,
    /// All that is left if not given.
    pub amount: Option<Amount>,
    /// Units that go back on sale.
    pub restock_quantity: u16,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// An event of a payment provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordProviderEvent {
    pub provider: Provider,
    /// The digest of (provider, event id): its key in the inbox.
    pub id: Digest,
    /// The order that the event names, if it is one of this file.
    pub order: Option<Seq>,
    pub kind: ProviderEventKind,
    /// The payment's name at the provider; of a refund or a chargeback, that of the payment it is about.
    pub reference: Box<str>,
    pub amount: Amount,
    pub currency: Currency,
    /// The inbox key of the event that reports the opposite: of a refund's success its failure, of its failure its
    /// success.
    pub counterpart: Option<Digest>,
}

impl PaymentCommand {
    /// The order that the command names, if any.
    pub(super) const fn order(&self) -> Option<Seq> {
        match self {
            PaymentCommand::Record(payment) => Some(payment.order),
            PaymentCommand::Refund(refund) => Some(refund.order),
            PaymentCommand::SettleRefund(settle) => Some(settle.order),
            PaymentCommand::RecordProviderEvent(event) => event.order,
            PaymentCommand::RecordSession { order, .. } => Some(*order),
        }
    }
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &PaymentCommand) -> Result<Outcome, Refusal> {
    match command {
        PaymentCommand::Record(payment) => record(decision, payment),
        PaymentCommand::Refund(command) => refund(decision, command),
        PaymentCommand::SettleRefund(command) => settle(decision, command),
        PaymentCommand::RecordProviderEvent(event) => Ok(record_provider_event(decision, event)),
        PaymentCommand::RecordSession { order, provider } => record_session(decision, *order, *provider),
    }
}

fn record(decision: &mut Decision<'_>, payment: &RecordPayment) -> Result<Outcome, Refusal> {
    let (order, entry) = find_order(decision.state, payment.order)?;
    let (amount, currency) = (order.amount(), entry.spec.currency);
    let differs = (payment.amount, payment.currency) != (amount, currency);
    let is_known = order.payments.iter().any(|known| known.is(Provider::Manual, &payment.reference));
    if is_known && !differs {
        return Ok(decision.repeat(Subject::Order(order.seq)));
    }
    if !is_known && !order.state.is_live() {
        return Err(refusal_of_transition(order, OrderState::Paid));
    }
    if differs {
        return Err(Refusal::Invalid(Invalid::PaymentDiffers { amount, currency }));
    }
    let received =
        ReceivedPayment { provider: Provider::Manual, reference: payment.reference.clone(), amount, foreign: None };
    Ok(accept(decision, order, paid(order, received, false, &payment.reason)))
}

fn paid(order: &Order, payment: ReceivedPayment, retaken: bool, reason: &str) -> PaymentEvent {
    PaymentEvent::Paid(OrderPaid { quantity: order.quantity, payment, retaken, reason: reason.into() })
}

fn refund(decision: &mut Decision<'_>, command: &RefundOrder) -> Result<Outcome, Refusal> {
    let (order, _) = find_order(decision.state, command.order)?;
    if let Some(remembered) = decision.state.command_keys.get(&command.key.digest) {
        return if remembered.params == command.key.params && remembered.subject == order.seq.get() {
            Ok(decision.repeat(Subject::Order(order.seq)))
        } else {
            Err(Refusal::KeyReused)
        };
    }
    let Some((position, payment)) = order.paying().filter(|_| order.state == OrderState::Paid) else {
        return Err(refusal_of_transition(order, OrderState::Refunded));
    };
    let remaining = payment.kept();
    let amount = command.amount.unwrap_or(remaining);
    // An order that cost nothing can be refunded too: its units come back.
    if amount > remaining || (amount == Amount::ZERO && remaining != Amount::ZERO) {
        return Err(Refusal::Invalid(Invalid::RefundOutOfRange { remaining }));
    }
    if command.restock_quantity > order.taken() {
        return Err(Refusal::Invalid(Invalid::RestockOutOfRange { sold: order.taken() }));
    }
    let restocks_all = failpoints::enabled(Bug::RefundRestocksAll);
    let restock_quantity = if restocks_all { order.taken() } else { command.restock_quantity };
    let by_hand = payment.received.provider == Provider::Manual;
    let balance =
        balance_after(order, position, |payment| if by_hand { payment.give_back(amount) } else { payment.owe(amount) });
    let state = balance.state_with_less_kept();
    let refund = Refund { amount, restock_quantity, state, key: command.key, reason: command.reason.clone() };
    let refund = Box::new(refund);
    let event = if by_hand { PaymentEvent::Refunded(refund) } else { PaymentEvent::RefundRequested(refund) };
    Ok(accept(decision, order, event))
}

/// Records an event once, however often it is repeated, and in whatever order events arrive.
fn record_provider_event(decision: &mut Decision<'_>, event: &RecordProviderEvent) -> Outcome {
    let state = decision.state;
    let found = event.order.and_then(|order| find_order(state, order).ok());
    if state.heard.contains(&event.id) && !failpoints::enabled(Bug::InboxNotAsked) {
        return decision.repeat(found.map_or(Subject::File, |(order, _)| Subject::Order(order.seq)));
    }
    let (disposition, effects) = match found {
        Some((order, entry)) => effects(state, order, entry, event),
        None if names_payment_alone(event) => Err(IgnoredReason::UnknownPayment),
        None => Err(IgnoredReason::UnknownOrder),
    }
    .map_or_else(
        |because| not_applied(state, event, because),
        |effects| (disposition_of(event.kind, &effects), effects),
    );
    let (prev_seq, subject) =
        found.map_or((Seq::ZERO, EventSubject::File), |(order, _)| (order.last_seq, order.event_subject()));
    let RecordProviderEvent { provider, id, kind, .. } = *event;
    let recorded: EventBody =
        PaymentEvent::ProviderEventRecorded(ProviderEventRecorded { provider, id, kind, disposition }).into();
    let mut seq = decision.emit(prev_seq, subject, recorded);
    for effect in effects {
        // Events of the file have no predecessor.
        seq = decision.emit(if found.is_some() { seq } else { Seq::ZERO }, subject, effect);
    }
    Outcome::Accepted(Effect::ProviderEventRecorded { seq, disposition })
}

/// A refund for which there is no room is only remembered.
fn disposition_of(kind: ProviderEventKind, effects: &[PaymentEvent]) -> Disposition {
    match (kind, effects) {
        (ProviderEventKind::RefundSucceeded, [PaymentEvent::ProviderEventDeferred(_)]) => {
            Disposition::Ignored(IgnoredReason::ExceedsReceived)
        }
        _ => Disposition::Applied,
    }
}

/// Stripe's refunds and disputes name no order but their payment.
pub(super) fn names_payment_alone(event: &RecordProviderEvent) -> bool {
    let of_payment = match event.kind {
        ProviderEventKind::RefundSucceeded | ProviderEventKind::RefundFailed | ProviderEventKind::ChargebackCreated => {
            true
        }
        ProviderEventKind::PaymentSucceeded | ProviderEventKind::PaymentFailed => false,
    };
    event.provider == Provider::Stripe && of_payment
}

/// Returns the disposition of an event that changes nothing now. A refund or a chargeback without its payment waits for
/// it.
fn not_applied(state: &State, event: &RecordProviderEvent, because: IgnoredReason) -> (Disposition, Vec<PaymentEvent>) {
    let waits = matches!(event.kind, ProviderEventKind::RefundSucceeded | ProviderEventKind::ChargebackCreated)
        && because == IgnoredReason::UnknownPayment;
    if !waits {
        return (Disposition::Ignored(because), Vec::new());
    }
    if state.early.values().filter(|early| early.is_of(event.provider, &event.reference, event.order)).count()
        >= PAYMENTS_PER_ORDER_MAX
    {
        return (Disposition::Ignored(IgnoredReason::TooManyPayments), Vec::new());
    }
    let RecordProviderEvent { provider, kind, ref reference, amount, currency, counterpart, .. } = *event;
    let deferred = DeferredProviderEvent { kind, provider, payment: reference.clone(), amount, currency, counterpart };
    (Disposition::Ignored(because), vec![PaymentEvent::ProviderEventDeferred(Box::new(deferred))])
}

/// The events that a provider's event leads to, or the reason why it leads to none.
fn effects(
    state: &State,
    order: &Order,
    entry: &DropEntry,
    event: &RecordProviderEvent,
) -> Result<Vec<PaymentEvent>, IgnoredReason> {
    let received = in_currency_of(entry, event.provider, &event.reference, event.amount, event.currency);
    let known = order.payments.iter().any(|payment| payment.is(event.provider, &event.reference));
    match event.kind {
        ProviderEventKind::PaymentSucceeded if known => Err(IgnoredReason::PaymentKnown),
        ProviderEventKind::PaymentSucceeded => payment_succeeded(state, order, entry, event, received),
        ProviderEventKind::PaymentFailed if known || !order.state.is_live() => Err(IgnoredReason::NotAwaited),
        ProviderEventKind::PaymentFailed => Ok(vec![PaymentEvent::Failed(received)]),
        ProviderEventKind::RefundSucceeded | ProviderEventKind::RefundFailed | ProviderEventKind::ChargebackCreated => {
            let mut uncounted = Uncounted::of(state, event);
            let failure =
                if event.kind == ProviderEventKind::RefundFailed { Some(event.id) } else { event.counterpart };
            let counterpart_heard = event.counterpart.is_some_and(|event| state.heard.contains(&event));
            let RecordProviderEvent { kind, currency, .. } = *event;
            let report = Report { kind, money: received, currency, failure, counterpart_heard };
            reported(&mut order.clone(), &mut uncounted, report)
        }
    }
}

/// Money as a provider names it, with its currency where that is not the drop's.
fn in_currency_of(
    entry: &DropEntry,
    provider: Provider,
    reference: &str,
    amount: Amount,
    currency: Currency,
) -> ReceivedPayment {
    let foreign = (currency != entry.spec.currency).then_some(currency);
    ReceivedPayment { provider, reference: reference.into(), amount, foreign }
}

/// A payment came in, and with it everything about it that came before it.
fn payment_succeeded(
    state: &State,
    order: &Order,
    entry: &DropEntry,
    event: &RecordProviderEvent,
    received: ReceivedPayment,
) -> Result<Vec<PaymentEvent>, IgnoredReason> {
    if order.payments.len() >= PAYMENTS_PER_ORDER_MAX {
        return Err(IgnoredReason::TooManyPayments);
    }
    let ours = order.payments.iter().map(|payment| &payment.received).filter(|known| known.foreign.is_none());
    let sum = ours.map(|known| known.amount).try_fold(received.amount, Amount::plus);
    if sum.is_none() && received.foreign.is_none() {
        return Err(IgnoredReason::TotalTooLarge);
    }
    let mut after = order.clone();
    let first = match keep(state, order, entry, &received) {
        Ok(retaken) => paid(order, received, retaken, ""),
        Err((why, state)) => PaymentEvent::NotKept(PaymentNotKept { payment: received, why, state }),
    };
    after.follow_money(&first);
    let mut events = vec![first];
    let mut uncounted = Uncounted::of(state, event);
    for early in state.early.values().filter(|early| early.is_of(event.provider, &event.reference, event.order)) {
        if failpoints::enabled(Bug::EarlyRefundForgotten) {
            break;
        }
        let DeferredProviderEvent { kind, provider, ref payment, amount, currency, counterpart } = early.event;
        let money = in_currency_of(entry, provider, payment, amount, currency);
        let counterpart_heard = counterpart.is_some_and(|event| state.heard.contains(&event));
        let report = Report { kind, money, currency, failure: counterpart, counterpart_heard };
        // What does not fit its payment is in the audit and changes nothing, as if it had come after it.
        events.extend(reported(&mut after, &mut uncounted, report).unwrap_or_default());
    }
    Ok(events)
}

/// Returns whether the order's units must be taken again for a payment that pays for it; else the reason why it is owed
/// back, and what that makes of the order. Where the order costs nothing, nothing is owed and it stays what it was.
fn keep(
    state: &State,
    order: &Order,
    entry: &DropEntry,
    payment: &ReceivedPayment,
) -> Result<bool, (NotKeptReason, OrderState)> {
    let differs = payment.foreign.is_some() || payment.amount != order.amount();
    let owed = if payment.amount == Amount::ZERO { order.state } else { OrderState::RefundDue };
    match order.state {
        OrderState::Paid | OrderState::RefundDue => Err((NotKeptReason::PaidBefore, order.state)),
        OrderState::Refunded => Err((NotKeptReason::PaidBefore, owed)),
        _ if differs => Err((NotKeptReason::Differs, order.state)),
        OrderState::Reserved | OrderState::AwaitingPayment => Ok(false),
        OrderState::Cancelled => Err((NotKeptReason::Cancelled, owed)),
        OrderState::Expired => match retake(state, order, entry) {
            Ok(()) => Ok(true),
            Err(why) => Err((why, owed)),
        },
    }
}

/// Checks that an expired order may have its units again: as a new order of its buyer would, but for a pause.
fn retake(state: &State, order: &Order, entry: &DropEntry) -> Result<(), NotKeptReason> {
    if entry.ended || !entry.started || entry.mismatch {
        return Err(NotKeptReason::DropClosed);
    }
    let used = u64::from(entry.used_by(&order.buyer)).saturating_add(u64::from(order.quantity.get()));
    if used > u64::from(entry.spec.per_buyer_limit) && !failpoints::enabled(Bug::LateBeatsLimit) {
        return Err(NotKeptReason::LimitReached);
    }
    if entry.capped && entry.capped_identity(&state.identities_of(order.seq), order.quantity).is_some() {
        return Err(NotKeptReason::LimitReached);
    }
    if order.quantity.units() > entry.available() {
        return Err(NotKeptReason::SoldOut);
    }
    Ok(())
}

fn record_session(decision: &mut Decision<'_>, order: Seq, provider: Provider) -> Result<Outcome, Refusal> {
    let (order, _) = find_order(decision.state, order)?;
    if !order.state.is_live() {
        return Err(refusal_of_transition(order, OrderState::AwaitingPayment));
    }
    Ok(accept(decision, order, PaymentEvent::SessionRecorded { provider }))
}
