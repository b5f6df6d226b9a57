//! The state machine: what a command means. Pure: no clock, no randomness, no I/O, no hash order. The same commands
//! at the same instants give the same events, byte for byte, so it can be simulated, replayed and replicated.
//!
//! Three verbs. [`State::advance`] does what is due up to an instant. [`State::decide`] reads the state and says what a
//! command leads to: an outcome and events. [`State::evolve`] changes the state by an event and cannot refuse.
//! The writer's thread owns the one `State`; `store::load` makes it from the tables.
//!
//! Invariant: after every event `total >= held + sold` for every drop, and `held` is the sum of its live orders.

mod admitted;
pub mod auctions;
mod bidding;
pub mod blind;
pub mod command;
mod digest_map;
pub mod draw;
pub mod draws;
pub mod drops;
mod ended;
pub mod endpoints;
mod equality;
pub mod event;
pub mod idempotency;
mod identities;
pub mod invariants;
mod line;
pub mod orders;
pub mod outcome;
pub mod payments;
mod ranks;
mod restore;
pub mod rooms;
pub mod spec;
pub mod standby;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

pub use admitted::{Admitted, KnownRefunds};
pub use auctions::{AuctionEntry, AuctionSpec, Best, Leader};
pub use blind::BlindWindow;
pub use command::{
    AdjustStock, AuctionCommand, BuyNow, BuyerCommand, COMMAND_NAMES, CancelAuction, CancelByOperator, ChangeDrop,
    Command, CommandKey, CreateAuction, CreateDrop, CreateEndpoint, DeleteEndpoint, DropCommand, EndpointCommand,
    FileCommand, FinishDraw, KnownRefund, MarkDeliveries, OrderCommand, PatchDrop, PatchEndpoint, PaymentCommand,
    PlaceBid, PlaceOrder, PostBeacon, RecordPayment, RecordProviderEvent, RefundOrder, RemoveTier, ResendDeliveries,
    RoomCommand, SetTier, SettleRefund, TakeTicket,
};
pub use draws::{Draw, DrawPhase, FinishedDraw, FixedDraw, PreparedDraw};
pub use drops::DropEntry;
pub(crate) use ended::EndedDrop;
pub use endpoints::{Endpoint, EndpointPatch};
pub use event::{
    AuctionAwarded, AuctionCreated, AuctionEvent, BeaconPosted, BidPlaced, BuyerEvent, CancelledByOperator,
    DeferredProviderEvent, DeliveriesMarked, DeliveriesResent, DrawFinished, DropCreated, DropEvent, DropPatched,
    EarlyEvent, EndpointCreated, EndpointEvent, EndpointPatched, Event, EventBody, EventHeader, EventSubject,
    FileEvent, OrderEvent, OrderPaid, OrderReserved, PaymentEvent, PaymentNotKept, PaymentReplaced,
    ProviderEventRecorded, Refund, RefundFailed, RefundReported, RefundSettled, ReservedWithFacts, RoomEvent,
    StandbyGranted, StandbyJoined, StandbyLeaving, StockAdjusted, StockDelta, TicketTaken, TierSet,
};
pub use idempotency::{KEY_RETENTION_MS, RememberedCommand, RememberedOrder, Retained};
pub use line::{PlaceEnding, StandbyLine, Waiting};
pub use orders::Order;
pub use outcome::{
    BeaconObstacle, BidReceipt, Effect, Invalid, OUTCOME_NAMES, Outcome, RecordedReceipt, Refusal, Reservation,
    SoldOut, StandbyReceipt, Subject, TicketReceipt,
};
pub use payments::{PAYMENTS_PER_ORDER_MAX, Payment};
pub use restore::TicketSeqs;
pub use rooms::{ADMITTED_MAX, Room, RoomClock, RoomInstant, RoomServed};
pub use spec::{DropPatch, DropSpec};

use crate::failpoints::{self, Bug};
pub use crate::types::RoomSpec;
use crate::types::{AuctionId, Digest, DropId, IdentityDigests, OperatorTier, OrderState, Seq, Shard, UnixMillis};

/// Work that is due at an instant. The order of the variants is the order in which they are done at the same instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Due {
    /// A drop's waiting room opens.
    RoomOpening(DropId),
    DropStart(DropId),
    AuctionStart(AuctionId),
    /// A draw waits for its beacon no longer.
    BeaconEnd(DropId),
    /// A drop's blind window ends.
    WindowEnd(DropId),
    /// Free units of a drop are offered to the first in its line, each one before the next comes back.
    StandbyOffer(DropId),
    /// A drop's earliest reservation lapses.
    OrderExpiry(DropId),
    /// The unit of an auction is offered to the winner, or to the next buyer.
    AuctionOffer(AuctionId),
    /// The next buyers in a drop's waiting room are admitted.
    RoomAdmission(DropId),
    DropEnd(DropId),
    AuctionEnd(AuctionId),
}

/// Everything that decisions need: drops, live orders, buyers' counts, remembered keys, what is due.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) seq: Seq,
    /// The last instant: nothing is decided before it.
    pub(crate) at: UnixMillis,
    /// The end of the last stop in which an auction's unit is offered; zero once all that was due by then is done.
    pub(crate) stopped_until: UnixMillis,
    /// The shard of every id that it makes.
    pub(crate) shard: Shard,
    /// Every drop, by its place in the shard: ids are given in order.
    pub(crate) drops: Vec<DropEntry>,
    /// Parts of drops that have ended, until their memory is free. Nothing is decided by them.
    ended_drops: Vec<EndedDrop>,
    /// Every auction, by its place in the shard.
    pub(crate) auctions: Vec<AuctionEntry>,
    /// While a state is loaded: whom auctions have awarded their unit.
    pub(crate) awards: Vec<(DropId, Digest)>,
    /// Live orders, and those that a command of this batch named or ended. Boxed: orders come in ascending order, which
    /// leaves the map's nodes half empty.
    pub(crate) orders: BTreeMap<Seq, Box<Order>>,
    /// Orders in memory that are not live: they leave when their batch is durable.
    pub(crate) settled: BTreeSet<Seq>,
    /// Identities of the orders in memory whose drops had caps.
    pub(crate) identities: BTreeMap<Seq, IdentityDigests>,
    /// Work that is due, by its instant.
    pub(crate) due: BTreeSet<(UnixMillis, Due)>,
    /// The keys of orders.
    pub(crate) order_keys: Retained<RememberedOrder>,
    /// The keys of creations and refunds.
    pub(crate) command_keys: Retained<RememberedCommand>,
    /// The endpoints of the outbox.
    pub(crate) endpoints: BTreeMap<Seq, Endpoint>,
    /// Tiers that operators have set, by the digest of the buyer. Nothing is decided by them: the door asks for them.
    pub(crate) operator_tiers: BTreeMap<Digest, OperatorTier>,
    /// Providers' events of this batch, and those in the inbox that a command of it named.
    pub(crate) heard: BTreeSet<Digest>,
    /// Refunds and chargebacks before their payment: those of this batch, and those that a command of it needs.
    pub(crate) early: BTreeMap<Seq, EarlyEvent>,
    /// Refunds that operators settled: those of this batch, and those that a command of it names.
    pub(crate) known_refunds: KnownRefunds,
    /// Orders in each state, in the order of [`OrderState::ALL`]. Nothing is decided by it; after a
    /// capture's snapshot only live orders are counted.
    pub(crate) orders_by_state: [u64; OrderState::ALL.len()],
}

impl State {
    /// Returns the state of shard 0 before the first event.
    ///
    /// `idempotency_keys_max` bounds the remembered keys of orders, and by itself those of other commands.
    #[must_use]
    pub fn new(idempotency_keys_max: usize) -> State {
        State {
            seq: Seq::ZERO,
            at: UnixMillis::ZERO,
            stopped_until: UnixMillis::ZERO,
            shard: Shard::SINGLE,
            drops: Vec::new(),
            ended_drops: Vec::new(),
            auctions: Vec::new(),
            awards: Vec::new(),
            orders: BTreeMap::new(),
            settled: BTreeSet::new(),
            identities: BTreeMap::new(),
            due: BTreeSet::new(),
            order_keys: Retained::new(idempotency_keys_max),
            command_keys: Retained::new(idempotency_keys_max),
            endpoints: BTreeMap::new(),
            operator_tiers: BTreeMap::new(),
            heard: BTreeSet::new(),
            early: BTreeMap::new(),
            known_refunds: KnownRefunds::new(),
            orders_by_state: [0; OrderState::ALL.len()],
        }
    }

    /// The shard of every id that the state has and makes.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The last event.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The last instant.
    #[must_use]
    pub fn at(&self) -> UnixMillis {
        self.at
    }

    /// A drop, if there is one of this number.
    #[must_use]
    pub fn drop_entry(&self, id: DropId) -> Option<&DropEntry> {
        let shard = if failpoints::enabled(Bug::ShardIgnored) { id.shard() } else { self.shard };
        self.drops.get(id.place_in(shard))
    }

    /// All drops, in the order of their ids.
    pub fn drops(&self) -> impl Iterator<Item = &DropEntry> {
        self.drops.iter()
    }

    /// Looks up what orders will be looked up for, so that several lookups wait for memory at the same time and the
    /// decisions that follow do not: with a million keys each would wait on its own.
    pub fn look_ahead<'a>(&self, commands: impl Iterator<Item = &'a Command>) {
        for command in commands {
            if let Some(PlaceOrder { drop_id, buyer, key, .. }) = command.placed() {
                let used = self.drop_entry(*drop_id).map(|entry| entry.used_by(buyer));
                std::hint::black_box((used, self.order_keys.get(key).is_some()));
            }
        }
    }

    /// Returns true if a command is an order whose key is remembered, or with which its buyer stands in a line: its decision makes
    /// no other order.
    #[must_use]
    pub fn knows_order_of(&self, command: &Command) -> bool {
        command.placed().is_some_and(|order| {
            let line = self.drop_entry(order.drop_id).and_then(DropEntry::standby);
            let waiting = line.and_then(|line| line.of_buyer(&order.buyer));
            self.order_keys.get(&order.key).is_some() || waiting.is_some_and(|(_, waiting)| waiting.key == order.key)
        })
    }

    /// Returns whether a command is the creation of a drop or an auction whose key is remembered, so that it would be a repeat.
    #[must_use]
    pub fn knows_creation(&self, command: &Command) -> bool {
        let is_known = |key: &CommandKey| self.command_keys.get(&key.digest).is_some();
        matches!(command, Command::Drop(DropCommand::Create(create)) if is_known(&create.key))
            || matches!(command, Command::Auction(AuctionCommand::Create(create)) if is_known(&create.key))
    }

    /// An order, if it is in memory.
    #[must_use]
    pub fn order(&self, seq: Seq) -> Option<&Order> {
        self.orders.get(&seq).map(|order| &**order)
    }

    /// The number of orders in memory: the live ones, and those of the running batch.
    #[must_use]
    pub fn orders_in_memory(&self) -> usize {
        self.orders.len()
    }

    /// The number of orders in each state, in the order of [`OrderState::ALL`].
    #[must_use]
    pub fn orders_by_state(&self) -> [u64; OrderState::ALL.len()] {
        self.orders_by_state
    }

    /// The tiers that operators have set, by the digest of the buyer.
    pub fn operator_tiers(&self) -> impl Iterator<Item = (Digest, OperatorTier)> {
        self.operator_tiers.iter().map(|(buyer, tier)| (*buyer, *tier))
    }

    /// The tier that an operator has set for a buyer, whether it is in force or not.
    #[must_use]
    pub fn operator_tier(&self, buyer: &Digest) -> Option<OperatorTier> {
        self.operator_tiers.get(buyer).copied()
    }

    /// The most keys of orders that are remembered.
    #[must_use]
    pub fn idempotency_keys_max(&self) -> usize {
        self.order_keys.max()
    }

    /// The number of keys forgotten before their time since the start, because there were too many.
    #[must_use]
    pub fn keys_evicted(&self) -> u64 {
        self.order_keys.evicted().saturating_add(self.command_keys.evicted())
    }

    /// The instant at which the next work is due.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Does what is due up to `at`, in the order (instant, kind, id), but at most `events_max` events.
    ///
    /// Returns whether everything due is done: only then has the state come to `at`, and only then may it decide.
    pub fn advance(&mut self, at: UnixMillis, events: &mut Vec<Event>, events_max: usize) -> bool {
        let at = at.max(self.at);
        let mut left = events_max;
        while let Some(&(due_at, due)) = self.due.first() {
            if due_at > at || (due_at == at && failpoints::enabled(Bug::ExpiryInclusive)) {
                break;
            }
            if due_at < at && self.put_off_decision(due_at, due, at) {
                continue;
            }
            let Some(remaining) = left.checked_sub(1) else { return false };
            left = remaining;
            let event = self.due_event(due_at, due);
            self.evolve(&event);
            events.push(event);
        }
        self.come_to(at);
        true
    }

    /// The clock of the state moves on, and keys are forgotten whose time has passed.
    fn come_to(&mut self, at: UnixMillis) {
        // A key outlives its release by a day, so none is due twice at one instant: most of a batch ends here.
        if at == self.at {
            return;
        }
        self.at = at;
        if self.stopped_until <= at {
            self.stopped_until = UnixMillis::ZERO;
        }
        self.order_keys.forget_until(at);
        self.command_keys.forget_until(at);
        self.free_ended_drops();
    }

    fn due_event(&self, due_at: UnixMillis, due: Due) -> Event {
        // An event is never earlier than the one before it, whatever a file says of what is due.
        let at = due_at.max(self.at);
        match due {
            Due::RoomOpening(drop_id) => self.drop_event(at, drop_id, RoomEvent::Opened),
            Due::DropStart(drop_id) => self.drop_event(at, drop_id, DropEvent::Started),
            Due::BeaconEnd(drop_id) => self.drop_event(at, drop_id, RoomEvent::BeaconMissed),
            Due::AuctionStart(id) | Due::AuctionOffer(id) | Due::AuctionEnd(id) => {
                let found = event::auction::due(self, at, due);
                let (header, auction_id, event) =
                    found.unwrap_or_else(|| panic!("something is due of auction {id}, but nothing can be done"));
                let EventHeader { seq, at, prev_seq, subject } = header;
                Event { seq, at, prev_seq, subject, body: EventBody::Auction { auction_id, event } }
            }
            Due::RoomAdmission(drop_id) => {
                let served = self.drop_entry(drop_id).and_then(|entry| entry.admit(at));
                let served = served.unwrap_or_else(|| panic!("drop {drop_id} admits buyers without a room"));
                self.drop_event(at, drop_id, RoomEvent::Served(served))
            }
            Due::WindowEnd(drop_id) => {
                let recorded = self.drop_entry(drop_id).and_then(|entry| Some(entry.blind.as_ref()?.len()));
                let recorded = recorded.unwrap_or_else(|| panic!("drop {drop_id} has no window that could end"));
                self.drop_event(at, drop_id, DropEvent::WindowEnded { recorded })
            }
            Due::StandbyOffer(drop_id) => event::standby::due(self, at, drop_id),
            Due::DropEnd(drop_id) => self.drop_event(at, drop_id, DropEvent::Ended),
            Due::OrderExpiry(drop_id) => {
                let first = self.drop_entry(drop_id).and_then(DropEntry::next_expiry);
                let order = first.and_then(|(_, seq)| self.order(seq));
                let order = order.unwrap_or_else(|| panic!("drop {drop_id} has an expiry due but no live order"));
                let body = OrderEvent::Expired { quantity: order.quantity }.into();
                let (prev_seq, subject) = (order.last_seq, order.event_subject());
                Event { seq: self.seq.next(), at, prev_seq, subject, body }
            }
        }
    }

    fn drop_event(&self, at: UnixMillis, drop_id: DropId, event: impl Into<EventBody>) -> Event {
        let prev_seq = self.drop_entry(drop_id).map_or(Seq::ZERO, |entry| entry.last_seq);
        Event { seq: self.seq.next(), at, prev_seq, subject: EventSubject::Drop(drop_id), body: event.into() }
    }

    /// Decides a command at the instant to which the state has advanced. Appends the events to `events` and changes
    /// nothing.
    pub fn decide(&self, command: &Command, events: &mut Vec<Event>) -> Outcome {
        command::decide(&mut Decision::new(self, events), command)
    }

    /// Changes the state by an event.
    ///
    /// # Panics
    /// If the event does not follow this state: a bug, or a file that is not what it was. The writer rolls its batch
    /// back and ends the process (`src/README.md`, "When things break").
    pub fn evolve(&mut self, event: &Event) {
        assert_eq!(event.seq, self.seq.next(), "events come in order, without a gap");
        assert!(event.at >= self.at, "time never goes back");
        self.seq = event.seq;
        self.come_to(event.at);
        let header = event.header();
        let creates_drop = matches!(
            &event.body,
            EventBody::Drop(DropEvent::Created(_)) | EventBody::Auction { event: AuctionEvent::Created(_), .. }
        );
        let has_followers = !creates_drop && drops::count(self, header, event.stock_delta());
        match &event.body {
            EventBody::Drop(body) => event::drop::evolve(self, header, body),
            EventBody::Order(body) => event::order::evolve(self, header, body),
            EventBody::Payment(body) => event::payment::evolve(self, header, body),
            EventBody::Auction { auction_id, event: body } => event::auction::evolve(self, header, *auction_id, body),
            EventBody::Endpoint { endpoint, event: body } => event::endpoint::evolve(self, header, *endpoint, body),
            EventBody::File(FileEvent::ContactsExported | FileEvent::EventsLost { .. }) => {}
            EventBody::File(FileEvent::StopEnded { until }) => {
                self.stopped_until = *until;
                self.schedule_rooms();
            }
            EventBody::Buyer(body) => event::buyer::evolve(self, body),
            EventBody::Room(body) => event::room::evolve(self, header, body),
        }
        if let Some(drop_id) = header.drop_id().filter(|_| has_followers || event.joins_line()) {
            self.follow_up(drop_id, event.at);
        }
    }

    /// Remembers the idempotency key of the command that led to an event, and the number of what it changed.
    fn remember(&mut self, key: &CommandKey, event: EventHeader, subject: u64) {
        let remembered = RememberedCommand { seq: event.seq, params: key.params, subject };
        self.command_keys.remember(key.digest, remembered);
        self.command_keys.release(key.digest, event.at, event.seq);
    }

    /// Advances to `at`, decides, and evolves: what the writer does in steps, for tests and replays.
    pub fn apply(&mut self, at: UnixMillis, command: &Command, events: &mut Vec<Event>) -> Outcome {
        let done = self.advance(at, events, usize::MAX);
        assert!(done, "without a bound everything due is done");
        let first = events.len();
        let outcome = self.decide(command, events);
        for event in &events[first..] {
            self.evolve(event);
        }
        outcome
    }
}

/// A decision in the making: what it reads, and the events that it leads to.
pub(crate) struct Decision<'a> {
    /// The state as it is; it does not change while deciding.
    pub(crate) state: &'a State,
    events: &'a mut Vec<Event>,
    last_seq: Seq,
}

impl<'a> Decision<'a> {
    fn new(state: &'a State, events: &'a mut Vec<Event>) -> Decision<'a> {
        Decision { state, events, last_seq: state.seq }
    }

    /// Adds an event whose subject's previous event is `prev_seq`, and returns its number.
    pub(crate) fn emit(&mut self, prev_seq: Seq, subject: EventSubject, body: impl Into<EventBody>) -> Seq {
        self.last_seq = self.next_seq();
        self.events.push(Event { seq: self.last_seq, at: self.state.at, prev_seq, subject, body: body.into() });
        self.last_seq
    }

    /// Adds the event of a new order, and returns the order's number.
    pub(crate) fn emit_new_order(&mut self, drop_id: DropId, event: OrderEvent) -> Seq {
        let order = self.next_seq();
        self.emit(Seq::ZERO, EventSubject::Order { order, drop_id }, event)
    }

    /// The number of the next event.
    pub(crate) fn next_seq(&self) -> Seq {
        self.last_seq.next()
    }

    /// The instant of the decision.
    pub(crate) fn at(&self) -> UnixMillis {
        self.state.at
    }

    /// The answer "no".
    #[inline]
    pub(crate) fn refuse(&self, refusal: Refusal) -> Outcome {
        Outcome::Refused { as_of_seq: self.state.seq, refusal }
    }

    /// The outcome of what a command's handler decided.
    #[inline]
    pub(crate) fn outcome(&self, decided: Result<Outcome, Refusal>) -> Outcome {
        decided.unwrap_or_else(|refusal| self.refuse(refusal))
    }

    /// The answer to something that had happened before.
    #[inline]
    pub(crate) fn repeat(&self, subject: Subject) -> Outcome {
        Outcome::Repeated { as_of_seq: self.state.seq, subject }
    }
}
