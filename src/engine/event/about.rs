//! What an event is about: its word, its drop, its order, and how it moves the counters.

use super::{EventKind, StockDelta};
use crate::types::{DropId, Seq};

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
            EventKind::AuctionCreated { .. } => "auction_created",
            EventKind::AuctionStarted { .. } => "auction_started",
            EventKind::BidPlaced { .. } => "bid_placed",
            EventKind::AuctionEnded { .. } => "auction_ended",
            EventKind::AuctionCancelled { .. } => "auction_cancelled",
            EventKind::AuctionAwarded { .. } => "auction_awarded",
            EventKind::SessionRecorded { .. } => "session_recorded",
            EventKind::ContactRead { .. } => "contact_read",
            EventKind::ContactErased { .. } => "contact_erased",
            EventKind::ContactsExported { .. } => "contacts_exported",
            EventKind::EventsLost { .. } => "events_lost",
            EventKind::Endpoint(event) => event.name(),
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
            | EventKind::AuctionCreated { drop_id, .. }
            | EventKind::AuctionStarted { drop_id, .. }
            | EventKind::BidPlaced { drop_id, .. }
            | EventKind::AuctionEnded { drop_id, .. }
            | EventKind::AuctionCancelled { drop_id, .. }
            | EventKind::AuctionAwarded { drop_id, .. }
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
            | EventKind::AuctionCreated { .. }
            | EventKind::AuctionStarted { .. }
            | EventKind::BidPlaced { .. }
            | EventKind::AuctionEnded { .. }
            | EventKind::AuctionCancelled { .. }
            | EventKind::AuctionAwarded { .. }
            | EventKind::ContactsExported { .. }
            | EventKind::Endpoint(_)
            | EventKind::EventsLost { .. } => None,
        }
    }

    /// Whether it makes an order, whose number is its own.
    #[must_use]
    pub const fn makes_order(&self) -> bool {
        matches!(self, EventKind::OrderReserved { .. } | EventKind::AuctionAwarded { .. })
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
            EventKind::AuctionAwarded { .. } => Some(held(1)),
            EventKind::AuctionCreated { .. } => Some(StockDelta { total: 1, ..StockDelta::default() }),
            // The version of an auction is that of its hidden drop.
            EventKind::AuctionStarted { .. }
            | EventKind::BidPlaced { .. }
            | EventKind::AuctionEnded { .. }
            | EventKind::AuctionCancelled { .. } => Some(StockDelta::default()),
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
