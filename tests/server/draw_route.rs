//! The published draw by the real server: what it tells in every phase, beacons, and proofs of tickets that the program and
//! the independent script verify.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::http::{Answer, Server, call, serve, until};
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";
const BUYERS: [&str; 6] = ["zoe", "bob", "eve", "ann", "ivy", "max"];
/// The time from the creation of a drop to its start, in milliseconds: the next one, if the machine was too slow.
const GATHERING_MS: [i64; 3] = [2000, 10_000, 60_000];

fn ticket(server: &Server, buyer: &str) -> Value {
    let body = json!({ "buyer": buyer }).to_string();
    let taken = call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", JSON, &body);
    assert_eq!(taken.status, 201, "{}", taken.text);
    taken.body
}

fn draw(server: &Server, query: &str) -> Value {
    let answer = server.public("GET", &format!("/v1/drops/1/draw{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

fn post(server: &Server, beacon: &str) -> Answer {
    let body = json!({ "value": beacon, "source": "a public die", "reason": "as announced" });
    server.admin("POST", "/v1/drops/1/room/beacon", &body)
}

fn refused(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.body["code"].as_str().expect("a code"), answer.body["reason"].as_str().unwrap_or(""))
}

/// A server whose drop is drawn with a beacon, the buyers' tickets, and the draw of before the start.
fn gather(directory: &Path) -> (Server, [Value; BUYERS.len()], Value) {
    for gathering_ms in GATHERING_MS {
        let server = serve(directory);
        let drop = json!({
            "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 100,
            "starts_at": rfc3339(wall_clock().plus_millis(gathering_ms)),
            "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1000, "draw": "random", "beacon": "required" },
        });
        let made = server.admin("POST", "/v1/drops", &drop);
        assert_eq!(made.status, 201, "{}", made.text);
        let tickets = BUYERS.map(|buyer| ticket(&server, buyer));
        let early = post(&server, "00");
        let before = draw(&server, "?ticket=1");
        if before["state"] == "pending" && early.body["reason"] == "tickets_not_fixed" {
            assert_eq!(refused(&early), (409, "beacon-not-taken", "tickets_not_fixed"));
            return (server, tickets, before);
        }
        server.stop();
        std::fs::remove_dir_all(directory.join("data")).expect("removed");
        std::fs::remove_file(directory.join("data.firstcome")).ok();
    }
    panic!("the machine is too slow for {} tickets", BUYERS.len())
}

/// Runs a verifier; returns its exit code and everything that it printed.
fn run(command: &mut Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().expect("run");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().expect("a code"), String::from_utf8(text).expect("text"))
}

fn verify(server: &Server, arguments: &[&str]) -> (i32, String) {
    let url = format!("http://{}", server.0.server.public_address);
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    run(program.args(["draw", "verify", "--url", &url, "--drop", "1"]).args(arguments))
}

#[test]
fn a_draw_is_published_step_by_step_and_every_ticket_can_be_verified() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, tickets, before) = gather(scratch.path());
    let commitment = server.public("GET", "/v1/drops/1").body["commitment"].clone();
    assert_eq!(
        before,
        json!({ "drop_id": 1, "state": "pending", "commitment": commitment, "beacon_rule": "required",
                                "beacon_missed": false }),
        "and nothing else"
    );
    assert_eq!(verify(&server, &[]).0, 1, "nothing is drawn yet");

    until("the tickets are fixed", || draw(&server, "")["state"] == "awaiting_beacon");
    let fixed = draw(&server, "?ticket=1");
    assert_eq!((&fixed["tickets"]["count"], &fixed["commitment"]), (&json!(BUYERS.len()), &commitment));
    assert!(fixed["beacon_until"].is_string(), "{fixed}");
    for member in ["seed", "beacon", "result", "ticket"] {
        assert_eq!(fixed.get(member), None, "{member} is told too early");
    }
    let late = ticket(&server, "late");
    assert_eq!((&late["position"], &late["state"]), (&json!(BUYERS.len()), &json!("drawing")), "{late}");

    assert_eq!(post(&server, "0").status, 400);
    let posted = post(&server, "c0ffee");
    assert_eq!(
        (posted.status, &posted.body["beacon"], &posted.body["beacon_source"]),
        (200, &json!("c0ffee"), &json!("a public die")),
        "{}",
        posted.text
    );
    // A second one is too late, be the draw done by then or not.
    let second = post(&server, "c0ffee00");
    let (status, code, reason) = refused(&second);
    assert_eq!(
        (status, code, ["posted", "drawn"].contains(&reason)),
        (409, "beacon-not-taken", true),
        "{}",
        second.text
    );
    until("the tickets are drawn", || draw(&server, "")["state"] == "drawn");
    assert_eq!(refused(&post(&server, "c0ffee")), (409, "beacon-not-taken", "drawn"));

    let drawn = draw(&server, "");
    assert_eq!((&drawn["tickets"], &drawn["commitment"], drawn.get("ticket")), (&fixed["tickets"], &commitment, None));
    assert_eq!(drawn["beacon"], "c0ffee", "the first one");
    let mut positions = Vec::new();
    for (taken, buyer) in tickets.iter().zip(BUYERS) {
        let proof = draw(&server, &format!("?ticket={}", taken["number"]))["ticket"].clone();
        assert_eq!((&proof["number"], &proof["digest"]), (&taken["number"], &taken["digest"]), "{buyer}");
        assert_eq!(proof["position"], ticket(&server, buyer)["position"], "{buyer}");
        positions.push(proof["position"].as_u64().expect("a number"));
    }
    positions.sort_unstable();
    assert!(positions.into_iter().eq(0..BUYERS.len() as u64), "each place is one buyer's");

    let text = |value: &Value| value.as_str().expect("a text").to_string();
    let (root, digest) = (text(&fixed["tickets"]["root"]), text(&tickets[2]["digest"]));
    let noted = [
        "--ticket",
        "3",
        "--commitment",
        &text(&commitment),
        "--root",
        &root,
        "--digest",
        &digest,
        "--beacon",
        "c0ffee",
    ];
    let (code, told) = verify(&server, &noted);
    assert_eq!((code, told.contains("not compared")), (0, false), "{told}");
    assert!(told.contains("ticket 3: among the tickets") && told.contains("a public die"), "{told}");
    let (code, told) = verify(&server, &["--ticket", "4", "--digest", &digest]);
    assert_eq!((code, told.contains("the ticket's digest is not the one that was noted")), (1, true), "{told}");
    let (code, told) = verify(&server, &["--ticket", "7"]);
    assert_eq!((code, told.contains("has no proof")), (1, true), "the late ticket was not drawn: {told}");
    let file = scratch.path().join("draw.json");
    std::fs::write(&file, draw(&server, "?ticket=3").to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/examples/draw_verify.py");
    let (code, told) = run(Command::new("python3").arg(script).arg(&file));
    assert_eq!((code, told.contains("\nverified: 6 tickets")), (0, true), "{told}");

    let public = server.0.server.public_address;
    let tagged = server.public("GET", "/v1/drops/1/draw?ticket=3");
    let tag = format!("If-None-Match: {}\r\n", tagged.headers["etag"]);
    assert_eq!(call(public, "GET", "/v1/drops/1/draw?ticket=3", &tag, "").status, 304);
    assert_eq!(call(public, "GET", "/v1/drops/1/draw?ticket=4", &tag, "").status, 200, "another ticket, another body");
    server.stop();
    let server = serve(scratch.path());
    assert_eq!(draw(&server, "?ticket=3"), tagged.body, "the same after a restart");
    server.stop();
}

#[test]
fn what_has_no_draw_and_what_asks_for_no_ticket_is_refused() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1,
                       "starts_at": "2020-01-02T00:00:00Z",
                       "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1 } });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    assert_eq!(server.public("GET", "/v1/drops/1/draw").status, 404, "positions by arrival");
    assert_eq!(server.public("GET", "/v1/drops/2/draw").status, 404);
    for query in ["?ticket=0", "?ticket=x", "?ticket=-1", "?number=1"] {
        assert_eq!(server.public("GET", &format!("/v1/drops/1/draw{query}")).status, 400, "{query}");
    }
    for (value, pointer) in [("", "/value"), ("A0", "/value"), ("abc", "/value")] {
        let answer = post(&server, value);
        assert_eq!((answer.status, &answer.body["errors"][0]["pointer"]), (400, &json!(pointer)), "{value}");
    }
    assert_eq!(post(&server, "00").status, 404);
    server.stop();
}

#[test]
fn a_drop_that_ends_before_its_draw_says_that_there_will_be_none() {
    for (begin, starts_at, fixed) in
        [("gathers", "2999-01-01T00:00:00Z", false), ("awaits its beacon", "2020-01-02T00:00:00Z", true)]
    {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve(scratch.path());
        let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 3, "starts_at": starts_at,
                           "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1, "draw": "random",
                                     "beacon": "required" } });
        assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
        ticket(&server, "zoe");
        until(begin, || draw(&server, "")["tickets"].is_object() == fixed);
        let before = draw(&server, "");
        assert_eq!(server.admin("POST", "/v1/drops/1/close", &json!({ "reason": "a test" })).status, 200);
        let mut expected = before.clone();
        expected.as_object_mut().expect("a document").remove("beacon_until");
        expected["state"] = "cancelled".into();
        assert_eq!(draw(&server, "?ticket=1"), expected, "a drop that {begin}");
        let (code, said) = verify(&server, &["--ticket", "1"]);
        assert!(code == 1 && said.contains("the drop ended before its draw"), "{said}");
        let file = scratch.path().join("draw.json");
        std::fs::write(&file, expected.to_string()).expect("written");
        let (code, said) = run(Command::new("python3").arg("scripts/examples/draw_verify.py").arg(&file));
        assert!(code == 1 && said.contains("the drop ended before its draw"), "{said}");
        server.stop();
        // The same after a restart.
        let server = serve(scratch.path());
        assert_eq!(draw(&server, ""), expected, "a drop that {begin}");
        server.stop();
    }
}
