//! The reasons for which a request is rejected before anything is decided.

use super::limits::Exceeded;

/// The reason why a request was not admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejected {
    /// The token is missing, unknown, invalid or expired.
    Unauthorized,
    /// A buyer's token is longer than any that is verified.
    TokenTooLong,
    /// The token is valid, but its role may not do this.
    Forbidden,
    /// The client has its maximum of requests in flight.
    TooManyInFlight,
}

/// The reason why the sender of a request is not known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unidentified {
    /// The token, or its role, will not do.
    Rejected(Rejected),
    /// The token was not verified: its address has sent too many invalid ones.
    OverLimit(Exceeded),
}

impl From<Rejected> for Unidentified {
    fn from(rejected: Rejected) -> Unidentified {
        Unidentified::Rejected(rejected)
    }
}
