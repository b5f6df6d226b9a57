//! Makes refunds that are due at the provider of their payment (`payments.refunds = automatic`).
//!
//! A thread follows the audit through a read-only connection, and a start looks at all that is due. Of each payment it asks
//! the provider first which refunds exist: those that succeeded are settled in the file, while one is under way nothing is
//! requested, and one of ours that failed leaves the payment to the operator. Only then it requests what the file still
//! owes. The request is named by the file, the payment and the number of our refunds that the provider knows of it: a
//! repeat is the same refund, wherever the process was killed and whatever answer was lost.

mod due;
mod refund_loop;
mod states;
mod stripe;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

pub use states::RefundStates;

use super::provider_api::NoResponse;
use crate::config::{Config, ConfigError};
use crate::failpoints::{self, Bug};
use crate::read::Reader;
use crate::read::refunds::DuePayment;
use crate::telemetry::{PanicMeter, Telemetry};
use crate::types::{Amount, DigestKey, Provider, hex, random};
use crate::writer::WriterHandle;

/// Interval at which a node of a cluster looks whether it leads now.
const LEADS_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A refund as its provider tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ProviderRefund {
    /// The provider's id of it.
    id: Box<str>,
    amount: Amount,
    status: RefundStatus,
    /// True if this server requested it, as its metadata says.
    is_ours: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RefundStatus {
    Succeeded,
    /// The provider has not finished it.
    Pending,
    /// The money did not reach the buyer, and never will.
    Failed,
}

/// The request for a refund. A repeat is the same, byte for byte.
#[derive(Clone, PartialEq, Eq, Debug)]
struct RefundRequest {
    /// The name of the refund: its idempotency key at the provider.
    key: String,
    amount: Amount,
}

impl RefundRequest {
    /// Returns the request for all that is owed of a payment, after so many refunds of ours.
    fn new(digests: &DigestKey, payment: &DuePayment, ordinal: u64) -> RefundRequest {
        let digest = digests.refund(payment.provider, &payment.reference, ordinal);
        let mut key = format!("firstcome-refund-{}", hex::encode(&digest.0));
        if failpoints::enabled(Bug::RefundKeyPerAttempt) {
            let mut attempt = [0u8; 8];
            random::fill(&mut attempt);
            key = format!("{key}-{}", hex::encode(&attempt));
        }
        RefundRequest { key, amount: payment.refund_due }
    }
}

/// The reason why a refund was not made.
#[derive(Clone, PartialEq, Eq, Debug)]
enum RefundError {
    /// A temporary failure: the provider is asked again.
    Retry {
        reason: String,
        /// The wait that the provider asked for; it holds for all refunds.
        retry_after: Option<Duration>,
    },
    /// An error that the provider repeats for the request's key, until it forgets the key.
    Replayed(String),
    /// The refund is left to the operator.
    GivenUp(String),
}

impl RefundError {
    fn retry(reason: impl Into<String>) -> RefundError {
        RefundError::Retry { reason: reason.into(), retry_after: None }
    }
}

impl From<NoResponse> for RefundError {
    fn from(failure: NoResponse) -> RefundError {
        match failure {
            NoResponse::BadUrl(reason) => RefundError::GivenUp(reason),
            NoResponse::Failed(reason) => RefundError::retry(reason),
        }
    }
}

/// A provider with keys of which refunds are requested.
enum RefundProvider {
    Stripe(stripe::StripeRefunds),
}

impl RefundProvider {
    fn provider(&self) -> Provider {
        match self {
            RefundProvider::Stripe(_) => Provider::Stripe,
        }
    }

    /// Returns the refunds of a payment that the provider knows, the oldest first.
    async fn refunds_of(&self, payment: &DuePayment) -> Result<Vec<ProviderRefund>, RefundError> {
        match self {
            RefundProvider::Stripe(stripe) => stripe.refunds_of(payment).await,
        }
    }

    async fn request(&self, payment: &DuePayment, request: &RefundRequest) -> Result<ProviderRefund, RefundError> {
        match self {
            RefundProvider::Stripe(stripe) => stripe.request(payment, request).await,
        }
    }
}

/// The refunds of one provider, ready to start.
pub struct RefundService {
    provider: Arc<RefundProvider>,
    states: Arc<RefundStates>,
}

/// The running thread of a refund service.
pub struct RefundThread {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// The parts of the server that the thread uses.
#[derive(Clone)]
pub struct RefundDependencies {
    pub reader: Reader,
    pub writer: WriterHandle,
    pub telemetry: Arc<Telemetry>,
}

impl RefundService {
    /// Reads the keys of each provider that is configured, if refunds are automatic.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain secrets.
    pub fn open(config: &Config) -> Result<Vec<RefundService>, Vec<ConfigError>> {
        let settings = &config.payments;
        let mut services = Vec::new();
        if settings.automatic_refunds && settings.stripe_api_key_file.is_some() {
            let stripe = stripe::StripeRefunds::open(settings)?;
            let provider = Arc::new(RefundProvider::Stripe(stripe));
            services.push(RefundService { provider, states: Arc::default() });
        }
        Ok(services)
    }

    /// Returns the states of refunds, which a service keeps up to date; none without a service.
    #[must_use]
    pub fn states(services: &[RefundService]) -> Arc<RefundStates> {
        services.first().map(|service| Arc::clone(&service.states)).unwrap_or_default()
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self, parts: RefundDependencies) -> std::io::Result<RefundThread> {
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let panics = PanicMeter::new(&parts.telemetry, "fc-refunds");
        let meter = refund_loop::RefundMetrics::new(&parts.telemetry, self.provider.provider());
        let thread = std::thread::Builder::new().name("fc-refunds".into()).spawn(move || {
            let work = || runtime.block_on(self.run(&parts, &meter, stopping.clone()));
            // The scan at a start finds again what is due.
            panics.restart_until(|| *stopping.borrow(), work);
            // A name that is still being resolved must not delay the end of the program.
            runtime.shutdown_background();
        })?;
        Ok(RefundThread { stop, thread })
    }

    /// Runs until `stopping` becomes true. In a cluster it works while this node leads, and looks again at all that is due
    /// whenever it begins to.
    async fn run(
        &self,
        parts: &RefundDependencies,
        meter: &refund_loop::RefundMetrics,
        mut stopping: watch::Receiver<bool>,
    ) {
        while !*stopping.borrow() {
            if parts.writer.may_act() {
                let work = refund_loop::RefundLoop::new(
                    Arc::clone(&self.provider),
                    meter.clone(),
                    Arc::clone(&self.states),
                    parts.clone(),
                );
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

impl RefundThread {
    /// Stops the thread. Refunds that were requested but not settled are found at the provider at the next start.
    pub fn stop(self) {
        let _gone = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the refund thread panicked");
        }
    }
}
