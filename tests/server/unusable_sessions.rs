//! Payment sessions to which no buyer can be sent: they are closed at the provider, the order's page says what is so, and
//! an error of the provider about something else than the order refuses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::http::until;
use crate::provider_stub::{
    StubProvider, made, new_drop, order, sessions, shop, signed_by_payos, with_payos, with_stripe,
};
use crate::provider_webhooks::settings;
use firstcome::config::PaymentSettings;
use firstcome::types::Provider;
use parking_lot::Mutex;
use serde_json::{Value, json};

const REFUSED: &str = "firstcome_payment_sessions_total{result=\"refused\"}";
const NO_PAGE: &str = "has no page of its payment provider for it that works";

#[test]
fn a_session_of_stripe_that_no_buyer_can_be_sent_to_is_expired_and_its_page_says_what_is_so() {
    let scratch = tempfile::tempdir().expect("scratch");
    let urls = [
        format!("https://checkout.stripe.com/c/pay/{}", "x".repeat(9000)),
        "https://checkout.stripe.com/c/pay/grün".into(),
        "http://checkout.stripe.com/c/pay/cs".into(),
        "http://127.0.0.1.example.org/c/pay/cs".into(),
        "javascript:alert(1)".into(),
    ];
    let (count, known) = (urls.len(), Mutex::<Vec<String>>::default());
    let stub = StubProvider::new(Box::new(move |_, asked| {
        if asked.line.contains("/expire") {
            return Some((200, "", "{}".into()));
        }
        // The n-th order has the n-th URL; the last one a good one.
        let mut known = known.lock();
        let key = asked.headers["idempotency-key"].clone();
        let at = known.iter().position(|known| *known == key).unwrap_or(known.len());
        if at == known.len() {
            known.push(key);
        }
        match urls.get(at) {
            Some(url) => Some((200, "", json!({ "id": format!("cs_{at}"), "url": url }).to_string())),
            None => made(at),
        }
    }));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    let pages: Vec<String> = (0..=count)
        .map(|at| format!("/pay/{}", order(&server, &format!("k{at}"))["id"].as_str().expect("an id")))
        .collect();
    until("the good session is recorded", || sessions(scratch.path()).len() == 1);
    let expired = || -> BTreeSet<String> {
        let lines = stub.requests().into_iter().map(|asked| asked.line);
        lines.filter(|line| line.contains("/expire")).collect()
    };
    until("each unusable session is expired while its order lives", || expired().len() == count);
    assert!((0..count).all(|at| expired().contains(&format!("POST /v1/checkout/sessions/cs_{at}/expire HTTP/1.1"))));
    let answers: Vec<_> = pages.iter().map(|page| server.public("GET", page)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1, "one can be paid");
    let unpayable: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(unpayable.len(), count);
    for page in unpayable {
        assert!(page.text.contains(NO_PAGE) && !page.text.contains("does not take it"), "{}", page.text);
    }
    let told = server.metric(REFUSED);
    assert!((told - f64::from(u32::try_from(count).expect("small"))).abs() < 0.5, "the operator is told: {told}");
    server.stop();
}

#[test]
fn a_link_of_payos_that_no_buyer_can_be_sent_to_is_cancelled_and_an_unsigned_answer_is_asked_for_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stub = StubProvider::new(Box::new(|number, asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let data = |url: &str| {
            json!({ "amount": body["amount"], "orderCode": body["orderCode"], "currency": "VND", "status": "PENDING",
                    "paymentLinkId": format!("link{number}"), "checkoutUrl": url })
        };
        let answer = match number {
            1 => signed_by_payos(&data("http://pay.payos.vn/web/link1")),
            2 => json!({ "code": "00" }).to_string(),
            3 => json!({ "code": "00", "data": data("https://pay.payos.vn/web/link3"), "signature": "00" }).to_string(),
            4 => json!({ "code": "231", "desc": "exists" }).to_string(),
            _ => signed_by_payos(&json!({ "id": "link9", "status": "PENDING", "amount": 6000 })),
        };
        Some((200, "", answer))
    }));
    let server = shop(scratch.path(), with_payos(scratch.path(), &stub.url()));
    new_drop(&server, "VND");
    let first = order(&server, "a");
    let cancel = "POST /v2/payment-requests/link1/cancel HTTP/1.1";
    until("the link is cancelled while its order lives", || stub.requests().iter().any(|asked| asked.line == cancel));
    let page = server.public("GET", &format!("/pay/{}", first["id"].as_str().expect("an id")));
    assert!(page.status == 200 && page.text.contains(NO_PAGE), "{}", page.text);
    let second = order(&server, "b");
    until("the link that exists is recorded", || sessions(scratch.path()).len() == 1);
    assert_eq!(sessions(scratch.path())[0].0, second["seq"].as_u64().expect("a number"));
    assert!((server.metric(REFUSED) - 1.0).abs() < 0.5);
    server.stop();
}

#[test]
fn a_request_of_the_same_key_that_has_not_ended_makes_no_second_session() {
    let scratch = tempfile::tempdir().expect("scratch");
    let in_use = json!({ "error": { "type": "idempotency_error", "code": "idempotency_key_in_use" } });
    let stub = StubProvider::new(Box::new(move |number, _| match number {
        1 => Some((409, "", in_use.to_string())),
        _ => made(number),
    }));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    order(&server, "k");
    until("the session is recorded", || !sessions(scratch.path()).is_empty());
    let keys: BTreeSet<String> = stub.requests().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert_eq!((keys.len(), stub.requests().len()), (1, 2), "{keys:?}");
    assert!(server.metric(REFUSED) < 0.5);
    server.stop();
}

#[test]
fn a_session_is_closed_at_every_provider_although_something_between_answers_first() {
    const STRAY: [(u16, &str); 2] = [(404, "<html></html>"), (200, "<html></html>")];
    for provider in [Provider::Stripe, Provider::Payos] {
        let scratch = tempfile::tempdir().expect("scratch");
        let closings = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&closings);
        let stub = StubProvider::new(Box::new(move |number, asked| {
            if asked.line.contains("/expire") || asked.line.contains("/cancel") {
                let (status, text) = match STRAY.get(count.fetch_add(1, Ordering::SeqCst)) {
                    Some((status, text)) => (*status, (*text).to_string()),
                    None => (200, json!({ "code": "00", "status": "expired" }).to_string()),
                };
                return Some((status, "", text));
            }
            if provider == Provider::Stripe {
                return made(number);
            }
            let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
            Some((
                200,
                "",
                signed_by_payos(&json!({ "amount": body["amount"], "orderCode": body["orderCode"],
                "currency": "VND", "paymentLinkId": "link1", "checkoutUrl": "https://pay.payos.vn/web/link1" })),
            ))
        }));
        let (settings, currency) = if provider == Provider::Payos {
            (with_payos(scratch.path(), &stub.url()), "VND")
        } else {
            (with_stripe(scratch.path(), &stub.url()), "EUR")
        };
        let server = shop(scratch.path(), settings);
        new_drop(&server, currency);
        let order = order(&server, "k");
        until("the session is recorded", || sessions(scratch.path()).len() == 1);
        let path = format!("/v1/orders/{}/cancel", order["id"].as_str().expect("an id"));
        assert_eq!(server.public("POST", &path).status, 200);
        until("the provider itself is asked", || closings.load(Ordering::SeqCst) == STRAY.len() + 1);
        server.stop();
    }
}

#[test]
fn a_template_of_links_that_no_buyer_can_be_sent_to_is_told_at_the_start() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut config = crate::http::config(scratch.path());
    config.payments = PaymentSettings {
        provider: Some(Provider::StandardWebhooks),
        link_template: "http://pay.example/{order_id}?s={signature}".into(),
        ..settings(scratch.path())
    };
    let told = crate::http::try_serve(config).err().expect("refused");
    assert!(told.0 == 64 && told.1.contains("payments.link_template: a URL that begins with https://"), "{}", told.1);
}
