//! Webhooks of Standard Webhooks 1.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`): those of the shop's own
//! adapter and those of the sandbox, each with secrets of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderName;

use super::json_fields::{JsonFields, parse};
use super::provider_event::{
    EVENT_ID_BYTES_MAX, OrderRef, ProviderEvent, REFERENCE_BYTES_MAX, WebhookError, WebhookRequest, failure_of, seconds,
};
use super::secrets::Keys;
use crate::types::ProviderEventKind;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const TIMESTAMP_BYTES_MAX: usize = 15;
const SIGNATURE_BYTES_MAX: usize = 2048;
/// Senders sign with two or three secrets while they rotate them.
const SIGNATURES_MAX: usize = 8;

/// Verifies a webhook and reads its event.
pub(super) fn receive(keys: &Keys, request: &WebhookRequest<'_>) -> Result<ProviderEvent, WebhookError> {
    let id = verify(keys, request)?;
    let mut fields = JsonFields::new(parse(request.body)?);
    let kind = fields.str_at("/type").and_then(ProviderEventKind::from_word);
    if kind.is_none() && fields.text("/type", EVENT_ID_BYTES_MAX).is_some() {
        return Err(WebhookError::Unused);
    }
    let at = fields.instant("/timestamp");
    let order = fields.text("/data/order_id", EVENT_ID_BYTES_MAX);
    let reference = fields.text("/data/reference", REFERENCE_BYTES_MAX);
    let amount = fields.amount("/data/amount");
    let currency = fields.currency("/data/currency");
    let (event_id, counterpart) = match kind {
        Some(ProviderEventKind::RefundSucceeded) => (Some(id.into()), Some(failure_of(id))),
        // Whatever its own id is: a refund fails once.
        Some(ProviderEventKind::RefundFailed) => {
            let refund = fields.text("/data/refund_id", EVENT_ID_BYTES_MAX);
            (refund.as_deref().map(failure_of), refund)
        }
        Some(
            ProviderEventKind::PaymentSucceeded
            | ProviderEventKind::PaymentFailed
            | ProviderEventKind::ChargebackCreated,
        )
        | None => (Some(id.into()), None),
    };
    let event = || {
        Some(ProviderEvent {
            event_id: event_id?,
            order: OrderRef::parse(&order?),
            kind: kind?,
            reference: reference?,
            amount: amount?,
            currency: currency?,
            at: at?,
            counterpart,
        })
    };
    fields.finish(event())
}

/// Returns the event's id if the signature is valid and not too old.
fn verify<'a>(keys: &Keys, request: &'a WebhookRequest<'_>) -> Result<&'a str, WebhookError> {
    let id = request.header(&ID, EVENT_ID_BYTES_MAX)?;
    let timestamp = request.header(&TIMESTAMP, TIMESTAMP_BYTES_MAX)?;
    let header = request.header(&SIGNATURE, SIGNATURE_BYTES_MAX)?;
    // The signed text is joined by dots: a dot in the id would allow a second way to split it.
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    let at = seconds(timestamp).filter(|_| is_id).ok_or(WebhookError::Unauthorized)?;
    let signatures: Vec<Vec<u8>> = header
        .split(' ')
        .filter_map(|part| part.strip_prefix("v1,"))
        .take(SIGNATURES_MAX)
        .map(|text| STANDARD.decode(text).unwrap_or_default())
        .collect();
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body];
    if !keys.verify(&parts, signatures.iter().map(Vec::as_slice)) {
        return Err(WebhookError::Unauthorized);
    }
    if request.is_fresh(at) { Ok(id) } else { Err(WebhookError::Stale) }
}

/// Returns the `webhook-signature` made with the first key.
pub(super) fn sign(keys: &Keys, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
    let timestamp = timestamp.to_string();
    let tag = keys.sign(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])?;
    Some(format!("v1,{}", STANDARD.encode(tag)))
}
