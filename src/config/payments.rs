//! The settings of payments.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use crate::types::Provider;

/// Who may tell us of money, and who makes the sessions in which buyers pay.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "SETTINGS holds a sentence for each; a second one would drift")]
pub struct PaymentSettings {
    pub provider: Option<Provider>,
    pub sandbox: bool,
    pub sandbox_secret_files: Vec<PathBuf>,
    pub standard_webhooks_secret_files: Vec<PathBuf>,
    pub stripe_secret_files: Vec<PathBuf>,
    pub stripe_api_key_file: Option<PathBuf>,
    pub stripe_url: String,
    pub payos_checksum_key_files: Vec<PathBuf>,
    pub payos_client_id: String,
    pub payos_api_key_file: Option<PathBuf>,
    pub payos_url: String,
    pub payos_checkout_url: String,
    pub sessions_in_flight_max: usize,
    pub session_timeout: Duration,
}

/// Who can make sessions, or take their place.
pub(super) fn session_provider(text: &str) -> Result<Option<Provider>, String> {
    match text.trim() {
        "" => Ok(None),
        "stripe" => Ok(Some(Provider::Stripe)),
        "payos" => Ok(Some(Provider::Payos)),
        "sandbox" => Ok(Some(Provider::Sandbox)),
        _ => Err("stripe, payos or sandbox".into()),
    }
}

/// What must hold between these settings.
pub(super) fn relations(config: &Config) -> [([&'static str; 2], bool, String); 3] {
    let payments = &config.payments;
    let is = |provider| payments.provider == Some(provider);
    [
        (
            ["payments.provider", "payments.stripe_api_key_file"],
            !is(Provider::Stripe)
                || (payments.stripe_api_key_file.is_some() && !payments.stripe_secret_files.is_empty()),
            "payments.provider = stripe needs payments.stripe_api_key_file, and payments.stripe_secret_files: else nobody learns who paid"
                .into(),
        ),
        (
            ["payments.provider", "payments.payos_client_id"],
            !is(Provider::Payos)
                || (payments.payos_api_key_file.is_some()
                    && !payments.payos_client_id.is_empty()
                    && !payments.payos_checksum_key_files.is_empty()),
            "payments.provider = payos needs payments.payos_client_id, payments.payos_api_key_file and payments.payos_checksum_key_files"
                .into(),
        ),
        (
            ["payments.provider", "payments.sandbox"],
            !is(Provider::Sandbox) || payments.sandbox,
            "payments.provider = sandbox needs payments.sandbox = true: play money is never taken by accident".into(),
        ),
    ]
}
