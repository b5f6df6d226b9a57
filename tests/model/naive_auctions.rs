//! Auctions once more, as plain as can be: a list of bids, and every question answered by looking through it.

use firstcome::engine::{
    AuctionCommand, AuctionSpec, BidReceipt, BuyNow, CancelAuction, CommandKey, CreateAuction, Effect, Invalid,
    Outcome, PlaceBid, Refusal, Reservation, Subject,
};
use firstcome::store::PrivateData;
use firstcome::types::{
    Amount, AuctionEnding, AuctionId, AuctionState, Contact, Digest, DropId, IdentityDigests, OrderSecret, OrderState,
    Quantity, UnitPrice,
};

use super::World;
use super::naive::{Naive, NaiveDrop, NaiveOrder, instant, seq};

struct NaiveBid {
    seq: u64,
    buyer: Digest,
    amount: u64,
    maximum: u64,
    led: bool,
}

pub struct NaiveAuction {
    pub(super) drop: usize,
    spec: AuctionSpec,
    pub(super) state: AuctionState,
    ends: i64,
    extensions: u32,
    price: Option<u64>,
    bids: Vec<NaiveBid>,
    /// Who has been offered it.
    offered: Vec<Digest>,
    pub(super) settled: bool,
    /// Since when nobody has it.
    pub(super) free_since: i64,
}

fn price(n: u64) -> UnitPrice {
    UnitPrice::new(n).expect("a price")
}

impl NaiveAuction {
    fn above(&self, price: u64) -> u64 {
        let mut step = 1;
        for increment in &self.spec.increments {
            if increment.from.get() <= price {
                step = increment.step.get();
            }
        }
        price + step
    }
    fn minimum(&self) -> u64 {
        self.price.map_or(self.spec.start_price.get(), |price| self.above(price))
    }
    fn bids_of(&self, buyer: Digest) -> impl Iterator<Item = &NaiveBid> {
        self.bids.iter().filter(move |bid| bid.buyer == buyer)
    }
    /// The most of anybody but `without`; of equals the earlier.
    fn highest(&self, without: &[Digest]) -> Option<&NaiveBid> {
        let mut best: Option<&NaiveBid> = None;
        for bid in self.bids.iter().filter(|bid| !without.contains(&bid.buyer)) {
            if best.is_none_or(|best| best.maximum < bid.maximum) {
                best = Some(bid);
            }
        }
        best
    }
    fn next_offer(&self) -> Option<(&NaiveBid, u64)> {
        let first = self.offered.is_empty();
        if self.state != AuctionState::Ended(AuctionEnding::Sold) || self.settled || (!first && !self.spec.offer_next) {
            return None;
        }
        let bid = self.highest(&self.offered)?;
        let enough = self.spec.reserve_price.is_none_or(|reserve| reserve.get() <= bid.maximum);
        enough.then_some((bid, if first { self.price.expect("bids") } else { bid.maximum }))
    }
}

/// Returns a command's private data: every third price has a contact.
pub(super) fn private_data(world: &World, command: &AuctionCommand, contact: Contact) -> Option<PrivateData> {
    let contact = Box::new(contact);
    match command {
        AuctionCommand::BuyNow(BuyNow { buyer, .. }) => Some(PrivateData::Order {
            secret: OrderSecret::from_random(world.shard, [7; 10]),
            buyer: world.text_of(buyer),
            contact: None,
        }),
        AuctionCommand::Bid(PlaceBid { buyer, amount, .. }) if amount.get().is_multiple_of(3) => {
            Some(PrivateData::BidWithContact { buyer: world.text_of(buyer), contact })
        }
        AuctionCommand::Bid(PlaceBid { buyer, .. }) | AuctionCommand::EraseContact { buyer, .. } => {
            Some(PrivateData::Bid { buyer: world.text_of(buyer) })
        }
        _ => None,
    }
}

impl Naive {
    /// What is due of auctions: when, what, which.
    pub(super) fn auctions_due(&self) -> Vec<(i64, u8, usize, u64)> {
        let mut due = Vec::new();
        for (index, auction) in self.auctions.iter().enumerate() {
            match auction.state {
                AuctionState::Scheduled => due.push((auction.spec.starts_at.get(), 2, index, 0)),
                AuctionState::Live => due.push((auction.ends, 10, index, 0)),
                _ => {}
            }
            let taken = self.held(auction.drop) + self.sold(auction.drop);
            if taken == 0 && auction.next_offer().is_some() {
                due.push((auction.free_since, 7, index, 0));
            }
        }
        due
    }

    pub(super) fn do_due(&mut self, kind: u8, index: usize, when: i64) {
        let auction = &mut self.auctions[index];
        match kind {
            2 => auction.state = AuctionState::Live,
            10 => {
                auction.free_since = when;
                auction.state = AuctionState::Ended(match (auction.price, auction.spec.reserve_price) {
                    (None, _) => AuctionEnding::NoBids,
                    (Some(price), Some(reserve)) if price < reserve.get() => AuctionEnding::ReserveNotMet,
                    _ => AuctionEnding::Sold,
                });
            }
            _ => {
                let (bid, price) = auction.next_offer().expect("it is due");
                let (buyer, seconds) = (bid.buyer, auction.spec.payment_seconds);
                auction.offered.push(buyer);
                let drop = auction.drop;
                self.orders.push(NaiveOrder {
                    seq: self.events,
                    drop,
                    buyer,
                    key: Digest::of_award(seq(self.events)),
                    identities: IdentityDigests::default(),
                    quantity: 1,
                    returned: 0,
                    unit_price: price,
                    state: OrderState::AwaitingPayment,
                    expires_at: when + i64::from(seconds) * 1000,
                    left_at: None,
                    settled: Vec::new(),
                    payments: Vec::new(),
                });
            }
        }
    }

    pub(super) fn left(&mut self, drop: usize, when: i64) {
        for auction in self.auctions.iter_mut().filter(|auction| auction.drop == drop) {
            auction.free_since = when;
        }
    }

    pub(super) fn paid_for(&mut self, drop: usize) {
        for auction in self.auctions.iter_mut().filter(|auction| auction.drop == drop) {
            auction.settled = true;
        }
    }

    fn auction(&self, id: AuctionId) -> Option<usize> {
        let index = self.index_of(id.get())?;
        (index < self.auctions.len()).then_some(index)
    }

    pub(super) fn on_auctions(&mut self, command: &AuctionCommand) -> Outcome {
        let id = match command {
            AuctionCommand::Create(CreateAuction { key, spec }) => return self.create_auction(key, spec),
            AuctionCommand::Bid(PlaceBid { auction_id, .. })
            | AuctionCommand::BuyNow(BuyNow { auction_id, .. })
            | AuctionCommand::Cancel(CancelAuction { auction_id, .. })
            | AuctionCommand::EraseContact { auction_id, .. } => *auction_id,
        };
        let Some(index) = self.auction(id) else { return self.refuse(Refusal::NotFound) };
        match command {
            AuctionCommand::Bid(PlaceBid { buyer, amount, maximum, key, .. }) => {
                let maximum = maximum.map_or(amount.get(), |maximum| maximum.get().max(amount.get()));
                self.bid(id, index, *buyer, amount.get(), maximum, key.as_deref())
            }
            AuctionCommand::BuyNow(BuyNow { buyer, key, .. }) => self.buy(index, *buyer, *key),
            AuctionCommand::EraseContact { .. } => self.accept(Subject::Auction(id)),
            _ => match self.auctions[index].state {
                AuctionState::Cancelled => self.repeat(Subject::Auction(id)),
                AuctionState::Ended(_) => self.refuse(Refusal::Ended { ends_at: instant(self.auctions[index].ends) }),
                _ => {
                    let at = self.at;
                    let auction = &mut self.auctions[index];
                    auction.state = AuctionState::Cancelled;
                    auction.ends = auction.ends.min(at);
                    self.accept(Subject::Auction(id))
                }
            },
        }
    }

    fn create_auction(&mut self, key: &CommandKey, spec: &AuctionSpec) -> Outcome {
        if let Some(known) = self.remembered(key) {
            let found = self.auctions.iter().position(|auction| u64::from(self.id_at(auction.drop)) == known.subject);
            return match found {
                Some(index) if known.key.params == key.params => {
                    let id = AuctionId::new(self.id_at(index)).expect("not 0");
                    self.repeat(Subject::Auction(id))
                }
                _ => self.refuse(Refusal::KeyReused),
            };
        }
        if spec.ends_at <= spec.starts_at {
            return self.refuse(Refusal::Invalid(Invalid::EndBeforeStart));
        }
        if spec.ends_at.get() <= self.at {
            return self.refuse(Refusal::Invalid(Invalid::EndInThePast));
        }
        let drop = self.drops.len();
        self.drops.push(NaiveDrop {
            spec: spec.hidden_drop(instant(self.at)),
            started: true,
            ended: false,
            paused: false,
            mismatch: false,
            hidden: true,
            revision: 1,
        });
        let live = spec.starts_at.get() <= self.at;
        self.auctions.push(NaiveAuction {
            drop,
            spec: spec.clone(),
            state: if live { AuctionState::Live } else { AuctionState::Scheduled },
            ends: spec.ends_at.get(),
            extensions: 0,
            price: None,
            bids: Vec::new(),
            offered: Vec::new(),
            settled: false,
            free_since: 0,
        });
        self.remember(key, u64::from(self.id_at(drop)));
        let id = self.id_at(self.auctions.len() - 1);
        self.accept(Subject::Auction(AuctionId::new(id).expect("not 0")))
    }

    fn closed(&self, index: usize) -> Option<Refusal> {
        let auction = &self.auctions[index];
        match auction.state {
            AuctionState::Live => None,
            AuctionState::Scheduled => Some(Refusal::NotStarted { starts_at: auction.spec.starts_at }),
            _ => Some(Refusal::Ended { ends_at: instant(auction.ends) }),
        }
    }

    fn buy(&mut self, index: usize, buyer: Digest, key: Digest) -> Outcome {
        if let Some(order) = self.by_key(key) {
            return self.repeat(Subject::Order(seq(order)));
        }
        if let Some(refusal) = self.closed(index) {
            return self.refuse(refusal);
        }
        let at = self.at;
        let auction = &self.auctions[index];
        let Some(unit_price) = auction.spec.buy_now else { return self.refuse(Refusal::NotFound) };
        if let Some(current) = auction.price {
            let (minimum_next, ends_at) = (price(auction.minimum()), instant(auction.ends));
            return self.refuse(Refusal::BidTooLow { current: price(current), minimum_next, ends_at });
        }
        let (drop, currency) = (auction.drop, auction.spec.currency);
        let expires_at = at + i64::from(auction.spec.payment_seconds) * 1000;
        self.events += 2;
        let number = self.events - 1;
        self.orders.push(NaiveOrder {
            seq: number,
            drop,
            buyer,
            key,
            identities: IdentityDigests::default(),
            quantity: 1,
            returned: 0,
            unit_price: unit_price.get(),
            state: OrderState::Reserved,
            expires_at,
            left_at: None,
            settled: Vec::new(),
            payments: Vec::new(),
        });
        let auction = &mut self.auctions[index];
        auction.state = AuctionState::Ended(AuctionEnding::BoughtNow);
        auction.ends = auction.ends.min(at);
        Outcome::Accepted(Effect::Reserved(Reservation {
            order: seq(number),
            seq: seq(number + 1),
            drop_id: DropId::new(self.id_at(drop)).expect("not 0"),
            state: OrderState::Reserved,
            quantity: Quantity::ONE,
            unit_price,
            currency,
            reserved_at: instant(at),
            expires_at: instant(expires_at),
        }))
    }

    fn bid(
        &mut self,
        id: AuctionId,
        index: usize,
        buyer: Digest,
        amount: u64,
        maximum: u64,
        key: Option<&CommandKey>,
    ) -> Outcome {
        let drop = self.auctions[index].drop;
        if let Some((key, known)) = key.and_then(|key| Some((key, self.remembered(key)?))) {
            return match known.key.params == key.params && known.subject == u64::from(self.id_at(drop)) {
                true => self.repeat(Subject::Bid(id, seq(known.seq))),
                false => self.refuse(Refusal::KeyReused),
            };
        }
        if let Some(refusal) = self.closed(index) {
            return self.refuse(refusal);
        }
        let auction = &self.auctions[index];
        let standing = auction.bids.iter().rev().find(|bid| bid.led);
        let leads = standing.is_some_and(|bid| bid.buyer == buyer);
        if let Some(standing) = standing.filter(|bid| bid.buyer == buyer && bid.amount == amount)
            && maximum <= standing.maximum
        {
            return self.receipt(id, index, standing.seq, true, true, amount);
        }
        // A leader's word stands: their maximum never goes down.
        let said = standing.filter(|bid| bid.buyer == buyer).map_or(0, |bid| bid.maximum);
        let raises = leads && standing.is_some_and(|bid| bid.amount == amount && bid.maximum < maximum);
        let too_low = amount < auction.minimum() || auction.price.is_some_and(|price| amount <= price);
        if too_low && !raises {
            let (minimum_next, ends_at) = (price(auction.minimum()), instant(auction.ends));
            let current = price(auction.price.unwrap_or(0));
            return self.refuse(Refusal::BidTooLow { current, minimum_next, ends_at });
        }
        if let Some(limit) = auction.spec.exposure_limit {
            let mut used = 0;
            for (other, auction) in self.auctions.iter().enumerate() {
                let standing = auction.bids.iter().rev().find(|bid| bid.led);
                if other != index && auction.state == AuctionState::Live {
                    used += standing.filter(|bid| bid.buyer == buyer).map_or(0, |bid| bid.maximum);
                }
            }
            if used + maximum.max(said) > limit.get() {
                return self.refuse(Refusal::ExposureReached { limit, used: Amount::new(used).expect("small") });
            }
        }
        self.add_bid(id, index, buyer, amount, maximum.max(said), key)
    }

    fn add_bid(
        &mut self,
        id: AuctionId,
        index: usize,
        buyer: Digest,
        amount: u64,
        maximum: u64,
        key: Option<&CommandKey>,
    ) -> Outcome {
        self.events += 1;
        let (number, at) = (self.events, self.at);
        let auction = &mut self.auctions[index];
        let leader = auction.bids.iter().rev().find(|bid| bid.led).map(|bid| (bid.buyer, bid.maximum));
        auction.bids.push(NaiveBid { seq: number, buyer, amount, maximum, led: false });
        let asked = auction.bids.iter().map(|bid| bid.amount).max().expect("one");
        let first = auction.highest(&[]).expect("one");
        let (top, top_buyer) = (first.maximum, first.buyer);
        let second = auction.highest(&[top_buyer]).map(|bid| bid.maximum);
        let alone = leader.is_none_or(|(leading, _)| leading == buyer);
        let mut now = match second {
            Some(second) if !alone => auction.price.unwrap_or(0).max(asked).max(top.min(auction.above(second))),
            _ => auction.price.unwrap_or(0).max(asked),
        };
        if let Some(reserve) = auction.spec.reserve_price.map(UnitPrice::get).filter(|reserve| now < *reserve) {
            // The leader's standing maximum, or the bidder's, if the bidder leads now.
            if reserve <= top {
                now = reserve;
            }
        }
        auction.price = Some(now);
        let leads = top_buyer == buyer;
        auction.bids.last_mut().expect("one").led = leads;
        let soft = i64::from(auction.spec.soft_close_seconds) * 1000;
        if soft > 0 && auction.extensions < auction.spec.extensions_max {
            let hard = auction.spec.hard_end_at.map_or(i64::MAX, |hard| hard.get());
            let moved = (at + soft).min(hard);
            if moved > auction.ends {
                auction.ends = moved;
                auction.extensions += 1;
            }
        }
        if let Some(key) = key {
            let subject = u64::from(self.above) + auction.drop as u64 + 1;
            self.remember_as(key, subject, number);
        }
        self.receipt(id, index, number, false, leads, amount)
    }

    fn receipt(&self, id: AuctionId, index: usize, number: u64, repeated: bool, leads: bool, amount: u64) -> Outcome {
        let auction = &self.auctions[index];
        Outcome::Accepted(Effect::Bid(BidReceipt {
            auction_id: id,
            seq: seq(number),
            repeated,
            leading: leads,
            amount: price(amount),
            current: price(auction.price.unwrap_or(0)),
            minimum_next: price(auction.minimum()),
            ends_at: instant(auction.ends),
            currency: auction.spec.currency,
        }))
    }

    /// One winner at a time; the winner pays at most what they said, and the leader at least what the second would and an
    /// increment, or all that they would.
    pub fn auctions_are_fair(&self) -> bool {
        self.auctions.iter().all(|auction| {
            let orders: Vec<_> = self.orders.iter().filter(|order| order.drop == auction.drop).collect();
            let one_has_it = orders.iter().map(|order| order.units()).sum::<u64>() <= 1;
            let mut awarded = orders.iter().filter(|order| order.is_award());
            let fair = awarded.clone().all(|order| {
                let most = auction.bids_of(order.buyer).map(|bid| bid.maximum).max();
                most.is_some_and(|most| order.unit_price <= most)
            });
            let enough = awarded.next().is_none_or(|order| {
                let most = auction.bids_of(order.buyer).map(|bid| bid.maximum).max().unwrap_or(0);
                let Some(second) = auction.highest(&[order.buyer]).map(|bid| bid.maximum) else { return true };
                // A leader who raised the own maximum later did not bid against it.
                let once = auction.bids_of(order.buyer).count() == 1;
                order.unit_price >= most.min(if once { auction.above(second) } else { second })
            });
            one_has_it && fair && enough
        })
    }

    /// What winners paid is theirs or goes back: nobody keeps the thing for less than its price, and of all whom it was
    /// offered to, only one has it and has paid for it. An operator may take it back and return a part of the money only.
    pub fn winners_money_is_accounted_for(&self) -> bool {
        let awarded = self.orders.iter().filter(|order| order.is_award());
        let fits = awarded.clone().all(|order| {
            // A payment that took the place of a refunded one may be larger than the price: the rest of it is owed back.
            let paying = order.payments.iter().filter(|paid| paid.pays);
            let (received, back) =
                paying.fold((0, 0), |(sum, back), paid| (sum + paid.received, back + paid.refunded + paid.due));
            order.state != OrderState::Paid
                || (order.kept() <= order.unit_price && received >= order.unit_price && order.kept() + back == received)
        });
        let once = self.auctions.iter().all(|auction| {
            let pays = |order: &&NaiveOrder| order.drop == auction.drop && order.kept() > 0 && order.units() > 0;
            self.orders.iter().filter(pays).count() <= 1
        });
        fits && once
    }

    /// Orders that auctions awarded and somebody paid; those of them of which something went back.
    pub fn winners(&self) -> [usize; 2] {
        let paid = self.orders.iter().filter(|order| order.is_award() && order.payments.iter().any(|paid| paid.pays));
        let back = paid.clone().filter(|order| order.payments.iter().any(|paid| paid.refunded + paid.due > 0));
        [paid.count(), back.count()]
    }
}

impl NaiveOrder {
    fn is_award(&self) -> bool {
        self.key == Digest::of_award(seq(self.seq))
    }
}
