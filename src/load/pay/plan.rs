//! The parameters of a crowd that pays, checked.

use std::time::Duration;

use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;
use crate::payments::WebhookSigner;
use crate::types::Provider;

/// The provider that the load plays. Both sign as Standard Webhooks says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum PayProvider {
    StandardWebhooks,
    Sandbox,
}

impl PayProvider {
    pub(crate) const fn provider(self) -> Provider {
        match self {
            PayProvider::StandardWebhooks => Provider::StandardWebhooks,
            PayProvider::Sandbox => Provider::Sandbox,
        }
    }

    /// The server's setting of the provider's secret.
    pub(super) const fn setting(self) -> &'static str {
        match self {
            PayProvider::StandardWebhooks => "payments.standard_webhooks_secret_files",
            PayProvider::Sandbox => "payments.sandbox_secret_files",
        }
    }
}

/// A run of a crowd that pays.
#[derive(Clone, Debug)]
pub(crate) struct PayPlan {
    pub(crate) public: ServerAddress,
    pub(crate) admin: HttpClient,
    pub(crate) buyers: u32,
    pub(crate) units: u32,
    pub(crate) connections: usize,
    /// Connections of the provider.
    pub(crate) provider_connections: usize,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    /// The time limit of the run.
    pub(crate) deadline: Duration,
    /// Buyers who come in a second; without it, each connection's next one comes as soon as the last one has paid.
    pub(crate) rate: Option<u32>,
    pub(crate) provider: PayProvider,
    pub(crate) signer: WebhookSigner,
    /// Deliveries of each event.
    pub(crate) copies: u32,
}
