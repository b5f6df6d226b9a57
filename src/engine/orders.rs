//! Orders: from the claim on units to money, and back.
//!
//! `quantity - returned` units of an order are taken from its drop in every state: held while it is live, sold after.

use super::drops::{ended, find, index};
use super::{
    Decision, DropEntry, Event, EventKind, Outcome, Payment, Refusal, RememberedOrder, Reservation, State, Subject,
    payments,
};
use crate::failpoints::{self, Bug};
use crate::types::{Amount, Digest, DropId, OrderState, Quantity, Seq, UnitPrice, UnixMillis};

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
    /// What came in for it.
    pub payments: Box<[Payment]>,
}

// There may be millions of them: 96 bytes are a size that allocators have, one more takes 112.
const _: () = assert!(size_of::<Order>() <= 96);

impl Order {
    /// Notes another payment.
    pub(super) fn add(&mut self, payment: Payment) {
        let mut payments = std::mem::take(&mut self.payments).into_vec();
        payments.push(payment);
        self.payments = payments.into();
    }

    /// What the order costs.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }

    /// The payment that paid for it, and its place.
    #[must_use]
    pub fn paying(&self) -> Option<(usize, &Payment)> {
        self.payments.iter().enumerate().find(|(_, payment)| payment.pays)
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
    let one_too_many = u32::from(failpoints::enabled(Bug::OneTooMany));
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
pub(super) fn find_order(state: &State, seq: Seq) -> Result<(&Order, &DropEntry), Refusal> {
    let order = state.order(seq).ok_or(Refusal::NotFound)?;
    Ok((order, state.drop_entry(order.drop_id).ok_or(Refusal::NotFound)?))
}

/// Why an order in this state cannot become `to`.
pub(super) fn refusal_of_transition(order: &Order, to: OrderState) -> Refusal {
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
pub(super) fn accept(decision: &mut Decision<'_>, order: &Order, kind: EventKind) -> Outcome {
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

/// The buyer's word, or with a reason an operator's.
pub(super) fn cancel(decision: &mut Decision<'_>, order: Seq, reason: Option<&str>) -> Outcome {
    let order = match find_order(decision.state, order) {
        Ok((order, _)) => order,
        Err(refusal) => return decision.refuse(refusal),
    };
    match order.state {
        OrderState::Reserved | OrderState::AwaitingPayment => {
            let (seq, drop_id, quantity) = (order.seq, order.drop_id, order.quantity);
            let kind = match reason.map(Into::into) {
                Some(reason) => EventKind::OrderCancelledByOperator { order: seq, drop_id, quantity, reason },
                None => EventKind::OrderCancelled { order: seq, drop_id, quantity },
            };
            accept(decision, order, kind)
        }
        OrderState::Cancelled => decision.repeat(Subject::Order(order.seq)),
        OrderState::Paid | OrderState::Expired | OrderState::RefundDue | OrderState::Refunded => {
            decision.refuse(refusal_of_transition(order, OrderState::Cancelled))
        }
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
    if event.kind.makes_order() {
        return made(state, event);
    }
    let Some(seq) = event.kind.order() else { return };
    let Some(order) = state.orders.get_mut(&seq) else {
        panic!("event {} is about order {seq}, not in memory", event.seq)
    };
    assert_eq!(event.prev_seq, order.last_seq, "an order's events name the one before");
    order.last_seq = event.seq;
    let before = order.state;
    let after = match &event.kind {
        EventKind::OrderCheckedOut { expires_at, .. } => {
            assert_eq!(order.state, OrderState::Reserved, "only a reserved order is checked out");
            order.state = OrderState::AwaitingPayment;
            let before = std::mem::replace(&mut order.expires_at, *expires_at);
            let drop_id = order.drop_id;
            state.unschedule_expiry(drop_id, before, seq);
            state.schedule_expiry(drop_id, *expires_at, seq);
            OrderState::AwaitingPayment
        }
        EventKind::OrderCancelled { .. } | EventKind::OrderCancelledByOperator { .. } => {
            leave(state, event, seq, OrderState::Cancelled);
            OrderState::Cancelled
        }
        EventKind::OrderExpired { .. } => {
            leave(state, event, seq, OrderState::Expired);
            OrderState::Expired
        }
        EventKind::OrderPaid { .. }
        | EventKind::PaymentNotKept { .. }
        | EventKind::OrderRefunded { .. }
        | EventKind::RefundRequested { .. }
        | EventKind::RefundSettled { .. }
        | EventKind::RefundReported { .. } => {
            payments::evolve(state, event, seq);
            state.order(seq).map_or(before, |order| order.state)
        }
        EventKind::ContactCorrected { .. }
        | EventKind::ContactRead { .. }
        | EventKind::ContactErased { .. }
        | EventKind::PaymentFailed { .. }
        | EventKind::ChargebackCreated { .. }
        | EventKind::ProviderEventRecorded { .. }
        | EventKind::SessionRecorded { .. } => before,
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
        | EventKind::AuctionCreated { .. }
        | EventKind::AuctionStarted { .. }
        | EventKind::BidPlaced { .. }
        | EventKind::AuctionEnded { .. }
        | EventKind::AuctionCancelled { .. }
        | EventKind::AuctionAwarded { .. }
        | EventKind::ContactsExported { .. }
        | EventKind::Endpoint(_)
        | EventKind::EventsLost { .. } => before,
    };
    if after != before {
        uncount(state, before);
        count(state, after);
    }
}

/// One order more is in this state.
pub(super) fn count(state: &mut State, order_state: OrderState) {
    let orders = &mut state.orders_by_state[order_state.index()];
    *orders = orders.saturating_add(1);
}

fn uncount(state: &mut State, order_state: OrderState) {
    let orders = &mut state.orders_by_state[order_state.index()];
    *orders = orders.saturating_sub(1);
}

/// A new order: a buyer reserved it, or an auction awarded it.
fn made(state: &mut State, event: &Event) {
    let fresh = if let EventKind::OrderReserved { drop_id, buyer, key, quantity, unit_price, expires_at } = event.kind {
        (drop_id, buyer, key, quantity, unit_price, expires_at, OrderState::Reserved)
    } else if let EventKind::AuctionAwarded { drop_id, buyer, unit_price, expires_at, .. } = event.kind {
        let key = Digest::of_award(event.seq);
        (drop_id, buyer, key, Quantity::ONE, unit_price, expires_at, OrderState::AwaitingPayment)
    } else {
        return;
    };
    let (drop_id, buyer, key, quantity, unit_price, expires_at, order_state) = fresh;
    let order = Order {
        seq: event.seq,
        last_seq: event.seq,
        drop_id,
        buyer,
        key,
        quantity,
        returned: 0,
        unit_price,
        state: order_state,
        expires_at,
        payments: Box::default(),
    };
    state.orders.insert(order.seq, Box::new(order));
    count(state, order_state);
    state.schedule_expiry(drop_id, expires_at, event.seq);
    state.order_keys.remember(key, RememberedOrder { seq: event.seq, quantity });
    move_buyer(state, drop_id, buyer, i64::from(quantity.get()));
}

/// A live order leaves the living: its units are sold, or come back.
pub(super) fn leave(state: &mut State, event: &Event, seq: Seq, to: OrderState) {
    let Some(order) = state.orders.get_mut(&seq) else { return };
    assert!(order.state.is_live(), "order {seq} leaves {:?}, which is not live", order.state);
    order.state = to;
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

pub(super) fn move_buyer(state: &mut State, drop_id: DropId, buyer: Digest, units: i64) {
    if let Some(entry) = state.drops.get_mut(index(drop_id)) {
        entry.use_units(buyer, units);
    }
}
