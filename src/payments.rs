//! Payment providers: verifies their webhooks, and creates the sessions in which buyers pay.
//!
//! A webhook is verified over its bytes as received (`standard`, `stripe`, `payos`), the signature before the age, and
//! becomes a provider-neutral [`ProviderEvent`]. The engine alone decides what a payment means. A provider without
//! configured secrets has no route (404); there is no unauthenticated development mode.
//!
//! `sessions` creates the provider's session for each order that awaits payment, on a thread of its own: a provider that
//! fails or hangs never slows a sale. `refunds` makes the refunds that are due at the provider, on another one.

pub mod accepted_amounts;
mod json_fields;
mod payos;
mod provider_api;
pub mod provider_event;
pub mod refunds;
mod secrets;
pub mod sessions;
mod signer;
mod standard;
mod stripe;

pub use provider_event::{OrderRef, ProviderEvent, WebhookError, WebhookRequest};
use secrets::Keys;
pub(crate) use signer::WebhookSigner;

use crate::config::{Config, ConfigError};
use crate::types::{Provider, random};

/// The longest body of a webhook, in bytes; providers send a few kilobytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest difference between a signature's time and the server's, in seconds, in both directions: the value that
/// Stripe and Standard Webhooks recommend.
pub const TOLERANCE_SECONDS: u64 = 300;

/// Verifies webhooks with the secrets of the configured providers.
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
    /// All mistakes at once. Messages never contain secrets.
    pub fn open(config: &Config) -> Result<WebhookVerifiers, Vec<ConfigError>> {
        let settings = &config.payments;
        let mut mistakes = Vec::new();
        let mut keys = |read: Result<Option<Keys>, Vec<ConfigError>>| {
            read.unwrap_or_else(|more| {
                mistakes.extend(more);
                None
            })
        };
        let standard_webhooks =
            keys(Keys::standard("payments.standard_webhooks_secret_files", &settings.standard_webhooks_secret_files));
        let stripe = keys(Keys::text("payments.stripe_secret_files", &settings.stripe_secret_files));
        let payos = keys(Keys::text("payments.payos_checksum_key_files", &settings.payos_checksum_key_files));
        let configured = keys(Keys::standard("payments.sandbox_secret_files", &settings.sandbox_secret_files));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // Without a configured secret only this process can sign: the sandbox page uses a random key.
        let sandbox = settings.sandbox.then(|| configured.unwrap_or_else(random_key));
        Ok(WebhookVerifiers { standard_webhooks, stripe, payos, sandbox })
    }

    /// Verifies a webhook and reads its event.
    ///
    /// # Errors
    /// The reason why the webhook is not accepted.
    pub fn receive(&self, provider: Provider, request: &WebhookRequest<'_>) -> Result<ProviderEvent, WebhookError> {
        let keys = self.keys(provider).ok_or(WebhookError::NotConfigured)?;
        match provider {
            Provider::StandardWebhooks | Provider::Sandbox => standard::receive(keys, request),
            Provider::Stripe => stripe::receive(keys, request),
            Provider::Payos => payos::receive(keys, request),
            Provider::Manual => Err(WebhookError::NotConfigured),
        }
    }

    /// Returns true if the provider has secrets, so that its webhooks can be verified.
    #[must_use]
    pub fn is_configured(&self, provider: Provider) -> bool {
        self.keys(provider).is_some()
    }

    /// Returns the `webhook-signature` of a sandbox event over (`webhook-id`, `webhook-timestamp`, body). `None` if the
    /// sandbox is not enabled.
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

fn random_key() -> Keys {
    let mut key = [0u8; 32];
    random::fill(&mut key);
    Keys::of(&[&key])
}
