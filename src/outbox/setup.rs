//! Sets the outbox up from the configuration: the client, the relay's limits, and the endpoint of `outbox.endpoint_url`.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{MailRelay, RelayDependencies, RelayOptions, RetrySchedule, mail_endpoint};
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError};
use crate::egress::{AddressGuard, ClientOptions, EgressClient, Target};
use crate::engine::endpoints::ENDPOINTS_MAX;
use crate::engine::{
    Command, CommandKey, CreateEndpoint, EndpointCommand, EndpointPatch, Invalid, Outcome, PatchEndpoint, Refusal,
};
use crate::mail::Mailer;
use crate::read::Reader;
use crate::read::outbox::{EndpointRow, MAIL_URL};
use crate::store::PrivateData;
use crate::telemetry::Telemetry;
use crate::types::{Digest, EndpointState, EndpointUrl, EventFilter, SigningSecret, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

const SECRET_BYTES_MAX: u64 = 1024;
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// The outbox as the configuration describes it.
pub struct OutboxSetup {
    pub options: RelayOptions,
    pub client: EgressClient,
    /// `None` if the configuration has no mail server.
    pub mailer: Option<Arc<Mailer>>,
    endpoint: Option<ConfiguredEndpoint>,
}

struct ConfiguredEndpoint {
    url: EndpointUrl,
    secret: SigningSecret,
    events: EventFilter,
}

impl OutboxSetup {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain secrets.
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
        let mailer = Mailer::open(config).map_err(|more| mistakes.extend(more)).ok().flatten().map(Arc::new);
        let (timeout, response_bytes_max) = (outbox.timeout, outbox.response_bytes_max);
        let options = ClientOptions { timeout, response_bytes_max, authorities, ..ClientOptions::default() };
        let client = EgressClient::new(guard, options).map_err(|error| mistakes.push(ConfigError(error)));
        let Ok(client) = client else { return Err(mistakes) };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let url = EndpointUrl::new(&outbox.endpoint_url);
        let endpoint = secret.map(|secret| ConfiguredEndpoint { url, secret, events: outbox.endpoint_events });
        let schedule = RetrySchedule::new(outbox.retry_waits.clone());
        let (in_flight_max, success_redirects) = (outbox.in_flight_max, outbox.success_redirects.clone());
        Ok(OutboxSetup {
            options: RelayOptions { schedule, in_flight_max, success_redirects },
            client,
            mailer,
            endpoint,
        })
    }

    /// Returns the parts of the relay.
    #[must_use]
    pub fn into_relay(
        self,
        reader: Reader,
        writer: WriterHandle,
        telemetry: Arc<Telemetry>,
        public_url: &str,
    ) -> RelayDependencies {
        let OutboxSetup { options, client, mailer, endpoint: _ } = self;
        let mail = mailer.map(|mailer| MailRelay { mailer, public_url: public_url.into() });
        RelayDependencies { options, reader, writer, client, mail, telemetry }
    }

    /// Creates or changes the configured endpoint as the configuration says, before the relay starts. Writes nothing if
    /// it is so already. An endpoint that is no longer configured is disabled and keeps its position.
    ///
    /// # Errors
    /// The writer rejected or refused the command.
    pub fn apply(&self, endpoints: &[EndpointRow], writer: &WriterHandle) -> Result<(), String> {
        let webhook = endpoints.iter().find(|endpoint| endpoint.configured && !endpoint.is_mail());
        apply_one("outbox.endpoint_url", self.endpoint.as_ref(), webhook, writer)?;
        let mail = endpoints.iter().find(|endpoint| endpoint.is_mail());
        let wanted = match (&self.mailer, mail) {
            (None, _) => None,
            // No request goes to the endpoint, so its secret signs nothing.
            (Some(_), None) => Some(SigningSecret::random()),
            (Some(_), Some(known)) => Some(known.secret.clone()),
        };
        let url = EndpointUrl::new(MAIL_URL);
        let wanted = wanted.zip(mail_endpoint::events());
        let wanted = wanted.map(|(secret, events)| ConfiguredEndpoint { url, secret, events });
        apply_one("mail.host", wanted.as_ref(), mail, writer)
    }
}

/// Creates or changes one endpoint of the configuration.
fn apply_one(
    setting: &str,
    wanted: Option<&ConfiguredEndpoint>,
    known: Option<&EndpointRow>,
    writer: &WriterHandle,
) -> Result<(), String> {
    let submission = match (wanted, known) {
        (None, None) => return Ok(()),
        (None, Some(known)) => {
            let patch = EndpointPatch { state: Some(EndpointState::Disabled), ..EndpointPatch::default() };
            let reason = "removed from the configuration".into();
            submission(EndpointCommand::Patch(PatchEndpoint { endpoint: known.id, patch, reason }), None, None)
        }
        (Some(wanted), None) => {
            let mut random = [[0u8; 16]; 2];
            random::fill(random.as_flattened_mut());
            // The key is random because this command is never repeated: `known` says that the endpoint is new.
            let key = CommandKey { digest: Digest(random[0]), params: Digest(random[1]) };
            let command = EndpointCommand::Create(CreateEndpoint { key, events: wanted.events, configured: true });
            submission(command, Some(wanted.url.clone()), Some(wanted.secret.clone()))
        }
        (Some(wanted), Some(known)) => {
            let url = (known.url != wanted.url).then(|| wanted.url.clone());
            let secret = (known.secret != wanted.secret).then(|| wanted.secret.clone());
            let patch = EndpointPatch {
                state: Some(EndpointState::Enabled),
                events: Some(wanted.events),
                new_url: url.is_some(),
                new_secret: secret.is_some(),
            };
            let reason = "changed in the configuration".into();
            submission(EndpointCommand::Patch(PatchEndpoint { endpoint: known.id, patch, reason }), url, secret)
        }
    };
    let rejected = || format!("{setting}: the writer rejected the command (read-only or shutdown)");
    let answer = writer.submit(submission).map_err(|_| rejected())?.wait();
    match answer {
        WriterReply::Decided(decided) => match decided.outcome {
            Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced => Ok(()),
            Outcome::Refused { refusal: Refusal::Invalid(Invalid::TooManyEndpoints), .. } => {
                Err(format!("{setting}: {ENDPOINTS_MAX} endpoints exist already; delete one first"))
            }
            Outcome::Refused { .. } => Err(format!("{setting}: the endpoint was refused")),
        },
        WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => Err(rejected()),
    }
}

fn submission(command: EndpointCommand, url: Option<EndpointUrl>, secret: Option<SigningSecret>) -> Submission {
    let private_data = Some(PrivateData::Endpoint { url, secret });
    Submission { command: Command::Endpoint(Box::new(command)), private_data, class: Class::Operator }
}

fn secret_in(path: &std::path::Path) -> Result<SigningSecret, ConfigError> {
    let bytes = read("outbox.endpoint_secret_file", path, FileProtection::Secret, SECRET_BYTES_MAX)?;
    let secret = std::str::from_utf8(&bytes).ok().and_then(SigningSecret::parse);
    secret.ok_or_else(|| ConfigError(format!("{}: must be `whsec_` and the base64 of 24 to 64 bytes", path.display())))
}

fn authorities_in(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = read("outbox.authorities_file", path, FileProtection::Unforgeable, AUTHORITIES_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(ConfigError(format!("{}: contains no PEM certificate", path.display()))),
    }
}
