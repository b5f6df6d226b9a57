//! Events of auctions and bids.

use super::{Event, OrderReserved, order};
use crate::engine::auctions::{entry, position};
use crate::engine::drops::index;
use crate::engine::{AuctionEntry, AuctionSpec, CommandKey, DropEntry, State, bidding};
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
    /// Whether the buyer leads after it.
    pub leads: bool,
    /// The price after it.
    pub current: UnitPrice,
    /// The exclusive end of the auction after it.
    pub ends_at: UnixMillis,
    /// Whether it moved the end.
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
            AuctionEvent::BidPlaced(_) => "bid_placed",
            AuctionEvent::Ended { .. } => "auction_ended",
            AuctionEvent::Cancelled { .. } => "auction_cancelled",
            AuctionEvent::Awarded(_) => "auction_awarded",
        }
    }
}

pub(super) fn evolve(state: &mut State, event: &Event, id: AuctionId, body: &AuctionEvent) {
    match body {
        AuctionEvent::Created(created) => create(state, event, id, created),
        AuctionEvent::Started => {
            state.unschedule_auction(id);
            entry(state, id).state = AuctionState::Live;
            state.schedule_auction(id);
        }
        AuctionEvent::BidPlaced(bid) => bidding::evolve(state, event, id, bid),
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
            order::made(state, event, &reserved, OrderState::AwaitingPayment);
            state.unschedule_award(id);
            let auction = entry(state, id);
            auction.best.remove(&awarded.buyer);
            auction.awards = auction.awards.saturating_add(1);
        }
    }
}

fn create(state: &mut State, event: &Event, id: AuctionId, created: &AuctionCreated) {
    let AuctionCreated { spec, key } = created;
    let Some(drop_id) = event.drop_id() else { return };
    assert_eq!(index(drop_id), state.drops.len(), "drops are numbered in order");
    assert_eq!(position(id), state.auctions.len(), "auctions are numbered in order");
    let mut hidden = DropEntry::created(drop_id, Box::new(spec.hidden_drop(event.at)), event.seq, event.at);
    hidden.auction = Some(id);
    state.drops.push(hidden);
    state.remember(key, event, u64::from(drop_id.get()));
    state.auctions.push(AuctionEntry::created(id, drop_id, spec.clone(), event.at));
    state.schedule_auction(id);
}
