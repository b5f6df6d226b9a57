//! Reasons and codes: the numbers of the problem table of the contract. A test holds them against HTTP's.

use crate::engine::Refusal;
use crate::telemetry::FrameResult;

/// The frame is not well formed.
pub const MALFORMED: u8 = 1;
/// A field does not fit.
pub const VALIDATION: u8 = 2;
/// A token is needed.
pub const UNAUTHORIZED: u8 = 5;
/// The token is another buyer's.
pub const FORBIDDEN: u8 = 6;
/// There is no such thing.
pub const NOT_FOUND: u8 = 7;
/// The buyer has as much as he may have, or the connection as many subscriptions.
pub const LIMIT_REACHED: u8 = 12;
/// Somebody else asks as much, or was faster.
pub const BID_TOO_LOW: u8 = 16;
/// Too many frames, or too many in flight of one client.
pub const RATE_LIMITED: u8 = 20;
/// The queue is full or too slow: nothing was decided.
pub const OVERLOADED: u8 = 21;
/// The server is ending: nothing was decided.
pub const DRAINING: u8 = 22;
/// The disk is full: nothing was decided.
pub const READ_ONLY: u8 = 23;
/// A fault or a time-out after it was accepted: repeat it, and you learn what happened.
pub const OUTCOME_UNKNOWN: u8 = 24;
/// A bug.
pub const INTERNAL: u8 = 25;

/// The number of a refusal.
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
        Refusal::SoldOut { .. } => 13,
        Refusal::OrderExpired { .. } => 14,
        Refusal::IllegalTransition { .. } | Refusal::MismatchStands { .. } => 15,
        Refusal::BidTooLow { .. } => BID_TOO_LOW,
        Refusal::PreconditionFailed { .. } => 17,
    }
}

/// What became of a frame with this reason.
#[must_use]
pub const fn fate(reason: u8) -> FrameResult {
    match reason {
        0 => FrameResult::Accepted,
        UNAUTHORIZED | FORBIDDEN | RATE_LIMITED | OVERLOADED | DRAINING | READ_ONLY => FrameResult::Rejected,
        OUTCOME_UNKNOWN | INTERNAL => FrameResult::Fault,
        _ => FrameResult::Refused,
    }
}
