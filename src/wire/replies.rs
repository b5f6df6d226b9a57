//! Replies made from the writer's decisions, and negative replies.

use super::frame::FrameType;
use super::messages::{BidResult, Reply, Reserved, TicketReply};
use super::reason;
use super::worker::WireWorker;
use crate::engine::{BidReceipt, Effect, Outcome, Refusal, SoldOut, StandbyReceipt, Subject, TicketReceipt};
use crate::read::connection::is_moved;
use crate::read::rows;
use crate::types::{Digest, DropId, OrderId, OrderSecret, Seq, UnixMillis};
use crate::writer::{NotApplied, WriterReply};

/// Returns the reason of a negative reply; 0 for a positive one.
pub(super) fn reason_of(reply: &Reply<'_>) -> u8 {
    match reply {
        Reply::Result(result) => result.reason,
        Reply::Reserved(reserved) => reserved.reason,
        Reply::Ticket(ticket) => ticket.reason,
        Reply::Error { code, .. } => *code,
        Reply::Update(_) | Reply::Pong(_) | Reply::Ok { .. } | Reply::RoomState(_) => 0,
    }
}

/// Returns the negative reply to a frame, in the form that belongs to its type.
pub(super) fn negative(kind: FrameType, reason: u8) -> Reply<'static> {
    match kind {
        FrameType::Bid | FrameType::Result => Reply::Result(BidResult { reason, ..BidResult::default() }),
        FrameType::Reserve | FrameType::Reserved => Reply::Reserved(Reserved { reason, ..Reserved::default() }),
        FrameType::Join | FrameType::Ticket => Reply::Ticket(TicketReply { reason, ..TicketReply::default() }),
        FrameType::Error
        | FrameType::Update
        | FrameType::Hello
        | FrameType::Subscribe
        | FrameType::Ping
        | FrameType::Pong
        | FrameType::Ok
        | FrameType::Room
        | FrameType::RoomState => {
            let message = match reason {
                reason::UNAUTHORIZED => "send HELLO with a valid token first",
                reason::NOT_FOUND if kind == FrameType::Room => "there is no drop with this number and a waiting room",
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
        Ok(Outcome::Accepted(Effect::Recorded(receipt))) => Reserved {
            reason: reason::RECORDED,
            seq: receipt.seq.get(),
            expires_at_ms: millis(receipt.decided_at),
            ..Reserved::default()
        },
        // The key is that with which the buyer stands by: there is no order yet.
        Ok(Outcome::Accepted(Effect::Standby(receipt))) => {
            let StandbyReceipt { available, held, next_expiry_at, standby, seq, .. } = receipt;
            let sold_out = Refusal::SoldOut(SoldOut { available, held, next_expiry_at, standby });
            refused(reason::of_refusal(&sold_out), seq.get())
        }
        Ok(Outcome::Refused { refusal, as_of_seq }) => refused(reason::of_refusal(&refusal), as_of_seq.get()),
        Ok(Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced) => refused(reason::INTERNAL, 0),
        Err(reason) => refused(reason, 0),
    }
}

/// Returns the TICKET of a buyer's JOIN.
pub(super) fn ticket(wire: &WireWorker, drop_id: DropId, buyer: &Digest, answer: WriterReply) -> TicketReply {
    let refused = |reason, seq: u64| TicketReply { reason, seq, ..TicketReply::default() };
    match decision(answer) {
        Ok(Outcome::Accepted(Effect::Ticket(receipt))) => {
            let TicketReceipt { seq, number, position, serving, state, paused, order_until, .. } = receipt;
            TicketReply {
                reason: 0,
                seq: seq.get(),
                number: number.get(),
                position: position.map(|position| position.0),
                serving,
                state: Some(state),
                paused,
                at_ms: order_until.map_or(0, millis),
                digest: wire.parts.room_facts.borrow_mut().ticket_digest(&wire.parts.reader, drop_id, buyer),
            }
        }
        Ok(Outcome::Refused { refusal, as_of_seq }) => {
            let at_ms = if let Refusal::NotOpen { opens_at } = refusal { millis(opens_at) } else { 0 };
            TicketReply { at_ms, ..refused(reason::of_refusal(&refusal), as_of_seq.get()) }
        }
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
