//! Payment sessions with a stub of Stripe and PayOS: requested once per order, repeated after failures and restarts,
//! and never delaying a sale.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::http::{Server, call, until};
use crate::provider_stub::{
    StubProvider, StubRequest, StubResponses, made, new_drop, order, sessions, shop, signed_by_payos, with_payos,
    with_stripe,
};
use crate::provider_webhooks::{PAYOS_KEY, hmac, payos, secret_file, settings, transfer};
use firstcome::config::PaymentSettings;
use firstcome::types::shard::NumberedOrder;
use firstcome::types::text::rfc3339;
use firstcome::types::{Shard, hex};
use firstcome::writer::clock::wall_clock;
use parking_lot::Mutex;
use serde_json::{Value, json};

fn form(body: &str) -> BTreeMap<String, String> {
    serde_html_form::from_str(body).expect("a form")
}

#[test]
fn stripe_sessions_are_requested_as_documented_and_the_buyer_gets_their_url() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stub = StubProvider::new(Box::new(|number, _| made(number)));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    let reserved = server.order("reserved", r#"{"buyer":"bob","quantity":1}"#);
    assert_eq!(reserved.body["state"], "reserved", "an order without checkout needs no session yet");
    let order = order(&server, "k");
    until("the session is recorded", || !sessions(scratch.path()).is_empty());
    let (seq, id) = (order["seq"].as_u64().expect("a number"), order["id"].as_str().expect("an id"));
    let url = "https://checkout.stripe.com/c/pay/cs_1".to_string();
    assert_eq!(sessions(scratch.path()), [(seq, "stripe".into(), "cs_1".into(), url)]);
    let asked = stub.requests();
    let [asked] = asked.as_slice() else { panic!("not one request: {asked:#?}") };
    assert_eq!(asked.line, "POST /v1/checkout/sessions HTTP/1.1");
    assert_eq!(asked.headers["authorization"], "Bearer sk_test_stub");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(asked.headers["idempotency-key"].contains(id) && asked.headers["idempotency-key"].len() <= 255);
    let form = form(&asked.body);
    let page = format!("https://drops.example/pay/{id}");
    for (field, value) in [
        ("mode", "payment"),
        ("client_reference_id", id),
        ("metadata[order_id]", id),
        ("payment_intent_data[metadata][order_id]", id),
        ("line_items[0][quantity]", "2"),
        ("line_items[0][price_data][currency]", "eur"),
        ("line_items[0][price_data][unit_amount]", "3000"),
        ("line_items[0][price_data][product_data][name]", "Größe & <Ruhm>"),
        ("success_url", &page),
        ("cancel_url", &page),
    ] {
        assert_eq!(form.get(field).map(String::as_str), Some(value), "{field}");
    }
    let expires_at = firstcome::types::text::parse_rfc3339(order["expires_at"].as_str().expect("a time"));
    let outlives = form["expires_at"].parse::<i64>().expect("a number") - expires_at.expect("a time").second();
    assert!((31 * 60..=41 * 60).contains(&outlives), "{outlives} s");
    assert_eq!(form["adaptive_pricing[enabled]"], "false", "a payment is in the order's currency");
    assert!(!asked.body.contains("example.org"), "no personal data");
    assert!(server.admin("GET", "/v1/audit", &Value::Null).text.contains("session_recorded"));
    server.stop();
}

#[test]
fn requests_to_a_failing_or_hanging_provider_are_repeated_with_the_same_key_and_delay_no_sale() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (release, held) = std::sync::mpsc::channel();
    let held = Mutex::new(held);
    let answers: StubResponses = Box::new(move |number, _| match number {
        1 => Some((500, "", "{}".into())),
        2 => held.lock().recv().ok().and(Some((500, "", "{}".into()))),
        3 => None,
        _ => made(number),
    });
    let stub = StubProvider::new(answers);
    let payments =
        PaymentSettings { session_timeout: Duration::from_secs(3), ..with_stripe(scratch.path(), &stub.url()) };
    let server = shop(scratch.path(), payments);
    new_drop(&server, "EUR");
    order(&server, "k");
    until("the stub has a second request", || stub.requests().len() >= 2);
    // The provider answers once the order is placed.
    assert_eq!(server.order("meanwhile", r#"{"buyer":"bob","quantity":1}"#).status, 201);
    release.send(()).expect("the stub waits");
    until("the session is recorded", || !sessions(scratch.path()).is_empty());
    let keys: Vec<String> = stub.requests().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let bodies: Vec<String> = stub.requests().into_iter().map(|asked| asked.body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same key has the same parameters");
    let count = |result: &str| server.metric(&format!("firstcome_payment_sessions_total{{result=\"{result}\"}}"));
    // The row is there before the request has ended.
    until("all four requests are counted", || (count("made") - 1.0).abs() < 0.5 && (count("failed") - 3.0).abs() < 0.5);
    server.stop();
}

#[test]
fn a_session_is_expired_at_stripe_when_its_order_ends_and_again_until_that_succeeds() {
    let scratch = tempfile::tempdir().expect("scratch");
    let expires = |asked: &StubRequest| asked.line.contains("/expire");
    let answers: StubResponses = Box::new(move |number, asked| match number {
        // The first attempt fails before the restart, and one more may.
        _ if asked.line.contains("/expire") && number <= 5 => Some((500, "", "{}".into())),
        _ if asked.line.contains("/expire") => Some((200, "", "{}".into())),
        _ => made(number),
    });
    let stub = StubProvider::new(answers);
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    let (cancelled, paid, down) = (order(&server, "a"), order(&server, "b"), order(&server, "c"));
    until("all sessions are recorded", || sessions(scratch.path()).len() == 3);
    let references: BTreeMap<u64, String> = sessions(scratch.path()).into_iter().map(|row| (row.0, row.2)).collect();
    let reference = |order: &Value| references[&order["seq"].as_u64().expect("a number")].clone();
    let path = |order: &Value, what: &str| format!("/v1/orders/{}/{what}", order["id"].as_str().expect("an id"));
    assert_eq!(server.public("POST", &path(&cancelled, "cancel")).status, 200);
    until("the session is to be expired", || stub.requests().iter().any(expires));
    server.stop();
    // Paid elsewhere while no provider is asked.
    let payment = json!({ "reference": "D", "amount": 6000, "currency": "EUR", "reason": "seen" });
    let server = shop(scratch.path(), settings(scratch.path()));
    assert_eq!(server.admin("POST", &path(&down, "payments"), &payment).status, 200);
    server.stop();
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    let of = |reference: &str| {
        let line = format!("POST /v1/checkout/sessions/{reference}/expire HTTP/1.1");
        stub.requests().iter().filter(|asked| asked.line == line).count()
    };
    until("it is expired", || of(&reference(&cancelled)) >= 2);
    until("what was paid meanwhile is expired", || of(&reference(&down)) >= 1);
    // Paid elsewhere: nobody pays a second time.
    let payment = json!({ "reference": "R", "amount": 6000, "currency": "EUR", "reason": "seen" });
    assert_eq!(server.admin("POST", &path(&paid, "payments"), &payment).status, 200);
    until("the other one is expired too", || of(&reference(&paid)) == 1);
    assert!(stub.requests().iter().all(|asked| asked.headers["authorization"] == "Bearer sk_test_stub"));
    server.stop();
}

#[test]
fn an_order_can_be_paid_although_its_drop_was_renamed_after_an_answer_was_lost() {
    let scratch = tempfile::tempdir().expect("scratch");
    // Stripe keeps the parameters of a key; the answer to the first request is lost.
    let known: Mutex<BTreeMap<String, String>> = Mutex::default();
    let stub = StubProvider::new(Box::new(move |number, asked| {
        let mut known = known.lock();
        let body = known.entry(asked.headers["idempotency-key"].clone()).or_insert_with(|| asked.body.clone());
        match number {
            1 => None,
            _ if *body != asked.body => {
                Some((400, "", json!({ "error": { "type": "idempotency_error" } }).to_string()))
            }
            _ => made(number),
        }
    }));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    order(&server, "k");
    until("the first request arrives", || !stub.requests().is_empty());
    let revision = server.public("GET", "/v1/drops/1").body["revision"].clone();
    let patch = json!({ "name": "Renamed", "reason": "a typo", "expected_revision": revision });
    let patched = server.admin("PATCH", "/v1/drops/1", &patch);
    assert_eq!(patched.status, 200, "{}", patched.text);
    until("the session is recorded", || !sessions(scratch.path()).is_empty());
    server.stop();
}

#[test]
fn sessions_at_a_provider_that_is_no_longer_chosen_are_closed_while_its_keys_are_there() {
    let scratch = tempfile::tempdir().expect("scratch");
    let closed = |asked: &StubRequest| asked.line.contains("/expire");
    let stub = StubProvider::new(Box::new(move |number, asked| match asked.line.contains("/expire") {
        true => Some((200, "", "{}".into())),
        false => made(number),
    }));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    let (first, second) = (order(&server, "a"), order(&server, "b"));
    until("both sessions are recorded", || sessions(scratch.path()).len() == 2);
    let cancel = |server: &Server, order: &Value| {
        let path = format!("/v1/orders/{}/cancel", order["id"].as_str().expect("an id"));
        assert_eq!(server.public("POST", &path).status, 200);
    };
    server.stop();
    let server = shop(scratch.path(), PaymentSettings { provider: None, ..with_stripe(scratch.path(), &stub.url()) });
    let third = order(&server, "c");
    cancel(&server, &first);
    until("the session at the former provider is closed", || stub.requests().iter().filter(|a| closed(a)).count() == 1);
    server.stop();
    assert_eq!(stub.requests().iter().filter(|asked| !closed(asked)).count(), 2, "none is made: {third}");
    // Without its keys nothing can be closed, and nobody is sent there.
    let server = shop(scratch.path(), PaymentSettings::default());
    let page = format!("/pay/{}", second["id"].as_str().expect("an id"));
    assert_eq!(server.public("GET", &page).status, 200, "no redirect to a provider whose webhooks are not taken");
    server.stop();
}

#[test]
fn an_auctions_winner_gets_a_session_and_a_page_to_pay() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stub = StubProvider::new(Box::new(|number, _| made(number)));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    let ends_at = rfc3339(wall_clock().plus_seconds(3));
    let id = crate::bidding::made(&crate::bidding::auction(&server, "one", &json!({ "ends_at": ends_at })));
    assert_eq!(crate::bidding::bid(&server, &id, "a", &json!({ "buyer": "ann", "amount": 500 })).status, 201);
    until("the session is recorded", || sessions(scratch.path()).len() == 1);
    let order = server.public("GET", &format!("/v1/auctions/{id}/order?buyer=ann")).body;
    let path = format!("/pay/{}", order["id"].as_str().expect("an id"));
    let page = server.public("GET", &path);
    assert_eq!((page.status, &*page.headers["location"]), (303, "https://checkout.stripe.com/c/pay/cs_1"));
    let cancel = format!("/v1/orders/{}/cancel", order["id"].as_str().expect("an id"));
    assert_eq!(server.public("POST", &cancel).status, 200);
    let page = server.public("GET", &path);
    assert!(page.status == 200 && page.text.contains("<title>Cancelled: N</title>"), "{} {}", page.status, page.text);
    server.stop();
}

#[test]
fn a_link_is_cancelled_at_payos_when_its_order_ends() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stub = StubProvider::new(Box::new(|_, asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let data = json!({ "bin": "970422", "amount": body["amount"], "orderCode": body["orderCode"], "currency": "VND",
                           "paymentLinkId": "link1", "status": "PENDING", "checkoutUrl": "https://pay.payos.vn/web/link1" });
        Some((200, "", signed_by_payos(&data)))
    }));
    let server = shop(scratch.path(), with_payos(scratch.path(), &stub.url()));
    new_drop(&server, "VND");
    let order = order(&server, "k");
    until("the link is recorded", || sessions(scratch.path()).len() == 1);
    let path = format!("/v1/orders/{}/cancel", order["id"].as_str().expect("an id"));
    assert_eq!(server.public("POST", &path).status, 200);
    let line = "POST /v2/payment-requests/link1/cancel HTTP/1.1";
    until("the link is cancelled", || stub.requests().iter().any(|asked| asked.line == line));
    server.stop();
}

#[test]
fn an_answer_that_is_no_refusal_of_the_provider_is_not_taken_for_one() {
    let scratch = tempfile::tempdir().expect("scratch");
    // A redirect is not followed and is not a session.
    const STRAY: [(u16, &str); 5] =
        [(404, ""), (405, ""), (303, "Location: http://127.0.0.1:1/\r\n"), (201, ""), (400, "")];
    let stub = StubProvider::new(Box::new(|number, _| match STRAY.get(number.wrapping_sub(1)) {
        Some((status, headers)) => Some((*status, headers, "<html></html>".into())),
        None => made(number),
    }));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    for number in 1..=STRAY.len() {
        order(&server, &format!("k{number}"));
    }
    until("each order has a session", || sessions(scratch.path()).len() == STRAY.len());
    assert!(server.metric("firstcome_payment_sessions_total{result=\"refused\"}") < 0.5);
    server.stop();
}

#[test]
fn after_a_copy_is_put_back_no_buyer_gets_the_link_or_the_payment_of_another() {
    let scratch = tempfile::tempdir().expect("scratch");
    // PayOS keeps a link per number and shows it to whoever asks for that number again.
    let links: Arc<Mutex<BTreeMap<u64, Value>>> = Arc::default();
    let kept = Arc::clone(&links);
    let stub = StubProvider::new(Box::new(move |number, asked| {
        let mut links = kept.lock();
        if asked.line.starts_with("GET") {
            let of = asked.line.split(['/', ' ']).nth_back(2).and_then(|number| number.parse().ok()).expect("a number");
            return Some((200, "", signed_by_payos(&links[&of])));
        }
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let Some(of) = body["orderCode"].as_u64() else { return Some((200, "", "{}".into())) };
        if links.contains_key(&of) {
            return Some((200, "", json!({ "code": "231", "desc": "exists" }).to_string()));
        }
        let id = format!("link{number}");
        links.insert(of, json!({ "id": id, "status": "PENDING", "amount": body["amount"], "amountPaid": 0 }));
        let data = json!({ "amount": body["amount"], "orderCode": of, "currency": "VND", "paymentLinkId": id,
                           "status": "PENDING", "checkoutUrl": format!("https://pay.payos.vn/web/{id}") });
        Some((200, "", signed_by_payos(&data)))
    }));
    let open = || shop(scratch.path(), with_payos(scratch.path(), &stub.url()));
    let server = open();
    new_drop(&server, "VND");
    server.stop();
    let (data, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
    std::fs::create_dir(&copy).expect("made");
    let copied = ["firstcome.db", "firstcome.watermark"];
    for name in copied {
        std::fs::copy(data.join(name), copy.join(name)).expect("copied");
    }
    let server = open();
    // The loss is an event, too.
    let stock = json!({ "delta": 1, "expected_total": 50, "reason": "one event" });
    assert_eq!(server.admin("POST", "/v1/drops/1/stock", &stock).status, 200);
    let eves = order(&server, "eve");
    until("eve's link is recorded", || sessions(scratch.path()).len() == 1);
    server.stop();
    for name in copied {
        std::fs::copy(copy.join(name), data.join(name)).expect("put back");
    }
    let server = open();
    let fays = order(&server, "fay");
    assert_eq!(fays["seq"], eves["seq"], "the number is given again");
    until("fay's link is recorded", || sessions(scratch.path()).len() == 1);
    let of_fay = sessions(scratch.path()).remove(0).2;
    let number_of_eve = *links.lock().keys().next().expect("a link");
    assert_eq!(links.lock().len(), 2, "fay has a link of her own");
    let today = rfc3339(wall_clock().plus_seconds(7 * 3600))[..19].replace('T', " ");
    let pay = |number: u64, reference: &str, link: &str| {
        let mut data = transfer(number, reference, 6000, &today);
        data["paymentLinkId"] = link.into();
        let webhook = payos(&data);
        let path = "/v1/payments/payos";
        call(server.0.server.public_address, "POST", path, &webhook.head(), &webhook.body).body["result"].clone()
    };
    assert_eq!(pay(number_of_eve, "FTe", "link1"), "ignored", "eve's payment is not for fay");
    let state =
        || server.public("GET", &format!("/v1/orders/{}", fays["id"].as_str().expect("an id"))).body["state"].clone();
    assert_eq!(state(), "awaiting_payment");
    assert_eq!(pay(fays["seq"].as_u64().expect("a number"), "FTf", &of_fay), "applied");
    assert_eq!(state(), "paid");
    server.stop();
}

#[test]
fn a_session_that_the_provider_refuses_is_not_requested_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let refused = json!({ "error": { "type": "invalid_request_error", "message": "sk_test_stub is wrong" } });
    let answers: StubResponses = Box::new(move |number, _| match number {
        1 => Some((400, "", refused.to_string())),
        2 => Some((402, "", refused.to_string())),
        _ => made(number),
    });
    let stub = StubProvider::new(answers);
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    let mut pages = Vec::new();
    for number in 1..=3 {
        pages.push(format!("/pay/{}", order(&server, &format!("k{number}"))["id"].as_str().expect("an id")));
        until("the request arrives", || stub.requests().len() == number);
    }
    until("the third session is recorded", || sessions(scratch.path()).len() == 1);
    assert!((server.metric("firstcome_payment_sessions_total{result=\"refused\"}") - 2.0).abs() < 0.5);
    assert_eq!(stub.requests().len(), 3);
    let told = |page: &String| server.public("GET", page).text.contains("does not take it");
    assert_eq!(pages.iter().map(told).collect::<Vec<_>>(), [true, true, false]);
    server.stop();
}

#[test]
fn payos_links_are_requested_as_documented_and_responses_must_be_signed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let answers: StubResponses = Box::new(|number, asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let data = json!({ "bin": "970422", "amount": body["amount"], "orderCode": body["orderCode"], "currency": "VND",
                           "paymentLinkId": "link1", "status": "PENDING", "checkoutUrl": "https://pay.payos.vn/web/link1" });
        Some((
            200,
            "",
            match number {
                1 => signed_by_payos(&data),
                2 => json!({ "code": "231", "desc": "Đơn thanh toán đã tồn tại" }).to_string(),
                3 => {
                    let amount = 6000;
                    signed_by_payos(&json!({ "id": "link2", "status": "PENDING", "amount": amount, "amountPaid": 0 }))
                }
                _ => signed_by_payos(&data).replace("link1", "evil"),
            },
        ))
    });
    let stub = StubProvider::new(answers);
    let server = shop(scratch.path(), with_payos(scratch.path(), &stub.url()));
    new_drop(&server, "VND");
    let first = order(&server, "a");
    until("the session is recorded", || sessions(scratch.path()).len() == 1);
    let second = order(&server, "b");
    until("the existing session is recorded", || sessions(scratch.path()).len() == 2);
    order(&server, "c");
    until("a response without a valid signature is no session, and the request is repeated", || {
        server.metric("firstcome_payment_sessions_total{result=\"failed\"}") > 0.5
    });
    let seq = |order: &Value| order["seq"].as_u64().expect("a number");
    let link = |order: &Value, id: &str| {
        (seq(order), "payos".to_string(), id.to_string(), format!("https://pay.payos.vn/web/{id}"))
    };
    assert_eq!(sessions(scratch.path()), [link(&first, "link1"), link(&second, "link2")]);
    let asked = stub.requests();
    assert_eq!(asked[0].line, "POST /v2/payment-requests HTTP/1.1");
    let body_of = |asked: &StubRequest| serde_json::from_str::<Value>(&asked.body).expect("JSON");
    let number = |at: usize| body_of(&asked[at])["orderCode"].as_u64().expect("a number");
    assert_eq!(asked[2].line, format!("GET /v2/payment-requests/{} HTTP/1.1", number(1)));
    for (at, order) in [(0, &first), (1, &second)] {
        let named = NumberedOrder::of(number(at)).expect("an order's");
        assert!(named.seq.get() == seq(order) && named.shard == Shard::SINGLE && named.series.is_some(), "{named:?}");
    }
    assert_eq!((&*asked[0].headers["x-client-id"], &*asked[0].headers["x-api-key"]), ("client-7", "payos-api-key"));
    let body = body_of(&asked[0]);
    let page = format!("https://drops.example/pay/{}", first["id"].as_str().expect("an id"));
    assert_eq!((&body["orderCode"], &body["amount"]), (&json!(number(0)), &json!(6000)));
    assert_eq!((&body["returnUrl"], &body["cancelUrl"]), (&json!(page), &json!(page)));
    let description = body["description"].as_str().expect("a description");
    assert!(description.len() <= 9 && description.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{description}");
    let signed =
        format!("amount=6000&cancelUrl={page}&description={description}&orderCode={}&returnUrl={page}", number(0));
    assert_eq!(body["signature"], hex::encode(&hmac(PAYOS_KEY.as_bytes(), &[signed.as_bytes()])));
    let expires_at = firstcome::types::text::parse_rfc3339(first["expires_at"].as_str().expect("a time"));
    assert_eq!(body["expiredAt"], expires_at.expect("a time").second());
    let euro = call(server.0.server.public_address, "GET", "/v1/drops", "", "");
    assert_eq!(euro.status, 200);
    server.stop();
}

#[test]
fn what_a_provider_needs_is_told_at_the_start() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut config = crate::http::config(scratch.path());
    config.payments = with_payos(scratch.path(), "http://127.0.0.1:1");
    config.payments.payos_api_key_file = Some(scratch.path().join("missing"));
    config.payments.payos_checksum_key_files = vec![secret_file(scratch.path(), "short", "short")];
    config.payments.stripe_secret_files = vec![scratch.path().join("gone")];
    let told = crate::http::try_serve(config).err().expect("refused");
    assert_eq!((told.0, told.1.lines().count()), (64, 3), "{}", told.1);
}
