//! Tokens that an owner makes and revokes while the server runs, by their own token.
//!
//! The command `firstcome token` may do anything, since its user has the files. A request may do less: it never makes the first
//! token, which would close the listener to all others, makes none that outlives the token of its maker, and never takes the last
//! owner's token in force.

use std::path::Path;

use super::file::{ChangeError, change, make_room};
use super::token::{ID_DIGITS, Role, Token, TokenStatus};
use crate::config::ConfigError;
use crate::failpoints::{Bug, enabled};
use crate::types::{Digest, UnixMillis, hex};

/// The token that an owner wants.
#[derive(Clone, Debug)]
pub struct WantedToken<'a> {
    pub name: &'a str,
    pub role: Role,
    pub expires_at: Option<UnixMillis>,
    /// The digest of the idempotency key; the id is made of it, so that a repeat finds the token.
    pub key: Digest,
}

/// A token that is made.
#[derive(Debug)]
pub struct MadeToken {
    pub token: Token,
    /// The text with the secret; none if an earlier request with the same key has made the token.
    pub text: Option<String>,
}

/// The reason why a token is not made or revoked. Nothing was changed.
#[derive(PartialEq, Eq, Debug)]
pub enum GrantRefusal {
    /// The token of the owner who asks is no longer in force.
    MakerNotInForce,
    /// The token would outlive that of its maker, which ends then.
    OutlivesMaker(UnixMillis),
    /// An earlier request with this key has made another token.
    KeyReused,
    /// As many tokens are in force as there may be.
    Full(String),
    /// There is no such token.
    Unknown,
    /// The token is the last one of an owner that is in force.
    LastOwner,
    /// The file was not read or not written.
    Failed(String),
}

/// Changes the file, and tells the reason if it stays as it is.
fn change_or<T>(
    data: &Path,
    change_it: impl FnOnce(&mut Vec<Token>) -> Result<T, GrantRefusal>,
) -> Result<T, GrantRefusal> {
    let mut refusal = None;
    let changed = change(data, |tokens| {
        change_it(tokens).map_err(|reason| {
            refusal = Some(reason);
            ConfigError(String::new())
        })
    });
    let failed = |error| match error {
        ChangeError::Refused(error) => GrantRefusal::Failed(error.to_string()),
        ChangeError::Unwritten { path, source } => GrantRefusal::Failed(format!("{}: {source}", path.display())),
    };
    changed.map_err(|error| refusal.unwrap_or_else(|| failed(error)))
}

/// Makes a token by order of the holder of another one, whose id is `maker`.
///
/// # Errors
/// The reason why there is no new token.
pub fn grant(data: &Path, maker: &str, wanted: &WantedToken<'_>, now: UnixMillis) -> Result<MadeToken, GrantRefusal> {
    let id = hex::encode(wanted.key.0.first_chunk::<{ ID_DIGITS / 2 }>().map_or(&[], |half| &half[..]));
    change_or(data, |tokens| {
        let maker = tokens.iter().find(|token| *token.id == *maker && token.status(now) == TokenStatus::InForce);
        let maker = maker.filter(|maker| maker.role == Role::Owner).ok_or(GrantRefusal::MakerNotInForce)?;
        let end = maker.expires_at;
        if let Some(known) = tokens.iter().find(|token| *token.id == *id) {
            let same = (&*known.name, known.role, known.expires_at) == (wanted.name, wanted.role, wanted.expires_at);
            return if same {
                Ok(MadeToken { token: known.clone(), text: None })
            } else {
                Err(GrantRefusal::KeyReused)
            };
        }
        if let Some(end) = end.filter(|end| wanted.expires_at.is_none_or(|wanted| wanted > *end)) {
            return Err(GrantRefusal::OutlivesMaker(end));
        }
        make_room(tokens, now).map_err(|error| GrantRefusal::Full(error.to_string()))?;
        let (token, text) = Token::with_id(&id, wanted.name, wanted.role, now, wanted.expires_at);
        tokens.push(token.clone());
        Ok(MadeToken { token, text: Some(text) })
    })
}

/// Revokes a token for good. A repeat changes nothing.
///
/// # Errors
/// The reason why it stays in force.
pub fn revoke(data: &Path, id: &str, now: UnixMillis) -> Result<Token, GrantRefusal> {
    change_or(data, |tokens| {
        let is_owner_in_force = |token: &Token| token.role == Role::Owner && token.status(now) == TokenStatus::InForce;
        let owners = tokens.iter().filter(|token| is_owner_in_force(token)).count();
        let token = tokens.iter_mut().find(|token| *token.id == *id).ok_or(GrantRefusal::Unknown)?;
        if owners == 1 && is_owner_in_force(token) && !enabled(Bug::LastOwnerGoes) {
            return Err(GrantRefusal::LastOwner);
        }
        token.revoked_at.get_or_insert(now);
        Ok(token.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    /// A directory with the tokens of two owners, of whom the second ends at 1,000.
    fn owners() -> (tempfile::TempDir, [Box<str>; 2]) {
        let scratch = tempfile::tempdir().expect("scratch");
        let made =
            [Token::new("ann", Role::Owner, at(0), None).0, Token::new("bob", Role::Owner, at(0), Some(at(1000))).0];
        let ids = made.clone().map(|token| token.id);
        change(scratch.path(), |tokens| {
            tokens.extend(made);
            Ok(())
        })
        .expect("written");
        (scratch, ids)
    }

    fn wanted(key: u8, role: Role, expires_at: Option<UnixMillis>) -> WantedToken<'static> {
        WantedToken { name: "shop", role, expires_at, key: Digest([key; 16]) }
    }

    #[test]
    fn a_repeat_with_the_same_key_makes_no_second_token_and_shows_no_secret() {
        let (scratch, [ann, _]) = owners();
        let made = grant(scratch.path(), &ann, &wanted(1, Role::Viewer, None), at(5)).expect("made");
        assert!(made.text.is_some_and(|text| text.starts_with(&format!("fc_{}_", made.token.id))));
        let again = grant(scratch.path(), &ann, &wanted(1, Role::Viewer, None), at(9)).expect("known");
        assert_eq!((again.token, again.text), (made.token, None));
        let other = grant(scratch.path(), &ann, &wanted(1, Role::Owner, None), at(9)).expect_err("another");
        assert_eq!(other, GrantRefusal::KeyReused);
    }

    #[test]
    fn a_token_makes_none_that_outlives_it_and_none_after_its_end() {
        let (scratch, [_, bob]) = owners();
        for end in [None, Some(at(1001))] {
            let refused = grant(scratch.path(), &bob, &wanted(1, Role::Viewer, end), at(5)).expect_err("too long");
            assert_eq!(refused, GrantRefusal::OutlivesMaker(at(1000)));
        }
        assert!(grant(scratch.path(), &bob, &wanted(1, Role::Viewer, Some(at(1000))), at(5)).is_ok());
        let late = grant(scratch.path(), &bob, &wanted(2, Role::Viewer, Some(at(1000))), at(1000)).expect_err("late");
        assert_eq!(late, GrantRefusal::MakerNotInForce);
    }

    #[test]
    fn the_last_owners_token_in_force_is_not_revoked() {
        let (scratch, [ann, bob]) = owners();
        assert_eq!(revoke(scratch.path(), "0123456789ab", at(5)), Err(GrantRefusal::Unknown));
        assert!(revoke(scratch.path(), &bob, at(5)).is_ok(), "ann stays");
        assert!(revoke(scratch.path(), &bob, at(6)).is_ok_and(|token| token.revoked_at == Some(at(5))), "a repeat");
        assert_eq!(revoke(scratch.path(), &ann, at(5)), Err(GrantRefusal::LastOwner));
        let viewer = grant(scratch.path(), &ann, &wanted(1, Role::Viewer, None), at(5)).expect("made").token;
        assert!(revoke(scratch.path(), &viewer.id, at(5)).is_ok());
    }
}
