//! Tokens that this thread has verified already: a buyer who orders, pays and looks again sends the same one each time,
//! and an Ed25519 signature costs forty times what looking it up does.

use std::collections::HashMap;

use crate::types::BuyerText;

/// Tokens in each of the two generations; with 300 bytes each, all together take about 2 MB per thread.
const GENERATION_MAX: usize = 2048;

/// Verified tokens, in two generations: when the young one is full the old one is forgotten.
#[derive(Default)]
pub struct VerifiedTokens {
    young: HashMap<Box<str>, Verified>,
    old: HashMap<Box<str>, Verified>,
}

/// What a token said.
#[derive(Clone)]
pub struct Verified {
    /// Whose it is.
    pub buyer: BuyerText,
    /// The last second of its time, in seconds since 1970.
    pub good_until: u64,
}

impl VerifiedTokens {
    /// What a token said that was verified and whose time is not over.
    pub(super) fn find(&mut self, token: &str, now: u64) -> Option<Verified> {
        if let Some(verified) = self.young.get(token) {
            return (verified.good_until >= now).then(|| verified.clone());
        }
        let verified = self.old.remove(token)?;
        let good = (verified.good_until >= now).then(|| verified.clone());
        self.keep(token, verified);
        good
    }

    /// Keeps a token that was verified.
    pub(super) fn keep(&mut self, token: &str, verified: Verified) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token.into(), verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(buyer: &str) -> Verified {
        Verified { buyer: BuyerText::new(buyer).expect("a buyer"), good_until: 100 }
    }

    #[test]
    fn a_token_is_known_until_its_time_is_over() {
        let mut tokens = VerifiedTokens::default();
        tokens.keep("a", of("ann"));
        assert_eq!(tokens.find("a", 100).map(|said| said.buyer), BuyerText::new("ann"));
        assert!(tokens.find("a", 101).is_none() && tokens.find("b", 0).is_none());
    }

    #[test]
    fn those_in_use_stay_and_the_rest_is_forgotten() {
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
