//! The parameters of a drop, and the changes that operators may make.

use super::{Invalid, Refusal};
use crate::types::{Currency, UnitPrice, UnixMillis};

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
}

impl DropSpec {
    /// Returns whether the start has come by this instant.
    #[must_use]
    pub fn has_started(&self, at: UnixMillis) -> bool {
        self.starts_at <= at
    }

    /// Refuses an end that is not after the start or not after `at`.
    pub(super) fn check_window(&self, at: UnixMillis) -> Result<(), Refusal> {
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
