//! Webhooks of payment providers on a real server: each is recorded once, with its effect; bad input changes nothing.

use std::io::{Read, Write};

use crate::http::{Answer, Server, call, serve, serve_with};
use crate::provider_webhooks::{
    SANDBOX_KEY, STANDARD_KEY, STRIPE_SECRET, Webhook, event, now, payos, settings, standard, stripe, transfer,
};
use firstcome::config::PaymentSettings;
use serde_json::{Value, json};

struct Shop {
    server: Server,
    _scratch: tempfile::TempDir,
}

impl Shop {
    /// Starts a server with a drop of two units at 100 EUR cents, and one at 3000 VND.
    fn open() -> Shop {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve_with(scratch.path(), |config| config.payments = settings(scratch.path()));
        for (key, price, currency) in [("euro", 100, "EUR"), ("dong", 3000, "VND")] {
            let drop = json!({ "sku": "S", "name": "N", "currency": currency, "unit_price": price, "total": 2,
                               "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 2 });
            let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
            assert_eq!(
                call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string()).status,
                201
            );
        }
        Shop { server, _scratch: scratch }
    }

    /// Places an order, and returns its id and number.
    fn order(&self, drop_id: u32, buyer: &str) -> (String, u64) {
        let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": "a@example.org" } }).to_string();
        let path = format!("/v1/drops/{drop_id}/orders");
        let answer = call(self.server.0.server.public_address, "POST", &path, headers, &body);
        assert_eq!(answer.status, 201, "{}", answer.text);
        (answer.body["id"].as_str().expect("an id").into(), answer.body["seq"].as_u64().expect("a number"))
    }

    fn send(&self, provider: &str, webhook: &Webhook) -> Answer {
        let path = format!("/v1/payments/{provider}");
        call(self.server.0.server.public_address, "POST", &path, &webhook.head(), &webhook.body)
    }

    /// Sends a correctly signed event, and returns the result and its reason.
    fn send_event(&self, event_id: &str, body: &Value) -> (String, String) {
        result(&self.send("standard-webhooks", &standard(&STANDARD_KEY, event_id, now(), &body.to_string())))
    }

    fn state(&self, order: &str) -> Value {
        self.server.public("GET", &format!("/v1/orders/{order}")).body
    }

    fn audit(&self) -> String {
        self.server.admin("GET", "/v1/audit", &Value::Null).text
    }
}

fn result(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let word = |name: &str| answer.body[name].as_str().unwrap_or("").to_string();
    (word("result"), word("reason"))
}

fn words(result: &str, reason: &str) -> (String, String) {
    (result.into(), reason.into())
}

#[test]
fn a_payment_pays_its_order_once_despite_repetitions() {
    let shop = Shop::open();
    let (id, _) = shop.order(1, "ann");
    let paid = event("payment.succeeded", &id, "pay_1", 100, "EUR");
    assert_eq!(shop.send_event("msg_1", &paid), words("applied", ""));
    assert_eq!(shop.state(&id)["state"], "paid");
    assert_eq!(shop.send_event("msg_1", &paid), words("duplicate", ""));
    assert_eq!(shop.send_event("msg_2", &paid), words("ignored", "payment-known"));
    let failed = event("payment.failed", &id, "pay_1", 100, "EUR");
    assert_eq!(shop.send_event("msg_3", &failed), words("ignored", "not-awaited"), "a late failure downgrades nothing");
    assert_eq!(shop.send_event("msg_4", &event("payment.succeeded", &id, "pay_2", 100, "EUR")), words("applied", ""));
    let order = shop.state(&id);
    assert_eq!((&order["state"], &order["refund_due_amount"]), (&json!("paid"), &json!(100)), "paid twice: once back");
    assert_eq!(shop.send_event("msg_5", &event("refund.succeeded", &id, "pay_2", 100, "EUR")), words("applied", ""));
    let order = shop.state(&id);
    assert_eq!((&order["state"], order.get("refund_due_amount")), (&json!("paid"), None));
    assert_eq!(shop.send_event("msg_6", &event("chargeback.created", &id, "pay_1", 100, "EUR")), words("applied", ""));
    assert_eq!(
        shop.audit().matches("provider_event_recorded").count(),
        6,
        "once for each event, and none for a repeat"
    );
    let seen = |labels: &str| shop.server.metric(&format!("firstcome_provider_events_total{{{labels}}}"));
    assert!((seen(r#"provider="standard-webhooks",result="applied""#) - 4.0).abs() < 0.5);
    assert!((seen(r#"provider="standard-webhooks",result="duplicate""#) - 1.0).abs() < 0.5);
    shop.server.stop();
}

#[test]
fn bad_input_gets_the_right_status_without_a_hint_and_changes_nothing() {
    let shop = Shop::open();
    let (id, seq) = shop.order(1, "ann");
    let before = (shop.audit(), shop.state(&id));
    let paid = event("payment.succeeded", &id, "pay_1", 100, "EUR").to_string();
    let good = standard(&STANDARD_KEY, "msg_1", now(), &paid);
    let signed = |body: String| standard(&STANDARD_KEY, "msg_1", now(), &body);
    let at = |seconds: i64| standard(&STANDARD_KEY, "msg_1", now() + seconds, &paid);
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&paid).expect("JSON")).expect("JSON");
    let mut two = good.clone();
    two.headers.push(("webhook-signature", good.headers[3].1.clone()));
    let money = |amount: Value| {
        let mut body: Value = serde_json::from_str(&paid).expect("JSON");
        body["data"]["amount"] = amount;
        signed(body.to_string())
    };
    // The clock may tick between signing and verification, so no time here is close to the tolerance.
    for (what, webhook, status, code) in [
        ("no signature", good.clone().without("webhook-signature"), 401, "unauthorized"),
        ("a wrong length", good.clone().set("webhook-signature", "v1,AAAA"), 401, "unauthorized"),
        ("two signatures", two, 401, "unauthorized"),
        ("another shop's", standard(&[1; 32], "msg_1", now(), &paid), 401, "unauthorized"),
        ("play money", standard(&SANDBOX_KEY, "msg_1", now(), &paid), 401, "unauthorized"),
        ("reformatted", good.clone().with_body(pretty), 401, "unauthorized"),
        ("forged and stale", standard(&[1; 32], "msg_1", now() - 9999, &paid), 401, "unauthorized"),
        ("stale", at(-310), 400, "validation"),
        ("for later", at(310), 400, "validation"),
        ("too large", signed(format!("{paid}{}", " ".repeat(64 * 1024))), 413, "body-too-large"),
        ("not JSON", signed("{".into()), 400, "malformed"),
        ("a member twice", signed(paid.replacen('{', "{\"data\":{},", 1)), 400, "malformed"),
        ("nothing", money(json!(0)), 400, "validation"),
        ("less than nothing", money(json!(-100)), 400, "validation"),
        ("a fraction", money(json!(99.5)), 400, "validation"),
        ("a text", money(json!("100")), 400, "validation"),
        ("no currency", signed(paid.replace("EUR", "EURO")), 400, "validation"),
    ] {
        let answer = shop.send("standard-webhooks", &webhook);
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{what}: {}", answer.text);
        let hints = ["secret_", "HMAC", "base64", "expected", &good.headers[3].1[3..]];
        let challenge = answer.headers.get("www-authenticate").map(String::as_str);
        assert_eq!(challenge, (status == 401).then_some("WebhookSignature"), "{what}: a token would not help");
        assert!(status != 401 || hints.iter().all(|hint| !answer.text.contains(hint)), "{what}: {}", answer.text);
    }
    let forged = [
        ("stripe", stripe("whsec_wrong_wrong_wrong", now(), &paid)),
        ("payos", payos(&transfer(seq, "FT1", 100, "2026-11-21 00:00:00")).with_body(paid.clone())),
        ("sandbox", good.clone()),
    ];
    for (provider, webhook) in forged {
        assert_eq!(shop.send(provider, &webhook).body["code"], "unauthorized", "{provider}");
    }
    for unknown in ["manual", "paypal", "Stripe", "standard_webhooks"] {
        assert_eq!(shop.send(unknown, &good).body["code"], "not-found", "{unknown}");
    }
    assert_eq!((shop.audit(), shop.state(&id)), before, "nothing is recorded, nothing changes");
    assert_eq!(result(&shop.send("standard-webhooks", &good)), words("applied", ""), "and the good one is still good");
    assert_eq!(result(&shop.send("standard-webhooks", &good)), words("duplicate", ""), "replayed");
    shop.server.stop();
}

#[test]
fn a_payment_of_another_amount_is_owed_back_and_the_order_does_not_change() {
    let shop = Shop::open();
    let (id, _) = shop.order(1, "ann");
    assert_eq!(shop.send_event("msg_1", &event("payment.succeeded", &id, "less", 99, "EUR")), words("applied", ""));
    assert_eq!(shop.send_event("msg_2", &event("payment.succeeded", &id, "more", 101, "EUR")), words("applied", ""));
    assert_eq!(shop.send_event("msg_3", &event("payment.succeeded", &id, "foreign", 100, "USD")), words("applied", ""));
    let order = shop.state(&id);
    assert_eq!((&order["state"], &order["refund_due_amount"]), (&json!("awaiting_payment"), &json!(200)));
    assert_eq!(shop.audit().matches("payment_not_kept").count(), 3);
    assert_eq!(shop.send_event("msg_4", &event("payment.succeeded", &id, "right", 100, "EUR")), words("applied", ""));
    assert_eq!(shop.state(&id)["state"], "paid");
    shop.server.stop();
}

#[test]
fn events_for_unknown_orders_are_recorded_once_and_ignored() {
    let shop = Shop::open();
    let (id, _) = shop.order(1, "ann");
    let nearly = format!("{}{}", &id[..35], if id.ends_with('0') { '1' } else { '0' });
    for (event_id, order) in [("msg_1", "0190a1b2-0000-8000-8000-000000000000"), ("msg_2", "4711"), ("msg_3", &nearly)]
    {
        let paid = event("payment.succeeded", order, "pay_1", 100, "EUR");
        assert_eq!(shop.send_event(event_id, &paid), words("ignored", "unknown-order"), "{order}");
        assert_eq!(shop.send_event(event_id, &paid), words("duplicate", ""), "{order}");
    }
    assert_eq!(shop.audit().matches("provider_event_recorded").count(), 3);
    assert_eq!(shop.state(&id)["state"], "awaiting_payment");
    let unused = event("invoice.sent", &id, "pay_1", 100, "EUR");
    assert_eq!(shop.send_event("msg_4", &unused), words("ignored", "unused"));
    assert_eq!(shop.audit().matches("provider_event_recorded").count(), 3, "a type that means nothing has no row");
    shop.server.stop();
}

#[test]
fn stripes_refunds_and_disputes_find_their_order_by_its_payment() {
    let shop = Shop::open();
    let (id, _) = shop.order(1, "ann");
    let send = |event_id: &str, kind: &str, object: Value| {
        let body = json!({ "id": event_id, "type": kind, "created": now(), "data": { "object": object } }).to_string();
        result(&shop.send("stripe", &stripe(STRIPE_SECRET, now(), &body)))
    };
    let refund = |id: &str, amount: u64| json!({ "id": id, "status": "succeeded", "payment_intent": "pi_1", "amount": amount, "currency": "eur" });
    let mut other = refund("re_0", 10);
    other["payment_intent"] = "pi_0".into();
    assert_eq!(send("evt_0", "refund.created", other), words("ignored", "unknown-payment"));
    let mut session = json!({ "payment_status": "unpaid", "payment_intent": "pi_1", "amount_total": 100,
                              "currency": "eur", "metadata": { "order_id": id } });
    assert_eq!(send("evt_1", "checkout.session.completed", session.clone()), words("ignored", "unused"));
    session["payment_status"] = "paid".into();
    assert_eq!(send("evt_2", "checkout.session.async_payment_succeeded", session), words("applied", ""));
    assert_eq!(shop.state(&id)["state"], "paid");
    assert_eq!(send("evt_3", "refund.created", refund("re_1", 40)), words("applied", ""));
    assert_eq!(send("evt_4", "refund.updated", refund("re_1", 40)), words("duplicate", ""), "one refund, two events");
    assert_eq!(shop.state(&id)["refunded_amount"], 40);
    let dispute = json!({ "id": "dp_1", "payment_intent": "pi_1", "amount": 60, "currency": "eur" });
    assert_eq!(send("evt_5", "charge.dispute.created", dispute), words("applied", ""));
    assert!(shop.audit().contains("chargeback_created"));
    shop.server.stop();
}

#[test]
fn payos_names_an_order_by_its_number_and_older_transfers_do_not_pay_it() {
    let shop = Shop::open();
    let (id, seq) = shop.order(2, "ann");
    let today = firstcome::types::text::rfc3339(firstcome::writer::clock::wall_clock());
    // PayOS uses the time of Vietnam, seven hours ahead of UTC.
    let today = today[..19].replace('T', " ");
    let send = |reference: &str, at: &str| result(&shop.send("payos", &payos(&transfer(seq, reference, 3000, at))));
    assert_eq!(send("TF230204212323", "2023-02-04 18:25:00"), words("ignored", "unknown-order"), "PayOS' own sample");
    assert_eq!(shop.state(&id)["state"], "awaiting_payment");
    assert_eq!(send("FT1", &today), words("applied", ""));
    assert_eq!(shop.state(&id)["state"], "paid");
    assert_eq!(send("FT1", &today), words("duplicate", ""));
    assert_eq!(send("FT2", &today), words("applied", ""), "a second transfer");
    assert_eq!(shop.state(&id)["refund_due_amount"], 3000);
    let unknown = payos(&transfer(999_999, "FT3", 3000, &today));
    assert_eq!(result(&shop.send("payos", &unknown)), words("ignored", "unknown-order"));
    let ahead = shop.send("payos", &payos(&transfer(seq, "FT4", 3000, "2199-01-01 00:00:00")));
    assert_eq!((ahead.status, &ahead.body["errors"][0]["pointer"]), (400, &json!("/data/transactionDateTime")));
    let detail = ahead.body["detail"].as_str().expect("a text");
    assert!(detail.contains("is more than 300 s ahead") && !detail.contains("signed"), "{detail}");
    shop.server.stop();
}

#[test]
fn a_long_webhook_is_accepted_in_chunks_and_one_over_the_limit_is_refused() {
    let shop = Shop::open();
    let (id, _) = shop.order(1, "ann");
    let mut paid = event("payment.succeeded", &id, "pay_1", 100, "EUR");
    paid["note"] = "n".repeat(60 * 1024).into();
    let webhook = standard(&STANDARD_KEY, "msg_1", now(), &paid.to_string());
    let in_pieces = |webhook: &Webhook| {
        let mut stream = std::net::TcpStream::connect(shop.server.0.server.public_address).expect("connected");
        let head = webhook.head();
        let line = "POST /v1/payments/standard-webhooks HTTP/1.1\r\nHost: x\r\nConnection: close";
        let (one, two) = webhook.body.split_at(1000);
        let body = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
        write!(stream, "{line}\r\n{head}Transfer-Encoding: chunked\r\n\r\n{body}").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        crate::http::answer(&text)
    };
    assert_eq!(result(&in_pieces(&webhook)), words("applied", ""));
    paid["note"] = "n".repeat(65 * 1024).into();
    let long = standard(&STANDARD_KEY, "msg_2", now(), &paid.to_string());
    assert_eq!(in_pieces(&long).body["code"], "body-too-large");
    assert_eq!(result(&shop.send("standard-webhooks", &webhook)), words("duplicate", ""), "and with a Content-Length");
    shop.server.stop();
}

#[test]
fn without_secrets_there_are_no_providers_and_the_sandbox_needs_its_setting() {
    let scratch = tempfile::tempdir().expect("scratch");
    let webhook = standard(&SANDBOX_KEY, "msg_1", now(), "{}");
    let providers = ["standard-webhooks", "stripe", "payos", "sandbox"];
    let post = |server: &Server, provider: &str| {
        let path = format!("/v1/payments/{provider}");
        call(server.0.server.public_address, "POST", &path, &webhook.head(), &webhook.body).status
    };
    let server = serve(scratch.path());
    assert_eq!(providers.map(|provider| post(&server, provider)), [404; 4]);
    server.stop();
    let quiet = PaymentSettings { sandbox: false, ..settings(scratch.path()) };
    let server = serve_with(scratch.path(), |config| config.payments = quiet);
    assert_eq!(providers.map(|provider| post(&server, provider)), [401, 401, 401, 404]);
    server.stop();
}
