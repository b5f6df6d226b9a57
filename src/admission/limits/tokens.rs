//! The limit of invalid tokens: a signature is verified only for an address that has sent few of them.
//!
//! Valid tokens cost nothing here, so a campus of token holders is not one client. Two requests that want the last room at the
//! same instant are both verified: at most one more for each serving thread.

use std::time::Instant;

use super::gcra::Quota;
use super::rules::Policy;
use super::{Charge, Client, ClientKind, Door, Exceeded, Key, exceeded, purpose};

impl Door {
    /// Checks whether a token of a client may be verified that is not known yet.
    ///
    /// # Errors
    /// The policy that has no room for one more invalid token.
    pub fn check_tokens_of(&self, client: Client, now: Instant) -> Result<(), Exceeded> {
        let Some((key, quota)) = self.invalid_tokens_of(client) else { return Ok(()) };
        let now = self.nanos(now);
        self.table.check(key, quota, now).map_err(|wait| {
            let charge = Charge { policy: Policy::AddressInvalidTokens, key: Some(key), quota, arrival: now };
            self.count(vec![exceeded(&charge, wait)])
        })
    }

    /// Charges the address of a client for a token that was verified and is not valid.
    pub fn note_invalid_token(&self, client: Client, now: Instant) {
        if let Some((key, quota)) = self.invalid_tokens_of(client) {
            // Without room the next token is not verified in any case.
            let _charged = self.table.take(key, quota, self.nanos(now));
        }
    }

    /// Returns what counts the invalid tokens of a client; `None` if no limit applies.
    fn invalid_tokens_of(&self, client: Client) -> Option<(Key, Quota)> {
        let ClientKind::Address(address) = client.0 else { return None };
        let quota = self.rules.ask(|rules| rules.quota(Policy::AddressInvalidTokens))?;
        Some((address.of(purpose::TOKENS), quota))
    }
}
