//! The auctions of a run: created through the admin listener, or existing ones, read over the wire protocol.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::json;

use super::connection::{BidConnection, BidReply};
use super::plan::LoadAuction;
use super::report::words;
use super::tokens::{BidderIdentity, BidderTokens};
use crate::client::http::HttpClient;
use crate::client::wire::WireClient;
use crate::exit::Exit;
use crate::load::drops::{create_at, from_now};
use crate::wire::messages::{Bid, Request};
use crate::wire::reason;

/// The bidder of the first bid in an existing auction; no other bid of the run has this number.
const PROBER: u32 = u32::MAX;
/// The time from the run's end to that of its new auctions.
const OUTLAST: Duration = Duration::from_secs(600);
/// From this on, in steps of one: every price is the number of bids.
const START_PRICE: u64 = 1;

/// Creates auctions that have started.
///
/// # Errors
/// The admin listener cannot be reached, or refuses (69).
pub(super) async fn create(admin: &HttpClient, count: u32, deadline: Duration) -> Result<Vec<LoadAuction>, Exit> {
    let outlast_ms = i64::try_from((deadline + OUTLAST).as_millis()).unwrap_or(i64::MAX);
    let starts_at = from_now(admin, -1_000).await?;
    let ends_at = from_now(admin, outlast_ms).await?;
    let body = json!({
        "sku": "RUSH", "name": "Rush", "currency": "EUR", "start_price": START_PRICE, "increments": [[0, 1]],
        "starts_at": starts_at, "ends_at": ends_at,
    });
    let mut made = Vec::new();
    for _ in 0..count {
        let auction = create_at(admin, "/v1/auctions", &body).await?;
        let id = auction["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| Exit::unavailable("invalid response: an auction without an id"))?;
        made.push(LoadAuction { id, next: AtomicU64::new(START_PRICE), step: 1, before: 0 });
    }
    Ok(made)
}

/// Reads the next amount and the increment of existing auctions, with a first bid in each.
///
/// # Errors
/// An auction takes no bids, or there is no server (69).
pub(super) async fn look_up(wire: &WireClient, tokens: &BidderTokens, ids: &[u32]) -> Result<Vec<LoadAuction>, Exit> {
    let first = tokens.of_connection(0);
    let identity = BidderIdentity { user_id: first.token.map_or(PROBER, |_| first.user_id), ..first };
    let no = |why: String| Exit::unavailable(format!("{}: {why}; --wire names the listener", wire.authority));
    let mut connection = BidConnection::open(wire, identity).await.map_err(no)?;
    let mut found = Vec::new();
    for id in ids {
        let probed = probe(&mut connection, identity.user_id, *id).await;
        found.push(probed.map_err(|why| Exit::unavailable(format!("auction {id} at {}: {why}", wire.authority)))?);
    }
    Ok(found)
}

async fn probe(connection: &mut BidConnection, user_id: u32, id: u32) -> Result<LoadAuction, String> {
    let mut ask = async |amount| {
        connection.send_request(Request::Bid(Bid { auction_id: id, user_id, amount })).await?;
        match connection.receive().await? {
            BidReply::Result(result) => Ok(result),
            BidReply::Update(_) | BidReply::Ok | BidReply::Pong => Err("another reply to a bid".to_owned()),
        }
    };
    let mut result = ask(0).await?;
    if result.reason == reason::BID_TOO_LOW {
        result = ask(result.minimum_next).await?;
    }
    if result.reason != 0 {
        return Err(format!("takes no bids: {}", words(result.reason)));
    }
    let step = result.minimum_next.saturating_sub(result.current).max(1);
    Ok(LoadAuction { id, next: AtomicU64::new(result.minimum_next), step, before: result.current })
}

/// The prices of these auctions, in their order.
///
/// # Errors
/// There is no answer (69).
pub(super) async fn prices(
    wire: &WireClient,
    tokens: &BidderTokens,
    auctions: &[LoadAuction],
) -> Result<Vec<u64>, Exit> {
    let no = |why: String| Exit::unavailable(format!("the prices at {}: {why}", wire.authority));
    let mut found = Vec::new();
    // A connection has a limit of subscriptions.
    for some in auctions.chunks(SUBSCRIPTIONS) {
        let mut connection = BidConnection::open(wire, tokens.of_connection(0)).await.map_err(no)?;
        for auction in some {
            found.push(price_of(&mut connection, auction.id).await.map_err(no)?);
        }
    }
    Ok(found)
}

/// Subscriptions of one connection: fewer than any server's limit is likely to be.
const SUBSCRIPTIONS: usize = 16;

async fn price_of(connection: &mut BidConnection, id: u32) -> Result<u64, String> {
    connection.send_request(Request::Subscribe { auction_id: id, from_seq: 0 }).await?;
    loop {
        match connection.receive().await? {
            BidReply::Update(update) if update.auction_id == id => return Ok(update.current),
            BidReply::Update(_) | BidReply::Ok => {}
            BidReply::Result(_) | BidReply::Pong => return Err("a reply of another type".into()),
        }
    }
}
