//! What the configuration says of the outbox: the way out, and the one endpoint that it may name.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{RelayOptions, RetrySchedule};
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError};
use crate::egress::{AddressGuard, ClientOptions, EgressClient, Target};
use crate::engine::{Command, CommandKey, EndpointCommand, EndpointPatch, Outcome};
use crate::read::outbox::EndpointRow;
use crate::store::Beside;
use crate::types::{Digest, EndpointState, EndpointUrl, EventFilter, SigningSecret, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

const SECRET_BYTES_MAX: u64 = 1024;
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// The way out, and the endpoint that the configuration names.
pub struct OutboxSetup {
    /// The bounds of the relay.
    pub options: RelayOptions,
    /// Calls endpoints.
    pub client: EgressClient,
    endpoint: Option<ConfiguredEndpoint>,
}

struct ConfiguredEndpoint {
    url: EndpointUrl,
    secret: SigningSecret,
    events: EventFilter,
}

impl OutboxSetup {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// All mistakes at once, nothing of a secret in them.
    pub fn open(config: &Config) -> Result<OutboxSetup, Vec<ConfigError>> {
        let outbox = &config.outbox;
        let mut mistakes = Vec::new();
        let guard = AddressGuard::new(outbox.allow_private_networks.clone());
        if !outbox.endpoint_url.is_empty()
            && let Err(wrong) = Target::parse(&outbox.endpoint_url, &guard)
        {
            mistakes.push(ConfigError(format!("outbox.endpoint_url: {wrong}")));
        }
        let secret = outbox.endpoint_secret_file.as_deref().map(secret_in).transpose();
        let secret = secret.map_err(|mistake| mistakes.push(mistake)).ok().flatten();
        let authorities = outbox.authorities_file.as_deref().map(authorities_in).transpose();
        let authorities = authorities.map_err(|mistake| mistakes.push(mistake)).ok().flatten().unwrap_or_default();
        let options = ClientOptions { timeout: outbox.timeout, authorities, ..ClientOptions::default() };
        let client = EgressClient::new(guard, options).map_err(|error| mistakes.push(ConfigError(error)));
        let Ok(client) = client else { return Err(mistakes) };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let url = EndpointUrl::new(&outbox.endpoint_url);
        let endpoint = secret.map(|secret| ConfiguredEndpoint { url, secret, events: outbox.endpoint_events });
        let schedule = RetrySchedule::new(outbox.retry_waits.clone());
        Ok(OutboxSetup { options: RelayOptions { schedule, in_flight_max: outbox.in_flight_max }, client, endpoint })
    }

    /// Makes the endpoint that the configuration names what it says, before anything is relayed. Nothing is written
    /// where that is so already. One that it no longer names is disabled: its position stays.
    ///
    /// # Errors
    /// If the writer does not take it.
    pub fn settle(&self, endpoints: &[EndpointRow], writer: &WriterHandle) -> Result<(), String> {
        let known = endpoints.iter().find(|endpoint| endpoint.configured);
        let submission = match (&self.endpoint, known) {
            (None, None) => return Ok(()),
            (None, Some(known)) => {
                let patch = EndpointPatch { state: Some(EndpointState::Disabled), ..EndpointPatch::default() };
                let reason = "the configuration no longer names it".into();
                of(EndpointCommand::Patch { endpoint: known.id, patch, reason }, None, None)
            }
            (Some(named), None) => {
                let mut random = [[0u8; 16]; 2];
                random::fill(random.as_flattened_mut());
                // Nobody repeats this key: whether the endpoint is there already is seen above.
                let key = CommandKey { digest: Digest(random[0]), params: Digest(random[1]) };
                let command = EndpointCommand::Create { key, events: named.events, configured: true };
                of(command, Some(named.url.clone()), Some(named.secret.clone()))
            }
            (Some(named), Some(known)) => {
                let url = (known.url != named.url).then(|| named.url.clone());
                let secret = (known.secret != named.secret).then(|| named.secret.clone());
                let patch = EndpointPatch {
                    state: Some(EndpointState::Enabled),
                    events: Some(named.events),
                    new_url: url.is_some(),
                    new_secret: secret.is_some(),
                };
                let reason = "the configuration says so".into();
                of(EndpointCommand::Patch { endpoint: known.id, patch, reason }, url, secret)
            }
        };
        let answer = writer.submit(submission).map_err(|turned_away| format!("{turned_away:?}"))?.wait();
        match answer {
            WriterReply::Decided(decided) => match decided.outcome {
                Outcome::Accepted { .. } | Outcome::Repeated { .. } => Ok(()),
                Outcome::Refused { refusal, .. } => Err(format!("outbox.endpoint_url: {refusal:?}")),
                Outcome::Reserved(_) | Outcome::Bid(_) | Outcome::Heard { .. } | Outcome::Advanced => Ok(()),
            },
            WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => {
                Err("outbox.endpoint_url: the writer did not take it".into())
            }
        }
    }
}

fn of(command: EndpointCommand, url: Option<EndpointUrl>, secret: Option<SigningSecret>) -> Submission {
    let beside = Some(Beside::Endpoint { url, secret });
    Submission { command: Command::Endpoint(Box::new(command)), beside, class: Class::Operator }
}

fn secret_in(path: &std::path::Path) -> Result<SigningSecret, ConfigError> {
    let bytes = read(path, FileProtection::Secret, SECRET_BYTES_MAX)?;
    let secret = std::str::from_utf8(&bytes).ok().and_then(SigningSecret::parse);
    secret.ok_or_else(|| ConfigError(format!("{}: is not `whsec_` and the base64 of 24 to 64 bytes", path.display())))
}

fn authorities_in(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = read(path, FileProtection::Unforgeable, AUTHORITIES_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(ConfigError(format!("{}: has no certificate in PEM", path.display()))),
    }
}
