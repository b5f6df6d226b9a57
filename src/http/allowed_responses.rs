//! Groups of problem codes that the rows of routes are made of. The OpenAPI document is made from the rows, and in debug
//! builds every response is checked against its row, so that each test of the server tests the rows too.

use crate::api::code::Code;

/// Mistakes of a JSON body.
pub const BODY: &[Code] = &[Code::UnsupportedMediaType, Code::BodyTooLarge, Code::Malformed, Code::Validation];
/// Mistakes of a signed body, which may have any media type, but no content coding.
pub const SIGNED: &[Code] =
    &[Code::Unauthorized, Code::UnsupportedMediaType, Code::BodyTooLarge, Code::Malformed, Code::Validation];
/// Mistakes of a query.
pub const QUERY: &[Code] = &[Code::Validation];
/// Mistakes of an idempotency key.
pub const KEY: &[Code] = &[Code::KeyMissing, Code::KeyReused];
/// Reasons why a command is not decided, beside those of every request.
pub const WRITER: &[Code] = &[Code::Overloaded, Code::ReadOnly, Code::OutcomeUnknown, Code::NotLeader];
/// The query thread is busy, or a worker has too many streams.
pub const BUSY: &[Code] = &[Code::Overloaded];
/// The path names nothing that exists.
pub const ID: &[Code] = &[Code::NotFound];
/// The body or the query names another buyer than the token.
pub const ANOTHER_BUYER: &[Code] = &[Code::Forbidden];
/// The order's state does not allow the command.
pub const STATE: &[Code] = &[Code::OrderExpired, Code::IllegalTransition];
/// The drop demands a solved challenge.
pub const CHALLENGE: &[Code] = &[Code::ChallengeRequired];
/// Refusals of an order by its drop.
pub const DROP: &[Code] = &[
    Code::NotStarted,
    Code::Ended,
    Code::DropPaused,
    Code::NotAdmitted,
    Code::LimitReached,
    Code::IdentityLimitReached,
    Code::SoldOut,
    Code::AllSold,
];
/// Reasons why an order of a batch has no effect.
pub const BATCHED_ORDER: &[Code] = &[
    Code::Validation,
    Code::KeyReused,
    Code::NotFound,
    Code::NotStarted,
    Code::Ended,
    Code::DropPaused,
    Code::NotAdmitted,
    Code::LimitReached,
    Code::IdentityLimitReached,
    Code::SoldOut,
    Code::AllSold,
    Code::Overloaded,
    Code::ReadOnly,
    Code::NotLeader,
    Code::OutcomeUnknown,
    Code::Draining,
    Code::Internal,
];
/// Refusals of a bid by its auction.
pub const AUCTION: &[Code] = &[Code::NotStarted, Code::Ended, Code::BidTooLow];

/// Problems of requests that lead to no route, or whose head is not well formed.
pub const UNROUTED: &[Code] =
    &[Code::Malformed, Code::Unauthorized, Code::NotFound, Code::MethodNotAllowed, Code::Forbidden];
