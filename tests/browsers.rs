//! What browsers and proxies are told in headers.

#![expect(clippy::expect_used, reason = "a test")]

mod http;

use http::{call, listen, serve, serve_with};
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
