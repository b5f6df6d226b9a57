//! Events: past tense and complete. Memory, tables and audit are made from events and nothing else.
//!
//! A file per noun holds its events and what they change in memory. What every event has stands in its header.

pub(super) mod auction;
pub(super) mod buyer;
pub(super) mod drop;
pub(super) mod endpoint;
pub(super) mod file;
pub(super) mod metadata;
pub(super) mod order;
pub(super) mod payment;
pub(super) mod room;
pub(super) mod standby;

pub use auction::{AuctionAwarded, AuctionCreated, AuctionEvent, BidPlaced};
pub use buyer::{BuyerEvent, TierSet};
pub use drop::{DropCreated, DropEvent, DropPatched, StandbyJoined, StandbyLeaving, StockAdjusted};
pub use endpoint::{DeliveriesMarked, DeliveriesResent, EndpointCreated, EndpointEvent, EndpointPatched};
pub use file::FileEvent;
pub use metadata::{EventHeader, EventSubject, StockDelta};
pub use order::{CancelledByOperator, OrderEvent, OrderReserved, ReservedWithFacts, StandbyGranted};
pub use payment::{
    DeferredProviderEvent, EarlyEvent, OrderPaid, PaymentEvent, PaymentNotKept, PaymentReplaced, ProviderEventRecorded,
    Refund, RefundFailed, RefundReported, RefundSettled,
};
pub use room::{BeaconPosted, DrawFinished, RoomEvent, TicketTaken};

use super::CommandKey;
use crate::types::{AuctionId, DropId, Seq, UnixMillis};

/// One thing that happened, with its number and its instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub seq: Seq,
    /// The instant of the command, or the instant at which the event was due.
    pub at: UnixMillis,
    /// The previous event of the same subject; 0 for a subject's first event.
    pub prev_seq: Seq,
    /// The resource that the event belongs to.
    pub subject: EventSubject,
    pub body: EventBody,
}

// A batch holds thousands of them, most of new orders.
const _: () = assert!(size_of::<Event>() <= 112);

/// The event itself, by noun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventBody {
    Drop(DropEvent),
    Order(OrderEvent),
    Payment(PaymentEvent),
    Auction {
        auction_id: AuctionId,
        event: AuctionEvent,
    },
    Endpoint {
        /// The seq of the event that created it.
        endpoint: Seq,
        event: Box<EndpointEvent>,
    },
    File(FileEvent),
    Buyer(Box<BuyerEvent>),
    Room(RoomEvent),
}

impl From<DropEvent> for EventBody {
    fn from(event: DropEvent) -> EventBody {
        EventBody::Drop(event)
    }
}

impl From<OrderEvent> for EventBody {
    fn from(event: OrderEvent) -> EventBody {
        EventBody::Order(event)
    }
}

impl From<PaymentEvent> for EventBody {
    fn from(event: PaymentEvent) -> EventBody {
        EventBody::Payment(event)
    }
}

impl From<RoomEvent> for EventBody {
    fn from(event: RoomEvent) -> EventBody {
        EventBody::Room(event)
    }
}

impl From<FileEvent> for EventBody {
    fn from(event: FileEvent) -> EventBody {
        EventBody::File(event)
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
            EventBody::Buyer(event) => event.name(),
            EventBody::Room(event) => event.name(),
        }
    }
}

impl Event {
    /// The header, for what needs no body.
    #[must_use]
    pub const fn header(&self) -> EventHeader {
        let Event { seq, at, prev_seq, subject, .. } = *self;
        EventHeader { seq, at, prev_seq, subject }
    }

    /// The drop that the event belongs to, itself or by its order.
    #[must_use]
    pub const fn drop_id(&self) -> Option<DropId> {
        self.header().drop_id()
    }

    /// The order that the event belongs to or makes.
    #[must_use]
    pub const fn order(&self) -> Option<Seq> {
        self.header().order()
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
            | EventBody::File(_)
            | EventBody::Buyer(_)
            | EventBody::Room(_) => None,
        }
    }

    /// Returns whether a buyer joins the line of a drop, which may be the first.
    pub(super) const fn joins_line(&self) -> bool {
        matches!(self.body, EventBody::Drop(DropEvent::StandbyJoined(_)))
    }

    /// The changes to the counters of its drop; `None` where the drop as clients see it stays as it is, so that
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
            EventBody::Auction { event: AuctionEvent::ContactErased { .. }, .. } => None,
            // The version of an auction is that of its hidden drop, and that of a room its drop's.
            EventBody::Auction { .. } | EventBody::Room(_) => Some(StockDelta::default()),
            EventBody::Endpoint { .. } | EventBody::File(_) | EventBody::Buyer(_) => None,
        }
    }
}
