//! Endpoints: whom the outbox tells what, and how far it has come. URLs and secrets are rows only.
//!
//! The outbox is the audit: telling the world costs a sale nothing. An endpoint has a *position*, up to which every
//! event is delivered or stands in a row of `deliveries`.

use super::State;
use crate::types::{EndpointState, EventFilter, Seq};

/// Endpoints of one file at once.
pub const ENDPOINTS_MAX: usize = 16;
/// Marks of one command.
pub const MARKS_MAX: usize = 256;
/// The time for which an old secret signs together with the new one: 24 hours.
pub const OLD_SECRET_MS: i64 = 24 * 60 * 60 * 1000;

/// An endpoint. Its number is the seq of the event that created it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub state: EndpointState,
    /// The events that are delivered to it.
    pub events: EventFilter,
    /// True if the configuration names it.
    pub configured: bool,
    /// Every event up to it is delivered or stands in `deliveries`.
    pub position: Seq,
    /// Counts what operators changed: who relays to it begins anew then.
    pub revision: u32,
}

/// The changes of a patch: what is not given stays.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EndpointPatch {
    pub state: Option<EndpointState>,
    /// The events that are delivered from now on.
    pub events: Option<EventFilter>,
    /// True if the private data holds a new URL.
    pub new_url: bool,
    /// True if the private data holds a new secret; the old one signs for [`OLD_SECRET_MS`] more.
    pub new_secret: bool,
}

/// The position from which an event is the next one.
#[must_use]
pub fn before(seq: Seq) -> Seq {
    Seq::new(seq.get().saturating_sub(1)).unwrap_or(Seq::ZERO)
}

impl State {
    /// An endpoint, if there is one of this number.
    #[must_use]
    pub fn endpoint(&self, id: Seq) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    /// All endpoints, in the order of their creation.
    pub fn endpoints(&self) -> impl Iterator<Item = (Seq, &Endpoint)> {
        self.endpoints.iter().map(|(id, endpoint)| (*id, endpoint))
    }

    /// Puts an endpoint back that was stored.
    pub fn restore_endpoint(&mut self, id: Seq, endpoint: Endpoint) {
        self.endpoints.insert(id, endpoint);
    }
}
