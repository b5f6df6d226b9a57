//! Bodies of responses. The structs that are serialized also make the schemas, so that OpenAPI cannot differ from them.

mod order_members;

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use self::order_members::write_order;
use super::encoding::{BODY_BYTES, CreatedBody, optional_time, split_created, time, to_bytes, version_text};
use super::rooms::RoomRuleJson;
use super::scalars::{self, end_reason};
use crate::engine::Reservation;
use crate::read::{DropRow, OrderRow};
use crate::types::order_id::code_of;
use crate::types::{
    ChallengeKind, Contact, IdentityLimits, JSON_INTEGER_MAX, OrderId, OrderSecret, OrderState, Seq, UnitPrice,
    UnixMillis,
};

/// One sale of one SKU. `total = available + held + sold`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Drop")]
pub(super) struct DropJson<'a> {
    #[schemars(range(min = 1))]
    id: u32,
    sku: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    image_url: Option<&'a str>,
    #[schemars(with = "scalars::Currency")]
    currency: &'a str,
    /// Minor units of the currency.
    #[schemars(range(max = UnitPrice::MAX))]
    unit_price: u64,
    total: u32,
    available: u32,
    /// Units of orders that are reserved or await payment.
    held: u32,
    sold: u32,
    #[schemars(with = "scalars::DropState")]
    state: &'static str,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    starts_at: UnixMillis,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    ends_at: Option<UnixMillis>,
    /// Units that one buyer may hold and buy.
    #[schemars(range(min = 1))]
    per_buyer_limit: u32,
    /// Seconds that an order is reserved before checkout.
    #[schemars(range(min = 1))]
    reservation_seconds: u32,
    /// Seconds that an order awaits payment after checkout.
    #[schemars(range(min = 1))]
    payment_seconds: u32,
    /// Number of operators' changes, from 1 on.
    #[schemars(range(min = 1))]
    revision: u32,
    /// Caps on units of orders with the same identity; missing without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::IdentityLimits")]
    identity_limits: Option<IdentityLimitsJson>,
    /// The challenge that lower tiers must solve; missing where the drop demands no challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::ChallengeKind")]
    challenge: Option<&'static str>,
    /// The lowest tier that orders without a challenge; missing if there is no challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::ChallengeTier")]
    challenge_below: Option<&'static str>,
    /// Number of buyers who stand by; missing without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1))]
    standby: Option<u32>,
    /// The waiting room; missing without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RoomRuleJson")]
    room: Option<RoomRuleJson>,
    /// The time after the start in which orders are recorded and drawn, in milliseconds; missing without a blind window.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u16", range(min = 1, max = 5000))]
    blind_ms: Option<u16>,
    /// SHA-256 of the secret seed of the drop's draw, in hexadecimal digits; missing where nothing is drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Hash")]
    commitment: Option<String>,
    #[schemars(with = "scalars::Version")]
    version: String,
}

#[derive(Serialize)]
struct IdentityLimitsJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u32>,
}

impl IdentityLimitsJson {
    fn of(limits: &IdentityLimits) -> Option<IdentityLimitsJson> {
        let IdentityLimits { email, phone, payment, address } = *limits;
        (!limits.is_empty()).then_some(IdentityLimitsJson { email, phone, payment, address })
    }
}

#[must_use]
pub fn drop_body(row: &DropRow, epoch: u64) -> Bytes {
    let challenge = Some(row.challenge).filter(|rule| rule.kind != ChallengeKind::None);
    to_bytes(&DropJson {
        id: row.id.get(),
        sku: &row.sku,
        name: &row.name,
        description: row.description.as_deref(),
        image_url: row.image_url.as_deref(),
        currency: row.currency.as_str(),
        unit_price: row.unit_price.get(),
        total: row.total,
        available: row.available(),
        held: row.held,
        sold: row.sold,
        state: row.state().as_str(),
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        per_buyer_limit: row.per_buyer_limit,
        reservation_seconds: row.reservation_seconds,
        payment_seconds: row.payment_seconds,
        revision: row.revision,
        identity_limits: IdentityLimitsJson::of(&row.identity_limits),
        challenge: challenge.map(|rule| rule.kind.as_str()),
        challenge_below: challenge.map(|rule| rule.below.as_str()),
        standby: Some(row.standby).filter(|standby| *standby > 0),
        room: row.room.as_ref().map(RoomRuleJson::of),
        blind_ms: Some(row.blind_ms).filter(|ms| *ms > 0),
        commitment: row.commitment.map(|commitment| commitment.to_string()),
        version: version_text(epoch, row.version),
    })
}

/// A buyer's claim on units of a drop.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Order")]
pub(super) struct OrderJson<'a> {
    #[schemars(with = "scalars::OrderId")]
    id: String,
    #[schemars(with = "scalars::OrderCode")]
    code: String,
    #[schemars(range(min = 1))]
    drop_id: u32,
    buyer: &'a str,
    #[schemars(range(min = 1))]
    quantity: u16,
    /// Minor units of the currency.
    #[schemars(range(max = UnitPrice::MAX))]
    unit_price: u64,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    amount: u64,
    #[schemars(with = "scalars::Currency")]
    currency: &'a str,
    #[schemars(with = "scalars::OrderState")]
    state: &'static str,
    /// The order's number; it never changes.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    reserved_at: UnixMillis,
    /// The time when the units are released; meaningless once the order is paid or has ended.
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    expires_at: UnixMillis,
    /// The page of payment, while the order awaits payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    payment_url: Option<String>,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    paid_at: Option<UnixMillis>,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    ended_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::EndReason")]
    end_reason: Option<&'static str>,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    refunded_amount: u64,
    /// Amount owed to the buyer and not refunded yet.
    #[serde(skip_serializing_if = "is_nothing")]
    #[schemars(range(max = JSON_INTEGER_MAX))]
    refund_due_amount: u64,
    #[schemars(with = "scalars::Version")]
    version: String,
}

/// The values that all orders of a server share.
#[derive(Clone, Copy)]
pub struct OrderContext<'a> {
    /// The first part of `payment_url`.
    pub public_url: &'a str,
    pub epoch: u64,
}

fn payment_url(frame: OrderContext<'_>, state: OrderState, id: &str) -> Option<String> {
    (state == OrderState::AwaitingPayment).then(|| format!("{}/pay/{id}", frame.public_url))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_nothing(amount: &u64) -> bool {
    *amount == 0
}

/// Returns the body of an order.
#[must_use]
pub fn order_body(row: &OrderRow, frame: OrderContext<'_>) -> Bytes {
    let mut body = Vec::with_capacity(BODY_BYTES);
    write_order(&mut body, &order_json(row, frame));
    Bytes::from(body)
}

pub(super) fn order_json<'a>(row: &'a OrderRow, frame: OrderContext<'_>) -> OrderJson<'a> {
    let id = row.id().to_string();
    OrderJson {
        payment_url: payment_url(frame, row.state, &id),
        id,
        code: code_of(row.drop_id.shard(), row.seq),
        drop_id: row.drop_id.get(),
        buyer: &row.buyer,
        quantity: row.quantity.get(),
        unit_price: row.unit_price.get(),
        amount: row.amount().get(),
        currency: row.currency.as_str(),
        state: row.state.as_str(),
        seq: row.seq.get(),
        reserved_at: row.reserved_at,
        expires_at: row.expires_at,
        paid_at: row.paid_at,
        ended_at: row.ended_at,
        end_reason: end_reason(row.state, row.cancelled_by_operator),
        refunded_amount: row.refunded.get(),
        refund_due_amount: row.refund_due.get(),
        version: version_text(frame.epoch, row.last_seq),
    }
}

/// Returns the body of a new order, without reading its row.
#[must_use]
pub fn reservation_body(
    reservation: &Reservation,
    secret: OrderSecret,
    buyer: &str,
    frame: OrderContext<'_>,
) -> CreatedBody {
    let id = OrderId { seq: reservation.order, secret }.to_string();
    created_order(&OrderJson {
        payment_url: payment_url(frame, reservation.state, &id),
        id,
        code: code_of(reservation.drop_id.shard(), reservation.order),
        drop_id: reservation.drop_id.get(),
        buyer,
        quantity: reservation.quantity.get(),
        unit_price: reservation.unit_price.get(),
        amount: reservation.unit_price.times(reservation.quantity).get(),
        currency: reservation.currency.as_str(),
        state: reservation.state.as_str(),
        seq: reservation.order.get(),
        reserved_at: reservation.reserved_at,
        expires_at: reservation.expires_at,
        // Only a free order is paid at once.
        paid_at: (reservation.state == OrderState::Paid).then_some(reservation.reserved_at),
        ended_at: None,
        end_reason: None,
        refunded_amount: 0,
        refund_due_amount: 0,
        version: version_text(frame.epoch, reservation.seq),
    })
}

/// Returns the body of an order that a purchase made or repeated.
#[must_use]
pub fn purchase_body(row: &OrderRow, frame: OrderContext<'_>) -> CreatedBody {
    created_order(&order_json(row, frame))
}

fn created_order(order: &OrderJson<'_>) -> CreatedBody {
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    bytes.extend_from_slice(b"/v1/orders/");
    bytes.extend_from_slice(order.id.as_bytes());
    let path_end = bytes.len();
    write_order(&mut bytes, order);
    split_created(bytes, path_end)
}

#[derive(Serialize)]
struct ContactJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

#[must_use]
pub fn contact_body(contact: &Contact) -> Bytes {
    to_bytes(&ContactJson {
        name: contact.name.as_deref(),
        email: contact.email.as_deref(),
        phone: contact.phone.as_deref(),
        address: contact.address.as_deref(),
    })
}

/// The result of a provider's event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProviderEventResult {
    Applied,
    /// The event was recorded before.
    Duplicate,
    /// The event is recorded, and changes nothing.
    Ignored(&'static str),
    /// The event is not about orders of this server, and is not recorded.
    Unused(&'static str),
}

impl ProviderEventResult {
    /// Returns the label in the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            ProviderEventResult::Applied => "applied",
            ProviderEventResult::Duplicate => "duplicate",
            ProviderEventResult::Ignored(_) => "ignored",
            ProviderEventResult::Unused(_) => "unused",
        }
    }
}

/// Returns the body of the response to a provider.
#[must_use]
pub fn provider_event_body(result: ProviderEventResult) -> Bytes {
    let body = match result {
        ProviderEventResult::Applied | ProviderEventResult::Duplicate => json!({ "result": result.label() }),
        ProviderEventResult::Ignored(reason) | ProviderEventResult::Unused(reason) => {
            json!({ "result": "ignored", "reason": reason })
        }
    };
    Bytes::from(body.to_string())
}

/// Returns a page of serialized JSON objects.
#[must_use]
pub fn page_body(items: &[Bytes], next_after: Option<u64>) -> Bytes {
    let mut body =
        Vec::with_capacity(items.iter().map(|item| item.len().saturating_add(1)).sum::<usize>().saturating_add(64));
    body.extend_from_slice(b"{\"data\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(b"],\"has_more\":");
    match next_after {
        Some(after) => body.extend_from_slice(format!("true,\"next_after\":{after}}}").as_bytes()),
        None => body.extend_from_slice(b"false}"),
    }
    Bytes::from(body)
}

/// Returns the strong entity tag of a version.
#[must_use]
pub fn etag(kind: &str, number: u64, epoch: u64, version: Seq) -> String {
    format!("\"{kind}{number}-{epoch}-{version}\"")
}
