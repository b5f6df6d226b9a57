//! Buyers' tokens: JWT of the shop, signed with a shared secret (HS256) or with the shop's Ed25519 key.
//!
//! Each key has one algorithm, whatever a token's header names: a public key is never used as a secret, and `none` is not
//! an algorithm. Several keys may be configured at once, for rotation.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp};
use serde::Deserialize;

use super::rejected::Rejected;
use super::verified::{VerifiedToken, VerifiedTokens};
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError, KeyFile};
use crate::types::BuyerText;

/// The longest token that is verified, in bytes; a usual one has 300.
const TOKEN_BYTES_MAX: usize = 4096;
/// The longest key file, in bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// HS256's secret must be as long as its hash (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// The keys of buyers' tokens, each with the claims that it requires.
pub struct BuyerTokens {
    keys: Vec<VerificationKey>,
    /// At least one key has a name; without one, tokens' headers need not be parsed.
    named: bool,
    leeway_seconds: u64,
}

struct VerificationKey {
    /// Its name in tokens' headers; a key without a name is tried for all tokens.
    kid: Option<String>,
    decoding: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(default)]
    iat: Option<f64>,
}

impl BuyerTokens {
    /// Reads the configured keys; returns `None` if no key is configured.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(config: &Config) -> Result<Option<BuyerTokens>, Vec<ConfigError>> {
        let (mut keys, mut mistakes) = (Vec::new(), Vec::new());
        let secrets = config.hs256_secret_files.iter().map(|file| (file, Algorithm::HS256));
        let public_keys = config.eddsa_public_key_files.iter().map(|file| (file, Algorithm::EdDSA));
        for (file, algorithm) in secrets.chain(public_keys) {
            let made = if algorithm == Algorithm::HS256 { secret(file) } else { public_key(file) };
            match made {
                Ok(decoding) => {
                    keys.push(VerificationKey {
                        kid: file.kid.clone(),
                        decoding,
                        validation: validation(config, algorithm),
                    });
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let named = keys.iter().any(|key| key.kid.is_some());
        let leeway_seconds = config.identity_leeway.as_secs();
        Ok((!keys.is_empty()).then_some(BuyerTokens { keys, named, leeway_seconds }))
    }

    /// Returns the buyer that a token names. `known` caches tokens that were verified before.
    ///
    /// # Errors
    /// `unauthorized`, for every kind of failure.
    pub fn check(&self, token: &str, known: &mut VerifiedTokens) -> Result<BuyerText, Rejected> {
        self.find_or_verify(token, known, get_current_timestamp()).map(|verified| verified.buyer)
    }

    /// Returns the buyer and the last second of the token, in seconds since 1970: a wire connection sends its token only once.
    ///
    /// # Errors
    /// `unauthorized`, for every kind of failure.
    pub fn check_with_end(&self, token: &str, known: &mut VerifiedTokens) -> Result<(BuyerText, u64), Rejected> {
        let verified = self.find_or_verify(token, known, get_current_timestamp())?;
        Ok((verified.buyer, verified.valid_until))
    }

    fn find_or_verify(&self, token: &str, known: &mut VerifiedTokens, now: u64) -> Result<VerifiedToken, Rejected> {
        if let Some(verified) = known.find(token, now) {
            return Ok(verified);
        }
        let verified = self.verify(token, now).ok_or(Rejected::Unauthorized)?;
        known.keep(token, verified.clone());
        Ok(verified)
    }

    fn verify(&self, token: &str, now: u64) -> Option<VerifiedToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let kid = if self.named { decode_header(token).ok()?.kid } else { None };
        let may_be = |key: &&VerificationKey| match (&key.kid, &kid) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        // The library compares the algorithm that a token names with the key's before it computes anything.
        let verify = |key: &VerificationKey| decode::<Claims>(token, &key.decoding, &key.validation).ok();
        let token = self.keys.iter().filter(may_be).find_map(verify)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): this server knows none.
        if token.header.crit.is_some() {
            return None;
        }
        let claims = token.claims;
        // The library checks `exp` and `nbf`; a token issued in the future is as wrong as one not valid yet.
        let latest = Duration::from_secs(now.saturating_add(self.leeway_seconds)).as_secs_f64();
        if claims.iat.is_some_and(|iat| iat > latest) {
            return None;
        }
        // Times beyond the range of a duration are not cached.
        let expires = Duration::try_from_secs_f64(claims.exp).map_or(now, |since_1970| since_1970.as_secs());
        let valid_until = expires.saturating_add(self.leeway_seconds);
        Some(VerifiedToken { buyer: BuyerText::new(&claims.sub)?, valid_until })
    }
}

fn validation(config: &Config, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = config.identity_leeway.as_secs();
    validation.validate_nbf = true;
    validation.set_audience(&[&config.identity_audience]);
    let mut required = vec!["exp", "aud", "sub"];
    if !config.identity_issuer.is_empty() {
        validation.set_issuer(&[&config.identity_issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn secret(file: &KeyFile) -> Result<DecodingKey, ConfigError> {
    let bytes = read(&file.path, FileProtection::Secret, KEY_BYTES_MAX)?;
    // Editors and `echo` end a file with a newline, which is not part of the secret.
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.len() < SECRET_BYTES_MIN {
        let path = file.path.display();
        return Err(ConfigError(format!(
            "{path}: a secret for HS256 needs at least {SECRET_BYTES_MIN} bytes (RFC 7518)"
        )));
    }
    if secret.starts_with(b"-----BEGIN") {
        let path = file.path.display();
        return Err(ConfigError(format!(
            "{path}: is a key in PEM, not a secret; public keys go to identity.eddsa_public_key_files"
        )));
    }
    Ok(DecodingKey::from_secret(secret))
}

fn public_key(file: &KeyFile) -> Result<DecodingKey, ConfigError> {
    let bytes = read(&file.path, FileProtection::Unforgeable, KEY_BYTES_MAX)?;
    let wrong = || {
        ConfigError(format!(
            "{}: is not an Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----)",
            file.path.display()
        ))
    };
    DecodingKey::from_ed_pem(&bytes).map_err(|_| wrong())
}
