//! Events of the endpoints of the outbox.

use super::metadata::EventHeader;
use crate::engine::endpoints::{Endpoint, before};
use crate::engine::{CommandKey, EndpointPatch, State};
use crate::types::{DeliveryMark, EndpointState, EventFilter, Seq};

/// An event of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndpointEvent {
    Created(EndpointCreated),
    Patched(EndpointPatched),
    /// The endpoint and its deliveries are gone.
    Deleted {
        reason: Box<str>,
    },
    Marked(DeliveriesMarked),
    Resent(DeliveriesResent),
}

/// The creation of an endpoint. Events after this one are delivered to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndpointCreated {
    pub key: CommandKey,
    pub events: EventFilter,
    /// True if the configuration names it.
    pub configured: bool,
}

/// A change of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointPatched {
    pub patch: EndpointPatch,
    pub reason: Box<str>,
}

/// The progress of an endpoint's worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveriesMarked {
    /// Every event up to it is delivered or stands in `deliveries`.
    pub position: Seq,
    /// The fates of single deliveries.
    pub marks: Box<[DeliveryMark]>,
}

/// Deliveries begin again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveriesResent {
    /// The first event that is delivered again.
    pub from_seq: Seq,
    /// True if only dead letters are delivered again.
    pub dead_only: bool,
    pub reason: Box<str>,
}

impl EndpointEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            EndpointEvent::Created(_) => "endpoint_created", // not sent: of the outbox itself
            EndpointEvent::Patched(_) => "endpoint_patched", // not sent: of the outbox itself
            EndpointEvent::Deleted { .. } => "endpoint_deleted", // not sent: of the outbox itself
            EndpointEvent::Marked(_) => "deliveries_marked", // not sent: each checkpoint would cause another
            EndpointEvent::Resent(_) => "deliveries_resent", // not sent: of the outbox itself
        }
    }

    pub(super) const fn key(&self) -> Option<&CommandKey> {
        if let EndpointEvent::Created(created) = self { Some(&created.key) } else { None }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, id: Seq, body: &EndpointEvent) {
    if let EndpointEvent::Created(EndpointCreated { key, events, configured }) = body {
        let (state_at_first, events, configured) = (EndpointState::Enabled, *events, *configured);
        let endpoint = Endpoint { state: state_at_first, events, configured, position: event.seq, revision: 1 };
        state.endpoints.insert(id, endpoint);
        return state.remember(key, event, id.get());
    }
    let known = state.endpoints.get_mut(&id);
    let known = known.unwrap_or_else(|| panic!("event {} is about no endpoint", event.seq));
    match body {
        EndpointEvent::Created(_) => {}
        EndpointEvent::Patched(EndpointPatched { patch, .. }) => {
            known.state = patch.state.unwrap_or(known.state);
            known.events = patch.events.unwrap_or(known.events);
            known.revision = known.revision.saturating_add(1);
        }
        EndpointEvent::Deleted { .. } => drop(state.endpoints.remove(&id)),
        EndpointEvent::Marked(marked) => known.position = marked.position,
        EndpointEvent::Resent(resent) => {
            if !resent.dead_only {
                known.position = before(resent.from_seq);
            }
            known.revision = known.revision.saturating_add(1);
        }
    }
}
