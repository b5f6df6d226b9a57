//! Every route of the table against the real server: what it answers when all is well, and what operators can do.

use crate::http::{call, listen, serve, serve_with};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn operators_change_a_drop_step_by_step() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let created = server.create(5);
    assert_eq!((created.status, created.body["revision"].as_u64()), (201, Some(1)));
    assert!(created.headers.contains_key("firstcome-seq") && created.headers.contains_key("server-timing"));
    let reason = json!({ "reason": "because" });
    let paused = server.admin("POST", "/v1/drops/1/pause", &reason);
    assert_eq!((paused.status, paused.body["state"].as_str()), (200, Some("paused")));
    let refused = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("drop-paused")));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(server.admin("POST", "/v1/drops/1/pause", &reason).body["revision"], 2, "a repeat changes nothing");
    assert_eq!(server.admin("POST", "/v1/drops/1/resume", &reason).body["state"], "live");
    let patch = json!({ "expected_revision": 3, "reason": "typo", "name": "New name", "unit_price": 250 });
    let patched = server.admin("PATCH", "/v1/drops/1", &patch);
    assert_eq!((patched.body["name"].as_str(), patched.body["unit_price"].as_u64()), (Some("New name"), Some(250)));
    let stale = server.admin("PATCH", "/v1/drops/1", &patch);
    assert_eq!((stale.status, stale.body["revision"].as_u64()), (412, Some(4)));
    let stock = json!({ "delta": -2, "expected_total": 5, "reason": "broken" });
    assert_eq!(server.admin("POST", "/v1/drops/1/stock", &stock).body["total"], 3);
    let below = json!({ "delta": -4, "expected_total": 3, "reason": "more" });
    let below = server.admin("POST", "/v1/drops/1/stock", &below);
    assert_eq!((below.status, below.body["errors"][0]["pointer"].as_str()), (400, Some("/delta")));
    let closed = server.admin("POST", "/v1/drops/1/close", &reason);
    assert_eq!(closed.body["state"], "ended");
    assert_eq!(server.admin("POST", "/v1/drops/1/close", &reason).body["ends_at"], closed.body["ends_at"]);
    assert_eq!(server.order("k", r#"{"buyer":"ann","quantity":1}"#).status, 410);
    assert_eq!(server.admin("PATCH", "/v1/drops/9", &patch).status, 404);
    server.stop();
}

#[test]
fn drops_are_listed_in_pages() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(1);
    let admin = server.0.server.admin_address;
    for key in ["b", "c"] {
        let drop = json!({ "sku": key, "name": "N", "currency": "JPY", "unit_price": 0, "total": 0,
                           "starts_at": "2020-01-01T00:00:00+09:00", "ends_at": "2999-01-01T00:00:00Z" });
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        assert_eq!(call(admin, "POST", "/v1/drops", &headers, &drop.to_string()).status, 201);
    }
    let page = server.public("GET", "/v1/drops?limit=2");
    assert_eq!((page.body["data"].as_array().map(Vec::len), page.body["has_more"].as_bool()), (Some(2), Some(true)));
    let rest = server.public("GET", &format!("/v1/drops?after={}", page.body["next_after"]));
    assert_eq!((rest.body["data"][0]["sku"].as_str(), rest.body["has_more"].as_bool()), (Some("c"), Some(false)));
    assert_eq!(rest.body["data"][0]["state"], "sold_out");
    for bad in ["limit=0", "limit=101", "limit=x", "page=2"] {
        assert_eq!(server.public("GET", &format!("/v1/drops?{bad}")).body["code"], "validation", "{bad}");
    }
    server.stop();
}

#[test]
fn buyers_are_sent_to_the_public_url_wherever_the_listener_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.public_listen.set_ip([0, 0, 0, 0].into());
        config.public_url = "https://shop.example/drops".into();
    });
    server.create(1);
    let order = server.order("k", r#"{"buyer":"ann","quantity":1,"contact":{"email":"a@example.org"}}"#);
    let page = format!("https://shop.example/drops/pay/{}", order.body["id"].as_str().expect("an id"));
    assert_eq!(order.body["payment_url"].as_str(), Some(&*page), "{}", order.text);
    let document = server.public("GET", "/openapi.json").body;
    assert_eq!(document["servers"][0]["url"], "https://shop.example/drops");
    assert_eq!(document["paths"]["/v1/drops/{drop_id}/orders"]["post"]["servers"], document["servers"]);
    server.stop();
}

#[test]
fn times_are_read_as_rfc_3339_has_them_in_every_member_and_up_to_the_bounds() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let send = |method: &str, path: &str, key: &str, body: &Value| {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        call(server.0.server.admin_address, method, path, &headers, &body.to_string())
    };
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 1, "total": 1,
                       "starts_at": "1970-01-01T00:00:00Z", "ends_at": "9999-12-30T23:00:00+01:00" });
    let made = send("POST", "/v1/drops", "bounds", &drop);
    assert_eq!((made.status, made.body["ends_at"].as_str()), (201, Some("9999-12-30T22:00:00.000Z")), "{}", made.text);
    let auction = json!({ "sku": "S", "name": "N", "currency": "EUR", "start_price": 1, "ends_at": "2999-01-01T00:00:00Z",
                          "starts_at": "1970-01-01T00:00:00Z", "hard_end_at": "9999-12-30T22:00:00Z" });
    assert_eq!(send("POST", "/v1/auctions", "bounds", &auction).status, 201);
    let patch = json!({ "expected_revision": 1, "reason": "r" });
    let members = [
        ("POST", "/v1/drops", &drop, "starts_at"),
        ("POST", "/v1/drops", &drop, "ends_at"),
        ("PATCH", "/v1/drops/1", &patch, "starts_at"),
        ("PATCH", "/v1/drops/1", &patch, "ends_at"),
        ("POST", "/v1/auctions", &auction, "starts_at"),
        ("POST", "/v1/auctions", &auction, "ends_at"),
        ("POST", "/v1/auctions", &auction, "hard_end_at"),
    ];
    for (method, path, body, member) in members {
        for (text, words) in [
            ("2026-07-21T10:00:00+01:00[Europe/Berlin]", "must be an RFC 3339 time"),
            ("2026-11-21T10:00:00Z[!Europe/Moon]", "must be an RFC 3339 time"),
            ("2026-11-21 10:00:00Z", "must be an RFC 3339 time"),
            ("2026-11-21T10:00:00+01", "must be an RFC 3339 time"),
            ("9999-12-31T00:00:00Z", "must be from 1970-01-01T00:00:00Z to 9999-12-30T22:00:00Z"),
            ("1969-12-31T23:59:59Z", "must be from 1970-01-01T00:00:00Z to 9999-12-30T22:00:00Z"),
        ] {
            let mut body = body.clone();
            body[member] = text.into();
            let refused = send(method, path, "wrong", &body);
            let error = &refused.body["errors"][0];
            assert_eq!((refused.status, error["pointer"].as_str()), (400, Some(&*format!("/{member}"))), "{text}");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.starts_with(words)), "{text}: {error}");
        }
    }
    server.stop();
}

#[test]
fn bad_drops_are_told_every_mistake_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let drop = json!({ "sku": "", "name": "N", "currency": "EURO", "unit_price": -1, "total": 4_294_967_296u64,
                       "starts_at": "tomorrow", "per_buyer_limit": 0, "reservation_seconds": null, "colour": "red" });
    let answer = server.admin("POST", "/v1/drops", &drop);
    let mut pointers: Vec<&str> =
        answer.body["errors"].as_array().expect("errors").iter().filter_map(|e| e["pointer"].as_str()).collect();
    pointers.sort_unstable();
    let expected = ["/colour", "/currency", "/per_buyer_limit", "/reservation_seconds", "/sku", "/starts_at", "/total"];
    assert_eq!(pointers[..7], expected, "{}", answer.body);
    assert_eq!(pointers[7..], ["/unit_price"]);
    let ended = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 1, "total": 1,
                        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-01-02T00:00:00Z" });
    assert_eq!(server.admin("POST", "/v1/drops", &ended).body["errors"][0]["pointer"], "/ends_at");
    assert_eq!(server.public("GET", "/v1/drops").body["data"], json!([]));
    server.stop();
}

#[test]
fn orders_are_listed_filtered_and_exported() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(9);
    for n in 0..3 {
        let body =
            format!(r#"{{"buyer":"=b{n}","quantity":1,"contact":{{"email":"b{n}@example.org","phone":"+{n}"}}}}"#);
        assert_eq!(server.order(&format!("k{n}"), &body).body["state"], "awaiting_payment");
    }
    let cancelled = server.order("k9", r#"{"buyer":"zoe","quantity":1}"#);
    let cancel = format!("/v1/orders/{}/cancel", cancelled.body["id"].as_str().expect("an id"));
    assert_eq!(server.public("POST", &cancel).body["state"], "cancelled");
    assert_eq!(server.public("POST", &cancel).status, 200, "a repeat answers the same");
    let list = |query: &str| server.admin("GET", &format!("/v1/orders?{query}"), &Value::Null);
    assert_eq!(list("drop_id=1").body["data"].as_array().map(Vec::len), Some(4));
    assert_eq!(list("state=cancelled").body["data"][0]["buyer"], "zoe");
    assert_eq!(list("drop_id=2").body["data"], json!([]));
    let first = list("limit=1");
    assert_eq!(first.body["has_more"], true);
    let next = list(&format!("limit=1&after={}", first.body["next_after"]));
    assert_ne!(first.body["data"][0]["id"], next.body["data"][0]["id"]);
    for bad in ["state=sold", "drop_id=0", "limit=101", "contacts=true", "colour=red"] {
        assert_eq!(list(bad).body["code"], "validation", "{bad}");
    }
    // An empty value never widens a list.
    for path in [
        "/v1/orders?drop_id=",
        "/v1/orders?state=",
        "/v1/orders?limit=1&drop_id",
        "/v1/audit?drop_id=",
        "/v1/audit?order_id=",
        "/v1/drops/1/remedy?last=",
    ] {
        let answer = server.admin("GET", path, &Value::Null);
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("validation")), "{path}");
    }
    let csv = call(server.0.server.admin_address, "GET", "/v1/orders?drop_id=", "Accept: text/csv\r\n", "");
    assert_eq!(csv.status, 400, "{}", csv.text);
    assert_eq!(server.public("GET", "/v1/drops?limit=").status, 400);
    let admin = server.0.server.admin_address;
    let plain = call(admin, "GET", "/v1/orders?drop_id=1", "Accept: text/csv\r\n", "");
    assert!(plain.text.starts_with("seq,id,code") && plain.text.contains("'=b1"), "{}", plain.text);
    assert!(!plain.text.contains("example.org"), "contacts only for who asks for them");
    let full = call(admin, "GET", "/v1/orders?drop_id=1&contacts=true", "Accept: text/csv\r\n", "");
    assert!(full.text.contains("b2@example.org") && full.text.contains(",+2,"), "{}", full.text);
    let audit = server.admin("GET", "/v1/audit", &Value::Null).text;
    assert_eq!(audit.matches("contacts_exported").count(), 1, "the export is audited: {audit}");
    assert!(!audit.contains("example.org") && !audit.contains("=b1"), "no personal data in the audit");
    let code = &cancelled.body["code"];
    let by_code = server.admin("POST", "/v1/orders/search", &json!({ "code": code }));
    assert_eq!(by_code.body["data"][0]["id"], cancelled.body["id"]);
    assert_eq!(server.admin("POST", "/v1/orders/search", &json!({ "phone": "+1" })).body["data"][0]["buyer"], "=b1");
    assert_eq!(server.admin("POST", "/v1/orders/search", &json!({})).status, 400);
    assert_eq!(server.admin("POST", "/v1/orders/search", &json!({ "phone": "1", "email": "2" })).status, 400);
    server.stop();
}

#[test]
fn the_audit_can_be_filtered_and_followed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(9);
    let order = server.order("k", r#"{"buyer":"ann","quantity":2}"#);
    let id = order.body["id"].as_str().expect("an id");
    let of_order = server.admin("GET", &format!("/v1/audit?order_id={id}"), &Value::Null).text;
    assert!(of_order.contains("order_reserved") && !of_order.contains("drop_created"), "{of_order}");
    let since = server.admin("GET", "/v1/audit?since_seq=1&drop_id=1", &Value::Null).text;
    assert!(
        since.contains(r#""seq":2"#) && !since.contains(r#""seq":1,"#) && !since.contains(r#""seq":1}"#),
        "{since}"
    );
    assert_eq!(server.admin("GET", "/v1/audit?order_id=nonsense", &Value::Null).status, 404);
    let next = || assert_eq!(server.order("k2", r#"{"buyer":"bob","quantity":1}"#).status, 201);
    let admin = server.0.server.admin_address;
    let heard = listen(admin, "/v1/audit?follow=true", next, &[r#""seq":2"#, r#""seq":3"#]);
    assert!(heard.contains("application/x-ndjson"), "{heard}");
    server.stop();
}

#[test]
fn a_drops_changes_are_streamed_with_a_snapshot_first() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(9);
    let next = || assert_eq!(server.order("k", r#"{"buyer":"ann","quantity":2}"#).status, 201);
    let public = server.0.server.public_address;
    let wanted = ["event: snapshot", "event: update", "\"held\":2"];
    let heard = listen(public, "/v1/drops/1/stream", next, &wanted);
    assert!(heard.contains("text/event-stream") && heard.contains("retry: "), "{heard}");
    assert!(heard.contains("id: 1-1\n") && heard.contains("id: 1-2\n"), "ids are versions: {heard}");
    assert_eq!(server.public("GET", "/v1/drops/7/stream").status, 404);
    server.stop();
}

#[test]
fn a_refund_that_is_not_due_cannot_be_settled_and_refunds_need_a_key() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(1);
    let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    let id = order.body["id"].as_str().expect("an id");
    let settled = json!({ "reference": "R", "reason": "paid out" });
    let answer = server.admin("POST", &format!("/v1/orders/{id}/refund-settled"), &settled);
    assert_eq!((answer.status, answer.body["from"].as_str()), (409, Some("reserved")));
    let admin = server.0.server.admin_address;
    let refund = call(admin, "POST", &format!("/v1/orders/{id}/refund"), JSON, r#"{"reason":"x"}"#);
    assert_eq!(refund.body["code"], "idempotency-key-missing");
    let wrong = json!({ "reference": "R", "amount": 1, "currency": "EUR", "reason": "x" });
    let wrong = server.admin("POST", &format!("/v1/orders/{id}/payments"), &wrong);
    assert_eq!((wrong.status, wrong.body["errors"][0]["pointer"].as_str()), (400, Some("/amount")));
    server.stop();
}

#[test]
fn an_order_is_tagged_and_kept_by_nobody() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(1);
    let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    let path = format!("/v1/orders/{}", order.body["id"].as_str().expect("an id"));
    let read = server.public("GET", &path);
    assert_eq!(read.body, order.body, "the answer to an order is the order");
    let upper_case = path.replace(
        order.body["id"].as_str().expect("an id"),
        &order.body["id"].as_str().expect("an id").to_ascii_uppercase(),
    );
    assert_eq!(server.public("GET", &upper_case).body, order.body, "a UUID has two spellings, and is answered in one");
    assert_eq!(read.headers.get("cache-control").map(String::as_str), Some("no-store"));
    let tag = format!("If-None-Match: {}\r\n", read.headers["etag"]);
    assert_eq!(call(server.0.server.public_address, "GET", &path, &tag, "").status, 304);
    server.public("POST", &format!("{path}/cancel"));
    let again = call(server.0.server.public_address, "GET", &path, &tag, "");
    assert_eq!((again.status, again.body["end_reason"].as_str()), (200, Some("cancelled_by_buyer")));
    server.stop();
}

#[test]
fn probes_are_on_the_public_listener_only_if_a_setting_says_so() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.public("GET", path).status, 404, "{path}");
    }
    server.stop();
    let server = serve_with(scratch.path(), |config| {
        config.public_probes = true;
        config.limits.loopback_is_client = true;
        config.admission.address_reads = 1;
    });
    for _ in 0..3 {
        assert_eq!(server.public("GET", "/healthz").text, "ok\n", "no rate limit applies");
        assert_eq!(server.public("GET", "/readyz?role=leader").status, 200);
    }
    let follower = server.public("GET", "/readyz?role=follower");
    assert_eq!((follower.status, follower.body["code"].as_str()), (503, Some("behind")));
    assert_eq!(server.public("GET", "/metrics").status, 404, "nothing else of the admin listener");
    assert_eq!(server.public("POST", "/healthz").status, 405);
    assert_eq!(server.admin("GET", "/healthz", &Value::Null).text, "ok\n");
    server.stop();
}

#[test]
fn the_server_says_how_it_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.admin("GET", "/healthz", &Value::Null).text, "ok\n");
    assert_eq!(server.admin("GET", "/readyz", &Value::Null).status, 200);
    let capacity = server.metric("firstcome_writer_queue_capacity ");
    assert!(capacity > server.metric("firstcome_writer_queue_depth "));
    assert_eq!(server.metric("firstcome_oversold_units "), 0.0);
    assert_eq!(server.metric("firstcome_audit_lag "), 0.0);
    assert!(server.metric("firstcome_resident_memory_bytes ") > 0.0);
    server.stop();
}
