//! Auctions: reads, bids, and operators' commands.

use std::time::Instant;

use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use rusqlite::Connection;
use serde_json::json;

use super::cached_pages::{ListReaders, cached, cached_page, rendered_bids};
use super::orders::{order_response, purchase_response};
use super::{
    RouteEntry, accepted_seq, after_decision, example_reason, fault, prices, rejected, submit, submit_operation,
    with_write_headers,
};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::queries::{BidsQuery, BuyerQuery, DropsQuery};
use crate::api::json::{
    BidRequest, CreatedBody, auction_body, bid_body, bid_record_body, etag, parse_auction, parse_bid, parse_buy_now,
    parse_reason, receipt_body,
};
use crate::engine::{
    AuctionCommand, BidReceipt, BuyNow, CancelAuction, Command, CommandKey, CreateAuction, Effect, Outcome, PlaceBid,
    Subject,
};
use crate::http::allowed_responses::{ANOTHER_BUYER, AUCTION, BODY, BUSY, ID, KEY, QUERY, WRITER};
use crate::http::body::Body;
use crate::http::request::{Caching, Call, IDEMPOTENT_REPLAYED, created, json_at, tag, tagged};
use crate::http::route::ResponseBody::Json;
use crate::http::route::{COMPRESSED_FOR_SOME, Route};
use crate::http::worker::Worker;
use crate::read::lists::ListPage;
use crate::read::page_cache::{PageItem, PageKey, PagedList};
use crate::read::{AuctionRow, CachedResponse, auctions};
use crate::store::PrivateData;
use crate::telemetry::ReadSource;
use crate::types::digest_key::KeyScope;
use crate::types::{AuctionId, BuyerText, DropId, Seq, random};
use crate::writer::Decided;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/v1/auctions", "ListAuctions", "List auctions")
        .query::<DropsQuery>()
        .responds(&[200, 304], &[Json("AuctionPage")])
        .problems(&[QUERY, BUSY])
        .headers(COMPRESSED_FOR_SOME)
        .later(|worker, call| Box::pin(async move { list(worker, &call).await })),
    Route::public(Method::GET, "/v1/auctions/{auction_id}", "GetAuction", "Read an auction")
        .responds(&[200, 304], &[Json("Auction")])
        .problems(&[ID])
        .now(|worker, call| get(worker, call)),
    Route::public(Method::GET, "/v1/auctions/{auction_id}/bids", "ListBids", "List an auction's accepted bids")
        .query::<BidsQuery>()
        .responds(&[200, 304], &[Json("BidPage")])
        .problems(&[QUERY, ID, BUSY])
        .headers(COMPRESSED_FOR_SOME)
        .later(|worker, call| Box::pin(async move { bids(worker, &call).await })),
    Route::buyer(
        Method::GET,
        "/v1/auctions/{auction_id}/order",
        "GetAuctionOrder",
        "Read the order that an auction created",
    )
    .query::<BuyerQuery>()
    .responds(&[200, 304], &[Json("Order")])
    .problems(&[ANOTHER_BUYER, QUERY, ID])
    .links(&["GetOrder", "Checkout", "CancelOrder"])
    .now(|worker, call| order(worker, call)),
    Route::buyer(Method::POST, "/v1/auctions/{auction_id}/bids", "PlaceBid", "Place a bid")
        .body("NewBid", || json!({ "buyer": "buyer-7", "amount": 10000, "maximum": 15000 }))
        .responds(&[201], &[Json("Bid")])
        .problems(&[ANOTHER_BUYER, BODY, KEY, ID, AUCTION, &[Code::LimitReached], WRITER])
        .later(|worker, call| Box::pin(bid(worker, call))),
    Route::buyer(
        Method::POST,
        "/v1/auctions/{auction_id}/buy-now",
        "BuyNow",
        "Buy at the fixed price, before the first bid",
    )
    .body("NewPurchase", || json!({ "buyer": "buyer-7" }))
    .responds(&[201], &[Json("Order")])
    // A key belongs to its buyer and the auction; there are no other parameters that could differ.
    .problems(&[ANOTHER_BUYER, BODY, &[Code::KeyMissing], ID, AUCTION, WRITER])
    .links(&["GetOrder", "Checkout", "CancelOrder"])
    .later(|worker, call| Box::pin(buy_now(worker, call))),
    Route::admin(Role::Operator, Method::POST, "/v1/auctions", "CreateAuction", "Create an auction")
        .body("NewAuction", || {
            json!({
                "sku": "SHOE-1", "name": "The first shoe", "currency": "EUR", "start_price": 10000,
                "starts_at": "2026-11-21T09:00:00Z", "ends_at": "2099-11-21T10:00:00Z", "reserve_price": 20000,
                "increments": [[0, 100], [50000, 1000]], "buy_now": 90000, "soft_close_seconds": 60,
            })
        })
        .responds(&[201], &[Json("Auction")])
        .problems(&[BODY, KEY, ID, WRITER])
        .links(&["CancelAuction"])
        .later(|worker, call| Box::pin(create(worker, call))),
    Route::admin(
        Role::Operator,
        Method::POST,
        "/v1/auctions/{auction_id}/cancel",
        "CancelAuction",
        "Cancel an auction",
    )
    .body("Reason", example_reason)
    .responds(&[200], &[Json("Auction")])
    .problems(&[BODY, ID, &[Code::Ended], WRITER])
    .later(|worker, call| Box::pin(cancel(worker, call))),
];

/// Reads an auction.
pub(super) fn find_auction(worker: &Worker, id: AuctionId) -> Result<AuctionRow, Problem> {
    let row =
        worker.reader.read(|connection| auctions::auction_by_id(connection, id)).map_err(|error| fault(&error))?;
    row.ok_or(Problem::NotFound)
}

/// Makes an auction's cached response. Version, tag and JSON come from one row.
fn auction_response(row: &AuctionRow, epoch: u64) -> CachedResponse {
    CachedResponse {
        version: row.version.get(),
        etag: tag(&etag("a", u64::from(row.id.get()), epoch, row.version)),
        body: auction_body(row, epoch),
    }
}

/// `GET /v1/auctions/{auction_id}`.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let (_, CachedResponse { etag, body, .. }) = cached_auction(worker, call.auction_id()?, call.started)?;
    Ok(tagged(&call.parts.headers, etag, Caching::NoStore, body))
}

/// Returns an auction's cached response and its hidden drop. The read began at `started`.
pub(super) fn cached_auction(
    worker: &Worker,
    id: AuctionId,
    started: Instant,
) -> Result<(DropId, CachedResponse), Problem> {
    let render = || {
        let row = worker.reader.read(|connection| auctions::auction_by_id(connection, id))?;
        Ok(row.map(|row| (row.drop_id, auction_response(&row, worker.server.epoch))))
    };
    let found =
        worker.hot_auctions.borrow_mut().get(&worker.writer.published, id, render).map_err(|error| fault(&error))?;
    let (drop_id, found) = found.ok_or(Problem::NotFound)?;
    let source = if found.was_cached { ReadSource::Hot } else { ReadSource::Cold };
    worker.meter.borrow_mut().read(source, started.elapsed());
    Ok((drop_id, found.body))
}

/// `GET /v1/auctions`.
pub(super) async fn list(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    cached_page(worker, call, PagedList::Auctions, ListReaders { page: read_page, item: read_item }).await
}

fn page_item(row: &AuctionRow, epoch: u64) -> PageItem {
    PageItem { number: row.id.get(), drop_id: row.drop_id, version: row.version, body: auction_body(row, epoch) }
}

fn read_page(
    connection: &Connection,
    &DropsQuery { after, limit }: &DropsQuery,
    epoch: u64,
) -> rusqlite::Result<ListPage<PageItem>> {
    Ok(auctions::auctions(connection, after, limit)?.map(|row| page_item(row, epoch)))
}

fn read_item(connection: &Connection, number: u32, epoch: u64) -> rusqlite::Result<Option<PageItem>> {
    let row = AuctionId::new(number).map(|id| auctions::auction_by_id(connection, id)).transpose()?.flatten();
    Ok(row.map(|row| page_item(&row, epoch)))
}

/// `GET /v1/auctions/{auction_id}/bids`.
pub(super) async fn bids(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let BidsQuery { after, limit } = call.query()?;
    let start = Seq::new(after).ok_or_else(|| Problem::invalid("/after", "must be at most 2^48 - 1"))?;
    let id = call.auction_id()?;
    let (_, auction) = cached_auction(worker, id, call.started)?;
    let key = PageKey { list: PagedList::Bids(id), after, limit };
    let epoch = worker.server.epoch;
    cached(worker, call, key, auction.version, move |connection| {
        let Some(auction) = auctions::auction_by_id(connection, id)? else { return Ok(None) };
        let page = auctions::bids(connection, id, start, limit)?;
        let page = page.map(|bid| bid_record_body(bid, id, auction.leader_seq));
        Ok(Some(rendered_bids(key, epoch, (id, auction.version), &page)))
    })
    .await
}

/// `GET /v1/auctions/{auction_id}/order`: the auction creates its winner's order, so the winner learns its id here.
pub(super) fn order(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let BuyerQuery { buyer } = call.query()?;
    let named = call.asked_buyer(buyer)?;
    let id = call.auction_id()?;
    cached_auction(worker, id, call.started)?;
    let buyer = named.ok_or_else(|| Problem::invalid("/buyer", "is required without a buyer's token"))?;
    let row = worker.reader.read(|connection| auctions::last_order(connection, id)).map_err(|error| fault(&error))?;
    let row = row.filter(|row| *row.buyer == *buyer).ok_or(Problem::NotFound)?;
    Ok(order_response(worker, call, &row))
}

/// `POST /v1/auctions/{auction_id}/bids`.
pub(super) async fn bid(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    let request = parse_bid(&call.json(worker.body_bounds()).await?, call.caller.buyer())?;
    worker.admit_named(&call, &request.buyer, None)?;
    let key = call.idempotency_key()?;
    let auction_id = call.auction_id()?;
    let buyer = request.buyer.clone();
    let decided = submit_bid(worker, &call, auction_id, request, &key).await?;
    let done = accepted_seq(&decided)?;
    let standing = match &decided.outcome {
        Outcome::Accepted(Effect::Bid(receipt)) if !receipt.repeated => None,
        Outcome::Accepted(Effect::Bid(BidReceipt { seq, .. }))
        | Outcome::Repeated { subject: Subject::Bid(_, seq), .. } => Some(*seq),
        Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => {
            return Err(Problem::Internal);
        }
    };
    let body = match (&decided.outcome, standing) {
        (Outcome::Accepted(Effect::Bid(receipt)), None) => receipt_body(receipt, buyer.as_str(), decided.at),
        (_, seq) => current_bid_body(worker, auction_id, seq.unwrap_or(Seq::ZERO))?,
    };
    let mut response = created(body);
    if standing.is_some() {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, &decided))
}

/// Submits a bid and returns the decision.
pub(super) async fn submit_bid(
    worker: &Worker,
    call: &Call,
    auction_id: AuctionId,
    request: BidRequest,
    key: &[u8],
) -> Result<Decided, Problem> {
    let BidRequest { buyer: bidder, amount, maximum, contact } = request;
    let digests = &worker.writer.digest_key;
    let buyer = digests.buyer(bidder.as_str());
    // Without a maximum the amount is the maximum: both spellings are the same bid.
    let most = maximum.unwrap_or(amount);
    prices::check_bid(worker, auction_id, amount, most)?;
    let key = CommandKey {
        digest: digests.command_key(KeyScope::Bid(auction_id, buyer), "", key),
        params: digests.params(format!("{} {}", amount.get(), most.get()).as_bytes()),
    };
    let bid = PlaceBid { auction_id, buyer, amount, maximum, key: Some(Box::new(key)) };
    let command = Command::Auction(AuctionCommand::Bid(bid));
    let private_data = match contact {
        None => PrivateData::Bid { buyer: bidder },
        Some(contact) => PrivateData::BidWithContact { buyer: bidder, contact: Box::new(contact) },
    };
    submit(worker, &call.caller, command, Some(private_data)).await
}

/// Returns the body of a bid with its present state.
fn current_bid_body(worker: &Worker, id: AuctionId, seq: Seq) -> Result<CreatedBody, Problem> {
    let rows = worker.reader.read(|connection| {
        let auction = auctions::auction_by_id(connection, id)?;
        Ok(auctions::bid_by_seq(connection, id, seq)?.zip(auction))
    });
    let (bid, auction) = rows.map_err(|error| after_decision(fault(&error)))?.ok_or(Problem::Internal)?;
    Ok(bid_body(&bid, &auction))
}

/// `POST /v1/auctions/{auction_id}/buy-now`.
pub(super) async fn buy_now(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    let buyer = parse_buy_now(&call.json(worker.body_bounds()).await?, call.caller.buyer())?;
    worker.admit_named(&call, &buyer, None)?;
    let key = call.idempotency_key()?;
    let auction = find_auction(worker, call.auction_id()?)?;
    purchase_response(worker, &submit_buy_now(worker, &call, &auction, buyer, &key).await?)
}

/// Submits a purchase at the fixed price and returns the decision.
pub(super) async fn submit_buy_now(
    worker: &Worker,
    call: &Call,
    auction: &AuctionRow,
    buyer: BuyerText,
    key: &[u8],
) -> Result<Decided, Problem> {
    prices::check_buy_now(worker, auction)?;
    let AuctionRow { id, drop_id, .. } = *auction;
    let digests = &worker.writer.digest_key;
    let digest = digests.buyer(buyer.as_str());
    let key = digests.order_key(drop_id, &digest, key);
    let command = Command::Auction(AuctionCommand::BuyNow(BuyNow { auction_id: id, buyer: digest, key }));
    let private_data = PrivateData::Order { secret: random::order_secret(drop_id.shard()), buyer, contact: None };
    submit(worker, &call.caller, command, Some(private_data)).await
}

/// `POST /v1/auctions`.
pub(super) async fn create(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let spec = parse_auction(&call.json(worker.body_bounds()).await?, &worker.server.config.auctions)?;
    prices::check_new_auction(worker, &spec)?;
    let key = call.idempotency_key()?;
    let digests = &worker.writer.digest_key;
    let key = CommandKey {
        digest: digests.command_key(KeyScope::CreateAuction, call.operator_name(), &key),
        params: digests.params(format!("{spec:?}").as_bytes()),
    };
    let create = AuctionCommand::Create(CreateAuction { key, spec: Box::new(spec) });
    operate(worker, &call, create, StatusCode::CREATED).await
}

/// `POST /v1/auctions/{auction_id}/cancel`.
pub(super) async fn cancel(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let reason = parse_reason(&call.json(worker.body_bounds()).await?)?;
    let auction_id = call.auction_id()?;
    let reason = call.signed(reason);
    operate(worker, &call, AuctionCommand::Cancel(CancelAuction { auction_id, reason }), StatusCode::OK).await
}

/// Submits an operator's command on an auction and responds with the auction's new state.
async fn operate(
    worker: &Worker,
    call: &Call,
    command: AuctionCommand,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    let has_key = matches!(command, AuctionCommand::Create(_));
    let decided = submit_operation(worker, call, has_key, Command::Auction(command), None).await?;
    let done = accepted_seq(&decided)?;
    let Some(Subject::Auction(id)) = decided.outcome.subject() else { return Err(Problem::Internal) };
    let body = auction_body(&find_auction(worker, id).map_err(after_decision)?, worker.server.epoch);
    let mut response = json_at(status, body, &format!("/v1/auctions/{id}"));
    if done.repeated && has_key {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, &decided))
}
