//! Money in: who may tell us of it, what he said, and the sessions in which buyers pay.
//!
//! A provider's webhook is verified over the bytes as they came (`standard`, `stripe`, `payos`), the signature before the
//! age, and becomes one provider-neutral [`ProviderEvent`]. Nothing here decides what a payment means: that is the engine's. A
//! provider without secrets does not exist (404): there is no "open in development".
//!
//! `sessions` makes the provider's session for each order that awaits payment, on a thread of its own: a provider that
//! fails or hangs never slows a sale.

mod json_fields;
mod payos;
pub mod provider_event;
mod secrets;
pub mod sessions;
mod standard;
mod stripe;

pub use provider_event::{OrderRef, ProviderEvent, WebhookError, WebhookRequest};
use secrets::Keys;

use crate::config::{Config, ConfigError};
use crate::types::{Provider, random};

/// A webhook's body, in bytes: providers send a few kilobytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How far a signature's instant may lie from ours, both ways, in seconds: what Stripe and Standard Webhooks use.
pub const TOLERANCE_SECONDS: u64 = 300;

/// The providers that may tell us of payments.
pub struct WebhookVerifiers {
    standard_webhooks: Option<Keys>,
    stripe: Option<Keys>,
    payos: Option<Keys>,
    sandbox: Option<Keys>,
}

impl WebhookVerifiers {
    /// Reads the secrets that the configuration names.
    ///
    /// # Errors
    /// All mistakes at once, nothing of a secret in them.
    pub fn open(config: &Config) -> Result<WebhookVerifiers, Vec<ConfigError>> {
        let settings = &config.payments;
        let mut mistakes = Vec::new();
        let mut keys = |read: Result<Option<Keys>, Vec<ConfigError>>| {
            read.unwrap_or_else(|more| {
                mistakes.extend(more);
                None
            })
        };
        let standard_webhooks = keys(Keys::standard(&settings.standard_webhooks_secret_files));
        let stripe = keys(Keys::text(&settings.stripe_secret_files));
        let payos = keys(Keys::text(&settings.payos_checksum_key_files));
        let given = keys(Keys::standard(&settings.sandbox_secret_files));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // Without a secret that others know, only this process can sign: its own page of the sandbox.
        let sandbox = settings.sandbox.then(|| given.unwrap_or_else(own_key));
        Ok(WebhookVerifiers { standard_webhooks, stripe, payos, sandbox })
    }

    /// What a provider says, if he said it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn receive(&self, provider: Provider, request: &WebhookRequest<'_>) -> Result<ProviderEvent, WebhookError> {
        let keys = self.keys(provider).ok_or(WebhookError::NotConfigured)?;
        match provider {
            Provider::StandardWebhooks | Provider::Sandbox => standard::receive(keys, request),
            Provider::Stripe => stripe::receive(keys, request),
            Provider::Payos => payos::receive(keys, request),
            Provider::Manual => Err(WebhookError::NotConfigured),
        }
    }

    /// Whether a provider may tell us anything.
    #[must_use]
    pub fn is_configured(&self, provider: Provider) -> bool {
        self.keys(provider).is_some()
    }

    /// Signs an event of the sandbox, as its page does: the `webhook-signature` of (`webhook-id`, `webhook-timestamp`,
    /// body). `None` where there is no sandbox.
    #[must_use]
    pub fn sign_sandbox(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
        standard::sign(self.sandbox.as_ref()?, id, timestamp, body)
    }

    fn keys(&self, provider: Provider) -> Option<&Keys> {
        match provider {
            Provider::Manual => None,
            Provider::StandardWebhooks => self.standard_webhooks.as_ref(),
            Provider::Stripe => self.stripe.as_ref(),
            Provider::Payos => self.payos.as_ref(),
            Provider::Sandbox => self.sandbox.as_ref(),
        }
    }
}

fn own_key() -> Keys {
    let mut key = [0u8; 32];
    random::fill(&mut key);
    Keys::of(&[&key])
}
