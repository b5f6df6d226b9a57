//! Replies made from the writer's decisions, and negative replies.

use super::frame::FrameType;
use super::messages::{BidResult, Reply, Reserved};
use super::reason;
use super::worker::WireWorker;
use crate::engine::{BidReceipt, Effect, Outcome, Refusal, Subject};
use crate::read::connection::is_moved;
use crate::read::rows;
use crate::types::{OrderId, OrderSecret, Seq, UnixMillis};
use crate::writer::{NotApplied, WriterReply};

/// Returns the reason of a negative reply; 0 for a positive one.
pub(super) fn reason_of(reply: &Reply<'_>) -> u8 {
    match reply {
        Reply::Result(result) => result.reason,
        Reply::Reserved(reserved) => reserved.reason,
        Reply::Error { code, .. } => *code,
        Reply::Update(_) | Reply::Pong(_) | Reply::Ok { .. } => 0,
    }
}

/// Returns the negative reply to a frame, in the form that belongs to its type.
pub(super) fn negative(kind: FrameType, reason: u8) -> Reply<'static> {
    match kind {
        FrameType::Bid | FrameType::Result => Reply::Result(BidResult { reason, ..BidResult::default() }),
        FrameType::Reserve | FrameType::Reserved => Reply::Reserved(Reserved { reason, ..Reserved::default() }),
        FrameType::Error
        | FrameType::Update
        | FrameType::Hello
        | FrameType::Subscribe
        | FrameType::Ping
        | FrameType::Pong
        | FrameType::Ok => {
            let message = match reason {
                reason::UNAUTHORIZED => "send HELLO with a valid token first",
                reason::NOT_FOUND => "there is no such auction",
                reason::DRAINING => "this node does not serve any more",
                reason::LIMIT_REACHED => "no more subscriptions on this connection",
                _ => "",
            };
            Reply::Error { code: reason, message }
        }
    }
}

/// Returns the decision, or the reason why the writer did not decide.
fn decision(answer: WriterReply) -> Result<Outcome, u8> {
    match answer {
        WriterReply::Decided(decided) => Ok(decided.outcome),
        WriterReply::TooOld => Err(reason::OVERLOADED),
        WriterReply::NotApplied(NotApplied::ReadOnly) => Err(reason::READ_ONLY),
        WriterReply::NotApplied(NotApplied::Ending) => Err(reason::DRAINING),
        WriterReply::NotApplied(NotApplied::NotLeader) => Err(reason::NOT_LEADER),
        // Nothing is submitted over the wire that must be a repeat.
        WriterReply::NotApplied(NotApplied::NoRepeat) => Err(reason::INTERNAL),
        WriterReply::Unknown => Err(reason::OUTCOME_UNKNOWN),
    }
}

/// Returns the RESULT of a bid.
pub(super) fn bid_result(answer: WriterReply) -> BidResult {
    let refused = |reason, seq: u64| BidResult { reason, seq, ..BidResult::default() };
    match decision(answer) {
        Ok(Outcome::Accepted(Effect::Bid(BidReceipt { seq, current, minimum_next, ends_at, .. }))) => BidResult {
            reason: 0,
            seq: seq.get(),
            current: current.get(),
            minimum_next: minimum_next.get(),
            ends_at_ms: millis(ends_at),
        },
        Ok(Outcome::Refused { refusal, as_of_seq }) => {
            let negative = refused(reason::of_refusal(&refusal), as_of_seq.get());
            if let Refusal::BidTooLow { current, minimum_next, ends_at } = refusal {
                let (current, minimum_next) = (current.get(), minimum_next.get());
                BidResult { current, minimum_next, ends_at_ms: millis(ends_at), ..negative }
            } else if let Refusal::Ended { ends_at } = refusal {
                BidResult { ends_at_ms: millis(ends_at), ..negative }
            } else {
                negative
            }
        }
        Ok(Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced) => refused(reason::INTERNAL, 0),
        Err(reason) => refused(reason, 0),
    }
}

/// Returns the RESERVED of an order.
pub(super) fn reserved(wire: &WireWorker, secret: OrderSecret, answer: WriterReply) -> Reserved {
    let refused = |reason, seq: u64| Reserved { reason, seq, ..Reserved::default() };
    match decision(answer) {
        Ok(Outcome::Accepted(Effect::Reserved(made))) => held(OrderId { seq: made.order, secret }, made.expires_at),
        Ok(Outcome::Repeated { subject: Subject::Order(seq), .. }) => {
            by_seq(wire, seq).unwrap_or_else(|reason| refused(reason, 0))
        }
        Ok(Outcome::Refused { refusal, as_of_seq }) => refused(reason::of_refusal(&refusal), as_of_seq.get()),
        Ok(Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced) => refused(reason::INTERNAL, 0),
        Err(reason) => refused(reason, 0),
    }
}

/// Returns the present state of the order that the same key placed before.
fn by_seq(wire: &WireWorker, seq: Seq) -> Result<Reserved, u8> {
    let row = wire.parts.reader.read(|connection| rows::order_by_seq(connection, seq));
    match row {
        Ok(Some(row)) => Ok(held(row.id(), row.expires_at)),
        Ok(None) => Err(reason::INTERNAL),
        Err(error) => {
            tracing::error!(%error, "database read failed");
            Err(if is_moved(&error) { reason::OUTCOME_UNKNOWN } else { reason::INTERNAL })
        }
    }
}

fn held(id: OrderId, expires_at: UnixMillis) -> Reserved {
    Reserved { reason: 0, seq: id.seq.get(), order_id: id.to_bytes(), expires_at_ms: millis(expires_at) }
}

fn millis(at: UnixMillis) -> u64 {
    u64::try_from(at.get()).unwrap_or(0)
}
