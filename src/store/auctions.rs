//! Rows of auctions and bids. All bids of a batch change their auction's row by one UPDATE.

use std::collections::BTreeMap;

use rusqlite::{Connection, Statement, params};
use serde_json::{Value, json};

use super::audit::Columns;
use super::chain::{BidSeal, Chain};
use super::private_data::PrivateData;
use crate::engine::{AuctionAwarded, AuctionCreated, AuctionEvent, AuctionSpec, BidPlaced, Event};
use crate::types::{Amount, AuctionId, AuctionState, DropId, Increment, Seq, UnitPrice, UnixMillis, hex};

/// The changes of a batch's bids to their auction.
#[derive(Default)]
struct AuctionChange {
    bids: u32,
    extensions: u32,
    leader: Option<Seq>,
    current: UnitPrice,
    ends_at: UnixMillis,
}

/// Writes the rows that events of auctions make.
pub(super) struct AuctionWriter<'conn> {
    insert_auction: Statement<'conn>,
    insert_bid: Statement<'conn>,
    move_auction: Statement<'conn>,
    set_state: Statement<'conn>,
    settle: Statement<'conn>,
    buyer_of: Statement<'conn>,
    changes: BTreeMap<AuctionId, AuctionChange>,
}

impl<'conn> AuctionWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<AuctionWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(AuctionWriter {
            insert_auction: prepare(
                "INSERT INTO auctions (id, drop_id, start_price, reserve_price, increments, buy_now, starts_at_ms,
                     planned_end_ms, soft_close_seconds, extensions_max, hard_end_at_ms, payment_seconds, offer_next,
                     exposure_limit, ends_at_ms, extensions, state, bids, settled)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?8, 0, ?15, 0, 0)",
            )?,
            insert_bid: prepare(
                "INSERT INTO bids (auction_id, seq, buyer, amount, maximum, leads, current, at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            move_auction: prepare(
                "UPDATE auctions SET bids = bids + ?2, extensions = extensions + ?3,
                     leader_seq = coalesce(?4, leader_seq), current = ?5, ends_at_ms = ?6
                 WHERE id = ?1",
            )?,
            set_state: prepare("UPDATE auctions SET state = ?2, ends_at_ms = min(ends_at_ms, ?3) WHERE id = ?1")?,
            settle: prepare("UPDATE auctions SET settled = 1 WHERE drop_id = ?1")?,
            buyer_of: prepare("SELECT buyer FROM bids WHERE auction_id = ?1 AND seq = ?2")?,
            changes: BTreeMap::new(),
        })
    }

    /// Writes what an event changes of an auction's rows.
    pub(super) fn record(
        &mut self,
        event: &Event,
        id: AuctionId,
        body: &AuctionEvent,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        match body {
            AuctionEvent::Created(created) => {
                let Some(drop_id) = event.drop_id() else { return Ok(()) };
                self.insert_auction(id, drop_id, &created.spec, event.at)
            }
            AuctionEvent::Started => {
                // A start leaves the end where it is.
                self.set_state.execute(params![id, AuctionState::Live, UnixMillis::MAX]).map(drop)
            }
            AuctionEvent::Ended { ending } => self.end(id, AuctionState::Ended(*ending), event.at),
            AuctionEvent::Cancelled { .. } => self.end(id, AuctionState::Cancelled, event.at),
            AuctionEvent::BidPlaced(bid) => self.insert_bid(event, id, bid, private_data, chain),
            AuctionEvent::Awarded(_) | AuctionEvent::ContactErased { .. } => Ok(()),
        }
    }

    fn insert_bid(
        &mut self,
        event: &Event,
        id: AuctionId,
        bid: &BidPlaced,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        let BidPlaced { amount, maximum, leads, current, ends_at, extended, .. } = bid;
        let Some(PrivateData::Bid { buyer } | PrivateData::BidWithContact { buyer, .. }) = private_data else {
            panic!("bid {} came without its buyer", event.seq)
        };
        let change = self.changes.entry(id).or_default();
        change.bids = change.bids.saturating_add(1);
        change.extensions = change.extensions.saturating_add(u32::from(*extended));
        (change.current, change.ends_at) = (*current, *ends_at);
        if *leads {
            change.leader = Some(event.seq);
        }
        let (seq, at, buyer) = (event.seq, event.at, buyer.as_str());
        chain.add_bid(&BidSeal { buyer, amount: *amount, maximum: *maximum, leads: *leads });
        self.insert_bid.execute(params![id, seq, buyer, amount, maximum, leads, current, at]).map(drop)
    }

    fn end(&mut self, id: AuctionId, state: AuctionState, at: UnixMillis) -> rusqlite::Result<()> {
        self.move_auctions()?;
        self.set_state.execute(params![id, state, at]).map(drop)
    }

    fn insert_auction(
        &mut self,
        id: AuctionId,
        drop_id: DropId,
        spec: &AuctionSpec,
        at: UnixMillis,
    ) -> rusqlite::Result<()> {
        let state = if spec.starts_at <= at { AuctionState::Live } else { AuctionState::Scheduled };
        self.insert_auction
            .execute(params![
                id,
                drop_id,
                spec.start_price,
                spec.reserve_price,
                increments_as_text(&spec.increments),
                spec.buy_now,
                spec.starts_at,
                spec.ends_at,
                spec.soft_close_seconds,
                spec.extensions_max,
                spec.hard_end_at,
                spec.payment_seconds,
                spec.offer_next,
                spec.exposure_limit,
                state,
            ])
            .map(drop)
    }

    /// Writes what the bids of the batch have changed.
    pub(super) fn move_auctions(&mut self) -> rusqlite::Result<()> {
        while let Some((id, change)) = self.changes.pop_first() {
            let AuctionChange { bids, extensions, leader, current, ends_at } = change;
            let rows = self.move_auction.execute(params![id, bids, extensions, leader, current, ends_at])?;
            assert_eq!(rows, 1, "auction {id} has a row");
        }
        Ok(())
    }

    /// Marks the auction of a paid order's drop as settled, if there is one.
    pub(super) fn settle(&mut self, drop_id: DropId) -> rusqlite::Result<()> {
        self.settle.execute(params![drop_id]).map(drop)
    }

    /// The buyer's text of a bid.
    pub(super) fn buyer_of(&mut self, id: AuctionId, bid: Seq) -> rusqlite::Result<String> {
        self.buyer_of.query_row(params![id, bid], |row| row.get(0))
    }
}

/// The audit's columns of an auction's event.
pub(super) fn columns(id: AuctionId, event: &AuctionEvent) -> Columns {
    match event {
        AuctionEvent::Created(AuctionCreated { spec, .. }) => {
            Columns { quantity: Some(1), ..Columns::of(auction_detail(id, spec)) }
        }
        // On the hot path: the rest is in `bids`. The amount is the price after the bid.
        AuctionEvent::BidPlaced(bid) => Columns { amount: i64::try_from(bid.current.get()).ok(), ..Columns::default() },
        AuctionEvent::Awarded(AuctionAwarded { bid, unit_price, .. }) => {
            let detail = json!({ "auction_id": id.get(), "bid_seq": bid.get(), "unit_price": unit_price.get() });
            Columns { quantity: Some(1), ..Columns::of(detail) }
        }
        AuctionEvent::Ended { ending } => Columns::of(json!({ "auction_id": id.get(), "ending": ending.as_str() })),
        AuctionEvent::Cancelled { reason } => Columns::of(json!({ "auction_id": id.get(), "reason": reason })),
        AuctionEvent::Started => Columns::default(),
        AuctionEvent::ContactErased { buyer } => {
            Columns::of(json!({ "auction_id": id.get(), "buyer": hex::encode(&buyer.0) }))
        }
    }
}

fn auction_detail(id: AuctionId, spec: &AuctionSpec) -> Value {
    let increments: Vec<_> =
        spec.increments.iter().map(|increment| [increment.from.get(), increment.step.get()]).collect();
    json!({
        "auction_id": id.get(),
        "sku": spec.sku,
        "name": spec.name,
        "currency": spec.currency.as_str(),
        "start_price": spec.start_price.get(),
        "reserve_price": spec.reserve_price.map(UnitPrice::get),
        "increments": increments,
        "buy_now": spec.buy_now.map(UnitPrice::get),
        "starts_at_ms": spec.starts_at.get(),
        "ends_at_ms": spec.ends_at.get(),
        "soft_close_seconds": spec.soft_close_seconds,
        "extensions_max": spec.extensions_max,
        "hard_end_at_ms": spec.hard_end_at.map(UnixMillis::get),
        "payment_seconds": spec.payment_seconds,
        "offer_next": spec.offer_next,
        "exposure_limit": spec.exposure_limit.map(Amount::get),
    })
}

/// `[[from, step], ...]`.
fn increments_as_text(increments: &[Increment]) -> String {
    let pairs: Vec<[u64; 2]> =
        increments.iter().map(|increment| [increment.from.get(), increment.step.get()]).collect();
    json!(pairs).to_string()
}

/// The increments out of their text.
pub(super) fn increments_of(text: &str) -> Option<Box<[Increment]>> {
    let pairs: Vec<[u64; 2]> = serde_json::from_str(text).ok()?;
    let increment =
        |[from, step]: [u64; 2]| Some(Increment { from: UnitPrice::new(from)?, step: UnitPrice::new(step)? });
    pairs.into_iter().map(increment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Digest, UnitPrice, UnixMillis};

    #[test]
    fn the_audit_of_an_auction_has_its_unit_and_the_price_after_a_bid() {
        let (id, price) = (AuctionId::new(1).expect("not 0"), UnitPrice::new(700).expect("a price"));
        let bid = Seq::new(4).expect("in range");
        let placed = BidPlaced {
            buyer: Digest([1; 16]),
            amount: UnitPrice::new(600).expect("a price"),
            maximum: UnitPrice::new(900).expect("a price"),
            leads: false,
            current: price,
            ends_at: UnixMillis::ZERO,
            extended: false,
            key: None,
        };
        let placed = columns(id, &AuctionEvent::BidPlaced(placed));
        assert_eq!((placed.quantity, placed.amount, placed.detail), (None, Some(700), None));
        let awarded = AuctionAwarded { buyer: Digest([1; 16]), bid, unit_price: price, expires_at: UnixMillis::ZERO };
        let awarded = columns(id, &AuctionEvent::Awarded(awarded));
        assert_eq!(awarded.quantity, Some(1));
        assert_eq!(awarded.detail, Some(json!({ "auction_id": 1, "bid_seq": 4, "unit_price": 700 })));
    }
}
