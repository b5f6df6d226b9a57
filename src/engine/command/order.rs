//! Commands about orders and their contacts.

use super::standby;
use crate::engine::drops::{ended, find};
use crate::engine::event::{
    CancelledByOperator, OrderEvent, OrderPaid, OrderReserved, PaymentEvent, ReservedWithFacts,
};
use crate::engine::identities::check_missing;
use crate::engine::orders::{find_order, refusal_of_transition};
use crate::engine::{
    Decision, DropEntry, Effect, EventBody, EventSubject, Order, Outcome, Refusal, Reservation, Room, SoldOut, Subject,
};
use crate::failpoints::{self, Bug};
use crate::types::{
    Amount, Digest, DropId, IdentityDigests, OrderFacts, OrderState, Provider, Quantity, ReceivedPayment, Seq,
    UnitPrice, UnixMillis,
};

const NO_IDENTITIES: IdentityDigests = IdentityDigests::NONE;

/// A command about an order or its contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderCommand {
    /// Reserves units of a drop.
    Place(PlaceOrder),
    /// Reserves units of a drop; where too few are free, joins the line.
    PlaceOrStandBy(PlaceOrder),
    /// Joins the line behind a drop that is sold out.
    JoinStandby(PlaceOrder),
    /// Leaves the line, for the buyer.
    LeaveStandby {
        drop_id: DropId,
        buyer: Digest,
    },
    /// Tells of a buyer's entry in the line, or of the order that they got from it.
    FindStandby {
        drop_id: DropId,
        buyer: Digest,
    },
    /// Goes on to payment; the contact is private data.
    Checkout {
        order: Seq,
    },
    /// Returns the units, for the buyer.
    Cancel {
        order: Seq,
    },
    /// Returns the units of a live order, for an operator.
    CancelByOperator(CancelByOperator),
    /// Notes in the audit that an operator reads a contact.
    ReadContact {
        order: Seq,
    },
    EraseContact {
        order: Seq,
    },
}

super::names!(OrderCommand {
    Place = "place_order",
    PlaceOrStandBy = "place_or_stand_by",
    JoinStandby = "join_standby",
    LeaveStandby = "leave_standby",
    FindStandby = "find_standby",
    Checkout = "checkout",
    Cancel = "cancel_order",
    CancelByOperator = "cancel_by_operator",
    ReadContact = "read_contact",
    EraseContact = "erase_contact",
});

/// The parameters of a new order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceOrder {
    pub drop_id: DropId,
    pub buyer: Digest,
    /// The digest of (drop, buyer, idempotency key).
    pub key: Digest,
    /// Units to reserve, all or none.
    pub quantity: Quantity,
    /// True if a contact came along: the order goes on to `awaiting_payment` in one step.
    pub contact_given: bool,
    /// Notes of the front end, where the order's drop has caps or a waiting room, or the order is suspicious.
    pub facts: Option<Box<OrderFacts>>,
}

/// The parameters of an operator's cancellation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelByOperator {
    pub order: Seq,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

impl OrderCommand {
    /// The order that the command would make, now or when units come back.
    pub(super) const fn placed(&self) -> Option<&PlaceOrder> {
        match self {
            OrderCommand::Place(order) | OrderCommand::PlaceOrStandBy(order) | OrderCommand::JoinStandby(order) => {
                Some(order)
            }
            OrderCommand::LeaveStandby { .. }
            | OrderCommand::FindStandby { .. }
            | OrderCommand::Checkout { .. }
            | OrderCommand::Cancel { .. }
            | OrderCommand::CancelByOperator(_)
            | OrderCommand::ReadContact { .. }
            | OrderCommand::EraseContact { .. } => None,
        }
    }

    /// The drop that the command names itself.
    pub(super) const fn drop_id(&self) -> Option<DropId> {
        match self {
            OrderCommand::Place(order) | OrderCommand::PlaceOrStandBy(order) | OrderCommand::JoinStandby(order) => {
                Some(order.drop_id)
            }
            OrderCommand::LeaveStandby { drop_id, .. } | OrderCommand::FindStandby { drop_id, .. } => Some(*drop_id),
            OrderCommand::Checkout { .. }
            | OrderCommand::Cancel { .. }
            | OrderCommand::CancelByOperator(_)
            | OrderCommand::ReadContact { .. }
            | OrderCommand::EraseContact { .. } => None,
        }
    }

    /// The order that the command names; a new order has no number yet.
    pub(super) const fn order(&self) -> Option<Seq> {
        match self {
            OrderCommand::Place(_)
            | OrderCommand::PlaceOrStandBy(_)
            | OrderCommand::JoinStandby(_)
            | OrderCommand::LeaveStandby { .. }
            | OrderCommand::FindStandby { .. } => None,
            OrderCommand::Checkout { order }
            | OrderCommand::Cancel { order }
            | OrderCommand::ReadContact { order }
            | OrderCommand::EraseContact { order } => Some(*order),
            OrderCommand::CancelByOperator(cancel) => Some(cancel.order),
        }
    }
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &OrderCommand) -> Outcome {
    let decided = match command {
        OrderCommand::Place(order) => return place(decision, order),
        OrderCommand::PlaceOrStandBy(order) => match place(decision, order) {
            Outcome::Refused { refusal: Refusal::SoldOut(_) | Refusal::AllSold { .. }, .. } => {
                standby::join(decision, order)
            }
            outcome @ (Outcome::Accepted(_)
            | Outcome::Repeated { .. }
            | Outcome::Refused { .. }
            | Outcome::Advanced) => return outcome,
        },
        OrderCommand::JoinStandby(order) => standby::join(decision, order),
        OrderCommand::LeaveStandby { drop_id, buyer } => standby::leave(decision, *drop_id, *buyer),
        OrderCommand::FindStandby { drop_id, buyer } => standby::look_up(decision, *drop_id, *buyer),
        OrderCommand::Checkout { order } => checkout(decision, *order),
        OrderCommand::Cancel { order } => cancel(decision, *order, None),
        OrderCommand::CancelByOperator(command) => cancel(decision, command.order, Some(&command.reason)),
        OrderCommand::ReadContact { order } => note(decision, *order, OrderEvent::ContactRead),
        OrderCommand::EraseContact { order } => note(decision, *order, OrderEvent::ContactErased),
    };
    decision.outcome(decided)
}

/// Emits an event of an order.
pub(super) fn accept(decision: &mut Decision<'_>, order: &Order, body: impl Into<EventBody>) -> Outcome {
    let seq = decision.emit(order.last_seq, order.event_subject(), body);
    Outcome::changed(seq, Subject::Order(order.seq))
}

/// The checks stand in the order of precedence of refusals (`src/http/README.md`, "Errors"). The hot path: an outcome of
/// 64 bytes is written once, which a `Result` around it would copy at every return.
fn place(decision: &mut Decision<'_>, order: &PlaceOrder) -> Outcome {
    let entry = match find(decision.state, order.drop_id) {
        Ok(entry) => entry,
        Err(refusal) => return decision.refuse(refusal),
    };
    if let Some(remembered) = decision.state.order_keys.get(&order.key) {
        return if remembered.quantity == order.quantity {
            decision.repeat(Subject::Order(remembered.seq))
        } else {
            decision.refuse(Refusal::KeyReused)
        };
    }
    if entry.standby.is_some()
        && let Some(outcome) = standby::repeated_key(decision, entry, order)
    {
        return outcome;
    }
    if entry.blind.is_some() {
        let recorded = standby::join(decision, order);
        return decision.outcome(recorded);
    }
    match may_order(entry, order, decision.at()) {
        Ok(()) => reserve(decision, entry, order),
        Err(refusal) => decision.refuse(refusal),
    }
}

/// Refuses an order. The last reason is that too few units are free.
#[inline]
pub(super) fn may_order(entry: &DropEntry, order: &PlaceOrder, at: UnixMillis) -> Result<(), Refusal> {
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
    if let Some(room) = &entry.room
        && !failpoints::enabled(Bug::OrdersWithoutAdmission)
    {
        may_enter(entry, room, order, at)?;
    }
    check_limits(entry, order)?;
    let one_too_many = u32::from(failpoints::enabled(Bug::OneTooMany));
    let available = entry.available().saturating_add(one_too_many);
    if order.quantity.units() > available {
        if entry.room.is_some() && entry.is_sold_for_good() {
            return Err(Refusal::AllSold { standby: entry.standby_len() });
        }
        let next_expiry_at = entry.next_expiry().map(|(at, _)| at);
        let (held, standby) = (entry.held, entry.standby_len());
        return Err(Refusal::SoldOut(SoldOut { available, held, next_expiry_at, standby }));
    }
    Ok(())
}

/// Refuses an order for which the buyer's limit or a cap leaves no room.
#[inline]
pub(super) fn check_limits(entry: &DropEntry, order: &PlaceOrder) -> Result<(), Refusal> {
    let identities = order.facts.as_deref().map(|facts| &facts.identities);
    if entry.capped {
        check_missing(entry, identities.unwrap_or(&NO_IDENTITIES))?;
    }
    let used = entry.used_by(&order.buyer);
    let limit = entry.spec.per_buyer_limit;
    if u64::from(used).saturating_add(u64::from(order.quantity.get())) > u64::from(limit) {
        return Err(Refusal::LimitReached { limit, used });
    }
    if entry.capped
        && let Some((identity, limit)) = entry.capped_identity(identities.unwrap_or(&NO_IDENTITIES), order.quantity)
    {
        return Err(Refusal::IdentityLimitReached { identity, limit });
    }
    Ok(())
}

/// Refuses buyers who are not admitted; with every unit sold, they need not wait.
#[cold]
fn may_enter(entry: &DropEntry, room: &Room, order: &PlaceOrder, at: UnixMillis) -> Result<(), Refusal> {
    room.check_admission(&order.buyer, order.quantity, entry.available(), at).map_err(|refusal| {
        match entry.is_sold_for_good() {
            true => Refusal::AllSold { standby: entry.standby_len() },
            false => refusal,
        }
    })
}

#[inline]
fn reserve(decision: &mut Decision<'_>, entry: &DropEntry, command: &PlaceOrder) -> Outcome {
    let PlaceOrder { drop_id, buyer, key, quantity, contact_given, ref facts } = *command;
    let at = decision.at();
    let unit_price = entry.spec.unit_price;
    let mut expires_at = at.plus_seconds(entry.spec.reservation_seconds);
    let reserved = OrderReserved { buyer, key, quantity, unit_price, expires_at };
    let event = match facts {
        None => OrderEvent::Reserved(reserved),
        Some(facts) => {
            OrderEvent::ReservedWithFacts(Box::new(ReservedWithFacts { reserved, facts: OrderFacts::clone(facts) }))
        }
    };
    let order = decision.emit_new_order(drop_id, event);
    let (mut seq, mut state) = (order, OrderState::Reserved);
    if contact_given {
        expires_at = at.plus_seconds(entry.spec.payment_seconds);
        let subject = EventSubject::Order { order, drop_id };
        seq = decision.emit(order, subject, OrderEvent::CheckedOut { expires_at });
        state = OrderState::AwaitingPayment;
        if unit_price == UnitPrice::default() {
            seq = decision.emit(seq, subject, paid_with_nothing(quantity));
            state = OrderState::Paid;
        }
    }
    let currency = entry.spec.currency;
    Outcome::reserved(Reservation {
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

fn checkout(decision: &mut Decision<'_>, order: Seq) -> Result<Outcome, Refusal> {
    let (order, entry) = find_order(decision.state, order)?;
    let event = match order.state {
        OrderState::Reserved => {
            OrderEvent::CheckedOut { expires_at: decision.at().plus_seconds(entry.spec.payment_seconds) }
        }
        OrderState::AwaitingPayment => OrderEvent::ContactCorrected,
        OrderState::Paid
        | OrderState::Cancelled
        | OrderState::Expired
        | OrderState::RefundDue
        | OrderState::Refunded => return Err(refusal_of_transition(order, OrderState::AwaitingPayment)),
    };
    let outcome = accept(decision, order, event);
    if order.amount() != Amount::ZERO {
        return Ok(outcome);
    }
    let Outcome::Accepted(Effect::Changed { seq, subject }) = outcome else { return Ok(outcome) };
    let seq = decision.emit(seq, order.event_subject(), paid_with_nothing(order.quantity));
    Ok(Outcome::changed(seq, subject))
}

/// The payment of an order that costs nothing: its checkout is all that it awaits, and no provider takes 0.
fn paid_with_nothing(quantity: Quantity) -> PaymentEvent {
    let reference = "free".into();
    let payment = ReceivedPayment { provider: Provider::Manual, reference, amount: Amount::ZERO, foreign: None };
    PaymentEvent::Paid(OrderPaid { quantity, payment, retaken: false, reason: "".into() })
}

/// Cancels for the buyer; with a reason, for an operator.
fn cancel(decision: &mut Decision<'_>, order: Seq, reason: Option<&str>) -> Result<Outcome, Refusal> {
    let (order, _) = find_order(decision.state, order)?;
    let quantity = order.quantity;
    match order.state {
        OrderState::Reserved | OrderState::AwaitingPayment => {
            let event = match reason.map(Into::into) {
                Some(reason) => OrderEvent::CancelledByOperator(CancelledByOperator { quantity, reason }),
                None => OrderEvent::Cancelled { quantity },
            };
            Ok(accept(decision, order, event))
        }
        OrderState::Cancelled => Ok(decision.repeat(Subject::Order(order.seq))),
        OrderState::Paid | OrderState::Expired | OrderState::RefundDue | OrderState::Refunded => {
            Err(refusal_of_transition(order, OrderState::Cancelled))
        }
    }
}

/// Notes in the audit what happened to an order's contact.
fn note(decision: &mut Decision<'_>, order: Seq, event: OrderEvent) -> Result<Outcome, Refusal> {
    let (order, _) = find_order(decision.state, order)?;
    Ok(accept(decision, order, event))
}
