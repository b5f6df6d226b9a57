//! Events: past tense and complete. Memory, tables and audit are made from events and nothing else.
//!
//! A file per noun holds its events and what they change in memory. What every event has stands in its header.

pub(super) mod auction;
pub(super) mod drop;
pub(super) mod endpoint;
pub(super) mod file;
mod metadata;
pub(super) mod order;
pub(super) mod payment;

pub use auction::{AuctionAwarded, AuctionCreated, AuctionEvent, BidPlaced};
pub use drop::{DropCreated, DropEvent, DropPatched, StockAdjusted};
pub use endpoint::{DeliveriesMarked, DeliveriesResent, EndpointCreated, EndpointEvent, EndpointPatched};
pub use file::FileEvent;
pub use metadata::StockDelta;
pub use order::{CancelledByOperator, OrderEvent, OrderReserved};
pub use payment::{
    OrderPaid, PaymentEvent, PaymentNotKept, ProviderEventRecorded, Refund, RefundReported, RefundSettled,
};

use super::State;
use crate::types::{AuctionId, DropId, Seq, UnixMillis};

/// One thing that happened, with its number and its instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub seq: Seq,
    /// The instant of the command, or the instant at which the event was due.
    pub at: UnixMillis,
    /// The previous event of the same subject; 0 if there is none.
    pub prev_seq: Seq,
    /// The resource that the event belongs to.
    pub subject: EventSubject,
    pub body: EventBody,
}

// A batch holds thousands of them, most of new orders.
const _: () = assert!(size_of::<Event>() <= 112);

/// The resource that an event belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventSubject {
    /// The file as a whole, or an endpoint.
    File,
    /// A drop; of an auction, its hidden drop.
    Drop(DropId),
    /// An order, and its drop. The event that makes an order has the order's number.
    Order { order: Seq, drop_id: DropId },
}

/// What happened, by noun.
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

impl From<FileEvent> for EventBody {
    fn from(event: FileEvent) -> EventBody {
        EventBody::File(event)
    }
}

/// Changes the state by an event: first the counters that every event of a drop moves, then by noun.
pub(super) fn evolve(state: &mut State, event: &Event) {
    let creates_drop = matches!(
        &event.body,
        EventBody::Drop(DropEvent::Created(_)) | EventBody::Auction { event: AuctionEvent::Created(_), .. }
    );
    if !creates_drop {
        super::drops::count(state, event);
    }
    match &event.body {
        EventBody::Drop(body) => drop::evolve(state, event, body),
        EventBody::Order(body) => order::evolve(state, event, body),
        EventBody::Payment(body) => payment::evolve(state, event, body),
        EventBody::Auction { auction_id, event: body } => auction::evolve(state, event, *auction_id, body),
        EventBody::Endpoint { endpoint, event: body } => endpoint::evolve(state, event, *endpoint, body),
        EventBody::File(FileEvent::ContactsExported | FileEvent::EventsLost { .. }) => {}
    }
}
