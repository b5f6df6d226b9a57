//! What browsers and proxies are told in headers.

use crate::http::{Answer, call, listen, serve, serve_with};
use serde_json::json;

#[test]
fn streams_tell_proxies_to_pass_every_event_on_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(9).status, 201);
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100,
                          "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    assert_eq!(server.admin("POST", "/v1/auctions", &auction).status, 201);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    for (address, path, word) in [
        (public, "/v1/drops/1/stream", "event: snapshot"),
        (public, "/v1/auctions/1/stream", "event: snapshot"),
        (admin, "/v1/audit?follow=true", "drop_created"),
    ] {
        let heard = listen(address, path, || {}, &[word]);
        assert!(heard.to_lowercase().contains("\r\nx-accel-buffering: no\r\n"), "{path}: {heard}");
    }
    assert!(!call(admin, "GET", "/v1/audit", "", "").headers.contains_key("x-accel-buffering"), "it ends");
    server.stop();
}

#[test]
fn pages_may_send_the_headers_of_tracing_and_read_those_of_limits() {
    const PREFLIGHT: &str = "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n";
    let asked = |further: Option<&str>| {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve_with(scratch.path(), |config| {
            config.cors_origins = vec!["https://shop.example".into()];
            if let Some(name) = further {
                config.cors_headers = vec![name.into()];
            }
        });
        let answer = call(server.0.server.public_address, "OPTIONS", "/v1/drops/1/orders", PREFLIGHT, "");
        assert_eq!(answer.status, 204);
        assert_eq!(answer.headers["access-control-max-age"], "7200", "a purchase costs one request");
        let names = |name: &str| answer.headers[name].to_lowercase().split(", ").map(String::from).collect::<Vec<_>>();
        let names = (names("access-control-allow-headers"), names("access-control-expose-headers"));
        server.stop();
        names
    };
    let (allowed, exposed) = asked(None);
    for name in ["idempotency-key", "traceparent", "baggage", "sentry-trace", "last-event-id"] {
        assert!(allowed.iter().any(|allowed| allowed == name), "{name}: {allowed:?}");
    }
    for name in ["etag", "ratelimit", "ratelimit-policy", "retry-after", "location", "firstcome-time-ms"] {
        assert!(exposed.iter().any(|exposed| exposed == name), "{name}: {exposed:?}");
    }
    let (allowed, _) = asked(Some("X-Own"));
    assert!(allowed.contains(&"x-own".into()) && !allowed.contains(&"baggage".into()), "{allowed:?}");
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn whatever_is_created_says_where_it_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    let location = |answer: &Answer| {
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.headers["location"].clone()
    };
    let drop = server.create(9);
    assert_eq!(location(&drop), "/v1/drops/1");
    assert_eq!(server.public("GET", "/v1/drops/1").body["id"], drop.body["id"]);
    for _ in ["first", "repeated"] {
        let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
        let path = location(&order);
        assert_eq!(server.public("GET", &path).body["id"], order.body["id"], "{path}");
    }
    let auction = |key: &str| {
        let body = json!({ "sku": key, "name": "N", "currency": "EUR", "start_price": 100, "buy_now": 900,
                           "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
        call(admin, "POST", "/v1/auctions", &format!("{JSON}Idempotency-Key: {key}\r\n"), &body.to_string())
    };
    let made = auction("a");
    assert_eq!(server.public("GET", &location(&made)).body["id"], made.body["id"]);
    assert_eq!(location(&auction("a")), location(&made), "repeated");
    for _ in ["first", "repeated"] {
        for (key, amount) in [("low", 100), ("high", 200)] {
            let bid = json!({ "buyer": key, "amount": amount }).to_string();
            let bid = call(public, "POST", "/v1/auctions/1/bids", &format!("{JSON}Idempotency-Key: {key}\r\n"), &bid);
            let page = server.public("GET", &location(&bid));
            assert_eq!(
                (page.body["data"].as_array().map(Vec::len), &page.body["data"][0]["seq"]),
                (Some(1), &bid.body["seq"])
            );
        }
    }
    location(&auction("b"));
    for _ in ["first", "repeated"] {
        let headers = format!("{JSON}Idempotency-Key: now\r\n");
        let order = call(public, "POST", "/v1/auctions/2/buy-now", &headers, r#"{"buyer":"ann"}"#);
        assert_eq!(server.public("GET", &location(&order)).body["id"], order.body["id"]);
    }
    server.stop();
}

#[test]
fn a_body_with_a_content_coding_is_an_unsupported_type_wherever_a_body_is_read() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.payments.sandbox = true);
    assert_eq!(server.create(9).status, 201);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#).body["id"].as_str().expect("an id").to_string();
    for coding in ["gzip", "br", "identity, gzip"] {
        for (address, method, path) in [
            (public, "POST", "/v1/drops/1/orders".to_string()),
            (public, "POST", format!("/v1/orders/{order}/checkout")),
            (public, "POST", "/v1/auctions/1/bids".into()),
            (public, "POST", "/v1/auctions/1/buy-now".into()),
            (public, "POST", "/v1/payments/sandbox".into()),
            (admin, "POST", "/v1/drops".into()),
            (admin, "PATCH", "/v1/drops/1".into()),
            (admin, "POST", "/v1/drops/1/stock".into()),
            (admin, "POST", "/v1/auctions".into()),
            (admin, "POST", "/v1/orders/search".into()),
            (admin, "POST", "/v1/webhook-endpoints".into()),
        ] {
            let headers = format!("{JSON}Idempotency-Key: z\r\nContent-Encoding: {coding}\r\n");
            let answer = call(address, method, &path, &headers, "not json, since it is packed");
            assert_eq!(
                (answer.status, &answer.body["code"]),
                (415, &json!("unsupported-media-type")),
                "{path} {coding}"
            );
        }
    }
    let plain = format!("{JSON}Idempotency-Key: plain\r\nContent-Encoding: identity\r\n");
    assert_eq!(call(public, "POST", "/v1/drops/1/orders", &plain, r#"{"buyer":"bob","quantity":1}"#).status, 201);
    let unsigned = call(public, "POST", "/v1/payments/sandbox", JSON, "{}");
    assert_eq!(
        (unsigned.status, unsigned.body["detail"].as_str().is_some_and(|text| text.contains("Sign the webhook"))),
        (401, true)
    );
    server.stop();
}

#[test]
fn a_wrong_query_names_its_parameter_on_every_route() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(9).status, 201);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    for (address, path, pointer) in [
        (public, "/v1/drops?limit=x", "/limit"),
        (public, "/v1/drops?limit=0", "/limit"),
        (public, "/v1/drops?limit=5&after=-1", "/after"),
        (public, "/v1/drops?limit=5&limit=6", "/limit"),
        (public, "/v1/drops?page=2", "/page"),
        (public, "/v1/auctions?after=a", "/after"),
        (public, "/v1/auctions/1/bids?limit=1.5", "/limit"),
        (admin, "/v1/orders?refund_due=maybe", "/refund_due"),
        (admin, "/v1/orders?drop_id=x", "/drop_id"),
        (admin, "/v1/orders?a%2fb=1", "/a~1b"),
        (admin, "/v1/audit?follow=1", "/follow"),
        (admin, "/v1/drops/1/remedy?last=", "/last"),
    ] {
        let answer = call(address, "GET", path, "", "");
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{path}: {}",
            answer.text
        );
    }
    let late = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1,
                       "starts_at": "2020-01-01T00:00:00Z", "ends_at": "9999-12-31T23:59:59Z" });
    let late = server.admin("POST", "/v1/drops", &late);
    let detail = late.body["errors"][0]["detail"].as_str().expect("a detail");
    assert!(detail.contains("to 9999-12-30T22:00:00Z"), "{detail}");
    server.stop();
}
