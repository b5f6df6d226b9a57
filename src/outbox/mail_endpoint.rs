//! The built-in endpoint of mails to buyers. A start creates it; in a cluster, where only the leader writes, its relay does.

use crate::engine::{Command, CommandKey, CreateEndpoint, EndpointCommand};
use crate::mail::EVENT_TYPES;
use crate::read::outbox::MAIL_URL;
use crate::store::PrivateData;
use crate::types::{Digest, EndpointUrl, EventFilter, SigningSecret};
use crate::writer::{Class, Submission};

/// Returns the events that become mails.
pub(super) fn events() -> Option<EventFilter> {
    EventFilter::of_names(EVENT_TYPES).ok()
}

/// Returns the command that creates the endpoint in a cluster. Its key is always the same, so that a file has one at
/// most.
pub(super) fn create() -> Option<Submission> {
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
