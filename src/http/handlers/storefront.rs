//! The storefront: the list of what is sold, the pages of drops and auctions, and the form that reserves. The pages' scripts use
//! the API like any client; the form is for browsers without them.

use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

use super::orders::submit_order;
use super::pages::{contact_of, frame, html, refusal_text, see_other};
use super::{RouteEntry, accepted_seq, after_decision, challenges, fault};
use crate::api::Problem;
use crate::api::json::OrderRequest;
use crate::http::allowed_responses::{BODY, CHALLENGE, ID, WRITER};
use crate::http::body::{Body, read_form};
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{AuctionRow, DropRow, auctions, lists, rows};
use crate::types::{BuyerText, Quantity, hex, random};
use crate::web;
use crate::web::auction::Lot;
use crate::web::shop::{Offer, Purchase};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/", "Shop", "The list of the storefront")
        .page()
        .ignores_query()
        .responds(&[200], &[])
        .problems(&[ID])
        .now(|worker, call| list(worker, call)),
    Route::public(Method::GET, "/drops/{drop_id}", "ShopDrop", "The page of a drop")
        .page()
        .ignores_query()
        .responds(&[200, 404], &[])
        .now(|worker, call| drop_page(worker, call)),
    Route::public(Method::POST, "/drops/{drop_id}", "ShopReserve", "Reserve on the page of a drop")
        .page()
        .orders_drop()
        .ignores_query()
        // Refusals are pages, too.
        .responds(&[303, 409], &[])
        .problems(&[BODY, ID, CHALLENGE, WRITER])
        .later(|worker, call| Box::pin(reserve(worker, call))),
    Route::public(Method::GET, "/auctions/{auction_id}", "ShopAuction", "The page of an auction")
        .page()
        .ignores_query()
        .responds(&[200, 404], &[])
        .now(|worker, call| auction_page(worker, call)),
];

/// The most drops and the most auctions in the list: the newest.
const LISTED_MAX: u32 = 60;

fn check_enabled(worker: &Worker) -> Result<(), Problem> {
    if worker.server.config.storefront.enabled { Ok(()) } else { Err(Problem::NotFound) }
}

/// Returns an idempotency key: of one page for one buyer.
fn new_key() -> String {
    let mut key = [0u8; 16];
    random::fill(&mut key);
    hex::encode(&key)
}

fn offer(drop: DropRow) -> Offer {
    Offer {
        id: drop.id,
        price: drop.unit_price.times(Quantity::ONE),
        currency: drop.currency,
        total: drop.total,
        available: drop.available(),
        held: drop.held,
        sold: drop.sold,
        per_buyer_limit: drop.per_buyer_limit,
        reservation_seconds: drop.reservation_seconds,
        state: drop.state(),
        starts_at: drop.starts_at,
        ends_at: drop.ends_at,
        identity_limits: drop.identity_limits,
        name: drop.name,
        description: drop.description,
        image_url: drop.image_url,
    }
}

fn lot(auction: AuctionRow) -> Lot {
    Lot {
        id: auction.id,
        currency: auction.currency,
        state: auction.state,
        price: auction.current.unwrap_or(auction.start_price).times(Quantity::ONE),
        minimum_next: auction.minimum_next().times(Quantity::ONE),
        bids: auction.bids,
        reserve_met: auction.reserve_met,
        starts_at: auction.starts_at,
        ends_at: auction.ends_at,
        name: auction.name,
    }
}

/// `GET /`.
fn list(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    worker.note_read(call, None);
    let read = worker.reader.read(|connection| {
        Ok((lists::newest_drops(connection, LISTED_MAX)?, auctions::newest_auctions(connection, LISTED_MAX)?))
    });
    let (drops, auctions) = read.map_err(|error| fault(&error))?;
    let offers: Vec<_> = drops.into_iter().map(offer).collect();
    let lots: Vec<_> = auctions.into_iter().map(lot).collect();
    let page = web::shop::list(&frame(worker, call, "/"), &offers, &lots);
    Ok(html(worker, StatusCode::OK, page, offers.iter().filter_map(|offer| offer.image_url.as_deref())))
}

fn not_found(worker: &Worker, call: &Call) -> Response<Body> {
    html(worker, StatusCode::NOT_FOUND, web::not_found(&frame(worker, call, call.parts.uri.path())), [])
}

/// Renders the page of the drop in the path; `None` for an unknown one.
fn drop_with(
    worker: &Worker,
    call: &Call,
    status: StatusCode,
    refusal: Option<&str>,
) -> Result<Option<Response<Body>>, Problem> {
    let Ok(id) = call.drop_id() else { return Ok(None) };
    let row = worker.reader.read(|connection| rows::drop_by_id(connection, id)).map_err(|error| fault(&error))?;
    let Some(offer) = row.map(offer) else { return Ok(None) };
    let path = format!("/drops/{id}");
    let page = web::shop::drop(&frame(worker, call, &path), &offer, Purchase { key: &new_key(), refusal });
    Ok(Some(html(worker, status, page, offer.image_url.as_deref())))
}

/// `GET /drops/{drop_id}`.
fn drop_page(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    if check_enabled(worker).is_err() {
        return Ok(not_found(worker, call));
    }
    worker.note_read(call, call.drop_id().ok());
    Ok(drop_with(worker, call, StatusCode::OK, None)?.unwrap_or_else(|| not_found(worker, call)))
}

/// `GET /auctions/{auction_id}`.
fn auction_page(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let (Ok(()), Ok(id)) = (check_enabled(worker), call.auction_id()) else { return Ok(not_found(worker, call)) };
    worker.note_read(call, None);
    let row = worker.reader.read(|connection| auctions::auction_by_id(connection, id));
    let Some(lot) = row.map_err(|error| fault(&error))?.map(lot) else { return Ok(not_found(worker, call)) };
    let path = format!("/auctions/{id}");
    Ok(html(worker, StatusCode::OK, web::auction::auction(&frame(worker, call, &path), &lot), []))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReserveForm {
    key: String,
    buyer: Option<String>,
    quantity: u16,
    #[serde(default)]
    email: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    address: String,
}

/// `POST /drops/{drop_id}`, for browsers without scripts. They have no token, so that only a server that trusts names takes it.
async fn reserve(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    let drop_id = call.drop_id()?;
    let form: ReserveForm = read_form(&call.parts.headers, call.body.take(), worker.body_bounds()).await?;
    if worker.server.admission.buyers.is_some() {
        return Err(Problem::NotFound);
    }
    // A page whose script did not load sends no name.
    let ReserveForm { key, buyer, quantity, email, phone, address } = form;
    let contact = contact_of(&[("email", email), ("phone", phone), ("address", address)])?;
    let buyer = buyer.unwrap_or_else(|| format!("guest-{key}"));
    let buyer = BuyerText::new(&buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    let quantity = Quantity::new(quantity)
        .ok_or_else(|| Problem::invalid("/quantity", "must be a whole number from 1 to 65535"))?;
    worker.admit_named(&call, &buyer, Some(drop_id))?;
    challenges::refuse_needed(worker, &call, drop_id, &buyer)?;
    let request = OrderRequest { buyer, quantity, contact, payment_fingerprint: None };
    let (decided, _) = submit_order(worker, &call, drop_id, request, key.as_bytes()).await?;
    if let Err(problem) = accepted_seq(&decided) {
        let notice = refusal_text(&problem).ok_or(problem)?;
        let page = drop_with(worker, &call, StatusCode::CONFLICT, Some(&notice))?;
        return page.ok_or(Problem::NotFound);
    }
    let seq = decided.outcome.order_made().ok_or(Problem::Internal)?;
    let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
    let row = row.map_err(|error| after_decision(fault(&error)))?.ok_or(Problem::Internal)?;
    see_other(&frame(worker, &call, "").language.path(&format!("/orders/{}", row.id())))
}
