//! Verification of providers' webhooks: accepted events of each kind, and the error for each kind of bad input.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod provider_webhooks;

use firstcome::config::{Config, PaymentSettings};
use firstcome::payments::{OrderRef, ProviderEvent, WebhookError, WebhookRequest, WebhookVerifiers};
use firstcome::types::shard::NumberedOrder;
use firstcome::types::{OrderId, OrderSecret, Provider, ProviderEventKind as Kind, Seq, Shard, UnixMillis};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use provider_webhooks::{
    PAYOS_KEY, SANDBOX_KEY, STANDARD_KEY, STANDARD_NEXT_KEY, STRIPE_NEXT_SECRET, STRIPE_SECRET, Webhook, event, payos,
    settings, standard, stripe, transfer,
};
use serde_json::{Value, json};

/// 2026-11-21 09:00:00 UTC.
const NOW: i64 = 1_795_251_600;

fn verifiers(payments: PaymentSettings) -> WebhookVerifiers {
    let mut config = Config::defaults();
    config.payments = payments;
    WebhookVerifiers::open(&config).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

struct Receiver {
    verifiers: WebhookVerifiers,
    _scratch: tempfile::TempDir,
}

fn receiver() -> Receiver {
    let scratch = tempfile::tempdir().expect("scratch");
    Receiver { verifiers: verifiers(settings(scratch.path())), _scratch: scratch }
}

impl Receiver {
    fn receive(&self, provider: Provider, webhook: &Webhook) -> Result<ProviderEvent, WebhookError> {
        self.receive_at(provider, webhook, NOW)
    }
    fn receive_at(&self, provider: Provider, webhook: &Webhook, seconds: i64) -> Result<ProviderEvent, WebhookError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &webhook.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let now = UnixMillis::new(seconds * 1000).expect("in range");
        self.verifiers.receive(provider, &WebhookRequest { body: webhook.body.as_bytes(), headers: &headers, now })
    }
}

fn order() -> OrderId {
    OrderId { seq: Seq::new(77).expect("in range"), secret: OrderSecret::from_random(Shard::SINGLE, [5; 10]) }
}

fn paid() -> String {
    event("payment.succeeded", &order().to_string(), "pay_1", 12_900, "EUR").to_string()
}

fn pointers(result: Result<ProviderEvent, WebhookError>) -> Vec<&'static str> {
    match result {
        Err(WebhookError::InvalidFields(invalid)) => invalid.iter().map(|field| field.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_standard_webhook_is_accepted_with_each_secret_and_of_each_kind() {
    let receiver = receiver();
    for (word, kind) in [
        ("payment.succeeded", Kind::PaymentSucceeded),
        ("payment.failed", Kind::PaymentFailed),
        ("refund.succeeded", Kind::RefundSucceeded),
        ("chargeback.created", Kind::ChargebackCreated),
    ] {
        let body = event(word, &order().to_string(), "pay_1", 12_900, "EUR").to_string();
        let received =
            receiver.receive(Provider::StandardWebhooks, &standard(&STANDARD_KEY, "msg_1", NOW, &body)).expect(word);
        assert_eq!(received.kind, kind);
        assert_eq!(received.order, OrderRef::Id(order()));
        assert_eq!((&*received.event_id, &*received.reference), ("msg_1", "pay_1"));
        assert_eq!((received.amount.get(), received.currency.as_str()), (12_900, "EUR"));
    }
    let next = standard(&STANDARD_NEXT_KEY, "msg_1", NOW, &paid());
    assert!(receiver.receive(Provider::StandardWebhooks, &next).is_ok(), "the second secret of a rotation");
    let both = standard(&STANDARD_KEY, "msg_1", NOW, &paid());
    let both = both.clone().set("webhook-signature", format!("v1a,x v1,AAAA {} v2,x", both.headers[3].1));
    assert!(receiver.receive(Provider::StandardWebhooks, &both).is_ok(), "one good signature among others");
    let sandbox = standard(&SANDBOX_KEY, "msg_1", NOW, &paid());
    assert!(receiver.receive(Provider::Sandbox, &sandbox).is_ok());
    assert_eq!(
        receiver.receive(Provider::StandardWebhooks, &sandbox),
        Err(WebhookError::Unauthorized),
        "a sandbox event is not accepted as money"
    );
    let signed = receiver.verifiers.sign_sandbox("msg_1", NOW.unsigned_abs(), paid().as_bytes());
    assert_eq!(signed.as_deref(), Some(sandbox.headers[3].1.as_str()), "as the sandbox page signs");
}

#[test]
fn a_forged_standard_webhook_is_unauthorized() {
    let receiver = receiver();
    let good = standard(&STANDARD_KEY, "msg_1", NOW, &paid());
    let signature = good.headers[3].1.clone();
    let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&paid()).expect("JSON")).expect("JSON");
    let twice = |name: &'static str| {
        let mut webhook = good.clone();
        let value = webhook.headers.iter().find(|(known, _)| *known == name).expect("a header").1.clone();
        webhook.headers.push((name, value));
        webhook
    };
    for (what, webhook) in [
        ("no signature", good.clone().without("webhook-signature")),
        ("no id", good.clone().without("webhook-id")),
        ("no timestamp", good.clone().without("webhook-timestamp")),
        ("an empty signature", good.clone().set("webhook-signature", "")),
        ("no scheme", good.clone().set("webhook-signature", &signature[3..])),
        ("another scheme", good.clone().set("webhook-signature", signature.replace("v1,", "v2,"))),
        ("too short", good.clone().set("webhook-signature", "v1,AAAA")),
        ("a half", good.clone().set("webhook-signature", &signature[..20])),
        ("no base64", good.clone().set("webhook-signature", "v1,!!!!")),
        ("two signatures", twice("webhook-signature")),
        ("two ids", twice("webhook-id")),
        ("another id", good.clone().set("webhook-id", "msg_2")),
        ("another instant", good.clone().set("webhook-timestamp", (NOW + 1).to_string())),
        ("an instant with a sign", good.clone().set("webhook-timestamp", format!("+{NOW}"))),
        ("an instant with a zero", good.clone().set("webhook-timestamp", format!("0{NOW}"))),
        ("written anew", good.clone().with_body(spaced)),
        ("a byte more", good.clone().with_body(format!("{} ", paid()))),
        ("no body", good.clone().with_body("")),
        ("another secret", standard(&[1; 32], "msg_1", NOW, &paid())),
        ("an id with a dot", standard(&STANDARD_KEY, "a.b", NOW, &paid())),
        ("too long an id", standard(&STANDARD_KEY, &"i".repeat(256), NOW, &paid())),
        ("too many signatures", good.clone().set("webhook-signature", format!("{}{signature}", "v1,AAAA ".repeat(8)))),
        ("stale and forged", standard(&[1; 32], "msg_1", NOW - 10_000, &paid())),
    ] {
        assert_eq!(receiver.receive(Provider::StandardWebhooks, &webhook), Err(WebhookError::Unauthorized), "{what}");
    }
}

#[test]
fn the_signature_is_checked_before_the_age_and_the_tolerance_is_300_s_both_ways() {
    let receiver = receiver();
    let age = |seconds: i64| {
        let standard = standard(&STANDARD_KEY, "msg_1", NOW - seconds, &paid());
        let one = receiver.receive(Provider::StandardWebhooks, &standard).map(drop);
        let two = receiver.receive(Provider::Stripe, &stripe(STRIPE_SECRET, NOW - seconds, &session("paid"))).map(drop);
        assert_eq!(one, two, "{seconds}");
        one
    };
    for seconds in [0, 300, -300] {
        assert_eq!(age(seconds), Ok(()), "{seconds}");
    }
    for seconds in [301, -301, 100_000] {
        assert_eq!(age(seconds), Err(WebhookError::Stale), "{seconds}");
    }
}

#[test]
fn every_invalid_field_of_a_signed_body_is_named_and_amounts_are_positive_integers() {
    let receiver = receiver();
    let receive =
        |body: &str| receiver.receive(Provider::StandardWebhooks, &standard(&STANDARD_KEY, "msg_1", NOW, body));
    for amount in ["0", "0.0", "-1", "1.5", "\"100\"", "null", "9007199254740992", "18446744073709551616"] {
        let body = paid().replace("12900", amount);
        assert_eq!(pointers(receive(&body)), ["/data/amount"], "{amount}");
    }
    for spelling in ["100", "100.0", "1e2"] {
        let read = receive(&paid().replace("12900", spelling)).expect("a whole number");
        assert_eq!(read.amount.get(), 100, "{spelling}");
    }
    let upper_case = paid().replace(&order().to_string(), &order().to_string().to_ascii_uppercase());
    assert_eq!(receive(&upper_case).expect("a UUID has both spellings").order, OrderRef::Id(order()));
    for (from, to, pointer) in [
        ("EUR", "eu", "/data/currency"),
        ("EUR", "QQQ", "/data/currency"),
        ("\"EUR\"", "978", "/data/currency"),
        ("pay_1", "", "/data/reference"),
        ("pay_1", "a\\u0000b", "/data/reference"),
        ("\"pay_1\"", "1", "/data/reference"),
        ("2026-11-21T09:00:00Z", "yesterday", "/timestamp"),
        ("\"payment.succeeded\"", "1", "/type"),
        ("data", "dada", "/data/order_id"),
    ] {
        assert_eq!(pointers(receive(&paid().replacen(from, to, 1)))[0], pointer, "{to}");
    }
    let id = format!("\"{}\"", order());
    assert_eq!(pointers(receive(&paid().replace(&id, "77"))), ["/data/order_id"]);
    assert_eq!(pointers(receive(&paid().replace("pay_1", &"r".repeat(256)))), ["/data/reference"]);
    assert!(matches!(receive("{"), Err(WebhookError::Malformed(_))));
    assert!(
        matches!(receive(&paid().replace("\"type\"", "\"data\":{},\"type\"")), Err(WebhookError::Malformed(_))),
        "twice"
    );
    assert_eq!(receive(&paid().replace("payment.succeeded", "invoice.sent")), Err(WebhookError::Unused));
    let elsewhere = paid().replace(&order().to_string(), "order 4711 of another shop");
    assert_eq!(receive(&elsewhere).expect("accepted").order, OrderRef::Unknown);
}

fn session(payment_status: &str) -> String {
    json!({ "id": "evt_1", "object": "event", "type": "checkout.session.completed", "created": NOW, "livemode": false,
            "data": { "object": {
                "id": "cs_1", "object": "checkout.session", "payment_status": payment_status,
                "payment_intent": "pi_1", "amount_total": 12_900, "currency": "eur",
                "client_reference_id": order().to_string(), "metadata": { "order_id": order().to_string() },
            } } })
    .to_string()
}

fn receive_stripe(receiver: &Receiver, body: &Value) -> Result<ProviderEvent, WebhookError> {
    receiver.receive(Provider::Stripe, &stripe(STRIPE_SECRET, NOW, &body.to_string()))
}

#[test]
fn stripe_events_are_mapped_as_documented() {
    let receiver = receiver();
    let event = |kind: &str, object: Value| json!({ "id": "evt_1", "type": kind, "created": NOW, "data": { "object": object } });
    let metadata = json!({ "order_id": order().to_string() });
    let session = json!({ "payment_status": "paid", "payment_intent": "pi_1", "amount_total": 100, "currency": "eur",
                          "client_reference_id": order().to_string() });
    let intent = json!({ "id": "pi_1", "amount": 100, "currency": "eur", "metadata": metadata });
    let refund = json!({ "id": "re_1", "status": "succeeded", "payment_intent": "pi_1", "amount": 40, "currency": "eur",
                         "metadata": {} });
    let dispute = json!({ "id": "dp_1", "payment_intent": "pi_1", "amount": 100, "currency": "eur" });
    let ours = OrderRef::Id(order());
    for (kind, object, means, event_id, order) in [
        ("checkout.session.completed", &session, Kind::PaymentSucceeded, "evt_1", &ours),
        ("checkout.session.async_payment_succeeded", &session, Kind::PaymentSucceeded, "evt_1", &ours),
        ("checkout.session.async_payment_failed", &session, Kind::PaymentFailed, "evt_1", &ours),
        ("payment_intent.payment_failed", &intent, Kind::PaymentFailed, "evt_1", &ours),
        ("refund.created", &refund, Kind::RefundSucceeded, "re_1", &OrderRef::Payment),
        ("refund.updated", &refund, Kind::RefundSucceeded, "re_1", &OrderRef::Payment),
        ("charge.refund.updated", &refund, Kind::RefundSucceeded, "re_1", &OrderRef::Payment),
        ("charge.dispute.created", &dispute, Kind::ChargebackCreated, "evt_1", &OrderRef::Payment),
    ] {
        let received = receive_stripe(&receiver, &event(kind, object.clone())).expect(kind);
        assert_eq!((received.kind, &*received.event_id, &*received.reference), (means, event_id, "pi_1"), "{kind}");
        assert_eq!(&received.order, order, "{kind}");
    }
    let with = |mut object: Value, name: &str, value: Value| {
        object[name] = value;
        object
    };
    for (kind, object) in [
        ("checkout.session.completed", with(session.clone(), "payment_status", "unpaid".into())),
        ("checkout.session.completed", with(session.clone(), "client_reference_id", Value::Null)),
        ("refund.created", with(refund.clone(), "status", "pending".into())),
        // Other business of the same account: a subscription, and charges without an intent.
        (
            "checkout.session.completed",
            with(with(session.clone(), "mode", "subscription".into()), "payment_intent", Value::Null),
        ),
        ("refund.created", with(refund.clone(), "payment_intent", Value::Null)),
        ("refund.failed", with(with(refund, "status", "failed".into()), "payment_intent", Value::Null)),
        ("charge.dispute.created", with(dispute, "payment_intent", Value::Null)),
        ("payment_intent.succeeded", intent),
        ("charge.refunded", json!({ "amount_refunded": 40, "metadata": metadata })),
    ] {
        assert_eq!(receive_stripe(&receiver, &event(kind, object)), Err(WebhookError::Unused), "{kind}");
    }
    let of_shop = with(session.clone(), "client_reference_id", "cart 7".into());
    let received = receive_stripe(&receiver, &event("checkout.session.completed", of_shop)).expect("accepted");
    assert_eq!(received.order, OrderRef::Unknown);
    for of_shop in ["12345", ""] {
        let both = with(session.clone(), "metadata", json!({ "order_id": of_shop }));
        let both = with(both, "client_reference_id", order().to_string().into());
        let received = receive_stripe(&receiver, &event("checkout.session.completed", both)).expect("accepted");
        assert_eq!(received.order, OrderRef::Id(order()), "the shop's own number is {of_shop:?}");
    }
    for (currency, theirs, ours) in
        [("isk", 500, Some(5)), ("isk", 501, None), ("vnd", 3000, Some(3000)), ("mga", 7, Some(700))]
    {
        let object = with(with(session.clone(), "currency", currency.into()), "amount_total", theirs.into());
        let received = receive_stripe(&receiver, &event("checkout.session.completed", object));
        assert_eq!(received.ok().map(|event| event.amount.get()), ours, "{currency} {theirs}");
    }
    for amount in [json!(0), json!(-1), json!(1.5), json!("100"), Value::Null] {
        let object = with(session.clone(), "amount_total", amount);
        assert_eq!(
            pointers(receive_stripe(&receiver, &event("checkout.session.completed", object))),
            ["/data/object/amount_total"]
        );
    }
}

#[test]
fn whole_numbers_are_read_however_a_provider_spells_them() {
    let receiver = receiver();
    for amount in ["1000", "1000.0", "1e3", "1.0E+3"] {
        let sandbox = standard(&SANDBOX_KEY, "msg_1", NOW, &paid().replace("12900", amount));
        let of_standard = standard(&STANDARD_KEY, "msg_1", NOW, &paid().replace("12900", amount));
        let of_stripe = json!({ "id": "evt_1", "type": "checkout.session.completed", "created": NOW,
            "data": { "object": { "payment_status": "paid", "payment_intent": "pi_1", "amount_total": 12_900,
                "currency": "eur", "metadata": { "order_id": order().to_string() } } } });
        let of_stripe = of_stripe.to_string().replace("12900", amount);
        let of_stripe = of_stripe.replace(&NOW.to_string(), &format!("{}.0", NOW));
        let number: Value = serde_json::from_str(amount).expect("JSON");
        let of_payos = json!({ "orderCode": 123, "amount": number, "reference": "FT1", "code": "00",
            "transactionDateTime": "2023-02-04 18:25:00", "currency": "VND" });
        for (provider, webhook) in [
            (Provider::Sandbox, sandbox),
            (Provider::StandardWebhooks, of_standard),
            (Provider::Stripe, stripe(STRIPE_SECRET, NOW, &of_stripe)),
            (Provider::Payos, payos(&of_payos)),
        ] {
            let received =
                receiver.receive(provider, &webhook).unwrap_or_else(|e| panic!("{provider:?} {amount}: {e:?}"));
            assert_eq!(received.amount.get(), 1000, "{provider:?} {amount}");
        }
    }
}

#[test]
fn a_forged_stripe_signature_is_unauthorized() {
    let receiver = receiver();
    let good = stripe(STRIPE_SECRET, NOW, &session("paid"));
    assert!(receiver.receive(Provider::Stripe, &good).is_ok());
    assert!(receiver.receive(Provider::Stripe, &stripe(STRIPE_NEXT_SECRET, NOW, &session("paid"))).is_ok());
    let header = good.headers[1].1.clone();
    let v1 = header.split(',').find(|part| part.starts_with("v1=")).expect("a signature").to_string();
    let rotated = format!("t={NOW},v1={},{v1}", "0".repeat(64));
    assert!(
        receiver.receive(Provider::Stripe, &good.clone().set("Stripe-Signature", rotated)).is_ok(),
        "one of two is good"
    );
    let mut two = good.clone();
    two.headers.push(("Stripe-Signature", header.clone()));
    for (what, webhook) in [
        ("no signature", good.clone().without("Stripe-Signature")),
        ("two headers", two),
        ("an empty one", good.clone().set("Stripe-Signature", "")),
        ("no instant", good.clone().set("Stripe-Signature", v1.clone())),
        ("two instants", good.clone().set("Stripe-Signature", format!("t={NOW},t={NOW},{v1}"))),
        ("another instant", good.clone().set("Stripe-Signature", format!("t={},{v1}", NOW + 1))),
        ("only the old scheme", good.clone().set("Stripe-Signature", header.replace("v1=", "v0="))),
        ("too short", good.clone().set("Stripe-Signature", &header[..40])),
        ("no hexadecimal", good.clone().set("Stripe-Signature", format!("t={NOW},v1={}", "z".repeat(64)))),
        ("nonsense", good.clone().set("Stripe-Signature", "nonsense")),
        ("a byte more", good.clone().with_body(format!("{} ", session("paid")))),
        ("another secret", stripe("whsec_wrong_wrong_wrong", NOW, &session("paid"))),
        ("another provider's", standard(&STANDARD_KEY, "msg_1", NOW, &session("paid"))),
    ] {
        assert_eq!(receiver.receive(Provider::Stripe, &webhook), Err(WebhookError::Unauthorized), "{what}");
    }
}

#[test]
fn payos_own_example_is_heard() {
    let receiver = receiver();
    let example = json!({
        "code": "00", "desc": "success", "success": true,
        "data": {
            "orderCode": 123, "amount": 3000, "description": "VQRIO123", "accountNumber": "12345678",
            "reference": "TF230204212323", "transactionDateTime": "2023-02-04 18:25:00", "currency": "VND",
            "paymentLinkId": "124c33293c43417ab7879e14c8d9eb18", "code": "00", "desc": "Thành công",
            "counterAccountBankId": "", "counterAccountBankName": "", "counterAccountName": "",
            "counterAccountNumber": "", "virtualAccountName": "", "virtualAccountNumber": "",
        },
        "signature": "412e915d2871504ed31be63c8f62a149a4410d34c4c42affc9006ef9917eaa03",
    });
    let webhook = Webhook { headers: Vec::new(), body: example.to_string() };
    let received = receiver.receive(Provider::Payos, &webhook).expect("accepted");
    assert_eq!(
        received.order,
        OrderRef::Number {
            order: NumberedOrder { shard: Shard::SINGLE, seq: Seq::new(123).expect("in range"), series: None },
            session: Some("124c33293c43417ab7879e14c8d9eb18".into()),
        }
    );
    assert_eq!((&*received.event_id, &*received.reference), ("123/00/TF230204212323", "TF230204212323"));
    assert_eq!(
        (received.amount.get(), received.currency.as_str(), received.kind),
        (3000, "VND", Kind::PaymentSucceeded)
    );
    assert_eq!(received.at.get(), 1_675_509_900_000, "Vietnam is seven hours ahead");
    let reordered = format!("{{\"signature\": {}, \"data\" : {}}}", example["signature"], example["data"]);
    assert_eq!(
        receiver.receive(Provider::Payos, &webhook.with_body(reordered)),
        Ok(received),
        "its members have no order"
    );
}

#[test]
fn payos_members_count_only_if_they_are_signed_and_have_one_reading() {
    let receiver = receiver();
    let at = "2026-11-21 16:00:00";
    let good = transfer(77, "FT1", 3000, at);
    assert!(receiver.receive(Provider::Payos, &payos(&good)).is_ok(), "a null is signed as nothing");
    let with = |name: &str, value: Value| {
        let mut data = good.clone();
        data[name] = value;
        data
    };
    let failed = receiver.receive(Provider::Payos, &payos(&with("code", "01".into()))).expect("accepted");
    assert_eq!(failed.kind, Kind::PaymentFailed);
    let outside = payos(&with("code", "01".into())).body.replacen("\"code\":\"00\"", "\"code\":\"99\"", 1);
    let outside = receiver.receive(Provider::Payos, &payos(&good).with_body(outside)).expect("accepted");
    assert_eq!(outside.kind, Kind::PaymentFailed, "what stands beside the data is not signed");
    let tampered = payos(&good).body.replace("3000", "3");
    let body: Value = serde_json::from_str(&payos(&good).body).expect("JSON");
    let signature = body["signature"].as_str().expect("a signature").to_string();
    // The signed text, split at another place: the description swallows the rest of the order's number.
    let mut cut = good.clone();
    cut["description"] = "x&orderCode=1&p=".into();
    let signed_by_payos = payos(&cut);
    let mut recut = good.clone();
    recut["description"] = "x".into();
    recut["orderCode"] = 1.into();
    recut["p"] = "&orderCode=77".into();
    let theirs: Value = serde_json::from_str(&signed_by_payos.body).expect("JSON");
    let recut = json!({ "data": recut, "signature": theirs["signature"] }).to_string();
    for (what, body) in [
        ("another amount", tampered),
        ("no signature", payos(&good).body.replace("\"signature\"", "\"signed\"")),
        ("too short", payos(&good).body.replace(&signature, &signature[..62])),
        ("upper case", payos(&good).body.replace(&signature, &signature.to_uppercase())),
        ("a list of signatures", payos(&good).body.replace(&format!("\"{signature}\""), &format!("[\"{signature}\"]"))),
        ("no data", format!("{{\"signature\":\"{signature}\"}}")),
        ("data twice", payos(&good).body.replacen("{", &format!("{{\"data\":{},", with("amount", 1.into())), 1)),
        ("two readings", signed_by_payos.body.clone()),
        ("the other of two readings", recut),
        ("not JSON", "{".into()),
        ("nothing", String::new()),
    ] {
        let webhook = Webhook { headers: Vec::new(), body };
        assert_eq!(receiver.receive(Provider::Payos, &webhook), Err(WebhookError::Unauthorized), "{what}");
    }
    for (data, pointer) in [
        (with("amount", 0.into()), "/data/amount"),
        (with("amount", (-1).into()), "/data/amount"),
        (with("amount", "3000".into()), "/data/amount"),
        (with("amount", json!(0.5)), "/data/amount"),
        (with("orderCode", "77".into()), "/data/orderCode"),
        (with("orderCode", json!(7.5)), "/data/orderCode"),
        (with("reference", "".into()), "/data/reference"),
        (with("currency", "DONG".into()), "/data/currency"),
        (with("transactionDateTime", "now".into()), "/data/transactionDateTime"),
    ] {
        assert_eq!(pointers(receiver.receive(Provider::Payos, &payos(&data))), [pointer], "{data}");
    }
    let later = |at: &str| receiver.receive(Provider::Payos, &payos(&transfer(77, "FT1", 3000, at))).map(drop);
    assert_eq!(later("2026-11-21 16:05:00"), Ok(()), "300 s ahead");
    assert_eq!(later("2026-11-21 16:05:01"), Err(WebhookError::Stale));
    assert_eq!(later("2020-01-01 00:00:00"), Ok(()), "its order knows how old it may be");
    assert_eq!(PAYOS_KEY.len(), 64);
}

#[test]
fn a_provider_without_secrets_does_not_exist_and_the_sandbox_only_where_it_is_asked_for() {
    let scratch = tempfile::tempdir().expect("scratch");
    let none = Receiver { verifiers: verifiers(Config::defaults().payments), _scratch: scratch };
    let webhook = standard(&SANDBOX_KEY, "msg_1", NOW, &paid());
    for provider in Provider::ALL {
        assert!(!none.verifiers.is_configured(provider), "{provider:?}");
        assert_eq!(none.receive(provider, &webhook), Err(WebhookError::NotConfigured), "{provider:?}");
    }
    assert_eq!(none.verifiers.sign_sandbox("msg_1", 1, b"{}"), None);
    let scratch = tempfile::tempdir().expect("scratch");
    let quiet = verifiers(PaymentSettings { sandbox: false, ..settings(scratch.path()) });
    assert!(!quiet.is_configured(Provider::Sandbox) && quiet.is_configured(Provider::Stripe));
    let own = verifiers(PaymentSettings { sandbox: true, ..Config::defaults().payments });
    let signature = own.sign_sandbox("msg_1", NOW.unsigned_abs(), paid().as_bytes()).expect("a sandbox");
    let own = Receiver { verifiers: own, _scratch: scratch };
    assert!(own.receive(Provider::Sandbox, &webhook.clone().set("webhook-signature", signature)).is_ok());
    assert_eq!(own.receive(Provider::Sandbox, &webhook), Err(WebhookError::Unauthorized), "nobody else can sign");
}

#[test]
fn all_mistakes_of_all_secrets_are_told_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let missing = |name: &str| vec![scratch.path().join(name)];
    let mut config = Config::defaults();
    config.payments.stripe_secret_files = missing("a");
    config.payments.payos_checksum_key_files = vec![provider_webhooks::secret_file(scratch.path(), "b", "short")];
    config.payments.standard_webhooks_secret_files =
        vec![provider_webhooks::secret_file(scratch.path(), "c", "whsec_c2hvcnQ=")];
    config.payments.sandbox_secret_files = missing("d");
    let told = WebhookVerifiers::open(&config).err().expect("four mistakes");
    assert_eq!(told.len(), 4, "{told:?}");
}
