//! Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`. The shop's own adapter speaks it, and
//! so does the sandbox, each with secrets of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderName;

use super::heard::{Delivery, EVENT_ID_BYTES_MAX, Heard, NotHeard, OrderName, REFERENCE_BYTES_MAX, seconds};
use super::member::{Members, parse};
use super::secrets::Keys;
use crate::types::ProviderEventKind;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const TIMESTAMP_BYTES_MAX: usize = 15;
const SIGNATURE_BYTES_MAX: usize = 2048;
/// While secrets are rotated a sender signs with two or three.
const SIGNATURES_MAX: usize = 8;

/// Verifies a delivery and reads it.
pub(super) fn hear(keys: &Keys, delivery: &Delivery<'_>) -> Result<Heard, NotHeard> {
    let id = verify(keys, delivery)?;
    let mut members = Members::of(parse(delivery.body)?);
    let kind = members.peek("/type").and_then(ProviderEventKind::from_word);
    if kind.is_none() && members.text("/type", EVENT_ID_BYTES_MAX).is_some() {
        return Err(NotHeard::Unused);
    }
    let at = members.instant("/timestamp");
    let order = members.text("/data/order_id", EVENT_ID_BYTES_MAX);
    let reference = members.text("/data/reference", REFERENCE_BYTES_MAX);
    let amount = members.amount("/data/amount");
    let currency = members.currency("/data/currency");
    let heard = || {
        Some(Heard {
            event_id: id.into(),
            order: OrderName::of(&order?),
            kind: kind?,
            reference: reference?,
            amount: amount?,
            currency: currency?,
            at: at?,
        })
    };
    members.made(heard())
}

/// The event's id, if its signature is good and not too old.
fn verify<'a>(keys: &Keys, delivery: &'a Delivery<'_>) -> Result<&'a str, NotHeard> {
    let id = delivery.header(&ID, EVENT_ID_BYTES_MAX)?;
    let timestamp = delivery.header(&TIMESTAMP, TIMESTAMP_BYTES_MAX)?;
    let header = delivery.header(&SIGNATURE, SIGNATURE_BYTES_MAX)?;
    // A dot in the id would let what is signed be cut in another place.
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    let at = seconds(timestamp).filter(|_| is_id).ok_or(NotHeard::Unauthorized)?;
    let signatures: Vec<Vec<u8>> = header
        .split(' ')
        .filter_map(|part| part.strip_prefix("v1,"))
        .take(SIGNATURES_MAX)
        .map(|text| STANDARD.decode(text).unwrap_or_default())
        .collect();
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", delivery.body];
    if !keys.signed(&parts, signatures.iter().map(Vec::as_slice)) {
        return Err(NotHeard::Unauthorized);
    }
    if delivery.is_fresh(at) { Ok(id) } else { Err(NotHeard::Stale) }
}

/// The `webhook-signature` of the first key.
pub(super) fn sign(keys: &Keys, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
    let timestamp = timestamp.to_string();
    let tag = keys.sign(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])?;
    Some(format!("v1,{}", STANDARD.encode(tag)))
}
