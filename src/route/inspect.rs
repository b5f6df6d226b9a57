//! Answers of a node that say that another one is to be asked, or that nothing is known. All others are passed back unread.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::body::{RouteBody, whole};
use crate::api::code::Code;
use crate::deadlines::within;
use crate::egress::RelayedBody;

/// A problem is some hundred bytes.
const PROBLEM_BYTES_MAX: usize = 16 * 1024;
/// Time for the rest of a problem whose head is there.
const PROBLEM_MAX: Duration = Duration::from_secs(2);

/// The meaning of a node's answer.
pub(super) enum Inspected {
    /// An answer for the client.
    Passed(Response<RelayedBody>),
    /// The same, read to its end.
    Kept(Response<RouteBody>),
    /// Another node is to be asked; nothing was decided. With the leader's URL, if the node knows it.
    Elsewhere { leader: Option<String> },
    /// The node's state is too old for this request; nothing was decided.
    Behind(Response<RouteBody>),
    /// The node does not know what became of the request.
    Unknown,
}

/// Reads an answer, if it may be one that the router acts upon.
pub(super) async fn inspect(response: Response<RelayedBody>) -> Inspected {
    let status = response.status();
    let may_matter = status == StatusCode::TEMPORARY_REDIRECT || status == StatusCode::SERVICE_UNAVAILABLE;
    if !may_matter || !is_problem(response.headers()) {
        return Inspected::Passed(response);
    }
    let (parts, body) = response.into_parts();
    let Some(Ok(body)) = within(PROBLEM_MAX, Limited::new(body, PROBLEM_BYTES_MAX).collect()).await else {
        // What it would have said is not known; a redirect decides nothing.
        let is_redirect = status == StatusCode::TEMPORARY_REDIRECT;
        return if is_redirect { Inspected::Elsewhere { leader: None } } else { Inspected::Unknown };
    };
    judge(parts, body.to_bytes())
}

fn judge(parts: Parts, body: Bytes) -> Inspected {
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or("");
    let is = |wanted: Code| code == wanted.kind().code;
    if is(Code::NotLeader) {
        return Inspected::Elsewhere { leader: problem["leader"].as_str().map(String::from) };
    }
    if is(Code::Draining) {
        return Inspected::Elsewhere { leader: None };
    }
    if is(Code::OutcomeUnknown) {
        return Inspected::Unknown;
    }
    let is_behind = is(Code::Behind);
    let kept = Response::from_parts(parts, whole(body));
    if is_behind { Inspected::Behind(kept) } else { Inspected::Kept(kept) }
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_decided_nothing_are_sent_elsewhere() {
        let judged = |body: &'static str| {
            let (mut parts, ()) = Response::new(()).into_parts();
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
            match judge(parts, Bytes::from_static(body.as_bytes())) {
                Inspected::Elsewhere { leader } => format!("elsewhere {leader:?}"),
                Inspected::Behind(_) => "behind".into(),
                Inspected::Unknown => "unknown".into(),
                Inspected::Kept(_) | Inspected::Passed(_) => "kept".into(),
            }
        };
        assert_eq!(judged(r#"{"code":"not-leader","leader":"http://b:1"}"#), "elsewhere Some(\"http://b:1\")");
        assert_eq!(judged(r#"{"code":"not-leader"}"#), "elsewhere None");
        assert_eq!(judged(r#"{"code":"draining"}"#), "elsewhere None");
        assert_eq!(judged(r#"{"code":"behind"}"#), "behind");
        assert_eq!(judged(r#"{"code":"outcome-unknown"}"#), "unknown");
        for kept in [r#"{"code":"overloaded"}"#, r#"{"code":"read-only"}"#, r#"{"code":"drop-paused"}"#, "", "[]"] {
            assert_eq!(judged(kept), "kept", "{kept}");
        }
    }
}
