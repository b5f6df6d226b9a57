//! The settings of auctions.

use super::setting::{Setting, setting};
use super::values::{number, one_of};
use crate::types::Amount;

/// A duration in seconds, at most one year.
fn seconds(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 1, 31_536_000)?).map_err(|error| error.to_string())
}

/// An amount in minor units; empty for no limit.
fn limit(text: &str) -> Result<Option<Amount>, String> {
    match text.trim() {
        "" => Ok(None),
        text => number(text, 1, crate::types::JSON_INTEGER_MAX).map(Amount::new),
    }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting!("auctions.payment_seconds", "900", "s", "time a winner has to pay", |c, t| c.auctions.payment_seconds =
        seconds(t)?),
    setting!(
        "auctions.offer_next",
        "true",
        "true, false",
        "offer of an unpaid unit to the next buyer, at that buyer's highest bid",
        |c, t| c.auctions.offer_next = one_of(t, "true", "false")?
    ),
    setting!(
        "auctions.exposure_limit",
        "",
        "minor units",
        "highest total, per currency, of the running auctions that one buyer leads; no limit if unset",
        |c, t| c.auctions.exposure_limit = limit(t)?
    ),
];
