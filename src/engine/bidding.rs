//! Bids: compare and set on the price, with both sides' secret maxima resolved in one step.

use super::auctions::AuctionEntry;
use super::{Refusal, State};
use crate::types::{Amount, AuctionState, Digest, UnitPrice, UnixMillis};

/// The price after a bid.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Resolved {
    /// True if the bidder leads after it.
    pub(super) leads: bool,
    pub(super) current: UnitPrice,
}

/// Holds a bid against the standing one; nothing if it is too low.
pub(super) fn resolve(
    auction: &AuctionEntry,
    buyer: Digest,
    amount: UnitPrice,
    maximum: UnitPrice,
) -> Option<Resolved> {
    let spec = &auction.spec;
    let resolved = match (auction.leader, auction.current) {
        (Some(leader), Some(current)) if leader.buyer == buyer => {
            // A higher amount, or a higher maximum alone: a buyer's maximum never bids against the same buyer.
            let asks_more = auction.is_beaten_by(amount);
            let would_pay_more = amount == leader.amount && maximum > leader.maximum;
            if !asks_more && !would_pay_more {
                return None;
            }
            Resolved { leads: true, current: current.max(amount) }
        }
        (Some(_), Some(_)) if !auction.is_beaten_by(amount) => return None,
        // The earlier of two equal maxima wins.
        (Some(leader), Some(_)) if maximum <= leader.maximum => {
            Resolved { leads: false, current: leader.maximum.min(spec.above(maximum)).max(amount) }
        }
        (Some(leader), Some(_)) => {
            Resolved { leads: true, current: maximum.min(spec.above(leader.maximum)).max(amount) }
        }
        _ if !auction.is_beaten_by(amount) => return None,
        _ => Resolved { leads: true, current: amount },
    };
    Some(at_the_reserve(auction, maximum, resolved))
}

/// A maximum at or above the reserve price takes the price there: else the unit would stay unsold although a buyer
/// would pay what it must cost.
fn at_the_reserve(auction: &AuctionEntry, maximum: UnitPrice, resolved: Resolved) -> Resolved {
    let leaders = if resolved.leads { maximum } else { auction.leader.map_or(maximum, |leader| leader.maximum) };
    match auction.spec.reserve_price {
        Some(reserve) if resolved.current < reserve && reserve <= leaders => Resolved { current: reserve, ..resolved },
        _ => resolved,
    }
}

/// An accepted bid shortly before the end moves it.
pub(super) fn end_after_bid(auction: &AuctionEntry, at: UnixMillis) -> UnixMillis {
    let spec = &auction.spec;
    if spec.soft_close_seconds == 0 || auction.extensions >= spec.extensions_max {
        return auction.ends_at;
    }
    let moved = at.plus_seconds(spec.soft_close_seconds);
    let moved = spec.hard_end_at.map_or(moved, |hard| moved.min(hard));
    moved.max(auction.ends_at)
}

/// The refusal of a bid that is below what it must be.
pub(super) fn too_low(auction: &AuctionEntry) -> Refusal {
    let (minimum_next, ends_at) = (auction.minimum_next(), auction.ends_at);
    Refusal::BidTooLow { current: auction.current.unwrap_or_default(), minimum_next, ends_at }
}

/// Refuses a bid by which the buyer could have to pay more than the exposure limit, over all live auctions that the
/// buyer leads.
pub(super) fn check_exposure(
    state: &State,
    auction: &AuctionEntry,
    buyer: Digest,
    maximum: UnitPrice,
) -> Result<(), Refusal> {
    let Some(limit) = auction.spec.exposure_limit else { return Ok(()) };
    let others = state.auctions.iter().filter(|other| {
        other.id != auction.id && other.state == AuctionState::Live && other.spec.currency == auction.spec.currency
    });
    let led = others.filter_map(|other| other.leader).filter(|leader| leader.buyer == buyer);
    let used = led.fold(0u64, |sum, leader| sum.saturating_add(leader.maximum.get()));
    if used.saturating_add(maximum.get()) <= limit.get() {
        return Ok(());
    }
    Err(Refusal::ExposureReached { limit, used: Amount::new(used).unwrap_or(limit) })
}
