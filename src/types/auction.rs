//! Words of auctions that the engine, the store and the edge share.

use std::fmt;

use super::UnitPrice;

/// The number of an auction, from 1, in the order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AuctionId(u32);

impl AuctionId {
    /// An auction id out of a number, if it is in range (1 to 4,294,967,295).
    #[must_use]
    pub const fn new(value: u32) -> Option<AuctionId> {
        if value == 0 { None } else { Some(AuctionId(value)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AuctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an auction stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuctionState {
    /// Its start lies ahead.
    Scheduled,
    /// Bids are taken.
    Live,
    /// It is over.
    Ended(AuctionEnding),
    /// An operator called it off.
    Cancelled,
}

/// How an auction ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuctionEnding {
    /// The leader gets it.
    Sold,
    /// Nobody bid.
    NoBids,
    /// Nobody bid enough.
    ReserveNotMet,
    /// Somebody took it at once.
    BoughtNow,
}

impl AuctionEnding {
    /// All of them.
    pub const ALL: [AuctionEnding; 4] =
        [AuctionEnding::Sold, AuctionEnding::NoBids, AuctionEnding::ReserveNotMet, AuctionEnding::BoughtNow];

    /// The word in SQL, JSON and the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AuctionEnding::Sold => "sold",
            AuctionEnding::NoBids => "no_bids",
            AuctionEnding::ReserveNotMet => "reserve_not_met",
            AuctionEnding::BoughtNow => "bought_now",
        }
    }
}

impl AuctionState {
    /// The word that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AuctionState::Scheduled => "scheduled",
            AuctionState::Live => "live",
            AuctionState::Ended(_) => "ended",
            AuctionState::Cancelled => "cancelled",
        }
    }

    /// The word in SQL: with how it ended.
    #[must_use]
    pub const fn stored(self) -> &'static str {
        match self {
            AuctionState::Ended(ending) => ending.as_str(),
            AuctionState::Scheduled | AuctionState::Live | AuctionState::Cancelled => self.as_str(),
        }
    }

    /// The state out of its word in SQL.
    #[must_use]
    pub fn parse(word: &str) -> Option<AuctionState> {
        let plain = [AuctionState::Scheduled, AuctionState::Live, AuctionState::Cancelled];
        let ended = AuctionEnding::ALL.map(AuctionState::Ended);
        plain.into_iter().chain(ended).find(|state| state.stored() == word)
    }
}

/// By how much a bid must exceed the price, from a price on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Increment {
    /// From this price on.
    pub from: UnitPrice,
    /// By at least this; 1 or more.
    pub step: UnitPrice,
}

impl Increment {
    /// A price and its increment out of an ascending list, as far as prices go. Where the list says nothing, it is 1.
    #[must_use]
    pub fn above(increments: &[Increment], price: UnitPrice) -> UnitPrice {
        let step = increments.iter().rev().find(|increment| increment.from <= price);
        let step = step.map_or(1, |increment| increment.step.get());
        UnitPrice::new(price.get().saturating_add(step).min(UnitPrice::MAX)).unwrap_or(price)
    }
}
