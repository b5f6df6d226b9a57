//! How the server itself is.

use std::sync::atomic::Ordering;

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::Problem;
use crate::http::body::{Body, full};
use crate::http::core::Core;
use crate::http::request::json;
use crate::read::payments;
use crate::telemetry::catalogue as metric;

fn text(body: impl Into<Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /metrics`.
pub(super) fn metrics(core: &Core) -> Response<Body> {
    let telemetry = &core.site.telemetry;
    let auditor = &core.site.auditor;
    let seq = core.writer.published.seq();
    let lag = seq.saturating_sub(auditor.counted_seq.load(Ordering::Relaxed));
    let refunds_due = core.reader.read(payments::refunds_due).unwrap_or_else(|error| {
        tracing::error!(%error, "the refunds due could not be counted");
        0
    });
    let as_u64 = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    for (gauge, value) in [
        (&metric::QUEUE_DEPTH, as_u64(core.writer.queue_depth())),
        (&metric::QUEUE_CAPACITY, as_u64(core.writer.queue_capacity())),
        (&metric::SEQ, seq),
        (&metric::OVERSOLD, auditor.oversold_units.load(Ordering::Relaxed)),
        (&metric::UNDERSOLD, auditor.undersold_units.load(Ordering::Relaxed)),
        (&metric::AUDIT_LAG, lag),
        (&metric::REFUNDS_DUE, refunds_due),
    ] {
        telemetry.set(gauge, value);
    }
    text(telemetry.render(), "text/plain; version=0.0.4; charset=utf-8")
}

/// `GET /healthz`.
pub(super) fn alive() -> Response<Body> {
    text("ok\n", "text/plain; charset=utf-8")
}

/// `GET /readyz`.
pub(super) fn ready(core: &Core) -> Result<Response<Body>, Problem> {
    if *core.site.stopping.borrow() { Err(Problem::Draining) } else { Ok(alive()) }
}

/// `GET /openapi.json`.
pub(super) fn openapi() -> Response<Body> {
    json(StatusCode::OK, crate::http::openapi::document())
}
