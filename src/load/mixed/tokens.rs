//! Tokens of simulated buyers: JWTs signed by HS256 with the key that the server knows.

use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

/// The least length of a secret that the server takes, in bytes.
const SECRET_BYTES_MIN: usize = 32;

/// The secret that signs buyers' tokens.
#[derive(Clone)]
pub(crate) struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    /// Reads the file that the server has as `identity.hs256_secret_files`.
    ///
    /// # Errors
    /// One line: the file cannot be read, or is too short.
    pub(crate) fn read(file: &Path) -> Result<TokenKey, String> {
        let secret = std::fs::read(file).map_err(|error| format!("--token-key {}: {error}", file.display()))?;
        // As the server reads it: a newline at the end is not part of the secret.
        let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!("--token-key {}: a secret of at least {SECRET_BYTES_MIN} bytes", file.display()));
        }
        Ok(TokenKey(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Signs the token of a buyer that expires at this second since 1970. Without a tier the server takes `new`.
    pub(super) fn sign(&self, buyer: &str, audience: &str, expires: i64, tier: Option<&str>) -> String {
        let mut claims = json!({ "sub": buyer, "aud": audience, "exp": expires });
        if let Some(tier) = tier {
            claims["tier"] = tier.into();
        }
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.to_string().as_bytes()));
        let signature = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", encode(signature.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_jwt_of_the_secret_and_a_short_secret_is_refused() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = scratch.path().join("secret");
        std::fs::write(&file, "0123456789abcdef0123456789abcde").expect("written");
        assert!(TokenKey::read(&file).is_err_and(|line| line.contains("32 bytes")));
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").expect("written");
        let key = TokenKey::read(&file).expect("a key");
        let token = key.sign("ann", "shop", 7, Some("suspected"));
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let made = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
        assert!(hmac::verify(&made, signed.as_bytes(), &signature).is_ok());
        let claims = BASE64_URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).expect("claims")).expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
        assert_eq!(claims, json!({ "sub": "ann", "aud": "shop", "exp": 7, "tier": "suspected" }));
        assert_eq!(format!("{key:?}"), "TokenKey", "no secret in logs");
    }
}
