//! The built-in endpoint of mails to buyers. A start creates it, or gives it the events of this version; in a cluster, where
//! only the leader writes, its relay does.

use crate::engine::{Command, CommandKey, CreateEndpoint, EndpointCommand, EndpointPatch, PatchEndpoint};
use crate::mail::EVENT_TYPES;
use crate::read::outbox::MAIL_URL;
use crate::store::PrivateData;
use crate::types::{Digest, EndpointUrl, EventFilter, Seq, SigningSecret};
use crate::writer::{Class, Submission};

/// Returns the events that become mails.
pub(super) fn events() -> Option<EventFilter> {
    EventFilter::of_names(EVENT_TYPES).ok()
}

/// Returns the command that a cluster's leader submits for the endpoint as it is; `None` if it is as it must be.
pub(super) fn bring_in_line(known: Option<(Seq, EventFilter)>) -> Option<Submission> {
    let Some((endpoint, has)) = known else { return create() };
    let events = events().filter(|events| *events != has)?;
    let patch = EndpointPatch { events: Some(events), ..EndpointPatch::default() };
    let command = EndpointCommand::Patch(PatchEndpoint { endpoint, patch, reason: "events of this version".into() });
    Some(Submission { command: Command::Endpoint(Box::new(command)), private_data: None, class: Class::Operator })
}

/// Returns the command that creates the endpoint in a cluster. Its key is always the same, so that a file has one at
/// most.
fn create() -> Option<Submission> {
    let digest = Digest(*b"mail:buyers, one");
    let key = CommandKey { digest, params: digest };
    let command = EndpointCommand::Create(CreateEndpoint { key, events: events()?, configured: true });
    // No request goes to the endpoint, so its secret signs nothing.
    let (url, secret) = (Some(EndpointUrl::new(MAIL_URL)), Some(SigningSecret::random()));
    Some(Submission {
        command: Command::Endpoint(Box::new(command)),
        private_data: Some(PrivateData::Endpoint { url, secret }),
        class: Class::Operator,
    })
}
