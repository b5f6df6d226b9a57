//! What happened. Past tense; complete: memory, tables and audit are made from events and nothing else.

use super::command::{CommandKey, DropPatch, DropSpec};
use super::endpoints::EndpointEvent;
use crate::types::{
    Amount, Currency, Digest, DropId, NotKept, OrderState, Provider, ProviderEventKind, Quantity, Received, Seq, Told,
    UnitPrice, UnixMillis,
};

/// One thing that happened, with its number and its instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its number.
    pub seq: Seq,
    /// When: the instant of the command, or the instant at which it was due.
    pub at: UnixMillis,
    /// The previous event of the same subject (its order, else its drop); 0 if there is none.
    pub prev_seq: Seq,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A drop was created.
    DropCreated {
        /// Its number.
        drop_id: DropId,
        /// What it sells.
        spec: Box<DropSpec>,
        /// The key of its creation.
        key: CommandKey,
    },
    /// An operator changed a drop.
    DropPatched {
        /// Which drop.
        drop_id: DropId,
        /// The changes.
        patch: Box<DropPatch>,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// A drop's start came.
    DropStarted {
        /// Which drop.
        drop_id: DropId,
    },
    /// A drop's end came.
    DropEnded {
        /// Which drop.
        drop_id: DropId,
    },
    /// An operator stopped new orders.
    DropPaused {
        /// Which drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// An operator let orders in again.
    DropResumed {
        /// Which drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// An operator ended the drop; its end is this event's instant.
    DropClosed {
        /// Which drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// Units came, or free units went.
    StockAdjusted {
        /// Which drop.
        drop_id: DropId,
        /// By how many.
        delta: i64,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// The auditor's recount does not agree: the drop is paused.
    MismatchFound {
        /// Which drop.
        drop_id: DropId,
    },
    /// The auditor's recount agrees again; the drop stays paused until an operator resumes it.
    MismatchCleared {
        /// Which drop.
        drop_id: DropId,
    },
    /// Units are held for a buyer. The seq of this event is the order's number.
    OrderReserved {
        /// Of which drop.
        drop_id: DropId,
        /// For whom.
        buyer: Digest,
        /// The digest of (drop, buyer, idempotency key).
        key: Digest,
        /// How many.
        quantity: Quantity,
        /// At which price.
        unit_price: UnitPrice,
        /// Until when (exclusively).
        expires_at: UnixMillis,
    },
    /// A contact was given; the order awaits its payment.
    OrderCheckedOut {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Until when (exclusively).
        expires_at: UnixMillis,
    },
    /// A contact was given again; nothing else moved.
    ContactCorrected {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
    },
    /// The buyer gave the units back.
    OrderCancelled {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units came back.
        quantity: Quantity,
    },
    /// An operator took a live order back.
    OrderCancelledByOperator {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units came back.
        quantity: Quantity,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// The time ran out and the units went back.
    OrderExpired {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units came back.
        quantity: Quantity,
    },
    /// Money came in: the units are sold.
    OrderPaid {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units are sold.
        quantity: Quantity,
        /// What came in.
        payment: Received,
        /// The order had expired: its units are taken again.
        retaken: bool,
        /// The operator's reason; empty where a provider told of it.
        reason: Box<str>,
    },
    /// Money came in that is owed back at once.
    PaymentNotKept {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// What came in.
        payment: Received,
        /// Why it is not kept.
        why: NotKept,
        /// The order's state after it.
        state: OrderState,
    },
    /// A buyer tried to pay, and could not.
    PaymentFailed {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// What did not come in.
        payment: Received,
    },
    /// Money went back, and units if the operator said so.
    OrderRefunded {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How much went back.
        amount: Amount,
        /// How many units went back on sale.
        restock_quantity: u16,
        /// The order's state after it.
        state: OrderState,
        /// The refund's idempotency key.
        key: CommandKey,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// Money is to go back through its provider; units go back at once if the operator said so.
    RefundRequested {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How much is to go back.
        amount: Amount,
        /// How many units went back on sale.
        restock_quantity: u16,
        /// The order's state after it.
        state: OrderState,
        /// The refund's idempotency key.
        key: CommandKey,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// Money that was owed has gone back.
    RefundSettled {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Of which payment: who took it.
        provider: Provider,
        /// Of which payment: its name there.
        payment: Box<str>,
        /// How much went back.
        amount: Amount,
        /// Its currency, where it is not the drop's.
        foreign: Option<Currency>,
        /// The order's state after it.
        state: OrderState,
        /// The operator's reference; empty where a provider told of it.
        reference: Box<str>,
        /// The operator's reason; empty where a provider told of it.
        reason: Box<str>,
    },
    /// A provider gave money back that nobody had asked it to.
    RefundReported {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Of which payment: who took it.
        provider: Provider,
        /// Of which payment: its name there.
        payment: Box<str>,
        /// How much went back.
        amount: Amount,
        /// The order's state after it.
        state: OrderState,
    },
    /// A buyer's bank takes a payment back.
    ChargebackCreated {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Which payment, and how much of it.
        payment: Received,
    },
    /// A provider's event came in. The first event of its command: what it leads to follows.
    ProviderEventRecorded {
        /// Which order it names, if one of ours.
        order: Option<Seq>,
        /// Of which drop that order is.
        drop_id: Option<DropId>,
        /// Who tells.
        provider: Provider,
        /// Its place in the inbox.
        id: Digest,
        /// What it is about.
        kind: ProviderEventKind,
        /// What became of it.
        told: Told,
    },
    /// A provider is ready to take an order's money.
    SessionRecorded {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Who.
        provider: Provider,
    },
    /// Something happened to whom the outbox tells.
    Endpoint(Box<EndpointEvent>),
    /// An operator read a contact.
    ContactRead {
        /// Of which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
    },
    /// A contact was erased.
    ContactErased {
        /// Of which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
    },
    /// An operator exported contacts.
    ContactsExported {
        /// Of which drop; of all if none.
        drop_id: Option<DropId>,
    },
    /// Events that had been answered are not in the file: a power loss took them, or an operator accepted their loss.
    EventsLost {
        /// How many.
        lost: u64,
        /// The last one that was answered; its number is given again.
        acknowledged: Seq,
    },
}

/// How an event moves the counters of its drop. Memory and tables both move by these.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StockDelta {
    /// Units that came (went, if negative).
    pub total: i64,
    /// Units that are held more (less, if negative).
    pub held: i64,
    /// Units that are sold more (less, if negative).
    pub sold: i64,
}

impl EventKind {
    /// The word in the audit.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::DropCreated { .. } => "drop_created",
            EventKind::DropPatched { .. } => "drop_patched",
            EventKind::DropStarted { .. } => "drop_started",
            EventKind::DropEnded { .. } => "drop_ended",
            EventKind::DropPaused { .. } => "drop_paused",
            EventKind::DropResumed { .. } => "drop_resumed",
            EventKind::DropClosed { .. } => "drop_closed",
            EventKind::StockAdjusted { .. } => "stock_adjusted",
            EventKind::MismatchFound { .. } => "mismatch_found",
            EventKind::MismatchCleared { .. } => "mismatch_cleared",
            EventKind::OrderReserved { .. } => "order_reserved",
            EventKind::OrderCheckedOut { .. } => "order_checked_out",
            EventKind::ContactCorrected { .. } => "contact_corrected",
            EventKind::OrderCancelled { .. } | EventKind::OrderCancelledByOperator { .. } => "order_cancelled",
            EventKind::OrderExpired { .. } => "order_expired",
            EventKind::OrderPaid { retaken: false, .. } => "order_paid",
            EventKind::OrderPaid { retaken: true, .. } => "order_retaken",
            EventKind::OrderRefunded { .. } => "order_refunded",
            EventKind::PaymentNotKept { .. } => "payment_not_kept",
            EventKind::PaymentFailed { .. } => "payment_failed",
            EventKind::RefundRequested { .. } => "refund_requested",
            EventKind::RefundSettled { .. } => "refund_settled",
            EventKind::RefundReported { .. } => "refund_reported",
            EventKind::ChargebackCreated { .. } => "chargeback_created",
            EventKind::ProviderEventRecorded { .. } => "provider_event_recorded",
            EventKind::SessionRecorded { .. } => "session_recorded",
            EventKind::Endpoint(event) => event.name(),
            EventKind::ContactRead { .. } => "contact_read",
            EventKind::ContactErased { .. } => "contact_erased",
            EventKind::ContactsExported { .. } => "contacts_exported",
            EventKind::EventsLost { .. } => "events_lost",
        }
    }

    /// The drop that it belongs to.
    #[must_use]
    pub const fn drop_id(&self) -> Option<DropId> {
        match self {
            EventKind::DropCreated { drop_id, .. }
            | EventKind::DropPatched { drop_id, .. }
            | EventKind::DropStarted { drop_id }
            | EventKind::DropEnded { drop_id }
            | EventKind::DropPaused { drop_id, .. }
            | EventKind::DropResumed { drop_id, .. }
            | EventKind::DropClosed { drop_id, .. }
            | EventKind::StockAdjusted { drop_id, .. }
            | EventKind::MismatchFound { drop_id }
            | EventKind::MismatchCleared { drop_id }
            | EventKind::OrderReserved { drop_id, .. }
            | EventKind::OrderCheckedOut { drop_id, .. }
            | EventKind::ContactCorrected { drop_id, .. }
            | EventKind::OrderCancelled { drop_id, .. }
            | EventKind::OrderCancelledByOperator { drop_id, .. }
            | EventKind::OrderExpired { drop_id, .. }
            | EventKind::OrderPaid { drop_id, .. }
            | EventKind::OrderRefunded { drop_id, .. }
            | EventKind::PaymentNotKept { drop_id, .. }
            | EventKind::PaymentFailed { drop_id, .. }
            | EventKind::RefundRequested { drop_id, .. }
            | EventKind::RefundSettled { drop_id, .. }
            | EventKind::RefundReported { drop_id, .. }
            | EventKind::ChargebackCreated { drop_id, .. }
            | EventKind::SessionRecorded { drop_id, .. }
            | EventKind::ContactRead { drop_id, .. }
            | EventKind::ContactErased { drop_id, .. } => Some(*drop_id),
            EventKind::ContactsExported { drop_id } | EventKind::ProviderEventRecorded { drop_id, .. } => *drop_id,
            EventKind::EventsLost { .. } | EventKind::Endpoint(_) => None,
        }
    }

    /// The order that it belongs to; `OrderReserved` makes its order, whose number is the event's own.
    #[must_use]
    pub const fn order(&self) -> Option<Seq> {
        match self {
            EventKind::OrderCheckedOut { order, .. }
            | EventKind::ContactCorrected { order, .. }
            | EventKind::OrderCancelled { order, .. }
            | EventKind::OrderCancelledByOperator { order, .. }
            | EventKind::OrderExpired { order, .. }
            | EventKind::OrderPaid { order, .. }
            | EventKind::OrderRefunded { order, .. }
            | EventKind::PaymentNotKept { order, .. }
            | EventKind::PaymentFailed { order, .. }
            | EventKind::RefundRequested { order, .. }
            | EventKind::RefundSettled { order, .. }
            | EventKind::RefundReported { order, .. }
            | EventKind::ChargebackCreated { order, .. }
            | EventKind::SessionRecorded { order, .. }
            | EventKind::ContactRead { order, .. }
            | EventKind::ContactErased { order, .. } => Some(*order),
            EventKind::ProviderEventRecorded { order, .. } => *order,
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
            | EventKind::Endpoint(_)
            | EventKind::EventsLost { .. } => None,
        }
    }

    /// How it moves the counters of its drop; `None` where the drop as clients see it stays as it is, so that its
    /// version stays too.
    #[must_use]
    pub fn stock_delta(&self) -> Option<StockDelta> {
        let held = |units: i64| StockDelta { held: units, ..StockDelta::default() };
        match self {
            EventKind::DropCreated { spec, .. } => {
                Some(StockDelta { total: i64::from(spec.total), ..StockDelta::default() })
            }
            EventKind::StockAdjusted { delta, .. } => Some(StockDelta { total: *delta, ..StockDelta::default() }),
            EventKind::DropPatched { .. }
            | EventKind::DropStarted { .. }
            | EventKind::DropEnded { .. }
            | EventKind::DropPaused { .. }
            | EventKind::DropResumed { .. }
            | EventKind::DropClosed { .. }
            | EventKind::MismatchFound { .. }
            | EventKind::MismatchCleared { .. } => Some(StockDelta::default()),
            EventKind::OrderReserved { quantity, .. } => Some(held(i64::from(quantity.get()))),
            EventKind::OrderCancelled { quantity, .. }
            | EventKind::OrderCancelledByOperator { quantity, .. }
            | EventKind::OrderExpired { quantity, .. } => Some(held(-i64::from(quantity.get()))),
            EventKind::OrderPaid { quantity, retaken, .. } => {
                let units = i64::from(quantity.get());
                let held = if *retaken { 0 } else { -units };
                Some(StockDelta { held, sold: units, ..StockDelta::default() })
            }
            EventKind::OrderRefunded { restock_quantity: 0, .. }
            | EventKind::RefundRequested { restock_quantity: 0, .. } => None,
            EventKind::OrderRefunded { restock_quantity, .. } | EventKind::RefundRequested { restock_quantity, .. } => {
                Some(StockDelta { sold: -i64::from(*restock_quantity), ..StockDelta::default() })
            }
            EventKind::OrderCheckedOut { .. }
            | EventKind::ContactCorrected { .. }
            | EventKind::PaymentNotKept { .. }
            | EventKind::PaymentFailed { .. }
            | EventKind::RefundSettled { .. }
            | EventKind::RefundReported { .. }
            | EventKind::ChargebackCreated { .. }
            | EventKind::ProviderEventRecorded { .. }
            | EventKind::SessionRecorded { .. }
            | EventKind::ContactRead { .. }
            | EventKind::ContactErased { .. }
            | EventKind::ContactsExported { .. }
            | EventKind::Endpoint(_)
            | EventKind::EventsLost { .. } => None,
        }
    }
}
