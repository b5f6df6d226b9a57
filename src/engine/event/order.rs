//! Events of orders and their contacts.

use super::metadata::{EventHeader, StockDelta};
use crate::engine::orders::{count, follow, leave, move_units, recount};
use crate::engine::{Order, PlaceEnding, RememberedOrder, State, auctions, rooms, standby};
use crate::types::{Digest, OrderFacts, OrderState, Quantity, Seq, TicketNumber, UnitPrice, UnixMillis};

/// An event of an order or its contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderEvent {
    Reserved(OrderReserved),
    /// A reservation about which something was noted.
    ReservedWithFacts(Box<ReservedWithFacts>),
    /// A reservation for the first in line.
    Granted(Box<StandbyGranted>),
    /// A contact was given; the order awaits its payment.
    CheckedOut {
        /// The exclusive end of the time to pay.
        expires_at: UnixMillis,
    },
    /// A contact was given again; nothing else moved.
    ContactCorrected,
    /// The buyer gave the units back.
    Cancelled {
        quantity: Quantity,
    },
    CancelledByOperator(CancelledByOperator),
    /// The time ran out and the units went back.
    Expired {
        quantity: Quantity,
    },
    /// An operator read the contact.
    ContactRead,
    ContactErased,
}

/// Units are held for a buyer. The seq of this event is the order's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderReserved {
    pub buyer: Digest,
    /// The digest of (drop, buyer, idempotency key).
    pub key: Digest,
    pub quantity: Quantity,
    pub unit_price: UnitPrice,
    /// The exclusive end of the reservation.
    pub expires_at: UnixMillis,
}

/// Units are held for a buyer, and something was noted: an event of its own, so that those of most orders stay small.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReservedWithFacts {
    pub reserved: OrderReserved,
    /// The notes about the order; never empty.
    pub facts: OrderFacts,
}

/// Units are held for the first in line: they came back, or the buyer's turn in a blind window came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StandbyGranted {
    pub reserved: OrderReserved,
    /// The event by which the buyer joined the line.
    pub joined: Seq,
    /// True if the order awaits its payment at once: a contact came with the joining.
    pub awaits_payment: bool,
    /// The number of an order that the blind window recorded; nothing came back then.
    pub number: Option<TicketNumber>,
    pub facts: Option<Box<OrderFacts>>,
}

/// An operator cancelled a live order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelledByOperator {
    pub quantity: Quantity,
    pub reason: Box<str>,
}

impl OrderEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            OrderEvent::Reserved(_) | OrderEvent::ReservedWithFacts(_) | OrderEvent::Granted(_) => "order_reserved",
            OrderEvent::CheckedOut { .. } => "order_checked_out",
            OrderEvent::ContactCorrected => "contact_corrected", // not sent: nothing but personal data changed
            OrderEvent::Cancelled { .. } | OrderEvent::CancelledByOperator(_) => "order_cancelled",
            OrderEvent::Expired { .. } => "order_expired",
            OrderEvent::ContactRead => "contact_read", // not sent: for the audit
            OrderEvent::ContactErased => "contact_erased", // not sent: for the audit
        }
    }

    /// The reservation and what was noted about it, if the event is one.
    #[must_use]
    pub fn reservation(&self) -> Option<(&OrderReserved, Option<&OrderFacts>)> {
        match self {
            OrderEvent::Reserved(reserved) => Some((reserved, None)),
            OrderEvent::ReservedWithFacts(with_facts) => Some((&with_facts.reserved, Some(&with_facts.facts))),
            OrderEvent::Granted(granted) => Some((&granted.reserved, granted.facts.as_deref())),
            OrderEvent::CheckedOut { .. }
            | OrderEvent::ContactCorrected
            | OrderEvent::Cancelled { .. }
            | OrderEvent::CancelledByOperator(_)
            | OrderEvent::Expired { .. }
            | OrderEvent::ContactRead
            | OrderEvent::ContactErased => None,
        }
    }

    /// The units that are reserved or come back, if any.
    #[must_use]
    pub fn quantity(&self) -> Option<Quantity> {
        match self {
            OrderEvent::ReservedWithFacts(with_facts) => Some(with_facts.reserved.quantity),
            OrderEvent::Granted(granted) => Some(granted.reserved.quantity),
            OrderEvent::Reserved(OrderReserved { quantity, .. })
            | OrderEvent::Cancelled { quantity }
            | OrderEvent::CancelledByOperator(CancelledByOperator { quantity, .. })
            | OrderEvent::Expired { quantity } => Some(*quantity),
            OrderEvent::CheckedOut { .. }
            | OrderEvent::ContactCorrected
            | OrderEvent::ContactRead
            | OrderEvent::ContactErased => None,
        }
    }

    pub(super) fn stock_delta(&self) -> Option<StockDelta> {
        let units = i64::from(self.quantity()?.get());
        Some(StockDelta::held(if self.reservation().is_some() { units } else { -units }))
    }
}

/// Makes the order of an event: a buyer reserved it, or an auction awarded it.
pub(super) fn made(
    state: &mut State,
    event: EventHeader,
    reserved: &OrderReserved,
    facts: Option<&OrderFacts>,
    order_state: OrderState,
) {
    let Some(drop_id) = event.drop_id() else { return };
    let OrderReserved { buyer, key, quantity, unit_price, expires_at } = *reserved;
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
    if let Some(facts) = facts.filter(|facts| !facts.identities.is_empty()) {
        state.identities.insert(event.seq, facts.identities);
    }
    move_units(state, event.seq, drop_id, buyer, i64::from(quantity.get()));
    rooms::note_order(state, event, &buyer);
}

/// The first in line gets an order.
fn grant(state: &mut State, event: EventHeader, granted: &StandbyGranted) {
    let StandbyGranted { reserved, joined, awaits_payment, number: _, facts } = granted;
    let order_state = if *awaits_payment { OrderState::AwaitingPayment } else { OrderState::Reserved };
    made(state, event, reserved, facts.as_deref(), order_state);
    if let Some(drop_id) = event.drop_id() {
        let ending = event.order().map(PlaceEnding::Ordered);
        standby::left(state, drop_id, *joined, &reserved.buyer, ending);
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, body: &OrderEvent) {
    if let OrderEvent::Granted(granted) = body {
        return grant(state, event, granted);
    }
    if let Some((reserved, facts)) = body.reservation() {
        return made(state, event, reserved, facts, OrderState::Reserved);
    }
    let Some(order) = follow(state, event) else { return };
    let (seq, drop_id) = (order.seq, order.drop_id);
    match body {
        OrderEvent::CheckedOut { expires_at } => {
            assert_eq!(order.state, OrderState::Reserved, "only a reserved order is checked out");
            order.state = OrderState::AwaitingPayment;
            let before = std::mem::replace(&mut order.expires_at, *expires_at);
            recount(state, OrderState::Reserved, OrderState::AwaitingPayment);
            state.unschedule_expiry(drop_id, before, seq);
            state.schedule_expiry(drop_id, *expires_at, seq);
        }
        OrderEvent::Cancelled { .. } | OrderEvent::CancelledByOperator(_) => {
            leave(state, event, seq, OrderState::Cancelled);
            auctions::offer_again(state, event);
        }
        OrderEvent::Expired { .. } => {
            leave(state, event, seq, OrderState::Expired);
            auctions::offer_again(state, event);
        }
        OrderEvent::Reserved(_)
        | OrderEvent::ReservedWithFacts(_)
        | OrderEvent::Granted(_)
        | OrderEvent::ContactCorrected
        | OrderEvent::ContactRead
        | OrderEvent::ContactErased => {}
    }
}
