//! Refusals of the engine as problems: code, detail and members of each.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::code::Code;
use super::problem::FieldError;
use crate::engine::{BeaconObstacle, Invalid, Refusal, SoldOut};
use crate::types::draw::TICKETS_MAX;
use crate::types::operator_tiers::OPERATOR_TIERS_MAX;
use crate::types::text::rfc3339;
use crate::types::{IdentityKind, RoomMember, UnixMillis};

pub(super) fn retry_after(refusal: &Refusal, now: UnixMillis) -> Option<Duration> {
    match refusal {
        Refusal::DropPaused => Some(Duration::from_secs(5)),
        Refusal::NotStarted { starts_at: instant } | Refusal::NotOpen { opens_at: instant } => {
            Some(Duration::from_millis(instant.since(now)))
        }
        Refusal::NotFound
        | Refusal::KeyReused
        | Refusal::Ended { .. }
        | Refusal::LimitReached { .. }
        | Refusal::IdentityLimitReached { .. }
        | Refusal::SoldOut(_)
        | Refusal::AllSold { .. }
        | Refusal::OrderExpired { .. }
        | Refusal::IllegalTransition { .. }
        | Refusal::MismatchStands { .. }
        | Refusal::BidTooLow { .. }
        | Refusal::ExposureReached { .. }
        | Refusal::NotAdmitted { .. }
        | Refusal::BeaconNotTaken { .. }
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
        Refusal::SoldOut(_) => Code::SoldOut,
        Refusal::AllSold { .. } => Code::AllSold,
        Refusal::OrderExpired { .. } => Code::OrderExpired,
        Refusal::IllegalTransition { .. } | Refusal::MismatchStands { .. } => Code::IllegalTransition,
        Refusal::NotAdmitted { .. } => Code::NotAdmitted,
        Refusal::NotOpen { .. } => Code::NotOpen,
        Refusal::BeaconNotTaken { .. } => Code::BeaconNotTaken,
        Refusal::PreconditionFailed { .. } => Code::PreconditionFailed,
        Refusal::Invalid(_) => Code::Validation,
    }
}

pub(super) fn detail(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound => "Check the path, and each id in it and in the body.".into(),
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
        Refusal::SoldOut(SoldOut { available, held, .. }) => {
            format!("Available: {available}; held, and possibly available later: {held}.")
        }
        Refusal::AllSold { .. } => "Every unit is sold; none comes back by itself.".into(),
        Refusal::OrderExpired { expired_at } => format!("It expired at {}.", rfc3339(*expired_at)),
        Refusal::IllegalTransition { from, to } => {
            format!("An order that is {} cannot become {}.", from.as_str(), to.as_str())
        }
        Refusal::MismatchStands { .. } => {
            "The auditor's recount differs from the counters; run `firstcome verify`.".into()
        }
        Refusal::NotAdmitted { position: None, .. } => {
            "Take a ticket of the drop's waiting room first, or wait for its draw.".into()
        }
        Refusal::NotAdmitted { position: Some(position), serving } if position.0 < *serving => {
            "The time to order of this ticket has passed. Once every ticket has been admitted, units that are left are free for it."
                .into()
        }
        Refusal::NotAdmitted { position: Some(position), serving } => {
            format!("Position: {}; positions below {serving} have been admitted.", position.0)
        }
        Refusal::NotOpen { opens_at } => format!("The waiting room opens at {}.", rfc3339(*opens_at)),
        Refusal::BeaconNotTaken { why } => match why {
            BeaconObstacle::NotAwaited => "The drop draws without a beacon.",
            BeaconObstacle::TicketsNotFixed => {
                "The root of the tickets is not published yet; post the beacon after it."
            }
            BeaconObstacle::Posted => "The draw has its beacon.",
            BeaconObstacle::TooLate => "The time for a beacon has passed.",
            BeaconObstacle::Drawn => "The draw is done.",
        }
        .into(),
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
        Refusal::SoldOut(SoldOut { available, held, next_expiry_at, standby }) => {
            put("available", (*available).into());
            put("held", (*held).into());
            put("standby", (*standby).into());
            if let Some(at) = next_expiry_at {
                put("next_expiry_at", rfc3339(*at).into());
            }
        }
        Refusal::AllSold { standby } => {
            put("available", 0.into());
            put("held", 0.into());
            put("standby", (*standby).into());
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
        Refusal::NotAdmitted { position, serving } => {
            if let Some(position) = position {
                put("position", position.0.into());
            }
            put("serving", (*serving).into());
        }
        Refusal::NotOpen { opens_at } => put("opens_at", rfc3339(*opens_at).into()),
        Refusal::BeaconNotTaken { why } => put("reason", why.as_str().into()),
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

/// Returns the place of a parameter of a room in the body of a patch.
const fn pointer_of_room(member: RoomMember) -> &'static str {
    match member {
        RoomMember::OpensAt => "/room/opens_at",
        RoomMember::AdmitPerSecond => "/room/admit_per_second",
        RoomMember::OrderSeconds => "/room/order_seconds",
        RoomMember::OversubscribePercent => "/room/oversubscribe_percent",
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
        Invalid::RoomOpensLate => ("/room/opens_at", "must be before starts_at".into()),
        Invalid::RoomIsOpen => {
            let words = "must be in the future in a drop with a waiting room; it can only become later while buyers wait; here and in \
                a drop with a blind window it stays once it has come";
            ("/starts_at", words.into())
        }
        Invalid::NoRoom => ("/room", "the drop has no waiting room; a room is made with its drop".into()),
        Invalid::RoomFixed { member, started } => {
            let words = match (member, started) {
                (RoomMember::AdmitPerSecond | RoomMember::OversubscribePercent, false) => {
                    "cannot change while buyers wait for the start; it can once the sale has started"
                }
                _ => "cannot change once the room has opened",
            };
            (pointer_of_room(*member), words.into())
        }
        Invalid::TooManyTickets => ("", format!("the waiting room has {TICKETS_MAX} tickets, which is the maximum")),
        Invalid::DrawNotReady => ("", "the draw's tickets are not fixed, or it waits for its beacon".into()),
        Invalid::SeedDiffers => ("", "the seed is not the one that was committed to".into()),
        Invalid::RootDiffers => ("", "the tickets were fixed by another root".into()),
        Invalid::TooManyDrops => ("", "the database has the maximum number of drops".into()),
        Invalid::StandbyFull => ("", "the maximum number of buyers stand by for this drop".into()),
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
