//! Schemas without a Rust type, and the parameters of queries.

use serde_json::{Value, json};

use crate::http::route::Route;
use crate::types::IgnoredReason;

/// Schemas of streams, and of the webhooks of payment providers.
pub(super) fn other_schemas() -> [(&'static str, Value); 7] {
    let integer =
        |min: i64, description: &str| json!({ "type": "integer", "minimum": min, "description": description });
    let event = |of: &str| {
        json!({
            "type": "object",
            "description": "Server-sent events: a `snapshot` first, then an `update` on each change, at most ten per second; \
                a comment while nothing changes. The stream does not end by itself.",
            "required": ["event", "id", "retry", "data"],
            "properties": {
                "event": { "enum": ["snapshot", "update"] },
                "id": { "$ref": "#/components/schemas/Version" },
                "retry": integer(1, "Milliseconds."),
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": { "$ref": format!("#/components/schemas/{of}") },
                },
            },
        })
    };
    let row = json!({
        "type": "object",
        "description": "One event per line, in the order of `seq`. With `follow` the stream does not end by itself.",
        "required": ["seq", "at", "kind", "prev_seq"],
        "properties": {
            "seq": integer(1, "The sequence number; without gaps."),
            "at": { "$ref": "#/components/schemas/Instant" },
            "kind": { "type": "string", "pattern": "^[a-z_]+$", "examples": ["order_reserved"] },
            "drop_id": integer(1, "The drop of the event, if it has one."),
            "order_seq": integer(1, "The order of the event, if it has one."),
            "quantity": { "type": "integer", "description": "Number of units that the event moves." },
            "amount": integer(0, "Amount that the event moves, in minor units."),
            "prev_seq": integer(0, "The previous event of the same order, else of the same drop; 0: none."),
            "detail": { "type": "object", "description": "The other fields of the event." },
        },
    });
    let sent = json!({
        "type": "object",
        "description": "The provider's webhook with its signature: `webhook-id`, `webhook-timestamp` and \
            `webhook-signature` (Standard Webhooks 1.0) for `standard-webhooks` and `sandbox`, `Stripe-Signature`, or the \
            `signature` of PayOS beside its `data`. Additional members are allowed. `type` is \
            `payment.succeeded`, `payment.failed`, `refund.succeeded`, `refund.failed` or `chargeback.created`; `amount` \
            whole minor units. `refund.failed` also has `data.refund_id`.",
    });
    let answer = json!({
        "type": "object",
        "required": ["result"],
        "properties": {
            "result": { "enum": ["applied", "duplicate", "ignored"] },
            "reason": {
                "enum": IgnoredReason::ALL.map(IgnoredReason::as_str).into_iter().chain(["unused"]).collect::<Vec<_>>(),
                "description": "The reason why the event is ignored. After `unused` it is not recorded. After `unknown-payment` a refund or a \
                    chargeback is kept, and applied with its payment.",
            },
        },
    });
    [
        ("ConsoleEvent", console_event()),
        ("DropEvent", event("Drop")),
        ("RoomEvent", event("Room")),
        ("AuctionEvent", event("Auction")),
        ("AuditRow", row),
        ("ProviderEvent", sent),
        ("ProviderEventResult", answer),
    ]
}

/// Returns the schema of an event of the console's stream.
fn console_event() -> Value {
    json!({
        "type": "object",
        "description": "Server-sent events: a `frame` at once, and at most one a second after it. The stream ends with the \
            right of the token.",
        "required": ["event", "data"],
        "properties": {
            "event": { "const": "frame" },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": { "$ref": "#/components/schemas/ConsoleFrame" },
            },
        },
    })
}

/// Returns the query parameters of a route.
pub(super) fn query_parameters(route: &Route) -> Vec<Value> {
    let Some(query) = route.query.map(|schema| schema()) else { return Vec::new() };
    let Some(properties) = query["properties"].as_object() else { return Vec::new() };
    let required: Vec<&str> = query["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = or_absent(schema.clone());
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter =
            json!({ "name": name, "in": "query", "description": description.unwrap_or_default(), "schema": schema });
        if required.contains(&name.as_str()) {
            parameter["required"] = true.into();
        }
        parameter
    };
    properties.iter().map(parameter).collect()
}

/// Removes null from the schema of an optional parameter: parameters are omitted, never null.
fn or_absent(mut schema: Value) -> Value {
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array)
        && let Some(one) = options.iter().find(|option| option["type"] != "null")
    {
        let mut one = one.clone();
        one["description"] = schema["description"].clone();
        schema = one;
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.retain(|word| !word.is_null());
    }
    if let Some(kind) = schema.get("type").and_then(Value::as_array).and_then(|kinds| kinds.first()).cloned() {
        schema["type"] = kind;
    }
    schema
}
