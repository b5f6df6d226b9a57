//! The storefront: the pages of drops, and the form that reserves. The pages' scripts use the API like any client; the form is
//! for browsers without them.

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

use super::orders::submit_order;
use super::page_problems::read_page_form;
use super::page_words::refusal_of;
use super::pages::{contact_of, frame, html, see_other};
use super::storefront_parts::{check_enabled, new_key, not_found};
use super::storefront_rooms::{page_path, place_of, waiting_room};
use super::storefront_standby::place_path;
use super::{RouteEntry, accepted_seq, after_decision, challenges, fault};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::{OrderRequest, Placing};
use crate::api::problem::whole_seconds;
use crate::engine::{Effect, Outcome};
use crate::http::allowed_responses::{BODY, CHALLENGE, ID, WRITER};
use crate::http::body::Body;
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{DropRow, rooms, rows};
use crate::types::{BuyerText, Quantity};
use crate::web;
use crate::web::room::WaitingRoom;
use crate::web::shop::{Offer, Purchase};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/drops/{drop_id}", "ShopDrop", "The page of a drop")
        .page()
        .ignores_query()
        .responds(&[200, 404], &[])
        .later(|worker, call| Box::pin(async move { drop_page(worker, &call).await })),
    Route::public(Method::POST, "/drops/{drop_id}", "ShopReserve", "Reserve on the page of a drop")
        .page()
        .orders_drop()
        .ignores_query()
        // Refusals are pages, too.
        .responds(&[303, 409], &[])
        .problems(&[BODY, ID, CHALLENGE, WRITER, &[Code::Unauthorized, Code::KeyReused]])
        .later(|worker, call| Box::pin(reserve(worker, call))),
];

pub(super) fn offer(drop: DropRow, room: Option<WaitingRoom>) -> Offer {
    Offer {
        room,
        standby: drop.standby,
        blind_ms: drop.blind_ms,
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

/// A form whose order the engine refused.
struct RefusedForm<'a> {
    problem: &'a Problem,
    key: &'a str,
    fields: &'a [(String, String)],
}

/// Renders the page of the drop in the path; `None` for an unknown one.
async fn drop_with(
    worker: &Worker,
    call: &Call,
    refused: Option<RefusedForm<'_>>,
) -> Result<Option<Response<Body>>, Problem> {
    let Ok(id) = call.drop_id() else { return Ok(None) };
    let claims = worker.writer.published.room_claims(id);
    let read = worker.reader.read(|connection| {
        let drop = rows::drop_by_id(connection, id)?;
        let has_room = drop.as_ref().is_some_and(|drop| drop.room.is_some());
        Ok((drop, if has_room { rooms::room_by_drop(connection, id)? } else { None }))
    });
    let (row, room) = read.map_err(|error| fault(&error))?;
    let Some(offer) = row.map(|row| offer(row, room.as_ref().map(|room| waiting_room(room, claims)))) else {
        return Ok(None);
    };
    let place = match &room {
        Some(room) => place_of(worker, call, room).await?,
        None => None,
    };
    let path = page_path(id, place.as_ref());
    let frame = frame(worker, call, &path);
    let (status, retry_after) = match &refused {
        Some(form) => (StatusCode::CONFLICT, form.problem.retry_after(frame.now)),
        None => (StatusCode::OK, None),
    };
    let refusal = refused.as_ref().map(|form| refusal_of(&frame, form.problem).0);
    let (key, typed) = match refused {
        // Nothing was decided under the key of a refused form: it serves the next attempt, whatever that asks for.
        Some(form) => (form.key.to_owned(), form.fields),
        None => (new_key(), &[][..]),
    };
    let page = web::shop::drop(
        &frame,
        &offer,
        Purchase { key: &key, refusal: refusal.as_ref(), typed, place: place.as_ref() },
    );
    let mut response = html(worker, status, page, offer.image_url.as_deref());
    if let Some(wait) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    Ok(Some(response))
}

/// `GET /drops/{drop_id}`.
async fn drop_page(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    if check_enabled(worker).is_err() {
        return Ok(not_found(worker, call));
    }
    worker.note_read(call, call.drop_id().ok());
    Ok(drop_with(worker, call, None).await?.unwrap_or_else(|| not_found(worker, call)))
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
    /// There if the buyer would stand by.
    standby: Option<String>,
}

/// Returns the fields that a page shows again.
fn fields_of(buyer: &Option<String>, quantity: u16, contact: [(&str, &String); 3]) -> Vec<(String, String)> {
    let mut fields = vec![("quantity".to_owned(), quantity.to_string())];
    fields.extend(buyer.iter().map(|buyer| ("buyer".to_owned(), buyer.clone())));
    fields.extend(contact.map(|(name, value)| (name.to_owned(), value.clone())));
    fields
}

/// `POST /drops/{drop_id}`, for browsers without scripts. They have no token, so that only a server that trusts names takes it.
async fn reserve(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    let drop_id = call.drop_id()?;
    let form: ReserveForm = read_page_form(worker, &mut call).await?;
    if worker.server.admission.buyers.is_some() {
        return Err(Problem::Unauthorized);
    }
    // A page whose script did not load sends no name.
    let ReserveForm { key, buyer, quantity, email, phone, address, standby } = form;
    let fields = fields_of(&buyer, quantity, [("email", &email), ("phone", &phone), ("address", &address)]);
    let contact = contact_of(&[("email", email), ("phone", phone), ("address", address)])?;
    let buyer = buyer.unwrap_or_else(|| format!("guest-{key}"));
    let buyer = BuyerText::new(&buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    let quantity = Quantity::new(quantity)
        .ok_or_else(|| Problem::invalid("/quantity", "must be a whole number from 1 to 65535"))?;
    worker.admit_named(&call, &buyer, Some(drop_id))?;
    challenges::refuse_needed(worker, &call, drop_id, &buyer)?;
    let placing = if standby.is_some() { Placing::OrderOrStandBy } else { Placing::Order };
    let name = buyer.clone();
    let request = OrderRequest { buyer, quantity, contact, payment_fingerprint: None, placing };
    let (decided, _) = submit_order(worker, &call, drop_id, request, key.as_bytes()).await?;
    if let Err(problem) = accepted_seq(&decided) {
        if problem.code() == Code::KeyReused || !matches!(problem, Problem::Refused { .. }) {
            return Err(problem);
        }
        let refused = RefusedForm { problem: &problem, key: &key, fields: &fields };
        return drop_with(worker, &call, Some(refused)).await?.ok_or(Problem::NotFound);
    }
    let placed = match &decided.outcome {
        Outcome::Accepted(Effect::Standby(_)) => Some(None),
        Outcome::Accepted(Effect::Recorded(receipt)) => Some(Some(receipt.ticket)),
        Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => None,
    };
    if let Some(ticket) = placed {
        let path = place_path(drop_id, name.as_str(), &key, ticket);
        return see_other(&frame(worker, &call, "").language.path(&path));
    }
    let seq = decided.outcome.order_made().ok_or(Problem::Internal)?;
    let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
    let row = row.map_err(|error| after_decision(fault(&error)))?.ok_or(Problem::Internal)?;
    see_other(&frame(worker, &call, "").language.path(&format!("/orders/{}", row.id())))
}
