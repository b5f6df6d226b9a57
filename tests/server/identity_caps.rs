//! Caps on identities through the real server: who is refused, what a repeat and a checkout get, what a restart keeps, and
//! what `verify` finds.

use std::path::Path;

use crate::http::{Answer, Server, call, serve, serve_with};
use crate::process::Process;
use firstcome::store::verify;
use firstcome::types::PhoneRegion;
use rusqlite::Connection;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

/// A drop of 50 units with caps.
fn capped(limits: &Value) -> Value {
    json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 50, "per_buyer_limit": 9,
            "starts_at": "2020-01-01T00:00:00Z", "identity_limits": limits })
}

fn begin(directory: &Path, limits: &Value) -> Server {
    let server = serve(directory);
    let made = server.admin("POST", "/v1/drops", &capped(limits));
    assert_eq!((made.status, &made.body["identity_limits"]), (201, limits), "{}", made.text);
    server
}

/// An order of a buyer with a key of its own.
fn order(server: &Server, buyer: &str, quantity: u16, more: &Value) -> Answer {
    let mut body = json!({ "buyer": buyer, "quantity": quantity });
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    server.order(&format!("key-{buyer}"), &body.to_string())
}

fn email(text: &str) -> Value {
    json!({ "contact": { "email": text } })
}

fn is_capped(answer: &Answer, identity: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (409, Some("identity-limit-reached")), "{}", answer.text);
    assert_eq!(answer.body["identity"].as_str(), Some(identity), "{}", answer.text);
}

fn pointers(answer: &Answer) -> Vec<&str> {
    assert_eq!((answer.status, answer.body["code"].as_str()), (400, Some("validation")), "{}", answer.text);
    let errors = answer.body["errors"].as_array().expect("errors");
    errors.iter().map(|error| error["pointer"].as_str().expect("a pointer")).collect()
}

#[test]
fn an_order_needs_what_is_capped_and_another_buyer_with_the_same_mailbox_is_refused_however_it_is_written() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), &json!({ "email": 2 }));
    assert_eq!(pointers(&order(&server, "a", 1, &json!({}))), ["/contact/email"]);
    assert_eq!(pointers(&order(&server, "a", 1, &json!({ "contact": { "name": "Ann" } }))), ["/contact/email"]);
    for text in ["\"ann\"@gmail.com", "bob@shop.example, ann@gmail.com", "an\u{200b}n@gmail.com", "none"] {
        assert_eq!(
            pointers(&order(&server, "a", 1, &email(text))),
            ["/contact/email"],
            "{text} is not one plain address"
        );
    }
    let first = order(&server, "a", 2, &email("a.n.n@gmail.com"));
    assert_eq!(first.status, 201, "{}", first.text);
    for (buyer, text) in [("b", "ann@gmail.com"), ("c", " ANN+2@GoogleMail.com"), ("d", "ａnn@gmail.com")] {
        let refused = order(&server, buyer, 1, &email(text));
        is_capped(&refused, "email");
        assert_eq!(refused.body["limit"], 2);
        assert!(!refused.text.to_lowercase().contains("nn"), "the value is not told: {}", refused.text);
    }
    assert_eq!(order(&server, "e", 1, &email("ann@outlook.com")).status, 201, "another mailbox");
    // A repeat is a repeat, whatever its contact says; and what was cancelled is given back.
    let again = order(&server, "a", 2, &email("somebody@else.example"));
    assert_eq!((again.status, &again.body["id"]), (201, &first.body["id"]), "{}", again.text);
    let id = first.body["id"].as_str().expect("an id");
    assert_eq!(server.public("POST", &format!("/v1/orders/{id}/cancel")).status, 200);
    assert_eq!(order(&server, "b", 2, &email("ann@gmail.com")).status, 201);
    server.stop();
}

#[test]
fn each_kind_has_its_cap_and_a_drop_without_caps_asks_for_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.identity_phone_region = PhoneRegion::parse("DE"));
    let limits = json!({ "email": 9, "phone": 1, "payment": 1, "address": 1 });
    assert_eq!(server.admin("POST", "/v1/drops", &capped(&limits)).status, 201);
    let who = |n: u32, phone: &str, card: &str, address: &str| {
        json!({ "contact": { "email": format!("b{n}@shop.example"), "phone": phone, "address": address },
                "payment_fingerprint": card })
    };
    let missing =
        json!({ "contact": { "email": "a@shop.example", "phone": "0171 1234567", "address": "1 High Street" } });
    assert_eq!(pointers(&order(&server, "a", 1, &missing)), ["/payment_fingerprint"]);
    let long = json!({ "payment_fingerprint": "x".repeat(129) });
    assert_eq!(pointers(&order(&server, "a", 1, &long)), ["/payment_fingerprint"]);
    assert_eq!(order(&server, "a", 1, &who(1, "0171 1234567", "card-1", "1 High Street\nYork")).status, 201);
    is_capped(&order(&server, "b", 1, &who(2, "+49 171 1234567", "card-2", "2 High Street, York")), "phone");
    is_capped(&order(&server, "b", 1, &who(2, "0171 7654321", "card-1", "2 High Street, York")), "payment");
    is_capped(&order(&server, "b", 1, &who(2, "0171 7654321", "card-2", "1, HIGH STREET; York")), "address");
    assert_eq!(order(&server, "b", 1, &who(2, "0171 7654321", "card-2", "2 High Street, York")).status, 201);
    let plain = json!({ "sku": "P", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5,
                        "starts_at": "2020-01-01T00:00:00Z" });
    let headers = format!("{JSON}Idempotency-Key: plain\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &plain.to_string());
    assert_eq!((made.status, &made.body["identity_limits"]), (201, &Value::Null));
    for buyer in ["a", "b"] {
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": "same@shop.example" },
                           "payment_fingerprint": "card-1" });
        let headers = format!("{JSON}Idempotency-Key: {buyer}\r\n");
        let placed = call(server.0.server.public_address, "POST", "/v1/drops/2/orders", &headers, &body.to_string());
        assert_eq!(placed.status, 201, "{}", placed.text);
    }
    server.stop();
    let file = Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
    let rows: i64 = file.query_row("SELECT count(*) FROM order_identities", [], |row| row.get(0)).expect("read");
    assert_eq!(rows, 2, "a row only for orders of drops with caps");
    let refusals: i64 = file
        .query_row("SELECT sum(other_refusals) FROM drop_seconds WHERE drop_id = 1", [], |row| row.get(0))
        .expect("read");
    assert!(refusals >= 3, "{refusals} refusals in the statistics");
}

#[test]
fn a_checkout_with_another_contact_does_not_evade_a_cap_and_another_spelling_is_no_other_contact() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), &json!({ "email": 1, "address": 4 }));
    let contact = json!({ "contact": { "email": "ann@shop.example", "address": "1 High Street" } });
    let placed = order(&server, "a", 1, &contact);
    assert_eq!(placed.status, 201, "{}", placed.text);
    let id = placed.body["id"].as_str().expect("an id").to_string();
    let correct = |contact: Value| {
        let body = json!({ "contact": contact }).to_string();
        call(server.0.server.public_address, "POST", &format!("/v1/orders/{id}/checkout"), JSON, &body)
    };
    assert_eq!(
        pointers(&correct(json!({ "email": "bob@shop.example", "address": "1 High Street" }))),
        ["/contact/email"]
    );
    let other = json!({ "email": "ann@shop.example", "address": "2 High Street" });
    assert_eq!(pointers(&correct(other)), ["/contact/address"]);
    assert_eq!(pointers(&correct(json!({ "name": "Ann" }))), ["/contact/email", "/contact/address"]);
    let spelled = json!({ "name": "Ann", "email": "ANN@shop.example", "address": "1, high street" });
    assert_eq!(correct(spelled).status, 200);
    // An erased contact leaves the digests: the cap holds on.
    let erased = server.admin("DELETE", &format!("/v1/orders/{id}/contact"), &json!({}));
    assert_eq!(erased.status, 204);
    is_capped(&order(&server, "b", 1, &contact), "email");
    server.stop();
}

#[test]
fn buyers_that_share_an_address_at_the_same_moment_get_together_no_more_than_its_cap() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), &json!({ "address": 4 }));
    let placed: usize = std::thread::scope(|scope| {
        let buyers: Vec<_> = (0..24)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let who = json!({ "contact": { "address": "1 High Street" } });
                    order(server, &format!("b{n}"), 1 + n % 2, &who)
                })
            })
            .collect();
        let answers = buyers.into_iter().map(|buyer| buyer.join().expect("answered"));
        let units = |answer: Answer| match answer.status {
            201 => usize::try_from(answer.body["quantity"].as_u64().expect("units")).expect("small"),
            _ => {
                is_capped(&answer, "address");
                0
            }
        };
        answers.map(units).sum()
    });
    assert!([3, 4].contains(&placed), "{placed} units; a last one is refused to whoever wants two");
    server.stop();
}

/// An order at a server of its own process.
fn order_at(server: &Process, buyer: &str, text: &str) -> u16 {
    let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": text } }).to_string();
    let headers = format!("{JSON}Idempotency-Key: key-{buyer}\r\n");
    call(server.public, "POST", "/v1/drops/1/orders", &headers, &body).status
}

#[test]
fn a_killed_server_counts_on_and_caps_that_are_patched_hold_from_then_on() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]);
    let headers = format!("{JSON}Idempotency-Key: k\r\n");
    let made = call(server.admin, "POST", "/v1/drops", &headers, &capped(&json!({ "email": 1 })).to_string());
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!([order_at(&server, "a", "x@shop.example"), order_at(&server, "b", "X@shop.example")], [201, 409]);
    server.kill();
    let mut server = Process::start(&data, &[]);
    assert_eq!([order_at(&server, "a", "x@shop.example"), order_at(&server, "b", "x@shop.example")], [201, 409]);
    let patch = |revision: u32, limits: Value| {
        let body = json!({ "expected_revision": revision, "reason": "a test", "identity_limits": limits }).to_string();
        let patched = call(server.admin, "PATCH", "/v1/drops/1", JSON, &body);
        assert_eq!(patched.status, 200, "{}", patched.text);
        patched.body["identity_limits"].clone()
    };
    assert_eq!(patch(1, json!({ "email": 2, "phone": 1 })), json!({ "email": 2, "phone": 1 }));
    assert_eq!(order_at(&server, "b", "x@shop.example"), 400, "a phone is needed now");
    assert_eq!(patch(2, json!({})), Value::Null);
    assert_eq!([order_at(&server, "b", "x@shop.example"), order_at(&server, "c", "x@shop.example")], [201, 201]);
    server.kill();
    assert_eq!(verify::verify_file(&data.join("firstcome.db")).expect("read").problems, Vec::<String>::new());
}

/// The problems of a file after a change of its rows.
fn problems_after(file: &Connection, change: &str) -> Vec<String> {
    file.execute_batch("BEGIN IMMEDIATE").expect("begun");
    file.execute_batch(change).unwrap_or_else(|error| panic!("{change}: {error}"));
    let problems = verify::verify_connection(file).expect("verified").problems;
    file.execute_batch("ROLLBACK").expect("undone");
    problems
}

#[test]
fn verify_finds_an_altered_identity_and_units_above_a_cap() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), &json!({ "email": 2 }));
    for buyer in ["a", "b"] {
        assert_eq!(order(&server, buyer, 1, &email("ann@shop.example")).status, 201);
    }
    server.stop();
    let file = Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
    assert_eq!(problems_after(&file, "SELECT 1"), Vec::<String>::new());
    for change in [
        "UPDATE order_identities SET email = x'000102030405060708090a0b0c0d0e0f' WHERE order_seq = 2",
        "UPDATE order_identities SET phone = email WHERE order_seq = 2",
        "UPDATE order_identities SET email = NULL WHERE order_seq = 2",
        "DELETE FROM order_identities WHERE order_seq = 2",
        "INSERT INTO order_identities (order_seq) VALUES (77)",
    ] {
        assert_ne!(problems_after(&file, change), Vec::<String>::new(), "{change}");
    }
    let lowered = r#"UPDATE audit SET detail = replace(detail, '"email_limit":2', '"email_limit":1') WHERE seq = 1;
                   UPDATE drops SET email_limit = 1 WHERE id = 1"#;
    let problems = problems_after(&file, lowered);
    let expected = "orders with the email of order 4 have 2 units, its cap is 1";
    assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    let lost = problems_after(&file, "DELETE FROM order_identities WHERE order_seq = 2");
    assert!(lost.iter().any(|problem| problem.contains("order 2 has no email")), "{lost:?}");
}
