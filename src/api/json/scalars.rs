//! Named JSON schemas of scalars in bodies. The enumerations come from the types that print them.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::api::validation::room_rules::{beacon_need_schema, room_draw_schema};
use crate::api::validation::rules::{challenge_below_schema, challenge_schema, is_currency};
use crate::engine::StandbyLeaving;
use crate::types::order_id::code_of;
use crate::types::{
    DrawState as StateOfDraw, DropState as StateOfDrop, JSON_INTEGER_MAX, OrderState as StateOfOrder, Provider,
    RoomState as StateOfRoom,
};

/// Returns the settings of all schemas: bounds are numbers, which every reader of JSON Schema understands.
#[must_use]
pub fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with_transform(RecursiveTransform(bounds_in_numbers))
}

fn bounds_in_numbers(schema: &mut Schema) {
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => u64::from(u8::MAX),
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        Some("uint64") => JSON_INTEGER_MAX,
        _ => return,
    };
    schema.remove("format");
    if schema.get("maximum").is_none() {
        schema.insert("maximum".into(), most.into());
    }
}

macro_rules! scalar {
    ($($name:ident = $schema:expr;)*) => {$(
        pub struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                Schema::try_from($schema).unwrap_or_default()
            }
        }
    )*};
}

scalar! {
    Instant = json!({
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        "description": "RFC 3339 in UTC with milliseconds.",
        "examples": ["2026-11-21T09:00:00.000Z"],
    });
    Currency = json!({ "type": "string", "enum": currencies(), "description": "ISO 4217." });
    OrderId = json!({
        "type": "string",
        "format": "uuid",
        "pattern": ORDER_ID_PATTERN,
        "description": "An unguessable UUIDv8. It gives access to the order: keep it secret.",
        "examples": [ORDER_ID_EXAMPLE],
    });
    Version = json!({
        "type": "string",
        "pattern": r"^[1-9]\d*-[1-9]\d*$",
        "description": "The database's epoch and the number of the last event. Equal versions have equal bodies.",
        "examples": ["1-42"],
    });
    DropState = json!({
        "type": "string",
        "enum": StateOfDrop::ALL.map(StateOfDrop::as_str),
        "description": "The first state that applies; `sold_out` ends when a unit is released.",
    });
    RoomState = json!({ "type": "string", "enum": StateOfRoom::ALL.map(StateOfRoom::as_str) });
    StandbyState = json!({ "type": "string", "enum": ["waiting", "ordered", "recorded", "left"] });
    LeavingReason = json!({ "type": "string", "enum": [StandbyLeaving::Limit.as_str(), StandbyLeaving::SoldOut.as_str()] });
    RoomDraw = room_draw_schema();
    DrawState = json!({ "type": "string", "enum": StateOfDraw::ALL.map(StateOfDraw::as_str) });
    BeaconNeed = beacon_need_schema();
    Hash = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    RoomOdds = json!({ "type": "string", "enum": ["open", "none"] });
    TicketOdds = json!({ "type": "string", "enum": super::rooms::TicketOdds::ALL.map(super::rooms::TicketOdds::as_str) });
    AuctionState = json!({ "type": "string", "enum": ["scheduled", "live", "ended", "cancelled"] });
    OrderState = json!({ "type": "string", "enum": StateOfOrder::ALL.map(StateOfOrder::as_str) });
    ReadyRole = json!({ "type": "string", "enum": ["any", "leader", "follower"], "default": "any" });
    ProviderName = json!({ "type": "string", "enum": Provider::ALL.map(Provider::as_str) });
    DeliveryState = json!({ "type": "string", "enum": ["dead", "waiting"], "default": "dead" });
    EndReason = json!({
        "type": "string",
        "enum": end_reasons(),
    });
    IdentityLimits = super::requests::identity_limits_schema();
    ChallengeKind = challenge_schema();
    ChallengeTier = challenge_below_schema();
    OrderRange = json!({
        "type": "string",
        "pattern": "^[1-9][0-9]{0,13}-[1-9][0-9]{0,13}$",
        "description": "The numbers of the first and the last order.",
        "examples": ["1201-1234"],
    });
    OrderCode = json!({
        "type": "string",
        "pattern": "^FC-[0-9A-Z]+$",
        "description": "A short code for people, derived from the shard and `seq`.",
        "examples": [order_code_example()],
    });
}

/// An order's id as the server writes it: lower case, version 8.
pub const ORDER_ID_PATTERN: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";

/// An order's id that no order has.
pub const ORDER_ID_EXAMPLE: &str = "00000000-002a-8c0d-9e1f-5a6b7c8d9e0f";

/// Returns the code of the order of [`ORDER_ID_EXAMPLE`].
fn order_code_example() -> Option<String> {
    crate::types::OrderId::parse(ORDER_ID_EXAMPLE).map(|id| code_of(id.secret.shard(), id.seq))
}

pub(super) fn end_reason(state: StateOfOrder, by_operator: bool) -> Option<&'static str> {
    match state {
        StateOfOrder::Cancelled if by_operator => Some("cancelled_by_operator"),
        StateOfOrder::Cancelled => Some("cancelled_by_buyer"),
        StateOfOrder::Expired => Some("not_paid_in_time"),
        StateOfOrder::Refunded => Some("refunded"),
        StateOfOrder::Reserved | StateOfOrder::AwaitingPayment | StateOfOrder::Paid | StateOfOrder::RefundDue => None,
    }
}

fn end_reasons() -> Vec<&'static str> {
    let mut words: Vec<_> = StateOfOrder::ALL
        .into_iter()
        .flat_map(|state| [false, true].map(|by| end_reason(state, by)))
        .flatten()
        .collect();
    words.dedup();
    words
}

/// Every code that is read as a currency.
fn currencies() -> Vec<Value> {
    let letters = || (b'A'..=b'Z').map(char::from);
    let codes =
        letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| String::from_iter([a, b, c]))));
    codes.filter(|code| is_currency(code)).map(Value::from).collect()
}
