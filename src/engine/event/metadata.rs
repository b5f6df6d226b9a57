//! An event's metadata: its name, its drop, its order, and how it moves the counters of its drop.

use super::{AuctionEvent, DropEvent, Event, EventBody, EventSubject, PaymentEvent};
use crate::engine::CommandKey;
use crate::types::{DropId, Seq};

/// How an event moves the counters of its drop. Memory and tables both move by these.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StockDelta {
    /// Units that are added; negative where units are removed.
    pub total: i64,
    /// Units that are held in addition; negative where they are released.
    pub held: i64,
    /// Units that are sold in addition; negative where they come back.
    pub sold: i64,
}

impl StockDelta {
    /// A delta of held units alone.
    pub(super) fn held(units: i64) -> StockDelta {
        StockDelta { held: units, ..StockDelta::default() }
    }
}

impl EventBody {
    /// The event's name in the audit.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventBody::Drop(event) => event.name(),
            EventBody::Order(event) => event.name(),
            EventBody::Payment(event) => event.name(),
            EventBody::Auction { event, .. } => event.name(),
            EventBody::Endpoint { event, .. } => event.name(),
            EventBody::File(event) => event.name(),
        }
    }
}

impl Event {
    /// The drop that the event belongs to, itself or by its order.
    #[must_use]
    pub const fn drop_id(&self) -> Option<DropId> {
        match self.subject {
            EventSubject::File => None,
            EventSubject::Drop(drop_id) | EventSubject::Order { drop_id, .. } => Some(drop_id),
        }
    }

    /// The order that the event belongs to or makes.
    #[must_use]
    pub const fn order(&self) -> Option<Seq> {
        if let EventSubject::Order { order, .. } = self.subject { Some(order) } else { None }
    }

    /// Whether the event makes an order, whose number is the event's own.
    #[must_use]
    pub fn makes_order(&self) -> bool {
        self.order() == Some(self.seq)
    }

    /// The idempotency key that the event remembers, if any. Orders keep theirs.
    #[must_use]
    pub fn key(&self) -> Option<&CommandKey> {
        match &self.body {
            EventBody::Drop(DropEvent::Created(created)) => Some(&created.key),
            EventBody::Payment(PaymentEvent::Refunded(refund) | PaymentEvent::RefundRequested(refund)) => {
                Some(&refund.key)
            }
            EventBody::Auction { event: AuctionEvent::Created(created), .. } => Some(&created.key),
            EventBody::Auction { event: AuctionEvent::BidPlaced(bid), .. } => bid.key.as_deref(),
            EventBody::Endpoint { event, .. } => event.key(),
            EventBody::Drop(_)
            | EventBody::Order(_)
            | EventBody::Payment(_)
            | EventBody::Auction { .. }
            | EventBody::File(_) => None,
        }
    }

    /// How the event moves the counters of its drop; `None` where the drop as clients see it stays as it is, so that
    /// its version stays too.
    #[must_use]
    pub fn stock_delta(&self) -> Option<StockDelta> {
        match &self.body {
            EventBody::Drop(event) => Some(event.stock_delta()),
            EventBody::Order(event) => event.stock_delta(),
            EventBody::Payment(event) => event.stock_delta(),
            EventBody::Auction { event: AuctionEvent::Created(_), .. } => {
                Some(StockDelta { total: 1, ..StockDelta::default() })
            }
            EventBody::Auction { event: AuctionEvent::Awarded(_), .. } => Some(StockDelta::held(1)),
            // The version of an auction is that of its hidden drop.
            EventBody::Auction { .. } => Some(StockDelta::default()),
            EventBody::Endpoint { .. } | EventBody::File(_) => None,
        }
    }
}
