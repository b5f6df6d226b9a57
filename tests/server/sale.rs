//! A whole sale over real sockets: the real server on port 0, a plain HTTP client, the real file.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::{call, serve, until};
use serde_json::{Value, json};

#[test]
fn a_small_drop_sells_out_exactly_and_a_restart_changes_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(3).status, 201);
    let again = server.create(3);
    assert_eq!((again.status, again.headers.get("idempotent-replayed").map(String::as_str)), (201, Some("true")));
    let first = server.order("k1", r#"{"buyer":"ann","quantity":2}"#);
    assert_eq!((first.status, first.body["state"].as_str()), (201, Some("reserved")));
    let sold_out = server.order("k2", r#"{"buyer":"bob","quantity":2}"#);
    assert_eq!((sold_out.status, sold_out.body["code"].as_str()), (409, Some("sold-out")));
    assert_eq!((sold_out.body["available"].as_u64(), sold_out.body["held"].as_u64()), (Some(1), Some(2)));
    assert_eq!(server.order("k3", r#"{"buyer":"bob","quantity":1}"#).status, 201);
    let limit = server.order("k4", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!((limit.body["code"].as_str(), limit.body["used"].as_u64()), (Some("limit-reached"), Some(2)));
    let drop = server.public("GET", "/v1/drops/1");
    assert_eq!((drop.body["state"].as_str(), drop.body["held"].as_u64()), (Some("sold_out"), Some(3)));
    server.stop();

    let server = serve(scratch.path());
    assert_eq!(server.public("GET", "/v1/drops/1").body, drop.body);
    let repeat = server.order("k1", r#"{"buyer":"ann","quantity":2}"#);
    assert_eq!((repeat.status, &repeat.body["id"]), (201, &first.body["id"]));
    assert_eq!(repeat.headers.get("idempotent-replayed").map(String::as_str), Some("true"));
    let other = server.order("\"k1\"", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!((other.status, other.body["code"].as_str()), (422, Some("idempotency-key-reused")));
    server.stop();
    let report = firstcome::store::verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!((report.held, report.orders, report.problem_count), (3, 2, 0));
}

#[test]
fn an_order_goes_from_reservation_to_refund() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(1);
    let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    let id = order.body["id"].as_str().expect("an id").to_string();
    let json_header = "Content-Type: application/json\r\n";
    let checkout = format!("/v1/orders/{id}/checkout");
    let public = server.0.server.public_address;
    let out = call(public, "POST", &checkout, json_header, r#"{"contact":{"email":"ann@example.org"}}"#);
    assert_eq!((out.status, out.body["state"].as_str()), (200, Some("awaiting_payment")));
    assert_eq!(out.body["payment_url"], format!("http://{public}/pay/{id}"));
    let payment = json!({ "reference": "R", "amount": 100, "currency": "EUR", "reason": "by hand" });
    assert_eq!(server.admin("POST", &format!("/v1/orders/{id}/payments"), &payment).body["state"], "paid");
    assert_eq!(server.admin("POST", &format!("/v1/orders/{id}/payments"), &payment).body["state"], "paid");
    let cancel = call(public, "POST", &format!("/v1/orders/{id}/cancel"), "", "");
    assert_eq!(
        (cancel.body["code"].as_str(), cancel.body["from"].as_str()),
        (Some("illegal-transition"), Some("paid"))
    );
    let refund = json!({ "restock_quantity": 1, "reason": "sorry" });
    let refunded = server.admin("POST", &format!("/v1/orders/{id}/refund"), &refund);
    assert_eq!(
        (refunded.body["state"].as_str(), refunded.body["refunded_amount"].as_u64()),
        (Some("refunded"), Some(100))
    );
    assert_eq!(server.public("GET", "/v1/drops/1").body["available"], 1);
    let contact = server.admin("GET", &format!("/v1/orders/{id}/contact"), &Value::Null);
    assert_eq!(contact.body, json!({ "email": "ann@example.org" }));
    let found = server.admin("POST", "/v1/orders/search", &json!({ "email": "ann@example.org" }));
    assert_eq!(found.body["data"][0]["id"], id);
    assert_eq!(server.admin("DELETE", &format!("/v1/orders/{id}/contact"), &Value::Null).status, 204);
    assert_eq!(server.admin("GET", &format!("/v1/orders/{id}/contact"), &Value::Null).status, 404);
    // The right seq with another secret half is nobody's order.
    let last = if id.ends_with('0') { "1" } else { "0" };
    assert_eq!(server.public("GET", &format!("/v1/orders/{}{last}", &id[..35])).status, 404);
    server.stop();
}

#[test]
fn bad_orders_get_their_problem_and_change_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(5);
    let before = server.metric("firstcome_seq ");
    let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let large = format!(r#"{{"buyer":"{}","quantity":1}}"#, "x".repeat(9000));
    for (body, status, code) in [
        ("", 400, "malformed"),
        ("{", 400, "malformed"),
        (nested.as_str(), 400, "malformed"),
        ("[]", 400, "validation"),
        ("{}", 400, "validation"),
        (r#"{"buyer":"a"}"#, 400, "validation"),
        (r#"{"buyer":7,"quantity":1}"#, 400, "validation"),
        (r#"{"buyer":null,"quantity":1}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":0}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":-1}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":1.5}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":65536}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":9007199254740992}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":9223372036854775808}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":1,"coupon":"x"}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":1,"contact":{}}"#, 400, "validation"),
        (r#"{"buyer":"a","quantity":1,"contact":{"fax":"1"}}"#, 400, "validation"),
        (large.as_str(), 413, "body-too-large"),
    ] {
        let answer = server.order("k", body);
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{body:.60}");
    }
    let address = server.0.server.public_address;
    let good = r#"{"buyer":"a","quantity":1}"#;
    for (headers, path, status, code) in [
        ("Idempotency-Key: k\r\n", "/v1/drops/1/orders", 415, "unsupported-media-type"),
        ("Content-Type: application/json\r\n", "/v1/drops/1/orders", 400, "idempotency-key-missing"),
        (
            "Content-Type: application/json\r\nIdempotency-Key: \r\n",
            "/v1/drops/1/orders",
            400,
            "idempotency-key-missing",
        ),
        ("Content-Type: application/json\r\nIdempotency-Key: k\r\n", "/v1/drops/2/orders", 404, "not-found"),
        ("Content-Type: application/json\r\nIdempotency-Key: k\r\n", "/v1/drops/01/orders", 404, "not-found"),
        ("Content-Type: application/json\r\nIdempotency-Key: k\r\n", "/v1/drops/1", 405, "method-not-allowed"),
    ] {
        let answer = call(address, "POST", path, headers, good);
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{headers} {path}");
    }
    let long = "k".repeat(256);
    assert_eq!(server.order(&long, good).body["code"], "idempotency-key-missing");
    assert_eq!(server.metric("firstcome_seq "), before, "nothing happened");
    assert_eq!(server.order("k", good).status, 201, "and the server is well");
    server.stop();
}

#[test]
fn counters_changed_behind_the_engines_back_stop_the_sale_until_they_are_right_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(10);
    assert_eq!(server.order("k", r#"{"buyer":"ann","quantity":1}"#).status, 201);
    let meddle = |sql: &str| {
        let connection = rusqlite::Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
        connection.busy_timeout(Duration::from_secs(5)).expect("patient");
        connection.execute(sql, []).expect("changed");
    };
    meddle("UPDATE drops SET held = held + 4");
    until("the gauge rises", || server.metric("firstcome_undersold_units ") >= 4.0);
    until("the drop is paused", || server.order("k2", r#"{"buyer":"bob","quantity":1}"#).status == 503);
    let resume = server.admin("POST", "/v1/drops/1/resume", &json!({ "reason": "try" }));
    assert_eq!((resume.status, resume.body["code"].as_str()), (409, Some("illegal-transition")));
    meddle("UPDATE drops SET held = held - 4");
    until("the gauge falls", || server.metric("firstcome_undersold_units ") == 0.0);
    until("it can be resumed", || {
        server.admin("POST", "/v1/drops/1/resume", &json!({ "reason": "right again" })).status == 200
    });
    assert_eq!(server.order("k2", r#"{"buyer":"bob","quantity":1}"#).status, 201);
    server.stop();
}

#[test]
fn a_changed_audit_row_fails_verify() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(10);
    server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    server.stop();
    let data = scratch.path().join("data");
    // A change that is in the log alone is told as a log that does not belong here.
    let verify = || match firstcome::store::verify::verify(&data) {
        Ok(report) => report.problem_count,
        Err(firstcome::store::StoreError::StrayLog { .. }) => 1,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(verify(), 0);
    for (change, back) in [
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2", "UPDATE audit SET at_ms = at_ms - 1 WHERE seq = 2"),
        ("UPDATE audit SET detail = 'x' WHERE seq = 2", "UPDATE audit SET detail = NULL WHERE seq = 2"),
        ("UPDATE drops SET sold = sold + 1", "UPDATE drops SET sold = sold - 1"),
        ("UPDATE orders SET quantity = 2", "UPDATE orders SET quantity = 1"),
        ("UPDATE chain SET hash = zeroblob(32) WHERE seq = 1", ""),
    ] {
        let connection = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
        connection.execute(change, []).expect("changed");
        assert_ne!(verify(), 0, "{change}");
        connection.execute_batch(back).expect("changed back");
        assert!(back.is_empty() || verify() == 0, "{back}");
    }
}

#[test]
fn reads_are_tagged_and_operators_have_their_own_door() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(10);
    let public = server.0.server.public_address;
    let drop = server.public("GET", "/v1/drops/1");
    let tag = drop.headers.get("etag").expect("a tag").clone();
    let same = call(public, "GET", "/v1/drops/1", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((same.status, same.headers.get("etag")), (304, Some(&tag)));
    server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    let changed = call(public, "GET", "/v1/drops/1", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((changed.status, changed.body["held"].as_u64()), (200, Some(1)), "who ordered sees it");
    assert_eq!(server.public("GET", "/metrics").status, 404);
    assert_eq!(server.public("POST", "/v1/drops").status, 405);
    let admin = server.0.server.admin_address;
    let mut stream = TcpStream::connect(admin).expect("connected");
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    let api = server.public("GET", "/openapi.json");
    for route in firstcome::http::routes::ROUTES.iter().filter(|route| !route.is_page) {
        let method = route.method.as_str().to_lowercase();
        assert!(api.body["paths"][route.path][&method].is_object(), "{} {method}", route.path);
    }
    server.stop();
}
