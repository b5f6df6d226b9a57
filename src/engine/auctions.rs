//! Auctions: one unit of a hidden drop, for the highest bidder.
//!
//! A bid is a command like any other: one queue, one order, one commit, one answer. What a buyer would pay at most may be
//! given secretly along with the amount (`maximum`): both maxima are resolved in one step (`bidding`). At the end the
//! leader gets an order of the hidden drop; if it is not paid in time, the next buyer is offered it.

use std::collections::BTreeMap;

use super::event::metadata::EventHeader;
use super::{DropEntry, DropSpec, Due, Refusal, State};
use crate::types::{
    Amount, AuctionEnding, AuctionId, AuctionState, ChallengeRule, Currency, Digest, DropId, IdentityLimits, Increment,
    Seq, UnitPrice, UnixMillis,
};

/// The parameters of an auction. Ranges are checked where requests are read (`api::json`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuctionSpec {
    /// The shop's number of the thing.
    pub sku: Box<str>,
    pub name: Box<str>,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The least that the first bid must be.
    pub start_price: UnitPrice,
    /// Below this it is not sold; a secret.
    pub reserve_price: Option<UnitPrice>,
    /// By how much a bid must exceed the price: from each price on, ascending; the first is from 0.
    pub increments: Box<[Increment]>,
    /// For this it is sold at once, until the first bid.
    pub buy_now: Option<UnitPrice>,
    /// From when on bids are taken.
    pub starts_at: UnixMillis,
    /// Until when (exclusively), unless late bids move it.
    pub ends_at: UnixMillis,
    /// A bid in the last so many seconds moves the end so many seconds away; 0: never.
    pub soft_close_seconds: u32,
    /// The most times that the end may move.
    pub extensions_max: u32,
    /// The end never moves beyond this.
    pub hard_end_at: Option<UnixMillis>,
    /// The time that the winner has to pay, in seconds.
    pub payment_seconds: u32,
    /// True if the next buyer is offered the unit when the one before does not pay.
    pub offer_next: bool,
    /// The most that a buyer may have to pay for all live auctions of this currency that they lead.
    pub exposure_limit: Option<Amount>,
}

impl AuctionSpec {
    /// The hidden drop that it sells one unit of, open from now on.
    #[must_use]
    pub fn hidden_drop(&self, at: UnixMillis) -> DropSpec {
        DropSpec {
            sku: self.sku.clone(),
            name: self.name.clone(),
            description: None,
            image_url: None,
            currency: self.currency,
            unit_price: self.start_price,
            total: 1,
            starts_at: at,
            ends_at: None,
            per_buyer_limit: 1,
            reservation_seconds: self.payment_seconds,
            payment_seconds: self.payment_seconds,
            identity_limits: IdentityLimits::default(),
            challenge: ChallengeRule::default(),
            room: None,
            commitment: None,
            blind_ms: 0,
        }
    }

    /// The least that the next bid must be.
    #[must_use]
    pub fn minimum_next(&self, current: Option<UnitPrice>) -> UnitPrice {
        current.map_or(self.start_price, |current| self.above(current))
    }

    /// A price and its increment, as far as prices go.
    #[must_use]
    pub fn above(&self, price: UnitPrice) -> UnitPrice {
        Increment::above(&self.increments, price)
    }

    /// Returns whether a price reaches the reserve price.
    #[must_use]
    pub fn reserve_met(&self, price: UnitPrice) -> bool {
        self.reserve_price.is_none_or(|reserve| reserve <= price)
    }
}

/// The leader of an auction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leader {
    pub buyer: Digest,
    pub bid: Seq,
    /// The amount of the standing bid.
    pub amount: UnitPrice,
    /// The most that the buyer would pay.
    pub maximum: UnitPrice,
}

/// The most that a buyer has bid, and with which bid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Best {
    /// The most that the buyer would pay.
    pub maximum: UnitPrice,
    /// The bid that named this maximum first.
    pub bid: Seq,
}

/// An auction in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuctionEntry {
    pub id: AuctionId,
    pub drop_id: DropId,
    pub spec: Box<AuctionSpec>,
    /// Until when (exclusively), as late bids have moved it.
    pub ends_at: UnixMillis,
    /// The number of times that the end has moved.
    pub extensions: u32,
    pub state: AuctionState,
    pub current: Option<UnitPrice>,
    pub leader: Option<Leader>,
    /// The number of accepted bids.
    pub bids: u64,
    /// The maxima of buyers who have not been offered the unit yet; empty once a buyer has paid.
    pub best: BTreeMap<Digest, Best>,
    /// The number of buyers who were awarded an order.
    pub awards: u32,
}

impl AuctionEntry {
    /// An auction as its creation makes it.
    #[must_use]
    pub fn created(id: AuctionId, drop_id: DropId, spec: Box<AuctionSpec>, at: UnixMillis) -> AuctionEntry {
        let state = if spec.starts_at <= at { AuctionState::Live } else { AuctionState::Scheduled };
        AuctionEntry {
            id,
            drop_id,
            ends_at: spec.ends_at,
            spec,
            extensions: 0,
            state,
            current: None,
            leader: None,
            bids: 0,
            best: BTreeMap::new(),
            awards: 0,
        }
    }

    /// The least that the next bid must be.
    #[must_use]
    pub fn minimum_next(&self) -> UnitPrice {
        self.spec.minimum_next(self.current)
    }

    /// Returns whether a bid of this amount is high enough. At the highest price that there is, none is.
    #[must_use]
    pub fn is_beaten_by(&self, amount: UnitPrice) -> bool {
        amount >= self.minimum_next() && self.current.is_none_or(|current| current < amount)
    }

    /// Notes what a buyer would pay. Who would pay the same again said so first then.
    pub fn note_best(&mut self, buyer: Digest, said: Best) {
        let best = self.best.entry(buyer).or_insert(said);
        if best.maximum < said.maximum {
            *best = said;
        }
    }

    /// The buyer who is offered the unit next, and the amount: the leader at the price, later ones at the most that they bid.
    #[must_use]
    pub fn next_award(&self) -> Option<(Digest, Best, UnitPrice)> {
        if self.awards > 0 && !self.spec.offer_next {
            return None;
        }
        // The highest; of equals the earlier.
        let best = self.best.iter().max_by_key(|(_, best)| (best.maximum, std::cmp::Reverse(best.bid)));
        let (buyer, best) = best.filter(|(_, best)| self.spec.reserve_met(best.maximum))?;
        let price = if self.awards == 0 { self.current.unwrap_or(best.maximum) } else { best.maximum };
        Some((*buyer, *best, price))
    }

    /// Returns whether a buyer must be offered the unit: the auction ended as sold, no buyer has it, and one is left.
    #[must_use]
    pub fn owes_an_award(&self, hidden: &DropEntry) -> bool {
        self.state == AuctionState::Ended(AuctionEnding::Sold) && hidden.taken() == 0 && self.next_award().is_some()
    }
}

/// An auction that a command names, and its hidden drop.
pub(super) fn find(state: &State, id: AuctionId) -> Result<(&AuctionEntry, &DropEntry), Refusal> {
    let auction = state.auctions.get(id.place_in(state.shard)).ok_or(Refusal::NotFound)?;
    Ok((auction, state.drop_entry(auction.drop_id).ok_or(Refusal::NotFound)?))
}

/// Refuses bids on an auction that does not take them now.
pub(super) fn closed(auction: &AuctionEntry) -> Result<(), Refusal> {
    match auction.state {
        AuctionState::Live => Ok(()),
        AuctionState::Scheduled => Err(Refusal::NotStarted { starts_at: auction.spec.starts_at }),
        AuctionState::Ended(_) | AuctionState::Cancelled => Err(Refusal::Ended { ends_at: auction.ends_at }),
    }
}

/// An order was paid: if its drop is an auction's, no other buyer is offered the unit.
pub(super) fn paid(state: &mut State, event: EventHeader) {
    if let Some(auction) = event.drop_id().and_then(|drop_id| state.auction_of(drop_id)) {
        state.unschedule_award(auction);
        entry(state, auction).best.clear();
    }
}

/// An order gave its units back: if its drop is an auction's, the next buyer is offered the unit.
pub(super) fn offer_again(state: &mut State, event: EventHeader) {
    if let Some(auction) = event.drop_id().and_then(|drop_id| state.auction_of(drop_id)) {
        state.schedule_award(auction, event.at);
    }
}

/// An auction that an event names.
pub(super) fn entry(state: &mut State, id: AuctionId) -> &mut AuctionEntry {
    let found = state.auctions.get_mut(id.place_in(state.shard));
    found.unwrap_or_else(|| panic!("an event is about auction {id}, which does not exist"))
}

impl State {
    /// An auction, if there is one of this number.
    #[must_use]
    pub fn auction(&self, id: AuctionId) -> Option<&AuctionEntry> {
        self.auctions.get(id.place_in(self.shard))
    }

    /// All auctions, in the order of their ids.
    pub fn auctions(&self) -> impl Iterator<Item = &AuctionEntry> {
        self.auctions.iter()
    }

    /// Returns whether an auction's unit, or one for which buyers stand by, is offered to a buyer, or a waiting room admits buyers, or
    /// may, if the state advances to `at`.
    #[must_use]
    pub fn offers_a_unit_until(&self, at: UnixMillis) -> bool {
        let due = self.due.iter().take_while(|(due_at, _)| *due_at <= at);
        due.into_iter().any(|(_, due)| match due {
            Due::AuctionEnd(_) | Due::AuctionOffer(_) | Due::StandbyOffer(_) => true,
            Due::RoomAdmission(_) => true,
            Due::OrderExpiry(drop_id) | Due::DropStart(drop_id) => {
                self.auction_of(*drop_id).is_some() || self.has_standby(*drop_id) || self.has_room(*drop_id)
            }
            Due::RoomOpening(_) | Due::WindowEnd(_) | Due::AuctionStart(_) | Due::BeaconEnd(_) | Due::DropEnd(_) => {
                false
            }
        })
    }

    fn has_room(&self, drop_id: DropId) -> bool {
        self.drops.get(drop_id.place_in(self.shard)).is_some_and(|entry| entry.room.is_some())
    }

    fn auction_of(&self, drop_id: DropId) -> Option<AuctionId> {
        self.drops.get(drop_id.place_in(self.shard)).and_then(|entry| entry.auction)
    }

    /// Puts an auction's start or end on the list of what is due.
    pub(crate) fn schedule_auction(&mut self, id: AuctionId) {
        let Some(auction) = self.auctions.get(id.place_in(self.shard)) else { return };
        match auction.state {
            AuctionState::Scheduled => drop(self.due.insert((auction.spec.starts_at, Due::AuctionStart(id)))),
            AuctionState::Live => drop(self.due.insert((auction.ends_at, Due::AuctionEnd(id)))),
            AuctionState::Ended(_) | AuctionState::Cancelled => {}
        }
    }

    /// Takes it off the list.
    pub(crate) fn unschedule_auction(&mut self, id: AuctionId) {
        let Some(auction) = self.auctions.get(id.place_in(self.shard)) else { return };
        self.due.remove(&(auction.spec.starts_at, Due::AuctionStart(id)));
        self.due.remove(&(auction.ends_at, Due::AuctionEnd(id)));
    }

    /// Schedules the offer to the next buyer if one is owed.
    pub(crate) fn schedule_award(&mut self, id: AuctionId, at: UnixMillis) {
        let Some(auction) = self.auctions.get(id.place_in(self.shard)) else { return };
        let hidden = self.drops.get(auction.drop_id.place_in(self.shard));
        if hidden.is_some_and(|hidden| auction.owes_an_award(hidden)) {
            self.due.insert((at, Due::AuctionOffer(id)));
        }
    }

    pub(super) fn unschedule_award(&mut self, id: AuctionId) {
        // It is due at the instant that made it due, so it is among the first.
        let due = self.due.iter().find(|(_, due)| *due == Due::AuctionOffer(id)).copied();
        if let Some(due) = due {
            self.due.remove(&due);
        }
    }
}
