//! Operators: their roles, and the tokens that prove them.
//!
//! Tokens live in a file of their own beside the database, not in it: only the writer writes the database, while a token
//! must be created before the first start and revoked while the server runs. The server compares the file's stamp with
//! every request of an operator (a `stat`), so that a change is in force at once.

pub mod file;
pub mod grants;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use super::rejected::Rejected;
use crate::config::ConfigError;
use crate::config::secret_file::FileStamp;
use crate::types::UnixMillis;
use file::TOKENS_FILE;
pub use token::{NAME_CHARS_MAX, Role, Token, TokenStatus, is_name};
use token::{halves, sha256};

/// The operator who sends a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    /// The id of the operator's token; `None` where there are no tokens.
    token_id: Option<Box<str>>,
    /// The scope of the operator's idempotency keys, and the name in the audit.
    pub name: Arc<str>,
    pub role: Role,
}

impl Operator {
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token_id.is_some()
    }

    /// Returns the id of the operator's token; `None` where there are no tokens.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }
}

/// The content of the tokens file as it was read last.
struct KnownTokens {
    /// `None` if there has been no file since the start: every request to the admin listener is the owner's then.
    tokens: Option<Vec<Token>>,
    /// The file's stamp at the last attempt to read it.
    stamp: Option<FileStamp>,
}

/// The operators' tokens, kept equal to the file.
pub struct Operators {
    path: PathBuf,
    known: Mutex<KnownTokens>,
}

/// The operator's name where there are no tokens.
pub const OWNER: &str = "owner";

impl Operators {
    /// Reads the tokens of a data directory.
    ///
    /// # Errors
    /// If the file is invalid, or others than its owner may read it.
    pub fn open(data: &Path) -> Result<Operators, ConfigError> {
        let path = data.join(TOKENS_FILE);
        let (tokens, stamp) = match file::read(&path)? {
            Some((tokens, stamp)) => (Some(tokens), Some(stamp)),
            None => (None, None),
        };
        Ok(Operators { path, known: Mutex::new(KnownTokens { tokens, stamp }) })
    }

    /// Requires a token although the file is missing, because there was one: without this, every request would have the role owner.
    pub fn require_token(&self) {
        let mut known = self.known.lock();
        if known.tokens.is_none() {
            known.tokens = Some(Vec::new());
            let (path, data) = (self.path.display(), self.path.parent().unwrap_or(&self.path).display());
            tracing::error!(
                "{path} is missing, and there was one: no operator is admitted. Restore the file, or make a token with \
                 `firstcome token create --role owner --name NAME --data {data}`; to go without tokens again, stop the server \
                 and delete {data}/{} and {data}.firstcome",
                file::LOCK_FILE
            );
        }
    }

    /// Reads the tokens file if it has changed, without waiting for a request. Returns true if there are tokens now and were
    /// none before.
    #[must_use]
    pub fn look(&self) -> bool {
        let mut known = self.known.lock();
        let had = known.tokens.is_some();
        self.reload_if_changed(&mut known);
        known.tokens.is_some() && !had
    }

    /// Returns the content of the tokens file as it was last known; `None` where there are no tokens.
    #[must_use]
    pub fn file_content(&self) -> Option<String> {
        let mut known = self.known.lock();
        self.reload_if_changed(&mut known);
        file::content(known.tokens.as_deref()?).ok()
    }

    /// Returns every token, as the file has them; none where there are no tokens.
    #[must_use]
    pub fn all(&self) -> Vec<Token> {
        let mut known = self.known.lock();
        self.reload_if_changed(&mut known);
        known.tokens.clone().unwrap_or_default()
    }

    /// Returns the operator who holds this token.
    ///
    /// # Errors
    /// If the token is unknown, expired or revoked.
    pub fn check(&self, token: Option<&str>, now: UnixMillis) -> Result<Operator, Rejected> {
        let mut known = self.known.lock();
        self.reload_if_changed(&mut known);
        let Some(tokens) = &known.tokens else {
            return Ok(Operator { token_id: None, name: OWNER.into(), role: Role::Owner });
        };
        let (id, secret) = token.and_then(halves).ok_or(Rejected::Unauthorized)?;
        let given = sha256(secret);
        let found = tokens.iter().find(|token| *token.id == *id).ok_or(Rejected::Unauthorized)?;
        let right = bool::from(found.sha256.ct_eq(&given)) && found.status(now) == TokenStatus::InForce;
        if !right {
            return Err(Rejected::Unauthorized);
        }
        Ok(Operator { token_id: Some(found.id.clone()), name: Arc::clone(&found.name), role: found.role })
    }

    /// Returns whether an operator who was admitted before would be admitted now: for responses that take long.
    #[must_use]
    pub fn is_still_admitted(&self, operator: &Operator, now: UnixMillis) -> bool {
        let mut known = self.known.lock();
        self.reload_if_changed(&mut known);
        match (&known.tokens, &operator.token_id) {
            (None, None) => true,
            (Some(tokens), Some(id)) => {
                tokens.iter().any(|token| token.id == *id && token.status(now) == TokenStatus::InForce)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    #[must_use]
    pub fn any_in_force(&self, now: UnixMillis) -> bool {
        let known = self.known.lock();
        known.tokens.iter().flatten().any(|token| token.status(now) == TokenStatus::InForce)
    }

    /// Reads the file again if it has changed. If it is unreadable, the tokens known before stay in force: once there was
    /// a file, a token is required.
    fn reload_if_changed(&self, known: &mut KnownTokens) {
        let stamp = FileStamp::of(&self.path);
        if stamp == known.stamp {
            return;
        }
        known.stamp = stamp;
        match file::read(&self.path) {
            Ok(Some((tokens, stamp))) => {
                tracing::info!(tokens = tokens.len(), "operators' tokens reloaded");
                *known = KnownTokens { tokens: Some(tokens), stamp: Some(stamp) };
            }
            Ok(None) => tracing::error!("operators' tokens file missing; the tokens known before stay in force"),
            Err(mistake) => {
                tracing::error!(%mistake, "operators' tokens file unreadable; the tokens known before stay in force");
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
    fn an_unreadable_file_leaves_the_known_tokens_in_force_and_never_admits_without_one() {
        let scratch = tempfile::tempdir().expect("scratch");
        let operators = Operators::open(scratch.path()).expect("no file is fine");
        assert_eq!(operators.check(None, at(0)).map(|operator| operator.role), Ok(Role::Owner));
        let (token, text) = Token::new("ann", Role::Viewer, at(0), None);
        file::change(scratch.path(), |tokens| {
            tokens.push(token.clone());
            Ok(())
        })
        .expect("written");
        assert_eq!(operators.check(None, at(0)), Err(Rejected::Unauthorized));
        let ann = operators.check(Some(&text), at(0)).expect("known");
        assert_eq!((ann.role, &*ann.name), (Role::Viewer, "ann"));
        let path = scratch.path().join(TOKENS_FILE);
        std::fs::write(&path, "not ours").expect("written");
        assert!(operators.check(Some(&text), at(0)).is_ok() && operators.is_still_admitted(&ann, at(0)));
        std::fs::remove_file(&path).expect("removed");
        assert!(operators.check(Some(&text), at(0)).is_ok() && operators.check(None, at(0)).is_err());

        let without = tempfile::tempdir().expect("scratch");
        let operators = Operators::open(without.path()).expect("no file is fine");
        std::fs::write(without.path().join(TOKENS_FILE), "not ours").expect("written");
        assert_eq!(operators.check(None, at(0)), Err(Rejected::Unauthorized), "a file means that tokens are required");
    }
}
