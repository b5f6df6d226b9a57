//! Contacts: personal data. Each read is audited before the data is shown.

use hyper::{Method, Response, StatusCode};

use super::auctions::cached_auction;
use super::orders::find_order;
use super::{RouteEntry, accepted_seq, after_decision, fault, submit, with_write_headers};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::contact_body;
use crate::api::json::queries::BidderQuery;
use crate::engine::{AuctionCommand, Command, OrderCommand};
use crate::http::allowed_responses::{ID, QUERY, WRITER};
use crate::http::body::Body;
use crate::http::request::{Call, empty, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{auctions, rows};
use crate::store::PrivateData;
use crate::types::BuyerText;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(
        Role::Operator,
        Method::GET,
        "/v1/orders/{order_id}/contact",
        "ReadContact",
        "Read a buyer's contact (audited)",
    )
    .responds(&[200], &[Json("Contact")])
    .problems(&[ID, WRITER])
    .later(|worker, call| Box::pin(async move { read(worker, &call).await })),
    Route::admin(
        Role::Owner,
        Method::DELETE,
        "/v1/orders/{order_id}/contact",
        "EraseContact",
        "Erase a buyer's contact (audited)",
    )
    .responds(&[204], &[])
    .problems(&[ID, WRITER])
    .later(|worker, call| Box::pin(async move { erase(worker, &call).await })),
    Route::admin(
        Role::Owner,
        Method::DELETE,
        "/v1/auctions/{auction_id}/bidder-contact",
        "EraseBidderContact",
        "Erase the contact that a bidder gave (audited)",
    )
    .query::<BidderQuery>()
    .responds(&[204], &[])
    .problems(&[QUERY, ID, WRITER])
    .later(|worker, call| Box::pin(async move { erase_of_bidder(worker, &call).await })),
];

/// `GET /v1/orders/{order_id}/contact`.
pub(super) async fn read(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let order = find_order(worker, call)?.seq;
    let find = || worker.reader.read(|connection| rows::contact_of(connection, order)).map_err(|error| fault(&error));
    find()?.ok_or(Problem::NotFound)?;
    let decided = submit(worker, &call.caller, Command::Order(OrderCommand::ReadContact { order }), None).await?;
    let done = accepted_seq(&decided)?;
    // Read again: it may have been erased before this read was audited.
    let contact = find().map_err(after_decision)?.ok_or(Problem::NotFound)?;
    Ok(with_write_headers(json(StatusCode::OK, contact_body(&contact)), done.seq, &decided))
}

/// `DELETE /v1/orders/{order_id}/contact`.
pub(super) async fn erase(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let order = find_order(worker, call)?.seq;
    let decided = submit(worker, &call.caller, Command::Order(OrderCommand::EraseContact { order }), None).await?;
    let done = accepted_seq(&decided)?;
    Ok(with_write_headers(empty(StatusCode::NO_CONTENT), done.seq, &decided))
}

/// `DELETE /v1/auctions/{auction_id}/bidder-contact`.
pub(super) async fn erase_of_bidder(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let auction_id = call.auction_id()?;
    cached_auction(worker, auction_id, call.started)?;
    let BidderQuery { buyer } = call.query()?;
    let buyer = buyer.ok_or_else(|| Problem::invalid("/buyer", "is required"))?;
    let buyer = BuyerText::new(&buyer).ok_or_else(|| Problem::invalid("/buyer", "is no buyer"))?;
    let found = worker.reader.read(|connection| auctions::has_contact(connection, auction_id, &buyer));
    if !found.map_err(|error| fault(&error))? {
        return Err(Problem::NotFound);
    }
    let digest = worker.writer.digest_key.buyer(buyer.as_str());
    let command = Command::Auction(AuctionCommand::EraseContact { auction_id, buyer: digest });
    let decided = submit(worker, &call.caller, command, Some(PrivateData::Bid { buyer })).await?;
    let done = accepted_seq(&decided)?;
    Ok(with_write_headers(empty(StatusCode::NO_CONTENT), done.seq, &decided))
}
