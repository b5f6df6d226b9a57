//! The webhook message of an event: `{type, timestamp, data}`. It is made from data that never changes, so that every
//! attempt sends the same bytes under the same id. It has no contact details, and no reasons that operators gave.

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use crate::read::outbox::OutboxEvent;
use crate::types::order_id::code_of;
use crate::types::text::rfc3339;
use crate::types::webhooks::type_of;
use crate::types::{Shard, hex};

/// A message, ready to be signed and sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookMessage {
    /// The `webhook-id`: the same for every attempt, so that the endpoint can recognize repetitions.
    pub id: String,
    pub body: String,
}

/// Returns the message of an event, if the catalogue has its type.
#[must_use]
pub fn message(file_id: &[u8; 16], event: &OutboxEvent) -> Option<WebhookMessage> {
    let (_, event_type) = type_of(&event.kind)?;
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            data.insert(name.into(), value);
        }
    };
    put("seq", Some(event.seq.get().into()));
    if let Some((id, sku, currency)) = &event.drop {
        put("drop_id", Some(id.get().into()));
        put("sku", Some(sku.as_str().into()));
        put("currency", Some(currency.as_str().into()));
    }
    put("auction_id", event.auction.map(|id| id.get().into()));
    let shard = event.drop.as_ref().map_or(Shard::SINGLE, |(id, ..)| id.shard());
    if let Some((id, buyer)) = &event.order {
        put("order_id", Some(id.to_string().into()));
        put("order_seq", Some(id.seq.get().into()));
        put("code", Some(code_of(shard, id.seq).into()));
        put("buyer", Some(buyer.as_str().into()));
    }
    if let Some(place) = &event.place {
        put("buyer", Some(place.buyer.as_str().into()));
        put("ticket", place.ticket.map(Into::into));
    }
    let quantity = event.quantity.or(event.place.as_ref().map(|place| place.quantity));
    put("quantity", quantity.map(Into::into));
    put("amount", event.amount.map(Into::into));
    put("retaken", (event.kind == "order_retaken").then_some(true.into()));
    let mut detail: Value =
        event.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok()).unwrap_or_default();
    for name in event_type.details {
        put(name, detail.get_mut(*name).map(Value::take));
    }
    let mut message = Map::new();
    message.insert("type".into(), event_type.name.into());
    message.insert("timestamp".into(), rfc3339(event.at).into());
    message.insert("data".into(), data.into());
    let body = Value::Object(message).to_string();
    Some(WebhookMessage { id: id(file_id, event, &body), body })
}

/// Returns the event's number with a digest of file and body: another file may have an event of the same number, and so
/// may this one, after events were lost and their numbers were given again.
fn id(file_id: &[u8; 16], event: &OutboxEvent, body: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(file_id);
    context.update(body.as_bytes());
    let digest = context.finish();
    format!("evt_{}_{}", event.seq, hex::encode(digest.as_ref().get(..8).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Currency, DropId, OrderId, OrderSecret, Seq, UnixMillis};

    fn event() -> OutboxEvent {
        let seq = |n| Seq::new(n).expect("in range");
        let order = OrderId { seq: seq(7), secret: OrderSecret::from_random(Shard::SINGLE, [1; 10]) };
        OutboxEvent {
            seq: seq(9),
            at: UnixMillis::new(1_795_251_600_007).expect("in range"),
            kind: "order_paid".into(),
            drop: Some((DropId::new(3).expect("not 0"), "SHOE".into(), Currency::new("EUR").expect("a currency"))),
            auction: None,
            order: Some((order, "ann".into())),
            quantity: Some(2),
            amount: Some(25_800),
            detail: Some(r#"{"provider":"stripe","reference":"pi_1","reason":"told on the phone: 0170 1234"}"#.into()),
            place: None,
        }
    }

    #[test]
    fn a_message_has_the_data_of_its_event_without_the_operators_reason() {
        let message = message(&[1; 16], &event()).expect("a message");
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!((&body["type"], &body["timestamp"]), (&"order.paid".into(), &"2026-11-21T09:00:00.007Z".into()));
        let data = &body["data"];
        assert_eq!((&data["seq"], &data["order_seq"], &data["drop_id"]), (&9.into(), &7.into(), &3.into()));
        assert_eq!((&data["amount"], &data["quantity"], &data["currency"]), (&25_800.into(), &2.into(), &"EUR".into()));
        assert_eq!(
            (&data["buyer"], &data["provider"], &data["sku"]),
            (&"ann".into(), &"stripe".into(), &"SHOE".into())
        );
        assert!(!message.body.contains("0170") && data.get("retaken").is_none());
    }

    #[test]
    fn an_operators_cancellation_is_marked_but_its_reason_is_left_out() {
        let detail = Some(r#"{"by":"operator","reason":"ann: ten too many"}"#.into());
        let cancelled = OutboxEvent { kind: "order_cancelled".into(), detail, ..event() };
        let body = message(&[1; 16], &cancelled).expect("a message").body;
        assert!(body.contains(r#""by":"operator""#) && !body.contains("ten too many"), "{body}");
    }

    #[test]
    fn an_order_of_a_blind_window_has_the_number_under_which_it_was_recorded() {
        let detail = Some(r#"{"ticket":12,"joined_seq":4}"#.into());
        let granted = OutboxEvent { kind: "order_reserved".into(), detail, ..event() };
        let body: Value = serde_json::from_str(&message(&[1; 16], &granted).expect("a message").body).expect("JSON");
        assert_eq!((&body["data"]["ticket"], body["data"].get("joined_seq")), (&12.into(), None));
    }

    #[test]
    fn the_id_identifies_the_event_and_fits_the_standard() {
        let id = |file: u8, event: &OutboxEvent| message(&[file; 16], event).expect("a message").id;
        let (first, again) = (id(1, &event()), id(1, &event()));
        assert_eq!(first, again);
        assert!(first.starts_with("evt_9_") && first.len() == 22 && !first.contains('.'), "{first}");
        let later = OutboxEvent { at: UnixMillis::ZERO, ..event() };
        assert!(id(1, &later) != first && id(2, &event()) != first, "another event of that number has another id");
    }

    #[test]
    fn a_late_payment_that_took_stock_again_is_marked_retaken() {
        let retaken = OutboxEvent { kind: "order_retaken".into(), ..event() };
        let body: Value = serde_json::from_str(&message(&[1; 16], &retaken).expect("a message").body).expect("JSON");
        assert_eq!((&body["type"], &body["data"]["retaken"]), (&"order.paid".into(), &true.into()));
    }

    #[test]
    fn events_outside_the_catalogue_have_no_message() {
        for kind in ["contact_read", "deliveries_marked", "endpoint_created", "provider_event_recorded"] {
            assert_eq!(message(&[1; 16], &OutboxEvent { kind: kind.into(), ..event() }), None, "{kind}");
        }
    }
}
