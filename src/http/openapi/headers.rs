//! The headers of answers and requests.

use serde_json::{Map, Value, json};

use crate::api::code::Code;
use crate::http::route::{Presence, Route};

struct HeaderSpec {
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
const HEADERS: &[HeaderSpec] = &[
    HeaderSpec { name: "Request-Id", schema: text, why: "The client's, if it is sane; else a new one." },
    HeaderSpec {
        name: "Firstcome-Time-Ms",
        schema: number,
        why: "The server's clock in milliseconds since 1970, for countdowns.",
    },
    HeaderSpec {
        name: "Cache-Control",
        schema: text,
        why: "Drops may be kept for a second, everything else by nobody.",
    },
    HeaderSpec {
        name: "ETag",
        schema: || json!({ "type": "string", "pattern": "^\"[ado][0-9]+-[0-9]+-[0-9]+\"$" }),
        why: "Send it as If-None-Match.",
    },
    HeaderSpec { name: "Firstcome-Seq", schema: number, why: "The number of the outcome's last event." },
    HeaderSpec {
        name: "Server-Timing",
        schema: || json!({ "type": "string", "pattern": r"^queue;dur=[0-9.]+, decide;dur=[0-9.]+, commit;dur=[0-9.]+$" }),
        why: "Where the time of a write went.",
    },
    HeaderSpec {
        name: "Idempotent-Replayed",
        schema: || json!({ "const": "true" }),
        why: "This answer repeats an earlier one: nothing happened now.",
    },
    HeaderSpec {
        name: "Retry-After",
        schema: || json!({ "type": "integer", "minimum": 1 }),
        why: "Seconds; with jitter where many wait.",
    },
    HeaderSpec {
        name: "RateLimit-Policy",
        schema: text,
        why: "The quota that was exceeded (draft-ietf-httpapi-ratelimit-headers).",
    },
    HeaderSpec { name: "RateLimit", schema: text, why: "What is left of the quota." },
    HeaderSpec {
        name: "WWW-Authenticate",
        schema: || json!({ "const": "Bearer" }),
        why: "What to send as Authorization.",
    },
    HeaderSpec { name: "Allow", schema: text, why: "The methods that the path has." },
    HeaderSpec { name: "Vary", schema: text, why: "What else the answer depends on." },
    HeaderSpec { name: "Location", schema: text, why: "Where to go on." },
    HeaderSpec { name: "Refresh", schema: number, why: "After how many seconds the page changes by itself." },
    HeaderSpec {
        name: "Content-Security-Policy",
        schema: text,
        why: "The page's own style, and forms to this server.",
    },
    HeaderSpec { name: "Referrer-Policy", schema: || json!({ "const": "no-referrer" }), why: "The address is a key." },
    HeaderSpec { name: "X-Content-Type-Options", schema: || json!({ "const": "nosniff" }), why: "It is what it says." },
    HeaderSpec {
        name: "Firstcome-Next-After",
        schema: number,
        why: "In CSV: the `after` of the next page; there if there is one.",
    },
];

/// What an answer is, to its headers.
#[derive(Clone, Copy)]
pub(super) enum ResponseKind<'a> {
    /// A good end.
    Success,
    /// One of these problems.
    Problem(&'a [Code]),
    /// No body at all.
    NoBody,
}

/// Whether a response has a header.
fn presence(name: &str, route: Option<&Route>, answer: ResponseKind<'_>) -> Presence {
    use Presence::{Always, Never, Sometimes};
    let codes = match answer {
        ResponseKind::Problem(codes) => codes,
        ResponseKind::Success | ResponseKind::NoBody => &[],
    };
    let of_codes = |has: fn(Code) -> bool| match codes.iter().filter(|code| has(**code)).count() {
        0 => Never,
        having if having == codes.len() => Always,
        _ => Sometimes,
    };
    match name {
        "Request-Id" | "Firstcome-Time-Ms" | "Cache-Control" => Always,
        "Retry-After" => of_codes(|code| code == Code::NotStarted || matches!(code.kind().status.as_u16(), 429 | 503)),
        "RateLimit-Policy" | "RateLimit" => of_codes(|code| matches!(code, Code::Overloaded | Code::RateLimited)),
        "WWW-Authenticate" => of_codes(|code| code == Code::Unauthorized),
        "Allow" => of_codes(|code| code == Code::MethodNotAllowed),
        _ => match (answer, route) {
            (ResponseKind::Success, Some(route)) => of_success(name, route),
            (ResponseKind::Success | ResponseKind::Problem(_) | ResponseKind::NoBody, _) => Never,
        },
    }
}

/// Whether a successful response has a header: as the route's row says, else by the usual rules.
fn of_success(name: &str, route: &Route) -> Presence {
    if let Some((_, presence)) = route.headers.iter().find(|(known, _)| *known == name) {
        return *presence;
    }
    match name {
        "ETag" if is_tagged(route) => Presence::Always,
        // The writer decides it.
        "Firstcome-Seq" | "Server-Timing" if route.lists(Code::OutcomeUnknown) => Presence::Always,
        "Idempotent-Replayed" if has_key(route) => Presence::Sometimes,
        _ => Presence::Never,
    }
}

/// The component's name of a header that may be missing.
fn optional(name: &str) -> String {
    format!("Optional-{name}")
}

/// The headers of an answer.
pub(super) fn of(route: Option<&Route>, answer: ResponseKind<'_>) -> Map<String, Value> {
    let mut headers = Map::new();
    for header in HEADERS {
        let key = match presence(header.name, route, answer) {
            Presence::Always => header.name.to_string(),
            Presence::Sometimes => optional(header.name),
            Presence::Never => continue,
        };
        headers.insert(header.name.into(), json!({ "$ref": format!("#/components/headers/{key}") }));
    }
    headers
}

/// Every header, under its name in the document: once as what is always there, once as what may be.
pub(super) fn components() -> Map<String, Value> {
    let mut components = Map::new();
    for HeaderSpec { name, schema, why } in HEADERS {
        for (key, required) in [((*name).to_string(), true), (optional(name), false)] {
            components.insert(key, json!({ "description": why, "required": required, "schema": schema() }));
        }
    }
    components
}

/// Whether its responses have a tag that the client may send back.
fn is_tagged(route: &Route) -> bool {
    route.success.contains(&304)
}

/// Whether an idempotency key is needed.
fn has_key(route: &Route) -> bool {
    route.lists(Code::KeyMissing)
}

/// A key, bare (Stripe's habit) or as a quoted string (RFC 8941, 3.3.3).
const KEY_PATTERN: &str = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#;

/// What a request may send besides its body.
pub(super) fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = vec![json!({
        "name": "Request-Id", "in": "header", "schema": { "type": "string" },
        "description": "Comes back with the answer if it is 1 to 64 letters, digits, `-`, `_`, `.`.",
    })];
    if has_key(route) {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "schema": { "type": "string", "pattern": KEY_PATTERN },
            "description": "1 to 255 visible ASCII characters, bare or quoted. Send the same with every repeat.",
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        }));
    }
    if is_tagged(route) {
        parameters.push(json!({
            "name": "If-None-Match", "in": "header", "schema": { "type": "string" },
            "description": "The ETag that the client has: 304 if it is still the one.",
        }));
    }
    parameters
}
