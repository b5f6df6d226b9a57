//! Commands about the endpoints of the outbox. URLs and secrets are private data.

use super::CommandKey;
use crate::engine::endpoints::{ENDPOINTS_MAX, Endpoint, EndpointPatch, MARKS_MAX};
use crate::engine::event::{DeliveriesMarked, DeliveriesResent, EndpointCreated, EndpointEvent, EndpointPatched};
use crate::engine::{Decision, EventBody, EventSubject, Invalid, Outcome, Refusal, Subject};
use crate::types::{DeliveryMark, EventFilter, Seq};

/// A command about an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndpointCommand {
    Create(CreateEndpoint),
    Patch(PatchEndpoint),
    /// Deletes an endpoint and its deliveries.
    Delete(DeleteEndpoint),
    /// Records the progress of an endpoint's worker.
    Mark(MarkDeliveries),
    Resend(ResendDeliveries),
}

super::names!(EndpointCommand {
    Create = "create_endpoint",
    Patch = "patch_endpoint",
    Delete = "delete_endpoint",
    Mark = "mark_deliveries",
    Resend = "resend_deliveries",
});

/// The parameters of an endpoint's creation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateEndpoint {
    pub key: CommandKey,
    /// The events that are delivered to it.
    pub events: EventFilter,
    /// True if the configuration names it.
    pub configured: bool,
}

/// The parameters of an endpoint's change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatchEndpoint {
    pub endpoint: Seq,
    pub patch: EndpointPatch,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The parameters of an endpoint's deletion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeleteEndpoint {
    pub endpoint: Seq,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The progress of an endpoint's worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkDeliveries {
    pub endpoint: Seq,
    /// The revision that the worker delivers by; another one refuses the marks.
    pub revision: u32,
    /// Every event up to it is delivered or stands in `deliveries`.
    pub position: Seq,
    /// The fates of single deliveries.
    pub marks: Box<[DeliveryMark]>,
}

/// The parameters of a repeated delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResendDeliveries {
    pub endpoint: Seq,
    /// The first event that is delivered again.
    pub from_seq: Seq,
    /// Dead letters only; else every event that the endpoint's filter lets through.
    pub dead_only: bool,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &EndpointCommand) -> Result<Outcome, Refusal> {
    match command {
        EndpointCommand::Create(command) => create(decision, command),
        EndpointCommand::Patch(command) => patch(decision, command),
        EndpointCommand::Delete(DeleteEndpoint { endpoint, reason }) => {
            find(decision, *endpoint)?;
            Ok(accept(decision, *endpoint, EndpointEvent::Deleted { reason: reason.clone() }))
        }
        EndpointCommand::Mark(command) => mark(decision, command),
        EndpointCommand::Resend(command) => resend(decision, command),
    }
}

fn find<'a>(decision: &Decision<'a>, endpoint: Seq) -> Result<&'a Endpoint, Refusal> {
    decision.state.endpoint(endpoint).ok_or(Refusal::NotFound)
}

fn accept(decision: &mut Decision<'_>, endpoint: Seq, event: EndpointEvent) -> Outcome {
    let body = EventBody::Endpoint { endpoint, event: Box::new(event) };
    let seq = decision.emit(Seq::ZERO, EventSubject::File, body);
    Outcome::changed(seq, Subject::Endpoint(endpoint))
}

fn create(decision: &mut Decision<'_>, command: &CreateEndpoint) -> Result<Outcome, Refusal> {
    let CreateEndpoint { key, events, configured } = *command;
    if let Some(remembered) = decision.state.command_keys.get(&key.digest) {
        let known = Seq::new(remembered.subject).filter(|_| remembered.params == key.params);
        return known.map(|endpoint| decision.repeat(Subject::Endpoint(endpoint))).ok_or(Refusal::KeyReused);
    }
    if decision.state.endpoints.len() >= ENDPOINTS_MAX {
        return Err(Refusal::Invalid(Invalid::TooManyEndpoints));
    }
    let event = EndpointEvent::Created(EndpointCreated { key, events, configured });
    Ok(accept(decision, decision.next_seq(), event))
}

fn patch(decision: &mut Decision<'_>, command: &PatchEndpoint) -> Result<Outcome, Refusal> {
    let PatchEndpoint { endpoint, patch, reason } = command;
    let known = find(decision, *endpoint)?;
    let changes = patch.new_url
        || patch.new_secret
        || patch.state.is_some_and(|state| state != known.state)
        || patch.events.is_some_and(|events| events != known.events);
    if !changes {
        return Ok(decision.repeat(Subject::Endpoint(*endpoint)));
    }
    let event = EndpointEvent::Patched(EndpointPatched { patch: *patch, reason: reason.clone() });
    Ok(accept(decision, *endpoint, event))
}

fn mark(decision: &mut Decision<'_>, command: &MarkDeliveries) -> Result<Outcome, Refusal> {
    let MarkDeliveries { endpoint, revision, position, marks } = command;
    let known = find(decision, *endpoint)?;
    let fits = known.revision == *revision
        && (known.position..=decision.state.seq).contains(position)
        && marks.len() <= MARKS_MAX
        && marks.iter().all(|mark| mark.seq <= decision.state.seq);
    if !fits {
        return Err(Refusal::PreconditionFailed { revision: known.revision });
    }
    let event = EndpointEvent::Marked(DeliveriesMarked { position: *position, marks: marks.clone() });
    Ok(accept(decision, *endpoint, event))
}

fn resend(decision: &mut Decision<'_>, command: &ResendDeliveries) -> Result<Outcome, Refusal> {
    let ResendDeliveries { endpoint, from_seq, dead_only, reason } = command;
    find(decision, *endpoint)?;
    // From the next event at the latest: what lies ahead is delivered anyway.
    let from_seq = (*from_seq).min(decision.state.seq.next());
    let event = DeliveriesResent { from_seq, dead_only: *dead_only, reason: reason.clone() };
    Ok(accept(decision, *endpoint, EndpointEvent::Resent(event)))
}
