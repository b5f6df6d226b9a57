//! Orders in memory: from the reservation of units to money, and back.
//!
//! `quantity - returned` units of an order are taken from its drop in every state: held while it is live, sold after.

use super::event::metadata::{EventHeader, EventSubject};
use super::identities::move_identities;
use super::{DropEntry, Payment, Refusal, State};
use crate::failpoints::{self, Bug};
use crate::types::{Amount, Digest, DropId, OrderState, Provider, Quantity, Seq, UnitPrice, UnixMillis};

/// An order in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// The order's number: the seq of its `OrderReserved` event.
    pub seq: Seq,
    pub last_seq: Seq,
    pub drop_id: DropId,
    pub buyer: Digest,
    /// The digest of its idempotency key.
    pub key: Digest,
    /// Units that were ordered.
    pub quantity: Quantity,
    /// Units that came back.
    pub returned: u16,
    /// The price of one.
    pub unit_price: UnitPrice,
    pub state: OrderState,
    /// Until when it is live (exclusively).
    pub expires_at: UnixMillis,
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

    /// The subject of the order's events.
    pub(super) const fn event_subject(&self) -> EventSubject {
        EventSubject::Order { order: self.seq, drop_id: self.drop_id }
    }

    /// The payment that paid for the order.
    pub(super) fn paying_mut(&mut self) -> &mut Payment {
        let seq = self.seq;
        let paying = self.payments.iter_mut().find(|payment| payment.pays);
        paying.unwrap_or_else(|| panic!("order {seq} is refunded but was not paid"))
    }

    /// The payment of a provider's name.
    pub(super) fn payment_mut(&mut self, provider: Provider, reference: &str) -> &mut Payment {
        let seq = self.seq;
        let named = self.payments.iter_mut().find(|payment| payment.is(provider, reference));
        named.unwrap_or_else(|| panic!("order {seq} has no payment {reference}"))
    }
}

/// An order that a command names, and its drop.
pub(super) fn find_order(state: &State, seq: Seq) -> Result<(&Order, &DropEntry), Refusal> {
    let order = state.order(seq).ok_or(Refusal::NotFound)?;
    Ok((order, state.drop_entry(order.drop_id).ok_or(Refusal::NotFound)?))
}

/// The reason why an order in this state cannot become `to`.
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

/// The order of an event, which follows the order's last one; `None` for an event without an order.
///
/// # Panics
/// If the order is not in memory, or the event does not follow its last one.
pub(super) fn follow(state: &mut State, event: EventHeader) -> Option<&mut Order> {
    let seq = event.order()?;
    let Some(order) = state.orders.get_mut(&seq) else {
        panic!("event {} is about order {seq}, not in memory", event.seq)
    };
    assert_eq!(event.prev_seq, order.last_seq, "an order's events name the one before");
    order.last_seq = event.seq;
    Some(order)
}

/// Counts one more order in a state.
pub(super) fn count(state: &mut State, order_state: OrderState) {
    let orders = &mut state.orders_by_state[order_state.index()];
    *orders = orders.saturating_add(1);
}

/// Counts an order that went from one state to another.
pub(super) fn recount(state: &mut State, before: OrderState, after: OrderState) {
    if before != after {
        let orders = &mut state.orders_by_state[before.index()];
        *orders = orders.saturating_sub(1);
        count(state, after);
    }
}

/// Ends the live part of an order: its units are sold, or come back.
pub(super) fn leave(state: &mut State, event: EventHeader, seq: Seq, to: OrderState) {
    let Some(order) = state.orders.get_mut(&seq) else { return };
    assert!(order.state.is_live(), "order {seq} leaves {:?}, which is not live", order.state);
    let before = std::mem::replace(&mut order.state, to);
    if to != OrderState::Paid {
        order.returned = order.quantity.get();
    }
    let (drop_id, buyer, key, expires_at) = (order.drop_id, order.buyer, order.key, order.expires_at);
    let returned = i64::from(order.returned);
    recount(state, before, to);
    state.settled.insert(seq);
    state.unschedule_expiry(drop_id, expires_at, seq);
    state.order_keys.release(key, event.at, seq);
    if to == OrderState::Expired && failpoints::enabled(Bug::ExpiredKeepsIdentity) {
        return move_buyer(state, drop_id, buyer, -returned);
    }
    move_units(state, seq, drop_id, buyer, -returned);
}

/// Moves the counts of an order's buyer and of its identities.
pub(super) fn move_units(state: &mut State, order: Seq, drop_id: DropId, buyer: Digest, units: i64) {
    move_buyer(state, drop_id, buyer, units);
    move_identities(state, order, drop_id, units);
}

fn move_buyer(state: &mut State, drop_id: DropId, buyer: Digest, units: i64) {
    if let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) {
        entry.use_units(buyer, units);
    }
}

impl State {
    /// Returns the live orders in memory, in the order of their numbers.
    pub fn live_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().map(AsRef::as_ref).filter(|order: &&Order| order.state.is_live())
    }

    /// An order that an event names.
    pub(super) fn order_mut(&mut self, seq: Seq) -> &mut Order {
        self.orders.get_mut(&seq).unwrap_or_else(|| panic!("order {seq} is not in memory"))
    }

    /// Sets an order's state, and counts it there.
    pub(super) fn set_order_state(&mut self, seq: Seq, after: OrderState) {
        let before = std::mem::replace(&mut self.order_mut(seq).state, after);
        recount(self, before, after);
    }
}
