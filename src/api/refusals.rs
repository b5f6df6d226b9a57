//! Refusals of the engine as problems: code, detail and members of each.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::code::Code;
use super::problem::FieldError;
use crate::engine::{Invalid, Refusal};
use crate::types::operator_tiers::OPERATOR_TIERS_MAX;
use crate::types::text::rfc3339;
use crate::types::{IdentityKind, UnixMillis};

pub(super) fn retry_after(refusal: &Refusal, now: UnixMillis) -> Option<Duration> {
    match refusal {
        Refusal::DropPaused => Some(Duration::from_secs(5)),
        Refusal::NotStarted { starts_at } => Some(Duration::from_millis(starts_at.since(now))),
        Refusal::NotFound
        | Refusal::KeyReused
        | Refusal::Ended { .. }
        | Refusal::LimitReached { .. }
        | Refusal::IdentityLimitReached { .. }
        | Refusal::SoldOut { .. }
        | Refusal::OrderExpired { .. }
        | Refusal::IllegalTransition { .. }
        | Refusal::MismatchStands { .. }
        | Refusal::BidTooLow { .. }
        | Refusal::ExposureReached { .. }
        | Refusal::PreconditionFailed { .. }
        | Refusal::Invalid(_) => None,
    }
}

pub(super) const fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotFound => Code::NotFound,
        Refusal::KeyReused => Code::KeyReused,
        Refusal::NotStarted { .. } => Code::NotStarted,
        Refusal::Ended { .. } => Code::Ended,
        Refusal::DropPaused => Code::DropPaused,
        Refusal::LimitReached { .. } | Refusal::ExposureReached { .. } => Code::LimitReached,
        Refusal::IdentityLimitReached { .. } => Code::IdentityLimitReached,
        Refusal::BidTooLow { .. } => Code::BidTooLow,
        Refusal::SoldOut { .. } => Code::SoldOut,
        Refusal::OrderExpired { .. } => Code::OrderExpired,
        Refusal::IllegalTransition { .. } | Refusal::MismatchStands { .. } => Code::IllegalTransition,
        Refusal::PreconditionFailed { .. } => Code::PreconditionFailed,
        Refusal::Invalid(_) => Code::Validation,
    }
}

pub(super) fn detail(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound => "Check the path and the id.".into(),
        Refusal::KeyReused => "A retry must repeat the same request; a new request needs a new key.".into(),
        Refusal::NotStarted { starts_at } => format!("It starts at {}.", rfc3339(*starts_at)),
        Refusal::Ended { ends_at } => format!("It ended at {}.", rfc3339(*ends_at)),
        Refusal::DropPaused => "An operator paused the drop. Nothing was decided.".into(),
        Refusal::LimitReached { limit, used } => {
            format!("Limit per buyer: {limit}; held or bought: {used}.")
        }
        Refusal::IdentityLimitReached { identity, limit } => {
            format!("Limit of units for one {}: {limit}.", words_of(*identity))
        }
        Refusal::ExposureReached { limit, used } => {
            format!("A buyer's leading bids may sum up to {}; they sum up to {}.", limit.get(), used.get())
        }
        Refusal::BidTooLow { minimum_next, .. } => format!("Bid {} or more.", minimum_next.get()),
        Refusal::SoldOut { available, held, .. } => {
            format!("Available: {available}; held, and possibly available later: {held}.")
        }
        Refusal::OrderExpired { expired_at } => format!("It expired at {}.", rfc3339(*expired_at)),
        Refusal::IllegalTransition { from, to } => {
            format!("An order that is {} cannot become {}.", from.as_str(), to.as_str())
        }
        Refusal::MismatchStands { .. } => {
            "The auditor's recount differs from the counters; run `firstcome verify`.".into()
        }
        Refusal::PreconditionFailed { revision } => format!("The drop is at revision {revision}; read it again."),
        Refusal::Invalid(invalid) => {
            let error = field_error(invalid);
            format!("{}: {}", error.pointer, error.detail)
        }
    }
}

pub(super) fn add_members(refusal: &Refusal, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| {
        out.insert(name.into(), value);
    };
    match refusal {
        Refusal::NotFound | Refusal::KeyReused | Refusal::DropPaused => {}
        Refusal::NotStarted { starts_at } => put("starts_at", rfc3339(*starts_at).into()),
        Refusal::Ended { ends_at } => put("ends_at", rfc3339(*ends_at).into()),
        Refusal::LimitReached { limit, used } => {
            put("limit", (*limit).into());
            put("used", (*used).into());
        }
        Refusal::IdentityLimitReached { identity, limit } => {
            put("identity", identity.as_str().into());
            put("limit", (*limit).into());
        }
        Refusal::ExposureReached { limit, used } => {
            put("limit", limit.get().into());
            put("used", used.get().into());
        }
        Refusal::BidTooLow { current, minimum_next, .. } => {
            put("current", current.get().into());
            put("minimum_next", minimum_next.get().into());
        }
        Refusal::SoldOut { available, held, next_expiry_at } => {
            put("available", (*available).into());
            put("held", (*held).into());
            if let Some(at) = next_expiry_at {
                put("next_expiry_at", rfc3339(*at).into());
            }
        }
        Refusal::OrderExpired { expired_at } => put("expired_at", rfc3339(*expired_at).into()),
        Refusal::IllegalTransition { from, to } => {
            put("from", from.as_str().into());
            put("to", to.as_str().into());
        }
        Refusal::MismatchStands { from } => {
            put("from", from.as_str().into());
            put("to", "live".into());
        }
        Refusal::PreconditionFailed { revision } => put("revision", (*revision).into()),
        Refusal::Invalid(invalid) => {
            let error = field_error(invalid);
            put("errors", json!([{ "pointer": error.pointer, "detail": error.detail }]));
        }
    }
}

const fn words_of(identity: IdentityKind) -> &'static str {
    match identity {
        IdentityKind::Email => "e-mail address",
        IdentityKind::Phone => "phone number",
        IdentityKind::Payment => "payment",
        IdentityKind::Address => "postal address",
    }
}

/// Returns the place of an identity in the body of an order.
#[must_use]
pub const fn pointer_of(identity: IdentityKind) -> &'static str {
    match identity {
        IdentityKind::Email => "/contact/email",
        IdentityKind::Phone => "/contact/phone",
        IdentityKind::Payment => "/payment_fingerprint",
        IdentityKind::Address => "/contact/address",
    }
}

/// Returns the mistake of a command that is invalid.
#[must_use]
pub fn field_error(invalid: &Invalid) -> FieldError {
    let (pointer, detail) = match invalid {
        Invalid::EndBeforeStart => ("/ends_at", "must be after starts_at".into()),
        Invalid::EndInThePast => ("/ends_at", "must be in the future; close the drop to end it now".into()),
        Invalid::TotalBelowTaken { taken } => {
            ("/delta", format!("{taken} units are held or sold and cannot be removed"))
        }
        Invalid::TotalTooLarge => ("/delta", "the total must be at most 4294967295".into()),
        Invalid::TooManyDrops => ("", "the database has the maximum number of drops".into()),
        Invalid::TooManyEndpoints => ("", "there are 16 endpoints, which is the maximum".into()),
        Invalid::TooManyTiers => (
            "",
            format!(
                "{OPERATOR_TIERS_MAX} buyers have a tier of an operator, which is the maximum; remove others first"
            ),
        ),
        Invalid::TierEndInThePast => ("/expires_at", "must be in the future; remove the tier to end it now".into()),
        Invalid::PaymentDiffers { amount, currency } => {
            ("/amount", format!("the order costs {} {}", amount.get(), currency.as_str()))
        }
        Invalid::RefundOutOfRange { remaining } => {
            ("/amount", format!("must be from 1 to {}, which can still be refunded", remaining.get()))
        }
        Invalid::RestockOutOfRange { sold } => {
            ("/restock_quantity", format!("must be at most the {sold} sold units of the order"))
        }
        Invalid::SettlementOutOfRange { owed } => {
            ("/amount", format!("must be from 1 to {}, which is owed of the payment", owed.get()))
        }
        Invalid::PaymentNotOwed { owed } => {
            ("/payment", format!("must be the reference of one of the {owed} payments of the order that are owed"))
        }
        Invalid::IdentityMissing { kind } => {
            let or = match kind {
                IdentityKind::Email => ", or is not one plain address such as ann@shop.example",
                IdentityKind::Phone => ", or has digits other than 0 to 9",
                IdentityKind::Payment | IdentityKind::Address => "",
            };
            (pointer_of(*kind), format!("is missing{or}: the drop has a limit of units for one {}", words_of(*kind)))
        }
        Invalid::SettlementDiffers { amount } => {
            ("/amount", format!("this reference settled {}; another settlement needs another reference", amount.get()))
        }
    };
    FieldError { pointer: pointer.into(), detail }
}
