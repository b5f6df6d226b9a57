//! A backup from before a draw that is put back after it: what buyers were told is not drawn a second time by itself.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Client, Process, wait_until};
use firstcome::store::verify;
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

/// The time from the creation of a drop to its start, in milliseconds: the next one, if the machine was too slow.
const GATHERING_MS: [i64; 3] = [2000, 10_000, 60_000];
const BUYERS: [&str; 6] = ["zoe", "bob", "eve", "ann", "ivy", "max"];

fn firstcome(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let ran = program.args(arguments).stdin(Stdio::null()).output().expect("run");
    let said = [&ran.stdout[..], &ran.stderr[..]].concat();
    (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn get(server: &Process, path: &str) -> Value {
    Client::connect(server.public).and_then(|mut client| client.get(path)).expect("answered").body
}

fn ticket(server: &Process, drop: u64, buyer: &str) -> Value {
    let mut client = Client::connect(server.public).expect("connected");
    let body = json!({ "buyer": buyer });
    let taken = client.post(&format!("/v1/drops/{drop}/tickets"), "", &body).expect("answered");
    assert_eq!(taken.status, 201, "{}", taken.body);
    taken.body
}

fn operate(server: &Process, path: &str, body: &Value) -> Value {
    let mut client = Client::connect(server.admin).expect("connected");
    let done = client.post(path, &format!("key {path}"), body).expect("answered");
    assert!(done.status < 300, "{path}: {}", done.body);
    done.body
}

/// Creates a drop that is drawn so many milliseconds from now.
fn create(server: &Process, key: &str, gathering_ms: i64) -> Value {
    let drop = json!({
        "sku": key, "name": "N", "currency": "EUR", "unit_price": 100, "total": 100,
        "starts_at": rfc3339(wall_clock().plus_millis(gathering_ms)),
        "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1000, "draw": "random" },
    });
    let mut client = Client::connect(server.admin).expect("connected");
    let made = client.post("/v1/drops", key, &drop).expect("answered");
    assert_eq!(made.status, 201, "{}", made.body);
    made.body
}

fn is_drawn(server: &Process, drop: u64) -> bool {
    get(server, &format!("/v1/drops/{drop}/draw"))["state"] == "drawn"
}

fn stop(mut server: Process) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

fn events(data: &Path, kind: &str) -> u32 {
    let file = Connection::open(data.join("firstcome.db")).expect("opened");
    file.query_row("SELECT count(*) FROM audit WHERE kind = ?1", [kind], |row| row.get(0)).expect("counted")
}

/// A server with the tickets of all but the last buyer, a backup of that, and then the last ticket.
fn gather(data: &Path, backup: &Path) -> (Process, Value) {
    for gathering_ms in GATHERING_MS {
        let server = Process::start(data, &[]);
        let drop = create(&server, "first", gathering_ms);
        let (last, others) = BUYERS.split_last().expect("buyers");
        for buyer in others {
            ticket(&server, 1, buyer);
        }
        let admin = server.admin.to_string();
        let (code, said) = firstcome(&["backup", "--to", name(backup), "--admin", &admin]);
        assert_eq!(code, Some(0), "{said}");
        if ticket(&server, 1, last)["state"] == "gathering" {
            return (server, drop);
        }
        stop(server);
        std::fs::remove_dir_all(data).expect("removed");
        std::fs::remove_file(data.with_extension("firstcome")).ok();
        std::fs::remove_file(backup).expect("removed");
    }
    panic!("the machine is too slow for {} tickets", BUYERS.len())
}

/// Restores a backup with the loss that the command names, and returns what it said.
fn restore(backup: &Path, data: &Path) -> String {
    let (code, said) = firstcome(&["restore", name(backup), "--data", name(data)]);
    assert_eq!(code, Some(65), "a loss is not accepted: {said}");
    let option = said.split_whitespace().find(|word| word.contains("--accept-loss=")).expect("the option");
    let option = option.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let (code, said) = firstcome(&["restore", name(backup), "--data", name(data), option]);
    assert_eq!(code, Some(0), "{said}");
    said
}

/// A server with a drop of 3 units whose blind window has recorded an order of each buyer, and a backup from before the last one.
fn record(data: &Path, backup: &Path) -> Process {
    for remaining_ms in [2000, 5000] {
        let server = Process::start(data, &[]);
        let drop = json!({
            "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 3, "blind_ms": 5000,
            "starts_at": rfc3339(wall_clock().plus_millis(remaining_ms - 5000)),
        });
        let made = Client::connect(server.admin).and_then(|mut client| client.post("/v1/drops", "blind", &drop));
        assert_eq!(made.expect("answered").status, 201);
        let (last, others) = BUYERS.split_last().expect("buyers");
        let order = |buyer: &str| Client::connect(server.public).and_then(|mut client| client.order(buyer));
        let recorded = others.iter().all(|buyer| order(buyer).expect("answered").status == 202);
        let (code, said) = firstcome(&["backup", "--to", name(backup), "--admin", &server.admin.to_string()]);
        assert_eq!(code, Some(0), "{said}");
        if recorded && order(last).expect("answered").body["state"] == "recorded" {
            return server;
        }
        stop(server);
        std::fs::remove_dir_all(data).expect("removed");
        std::fs::remove_file(data.with_extension("firstcome")).ok();
        std::fs::remove_file(backup).expect("removed");
    }
    panic!("the machine is too slow for {} orders", BUYERS.len())
}

#[test]
fn a_backup_from_a_blind_window_that_is_put_back_after_the_decisions_decides_only_if_an_operator_resumes_the_drop() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("before.db"));
    let held = |server: &Process| get(server, "/v1/drops/1")["held"].clone();
    let server = record(&data, &backup);
    wait_until("the orders are decided", || is_drawn(&server, 1) && held(&server) == 3);
    stop(server);
    let said = restore(&backup, &data);
    assert!(said.contains("paused: drop 1.") && said.contains("room_drawn"), "{said}");
    let server = Process::start(&data, &[]);
    // Another drop is drawn: the server has looked for draws since.
    create(&server, "second", 300);
    wait_until("the second room is drawn", || is_drawn(&server, 2));
    let draw = get(&server, "/v1/drops/1/draw");
    assert!(draw["state"] != "drawn" && draw.get("seed").is_none(), "{draw}");
    assert_eq!((held(&server), &get(&server, "/v1/drops/1")["state"]), (json!(0), &json!("paused")));
    operate(&server, "/v1/drops/1/resume", &json!({ "reason": "nobody was told" }));
    wait_until("the orders are decided", || is_drawn(&server, 1) && held(&server) == 3);
    stop(server);
    assert_eq!(events(&data, "standby_joined"), 5, "the last order came after the backup");
    let report = verify::verify(&data).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn a_backup_that_is_put_back_after_the_draw_draws_again_only_if_an_operator_resumes_the_drop() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("before.db"));
    let (server, made) = gather(&data, &backup);
    wait_until("the room is drawn", || is_drawn(&server, 1));
    stop(server);
    assert_eq!(events(&data, "room_drawn"), 1);

    let said = restore(&backup, &data);
    assert!(said.contains("paused: drop 1.") && said.contains("room_drawn"), "{said}");

    let server = Process::start(&data, &[]);
    // Another room is created and drawn: the server has looked for draws since, and gone past the first one.
    create(&server, "second", 300);
    wait_until("the second room is drawn", || is_drawn(&server, 2));
    let first = get(&server, "/v1/drops/1/draw");
    assert_ne!(first["state"], "drawn", "{first}");
    assert_eq!(first.get("seed"), None, "{first}");
    assert_eq!(first["commitment"], made["commitment"]);
    assert_eq!(get(&server, "/v1/drops/1")["state"], "paused");
    assert_eq!(ticket(&server, 1, BUYERS[0]).get("position"), None, "the ticket has no second position");
    stop(server);
    assert_eq!((events(&data, "room_drawn"), events(&data, "drop_paused")), (1, 1));
    // The operator decides to draw again.
    let server = Process::start(&data, &[]);
    operate(&server, "/v1/drops/1/resume", &json!({ "reason": "nobody was told" }));
    wait_until("the first room is drawn", || is_drawn(&server, 1));
    assert!(ticket(&server, 1, BUYERS[0])["position"].is_u64());
    stop(server);
    let report = verify::verify(&data).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn a_paused_drop_is_drawn_when_it_is_resumed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let paused_in_time = [600].into_iter().chain(GATHERING_MS).find_map(|gathering_ms| {
        let data = scratch.path().join(gathering_ms.to_string());
        let server = Process::start(&data, &[]);
        let begun = wall_clock();
        create(&server, "first", gathering_ms);
        ticket(&server, 1, "ann");
        operate(&server, "/v1/drops/1/pause", &json!({ "reason": "a mistake" }));
        if get(&server, "/v1/drops/1/draw")["state"] == "pending" {
            return Some((data, server, begun.plus_millis(gathering_ms)));
        }
        stop(server);
        None
    });
    let (data, server, starts_by) = paused_in_time.expect("a machine that is fast enough for a ticket and a pause");
    // The start of the first has passed when the second is drawn.
    let gathering_ms = starts_by.get() - wall_clock().get() + 300;
    create(&server, "second", gathering_ms.max(300));
    wait_until("the second room is drawn", || is_drawn(&server, 2));
    assert!(!is_drawn(&server, 1));
    operate(&server, "/v1/drops/1/resume", &json!({ "reason": "mended" }));
    wait_until("the first room is drawn", || is_drawn(&server, 1));
    stop(server);
    assert_eq!(events(&data, "room_drawn"), 2);
}
