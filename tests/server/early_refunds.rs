//! Refunds and chargebacks on a real server that come before their payment, fail afterwards, or name amounts that no
//! order can hold: nothing that was acknowledged with 200 is lost, in whatever order, across a restart.

use std::path::Path;

use crate::http::{Server, call, serve_with};
use crate::provider_webhooks::{SANDBOX_KEY, STANDARD_KEY, STRIPE_SECRET, event, now, settings, standard, stripe};
use firstcome::store::verify;
use serde_json::{Value, json};

fn open(directory: &Path) -> Server {
    serve_with(directory, |config| config.payments = settings(directory))
}

fn order(server: &Server, buyer: &str) -> String {
    let json = "Content-Type: application/json\r\nIdempotency-Key: ";
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 9,
                       "starts_at": "2020-01-01T00:00:00Z" });
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &format!("{json}drop\r\n"), &drop.to_string());
    assert!(matches!(made.status, 200 | 201), "{}", made.text);
    let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": "a@example.org" } }).to_string();
    let made = call(server.0.server.public_address, "POST", "/v1/drops/1/orders", &format!("{json}k\r\n"), &body);
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["id"].as_str().expect("an id").into()
}

/// Sends an event as its provider does, and returns the result and its reason.
fn send(server: &Server, provider: &str, id: &str, kind: &str, order: &str, amount: u64, refund: &str) -> String {
    let webhook = if provider == "stripe" {
        let pi = format!("pi_{order}");
        let (word, object) = match kind {
            "payment.succeeded" => (
                "checkout.session.completed",
                json!({ "payment_status": "paid", "payment_intent": pi, "amount_total": amount, "currency": "eur",
                        "metadata": { "order_id": order } }),
            ),
            "refund.succeeded" => (
                "refund.created",
                json!({ "id": id, "status": "succeeded", "payment_intent": pi, "amount": amount, "currency": "eur" }),
            ),
            "refund.failed" => (
                "refund.updated",
                json!({ "id": refund, "status": "failed", "payment_intent": pi, "amount": amount, "currency": "eur" }),
            ),
            _ => (
                "charge.dispute.created",
                json!({ "id": "dp", "payment_intent": pi, "amount": amount, "currency": "eur" }),
            ),
        };
        let body = json!({ "id": id, "type": word, "created": now(), "data": { "object": object } });
        stripe(STRIPE_SECRET, now(), &body.to_string())
    } else {
        let key = if provider == "sandbox" { SANDBOX_KEY } else { STANDARD_KEY };
        let mut body = event(kind, order, &format!("pay_{order}"), amount, "EUR");
        if kind == "refund.failed" {
            body["data"]["refund_id"] = refund.into();
        }
        standard(&key, id, now(), &body.to_string())
    };
    let path = format!("/v1/payments/{provider}");
    let answer = call(server.0.server.public_address, "POST", &path, &webhook.head(), &webhook.body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let word = |name: &str| answer.body[name].as_str().unwrap_or("").to_string();
    format!("{} {}", word("result"), word("reason")).trim().into()
}

fn shown(server: &Server, id: &str) -> (String, u64, u64) {
    let order = server.public("GET", &format!("/v1/orders/{id}")).body;
    let amount = |name: &str| order[name].as_u64().unwrap_or(0);
    (order["state"].as_str().expect("a state").into(), amount("refunded_amount"), amount("refund_due_amount"))
}

fn is_consistent(directory: &Path) {
    let report = verify::verify(&directory.join("data")).expect("read");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_refund_and_a_chargeback_before_their_payment_survive_a_restart_and_are_applied_with_it() {
    for provider in ["standard-webhooks", "stripe", "sandbox"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = open(scratch.path());
        let id = order(&server, "ann");
        let told =
            |server: &Server, event: &str, kind: &str, amount| send(server, provider, event, kind, &id, amount, "");
        assert_eq!(told(&server, "r1", "refund.succeeded", 30), "ignored unknown-payment", "{provider}");
        assert_eq!(told(&server, "r1", "refund.succeeded", 30), "duplicate", "{provider}");
        assert_eq!(told(&server, "c1", "chargeback.created", 70), "ignored unknown-payment", "{provider}");
        server.stop();
        is_consistent(scratch.path());
        let server = open(scratch.path());
        assert_eq!(told(&server, "r1", "refund.succeeded", 30), "duplicate", "{provider}");
        assert_eq!(told(&server, "r2", "refund.succeeded", 70), "ignored unknown-payment", "{provider}");
        assert_eq!(told(&server, "p1", "payment.succeeded", 100), "applied", "{provider}");
        assert_eq!(shown(&server, &id), ("refunded".into(), 100, 0), "{provider}");
        let audit = server.admin("GET", "/v1/audit", &Value::Null).text;
        assert_eq!(audit.matches("\"chargeback_created\"").count(), 1, "{provider}: {audit}");
        let payments = server.admin("GET", &format!("/v1/orders/{id}/payments"), &Value::Null).body;
        assert_eq!(payments["data"].as_array().map(Vec::len), Some(1), "{provider}: {payments}");
        server.stop();
        is_consistent(scratch.path());
    }
}

#[test]
fn a_refund_that_failed_is_owed_again_once_whichever_is_told_first() {
    for provider in ["standard-webhooks", "stripe", "sandbox"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = open(scratch.path());
        let ann = order(&server, "ann");
        let told = |server: &Server, id: &str, event: &str, kind: &str, refund: &str| {
            send(server, provider, event, kind, id, 100, refund)
        };
        assert_eq!(told(&server, &ann, "p1", "payment.succeeded", ""), "applied", "{provider}");
        assert_eq!(told(&server, &ann, "f0", "refund.failed", "never"), "ignored unknown-refund", "{provider}");
        assert_eq!(told(&server, &ann, "r1", "refund.succeeded", ""), "applied", "{provider}");
        assert_eq!(shown(&server, &ann), ("refunded".into(), 100, 0), "{provider}");
        assert_eq!(told(&server, &ann, "f1", "refund.failed", "r1"), "applied", "{provider}");
        assert_eq!(told(&server, &ann, "f2", "refund.failed", "r1"), "duplicate", "{provider}: another event");
        assert_eq!(shown(&server, &ann), ("refund_due".into(), 0, 100), "{provider}");
        // The failure, the success and the payment, each after a restart.
        let bob = order(&server, "bob");
        assert_eq!(told(&server, &bob, "f3", "refund.failed", "r3"), "ignored unknown-payment", "{provider}");
        server.stop();
        let server = open(scratch.path());
        assert_eq!(told(&server, &bob, "r3", "refund.succeeded", ""), "ignored unknown-payment", "{provider}");
        server.stop();
        let server = open(scratch.path());
        assert_eq!(told(&server, &bob, "p2", "payment.succeeded", ""), "applied", "{provider}");
        assert_eq!(shown(&server, &bob), ("refund_due".into(), 0, 100), "{provider}");
        server.stop();
        is_consistent(scratch.path());
    }
}

#[test]
fn a_refund_over_what_was_received_counts_when_another_one_fails_late_also_after_restarts() {
    for provider in ["standard-webhooks", "stripe", "sandbox"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = open(scratch.path());
        let id = order(&server, "ann");
        server.stop();
        let told = |event: &str, kind: &str, amount: u64, refund: &str| {
            let server = open(scratch.path());
            let answer = send(&server, provider, event, kind, &id, amount, refund);
            let after = shown(&server, &id);
            server.stop();
            is_consistent(scratch.path());
            (answer, after)
        };
        let is = |told: (String, (String, u64, u64)), answer: &str, state: &str, refunded: u64, due: u64| {
            assert_eq!(told, (answer.into(), (state.into(), refunded, due)), "{provider}");
        };
        is(told("p1", "payment.succeeded", 100, ""), "applied", "paid", 0, 0);
        is(told("r0", "refund.succeeded", 101, ""), "ignored exceeds-received", "paid", 0, 0);
        is(told("r1", "refund.succeeded", 100, ""), "applied", "refunded", 100, 0);
        is(told("r2", "refund.succeeded", 100, ""), "ignored exceeds-received", "refunded", 100, 0);
        is(told("r2", "refund.succeeded", 100, ""), "duplicate", "refunded", 100, 0);
        is(told("f1", "refund.failed", 100, "r1"), "applied", "refunded", 100, 0);
        is(told("r3", "refund.succeeded", 30, ""), "ignored exceeds-received", "refunded", 100, 0);
        is(told("f2", "refund.failed", 100, "r2"), "applied", "refund_due", 30, 70);
        is(told("r4", "refund.succeeded", 100, ""), "applied", "refunded", 100, 0);
        is(told("f4", "refund.failed", 100, "r4"), "applied", "refund_due", 30, 70);
        is(told("f3", "refund.failed", 30, "r3"), "applied", "refund_due", 0, 100);
    }
}

#[test]
fn a_refund_that_an_operator_settled_by_its_name_is_counted_once_and_can_fail() {
    for provider in ["standard-webhooks", "stripe", "sandbox"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = open(scratch.path());
        let id = order(&server, "ann");
        let told = |event: &str, kind: &str, amount: u64, refund: &str| {
            send(&server, provider, event, kind, &id, amount, refund)
        };
        assert_eq!(told("p1", "payment.succeeded", 100, ""), "applied", "{provider}");
        let post = |what: &str, body: &Value| {
            let headers = "Content-Type: application/json\r\nIdempotency-Key: refund\r\n";
            let path = format!("/v1/orders/{id}/{what}");
            let answer = call(server.0.server.admin_address, "POST", &path, headers, &body.to_string());
            assert_eq!(answer.status, 200, "{}", answer.text);
        };
        post("refund", &json!({ "amount": 40, "reason": "a part" }));
        assert_eq!(shown(&server, &id), ("paid".into(), 0, 40), "{provider}");
        post("refund-settled", &json!({ "reference": "re_1", "reason": "seen at the provider" }));
        assert_eq!(shown(&server, &id), ("paid".into(), 40, 0), "{provider}");
        assert_eq!(told("re_1", "refund.succeeded", 40, ""), "duplicate", "{provider}");
        assert_eq!(told("re_2", "refund.succeeded", 10, ""), "applied", "{provider}");
        assert_eq!(shown(&server, &id), ("paid".into(), 50, 0), "{provider}");
        assert_eq!(told("f1", "refund.failed", 40, "re_1"), "applied", "{provider}");
        assert_eq!(shown(&server, &id), ("paid".into(), 10, 40), "{provider}");
        // The provider reported this one: to settle it by hand changes nothing.
        post("refund-settled", &json!({ "reference": "re_2", "reason": "seen at the provider" }));
        assert_eq!(shown(&server, &id), ("paid".into(), 10, 40), "{provider}");
        server.stop();
        is_consistent(scratch.path());
    }
}

#[test]
fn of_a_refund_that_an_operator_settled_in_part_the_rest_counts_when_it_is_reported_and_its_failure_owes_what_counted()
{
    for provider in ["standard-webhooks", "stripe", "sandbox"] {
        for is_reported in [true, false] {
            let scratch = tempfile::tempdir().expect("scratch");
            let server = open(scratch.path());
            let id = order(&server, "ann");
            let told = |event: &str, kind: &str, amount: u64, refund: &str| {
                send(&server, provider, event, kind, &id, amount, refund)
            };
            let post = |what: &str, body: &Value| {
                let headers = "Content-Type: application/json\r\nIdempotency-Key: refund\r\n";
                let path = format!("/v1/orders/{id}/{what}");
                let answer = call(server.0.server.admin_address, "POST", &path, headers, &body.to_string());
                assert_eq!(answer.status, 200, "{}", answer.text);
            };
            assert_eq!(told("p1", "payment.succeeded", 100, ""), "applied", "{provider}");
            post("refund", &json!({ "reason": "all of it" }));
            post("refund-settled", &json!({ "reference": "re_1", "amount": 60, "reason": "typed too little" }));
            assert_eq!(shown(&server, &id), ("refund_due".into(), 60, 40), "{provider}");
            if is_reported {
                assert_eq!(told("re_1", "refund.succeeded", 100, ""), "applied", "{provider}");
                assert_eq!(shown(&server, &id), ("refunded".into(), 100, 0), "{provider}");
                assert_eq!(told("re_1", "refund.succeeded", 100, ""), "duplicate", "{provider}");
            }
            assert_eq!(told("f1", "refund.failed", 100, "re_1"), "applied", "{provider}");
            assert_eq!(shown(&server, &id), ("refund_due".into(), 0, 100), "{provider}: {is_reported}");
            server.stop();
            is_consistent(scratch.path());
        }
    }
}

#[test]
fn of_two_payments_one_stays_in_the_file_too_whichever_is_refunded() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = open(scratch.path());
    let id = order(&server, "ann");
    let told = |event: &str, kind: &str, reference: &str, amount: u64| {
        let body = event_of(kind, &id, reference, amount);
        let webhook = standard(&STANDARD_KEY, event, now(), &body);
        let path = "/v1/payments/standard-webhooks";
        call(server.0.server.public_address, "POST", path, &webhook.head(), &webhook.body).body["result"].clone()
    };
    assert_eq!(told("p1", "payment.succeeded", "P1", 100), "applied");
    assert_eq!(told("p2", "payment.succeeded", "P2", 100), "applied");
    assert_eq!(told("r1", "refund.succeeded", "P1", 100), "applied");
    assert_eq!(shown(&server, &id), ("paid".into(), 100, 0));
    server.stop();
    is_consistent(scratch.path());
    let server = open(scratch.path());
    assert_eq!(shown(&server, &id), ("paid".into(), 100, 0));
    server.stop();
}

fn event_of(kind: &str, order: &str, reference: &str, amount: u64) -> String {
    event(kind, order, reference, amount, "EUR").to_string()
}

#[test]
fn payments_of_two_to_the_53_are_bounded_and_break_no_list() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = open(scratch.path());
    let id = order(&server, "ann");
    let told = |event: &str, reference: &str, amount: u64| {
        let webhook = standard(&STANDARD_KEY, event, now(), &event_of("payment.succeeded", &id, reference, amount));
        let path = "/v1/payments/standard-webhooks";
        call(server.0.server.public_address, "POST", path, &webhook.head(), &webhook.body).body
    };
    assert_eq!(told("p1", "P1", (1 << 53) - 1)["result"], "applied");
    assert_eq!(told("p2", "P2", 1)["reason"], "total-too-large");
    let lists = ["/v1/orders", "/v1/orders?refund_due=true", "/v1/orders?drop_id=1"];
    let statuses = |server: &Server| lists.map(|path| server.admin("GET", path, &Value::Null).status);
    assert_eq!(statuses(&server), [200; 3]);
    assert_eq!(shown(&server, &id), ("awaiting_payment".into(), 0, (1 << 53) - 1));
    server.stop();
}
