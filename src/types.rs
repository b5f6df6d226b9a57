//! Domain types: ids, quantities, money, instants.
//!
//! A leaf: it uses nothing else of this crate. Values are checked at construction, so that no other room checks them
//! again. No type here reads a clock.

pub mod auction;
pub mod challenge;
pub mod challenge_demand;
pub mod contact;
pub mod digest_key;
pub mod draw;
pub mod hex;
pub mod identity;
pub mod instant;
pub mod money;
pub mod normal_form;
pub mod operator_tiers;
pub mod order_facts;
pub mod order_id;
pub mod order_range;
pub mod packing;
pub mod payment;
pub mod policy_state;
pub mod published;
pub mod random;
pub mod room;
pub mod room_patch;
pub mod shard;
pub mod signing_secret;
pub mod strict_json;
pub mod text;
pub mod tier;
pub mod version;
pub mod webhooks;

use std::fmt;

pub use auction::{AuctionEnding, AuctionId, AuctionState, Increment};
pub use challenge::{ChallengeKind, ChallengeRule};
pub use challenge_demand::{ChallengeDemand, ChallengeReason, IssuedChallenge};
pub use contact::Contact;
pub use digest_key::DigestKey;
pub use draw::{
    Beacon, Commitment, DrawResult, MerkleRoot, Seed, TicketDigest, TicketNumber, TicketPosition, TreeNode,
};
pub use identity::{IdentityDigests, IdentityKind, IdentityLimits};
pub use normal_form::PhoneRegion;
pub use operator_tiers::{OperatorTier, OperatorTiers};
pub use order_facts::{AddressBlock, BlockMark, BuyerOrigin, OrderFacts, RiskNote, Signal, SignalSet};
pub use order_id::{OrderId, OrderSecret};
pub use order_range::OrderRange;
pub use packing::Packing;
pub use payment::{
    AutomaticRefund, Disposition, IgnoredReason, NotKeptReason, Provider, ProviderEventKind, ReceivedPayment,
};
pub use policy_state::PolicyState;
pub use published::{Published, RoomClaims, SnapshotGate};
pub use room::{BeaconRule, DrawState, RoomDraw, RoomSpec, RoomState};
pub use room_patch::{RoomMember, RoomPatch};
pub use shard::Shard;
pub use signing_secret::SigningSecret;
pub use text::BuyerText;
pub use tier::{Tier, TierSource};
pub use webhooks::{AttemptError, DeliveryMark, DeliveryState, EndpointState, EndpointUrl, EventFilter};

/// Largest integer that all JSON readers represent exactly (2^53 - 1). No number in a response exceeds it.
pub const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Sequence number of an event: gapless, from 1. 0 stands for "before the first event".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Seq(u64);

impl Seq {
    /// Stands for "before the first event".
    pub const ZERO: Seq = Seq(0);
    /// 2^48 - 1, because an order's public id has 48 bits for its seq: nine years at a million events per second.
    pub const MAX: Seq = Seq((1 << 48) - 1);

    /// Returns the seq with this number. `None` if it is out of range.
    #[must_use]
    pub const fn new(value: u64) -> Option<Seq> {
        if value <= Self::MAX.0 { Some(Seq(value)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the upper 16 and the lower 32 bits.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "that is what it is for; there are no more than 48 bits")]
    pub const fn to_words(self) -> (u16, u32) {
        ((self.0 >> 32) as u16, self.0 as u32)
    }

    /// Returns the seq with these upper and lower bits.
    #[must_use]
    pub const fn from_words((upper, lower): (u16, u32)) -> Seq {
        Seq(((upper as u64) << 32) | lower as u64)
    }

    /// Returns the following seq.
    ///
    /// # Panics
    /// After 2^48 events: the batch is rolled back and the process ends before a number is used twice.
    #[must_use]
    pub fn next(self) -> Seq {
        assert!(self.0 < Self::MAX.0, "the sequence is used up");
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Id of a drop: its shard, and its number there, from 1 in the order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DropId(u32);

impl DropId {
    /// Returns the drop id with this value, shard and number. `None` if it is out of range (1 to 4,294,967,295).
    #[must_use]
    pub const fn new(value: u32) -> Option<DropId> {
        if value == 0 { None } else { Some(DropId(value)) }
    }

    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for DropId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Units of one order: 1 to 65,535.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Quantity(u16);

impl Quantity {
    pub const ONE: Quantity = Quantity(1);
    /// Maximum quantity of one order.
    pub const MAX: Quantity = Quantity(u16::MAX);

    /// Returns the quantity with this number. `None` if it is out of range.
    #[must_use]
    pub const fn new(value: u16) -> Option<Quantity> {
        if value == 0 { None } else { Some(Quantity(value)) }
    }

    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the units in the type of a drop's counters.
    #[must_use]
    pub const fn units(self) -> u32 {
        self.0 as u32
    }
}

/// An amount of money in the minor unit of its currency (cents, yen): 0 to 2^53 - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Amount(u64);

impl Amount {
    pub const ZERO: Amount = Amount(0);

    /// Returns the amount with this number of minor units. `None` if it is out of range.
    #[must_use]
    pub const fn new(minor: u64) -> Option<Amount> {
        if minor <= JSON_INTEGER_MAX { Some(Amount(minor)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the sum. `None` if it is out of range.
    #[must_use]
    pub fn plus(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).and_then(Amount::new)
    }

    /// Returns the difference. `None` if `other` is larger.
    #[must_use]
    pub fn minus(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }
}

/// Price of one unit in minor units: 0 to 100,000,000,000, so that the amount of the largest order stays exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UnitPrice(u64);

impl UnitPrice {
    /// Highest price; times the largest quantity it is below 2^53.
    pub const MAX: u64 = 100_000_000_000;

    /// Returns the price with this number of minor units. `None` if it is out of range.
    #[must_use]
    pub const fn new(minor: u64) -> Option<UnitPrice> {
        if minor <= Self::MAX { Some(UnitPrice(minor)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the price of several units. It stays in range, because 10^11 times 65,535 is below 2^53.
    #[must_use]
    pub const fn times(self, quantity: Quantity) -> Amount {
        Amount(self.0 * quantity.get() as u64)
    }
}

/// An ISO 4217 currency code. Its existence is checked at the creation of a drop (`api::json`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Returns the currency of a code of three upper-case ASCII letters. `None` for other texts.
    #[must_use]
    pub fn new(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An instant in milliseconds since 1970 (UTC), never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UnixMillis(i64);

impl UnixMillis {
    /// 1970-01-01T00:00:00Z.
    pub const ZERO: UnixMillis = UnixMillis(0);
    /// 9999-12-30T22:00:00Z: the last instant that RFC 3339 writers in every time zone support.
    pub const MAX: UnixMillis = UnixMillis(253_402_207_200_000);

    /// Returns the instant of these milliseconds. `None` if it is out of range.
    #[must_use]
    pub const fn new(ms: i64) -> Option<UnixMillis> {
        if ms >= 0 && ms <= Self::MAX.0 { Some(UnixMillis(ms)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Returns the instant `seconds` later, at most [`UnixMillis::MAX`].
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> UnixMillis {
        self.plus_millis(i64::from(seconds).saturating_mul(1000))
    }

    /// Returns the instant `ms` later (earlier if negative), kept within the range.
    #[must_use]
    pub fn plus_millis(self, ms: i64) -> UnixMillis {
        UnixMillis(self.0.saturating_add(ms).clamp(0, Self::MAX.0))
    }

    /// Returns the milliseconds since `earlier`; 0 if that instant is later.
    #[must_use]
    pub fn since(self, earlier: UnixMillis) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Returns the whole seconds since 1970.
    #[must_use]
    pub const fn second(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// A keyed 16-byte digest. It is uniformly distributed, so its first bytes serve as a hash. Without the key it reveals
/// nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Replaces the digest of an idempotency key in orders that an auction awarded. No request has this digest.
    #[must_use]
    pub fn of_award(order: Seq) -> Digest {
        let mut bytes = [0xff; 16];
        bytes.iter_mut().zip(order.get().to_be_bytes()).for_each(|(to, from)| *to = from);
        Digest(bytes)
    }

    /// Returns the digest with these stored bytes. `None` if their length is wrong.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Digest> {
        bytes.try_into().ok().map(Digest)
    }
}

/// State of an order. `engine::orders` decides the transitions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OrderState {
    /// Units are held until `expires_at`; checkout has not begun.
    Reserved,
    /// The buyer gave a contact; units are held for the payment window.
    AwaitingPayment,
    /// The order is paid and its units are sold.
    Paid,
    /// Cancelled by the buyer or an operator; the units were returned.
    Cancelled,
    /// Not paid in time; the units were returned.
    Expired,
    /// A refund is due and not paid yet.
    RefundDue,
    /// The whole payment was refunded.
    Refunded,
}

impl OrderState {
    /// Every state, in the order of an order's life.
    pub const ALL: [OrderState; 7] = [
        OrderState::Reserved,
        OrderState::AwaitingPayment,
        OrderState::Paid,
        OrderState::Cancelled,
        OrderState::Expired,
        OrderState::RefundDue,
        OrderState::Refunded,
    ];

    /// Index in [`OrderState::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OrderState::Reserved => "reserved",
            OrderState::AwaitingPayment => "awaiting_payment",
            OrderState::Paid => "paid",
            OrderState::Cancelled => "cancelled",
            OrderState::Expired => "expired",
            OrderState::RefundDue => "refund_due",
            OrderState::Refunded => "refunded",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<OrderState> {
        OrderState::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Returns true if the order's units are held: it can still expire, be cancelled or be paid.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, OrderState::Reserved | OrderState::AwaitingPayment)
    }
}

/// State of a drop. If several apply, the first in this order is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DropState {
    /// Past its end time, or closed by an operator.
    Ended,
    /// Paused by an operator or by the auditor.
    Paused,
    /// The start time is in the future.
    Scheduled,
    /// All units are held or sold.
    SoldOut,
    /// On sale: orders are accepted.
    Live,
}

impl DropState {
    /// Every state, in the order of precedence.
    pub const ALL: [DropState; 5] =
        [DropState::Ended, DropState::Paused, DropState::Scheduled, DropState::SoldOut, DropState::Live];

    /// Name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DropState::Ended => "ended",
            DropState::Paused => "paused",
            DropState::Scheduled => "scheduled",
            DropState::SoldOut => "sold_out",
            DropState::Live => "live",
        }
    }

    /// Returns the first state that applies.
    #[must_use]
    pub const fn of(ended: bool, paused: bool, started: bool, available: u32) -> DropState {
        if ended {
            DropState::Ended
        } else if paused {
            DropState::Paused
        } else if !started {
            DropState::Scheduled
        } else if available == 0 {
            DropState::SoldOut
        } else {
            DropState::Live
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_where_they_are_made() {
        assert_eq!(Seq::new(1 << 48), None);
        assert_eq!(DropId::new(0), None);
        assert_eq!(Quantity::new(0), None);
        assert_eq!(Amount::new(1 << 53), None);
        assert_eq!(Amount::new(JSON_INTEGER_MAX).map(Amount::get), Some(JSON_INTEGER_MAX));
        assert_eq!(UnixMillis::new(-1), None);
        for code in ["", "EU", "EURO", "eur", "E1R", "ÄU"] {
            assert_eq!(Currency::new(code), None, "{code}");
        }
    }

    #[test]
    fn money_never_wraps() {
        let most = Amount(JSON_INTEGER_MAX);
        assert_eq!(UnitPrice::new(UnitPrice::MAX + 1), None);
        assert!(UnitPrice(UnitPrice::MAX).times(Quantity::MAX).get() <= JSON_INTEGER_MAX);
        assert_eq!(most.plus(Amount(1)), None);
        assert_eq!(Amount(1).minus(Amount(2)), None);
        assert_eq!(UnitPrice(150).times(Quantity(3)), Amount(450));
    }

    #[test]
    fn every_order_state_has_its_own_word() {
        for state in OrderState::ALL {
            assert_eq!(OrderState::parse(state.as_str()), Some(state));
        }
        assert_eq!(OrderState::parse("sold"), None);
    }
}
