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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_creates_the_endpoint_or_gives_an_older_one_the_events_of_auctions_and_else_writes_nothing() {
        let (id, now) = (Seq::new(3).expect("in range"), events().expect("known types"));
        let command = |known| bring_in_line(known).map(|submission| submission.command);
        let is_create = |command| matches!(command, Some(Command::Endpoint(command)) if matches!(*command, EndpointCommand::Create(_)));
        assert!(is_create(command(None)));
        let before = EventFilter::of_names(["order.paid", "order.expired"]).expect("known types");
        let Some(Command::Endpoint(patched)) = command(Some((id, before))) else { panic!("nothing is changed") };
        let EndpointCommand::Patch(PatchEndpoint { endpoint, patch, .. }) = *patched else { panic!("{patched:?}") };
        assert_eq!((endpoint, patch.events, patch.state), (id, Some(now), None));
        assert_eq!(command(Some((id, now))), None);
    }
}
