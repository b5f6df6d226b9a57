//! The line and the exit code of a verb that failed: what did not happen, why, and what to do.

use hyper::Method;
use serde_json::Value;

use super::{Verb, VerbListener};
use crate::client::http::{RequestError, printable};
use crate::egress::{OutboundResponse, SendError};
use crate::exit::Exit;

/// Characters of a problem's texts that are printed.
const REASON_CHARS_MAX: usize = 600;

/// A verb's request that had no success.
pub(super) struct FailedVerb<'a> {
    pub(super) verb: &'a Verb,
    pub(super) subject: &'a str,
    /// URL of the listener.
    pub(super) url: &'a str,
    pub(super) key: Option<&'a str>,
}

impl FailedVerb<'_> {
    /// Makes the end of a request without a response.
    pub(super) fn unanswered(&self, error: &RequestError) -> Exit {
        let next = match error {
            RequestError::NoResponse(SendError::Tls) => {
                "--ca trusts an authority of your own, whose certificate must name the host".into()
            }
            // The request may have been read.
            RequestError::NoResponse(SendError::TimedOut | SendError::Broken) if self.verb.method != Method::GET => {
                self.unknown()
            }
            RequestError::NoResponse(
                SendError::Forbidden
                | SendError::Unresolved
                | SendError::Unreachable
                | SendError::TimedOut
                | SendError::Broken,
            ) => format!("is `firstcome serve` running? {} sets its address", self.flag()),
            RequestError::Status(..) | RequestError::Invalid(_) => format!("{} sets the address", self.flag()),
        };
        Exit::unavailable(self.line(&format!("{}: {error}", self.url), &next))
    }

    /// Makes the end of a request whose answer is not JSON.
    pub(super) fn unreadable(&self) -> Exit {
        let next = format!("{} must be the listener of `firstcome serve`", self.flag());
        Exit::unavailable(self.line(&format!("{}: the answer is not JSON", self.url), &next))
    }

    /// Makes the end of a request that the server refuses.
    pub(super) fn refused(&self, response: &OutboundResponse) -> Exit {
        let problem: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let status = response.status.as_u16();
        let code = problem["code"].as_str().unwrap_or("");
        if code.is_empty() {
            let reason = format!("{}: status {status} without a problem document", self.url);
            let next = format!("{} must be the listener of `firstcome serve`", self.flag());
            return Exit::unavailable(self.line(&reason, &next));
        }
        let reason = reason_of(&problem);
        let wait = response.headers.get("retry-after").and_then(|value| value.to_str().ok()).unwrap_or("a few");
        let again = || format!("nothing was changed; try again in {wait} seconds");
        match (code, status) {
            ("not-found", _) => Exit::failed(self.line(self.verb.missing, &self.other_listener())),
            ("method-not-allowed", _) => Exit::usage(self.line(&reason, &self.other_listener())),
            ("unauthorized", _) => Exit::unavailable(self.line(
                "the server wants an operator's token",
                "put it into the variable FIRSTCOME_TOKEN, or name its file with --token-file",
            )),
            ("forbidden", _) => {
                Exit::unavailable(self.line(&reason, "use a token with a higher role (`firstcome token create`)"))
            }
            ("idempotency-key-reused", _) => Exit::usage(self.line(&reason, "leave --key out, or use another")),
            ("precondition-failed", _) => {
                Exit::failed(self.line(&reason, "it has changed meanwhile: run the command again"))
            }
            ("outcome-unknown", _) => {
                Exit::unavailable(self.line("the server did not learn the outcome", &self.unknown()))
            }
            ("internal", _) => Exit::unavailable(self.line(&reason, &self.unknown())),
            (_, 400 | 413 | 415 | 422) => Exit::usage(self.line(&reason, "")),
            (_, 307 | 429 | 503) => Exit::unavailable(self.line(&reason, &again())),
            (_, _) => Exit::failed(self.line(&reason, "")),
        }
    }

    /// Returns what to do where nothing is known about a change.
    fn unknown(&self) -> String {
        match self.key {
            Some(key) => {
                format!("it may have happened: repeat the command with --key {key}, which has no second effect")
            }
            None => "it may have happened: look before you repeat it".into(),
        }
    }

    const fn flag(&self) -> &'static str {
        match self.verb.listener {
            VerbListener::Admin => "--admin",
            VerbListener::Public => "--public",
        }
    }

    /// Returns a hint for a request without a subject, whose path exists at every listener of its kind.
    fn other_listener(&self) -> String {
        let kind = match self.verb.listener {
            VerbListener::Admin => "admin",
            VerbListener::Public => "public",
        };
        if self.subject.is_empty() || self.verb.missing.is_empty() {
            format!("{} must be the {kind} listener, and {} may be another", self.flag(), self.url)
        } else {
            String::new()
        }
    }

    fn line(&self, reason: &str, next: &str) -> String {
        let undone = self.verb.undone.replace("{}", self.subject);
        let parts = [&undone, reason, next].map(|part| part.trim_end_matches('.'));
        let mut line = parts[0].to_owned();
        for (before, part) in [": ", "; "].into_iter().zip(&parts[1..]).filter(|(_, part)| !part.is_empty()) {
            line.push_str(before);
            line.push_str(part);
        }
        printable(&line)
    }
}

/// Returns title, detail and mistakes of a problem (RFC 9457).
fn reason_of(problem: &Value) -> String {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("").to_owned();
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let mistakes = errors.iter().map(|error| format!("{} {}", text(error, "pointer"), text(error, "detail")));
    let mistakes = mistakes.collect::<Vec<_>>().join(", ");
    // The detail of a wrong body has the same mistakes.
    let detail = if mistakes.is_empty() { text(problem, "detail") } else { mistakes };
    let parts = [text(problem, "title"), detail];
    let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    parts.join(": ").chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use hyper::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    static PAUSE: Verb = Verb {
        method: Method::POST,
        listener: VerbListener::Admin,
        path: "/v1/drops/{}/pause",
        has_key: false,
        done: "drop {} is paused",
        undone: "drop {} was not paused",
        missing: "there is no such drop",
        columns: &[],
    };

    #[test]
    fn every_kind_of_problem_has_its_code_and_one_line() {
        let failed = FailedVerb { verb: &PAUSE, subject: "7", url: "http://s", key: None };
        let of = |status: u16, code: &str, wait: &str| {
            let body = json!({ "code": code, "title": "Title", "detail": "Detail\n\u{1b}[2J." }).to_string();
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", wait.parse().expect("a header"));
            let status = StatusCode::from_u16(status).expect("a status");
            let exit = failed.refused(&OutboundResponse { status, headers, body: Bytes::from(body) });
            assert!(!exit.message.chars().any(char::is_control), "{}", exit.message);
            (exit.code, exit.message)
        };
        assert_eq!(of(404, "not-found", "1"), (1, "drop 7 was not paused: there is no such drop".into()));
        assert_eq!(of(410, "ended", "1"), (1, "drop 7 was not paused: Title: Detail  [2J".into()));
        assert_eq!((of(400, "validation", "1").0, of(422, "idempotency-key-reused", "1").0), (64, 64));
        let (code, line) = of(503, "draining", "2");
        assert!(code == 69 && line.ends_with("nothing was changed; try again in 2 seconds"), "{line}");
        let (code, line) = of(503, "outcome-unknown", "2");
        assert!(code == 69 && line.contains("may have happened") && !line.contains("nothing was changed"), "{line}");
        assert_eq!((of(401, "unauthorized", "1").0, of(403, "forbidden", "1").0), (69, 69));
    }

    #[test]
    fn a_response_that_is_lost_may_have_had_an_effect_and_a_refused_connection_has_none() {
        let failed = FailedVerb { verb: &PAUSE, subject: "7", url: "http://s", key: Some("k1") };
        let lost = failed.unanswered(&RequestError::NoResponse(SendError::TimedOut)).message;
        assert!(lost.contains("repeat the command with --key k1"), "{lost}");
        let down = failed.unanswered(&RequestError::NoResponse(SendError::Unreachable)).message;
        assert!(down.contains("--admin") && !down.contains("may have happened"), "{down}");
    }
}
