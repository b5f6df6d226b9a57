//! What a client's frames become: a command for the writer, or an answer at once; and what the writer's answers become.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use super::frame::FrameType;
use super::listener::Wire;
use super::messages::{Bid, BidResult, Reply, Request, Reserve, Reserved, VERSION};
use super::reason;
use crate::admission::in_flight::Place;
use crate::admission::{Caller, TurnedAway as NotAdmitted};
use crate::engine::{Command, Outcome, Subject};
use crate::read::rows;
use crate::store::Beside;
use crate::types::{BuyerText, DropId, OrderId, OrderSecret, Quantity, Seq, UnixMillis, hex, random};
use crate::writer::{Answer, Class, NotApplied, Submission, Ticket, TurnedAway};

/// Who is at the other end.
pub(super) struct Guest {
    peer: IpAddr,
    caller: Caller,
    /// Until when his token is good.
    good_until: Option<Instant>,
}

/// An answer that has its place in the order of answers.
pub(super) enum Waiting<'w> {
    /// It is known.
    Known(Reply<'static>),
    /// The writer has it.
    Order(OnItsWay<'w>),
}

/// An order that the writer has.
pub(super) struct OnItsWay<'w> {
    ticket: Ticket,
    /// Since when.
    submitted: Instant,
    secret: OrderSecret,
    /// Its place among what the client has in flight.
    _place: Option<Place<'w>>,
}

impl Guest {
    pub(super) fn new(peer: IpAddr) -> Guest {
        Guest { peer, caller: Caller::Anybody, good_until: None }
    }

    /// Whether he has said who he is, as far as anybody asks.
    pub(super) fn is_known(&self, wire: &Wire, now: Instant) -> bool {
        wire.parts.admission.buyers.is_none() || self.good_until.is_some_and(|until| now < until)
    }

    /// What a request becomes.
    pub(super) fn take<'w>(&mut self, wire: &'w Wire, request: Request<'_>, now: Instant) -> Waiting<'w> {
        let kind = request.kind();
        if let Request::Hello { version, token } = request {
            return known(wire, kind, self.hello(wire, version, token, now));
        }
        if !self.is_known(wire, now) {
            wire.parts.admission.count(NotAdmitted::Unauthorized);
            return known(wire, kind, no(kind, reason::UNAUTHORIZED));
        }
        match request {
            Request::Hello { .. } => known(wire, kind, no(kind, reason::INTERNAL)),
            Request::Ping(echo) => known(wire, kind, Reply::Pong(echo)),
            Request::Reserve(reserve) => {
                let submitted = self.reserve(wire, reserve, now);
                submitted.map_or_else(|reason| known(wire, kind, no(kind, reason)), Waiting::Order)
            }
            Request::Bid(Bid { .. }) | Request::Subscribe { .. } => known(wire, kind, no(kind, reason::NOT_FOUND)),
        }
    }

    fn hello(&mut self, wire: &Wire, version: u8, token: &[u8], now: Instant) -> Reply<'static> {
        if version != VERSION {
            return Reply::Error { code: reason::VALIDATION, message: "version 1 is spoken here" };
        }
        if let Some(buyers) = &wire.parts.admission.buyers {
            let token = std::str::from_utf8(token).unwrap_or("");
            match buyers.check_for(token, &mut wire.parts.verified.borrow_mut()) {
                Ok((buyer, left)) => {
                    self.caller = Caller::Buyer(buyer);
                    self.good_until = now.checked_add(left);
                }
                Err(turned_away) => {
                    wire.parts.admission.count(turned_away);
                    return no(FrameType::Hello, reason::UNAUTHORIZED);
                }
            }
        }
        Reply::Ok { seq: wire.parts.writer.published.seq() }
    }

    fn reserve<'w>(&self, wire: &'w Wire, reserve: Reserve<'_>, now: Instant) -> Result<OnItsWay<'w>, u8> {
        let Reserve { drop_id, quantity, key, buyer } = reserve;
        let buyer = std::str::from_utf8(buyer).ok().and_then(BuyerText::new).ok_or(reason::VALIDATION)?;
        if self.caller.buyer().is_some_and(|proven| *proven != buyer) {
            return Err(reason::FORBIDDEN);
        }
        let quantity = Quantity::new(u16::from(quantity)).ok_or(reason::VALIDATION)?;
        let parts = &wire.parts;
        let there = |drop_id: &DropId| parts.writer.published.version(*drop_id) > 0;
        let drop_id = DropId::new(drop_id).filter(there).ok_or(reason::NOT_FOUND)?;
        let place = self.enter(wire)?;
        let digests = &parts.writer.digest_key;
        let buyer_digest = digests.buyer(buyer.as_str());
        let command = Command::PlaceOrder {
            drop_id,
            buyer: buyer_digest,
            key: digests.order_key(drop_id, &buyer_digest, &in_hex(key)),
            quantity,
            contact_given: false,
        };
        let secret = random::order_secret();
        let beside = Some(Beside::Order { secret, buyer, contact: None });
        let ticket = submit(wire, Submission { command, beside, class: Class::Buyer })?;
        Ok(OnItsWay { ticket, submitted: now, secret, _place: place })
    }

    /// A place among what the client has in flight, over all its connections.
    fn enter<'w>(&self, wire: &'w Wire) -> Result<Option<Place<'w>>, u8> {
        wire.parts.admission.enter(&self.caller, self.peer, std::iter::empty()).map_err(|turned_away| {
            wire.parts.admission.count(turned_away);
            reason::RATE_LIMITED
        })
    }
}

/// The key as HTTP has it.
fn in_hex(key: [u8; 16]) -> [u8; 32] {
    let number = u128::from_be_bytes(key);
    let mut text = [0; 32];
    let (high, low) = text.split_at_mut(16);
    high.copy_from_slice(&hex::of_u64(u64::try_from(number >> 64).unwrap_or(0)));
    low.copy_from_slice(&hex::of_u64(u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0)));
    text
}

fn submit(wire: &Wire, submission: Submission) -> Result<Ticket, u8> {
    wire.parts.writer.submit_from(submission, wire.parts.port).map_err(|turned_away| {
        wire.turned_away();
        match turned_away {
            TurnedAway::QueueFull { .. } => reason::OVERLOADED,
            TurnedAway::Stopping => reason::DRAINING,
            TurnedAway::ReadOnly => reason::READ_ONLY,
        }
    })
}

/// An answer that needs no writer.
fn known<'w>(wire: &Wire, kind: FrameType, reply: Reply<'static>) -> Waiting<'w> {
    wire.answered(kind, reason_of(&reply));
    Waiting::Known(reply)
}

/// Why a reply says no; 0 if it does not.
fn reason_of(reply: &Reply<'_>) -> u8 {
    match reply {
        Reply::Result(result) => result.reason,
        Reply::Reserved(reserved) => reserved.reason,
        Reply::Error { code, .. } => *code,
        Reply::Update(_) | Reply::Pong(_) | Reply::Ok { .. } => 0,
    }
}

/// A frame's "no", in the form that answers its type.
fn no(kind: FrameType, reason: u8) -> Reply<'static> {
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
                reason::UNAUTHORIZED => "say HELLO with a token that is good here",
                reason::NOT_FOUND => "there is no such auction",
                _ => "",
            };
            Reply::Error { code: reason, message }
        }
    }
}

impl Waiting<'_> {
    /// Looks for the answer.
    pub(super) fn poll(&mut self, wire: &Wire, context: &mut Context<'_>) -> Poll<Reply<'static>> {
        match self {
            Waiting::Known(reply) => Poll::Ready(*reply),
            Waiting::Order(order) => order.ticket.poll_answer(context).map(|answer| {
                let reserved = order.reserved(wire, answer).unwrap_or_else(|(reason, seq)| Reserved {
                    reason,
                    seq,
                    ..Reserved::default()
                });
                wire.answered(FrameType::Reserve, reserved.reason);
                Reply::Reserved(reserved)
            }),
        }
    }

    /// When the writer got it.
    pub(super) fn submitted(&self) -> Option<Instant> {
        match self {
            Waiting::Known(_) => None,
            Waiting::Order(order) => Some(order.submitted),
        }
    }

    /// What is said when the answer is late.
    pub(super) fn late(&self, wire: &Wire) -> Reply<'static> {
        let kind = match self {
            Waiting::Known(reply) => return *reply,
            Waiting::Order(_) => FrameType::Reserve,
        };
        wire.reply_timed_out();
        wire.answered(kind, reason::OUTCOME_UNKNOWN);
        no(kind, reason::OUTCOME_UNKNOWN)
    }
}

/// Why not, and the last event that this saw.
type No = (u8, u64);

/// The decision in an answer, or why there is none.
fn decision(answer: Answer) -> Result<Outcome, No> {
    match answer {
        Answer::Decided(decided) => Ok(decided.outcome),
        Answer::TooOld => Err((reason::OVERLOADED, 0)),
        Answer::NotApplied(NotApplied::ReadOnly) => Err((reason::READ_ONLY, 0)),
        Answer::NotApplied(NotApplied::Ending) => Err((reason::DRAINING, 0)),
        Answer::Unknown => Err((reason::OUTCOME_UNKNOWN, 0)),
    }
}

impl OnItsWay<'_> {
    fn reserved(&self, wire: &Wire, answer: Answer) -> Result<Reserved, No> {
        match decision(answer)? {
            Outcome::Reserved(made) => {
                let id = OrderId { seq: made.order, secret: self.secret };
                Ok(reserved(id, made.expires_at))
            }
            Outcome::Repeated { subject: Subject::Order(seq), .. } => by_seq(wire, seq),
            Outcome::Refused { refusal, as_of_seq } => Err((reason::of_refusal(&refusal), as_of_seq.get())),
            Outcome::Accepted { .. } | Outcome::Heard { .. } | Outcome::Repeated { .. } | Outcome::Advanced => {
                Err((reason::INTERNAL, 0))
            }
        }
    }
}

/// The order that the same key made before, as it is now.
fn by_seq(wire: &Wire, seq: Seq) -> Result<Reserved, No> {
    let row = wire.parts.reader.read(|connection| rows::order_by_seq(connection, seq));
    match row {
        Ok(Some(row)) => Ok(reserved(row.id(), row.expires_at)),
        Ok(None) => Err((reason::INTERNAL, 0)),
        Err(error) => {
            tracing::error!(%error, "a read failed");
            Err((reason::INTERNAL, 0))
        }
    }
}

fn reserved(id: OrderId, expires_at: UnixMillis) -> Reserved {
    let expires_at_ms = u64::try_from(expires_at.get()).unwrap_or(0);
    Reserved { reason: 0, seq: id.seq.get(), order_id: id.to_bytes(), expires_at_ms }
}
