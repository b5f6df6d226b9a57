//! Problems (RFC 9457): every response besides success, from one exhaustive match.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::code::{Code, ProblemKind};
pub use super::node_conflict::NodeConflict;
use super::refusals;
use crate::engine::Refusal;
use crate::types::policy_state::rate_limit_headers;
pub use crate::types::policy_state::whole_seconds;
use crate::types::text::rfc3339;
use crate::types::{ChallengeDemand, PolicyState, Seq, UnixMillis};

/// A mistake in a request's body or query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// JSON pointer into the body, or into the object of query parameters.
    pub pointer: String,
    /// The mistake, and the values that are allowed.
    pub detail: String,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pointer.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.pointer, self.detail) }
    }
}

/// A problem, in the order of the table in `src/http/README.md`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The request's head is malformed or ambiguous.
    BadHead(&'static str),
    /// The body is not valid JSON.
    Malformed(String),
    /// The body or the query is invalid.
    Validation(Vec<FieldError>),
    /// The `Idempotency-Key` is missing or invalid.
    KeyMissing(&'static str),
    /// The token is missing or invalid. The response does not say which of the two.
    Unauthorized,
    /// The buyer's token is too long to be verified.
    TokenTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The signature is missing or invalid. The response does not say which of the two.
    BadSignature,
    /// The request's address or caller may not do this.
    Forbidden(&'static str),
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: String,
    },
    /// The body is too large.
    BodyTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The `Content-Type` is not JSON.
    UnsupportedMediaType,
    /// The engine refused the command.
    Refused {
        refusal: Refusal,
        /// The last event before the decision.
        as_of_seq: Seq,
        at: UnixMillis,
    },
    /// The client has too many requests in flight.
    RateLimited {
        /// The limit of requests in flight per client.
        in_flight_max: u32,
    },
    /// Rate limits have no room for the request.
    OverLimit(Box<[PolicyState]>),
    /// The queue is full or too slow. Nothing was decided.
    Overloaded {
        /// Number of waiting commands.
        queue_depth: usize,
        retry_after: Duration,
    },
    /// The server is shutting down.
    Draining,
    /// The disk is full, or another program has the file locked: nothing is sold meanwhile.
    ReadOnly,
    /// A fault or a timeout after the command was accepted.
    OutcomeUnknown,
    Internal,
    /// Another node of the cluster decides, or none does. Nothing was decided.
    NotLeader {
        /// URL of the leader's listener, if a leader is known.
        leader: Option<Box<str>>,
        /// The same request's URL at the leader: a redirect.
        location: Option<Box<str>>,
    },
    /// The node does not have the state that was asked for.
    Behind {
        missing: MissingState,
        /// URL of the leader's listener, if a leader is known.
        leader: Option<Box<str>>,
    },
    /// The node does not do that for its cluster, as it is now.
    NodeConflict(NodeConflict),
    /// The drop demands a solved challenge. Nothing was decided.
    ChallengeRequired(Box<ChallengeDemand>),
}

/// The state that a node does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MissingState {
    /// The event that the request names.
    Event,
    /// A state that is young enough to be ready for readers.
    Young,
    /// A state of a follower: the node leads, or is the only one.
    Follower,
}

/// The policy's name of the limit of requests in flight per client.
pub(crate) const IN_FLIGHT_POLICY: &str = "in-flight";

impl Problem {
    /// Makes a validation problem with one mistake.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::Validation(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Problem::BadHead(_) | Problem::Malformed(_) | Problem::BodyTooSlow => Code::Malformed,
            Problem::Validation(_) => Code::Validation,
            Problem::KeyMissing(_) => Code::KeyMissing,
            Problem::Unauthorized | Problem::TokenTooLong { .. } | Problem::BadSignature => Code::Unauthorized,
            Problem::Forbidden(_) => Code::Forbidden,
            Problem::NotFound => Code::NotFound,
            Problem::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Problem::BodyTooLarge { .. } => Code::BodyTooLarge,
            Problem::UnsupportedMediaType => Code::UnsupportedMediaType,
            Problem::Refused { refusal, .. } => refusals::code(refusal),
            Problem::RateLimited { .. } | Problem::OverLimit(_) => Code::RateLimited,
            Problem::Overloaded { .. } => Code::Overloaded,
            Problem::Draining => Code::Draining,
            Problem::ReadOnly => Code::ReadOnly,
            Problem::OutcomeUnknown => Code::OutcomeUnknown,
            Problem::Internal => Code::Internal,
            Problem::NotLeader { .. } => Code::NotLeader,
            Problem::Behind { .. } => Code::Behind,
            Problem::NodeConflict(_) => Code::NodeConflict,
            Problem::ChallengeRequired(_) => Code::ChallengeRequired,
        }
    }

    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.code().kind()
    }

    /// Returns the status of its response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.location().and_then(|_| self.code().redirect()).unwrap_or(self.kind().status)
    }

    /// Returns the address to which it sends the client.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        if let Problem::NotLeader { location, .. } = self { location.as_deref() } else { None }
    }

    /// Returns the value of `Retry-After`, if a repeat makes sense.
    #[must_use]
    pub fn retry_after(&self, now: UnixMillis) -> Option<Duration> {
        match self {
            Problem::Overloaded { retry_after, .. } => Some(*retry_after),
            Problem::OverLimit(policies) => policies.iter().map(|state| state.wait).max(),
            Problem::NotLeader { location: Some(_), .. } => None,
            Problem::RateLimited { .. } | Problem::NotLeader { .. } | Problem::Behind { .. } => {
                Some(Duration::from_secs(1))
            }
            Problem::Draining | Problem::OutcomeUnknown => Some(Duration::from_secs(2)),
            Problem::ReadOnly => Some(Duration::from_secs(5)),
            Problem::Refused { refusal, .. } => refusals::retry_after(refusal, now),
            Problem::BadHead(_)
            | Problem::Malformed(_)
            | Problem::Validation(_)
            | Problem::KeyMissing(_)
            | Problem::Unauthorized
            | Problem::TokenTooLong { .. }
            | Problem::BadSignature
            | Problem::Forbidden(_)
            | Problem::NotFound
            | Problem::MethodNotAllowed { .. }
            | Problem::BodyTooLarge { .. }
            | Problem::BodyTooSlow
            | Problem::UnsupportedMediaType
            | Problem::NodeConflict(_)
            | Problem::ChallengeRequired(_)
            | Problem::Internal => None,
        }
    }

    /// Returns the exceeded quota for `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): the
    /// slots in the queue that buyers share, or the limits of one client.
    #[must_use]
    pub fn quota(&self, queue_slots: usize) -> Option<(String, String)> {
        if let Problem::OverLimit(policies) = self {
            return Some(rate_limit_headers(policies));
        }
        let (name, quota, wait) = if let Problem::Overloaded { retry_after, .. } = self {
            ("queue", queue_slots, *retry_after)
        } else if let Problem::RateLimited { in_flight_max } = self {
            (IN_FLIGHT_POLICY, usize::try_from(*in_flight_max).unwrap_or(usize::MAX), Duration::from_secs(1))
        } else {
            return None;
        };
        let policy = format!("\"{name}\";q={quota};qu=\"concurrent-requests\"");
        Some((policy, format!("\"{name}\";r=0;t={}", whole_seconds(wait))))
    }

    /// Returns the member `applied` of a 503. `no` is never followed by an effect.
    fn applied(&self) -> Option<&'static str> {
        if matches!(self, Problem::OutcomeUnknown) {
            return Some("unknown");
        }
        // A redirect to the leader says so, too: its code is that of a 503.
        (self.kind().status == StatusCode::SERVICE_UNAVAILABLE).then_some("no")
    }

    /// Returns true if the request was not decided, or if that is not known: it is to be sent again with its key. A refusal is a
    /// decision.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        matches!(
            self,
            Problem::Overloaded { .. }
                | Problem::Draining
                | Problem::ReadOnly
                | Problem::NotLeader { .. }
                | Problem::OutcomeUnknown
        )
    }

    /// Returns the title and the detail, for pages.
    #[must_use]
    pub fn words(&self) -> (&'static str, String) {
        (self.kind().title, self.detail())
    }

    fn detail(&self) -> String {
        match self {
            Problem::Malformed(detail) => detail.clone(),
            Problem::Validation(errors) => {
                errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            Problem::BadHead(detail) | Problem::KeyMissing(detail) | Problem::Forbidden(detail) => (*detail).into(),
            Problem::BadSignature => "Sign the webhook with a secret that this server knows.".into(),
            Problem::TokenTooLong { max } => format!("The token is longer than {max} bytes; leave claims out."),
            Problem::Unauthorized => "Send Authorization: Bearer with a valid token.".into(),
            Problem::NotFound => "Check the path, and each id in it and in the body.".into(),
            Problem::MethodNotAllowed { allow } => format!("Allowed methods: {allow}."),
            Problem::BodyTooLarge { max } => format!("The limit is {max} bytes."),
            Problem::BodyTooSlow => "The body did not arrive in time; send it without pauses.".into(),
            Problem::UnsupportedMediaType => "Send Content-Type: application/json, without a Content-Encoding.".into(),
            Problem::Refused { refusal, .. } => refusals::detail(refusal),
            Problem::RateLimited { in_flight_max } => {
                format!("Limit of requests in flight per client: {in_flight_max}. Nothing was decided.")
            }
            Problem::OverLimit(policies) => {
                let names: Vec<&str> = policies.iter().map(|state| state.policy).collect();
                format!("Too many requests a minute: {}. Nothing was decided. Retry after Retry-After.", names.join(", "))
            }
            Problem::Overloaded { .. } => "Nothing was decided. Retry after Retry-After with the same key.".into(),
            Problem::Draining => "Nothing was decided. Retry soon with the same key.".into(),
            Problem::ReadOnly => {
                "The server cannot write (its disk is full, or another program has the file locked); only reads are served. Nothing was decided. Retry later with the same key."
                    .into()
            }
            Problem::OutcomeUnknown => "Retry with the same key to learn the outcome.".into(),
            Problem::Internal => "The server's log has the details under this request_id.".into(),
            Problem::NotLeader { leader: Some(leader), .. } => {
                format!("Another node decides. Nothing was decided. Send the request to {leader}, with the same key.")
            }
            Problem::NotLeader { leader: None, .. } => {
                "No node is known to lead at this moment. Nothing was decided. Retry soon with the same key.".into()
            }
            Problem::Behind { missing, .. } => match missing {
                MissingState::Event => "This node does not have the event of Firstcome-Min-Seq yet.".into(),
                MissingState::Young => "This node's state is too old.".into(),
                MissingState::Follower => "This node does not follow another.".into(),
            },
            Problem::NodeConflict(conflict) => conflict.detail().into(),
            Problem::ChallengeRequired(demand) => {
                let reason = demand.reason.sentence();
                format!("{reason} Nothing was decided. Send a new solution in Firstcome-Challenge, with the same key.")
            }
        }
    }

    /// Adds the members besides the standard ones.
    fn members(&self, out: &mut Map<String, Value>) {
        match self {
            Problem::Validation(errors) => {
                let errors: Vec<Value> =
                    errors.iter().map(|e| json!({ "pointer": e.pointer, "detail": e.detail })).collect();
                out.insert("errors".into(), errors.into());
            }
            Problem::Refused { refusal, as_of_seq, at } => {
                out.insert("as_of_seq".into(), as_of_seq.get().into());
                out.insert("at".into(), rfc3339(*at).into());
                refusals::add_members(refusal, out);
            }
            Problem::Overloaded { queue_depth, .. } => {
                out.insert("queue_depth".into(), (*queue_depth).into());
            }
            Problem::RateLimited { .. } => {
                out.insert("violated_policies".into(), json!([IN_FLIGHT_POLICY]));
            }
            Problem::OverLimit(policies) => {
                let names: Vec<&str> = policies.iter().map(|state| state.policy).collect();
                out.insert("violated_policies".into(), json!(names));
            }
            Problem::NotLeader { leader, .. } | Problem::Behind { leader, .. } => {
                if let Some(leader) = leader {
                    out.insert("leader".into(), (**leader).into());
                }
            }
            Problem::ChallengeRequired(demand) => {
                out.insert("reason".into(), demand.reason.as_str().into());
                let mut challenge = Map::new();
                challenge.insert("kind".into(), demand.kind.as_str().into());
                for (name, text) in [("url", &demand.url), ("site_key", &demand.site_key)] {
                    if !text.is_empty() {
                        challenge.insert(name.into(), (**text).into());
                    }
                }
                out.insert("challenge".into(), challenge.into());
            }
            Problem::BadHead(_)
            | Problem::Malformed(_)
            | Problem::KeyMissing(_)
            | Problem::Unauthorized
            | Problem::TokenTooLong { .. }
            | Problem::BadSignature
            | Problem::Forbidden(_)
            | Problem::NotFound
            | Problem::MethodNotAllowed { .. }
            | Problem::BodyTooLarge { .. }
            | Problem::BodyTooSlow
            | Problem::UnsupportedMediaType
            | Problem::Draining
            | Problem::ReadOnly
            | Problem::OutcomeUnknown
            | Problem::NodeConflict(_)
            | Problem::Internal => {}
        }
        if let Some(applied) = self.applied() {
            out.insert("applied".into(), applied.into());
        }
    }

    /// Returns the JSON body.
    #[must_use]
    pub fn body(&self, request_id: &str) -> String {
        let kind = self.kind();
        let mut body = Map::new();
        body.insert("type".into(), format!("https://firstcome.dev/problems/{}", kind.code).into());
        body.insert("code".into(), kind.code.into());
        body.insert("title".into(), kind.title.into());
        body.insert("status".into(), self.status().as_u16().into());
        body.insert("detail".into(), self.detail().into());
        body.insert("request_id".into(), request_id.into());
        self.members(&mut body);
        Value::Object(body).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overloaded_queue_says_when_to_come_back_and_that_nothing_happened() {
        let problem = Problem::Overloaded { queue_depth: 7, retry_after: Duration::from_millis(1200) };
        let now = UnixMillis::ZERO;
        assert_eq!(problem.retry_after(now).map(whole_seconds), Some(2));
        let quota = problem.quota(100);
        assert_eq!(quota, Some(("\"queue\";q=100;qu=\"concurrent-requests\"".into(), "\"queue\";r=0;t=2".into())));
        let body: Value = serde_json::from_str(&problem.body("r1")).expect("JSON");
        assert_eq!((&body["applied"], &body["queue_depth"], &body["status"]), (&"no".into(), &7.into(), &503.into()));
        assert_eq!(Problem::Draining.quota(100), None);
    }

    #[test]
    fn a_write_at_a_follower_is_a_redirect_only_with_an_address() {
        let leader = || Some(Box::from("https://a.example"));
        for (leader, location, status, retry) in [
            (None, None, 503, Some(1)),
            (leader(), None, 503, Some(1)),
            (leader(), Some("https://a.example/v1/drops".into()), 307, None),
        ] {
            let problem = Problem::NotLeader { leader: leader.clone(), location };
            assert_eq!(problem.retry_after(UnixMillis::ZERO).map(whole_seconds), retry);
            let body: Value = serde_json::from_str(&problem.body("r1")).expect("JSON");
            assert_eq!((&body["status"], &body["applied"]), (&status.into(), &"no".into()));
            assert_eq!(body.get("leader").and_then(Value::as_str), leader.as_deref());
        }
    }

    #[test]
    fn an_unknown_outcome_never_says_that_nothing_happened() {
        let body: Value = serde_json::from_str(&Problem::OutcomeUnknown.body("r1")).expect("JSON");
        assert_eq!((&body["applied"], &body["code"]), (&"unknown".into(), &"outcome-unknown".into()));
    }
}
