//! The schemas of all bodies, under their names in the OpenAPI document.

use serde_json::{Map, Value, json};

use super::{
    auctions, backups, buyers, challenges, console, draw, endpoints, history, order_batches, payment_entry, payments,
    preflight, report, requests, responses, rooms, scalars, standby, tokens, undo,
};
use crate::types::JSON_INTEGER_MAX;

/// Returns the schema of a page.
fn page_schema(of: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data", "has_more"],
        "properties": {
            "data": { "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } },
            "has_more": { "type": "boolean" },
            "next_after": {
                "type": "integer",
                "minimum": 1,
                "maximum": JSON_INTEGER_MAX,
                "description": "The `after` of the next page; present if `has_more`.",
            },
        },
    })
}

/// Returns the schema of every response, and of the scalars in it.
#[must_use]
pub fn response_schemas() -> Map<String, Value> {
    let mut settings = scalars::settings().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let _endpoints = (
        generator.subschema_for::<endpoints::EndpointJson<'_>>(),
        generator.subschema_for::<auctions::AuctionJson<'_>>(),
        generator.subschema_for::<auctions::BidJson<'_>>(),
        generator.subschema_for::<auctions::BidRecordJson<'_>>(),
        generator.subschema_for::<endpoints::DeliveryJson>(),
        generator.subschema_for::<buyers::BuyerTierJson<'_>>(),
        generator.subschema_for::<backups::BackupJson<'_>>(),
    );
    let _rooms = (generator.subschema_for::<rooms::RoomJson>(), generator.subschema_for::<rooms::TicketJson>());
    let _draw = generator.subschema_for::<draw::DrawTranscript>();
    let _standby = generator.subschema_for::<standby::StandbyJson<'_>>();
    let _challenge = generator.subschema_for::<challenges::ChallengeJson<'_>>();
    let _entry = generator.subschema_for::<payment_entry::PaymentEntry>();
    let _report = generator.subschema_for::<report::DropReport>();
    let _history = generator.subschema_for::<history::HistoryEventJson<'_>>();
    let _payments = generator.subschema_for::<payments::PaymentJson<'_>>();
    let _references = (
        generator.subschema_for::<responses::DropJson<'_>>(),
        generator.subschema_for::<responses::OrderJson<'_>>(),
        generator.subschema_for::<undo::UndoReportJson<'_>>(),
    );
    let _console = (
        generator.subschema_for::<console::ConsoleFrame>(),
        generator.subschema_for::<console::ConsoleSession<'_>>(),
        generator.subschema_for::<console::ConsoleAlerts>(),
        generator.subschema_for::<console::SettingJson<'_>>(),
        generator.subschema_for::<preflight::PreflightJson<'_>>(),
        generator.subschema_for::<tokens::TokenJson<'_>>(),
    );
    let mut schemas = generator.take_definitions(true);
    schemas.insert("DropPage".into(), page_schema("Drop"));
    schemas.insert("OrderPage".into(), page_schema("Order"));
    schemas.insert("WebhookEndpointPage".into(), page_schema("WebhookEndpoint"));
    schemas.insert("WebhookDeliveryPage".into(), page_schema("WebhookDelivery"));
    schemas.insert("AuctionPage".into(), page_schema("Auction"));
    schemas.insert("BidPage".into(), page_schema("BidRecord"));
    schemas.insert("PaymentPage".into(), page_schema("PaymentRecord"));
    schemas.insert("PaymentEntryPage".into(), page_schema("PaymentEntry"));
    schemas.insert("HistoryPage".into(), page_schema("HistoryEvent"));
    schemas.insert("SettingPage".into(), page_schema("SettingInForce"));
    schemas.insert("OperatorTokenPage".into(), page_schema("OperatorToken"));
    schemas.insert("OrderBatchResults".into(), order_batches::response_schema());
    schemas
}

/// Returns the schema of every request.
#[must_use]
pub fn request_schemas() -> Vec<(&'static str, Value)> {
    let mut schemas = requests::schemas();
    schemas.extend(endpoints::request_schemas());
    schemas.extend(auctions::request_schemas());
    schemas.extend(buyers::request_schemas());
    schemas.extend(backups::request_schemas());
    schemas.extend(tokens::request_schemas());
    schemas.extend(rooms::request_schemas());
    schemas.extend(draw::request_schemas());
    schemas.extend(order_batches::request_schemas());
    schemas
}
