//! What a client's frames become: a command for the writer, or an answer at once.

use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::answers::{bid_result, no, reason_of, reserved};
use super::frame::FrameType;
use super::listener::Wire;
use super::messages::{Bid, Reply, Request, Reserve, VERSION};
use super::reason;
use super::subscriptions::Ear;
use crate::admission::in_flight::InFlightPermit;
use crate::admission::{Caller, Rejected};
use crate::engine::{AuctionCommand, Command, OrderCommand, PlaceBid, PlaceOrder};
use crate::store::PrivateData;
use crate::telemetry::traces::WriteTimeline;
use crate::types::{AuctionId, BuyerText, Digest, DropId, OrderSecret, Quantity, UnitPrice, hex, random};
use crate::writer::{Class, Submission, SubmitError, Ticket};

/// Who is at the other end.
pub(super) struct Guest {
    peer: IpAddr,
    caller: Caller,
    /// Until when his token is good.
    good_until: Option<Instant>,
    /// For whom he bid last, and that buyer's digest: most bid for one buyer, and a digest takes as long as the rest.
    last_bidder: Option<(u32, Digest)>,
    /// What he wants to hear of.
    subscribed: Vec<Subscribed>,
    pub(super) ear: Rc<Ear>,
}

/// An auction that a client wants to hear of.
struct Subscribed {
    auction_id: AuctionId,
    /// The last change that it knows of.
    told: u64,
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
    _place: Option<InFlightPermit<'w>>,
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
        Guest {
            peer,
            caller: Caller::Anonymous,
            good_until: None,
            last_bidder: None,
            subscribed: Vec::new(),
            ear: Rc::default(),
        }
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
            wire.parts.admission.count(Rejected::Unauthorized);
            return known(wire, kind, no(kind, reason::UNAUTHORIZED));
        }
        match request {
            Request::Hello { .. } => known(wire, kind, no(kind, reason::INTERNAL)),
            Request::Ping(echo) => known(wire, kind, Reply::Pong(echo)),
            Request::Bid(bid) => on_its_way(wire, kind, self.bid(wire, bid, now)),
            Request::Reserve(reserve) => on_its_way(wire, kind, self.reserve(wire, reserve, now)),
            Request::Subscribe { auction_id, from_seq } => {
                let subscribed = self.subscribe(wire, auction_id, from_seq);
                let reply = subscribed.map_or_else(|reason| no(kind, reason), |seq| Reply::Ok { seq });
                known(wire, kind, reply)
            }
        }
    }

    fn subscribe(&mut self, wire: &Wire, auction_id: u32, from_seq: u64) -> Result<u64, u8> {
        let auction_id = AuctionId::new(auction_id).ok_or(reason::NOT_FOUND)?;
        let known = self.subscribed.iter().position(|known| known.auction_id == auction_id);
        if known.is_none() && self.subscribed.len() >= wire.parts.limits.subscriptions_max {
            return Err(reason::LIMIT_REACHED);
        }
        let found = wire.subscriptions.listen(wire, auction_id, &self.ear);
        let news = found.map_err(|error| {
            tracing::error!(%error, "a read failed");
            reason::INTERNAL
        })?;
        let seq = news.ok_or(reason::NOT_FOUND)?.seq.get();
        let subscribed = Subscribed { auction_id, told: from_seq };
        match known.and_then(|at| self.subscribed.get_mut(at)) {
            Some(known) => *known = subscribed,
            None => self.subscribed.push(subscribed),
        }
        self.ear.note();
        Ok(seq)
    }

    /// Tells what has changed, if anything may have.
    pub(super) fn tell(&mut self, wire: &Wire, out: &mut Vec<u8>) -> bool {
        if !self.ear.take_news() {
            return false;
        }
        let before = out.len();
        for subscribed in &mut self.subscribed {
            subscribed.told = wire.subscriptions.tell(subscribed.auction_id, subscribed.told, out);
        }
        out.len() > before
    }

    /// Whether he wants to hear of anything.
    pub(super) fn listens(&self) -> bool {
        !self.subscribed.is_empty()
    }

    fn hello(&mut self, wire: &Wire, version: u8, token: &[u8], now: Instant) -> Reply<'static> {
        if version != VERSION {
            return Reply::Error { code: reason::VALIDATION, message: "version 1 is spoken here" };
        }
        if let Some(buyers) = &wire.parts.admission.buyers {
            let token = std::str::from_utf8(token).unwrap_or("");
            match buyers.check_with_lifetime(token, &mut wire.parts.verified.borrow_mut()) {
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
        let bid = PlaceBid { auction_id, buyer: digest, amount, maximum: None, key: None };
        let command = Command::Auction(AuctionCommand::Bid(bid));
        let private_data = Some(PrivateData::Bid { buyer });
        let ticket = submit(wire, Submission { command, private_data, class: Class::Buyer })?;
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
        let command = Command::Order(OrderCommand::Place(PlaceOrder {
            drop_id,
            buyer: buyer_digest,
            key: digests.order_key(drop_id, &buyer_digest, &in_hex(key)),
            quantity,
            contact_given: false,
        }));
        let secret = random::order_secret();
        let private_data = Some(PrivateData::Order { secret, buyer, contact: None });
        let ticket = submit(wire, Submission { command, private_data, class: Class::Buyer })?;
        Ok(OnItsWay { asked: Asked::Order(secret), ticket, submitted: now, _place: place })
    }

    /// A place among what the client has in flight, over all its connections.
    fn enter<'w>(&self, wire: &'w Wire) -> Result<Option<InFlightPermit<'w>>, u8> {
        wire.parts.admission.acquire_permit(&self.caller, self.peer, std::iter::empty()).map_err(|turned_away| {
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
            SubmitError::QueueFull { .. } => reason::OVERLOADED,
            SubmitError::Stopping => reason::DRAINING,
            SubmitError::ReadOnly => reason::READ_ONLY,
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

impl Waiting<'_> {
    /// Looks for the answer.
    pub(super) fn poll(&mut self, wire: &Wire, context: &mut Context<'_>) -> Poll<Reply<'static>> {
        match self {
            Waiting::Known(reply) => Poll::Ready(*reply),
            Waiting::OnItsWay(command) => command.ticket.poll_answer(context).map(|answer| {
                let timeline = answer.timeline(command.ticket.accepted());
                let reply = match &command.asked {
                    Asked::Bid => Reply::Result(bid_result(answer)),
                    Asked::Order(secret) => Reply::Reserved(reserved(wire, *secret, answer)),
                };
                wire.answered(command.kind(), reason_of(&reply));
                wire.trace(command.kind(), reason_of(&reply), command.submitted, timeline);
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
        let command = match self {
            Waiting::Known(reply) => return *reply,
            Waiting::OnItsWay(command) => command,
        };
        let kind = command.kind();
        wire.reply_timed_out();
        wire.answered(kind, reason::OUTCOME_UNKNOWN);
        let timeline = WriteTimeline { accepted: command.ticket.accepted(), stages: None };
        wire.trace(kind, reason::OUTCOME_UNKNOWN, command.submitted, timeline);
        no(kind, reason::OUTCOME_UNKNOWN)
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
