//! The metadata that every event has, whatever its noun.

use crate::types::{DropId, Seq, UnixMillis};

/// The header of an event: its number, its instant and its subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventHeader {
    pub seq: Seq,
    /// The instant of the command, or the instant at which the event was due.
    pub at: UnixMillis,
    /// The previous event of the same subject; 0 for a subject's first event.
    pub prev_seq: Seq,
    pub subject: EventSubject,
}

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

impl EventHeader {
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
}

/// The changes of an event to the counters of its drop. Memory and tables both move by these.
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
    pub(in crate::engine) fn held(units: i64) -> StockDelta {
        StockDelta { held: units, ..StockDelta::default() }
    }
}
