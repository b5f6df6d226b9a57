//! How the server itself is.

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::Problem;
use crate::http::body::{Body, full};
use crate::http::request::json;
use crate::http::worker::Worker;

pub(super) fn text(body: impl Into<Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /healthz`.
pub(super) fn alive() -> Response<Body> {
    text("ok\n", "text/plain; charset=utf-8")
}

/// `GET /readyz`.
pub(super) fn ready(worker: &Worker) -> Result<Response<Body>, Problem> {
    if *worker.server.stopping.borrow() { Err(Problem::Draining) } else { Ok(alive()) }
}

/// `GET /openapi.json`.
pub(super) fn openapi() -> Response<Body> {
    json(StatusCode::OK, crate::http::openapi::document())
}
