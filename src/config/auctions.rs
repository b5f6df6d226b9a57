//! The settings of auctions.

use super::Setting;
use super::settings::setting;
use super::values::{number, one_of};
use crate::types::Amount;

/// What all new auctions have in common.
#[derive(Clone, Debug, Default)]
pub struct AuctionSettings {
    pub payment_seconds: u32,
    pub offer_next: bool,
    pub exposure_limit: Option<Amount>,
}

/// A length of time in seconds: up to a year.
fn seconds(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 1, 31_536_000)?).map_err(|error| error.to_string())
}

/// An amount in minor units, or nothing for no limit.
fn limit(text: &str) -> Result<Option<Amount>, String> {
    match text.trim() {
        "" => Ok(None),
        text => number(text, 1, crate::types::JSON_INTEGER_MAX).map(Amount::new),
    }
}

/// Their part of the table.
pub(super) const SETTINGS: [Setting; 3] = [
    setting!("auctions.payment_seconds", "900", "s", "that a winner has to pay", |c, t| c.auctions.payment_seconds =
        seconds(t)?),
    setting!(
        "auctions.offer_next",
        "true",
        "true, false",
        "what a winner does not pay is offered to the next buyer, for the most that he bid",
        |c, t| c.auctions.offer_next = one_of(t, "true", "false")?
    ),
    setting!(
        "auctions.exposure_limit",
        "",
        "minor units",
        "that a buyer may stand to pay for all running auctions of a currency that he leads; no limit if not set",
        |c, t| c.auctions.exposure_limit = limit(t)?
    ),
];
