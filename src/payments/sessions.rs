//! Creates a payment session at the provider for each order that awaits payment: the page where its buyer pays.
//!
//! A thread follows the audit through a read-only connection, calls the provider, and has the writer record the address
//! of the session. So a checkout is answered before the provider is called, and a provider that fails or hangs delays
//! only its own sessions.
//!
//! A session may be requested twice (lost response, restart): requests carry a key of the order, and the provider
//! answers with the session that exists. At start the thread looks for all orders that await payment without a session.
//!
//! A session whose order has ended is closed at the provider, also if the answer to its request was lost; so are those of
//! the last day at a start.

mod api;
mod closing;
mod link_template;
mod payos;
mod refused;
mod session_loop;
mod stripe;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

pub use refused::{NoSession, RefusedSessions};

use super::accepted_amounts;
use super::provider_event::REFERENCE_BYTES_MAX;
use super::secrets::{ApiKey, Keys};
use crate::config::{Config, ConfigError};
use crate::read::Reader;
use crate::telemetry::{PanicMeter, Telemetry};
use crate::types::shard::NumberSeries;
use crate::types::{Amount, Currency, OrderId, Provider, Quantity, UnitPrice, UnixMillis};
use crate::writer::WriterHandle;

/// The longest URL of a session, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// Interval at which a node of a cluster looks whether it leads now.
const LEADS_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The data of an order that the provider needs.
#[derive(Clone, Debug)]
struct SessionRequest {
    id: OrderId,
    /// The order's number for providers that want an integer, unless it is too large.
    number: Option<u64>,
    /// The order's short code, without its hyphen.
    code: String,
    /// URL of this server's page of the order, to which the buyer returns.
    page: String,
    /// Name of the product.
    name: String,
    quantity: Quantity,
    unit_price: UnitPrice,
    currency: Currency,
    reserved_at: UnixMillis,
    expires_at: UnixMillis,
}

impl SessionRequest {
    fn amount(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }
}

/// A payment session at the provider.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ProviderSession {
    /// URL of the page where the buyer pays.
    url: Box<str>,
    /// The provider's id of the session.
    reference: Box<str>,
}

impl ProviderSession {
    /// Checks the provider's response, since the buyer is sent to its URL.
    fn new(url: &str, reference: &str) -> Result<ProviderSession, SessionError> {
        let reference = is_plain(reference, REFERENCE_BYTES_MAX).then(|| reference.into());
        match reference {
            Some(reference) if is_link(url) => Ok(ProviderSession { url: url.into(), reference }),
            Some(reference) => {
                let reason = format!(
                    "buyers are not sent to the URL of the session: {} bytes; it must be https:// and at most \
                     {URL_BYTES_MAX} visible ASCII characters",
                    url.len()
                );
                Err(SessionError::Unusable { reason, reference: Some(reference) })
            }
            None => Err(SessionError::unusable("the provider's id of the session is too long or not ASCII")),
        }
    }
}

/// Returns whether a buyer may be sent to a URL of a session: over a network only by HTTPS.
fn is_link(url: &str) -> bool {
    let is_ours = |rest: &str| {
        let after = ["127.0.0.1", "localhost", "[::1]"].iter().find_map(|host| rest.strip_prefix(host));
        after.is_some_and(|after| after.starts_with([':', '/']))
    };
    let is_private = url.starts_with("https://") || url.strip_prefix("http://").is_some_and(is_ours);
    is_private && is_plain(url, URL_BYTES_MAX)
}

fn is_plain(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The reason why no session was created.
#[derive(Clone, PartialEq, Eq, Debug)]
enum SessionError {
    /// A temporary failure: the request is repeated.
    Retry {
        reason: String,
        /// The wait that the provider asked for.
        retry_after: Option<Duration>,
    },
    /// The provider rejects this order for good.
    Refused(String),
    /// There is, or may be, a session at the provider to which no buyer can be sent.
    Unusable {
        reason: String,
        /// The provider's id of the session, if it is known, so that the session is closed.
        reference: Option<Box<str>>,
    },
}

impl SessionError {
    fn unusable(reason: impl Into<String>) -> SessionError {
        SessionError::Unusable { reason: reason.into(), reference: None }
    }

    /// A failure after which the request is repeated.
    fn retry(reason: impl Into<String>) -> SessionError {
        SessionError::Retry { reason: reason.into(), retry_after: None }
    }
}

/// The provider of `payments.provider`.
enum SessionProvider {
    Stripe(stripe::StripeSessions),
    Payos(payos::PayosSessions),
    Link(link_template::LinkTemplate),
}

impl SessionProvider {
    async fn create(&self, request: &SessionRequest) -> Result<ProviderSession, SessionError> {
        accepted_amounts::check(Some(self.provider()), request.currency, request.amount())
            .map_err(|not_taken| SessionError::Refused(not_taken.sentence().into()))?;
        match self {
            SessionProvider::Stripe(stripe) => stripe.create(request).await,
            SessionProvider::Payos(payos) => payos.create(request).await,
            SessionProvider::Link(link) => link.create(request),
        }
    }

    /// Closes a session. [`SessionError::Refused`] says that it was closed, or paid, before.
    async fn close(&self, reference: &str) -> Result<(), SessionError> {
        match self {
            SessionProvider::Stripe(stripe) => stripe.close(reference).await,
            SessionProvider::Payos(payos) => payos.close(reference).await,
            // The link has an end, which the provider checks.
            SessionProvider::Link(_) => Ok(()),
        }
    }

    /// Closes the session of an order whose request may have had no answer: at Stripe, the same request returns the session
    /// that exists.
    async fn close_unsure(&self, request: &SessionRequest) -> Result<(), SessionError> {
        match self {
            SessionProvider::Stripe(stripe) => {
                let reference = match stripe.create(request).await {
                    Ok(session) => session.reference,
                    Err(SessionError::Unusable { reference: Some(reference), .. }) => reference,
                    Err(error) => return Err(error),
                };
                stripe.close(&reference).await
            }
            SessionProvider::Payos(payos) => payos.close(&payos::number_of(request)?.to_string()).await,
            SessionProvider::Link(_) => Ok(()),
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

/// The work of a session service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Duty {
    /// Sessions are made and closed.
    Sessions,
    /// Sessions that were made while the settings named this provider are closed.
    Closing,
}

/// The session service of one provider, ready to start.
pub struct SessionService {
    provider: Arc<SessionProvider>,
    duty: Duty,
    in_flight_max: usize,
}

/// The running thread of the session service.
pub struct SessionThread {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// The parts of the server that the thread uses.
#[derive(Clone)]
pub struct SessionDependencies {
    pub reader: Reader,
    pub writer: WriterHandle,
    /// URL at which buyers reach this server.
    pub public_url: String,
    pub telemetry: Arc<Telemetry>,
    /// The series of the numbers that orders get at the provider.
    pub series: NumberSeries,
    /// Shared with the pages of orders.
    pub refused: Arc<RefusedSessions>,
}

impl SessionService {
    /// Reads the keys: of the configured provider if it has sessions, and of others whose keys are still configured,
    /// which may have sessions of a time before.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain secrets.
    pub fn open(config: &Config) -> Result<Vec<SessionService>, Vec<ConfigError>> {
        let settings = &config.payments;
        let is_chosen = |provider| settings.provider == Some(provider);
        let (mut services, mut mistakes) = (Vec::new(), Vec::new());
        let mut add = |provider: Result<SessionProvider, Vec<ConfigError>>, duty| match provider {
            Ok(provider) => {
                let provider = Arc::new(provider);
                services.push(SessionService { provider, duty, in_flight_max: settings.sessions_in_flight_max });
            }
            Err(more) => mistakes.extend(more),
        };
        let duty = |provider| if is_chosen(provider) { Duty::Sessions } else { Duty::Closing };
        if is_chosen(Provider::Stripe) || settings.stripe_api_key_file.is_some() {
            add(stripe::StripeSessions::open(settings).map(SessionProvider::Stripe), duty(Provider::Stripe));
        }
        if is_chosen(Provider::Payos) || settings.payos_api_key_file.is_some() {
            add(payos::PayosSessions::open(settings).map(SessionProvider::Payos), duty(Provider::Payos));
        }
        if is_chosen(Provider::StandardWebhooks) {
            // Its links have an end in themselves.
            add(link_template::LinkTemplate::open(settings).map(SessionProvider::Link), Duty::Sessions);
        }
        if mistakes.is_empty() { Ok(services) } else { Err(mistakes) }
    }

    /// Returns the provider whose sessions it closes.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider.provider()
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self, parts: SessionDependencies) -> std::io::Result<SessionThread> {
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let panics = PanicMeter::new(&parts.telemetry, "fc-sessions");
        let thread = std::thread::Builder::new().name("fc-sessions".into()).spawn(move || {
            let work = || runtime.block_on(self.run(&parts, stopping.clone()));
            // The scan at a start finds the orders again that need a session.
            panics.restart_until(|| *stopping.borrow(), work);
            // A name that is still being resolved must not delay the end of the program.
            runtime.shutdown_background();
        })?;
        Ok(SessionThread { stop, thread })
    }

    /// Runs until `stopping` becomes true. In a cluster it works while this node leads, and looks again for all orders that
    /// need a session whenever it begins to.
    async fn run(&self, parts: &SessionDependencies, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            if parts.writer.may_act() {
                let provider = Arc::clone(&self.provider);
                let work = session_loop::SessionLoop::new(provider, self.duty, self.in_flight_max, parts.clone());
                work.run(stopping.clone()).await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(LEADS_POLL_INTERVAL) => {}
                    _ = stopping.changed() => {}
                }
            }
        }
    }
}

impl SessionThread {
    /// Stops the thread. Sessions that were requested but not recorded are requested again at the next start.
    pub fn stop(self) {
        let _gone = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the payment session thread panicked");
        }
    }
}

/// Reads the API key of a file; the setting is required.
pub(super) fn api_key(file: Option<&PathBuf>, setting: &str) -> Result<ApiKey, ConfigError> {
    file.map_or_else(|| Err(ConfigError(format!("{setting} must be set"))), |path| ApiKey::read(setting, path))
}
