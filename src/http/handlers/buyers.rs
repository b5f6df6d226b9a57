//! Tiers of buyers that operators set.

use std::time::Instant;

use hyper::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{RouteEntry, accepted_seq, after_decision, fault, submit, with_write_headers};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::{buyer_tier_body, parse_tier};
use crate::engine::{BuyerCommand, Command, RemoveTier, SetTier};
use crate::http::allowed_responses::{BODY, ID, WRITER};
use crate::http::body::Body;
use crate::http::node;
use crate::http::request::{Call, empty, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::buyers;
use crate::store::PrivateData;
use crate::types::BuyerText;
use crate::writer::Decided;

const TIER: &str = "/v1/buyers/{buyer}/tier";

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(Role::Operator, Method::GET, TIER, "GetBuyerTier", "Read the tier of a buyer")
        .responds(&[200], &[Json("BuyerTier")])
        .problems(&[ID, &[Code::NotLeader]])
        .of_leader()
        .now(|worker, call| get(worker, call)),
    Route::admin(Role::Operator, Method::PUT, TIER, "SetBuyerTier", "Set the tier of a buyer")
        .body("NewBuyerTier", || json!({ "tier": "verified", "reason": "called us, is a person" }))
        .responds(&[200], &[Json("BuyerTier")])
        .problems(&[BODY, ID, WRITER])
        .links(&["GetBuyerTier", "RemoveBuyerTier"])
        .later(|worker, call| Box::pin(set(worker, call))),
    Route::admin(Role::Operator, Method::DELETE, TIER, "RemoveBuyerTier", "Remove an operator's tier of a buyer")
        .responds(&[204], &[])
        .problems(&[ID, WRITER])
        .later(|worker, call| Box::pin(async move { remove(worker, &call).await })),
];

/// `GET /v1/buyers/{buyer}/tier`.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    // Only the process that decides on writes knows their signals.
    if worker.writer.node.as_ref().is_some_and(|node| !node.may_lead()) {
        return Err(node::not_leader(worker));
    }
    respond(worker, &named(call)?)
}

/// `PUT /v1/buyers/{buyer}/tier`.
pub(super) async fn set(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (tier, expires_at, reason) = parse_tier(&call.json(worker.body_bounds()).await?)?;
    let name = named(&call)?;
    let buyer = worker.writer.digest_key.buyer(name.as_str());
    let command = BuyerCommand::SetTier(SetTier { buyer, tier, expires_at, reason: call.signed(reason) });
    let decided = operate(worker, &call, command, &name).await?;
    let done = accepted_seq(&decided)?;
    let response = respond(worker, &name).map_err(after_decision)?;
    Ok(with_write_headers(response, done.seq, &decided))
}

/// `DELETE /v1/buyers/{buyer}/tier`.
pub(super) async fn remove(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let name = named(call)?;
    let buyer = worker.writer.digest_key.buyer(name.as_str());
    let command = BuyerCommand::RemoveTier(RemoveTier { buyer, reason: call.signed("removed".into()) });
    let decided = operate(worker, call, command, &name).await?;
    let done = accepted_seq(&decided)?;
    Ok(with_write_headers(empty(StatusCode::NO_CONTENT), done.seq, &decided))
}

async fn operate(worker: &Worker, call: &Call, command: BuyerCommand, buyer: &BuyerText) -> Result<Decided, Problem> {
    let private_data = Some(PrivateData::Tier { buyer: buyer.clone() });
    submit(worker, &call.caller, Command::Buyer(Box::new(command)), private_data).await
}

/// Responds with the tier that the door takes now, and with what an operator has set.
fn respond(worker: &Worker, buyer: &BuyerText) -> Result<Response<Body>, Problem> {
    let set = worker.reader.read(|connection| buyers::tier(connection, buyer)).map_err(|error| fault(&error))?;
    let (door, now) = (&worker.server.admission.door, Instant::now());
    let body = buyer_tier_body(buyer, door.tier_of(buyer, None, now), set.as_ref(), door.risk().of(buyer, now));
    Ok(json(StatusCode::OK, body))
}

/// Reads the buyer in the path.
fn named(call: &Call) -> Result<BuyerText, Problem> {
    let decoded = percent_decode_str(&call.parameter).decode_utf8().ok();
    decoded.and_then(|name| BuyerText::new(&name)).ok_or(Problem::NotFound)
}
