//! Orders that no buyer could pay: refused where an operator sets a price or a currency, and told on the order's page
//! and by `firstcome preflight` where they exist already. An order that costs nothing is paid at its checkout.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::http::{Answer, Server, call, serve_with};
use crate::provider_webhooks::{secret_file, settings};
use firstcome::types::Provider;
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

/// Sends a frame and returns the reason in its answer, a RESULT or a RESERVED.
fn frame(server: &Server, sent: &[u8]) -> u8 {
    let mut stream = TcpStream::connect(server.0.server.wire_address).expect("connected");
    stream.write_all(sent).expect("sent");
    let mut answer = [0; 36];
    stream.read_exact(&mut answer).expect("answered");
    answer[3]
}

fn bid_frame(amount: u64) -> Vec<u8> {
    [&[1, 16, 0, 0, 0, 1, 0, 0, 0, 7], amount.to_be_bytes().as_slice()].concat()
}

fn reserve_frame(drop_id: u8, quantity: u8) -> Vec<u8> {
    [&[9, 24, 0, 0, 0, drop_id, quantity], [quantity; 16].as_slice(), b"eve"].concat()
}

#[test]
fn bids_and_orders_above_the_largest_amount_of_the_provider_are_refused_on_both_protocols() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), Some(Provider::Stripe));
    assert_eq!(post(&server, "/v1/auctions", "a", &auction("EUR", &json!({ "start_price": 100 }))).status, 201);
    let buyer = |path: &str, body: &Value| {
        let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {}\r\n", body.to_string().len());
        call(server.0.server.public_address, "POST", path, &headers, &body.to_string())
    };
    let bid = |amount: u64, maximum: u64| {
        buyer("/v1/auctions/1/bids", &json!({ "buyer": "ann", "amount": amount, "maximum": maximum }))
    };
    for repeated in ["first", "by heart"] {
        assert_eq!(pointers(&bid(100_000_000, 100_000_000)), ["/amount"], "{repeated}");
        assert_eq!(pointers(&bid(200, 100_000_000)), ["/maximum"], "{repeated}");
        assert_eq!(frame(&server, &bid_frame(100_000_000)), 2, "{repeated}");
    }
    assert_eq!(server.public("GET", "/v1/auctions/1").body["bids"], 0, "nobody is kept from bidding");
    assert_eq!(frame(&server, &bid_frame(99_999_998)), 0);
    assert_eq!(bid(99_999_999, 99_999_999).status, 409, "the next step is beyond what anybody can pay");
    assert_eq!(post(&server, "/v1/auctions", "b", &auction("JPY", &json!({ "start_price": 100 }))).status, 201);
    let yen = json!({ "buyer": "ann", "amount": 100_000_000 });
    assert_eq!(buyer("/v1/auctions/2/bids", &yen).status, 201, "each currency has its own");

    assert_eq!(post(&server, "/v1/drops", "d", &drop("EUR", 40_000_000)).status, 201);
    let id = server.public("GET", "/v1/drops").body["data"][0]["id"].as_u64().expect("an id");
    let number = u8::try_from(id).expect("small");
    let order = |buyer_name: &str, quantity: u32| {
        buyer(&format!("/v1/drops/{id}/orders"), &json!({ "buyer": buyer_name, "quantity": quantity }))
    };
    assert_eq!(pointers(&order("ann", 3)), ["/quantity"], "1,200,000.00 EUR");
    assert_eq!(frame(&server, &reserve_frame(number, 3)), 2);
    assert_eq!((order("ann", 2).status, frame(&server, &reserve_frame(number, 2))), (201, 0));
    let patch = |revision: u64, price: u64| {
        let body = json!({ "expected_revision": revision, "reason": "r", "unit_price": price });
        server.admin("PATCH", &format!("/v1/drops/{id}"), &body).status
    };
    assert_eq!(patch(1, 60_000_000), 200);
    assert_eq!(pointers(&order("cleo", 2)), ["/quantity"], "the new price counts at once");
    assert_eq!(patch(2, 10_000), 200);
    assert_eq!(order("bob", 1).status, 201);
    server.stop();

    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), None);
    let large = auction("EUR", &json!({ "start_price": 100, "buy_now": 100_000_000 }));
    assert_eq!(post(&server, "/v1/auctions", "a", &large).status, 201);
    assert_eq!(post(&server, "/v1/drops", "d", &drop("EUR", 100_000_000)).status, 201);
    server.stop();
    // The provider is newer than the prices.
    let server = shop(scratch.path(), Some(Provider::Stripe));
    let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    let public = |path: &str, body: &str| call(server.0.server.public_address, "POST", path, headers, body);
    assert_eq!(pointers(&public("/v1/auctions/1/buy-now", r#"{"buyer":"ann"}"#)), [""]);
    let id = server.public("GET", "/v1/drops").body["data"][0]["id"].as_u64().expect("an id");
    assert_eq!(pointers(&public(&format!("/v1/drops/{id}/orders"), r#"{"buyer":"ann","quantity":1}"#)), ["/quantity"]);
    server.stop();
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
