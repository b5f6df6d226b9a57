//! Problems as responses (RFC 9457), with the headers that belong to them.

use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use super::body::{Body, full};
use crate::api::Problem;
use crate::api::problem::whole_seconds;
use crate::types::policy_state::rate_limit_headers;
use crate::types::{PolicyState, UnixMillis};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds a client's state under the rate limits, unless the response tells of another limit.
pub(super) fn add_rate_limits(states: &[PolicyState], headers: &mut HeaderMap) {
    let (policy, limit) = rate_limit_headers(states);
    let values =
        (HeaderValue::from_maybe_shared(Bytes::from(policy)), HeaderValue::from_maybe_shared(Bytes::from(limit)));
    if let (Ok(policy), Ok(limit)) = values
        && !headers.contains_key(RATE_LIMIT)
    {
        headers.insert(RATE_LIMIT_POLICY, policy);
        headers.insert(RATE_LIMIT, limit);
    }
}

/// Returns the response to a problem. `queue_slots` is the part of the queue that buyers can use.
#[must_use]
pub fn problem_response(problem: &Problem, request_id: &str, now: UnixMillis, queue_slots: usize) -> Response<Body> {
    let kind = problem.kind();
    let mut response = Response::new(full(problem.body(request_id)));
    *response.status_mut() = problem.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = problem.retry_after(now) {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if let Some((policy, limit)) = problem.quota(queue_slots)
        && let (Ok(policy), Ok(limit)) = (HeaderValue::from_str(&policy), HeaderValue::from_str(&limit))
    {
        headers.insert(RATE_LIMIT_POLICY, policy);
        headers.insert(RATE_LIMIT, limit);
    }
    if let Problem::BadHead(_) = problem {
        // The bytes that follow on this connection are not trusted either.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Problem::MethodNotAllowed { allow } = problem
        && let Ok(allow) = HeaderValue::from_str(allow)
    {
        headers.insert(ALLOW, allow);
    }
    if let Some(location) = problem.location().map(str::as_bytes).and_then(|url| HeaderValue::from_bytes(url).ok()) {
        headers.insert(LOCATION, location);
    }
    if kind.status == StatusCode::UNAUTHORIZED {
        // A token does not help a sender of webhooks.
        let scheme = if *problem == Problem::BadSignature { "WebhookSignature" } else { "Bearer" };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    if kind.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request_id, "request failed with an internal problem");
    }
    response
}
