//! Shared parts of the storefront's pages.

use hyper::{Response, StatusCode};

use super::pages::{frame, html};
use crate::api::Problem;
use crate::http::body::Body;
use crate::http::request::Call;
use crate::http::worker::Worker;
use crate::types::{hex, random};
use crate::web;

/// Returns an error unless the server has a storefront.
pub(super) fn check_enabled(worker: &Worker) -> Result<(), Problem> {
    if worker.server.config.storefront.enabled { Ok(()) } else { Err(Problem::NotFound) }
}

/// Returns an idempotency key: of one page for one buyer.
pub(super) fn new_key() -> String {
    let mut key = [0u8; 16];
    random::fill(&mut key);
    hex::encode(&key)
}

/// Returns the page that says that there is nothing at this address.
pub(super) fn not_found(worker: &Worker, call: &Call) -> Response<Body> {
    html(worker, StatusCode::NOT_FOUND, web::not_found(&frame(worker, call, call.parts.uri.path())), [])
}
