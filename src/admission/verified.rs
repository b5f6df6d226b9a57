//! A worker's cache of verified tokens: a buyer sends the same token with each request, and verifying an Ed25519
//! signature costs forty times as much as the lookup.

use std::collections::HashMap;

use crate::types::{BuyerText, Tier};

/// Tokens in each of the two generations; with 300 bytes each, all of them take about 2 MB per worker.
const GENERATION_MAX: usize = 2048;

/// Verified tokens, in two generations: when the young one is full, the old one is dropped.
#[derive(Default)]
pub struct VerifiedTokens {
    young: HashMap<Box<str>, VerifiedToken>,
    old: HashMap<Box<str>, VerifiedToken>,
}

/// The claims of a verified token.
#[derive(Clone)]
pub struct VerifiedToken {
    pub buyer: BuyerText,
    pub tier: Tier,
    /// The first second in which it is not valid, in seconds since 1970.
    pub expires: u64,
}

impl VerifiedTokens {
    /// Returns the claims of a token that was verified before and has not expired.
    pub(super) fn find(&mut self, token: &str, now: u64) -> Option<VerifiedToken> {
        if let Some(verified) = self.young.get(token) {
            return (now < verified.expires).then(|| verified.clone());
        }
        let verified = self.old.remove(token)?;
        let valid = (now < verified.expires).then(|| verified.clone());
        self.keep(token, verified);
        valid
    }

    pub(super) fn keep(&mut self, token: &str, verified: VerifiedToken) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token.into(), verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(buyer: &str) -> VerifiedToken {
        VerifiedToken { buyer: BuyerText::new(buyer).expect("a buyer"), tier: Tier::New, expires: 101 }
    }

    #[test]
    fn a_token_is_found_until_it_expires() {
        let mut tokens = VerifiedTokens::default();
        tokens.keep("a", of("ann"));
        assert_eq!(tokens.find("a", 100).map(|said| said.buyer), BuyerText::new("ann"));
        assert!(tokens.find("a", 101).is_none() && tokens.find("b", 0).is_none());
    }

    #[test]
    fn tokens_in_use_stay_and_the_rest_is_dropped() {
        let mut tokens = VerifiedTokens::default();
        tokens.keep("used", of("ann"));
        tokens.keep("unused", of("bob"));
        for number in 0..3 * GENERATION_MAX {
            tokens.keep(&number.to_string(), of("eve"));
            assert!(tokens.find("used", 0).is_some(), "{number}");
            assert!(tokens.young.len() + tokens.old.len() <= 2 * GENERATION_MAX);
        }
        assert!(tokens.find("unused", 0).is_none());
    }
}
