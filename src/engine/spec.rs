//! The parameters of a drop, and the changes that operators may make.

use super::{Invalid, Refusal};
use crate::types::{
    ChallengeKind, ChallengeRule, Commitment, Currency, IdentityLimits, RoomPatch, RoomSpec, Tier, UnitPrice,
    UnixMillis,
};

/// The longest blind window, in milliseconds.
pub const BLIND_MS_MAX: u16 = 5000;

/// The parameters of a drop. Ranges are checked where requests are read (`api::json`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropSpec {
    /// The shop's number of the thing.
    pub sku: Box<str>,
    pub name: Box<str>,
    pub description: Option<Box<str>>,
    pub image_url: Option<Box<str>>,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The price of one unit.
    pub unit_price: UnitPrice,
    pub total: u32,
    /// From when on orders are taken.
    pub starts_at: UnixMillis,
    /// Until when (exclusively); open-ended if none.
    pub ends_at: Option<UnixMillis>,
    /// The most units a buyer may hold and have bought together.
    pub per_buyer_limit: u32,
    /// The time that a reservation holds, in seconds.
    pub reservation_seconds: u32,
    /// The time that an order awaits its payment, in seconds.
    pub payment_seconds: u32,
    /// The most units that orders with the same e-mail address, phone, payment or address may have together.
    pub identity_limits: IdentityLimits,
    /// The challenge that buyers below a tier must solve.
    pub challenge: ChallengeRule,
    /// The waiting room in front of the drop.
    pub room: Option<Box<RoomSpec>>,
    /// The commitment to the seed of its draw; `None` where nothing is drawn.
    pub commitment: Option<Commitment>,
    /// The time after the start in which orders are recorded and drawn, in milliseconds, at most [`BLIND_MS_MAX`]; 0 without.
    pub blind_ms: u16,
}

impl DropSpec {
    /// Returns whether the start has come by this instant.
    #[must_use]
    pub fn has_started(&self, at: UnixMillis) -> bool {
        self.starts_at <= at
    }

    /// Returns whether something is drawn, so that there is a seed and a commitment to it.
    #[must_use]
    pub fn has_draw(&self) -> bool {
        self.blind_ms > 0 || self.room.as_ref().is_some_and(|room| room.draw.is_random())
    }

    /// Refuses an end that is not after the start or not after `at`, and a room that does not open before the start.
    pub(super) fn check_window(&self, at: UnixMillis) -> Result<(), Refusal> {
        if self.room.as_ref().is_some_and(|room| room.opens_at >= self.starts_at) {
            return Err(Refusal::Invalid(Invalid::RoomOpensLate));
        }
        match self.ends_at {
            Some(ends_at) if ends_at <= self.starts_at => Err(Refusal::Invalid(Invalid::EndBeforeStart)),
            Some(ends_at) if ends_at <= at => Err(Refusal::Invalid(Invalid::EndInThePast)),
            _ => Ok(()),
        }
    }
}

/// The changes of a patch: what is given replaces, what is not stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DropPatch {
    pub name: Option<Box<str>>,
    /// A new longer text.
    pub description: Option<Box<str>>,
    pub image_url: Option<Box<str>>,
    /// A new price, for new orders.
    pub unit_price: Option<UnitPrice>,
    pub starts_at: Option<UnixMillis>,
    pub ends_at: Option<UnixMillis>,
    /// A new limit, for new orders.
    pub per_buyer_limit: Option<u32>,
    /// A new reservation time, for new orders.
    pub reservation_seconds: Option<u32>,
    /// A new payment time, for checkouts to come.
    pub payment_seconds: Option<u32>,
    /// New caps, which take the place of all caps, for new orders.
    pub identity_limits: Option<IdentityLimits>,
    /// A new kind of challenge, for new orders.
    pub challenge: Option<ChallengeKind>,
    /// A new tier from which on no challenge is demanded.
    pub challenge_below: Option<Tier>,
    /// Changes of the waiting room.
    pub room: Option<RoomPatch>,
}

impl DropPatch {
    /// Applies the changes.
    pub fn apply_to(&self, spec: &mut DropSpec) {
        let DropPatch {
            name,
            description,
            image_url,
            unit_price,
            starts_at,
            ends_at,
            per_buyer_limit,
            reservation_seconds,
            payment_seconds,
            identity_limits,
            challenge,
            challenge_below,
            room,
        } = self;
        replace(&mut spec.name, name);
        replace_option(&mut spec.description, description);
        replace_option(&mut spec.image_url, image_url);
        replace(&mut spec.unit_price, unit_price);
        replace(&mut spec.starts_at, starts_at);
        replace_option(&mut spec.ends_at, ends_at);
        replace(&mut spec.per_buyer_limit, per_buyer_limit);
        replace(&mut spec.reservation_seconds, reservation_seconds);
        replace(&mut spec.payment_seconds, payment_seconds);
        replace(&mut spec.identity_limits, identity_limits);
        replace(&mut spec.challenge.kind, challenge);
        replace(&mut spec.challenge.below, challenge_below);
        if let (Some(changes), Some(room)) = (room, &mut spec.room) {
            changes.apply_to(room);
        }
    }
}

fn replace<T: Clone>(field: &mut T, change: &Option<T>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}

fn replace_option<T: Clone>(field: &mut Option<T>, change: &Option<T>) {
    if change.is_some() {
        field.clone_from(change);
    }
}
