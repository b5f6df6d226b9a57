//! A capture of a sale with a waiting room: it replays in the engine, and its buyers queue again at another server.

use std::path::Path;
use std::process::{Command, Output};

use crate::http::{Answer, Server, call, serve, serve_with, until};
use firstcome::store::verify;
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";
const BUYERS: u32 = 12;
const UNITS: u32 = 5;

fn ticket(server: &Server, buyer: u32) -> Answer {
    let body = json!({ "buyer": format!("buyer-{buyer}") }).to_string();
    call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", JSON, &body)
}

fn order(server: &Server, buyer: u32) -> Answer {
    server.order(&format!("key-{buyer}"), &json!({ "buyer": format!("buyer-{buyer}"), "quantity": 1 }).to_string())
}

fn room(server: &Server) -> Value {
    server.public("GET", "/v1/drops/1/room").body
}

/// A sale with a room: some tickets before the start, some after it, and some before the capture began.
fn captured(directory: &Path) {
    let server = serve(directory);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": UNITS,
                       "starts_at": rfc3339(wall_clock().plus_millis(6000)),
                       "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 100, "order_seconds": 600 } });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    for buyer in 1..=3 {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    server.stop();
    let server = serve_with(directory, |config| config.capture_file = Some(directory.join("sale.capture")));
    for buyer in 3..=8 {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    assert_eq!(order(&server, 1).body["code"], "not-started");
    until("as many are admitted as there are units", || room(&server)["serving"] == UNITS);
    for buyer in 9..=BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    assert_eq!(order(&server, 7).body["code"], "not-admitted");
    let placed = [5, 4, 3, 2, 1].map(|buyer| order(&server, buyer));
    assert!(placed.iter().all(|answer| answer.status == 201));
    let id = placed[0].body["id"].as_str().expect("an id");
    assert_eq!(server.public("POST", &format!("/v1/orders/{id}/cancel")).status, 200);
    until("the next buyer is admitted", || room(&server)["serving"] == UNITS + 1);
    assert_eq!(order(&server, 6).status, 201);
    server.stop();
}

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("replay").args(arguments).output().expect("run")
}

#[test]
fn a_captured_sale_with_a_room_is_decided_again_the_same_and_its_buyers_queue_again_at_another_server() {
    let scratch = tempfile::tempdir().expect("scratch");
    captured(scratch.path());
    let capture = scratch.path().join("sale.capture");
    let file = capture.to_str().expect("a path");
    let again = replay(&[file]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("the same outcomes and, byte for byte, the same events"), "{said}");

    for speed in ["max", "2"] {
        let other = tempfile::tempdir().expect("scratch");
        let server = serve(other.path());
        let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
        let sent = replay(&[file, "--to", &public, "--admin", &admin, "--connections", "4", "--speed", speed]);
        let said = String::from_utf8_lossy(&sent.stdout).into_owned();
        assert!(sent.status.success(), "{said}{}", String::from_utf8_lossy(&sent.stderr));
        let line =
            |words: &str| said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {said}"));
        let numbers = |words: &str| line(words).rsplit(' ').filter(|word| !word.is_empty()).take(2).collect::<Vec<_>>();
        // Those of the snapshot are sent, too, and the third buyer's is asked for twice.
        assert_eq!(numbers("a ticket taken"), ["12", "9"], "here, and in the capture: {said}");
        let told = room(&server);
        assert_eq!(told["tickets"], BUYERS, "{told}");
        let drop = server.public("GET", "/v1/drops/1").body;
        assert!(drop["held"].as_u64().is_some_and(|held| held >= 3), "{drop} {said}");
        server.stop();
        let report = verify::verify(&other.path().join("data")).expect("verified");
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

/// A sale with a drawn room: all tickets before the start, then an order of each buyer who is admitted.
fn captured_draw(directory: &Path) {
    let server = serve_with(directory, |config| config.capture_file = Some(directory.join("sale.capture")));
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": UNITS,
                       "starts_at": rfc3339(wall_clock().plus_millis(6000)),
                       "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 100, "order_seconds": 600,
                                 "draw": "random" } });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    for buyer in 1..=BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("as many are admitted as there are units", || room(&server)["serving"] == UNITS);
    let placed = (1..=BUYERS).filter(|buyer| order(&server, *buyer).status == 201).count();
    assert_eq!(placed, UNITS as usize, "those whom the draw put first");
    server.stop();
}

#[test]
fn a_captured_sale_with_a_drawn_room_is_drawn_again_at_another_server() {
    let scratch = tempfile::tempdir().expect("scratch");
    captured_draw(scratch.path());
    let capture = scratch.path().join("sale.capture");
    let file = capture.to_str().expect("a path");
    for (speed, draw) in [("1", "random"), ("max", "arrival")] {
        let other = tempfile::tempdir().expect("scratch");
        let server = serve(other.path());
        let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
        let sent = replay(&[file, "--to", &public, "--admin", &admin, "--connections", "4", "--speed", speed]);
        let said = String::from_utf8_lossy(&sent.stdout).into_owned();
        assert!(sent.status.success(), "{said}{}", String::from_utf8_lossy(&sent.stderr));
        let told = room(&server);
        assert_eq!((&told["draw"], &told["tickets"]), (&json!(draw), &json!(BUYERS)), "{told}");
        if draw == "random" {
            let drawn = server.public("GET", "/v1/drops/1/draw").body;
            assert_eq!((&drawn["state"], &drawn["tickets"]["count"]), (&json!("drawn"), &json!(BUYERS)), "{drawn}");
        }
        server.stop();
        let report = verify::verify(&other.path().join("data")).expect("verified");
        assert_eq!(report.problems, Vec::<String>::new());
    }
}
