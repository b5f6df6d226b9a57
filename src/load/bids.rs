//! A run of bids: many connections bid over the wire protocol. At the end, the price of every auction must be its highest
//! acknowledged bid.
//!
//! `auctions` creates or reads the auctions, `bidder` bids, `subscribers` receive updates without bidding, `report` has the
//! table and the check.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::http::block_on;
use crate::exit::Exit;
use bidder::{BidLedger, Pacing, bid_all};
use plan::LoadAuction;
use report::BidReport;
use subscribers::Subscribers;

mod auctions;
mod bidder;
mod connection;
mod pacer;
mod plan;
mod report;
mod subscribers;
mod tokens;

pub(crate) use plan::{AUCTIONS_MAX, AuctionSource, BidPlan, LoadParams};
pub(crate) use tokens::BidderTokens;

/// Bids, and compares the prices with the acknowledged bids.
///
/// # Errors
/// 69 no server or no running auction, 70 a bug, 71 no thread or runtime.
pub(crate) fn run<'a>(bids: &'a BidPlan, params: &'a LoadParams<'_>) -> Result<BidReport<'a>, Exit> {
    let auctions: Arc<[LoadAuction]> = block_on(async {
        match &bids.source {
            AuctionSource::New(count) => auctions::create(params.admin, *count, params.deadline).await,
            AuctionSource::Existing(ids) => auctions::look_up(&bids.wire, &bids.tokens, ids).await,
        }
    })?
    .into();
    let subscribers = Subscribers::connect(bids, &auctions)?;
    let began = Instant::now();
    let ledger = bid(bids, params, &auctions, began)?;
    let took = ledger.last_answer.map_or(Duration::ZERO, |last| last.saturating_duration_since(began));
    let subscribed = subscribers.await_last_price(&ledger)?;
    let prices = block_on(auctions::prices(&bids.wire, &bids.tokens, &auctions))?;
    Ok(BidReport { bids, params, ledger, took, auctions, prices, subscribed })
}

/// All load threads, from their start to their end.
fn bid(
    bids: &BidPlan,
    params: &LoadParams<'_>,
    auctions: &Arc<[LoadAuction]>,
    began: Instant,
) -> Result<BidLedger, Exit> {
    let pace = match params.rate {
        // Each connection has its share of the rate.
        Some(rate) => Some(Duration::from_secs(1).mul_f64(params.connections as f64 / f64::from(rate))),
        None => bids.pace,
    };
    let threads: Vec<_> = (0..params.threads)
        .map(|thread| {
            let (auctions, bids) = (Arc::clone(auctions), bids.clone());
            let mine: Vec<usize> = (thread..params.connections).step_by(params.threads).collect();
            let (all, until) = (params.connections, began + params.deadline);
            std::thread::spawn(move || bid_all(&bids, &auctions, &mine, pace.map(|pace| Pacing { pace, all }), until))
        })
        .collect();
    let mut ledger = BidLedger::new().map_err(|error| Exit::bug(format!("histogram: {error}")))?;
    for thread in threads {
        let brought = thread.join().map_err(|_| Exit::bug("a load thread panicked"))?;
        ledger.add(brought.map_err(Exit::system)?);
    }
    Ok(ledger)
}
