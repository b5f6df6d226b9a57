//! Everything that a client can be told besides success: RFC 9457 problems, from one exhaustive match.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::code::{Code, ProblemKind};
use crate::engine::{Invalid, Refusal};
use crate::types::text::rfc3339;
use crate::types::{Seq, UnixMillis};

/// One thing that is wrong with a request's body or query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// Where: a JSON pointer into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

/// A problem, declared in the order of the table of `api.md`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The request's head is not well formed, or may be read in two ways.
    BadHead(&'static str),
    /// The body is not JSON.
    Malformed(String),
    /// The body or the query does not fit.
    Validation(Vec<FieldError>),
    /// The `Idempotency-Key` is missing, or is none.
    KeyMissing(&'static str),
    /// No token, or none that is good. Which of the two, nobody is told.
    Unauthorized,
    /// No signature, or none that is good. Which of the two, nobody is told.
    BadSignature,
    /// The request's address or caller may not do this.
    Forbidden(&'static str),
    /// No such thing.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed {
        /// What is allowed.
        allow: String,
    },
    /// The body is too large.
    BodyTooLarge {
        /// What is allowed, in bytes.
        max: usize,
    },
    /// The body did not come in time.
    BodyTooSlow,
    /// The body is not said to be JSON.
    UnsupportedMediaType,
    /// The engine's answer "no".
    Refused {
        /// Why not.
        refusal: Refusal,
        /// The last event that the refusal saw.
        as_of_seq: Seq,
        /// When.
        at: UnixMillis,
    },
    /// The client has too many requests in flight.
    RateLimited {
        /// How many it may have.
        in_flight_max: u32,
    },
    /// The queue is full or too slow: nothing was decided.
    Overloaded {
        /// How many commands wait.
        queue_depth: usize,
        /// When to come again.
        retry_after: Duration,
    },
    /// The program is ending.
    Draining,
    /// The disk is full: nothing is sold until there is room.
    ReadOnly,
    /// A fault or a time-out after it was accepted.
    OutcomeUnknown,
    /// A bug.
    Internal,
}

/// The name of the limit on what one client has in flight.
pub(crate) const IN_FLIGHT_POLICY: &str = "in-flight";

impl Problem {
    /// A validation problem with one error.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::Validation(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Problem::BadHead(_) | Problem::Malformed(_) | Problem::BodyTooSlow => Code::Malformed,
            Problem::Validation(_) => Code::Validation,
            Problem::KeyMissing(_) => Code::KeyMissing,
            Problem::Unauthorized | Problem::BadSignature => Code::Unauthorized,
            Problem::Forbidden(_) => Code::Forbidden,
            Problem::NotFound => Code::NotFound,
            Problem::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Problem::BodyTooLarge { .. } => Code::BodyTooLarge,
            Problem::UnsupportedMediaType => Code::UnsupportedMediaType,
            Problem::Refused { refusal, .. } => code_of_refusal(refusal),
            Problem::RateLimited { .. } => Code::RateLimited,
            Problem::Overloaded { .. } => Code::Overloaded,
            Problem::Draining => Code::Draining,
            Problem::ReadOnly => Code::ReadOnly,
            Problem::OutcomeUnknown => Code::OutcomeUnknown,
            Problem::Internal => Code::Internal,
        }
    }

    /// The row of the table.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.code().kind()
    }

    /// When to come again, if that makes sense.
    #[must_use]
    pub fn retry_after(&self, now: UnixMillis) -> Option<Duration> {
        match self {
            Problem::Overloaded { retry_after, .. } => Some(*retry_after),
            Problem::RateLimited { .. } => Some(Duration::from_secs(1)),
            Problem::Draining | Problem::OutcomeUnknown => Some(Duration::from_secs(2)),
            Problem::ReadOnly => Some(Duration::from_secs(5)),
            Problem::Refused { refusal, .. } => retry_after_refusal(refusal, now),
            Problem::BadHead(_)
            | Problem::Malformed(_)
            | Problem::Validation(_)
            | Problem::KeyMissing(_)
            | Problem::Unauthorized
            | Problem::BadSignature
            | Problem::Forbidden(_)
            | Problem::NotFound
            | Problem::MethodNotAllowed { .. }
            | Problem::BodyTooLarge { .. }
            | Problem::BodyTooSlow
            | Problem::UnsupportedMediaType
            | Problem::Internal => None,
        }
    }

    /// The quota that was exceeded, as `RateLimit-Policy` and `RateLimit` say it (draft-ietf-httpapi-ratelimit-headers):
    /// the places in the queue that buyers share, or those of one client.
    #[must_use]
    pub fn quota(&self, places: usize) -> Option<(String, String)> {
        let (name, quota, wait) = if let Problem::Overloaded { retry_after, .. } = self {
            ("queue", places, *retry_after)
        } else if let Problem::RateLimited { in_flight_max } = self {
            (IN_FLIGHT_POLICY, usize::try_from(*in_flight_max).unwrap_or(usize::MAX), Duration::from_secs(1))
        } else {
            return None;
        };
        let policy = format!("\"{name}\";q={quota};qu=\"concurrent-requests\"");
        Some((policy, format!("\"{name}\";r=0;t={}", whole_seconds(wait))))
    }

    /// What a 503 says of an effect: `no` is never followed by one.
    fn applied(&self) -> Option<&'static str> {
        if matches!(self, Problem::OutcomeUnknown) {
            return Some("unknown");
        }
        (self.kind().status == StatusCode::SERVICE_UNAVAILABLE).then_some("no")
    }

    /// What a page says of it: its title, and the sentence about this occurrence.
    #[must_use]
    pub fn words(&self) -> (&'static str, String) {
        (self.kind().title, self.detail())
    }

    /// The sentence about this occurrence.
    fn detail(&self) -> String {
        match self {
            Problem::Malformed(detail) => detail.clone(),
            Problem::Validation(errors) => {
                errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect::<Vec<_>>().join("; ")
            }
            Problem::BadHead(detail) | Problem::KeyMissing(detail) | Problem::Forbidden(detail) => (*detail).into(),
            Problem::BadSignature => "Send it signed with a secret that is good here.".into(),
            Problem::Unauthorized => "Send Authorization: Bearer with a token that is good here.".into(),
            Problem::NotFound => "Check the address and the id.".into(),
            Problem::MethodNotAllowed { allow } => format!("Allowed: {allow}."),
            Problem::BodyTooLarge { max } => format!("At most {max} bytes are read."),
            Problem::BodyTooSlow => "The body did not come in time; send it at once.".into(),
            Problem::UnsupportedMediaType => "Send Content-Type: application/json.".into(),
            Problem::Refused { refusal, .. } => detail_of_refusal(refusal),
            Problem::RateLimited { in_flight_max } => {
                format!("A client may have {in_flight_max} requests in flight; nothing was decided.")
            }
            Problem::Overloaded { .. } => "Nothing was decided; try again after Retry-After with the same key.".into(),
            Problem::Draining => "Nothing was decided; try again in a moment with the same key.".into(),
            Problem::ReadOnly => {
                "Nothing was decided: the server's disk is full; reading goes on. Try again with the same key.".into()
            }
            Problem::OutcomeUnknown => "Try again with the same key, and you learn what happened.".into(),
            Problem::Internal => "The details are in the server's log under the request_id.".into(),
        }
    }

    /// The members beside the standard ones.
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
                members_of_refusal(refusal, out);
            }
            Problem::Overloaded { queue_depth, .. } => {
                out.insert("queue_depth".into(), (*queue_depth).into());
            }
            Problem::RateLimited { .. } => {
                out.insert("violated_policies".into(), json!([IN_FLIGHT_POLICY]));
            }
            Problem::BadHead(_)
            | Problem::Malformed(_)
            | Problem::KeyMissing(_)
            | Problem::Unauthorized
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
            | Problem::Internal => {}
        }
        if let Some(applied) = self.applied() {
            out.insert("applied".into(), applied.into());
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self, request_id: &str) -> String {
        let kind = self.kind();
        let mut body = Map::new();
        body.insert("type".into(), format!("https://firstcome.dev/problems/{}", kind.code).into());
        body.insert("code".into(), kind.code.into());
        body.insert("title".into(), kind.title.into());
        body.insert("status".into(), kind.status.as_u16().into());
        body.insert("detail".into(), self.detail().into());
        body.insert("request_id".into(), request_id.into());
        self.members(&mut body);
        Value::Object(body).to_string()
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn retry_after_refusal(refusal: &Refusal, now: UnixMillis) -> Option<Duration> {
    match refusal {
        Refusal::DropPaused => Some(Duration::from_secs(5)),
        Refusal::NotStarted { starts_at } => Some(Duration::from_millis(starts_at.since(now))),
        Refusal::NotFound
        | Refusal::KeyReused
        | Refusal::Ended { .. }
        | Refusal::LimitReached { .. }
        | Refusal::SoldOut { .. }
        | Refusal::OrderExpired { .. }
        | Refusal::IllegalTransition { .. }
        | Refusal::MismatchStands { .. }
        | Refusal::BidTooLow { .. }
        | Refusal::ExposureReached { .. }
        | Refusal::PreconditionFailed { .. }
        | Refusal::Invalid(_) => None,
    }
}

const fn code_of_refusal(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotFound => Code::NotFound,
        Refusal::KeyReused => Code::KeyReused,
        Refusal::NotStarted { .. } => Code::NotStarted,
        Refusal::Ended { .. } => Code::Ended,
        Refusal::DropPaused => Code::DropPaused,
        Refusal::LimitReached { .. } | Refusal::ExposureReached { .. } => Code::LimitReached,
        Refusal::BidTooLow { .. } => Code::BidTooLow,
        Refusal::SoldOut { .. } => Code::SoldOut,
        Refusal::OrderExpired { .. } => Code::OrderExpired,
        Refusal::IllegalTransition { .. } | Refusal::MismatchStands { .. } => Code::IllegalTransition,
        Refusal::PreconditionFailed { .. } => Code::PreconditionFailed,
        Refusal::Invalid(_) => Code::Validation,
    }
}

fn detail_of_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound => "Check the address and the id.".into(),
        Refusal::KeyReused => "A repeat must be the same request; a new request needs a new key.".into(),
        Refusal::NotStarted { starts_at } => format!("It starts at {}.", rfc3339(*starts_at)),
        Refusal::Ended { ends_at } => format!("It ended at {}.", rfc3339(*ends_at)),
        Refusal::DropPaused => "An operator stopped it for the moment; nothing was decided.".into(),
        Refusal::LimitReached { limit, used } => format!("A buyer may have {limit}; {used} are held or bought."),
        Refusal::ExposureReached { limit, used } => {
            format!("A buyer may stand for {} in all; {} are bid already.", limit.get(), used.get())
        }
        Refusal::BidTooLow { minimum_next, .. } => format!("Bid {} or more.", minimum_next.get()),
        Refusal::SoldOut { available, held, .. } => {
            format!("{available} are free; {held} are held and may come back.")
        }
        Refusal::OrderExpired { expired_at } => format!("It expired at {}.", rfc3339(*expired_at)),
        Refusal::IllegalTransition { from, to } => {
            format!("An order that is {} cannot become {}.", from.as_str(), to.as_str())
        }
        Refusal::MismatchStands { .. } => {
            "The auditor's recount does not agree with the counters; run `firstcome verify`.".into()
        }
        Refusal::PreconditionFailed { revision } => format!("The drop is at revision {revision}; read it again."),
        Refusal::Invalid(invalid) => {
            let error = field_error(invalid);
            format!("{}: {}", error.pointer, error.detail)
        }
    }
}

fn members_of_refusal(refusal: &Refusal, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| {
        out.insert(name.into(), value);
    };
    match refusal {
        Refusal::NotFound | Refusal::KeyReused | Refusal::DropPaused => {}
        Refusal::NotStarted { starts_at } => put("starts_at", rfc3339(*starts_at).into()),
        Refusal::Ended { ends_at } => put("ends_at", rfc3339(*ends_at).into()),
        Refusal::LimitReached { limit, used } => {
            put("limit", (*limit).into());
            put("used", (*used).into());
        }
        Refusal::ExposureReached { limit, used } => {
            put("limit", limit.get().into());
            put("used", used.get().into());
        }
        Refusal::BidTooLow { current, minimum_next, .. } => {
            put("current", current.get().into());
            put("minimum_next", minimum_next.get().into());
        }
        Refusal::SoldOut { available, held, next_expiry_at } => {
            put("available", (*available).into());
            put("held", (*held).into());
            if let Some(at) = next_expiry_at {
                put("next_expiry_at", rfc3339(*at).into());
            }
        }
        Refusal::OrderExpired { expired_at } => put("expired_at", rfc3339(*expired_at).into()),
        Refusal::IllegalTransition { from, to } => {
            put("from", from.as_str().into());
            put("to", to.as_str().into());
        }
        Refusal::MismatchStands { from } => {
            put("from", from.as_str().into());
            put("to", "live".into());
        }
        Refusal::PreconditionFailed { revision } => put("revision", (*revision).into()),
        Refusal::Invalid(invalid) => {
            let error = field_error(invalid);
            put("errors", json!([{ "pointer": error.pointer, "detail": error.detail }]));
        }
    }
}

fn field_error(invalid: &Invalid) -> FieldError {
    let (pointer, detail) = match invalid {
        Invalid::EndBeforeStart => ("/ends_at", "must be after starts_at".into()),
        Invalid::EndInThePast => ("/ends_at", "must lie in the future; close the drop to end it now".into()),
        Invalid::TotalBelowTaken { taken } => ("/delta", format!("{taken} units are held or sold and cannot go")),
        Invalid::TotalTooLarge => ("/delta", "the total may be 4294967295 at most".into()),
        Invalid::TooManyDrops => ("", "the file holds as many drops as it can".into()),
        Invalid::TooManyEndpoints => ("", "there are as many endpoints as there can be: 16".into()),
        Invalid::PaymentDiffers { amount, currency } => {
            ("/amount", format!("the order costs {} {}", amount.get(), currency.as_str()))
        }
        Invalid::RefundOutOfRange { remaining } => {
            ("/amount", format!("{} are left to refund, at least 1 must be", remaining.get()))
        }
        Invalid::RestockOutOfRange { sold } => ("/restock_quantity", format!("{sold} units of the order are sold")),
    };
    FieldError { pointer: pointer.into(), detail }
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
    fn an_unknown_outcome_never_says_that_nothing_happened() {
        let body: Value = serde_json::from_str(&Problem::OutcomeUnknown.body("r1")).expect("JSON");
        assert_eq!((&body["applied"], &body["code"]), (&"unknown".into(), &"outcome-unknown".into()));
    }
}
