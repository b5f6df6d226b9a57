//! The API for readers: the OpenAPI document, and a page of it.

use hyper::body::Bytes;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::RouteEntry;
use super::health::text;
use crate::api::Problem;
use crate::http::allowed_responses::ID;
use crate::http::body::Body;
use crate::http::compression::{accepts_gzip, gzip, mark};
use crate::http::openapi::{ADMIN_URL, served_document};
use crate::http::request::{Call, json, named_host};
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{COMPRESSED_FOR_SOME, Route};
use crate::http::worker::Worker;
use crate::web::docs;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/openapi.json", "OpenApi", "The OpenAPI description of both listeners")
        .responds(
            &[200],
            &[Inline("application/json", || {
                serde_json::json!({
                    "type": "object",
                    "required": ["openapi", "paths"],
                    "properties": { "openapi": { "const": "3.1.0" }, "paths": { "type": "object" } },
                })
            })],
        )
        .headers(COMPRESSED_FOR_SOME)
        .now(|worker, call| Ok(document(worker, call))),
    Route::public(Method::GET, "/docs", "Docs", "The page of the API, on a demonstration")
        .page()
        .ignores_query()
        .responds(&[200], &[])
        .problems(&[ID])
        .now(|worker, call| {
            // Buyers of a real shop need no manual of its engine.
            if worker.server.config.payments.sandbox { Ok(page(worker, call)) } else { Err(Problem::NotFound) }
        }),
    Route::admin_page("/openapi.json", "AdminOpenApi", "The OpenAPI description of both listeners")
        .ignores_query()
        .responds(&[200], &[])
        .now(|worker, call| Ok(admin_document(worker, call))),
    Route::admin_page("/docs", "AdminDocs", "The page of the API")
        .ignores_query()
        .responds(&[200], &[])
        .now(|worker, call| Ok(page(worker, call))),
];

/// Returns true if the answer is compressed: document and page are larger than any minimum.
fn wants_gzip(worker: &Worker, call: &Call) -> bool {
    accepts_gzip(&call.parts.headers) && worker.server.config.gzip_bytes_min < usize::MAX
}

/// `GET /openapi.json` of the public listener: `servers` names the URL at which buyers reach it.
fn document(worker: &Worker, call: &Call) -> Response<Body> {
    let server = &worker.server;
    let document = server.openapi_document.get_or_init(|| (server.openapi)(&server.config.public_url));
    let compressed = wants_gzip(worker, call);
    let body = if compressed { server.openapi_gzip.get_or_init(|| gzip(document)) } else { document };
    let mut response = json(StatusCode::OK, body.clone());
    mark(&mut response, compressed);
    response
}

/// `GET /openapi.json` of the admin listener: operations of operators name the address to which the request came.
fn admin_document(worker: &Worker, call: &Call) -> Response<Body> {
    let config = &worker.server.config;
    let url = format!("{}://{}", crate::config::Config::scheme(&config.admin_tls), named_host(&call.parts));
    let document = served_document(&config.public_url, Some(ADMIN_URL));
    // A host has no characters that JSON escapes: the head of the request was checked.
    let text = String::from_utf8_lossy(&document).replace(ADMIN_URL, &url);
    let document = Bytes::from(text);
    let compressed = wants_gzip(worker, call);
    let mut response = json(StatusCode::OK, if compressed { gzip(&document) } else { document });
    mark(&mut response, compressed);
    response
}

/// `GET /docs`.
fn page(worker: &Worker, call: &Call) -> Response<Body> {
    let server = &worker.server;
    let page = server.docs_page.get_or_init(|| {
        let document = (server.openapi)(&server.config.public_url);
        docs::page(&serde_json::from_slice(&document).unwrap_or(Value::Null)).into()
    });
    let compressed = wants_gzip(worker, call);
    let body = if compressed { server.docs_gzip.get_or_init(|| gzip(page)) } else { page };
    let mut response = text(body.clone(), "text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    mark(&mut response, compressed);
    response
}

/// The page has no script.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
