//! Events of the file as a whole.

use crate::types::{Seq, UnixMillis};

/// An event of the file as a whole. It changes no drop, order or auction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileEvent {
    /// An operator exported contacts: of the event's drop, or of all drops.
    ContactsExported,
    /// Acknowledged events are not in the file: a power loss took them, or an operator accepted their loss.
    EventsLost {
        /// The number of lost events.
        lost: u64,
        /// The last event that was acknowledged; its number is given again.
        acknowledged: Seq,
    },
    /// The server was stopped: an offer of an auction's unit for an instant before this one has its time to pay from it.
    StopEnded { until: UnixMillis },
}

impl FileEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            FileEvent::ContactsExported => "contacts_exported", // not sent: for the audit
            FileEvent::EventsLost { .. } => "events_lost",
            FileEvent::StopEnded { .. } => "stop_ended", // not sent: the offers that follow are
        }
    }
}
