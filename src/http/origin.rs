//! Rules for browsers: cross-origin requests (CORS) to the public listener, and the Host header of the admin listener.

use std::net::IpAddr;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Response, StatusCode};

use super::body::Body;
use super::request::empty;
use crate::api::Problem;

/// Returns the request's origin, if the configuration allows it.
pub(super) fn allowed_origin(allowed: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    if allowed.is_empty() {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Seconds for which a browser asks no second time, so that a purchase costs one request. Chromium takes no more than 2 hours.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// Returns the response to a preflight request: pages may send the headers of the API, and further ones.
pub(super) fn preflight_response(further: &[String]) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    let own = "Content-Type, Idempotency-Key, Authorization, If-None-Match, Request-Id, Traceparent, Firstcome-Min-Seq, \
               Firstcome-Challenge";
    let names: Vec<&str> = std::iter::once(own).chain(further.iter().map(String::as_str)).collect();
    // The names of a setting are valid in a header.
    let names = HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(own));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    response
}

/// Adds the headers that let pages of an allowed origin read a response.
pub(super) fn add_origin_headers(allowed: &[String], origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    if !allowed.is_empty() {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, Request-Id, Idempotent-Replayed, Firstcome-Seq, \
                 Firstcome-Time-Ms, Server-Timing, Firstcome-Shard, Firstcome-Node, Firstcome-As-Of, Firstcome-Stale-Ms",
            ),
        );
    }
}

/// Checks that a request names the admin listener by an address or by a configured name. Otherwise any page in an
/// operator's browser could send requests under a name that it resolves to the listener (DNS rebinding).
///
/// # Errors
/// `forbidden`.
pub fn check_admin_host(known: &[String], host: &str) -> Result<(), Problem> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let allowed = name == "localhost"
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || known.iter().any(|known| known.eq_ignore_ascii_case(name));
    if allowed { Ok(()) } else { Err(Problem::Forbidden("The Host header names none of admin.hosts.")) }
}
