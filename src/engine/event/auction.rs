//! Events of auctions and bids.

use super::metadata::{EventHeader, EventSubject};
use super::order::{self, OrderReserved};
use crate::engine::auctions::{Best, Leader, entry, find};
use crate::engine::{AuctionEntry, AuctionSpec, CommandKey, DropEntry, Due, State};
use crate::types::{AuctionEnding, AuctionId, AuctionState, Digest, OrderState, Quantity, Seq, UnitPrice, UnixMillis};

/// An event of an auction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuctionEvent {
    Created(AuctionCreated),
    /// The auction's start came.
    Started,
    BidPlaced(BidPlaced),
    /// The auction's end came, or a buyer bought at once.
    Ended {
        ending: AuctionEnding,
    },
    /// An operator cancelled the auction.
    Cancelled {
        reason: Box<str>,
    },
    Awarded(AuctionAwarded),
    /// An owner erased the contact that a bidder gave.
    ContactErased {
        buyer: Digest,
    },
}

/// The creation of an auction, with its hidden drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuctionCreated {
    pub spec: Box<AuctionSpec>,
    pub key: CommandKey,
}

/// An accepted bid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BidPlaced {
    pub buyer: Digest,
    pub amount: UnitPrice,
    /// The most that the buyer would pay; a secret.
    pub maximum: UnitPrice,
    /// True if the buyer leads after it.
    pub leads: bool,
    /// The price after it.
    pub current: UnitPrice,
    /// The exclusive end of the auction after it.
    pub ends_at: UnixMillis,
    /// True if it moved the end.
    pub extended: bool,
    /// The bid's idempotency key; the wire protocol has none.
    pub key: Option<Box<CommandKey>>,
}

/// A buyer got an order of what the auction sells: the winner, or the next. The seq of this event is the order's
/// number; the order awaits its payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuctionAwarded {
    pub buyer: Digest,
    /// The buyer's bid that is awarded.
    pub bid: Seq,
    pub unit_price: UnitPrice,
    /// The exclusive end of the time to pay.
    pub expires_at: UnixMillis,
}

impl AuctionEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            AuctionEvent::Created(_) => "auction_created",
            AuctionEvent::Started => "auction_started",
            AuctionEvent::BidPlaced(_) => "bid_placed", // not sent: too frequent; the stream of the auction has it
            AuctionEvent::Ended { .. } => "auction_ended",
            AuctionEvent::Cancelled { .. } => "auction_cancelled",
            AuctionEvent::Awarded(_) => "auction_awarded",
            AuctionEvent::ContactErased { .. } => "bidder_contact_erased", // not sent: for the audit
        }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, id: AuctionId, body: &AuctionEvent) {
    match body {
        AuctionEvent::Created(created) => create(state, event, id, created),
        AuctionEvent::Started => {
            state.unschedule_auction(id);
            entry(state, id).state = AuctionState::Live;
            state.schedule_auction(id);
        }
        AuctionEvent::BidPlaced(bid) => take_bid(state, event, id, bid),
        AuctionEvent::Ended { ending } => {
            state.unschedule_auction(id);
            let auction = entry(state, id);
            auction.state = AuctionState::Ended(*ending);
            auction.ends_at = auction.ends_at.min(event.at);
            if *ending != AuctionEnding::Sold {
                auction.best.clear();
            }
            state.schedule_award(id, event.at);
        }
        AuctionEvent::Cancelled { .. } => {
            state.unschedule_auction(id);
            let auction = entry(state, id);
            auction.state = AuctionState::Cancelled;
            auction.ends_at = auction.ends_at.min(event.at);
            auction.best.clear();
        }
        AuctionEvent::Awarded(awarded) => {
            let AuctionAwarded { buyer, unit_price, expires_at, .. } = *awarded;
            let (key, quantity) = (Digest::of_award(event.seq), Quantity::ONE);
            let reserved = OrderReserved { buyer, key, quantity, unit_price, expires_at };
            order::made(state, event, &reserved, None, OrderState::AwaitingPayment);
            state.unschedule_award(id);
            let auction = entry(state, id);
            auction.best.remove(&awarded.buyer);
            auction.awards = auction.awards.saturating_add(1);
        }
        AuctionEvent::ContactErased { .. } => {}
    }
}

fn create(state: &mut State, event: EventHeader, id: AuctionId, created: &AuctionCreated) {
    let AuctionCreated { spec, key } = created;
    let Some(drop_id) = event.drop_id() else { return };
    assert_eq!(drop_id.place_in(state.shard), state.drops.len(), "drops are numbered in order");
    assert_eq!(id.place_in(state.shard), state.auctions.len(), "auctions are numbered in order");
    let mut hidden = DropEntry::created(drop_id, Box::new(spec.hidden_drop(event.at)), event.seq, event.at);
    hidden.auction = Some(id);
    state.drops.push(hidden);
    state.remember(key, event, u64::from(drop_id.get()));
    state.auctions.push(AuctionEntry::created(id, drop_id, spec.clone(), event.at));
    state.schedule_auction(id);
}

/// Changes the state by an accepted bid.
fn take_bid(state: &mut State, event: EventHeader, id: AuctionId, bid: &BidPlaced) {
    let BidPlaced { buyer, amount, maximum, leads, current, ends_at, extended, key } = bid;
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
    let drop_id = auction.drop_id;
    if *extended {
        auction.extensions = auction.extensions.saturating_add(1);
        auction.ends_at = *ends_at;
        state.schedule_auction(id);
    }
    if let Some(key) = key {
        state.remember(key, event, u64::from(drop_id.get()));
    }
}

/// The event of an auction that is due, with its header: its start, its end, or the offer to the winner or the next buyer.
pub(in crate::engine) fn due(
    state: &State,
    at: UnixMillis,
    due: Due,
) -> Option<(EventHeader, AuctionId, AuctionEvent)> {
    let (Due::AuctionStart(id) | Due::AuctionOffer(id) | Due::AuctionEnd(id)) = due else { return None };
    let (auction, hidden) = find(state, id).ok()?;
    let (seq, drop_id) = (state.seq.next(), auction.drop_id);
    let of_the_auction = EventSubject::Drop(drop_id);
    let (prev_seq, subject, event) = if due == Due::AuctionStart(id) {
        (hidden.last_seq, of_the_auction, AuctionEvent::Started)
    } else if due == Due::AuctionOffer(id) {
        let (buyer, Best { bid, .. }, unit_price) = auction.next_award()?;
        // A stop of the server is no time to pay.
        let expires_at = at.max(state.stopped_until).plus_seconds(auction.spec.payment_seconds);
        let awarded = AuctionAwarded { buyer, bid, unit_price, expires_at };
        (Seq::ZERO, EventSubject::Order { order: seq, drop_id }, AuctionEvent::Awarded(awarded))
    } else {
        let ending = match auction.current {
            None => AuctionEnding::NoBids,
            Some(current) if auction.spec.reserve_met(current) => AuctionEnding::Sold,
            Some(_) => AuctionEnding::ReserveNotMet,
        };
        (hidden.last_seq, of_the_auction, AuctionEvent::Ended { ending })
    };
    Some((EventHeader { seq, at, prev_seq, subject }, id, event))
}
