//! Events of the file as a whole.

use crate::types::Seq;

/// An event of the file as a whole. It changes nothing in memory.
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
}

impl FileEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            FileEvent::ContactsExported => "contacts_exported", // not sent: for the audit
            FileEvent::EventsLost { .. } => "events_lost",
        }
    }
}
