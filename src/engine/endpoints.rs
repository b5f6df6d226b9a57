//! Endpoints: whom the outbox tells what, and how far it has come. URLs and secrets are rows only.
//!
//! The outbox is the audit: telling the world costs a sale nothing. An endpoint has a *position*, up to which every
//! event is delivered or stands in a row of `deliveries`.

use super::{CommandKey, Decision, Event, EventKind, Invalid, Outcome, Refusal, RememberedCommand, State, Subject};
use crate::types::{DeliveryMark, EndpointState, EventFilter, Seq, UnixMillis};

/// Endpoints of one file at once.
pub const ENDPOINTS_MAX: usize = 16;
/// Marks of one command.
pub const MARKS_MAX: usize = 256;
/// How long an old secret signs beside the new one: 24 hours.
pub const OLD_SECRET_MS: i64 = 24 * 60 * 60 * 1000;

/// An endpoint. Its number is the seq of the event that created it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Whether it is told anything.
    pub state: EndpointState,
    /// What it is told.
    pub events: EventFilter,
    /// Whether the configuration names it.
    pub configured: bool,
    /// Every event up to it is delivered or stands in `deliveries`.
    pub position: Seq,
    /// Counts what operators changed: who relays to it begins anew then.
    pub revision: u32,
}

/// What can be asked about endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndpointCommand {
    /// Tell somebody more. URL and secret travel beside it.
    Create {
        /// The creation's idempotency key.
        key: CommandKey,
        /// What it is told.
        events: EventFilter,
        /// Whether the configuration names it.
        configured: bool,
    },
    /// Change an endpoint; a new URL and a new secret travel beside it.
    Patch {
        /// Which endpoint.
        endpoint: Seq,
        /// What changes.
        patch: EndpointPatch,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Forget an endpoint and its deliveries.
    Delete {
        /// Which endpoint.
        endpoint: Seq,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// The relay's word: how far it has come.
    Mark {
        /// Which endpoint.
        endpoint: Seq,
        /// The revision that the relay works by.
        revision: u32,
        /// Every event up to it is delivered or stands in `deliveries`.
        position: Seq,
        /// What became of single deliveries.
        marks: Box<[DeliveryMark]>,
    },
    /// Deliver again.
    Resend {
        /// Which endpoint.
        endpoint: Seq,
        /// From which event on.
        from_seq: Seq,
        /// Dead letters only; else every event that it wants.
        dead_only: bool,
        /// Why, for the audit.
        reason: Box<str>,
    },
}

/// The changes of a patch: what is not given stays.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EndpointPatch {
    /// Enable or disable it.
    pub state: Option<EndpointState>,
    /// What it is told from now on.
    pub events: Option<EventFilter>,
    /// A new URL travels beside.
    pub new_url: bool,
    /// A new secret travels beside; the old one signs for [`OLD_SECRET_MS`] more.
    pub new_secret: bool,
}

/// What happened to endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndpointEvent {
    /// There is one more. It is told what happens after this.
    Created {
        /// The key of its creation.
        key: CommandKey,
        /// What it is told.
        events: EventFilter,
        /// Whether the configuration names it.
        configured: bool,
    },
    /// An endpoint changed.
    Patched {
        /// Which endpoint.
        endpoint: Seq,
        /// How.
        patch: EndpointPatch,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// An endpoint and its deliveries are gone.
    Deleted {
        /// Which endpoint.
        endpoint: Seq,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// The relay came this far.
    Marked {
        /// Which endpoint.
        endpoint: Seq,
        /// Its position.
        position: Seq,
        /// What became of single deliveries.
        marks: Box<[DeliveryMark]>,
    },
    /// Deliveries begin again.
    Resent {
        /// Which endpoint.
        endpoint: Seq,
        /// From which event on.
        from_seq: Seq,
        /// Dead letters only.
        dead_only: bool,
        /// The operator's reason.
        reason: Box<str>,
    },
}

impl EndpointCommand {
    /// The position of its name in [`COMMAND_NAMES`](super::COMMAND_NAMES).
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            EndpointCommand::Create { .. } => 24,
            EndpointCommand::Patch { .. } => 25,
            EndpointCommand::Delete { .. } => 26,
            EndpointCommand::Mark { .. } => 27,
            EndpointCommand::Resend { .. } => 28,
        }
    }
}

impl EndpointEvent {
    /// The word in the audit.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EndpointEvent::Created { .. } => "endpoint_created",
            EndpointEvent::Patched { .. } => "endpoint_patched",
            EndpointEvent::Deleted { .. } => "endpoint_deleted",
            EndpointEvent::Marked { .. } => "deliveries_marked",
            EndpointEvent::Resent { .. } => "deliveries_resent",
        }
    }
}

impl EndpointEvent {
    /// The idempotency key that it remembers, if any.
    #[must_use]
    pub const fn key(&self) -> Option<&CommandKey> {
        match self {
            EndpointEvent::Created { key, .. } => Some(key),
            EndpointEvent::Patched { .. }
            | EndpointEvent::Deleted { .. }
            | EndpointEvent::Marked { .. }
            | EndpointEvent::Resent { .. } => None,
        }
    }
}

impl Endpoint {
    /// What an event leaves of an endpoint; nothing where it is gone.
    fn after(mut self, event: &EndpointEvent) -> Option<Endpoint> {
        match event {
            EndpointEvent::Created { .. } => {}
            EndpointEvent::Patched { patch, .. } => {
                self.state = patch.state.unwrap_or(self.state);
                self.events = patch.events.unwrap_or(self.events);
                self.revision = self.revision.saturating_add(1);
            }
            EndpointEvent::Deleted { .. } => return None,
            EndpointEvent::Marked { position, .. } => self.position = *position,
            EndpointEvent::Resent { from_seq, dead_only, .. } => {
                if !dead_only {
                    self.position = before(*from_seq);
                }
                self.revision = self.revision.saturating_add(1);
            }
        }
        Some(self)
    }
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

pub(super) fn decide(decision: &mut Decision<'_>, command: &EndpointCommand) -> Outcome {
    match command {
        EndpointCommand::Create { key, events, configured } => create(decision, key, *events, *configured),
        EndpointCommand::Patch { endpoint, patch, reason } => {
            let Some(known) = decision.state.endpoint(*endpoint) else { return decision.refuse(Refusal::NotFound) };
            let changes = patch.new_url
                || patch.new_secret
                || patch.state.is_some_and(|state| state != known.state)
                || patch.events.is_some_and(|events| events != known.events);
            if !changes {
                return decision.repeat(Subject::Endpoint(*endpoint));
            }
            let event = EndpointEvent::Patched { endpoint: *endpoint, patch: *patch, reason: reason.clone() };
            accept(decision, *endpoint, event)
        }
        EndpointCommand::Delete { endpoint, reason } => {
            accept(decision, *endpoint, EndpointEvent::Deleted { endpoint: *endpoint, reason: reason.clone() })
        }
        EndpointCommand::Mark { endpoint, revision, position, marks } => {
            let Some(known) = decision.state.endpoint(*endpoint) else { return decision.refuse(Refusal::NotFound) };
            let fits = known.revision == *revision
                && (known.position..=decision.state.seq).contains(position)
                && marks.len() <= MARKS_MAX
                && marks.iter().all(|mark| mark.seq <= decision.state.seq);
            if !fits {
                return decision.refuse(Refusal::PreconditionFailed { revision: known.revision });
            }
            let event = EndpointEvent::Marked { endpoint: *endpoint, position: *position, marks: marks.clone() };
            accept(decision, *endpoint, event)
        }
        EndpointCommand::Resend { endpoint, from_seq, dead_only, reason } => {
            // From the next event at the latest: what lies ahead is told anyway.
            let from_seq = (*from_seq).min(decision.state.seq.next());
            let (endpoint, dead_only, reason) = (*endpoint, *dead_only, reason.clone());
            accept(decision, endpoint, EndpointEvent::Resent { endpoint, from_seq, dead_only, reason })
        }
    }
}

fn create(decision: &mut Decision<'_>, key: &CommandKey, events: EventFilter, configured: bool) -> Outcome {
    if let Some(remembered) = decision.state.command_keys.get(&key.digest) {
        let known = Seq::new(remembered.subject).filter(|_| remembered.params == key.params);
        return match known {
            Some(endpoint) => decision.repeat(Subject::Endpoint(endpoint)),
            None => decision.refuse(Refusal::KeyReused),
        };
    }
    if decision.state.endpoints.len() >= ENDPOINTS_MAX {
        return decision.refuse(Refusal::Invalid(Invalid::TooManyEndpoints));
    }
    let event = EndpointEvent::Created { key: *key, events, configured };
    let seq = decision.emit(Seq::ZERO, EventKind::Endpoint(Box::new(event)));
    Outcome::Accepted { seq, subject: Subject::Endpoint(seq) }
}

fn accept(decision: &mut Decision<'_>, endpoint: Seq, event: EndpointEvent) -> Outcome {
    if decision.state.endpoint(endpoint).is_none() {
        return decision.refuse(Refusal::NotFound);
    }
    let seq = decision.emit(Seq::ZERO, EventKind::Endpoint(Box::new(event)));
    Outcome::Accepted { seq, subject: Subject::Endpoint(endpoint) }
}

pub(super) fn evolve(state: &mut State, event: &Event) {
    let EventKind::Endpoint(kind) = &event.kind else { return };
    match &**kind {
        EndpointEvent::Created { key, events, configured } => {
            let endpoint = Endpoint {
                state: EndpointState::Enabled,
                events: *events,
                configured: *configured,
                position: event.seq,
                revision: 1,
            };
            state.endpoints.insert(event.seq, endpoint);
            remember(state, key, event.seq, event.at);
        }
        EndpointEvent::Patched { endpoint, .. }
        | EndpointEvent::Deleted { endpoint, .. }
        | EndpointEvent::Marked { endpoint, .. }
        | EndpointEvent::Resent { endpoint, .. } => {
            let known = state.endpoints.remove(endpoint);
            let known = known.unwrap_or_else(|| panic!("event {} is about no endpoint", event.seq));
            if let Some(left) = known.after(kind) {
                state.endpoints.insert(*endpoint, left);
            }
        }
    }
}

fn remember(state: &mut State, key: &CommandKey, seq: Seq, at: UnixMillis) {
    let remembered = RememberedCommand { seq, params: key.params, subject: seq.get() };
    state.command_keys.remember(key.digest, remembered);
    state.command_keys.release(key.digest, at, seq);
}
