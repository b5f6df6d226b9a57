//! Waiting rooms through the real server: tickets, the public body, admission by rate and stock, restarts, and what
//! `verify` finds.

use std::path::Path;

use crate::http::{Answer, Server, call, serve, until};
use firstcome::store::verify;
use firstcome::types::UnixMillis;
use firstcome::types::instant::parse_instant;
use rusqlite::Connection;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

/// A drop of 3 units whose room has opened, and which started or starts so many years later.
fn begin(directory: &Path, starts_at: &str, room: &Value) -> Server {
    let server = serve(directory);
    let mut drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 3,
                           "starts_at": starts_at, "room": { "opens_at": "2020-01-01T00:00:00Z" } });
    for (name, value) in room.as_object().expect("members") {
        drop["room"][name] = value.clone();
    }
    let made = server.admin("POST", "/v1/drops", &drop);
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["room"]["opens_at"], "2020-01-01T00:00:00.000Z", "{}", made.text);
    server
}

const LATER: &str = "2999-01-01T00:00:00Z";
const STARTED: &str = "2020-01-02T00:00:00Z";

fn ticket(server: &Server, buyer: &str) -> Answer {
    let body = json!({ "buyer": buyer }).to_string();
    call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", JSON, &body)
}

fn position(server: &Server, buyer: &str) -> u64 {
    let taken = ticket(server, buyer);
    assert_eq!(taken.status, 201, "{}", taken.text);
    assert_eq!(taken.headers.get("idempotent-replayed").map(String::as_str), Some("true"), "{buyer} has it");
    taken.body["position"].as_u64().expect("known")
}

fn order(server: &Server, buyer: &str) -> Answer {
    server.order(&format!("key-{buyer}"), &json!({ "buyer": buyer, "quantity": 1 }).to_string())
}

fn room(server: &Server) -> Value {
    let room = server.public("GET", "/v1/drops/1/room");
    assert_eq!(room.status, 200, "{}", room.text);
    room.body
}

const BUYERS: [&str; 5] = ["zoe", "bob", "eve", "ann", "ivy"];

#[test]
fn tickets_and_positions_survive_a_restart_and_the_audit_tells_no_buyer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), LATER, &json!({ "admit_per_second": 10 }));
    for (index, buyer) in BUYERS.into_iter().enumerate() {
        let taken = ticket(&server, buyer);
        assert_eq!((taken.status, &taken.body["number"]), (201, &json!(index + 1)), "{}", taken.text);
        assert_eq!((&taken.body["position"], &taken.body["state"]), (&json!(index), &json!("gathering")));
    }
    let told = call(server.0.server.admin_address, "GET", "/v1/audit", "", "");
    assert!(
        told.text.contains("ticket_taken") && !BUYERS.iter().any(|buyer| told.text.contains(buyer)),
        "{}",
        told.text
    );
    let before = room(&server);
    server.stop();
    let server = serve(scratch.path());
    for (index, buyer) in BUYERS.into_iter().enumerate() {
        assert_eq!(position(&server, buyer), index as u64, "{buyer} keeps the position");
    }
    assert_eq!(room(&server), before);
    assert_eq!(ticket(&server, "new").body["number"], 6);
    server.stop();
    let report = verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn buyers_are_admitted_in_their_order_as_stock_allows_and_others_are_refused() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100, "order_seconds": 600 }));
    let uninvited = order(&server, "zoe");
    assert_eq!((uninvited.status, &uninvited.body["code"]), (409, &json!("not-admitted")), "{}", uninvited.text);
    assert_eq!((&uninvited.body["serving"], uninvited.body.get("position")), (&json!(0), None));
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("three buyers are admitted to three units", || room(&server)["serving"] == 3);
    let waiting = order(&server, "ann");
    assert_eq!((waiting.status, &waiting.body["code"]), (409, &json!("not-admitted")), "{}", waiting.text);
    assert_eq!((&waiting.body["position"], &waiting.body["serving"]), (&json!(3), &json!(3)));
    let now = room(&server);
    assert_eq!((&now["state"], &now["tickets"], &now["admitted"]), (&json!("serving"), &json!(5), &json!(3)), "{now}");
    assert_eq!((&now["available"], &now["odds"]), (&json!(3), &json!("open")), "{now}");
    for buyer in ["eve", "zoe", "bob"] {
        assert_eq!(order(&server, buyer).status, 201, "{buyer} is admitted");
    }
    assert_eq!(order(&server, "eve").status, 201, "a repeat");
    assert_eq!(room(&server)["serving"], 3, "nothing is free");
    // A unit comes back, and the next buyer gets a chance, also after a restart.
    let reserved = order(&server, "bob");
    let path = format!("/v1/orders/{}/cancel", reserved.body["id"].as_str().expect("an id"));
    server.stop();
    let server = serve(scratch.path());
    assert_eq!(server.public("POST", &path).status, 200);
    until("the next buyer is admitted", || room(&server)["serving"] == 4);
    assert_eq!(order(&server, "ivy").body["code"], "not-admitted");
    assert_eq!(order(&server, "ann").status, 201);
    server.stop();
    let report = verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn the_body_of_a_room_is_public_tagged_and_changes_with_its_version() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), LATER, &json!({ "admit_per_second": 7, "oversubscribe_percent": 150 }));
    let rule = server.public("GET", "/v1/drops/1").body["room"].clone();
    assert_eq!((&rule["draw"], &rule["admit_per_second"]), (&json!("arrival"), &json!(7)), "{rule}");
    assert_eq!((&rule["order_seconds"], &rule["oversubscribe_percent"]), (&json!(120), &json!(150)), "{rule}");
    let public = server.0.server.public_address;
    let first = server.public("GET", "/v1/drops/1/room");
    assert!(first.headers["cache-control"].contains("max-age=1"), "{:?}", first.headers);
    assert_eq!(first.body.get("rate"), None, "nothing is measured before the start");
    let tag = format!("If-None-Match: {}\r\n", first.headers["etag"]);
    assert_eq!(call(public, "GET", "/v1/drops/1/room", &tag, "").status, 304);
    assert_eq!(ticket(&server, "ann").status, 201);
    let second = call(public, "GET", "/v1/drops/1/room", &tag, "");
    assert_eq!((second.status, &second.body["tickets"]), (200, &json!(1)), "{}", second.text);
    assert_ne!(first.body["version"], second.body["version"]);
    // Streams of the drop and of its room at the same time: each shows its own body.
    let both = &["event: snapshot", "event: update"];
    let mut of_drop = String::new();
    let of_room = crate::http::listen(
        public,
        "/v1/drops/1/room/stream",
        || {
            if of_drop.is_empty() {
                of_drop = crate::http::listen(public, "/v1/drops/1/stream", || drop(ticket(&server, "bob")), both);
            }
        },
        both,
    );
    assert!(of_room.contains("\"tickets\":2") && !of_room.contains("\"sku\""), "{of_room}");
    assert!(of_drop.contains("\"sku\"") && !of_drop.contains("\"tickets\""), "{of_drop}");
    let plain =
        json!({ "sku": "P", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5, "starts_at": STARTED });
    let headers = format!("{JSON}Idempotency-Key: plain\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &plain.to_string());
    assert_eq!(made.body["id"], 2, "{}", made.text);
    assert_eq!(server.public("GET", "/v1/drops/2/room").status, 404, "a drop without a room");
    server.stop();
}

/// Changes the room of drop 1.
fn patch(server: &Server, revision: u32, room: &Value) -> Answer {
    let body = json!({ "expected_revision": revision, "reason": "slower", "room": room });
    server.admin("PATCH", "/v1/drops/1", &body)
}

#[test]
fn an_operator_can_slow_a_sale_down_and_what_buyers_were_told_stays() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100 }));
    let slower = patch(&server, 1, &json!({ "admit_per_second": 1, "oversubscribe_percent": 300 }));
    assert_eq!((slower.status, &slower.body["room"]["admit_per_second"]), (200, &json!(1)), "{}", slower.text);
    let told = patch(&server, 2, &json!({ "order_seconds": 1 }));
    assert_eq!(
        (told.status, &told.body["errors"][0]["pointer"]),
        (400, &json!("/room/order_seconds")),
        "{}",
        told.text
    );
    let drawn = patch(&server, 2, &json!({ "draw": "arrival" }));
    assert_eq!((drawn.status, &drawn.body["errors"][0]["pointer"]), (400, &json!("/room/draw")), "{}", drawn.text);
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("buyers are admitted one by one", || room(&server)["serving"] == 2);
    server.stop();
    let server = serve(scratch.path());
    let rule = server.public("GET", "/v1/drops/1").body["room"].clone();
    assert_eq!((&rule["admit_per_second"], &rule["oversubscribe_percent"]), (&json!(1), &json!(300)), "{rule}");
    server.stop();
    let data = scratch.path().join("data");
    assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
    let file = Connection::open(data.join("firstcome.db")).expect("opened");
    file.execute_batch("UPDATE rooms SET admit_per_second = 100").expect("altered");
    let report = verify::verify_connection(&file).expect("verified");
    assert!(report.problems.iter().any(|found| found.contains("the room of drop 1: admit_per_second")), "{report:?}");
}

fn operate(server: &Server, what: &str) -> Answer {
    server.admin("POST", &format!("/v1/drops/1/{what}"), &json!({ "reason": "a test" }))
}

#[test]
fn a_pause_and_a_close_are_told_to_tickets_and_positions_stay() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100 }));
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("three buyers are admitted to three units", || room(&server)["serving"] == 3);
    let public = server.0.server.public_address;
    let pause = || assert_eq!(operate(&server, "pause").status, 200);
    let told = crate::http::listen(public, "/v1/drops/1/room/stream", pause, &["event: snapshot", "\"paused\":true"]);
    assert!(told.contains("\"state\":\"serving\""), "{told}");
    for (index, buyer) in BUYERS.into_iter().enumerate() {
        let told = ticket(&server, buyer).body;
        assert_eq!((&told["position"], &told["paused"]), (&json!(index), &json!(true)), "{told}");
    }
    assert_eq!(ticket(&server, "new").body["position"], 5, "tickets are taken during a pause");
    assert_eq!(order(&server, "zoe").body["code"], "drop-paused");
    assert_eq!(operate(&server, "resume").status, 200);
    assert_eq!(order(&server, "zoe").status, 201, "the turn has stayed");
    assert_eq!(ticket(&server, "ann").body["paused"], false);
    let close = || assert_eq!(operate(&server, "close").status, 200);
    crate::http::listen(public, "/v1/drops/1/room/stream", close, &["event: snapshot", "\"state\":\"over\""]);
    let over = room(&server);
    assert_eq!((&over["state"], &over["tickets"], &over["serving"]), (&json!("over"), &json!(6), &json!(3)), "{over}");
    for buyer in ["bob", "ann", "another"] {
        let told = ticket(&server, buyer);
        assert_eq!((told.status, &told.body["code"]), (410, &json!("ended")), "{buyer}: {}", told.text);
    }
    server.stop();
    let file = Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
    let mut rows = file.prepare("SELECT buyer FROM tickets WHERE drop_id = 1 ORDER BY number").expect("prepared");
    let rows: Vec<String> =
        rows.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read");
    assert_eq!(rows[..5], BUYERS, "the line is kept");
    let report = verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

/// The end of a buyer's turn, as the ticket tells it, and the milliseconds of all pauses that are over.
fn turn(server: &Server, buyer: &str) -> (Option<i64>, i64) {
    let told = ticket(server, buyer).body;
    let until = told.get("order_until").and_then(Value::as_str).map(|text| parse_instant(text).expect("an instant"));
    (until.map(UnixMillis::get), told["paused_ms"].as_i64().expect("a number"))
}

#[test]
fn what_was_left_of_a_turn_at_a_pause_is_left_after_a_restart_and_a_resume() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100, "order_seconds": 3 }));
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("three buyers are admitted to three units", || room(&server)["serving"] == 3);
    let (before, paused_ms) = turn(&server, "zoe");
    assert_eq!((before.is_some(), paused_ms), (true, 0));
    assert_eq!(operate(&server, "pause").status, 200);
    assert_eq!(turn(&server, "zoe"), (None, 0), "no end is known");
    server.stop();
    let server = serve(scratch.path());
    let begun = std::time::Instant::now();
    until("the turns would have passed", || begun.elapsed().as_millis() > 3200);
    let paused = room(&server);
    assert_eq!((&paused["serving"], &paused["admitted"], &paused["paused"]), (&json!(3), &json!(3), &json!(true)));
    assert_eq!(turn(&server, "zoe"), (None, 0));
    assert_eq!(operate(&server, "resume").status, 200);
    let (after, paused_ms) = turn(&server, "zoe");
    assert!(paused_ms > 3200, "{paused_ms}");
    assert_eq!(after, before.map(|end| end + paused_ms), "the whole pause is given back");
    assert_eq!(room(&server)["paused_ms"], json!(paused_ms));
    assert_eq!(order(&server, "zoe").status, 201, "the turn has stayed");
    until("the others let their time pass", || room(&server)["serving"] == 5);
    server.stop();
    // Admissions from before and after the pause are loaded again.
    let server = serve(scratch.path());
    assert!(turn(&server, "ivy").0 > after, "a turn of after the pause");
    server.stop();
    let report = verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn a_version_of_a_room_has_one_body_though_turns_pass_and_the_server_starts_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100, "order_seconds": 3 }));
    for buyer in &BUYERS[..3] {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("three buyers are admitted to three units", || room(&server)["serving"] == 3);
    let before = server.public("GET", "/v1/drops/1/room");
    assert_eq!(before.body["idle"], 3, "{}", before.text);
    let end = turn(&server, "eve").0.expect("known");
    until("the turns have passed", || firstcome::writer::clock::wall_clock().get() > end);
    assert_eq!(server.public("GET", "/v1/drops/1/room").text, before.text);
    // Its event is not about the room, and later than the turns.
    let other =
        json!({ "sku": "P", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5, "starts_at": STARTED });
    let headers = format!("{JSON}Idempotency-Key: other\r\n");
    assert_eq!(call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &other.to_string()).status, 201);
    server.stop();
    let server = serve(scratch.path());
    let after = server.public("GET", "/v1/drops/1/room");
    assert_eq!((&after.headers["etag"], &after.text), (&before.headers["etag"], &before.text));
    server.stop();
}

#[test]
fn an_admission_is_the_buyers_own_and_no_ticket_or_key_lends_it_to_another() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100 }));
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("three buyers are admitted to three units", || room(&server)["serving"] == 3);
    // One who waits and one without a ticket, with the key of an admitted buyer's order.
    assert_eq!(order(&server, "zoe").status, 201);
    for (buyer, position) in [("ann", json!(3)), ("eve's friend", Value::Null)] {
        let refused = server.order("key-zoe", &json!({ "buyer": buyer, "quantity": 1 }).to_string());
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("not-admitted")), "{}", refused.text);
        assert_eq!((&refused.body["position"], &refused.body["serving"]), (&position, &json!(3)), "{}", refused.text);
    }
    assert_eq!(order(&server, "eve").status, 201, "the admission is still hers");
    server.stop();
}

#[test]
fn while_buyers_gather_a_start_moves_to_later_only_and_no_seed_can_be_set() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), LATER, &json!({ "admit_per_second": 10, "draw": "random" }));
    let before = server.public("GET", "/v1/drops/1").body["commitment"].clone();
    assert_eq!(ticket(&server, "ann").status, 201);
    let move_to = |revision: u32, starts_at: &str| {
        let body = json!({ "expected_revision": revision, "reason": "a test", "starts_at": starts_at });
        server.admin("PATCH", "/v1/drops/1", &body)
    };
    for earlier in ["2998-12-31T23:59:59Z", STARTED] {
        let refused = move_to(1, earlier);
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert_eq!(refused.body["errors"][0]["pointer"], "/starts_at", "{}", refused.text);
    }
    assert_eq!(move_to(1, "2999-01-02T00:00:00Z").status, 200);
    for room in [json!({ "seed": "00" }), json!({ "commitment": "00" }), json!({ "opens_at": "2020-01-03T00:00:00Z" })]
    {
        let refused = patch(&server, 2, &room);
        assert_eq!(refused.status, 400, "{room}: {}", refused.text);
    }
    let after = server.public("GET", "/v1/drops/1").body;
    assert_eq!((&after["commitment"], &after["starts_at"]), (&before, &json!("2999-01-02T00:00:00.000Z")));
    server.stop();
}

#[test]
fn a_ticket_tells_honestly_how_long_its_buyer_waits_and_what_is_left() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100 }));
    let told = |buyer: &str| ticket(&server, buyer).body;
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("three buyers are admitted", || room(&server)["serving"] == 3);
    let admitted = told("zoe");
    assert!(admitted["order_until"].is_string() && admitted.get("ahead").is_none(), "{admitted}");
    assert_eq!((&admitted["odds"], admitted.get("rate")), (&json!("open"), None), "{admitted}");
    let next = told("ann");
    assert_eq!((&next["ahead"], &next["odds"], next.get("order_until")), (&json!(0), &json!("short"), None), "{next}");
    assert_eq!((&room(&server)["idle"], &room(&server)["standby"]), (&json!(3), &json!(0)), "three may still order");
    assert!(next["rate"].as_f64().is_some_and(|rate| rate > 0.0), "{next}");
    assert_eq!(next.get("estimate"), None, "the slowest 10 s admitted no buyer: {next}");
    for buyer in ["zoe", "bob", "eve"] {
        let body = json!({ "buyer": buyer, "quantity": 1 });
        assert_eq!(server.order(buyer, &body.to_string()).status, 201);
    }
    assert_eq!((&room(&server)["held"], &room(&server)["idle"]), (&json!(3), &json!(0)), "the units may come back");
    for (buyer, ahead, odds) in [("kim", 2, "open"), ("lou", 3, "short")] {
        let told = told(buyer);
        assert_eq!((&told["ahead"], &told["odds"]), (&json!(ahead), &json!(odds)), "{told}");
    }
    server.stop();
    // The same with nothing left: what was free is taken away.
    let server = begin_empty(scratch.path());
    let refused = call(server.0.server.public_address, "POST", "/v1/drops/2/tickets", JSON, r#"{"buyer":"ann"}"#);
    assert_eq!((refused.status, &refused.body["code"]), (410, &json!("sold-out")), "{}", refused.text);
    assert_eq!((&refused.body["available"], &refused.body["held"]), (&json!(0), &json!(0)));
    server.stop();
}

/// A second drop, which has a room and no unit.
fn begin_empty(directory: &Path) -> Server {
    let server = serve(directory);
    let drop = json!({ "sku": "E", "name": "N", "currency": "EUR", "unit_price": 100, "total": 0, "starts_at": STARTED,
                       "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1 } });
    let headers = format!("{JSON}Idempotency-Key: empty\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
    assert_eq!((made.status, &made.body["id"]), (201, &json!(2)), "{}", made.text);
    server
}

#[test]
fn a_drop_whose_room_does_not_open_before_its_start_is_refused() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 3, "starts_at": STARTED,
                       "room": { "opens_at": STARTED, "admit_per_second": 1 } });
    let refused = server.admin("POST", "/v1/drops", &drop);
    assert_eq!((refused.status, &refused.body["errors"][0]["pointer"]), (400, &json!("/room/opens_at")));
    server.stop();
}

#[test]
fn verify_finds_an_altered_ticket_a_missing_one_and_an_admission_that_no_event_made() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = begin(scratch.path(), STARTED, &json!({ "admit_per_second": 100 }));
    for buyer in BUYERS {
        assert_eq!(ticket(&server, buyer).status, 201);
    }
    until("buyers are admitted", || room(&server)["serving"] == 3);
    server.stop();
    let data = scratch.path().join("data");
    for (sql, problem) in [
        ("UPDATE tickets SET buyer = 'mallory' WHERE number = 1", "ticket 1 of drop 1"),
        ("DELETE FROM tickets WHERE number = 5", "5 tickets were taken, 4 have a row: ticket 5 of drop 1 has none"),
        ("INSERT INTO admissions VALUES (1, 5, 0, 0)", "admission up to 5 of drop 1"),
        ("UPDATE admissions SET paused_ms = 1000", "the admission up to"),
        ("UPDATE rooms SET paused_ms = paused_ms + 1", "the room of drop 1: paused_ms"),
        ("UPDATE rooms SET paused_at_ms = served_at_ms", "the room of drop 1: paused_at_ms"),
        ("UPDATE rooms SET serving = 4", "the room of drop 1: serving"),
    ] {
        let file = Connection::open(data.join("firstcome.db")).expect("opened");
        file.execute_batch(&format!("BEGIN; {sql}")).expect("altered");
        let report = verify::verify_connection(&file).expect("verified");
        assert!(report.problems.iter().any(|found| found.contains(problem)), "{sql}: {:?}", report.problems);
        file.execute_batch("ROLLBACK").expect("taken back");
    }
}
