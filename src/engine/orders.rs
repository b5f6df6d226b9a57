//! Orders: from the claim on units to money, and back.
//!
//! `quantity - returned` units of an order are taken from its drop in every state: held while it is live, sold after.

use super::drops::{ended, find, index};
use super::{
    CommandKey, Decision, DropEntry, Event, EventKind, Invalid, Outcome, Refusal, RememberedCommand, RememberedOrder,
    Reservation, State, Subject,
};
use crate::planted::{self, Bug};
use crate::types::{Amount, Currency, Digest, DropId, OrderState, Quantity, Seq, UnitPrice, UnixMillis};

/// An order in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Its number: the seq of its `OrderReserved` event.
    pub seq: Seq,
    /// Its last event.
    pub last_seq: Seq,
    /// Of which drop.
    pub drop_id: DropId,
    /// Whose.
    pub buyer: Digest,
    /// The digest of its idempotency key.
    pub key: Digest,
    /// How many units were asked for.
    pub quantity: Quantity,
    /// How many of them came back.
    pub returned: u16,
    /// The price of one.
    pub unit_price: UnitPrice,
    /// The state.
    pub state: OrderState,
    /// Until when it is live (exclusively).
    pub expires_at: UnixMillis,
    /// What came in, if anything did.
    pub payment: Option<Payment>,
}

/// Money that came in for an order, and what of it went back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The operator's reference.
    pub reference: Box<str>,
    /// How much came in.
    pub received: Amount,
    /// How much went back.
    pub refunded: Amount,
}

impl Order {
    /// What the order costs.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }

    /// Units that have not come back.
    #[must_use]
    pub fn taken(&self) -> u16 {
        self.quantity.get().saturating_sub(self.returned)
    }
}

/// What a buyer asks for.
pub(super) struct Wish {
    pub(super) drop_id: DropId,
    pub(super) buyer: Digest,
    pub(super) key: Digest,
    pub(super) quantity: Quantity,
}

/// Decides an order. The checks stand in the order of precedence of `api.md`.
pub(super) fn place(decision: &mut Decision<'_>, wish: Wish, contact_given: bool) -> Outcome {
    let entry = match find(decision.state, wish.drop_id) {
        Ok(entry) => entry,
        Err(refusal) => return decision.refuse(refusal),
    };
    if let Some(remembered) = decision.state.order_keys.get(&wish.key) {
        return if remembered.quantity == wish.quantity {
            decision.repeat(Subject::Order(remembered.seq))
        } else {
            decision.refuse(Refusal::KeyReused)
        };
    }
    if let Err(refusal) = may_order(entry, &wish) {
        return decision.refuse(refusal);
    }
    reserve(decision, entry, wish, contact_given)
}

fn may_order(entry: &DropEntry, wish: &Wish) -> Result<(), Refusal> {
    // A drop that was closed before its start never starts: "wait for it" would be a lie.
    if !entry.started && !entry.ended {
        return Err(Refusal::NotStarted { starts_at: entry.spec.starts_at });
    }
    if entry.ended {
        return Err(ended(entry));
    }
    if entry.paused {
        return Err(Refusal::DropPaused);
    }
    let used = entry.used_by(&wish.buyer);
    let limit = entry.spec.per_buyer_limit;
    if u64::from(used).saturating_add(u64::from(wish.quantity.get())) > u64::from(limit) {
        return Err(Refusal::LimitReached { limit, used });
    }
    let one_too_many = u32::from(planted::has(Bug::OneTooMany));
    let available = entry.available().saturating_add(one_too_many);
    if wish.quantity.units() > available {
        let next_expiry_at = entry.next_expiry().map(|(at, _)| at);
        return Err(Refusal::SoldOut { available, held: entry.held, next_expiry_at });
    }
    Ok(())
}

fn reserve(decision: &mut Decision<'_>, entry: &DropEntry, wish: Wish, contact_given: bool) -> Outcome {
    let Wish { drop_id, buyer, key, quantity } = wish;
    let at = decision.at();
    let unit_price = entry.spec.unit_price;
    let mut expires_at = at.plus_seconds(entry.spec.reservation_seconds);
    let order =
        decision.emit(Seq::ZERO, EventKind::OrderReserved { drop_id, buyer, key, quantity, unit_price, expires_at });
    let (mut seq, mut state) = (order, OrderState::Reserved);
    if contact_given {
        expires_at = at.plus_seconds(entry.spec.payment_seconds);
        seq = decision.emit(order, EventKind::OrderCheckedOut { order, drop_id, expires_at });
        state = OrderState::AwaitingPayment;
    }
    let currency = entry.spec.currency;
    Outcome::Reserved(Reservation {
        order,
        seq,
        drop_id,
        state,
        quantity,
        unit_price,
        currency,
        reserved_at: at,
        expires_at,
    })
}

/// An order that a command names, and its drop.
fn find_order(state: &State, seq: Seq) -> Result<(&Order, &DropEntry), Refusal> {
    let order = state.order(seq).ok_or(Refusal::NotFound)?;
    Ok((order, find(state, order.drop_id)?))
}

/// Why an order in this state cannot become `to`.
fn refusal_of_transition(order: &Order, to: OrderState) -> Refusal {
    match order.state {
        OrderState::Expired => Refusal::OrderExpired { expired_at: order.expires_at },
        from @ (OrderState::Reserved
        | OrderState::AwaitingPayment
        | OrderState::Paid
        | OrderState::Cancelled
        | OrderState::RefundDue
        | OrderState::Refunded) => Refusal::IllegalTransition { from, to },
    }
}

/// Emits an event of an order.
fn accept(decision: &mut Decision<'_>, order: &Order, kind: EventKind) -> Outcome {
    let seq = decision.emit(order.last_seq, kind);
    Outcome::Accepted { seq, subject: Subject::Order(order.seq) }
}

pub(super) fn checkout(decision: &mut Decision<'_>, order: Seq) -> Outcome {
    let (order, entry) = match find_order(decision.state, order) {
        Ok(found) => found,
        Err(refusal) => return decision.refuse(refusal),
    };
    let drop_id = order.drop_id;
    match order.state {
        OrderState::Reserved => {
            let expires_at = decision.at().plus_seconds(entry.spec.payment_seconds);
            accept(decision, order, EventKind::OrderCheckedOut { order: order.seq, drop_id, expires_at })
        }
        OrderState::AwaitingPayment => {
            accept(decision, order, EventKind::ContactCorrected { order: order.seq, drop_id })
        }
        OrderState::Paid
        | OrderState::Cancelled
        | OrderState::Expired
        | OrderState::RefundDue
        | OrderState::Refunded => decision.refuse(refusal_of_transition(order, OrderState::AwaitingPayment)),
    }
}

pub(super) fn cancel(decision: &mut Decision<'_>, order: Seq) -> Outcome {
    let order = match find_order(decision.state, order) {
        Ok((order, _)) => order,
        Err(refusal) => return decision.refuse(refusal),
    };
    match order.state {
        OrderState::Reserved | OrderState::AwaitingPayment => {
            let (drop_id, quantity) = (order.drop_id, order.quantity);
            accept(decision, order, EventKind::OrderCancelled { order: order.seq, drop_id, quantity })
        }
        OrderState::Cancelled => decision.repeat(Subject::Order(order.seq)),
        OrderState::Paid | OrderState::Expired | OrderState::RefundDue | OrderState::Refunded => {
            decision.refuse(refusal_of_transition(order, OrderState::Cancelled))
        }
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
    if order.payment.as_ref().is_some_and(|known| *known.reference == *payment.reference) {
        return decision.repeat(Subject::Order(order.seq));
    }
    if !order.state.is_live() {
        return decision.refuse(refusal_of_transition(order, OrderState::Paid));
    }
    let (amount, currency) = (order.amount(), entry.spec.currency);
    if (payment.amount, payment.currency) != (amount, currency) {
        return decision.refuse(Refusal::Invalid(Invalid::PaymentDiffers { amount, currency }));
    }
    let kind = EventKind::OrderPaid {
        order: order.seq,
        drop_id: order.drop_id,
        quantity: order.quantity,
        amount,
        reference: payment.reference.into(),
        reason: payment.reason.into(),
    };
    accept(decision, order, kind)
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
    let Some(payment) = order.payment.as_ref().filter(|_| order.state == OrderState::Paid) else {
        return decision.refuse(refusal_of_transition(order, OrderState::Refunded));
    };
    let remaining = payment.received.minus(payment.refunded).unwrap_or(Amount::ZERO);
    let amount = refund.amount.unwrap_or(remaining);
    // An order that cost nothing can be refunded too: its units come back.
    if amount > remaining || (amount == Amount::ZERO && remaining != Amount::ZERO) {
        return decision.refuse(Refusal::Invalid(Invalid::RefundOutOfRange { remaining }));
    }
    if refund.restock_quantity > order.taken() {
        return decision.refuse(Refusal::Invalid(Invalid::RestockOutOfRange { sold: order.taken() }));
    }
    let restocks_all = planted::has(Bug::RefundRestocksAll);
    let kind = EventKind::OrderRefunded {
        order: order.seq,
        drop_id: order.drop_id,
        amount,
        restock_quantity: if restocks_all { order.taken() } else { refund.restock_quantity },
        complete: amount == remaining,
        key: *refund.key,
        reason: refund.reason.into(),
    };
    accept(decision, order, kind)
}

pub(super) fn settle_refund(decision: &mut Decision<'_>, order: Seq, reference: &str, reason: &str) -> Outcome {
    let order = match find_order(decision.state, order) {
        Ok((order, _)) => order,
        Err(refusal) => return decision.refuse(refusal),
    };
    match (order.state, &order.payment) {
        (OrderState::RefundDue, Some(payment)) => {
            let kind = EventKind::RefundSettled {
                order: order.seq,
                drop_id: order.drop_id,
                amount: payment.received.minus(payment.refunded).unwrap_or(Amount::ZERO),
                reference: reference.into(),
                reason: reason.into(),
            };
            accept(decision, order, kind)
        }
        _ => decision.refuse(refusal_of_transition(order, OrderState::Refunded)),
    }
}

/// Notes in the audit what happened to an order's contact.
pub(super) fn note_contact(
    decision: &mut Decision<'_>,
    order: Seq,
    kind: impl Fn(Seq, DropId) -> EventKind,
) -> Outcome {
    match find_order(decision.state, order) {
        Ok((order, _)) => accept(decision, order, kind(order.seq, order.drop_id)),
        Err(refusal) => decision.refuse(refusal),
    }
}

/// The orders' part of an event. Counters of the drop have moved already (`drops::evolve`).
pub(super) fn evolve(state: &mut State, event: &Event) {
    if let EventKind::OrderReserved { .. } = event.kind {
        return reserved(state, event);
    }
    let Some(seq) = event.kind.order() else { return };
    let Some(order) = state.orders.get_mut(&seq) else {
        panic!("event {} is about order {seq}, not in memory", event.seq)
    };
    assert_eq!(event.prev_seq, order.last_seq, "an order's events name the one before");
    order.last_seq = event.seq;
    match &event.kind {
        EventKind::OrderCheckedOut { expires_at, .. } => {
            assert_eq!(order.state, OrderState::Reserved, "only a reserved order is checked out");
            order.state = OrderState::AwaitingPayment;
            let before = std::mem::replace(&mut order.expires_at, *expires_at);
            let drop_id = order.drop_id;
            state.unschedule_expiry(drop_id, before, seq);
            state.schedule_expiry(drop_id, *expires_at, seq);
        }
        EventKind::OrderCancelled { .. } => leave(state, event, seq, OrderState::Cancelled, None),
        EventKind::OrderExpired { .. } => leave(state, event, seq, OrderState::Expired, None),
        EventKind::OrderPaid { amount, reference, .. } => {
            let payment = Payment { reference: reference.clone(), received: *amount, refunded: Amount::ZERO };
            leave(state, event, seq, OrderState::Paid, Some(payment));
        }
        EventKind::OrderRefunded { amount, restock_quantity, complete, key, .. } => {
            refunded(order, *amount, *restock_quantity, *complete);
            let (drop_id, buyer) = (order.drop_id, order.buyer);
            move_buyer(state, drop_id, buyer, -i64::from(*restock_quantity));
            let remembered = RememberedCommand { seq: event.seq, params: key.params, subject: seq.get() };
            state.command_keys.remember(key.digest, remembered);
            state.command_keys.release(key.digest, event.at, event.seq);
        }
        EventKind::RefundSettled { amount, .. } => refunded(order, *amount, 0, true),
        EventKind::ContactCorrected { .. } | EventKind::ContactRead { .. } | EventKind::ContactErased { .. } => {}
        EventKind::DropCreated { .. }
        | EventKind::DropPatched { .. }
        | EventKind::DropStarted { .. }
        | EventKind::DropEnded { .. }
        | EventKind::DropPaused { .. }
        | EventKind::DropResumed { .. }
        | EventKind::DropClosed { .. }
        | EventKind::StockAdjusted { .. }
        | EventKind::MismatchFound { .. }
        | EventKind::MismatchCleared { .. }
        | EventKind::OrderReserved { .. }
        | EventKind::ContactsExported { .. }
        | EventKind::EventsLost { .. } => {}
    }
}

fn reserved(state: &mut State, event: &Event) {
    let EventKind::OrderReserved { drop_id, buyer, key, quantity, unit_price, expires_at } = event.kind else { return };
    let order = Order {
        seq: event.seq,
        last_seq: event.seq,
        drop_id,
        buyer,
        key,
        quantity,
        returned: 0,
        unit_price,
        state: OrderState::Reserved,
        expires_at,
        payment: None,
    };
    state.orders.insert(order.seq, order);
    state.schedule_expiry(drop_id, expires_at, event.seq);
    state.order_keys.remember(key, RememberedOrder { seq: event.seq, quantity });
    move_buyer(state, drop_id, buyer, i64::from(quantity.get()));
}

/// A live order leaves the living: its units are sold, or come back.
fn leave(state: &mut State, event: &Event, seq: Seq, to: OrderState, payment: Option<Payment>) {
    let Some(order) = state.orders.get_mut(&seq) else { return };
    assert!(order.state.is_live(), "order {seq} leaves {:?}, which is not live", order.state);
    order.state = to;
    order.payment = payment;
    if to != OrderState::Paid {
        order.returned = order.quantity.get();
    }
    let (drop_id, buyer, key, expires_at) = (order.drop_id, order.buyer, order.key, order.expires_at);
    let returned = i64::from(order.returned);
    state.settled.insert(seq);
    state.unschedule_expiry(drop_id, expires_at, seq);
    state.order_keys.release(key, event.at, seq);
    move_buyer(state, drop_id, buyer, -returned);
}

fn refunded(order: &mut Order, amount: Amount, restock_quantity: u16, complete: bool) {
    let Some(payment) = order.payment.as_mut() else { panic!("order {} is refunded but was not paid", order.seq) };
    let refunded = payment.refunded.plus(amount).filter(|refunded| *refunded <= payment.received);
    payment.refunded = refunded.unwrap_or_else(|| panic!("order {} is refunded more than was received", order.seq));
    let returned = order.returned.checked_add(restock_quantity).filter(|returned| *returned <= order.quantity.get());
    order.returned = returned.unwrap_or_else(|| panic!("order {}: more units come back than there are", order.seq));
    if complete {
        order.state = OrderState::Refunded;
    }
}

fn move_buyer(state: &mut State, drop_id: DropId, buyer: Digest, units: i64) {
    if let Some(entry) = state.drops.get_mut(index(drop_id)) {
        entry.use_units(buyer, units);
    }
}
