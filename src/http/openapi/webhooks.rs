//! The webhooks that the outbox sends, from the catalogue of event types.

use serde_json::{Map, Value, json};

use super::schema;
use crate::engine::StandbyLeaving;
use crate::types::webhooks::{CATALOGUE, EventType};
use crate::types::{AuctionEnding, JSON_INTEGER_MAX, NotKeptReason, OrderState, Provider, Seq};

/// Returns an event type's words in capitals: `OrderPaid` of `order.paid`.
fn words(event: &EventType) -> String {
    let words = event.name.split(['.', '_']);
    words.map(|word| word.get(..1).unwrap_or("").to_ascii_uppercase() + word.get(1..).unwrap_or("")).collect()
}

fn component(event: &EventType) -> String {
    format!("{}Webhook", words(event))
}

/// Returns the webhooks under the names of their types.
pub(super) fn webhooks() -> Map<String, Value> {
    CATALOGUE.iter().map(|event| (event.name.into(), json!({ "post": operation(event) }))).collect()
}

fn operation(event: &EventType) -> Value {
    let header = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "header", "required": true, "schema": schema, "description": description });
    json!({
        "operationId": format!("Receive{}", words(event)),
        "summary": format!("Receive `{}`", event.name),
        "description": format!("Sent when {}. At least once, and in order per order: drop a `webhook-id` that you have seen.", event.description),
        "tags": ["webhooks"],
        "security": [{ "webhookSignature": [] }],
        "parameters": [
            header("webhook-id", json!({ "type": "string" }), "The event's id, the same for every attempt."),
            header("webhook-timestamp", json!({ "type": "string", "pattern": "^[0-9]+$" }), "The attempt's time in seconds since 1970."),
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": schema(&component(event)) } },
        },
        "responses": {
            "204": { "description": "Delivered. So is any other status from 200 to 299." },
            "410": { "description": "The endpoint is gone: it is disabled until an operator enables it." },
            "4XX": { "description": "Not delivered: the event is sent again by the schedule. 429 slows the endpoint's deliveries down." },
            "5XX": { "description": "Not delivered: the event is sent again by the schedule." },
        },
    })
}

/// Returns the schemas of all messages.
pub(super) fn schemas() -> impl Iterator<Item = (String, Value)> {
    CATALOGUE.iter().map(|event| (component(event), message(event)))
}

fn message(event: &EventType) -> Value {
    let mut data = common(event.name);
    data.extend(event.details.iter().map(|name| ((*name).into(), detail(event, name))));
    json!({
        "type": "object",
        "description": format!("Sent when {}.", event.description),
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": { "const": event.name },
            "timestamp": schema("Instant"),
            "data": { "type": "object", "required": ["seq"], "properties": data },
        },
    })
}

fn integer(min: i64, description: &str) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": JSON_INTEGER_MAX, "description": description })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn hash(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "description": description })
}

/// Returns the members that an event of a subject has, where they apply.
fn common(name: &str) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, schema: Value| members.insert(name.into(), schema);
    let seq = |description: &str| json!({ "type": "integer", "minimum": 1, "maximum": Seq::MAX.get(), "description": description });
    let subject = name.split('.').next().unwrap_or("");
    put("seq", seq("The number of the event."));
    if subject == "events" {
        return members;
    }
    put("drop_id", integer(1, "The drop."));
    put("sku", text("The article number of the drop."));
    put("currency", schema("Currency"));
    if subject == "auction" {
        put("auction_id", integer(1, "The auction."));
    }
    if subject == "standby" {
        put("buyer", text("The buyer, as the request to stand by names them."));
    } else if !matches!(subject, "drop" | "draw") {
        put("order_id", schema("OrderId"));
        put("order_seq", seq("The number of the order."));
        put("code", schema("OrderCode"));
        put("buyer", text("The buyer, as the order names them."));
    }
    put("quantity", json!({ "type": "integer", "description": "Number of units that the event moves." }));
    put("amount", integer(0, "The amount that the event moves, in minor units of `currency`."));
    members
}

fn leaving_reason() -> Value {
    let words = StandbyLeaving::ALL.map(StandbyLeaving::as_str);
    let description = "`buyer`: they left by themselves. `limit`: a limit of the drop left no room. `sold_out`: too few units were left \
         when the recorded order's turn came.";
    json!({ "type": "string", "enum": words, "description": description })
}

/// Returns the schema of a member that an event copies from its detail.
fn detail(event: &EventType, name: &str) -> Value {
    match name {
        "name" => text("The name of the drop."),
        "unit_price" => integer(0, "Minor units of `currency`."),
        "by" => json!({ "const": "operator", "description": "Absent if the buyer did." }),
        "provider" => json!({ "type": "string", "enum": Provider::ALL.map(Provider::as_str) }),
        "reference" => text("The reference of the payment at the provider."),
        "refund_reference" => text("The reference of the refund at the provider."),
        "retaken" => json!({ "const": true, "description": "The order had expired and took its units again." }),
        "failed" => json!({ "const": true, "description": "A refund at the provider failed." }),
        "state" => json!({
            "type": "string", "enum": OrderState::ALL.map(OrderState::as_str), "description": "The order's state after the event.",
        }),
        "foreign_currency" => json!({
            "$ref": "#/components/schemas/Currency", "description": "The currency of the payment, if it is not the order's.",
        }),
        "foreign_amount" => integer(0, "The amount in minor units of `foreign_currency`."),
        "amount" => integer(0, "The amount in minor units."),
        "why" => json!({ "type": "string", "enum": NotKeptReason::ALL.map(NotKeptReason::as_str) }),
        "lost" => integer(1, "Number of events that are lost."),
        "acknowledged_seq" => integer(0, "The last event that was acknowledged before the loss."),
        "ending" => json!({ "type": "string", "enum": AuctionEnding::ALL.map(AuctionEnding::as_str) }),
        "standby" => {
            json!({ "const": true, "description": "The units came back, and the buyer was the next in line." })
        }
        "ticket" => integer(1, "The number under which a blind window recorded the order, in the order of arrival."),
        "joined_seq" => integer(1, "The number of the event by which the buyer joined the line."),
        "reason" => leaving_reason(),
        "commitment" => hash("SHA-256 of the seed of the drop's draw, if positions are drawn."),
        "tickets" => integer(0, "Number of tickets that are drawn."),
        "root" => hash("The hash that binds the tickets and their number."),
        "seed" => hash("The seed, of which `commitment` is the SHA-256."),
        "result" => hash("The hash that binds seed, beacon, tickets and their order."),
        "beacon" => json!({
            "type": "string", "pattern": "^([0-9a-f]{2}){0,64}$",
            "description": "Public randomness that was unknown before the tickets were fixed, in hexadecimal digits.",
        }),
        "source" => text("The origin of the beacon, as the operator named it."),
        // A test checks that there is no other.
        _ => json!({ "x-missing": format!("{} {name}", event.name) }),
    }
}

/// Returns how the receiver knows the sender.
pub(super) fn security_scheme() -> Value {
    json!({
        "type": "apiKey", "in": "header", "name": "webhook-signature",
        "description": "Standard Webhooks 1.0.0: `v1,` and the base64 of HMAC-SHA-256 over `webhook-id.webhook-timestamp.body` \
            with the endpoint's secret. During a rotation there are two, separated by a space.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_every_event_is_described() {
        for (name, schema) in schemas() {
            assert!(!schema.to_string().contains("x-missing"), "{name}: {schema:#}");
        }
    }
}
