//! Orders that no buyer could pay: refused where an operator sets a price or a currency, and told on the order's page
//! and by `firstcome preflight` where they exist already. An order that costs nothing is paid at its checkout.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod http;
mod provider_webhooks;

use std::path::Path;
use std::process::Command;

use firstcome::types::Provider;
use http::{Answer, Server, call, serve_with};
use provider_webhooks::{secret_file, settings};
use serde_json::{Value, json};

/// A server whose provider is configured and unreachable.
fn shop(directory: &Path, provider: Option<Provider>) -> Server {
    serve_with(directory, |config| {
        config.payments = settings(directory);
        config.payments.provider = provider;
        config.payments.stripe_api_key_file = Some(secret_file(directory, "stripe-key", "sk_test_stub"));
        config.payments.stripe_url = "http://127.0.0.1:1".into();
        config.payments.payos_api_key_file = Some(secret_file(directory, "payos-key", "payos-api-key"));
        config.payments.payos_client_id = "client-7".into();
        config.payments.payos_url = "http://127.0.0.1:1".into();
    })
}

fn post(server: &Server, path: &str, key: &str, body: &Value) -> Answer {
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    call(server.0.server.admin_address, "POST", path, &headers, &body.to_string())
}

fn drop(currency: &str, unit_price: u64) -> Value {
    json!({ "sku": "S", "name": "N", "currency": currency, "unit_price": unit_price, "total": 5, "per_buyer_limit": 5,
            "starts_at": "2020-01-01T00:00:00Z" })
}

fn auction(currency: &str, more: &Value) -> Value {
    let mut body = json!({ "sku": "S", "name": "N", "currency": currency, "starts_at": "2020-01-01T00:00:00Z",
                           "ends_at": "2099-01-01T00:00:00Z" });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

/// The pointers of a refusal, which says that no buyer could pay.
fn pointers(answer: &Answer) -> Vec<&str> {
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("validation")), "{}", answer.text);
    assert!(answer.text.contains("no buyer could pay: "), "{}", answer.text);
    let errors = answer.body["errors"].as_array().expect("errors");
    errors.iter().map(|error| error["pointer"].as_str().expect("a pointer")).collect()
}

#[test]
fn every_route_that_sets_a_price_or_a_currency_refuses_what_the_provider_does_not_take() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), Some(Provider::Stripe));
    for (body, pointer) in [
        (drop("EUR", 30), "/unit_price"),
        (drop("EUR", 100_000_000), "/unit_price"),
        (drop("KWD", 5124), "/unit_price"),
    ] {
        assert_eq!(pointers(&post(&server, "/v1/drops", "d", &body)), [pointer], "{body}");
    }
    assert_eq!(post(&server, "/v1/drops", "d", &drop("EUR", 50)).status, 201);
    let patch = |price: u64| json!({ "expected_revision": 1, "reason": "r", "unit_price": price });
    let refused = server.admin("PATCH", "/v1/drops/1", &patch(49));
    assert_eq!(pointers(&refused), ["/unit_price"]);
    assert_eq!(server.admin("PATCH", "/v1/drops/9", &patch(49)).status, 404);
    assert_eq!(server.admin("PATCH", "/v1/drops/1", &patch(51)).status, 200);
    for (body, wrong) in [
        (auction("EUR", &json!({ "start_price": 0 })), vec!["/start_price"]),
        (auction("EUR", &json!({ "start_price": 10, "reserve_price": 40 })), vec!["/reserve_price"]),
        (auction("EUR", &json!({ "start_price": 60, "buy_now": 100_000_000 })), vec!["/buy_now"]),
        (auction("KWD", &json!({ "start_price": 5000 })), vec!["/currency"]),
        (auction("EUR", &json!({ "start_price": 1, "buy_now": 2 })), vec!["/start_price", "/buy_now"]),
    ] {
        assert_eq!(pointers(&post(&server, "/v1/auctions", "a", &body)), wrong, "{body}");
    }
    let reserved = auction("EUR", &json!({ "start_price": 0, "reserve_price": 50, "buy_now": 900 }));
    assert_eq!(post(&server, "/v1/auctions", "a", &reserved).status, 201);
    server.stop();

    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), Some(Provider::Payos));
    assert_eq!(pointers(&post(&server, "/v1/drops", "d", &drop("EUR", 5000))), ["/currency"]);
    let euro = auction("EUR", &json!({ "start_price": 5000, "buy_now": 9000 }));
    assert_eq!(pointers(&post(&server, "/v1/auctions", "a", &euro)), ["/currency"]);
    assert_eq!(post(&server, "/v1/drops", "d", &drop("VND", 5000)).status, 201);
    assert_eq!(post(&server, "/v1/auctions", "a", &auction("VND", &json!({ "start_price": 0 }))).status, 201);
    server.stop();

    // The shop takes payments itself, or a provider with rules of its own does.
    for provider in [None, Some(Provider::Sandbox)] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = shop(scratch.path(), provider);
        assert_eq!(post(&server, "/v1/drops", "d", &drop("KWD", 1)).status, 201);
        assert_eq!(post(&server, "/v1/auctions", "a", &auction("KWD", &json!({ "start_price": 0 }))).status, 201);
        server.stop();
    }
}

#[test]
fn a_free_order_is_paid_at_its_checkout_and_no_provider_is_asked() {
    for provider in [None, Some(Provider::Stripe), Some(Provider::Payos)] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = shop(scratch.path(), provider);
        assert_eq!(post(&server, "/v1/drops", "d", &drop("EUR", 0)).status, 201, "{provider:?}");
        let at_once = r#"{"buyer":"ann","quantity":2,"contact":{"email":"a@example.org"}}"#;
        for repeated in [false, true] {
            let order = server.order("at-once", at_once);
            assert_eq!((order.status, &order.body["state"]), (201, &json!("paid")), "{}", order.text);
            assert_eq!(order.body["paid_at"], order.body["reserved_at"]);
            assert!(order.body.get("payment_url").is_none(), "{}", order.text);
            assert_eq!(order.headers.contains_key("idempotent-replayed"), repeated);
            let read = server.public("GET", &format!("/v1/orders/{}", order.body["id"].as_str().expect("an id")));
            assert_eq!(read.body, order.body, "the answer is the order as it is");
        }
        let later = server.order("later", r#"{"buyer":"bob","quantity":1}"#);
        assert_eq!(later.body["state"], "reserved");
        let path = format!("/v1/orders/{}", later.body["id"].as_str().expect("an id"));
        let contact = r#"{"contact":{"email":"b@example.org"}}"#;
        let json = "Content-Type: application/json\r\n";
        let paid = call(server.0.server.public_address, "POST", &format!("{path}/checkout"), json, contact);
        assert_eq!((paid.status, &paid.body["state"]), (200, &json!("paid")), "{}", paid.text);
        assert_eq!(server.public("GET", "/v1/drops/1").body["sold"], 3);
        let page = server.public("GET", &path.replace("/v1/orders", "/pay"));
        assert!(page.text.contains("Your order is paid"), "{}", page.text);
        let refund = json!({ "reason": "given back", "restock_quantity": 1 });
        let refunded = server.admin("POST", &format!("{path}/refund"), &refund);
        assert_eq!((refunded.status, &refunded.body["state"]), (200, &json!("refunded")), "{}", refunded.text);
        server.stop();
        let mut verify = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        let verified = verify.arg("verify").arg("--data").arg(scratch.path().join("data")).output().expect("run");
        assert!(verified.status.success(), "{verified:?}");
    }
}

#[test]
fn an_order_from_before_is_told_on_its_page_and_by_preflight() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), None);
    assert_eq!(post(&server, "/v1/drops", "d", &drop("EUR", 30)).status, 201);
    let order = |key: &str, quantity: u32| {
        let contact = r#""contact":{"email":"a@example.org"}"#;
        server.order(key, &format!(r#"{{"buyer":"{key}","quantity":{quantity},{contact}}}"#)).body["id"].to_string()
    };
    let (one, two) = (order("one", 1), order("two", 2));
    server.stop();
    let server = shop(scratch.path(), Some(Provider::Stripe));
    let page = |id: &str| server.public("GET", &format!("/pay/{}", id.trim_matches('"')));
    let (cheap, taken) = (page(&one), page(&two));
    assert!(cheap.text.contains("cannot be paid online") && !cheap.text.contains("being prepared"), "{}", cheap.text);
    assert!(taken.text.contains("being prepared"), "two cost 0.60 EUR: {}", taken.text);
    // Other changes of such a drop stay possible.
    let renamed = server.admin("PATCH", "/v1/drops/1", &json!({ "expected_revision": 1, "reason": "r", "name": "M" }));
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    let mut preflight = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    preflight.args(["preflight", "1", "--json", "--public", &server.0.server.public_address.to_string()]);
    preflight.args(["--admin", &server.0.server.admin_address.to_string()]);
    preflight.arg("--data").arg(scratch.path().join("data")).env("PATH", "");
    for (name, value) in [
        ("PROVIDER", "stripe".into()),
        ("STRIPE_SECRET_FILES", scratch.path().join("stripe").display().to_string()),
        ("STRIPE_API_KEY_FILE", scratch.path().join("stripe-key").display().to_string()),
    ] {
        preflight.env(format!("FIRSTCOME__PAYMENTS__{name}"), value);
    }
    let output = preflight.output().expect("run");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let checks = told["checks"].as_array().expect("a list");
    let price = checks.iter().find(|check| check["check"] == "price").expect("a check of the price");
    assert_eq!(price["verdict"], "fail", "{price}");
    assert!(price["found"].as_str().is_some_and(|found| found.contains("below 0.50 EUR")), "{price}");
    server.stop();
}
