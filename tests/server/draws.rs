//! Draws by the real server: the task that draws, restarts and kills in every phase, what is told when, and what `verify`
//! finds. Everybody can draw again from what is public.

use std::path::Path;
use std::process::Stdio;

use crate::http::{Server, call, serve, until};
use crate::process::{Client, Pause, Process, wait_until};
use firstcome::engine::draw::{TicketProof, TicketTree, Transcript, TreeBuilder};
use firstcome::engine::{Command, Outcome, PostBeacon, RoomCommand};
use firstcome::read::DrawRow;
use firstcome::read::draws::{draw_by_drop, ticket_digests};
use firstcome::store::verify;
use firstcome::types::text::rfc3339;
use firstcome::types::{Beacon, DigestKey, DrawState, DropId, TicketNumber, TicketPosition, hex};
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{Class, Submission, WriterReply};
use rusqlite::Connection;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";
const BUYERS: [&str; 8] = ["zoe", "bob", "eve", "ann", "ivy", "max", "kim", "leo"];
/// The time from the creation of a drop to its start, in milliseconds: the next one, if the machine was too slow for the
/// tickets.
const GATHERING_MS: [i64; 4] = [1500, 5000, 15_000, 60_000];

/// A drop whose room is open and whose start comes soon.
fn new_drop(beacon: &Value, gathering_ms: i64) -> Value {
    let mut drop = json!({
        "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 100,
        "starts_at": rfc3339(wall_clock().plus_millis(gathering_ms)),
        "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1000, "draw": "random" },
    });
    for (name, value) in beacon.as_object().expect("members") {
        drop["room"][name] = value.clone();
    }
    drop
}

/// A server whose drop has a ticket of each buyer, taken before its start.
fn gather(directory: &Path, beacon: &Value) -> Server {
    for gathering_ms in GATHERING_MS {
        let server = serve(directory);
        let made = server.admin("POST", "/v1/drops", &new_drop(beacon, gathering_ms));
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.body["commitment"].as_str().map(str::len), Some(64), "{}", made.text);
        let taken = BUYERS.map(|buyer| ticket(&server, buyer));
        if taken.iter().all(|taken| taken["state"] == "gathering") {
            assert!(taken.iter().all(|taken| taken.get("position").is_none()), "{taken:?}");
            return server;
        }
        server.stop();
        std::fs::remove_dir_all(directory.join("data")).expect("removed");
        std::fs::remove_file(directory.join("data.firstcome")).ok();
    }
    panic!("the machine is too slow for {} tickets", BUYERS.len())
}

fn ticket(server: &Server, buyer: &str) -> Value {
    let body = json!({ "buyer": buyer }).to_string();
    let taken = call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", JSON, &body);
    assert_eq!(taken.status, 201, "{}", taken.text);
    taken.body
}

fn positions(server: &Server) -> Vec<u64> {
    BUYERS.map(|buyer| ticket(server, buyer)["position"].as_u64().expect("drawn")).to_vec()
}

fn state(server: &Server) -> String {
    server.public("GET", "/v1/drops/1/room").body["state"].as_str().expect("a state").to_string()
}

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn post(server: &Server, beacon: &[u8]) -> Outcome {
    let beacon = Beacon::from_slice(beacon).expect("short");
    let post = PostBeacon { drop_id: id(), beacon, source: "block 7".into(), reason: "ann".into() };
    let command = Command::Room(RoomCommand::PostBeacon(Box::new(post)));
    let sent = server.0.writer.submit(Submission { command, private_data: None, class: Class::Operator });
    match sent.expect("let in").wait() {
        WriterReply::Decided(decided) => decided.outcome,
        other @ (WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown) => panic!("{other:?}"),
    }
}

fn file(directory: &Path) -> Connection {
    Connection::open(directory.join("data/firstcome.db")).expect("opened")
}

fn draw(file: &Connection) -> DrawRow {
    draw_by_drop(file, id()).expect("read").expect("a draw")
}

fn key(file: &Connection) -> DigestKey {
    let key: [u8; 32] = file.query_row("SELECT digest_key FROM meta", [], |row| row.get(0)).expect("a key");
    DigestKey::new(&key)
}

fn events(file: &Connection, kind: &str) -> u32 {
    file.query_row("SELECT count(*) FROM audit WHERE kind = ?1", [kind], |row| row.get(0)).expect("counted")
}

/// Draws again from what the file tells of the draw, and checks each ticket against its position.
fn check(file: &Connection, positions: &[u64]) {
    let row = draw(file);
    assert_eq!(row.state(), DrawState::Drawn);
    let count = row.tickets.expect("begun");
    let digests = ticket_digests(file, &key(file), id(), &row.commitment, 1..=count).expect("read");
    let mut tree = TreeBuilder::default();
    digests.iter().for_each(|digest| tree.push(digest));
    let tree: TicketTree = tree.finish();
    assert_eq!(Some(tree.tickets().root()), row.root);
    let transcript = Transcript {
        commitment: row.commitment,
        seed: row.seed.expect("published"),
        beacon: row.beacon.unwrap_or_default(),
        tickets: tree.tickets(),
        result: row.result.expect("published"),
    };
    for (n, position) in (1..=count).zip(positions) {
        let number = TicketNumber::new(n).expect("not 0");
        let path = tree.path(number, &digests).expect("one block");
        let position = TicketPosition(u32::try_from(*position).expect("few"));
        let proof = TicketProof { number, digest: digests[number.index()], position, path };
        transcript.check(Some(&proof)).unwrap_or_else(|fault| panic!("ticket {n}: {fault}"));
    }
}

fn verified(directory: &Path) {
    let report = verify::verify(&directory.join("data")).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn a_room_is_drawn_at_its_start_and_positions_survive_a_restart() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = gather(scratch.path(), &json!({}));
    until("the room serves", || state(&server) == "serving");
    let drawn = positions(&server);
    let mut sorted = drawn.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..8).collect::<Vec<u64>>());
    let late = ticket(&server, "late");
    assert_eq!((&late["number"], &late["position"]), (&json!(9), &json!(8)));
    until("all are admitted", || server.public("GET", "/v1/drops/1/room").body["serving"] == 9);
    assert_eq!(server.order("key", &json!({ "buyer": "ann", "quantity": 1 }).to_string()).status, 201);
    let audit = call(server.0.server.admin_address, "GET", "/v1/audit", "", "").text;
    let row = draw(&file(scratch.path()));
    let seed = row.seed.expect("published").reveal();
    assert!(audit.contains(&seed) && audit.contains("room_tickets_fixed"), "{audit}");
    server.stop();
    let server = serve(scratch.path());
    assert_eq!(positions(&server), drawn, "the same after a restart");
    assert_eq!(ticket(&server, "late")["position"], 8);
    server.stop();
    verified(scratch.path());
    let file = file(scratch.path());
    check(&file, &drawn);
    assert_eq!((events(&file, "room_tickets_fixed"), events(&file, "room_drawn")), (1, 1));
}

#[test]
fn a_draw_waits_for_its_beacon_also_after_a_restart() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = gather(scratch.path(), &json!({ "beacon": "required", "beacon_seconds": 600 }));
    let waits = || draw(&file(scratch.path())).state() == DrawState::AwaitingBeacon;
    until("the tickets are fixed", waits);
    assert_eq!(state(&server), "drawing");
    let root = draw(&file(scratch.path())).root;
    server.stop();
    let server = serve(scratch.path());
    let late = ticket(&server, "late");
    assert_eq!((&late["state"], &late["position"]), (&json!("drawing"), &json!(8)), "behind the drawn ones");
    let row = draw(&file(scratch.path()));
    assert_eq!((row.root, row.seed.is_some(), row.state()), (root, false, DrawState::AwaitingBeacon));
    assert!(matches!(post(&server, b"from the chain"), Outcome::Accepted(_)));
    assert!(matches!(post(&server, b"a better one"), Outcome::Refused { .. }), "one beacon");
    until("the room serves", || state(&server) == "serving");
    assert!(matches!(post(&server, b"a better one"), Outcome::Refused { .. }), "too late");
    let drawn = positions(&server);
    server.stop();
    verified(scratch.path());
    let file = file(scratch.path());
    check(&file, &drawn);
    let row = draw(&file);
    assert_eq!(row.beacon.as_ref().map(Beacon::as_bytes), Some(&b"from the chain"[..]));
    assert_eq!(row.beacon_source.as_deref(), Some("block 7"));
}

#[test]
fn a_draw_that_waits_for_its_beacon_holds_up_no_other_draw() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = gather(scratch.path(), &json!({ "beacon": "required", "beacon_seconds": 3600 }));
    let waits = || draw(&file(scratch.path())).state() == DrawState::AwaitingBeacon;
    until("the first draw waits for its beacon", waits);
    let (headers, drop) = (format!("{JSON}Idempotency-Key: second\r\n"), new_drop(&json!({}), 1000).to_string());
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop);
    assert_eq!(made.status, 201, "{}", made.text);
    until("the second drop's draw", || server.public("GET", "/v1/drops/2/room").body["state"] == "serving");
    assert!(waits());
    server.stop();
    verified(scratch.path());
}

#[test]
fn a_draw_whose_beacon_does_not_come_goes_on_without_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = gather(scratch.path(), &json!({ "beacon": "required", "beacon_seconds": 1 }));
    until("the room serves", || state(&server) == "serving");
    let drawn = positions(&server);
    let told = server.public("GET", "/v1/drops/1/draw").body;
    assert_eq!(
        (&told["beacon_rule"], &told["beacon_missed"], told.get("beacon")),
        (&json!("required"), &json!(true), None)
    );
    server.stop();
    verified(scratch.path());
    let file = file(scratch.path());
    check(&file, &drawn);
    assert_eq!(events(&file, "room_beacon_missed"), 1);
    assert!(firstcome::types::webhooks::type_of("room_beacon_missed").is_some(), "endpoints are told");
}

/// Files that the server has written, but for its database and what belongs to it.
fn written(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.is_file());
    files.map(|path| (path.display().to_string(), std::fs::read(&path).expect("read"))).collect()
}

#[test]
fn a_seed_is_in_no_log_capture_metric_or_answer_before_the_draw() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let log = std::fs::File::create(scratch.path().join("log")).expect("created");
    let capture = scratch.path().join("sale.capture").to_str().expect("a path").to_string();
    let environment = [("FIRSTCOME__LOG__LEVEL", "trace".to_string()), ("FIRSTCOME__CAPTURE__FILE", capture)];
    let mut server = Process::start_saying(&data, &environment, Stdio::from(log));
    let mut admin = Client::connect(server.admin).expect("connected");
    let beacon = json!({ "beacon": "required", "beacon_seconds": 600 });
    let made = admin.post("/v1/drops", "create", &new_drop(&beacon, GATHERING_MS[0])).expect("answered");
    assert_eq!(made.status, 201, "{}", made.body);
    for buyer in BUYERS {
        position(&server, buyer);
    }
    let file = file(scratch.path());
    let logged =
        || std::fs::read_to_string(scratch.path().join("log")).expect("a log").contains("a step of a draw is done");
    wait_until("the tickets are fixed", || draw(&file).state() == DrawState::AwaitingBeacon && logged());
    let seed: Vec<u8> = file.query_row("SELECT seed FROM draws", [], |row| row.get(0)).expect("a seed");
    let digits = hex::encode(&seed);
    let mut told = written(scratch.path());
    for (address, path) in [
        (server.admin, "/v1/audit"),
        (server.admin, "/metrics"),
        (server.admin, "/v1/settings"),
        (server.public, "/v1/drops/1"),
        (server.public, "/v1/drops/1/room"),
        (server.public, "/v1/drops/1/draw?ticket=1"),
        (server.admin, "/v1/console/drops/1/draw"),
        (server.admin, "/v1/drops/1/report"),
        (server.public, "/v1/drops"),
    ] {
        let mut client = Client::connect(address).expect("connected");
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).expect("sent");
        let answer = client.read_to_end();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        told.push((path.into(), answer.into_bytes()));
    }
    let details: String =
        file.query_row("SELECT group_concat(detail) FROM audit", [], |row| row.get(0)).expect("the audit");
    told.push(("audit".into(), details.into_bytes()));
    assert!(told.iter().any(|(name, bytes)| name.ends_with("capture") && bytes.len() > 500), "a capture is written");
    for (name, bytes) in &told {
        let has = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(
            !has(&seed) && !has(digits.as_bytes()) && !has(digits.to_uppercase().as_bytes()),
            "{name} has the seed"
        );
    }
    server.kill();
}

/// Takes a ticket of a process, and returns its position if it is known.
fn position(server: &Process, buyer: &str) -> Option<u64> {
    let mut client = Client::connect(server.public).expect("connected");
    let taken = client.post("/v1/drops/1/tickets", "", &json!({ "buyer": buyer })).expect("answered");
    assert_eq!(taken.status, 201, "{}", taken.body);
    taken.body["position"].as_u64()
}

/// Kills a server at a place of its draw, starts it again, and checks that there is one draw, of all tickets.
fn kill_at(place: &str, times: u64) {
    let was_fast_enough = GATHERING_MS.into_iter().any(|gathering_ms| try_to_kill_at(place, times, gathering_ms));
    assert!(was_fast_enough, "the machine is too slow for {} tickets", BUYERS.len());
}

/// The same with a drop that starts so soon; false if it has started before all tickets were taken.
fn try_to_kill_at(place: &str, times: u64, gathering_ms: i64) -> bool {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let mut server = Process::start(&data, &pause.at(place, times));
    let mut admin = Client::connect(server.admin).expect("connected");
    let made = admin.post("/v1/drops", "create", &new_drop(&json!({}), gathering_ms)).expect("answered");
    assert_eq!(made.status, 201, "{}", made.body);
    // It may stand still at its place before the last ticket.
    if !BUYERS.iter().all(|buyer| takes_in_time(&server, buyer)) {
        return false;
    }
    pause.wait();
    let before = draw(&file(scratch.path()));
    server.kill();
    let server = Process::start(&data, &[]);
    wait_until("the draw is done", || draw(&file(scratch.path())).state() == DrawState::Drawn);
    let positions: Vec<u64> = BUYERS.map(|buyer| position(&server, buyer).expect("drawn")).to_vec();
    drop(server);
    let file = file(scratch.path());
    check(&file, &positions);
    let after = draw(&file);
    assert_eq!(after.commitment, before.commitment, "{place}:{times}: the seed is not lost");
    assert!(before.root.is_none_or(|root| Some(root) == after.root), "{place}:{times}: tickets are fixed once");
    assert!(before.result.is_none_or(|result| Some(result) == after.result), "{place}:{times}: drawn once");
    assert_eq!((events(&file, "room_tickets_fixed"), events(&file, "room_drawn")), (1, 1), "{place}:{times}");
    drop(file);
    verified(scratch.path());
    true
}

/// Takes a ticket of a process; false if the draw does not include it.
fn takes_in_time(server: &Process, buyer: &str) -> bool {
    let Ok(mut client) = Client::connect_patiently(server.public, std::time::Duration::from_secs(2)) else {
        return false;
    };
    let taken = client.post("/v1/drops/1/tickets", "", &json!({ "buyer": buyer }));
    taken.is_ok_and(|taken| taken.status == 201 && taken.body["state"] == "gathering")
}

#[test]
#[cfg(feature = "failpoints")]
fn killed_in_any_phase_of_a_draw_it_goes_on_with_it_and_draws_once() {
    // Each ticket and the creation have a commit of their own: then come start, root, seed and the first admission.
    let commits = 1 + BUYERS.len() as u64;
    let of_writer = ["BeforeCommit", "AfterCommit"].into_iter();
    let of_writer = of_writer.flat_map(|place| (1..=4).map(move |n| (place, commits + n)));
    let places: Vec<_> = of_writer.chain([("BeforeTicketsFixed", 1), ("BeforeDrawn", 1)]).collect();
    std::thread::scope(|scope| {
        for (place, times) in places {
            scope.spawn(move || kill_at(place, times));
        }
    });
}

/// Copies the directory of a stopped server.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

#[test]
fn a_copy_that_is_put_back_draws_no_other_order() {
    let (scratch, before, after) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let (scratch, before, after) = (scratch.expect("one"), before.expect("two"), after.expect("three"));
    let server = gather(scratch.path(), &json!({}));
    server.stop();
    copy(&scratch.path().join("data"), &before.path().join("data"));
    let server = serve(scratch.path());
    until("the room serves", || state(&server) == "serving");
    let drawn = positions(&server);
    server.stop();
    copy(&scratch.path().join("data"), &after.path().join("data"));
    // One of after the draw has it; one of before has the same seed and the same tickets.
    for (copy, name) in [(after, "after"), (before, "before")] {
        let server = serve(copy.path());
        until("the room serves", || state(&server) == "serving");
        assert_eq!(positions(&server), drawn, "{name}");
        server.stop();
        let file = file(copy.path());
        assert_eq!(events(&file, "room_drawn"), 1, "{name}");
        check(&file, &drawn);
        verified(copy.path());
    }
}

#[test]
fn verify_finds_another_root_order_or_seed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = gather(scratch.path(), &json!({ "beacon": "required", "beacon_seconds": 600 }));
    let fixed = || draw(&file(scratch.path())).state() == DrawState::AwaitingBeacon;
    until("the tickets are fixed", fixed);
    assert!(matches!(post(&server, b"a beacon"), Outcome::Accepted(_)));
    until("the room serves", || state(&server) == "serving");
    server.stop();
    for (sql, problem) in [
        ("UPDATE draws SET root = zeroblob(32)", "the draw of drop 1: root"),
        ("UPDATE draws SET result = zeroblob(32)", "the draw of drop 1: result"),
        ("UPDATE draws SET seed = zeroblob(32)", "its seed is not the one that was committed to"),
        ("UPDATE draws SET commitment = zeroblob(32)", "the draw of drop 1: commitment"),
        ("UPDATE draws SET beacon = x'01'", "the draw of drop 1: beacon"),
        ("UPDATE draws SET beacon_source = 'elsewhere'", "the draw of drop 1: beacon_source"),
        ("UPDATE draws SET tickets = 7", "the draw of drop 1: tickets"),
        ("UPDATE draws SET drawn_seq = 1", "the draw of drop 1: drawn_seq"),
        ("DELETE FROM draws", "1 draws were created, 0 have a row: the draw of drop 1 has none"),
        (
            r#"UPDATE audit SET detail = replace(detail, '"root":"', '"root":"0') WHERE kind = 'room_tickets_fixed'"#,
            "the root is not that of the tickets of the draw of drop 1",
        ),
        (
            r#"UPDATE audit SET detail = replace(detail, '"result":"', '"result":"0') WHERE kind = 'room_drawn'"#,
            "seed, beacon and tickets give another result at the end of the draw of drop 1",
        ),
    ] {
        let file = file(scratch.path());
        file.execute_batch(&format!("BEGIN; {sql}")).expect("altered");
        let report = verify::verify_connection(&file).expect("verified");
        assert!(report.problems.iter().any(|found| found.contains(problem)), "{sql}: {:?}", report.problems);
        let seed = draw_by_drop(&file, id()).expect("read").and_then(|draw| draw.seed).map(|seed| seed.reveal());
        assert!(seed.is_none_or(|seed| !report.problems.iter().any(|found| found.contains(&seed))), "{sql}");
        file.execute_batch("ROLLBACK").expect("taken back");
    }
}
