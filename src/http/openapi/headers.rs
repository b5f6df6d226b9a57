//! The headers of responses and requests.

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

/// Every header that a response may have besides those of HTTP itself.
const HEADERS: &[HeaderSpec] = &[
    HeaderSpec { name: "Request-Id", schema: text, why: "The client's, if it is valid; else a new one." },
    HeaderSpec {
        name: "Firstcome-Time-Ms",
        schema: number,
        why: "The server's clock in milliseconds since 1970, for countdowns.",
    },
    HeaderSpec {
        name: "Cache-Control",
        schema: text,
        why: "Drops may be cached for a second, other responses must not be cached.",
    },
    HeaderSpec {
        name: "ETag",
        schema: || json!({ "type": "string", "pattern": "^\"([ador]|[da]p[0-9]+[em][0-9a-f]{8}-|b[0-9]+p[0-9]+[em])[0-9]+-[0-9]+-[0-9]+(-gzip)?\"$|^\"w[0-9a-f]{32}\"$" }),
        why: "Send it as If-None-Match.",
    },
    HeaderSpec {
        name: "Firstcome-Undecided",
        schema: number,
        why: "The number of orders of a batch that were not decided, or of which that is not known: send them again.",
    },
    HeaderSpec { name: "Firstcome-Seq", schema: number, why: "The number of the outcome's last event." },
    HeaderSpec {
        name: "Server-Timing",
        schema: || json!({ "type": "string", "pattern": r"^queue;dur=[0-9.]+, decide;dur=[0-9.]+, commit;dur=[0-9.]+$" }),
        why: "The durations of a write's stages.",
    },
    HeaderSpec {
        name: "Idempotent-Replayed",
        schema: || json!({ "const": "true" }),
        why: "This response repeats an earlier one; the request had no new effect.",
    },
    HeaderSpec {
        name: "Retry-After",
        schema: || json!({ "type": "integer", "minimum": 1 }),
        why: "Seconds to wait, with jitter if the queue is full.",
    },
    HeaderSpec {
        name: "RateLimit-Policy",
        schema: text,
        why: "The quotas that apply to a write, or that were exceeded (draft-ietf-httpapi-ratelimit-headers); none for exempt clients.",
    },
    HeaderSpec { name: "RateLimit", schema: text, why: "The rest of each quota, and the seconds until there is more." },
    HeaderSpec {
        name: "WWW-Authenticate",
        schema: || json!({ "enum": ["Bearer", "WebhookSignature"] }),
        why: "What authenticates: a token in Authorization, or the signature of a webhook.",
    },
    HeaderSpec { name: "Allow", schema: text, why: "The methods of the path." },
    HeaderSpec { name: "Vary", schema: text, why: "The request headers that the response depends on." },
    HeaderSpec {
        name: "Content-Encoding",
        schema: || json!({ "const": "gzip" }),
        why: "The body is compressed; for clients that accept it, from `http.gzip_bytes_min` on.",
    },
    HeaderSpec {
        name: "Location",
        schema: text,
        why: "The path of what was created, or the next address: of a write at a node that does not lead, the leader's.",
    },
    HeaderSpec {
        name: "Firstcome-Shard",
        schema: || json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
        why: "In a cluster: the shard of the node that answers.",
    },
    HeaderSpec { name: "Firstcome-Node", schema: text, why: "In a cluster: the name of the node that answers." },
    HeaderSpec {
        name: "Firstcome-As-Of",
        schema: || json!({ "type": "string", "pattern": "^[0-9]+-[0-9]+$" }),
        why: "In a cluster: epoch and number of an event that the state has, and all before it.",
    },
    HeaderSpec {
        name: "Firstcome-Stale-Ms",
        schema: number,
        why: "In a cluster: milliseconds that the state may be behind; 0 at the leader.",
    },
    HeaderSpec { name: "Refresh", schema: number, why: "Seconds until the page reloads." },
    HeaderSpec {
        name: "Content-Security-Policy",
        schema: text,
        why: "Allows the page's own style, and forms to this server.",
    },
    HeaderSpec {
        name: "Referrer-Policy",
        schema: || json!({ "const": "no-referrer" }),
        why: "The address gives access to the order.",
    },
    HeaderSpec {
        name: "X-Content-Type-Options",
        schema: || json!({ "const": "nosniff" }),
        why: "The media type must not be guessed.",
    },
    HeaderSpec {
        name: "X-Accel-Buffering",
        schema: || json!({ "const": "no" }),
        why: "Proxies must pass the stream on as it comes.",
    },
    HeaderSpec {
        name: "Firstcome-Next-After",
        schema: number,
        why: "In CSV: the `after` of the next page; there if there is one.",
    },
];

/// The kind of a response, which decides on its headers.
#[derive(Clone, Copy)]
pub(super) enum ResponseKind<'a> {
    Success,
    /// A response of 202 in a route that creates something otherwise.
    Accepted,
    Problem(&'a [Code]),
    /// A problem that sends the client on.
    Redirect,
    NoBody,
}

/// Returns the presence of a header in a response.
fn presence(name: &str, route: Option<&Route>, kind: ResponseKind<'_>) -> Presence {
    use Presence::{Always, Never, Sometimes};
    let codes = match kind {
        ResponseKind::Problem(codes) => codes,
        ResponseKind::Success | ResponseKind::Accepted | ResponseKind::NoBody | ResponseKind::Redirect => &[],
    };
    let of_codes = |has: fn(Code) -> bool| match codes.iter().filter(|code| has(**code)).count() {
        0 => Never,
        having if having == codes.len() => Always,
        _ => Sometimes,
    };
    match name {
        "Request-Id" | "Firstcome-Time-Ms" | "Cache-Control" => Always,
        "Retry-After" => of_codes(|code| {
            matches!(code, Code::NotStarted | Code::NotOpen) || matches!(code.kind().status.as_u16(), 429 | 503)
        }),
        "RateLimit-Policy" | "RateLimit" => match of_codes(|code| matches!(code, Code::Overloaded | Code::RateLimited))
        {
            Never if route.is_some_and(|route| route.is_limited && (!route.is_read() || route.submits())) => Sometimes,
            presence @ (Always | Sometimes | Never) => presence,
        },
        "WWW-Authenticate" => of_codes(|code| code == Code::Unauthorized),
        "Allow" => of_codes(|code| code == Code::MethodNotAllowed),
        "Firstcome-Shard" => match (kind, route) {
            (ResponseKind::NoBody, _) | (_, None) => Never,
            (_, Some(_)) => Sometimes,
        },
        "Firstcome-Node" | "Firstcome-As-Of" | "Firstcome-Stale-Ms" => match (kind, route) {
            (ResponseKind::NoBody, _) | (_, None) => Never,
            (_, Some(route)) if route.is_read() => Sometimes,
            (_, Some(_)) => Never,
        },
        _ => match (kind, route) {
            (ResponseKind::Success, Some(route)) => of_success(name, route),
            (ResponseKind::Accepted, Some(route)) if name != "Location" => of_success(name, route),
            (ResponseKind::Redirect, _) if name == "Location" => Always,
            (
                ResponseKind::Success
                | ResponseKind::Accepted
                | ResponseKind::Problem(_)
                | ResponseKind::NoBody
                | ResponseKind::Redirect,
                _,
            ) => Never,
        },
    }
}

/// Returns the presence of a header in a successful response: from the route's row, else by the usual rules.
fn of_success(name: &str, route: &Route) -> Presence {
    if let Some((_, presence)) = route.headers.iter().find(|(known, _)| *known == name) {
        return *presence;
    }
    match name {
        "ETag" if is_tagged(route) => Presence::Always,
        "Location" if route.success.contains(&201) => Presence::Always,
        "Firstcome-Seq" | "Server-Timing" if route.submits() => Presence::Always,
        "Idempotent-Replayed" if has_key(route) => Presence::Sometimes,
        _ => Presence::Never,
    }
}

/// Returns the component's name of a header that may be missing.
fn optional(name: &str) -> String {
    format!("Optional-{name}")
}

/// Returns the headers of a response.
pub(super) fn of(route: Option<&Route>, kind: ResponseKind<'_>) -> Map<String, Value> {
    let mut headers = Map::new();
    for header in HEADERS {
        let key = match presence(header.name, route, kind) {
            Presence::Always => header.name.to_string(),
            Presence::Sometimes => optional(header.name),
            Presence::Never => continue,
        };
        headers.insert(header.name.into(), json!({ "$ref": format!("#/components/headers/{key}") }));
    }
    headers
}

/// Returns the components of all headers: each once as required and once as optional.
pub(super) fn components() -> Map<String, Value> {
    let mut components = Map::new();
    for HeaderSpec { name, schema, why } in HEADERS {
        for (key, required) in [((*name).to_string(), true), (optional(name), false)] {
            components.insert(key, json!({ "description": why, "required": required, "schema": schema() }));
        }
    }
    components
}

/// Returns true if its responses have an entity tag.
fn is_tagged(route: &Route) -> bool {
    route.success.contains(&304)
}

/// Returns true if the route requires an idempotency key.
fn has_key(route: &Route) -> bool {
    route.lists(Code::KeyMissing)
}

/// A key, bare (as Stripe's) or as a quoted string (RFC 8941, 3.3.3).
const KEY_PATTERN: &str = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#;

/// Returns the header parameters of a request.
pub(super) fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = vec![json!({
        "name": "Request-Id", "in": "header", "schema": { "type": "string" },
        "description": "Returned with the response if it is 1 to 64 letters, digits, `-`, `_`, `.`.",
    })];
    if has_key(route) {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "schema": { "type": "string", "pattern": KEY_PATTERN },
            "description": "1 to 255 visible ASCII characters, bare or quoted. Send the same key with every retry.",
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        }));
    }
    if route.operation == "GetStandby" {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "pattern": KEY_PATTERN },
            "description": "The key of the joining. Without a buyer's token only an answer to it tells the order.",
        }));
    }
    if matches!(route.operation, "CreateDrop" | "CreateAuction") {
        parameters.push(json!({
            "name": "Firstcome-Repeat-Only", "in": "header", "schema": { "const": "true" },
            "description": "Answered as a repeat if the key is known, else `not-found` and without an effect. A router asks so \
                which shard knows the key.",
        }));
    }
    if route.lists(Code::ChallengeRequired) {
        parameters.push(json!({
            "name": "Firstcome-Challenge", "in": "header", "schema": { "type": "string" },
            "description": "The solution of a challenge, once: the payload of ALTCHA's widget, or the token of the outside \
                service. Ignored where the drop demands none of this buyer.",
        }));
    }
    if route.is_read() {
        parameters.push(json!({
            "name": "Firstcome-Min-Seq", "in": "header",
            "schema": { "type": "string", "pattern": "^([0-9]{1,10}-)?[0-9]{1,15}$" },
            "description": "The state must have the event of this number, bare or as `epoch-seq` of an ETag. The server \
                waits for it up to 200 ms, else answers `behind`.",
        }));
    }
    if is_tagged(route) {
        parameters.push(json!({
            "name": "If-None-Match", "in": "header", "schema": { "type": "string" },
            "description": "The ETag of the version that the client has; 304 if it is still the current one.",
        }));
    }
    parameters
}
