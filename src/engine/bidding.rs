//! Bids: compare and set on the price, with both sides' secret maxima resolved in one step.

use super::auctions::{AuctionEntry, Best, Leader, closed, entry, find};
use super::{BidReceipt, CommandKey, Decision, Event, EventKind, Outcome, Refusal, RememberedCommand, State, Subject};
use crate::types::{Amount, AuctionId, AuctionState, Digest, UnitPrice, UnixMillis};

/// A bid.
#[derive(Clone, Copy)]
pub(super) struct Bid<'a> {
    pub(super) auction_id: AuctionId,
    pub(super) buyer: Digest,
    pub(super) amount: UnitPrice,
    pub(super) maximum: Option<UnitPrice>,
    pub(super) key: Option<&'a CommandKey>,
}

/// Decides a bid.
pub(super) fn place(decision: &mut Decision<'_>, bid: Bid<'_>) -> Outcome {
    let (auction, hidden) = match find(decision.state, bid.auction_id) {
        Ok(found) => found,
        Err(refusal) => return decision.refuse(refusal),
    };
    if let Some((key, remembered)) = bid.key.and_then(|key| Some((key, decision.state.command_keys.get(&key.digest)?)))
    {
        let same = remembered.params == key.params && remembered.subject == u64::from(auction.drop_id.get());
        return if same {
            decision.repeat(Subject::Bid(bid.auction_id, remembered.seq))
        } else {
            decision.refuse(Refusal::KeyReused)
        };
    }
    if let Some(refusal) = closed(auction) {
        return decision.refuse(refusal);
    }
    let maximum = bid.maximum.unwrap_or(bid.amount).max(bid.amount);
    let own = auction.leader.filter(|leader| leader.buyer == bid.buyer);
    if let Some(leader) = own.filter(|leader| leader.amount == bid.amount && maximum <= leader.maximum) {
        return Outcome::Bid(receipt(auction, &bid, leader.bid, true));
    }
    // What the leader has said that he would pay, others were beaten by: he cannot take it back by asking less.
    let maximum = own.map_or(maximum, |leader| leader.maximum.max(maximum));
    let Some(resolved) = resolve(auction, bid.buyer, bid.amount, maximum) else {
        let (minimum_next, ends_at) = (auction.minimum_next(), auction.ends_at);
        let current = auction.current.unwrap_or_default();
        return decision.refuse(Refusal::BidTooLow { current, minimum_next, ends_at });
    };
    if let Some(refusal) = too_exposed(decision.state, auction, &bid, maximum) {
        return decision.refuse(refusal);
    }
    let Resolved { leads, current } = resolved;
    let ends_at = end_after_bid(auction, decision.at());
    let kind = EventKind::BidPlaced {
        auction_id: bid.auction_id,
        drop_id: auction.drop_id,
        buyer: bid.buyer,
        amount: bid.amount,
        maximum,
        leads,
        current,
        ends_at,
        extended: ends_at != auction.ends_at,
        key: bid.key.copied(),
    };
    let seq = decision.emit(hidden.last_seq, kind);
    Outcome::Bid(BidReceipt {
        auction_id: bid.auction_id,
        seq,
        repeated: false,
        leading: leads,
        amount: bid.amount,
        current,
        minimum_next: auction.spec.above(current),
        ends_at,
        currency: auction.spec.currency,
    })
}

/// What one's own standing bid is answered with when it is repeated.
fn receipt(auction: &AuctionEntry, bid: &Bid<'_>, seq: crate::types::Seq, repeated: bool) -> BidReceipt {
    BidReceipt {
        auction_id: bid.auction_id,
        seq,
        repeated,
        leading: auction.leader.is_some_and(|leader| leader.buyer == bid.buyer),
        amount: bid.amount,
        current: auction.current.unwrap_or_default(),
        minimum_next: auction.minimum_next(),
        ends_at: auction.ends_at,
        currency: auction.spec.currency,
    }
}

/// What a bid makes of the price.
#[derive(PartialEq, Eq, Debug)]
struct Resolved {
    /// Whether the bidder leads after it.
    leads: bool,
    current: UnitPrice,
}

/// Holds a bid against the standing one; nothing if it is too low.
fn resolve(auction: &AuctionEntry, buyer: Digest, amount: UnitPrice, maximum: UnitPrice) -> Option<Resolved> {
    let spec = &auction.spec;
    let resolved = match (auction.leader, auction.current) {
        (Some(leader), Some(current)) if leader.buyer == buyer => {
            // He asks more, or only would pay more: his maximum never bids against himself.
            let asks_more = amount >= auction.minimum_next();
            let would_pay_more = amount == leader.amount && maximum > leader.maximum;
            if !asks_more && !would_pay_more {
                return None;
            }
            Resolved { leads: true, current: current.max(amount) }
        }
        (Some(_), Some(_)) if amount < auction.minimum_next() => return None,
        // The earlier of two equal maxima wins.
        (Some(leader), Some(_)) if maximum <= leader.maximum => {
            Resolved { leads: false, current: leader.maximum.min(spec.above(maximum)).max(amount) }
        }
        (Some(leader), Some(_)) => {
            Resolved { leads: true, current: maximum.min(spec.above(leader.maximum)).max(amount) }
        }
        _ if amount < auction.minimum_next() => return None,
        _ => Resolved { leads: true, current: amount },
    };
    Some(at_the_reserve(auction, maximum, resolved))
}

/// A maximum at or above the reserve price takes the price there: else the thing would stay unsold although somebody
/// would pay what it must cost.
fn at_the_reserve(auction: &AuctionEntry, maximum: UnitPrice, resolved: Resolved) -> Resolved {
    let leaders = if resolved.leads { maximum } else { auction.leader.map_or(maximum, |leader| leader.maximum) };
    match auction.spec.reserve_price {
        Some(reserve) if resolved.current < reserve && reserve <= leaders => Resolved { current: reserve, ..resolved },
        _ => resolved,
    }
}

/// An accepted bid shortly before the end moves it.
fn end_after_bid(auction: &AuctionEntry, at: UnixMillis) -> UnixMillis {
    let spec = &auction.spec;
    if spec.soft_close_seconds == 0 || auction.extensions >= spec.extensions_max {
        return auction.ends_at;
    }
    let moved = at.plus_seconds(spec.soft_close_seconds);
    let moved = spec.hard_end_at.map_or(moved, |hard| moved.min(hard));
    moved.max(auction.ends_at)
}

/// Whether the buyer would stand to pay more than he may, over all running auctions that he leads.
fn too_exposed(state: &State, auction: &AuctionEntry, bid: &Bid<'_>, maximum: UnitPrice) -> Option<Refusal> {
    let limit = auction.spec.exposure_limit?;
    let others = state.auctions.iter().filter(|other| {
        other.id != auction.id && other.state == AuctionState::Live && other.spec.currency == auction.spec.currency
    });
    let led = others.filter_map(|other| other.leader).filter(|leader| leader.buyer == bid.buyer);
    let used = led.fold(0u64, |sum, leader| sum.saturating_add(leader.maximum.get()));
    if used.saturating_add(maximum.get()) <= limit.get() {
        return None;
    }
    Some(Refusal::ExposureReached { limit, used: Amount::new(used).unwrap_or(limit) })
}

/// The state after a bid.
pub(super) fn evolve(state: &mut State, event: &Event, id: AuctionId) {
    let EventKind::BidPlaced { buyer, amount, maximum, leads, current, ends_at, extended, key, drop_id, .. } =
        &event.kind
    else {
        return;
    };
    if *extended {
        state.unschedule_auction(id);
    }
    let auction = entry(state, id);
    assert_eq!(auction.state, AuctionState::Live, "bids are placed while an auction runs");
    auction.bids = auction.bids.saturating_add(1);
    auction.current = Some(*current);
    if *leads {
        auction.leader = Some(Leader { buyer: *buyer, bid: event.seq, amount: *amount, maximum: *maximum });
    }
    auction.note_best(*buyer, Best { maximum: *maximum, bid: event.seq });
    if *extended {
        auction.extensions = auction.extensions.saturating_add(1);
        auction.ends_at = *ends_at;
        state.schedule_auction(id);
    }
    if let Some(key) = key {
        let remembered = RememberedCommand { seq: event.seq, params: key.params, subject: u64::from(drop_id.get()) };
        state.command_keys.remember(key.digest, remembered);
        state.command_keys.release(key.digest, event.at, event.seq);
    }
}
