//! Reasons and codes: the numbers of the contract's problem table. A test compares them with HTTP's.

use crate::engine::Refusal;
use crate::telemetry::FrameResult;

/// The frame is malformed.
pub const MALFORMED: u8 = 1;
/// A field is out of range.
pub const VALIDATION: u8 = 2;
/// A valid token is required.
pub const UNAUTHORIZED: u8 = 5;
/// The token is another buyer's.
pub const FORBIDDEN: u8 = 6;
/// The auction, drop or order does not exist.
pub const NOT_FOUND: u8 = 7;
/// The buyer has reached a limit, or the connection its maximum of subscriptions.
pub const LIMIT_REACHED: u8 = 12;
/// Another bid is as high, or was earlier.
pub const BID_TOO_LOW: u8 = 16;
/// The client sent too many frames, or has too many in flight.
pub const RATE_LIMITED: u8 = 20;
/// The queue is full or too slow. Nothing was decided.
pub const OVERLOADED: u8 = 21;
/// The server is stopping. Nothing was decided.
pub const DRAINING: u8 = 22;
/// The disk is full, or another program has the file locked. Nothing was decided.
pub const READ_ONLY: u8 = 23;
/// A fault or a timeout after the command was accepted: repeating it returns its outcome.
pub const OUTCOME_UNKNOWN: u8 = 24;
/// An internal error of the server.
pub const INTERNAL: u8 = 25;
/// Another node of the cluster decides, or none does. Nothing was decided.
pub const NOT_LEADER: u8 = 26;
/// Orders with the same identity have reached a cap of the drop.
pub const IDENTITY_LIMIT_REACHED: u8 = 30;

/// The drop has a waiting room, and the buyer is not admitted.
pub const NOT_ADMITTED: u8 = 31;

/// The drop has a waiting room, and every unit is sold.
pub const ALL_SOLD: u8 = 34;

/// The blind window of the drop has recorded the order: the same request tells the outcome once it is decided.
pub const RECORDED: u8 = 38;

/// The drop demands a solved challenge, which is sent over HTTP only. Nothing was decided.
pub const CHALLENGE_REQUIRED: u8 = 29;

/// Returns the number of a refusal.
#[must_use]
pub const fn of_refusal(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Invalid(_) => VALIDATION,
        Refusal::KeyReused => 4,
        Refusal::NotFound => NOT_FOUND,
        Refusal::NotStarted { .. } => 9,
        Refusal::Ended { .. } => 10,
        Refusal::DropPaused => 11,
        Refusal::LimitReached { .. } | Refusal::ExposureReached { .. } => LIMIT_REACHED,
        Refusal::IdentityLimitReached { .. } => IDENTITY_LIMIT_REACHED,
        Refusal::SoldOut(_) => 13,
        Refusal::AllSold { .. } => ALL_SOLD,
        Refusal::OrderExpired { .. } => 14,
        Refusal::IllegalTransition { .. } | Refusal::MismatchStands { .. } => 15,
        Refusal::BidTooLow { .. } => BID_TOO_LOW,
        Refusal::NotAdmitted { .. } => NOT_ADMITTED,
        Refusal::NotOpen { .. } => 32,
        Refusal::BeaconNotTaken { .. } => 33,
        Refusal::PreconditionFailed { .. } => 17,
    }
}

/// Returns the result that metrics count for a reply with this reason.
#[must_use]
pub const fn fate(reason: u8) -> FrameResult {
    match reason {
        0 | RECORDED => FrameResult::Accepted,
        UNAUTHORIZED | FORBIDDEN | RATE_LIMITED | OVERLOADED | DRAINING | READ_ONLY | NOT_LEADER
        | CHALLENGE_REQUIRED => FrameResult::Rejected,
        OUTCOME_UNKNOWN | INTERNAL => FrameResult::Fault,
        _ => FrameResult::Refused,
    }
}
