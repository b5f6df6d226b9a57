//! The table of problem codes. The wire protocol sends the number of a code.

use hyper::StatusCode;

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
    NotLeader,
    Behind,
    NodeConflict,
    ChallengeRequired,
    IdentityLimitReached,
    NotAdmitted,
    NotOpen,
    BeaconNotTaken,
    AllSold,
}

/// The constant part of a problem: a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProblemKind {
    /// Number in the wire protocol.
    pub number: u8,
    pub code: &'static str,
    pub status: StatusCode,
    /// The title, the same for every problem of this code.
    pub title: &'static str,
}

const fn kind(number: u8, code: &'static str, status: StatusCode, title: &'static str) -> ProblemKind {
    ProblemKind { number, code, status, title }
}

impl Code {
    /// All codes in the order of the table.
    pub const ALL: [Code; 34] = [
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
        Code::NotLeader,
        Code::Behind,
        Code::NodeConflict,
        Code::ChallengeRequired,
        Code::IdentityLimitReached,
        Code::NotAdmitted,
        Code::NotOpen,
        Code::BeaconNotTaken,
        Code::AllSold,
    ];

    /// The names of all codes in the order of the table.
    pub const NAMES: [&str; Code::ALL.len()] = {
        let mut names = [""; Code::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Code::ALL[index].kind().code;
            index += 1;
        }
        names
    };

    #[must_use]
    pub const fn kind(self) -> ProblemKind {
        use StatusCode as S;
        match self {
            Code::Malformed => kind(1, "malformed", S::BAD_REQUEST, "Malformed request"),
            Code::Validation => kind(2, "validation", S::BAD_REQUEST, "Validation failed"),
            Code::KeyMissing => kind(3, "idempotency-key-missing", S::BAD_REQUEST, "Idempotency-Key required"),
            Code::KeyReused => kind(
                4,
                "idempotency-key-reused",
                S::UNPROCESSABLE_ENTITY,
                "Idempotency-Key reused with other parameters",
            ),
            Code::Unauthorized => kind(5, "unauthorized", S::UNAUTHORIZED, "Authentication required"),
            Code::Forbidden => kind(6, "forbidden", S::FORBIDDEN, "Forbidden"),
            Code::NotFound => kind(7, "not-found", S::NOT_FOUND, "Not found"),
            Code::MethodNotAllowed => kind(8, "method-not-allowed", S::METHOD_NOT_ALLOWED, "Method not allowed"),
            Code::NotStarted => kind(9, "not-started", S::FORBIDDEN, "Not started"),
            Code::Ended => kind(10, "ended", S::GONE, "Ended"),
            Code::DropPaused => kind(11, "drop-paused", S::SERVICE_UNAVAILABLE, "Drop paused"),
            Code::LimitReached => kind(12, "limit-reached", S::CONFLICT, "Limit per buyer reached"),
            Code::SoldOut => kind(13, "sold-out", S::CONFLICT, "Not enough units available"),
            Code::OrderExpired => kind(14, "order-expired", S::GONE, "Order expired"),
            Code::IllegalTransition => kind(15, "illegal-transition", S::CONFLICT, "Not allowed in this state"),
            Code::BidTooLow => kind(16, "bid-too-low", S::CONFLICT, "Bid too low"),
            Code::PreconditionFailed => kind(17, "precondition-failed", S::PRECONDITION_FAILED, "Precondition failed"),
            Code::BodyTooLarge => kind(18, "body-too-large", S::PAYLOAD_TOO_LARGE, "Request body too large"),
            Code::UnsupportedMediaType => {
                kind(19, "unsupported-media-type", S::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Code::RateLimited => kind(20, "rate-limited", S::TOO_MANY_REQUESTS, "Too many requests"),
            Code::Overloaded => kind(21, "overloaded", S::SERVICE_UNAVAILABLE, "Overloaded"),
            Code::Draining => kind(22, "draining", S::SERVICE_UNAVAILABLE, "Server shutting down"),
            Code::ReadOnly => kind(23, "read-only", S::SERVICE_UNAVAILABLE, "Server temporarily read-only"),
            Code::OutcomeUnknown => kind(24, "outcome-unknown", S::SERVICE_UNAVAILABLE, "Outcome unknown"),
            Code::Internal => kind(25, "internal", S::INTERNAL_SERVER_ERROR, "Internal server error"),
            Code::NotLeader => kind(26, "not-leader", S::SERVICE_UNAVAILABLE, "Another node leads"),
            Code::Behind => kind(27, "behind", S::SERVICE_UNAVAILABLE, "Node is behind"),
            Code::IdentityLimitReached => kind(30, "identity-limit-reached", S::CONFLICT, "Limit per identity reached"),
            Code::NotAdmitted => kind(31, "not-admitted", S::CONFLICT, "Not admitted"),
            Code::NotOpen => kind(32, "not-open", S::FORBIDDEN, "Not open"),
            Code::BeaconNotTaken => kind(33, "beacon-not-taken", S::CONFLICT, "Beacon not taken"),
            // The code of SoldOut: what a client shows is the same, but asking again is of no use.
            Code::AllSold => kind(34, "sold-out", S::GONE, "Every unit is sold"),
            Code::NodeConflict => kind(28, "node-conflict", S::CONFLICT, "Not at this node now"),
            Code::ChallengeRequired => {
                kind(29, "challenge-required", S::PRECONDITION_REQUIRED, "Solved challenge required")
            }
        }
    }

    /// Returns the status of a problem of this code that sends the client on to another address.
    #[must_use]
    pub const fn redirect(self) -> Option<StatusCode> {
        if matches!(self, Code::NotLeader) { Some(StatusCode::TEMPORARY_REDIRECT) } else { None }
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
