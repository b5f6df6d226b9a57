//! The provider's session for each order that awaits payment: where its buyer pays.
//!
//! A thread of its own follows the audit through a read-only connection, asks the provider, and has the writer record
//! where the buyer is to be sent. So a checkout is answered before a provider has heard of it, and a provider that fails
//! or hangs delays nobody but its own sessions.
//!
//! A session may be asked for twice (a lost answer, a restart): a request carries a key of the order's, and the provider
//! answers with the session that it has made. At a start all orders are looked at that await payment without a session.

mod api;
mod link_template;
mod payos;
mod session_loop;
mod stripe;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::provider_event::REFERENCE_BYTES_MAX;
use super::secrets::{ApiKey, Keys};
use crate::config::{Config, ConfigError};
use crate::read::Reader;
use crate::telemetry::Telemetry;
use crate::types::{Amount, Currency, OrderId, Provider, Quantity, SnapshotGate, UnitPrice, UnixMillis};
use crate::writer::WriterHandle;

/// The longest address of a session, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// What a provider must know of an order.
#[derive(Clone, Debug)]
struct SessionRequest {
    id: OrderId,
    /// What the buyer comes back to: our own page of the order.
    page: String,
    /// What is sold.
    name: String,
    quantity: Quantity,
    unit_price: UnitPrice,
    currency: Currency,
    expires_at: UnixMillis,
}

impl SessionRequest {
    fn amount(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }
}

/// A session that a provider made.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ProviderSession {
    /// Where the buyer pays.
    url: Box<str>,
    /// The provider's name for it.
    reference: Box<str>,
}

impl ProviderSession {
    /// A session, if this can be one: a buyer is sent there.
    fn of(url: &str, reference: &str) -> Result<ProviderSession, SessionError> {
        let is_link = url.starts_with("https://") || url.starts_with("http://127.0.0.1");
        let plain =
            |text: &str, max| (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_link && plain(url, URL_BYTES_MAX) && plain(reference, REFERENCE_BYTES_MAX) {
            Ok(ProviderSession { url: url.into(), reference: reference.into() })
        } else {
            Err(SessionError::Permanent("the provider's answer names no session".into()))
        }
    }
}

/// Why there is no session.
#[derive(Clone, PartialEq, Eq, Debug)]
enum SessionError {
    /// The provider cannot at the moment.
    Retry {
        /// What is wrong.
        why: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The provider will not, for this order.
    Permanent(String),
}

/// Who makes sessions.
enum SessionProvider {
    Stripe(stripe::StripeSessions),
    Payos(payos::PayosSessions),
    Link(link_template::LinkTemplate),
}

impl SessionProvider {
    async fn make(&self, wanted: &SessionRequest, now: UnixMillis) -> Result<ProviderSession, SessionError> {
        match self {
            SessionProvider::Stripe(stripe) => stripe.make(wanted, now).await,
            SessionProvider::Payos(payos) => payos.make(wanted).await,
            SessionProvider::Link(link) => link.make(wanted),
        }
    }

    fn provider(&self) -> Provider {
        match self {
            SessionProvider::Stripe(_) => Provider::Stripe,
            SessionProvider::Payos(_) => Provider::Payos,
            SessionProvider::Link(_) => Provider::StandardWebhooks,
        }
    }
}

/// SessionService that can be made, before the first is.
pub struct SessionService {
    provider: Arc<SessionProvider>,
    in_flight_max: usize,
}

/// The thread that makes them.
pub struct SessionThread {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// What the thread needs of the rest.
pub struct SessionDependencies {
    /// Where the database is.
    pub database: PathBuf,
    /// The readers' gate.
    pub gate: Arc<SnapshotGate>,
    /// The way to the writer.
    pub writer: WriterHandle,
    /// Where buyers reach us.
    pub public_url: String,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
}

impl SessionService {
    /// Reads the keys. `None` where no provider makes sessions.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn open(config: &Config) -> Result<Option<SessionService>, Vec<ConfigError>> {
        let settings = &config.payments;
        let provider = match settings.provider {
            Some(Provider::Stripe) => SessionProvider::Stripe(stripe::StripeSessions::open(settings)?),
            Some(Provider::Payos) => SessionProvider::Payos(payos::PayosSessions::open(settings)?),
            Some(Provider::StandardWebhooks) => SessionProvider::Link(link_template::LinkTemplate::open(settings)?),
            Some(Provider::Sandbox | Provider::Manual) | None => return Ok(None),
        };
        Ok(Some(SessionService { provider: Arc::new(provider), in_flight_max: settings.sessions_in_flight_max }))
    }

    /// Begins to make them.
    ///
    /// # Errors
    /// If the file cannot be read, or a thread not be started.
    pub fn start(self, parts: SessionDependencies) -> std::io::Result<SessionThread> {
        let reader = Reader::open(&parts.database, Arc::clone(&parts.gate)).map_err(std::io::Error::other)?;
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("fc-sessions".into()).spawn(move || {
            let rounds = session_loop::SessionLoop::new(self.provider, self.in_flight_max, reader, parts);
            runtime.block_on(rounds.run(stopping));
            // A name that is still being resolved must not keep the program from ending.
            runtime.shutdown_background();
        })?;
        Ok(SessionThread { stop, thread })
    }
}

impl SessionThread {
    /// Ends it. What was asked for and not recorded is asked for again at the next start.
    pub fn stop(self) {
        let _gone = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread of payment sessions panicked");
        }
    }
}

/// The API key of a file that must be set.
fn api_key(file: Option<&PathBuf>, setting: &str) -> Result<ApiKey, ConfigError> {
    file.map_or_else(|| Err(ConfigError(format!("{setting} must be set"))), |path| ApiKey::read(path))
}
