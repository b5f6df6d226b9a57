//! Codes that no test of the contract can see.

use firstcome::api::code::Code;

/// Their answers need the query thread, or a stream of it.
const TAKE_A_THREAD: [&str; 5] = ["StreamDrop", "StreamAuction", "StreamRoom", "Audit", "StreamConsole"];

/// Returns the reason why no test here can see a code: it needs a fault, which other tests make.
pub(crate) fn unseen(operation: &str, code: Code) -> Option<&'static str> {
    match code {
        Code::Internal => Some("a bug"),
        Code::OutcomeUnknown => Some("a fault after acceptance"),
        Code::ReadOnly => Some("a full disk"),
        Code::Draining => Some("the moment of the end"),
        Code::Overloaded if !TAKE_A_THREAD.contains(&operation) => Some("a full queue"),
        Code::IllegalTransition if operation == "ResumeDrop" => Some("a corrupted counter"),
        Code::RateLimited => Some("a client with too much in flight"),
        Code::NotLeader | Code::Behind | Code::NodeConflict => Some("a node of a cluster, or an event to come"),
        Code::ChallengeRequired => Some("a client to whom limits apply: tests/server/challenges.rs"),
        Code::Validation if operation == "OrderPage" => Some("a number of an event that is none"),
        Code::Malformed
        | Code::Validation
        | Code::KeyMissing
        | Code::KeyReused
        | Code::Unauthorized
        | Code::Forbidden
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::NotStarted
        | Code::Ended
        | Code::DropPaused
        | Code::LimitReached
        | Code::IdentityLimitReached
        | Code::SoldOut
        | Code::AllSold
        | Code::OrderExpired
        | Code::IllegalTransition
        | Code::BidTooLow
        | Code::NotAdmitted
        | Code::NotOpen
        | Code::BeaconNotTaken
        | Code::PreconditionFailed
        | Code::BodyTooLarge
        | Code::UnsupportedMediaType
        | Code::Overloaded => None,
    }
}
