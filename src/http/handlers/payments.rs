//! The payments of all orders, page by page, for the comparison with a provider's books.

use hyper::{Method, Response, StatusCode};

use super::{RouteEntry, fault};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::page_body;
use crate::api::json::payment_entry::PaymentEntry;
use crate::api::json::queries::PaymentsQuery;
use crate::http::allowed_responses::QUERY;
use crate::http::body::Body;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::payments::{PaymentFilter, payments_page};
use crate::types::{DropId, Provider, Seq};

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::admin(Role::Operator, Method::GET, "/v1/payments", "ExportPayments", "List the payments of all orders")
        .query::<PaymentsQuery>()
        .responds(&[200], &[Json("PaymentEntryPage")])
        .problems(&[QUERY])
        .counts_in_flight()
        .now(|worker, call| list(worker, call))];

/// `GET /v1/payments`.
pub(super) fn list(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let query: PaymentsQuery = call.query()?;
    if !(1..=1000).contains(&query.limit) {
        return Err(Problem::invalid("/limit", "must be a whole number from 1 to 1000"));
    }
    let after = Seq::new(query.after).ok_or_else(|| Problem::invalid("/after", "must be at most 2^48 - 1"))?;
    let drop_id = match query.drop_id {
        Some(number) => Some(DropId::new(number).ok_or_else(|| Problem::invalid("/drop_id", "must be 1 or more"))?),
        None => None,
    };
    let provider = match &query.provider {
        Some(word) => Some(
            Provider::from_word(word)
                .ok_or_else(|| Problem::invalid("/provider", "must be a provider, such as stripe"))?,
        ),
        None => None,
    };
    let (filter, limit) = (PaymentFilter { drop_id, provider }, usize::try_from(query.limit).unwrap_or(usize::MAX));
    let page = worker.reader.read(|connection| payments_page(connection, filter, after, limit));
    let page = page.map_err(|error| fault(&error))?;
    let bodies: Vec<_> = page.items.iter().map(|payment| PaymentEntry::of(payment).body()).collect();
    Ok(json(StatusCode::OK, page_body(&bodies, page.next_after)))
}
