//! Bodies of buyers who stand by.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::{optional_time, to_bytes};
use super::responses::{OrderContext, OrderJson, order_json};
use super::scalars;
use crate::engine::{RecordedReceipt, StandbyReceipt};
use crate::read::OrderRow;
use crate::read::recorded::LeftPlace;
use crate::types::{DropId, Quantity, UnixMillis};

/// A buyer in the line behind a drop, or the order that they got from it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Standby")]
pub(super) struct StandbyJson<'a> {
    #[schemars(range(min = 1))]
    drop_id: u32,
    buyer: &'a str,
    /// Units, all or none.
    #[schemars(range(min = 1))]
    quantity: u16,
    /// `ordered` once units came back for the buyer; `recorded` while an order of a blind window waits for the draw; `left` once a
    /// limit or the stock left no room.
    #[schemars(with = "scalars::StandbyState")]
    state: &'static str,
    /// The place in the line, from 1. Buyers behind whose wish fits into fewer units may be served before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1))]
    position: Option<u32>,
    /// The number of an order that a blind window recorded, from 1 in the order of arrival; the draw gives it its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1))]
    ticket: Option<u32>,
    /// The end of the blind window. The orders are decided right after it, in the order of the draw.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    decided_at: Option<UnixMillis>,
    /// Number of buyers in the line; missing once the buyer has an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    standby: Option<u32>,
    /// Units that are free; missing once the buyer has an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    available: Option<u32>,
    /// Units of orders that are reserved or await payment, and may come back; missing once the buyer has an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    held: Option<u32>,
    /// The time at which the first of them comes back, unless it is paid for.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    next_expiry_at: Option<UnixMillis>,
    /// The order that the buyer got from the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OrderJson<'_>")]
    order: Option<OrderJson<'a>>,
    /// The reason for which the buyer left the line without an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::LeavingReason")]
    reason: Option<&'static str>,
}

impl<'a> StandbyJson<'a> {
    /// Returns a body without the members that only some states have.
    fn of(drop_id: DropId, buyer: &'a str, quantity: Quantity, state: &'static str) -> StandbyJson<'a> {
        StandbyJson {
            drop_id: drop_id.get(),
            buyer,
            quantity: quantity.get(),
            state,
            position: None,
            ticket: None,
            decided_at: None,
            standby: None,
            available: None,
            held: None,
            next_expiry_at: None,
            order: None,
            reason: None,
        }
    }
}

/// Returns the body of a buyer who waits.
#[must_use]
pub fn standby_body(receipt: &StandbyReceipt, buyer: &str) -> Bytes {
    to_bytes(&StandbyJson {
        position: Some(receipt.position),
        standby: Some(receipt.standby),
        available: Some(receipt.available),
        held: Some(receipt.held),
        next_expiry_at: receipt.next_expiry_at,
        ..StandbyJson::of(receipt.drop_id, buyer, receipt.quantity, "waiting")
    })
}

/// Returns the body of a buyer whose order a blind window has recorded.
#[must_use]
pub fn recorded_body(receipt: &RecordedReceipt, buyer: &str) -> Bytes {
    to_bytes(&StandbyJson {
        ticket: Some(receipt.ticket.get()),
        decided_at: Some(receipt.decided_at),
        ..StandbyJson::of(receipt.drop_id, buyer, receipt.quantity, "recorded")
    })
}

/// Returns the body of a buyer who got an order from the line.
#[must_use]
pub fn granted_body(row: &OrderRow, frame: OrderContext<'_>) -> Bytes {
    to_bytes(&StandbyJson { order: Some(order_json(row, frame)), ..granted(row) })
}

/// Returns the body of a buyer who got an order from the line, for those who do not prove to be the buyer: without the order.
#[must_use]
pub fn granted_to_another_body(row: &OrderRow) -> Bytes {
    to_bytes(&granted(row))
}

fn granted(row: &OrderRow) -> StandbyJson<'_> {
    StandbyJson::of(row.drop_id, &row.buyer, row.quantity, "ordered")
}

/// Returns the body of a buyer who left the line without an order.
#[must_use]
pub fn left_body(place: &LeftPlace) -> Bytes {
    to_bytes(&StandbyJson {
        ticket: place.ticket,
        reason: Some(place.reason.as_str()),
        ..StandbyJson::of(place.drop_id, &place.buyer, place.quantity, "left")
    })
}
