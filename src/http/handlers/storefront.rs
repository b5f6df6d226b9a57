//! The storefront: the list of what is sold, the pages of drops, and the form that reserves. The pages' scripts use
//! the API like any client; the form is for browsers without them.

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

use super::orders::submit_order;
use super::page_problems::read_page_form;
use super::page_words::refusal_of;
use super::pages::{contact_of, frame, html, see_other};
use super::storefront_auctions::lot;
use super::{RouteEntry, accepted_seq, after_decision, challenges, fault};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::OrderRequest;
use crate::api::problem::whole_seconds;
use crate::http::allowed_responses::{BODY, CHALLENGE, ID, WRITER};
use crate::http::body::Body;
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{DropRow, auctions, lists, rows};
use crate::types::{AuctionState, BuyerText, DropState, Quantity, hex, random};
use crate::web;
use crate::web::shop::{ListPart, Offer, Purchase};

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
        .problems(&[BODY, ID, CHALLENGE, WRITER, &[Code::Unauthorized, Code::KeyReused]])
        .later(|worker, call| Box::pin(reserve(worker, call))),
];

/// The most drops and the most auctions in one part of the list.
const LISTED_MAX: usize = 24;

pub(super) fn check_enabled(worker: &Worker) -> Result<(), Problem> {
    if worker.server.config.storefront.enabled { Ok(()) } else { Err(Problem::NotFound) }
}

/// Returns an idempotency key: of one page for one buyer.
pub(super) fn new_key() -> String {
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

/// The part of the list that a query asks for. Parameters that the list does not know are ignored: a shop's links have others.
struct ListQuery {
    state: Option<DropState>,
    /// The number below which drops are shown; the same of auctions. With one of them the list has no other part.
    before: Option<u32>,
    auctions_before: Option<u32>,
}

impl ListQuery {
    fn of(query: &str) -> ListQuery {
        let value = |name| query.split('&').find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name));
        let number = |name| value(name).and_then(|(_, text)| text.parse().ok());
        let state =
            value("state").and_then(|(_, text)| DropState::ALL.into_iter().find(|state| state.as_str() == text));
        ListQuery { state, before: number("before"), auctions_before: number("auctions_before") }
    }

    fn fits_auction(&self, state: AuctionState) -> bool {
        let as_drop = match state {
            AuctionState::Scheduled => DropState::Scheduled,
            AuctionState::Live => DropState::Live,
            AuctionState::Ended(_) | AuctionState::Cancelled => DropState::Ended,
        };
        self.state.is_none_or(|wanted| wanted == as_drop)
    }
}

/// `GET /`.
fn list(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    worker.note_read(call, None);
    let query = ListQuery::of(call.parts.uri.query().unwrap_or(""));
    let (drops_max, auctions_max) = match (query.before, query.auctions_before) {
        (Some(_), _) => (LISTED_MAX, 0),
        (None, Some(_)) => (0, LISTED_MAX),
        (None, None) => (LISTED_MAX, LISTED_MAX),
    };
    let read = worker.reader.read(|connection| {
        let drops = (drops_max > 0)
            .then(|| lists::drops_before(connection, query.before.unwrap_or(u32::MAX), query.state, drops_max));
        let auctions = (auctions_max > 0).then(|| {
            let before = query.auctions_before.unwrap_or(u32::MAX);
            auctions::auctions_before(connection, before, |state| query.fits_auction(state), auctions_max)
        });
        Ok((drops.transpose()?, auctions.transpose()?))
    });
    let (drops, auctions) = read.map_err(|error| fault(&error))?;
    let older_drops = drops.as_ref().and_then(|page| page.next_after);
    let older_auctions = auctions.as_ref().and_then(|page| page.next_after);
    let offers: Vec<_> = drops.into_iter().flat_map(|page| page.items).map(offer).collect();
    let lots: Vec<_> = auctions.into_iter().flat_map(|page| page.items).map(lot).collect();
    let part = ListPart {
        offers: &offers,
        lots: &lots,
        state: query.state,
        older_drops,
        older_auctions,
        is_newest: query.before.is_none() && query.auctions_before.is_none(),
    };
    let path = query.state.map_or_else(|| "/".into(), |state| format!("/?state={}", state.as_str()));
    let page = web::shop::list(&frame(worker, call, &path), &part);
    Ok(html(worker, StatusCode::OK, page, offers.iter().filter_map(|offer| offer.image_url.as_deref())))
}

pub(super) fn not_found(worker: &Worker, call: &Call) -> Response<Body> {
    html(worker, StatusCode::NOT_FOUND, web::not_found(&frame(worker, call, call.parts.uri.path())), [])
}

/// A form whose order the engine refused.
struct RefusedForm<'a> {
    problem: &'a Problem,
    key: &'a str,
    fields: &'a [(String, String)],
}

/// Renders the page of the drop in the path; `None` for an unknown one.
fn drop_with(
    worker: &Worker,
    call: &Call,
    refused: Option<RefusedForm<'_>>,
) -> Result<Option<Response<Body>>, Problem> {
    let Ok(id) = call.drop_id() else { return Ok(None) };
    let row = worker.reader.read(|connection| rows::drop_by_id(connection, id)).map_err(|error| fault(&error))?;
    let Some(offer) = row.map(offer) else { return Ok(None) };
    let path = format!("/drops/{id}");
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
    let page = web::shop::drop(&frame, &offer, Purchase { key: &key, refusal: refusal.as_ref(), typed });
    let mut response = html(worker, status, page, offer.image_url.as_deref());
    if let Some(wait) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    Ok(Some(response))
}

/// `GET /drops/{drop_id}`.
fn drop_page(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    if check_enabled(worker).is_err() {
        return Ok(not_found(worker, call));
    }
    worker.note_read(call, call.drop_id().ok());
    Ok(drop_with(worker, call, None)?.unwrap_or_else(|| not_found(worker, call)))
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
    let ReserveForm { key, buyer, quantity, email, phone, address } = form;
    let fields = fields_of(&buyer, quantity, [("email", &email), ("phone", &phone), ("address", &address)]);
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
        if problem.code() == Code::KeyReused || !matches!(problem, Problem::Refused { .. }) {
            return Err(problem);
        }
        let refused = RefusedForm { problem: &problem, key: &key, fields: &fields };
        return drop_with(worker, &call, Some(refused))?.ok_or(Problem::NotFound);
    }
    let seq = decided.outcome.order_made().ok_or(Problem::Internal)?;
    let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
    let row = row.map_err(|error| after_decision(fault(&error)))?.ok_or(Problem::Internal)?;
    see_other(&frame(worker, &call, "").language.path(&format!("/orders/{}", row.id())))
}
