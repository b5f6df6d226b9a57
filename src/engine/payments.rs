//! Money: what comes in, what is kept, what is owed back.
//!
//! An order keeps at most one payment, the one that paid for it. Every other is owed back at once. So for each payment
//! `received = kept + refunded + refund_due`, and an order's kept money is what its buyer has paid for it.

use super::orders::{accept, find_order, leave, move_buyer, refusal_of_transition};
use super::{
    CommandKey, Decision, DropEntry, Event, EventKind, Invalid, Order, Outcome, ProviderEvent, Refusal,
    RememberedCommand, State, Subject,
};
use crate::failpoints::{self, Bug};
use crate::types::{
    Amount, Currency, Digest, Disposition, DropId, IgnoredReason, NotKeptReason, OrderState, Provider,
    ProviderEventKind, ReceivedPayment, Seq,
};

/// How many payments one order can have: one, and what buyers and providers do by mistake.
pub const PAYMENTS_PER_ORDER_MAX: usize = 100;

/// Money that came in for an order, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// What came in.
    pub received: ReceivedPayment,
    /// Whether it paid for the order.
    pub pays: bool,
    /// How much went back.
    pub refunded: Amount,
    /// How much is owed back.
    pub refund_due: Amount,
}

impl Payment {
    /// How much of it stays.
    ///
    /// # Panics
    /// If more goes back than came in: an invariant.
    #[must_use]
    pub fn kept(&self) -> Amount {
        let back = self.refunded.plus(self.refund_due).and_then(|back| self.received.amount.minus(back));
        back.unwrap_or_else(|| panic!("more of payment {:?} goes back than came in", self.received))
    }

    fn is(&self, provider: Provider, reference: &str) -> bool {
        self.received.provider == provider && *self.received.reference == *reference
    }
}

/// What an order's payments come to after one of them changes.
struct Balance {
    kept: Amount,
    owes: bool,
}

/// The order's balance if `change` is made to a copy of its payment at `position`.
fn balance_after(order: &Order, position: usize, change: impl Fn(&mut Payment)) -> Balance {
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
    fn state_with_less_kept(&self) -> OrderState {
        if self.kept != Amount::ZERO {
            OrderState::Paid
        } else if self.owes {
            OrderState::RefundDue
        } else {
            OrderState::Refunded
        }
    }

    /// The state of an order after something that was owed has gone back.
    fn state_with_less_owed(&self, before: OrderState) -> OrderState {
        if before == OrderState::RefundDue && !self.owes { OrderState::Refunded } else { before }
    }
}

/// A payment that an operator saw.
pub(super) struct ManualPayment<'a> {
    pub(super) reference: &'a str,
    pub(super) amount: Amount,
    pub(super) currency: Currency,
    pub(super) reason: &'a str,
}

pub(super) fn record_payment(decision: &mut Decision<'_>, order: Seq, payment: ManualPayment<'_>) -> Outcome {
    let (order, entry) = match find_order(decision.state, order) {
        Ok(found) => found,
        Err(refusal) => return decision.refuse(refusal),
    };
    if order.payments.iter().any(|known| known.is(Provider::Manual, payment.reference)) {
        return decision.repeat(Subject::Order(order.seq));
    }
    if !order.state.is_live() {
        return decision.refuse(refusal_of_transition(order, OrderState::Paid));
    }
    let (amount, currency) = (order.amount(), entry.spec.currency);
    if (payment.amount, payment.currency) != (amount, currency) {
        return decision.refuse(Refusal::Invalid(Invalid::PaymentDiffers { amount, currency }));
    }
    let received =
        ReceivedPayment { provider: Provider::Manual, reference: payment.reference.into(), amount, foreign: None };
    accept(decision, order, paid(order, received, false, payment.reason))
}

fn paid(order: &Order, payment: ReceivedPayment, retaken: bool, reason: &str) -> EventKind {
    let (drop_id, quantity) = (order.drop_id, order.quantity);
    EventKind::OrderPaid { order: order.seq, drop_id, quantity, payment, retaken, reason: reason.into() }
}

/// A refund that an operator asks for.
pub(super) struct Refund<'a> {
    pub(super) key: &'a CommandKey,
    pub(super) amount: Option<Amount>,
    pub(super) restock_quantity: u16,
    pub(super) reason: &'a str,
}

pub(super) fn refund(decision: &mut Decision<'_>, order: Seq, refund: Refund<'_>) -> Outcome {
    let order = match find_order(decision.state, order) {
        Ok((order, _)) => order,
        Err(refusal) => return decision.refuse(refusal),
    };
    if let Some(remembered) = decision.state.command_keys.get(&refund.key.digest) {
        return if remembered.params == refund.key.params && remembered.subject == order.seq.get() {
            decision.repeat(Subject::Order(order.seq))
        } else {
            decision.refuse(Refusal::KeyReused)
        };
    }
    let Some((position, payment)) = order.paying().filter(|_| order.state == OrderState::Paid) else {
        return decision.refuse(refusal_of_transition(order, OrderState::Refunded));
    };
    let remaining = payment.kept();
    let amount = refund.amount.unwrap_or(remaining);
    // An order that cost nothing can be refunded too: its units come back.
    if amount > remaining || (amount == Amount::ZERO && remaining != Amount::ZERO) {
        return decision.refuse(Refusal::Invalid(Invalid::RefundOutOfRange { remaining }));
    }
    if refund.restock_quantity > order.taken() {
        return decision.refuse(Refusal::Invalid(Invalid::RestockOutOfRange { sold: order.taken() }));
    }
    let restocks_all = failpoints::enabled(Bug::RefundRestocksAll);
    let restock_quantity = if restocks_all { order.taken() } else { refund.restock_quantity };
    let (seq, drop_id, key, reason) = (order.seq, order.drop_id, *refund.key, refund.reason.into());
    let by_hand = payment.received.provider == Provider::Manual;
    let state =
        balance_after(order, position, |payment| if by_hand { payment.give_back(amount) } else { payment.owe(amount) })
            .state_with_less_kept();
    let kind = if by_hand {
        EventKind::OrderRefunded { order: seq, drop_id, amount, restock_quantity, state, key, reason }
    } else {
        EventKind::RefundRequested { order: seq, drop_id, amount, restock_quantity, state, key, reason }
    };
    accept(decision, order, kind)
}

/// An operator says that everything owed to an order's buyer has gone back.
pub(super) fn settle_refund(decision: &mut Decision<'_>, order: Seq, reference: &str, reason: &str) -> Outcome {
    let order = match find_order(decision.state, order) {
        Ok((order, _)) => order,
        Err(refusal) => return decision.refuse(refusal),
    };
    let mut order = order.clone();
    let mut seq = None;
    for position in 0..order.payments.len() {
        let Some(payment) = order.payments.get(position).filter(|payment| payment.refund_due != Amount::ZERO) else {
            continue;
        };
        let amount = payment.refund_due;
        let state = balance_after(&order, position, |payment| payment.settle(amount)).state_with_less_owed(order.state);
        let kind = settled(&order, payment, amount, state, reference, reason);
        let event = decision.emit(order.last_seq, kind);
        (order.last_seq, order.state, seq) = (event, state, Some(event));
        if let Some(payment) = order.payments.get_mut(position) {
            payment.settle(amount);
        }
    }
    match seq {
        Some(seq) => Outcome::Accepted { seq, subject: Subject::Order(order.seq) },
        None => decision.refuse(refusal_of_transition(&order, OrderState::Refunded)),
    }
}

fn settled(
    order: &Order,
    payment: &Payment,
    amount: Amount,
    state: OrderState,
    reference: &str,
    reason: &str,
) -> EventKind {
    EventKind::RefundSettled {
        order: order.seq,
        drop_id: order.drop_id,
        provider: payment.received.provider,
        payment: payment.received.reference.clone(),
        amount,
        foreign: payment.received.foreign,
        state,
        reference: reference.into(),
        reason: reason.into(),
    }
}

/// Takes in what a provider tells: once, whatever it repeats, and in whatever order it comes.
pub(super) fn hear(decision: &mut Decision<'_>, event: &ProviderEvent) -> Outcome {
    let state = decision.state;
    let found = event.order.and_then(|order| find_order(state, order).ok());
    if state.heard.contains(&event.id) && !failpoints::enabled(Bug::InboxNotAsked) {
        return decision.repeat(found.map_or(Subject::File, |(order, _)| Subject::Order(order.seq)));
    }
    let effects = match found {
        Some((order, entry)) => effects(order, entry, event),
        None => Err(IgnoredReason::UnknownOrder),
    };
    let told = effects.as_ref().map_or_else(|because| Disposition::Ignored(*because), |_| Disposition::Applied);
    let mut seq = found.map_or(Seq::ZERO, |(order, _)| order.last_seq);
    let recorded = EventKind::ProviderEventRecorded {
        order: found.map(|(order, _)| order.seq),
        drop_id: found.map(|(order, _)| order.drop_id),
        provider: event.provider,
        id: event.id,
        kind: event.kind,
        told,
    };
    seq = decision.emit(seq, recorded);
    for effect in effects.unwrap_or_default() {
        seq = decision.emit(seq, effect);
    }
    Outcome::Heard { seq, told }
}

/// What a provider's event leads to, or why to nothing.
fn effects(order: &Order, entry: &DropEntry, event: &ProviderEvent) -> Result<Vec<EventKind>, IgnoredReason> {
    let foreign = (event.currency != entry.spec.currency).then_some(event.currency);
    let received =
        ReceivedPayment { provider: event.provider, reference: event.reference.clone(), amount: event.amount, foreign };
    let (seq, drop_id) = (order.seq, order.drop_id);
    let known = order.payments.iter().position(|payment| payment.is(event.provider, &event.reference));
    match event.kind {
        ProviderEventKind::PaymentSucceeded if known.is_some() => Err(IgnoredReason::PaymentKnown),
        ProviderEventKind::PaymentSucceeded if order.payments.len() >= PAYMENTS_PER_ORDER_MAX => {
            Err(IgnoredReason::TooManyPayments)
        }
        ProviderEventKind::PaymentSucceeded => Ok(vec![match keep(order, entry, &received) {
            Ok(retaken) => paid(order, received, retaken, ""),
            Err((why, state)) => EventKind::PaymentNotKept { order: seq, drop_id, payment: received, why, state },
        }]),
        ProviderEventKind::PaymentFailed if known.is_some() || !order.state.is_live() => Err(IgnoredReason::NotAwaited),
        ProviderEventKind::PaymentFailed => {
            Ok(vec![EventKind::PaymentFailed { order: seq, drop_id, payment: received }])
        }
        ProviderEventKind::RefundSucceeded => {
            refund_told(order, known.ok_or(IgnoredReason::UnknownPayment)?, &received)
        }
        ProviderEventKind::ChargebackCreated if known.is_none() => Err(IgnoredReason::UnknownPayment),
        ProviderEventKind::ChargebackCreated => {
            Ok(vec![EventKind::ChargebackCreated { order: seq, drop_id, payment: received }])
        }
    }
}

/// Whether a payment pays for its order, and whether the order's units must be taken again for it; else why it is owed
/// back, and what that makes of the order. Where the order costs nothing, nothing is owed and it stays what it was.
fn keep(order: &Order, entry: &DropEntry, payment: &ReceivedPayment) -> Result<bool, (NotKeptReason, OrderState)> {
    let differs = payment.foreign.is_some() || payment.amount != order.amount();
    let owed = if payment.amount == Amount::ZERO { order.state } else { OrderState::RefundDue };
    match order.state {
        OrderState::Paid | OrderState::RefundDue | OrderState::Refunded => {
            Err((NotKeptReason::PaidBefore, order.state))
        }
        _ if differs => Err((NotKeptReason::Differs, order.state)),
        OrderState::Reserved | OrderState::AwaitingPayment => Ok(false),
        OrderState::Cancelled => Err((NotKeptReason::Cancelled, owed)),
        OrderState::Expired => match retake(order, entry) {
            Ok(()) => Ok(true),
            Err(why) => Err((why, owed)),
        },
    }
}

/// Whether an expired order may have its units again: as a new order of its buyer would, but for a pause.
fn retake(order: &Order, entry: &DropEntry) -> Result<(), NotKeptReason> {
    if entry.ended || !entry.started || entry.mismatch {
        return Err(NotKeptReason::DropClosed);
    }
    let used = u64::from(entry.used_by(&order.buyer)).saturating_add(u64::from(order.quantity.get()));
    if used > u64::from(entry.spec.per_buyer_limit) && !failpoints::enabled(Bug::LateBeatsLimit) {
        return Err(NotKeptReason::LimitReached);
    }
    if order.quantity.units() > entry.available() {
        return Err(NotKeptReason::SoldOut);
    }
    Ok(())
}

/// Money went back: first what is owed, then what nobody had asked for.
fn refund_told(order: &Order, position: usize, told: &ReceivedPayment) -> Result<Vec<EventKind>, IgnoredReason> {
    let Some(payment) = order.payments.get(position) else { return Err(IgnoredReason::UnknownPayment) };
    if payment.received.foreign != told.foreign {
        return Err(IgnoredReason::CurrencyDiffers);
    }
    let left = payment.received.amount.minus(payment.refunded).unwrap_or(Amount::ZERO);
    let owed = told.amount.min(payment.refund_due);
    let (Some(unasked), Some(_)) = (told.amount.minus(owed), left.minus(told.amount)) else {
        return Err(IgnoredReason::ExceedsReceived);
    };
    let mut kinds = Vec::new();
    let mut after = order.clone();
    if owed != Amount::ZERO {
        let state = balance_after(&after, position, |payment| payment.settle(owed)).state_with_less_owed(after.state);
        kinds.push(settled(&after, payment, owed, state, "", ""));
        after.state = state;
        if let Some(payment) = after.payments.get_mut(position) {
            payment.settle(owed);
        }
    }
    if unasked != Amount::ZERO {
        let state = balance_after(&after, position, |payment| payment.give_back(unasked)).state_with_less_kept();
        kinds.push(EventKind::RefundReported {
            order: order.seq,
            drop_id: order.drop_id,
            provider: payment.received.provider,
            payment: payment.received.reference.clone(),
            amount: unasked,
            state,
        });
    }
    Ok(kinds)
}

pub(super) fn record_session(decision: &mut Decision<'_>, order: Seq, provider: Provider) -> Outcome {
    match find_order(decision.state, order) {
        Err(refusal) => decision.refuse(refusal),
        Ok((order, _)) if !order.state.is_live() => {
            decision.refuse(refusal_of_transition(order, OrderState::AwaitingPayment))
        }
        Ok((order, _)) => {
            let kind = EventKind::SessionRecorded { order: order.seq, drop_id: order.drop_id, provider };
            accept(decision, order, kind)
        }
    }
}

impl Payment {
    /// It goes back out of what is kept.
    fn give_back(&mut self, amount: Amount) {
        self.refunded = self.plus(self.refunded, amount);
    }

    /// It is owed out of what is kept.
    fn owe(&mut self, amount: Amount) {
        self.refund_due = self.plus(self.refund_due, amount);
    }

    /// What was owed has gone back.
    fn settle(&mut self, amount: Amount) {
        let left = self.refund_due.minus(amount);
        self.refund_due = left.unwrap_or_else(|| panic!("more of payment {:?} went back than was owed", self.received));
        self.refunded = self.plus(self.refunded, amount);
    }

    fn plus(&self, before: Amount, amount: Amount) -> Amount {
        let after = before.plus(amount).filter(|after| *after <= self.received.amount);
        after.unwrap_or_else(|| panic!("more of payment {:?} goes back than came in", self.received))
    }
}

/// The payments' part of an event of an order.
#[expect(clippy::wildcard_enum_match_arm, reason = "its caller has sorted out the events that move money")]
pub(super) fn evolve(state: &mut State, event: &Event, order: Seq) {
    match &event.kind {
        EventKind::OrderPaid { payment, retaken, .. } => {
            let nothing = Amount::ZERO;
            let payment = Payment { received: payment.clone(), pays: true, refunded: nothing, refund_due: nothing };
            change(state, order).add(payment);
            if *retaken { retaken_by(state, order) } else { leave(state, event, order, OrderState::Paid) }
        }
        EventKind::PaymentNotKept { payment, state: becomes, .. } => {
            let received = payment.clone();
            let refund_due = if failpoints::enabled(Bug::MoneyForNothing) { Amount::ZERO } else { received.amount };
            let payment = Payment { pays: false, refunded: Amount::ZERO, refund_due, received };
            let order = change(state, order);
            order.add(payment);
            order.state = *becomes;
        }
        EventKind::OrderRefunded { amount, restock_quantity, state: becomes, key, .. } => {
            paying(change(state, order)).give_back(*amount);
            refunded(state, event, order, *restock_quantity, *becomes, key);
        }
        EventKind::RefundRequested { amount, restock_quantity, state: becomes, key, .. } => {
            paying(change(state, order)).owe(*amount);
            refunded(state, event, order, *restock_quantity, *becomes, key);
        }
        EventKind::RefundSettled { provider, payment, amount, state: becomes, .. } => {
            let order = change(state, order);
            named(order, *provider, payment).settle(*amount);
            order.state = *becomes;
        }
        EventKind::RefundReported { provider, payment, amount, state: becomes, .. } => {
            let order = change(state, order);
            named(order, *provider, payment).give_back(*amount);
            order.state = *becomes;
        }
        other => panic!("{} moves no money", other.name()),
    }
}

fn change(state: &mut State, seq: Seq) -> &mut Order {
    state.orders.get_mut(&seq).unwrap_or_else(|| panic!("order {seq} is not in memory"))
}

fn paying(order: &mut Order) -> &mut Payment {
    let seq = order.seq;
    let paying = order.payments.iter_mut().find(|payment| payment.pays);
    paying.unwrap_or_else(|| panic!("order {seq} is refunded but was not paid"))
}

fn named<'a>(order: &'a mut Order, provider: Provider, reference: &str) -> &'a mut Payment {
    let seq = order.seq;
    let named = order.payments.iter_mut().find(|payment| payment.is(provider, reference));
    named.unwrap_or_else(|| panic!("order {seq} has no payment {reference}"))
}

/// An expired order has its units again.
fn retaken_by(state: &mut State, seq: Seq) {
    let order = change(state, seq);
    assert_eq!(order.state, OrderState::Expired, "only an expired order is taken again");
    order.state = OrderState::Paid;
    order.returned = 0;
    let (drop_id, buyer, units) = (order.drop_id, order.buyer, i64::from(order.quantity.get()));
    move_buyer(state, drop_id, buyer, units);
}

fn refunded(state: &mut State, event: &Event, seq: Seq, restock_quantity: u16, becomes: OrderState, key: &CommandKey) {
    let order = change(state, seq);
    let returned = order.returned.checked_add(restock_quantity).filter(|returned| *returned <= order.quantity.get());
    order.returned = returned.unwrap_or_else(|| panic!("order {seq}: more units come back than there are"));
    order.state = becomes;
    let (drop_id, buyer): (DropId, Digest) = (order.drop_id, order.buyer);
    move_buyer(state, drop_id, buyer, -i64::from(restock_quantity));
    let remembered = RememberedCommand { seq: event.seq, params: key.params, subject: seq.get() };
    state.command_keys.remember(key.digest, remembered);
    state.command_keys.release(key.digest, event.at, event.seq);
}
