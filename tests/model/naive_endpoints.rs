//! The rules of endpoints once more.

use firstcome::engine::{
    CommandKey, CreateEndpoint, DeleteEndpoint, EndpointCommand, EndpointPatch, Invalid, MarkDeliveries, Outcome,
    PatchEndpoint, Refusal, ResendDeliveries, Subject,
};
use firstcome::types::{AttemptError, DeliveryMark, DeliveryState, EndpointState, EventFilter, Seq, SigningSecret};

use super::Random;
use super::naive::{Naive, seq};

const DAY_MS: i64 = 24 * 3_600_000;

pub struct NaiveEndpoint {
    id: u64,
    enabled: bool,
    events: u64,
    position: u64,
    revision: u32,
}

/// The key of a creation, when it was, and what it made.
pub type NaiveEndpointKey = (CommandKey, i64, u64);

impl Naive {
    pub(super) fn endpoint(&mut self, command: &EndpointCommand) -> Outcome {
        match command {
            EndpointCommand::Create(CreateEndpoint { key, events, .. }) => self.create_endpoint(key, *events),
            EndpointCommand::Patch(PatchEndpoint { endpoint, .. })
            | EndpointCommand::Delete(DeleteEndpoint { endpoint, .. })
            | EndpointCommand::Mark(MarkDeliveries { endpoint, .. })
            | EndpointCommand::Resend(ResendDeliveries { endpoint, .. }) => {
                match self.endpoints.iter().position(|known| known.id == endpoint.get()) {
                    None => self.refuse(Refusal::NotFound),
                    Some(index) => self.on_endpoint(command, index),
                }
            }
        }
    }

    fn create_endpoint(&mut self, key: &CommandKey, events: EventFilter) -> Outcome {
        let remembered =
            self.endpoint_keys.iter().find(|(known, at, _)| known.digest == key.digest && at + DAY_MS > self.at);
        if let Some((known, _, id)) = remembered {
            let same = known.params == key.params;
            return if same { self.repeat(Subject::Endpoint(seq(*id))) } else { self.refuse(Refusal::KeyReused) };
        }
        if self.endpoints.len() == 16 {
            return self.refuse(Refusal::Invalid(Invalid::TooManyEndpoints));
        }
        let id = self.events + 1;
        self.endpoint_keys.retain(|(known, ..)| known.digest != key.digest);
        self.endpoint_keys.push((*key, self.at, id));
        self.endpoints.push(NaiveEndpoint { id, enabled: true, events: events.get(), position: id, revision: 1 });
        self.accept(Subject::Endpoint(seq(id)))
    }

    fn on_endpoint(&mut self, command: &EndpointCommand, index: usize) -> Outcome {
        let last = self.events;
        let known = &mut self.endpoints[index];
        let (id, revision) = (known.id, known.revision);
        match command {
            EndpointCommand::Create(CreateEndpoint { .. }) => unreachable!("names none"),
            EndpointCommand::Patch(PatchEndpoint { patch, .. }) => {
                let enabled = patch.state.map_or(known.enabled, |state| state == EndpointState::Enabled);
                let events = patch.events.map_or(known.events, EventFilter::get);
                if (enabled, events, false, false) == (known.enabled, known.events, patch.new_url, patch.new_secret) {
                    return self.repeat(Subject::Endpoint(seq(id)));
                }
                (known.enabled, known.events, known.revision) = (enabled, events, revision + 1);
            }
            EndpointCommand::Delete(DeleteEndpoint { .. }) => drop(self.endpoints.remove(index)),
            EndpointCommand::Mark(MarkDeliveries { revision: by, position, .. }) => {
                let position = position.get();
                if *by != revision || position < known.position || position > last {
                    return self.refuse(Refusal::PreconditionFailed { revision });
                }
                known.position = position;
            }
            EndpointCommand::Resend(ResendDeliveries { from_seq, dead_only, .. }) => {
                if !dead_only {
                    known.position = from_seq.get().min(last + 1).saturating_sub(1);
                }
                known.revision += 1;
            }
        }
        self.accept(Subject::Endpoint(seq(id)))
    }

    /// Whether an engine's endpoints are these.
    pub fn agrees_on_endpoints(&self, state: &firstcome::engine::State) -> bool {
        let theirs = state.endpoints().map(|(id, endpoint)| {
            let enabled = endpoint.state == EndpointState::Enabled;
            (id.get(), enabled, endpoint.events.get(), endpoint.position.get(), endpoint.revision)
        });
        let mut ours: Vec<_> =
            self.endpoints.iter().map(|e| (e.id, e.enabled, e.events, e.position, e.revision)).collect();
        ours.sort_unstable();
        theirs.collect::<Vec<_>>() == ours
    }
}

/// The next command about endpoints: mostly about one that is there.
pub fn command(random: &mut Random, key: CommandKey, known: &[Seq], last: Seq) -> EndpointCommand {
    let some = |random: &mut Random| seq(random.below(last.get() + 1));
    let endpoint = match known.len() {
        0 => some(random),
        len => known[usize::try_from(random.below(len as u64)).expect("small")],
    };
    let events = EventFilter::new(1 + random.below(7)).expect("in range");
    match random.below(12) {
        0 | 1 => EndpointCommand::Create(CreateEndpoint { key, events, configured: random.one_in(5) }),
        2 => EndpointCommand::Delete(DeleteEndpoint { endpoint, reason: "gone".into() }),
        3 | 4 => {
            let state = random.pick(&[None, Some(EndpointState::Enabled), Some(EndpointState::Disabled)]);
            let patch = EndpointPatch {
                state,
                events: random.one_in(2).then_some(events),
                new_url: random.one_in(4),
                new_secret: random.one_in(4),
            };
            EndpointCommand::Patch(PatchEndpoint { endpoint, patch, reason: "".into() })
        }
        5 => EndpointCommand::Resend(ResendDeliveries {
            endpoint,
            from_seq: some(random),
            dead_only: random.one_in(2),
            reason: "again".into(),
        }),
        _ => {
            let fate = |random: &mut Random| match random.below(3) {
                0 => DeliveryState::Delivered,
                1 => DeliveryState::Waiting {
                    attempts: 1,
                    next_at: firstcome::types::UnixMillis::MAX,
                    trouble: random.pick(&[AttemptError::Behind, AttemptError::Status(500), AttemptError::TimedOut]),
                },
                _ => DeliveryState::Dead { attempts: 10, trouble: AttemptError::Status(404) },
            };
            let marks = (0..random.below(4)).map(|_| DeliveryMark { seq: some(random), fate: fate(random) }).collect();
            let revision = 1 + u32::try_from(random.below(3)).expect("small");
            EndpointCommand::Mark(MarkDeliveries { endpoint, revision, position: some(random), marks })
        }
    }
}

/// What travels beside a command about endpoints.
pub fn private_data(command: &EndpointCommand) -> firstcome::store::PrivateData {
    let given = match command {
        EndpointCommand::Create(CreateEndpoint { .. }) => (true, true),
        EndpointCommand::Patch(PatchEndpoint { patch, .. }) => (patch.new_url, patch.new_secret),
        _ => (false, false),
    };
    let url = given.0.then(|| firstcome::types::EndpointUrl::new("https://shop.example/hooks"));
    firstcome::store::PrivateData::Endpoint { url, secret: given.1.then(SigningSecret::random) }
}
