//! Signs events as a payment provider does: for the load generator, which plays one.

use std::path::Path;

use super::secrets::Keys;
use super::standard;

/// The secret of a provider that signs as Standard Webhooks 1.0 says. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct WebhookSigner(Keys);

impl std::fmt::Debug for WebhookSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSigner(..)")
    }
}

impl WebhookSigner {
    /// Reads the file that the server has, too: `whsec_` and base64, readable by its owner alone.
    ///
    /// # Errors
    /// One line, which contains nothing of the secret.
    pub(crate) fn read(flag: &str, file: &Path) -> Result<WebhookSigner, String> {
        match Keys::standard(flag, &[file.to_path_buf()]) {
            Ok(Some(keys)) => Ok(WebhookSigner(keys)),
            Ok(None) => Err(format!("{flag} {}: no secret", file.display())),
            Err(mistakes) => {
                let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                let told = told.join("; ");
                Err(if told.contains(flag) { told } else { format!("{flag} {told}") })
            }
        }
    }

    /// Returns the `webhook-signature` of an event; `timestamp` is in seconds since 1970.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        standard::sign(&self.0, id, timestamp, body).unwrap_or_default()
    }
}
