//! Operators: their roles, and the tokens that prove them.
//!
//! Tokens live in a file of their own beside the database, not in it: only the writer writes the database, and a token
//! must be made before the first start and taken back while the server runs. The server looks at the file's stamp with
//! every request of an operator (a `stat`), so that a change is in force at once.

pub mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use super::TurnedAway;
use crate::config::ConfigError;
use crate::types::{UnixMillis, hex, random};
use file::{Stamp, TOKENS_FILE};

/// What an operator may do; each role may what those before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads what is nobody's personal data.
    Viewer,
    /// Runs sales: drops, payments, refunds, orders and their contacts.
    Operator,
    /// Everything: also erases contacts and exports them.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Owner];

    /// Its word.
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
    /// Its public half: what `token revoke` takes.
    pub id: Box<str>,
    /// Who has it.
    pub name: Arc<str>,
    /// What he may do.
    pub role: Role,
    /// SHA-256 of the secret half. 256 random bits need no slower hash.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends by itself.
    pub expires_at: Option<UnixMillis>,
    /// When it was taken back.
    pub revoked_at: Option<UnixMillis>,
}

/// Whether a token is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is.
    InForce,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl Standing {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::InForce => "in force",
            Standing::Expired => "expired",
            Standing::Revoked => "revoked",
        }
    }
}

/// The longest name of an operator, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Digits of a token's id.
pub const ID_DIGITS: usize = 12;
/// Digits of a token's secret: 256 bits.
pub const SECRET_DIGITS: usize = 64;

/// Whether a text may name an operator: it is shown in logs, in the audit and on terminals as it is.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte);
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a text has the form of a token's id.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| hex::value(byte).is_some())
}

impl Token {
    /// A new token, and the text that its holder gets to see this once.
    #[must_use]
    pub fn new(name: &str, role: Role, now: UnixMillis, expires_at: Option<UnixMillis>) -> (Token, String) {
        let (mut id, mut secret) = ([0u8; ID_DIGITS / 2], [0u8; SECRET_DIGITS / 2]);
        random::fill(&mut id);
        random::fill(&mut secret);
        let (id, secret) = (hex::encode(&id), hex::encode(&secret));
        let text = format!("fc_{id}_{secret}");
        let sha256 = sha256(&secret);
        let token =
            Token { id: id.into(), name: name.into(), role, sha256, created_at: now, expires_at, revoked_at: None };
        (token, text)
    }

    /// Whether it is good at `now`.
    #[must_use]
    pub fn standing(&self, now: UnixMillis) -> Standing {
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            Standing::Expired
        } else {
            Standing::InForce
        }
    }
}

fn sha256(secret: &str) -> [u8; 32] {
    let mut bytes = [0u8; 32];
    bytes.iter_mut().zip(digest(&SHA256, secret.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// Id and secret of a token's text.
fn halves(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix("fc_")?.split_once('_')?;
    (is_id(id) && secret.len() == SECRET_DIGITS).then_some((id, secret))
}

/// Who operates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    /// The token that proved him; `None` where there are no tokens.
    id: Option<Box<str>>,
    /// His name: the scope of his idempotency keys, and what the audit shows.
    pub name: Arc<str>,
    /// What he may do.
    pub role: Role,
}

impl Operator {
    /// Whether a token proved him.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.id.is_some()
    }
}

/// What is known of the tokens' file.
struct Known {
    /// `None`: there has been no file since the start, and every call of an operator is an owner's.
    tokens: Option<Vec<Token>>,
    /// The file as it was looked at last, whether it could be read or not.
    stamp: Option<Stamp>,
}

/// The operators' tokens, as the file has them.
pub struct Operators {
    path: PathBuf,
    known: Mutex<Known>,
}

/// The name of who operates where there are no tokens.
pub const OWNER: &str = "owner";

impl Operators {
    /// Reads the tokens of a data directory.
    ///
    /// # Errors
    /// If there is a file and it is not one of ours, or is not its owner's alone.
    pub fn open(data: &Path) -> Result<Operators, ConfigError> {
        let path = data.join(TOKENS_FILE);
        let (tokens, stamp) = match file::read(&path)? {
            Some((tokens, stamp)) => (Some(tokens), Some(stamp)),
            None => (None, None),
        };
        Ok(Operators { path, known: Mutex::new(Known { tokens, stamp }) })
    }

    /// Who has this token.
    ///
    /// # Errors
    /// If nobody has, or it is no longer good.
    pub fn check(&self, token: Option<&str>, now: UnixMillis) -> Result<Operator, TurnedAway> {
        let mut known = self.known.lock();
        self.look(&mut known);
        let Some(tokens) = &known.tokens else {
            return Ok(Operator { id: None, name: OWNER.into(), role: Role::Owner });
        };
        let (id, secret) = token.and_then(halves).ok_or(TurnedAway::Unauthorized)?;
        let given = sha256(secret);
        let found = tokens.iter().find(|token| *token.id == *id).ok_or(TurnedAway::Unauthorized)?;
        let right = bool::from(found.sha256.ct_eq(&given)) && found.standing(now) == Standing::InForce;
        if !right {
            return Err(TurnedAway::Unauthorized);
        }
        Ok(Operator { id: Some(found.id.clone()), name: Arc::clone(&found.name), role: found.role })
    }

    /// Whether an operator who was let in would be now: for answers that last.
    #[must_use]
    pub fn still_in(&self, operator: &Operator, now: UnixMillis) -> bool {
        let mut known = self.known.lock();
        self.look(&mut known);
        match (&known.tokens, &operator.id) {
            (None, None) => true,
            (Some(tokens), Some(id)) => {
                tokens.iter().any(|token| token.id == *id && token.standing(now) == Standing::InForce)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Whether any token is good.
    #[must_use]
    pub fn any_in_force(&self, now: UnixMillis) -> bool {
        let known = self.known.lock();
        known.tokens.iter().flatten().any(|token| token.standing(now) == Standing::InForce)
    }

    /// Reads the file again if it has changed. One that cannot be read leaves what was known, and never opens the door:
    /// once there was a file, tokens are asked for.
    fn look(&self, known: &mut Known) {
        let stamp = Stamp::of(&self.path);
        if stamp == known.stamp {
            return;
        }
        known.stamp = stamp;
        match file::read(&self.path) {
            Ok(Some((tokens, stamp))) => {
                tracing::info!(tokens = tokens.len(), "the operators' tokens were read again");
                *known = Known { tokens: Some(tokens), stamp: Some(stamp) };
            }
            Ok(None) => tracing::error!("the operators' tokens are gone; those known before stay in force"),
            Err(mistake) => {
                tracing::error!(%mistake, "the operators' tokens cannot be read; those known before stay in force");
                known.tokens.get_or_insert_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_taken_back() {
        let (mut token, text) = Token::new("ann", Role::Viewer, at(0), Some(at(1000)));
        assert_eq!(
            halves(&text).map(|(id, secret)| (id.into(), sha256(secret))),
            Some((token.id.clone(), token.sha256))
        );
        assert_eq!((token.standing(at(999)), token.standing(at(1000))), (Standing::InForce, Standing::Expired));
        token.revoked_at = Some(at(500));
        assert_eq!(token.standing(at(0)), Standing::Revoked);
    }

    #[test]
    fn texts_that_are_no_tokens_are_none() {
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

    #[test]
    fn a_file_that_went_bad_keeps_what_was_known_and_never_opens_the_door() {
        let scratch = tempfile::tempdir().expect("scratch");
        let operators = Operators::open(scratch.path()).expect("no file is fine");
        assert_eq!(operators.check(None, at(0)).map(|operator| operator.role), Ok(Role::Owner));
        let (token, text) = Token::new("ann", Role::Viewer, at(0), None);
        file::change(scratch.path(), |tokens| {
            tokens.push(token.clone());
            Ok(())
        })
        .expect("written");
        assert_eq!(operators.check(None, at(0)), Err(TurnedAway::Unauthorized));
        let ann = operators.check(Some(&text), at(0)).expect("known");
        assert_eq!((ann.role, &*ann.name), (Role::Viewer, "ann"));
        let path = scratch.path().join(TOKENS_FILE);
        std::fs::write(&path, "not ours").expect("written");
        assert!(operators.check(Some(&text), at(0)).is_ok() && operators.still_in(&ann, at(0)));
        std::fs::remove_file(&path).expect("removed");
        assert!(operators.check(Some(&text), at(0)).is_ok() && operators.check(None, at(0)).is_err());

        let without = tempfile::tempdir().expect("scratch");
        let operators = Operators::open(without.path()).expect("no file is fine");
        std::fs::write(without.path().join(TOKENS_FILE), "not ours").expect("written");
        assert_eq!(operators.check(None, at(0)), Err(TurnedAway::Unauthorized), "who writes such a file wants tokens");
    }
}
