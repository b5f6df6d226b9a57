//! An operator's token: `fc_`, its public id, and its secret of 256 bits.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

pub use crate::types::text::{OPERATOR_NAME_CHARS_MAX as NAME_CHARS_MAX, is_operator_name as is_name};
use crate::types::{UnixMillis, hex, random};

/// The rights of an operator; each role includes the rights of those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything but personal data.
    Viewer,
    /// Runs sales: drops, payments, refunds, orders and their contacts.
    Operator,
    /// Everything: also erases contacts and exports them.
    Owner,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Owner];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Owner => "owner",
        }
    }
}

/// A token without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The public half, which `token revoke` takes.
    pub id: Box<str>,
    /// The name of the operator who holds it.
    pub name: Arc<str>,
    pub role: Role,
    /// SHA-256 of the secret half. 256 random bits need no slower hash.
    pub sha256: [u8; 32],
    pub created_at: UnixMillis,
    pub expires_at: Option<UnixMillis>,
    pub revoked_at: Option<UnixMillis>,
}

/// The status of a token at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    InForce,
    Expired,
    Revoked,
}

impl TokenStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TokenStatus::InForce => "in force",
            TokenStatus::Expired => "expired",
            TokenStatus::Revoked => "revoked",
        }
    }
}

/// Hexadecimal digits of a token's id.
pub(super) const ID_DIGITS: usize = 12;
/// Hexadecimal digits of a token's secret: 256 bits.
pub(super) const SECRET_DIGITS: usize = 64;

/// Returns whether a text has the form of a token's id.
#[must_use]
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| hex::value(byte).is_some())
}

impl Token {
    /// Returns a new token and its text with the secret, which is shown this once.
    #[must_use]
    pub fn new(name: &str, role: Role, now: UnixMillis, expires_at: Option<UnixMillis>) -> (Token, String) {
        let mut id = [0u8; ID_DIGITS / 2];
        random::fill(&mut id);
        Token::with_id(&hex::encode(&id), name, role, now, expires_at)
    }

    /// Returns a new token of this id, and its text with a random secret.
    pub(super) fn with_id(
        id: &str,
        name: &str,
        role: Role,
        now: UnixMillis,
        expires_at: Option<UnixMillis>,
    ) -> (Token, String) {
        let mut secret = [0u8; SECRET_DIGITS / 2];
        random::fill(&mut secret);
        let secret = hex::encode(&secret);
        let text = format!("fc_{id}_{secret}");
        let sha256 = sha256(&secret);
        let token =
            Token { id: id.into(), name: name.into(), role, sha256, created_at: now, expires_at, revoked_at: None };
        (token, text)
    }

    /// Returns the token's status at `now`.
    #[must_use]
    pub fn status(&self, now: UnixMillis) -> TokenStatus {
        if self.revoked_at.is_some() {
            TokenStatus::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            TokenStatus::Expired
        } else {
            TokenStatus::InForce
        }
    }
}

pub(super) fn sha256(secret: &str) -> [u8; 32] {
    let mut bytes = [0u8; 32];
    bytes.iter_mut().zip(digest(&SHA256, secret.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// Splits a token's text into id and secret.
pub(super) fn halves(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix("fc_")?.split_once('_')?;
    (is_id(id) && secret.len() == SECRET_DIGITS).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    #[test]
    fn a_token_is_in_force_until_it_expires_or_is_revoked() {
        let (mut token, text) = Token::new("ann", Role::Viewer, at(0), Some(at(1000)));
        assert_eq!(
            halves(&text).map(|(id, secret)| (id.into(), sha256(secret))),
            Some((token.id.clone(), token.sha256))
        );
        assert_eq!((token.status(at(999)), token.status(at(1000))), (TokenStatus::InForce, TokenStatus::Expired));
        token.revoked_at = Some(at(500));
        assert_eq!(token.status(at(0)), TokenStatus::Revoked);
    }

    #[test]
    fn texts_that_are_not_tokens_are_not_parsed() {
        let secret = "a".repeat(SECRET_DIGITS);
        assert!(halves(&format!("fc_0123456789ab_{secret}")).is_some());
        for bad in [
            String::new(),
            "fc_".into(),
            format!("fc_0123456789ab{secret}"),
            format!("fc_0123456789AB_{secret}"),
            format!("fc_0123456789ab_{secret}0"),
            format!("fd_0123456789ab_{secret}"),
        ] {
            assert_eq!(halves(&bad), None, "{bad}");
        }
    }
}
