//! The provider's session for each order that awaits payment: where its buyer pays.
//!
//! A thread of its own follows the audit through a read-only connection, asks the provider, and has the writer record
//! where the buyer is to be sent. So a checkout is answered before a provider has heard of it, and a provider that fails
//! or hangs delays nobody but its own sessions.
//!
//! A session may be asked for twice (a lost answer, a restart): a request carries a key of the order's, and the provider
//! answers with the session that it has made. At a start all orders are looked at that await payment without a session.

mod api;
mod link;
mod payos;
mod rounds;
mod stripe;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::heard::REFERENCE_BYTES_MAX;
use super::secrets::{ApiKey, Keys};
use crate::config::{Config, Mistake};
use crate::read::Reader;
use crate::telemetry::Telemetry;
use crate::types::{Amount, Currency, OrderId, Provider, Quantity, SnapshotGate, UnitPrice, UnixMillis};
use crate::writer::WriterHandle;

/// The longest address of a session, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// What a provider must know of an order.
#[derive(Clone, Debug)]
struct Wanted {
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

impl Wanted {
    fn amount(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }
}

/// A session that a provider made.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Made {
    /// Where the buyer pays.
    url: Box<str>,
    /// The provider's name for it.
    reference: Box<str>,
}

impl Made {
    /// A session, if this can be one: a buyer is sent there.
    fn of(url: &str, reference: &str) -> Result<Made, NotMade> {
        let is_link = url.starts_with("https://") || url.starts_with("http://127.0.0.1");
        let plain =
            |text: &str, max| (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_link && plain(url, URL_BYTES_MAX) && plain(reference, REFERENCE_BYTES_MAX) {
            Ok(Made { url: url.into(), reference: reference.into() })
        } else {
            Err(NotMade::Never("the provider's answer names no session".into()))
        }
    }
}

/// Why there is no session.
#[derive(Clone, PartialEq, Eq, Debug)]
enum NotMade {
    /// The provider cannot at the moment.
    Later {
        /// What is wrong.
        why: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The provider will not, for this order.
    Never(String),
}

/// Who makes sessions.
enum Maker {
    Stripe(stripe::Stripe),
    Payos(payos::Payos),
    Link(link::Link),
}

impl Maker {
    async fn make(&self, wanted: &Wanted, now: UnixMillis) -> Result<Made, NotMade> {
        match self {
            Maker::Stripe(stripe) => stripe.make(wanted, now).await,
            Maker::Payos(payos) => payos.make(wanted).await,
            Maker::Link(link) => link.make(wanted),
        }
    }

    fn provider(&self) -> Provider {
        match self {
            Maker::Stripe(_) => Provider::Stripe,
            Maker::Payos(_) => Provider::Payos,
            Maker::Link(_) => Provider::StandardWebhooks,
        }
    }
}

/// Sessions that can be made, before the first is.
pub struct Sessions {
    maker: Arc<Maker>,
    in_flight_max: usize,
}

/// The thread that makes them.
pub struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// What the thread needs of the rest.
pub struct Parts {
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

impl Sessions {
    /// Reads the keys. `None` where no provider makes sessions.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn open(config: &Config) -> Result<Option<Sessions>, Vec<Mistake>> {
        let settings = &config.payments;
        let maker = match settings.provider {
            Some(Provider::Stripe) => Maker::Stripe(stripe::Stripe::open(settings)?),
            Some(Provider::Payos) => Maker::Payos(payos::Payos::open(settings)?),
            Some(Provider::StandardWebhooks) => Maker::Link(link::Link::open(settings)?),
            Some(Provider::Sandbox | Provider::Manual) | None => return Ok(None),
        };
        Ok(Some(Sessions { maker: Arc::new(maker), in_flight_max: settings.sessions_in_flight_max }))
    }

    /// Begins to make them.
    ///
    /// # Errors
    /// If the file cannot be read, or a thread not be started.
    pub fn start(self, parts: Parts) -> std::io::Result<Running> {
        let reader = Reader::open(&parts.database, Arc::clone(&parts.gate)).map_err(std::io::Error::other)?;
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("fc-sessions".into()).spawn(move || {
            let rounds = rounds::Rounds::new(self.maker, self.in_flight_max, reader, parts);
            runtime.block_on(rounds.run(stopping));
            // A name that is still being resolved must not keep the program from ending.
            runtime.shutdown_background();
        })?;
        Ok(Running { stop, thread })
    }
}

impl Running {
    /// Ends it. What was asked for and not recorded is asked for again at the next start.
    pub fn stop(self) {
        let _gone = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread of payment sessions panicked");
        }
    }
}

/// The API key of a file that must be set.
fn api_key(file: Option<&PathBuf>, setting: &str) -> Result<ApiKey, Mistake> {
    file.map_or_else(|| Err(Mistake(format!("{setting} must be set"))), |path| ApiKey::read(path))
}
