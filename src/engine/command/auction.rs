//! Commands about auctions. How a bid moves the price is in `bidding`.

use super::CommandKey;
use crate::engine::auctions::{closed, find};
use crate::engine::bidding::{self, Resolved};
use crate::engine::event::{AuctionCreated, AuctionEvent, BidPlaced, OrderEvent, OrderReserved};
use crate::engine::{
    AuctionEntry, AuctionSpec, BidReceipt, Decision, DropEntry, Effect, EventBody, EventSubject, Invalid, Outcome,
    Refusal, Reservation, Subject,
};
use crate::types::published::DROPS_MAX;
use crate::types::{AuctionEnding, AuctionId, AuctionState, Digest, DropId, OrderState, Quantity, Seq, UnitPrice};

/// A command about an auction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuctionCommand {
    /// Opens a new auction, with its hidden drop.
    Create(CreateAuction),
    /// Bids in an auction.
    Bid(PlaceBid),
    /// Buys at once what an auction sells, before the first bid.
    BuyNow(BuyNow),
    /// Cancels an auction that has not ended.
    Cancel(CancelAuction),
    /// Erases the contact that a bidder gave.
    EraseContact { auction_id: AuctionId, buyer: Digest },
}

super::names!(AuctionCommand {
    Create = "create_auction",
    Bid = "place_bid",
    BuyNow = "buy_now",
    Cancel = "cancel_auction",
    EraseContact = "erase_bidder_contact",
});

/// The parameters of an auction's creation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateAuction {
    pub key: CommandKey,
    pub spec: Box<AuctionSpec>,
}

/// The parameters of a bid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceBid {
    pub auction_id: AuctionId,
    pub buyer: Digest,
    pub amount: UnitPrice,
    /// The most that the buyer would pay, a secret; the amount if not given.
    pub maximum: Option<UnitPrice>,
    /// Bids over the wire protocol have no idempotency key.
    pub key: Option<Box<CommandKey>>,
}

/// The parameters of a purchase before the first bid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuyNow {
    pub auction_id: AuctionId,
    pub buyer: Digest,
    /// The digest of (hidden drop, buyer, idempotency key).
    pub key: Digest,
}

/// The parameters of an auction's cancellation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelAuction {
    pub auction_id: AuctionId,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &AuctionCommand) -> Result<Outcome, Refusal> {
    match command {
        AuctionCommand::Create(command) => create(decision, command),
        AuctionCommand::Bid(bid) => place(decision, bid),
        AuctionCommand::BuyNow(command) => buy_now(decision, command),
        AuctionCommand::Cancel(command) => cancel(decision, command),
        AuctionCommand::EraseContact { auction_id, buyer } => erase_contact(decision, *auction_id, *buyer),
    }
}

/// Emits an event of the auction itself.
fn emit(decision: &mut Decision<'_>, auction: &AuctionEntry, hidden: &DropEntry, event: AuctionEvent) -> Seq {
    let body = EventBody::Auction { auction_id: auction.id, event };
    decision.emit(hidden.last_seq, EventSubject::Drop(hidden.id), body)
}

fn create(decision: &mut Decision<'_>, command: &CreateAuction) -> Result<Outcome, Refusal> {
    let CreateAuction { key, spec } = command;
    if let Some(remembered) = decision.state.command_keys.get(&key.digest) {
        let drop_id = u32::try_from(remembered.subject).ok().and_then(DropId::new);
        let known = drop_id.and_then(|id| decision.state.drop_entry(id)).and_then(|entry| entry.auction);
        return match known {
            Some(auction) if remembered.params == key.params => Ok(decision.repeat(Subject::Auction(auction))),
            _ => Err(Refusal::KeyReused),
        };
    }
    if spec.ends_at <= spec.starts_at {
        return Err(Refusal::Invalid(Invalid::EndBeforeStart));
    }
    if spec.ends_at <= decision.at() {
        return Err(Refusal::Invalid(Invalid::EndInThePast));
    }
    let next = |count: usize| u32::try_from(count.saturating_add(1)).ok();
    let (drops, shard) = (decision.state.drops.len(), decision.state.shard);
    let drop_id =
        next(drops).and_then(|number| DropId::in_shard(shard, number)).filter(|_| drops.saturating_add(1) < DROPS_MAX);
    let auction_id = next(decision.state.auctions.len()).and_then(|number| AuctionId::in_shard(shard, number));
    let (Some(drop_id), Some(auction_id)) = (drop_id, auction_id) else {
        return Err(Refusal::Invalid(Invalid::TooManyDrops));
    };
    let event = AuctionEvent::Created(AuctionCreated { spec: spec.clone(), key: *key });
    let body = EventBody::Auction { auction_id, event };
    let seq = decision.emit(Seq::ZERO, EventSubject::Drop(drop_id), body);
    Ok(Outcome::changed(seq, Subject::Auction(auction_id)))
}

fn place(decision: &mut Decision<'_>, bid: &PlaceBid) -> Result<Outcome, Refusal> {
    let (auction, hidden) = find(decision.state, bid.auction_id)?;
    let key = bid.key.as_deref();
    if let Some((key, remembered)) = key.and_then(|key| Some((key, decision.state.command_keys.get(&key.digest)?))) {
        let same = remembered.params == key.params && remembered.subject == u64::from(auction.drop_id.get());
        return if same {
            Ok(decision.repeat(Subject::Bid(bid.auction_id, remembered.seq)))
        } else {
            Err(Refusal::KeyReused)
        };
    }
    closed(auction)?;
    let maximum = bid.maximum.unwrap_or(bid.amount).max(bid.amount);
    let own = auction.leader.filter(|leader| leader.buyer == bid.buyer);
    if let Some(leader) = own.filter(|leader| leader.amount == bid.amount && maximum <= leader.maximum) {
        return Ok(Outcome::Accepted(Effect::Bid(standing_receipt(auction, bid, leader.bid))));
    }
    // Others were beaten by the leader's maximum: asking less does not take it back.
    let maximum = own.map_or(maximum, |leader| leader.maximum.max(maximum));
    let resolved = bidding::resolve(auction, bid.buyer, bid.amount, maximum);
    let Resolved { leads, current } = resolved.ok_or_else(|| bidding::too_low(auction))?;
    bidding::check_exposure(decision.state, auction, bid.buyer, maximum)?;
    let ends_at = bidding::end_after_bid(auction, decision.at());
    let event = AuctionEvent::BidPlaced(BidPlaced {
        buyer: bid.buyer,
        amount: bid.amount,
        maximum,
        leads,
        current,
        ends_at,
        extended: ends_at != auction.ends_at,
        key: bid.key.clone(),
    });
    let seq = emit(decision, auction, hidden, event);
    Ok(Outcome::Accepted(Effect::Bid(BidReceipt {
        auction_id: bid.auction_id,
        seq,
        repeated: false,
        leading: leads,
        amount: bid.amount,
        current,
        minimum_next: auction.spec.above(current),
        ends_at,
        currency: auction.spec.currency,
    })))
}

/// The receipt of a bidder's own standing bid that is made again.
fn standing_receipt(auction: &AuctionEntry, bid: &PlaceBid, seq: Seq) -> BidReceipt {
    BidReceipt {
        auction_id: bid.auction_id,
        seq,
        repeated: true,
        leading: true,
        amount: bid.amount,
        current: auction.current.unwrap_or_default(),
        minimum_next: auction.minimum_next(),
        ends_at: auction.ends_at,
        currency: auction.spec.currency,
    }
}

fn buy_now(decision: &mut Decision<'_>, command: &BuyNow) -> Result<Outcome, Refusal> {
    let BuyNow { auction_id, buyer, key } = *command;
    let (auction, hidden) = find(decision.state, auction_id)?;
    if let Some(remembered) = decision.state.order_keys.get(&key) {
        return Ok(decision.repeat(Subject::Order(remembered.seq)));
    }
    closed(auction)?;
    let unit_price = auction.spec.buy_now.ok_or(Refusal::NotFound)?;
    if auction.current.is_some() {
        return Err(bidding::too_low(auction));
    }
    let (drop_id, quantity, at) = (auction.drop_id, Quantity::ONE, decision.at());
    let expires_at = at.plus_seconds(auction.spec.payment_seconds);
    let reserved = OrderReserved { buyer, key, quantity, unit_price, expires_at };
    let order = decision.emit_new_order(drop_id, OrderEvent::Reserved(reserved));
    let seq = emit(decision, auction, hidden, AuctionEvent::Ended { ending: AuctionEnding::BoughtNow });
    Ok(Outcome::reserved(Reservation {
        order,
        seq,
        drop_id,
        state: OrderState::Reserved,
        quantity,
        unit_price,
        currency: auction.spec.currency,
        reserved_at: at,
        expires_at,
    }))
}

fn cancel(decision: &mut Decision<'_>, command: &CancelAuction) -> Result<Outcome, Refusal> {
    let (auction, hidden) = find(decision.state, command.auction_id)?;
    match auction.state {
        AuctionState::Cancelled => Ok(decision.repeat(Subject::Auction(auction.id))),
        AuctionState::Ended(_) => Err(Refusal::Ended { ends_at: auction.ends_at }),
        AuctionState::Scheduled | AuctionState::Live => {
            let seq = emit(decision, auction, hidden, AuctionEvent::Cancelled { reason: command.reason.clone() });
            Ok(Outcome::changed(seq, Subject::Auction(auction.id)))
        }
    }
}

/// Notes in the audit that a bidder's contact was erased. Which bidders gave one is in the file only.
fn erase_contact(decision: &mut Decision<'_>, auction_id: AuctionId, buyer: Digest) -> Result<Outcome, Refusal> {
    let (auction, hidden) = find(decision.state, auction_id)?;
    let seq = emit(decision, auction, hidden, AuctionEvent::ContactErased { buyer });
    Ok(Outcome::changed(seq, Subject::Auction(auction_id)))
}
