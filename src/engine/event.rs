//! What happened. Past tense; complete: memory, tables and audit are made from events and nothing else.

use super::endpoints::EndpointEvent;
use super::{AuctionSpec, CommandKey, DropPatch, DropSpec};
use crate::types::{
    Amount, AuctionEnding, AuctionId, Currency, Digest, Disposition, DropId, NotKeptReason, OrderState, Provider,
    ProviderEventKind, Quantity, ReceivedPayment, Seq, UnitPrice, UnixMillis,
};

mod about;

/// One thing that happened, with its number and its instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its number.
    pub seq: Seq,
    /// When: the instant of the command, or the instant at which it was due.
    pub at: UnixMillis,
    /// The previous event of the same subject (its order, else its drop); 0 if there is none.
    pub prev_seq: Seq,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A drop was created.
    DropCreated {
        /// Its number.
        drop_id: DropId,
        /// What it sells.
        spec: Box<DropSpec>,
        /// The key of its creation.
        key: CommandKey,
    },
    /// An operator changed a drop.
    DropPatched {
        /// Which drop.
        drop_id: DropId,
        /// The changes.
        patch: Box<DropPatch>,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// A drop's start came.
    DropStarted {
        /// Which drop.
        drop_id: DropId,
    },
    /// A drop's end came.
    DropEnded {
        /// Which drop.
        drop_id: DropId,
    },
    /// An operator stopped new orders.
    DropPaused {
        /// Which drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// An operator let orders in again.
    DropResumed {
        /// Which drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// An operator ended the drop; its end is this event's instant.
    DropClosed {
        /// Which drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// Units came, or free units went.
    StockAdjusted {
        /// Which drop.
        drop_id: DropId,
        /// By how many.
        delta: i64,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// The auditor's recount does not agree: the drop is paused.
    MismatchFound {
        /// Which drop.
        drop_id: DropId,
    },
    /// The auditor's recount agrees again; the drop stays paused until an operator resumes it.
    MismatchCleared {
        /// Which drop.
        drop_id: DropId,
    },
    /// Units are held for a buyer. The seq of this event is the order's number.
    OrderReserved {
        /// Of which drop.
        drop_id: DropId,
        /// For whom.
        buyer: Digest,
        /// The digest of (drop, buyer, idempotency key).
        key: Digest,
        /// How many.
        quantity: Quantity,
        /// At which price.
        unit_price: UnitPrice,
        /// Until when (exclusively).
        expires_at: UnixMillis,
    },
    /// A contact was given; the order awaits its payment.
    OrderCheckedOut {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Until when (exclusively).
        expires_at: UnixMillis,
    },
    /// A contact was given again; nothing else moved.
    ContactCorrected {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
    },
    /// The buyer gave the units back.
    OrderCancelled {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units came back.
        quantity: Quantity,
    },
    /// An operator took a live order back.
    OrderCancelledByOperator {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units came back.
        quantity: Quantity,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// The time ran out and the units went back.
    OrderExpired {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units came back.
        quantity: Quantity,
    },
    /// Money came in: the units are sold.
    OrderPaid {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How many units are sold.
        quantity: Quantity,
        /// What came in.
        payment: ReceivedPayment,
        /// The order had expired: its units are taken again.
        retaken: bool,
        /// The operator's reason; empty where a provider told of it.
        reason: Box<str>,
    },
    /// Money came in that is owed back at once.
    PaymentNotKept {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// What came in.
        payment: ReceivedPayment,
        /// Why it is not kept.
        why: NotKeptReason,
        /// The order's state after it.
        state: OrderState,
    },
    /// A buyer tried to pay, and could not.
    PaymentFailed {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// What did not come in.
        payment: ReceivedPayment,
    },
    /// Money went back, and units if the operator said so.
    OrderRefunded {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How much went back.
        amount: Amount,
        /// How many units went back on sale.
        restock_quantity: u16,
        /// The order's state after it.
        state: OrderState,
        /// The refund's idempotency key.
        key: CommandKey,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// Money is to go back through its provider; units go back at once if the operator said so.
    RefundRequested {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// How much is to go back.
        amount: Amount,
        /// How many units went back on sale.
        restock_quantity: u16,
        /// The order's state after it.
        state: OrderState,
        /// The refund's idempotency key.
        key: CommandKey,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// Money that was owed has gone back.
    RefundSettled {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Of which payment: who took it.
        provider: Provider,
        /// Of which payment: its name there.
        payment: Box<str>,
        /// How much went back.
        amount: Amount,
        /// Its currency, where it is not the drop's.
        foreign: Option<Currency>,
        /// The order's state after it.
        state: OrderState,
        /// The operator's reference; empty where a provider told of it.
        reference: Box<str>,
        /// The operator's reason; empty where a provider told of it.
        reason: Box<str>,
    },
    /// A provider gave money back that nobody had asked it to.
    RefundReported {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Of which payment: who took it.
        provider: Provider,
        /// Of which payment: its name there.
        payment: Box<str>,
        /// How much went back.
        amount: Amount,
        /// The order's state after it.
        state: OrderState,
    },
    /// A buyer's bank takes a payment back.
    ChargebackCreated {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Which payment, and how much of it.
        payment: ReceivedPayment,
    },
    /// An auction was created, with its hidden drop.
    AuctionCreated {
        /// Its number.
        auction_id: AuctionId,
        /// The hidden drop.
        drop_id: DropId,
        /// What it sells.
        spec: Box<AuctionSpec>,
        /// The key of its creation.
        key: CommandKey,
    },
    /// An auction's start came.
    AuctionStarted {
        /// Which auction.
        auction_id: AuctionId,
        /// Its hidden drop.
        drop_id: DropId,
    },
    /// A bid was accepted.
    BidPlaced {
        /// In which auction.
        auction_id: AuctionId,
        /// Its hidden drop.
        drop_id: DropId,
        /// Who.
        buyer: Digest,
        /// What he asked.
        amount: UnitPrice,
        /// What he would pay at most; a secret.
        maximum: UnitPrice,
        /// Whether he leads after it.
        leads: bool,
        /// The price after it.
        current: UnitPrice,
        /// The end after it (exclusively).
        ends_at: UnixMillis,
        /// Whether it moved the end.
        extended: bool,
        /// The bid's idempotency key, if it has one.
        key: Option<CommandKey>,
    },
    /// An auction's end came, or somebody took what it sells at once.
    AuctionEnded {
        /// Which auction.
        auction_id: AuctionId,
        /// Its hidden drop.
        drop_id: DropId,
        /// How it ended.
        ending: AuctionEnding,
    },
    /// An operator called an auction off.
    AuctionCancelled {
        /// Which auction.
        auction_id: AuctionId,
        /// Its hidden drop.
        drop_id: DropId,
        /// The operator's reason.
        reason: Box<str>,
    },
    /// A buyer got an order of what an auction sells: the winner, or the next. The seq of this event is the order's
    /// number; it awaits its payment.
    AuctionAwarded {
        /// Which auction.
        auction_id: AuctionId,
        /// Its hidden drop.
        drop_id: DropId,
        /// Who.
        buyer: Digest,
        /// With which of his bids.
        bid: Seq,
        /// For how much.
        unit_price: UnitPrice,
        /// Until when it must be paid (exclusively).
        expires_at: UnixMillis,
    },
    /// A provider's event came in. The first event of its command: what it leads to follows.
    ProviderEventRecorded {
        /// Which order it names, if one of ours.
        order: Option<Seq>,
        /// Of which drop that order is.
        drop_id: Option<DropId>,
        /// Who tells.
        provider: Provider,
        /// Its place in the inbox.
        id: Digest,
        /// What it is about.
        kind: ProviderEventKind,
        /// What became of it.
        told: Disposition,
    },
    /// A provider is ready to take an order's money.
    SessionRecorded {
        /// Which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
        /// Who.
        provider: Provider,
    },
    /// Something happened to whom the outbox tells.
    Endpoint(Box<EndpointEvent>),
    /// An operator read a contact.
    ContactRead {
        /// Of which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
    },
    /// A contact was erased.
    ContactErased {
        /// Of which order.
        order: Seq,
        /// Of which drop.
        drop_id: DropId,
    },
    /// An operator exported contacts.
    ContactsExported {
        /// Of which drop; of all if none.
        drop_id: Option<DropId>,
    },
    /// Events that had been answered are not in the file: a power loss took them, or an operator accepted their loss.
    EventsLost {
        /// How many.
        lost: u64,
        /// The last one that was answered; its number is given again.
        acknowledged: Seq,
    },
}

/// How an event moves the counters of its drop. Memory and tables both move by these.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StockDelta {
    /// Units that came (went, if negative).
    pub total: i64,
    /// Units that are held more (less, if negative).
    pub held: i64,
    /// Units that are sold more (less, if negative).
    pub sold: i64,
}
