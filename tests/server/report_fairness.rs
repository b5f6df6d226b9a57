//! The fairness of a report: the real program and server, a sale behind a waiting room, and groups that are too small.

use std::process::{Command, Stdio};

use crate::http::{Answer, Server, call, serve, serve_with, until};
use serde_json::{Value, json};

/// Tickets, in the order of arrival; the first `ADMITTED` are admitted, and the first `BUYERS` of them order.
const TICKETS: u32 = 60;
const ADMITTED: u32 = 25;
const BUYERS: u32 = 20;
/// The first buyers take two units, and share an address block.
const OF_TWO: u32 = 5;
const OF_BLOCK: u32 = 12;
/// Recorded orders of one buyer, who takes each back.
const TAKEN_BACK: u32 = 5;
/// The last to come have a better tier, and get nothing.
const OF_PREMIUM: u32 = 5;

fn address(buyer: u32) -> String {
    if buyer < OF_BLOCK { format!("198.51.100.{buyer}") } else { format!("203.0.{buyer}.9") }
}

fn send(server: &Server, buyer: u32, path: &str, more: &str, body: &Value) -> Answer {
    let headers = format!("X-Forwarded-For: {}\r\nContent-Type: application/json\r\n{more}", address(buyer));
    call(server.0.server.public_address, "POST", path, &headers, &body.to_string())
}

fn report(server: &Server) -> Value {
    let answer = server.admin("GET", "/v1/drops/1/report", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// A drop of 25 units with a room whose line is longer.
fn sell(server: &Server) {
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 25, "per_buyer_limit": 2,
                       "starts_at": "2020-01-02T00:00:00Z",
                       "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1000, "order_seconds": 3600 } });
    let made = server.admin("POST", "/v1/drops", &drop);
    assert_eq!(made.status, 201, "{}", made.text);
    for buyer in TICKETS - OF_PREMIUM..TICKETS {
        let set = server.admin(
            "PUT",
            &format!("/v1/buyers/buyer-{buyer}/tier"),
            &json!({ "tier": "premium", "reason": "r" }),
        );
        assert_eq!(set.status, 200, "{}", set.text);
    }
    for buyer in 0..TICKETS {
        let taken = send(server, buyer, "/v1/drops/1/tickets", "", &json!({ "buyer": format!("buyer-{buyer}") }));
        assert_eq!(taken.status, 201, "{}", taken.text);
    }
    until("the first are admitted", || server.public("GET", "/v1/drops/1/room").body["serving"] == ADMITTED);
    for buyer in 0..BUYERS {
        let quantity = if buyer < OF_TWO { 2 } else { 1 };
        let body = json!({ "buyer": format!("buyer-{buyer}"), "quantity": quantity });
        let more = format!("Idempotency-Key: {buyer}\r\n");
        let made = send(server, buyer, "/v1/drops/1/orders", &more, &body);
        assert_eq!(made.status, 201, "{}", made.text);
    }
}

#[test]
fn a_sale_behind_a_room_tells_who_got_the_units_by_arrival_tier_and_address_block() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.risk.enabled = false;
    });
    sell(&server);
    let fairness = report(&server)["fairness"].clone();
    let units = |units: &str, buyers: u32, all: u32| json!({ "units": units, "buyers": buyers, "units_in_all": all });
    assert_eq!(fairness["buyers"], json!([units("1", 15, 15), units("2", 5, 10)]));
    assert_eq!(
        fairness["tiers"],
        json!([{ "group": "new", "tickets": 55, "buyers": 20, "orders": 20, "units": 25 },
               { "group": "premium", "tickets": 5, "buyers": 0, "orders": 0, "units": 0 }]),
        "a share of units beside a share of tickets"
    );
    assert_eq!(
        fairness["blocks"],
        json!([{ "buyers_in_block": "1", "blocks": 48, "tickets": 48, "buyers": 8, "orders": 8, "units": 8 },
               { "buyers_in_block": "5-19", "blocks": 1, "tickets": 12, "buyers": 12, "orders": 12, "units": 17 }])
    );
    let room = &fairness["room"];
    assert_eq!(
        [&room["draw"], &room["tickets"], &room["admitted"], &room["without_order"]],
        [&json!("arrival"), &json!(TICKETS), &json!(ADMITTED), &json!(ADMITTED - BUYERS)]
    );
    assert_eq!([&room["arrival_position"], &room["arrival_units"]], [1.0, 1.0], "the first to come had the units");
    let tenths: Vec<(&Value, &Value)> = room["tenths"]
        .as_array()
        .expect("tenths")
        .iter()
        .map(|tenth| (&tenth["admitted"], &tenth["with_units"]))
        .collect();
    let of = |values: [u64; 10]| values.map(Value::from);
    let (admitted, with) = (of([6, 6, 6, 6, 1, 0, 0, 0, 0, 0]), of([6, 6, 6, 2, 0, 0, 0, 0, 0, 0]));
    assert_eq!(tenths, admitted.iter().zip(&with).collect::<Vec<_>>());
    let arrived: u64 = room["arrivals"]["tickets"].as_array().expect("points").iter().filter_map(Value::as_u64).sum();
    assert_eq!(arrived, u64::from(TICKETS));
    for (waits, number) in
        [("ticket_to_admission", ADMITTED), ("start_to_admission", ADMITTED), ("admission_to_order", BUYERS)]
    {
        assert_eq!(room[waits]["count"], number, "{waits}: {room}");
    }
    assert!(!fairness.to_string().contains("buyer-") && !fairness.to_string().contains("198.51"), "{fairness}");

    let audit = call(server.0.server.admin_address, "GET", "/v1/audit?drop_id=1", "", "").text;
    let marks: std::collections::BTreeSet<String> = audit
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["detail"]["block"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(marks.len(), 49, "a mark for each block: {marks:?}");
    assert!(!audit.contains("198.51") && audit.contains(r#""tier":"new""#), "{audit}");

    let path = scratch.path().join("report.html");
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let admin = server.0.server.admin_address.to_string();
    program.args(["report", "1", "--admin", &admin, "--html"]).arg(&path).stdin(Stdio::null());
    let done = program.output().expect("run");
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let page = std::fs::read_to_string(&path).expect("read");
    let words = [
        "Fairness",
        "Who got units, by arrival",
        "Units by address block",
        "48 tickets · 80\u{a0}%",
        "8 units · 32\u{a0}%",
        "+1.000: exactly by arrival",
        "2 units",
    ];
    for part in words {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("buyer-") && !page.contains("198.51"), "{page}");
    let lines = [
        "waiting room  60 tickets, 25 admitted, 5 of them without an order; half waited at most ",
        "fairness      correlation of arrival with position +1.000, with units +1.000",
    ];
    for line in lines {
        assert!(told.contains(line), "{line}: {told}");
    }
    server.stop();
}

#[test]
fn the_report_of_a_few_buyers_tells_none_of_them() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(10).status, 201);
    for buyer in ["ann", "bob", "cat", "dan"] {
        let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
        assert_eq!(server.order(&format!("key-{buyer}"), &body).status, 201);
    }
    let told = |server: &Server| report(server)["fairness"].clone();
    let none = json!({ "group_buyers_min": 5, "buyers": [], "identities": [], "tiers": [], "blocks": [] });
    assert_eq!(told(&server), none, "four buyers are too few for any group");
    let body = json!({ "buyer": "eve", "quantity": 1 }).to_string();
    assert_eq!(server.order("key-eve", &body).status, 201);
    assert_eq!(told(&server)["buyers"], json!([{ "units": "1", "buyers": 5, "units_in_all": 5 }]));
    server.stop();
}

#[test]
fn a_line_that_was_drawn_is_drawn_again_from_what_is_public() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let starts = firstcome::types::UnixMillis::new(firstcome::writer::clock::wall_clock().get() + 6000).expect("soon");
    let spec = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5,
                       "starts_at": firstcome::types::text::rfc3339(starts),
                       "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1000, "draw": "random" } });
    let made = server.admin("POST", "/v1/drops", &spec);
    assert_eq!(made.status, 201, "{}", made.text);
    for buyer in 0..8 {
        let taken = send(&server, buyer, "/v1/drops/1/tickets", "", &json!({ "buyer": format!("buyer-{buyer}") }));
        assert_eq!(taken.status, 201, "{}", taken.text);
    }
    let before = report(&server)["fairness"]["room"].clone();
    assert_eq!(before["proof"]["commitment"], made.body["commitment"]);
    assert!(before["proof"].get("seed").is_none() && before.get("arrival_position").is_none(), "{before}");
    until("the line is drawn", || report(&server)["fairness"]["room"]["proof"]["state"] == "drawn");
    until("the first are admitted", || report(&server)["fairness"]["room"]["admitted"] == 5);
    let fairness = report(&server)["fairness"].clone();
    assert_eq!(
        (&fairness["tiers"], &fairness["blocks"]),
        (
            &json!([{ "group": "unknown", "tickets": 8, "buyers": 0, "orders": 0, "units": 0 }]),
            &json!([{ "buyers_in_block": "unknown", "blocks": 0, "tickets": 8, "buyers": 0, "orders": 0, "units": 0 }])
        ),
        "the clients are exempt"
    );
    let after = fairness["room"].clone();
    assert_eq!((&after["proof"]["is_proven"], &after["proof"]["tickets"]), (&json!(true), &json!(8)), "{after}");
    assert!(after["arrival_position"].is_f64() && after["ticket_to_admission"]["count"] == 5, "{after}");
    server.stop();
    let file = scratch.path().join("data").join("firstcome.db");
    let database = rusqlite::Connection::open(&file).expect("opened");
    let changed = database.execute("UPDATE draws SET result = zeroblob(32)", []);
    assert_eq!(changed, Ok(1));
    drop(database);
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let path = scratch.path().join("report.html");
    program.args(["report", "1", "--json", "--html"]).arg(&path).arg("--db").arg(&file);
    let told = program.stdin(Stdio::null()).output().expect("run");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told["fairness"]["room"]["proof"]["is_proven"], false, "another result is noticed");
    let page = std::fs::read_to_string(&path).expect("read");
    for part in ["Of exempt clients no tier is noted.", "behind the shop's back end, no address block is noted"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_blind_window_is_told_with_its_orders_and_its_draw_which_is_drawn_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.risk.enabled = false;
    });
    let starts = firstcome::writer::clock::wall_clock();
    let spec = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 25, "blind_ms": 5000,
                       "starts_at": firstcome::types::text::rfc3339(starts) });
    let made = server.admin("POST", "/v1/drops", &spec);
    assert_eq!(made.status, 201, "{}", made.text);
    let record = |buyer| {
        let body = json!({ "buyer": format!("buyer-{buyer}"), "quantity": 1 });
        let recorded = send(&server, buyer, "/v1/drops/1/orders", &format!("Idempotency-Key: {buyer}\r\n"), &body);
        assert_eq!((recorded.status, &recorded.body["state"]), (202, &json!("recorded")), "{}", recorded.text);
    };
    // Beside one another, so that they share commits: a window is five seconds at most.
    std::thread::scope(|scope| {
        for first in 0..10 {
            scope.spawn(move || (first..TICKETS).step_by(10).for_each(record));
        }
    });
    // One buyer of a tier and an address block of their own, who takes each order back.
    let set = server.admin("PUT", "/v1/buyers/buyer-60/tier", &json!({ "tier": "premium", "reason": "r" }));
    assert_eq!(set.status, 200, "{}", set.text);
    for key in 0..TAKEN_BACK {
        let body = json!({ "buyer": "buyer-60", "quantity": 1 });
        let recorded = send(&server, 60, "/v1/drops/1/orders", &format!("Idempotency-Key: back-{key}\r\n"), &body);
        assert_eq!(recorded.status, 202, "{}", recorded.text);
        let path = "/v1/drops/1/standby?buyer=buyer-60";
        assert_eq!(call(server.0.server.public_address, "DELETE", path, "", "").status, 204);
    }
    let before = report(&server)["fairness"].clone();
    assert_eq!(before["blind"]["proof"]["commitment"], made.body["commitment"]);
    let recorded = json!(TICKETS + TAKEN_BACK);
    assert_eq!((&before["blind"]["orders"], &before["blind"]["granted"]), (&recorded, &json!(0)), "{before}");
    assert!(before["blind"].get("arrival_position").is_none() && before.get("room").is_none(), "{before}");
    until("the orders are decided", || report(&server)["fairness"]["blind"]["granted"] == 25);
    let after = report(&server)["fairness"].clone();
    let blind = &after["blind"];
    assert_eq!((&blind["proof"]["is_proven"], &blind["proof"]["tickets"]), (&json!(true), &recorded), "{after}");
    let position = blind["arrival_position"].as_f64().expect("a correlation");
    // Of 60 drawn orders: more than five standard deviations from 0 is no draw.
    assert!(position.abs() < 0.66 && blind["arrival_units"].is_f64(), "{after}");
    let with_units: u64 =
        blind["tenths"].as_array().expect("tenths").iter().filter_map(|tenth| tenth["with_units"].as_u64()).sum();
    assert_eq!((with_units, &blind["recorded_to_decision"]["count"]), (25, &json!(25)), "{after}");
    assert_eq!(
        after["tiers"],
        json!([{ "group": "new", "tickets": TICKETS, "buyers": 25, "orders": 25, "units": 25 }]),
        "an order that got nothing counts, and one that was taken back does not"
    );
    let of_blocks = |member: &str| {
        after["blocks"].as_array().expect("blocks").iter().filter_map(|share| share[member].as_u64()).sum::<u64>()
    };
    assert_eq!([of_blocks("blocks"), of_blocks("tickets"), of_blocks("units")], [49, 60, 25], "{after}");
    let path = scratch.path().join("report.html");
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let admin = server.0.server.admin_address.to_string();
    program.args(["report", "1", "--admin", &admin, "--html"]).arg(&path).stdin(Stdio::null());
    let done = program.output().expect("run");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        told.contains("blind window") && told.contains("65 orders recorded, 25 of them granted; the draw is proven"),
        "{told}"
    );
    let page = std::fs::read_to_string(&path).expect("read");
    for part in
        ["The blind window", "Root over the orders", "committed to before the start", "Who got units, by arrival"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("buyer-") && !page.contains("198.51"), "{page}");
    server.stop();
}
