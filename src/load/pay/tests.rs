use super::books::{RecordedMoney, RecordedPayment};
use super::requests::PayRequests;
use super::worker::{DeliveryAnswer, DeliveryResult, read_delivery};
use crate::load::client::ResponseHead;
use crate::payments::WebhookSigner;
use crate::types::{OrderId, Provider};

fn head(status: u16) -> ResponseHead {
    ResponseHead { status, ..ResponseHead::default() }
}

#[test]
fn an_answer_without_a_result_leaves_open_whether_the_event_was_recorded() {
    let read = |status, body: &str| read_delivery(&head(status), body.as_bytes());
    for (word, result) in [
        ("applied", DeliveryResult::Applied),
        ("duplicate", DeliveryResult::Duplicate),
        ("ignored", DeliveryResult::Ignored),
    ] {
        let answer = read(200, &format!("{{\"result\":\"{word}\",\"reason\":\"x\"}}"));
        assert!(matches!(answer, DeliveryAnswer::Acknowledged(found) if found == result), "{word}");
    }
    assert!(matches!(read(200, "{}"), DeliveryAnswer::Unsure));
    assert!(matches!(read(500, ""), DeliveryAnswer::Unsure));
    assert!(matches!(read(503, r#"{"code":"overloaded","applied":"no"}"#), DeliveryAnswer::Rejected(_)));
    for status in [400, 401, 404, 413] {
        assert!(matches!(read(status, r#"{"code":"x"}"#), DeliveryAnswer::Refused), "{status}");
    }
}

fn payment(order_seq: u64, reference: &str) -> RecordedPayment {
    RecordedPayment {
        order_seq,
        reference: reference.to_owned(),
        amount: 1_999,
        currency: "EUR".to_owned(),
        pays: true,
        refunded_amount: 0,
        refund_due_amount: 0,
    }
}

#[test]
fn money_that_is_counted_twice_shows_in_the_sums() {
    let exact = RecordedMoney::of([payment(1, "a"), payment(2, "b")], "EUR");
    let expected = RecordedMoney { payments: 2, orders_paid: 2, received: 3_998, ..RecordedMoney::default() };
    assert_eq!(exact, expected);
    assert_eq!(RecordedMoney::of([payment(1, "a"), payment(1, "b")], "EUR").doubled, 1, "an order");
    assert_eq!(RecordedMoney::of([payment(1, "a"), payment(2, "a")], "EUR").doubled, 1, "a reference");
    assert_eq!(RecordedMoney::of([payment(1, "a")], "VND").foreign, 1);
    let owed = RecordedPayment { pays: false, refund_due_amount: 1_999, ..payment(1, "a") };
    let owed = RecordedMoney::of([owed], "EUR");
    assert_eq!((owed.orders_paid, owed.refund_due), (0, 1_999));
}

#[test]
fn a_webhook_is_a_whole_http_request_without_the_secret() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().expect("scratch");
    let file = scratch.path().join("secret");
    std::fs::write(&file, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("set");
    assert!(WebhookSigner::read("--webhook-secret", &file).is_err(), "others could read it");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("set");
    let signer = WebhookSigner::read("--webhook-secret", &file).expect("a secret");
    assert_eq!(format!("{signer:?}"), "WebhookSigner(..)");
    let requests = PayRequests::new("h:1", 7, 42, Provider::StandardWebhooks, signer);
    let order = OrderId::parse("00000000-0001-8000-8000-000000000001").expect("an id");
    let mut out = Vec::new();
    let at = jiff::Timestamp::UNIX_EPOCH;
    let later = jiff::Timestamp::from_second(9).expect("in range");
    requests.payment(3, order, (at, later), &mut out);
    let copy = String::from_utf8(out.clone()).expect("text");
    requests.payment(3, order, (at, at), &mut out);
    let text = String::from_utf8(out).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    let (copys_head, copys_body) = copy.split_once("\r\n\r\n").expect("head and body");
    assert!(copys_body == body && copys_head.contains("webhook-timestamp: 9\r\n"), "a copy: {copy}");
    assert!(head.starts_with("POST /v1/payments/standard-webhooks HTTP/1.1\r\nHost: h:1\r\n"), "{head}");
    assert!(head.contains("webhook-id: evt-pay-42-7-3\r\nwebhook-timestamp: 0\r\nwebhook-signature: v1,"), "{head}");
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    let event: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(event["data"]["amount"], 1_999);
    assert_eq!(event["data"]["order_id"], "00000000-0001-8000-8000-000000000001");
    assert!(!text.contains("MDEy"), "nothing of the secret");
}
