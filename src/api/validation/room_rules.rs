//! Rules of the fields of waiting rooms.

use serde_json::{Value, json};

use super::rules::{DescribedRule, Rule};
use crate::types::{Beacon, RoomDraw};

/// The rule that gives tickets of a waiting room their positions.
pub fn room_draw() -> impl Rule<RoomDraw> {
    DescribedRule(
        |value: &Value| value.as_str().and_then(RoomDraw::parse).ok_or_else(|| "must be arrival or random".to_string()),
        room_draw_schema,
    )
}

/// Returns the schema of the rule of positions.
#[must_use]
pub fn room_draw_schema() -> Value {
    json!({ "type": "string", "enum": RoomDraw::ALL.map(RoomDraw::as_str) })
}

/// The need of a draw for a beacon.
pub fn beacon_need() -> impl Rule<bool> {
    DescribedRule(
        |value: &Value| match value.as_str() {
            Some("required") => Ok(true),
            Some("none") => Ok(false),
            Some(_) | None => Err("must be required or none".to_string()),
        },
        beacon_need_schema,
    )
}

/// Returns the schema of the need for a beacon.
#[must_use]
pub fn beacon_need_schema() -> Value {
    json!({ "type": "string", "enum": ["required", "none"] })
}

/// Public randomness: 1 to 64 bytes in hexadecimal digits.
pub fn beacon() -> impl Rule<Beacon> {
    DescribedRule(
        |value: &Value| {
            let beacon = value.as_str().filter(|text| !text.is_empty()).and_then(Beacon::from_hex);
            beacon.ok_or_else(|| "must be 2 to 128 lower-case hexadecimal digits, in pairs".to_string())
        },
        || json!({ "type": "string", "pattern": "^([0-9a-f]{2}){1,64}$" }),
    )
}
