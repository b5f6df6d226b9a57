//! Buyers' tokens: JWT of the shop, signed with a shared secret (HS256) or with the shop's Ed25519 key.
//!
//! Each key has one algorithm, whatever a token's header names: a public key is never used as a secret, and `none` is not
//! an algorithm. Several keys may be configured at once, for rotation.

use jsonwebtoken::{Algorithm, DecodingKey};

use super::jwt::Jwt;
use super::rejected::Rejected;
use super::verified::{VerifiedToken, VerifiedTokens};
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError, KeyFile};
use crate::types::BuyerText;
use crate::writer::clock::wall_clock_second;

/// The longest token that is verified, in bytes; a usual one has 300.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// The longest key file, in bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// HS256's secret must be as long as its hash (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// The keys of buyers' tokens, each with the claims that it requires.
pub struct BuyerTokens {
    keys: Vec<VerificationKey>,
    audience: String,
    /// Empty if any issuer will do.
    issuer: String,
    leeway_seconds: u64,
}

struct VerificationKey {
    /// The key's name in tokens' headers; a key without a name is tried for all tokens.
    kid: Option<String>,
    decoding: DecodingKey,
    algorithm: Algorithm,
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
                Ok(decoding) => keys.push(VerificationKey { kid: file.kid.clone(), decoding, algorithm }),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let (audience, issuer) = (config.identity_audience.clone(), config.identity_issuer.clone());
        let leeway_seconds = config.identity_leeway.as_secs();
        Ok((!keys.is_empty()).then_some(BuyerTokens { keys, audience, issuer, leeway_seconds }))
    }

    /// Returns the claims of a token. `known` caches tokens that were verified before; `before_verifying` is asked about the
    /// others, and may refuse to have a signature verified.
    ///
    /// # Errors
    /// `unauthorized`, for every kind of failure but a token that is too long to be looked at; what `before_verifying` says.
    pub fn check<Error: From<Rejected>>(
        &self,
        token: &str,
        known: &mut VerifiedTokens,
        before_verifying: impl FnOnce() -> Result<(), Error>,
    ) -> Result<VerifiedToken, Error> {
        self.find_or_verify(token, known, wall_clock_second(), before_verifying)
    }

    fn find_or_verify<Error: From<Rejected>>(
        &self,
        token: &str,
        known: &mut VerifiedTokens,
        now: u64,
        before_verifying: impl FnOnce() -> Result<(), Error>,
    ) -> Result<VerifiedToken, Error> {
        if let Some(verified) = known.find(token, now) {
            return Ok(verified);
        }
        before_verifying()?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Rejected::TokenTooLong.into());
        }
        let verified = self.verify(token, now).ok_or(Rejected::Unauthorized)?;
        known.keep(token, verified.clone());
        Ok(verified)
    }

    fn verify(&self, token: &str, now: u64) -> Option<VerifiedToken> {
        let token = Jwt::parse(token)?;
        let may_be = |key: &&VerificationKey| match (key.kid.as_deref(), token.kid()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        let verify = |key: &VerificationKey| token.verified_by(&key.decoding, key.algorithm);
        let claims = self.keys.iter().filter(may_be).find_map(verify)?;
        let expires = claims.expires(&self.audience, &self.issuer, now, self.leeway_seconds)?;
        Some(VerifiedToken { buyer: BuyerText::new(&claims.sub)?, tier: claims.tier()?, expires })
    }
}

fn secret(file: &KeyFile) -> Result<DecodingKey, ConfigError> {
    let bytes = read("identity.hs256_secret_files", &file.path, FileProtection::Secret, KEY_BYTES_MAX)?;
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
    let bytes = read("identity.eddsa_public_key_files", &file.path, FileProtection::Unforgeable, KEY_BYTES_MAX)?;
    let wrong = || {
        ConfigError(format!(
            "{}: is not an Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----)",
            file.path.display()
        ))
    };
    DecodingKey::from_ed_pem(&bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_admitted_before_its_exp_and_neither_on_nor_after_it_and_in_1970_like_ever() {
        let secret = [7u8; SECRET_BYTES_MIN];
        let key =
            VerificationKey { kid: None, decoding: DecodingKey::from_secret(&secret), algorithm: Algorithm::HS256 };
        let mut tokens =
            BuyerTokens { keys: vec![key], audience: "drops".into(), issuer: String::new(), leeway_seconds: 30 };
        for (leeway, exp, end) in [(30, json!(100), 130), (0, json!(100), 100), (0, json!(100.2), 101)] {
            tokens.leeway_seconds = leeway;
            let claims = json!({ "sub": "ann", "aud": "drops", "exp": exp, "nbf": 0 });
            let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(&secret)).expect("signed");
            let find = |known: &mut VerifiedTokens, now| {
                tokens.find_or_verify(&token, known, now, || Ok::<(), Rejected>(())).is_ok()
            };
            let is_admitted = |now| find(&mut VerifiedTokens::default(), now);
            for (now, admitted) in
                [(0, true), (3, true), (29, true), (end - 1, true), (end, false), (end + 1, false), (u64::MAX, false)]
            {
                assert_eq!(is_admitted(now), admitted, "{exp} {leeway} {now}");
            }
            let mut known = VerifiedTokens::default();
            let mut was_admitted = |now| find(&mut known, now);
            assert!(was_admitted(end - 1) && !was_admitted(end), "{exp} {leeway}: known by heart");
        }
    }
}
