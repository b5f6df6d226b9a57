//! Blind windows by the real server: what buyers are told, kills in every phase, the draw that the decisions follow, and what
//! `verify` finds.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod http;
mod model;
mod process;
mod test_drop;

use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use firstcome::engine::draw::TreeBuilder;
use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, DropSpec, FinishDraw, FinishedDraw, OrderCommand, Outcome,
    PlaceOrder, PreparedDraw, RoomCommand,
};
use firstcome::read::draws::{draw_by_drop, ticket_digests};
use firstcome::store::{PrivateData, Store, verify};
use firstcome::types::text::rfc3339;
use firstcome::types::{
    BuyerText, DigestKey, DropId, Quantity, Seed, TicketDigest, TicketNumber, TicketPosition, UnixMillis, random,
};
use firstcome::writer::clock::wall_clock;
use http::{Server, call, serve, serve_with, until};
use model::recording::Recording;
use process::{Client, Pause, Process, wait_until};
use rusqlite::Connection;
use serde_json::{Value, json};
use test_drop::test_drop;

const BUYERS: [&str; 8] = ["zoe", "bob", "eve", "ann", "ivy", "max", "kim", "leo"];
const UNITS: u32 = 3;

/// A drop that is in its blind window for five seconds, or for a part of them that the test needs.
fn new_drop(remaining_ms: i64) -> Value {
    json!({
        "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": UNITS, "blind_ms": 5000,
        "starts_at": rfc3339(wall_clock().plus_millis(remaining_ms - 5000)),
    })
}

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn file(directory: &Path) -> Connection {
    Connection::open(directory.join("data/firstcome.db")).expect("opened")
}

fn order_of(buyer: &str) -> String {
    json!({ "buyer": buyer, "quantity": 1 }).to_string()
}

/// The buyers in the order of the draw, computed from what is public and the rows.
fn drawn(file: &Connection) -> Vec<String> {
    let row = draw_by_drop(file, id()).expect("read").expect("a draw");
    let key: [u8; 32] = file.query_row("SELECT digest_key FROM meta", [], |row| row.get(0)).expect("a key");
    let count = row.tickets.expect("begun");
    let digests = ticket_digests(file, &DigestKey::new(&key), id(), &row.commitment, 1..=count).expect("read");
    let mut tree = TreeBuilder::default();
    digests.iter().for_each(|digest| tree.push(digest));
    let tickets = tree.finish().tickets();
    assert_eq!(Some(tickets.root()), row.root);
    let seed = row.seed.expect("published");
    assert_eq!(seed.commitment(), row.commitment);
    let order = FinishedDraw::draw(tickets, seed, None).drawn.order;
    let buyer_of = |number: u32| -> String {
        let sql = "SELECT buyer FROM standby WHERE drop_id = 1 AND number = ?1";
        file.query_row(sql, [number], |row| row.get(0)).expect("a buyer")
    };
    let number_at = |position| order.number(TicketPosition(position)).map(TicketNumber::get).expect("drawn");
    (0..count).map(|position| buyer_of(number_at(position))).collect()
}

/// The buyers who got an order, in the order of the decisions.
fn winners(file: &Connection) -> Vec<String> {
    let mut statement = file.prepare("SELECT buyer FROM orders ORDER BY seq").expect("prepared");
    statement.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read")
}

fn undecided(file: &Connection) -> u32 {
    let sql = "SELECT count(*) FROM standby WHERE order_seq IS NULL AND left_seq IS NULL";
    file.query_row(sql, [], |row| row.get(0)).expect("counted")
}

fn problems(directory: &Path) -> Vec<String> {
    verify::verify(&directory.join("data")).expect("verified").problems
}

/// A server whose drop has recorded an order of each buyer.
fn record(directory: &Path) -> Server {
    record_with(directory, order_of)
}

/// The same with orders of this kind. A machine that is too slow for all of them in a window begins again.
fn record_with(directory: &Path, order_of: impl Fn(&str) -> String) -> Server {
    for _ in 0..5 {
        let server = serve(directory);
        let begun = wall_clock();
        let made = server.admin("POST", "/v1/drops", &new_drop(5000));
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!((&made.body["blind_ms"], made.body["commitment"].as_str().map(str::len)), (&json!(5000), Some(64)));
        let is_recorded = |(index, buyer): (usize, &&str)| {
            let recorded = server.order(buyer, &order_of(buyer));
            if recorded.status != 202 && wall_clock() >= begun.plus_millis(5000) {
                return false;
            }
            assert_eq!((recorded.status, &recorded.body["state"]), (202, &json!("recorded")), "{}", recorded.text);
            assert_eq!(recorded.body["ticket"], json!(index + 1), "{}", recorded.text);
            assert!(recorded.body["decided_at"].is_string(), "{}", recorded.text);
            true
        };
        if BUYERS.iter().enumerate().all(is_recorded) {
            return server;
        }
        server.stop();
        std::fs::remove_dir_all(directory.join("data")).expect("removed");
        std::fs::remove_file(directory.join("data.firstcome")).ok();
    }
    panic!("five windows were too short for {} orders", BUYERS.len())
}

#[test]
fn the_draw_decides_who_gets_the_units_and_each_buyer_learns_it_by_the_same_request() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = record(scratch.path());
    let again = server.order("zoe", &order_of("zoe"));
    assert_eq!((again.status, &again.body["ticket"]), (202, &json!(1)), "{}", again.text);
    let found = server.public("GET", "/v1/drops/1/standby?buyer=kim");
    assert_eq!((&found.body["state"], &found.body["ticket"]), (&json!("recorded"), &json!(7)), "{}", found.text);
    until("all are decided", || undecided(&file(scratch.path())) == 0);
    let statuses = BUYERS.map(|buyer| server.order(buyer, &order_of(buyer)).status);
    let decided = drawn(&file(scratch.path()));
    for (buyer, status) in BUYERS.iter().zip(statuses) {
        let position = decided.iter().position(|drawn| drawn == buyer).expect("drawn");
        assert_eq!(status, if position < UNITS as usize { 201 } else { 409 }, "{buyer} at {position}");
    }
    assert_eq!(winners(&file(scratch.path())), decided[..UNITS as usize]);
    for ticket in ["1", "8"] {
        let url = format!("http://{}", server.0.server.public_address);
        let mut program = Program::new(env!("CARGO_BIN_EXE_firstcome"));
        let told =
            program.args(["draw", "verify", "--url", &url, "--drop", "1", "--ticket", ticket]).output().expect("run");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let buyer = BUYERS[ticket.parse::<usize>().expect("a number") - 1];
        let position = decided.iter().position(|drawn| drawn == buyer).expect("drawn") + 1;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains(&position.to_string()), "{buyer} at {position}: {told}");
    }
    let loser = &decided[UNITS as usize];
    let ticket = BUYERS.iter().position(|buyer| buyer == loser).expect("a buyer") + 1;
    let find = |server: &Server, headers: &str| {
        let path = format!("/v1/drops/1/standby?buyer={loser}");
        call(server.0.server.public_address, "GET", &path, headers, "")
    };
    let key = format!("Idempotency-Key: {loser}\r\n");
    let left =
        json!({ "drop_id": 1, "buyer": loser, "quantity": 1, "state": "left", "ticket": ticket, "reason": "sold_out" });
    assert_eq!((find(&server, &key).status, find(&server, &key).body), (200, left.clone()));
    // The reason is the buyer's own: a name alone, or another key, does not get it.
    let strangers = ["", "Idempotency-Key: other\r\n"].map(|headers| find(&server, headers).status);
    assert_eq!(strangers, [404, 404]);
    // By arrival from here on.
    assert_eq!(server.order("late", &order_of("dan")).status, 409);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
    let server = serve_with(scratch.path(), |config| {
        config.payments.sandbox = true;
        config.storefront.enabled = true;
    });
    assert_eq!(find(&server, &key).body, left, "also after a restart");
    assert_eq!(BUYERS.map(|buyer| server.order(buyer, &order_of(buyer)).status), statuses, "also after a restart");
    assert_eq!(server.admin("POST", "/v1/drops/1/close", &json!({ "reason": "done" })).status, 200);
    assert_eq!(find(&server, &key).status, 404, "until the drop ends");
    // The page leads to the order with the key of the joining only: a name and a number are guessed.
    let winner = &decided[0];
    let ticket = BUYERS.iter().position(|buyer| buyer == winner).expect("a buyer") + 1;
    for (key, leads_to) in [("", "/drops/1"), ("other", "/drops/1"), (winner.as_str(), "/orders/")] {
        let page = server.public("GET", &format!("/drops/1/standby?buyer={winner}&key={key}&recorded={ticket}"));
        let location = page.headers.get("location").map_or("", String::as_str);
        assert!(page.status == 303 && location.starts_with(leads_to), "{key}: {} {location}", page.status);
    }
    server.stop();
}

#[test]
fn a_contact_moves_to_the_order_and_those_of_the_others_are_erased() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = record_with(scratch.path(), |buyer| {
        json!({ "buyer": buyer, "quantity": 1, "contact": { "email": format!("{buyer}@example.org") } }).to_string()
    });
    until("all are decided", || undecided(&file(scratch.path())) == 0);
    let file = file(scratch.path());
    let count = |table: &str| -> u32 {
        file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
    };
    assert_eq!((count("contacts"), count("standby_contacts")), (UNITS, 0));
    let audit = call(server.0.server.admin_address, "GET", "/v1/audit", "", "");
    assert!(audit.text.contains("window_ended") && !audit.text.contains("example.org"), "{}", audit.text);
    assert!(BUYERS.iter().all(|buyer| !audit.text.contains(buyer)), "the audit tells no buyer: {}", audit.text);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
}

#[test]
fn verify_finds_a_decision_before_its_turn_and_another_number_or_buyer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = record(scratch.path());
    until("all are decided", || undecided(&file(scratch.path())) == 0);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
    let connection = file(scratch.path());
    for (sql, fault) in [
        ("UPDATE standby SET number = 9 WHERE number = 8", "of a line: number is 9, the audit gives 8"),
        ("UPDATE standby SET buyer = 'dan' WHERE number = 1", "the chain breaks"),
        ("UPDATE drops SET blind_ms = 1", "blind_ms"),
        ("UPDATE draws SET tickets = 7", "the draw of drop 1: tickets"),
        (
            "UPDATE audit SET detail = replace(detail, '\"number\":1', '\"number\":2') WHERE kind = 'standby_joined'",
            "is out of order",
        ),
        (
            "UPDATE audit SET detail = replace(detail, '\"joined_seq\":2', '\"joined_seq\":3')
             WHERE kind IN ('order_reserved', 'standby_left')",
            "was decided before its turn",
        ),
    ] {
        connection.execute_batch(&format!("BEGIN; {sql}")).expect("altered");
        let found = verify::verify_connection(&connection).expect("verified").problems;
        connection.execute_batch("ROLLBACK").expect("taken back");
        assert!(found.iter().any(|problem| problem.contains(fault)), "{sql}: {found:?}");
    }
}

/// Kills a server at a place of its window, starts it again, and checks that the same draw decides, once. Returns false if the
/// window, which is as long as one can be, ended before the orders had come: a busy machine.
fn kill_at(place: &str, times: u64) -> bool {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let mut server = Process::start(&data, &pause.at(place, times));
    let mut admin = Client::connect(server.admin).expect("connected");
    let begun = wall_clock();
    assert_eq!(admin.post("/v1/drops", "create", &new_drop(5000)).expect("answered").status, 201);
    let mut public = Client::connect(server.public).expect("connected");
    for buyer in BUYERS {
        let body = json!({ "buyer": buyer, "quantity": 1 });
        // A window that ends too early may bring the pause in the middle of the orders: one of them gets no answer.
        let status = public.post("/v1/drops/1/orders", buyer, &body).map_or(0, |answer| answer.status);
        if status != 202 {
            assert!(wall_clock() >= begun.plus_millis(5000), "{place}:{times}: {status} within the window");
            return false;
        }
    }
    pause.wait();
    server.kill();
    let server = Process::start(&data, &[]);
    wait_until("all are decided", || undecided(&file(scratch.path())) == 0);
    drop(server);
    let connection = file(scratch.path());
    assert_eq!(winners(&connection), drawn(&connection)[..UNITS as usize], "{place}:{times}");
    drop(connection);
    assert_eq!(problems(scratch.path()), Vec::<String>::new(), "{place}:{times}");
    true
}

#[test]
#[cfg(feature = "failpoints")]
fn killed_in_any_phase_of_a_window_every_recorded_order_is_decided_by_the_same_draw() {
    // The creation and each order have a commit of their own: then come the end of the window, root, seed and decisions.
    let commits = 1 + BUYERS.len() as u64;
    let of_writer = ["BeforeCommit", "AfterCommit"].into_iter();
    let of_writer = of_writer.flat_map(|place| (1..=4).map(move |n| (place, commits + n)));
    let places: Vec<_> = of_writer.chain([("BeforeTicketsFixed", 1), ("BeforeDrawn", 1)]).collect();
    std::thread::scope(|scope| {
        for (place, times) in places {
            scope.spawn(move || {
                assert!((0..5).any(|_| kill_at(place, times)), "{place}:{times}: five windows were too short")
            });
        }
    });
}

#[test]
fn a_window_in_the_past_ends_by_itself_also_after_a_restart_and_the_drop_sells_by_arrival() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut server = serve(scratch.path());
    // The first drop begins after its window; the second is moved there from the future.
    assert_eq!(server.admin("POST", "/v1/drops", &new_drop(-60_000)).status, 201);
    let later = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": UNITS, "blind_ms": 1,
                        "starts_at": "2999-01-01T00:00:00Z" });
    let headers = |key: &str| format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let admin = |server: &Server, method: &str, path: &str, key: &str, body: &Value| {
        call(server.0.server.admin_address, method, path, &headers(key), &body.to_string())
    };
    assert_eq!(admin(&server, "POST", "/v1/drops", "later", &later).status, 201);
    let moved = json!({ "expected_revision": 1, "starts_at": "2020-01-01T00:00:00Z", "reason": "because" });
    let moved = admin(&server, "PATCH", "/v1/drops/2", "moved", &moved);
    assert_eq!(moved.status, 200, "{}", moved.text);
    let state = |server: &Server, drop: u32| server.public("GET", &format!("/v1/drops/{drop}/draw")).body;
    for restarts in [false, true] {
        for drop in [1, 2] {
            until("an empty draw", || state(&server, drop)["state"] == "drawn");
            assert_eq!(state(&server, drop)["tickets"]["count"], 0);
            let buyer = format!("{restarts}");
            let path = format!("/v1/drops/{drop}/orders");
            let placed = call(server.0.server.public_address, "POST", &path, &headers(&buyer), &order_of(&buyer));
            assert_eq!((placed.status, &placed.body["state"]), (201, &json!("reserved")), "{}", placed.text);
        }
        server.stop();
        assert_eq!(problems(scratch.path()), Vec::<String>::new());
        server = serve(scratch.path());
    }
    server.stop();
}

/// The writer's work on 100,000 recorded orders, with its file: every advance and commit is a step in which no other command is
/// answered. An advance decides what is due by the time that has passed, as the writer's does.
#[test]
#[ignore = "100,000 orders take a minute in debug code"]
fn the_decision_of_a_hundred_thousand_recorded_orders_makes_no_long_step() {
    const ORDERS: u32 = 100_000;
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(&scratch.path().join("data"), UnixMillis::ZERO).expect("opened");
    let digests = store.digest_key.clone();
    let (mut recording, mut recorder) = Recording::begin(&store, 1_000_000);
    let start = UnixMillis::new(10_000).expect("in range");
    let seed = Seed::from_slice(&[5; 32]).expect("32 bytes");
    let commitment = Some(seed.commitment());
    let spec = DropSpec { starts_at: start, blind_ms: 5000, commitment, ..test_drop(ORDERS / 2) };
    let digest = digests.params(b"drop");
    let create = CreateDrop { key: CommandKey { digest, params: digest }, spec: Box::new(spec) };
    let decide = |recording: &mut Recording<'_>, command: &Command, private_data, at| {
        recording.advance(at);
        let outcome = recording.decide_with(command, private_data, at);
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    };
    let created = Command::Drop(DropCommand::Create(create));
    decide(&mut recording, &created, Some(PrivateData::Seed { seed: seed.clone() }), UnixMillis::ZERO);
    let mut longest = [Duration::ZERO; 3];
    let mut tree = TreeBuilder::default();
    for n in 0..ORDERS {
        let name = format!("buyer{n}");
        let buyer = digests.buyer(&name);
        let key = digests.order_key(id(), &buyer, b"key");
        let order =
            PlaceOrder { drop_id: id(), buyer, key, quantity: Quantity::ONE, contact_given: false, facts: None };
        let (secret, buyer_text) = (random::order_secret(id().shard()), BuyerText::new(&name).expect("a name"));
        let private_data = PrivateData::Order { secret, buyer: buyer_text, contact: None };
        let began = Instant::now();
        decide(&mut recording, &Command::Order(OrderCommand::Place(order)), Some(private_data), start);
        longest[0] = longest[0].max(began.elapsed());
        tree.push(&TicketDigest::of(&seed.commitment(), &buyer));
        if n % 256 == 0 {
            recording.commit(&mut recorder, "recorded");
        }
    }
    let end = start.plus_millis(5000);
    let tickets = tree.finish().tickets();
    let fix = Command::Room(RoomCommand::FixTickets { drop_id: id(), root: tickets.root() });
    let prepared = PreparedDraw::new(FinishedDraw::draw(tickets, seed.clone(), None));
    let finish = Command::Room(RoomCommand::FinishDraw(Box::new(FinishDraw { drop_id: id(), seed, prepared })));
    for command in [fix, finish] {
        let began = Instant::now();
        decide(&mut recording, &command, None, end);
        longest[1] = longest[1].max(began.elapsed());
        recording.commit(&mut recorder, "drawn");
    }
    let decided = Instant::now();
    let mut steps = 0u32;
    while recording.state.drop_entry(id()).expect("there").draw().is_some() {
        let began = Instant::now();
        let passed = i64::try_from(decided.elapsed().as_millis()).expect("short");
        recording.advance(end.plus_millis(passed));
        assert!(recording.batch.events.len() <= 200, "a step decides no more, however late it comes");
        recording.commit(&mut recorder, "decided");
        longest[2] = longest[2].max(began.elapsed());
        steps += 1;
    }
    println!(
        "{ORDERS} orders decided in {:?}, {steps} steps; longest: recording {:?}, draw {:?}, decisions {:?}",
        decided.elapsed(),
        longest[0],
        longest[1],
        longest[2]
    );
    assert_eq!(recording.state.drop_entry(id()).expect("there").held, ORDERS / 2);
}
