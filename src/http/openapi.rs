//! The OpenAPI 3.1 description, made from the table of routes.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::routes::{Listener, Parameter, ROUTES, Route};

/// Statuses that every route may answer.
const EVERYWHERE: [u16; 2] = [405, 500];

/// The document.
#[must_use]
pub fn document() -> Bytes {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        paths.entry(route.path).or_default().insert(route.method.as_str().to_ascii_lowercase(), operation(route));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "firstcome",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An inventory engine for limited drops. Refusals and faults are RFC 9457 problems.",
        },
        "paths": paths,
        "components": { "schemas": { "Problem": problem_schema() } },
    });
    Bytes::from(document.to_string())
}

fn operation(route: &Route) -> Value {
    let mut responses = Map::new();
    let problems = super::answers::problems(route.listener, route.action).map(|code| code.kind().status.as_u16());
    for status in super::answers::of(route.action).good.iter().copied().chain(problems).chain(EVERYWHERE) {
        responses.insert(status.to_string(), response(status));
    }
    let parameter = match route.parameter {
        Parameter::None => None,
        Parameter::Drop => Some(json!({
            "name": "drop_id", "in": "path", "required": true,
            "schema": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
        })),
        Parameter::Order => Some(json!({
            "name": "order_id", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" },
        })),
    };
    json!({
        "operationId": format!("{:?}", route.action),
        "summary": route.summary,
        "tags": [match route.listener { Listener::Public => "public", Listener::Admin => "admin" }],
        "parameters": parameter.into_iter().collect::<Vec<_>>(),
        "responses": responses,
    })
}

fn response(status: u16) -> Value {
    let words = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    if status < 400 {
        return json!({ "description": words });
    }
    json!({
        "description": words,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "code", "title", "status", "detail", "request_id"],
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "code": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "request_id": { "type": "string" },
            "applied": { "type": "string", "enum": ["no", "unknown"] },
            "as_of_seq": { "type": "integer" },
            "at": { "type": "string", "format": "date-time" },
        },
    })
}
