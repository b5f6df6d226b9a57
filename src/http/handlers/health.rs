//! Probes, and the OpenAPI document.

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::RouteEntry;
use crate::api::Problem;
use crate::api::code::Code;
use crate::http::body::{Body, full};
use crate::http::compression::{accepts_gzip, gzip, mark};
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{COMPRESSED_FOR_SOME, ResponseBody, Route};
use crate::http::worker::Worker;

const OK_BODY: &[ResponseBody] = &[Inline("text/plain", || json!({ "type": "string", "description": "`ok`." }))];

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/openapi.json", "OpenApi", "The OpenAPI description of both listeners")
        .responds(
            &[200],
            &[Inline("application/json", || json!({ "type": "object", "required": ["openapi", "paths"] }))],
        )
        .headers(COMPRESSED_FOR_SOME)
        .now(|worker, call| Ok(openapi(worker, call))),
    Route::probe("/healthz", "Healthz", "The process is alive").responds(&[200], OK_BODY).now(|_, _| Ok(alive())),
    Route::probe("/readyz", "Readyz", "The server accepts traffic")
        .responds(&[200], OK_BODY)
        .problems(&[&[Code::ReadOnly]])
        .now(|worker, _| ready(worker)),
];

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
    if *worker.server.stopping.borrow() {
        return Err(Problem::Draining);
    }
    if worker.writer.is_read_only() { Err(Problem::ReadOnly) } else { Ok(alive()) }
}

/// `GET /openapi.json`.
pub(super) fn openapi(worker: &Worker, call: &Call) -> Response<Body> {
    let server = &worker.server;
    let document = server.openapi_document.get_or_init(|| (server.openapi)(&server.config.public_url));
    // The document is larger than any minimum.
    let compressed = accepts_gzip(&call.parts.headers) && server.config.gzip_bytes_min < usize::MAX;
    let body = if compressed { server.openapi_gzip.get_or_init(|| gzip(document)) } else { document };
    let mut response = json(StatusCode::OK, body.clone());
    mark(&mut response, compressed);
    response
}
