//! The headers of answers and requests.

use serde_json::{Map, Value, json};

use crate::http::code::Code;
use crate::http::routes::Action;

struct Header {
    name: &'static str,
    schema: fn() -> Value,
    why: &'static str,
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}
fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

/// Every header that an answer may have on top of what HTTP itself says.
const HEADERS: &[Header] = &[
    Header { name: "Request-Id", schema: text, why: "The client's, if it is sane; else a new one." },
    Header {
        name: "Firstcome-Time-Ms",
        schema: number,
        why: "The server's clock in milliseconds since 1970, for countdowns.",
    },
    Header { name: "Cache-Control", schema: text, why: "Drops may be kept for a second, everything else by nobody." },
    Header {
        name: "ETag",
        schema: || json!({ "type": "string", "pattern": "^\"[ado][0-9]+-[0-9]+-[0-9]+\"$" }),
        why: "Send it as If-None-Match.",
    },
    Header { name: "Firstcome-Seq", schema: number, why: "The number of the outcome's last event." },
    Header {
        name: "Server-Timing",
        schema: || json!({ "type": "string", "pattern": r"^queue;dur=[0-9.]+, decide;dur=[0-9.]+, commit;dur=[0-9.]+$" }),
        why: "Where the time of a write went.",
    },
    Header {
        name: "Idempotent-Replayed",
        schema: || json!({ "const": "true" }),
        why: "This answer repeats an earlier one: nothing happened now.",
    },
    Header {
        name: "Retry-After",
        schema: || json!({ "type": "integer", "minimum": 1 }),
        why: "Seconds; with jitter where many wait.",
    },
    Header {
        name: "RateLimit-Policy",
        schema: text,
        why: "The quota that was exceeded (draft-ietf-httpapi-ratelimit-headers).",
    },
    Header { name: "RateLimit", schema: text, why: "What is left of the quota." },
    Header { name: "WWW-Authenticate", schema: || json!({ "const": "Bearer" }), why: "What to send as Authorization." },
    Header { name: "Allow", schema: text, why: "The methods that the path has." },
    Header { name: "Vary", schema: text, why: "What else the answer depends on." },
    Header { name: "Location", schema: text, why: "Where to go on." },
    Header { name: "Refresh", schema: number, why: "After how many seconds the page changes by itself." },
    Header { name: "Content-Security-Policy", schema: text, why: "The page's own style, and forms to this server." },
    Header { name: "Referrer-Policy", schema: || json!({ "const": "no-referrer" }), why: "The address is a key." },
    Header { name: "X-Content-Type-Options", schema: || json!({ "const": "nosniff" }), why: "It is what it says." },
    Header {
        name: "Firstcome-Next-After",
        schema: number,
        why: "In CSV: the `after` of the next page; there if there is one.",
    },
];

/// What an answer is, to its headers.
#[derive(Clone, Copy)]
pub(super) enum Answer<'a> {
    /// A good end.
    Good,
    /// One of these problems.
    Problem(&'a [Code]),
    /// No body at all.
    NoBody,
}

/// Whether a header can be there, and then whether it always is.
fn presence(name: &str, action: Option<Action>, answer: Answer<'_>) -> Option<bool> {
    let good = matches!(answer, Answer::Good);
    let codes = match answer {
        Answer::Problem(codes) => codes,
        Answer::Good | Answer::NoBody => &[],
    };
    let of_codes = |has: fn(Code) -> bool| {
        let having = codes.iter().filter(|code| has(**code)).count();
        (having > 0).then_some(having == codes.len())
    };
    match name {
        "Request-Id" | "Firstcome-Time-Ms" | "Cache-Control" => Some(true),
        "ETag" => (good && action.is_some_and(is_tagged)).then_some(true),
        // What is not about our orders is not recorded.
        "Firstcome-Seq" | "Server-Timing" if good && action == Some(Action::HearProvider) => Some(false),
        "Firstcome-Seq" | "Server-Timing" => (good && action.is_some_and(is_write)).then_some(true),
        "Idempotent-Replayed" => (good && action.is_some_and(has_key)).then_some(false),
        "Retry-After" => of_codes(|code| code == Code::NotStarted || matches!(code.kind().status.as_u16(), 429 | 503)),
        "RateLimit-Policy" | "RateLimit" => of_codes(|code| matches!(code, Code::Overloaded | Code::RateLimited)),
        "WWW-Authenticate" => of_codes(|code| code == Code::Unauthorized),
        "Allow" => of_codes(|code| code == Code::MethodNotAllowed),
        "Location" | "Refresh" => (good && action == Some(Action::OrderPage)).then_some(false),
        "Content-Security-Policy" | "Referrer-Policy" | "X-Content-Type-Options" => {
            (good && action == Some(Action::OrderPage)).then_some(true)
        }
        "Vary" => (good && action == Some(Action::ListOrders)).then_some(true),
        "Firstcome-Next-After" => (good && action == Some(Action::ListOrders)).then_some(false),
        _ => None,
    }
}

/// The headers of an answer.
pub(super) fn of(action: Option<Action>, answer: Answer<'_>) -> Map<String, Value> {
    let mut headers = Map::new();
    for header in HEADERS {
        if let Some(always) = presence(header.name, action, answer) {
            let key = if always { header.name.to_string() } else { format!("{}Sometimes", header.name) };
            headers.insert(header.name.into(), json!({ "$ref": format!("#/components/headers/{key}") }));
        }
    }
    headers
}

/// Every header, under its name in the document: once as what is always there, once as what may be.
pub(super) fn components() -> Map<String, Value> {
    let mut components = Map::new();
    for Header { name, schema, why } in HEADERS {
        for (key, required) in [((*name).to_string(), true), (format!("{name}Sometimes"), false)] {
            components.insert(key, json!({ "description": why, "required": required, "schema": schema() }));
        }
    }
    components
}

/// Whether the answer has a tag that the client may send back.
pub(super) fn is_tagged(action: Action) -> bool {
    matches!(action, Action::GetDrop | Action::GetOrder | Action::GetAuction | Action::GetAuctionOrder)
}

/// Whether an idempotency key is needed.
pub(super) fn has_key(action: Action) -> bool {
    crate::http::answers::of(action).problems.iter().any(|group| group.contains(&Code::KeyMissing))
}

/// Whether the writer decides it. Lists go through it only for the audit, and say nothing of it.
fn is_write(action: Action) -> bool {
    let may = crate::http::answers::of(action).problems;
    action != Action::ListOrders && may.iter().any(|group| group.contains(&Code::OutcomeUnknown))
}

/// A key, bare (Stripe's habit) or as a quoted string (RFC 8941, 3.3.3).
const KEY_PATTERN: &str = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#;

/// What a request may send besides its body.
pub(super) fn parameters(action: Action) -> Vec<Value> {
    let mut parameters = vec![json!({
        "name": "Request-Id", "in": "header", "schema": { "type": "string" },
        "description": "Comes back with the answer if it is 1 to 64 letters, digits, `-`, `_`, `.`.",
    })];
    if has_key(action) {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "schema": { "type": "string", "pattern": KEY_PATTERN },
            "description": "1 to 255 visible ASCII characters, bare or quoted. Send the same with every repeat.",
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        }));
    }
    if is_tagged(action) {
        parameters.push(json!({
            "name": "If-None-Match", "in": "header", "schema": { "type": "string" },
            "description": "The ETag that the client has: 304 if it is still the one.",
        }));
    }
    parameters
}
