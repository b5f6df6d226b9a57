//! PayOS: HMAC-SHA256 over the members of `data`, sorted by name, as `name=value&…`, in hexadecimal beside them.
//!
//! - Only `data` is signed: `success`, `code` and `desc` beside it are not, and nobody reads them.
//! - Values are not escaped in what is signed, so a `&` in one could make two readings of one signature. Each member
//!   that is used must stand in it once.
//! - There is no instant of the signature. `transactionDateTime` says when the money moved, in Vietnam's time without a
//!   zone; a webhook that comes hours later, after an outage, is as good. So from the future is stale, and the past is
//!   bounded by the order: its money cannot be older than itself (see `OrderRef::Seq`). What is replayed is in the inbox.
//!   That also turns away PayOS' own sample, which it signs with the shop's key when a webhook address is set up.
//! - `orderCode` is the order's `seq`. An order may get several transfers, so an event is the code, the transfer's
//!   reference and how it went.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

use super::json_fields::{JsonFields, parse};
use super::provider_event::{OrderRef, ProviderEvent, WebhookError, WebhookRequest};
use super::secrets::Keys;
use crate::types::{ProviderEventKind, Seq, UnixMillis, hex};

/// What is read of `data`, by name.
const USED: [&str; 6] = ["amount", "code", "currency", "orderCode", "reference", "transactionDateTime"];
/// A transfer's reference; with code and number beside it, an event's id stays within its bound.
const TRANSFER_BYTES_MAX: usize = 200;
/// PayOS sends sixteen.
const MEMBERS_MAX: usize = 64;
/// The offset of Vietnam, which has one time all year.
const VIETNAM_HOURS: i8 = 7;

/// Verifies a delivery and reads it.
pub(super) fn receive(keys: &Keys, request: &WebhookRequest<'_>) -> Result<ProviderEvent, WebhookError> {
    let root = verify(keys, request)?;
    let mut members = JsonFields::new(root);
    let code = members.text("/data/code", 16);
    let order_code = members.integer("/data/orderCode");
    let transfer = members.text("/data/reference", TRANSFER_BYTES_MAX);
    let amount = members.amount("/data/amount");
    let currency = members.currency("/data/currency");
    let at = members.str_at("/data/transactionDateTime").and_then(vietnam);
    let at = members.required(at, "/data/transactionDateTime", "must be a time such as 2026-11-21 09:00:00");
    let event = || {
        let (code, order_code, reference) = (code?, order_code?, transfer?);
        Some(ProviderEvent {
            event_id: format!("{order_code}/{code}/{reference}").into(),
            order: Seq::new(order_code).map_or(OrderRef::Unknown, OrderRef::Seq),
            kind: if &*code == "00" { ProviderEventKind::PaymentSucceeded } else { ProviderEventKind::PaymentFailed },
            reference,
            amount: amount?,
            currency: currency?,
            at: at?,
        })
    };
    let event = members.finish(event())?;
    let latest = request.now.plus_seconds(u32::try_from(super::TOLERANCE_SECONDS).unwrap_or(u32::MAX));
    if event.at <= latest { Ok(event) } else { Err(WebhookError::Stale) }
}

/// An instant as PayOS writes it.
fn vietnam(text: &str) -> Option<UnixMillis> {
    let written = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).or_else(|_| text.parse()).ok()?;
    let zone = TimeZone::fixed(Offset::constant(VIETNAM_HOURS));
    UnixMillis::new(written.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

/// The body, if its signature is good. It is parsed before that, because the signature is inside: within the bound of
/// 64 KiB, without recursion that a body could choose, and nothing of it is told.
fn verify(keys: &Keys, request: &WebhookRequest<'_>) -> Result<Value, WebhookError> {
    let root = parse(request.body).map_err(|_| WebhookError::Unauthorized)?;
    let signature = root.get("signature").and_then(Value::as_str).and_then(hex::decode);
    let signed = root.get("data").and_then(signed_text);
    let (Some(signature), Some(signed)) = (signature, signed) else { return Err(WebhookError::Unauthorized) };
    if keys.signed(&[signed.as_bytes()], [signature.as_slice()].into_iter()) && has_one_reading(&signed) {
        Ok(root)
    } else {
        Err(WebhookError::Unauthorized)
    }
}

/// What PayOS signs: the members by name, nulls as nothing, lists as JSON with sorted members.
fn signed_text(data: &Value) -> Option<String> {
    let members = data.as_object().filter(|members| members.len() <= MEMBERS_MAX)?;
    // In the order of the names' bytes, whatever the map keeps.
    let sorted: std::collections::BTreeMap<&String, &Value> = members.iter().collect();
    let mut text = String::new();
    for (name, value) in sorted {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        match value {
            Value::Null => {}
            Value::String(value) if value == "null" || value == "undefined" => {}
            Value::String(value) => text.push_str(value),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => text.push_str(&value.to_string()),
        }
    }
    Some(text)
}

/// Whether each member that is read stands once in what is signed.
fn has_one_reading(signed: &str) -> bool {
    let starts = |name: &str| signed.split('&').filter(|part| part.split('=').next() == Some(name)).count();
    USED.iter().all(|name| starts(name) == 1)
}

/// The signature of a request for a payment link.
pub(super) fn sign_request(
    keys: &Keys,
    amount: u64,
    cancel_url: &str,
    description: &str,
    order_code: u64,
    return_url: &str,
) -> Option<String> {
    let signed = format!(
        "amount={amount}&cancelUrl={cancel_url}&description={description}&orderCode={order_code}&returnUrl={return_url}"
    );
    Some(hex::encode(keys.sign(&[signed.as_bytes()])?.as_ref()))
}

/// Whether an answer's data is signed by PayOS. Only the API's own server can make it, and it came by TLS; but it says
/// where a buyer is sent to pay.
pub(super) fn is_signed(keys: &Keys, data: &Value, signature: &str) -> bool {
    let (Some(signed), Some(signature)) = (signed_text(data), hex::decode(signature)) else { return false };
    keys.signed(&[signed.as_bytes()], [signature.as_slice()].into_iter())
}
