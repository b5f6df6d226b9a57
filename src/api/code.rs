//! The codes of problems: the table of the contract, once. The number is the code on the wire.

use hyper::StatusCode;

/// A problem's code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Code {
    Malformed,
    Validation,
    KeyMissing,
    KeyReused,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotStarted,
    Ended,
    DropPaused,
    LimitReached,
    SoldOut,
    OrderExpired,
    IllegalTransition,
    BidTooLow,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    RateLimited,
    Overloaded,
    Draining,
    ReadOnly,
    OutcomeUnknown,
    Internal,
}

/// The constant half of a problem: a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProblemKind {
    /// The number on the wire.
    pub number: u8,
    /// The code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// The title: the same for every problem of this code.
    pub title: &'static str,
}

const fn kind(number: u8, code: &'static str, status: StatusCode, title: &'static str) -> ProblemKind {
    ProblemKind { number, code, status, title }
}

impl Code {
    /// Every code, in the order of the table.
    pub const ALL: [Code; 25] = [
        Code::Malformed,
        Code::Validation,
        Code::KeyMissing,
        Code::KeyReused,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::NotStarted,
        Code::Ended,
        Code::DropPaused,
        Code::LimitReached,
        Code::SoldOut,
        Code::OrderExpired,
        Code::IllegalTransition,
        Code::BidTooLow,
        Code::PreconditionFailed,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::RateLimited,
        Code::Overloaded,
        Code::Draining,
        Code::ReadOnly,
        Code::OutcomeUnknown,
        Code::Internal,
    ];

    /// Every code's name, in the order of the table.
    pub const NAMES: [&str; Code::ALL.len()] = {
        let mut names = [""; Code::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Code::ALL[index].kind().code;
            index += 1;
        }
        names
    };

    /// Its row of the table.
    #[must_use]
    pub const fn kind(self) -> ProblemKind {
        use StatusCode as S;
        match self {
            Code::Malformed => kind(1, "malformed", S::BAD_REQUEST, "The request is not well formed"),
            Code::Validation => kind(2, "validation", S::BAD_REQUEST, "The request does not fit"),
            Code::KeyMissing => kind(3, "idempotency-key-missing", S::BAD_REQUEST, "An Idempotency-Key is needed"),
            Code::KeyReused => {
                kind(4, "idempotency-key-reused", S::UNPROCESSABLE_ENTITY, "The key came with other parameters")
            }
            Code::Unauthorized => kind(5, "unauthorized", S::UNAUTHORIZED, "A token is needed"),
            Code::Forbidden => kind(6, "forbidden", S::FORBIDDEN, "Not allowed"),
            Code::NotFound => kind(7, "not-found", S::NOT_FOUND, "There is no such thing"),
            Code::MethodNotAllowed => {
                kind(8, "method-not-allowed", S::METHOD_NOT_ALLOWED, "This path has other methods")
            }
            Code::NotStarted => kind(9, "not-started", S::FORBIDDEN, "The drop has not started"),
            Code::Ended => kind(10, "ended", S::GONE, "The drop is over"),
            Code::DropPaused => kind(11, "drop-paused", S::SERVICE_UNAVAILABLE, "The drop is paused"),
            Code::LimitReached => kind(12, "limit-reached", S::CONFLICT, "The limit per buyer is reached"),
            Code::SoldOut => kind(13, "sold-out", S::CONFLICT, "Not enough units are free"),
            Code::OrderExpired => kind(14, "order-expired", S::GONE, "The order's time ran out"),
            Code::IllegalTransition => kind(15, "illegal-transition", S::CONFLICT, "The state does not allow it"),
            Code::BidTooLow => kind(16, "bid-too-low", S::CONFLICT, "The bid is too low"),
            Code::PreconditionFailed => {
                kind(17, "precondition-failed", S::PRECONDITION_FAILED, "What you saw is out of date")
            }
            Code::BodyTooLarge => kind(18, "body-too-large", S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Code::UnsupportedMediaType => {
                kind(19, "unsupported-media-type", S::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
            }
            Code::RateLimited => kind(20, "rate-limited", S::TOO_MANY_REQUESTS, "Too many requests at once"),
            Code::Overloaded => kind(21, "overloaded", S::SERVICE_UNAVAILABLE, "Too much at once"),
            Code::Draining => kind(22, "draining", S::SERVICE_UNAVAILABLE, "The server is ending"),
            Code::ReadOnly => kind(23, "read-only", S::SERVICE_UNAVAILABLE, "Nothing can be sold at the moment"),
            Code::OutcomeUnknown => {
                kind(24, "outcome-unknown", S::SERVICE_UNAVAILABLE, "Whether it happened is not known")
            }
            Code::Internal => kind(25, "internal", S::INTERNAL_SERVER_ERROR, "A mistake of the server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_says_nothing_twice() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].kind().number < pair[1].kind().number, "{pair:?}");
            assert_ne!(pair[0].kind().code, pair[1].kind().code);
        }
        assert_eq!(
            Code::ALL.map(|code| Code::ALL.iter().filter(|other| **other == code).count()),
            [1; Code::ALL.len()]
        );
    }
}
