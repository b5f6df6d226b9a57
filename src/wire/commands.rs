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
use crate::engine::{BidReceipt, Command, Outcome, Refusal, Subject};
use crate::read::rows;
use crate::store::Beside;
use crate::types::{
    AuctionId, BuyerText, Digest, DropId, OrderId, OrderSecret, Quantity, Seq, UnitPrice, UnixMillis, hex, random,
};
use crate::writer::{Answer, Class, NotApplied, Submission, Ticket, TurnedAway};

/// Who is at the other end.
pub(super) struct Guest {
    peer: IpAddr,
    caller: Caller,
    /// Until when his token is good.
    good_until: Option<Instant>,
    /// For whom he bid last, and that buyer's digest: most bid for one buyer, and a digest takes as long as the rest.
    last_bidder: Option<(u32, Digest)>,
}

/// An answer that has its place in the order of answers.
pub(super) enum Waiting<'w> {
    /// It is known.
    Known(Reply<'static>),
    /// The writer has it.
    OnItsWay(OnItsWay<'w>),
}

/// A command that the writer has.
pub(super) struct OnItsWay<'w> {
    asked: Asked,
    ticket: Ticket,
    /// Since when.
    submitted: Instant,
    /// Its place among what the client has in flight.
    _place: Option<Place<'w>>,
}

/// What was asked.
enum Asked {
    /// A bid.
    Bid,
    /// An order, whose id will have this secret.
    Order(OrderSecret),
}

impl Guest {
    pub(super) fn new(peer: IpAddr) -> Guest {
        Guest { peer, caller: Caller::Anybody, good_until: None, last_bidder: None }
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
            Request::Bid(bid) => on_its_way(wire, kind, self.bid(wire, bid, now)),
            Request::Reserve(reserve) => on_its_way(wire, kind, self.reserve(wire, reserve, now)),
            Request::Subscribe { .. } => known(wire, kind, no(kind, reason::NOT_FOUND)),
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

    fn bid<'w>(&mut self, wire: &'w Wire, bid: Bid, now: Instant) -> Result<OnItsWay<'w>, u8> {
        let Bid { auction_id, user_id, amount } = bid;
        let (mut digits, user) = ([0; DIGITS_MAX], user_id);
        let buyer = BuyerText::new(decimal(user, &mut digits)).filter(|_| user > 0).ok_or(reason::VALIDATION)?;
        if self.caller.buyer().is_some_and(|proven| *proven != buyer) {
            return Err(reason::FORBIDDEN);
        }
        let amount = UnitPrice::new(amount).ok_or(reason::VALIDATION)?;
        let auction_id = AuctionId::new(auction_id).ok_or(reason::NOT_FOUND)?;
        let place = self.enter(wire)?;
        let digest = match self.last_bidder {
            Some((last, digest)) if last == user => digest,
            Some(_) | None => wire.parts.writer.digest_key.buyer(buyer.as_str()),
        };
        self.last_bidder = Some((user, digest));
        let command = Command::PlaceBid { auction_id, buyer: digest, amount, maximum: None, key: None };
        let beside = Some(Beside::Bid { buyer });
        let ticket = submit(wire, Submission { command, beside, class: Class::Buyer })?;
        Ok(OnItsWay { asked: Asked::Bid, ticket, submitted: now, _place: place })
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
        Ok(OnItsWay { asked: Asked::Order(secret), ticket, submitted: now, _place: place })
    }

    /// A place among what the client has in flight, over all its connections.
    fn enter<'w>(&self, wire: &'w Wire) -> Result<Option<Place<'w>>, u8> {
        wire.parts.admission.enter(&self.caller, self.peer, std::iter::empty()).map_err(|turned_away| {
            wire.parts.admission.count(turned_away);
            reason::RATE_LIMITED
        })
    }
}

/// Digits of the largest user.
const DIGITS_MAX: usize = 10;

/// A number as text, without an allocation.
fn decimal(number: u32, digits: &mut [u8; DIGITS_MAX]) -> &str {
    let (mut rest, mut at) = (number, digits.len());
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        at = index;
        if rest == 0 {
            break;
        }
    }
    digits.get(at..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or("")
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

/// What the writer got, or why it did not.
fn on_its_way<'w>(wire: &'w Wire, kind: FrameType, submitted: Result<OnItsWay<'w>, u8>) -> Waiting<'w> {
    submitted.map_or_else(|reason| known(wire, kind, no(kind, reason)), Waiting::OnItsWay)
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
            Waiting::OnItsWay(command) => command.ticket.poll_answer(context).map(|answer| {
                let reply = match &command.asked {
                    Asked::Bid => Reply::Result(bid_result(answer)),
                    Asked::Order(secret) => Reply::Reserved(reserved(wire, *secret, answer)),
                };
                wire.answered(command.kind(), reason_of(&reply));
                reply
            }),
        }
    }

    /// When the writer got it.
    pub(super) fn submitted(&self) -> Option<Instant> {
        match self {
            Waiting::Known(_) => None,
            Waiting::OnItsWay(command) => Some(command.submitted),
        }
    }

    /// What is said when the answer is late.
    pub(super) fn late(&self, wire: &Wire) -> Reply<'static> {
        let kind = match self {
            Waiting::Known(reply) => return *reply,
            Waiting::OnItsWay(command) => command.kind(),
        };
        wire.reply_timed_out();
        wire.answered(kind, reason::OUTCOME_UNKNOWN);
        no(kind, reason::OUTCOME_UNKNOWN)
    }
}

/// The decision in an answer, or why there is none.
fn decision(answer: Answer) -> Result<Outcome, u8> {
    match answer {
        Answer::Decided(decided) => Ok(decided.outcome),
        Answer::TooOld => Err(reason::OVERLOADED),
        Answer::NotApplied(NotApplied::ReadOnly) => Err(reason::READ_ONLY),
        Answer::NotApplied(NotApplied::Ending) => Err(reason::DRAINING),
        Answer::Unknown => Err(reason::OUTCOME_UNKNOWN),
    }
}

impl OnItsWay<'_> {
    fn kind(&self) -> FrameType {
        match self.asked {
            Asked::Bid => FrameType::Bid,
            Asked::Order(_) => FrameType::Reserve,
        }
    }
}

fn bid_result(answer: Answer) -> BidResult {
    let refused = |reason, seq: u64| BidResult { reason, seq, ..BidResult::default() };
    match decision(answer) {
        Ok(Outcome::Bid(BidReceipt { seq, current, minimum_next, ends_at, .. })) => BidResult {
            reason: 0,
            seq: seq.get(),
            current: current.get(),
            minimum_next: minimum_next.get(),
            ends_at_ms: millis(ends_at),
        },
        Ok(Outcome::Refused { refusal, as_of_seq }) => {
            let no = refused(reason::of_refusal(&refusal), as_of_seq.get());
            if let Refusal::BidTooLow { current, minimum_next, ends_at } = refusal {
                let (current, minimum_next) = (current.get(), minimum_next.get());
                BidResult { current, minimum_next, ends_at_ms: millis(ends_at), ..no }
            } else if let Refusal::Ended { ends_at } = refusal {
                BidResult { ends_at_ms: millis(ends_at), ..no }
            } else {
                no
            }
        }
        Ok(
            Outcome::Reserved(_)
            | Outcome::Accepted { .. }
            | Outcome::Heard { .. }
            | Outcome::Repeated { .. }
            | Outcome::Advanced,
        ) => refused(reason::INTERNAL, 0),
        Err(reason) => refused(reason, 0),
    }
}

fn reserved(wire: &Wire, secret: OrderSecret, answer: Answer) -> Reserved {
    let refused = |reason, seq: u64| Reserved { reason, seq, ..Reserved::default() };
    match decision(answer) {
        Ok(Outcome::Reserved(made)) => held(OrderId { seq: made.order, secret }, made.expires_at),
        Ok(Outcome::Repeated { subject: Subject::Order(seq), .. }) => {
            by_seq(wire, seq).unwrap_or_else(|reason| refused(reason, 0))
        }
        Ok(Outcome::Refused { refusal, as_of_seq }) => refused(reason::of_refusal(&refusal), as_of_seq.get()),
        Ok(
            Outcome::Bid(_)
            | Outcome::Accepted { .. }
            | Outcome::Heard { .. }
            | Outcome::Repeated { .. }
            | Outcome::Advanced,
        ) => refused(reason::INTERNAL, 0),
        Err(reason) => refused(reason, 0),
    }
}

/// The order that the same key made before, as it is now.
fn by_seq(wire: &Wire, seq: Seq) -> Result<Reserved, u8> {
    let row = wire.parts.reader.read(|connection| rows::order_by_seq(connection, seq));
    match row {
        Ok(Some(row)) => Ok(held(row.id(), row.expires_at)),
        Ok(None) => Err(reason::INTERNAL),
        Err(error) => {
            tracing::error!(%error, "a read failed");
            Err(reason::INTERNAL)
        }
    }
}

fn held(id: OrderId, expires_at: UnixMillis) -> Reserved {
    Reserved { reason: 0, seq: id.seq.get(), order_id: id.to_bytes(), expires_at_ms: millis(expires_at) }
}

fn millis(at: UnixMillis) -> u64 {
    u64::try_from(at.get()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_the_decimal_text_of_their_number() {
        for user in [0, 1, 9, 10, 4_294_967_295, 1_000_000_000] {
            assert_eq!(decimal(user, &mut [0; DIGITS_MAX]), user.to_string());
        }
    }

    #[test]
    fn a_key_is_the_hex_of_its_bytes() {
        let key: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).expect("a byte"));
        assert_eq!(in_hex(key), hex::encode(&key).as_bytes());
    }
}
