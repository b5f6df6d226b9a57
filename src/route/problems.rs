//! Problems of the router's own, beside those of the server, in the same form (RFC 9457).

use std::time::Duration;

use http_body_util::Either;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{RouteBody, whole};
use crate::api::Problem;
use crate::http::problem_response::problem_response;
use crate::types::UnixMillis;
use crate::types::shard::Shard;

/// The reason why the router does not pass a node's answer back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RouteProblem {
    /// A problem that a server has, too.
    Common(Problem),
    /// No node of the shard answers, or none leads. Nothing was decided.
    Unavailable {
        shard: Shard,
        /// The place behind this shard in a list, where a client goes on without it.
        next_after: Option<u64>,
    },
    /// The request names a shard that the router does not know.
    UnknownShard(Shard),
    /// The request does not say which shard it is about.
    ShardNotNamed,
    /// So many requests of the shard are in flight. Nothing was decided.
    ShardBusy { shard: Shard, in_flight: usize },
}

/// The constant part of a problem of the router's own.
struct Kind {
    code: &'static str,
    title: &'static str,
    status: StatusCode,
}

const RETRY_SECONDS: u16 = 1;

impl RouteProblem {
    /// Returns the problem of a shard none of whose nodes answers.
    pub(super) fn unavailable(shard: Shard) -> RouteProblem {
        RouteProblem::Unavailable { shard, next_after: None }
    }

    /// Adds the place behind a shard that does not answer.
    pub(super) fn with_next_after(self, behind: impl FnOnce(Shard) -> u64) -> RouteProblem {
        if let RouteProblem::Unavailable { shard, .. } = self {
            return RouteProblem::Unavailable { shard, next_after: Some(behind(shard)) };
        }
        self
    }

    pub(super) fn response(&self, request_id: &HeaderValue) -> Response<RouteBody> {
        let (kind, detail, members) = match self {
            RouteProblem::Common(problem) => return common(problem, request_id),
            RouteProblem::ShardBusy { shard, in_flight } => {
                let wait = Duration::from_secs(u64::from(RETRY_SECONDS));
                let problem = Problem::Overloaded { queue_depth: *in_flight, retry_after: wait };
                let mut response = common(&problem, request_id);
                super::headers::back(response.headers_mut(), *shard);
                return response;
            }
            RouteProblem::Unavailable { shard, next_after } => {
                let detail = match next_after {
                    None => format!("No node of shard {} takes the request. Nothing was decided.", shard.get()),
                    Some(after) => format!(
                        "No node of shard {} answers, so the list ends here although it has more. after={after} goes on \
                         behind this shard.",
                        shard.get()
                    ),
                };
                (UNAVAILABLE, detail, json!({ "shard": shard.get(), "next_after": next_after }))
            }
            RouteProblem::UnknownShard(shard) => {
                let detail = format!("This router has no shard {}. Check the id.", shard.get());
                (UNKNOWN_SHARD, detail, json!({ "shard": shard.get() }))
            }
            RouteProblem::ShardNotNamed => {
                let detail = "The path does not say which shard is meant: send Firstcome-Shard with its number.";
                (SHARD_NOT_NAMED, detail.into(), json!({}))
            }
        };
        own(&kind, &detail, members, request_id)
    }
}

const UNAVAILABLE: Kind =
    Kind { code: "shard-unavailable", title: "Shard unavailable", status: StatusCode::SERVICE_UNAVAILABLE };
const UNKNOWN_SHARD: Kind = Kind { code: "unknown-shard", title: "Unknown shard", status: StatusCode::NOT_FOUND };
const SHARD_NOT_NAMED: Kind =
    Kind { code: "shard-not-named", title: "Shard not named", status: StatusCode::BAD_REQUEST };

fn common(problem: &Problem, request_id: &HeaderValue) -> Response<RouteBody> {
    // Only refusals tell times, and the router makes none.
    let response = problem_response(problem, request_id.to_str().unwrap_or(""), UnixMillis::ZERO, 0);
    response.map(|body| match body {
        Either::Left(whole) => Either::Left(whole),
        // Problems are whole.
        Either::Right(_) => whole(""),
    })
}

fn own(kind: &Kind, detail: &str, members: Value, request_id: &HeaderValue) -> Response<RouteBody> {
    let mut body = json!({
        "type": format!("https://firstcome.dev/problems/{}", kind.code),
        "code": kind.code,
        "title": kind.title,
        "status": kind.status.as_u16(),
        "detail": detail,
        "request_id": request_id.to_str().unwrap_or(""),
    });
    let is_unavailable = kind.status == StatusCode::SERVICE_UNAVAILABLE;
    if let (Value::Object(body), Value::Object(members)) = (&mut body, members) {
        body.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
        if is_unavailable {
            body.insert("applied".into(), "no".into());
        }
    }
    let mut response = Response::new(whole(body.to_string()));
    *response.status_mut() = kind.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_unavailable {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    response
}

impl From<Problem> for RouteProblem {
    fn from(problem: Problem) -> RouteProblem {
        RouteProblem::Common(problem)
    }
}
