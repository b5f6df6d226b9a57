//! Terms of auctions that the engine, the store and the APIs share.

use std::fmt;

use super::UnitPrice;

/// Id of an auction: its shard, and its number there, from 1 in the order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AuctionId(u32);

impl AuctionId {
    /// Returns the auction id with this value, shard and number. `None` if it is out of range (1 to 4,294,967,295).
    #[must_use]
    pub const fn new(value: u32) -> Option<AuctionId> {
        if value == 0 { None } else { Some(AuctionId(value)) }
    }

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

/// State of an auction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuctionState {
    /// The start time is in the future.
    Scheduled,
    /// On sale: bids are accepted.
    Live,
    Ended(AuctionEnding),
    /// Cancelled by an operator before its end.
    Cancelled,
}

/// Result of an ended auction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuctionEnding {
    /// Sold to the leading bidder.
    Sold,
    /// No bid was placed.
    NoBids,
    /// All bids stayed below the reserve price.
    ReserveNotMet,
    /// Bought at the buy-now price.
    BoughtNow,
}

impl AuctionEnding {
    pub const ALL: [AuctionEnding; 4] =
        [AuctionEnding::Sold, AuctionEnding::NoBids, AuctionEnding::ReserveNotMet, AuctionEnding::BoughtNow];

    /// Name in SQL, JSON and the audit.
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

    /// Name in SQL, which includes the ending.
    #[must_use]
    pub const fn stored(self) -> &'static str {
        match self {
            AuctionState::Ended(ending) => ending.as_str(),
            AuctionState::Scheduled | AuctionState::Live | AuctionState::Cancelled => self.as_str(),
        }
    }

    /// Parses the name in SQL.
    #[must_use]
    pub fn parse(word: &str) -> Option<AuctionState> {
        let plain = [AuctionState::Scheduled, AuctionState::Live, AuctionState::Cancelled];
        let ended = AuctionEnding::ALL.map(AuctionState::Ended);
        plain.into_iter().chain(ended).find(|state| state.stored() == word)
    }
}

/// Minimum raise of a bid from a price on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Increment {
    /// Lowest price for this raise.
    pub from: UnitPrice,
    /// Minimum raise, at least 1.
    pub step: UnitPrice,
}

impl Increment {
    /// Returns the price plus its minimum raise by an ascending list, at most the highest price. Below the list's first
    /// price the raise is 1.
    #[must_use]
    pub fn above(increments: &[Increment], price: UnitPrice) -> UnitPrice {
        let step = increments.iter().rev().find(|increment| increment.from <= price);
        let step = step.map_or(1, |increment| increment.step.get());
        UnitPrice::new(price.get().saturating_add(step).min(UnitPrice::MAX)).unwrap_or(price)
    }
}
