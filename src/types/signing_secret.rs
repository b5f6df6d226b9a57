//! Secrets that sign webhooks (Standard Webhooks 1.0.0). `Debug` does not show them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::random;

const PREFIX: &str = "whsec_";
/// Length of new secrets; the standard allows 24 to 64 bytes.
const SECRET_BYTES: usize = 32;

/// A secret shared by an endpoint and this server.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    #[must_use]
    pub fn random() -> SigningSecret {
        let mut bytes = vec![0u8; SECRET_BYTES];
        random::fill(&mut bytes);
        SigningSecret(bytes)
    }

    /// Parses `whsec_` and the base64 of 24 to 64 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<SigningSecret> {
        let bytes = STANDARD.decode(text.trim().strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(SigningSecret(bytes))
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text of the secret, which the operator sees once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_one_spelling_and_are_never_printed() {
        let secret = SigningSecret::random();
        assert_eq!(SigningSecret::parse(&secret.reveal()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "SigningSecret");
        assert_ne!(secret, SigningSecret::random());
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7u8; bytes]));
        for wrong in ["", "whsec_", "plJ3nmyCDGBKInavdOK15jsl", "whsec_*", &of(23), &of(65)] {
            assert_eq!(SigningSecret::parse(wrong), None, "{wrong}");
        }
        assert!(SigningSecret::parse(&of(24)).is_some() && SigningSecret::parse(&of(64)).is_some());
    }
}
