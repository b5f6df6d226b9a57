//! The leader of a cluster dies in the middle of a draw: the next one ends it, once, with the seed that was committed to and the
//! beacon that was taken. The members of etcd never have the seed in clear.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod nodes;
mod process;

use std::path::Path;

use firstcome::log::etcd::SLOTS;
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use nodes::{Nodes, assert_equal_files};
use process::{Answer, Client, Pause, Process, wait_until};
use rusqlite::Connection;
use serde_json::{Value, json};

const BUYERS: [&str; 6] = ["zoe", "bob", "eve", "ann", "ivy", "max"];
/// The time from the creation of a drop to its start, in milliseconds: the next one, if the machine was too slow.
const GATHERING_MS: [i64; 3] = [1500, 10_000, 60_000];

fn post(address: std::net::SocketAddr, path: &str, body: &Value) -> Answer {
    let key = format!("{body}");
    let key = key.replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let sent = Client::connect(address).and_then(|mut client| client.post(path, &key[..key.len().min(60)], body));
    sent.expect("answered")
}

fn ticket(node: &Process, drop: u64, buyer: &str) -> Value {
    let taken = post(node.public, &format!("/v1/drops/{drop}/tickets"), &json!({ "buyer": buyer }));
    assert_eq!(taken.status, 201, "{}", taken.body);
    taken.body
}

fn draw(node: &Process, drop: u64) -> Value {
    let path = format!("/v1/drops/{drop}/draw");
    Client::connect(node.public).and_then(|mut client| client.get(&path)).expect("answered").body
}

/// Creates a drop whose room has a ticket of each buyer before its start, and returns it.
fn gather(leader: &Process) -> Value {
    for gathering_ms in GATHERING_MS {
        let drop = json!({
            "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 100,
            "starts_at": rfc3339(wall_clock().plus_millis(gathering_ms)),
            "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1000, "draw": "random", "beacon": "required",
                      "beacon_seconds": 600 },
        });
        let made = post(leader.admin, "/v1/drops", &drop);
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.body["id"].as_u64().expect("an id");
        if BUYERS.iter().all(|buyer| ticket(leader, id, buyer)["state"] == "gathering") {
            return made.body;
        }
    }
    panic!("the machine is too slow for {} tickets", BUYERS.len())
}

fn file(directory: &Path) -> Connection {
    Connection::open(directory.join("firstcome.db")).expect("opened")
}

#[test]
fn a_draw_whose_leader_dies_is_ended_once_by_the_next_one_with_the_seed_and_the_beacon_of_before() {
    let scratch = tempfile::tempdir().expect("scratch");
    let pause = Pause::new(scratch.path());
    // Each node stops the first time that it would end a draw.
    let settings =
        [("FIRSTCOME_PAUSE", "BeforeDrawn:1"), ("FIRSTCOME_PAUSE_DIR", scratch.path().to_str().expect("a path"))];
    let mut nodes = Nodes::start_prepared(3, SLOTS, &settings, |_, _| {});
    let first = nodes.leader();
    let made = gather(nodes.node(first));
    let id = made["id"].as_u64().expect("an id");
    wait_until("the tickets are fixed", || draw(nodes.node(first), id)["state"] == "awaiting_beacon");
    let fixed = draw(nodes.node(first), id);
    assert_eq!(fixed["commitment"], made["commitment"]);
    let beacon = json!({ "value": "c0ffee", "source": "a die", "reason": "as announced" });
    let posted = post(nodes.node(first).admin, &format!("/v1/drops/{id}/room/beacon"), &beacon);
    assert_eq!(posted.status, 200, "{}", posted.body);
    pause.wait();
    let seed: Vec<u8> = file(&nodes.directory(first))
        .query_row("SELECT seed FROM draws WHERE drop_id = ?1", [i64::try_from(id).expect("small")], |row| row.get(0))
        .expect("a seed");
    nodes.kill(first);
    // The next leader has computed it, too.
    pause.wait();
    pause.go_on();
    let second = nodes.leader();
    assert_ne!(second, first);
    wait_until("the room is drawn", || draw(nodes.node(second), id)["state"] == "drawn");
    let drawn = draw(nodes.node(second), id);
    let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&drawn["commitment"], &drawn["tickets"]), (&made["commitment"], &fixed["tickets"]), "{drawn}");
    assert_eq!((&drawn["seed"], &drawn["beacon"]), (&json!(text), &json!("c0ffee")), "{drawn}");
    let mut positions = BUYERS.map(|buyer| ticket(nodes.node(second), id, buyer)["position"].as_u64().expect("drawn"));
    nodes.run(first);
    wait_until("every node tells the same draw", || (0..3).all(|node| draw(nodes.node(node), id) == drawn));
    positions.sort_unstable();
    assert!(positions.into_iter().eq(0..BUYERS.len() as u64));
    let late = post(
        nodes.node(second).admin,
        &format!("/v1/drops/{id}/room/beacon"),
        &json!({ "value": "00", "source": "a die", "reason": "again" }),
    );
    assert_eq!((late.status, &late.body["reason"]), (409, &json!("drawn")), "{}", late.body);
    let leader = nodes.leader();
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
    for directory in &directories {
        let sql = "SELECT count(*) FROM audit WHERE kind = 'room_drawn'";
        let count: u32 = file(directory).query_row(sql, [], |row| row.get(0)).expect("counted");
        assert_eq!(count, 1, "{}", directory.display());
    }
    assert!((0..3).all(|member| !nodes.etcd.holds(member, &seed)), "a seed is on the disk of a member in clear");
}
