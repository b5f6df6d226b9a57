//! A buyer's token in its compact form (RFC 7515, 7519): which key it names, whether a key signed it, what it claims.
//!
//! Time is compared here and not by the library, which reads a clock of its own and subtracts from it: within the leeway
//! after 1970 that is a panic.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::types::Tier;

/// The parts of a token, and its header; nothing is verified yet.
pub(super) struct Jwt<'a> {
    /// Header and claims as they were signed.
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
    header: TokenHeader,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// The claims of a token that a key has signed.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    exp: f64,
    #[serde(default)]
    nbf: f64,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default)]
    aud: Option<Names>,
    #[serde(default)]
    iss: Option<Names>,
    #[serde(default)]
    tier: Option<String>,
}

/// A claim that is one name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
    /// Neither: an error only where the claim is looked at.
    Other(IgnoredAny),
}

impl Names {
    fn contain(&self, wanted: &str) -> bool {
        match self {
            Names::One(name) => name == wanted,
            Names::Several(names) => names.iter().any(|name| name == wanted),
            Names::Other(_) => false,
        }
    }
}

impl<'a> Jwt<'a> {
    pub(super) fn parse(token: &'a str) -> Option<Jwt<'a>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.rsplit_once('.')?;
        let header: TokenHeader = decode(header)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): this server knows none.
        header.crit.is_none().then_some(Jwt { signed, claims, signature, header })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Returns the claims, if this key signed them and the header names the key's algorithm.
    pub(super) fn verified_by(&self, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
        // Ed25519 is the newer name (RFC 9864): `EdDSA` may be another curve elsewhere.
        let names: &[&str] = if algorithm == Algorithm::EdDSA { &["EdDSA", "Ed25519"] } else { &["HS256"] };
        if !names.contains(&self.header.alg.as_str()) {
            return None;
        }
        let signed = crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm);
        if signed.is_ok_and(|signed| signed) { decode(self.claims) } else { None }
    }
}

impl Claims {
    /// Returns the buyer's tier: `new` if the token does not say; `None` for any other name.
    pub(super) fn tier(&self) -> Option<Tier> {
        self.tier.as_deref().map_or(Some(Tier::New), Tier::parse)
    }

    /// Returns the first second in which the token is not valid, in seconds since 1970, if it is for this server and valid
    /// now: on its `exp` it is not (RFC 7519, 4.1.4). A token that is issued in the future is as wrong as one that is not
    /// valid yet.
    pub(super) fn expires(&self, audience: &str, issuer: &str, now: u64, leeway: u64) -> Option<u64> {
        let is_ours = self.aud.as_ref().is_some_and(|names| names.contain(audience));
        let is_issued = issuer.is_empty() || self.iss.as_ref().is_some_and(|names| names.contain(issuer));
        let latest = now.saturating_add(leeway);
        let has_begun = seconds(self.nbf.round())? <= latest
            && self.iat.is_none_or(|issued| issued <= Duration::from_secs(latest).as_secs_f64());
        let expires = seconds(self.exp.ceil())?.saturating_add(leeway);
        (is_ours && is_issued && has_begun && now < expires).then_some(expires)
    }
}

/// Returns a time in whole seconds; `None` if it is before 1970 or beyond all times.
fn seconds(time: f64) -> Option<u64> {
    Duration::try_from_secs_f64(time).ok().map(|since_1970| since_1970.as_secs())
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
