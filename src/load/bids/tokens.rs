//! Identities of bidders: buyers' tokens where the server requires them, else numbers.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The longest token that fits in a HELLO beside the version.
const TOKEN_BYTES_MAX: usize = 254;

/// The identity of a bidder.
#[derive(Clone, Copy, Debug)]
pub(super) struct BidderIdentity<'a> {
    /// The bidder's number in every bid.
    pub(super) user_id: u32,
    pub(super) token: Option<&'a str>,
}

/// The tokens of all bidders; empty where the server requires none.
#[derive(Clone, Default)]
pub(crate) struct BidderTokens(Arc<[(u32, String)]>);

impl std::fmt::Debug for BidderTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

/// The claims of a token that are needed here; the server verifies them.
#[derive(Deserialize)]
struct TokenClaims {
    sub: String,
}

impl BidderTokens {
    /// Reads a file with one token per line.
    ///
    /// # Errors
    /// The number of the first malformed line, without its content.
    pub(crate) fn read(file: &Path) -> Result<BidderTokens, String> {
        let no = |why: &str| format!("--tokens {}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| no(&error.to_string()))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let tokens = lines.map(|(at, line)| {
            let token = line.trim();
            let user_id = user_of(token).ok_or_else(|| {
                no(&format!(
                    "line {} is no token (JWT) of at most {TOKEN_BYTES_MAX} bytes whose `sub` is a number",
                    at + 1
                ))
            })?;
            Ok((user_id, token.to_owned()))
        });
        let tokens: Arc<[_]> = tokens.collect::<Result<_, String>>()?;
        if tokens.is_empty() { Err(no("has no token")) } else { Ok(BidderTokens(tokens)) }
    }

    /// The identity of a connection: tokens are used in turn.
    pub(super) fn of_connection(&self, number: usize) -> BidderIdentity<'_> {
        let alone =
            BidderIdentity { user_id: u32::try_from(number.saturating_add(1)).unwrap_or(u32::MAX), token: None };
        let known = self.0.get(number % self.0.len().max(1));
        known.map_or(alone, |(user_id, token)| BidderIdentity { user_id: *user_id, token: Some(token) })
    }
}

fn user_of(token: &str) -> Option<u32> {
    let mut parts = token.split('.').skip(1);
    let claims = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
    let TokenClaims { sub } = serde_json::from_slice(&claims).ok()?;
    let user: u32 = sub.parse().ok()?;
    (user > 0 && user.to_string() == sub && token.len() <= TOKEN_BYTES_MAX).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(sub: &str) -> String {
        let claims = serde_json::json!({ "sub": sub }).to_string();
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_its_buyers_where_the_buyer_is_a_number() {
        assert_eq!(user_of(&token("7")), Some(7));
        for other in ["0", "07", "ann", "4294967296", ""] {
            assert_eq!(user_of(&token(other)), None, "{other}");
        }
        for nonsense in ["", "7", "a.b", "e30.e30.x", &format!("{}{}", token("7"), "x".repeat(254))] {
            assert_eq!(user_of(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn connections_take_tokens_in_turn_and_are_numbers_without() {
        let users = |tokens: &BidderTokens| [0, 1, 2].map(|number| tokens.of_connection(number).user_id);
        assert_eq!(users(&BidderTokens::default()), [1, 2, 3]);
        assert_eq!(users(&BidderTokens([(7, token("7")), (9, token("9"))].into())), [7, 9, 7]);
    }
}
