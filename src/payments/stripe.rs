//! Webhooks of Stripe: verifies `Stripe-Signature: t=…,v1=…` and maps Stripe's event types.
//!
//! Events name an order by `metadata.order_id` of the session and of its payment intent, and by `client_reference_id`;
//! `sessions` sets all three. The reference of a payment is its payment intent, which the session, its failures, its
//! refunds and its disputes all name.
//!
//! - A checkout session is paid if it has `payment_status: paid`: at `completed` for cards, at `async_payment_succeeded`
//!   for other methods. Earlier events of it are ignored.
//! - Refunds come as `refund.*`, and count once they have succeeded, each by its own id; one that fails afterwards is
//!   owed again. `charge.refunded` repeats them as a sum over all refunds and is ignored.
//! - Refunds and disputes have no metadata of this server: their order is found by their payment.
//! - Events that name no order belong to another business of the same Stripe account.

use hyper::header::HeaderName;

use super::accepted_amounts::from_stripe;
use super::json_fields::{JsonFields, parse};
use super::provider_event::{
    EVENT_ID_BYTES_MAX, OrderRef, ProviderEvent, REFERENCE_BYTES_MAX, WebhookError, WebhookRequest, failure_of, seconds,
};
use super::secrets::Keys;
use crate::types::{ProviderEventKind, hex};

const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
const SIGNATURE_BYTES_MAX: usize = 2048;
const SIGNATURES_MAX: usize = 8;

/// Verifies a webhook and reads its event.
pub(super) fn receive(keys: &Keys, request: &WebhookRequest<'_>) -> Result<ProviderEvent, WebhookError> {
    verify(keys, request)?;
    let mut fields = JsonFields::new(parse(request.body)?);
    let Some(word) = fields.text("/type", EVENT_ID_BYTES_MAX) else { return fields.finish(None) };
    let shape = shape_of(&word, &fields).ok_or(WebhookError::Unused)?;
    let order = order_named(&fields).or(shape.by_payment.then_some(OrderRef::Payment)).ok_or(WebhookError::Unused)?;
    let event_id = fields.text(shape.event_id, EVENT_ID_BYTES_MAX);
    let (event_id, counterpart) = match (shape.kind, event_id) {
        (ProviderEventKind::RefundSucceeded, Some(refund)) => {
            let failure = failure_of(&refund);
            (Some(refund), Some(failure))
        }
        (ProviderEventKind::RefundFailed, Some(refund)) => (Some(failure_of(&refund)), Some(refund)),
        (_, event_id) => (event_id, None),
    };
    let at = fields.seconds("/created");
    let reference = fields.text(shape.reference, REFERENCE_BYTES_MAX);
    let amount = fields.amount(shape.amount);
    let currency = fields.currency("/data/object/currency");
    let converted = amount.zip(currency).and_then(|(amount, currency)| {
        let converted = from_stripe(amount, currency);
        fields.required(converted, shape.amount, "must be a whole number of minor units")
    });
    let event = || {
        Some(ProviderEvent {
            event_id: event_id?,
            order,
            kind: shape.kind,
            reference: reference?,
            amount: converted?,
            currency: currency?,
            at: at?,
            counterpart,
        })
    };
    fields.finish(event())
}

/// The fields of one type of event, as JSON pointers.
struct EventShape {
    kind: ProviderEventKind,
    event_id: &'static str,
    reference: &'static str,
    amount: &'static str,
    by_payment: bool,
}

fn shape_of(word: &str, fields: &JsonFields) -> Option<EventShape> {
    use ProviderEventKind as K;
    const EVENT: &str = "/id";
    const INTENT: &str = "/data/object/payment_intent";
    const AMOUNT: &str = "/data/object/amount";
    let session = |kind| EventShape {
        kind,
        event_id: EVENT,
        reference: INTENT,
        amount: "/data/object/amount_total",
        by_payment: false,
    };
    let is = |pointer, word| fields.str_at(pointer) == Some(word);
    match word {
        // This shop's sessions are of the mode `payment`.
        _ if word.starts_with("checkout.session.")
            && fields.str_at("/data/object/mode").unwrap_or("payment") != "payment" =>
        {
            None
        }
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            is("/data/object/payment_status", "paid").then(|| session(K::PaymentSucceeded))
        }
        "checkout.session.async_payment_failed" => Some(session(K::PaymentFailed)),
        "payment_intent.payment_failed" => Some(EventShape {
            kind: K::PaymentFailed,
            event_id: EVENT,
            reference: "/data/object/id",
            amount: AMOUNT,
            by_payment: false,
        }),
        // Refunds and disputes of other business of the account: this shop's payments have an intent.
        _ if is_about_a_charge(word) && fields.str_at(INTENT).is_none() => None,
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            let kind = match fields.str_at("/data/object/status") {
                Some("succeeded") => K::RefundSucceeded,
                Some("failed" | "canceled") => K::RefundFailed,
                Some(_) | None => return None,
            };
            Some(EventShape { kind, event_id: "/data/object/id", reference: INTENT, amount: AMOUNT, by_payment: true })
        }
        "charge.dispute.created" => Some(EventShape {
            kind: K::ChargebackCreated,
            event_id: EVENT,
            reference: INTENT,
            amount: AMOUNT,
            by_payment: true,
        }),
        _ => None,
    }
}

/// Returns whether an event is about a charge, whose payment intent is optional.
fn is_about_a_charge(word: &str) -> bool {
    matches!(
        word,
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" | "charge.dispute.created"
    )
}

fn order_named(fields: &JsonFields) -> Option<OrderRef> {
    let named = ["/data/object/metadata/order_id", "/data/object/client_reference_id"];
    let orders = || named.iter().filter_map(|pointer| fields.str_at(pointer)).map(OrderRef::parse);
    // A shop may have numbers of its own in one of them.
    orders().find(|order| *order != OrderRef::Unknown).or_else(|| orders().next())
}

/// Verifies the signature and its age.
fn verify(keys: &Keys, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
    let header = request.header(&SIGNATURE, SIGNATURE_BYTES_MAX)?;
    let (mut timestamp, mut signatures) = (None, Vec::new());
    for part in header.split(',').map(str::trim) {
        match part.split_once('=') {
            // With two times it is unknown which one is signed.
            Some(("t", _)) if timestamp.is_some() => return Err(WebhookError::Unauthorized),
            Some(("t", text)) => timestamp = Some(text),
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => signatures.push(hex::decode(text)),
            // Other signature schemes are ignored.
            Some(_) => {}
            None => return Err(WebhookError::Unauthorized),
        }
    }
    let timestamp = timestamp.ok_or(WebhookError::Unauthorized)?;
    let at = seconds(timestamp).ok_or(WebhookError::Unauthorized)?;
    let parts = [timestamp.as_bytes(), b".", request.body];
    if !keys.verify(&parts, signatures.iter().flatten().map(Vec::as_slice)) {
        return Err(WebhookError::Unauthorized);
    }
    if request.is_fresh(at) { Ok(()) } else { Err(WebhookError::Stale) }
}
