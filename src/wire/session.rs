//! A client's session: turns its frames into commands for the writer, or into replies at once.

use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use compact_str::ToCompactString as _;

use super::frame::FrameType;
use super::messages::{Bid, Join, Reply, Request, Reserve, VERSION};
use super::reason;
use super::replies::{bid_result, negative, reason_of, reserved, ticket};
use super::subscriptions::{SubscriptionWaker, Topic};
use super::worker::{WireWorker, fault};
use crate::admission::in_flight::InFlightPermit;
use crate::admission::limits::Client;
use crate::admission::risk::SeenWrite;
use crate::admission::verified::VerifiedToken;
use crate::admission::{Admission, Caller, Rejected, Unidentified};
use crate::engine::{AuctionCommand, Command, OrderCommand, PlaceBid, PlaceOrder, RoomCommand, TakeTicket};
use crate::store::PrivateData;
use crate::telemetry::traces::WriteTimeline;
use crate::types::{
    AuctionId, BuyerOrigin, BuyerText, Digest, DropId, OrderFacts, OrderSecret, Quantity, UnitPrice, hex, random,
};
use crate::writer::clock::wall_clock_second;
use crate::writer::{Class, Submission, SubmitError, Ticket};

/// The client of a connection: its identity and its subscriptions.
pub(super) struct Session {
    peer: IpAddr,
    caller: Caller,
    /// The validity of the last good token.
    validity: Option<TokenValidity>,
    /// The buyer of the last bid with its digest: most connections bid for one buyer, and computing the digest takes as
    /// long as the rest of a bid.
    last_bidder: Option<(u32, Digest)>,
    subscriptions: Vec<Subscription>,
    pub(super) waker: Rc<SubscriptionWaker>,
}

/// The validity of a token by the wall clock.
struct TokenValidity {
    /// The first second in which the token is not valid, in seconds since 1970.
    expires: u64,
    /// The pass over the connection's frames that read the wall clock last.
    pass: Instant,
    /// True if the token was valid then.
    valid: bool,
}

/// A subscription of this client to an auction or a waiting room.
struct Subscription {
    topic: Topic,
    /// The last change that the client knows.
    sent: u64,
}

/// A reply in the order of the client's frames.
pub(super) enum QueuedReply<'w> {
    Ready(Reply<'static>),
    Pending(AwaitedReply<'w>),
}

/// The reply to a command that the writer has not decided yet.
pub(super) struct AwaitedReply<'w> {
    command: PendingCommand,
    ticket: Ticket,
    submitted: Instant,
    /// Counts the command as in flight until its reply is there.
    _permit: Option<InFlightPermit<'w>>,
}

/// The kind of a pending command.
enum PendingCommand {
    Bid,
    /// An order, whose id will have this secret.
    Order(OrderSecret),
    /// A ticket of the buyer with this digest.
    Ticket(DropId, Digest),
}

impl TokenValidity {
    /// Returns whether the token is valid in a pass, which reads the wall clock (seconds since 1970) once.
    fn holds_in(&mut self, pass: Instant, wall_clock: impl FnOnce() -> u64) -> bool {
        if self.pass != pass {
            (self.pass, self.valid) = (pass, wall_clock() < self.expires);
        }
        self.valid
    }
}

impl Session {
    pub(super) fn new(peer: IpAddr) -> Session {
        Session {
            peer,
            caller: Caller::Anonymous,
            validity: None,
            last_bidder: None,
            subscriptions: Vec::new(),
            waker: Rc::default(),
        }
    }

    /// Returns whether the client has authenticated, or needs not. The wall clock is read once in each pass over the
    /// connection's frames, which begins at `now`, so that a step of it is seen.
    pub(super) fn is_authenticated(&mut self, wire: &WireWorker, now: Instant) -> bool {
        wire.parts.admission.buyers.is_none()
            || self.validity.as_mut().is_some_and(|validity| validity.holds_in(now, wall_clock_second))
    }

    /// Handles a request, and returns its reply or the pending one.
    pub(super) fn handle<'w>(&mut self, wire: &'w WireWorker, request: Request<'_>, now: Instant) -> QueuedReply<'w> {
        let kind = request.kind();
        if !wire.parts.writer.may_serve() && kind != FrameType::Ping {
            return ready(wire, kind, negative(kind, reason::DRAINING));
        }
        if let Request::Hello { version, token } = request {
            return ready(wire, kind, self.hello(wire, version, token, now));
        }
        if !self.is_authenticated(wire, now) {
            wire.parts.admission.count(Rejected::Unauthorized);
            return ready(wire, kind, negative(kind, reason::UNAUTHORIZED));
        }
        match request {
            Request::Hello { .. } => ready(wire, kind, negative(kind, reason::INTERNAL)),
            Request::Ping(echo) => ready(wire, kind, Reply::Pong(echo)),
            Request::Bid(bid) => pending(wire, kind, self.bid(wire, bid, now)),
            Request::Reserve(reserve) => pending(wire, kind, self.reserve(wire, reserve, now)),
            Request::Join(join) => pending(wire, kind, self.join(wire, join, now)),
            Request::Subscribe { auction_id, from_seq } => {
                let topic = AuctionId::new(auction_id).map(Topic::Auction);
                subscribed(wire, kind, self.subscribe(wire, topic, from_seq, now))
            }
            Request::Room { drop_id, from_seq } => {
                let topic = DropId::new(drop_id).map(Topic::Room);
                subscribed(wire, kind, self.subscribe(wire, topic, from_seq, now))
            }
        }
    }

    fn subscribe(&mut self, wire: &WireWorker, topic: Option<Topic>, from_seq: u64, now: Instant) -> Result<u64, u8> {
        let Admission { door, .. } = &*wire.parts.admission;
        door.read(self.client(wire), &self.caller, now).map_err(|_told_by_no_frame| reason::RATE_LIMITED)?;
        let topic = topic.ok_or(reason::NOT_FOUND)?;
        let known = self.subscriptions.iter().position(|known| known.topic == topic);
        if known.is_none() && self.subscriptions.len() >= wire.parts.limits.subscriptions_max {
            return Err(reason::LIMIT_REACHED);
        }
        let latest = wire.subscriptions.subscribe(topic, &self.waker).map_err(|error| fault(&error))?;
        let seq = latest.ok_or(reason::NOT_FOUND)?.get();
        // A number that no event has yet is of another file, or a mistake: no change of this file is known to the client.
        let sent = if from_seq > wire.parts.writer.published.seq() { 0 } else { from_seq };
        let subscription = Subscription { topic, sent };
        match known.and_then(|at| self.subscriptions.get_mut(at)) {
            Some(known) => *known = subscription,
            None => self.subscriptions.push(subscription),
        }
        self.waker.set_pending();
        Ok(seq)
    }

    /// Writes the updates that are pending. Returns whether there were any.
    pub(super) fn write_updates(&mut self, wire: &WireWorker, out: &mut Vec<u8>) -> bool {
        if !self.waker.take_pending() {
            return false;
        }
        // A node of a cluster whose file is not what the log says sends nothing of it.
        if !wire.parts.writer.may_serve() {
            return false;
        }
        let before = out.len();
        for subscription in &mut self.subscriptions {
            subscription.sent = wire.subscriptions.write_update(subscription.topic, subscription.sent, out);
        }
        out.len() > before
    }

    pub(super) fn has_subscriptions(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    fn hello(&mut self, wire: &WireWorker, version: u8, token: &[u8], now: Instant) -> Reply<'static> {
        if version != VERSION {
            return Reply::Error { code: reason::VALIDATION, message: "the server speaks version 1" };
        }
        if let Some(buyers) = &wire.parts.admission.buyers {
            let token = std::str::from_utf8(token).unwrap_or("");
            let sender = (self.client(wire), now);
            match wire.parts.admission.identify_buyer(buyers, token, &mut wire.parts.verified.borrow_mut(), sender) {
                Ok(VerifiedToken { buyer, tier, expires }) => {
                    self.caller = Caller::Buyer(buyer, tier);
                    self.validity = Some(TokenValidity { expires, pass: now, valid: true });
                }
                Err(Unidentified::Rejected(rejected)) => {
                    wire.parts.admission.count(rejected);
                    return negative(FrameType::Hello, reason::UNAUTHORIZED);
                }
                Err(Unidentified::OverLimit(_)) => return negative(FrameType::Hello, reason::RATE_LIMITED),
            }
        }
        Reply::Ok { seq: wire.parts.writer.published.seq() }
    }

    fn bid<'w>(&mut self, wire: &'w WireWorker, bid: Bid, now: Instant) -> Result<AwaitedReply<'w>, u8> {
        let Bid { auction_id, user_id, amount } = bid;
        let buyer = BuyerText::new(&user_id.to_compact_string()).filter(|_| user_id > 0).ok_or(reason::VALIDATION)?;
        if self.caller.buyer().is_some_and(|proven| *proven != buyer) {
            return Err(reason::FORBIDDEN);
        }
        let permit = self.acquire_permit(wire)?;
        self.charge(wire, &buyer, now)?;
        let amount = UnitPrice::new(amount).ok_or(reason::VALIDATION)?;
        let auction_id = AuctionId::new(auction_id).ok_or(reason::NOT_FOUND)?;
        wire.check_bid(auction_id, amount)?;
        let digest = match self.last_bidder {
            Some((last, digest)) if last == user_id => digest,
            Some(_) | None => wire.parts.writer.digest_key.buyer(buyer.as_str()),
        };
        self.last_bidder = Some((user_id, digest));
        let bid = PlaceBid { auction_id, buyer: digest, amount, maximum: None, key: None };
        let command = Command::Auction(AuctionCommand::Bid(bid));
        let private_data = Some(PrivateData::Bid { buyer });
        let ticket = submit(wire, Submission { command, private_data, class: Class::Buyer })?;
        Ok(AwaitedReply { command: PendingCommand::Bid, ticket, submitted: now, _permit: permit })
    }

    fn reserve<'w>(&self, wire: &'w WireWorker, reserve: Reserve<'_>, now: Instant) -> Result<AwaitedReply<'w>, u8> {
        let Reserve { drop_id, quantity, key, buyer } = reserve;
        let buyer = self.buyer_of(buyer)?;
        let permit = self.acquire_permit(wire)?;
        self.charge(wire, &buyer, now)?;
        let quantity = Quantity::new(u16::from(quantity)).ok_or(reason::VALIDATION)?;
        let parts = &wire.parts;
        let exists = |drop_id: &DropId| parts.writer.published.version(*drop_id) > 0;
        let drop_id = DropId::new(drop_id).filter(exists).ok_or(reason::NOT_FOUND)?;
        wire.check_order(drop_id, quantity)?;
        self.check_challenge(wire, drop_id, &buyer, now)?;
        let risk = parts.admission.door.note_order(self.client(wire), &self.caller, &buyer, now);
        let digests = &parts.writer.digest_key;
        let facts = OrderFacts { risk, origin: self.origin_of(wire, &buyer, drop_id, now), ..OrderFacts::default() };
        let buyer_digest = digests.buyer(buyer.as_str());
        let command = Command::Order(OrderCommand::Place(PlaceOrder {
            drop_id,
            buyer: buyer_digest,
            key: digests.order_key(drop_id, &buyer_digest, key_digits(key).as_flattened()),
            quantity,
            contact_given: false,
            facts: facts.boxed(),
        }));
        let secret = random::order_secret(drop_id.shard());
        let private_data = Some(PrivateData::Order { secret, buyer, contact: None });
        let ticket = submit(wire, Submission { command, private_data, class: Class::Buyer })?;
        Ok(AwaitedReply { command: PendingCommand::Order(secret), ticket, submitted: now, _permit: permit })
    }

    fn join<'w>(&self, wire: &'w WireWorker, join: Join<'_>, now: Instant) -> Result<AwaitedReply<'w>, u8> {
        let buyer = self.buyer_of(join.buyer)?;
        let permit = self.acquire_permit(wire)?;
        self.charge(wire, &buyer, now)?;
        let writer = &wire.parts.writer;
        let exists = |drop_id: &DropId| writer.published.version(*drop_id) > 0;
        let drop_id = DropId::new(join.drop_id).filter(exists).ok_or(reason::NOT_FOUND)?;
        let digest = writer.digest_key.buyer(buyer.as_str());
        let origin = self.origin_of(wire, &buyer, drop_id, now);
        let command = Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id, buyer: digest, origin }));
        let private_data = Some(PrivateData::Ticket { buyer });
        let ticket = submit(wire, Submission { command, private_data, class: Class::Buyer })?;
        Ok(AwaitedReply { command: PendingCommand::Ticket(drop_id, digest), ticket, submitted: now, _permit: permit })
    }

    /// Returns the tier of a buyer and the mark of the address block, where the drop notes them.
    fn origin_of(&self, wire: &WireWorker, buyer: &BuyerText, drop_id: DropId, now: Instant) -> Option<BuyerOrigin> {
        let parts = &wire.parts;
        let (door, digests) = (&parts.admission.door, &parts.writer.digest_key);
        let notes_origins = parts.writer.published.drop_entry(drop_id).notes_origins();
        let origin = || door.origin_of(self.client(wire), &self.caller, buyer, (drop_id, digests), now);
        if notes_origins { origin() } else { None }
    }

    /// Returns the buyer whom a frame names, if it is the one of the client's token.
    fn buyer_of(&self, name: &[u8]) -> Result<BuyerText, u8> {
        let buyer = std::str::from_utf8(name).ok().and_then(BuyerText::new).ok_or(reason::VALIDATION)?;
        if self.caller.buyer().is_some_and(|proven| *proven != buyer) { Err(reason::FORBIDDEN) } else { Ok(buyer) }
    }

    /// Charges the rate limits for a command of the client that names a buyer.
    fn charge(&self, wire: &WireWorker, buyer: &BuyerText, now: Instant) -> Result<(), u8> {
        let Admission { door, buyers, .. } = &*wire.parts.admission;
        let client = self.client(wire);
        if client.is_exempt() {
            return Ok(());
        }
        // Clients of this protocol are programs: there are neither headers nor reads of drops.
        // A name that the address has no room for is refused below, and nothing is held against it.
        if buyers.is_some() || door.may_name(client, buyer, now) {
            door.note_write(client, buyer, &SeenWrite::default(), now);
        }
        let passed = door.write(client, &self.caller, now).map_err(|_told_by_no_frame| reason::RATE_LIMITED)?;
        if buyers.is_none() && door.named_buyer(client, buyer, now).is_err() {
            door.give_back(&passed, now);
            return Err(reason::RATE_LIMITED);
        }
        Ok(())
    }

    /// Refuses an order of a drop that demands a solved challenge of this buyer: a frame has no room for one.
    fn check_challenge(&self, wire: &WireWorker, drop_id: DropId, buyer: &BuyerText, now: Instant) -> Result<(), u8> {
        let Some(rule) = wire.parts.writer.published.drop_entry(drop_id).challenge() else { return Ok(()) };
        let door = &wire.parts.admission.door;
        let tier = door.tier_unless_exempt(self.client(wire), &self.caller, buyer, now);
        if tier.is_some_and(|tier| rule.is_demanded_of(tier)) { Err(reason::CHALLENGE_REQUIRED) } else { Ok(()) }
    }

    fn client(&self, wire: &WireWorker) -> Client {
        wire.parts.admission.client(self.peer, std::iter::empty)
    }

    /// Takes a permit for a command of the client, which is counted over all its connections.
    fn acquire_permit<'w>(&self, wire: &'w WireWorker) -> Result<Option<InFlightPermit<'w>>, u8> {
        wire.parts.admission.acquire_permit(&self.caller, self.peer, std::iter::empty()).map_err(|rejected| {
            wire.parts.admission.count(rejected);
            reason::RATE_LIMITED
        })
    }
}

/// Returns the key's hexadecimal digits, which are the same key over HTTP.
fn key_digits(key: [u8; 16]) -> [[u8; 16]; 2] {
    let number = u128::from_be_bytes(key);
    [number >> 64, number & u128::from(u64::MAX)].map(|half| hex::of_u64(u64::try_from(half).unwrap_or(0)))
}

fn submit(wire: &WireWorker, submission: Submission) -> Result<Ticket, u8> {
    wire.parts.writer.submit_from(submission, wire.parts.mailbox).map_err(|error| {
        let reason = match error {
            SubmitError::QueueFull { .. } => reason::OVERLOADED,
            SubmitError::Stopping => reason::DRAINING,
            SubmitError::ReadOnly => reason::READ_ONLY,
            // The queue is not the reason.
            SubmitError::NotLeader => return reason::NOT_LEADER,
        };
        wire.count_rejected();
        reason
    })
}

/// Returns the pending reply to a submitted command, or the negative reply to one that was not.
fn pending<'w>(wire: &'w WireWorker, kind: FrameType, submitted: Result<AwaitedReply<'w>, u8>) -> QueuedReply<'w> {
    submitted.map_or_else(|reason| ready(wire, kind, negative(kind, reason)), QueuedReply::Pending)
}

/// Returns the OK of a subscription, or its ERROR.
fn subscribed<'w>(wire: &WireWorker, kind: FrameType, latest: Result<u64, u8>) -> QueuedReply<'w> {
    ready(wire, kind, latest.map_or_else(|reason| negative(kind, reason), |seq| Reply::Ok { seq }))
}

/// Returns a reply that needs no writer.
fn ready<'w>(wire: &WireWorker, kind: FrameType, reply: Reply<'static>) -> QueuedReply<'w> {
    wire.count_frame(kind, reason_of(&reply));
    QueuedReply::Ready(reply)
}

impl QueuedReply<'_> {
    /// Returns the reply as soon as it is there.
    pub(super) fn poll(&mut self, wire: &WireWorker, context: &mut Context<'_>) -> Poll<Reply<'static>> {
        match self {
            QueuedReply::Ready(reply) => Poll::Ready(*reply),
            QueuedReply::Pending(pending) => pending.ticket.poll_answer(context).map(|answer| {
                let timeline = answer.timeline(pending.ticket.accepted());
                let reply = match &pending.command {
                    PendingCommand::Bid => Reply::Result(bid_result(answer)),
                    PendingCommand::Order(secret) => Reply::Reserved(reserved(wire, *secret, answer)),
                    PendingCommand::Ticket(drop_id, buyer) => Reply::Ticket(ticket(wire, *drop_id, buyer, answer)),
                };
                wire.count_frame(pending.kind(), reason_of(&reply));
                wire.trace(pending.kind(), reason_of(&reply), pending.submitted, timeline);
                reply
            }),
        }
    }

    /// Returns the instant of submission, while the writer has the command.
    pub(super) fn submitted(&self) -> Option<Instant> {
        match self {
            QueuedReply::Ready(_) => None,
            QueuedReply::Pending(pending) => Some(pending.submitted),
        }
    }

    /// Returns the reply for a command that the writer has not decided in time.
    pub(super) fn timed_out(&self, wire: &WireWorker) -> Reply<'static> {
        let pending = match self {
            QueuedReply::Ready(reply) => return *reply,
            QueuedReply::Pending(pending) => pending,
        };
        let kind = pending.kind();
        wire.count_reply_timeout();
        wire.count_frame(kind, reason::OUTCOME_UNKNOWN);
        let timeline = WriteTimeline { accepted: pending.ticket.accepted(), stages: None };
        wire.trace(kind, reason::OUTCOME_UNKNOWN, pending.submitted, timeline);
        negative(kind, reason::OUTCOME_UNKNOWN)
    }
}

impl AwaitedReply<'_> {
    fn kind(&self) -> FrameType {
        match self.command {
            PendingCommand::Bid => FrameType::Bid,
            PendingCommand::Order(_) => FrameType::Reserve,
            PendingCommand::Ticket(..) => FrameType::Join,
        }
    }
}

#[cfg(test)]
mod tests;
