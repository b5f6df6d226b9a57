//! Rows of auctions and bids. All bids of a batch change their auction's row by one UPDATE.

use std::collections::BTreeMap;

use rusqlite::{Connection, Statement, params};

use super::beside::Beside;
use crate::engine::{AuctionSpec, Event, EventKind};
use crate::types::{AuctionEnding, AuctionId, AuctionState, DropId, Increment, Seq, UnitPrice, UnixMillis};

/// What the bids of a batch change of their auction.
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

    /// Writes what an event of an auction says.
    #[expect(clippy::wildcard_enum_match_arm, reason = "its caller has sorted out the events of auctions")]
    pub(super) fn record(&mut self, event: &Event, beside: Option<&Beside>) -> rusqlite::Result<()> {
        match &event.kind {
            EventKind::AuctionCreated { auction_id, drop_id, spec, .. } => {
                self.insert_auction(*auction_id, *drop_id, spec, event.at)
            }
            EventKind::AuctionStarted { auction_id, .. } => {
                // A start leaves the end where it is.
                self.set_state.execute(params![auction_id, AuctionState::Live, UnixMillis::MAX]).map(drop)
            }
            EventKind::AuctionEnded { auction_id, ending, .. } => self.end(*auction_id, *ending, event.at),
            EventKind::AuctionCancelled { auction_id, .. } => {
                self.move_auctions()?;
                self.set_state.execute(params![auction_id, AuctionState::Cancelled, event.at]).map(drop)
            }
            EventKind::BidPlaced { auction_id, amount, maximum, leads, current, ends_at, extended, .. } => {
                let Some(Beside::Bid { buyer }) = beside else { panic!("bid {} came without its buyer", event.seq) };
                let change = self.changes.entry(*auction_id).or_default();
                change.bids = change.bids.saturating_add(1);
                change.extensions = change.extensions.saturating_add(u32::from(*extended));
                (change.current, change.ends_at) = (*current, *ends_at);
                if *leads {
                    change.leader = Some(event.seq);
                }
                let (seq, at, buyer) = (event.seq, event.at, buyer.as_str());
                let row = params![auction_id, seq, buyer, amount, maximum, leads, current, at];
                self.insert_bid.execute(row).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, id: AuctionId, ending: AuctionEnding, at: UnixMillis) -> rusqlite::Result<()> {
        self.move_auctions()?;
        self.set_state.execute(params![id, AuctionState::Ended(ending), at]).map(drop)
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

    /// Notes that somebody has paid, if the drop is an auction's.
    pub(super) fn settle(&mut self, drop_id: DropId) -> rusqlite::Result<()> {
        self.settle.execute(params![drop_id]).map(drop)
    }

    /// Whose a bid is.
    pub(super) fn buyer_of(&mut self, id: AuctionId, bid: Seq) -> rusqlite::Result<String> {
        self.buyer_of.query_row(params![id, bid], |row| row.get(0))
    }
}

/// `[[from, step], ...]`.
fn increments_as_text(increments: &[Increment]) -> String {
    let pairs: Vec<[u64; 2]> =
        increments.iter().map(|increment| [increment.from.get(), increment.step.get()]).collect();
    serde_json::json!(pairs).to_string()
}

/// The increments out of their text.
pub(super) fn increments_of(text: &str) -> Option<Box<[Increment]>> {
    let pairs: Vec<[u64; 2]> = serde_json::from_str(text).ok()?;
    let increment =
        |[from, step]: [u64; 2]| Some(Increment { from: UnitPrice::new(from)?, step: UnitPrice::new(step)? });
    pairs.into_iter().map(increment).collect()
}
