//! Webhooks of PayOS: an HMAC-SHA256 in hexadecimal over the members of `data`, sorted by name, as `name=value&…`.
//!
//! - Only `data` is signed; `success`, `code` and `desc` beside it are not, and are not read.
//! - Values are not escaped in the signed text, so an `&` in a value could allow two readings of one signature. Each
//!   member that is read must occur once in the signed text.
//! - The signature has no time. `transactionDateTime` is the time of the transfer, in Vietnam's time without a zone; a
//!   webhook that arrives hours later, after an outage, is valid. So only the future is stale, and the past is bounded by
//!   the order: its payment cannot be older than the order (see `OrderRef::Number`). The inbox recognizes replays. This also
//!   rejects PayOS' own sample, which PayOS signs with the shop's key when a webhook address is set up.
//! - `orderCode` is the order's number: its shard, the file's series and its `seq`. An order may get several transfers, so the id of an event
//!   consists of the order code, the result code and the transfer's reference.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

use super::json_fields::{JsonFields, parse};
use super::provider_event::{OrderRef, ProviderEvent, WebhookError, WebhookRequest};
use super::secrets::Keys;
use crate::types::shard::NumberedOrder;
use crate::types::{ProviderEventKind, UnixMillis, hex};

/// The members of `data` that are read.
const USED: [&str; 6] = ["amount", "code", "currency", "orderCode", "reference", "transactionDateTime"];
/// A member that is read if it is there once.
const SESSION: &str = "paymentLinkId";
/// The longest reference of a transfer, in bytes: with both codes an event's id stays within its bound.
const TRANSFER_BYTES_MAX: usize = 200;
/// Bound of the members of `data`; PayOS sends sixteen.
const MEMBERS_MAX: usize = 64;
/// UTC offset of Vietnam, which has no daylight saving time.
const VIETNAM_HOURS: i8 = 7;

/// Verifies a webhook and reads its event.
pub(super) fn receive(keys: &Keys, request: &WebhookRequest<'_>) -> Result<ProviderEvent, WebhookError> {
    let root = verify(keys, request)?;
    let mut fields = JsonFields::new(root);
    let code = fields.text("/data/code", 16);
    let order_code = fields.integer("/data/orderCode");
    let transfer = fields.text("/data/reference", TRANSFER_BYTES_MAX);
    let amount = fields.amount("/data/amount");
    let currency = fields.currency("/data/currency");
    let at = fields.str_at("/data/transactionDateTime").and_then(vietnam);
    let at = fields.required(at, "/data/transactionDateTime", "must be a time such as 2026-11-21 09:00:00");
    let session = fields.str_at("/data/paymentLinkId").filter(|id| !id.is_empty()).map(Box::from);
    let event = || {
        let (code, order_code, reference) = (code?, order_code?, transfer?);
        let order = NumberedOrder::of(order_code);
        let order = order.map_or(OrderRef::Unknown, |order| OrderRef::Number { order, session });
        Some(ProviderEvent {
            event_id: format!("{order_code}/{code}/{reference}").into(),
            order,
            kind: if &*code == "00" { ProviderEventKind::PaymentSucceeded } else { ProviderEventKind::PaymentFailed },
            reference,
            amount: amount?,
            currency: currency?,
            at: at?,
            counterpart: None,
        })
    };
    let event = fields.finish(event())?;
    let latest = request.now.plus_seconds(u32::try_from(super::TOLERANCE_SECONDS).unwrap_or(u32::MAX));
    if event.at <= latest { Ok(event) } else { Err(WebhookError::Stale) }
}

/// Parses a time in PayOS' format.
fn vietnam(text: &str) -> Option<UnixMillis> {
    let written = DateTime::strptime("%Y-%m-%d %H:%M:%S", text)
        .or_else(|_| DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", text))
        .ok()?;
    let zone = TimeZone::fixed(Offset::constant(VIETNAM_HOURS));
    UnixMillis::new(written.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

/// Returns the body if its signature is valid. The signature is inside, so the body is parsed first: it has at most
/// 64 KiB, its depth of recursion is bounded, and no error message repeats any of it.
fn verify(keys: &Keys, request: &WebhookRequest<'_>) -> Result<Value, WebhookError> {
    let root = parse(request.body).map_err(|_| WebhookError::Unauthorized)?;
    let signature = root.get("signature").and_then(Value::as_str).and_then(hex::decode);
    let signed = root.get("data").and_then(signed_text);
    let (Some(signature), Some(signed)) = (signature, signed) else { return Err(WebhookError::Unauthorized) };
    if keys.verify(&[signed.as_bytes()], [signature.as_slice()].into_iter()) && has_one_reading(&signed) {
        Ok(root)
    } else {
        Err(WebhookError::Unauthorized)
    }
}

/// Returns the text that PayOS signs: the members sorted by name, nulls as empty texts, lists as JSON.
fn signed_text(data: &Value) -> Option<String> {
    let members = data.as_object().filter(|members| members.len() <= MEMBERS_MAX)?;
    // Sorted by the bytes of the names; serde_json's map may keep another order.
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

/// Returns true if each member that is read occurs once in the signed text.
fn has_one_reading(signed: &str) -> bool {
    let starts = |name: &str| signed.split('&').filter(|part| part.split('=').next() == Some(name)).count();
    USED.iter().all(|name| starts(name) == 1) && starts(SESSION) <= 1
}

/// Returns the signature of a request for a payment link.
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

/// Returns true if PayOS has signed the data of a response. The response came over TLS; but the buyer is sent to the
/// address in it, so the signature is checked as well.
pub(super) fn is_signed(keys: &Keys, data: &Value, signature: &str) -> bool {
    let (Some(signed), Some(signature)) = (signed_text(data), hex::decode(signature)) else { return false };
    keys.verify(&[signed.as_bytes()], [signature.as_slice()].into_iter())
}
