//! What each action reads and answers: the names of its schemas, and examples that the server itself understands.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::http::json::queries::{
    AuctionOrderQuery, AuditQuery, BidsQuery, DeliveriesQuery, DropsQuery, OrdersQuery, RemedyQuery,
};
use crate::http::json::words::{self, ORDER_ID_EXAMPLE};
use crate::types::IgnoredReason;

use crate::http::routes::Action;

/// A body that goes in.
pub(super) struct Sent {
    /// The name of its schema.
    pub(super) schema: &'static str,
    /// What it may look like.
    pub(super) example: Value,
}

/// The JSON body that an action reads.
pub(super) fn sent(action: Action) -> Option<Sent> {
    let sent = |schema, example| Some(Sent { schema, example });
    let reason = || sent("Reason", json!({ "reason": "a wrong price" }));
    match action {
        Action::PlaceOrder => sent("NewOrder", json!({ "buyer": "buyer-7", "quantity": 1 })),
        Action::PlaceBid => sent("NewBid", json!({ "buyer": "buyer-7", "amount": 10000, "maximum": 15000 })),
        Action::BuyNow => sent("NewPurchase", json!({ "buyer": "buyer-7" })),
        Action::CreateAuction => sent(
            "NewAuction",
            json!({
                "sku": "SHOE-1", "name": "The first shoe", "currency": "EUR", "start_price": 10000,
                "starts_at": "2026-11-21T09:00:00Z", "ends_at": "2099-11-21T10:00:00Z", "reserve_price": 20000,
                "increments": [[0, 100], [50000, 1000]], "buy_now": 90000, "soft_close_seconds": 60,
            }),
        ),
        Action::Checkout => sent("Checkout", json!({ "contact": { "email": "ann@example.org" } })),
        Action::CreateDrop => sent(
            "NewDrop",
            json!({
                "sku": "SHOE-42", "name": "Limited shoe", "currency": "EUR", "unit_price": 12900, "total": 10000,
                "starts_at": "2026-11-21T09:00:00Z", "per_buyer_limit": 2,
            }),
        ),
        Action::PatchDrop => {
            sent("DropPatch", json!({ "expected_revision": 1, "reason": "a typing error", "name": "Limited shoe" }))
        }
        Action::CancelAuction | Action::PauseDrop | Action::ResumeDrop | Action::CloseDrop | Action::RotateSecret => {
            reason()
        }
        Action::AdjustStock => {
            sent("StockAdjustment", json!({ "delta": 50, "expected_total": 10000, "reason": "a box was found" }))
        }
        Action::UndoLastOrders => sent("Undo", json!({ "run": "1201-1234", "reason": "ten more than there are" })),
        Action::RecordPayment => sent(
            "Payment",
            json!({ "reference": "transfer 4711", "amount": 12900, "currency": "EUR", "reason": "paid by transfer" }),
        ),
        Action::RefundOrder => sent("Refund", json!({ "restock_quantity": 1, "reason": "came back unworn" })),
        Action::SettleRefund => sent("RefundSettlement", json!({ "reference": "transfer 4712", "reason": "paid out" })),
        Action::CreateEndpoint => sent(
            "NewWebhookEndpoint",
            json!({ "url": "https://shop.example/hooks", "events": ["order.paid", "payment.not_kept"] }),
        ),
        Action::PatchEndpoint => {
            sent("WebhookEndpointPatch", json!({ "state": "disabled", "reason": "the shop is being moved" }))
        }
        Action::ResendDeliveries => sent("Resend", json!({ "from_seq": 1, "reason": "the shop is well again" })),
        Action::SearchOrders => sent("OrderSearch", json!({ "email": "ann@example.org" })),
        Action::HearProvider => sent(
            "ProviderEvent",
            json!({
                "type": "payment.succeeded", "timestamp": "2026-11-21T09:00:00Z",
                "data": {
                    "order_id": ORDER_ID_EXAMPLE, "reference": "pay_4711", "amount": 12900, "currency": "EUR",
                },
            }),
        ),
        Action::ListAuctions
        | Action::GetAuction
        | Action::StreamAuction
        | Action::ListBids
        | Action::ListDrops
        | Action::GetDrop
        | Action::StreamDrop
        | Action::GetOrder
        | Action::GetAuctionOrder
        | Action::CancelOrder
        | Action::LookAtLastOrders
        | Action::OrderPage
        | Action::DemoShop
        | Action::DemoReserve
        | Action::DemoCheckout
        | Action::DemoSandbox
        | Action::OpenApi
        | Action::ListPayments
        | Action::ListEndpoints
        | Action::GetEndpoint
        | Action::DeleteEndpoint
        | Action::ListDeliveries
        | Action::ReadContact
        | Action::EraseContact
        | Action::ListOrders
        | Action::Audit
        | Action::Metrics
        | Action::Healthz
        | Action::Readyz => None,
    }
}

/// The body of a good end: media types and schemas. Empty: there is no body.
pub(super) fn answered(action: Action) -> Vec<(&'static str, Value)> {
    let one = |name: &str| vec![("application/json", json!({ "$ref": format!("#/components/schemas/{name}") }))];
    let text = |media, description: &str| (media, json!({ "type": "string", "description": description }));
    match action {
        Action::ListAuctions => one("AuctionPage"),
        Action::GetAuction | Action::CreateAuction | Action::CancelAuction => one("Auction"),
        Action::ListBids => one("BidPage"),
        Action::PlaceBid => one("Bid"),
        Action::ListDrops => one("DropPage"),
        Action::GetDrop
        | Action::CreateDrop
        | Action::PatchDrop
        | Action::PauseDrop
        | Action::ResumeDrop
        | Action::CloseDrop
        | Action::AdjustStock => one("Drop"),
        Action::PlaceOrder
        | Action::BuyNow
        | Action::GetOrder
        | Action::GetAuctionOrder
        | Action::Checkout
        | Action::CancelOrder
        | Action::RecordPayment
        | Action::RefundOrder
        | Action::SettleRefund => one("Order"),
        Action::ListPayments => one("PaymentPage"),
        Action::LookAtLastOrders | Action::UndoLastOrders => one("Remedy"),
        Action::HearProvider => one("ProviderEventResult"),
        Action::CreateEndpoint
        | Action::GetEndpoint
        | Action::PatchEndpoint
        | Action::RotateSecret
        | Action::ResendDeliveries => one("WebhookEndpoint"),
        Action::ListEndpoints => one("WebhookEndpointPage"),
        Action::ListDeliveries => one("WebhookDeliveryPage"),
        Action::ReadContact => one("Contact"),
        Action::SearchOrders => one("OrderPage"),
        Action::ListOrders => {
            let csv = text("text/csv", "RFC 4180 with a line of names; on `Accept: text/csv`.");
            one("OrderPage").into_iter().chain([csv]).collect()
        }
        Action::OpenApi => vec![("application/json", json!({ "type": "object", "required": ["openapi", "paths"] }))],
        // OpenAPI 3.1 has no word for a sequence: the schema is that of each event, and of each line.
        Action::StreamDrop => vec![("text/event-stream", json!({ "$ref": "#/components/schemas/DropEvent" }))],
        Action::StreamAuction => vec![("text/event-stream", json!({ "$ref": "#/components/schemas/AuctionEvent" }))],
        Action::Audit => vec![("application/x-ndjson", json!({ "$ref": "#/components/schemas/AuditRow" }))],
        Action::Metrics => vec![text("text/plain", "Prometheus' text format.")],
        Action::Healthz | Action::Readyz => vec![text("text/plain", "`ok`.")],
        Action::OrderPage => vec![text("text/html", "For a browser: the order, and how it is paid.")],
        Action::EraseContact
        | Action::DeleteEndpoint
        | Action::DemoShop
        | Action::DemoReserve
        | Action::DemoCheckout
        | Action::DemoSandbox => Vec::new(),
    }
}

/// What streams are made of, and what providers send and are answered.
pub(super) fn other_schemas() -> [(&'static str, Value); 5] {
    let integer =
        |min: i64, description: &str| json!({ "type": "integer", "minimum": min, "description": description });
    let event = |of: &str| {
        json!({
            "type": "object",
            "description": "Server-sent events: a `snapshot` first, then an `update` on each change, at most ten a second; \
                a comment when nothing happens. The stream does not end by itself.",
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
        "description": "An event, a line each, in the order of `seq`. With `follow` the stream does not end by itself.",
        "required": ["seq", "at", "kind", "prev_seq"],
        "properties": {
            "seq": integer(1, "Gapless over the file."),
            "at": { "$ref": "#/components/schemas/Instant" },
            "kind": { "type": "string", "pattern": "^[a-z_]+$", "examples": ["order_reserved"] },
            "drop_id": integer(1, "The drop, if it is about one."),
            "order_seq": integer(1, "The order, if it is about one."),
            "quantity": { "type": "integer", "description": "Units that moved." },
            "amount": integer(0, "Money that moved, in minor units."),
            "prev_seq": integer(0, "The event before of the same order, else of the same drop; 0: none."),
            "detail": { "type": "object", "description": "What else the event says." },
        },
    });
    let sent = json!({
        "type": "object",
        "description": "What the provider sends, signed as it signs: `webhook-id`, `webhook-timestamp` and \
            `webhook-signature` (Standard Webhooks 1.0) for `standard-webhooks` and `sandbox`, `Stripe-Signature`, or the \
            `signature` of PayOS beside its `data`. Members that are not used may be there. `type` is \
            `payment.succeeded`, `payment.failed`, `refund.succeeded` or `chargeback.created`; `amount` whole minor units.",
    });
    let answer = json!({
        "type": "object",
        "required": ["result"],
        "properties": {
            "result": { "enum": ["applied", "duplicate", "ignored"] },
            "reason": {
                "enum": IgnoredReason::ALL.map(IgnoredReason::as_str).into_iter().chain(["unused"]).collect::<Vec<_>>(),
                "description": "Why it is ignored. `unused`, and `unknown-payment` of a provider's other business: it is \
                    not recorded.",
            },
        },
    });
    [
        ("DropEvent", event("Drop")),
        ("AuctionEvent", event("Auction")),
        ("AuditRow", row),
        ("ProviderEvent", sent),
        ("ProviderEventResult", answer),
    ]
}

/// The query that an action reads, as the schema of an object.
fn query(action: Action) -> Option<Value> {
    fn schema<T: JsonSchema>() -> Option<Value> {
        let mut settings = words::settings();
        settings.inline_subschemas = true;
        Some(settings.into_generator().into_root_schema_for::<T>().to_value())
    }
    match action {
        Action::ListDrops | Action::ListAuctions => schema::<DropsQuery>(),
        Action::ListBids => schema::<BidsQuery>(),
        Action::GetAuctionOrder => schema::<AuctionOrderQuery>(),
        Action::ListOrders => schema::<OrdersQuery>(),
        Action::Audit => schema::<AuditQuery>(),
        Action::LookAtLastOrders => schema::<RemedyQuery>(),
        Action::ListDeliveries => schema::<DeliveriesQuery>(),
        Action::GetAuction
        | Action::StreamAuction
        | Action::PlaceBid
        | Action::BuyNow
        | Action::CreateAuction
        | Action::CancelAuction
        | Action::HearProvider
        | Action::GetDrop
        | Action::StreamDrop
        | Action::PlaceOrder
        | Action::GetOrder
        | Action::Checkout
        | Action::CancelOrder
        | Action::OrderPage
        | Action::DemoShop
        | Action::DemoReserve
        | Action::DemoCheckout
        | Action::DemoSandbox
        | Action::OpenApi
        | Action::CreateDrop
        | Action::PatchDrop
        | Action::PauseDrop
        | Action::ResumeDrop
        | Action::CloseDrop
        | Action::AdjustStock
        | Action::UndoLastOrders
        | Action::RecordPayment
        | Action::RefundOrder
        | Action::SettleRefund
        | Action::ListPayments
        | Action::CreateEndpoint
        | Action::ListEndpoints
        | Action::GetEndpoint
        | Action::PatchEndpoint
        | Action::DeleteEndpoint
        | Action::RotateSecret
        | Action::ResendDeliveries
        | Action::ReadContact
        | Action::EraseContact
        | Action::SearchOrders
        | Action::Metrics
        | Action::Healthz
        | Action::Readyz => None,
    }
}

/// The parameters of a query.
pub(super) fn query_parameters(action: Action) -> Vec<Value> {
    let Some(query) = query(action) else { return Vec::new() };
    let Some(properties) = query["properties"].as_object() else { return Vec::new() };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = or_absent(schema.clone());
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "description": description.unwrap_or_default(), "schema": schema })
    };
    properties.iter().map(parameter).collect()
}

/// What may be left out of a query is left out: it is never null.
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

/// Where one can go on with what an action answered: the next action, and the parameter that its answer gives.
pub(super) fn links(action: Action) -> Vec<(Action, &'static str, &'static str)> {
    let to = |parameter: &'static str, next: &[Action]| {
        next.iter().map(|next| (*next, parameter, "$response.body#/id")).collect::<Vec<_>>()
    };
    match action {
        Action::PlaceOrder => to("order_id", &[Action::GetOrder, Action::Checkout, Action::CancelOrder]),
        Action::Checkout => to("order_id", &[Action::GetOrder, Action::CancelOrder]),
        Action::CreateDrop => to(
            "drop_id",
            &[Action::PatchDrop, Action::PauseDrop, Action::ResumeDrop, Action::AdjustStock, Action::CloseDrop],
        ),
        Action::RecordPayment => to("order_id", &[Action::RefundOrder, Action::ListPayments, Action::ReadContact]),
        Action::CreateEndpoint => to(
            "endpoint_id",
            &[
                Action::GetEndpoint,
                Action::PatchEndpoint,
                Action::RotateSecret,
                Action::ListDeliveries,
                Action::ResendDeliveries,
                Action::DeleteEndpoint,
            ],
        ),
        Action::CreateAuction => to("auction_id", &[Action::CancelAuction]),
        Action::BuyNow | Action::GetAuctionOrder => {
            to("order_id", &[Action::GetOrder, Action::Checkout, Action::CancelOrder])
        }
        Action::ListAuctions
        | Action::GetAuction
        | Action::StreamAuction
        | Action::ListBids
        | Action::PlaceBid
        | Action::CancelAuction
        | Action::HearProvider
        | Action::ListDrops
        | Action::GetDrop
        | Action::StreamDrop
        | Action::GetOrder
        | Action::CancelOrder
        | Action::OrderPage
        | Action::DemoShop
        | Action::DemoReserve
        | Action::DemoCheckout
        | Action::DemoSandbox
        | Action::OpenApi
        | Action::PatchDrop
        | Action::PauseDrop
        | Action::ResumeDrop
        | Action::CloseDrop
        | Action::AdjustStock
        | Action::LookAtLastOrders
        | Action::UndoLastOrders
        | Action::RefundOrder
        | Action::SettleRefund
        | Action::ListPayments
        | Action::ListEndpoints
        | Action::GetEndpoint
        | Action::PatchEndpoint
        | Action::DeleteEndpoint
        | Action::RotateSecret
        | Action::ListDeliveries
        | Action::ResendDeliveries
        | Action::ReadContact
        | Action::EraseContact
        | Action::ListOrders
        | Action::SearchOrders
        | Action::Audit
        | Action::Metrics
        | Action::Healthz
        | Action::Readyz => Vec::new(),
    }
}
