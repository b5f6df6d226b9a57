//! The history of an order, in words.

use hyper::{Method, Response, StatusCode};

use super::orders::find_order;
use super::{RouteEntry, fault};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::queries::HistoryQuery;
use crate::api::json::{history_body, page_body};
use crate::http::allowed_responses::{ID, QUERY};
use crate::http::body::Body;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::history::history_of;
use crate::types::Seq;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[Route::admin(
    Role::Operator,
    Method::GET,
    "/v1/orders/{order_id}/history",
    "GetHistory",
    "List what happened to an order, in words",
)
.query::<HistoryQuery>()
.responds(&[200], &[Json("HistoryPage")])
.problems(&[QUERY, ID])
.counts_in_flight()
.now(|worker, call| history(worker, call))];

/// `GET /v1/orders/{order_id}/history`.
pub(super) fn history(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let query: HistoryQuery = call.query()?;
    if !(1..=100).contains(&query.limit) {
        return Err(Problem::invalid("/limit", "must be a whole number from 1 to 100"));
    }
    let after = Seq::new(query.after).ok_or_else(|| Problem::invalid("/after", "must be at most 2^48 - 1"))?;
    let order = find_order(worker, call)?;
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let page = worker.reader.read(|connection| history_of(connection, (order.seq, order.last_seq), after, limit));
    let page = page.map_err(|error| fault(&error))?;
    let bodies: Vec<_> = page.items.iter().map(|row| history_body(row, order.currency)).collect();
    Ok(json(StatusCode::OK, page_body(&bodies, page.next_after)))
}
