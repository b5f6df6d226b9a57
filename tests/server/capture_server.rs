//! A capture of the real server: it replays, it starts again with the server, and no secret of the run is in it.

use std::path::Path;

use crate::http::{Server, call, serve_with, until};
use firstcome::capture::format::{Record, RecordReader};
use firstcome::capture::replay::{Pace, Replayed, replay};
use serde_json::{Value, json};

fn served(directory: &Path) -> Server {
    serve_with(directory, |config| config.capture_file = Some(directory.join("sale.capture")))
}

fn replayed(bytes: &[u8]) -> Replayed {
    replay(&mut RecordReader::open(bytes).expect("a header"), Pace::Max).expect("whole")
}

/// An operator's call on an order.
fn on_order(server: &Server, order: &str, action: &str, key: &str, body: &Value) -> u16 {
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let path = format!("/v1/orders/{order}/{action}");
    call(server.0.server.admin_address, "POST", &path, &headers, &body.to_string()).status
}

fn ordered(server: &Server, key: &str, body: &Value) -> String {
    let answer = server.order(key, &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().expect("an id").to_string()
}

#[test]
fn a_real_sale_replays_with_its_refusals_expiries_refunds_and_restarts_and_holds_no_secret() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = served(scratch.path());
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 6,
                       "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 2, "reservation_seconds": 2 });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    let contact = json!({ "email": "carla.secret@example.com", "phone": "+49 30 901820" });
    let paid = ordered(&server, "key-of-ann", &json!({ "buyer": "ann-the-buyer", "quantity": 2, "contact": contact }));
    let payment = json!({ "reference": "bank-1", "amount": 200, "currency": "EUR", "reason": "seen" });
    assert_eq!(on_order(&server, &paid, "payments", "p", &payment), 200);
    let cancelled = ordered(&server, "key-of-bob", &json!({ "buyer": "bob-the-buyer", "quantity": 2 }));
    let headers = "Content-Length: 0\r\n";
    let path = format!("/v1/orders/{cancelled}/cancel");
    assert_eq!(call(server.0.server.public_address, "POST", &path, headers, "").status, 200);
    let lapses = ordered(&server, "key-of-cid", &json!({ "buyer": "cid-the-buyer", "quantity": 2 }));
    ordered(&server, "key-of-dan", &json!({ "buyer": "dan-the-buyer", "quantity": 2 }));
    let refused = server.order("key-of-eve", &json!({ "buyer": "eve-the-buyer", "quantity": 2 }).to_string());
    assert_eq!(refused.body["code"], "sold-out", "{}", refused.text);
    let seq = server.metric("firstcome_seq ");
    // Nobody asks for anything: the reservations lapse by themselves.
    until("they have lapsed", || server.metric("firstcome_seq ") >= seq + 2.0);
    // It left memory when it was paid: it is loaded again.
    let refund = json!({ "amount": 50, "restock_quantity": 1, "reason": "broken" });
    assert_eq!(on_order(&server, &paid, "refund", "r", &refund), 200);
    assert!(server.metric("firstcome_capture_dropped_total") < 0.5);
    server.stop();

    let first = scratch.path().join("sale.capture");
    let bytes = std::fs::read(&first).expect("a capture");
    let found = replayed(&bytes);
    assert_eq!((found.difference.as_ref(), found.torn_at), (None, None));
    assert_eq!((found.snapshots, found.commands), (1, 9));
    let mut reader = RecordReader::open(&bytes[..]).expect("a header");
    let mut admitted = Vec::new();
    while let Some(record) = reader.read().expect("whole") {
        if let Record::Decided(recorded) = record {
            admitted.extend(recorded.admitted.order.map(|order| order.quantity.get()));
        }
    }
    assert_eq!(admitted, [2], "the refunded order is in it");

    // The next start captures beside it, and begins with what is there.
    let server = served(scratch.path());
    let again = server.order("key-of-ann", &json!({ "buyer": "ann-the-buyer", "quantity": 2 }).to_string());
    assert_eq!(again.headers.get("idempotent-replayed").map(String::as_str), Some("true"), "{}", again.text);
    ordered(&server, "key-of-fay", &json!({ "buyer": "fay-the-buyer", "quantity": 1 }));
    let refund = json!({ "restock_quantity": 1, "reason": "all of it" });
    assert_eq!(on_order(&server, &paid, "refund", "r2", &refund), 200);
    server.stop();
    assert_eq!(std::fs::read(&first).expect("a capture"), bytes, "never overwritten");
    let second = std::fs::read(scratch.path().join("sale.capture.1")).expect("a capture");
    let found = replayed(&second);
    assert_eq!((found.difference.as_ref(), found.commands), (None, 3));

    let random_part = |id: &str| id[14..].to_string();
    let mut secrets: Vec<Vec<u8>> = ["carla.secret@example.com", "+49 30 901820", "-the-buyer", "key-of-"]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    for id in [&paid, &cancelled, &lapses] {
        secrets.push(random_part(id).into_bytes());
        let hex: Vec<u8> = id.bytes().filter(|byte| *byte != b'-').collect();
        let raw = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).expect("ASCII"), 16).expect("hex");
        // The random bits after the version and the variant, as bytes.
        secrets.push(hex[18..].chunks(2).map(raw).collect());
    }
    for capture in [&bytes, &second] {
        for secret in &secrets {
            let found = capture.windows(secret.len()).any(|window| window == &secret[..]);
            assert!(!found, "{:?} is in the capture", String::from_utf8_lossy(secret));
        }
    }
}

#[test]
fn the_buyers_of_a_capture_come_again_over_http_on_a_drop_made_anew() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = crate::http::serve(scratch.path());
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/captures/rush.capture");
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .arg("replay")
        .arg(&capture)
        .args(["--to", &public, "--admin", &admin, "--connections", "16"])
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("total 500 = available ") && said.contains("every request has a definite answer"), "{said}");
    let drop = server.public("GET", "/v1/drops/1").body;
    assert_eq!(drop["name"], "Drop 1 of a capture");
    assert!(drop["held"].as_u64().is_some_and(|held| held > 0), "{drop}");
    server.stop();
}

#[test]
fn a_capture_is_sent_to_a_server_whose_admin_listener_has_tls() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, admin, ca) = crate::http::serve_with_admin_tls(scratch.path());
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/captures/rush.capture");
    let public = server.0.server.public_address.to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .arg("replay")
        .arg(&capture)
        .args(["--to", &public, "--admin", &admin, "--ca", &ca, "--connections", "16"])
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let rush = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["rush", "--public", &public, "--admin", &admin, "--ca", &ca, "--buyers", "20", "--units", "10"])
        .args(["--connections", "2"])
        .output()
        .expect("run");
    assert!(rush.status.success(), "{}", String::from_utf8_lossy(&rush.stderr));
    server.stop();
}

#[test]
fn a_capture_of_a_drop_with_caps_is_sent_to_a_drop_with_the_same_caps_and_identities_that_meet() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = served(scratch.path());
    let caps = json!({ "email": 2, "phone": 1, "payment": 2, "address": 9 });
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 50, "per_buyer_limit": 2,
                       "starts_at": "2020-01-01T00:00:00Z", "identity_limits": caps });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    let place = |buyer: u32, email: &str, phone: u32| {
        let contact = json!({ "email": email, "phone": format!("+49 30 90182{phone}"), "address": "1 High Street" });
        let body = json!({ "buyer": format!("buyer-{buyer}"), "quantity": 1, "contact": contact,
                           "payment_fingerprint": format!("card-{buyer}") });
        server.order(&format!("key-{buyer}"), &body.to_string())
    };
    let statuses = [
        (1, "ann@example.com", 1),
        (2, "ann@example.com", 2),
        (3, "ann@example.com", 3),
        (4, "bob@example.com", 1),
        (5, "cid@example.com", 5),
    ]
    .map(|(buyer, email, phone)| place(buyer, email, phone).status);
    assert_eq!(statuses, [201, 201, 409, 409, 201], "the third has the e-mail of two, the fourth the phone of one");
    server.stop();

    let other = tempfile::tempdir().expect("scratch");
    let server = crate::http::serve(other.path());
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .arg("replay")
        .arg(scratch.path().join("sale.capture"))
        .args(["--to", &public, "--admin", &admin, "--connections", "1"])
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let drop = server.public("GET", "/v1/drops/1").body;
    assert_eq!((&drop["identity_limits"], &drop["held"]), (&caps, &json!(3)), "{drop} {said}");
    server.stop();
}
