//! The OpenAPI 3.1 description of both listeners.
//!
//! Paths, statuses and codes come from the rows of `routes`, schemas of requests from the functions that read them, those
//! of responses from the structs that are serialized, those of problems from `problems`.

mod examples;
mod headers;
mod problems;
mod schemas;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use self::headers::ResponseKind;
use super::route::{Listener, RequiredRole, ResponseBody, Route};
use super::routes::ROUTES;
use crate::api::code::Code;
use crate::api::json::scalars::{ORDER_ID_EXAMPLE, ORDER_ID_PATTERN};
use crate::api::json::{request_schemas, response_schemas};
use crate::api::validation::rules::NO_CONTROL;
use crate::config::all_settings;
use crate::types::Provider;
use crate::types::text::BUYER_BYTES_MAX;
use crate::web::runbooks;

const ABOUT: &str = "An inventory engine for limited drops: it never oversells, and never loses what it acknowledged.\n\n\
    Two listeners: *public* for buyers, *admin* for operators; each operation has its own under `servers`. HEAD is \
    supported wherever GET is. Without an operation the response is `not-found`, or `method-not-allowed` with `Allow` if \
    the path has other methods. Preflights of origins on the allow-list are answered with 204.\n\n\
    Errors are RFC 9457 problems with a `code`. A refusal has `as_of_seq` and `at`. A 503 has `applied`: after `no` there \
    is never an effect; after `unknown` retry with the same Idempotency-Key to learn the outcome. Malformed HTTP is \
    answered with `malformed` or without a problem (400, 414, 431), and its connection is closed.\n\n\
    In a cluster any node answers reads, with the headers Firstcome-Node, Firstcome-As-Of and Firstcome-Stale-Ms. A write at \
    a node that does not lead is answered with 307 to the leader, or with `not-leader`. A read with Firstcome-Min-Seq is \
    answered from a state that has that event.\n\n\
    Unknown members of a request are refused. Optional members of a response are omitted, never null. Responses may get \
    new members: ignore unknown ones.";

/// Returns the document, which is made once.
#[must_use]
pub fn document() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(make(Urls::default()).to_string()));
    DOCUMENT.clone()
}

/// Stands for the URL of the admin listener until a request tells it.
pub const ADMIN_URL: &str = "http://admin.invalid";

/// The URLs that a document names; without one its setting with the default.
#[derive(Clone, Copy, Default)]
struct Urls<'a> {
    public: Option<&'a str>,
    admin: Option<&'a str>,
}

/// Returns the document of a running server, which names the URL at which buyers reach it.
#[must_use]
pub fn served_document(public_url: &str, admin_url: Option<&str>) -> Bytes {
    Bytes::from(make(Urls { public: Some(public_url), admin: admin_url }).to_string())
}

/// Returns the document with line breaks.
#[must_use]
pub fn pretty() -> String {
    format!("{:#}", make(Urls::default()))
}

fn make(urls: Urls<'_>) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES.iter().filter(|route| !route.is_page) {
        paths.entry(route.path).or_default().insert(route.method.as_str().to_ascii_lowercase(), operation(route, urls));
    }
    let mut schemas = response_schemas();
    schemas.extend(request_schemas().into_iter().chain(schemas::other_schemas()).map(|(name, s)| (name.into(), s)));
    schemas.extend(problems::schemas());
    schemas.extend(webhooks::schemas());
    let mut paths = json!(paths);
    examples::add(&mut paths, &schemas);
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "firstcome",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "contact": { "name": "The firstcome authors" },
            "license": { "name": "MIT License", "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [server(Listener::Public, urls)],
        "tags": [
            { "name": "public", "description": "For buyers, on the public listener." },
            { "name": "admin", "description": "For operators, on the admin listener." },
            { "name": "webhooks", "description": "Sent to the shop's endpoints." },
        ],
        "paths": paths,
        "webhooks": webhooks::webhooks(),
        "x-responses-without-an-operation": {
            "Malformed": unrouted(&[Code::Malformed]),
            "Unauthorized": unrouted(&[Code::Unauthorized]),
            "NotFound": unrouted(&[Code::NotFound]),
            "MethodNotAllowed": unrouted(&[Code::MethodNotAllowed]),
            "Forbidden": unrouted(&[Code::Forbidden]),
            "Preflight": {
                "description": "A preflight request of an origin on the allow-list.",
                "headers": headers::of(None, ResponseKind::NoBody),
            },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": security_schemes(),
            "headers": headers::components(),
            "responses": { "UriTooLong": uri_too_long() },
        },
    });
    remove_unused_headers(&mut document);
    document
}

/// Removes the components of headers that no response has.
fn remove_unused_headers(document: &mut Value) {
    let mut used = BTreeSet::new();
    references(document, &mut used);
    if let Some(headers) = document["components"]["headers"].as_object_mut() {
        headers.retain(|name, _| used.contains(&format!("#/components/headers/{name}")));
    }
}

/// Collects everything that is referred to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(String::from));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn server(listener: Listener, urls: Urls<'_>) -> Value {
    let (setting, description, url) = match listener {
        Listener::Public => ("public.listen", "Buyers", urls.public),
        Listener::Admin => ("admin.listen", "Operators", urls.admin),
    };
    if let Some(url) = url {
        return json!({ "url": url, "description": description });
    }
    let default = all_settings().find(|known| known.key == setting).map_or("", |known| known.default);
    json!({
        "url": "http://{address}",
        "description": description,
        "variables": { "address": { "default": default, "description": format!("The setting `{setting}`.") } },
    })
}

fn operation(route: &Route, urls: Urls<'_>) -> Value {
    let tag = match route.listener {
        Listener::Public => "public",
        Listener::Admin => "admin",
    };
    let mut parameters: Vec<Value> = path_parameter(route).into_iter().collect();
    parameters.extend(schemas::query_parameters(route));
    parameters.extend(headers::parameters(route));
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "description": match route.required_role {
            RequiredRole::Operator(role) => format!("For the role `{}` or above.", role.as_str()),
            RequiredRole::Buyer => "For the buyer of the token, where the server has keys for tokens.".into(),
            RequiredRole::None if route.is_probe() => {
                "For all clients; no token is needed. With the setting `public.probes` it is on the public listener, too.".into()
            }
            RequiredRole::None => "For all clients; no token is needed.".into(),
        },
        "tags": [tag],
        "servers": [server(route.listener, urls)],
        "security": security(route.required_role),
        "parameters": parameters,
        "responses": responses(route),
    });
    if let Some(body) = &route.request_body {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema(body.schema), "example": (body.example)() } },
        });
    }
    operation
}

/// Returns the security requirement. Tokens are required only where the operator has set them up, so none is an
/// alternative.
fn security(role: RequiredRole) -> Value {
    match role {
        RequiredRole::None => json!([]),
        RequiredRole::Buyer => json!([{}, { "buyerToken": [] }]),
        RequiredRole::Operator(_) => json!([{}, { "operatorToken": [] }]),
    }
}

fn security_schemes() -> Value {
    json!({
        "operatorToken": {
            "type": "http", "scheme": "bearer",
            "description": "Created by `firstcome token create`. Without any token in the data directory every call on \
                the admin listener has the role `owner`.",
        },
        "webhookSignature": webhooks::security_scheme(),
        "buyerToken": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "If the server has keys for them: HS256 or EdDSA, with `sub`, `aud` and `exp`. `buyer` is \
                the token's `sub`.",
        },
    })
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn path_parameter(route: &Route) -> Option<Value> {
    let name = route.parameter()?;
    let number = |max: u64| json!({ "type": "integer", "minimum": 1, "maximum": max });
    let (schema, example) = match name {
        "drop_id" | "auction_id" => (number(u32::MAX.into()), json!(1)),
        "endpoint_id" => (number(crate::types::Seq::MAX.get()), json!(1)),
        "order_id" => {
            (json!({ "type": "string", "format": "uuid", "pattern": ORDER_ID_PATTERN }), json!(ORDER_ID_EXAMPLE))
        }
        "buyer" => (
            json!({ "type": "string", "minLength": 1, "maxLength": BUYER_BYTES_MAX, "pattern": NO_CONTROL }),
            json!("ann"),
        ),
        "token_id" => (json!({ "type": "string", "pattern": "^[0-9a-f]{12}$" }), json!("0123456789ab")),
        "runbook" => (json!({ "type": "string", "enum": runbooks::names() }), json!("FirstcomeRefundsDue")),
        "provider" => {
            let words = Provider::ALL.map(Provider::as_str);
            let words: Vec<&str> = words.into_iter().filter(|word| Provider::from_path(word).is_some()).collect();
            (json!({ "type": "string", "enum": words }), json!("standard-webhooks"))
        }
        // A test checks that there is no other.
        _ => return None,
    };
    Some(json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example }))
}

fn responses(route: &Route) -> Map<String, Value> {
    let mut responses = Map::new();
    for status in route.success {
        let response = match route.accepted.filter(|_| *status == 202) {
            Some(name) => accepted(route, name),
            None => good(route, *status),
        };
        responses.insert(status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in route.problem_codes() {
        by_status.entry(code.kind().status.as_u16()).or_default().push(code);
        if let Some(status) = code.redirect().filter(|_| route.needs_leader()) {
            responses.insert(status.as_u16().to_string(), problem(ResponseKind::Redirect, Some(route), &[code]));
        }
    }
    for (status, mut codes) in by_status {
        codes.sort_unstable();
        responses.insert(status.to_string(), problem(ResponseKind::Problem(&codes), Some(route), &codes));
    }
    responses.insert("414".into(), json!({ "$ref": "#/components/responses/UriTooLong" }));
    responses
}

fn good(route: &Route, status: u16) -> Value {
    let words = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    let mut response = json!({ "description": words, "headers": headers::of(Some(route), ResponseKind::Success) });
    let bodies = if matches!(status, 303 | 304) { &[] } else { route.response_bodies };
    if !bodies.is_empty() {
        let content: Map<String, Value> = bodies.iter().map(content).collect();
        response["content"] = content.into();
    }
    let links: Map<String, Value> = route
        .links
        .iter()
        .map(|operation| {
            let to = ROUTES.iter().find(|route| route.operation == *operation);
            let parameter = to.and_then(|to| to.parameter()).unwrap_or("");
            let link = json!({ "operationId": operation, "parameters": { parameter: "$response.body#/id" } });
            ((*operation).into(), link)
        })
        .collect();
    if !links.is_empty() {
        response["links"] = links.into();
    }
    response
}

/// Returns the response of 202 of a route that creates something otherwise.
fn accepted(route: &Route, name: &str) -> Value {
    let headers = headers::of(Some(route), ResponseKind::Accepted);
    let content = json!({ "application/json": { "schema": schema(name) } });
    json!({ "description": "Accepted", "headers": headers, "content": content })
}

fn content(body: &ResponseBody) -> (String, Value) {
    let (media_type, schema) = match body {
        ResponseBody::Json(name) => ("application/json", schema(name)),
        ResponseBody::Named(media_type, name) => (*media_type, schema(name)),
        ResponseBody::Inline(media_type, schema) => (*media_type, schema()),
    };
    (media_type.into(), json!({ "schema": schema }))
}

fn problem(kind: ResponseKind<'_>, route: Option<&Route>, codes: &[Code]) -> Value {
    let words: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}.", code.kind().code, code.kind().title)).collect();
    json!({
        "description": words.join(" "),
        "headers": headers::of(route, kind),
        "content": { "application/problem+json": { "schema": problems::any_of(codes) } },
    })
}

/// Returns the response to a request that led to no route.
fn unrouted(codes: &[Code]) -> Value {
    problem(ResponseKind::Problem(codes), None, codes)
}

fn uri_too_long() -> Value {
    json!({
        "description": "Path and query are longer than the setting `http.uri_bytes_max`. The response has no body.",
        "headers": headers::of(None, ResponseKind::NoBody),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json;

    fn made() -> Value {
        serde_json::from_slice(&document()).expect("JSON")
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = made();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("inside the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_its_own_name_and_every_route_is_there() {
        let document = made();
        let mut names: Vec<&str> = Vec::new();
        for route in ROUTES.iter().filter(|route| !route.is_page) {
            let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            names.push(operation["operationId"].as_str().unwrap_or_else(|| panic!("{}", route.path)));
        }
        let count: usize =
            document["paths"].as_object().expect("paths").values().map(|p| p.as_object().expect("path").len()).sum();
        assert_eq!(count, names.len(), "and nothing else");
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn every_parameter_of_a_path_is_described_and_every_link_has_one_to_fill() {
        for route in ROUTES.iter().filter(|route| !route.is_page) {
            assert_eq!(path_parameter(route).is_some(), route.path.contains('{'), "{}", route.path);
            for operation in route.links {
                let to = ROUTES.iter().find(|to| to.operation == *operation).unwrap_or_else(|| panic!("{operation}"));
                assert!(to.parameter().is_some(), "{operation}");
            }
        }
    }

    #[test]
    fn examples_of_requests_are_understood() {
        let read = |schema: &str, body: &[u8]| match schema {
            "NewOrderBatch" => json::parse_batch(body).map(drop),
            "NewOrder" => json::OrderRequest::parse(body, None).map(drop),
            "Checkout" => json::parse_checkout(body).map(drop),
            "NewDrop" => json::parse_drop(body).map(drop),
            "DropPatch" => json::parse_patch(body).map(drop),
            "Reason" => json::parse_reason(body).map(drop),
            "StockAdjustment" => json::parse_stock(body).map(drop),
            "Payment" => json::parse_payment(body).map(drop),
            "Refund" => json::parse_refund(body).map(drop),
            "RefundSettlement" => json::parse_settled(body).map(drop),
            "Undo" => json::parse_undo(body).map(drop),
            "NewBid" => json::parse_bid(body, None).map(drop),
            "NewPurchase" => json::parse_buy_now(body, None).map(drop),
            "NewStandby" => json::OrderRequest::parse_standby(body, None).map(drop),
            "NewTicket" => json::parse_ticket(body, None).map(drop),
            "NewBeacon" => json::draw::parse_beacon(body).map(drop),
            "NewAuction" => json::parse_auction(body, &crate::config::AuctionSettings::default()).map(drop),
            "NewWebhookEndpoint" => json::parse_new_endpoint(body).map(drop),
            "WebhookEndpointPatch" => json::parse_endpoint_changes(body).map(drop),
            "Resend" => json::parse_resend(body).map(drop),
            "NewBackup" => json::parse_backup(body).map(drop),
            "NewBuyerTier" => json::parse_tier(body).map(drop),
            "NewOperatorToken" => json::tokens::parse_new_token(body).map(drop),
            "OrderSearch" => json::parse_search(body).map(drop),
            // Its verifier reads it, and requires a signature.
            "ProviderEvent" => Ok(()),
            other => panic!("{other}"),
        };
        for route in ROUTES.iter().filter(|route| !route.is_page) {
            if let Some(body) = &route.request_body {
                let example = (body.example)().to_string();
                assert_eq!(read(body.schema, example.as_bytes()), Ok(()), "{}", route.operation);
            }
        }
    }
}
