//! The reasons for which a request is rejected before anything is decided.

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
