//! What operators' commands say and do about waiting rooms, by the real program against a real server.

use std::process::{Command, Output};

use crate::http::{Answer, Server, call, serve, until};
use firstcome::types::instant::parse_instant;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";
const USUAL: [&str; 12] =
    ["drop", "create", "--sku", "S-1", "--name", "A shoe", "--price", "49.90", "--currency", "EUR", "--total", "2"];

/// Runs the program with the listeners that the verb takes.
fn run(server: &Server, reads: bool, arguments: &[&str]) -> Output {
    let (admin, public) = (server.0.server.admin_address.to_string(), server.0.server.public_address.to_string());
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    program.args(arguments).args(["--admin", &admin]).env_remove("FIRSTCOME_TOKEN");
    if reads {
        program.args(["--public", &public]);
    }
    program.output().expect("run")
}

fn document(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn ticket(server: &Server, drop: u64, buyer: &str) -> Answer {
    let body = json!({ "buyer": buyer }).to_string();
    let taken = call(server.0.server.public_address, "POST", &format!("/v1/drops/{drop}/tickets"), JSON, &body);
    assert_eq!(taken.status, 201, "{}", taken.text);
    taken
}

#[test]
fn a_drop_with_a_room_is_created_shown_slowed_down_and_cloned() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let room = ["--start", "2999-01-01T10:00:00Z", "--room-opens", "2020-01-01T00:00:00Z", "--admit-per-second", "50"];
    let more = ["--order-time", "3m", "--oversubscribe", "150", "--draw", "arrival", "--json"];
    let made = document(&run(&server, false, &[&USUAL[..], &room, &more].concat()));
    let expected = json!({ "opens_at": "2020-01-01T00:00:00.000Z", "draw": "arrival", "admit_per_second": 50,
                           "order_seconds": 180, "oversubscribe_percent": 150 });
    assert_eq!(made["room"], expected);
    ticket(&server, 1, "ann");
    let shown = document(&run(&server, true, &["drop", "room", "1", "--json"]));
    assert_eq!((&shown["state"], &shown["tickets"], &shown["serving"]), (&json!("gathering"), &json!(1), &json!(0)));
    let table = run(&server, true, &["drop", "room", "1"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("tickets") && table.contains("gathering"), "{table}");
    let shown = run(&server, true, &["drop", "show", "1"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("admit_per_second 50"), "{shown}");

    let fixed = run(&server, true, &["drop", "room", "1", "--draw", "random", "--reason", "r"]);
    assert_eq!(fixed.status.code(), Some(64), "how positions are given never changes");

    // While it gathers nothing changes; the room of a drop that has started is slowed down.
    let slower = ["--admit-per-second", "5", "--reason", "the shop is slow", "--json"];
    let early = run(&server, true, &[&["drop", "room", "1"], &slower[..]].concat());
    assert_eq!(early.status.code(), Some(64), "{early:?}");
    let started =
        ["--start", "2020-01-02T00:00:00Z", "--room-opens", "2020-01-01T00:00:00Z", "--admit-per-second", "9"];
    let second = document(&run(&server, false, &[&USUAL[..], &started, &["--json"]].concat()));
    assert_eq!((&second["id"], &second["room"]["order_seconds"]), (&json!(2), &json!(120)));
    let changed = document(&run(&server, true, &[&["drop", "room", "2"], &slower[..]].concat()));
    assert_eq!((&changed["room"]["admit_per_second"], &changed["revision"]), (&json!(5), &json!(2)), "{changed}");

    let copy = document(&run(&server, true, &["drop", "clone", "2", "--start", "2999-01-08T10:00:00Z", "--json"]));
    let at = |text: &Value| parse_instant(text.as_str().expect("a text")).expect("an instant");
    assert_eq!(
        at(&copy["starts_at"]).since(at(&copy["room"]["opens_at"])),
        86_400_000,
        "a day before, as of the original"
    );
    assert_eq!(copy["room"]["admit_per_second"], 5);
    server.stop();
}

#[test]
fn every_mistake_about_a_room_is_a_line() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let lines = |reads: bool, arguments: &[&str]| {
        let output = run(&server, reads, arguments);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said =
        lines(false, &[&USUAL[..], &["--start", "+1h", "--order-time", "soon", "--oversubscribe", "a lot"]].concat());
    for mistake in
        ["--order-time soon", "--oversubscribe a lot", "--room-opens is missing", "--admit-per-second is missing"]
    {
        assert!(said.contains(mistake), "{mistake}: {said}");
    }
    assert!(lines(true, &["drop", "room", "1", "--oversubscribe", "200"]).contains("--reason is missing"));
    assert!(lines(true, &["drop", "room", "1", "--reason", "none"]).contains("there is no change"));
    let none = run(&server, true, &["drop", "room", "1"]);
    assert_ne!(none.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&none.stderr).contains("it has no waiting room"), "{none:?}");
    server.stop();
}

#[test]
fn a_buyer_who_was_not_admitted_is_explained_by_the_tickets_and_admissions_of_the_audit() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let started =
        ["--start", "2020-01-02T00:00:00Z", "--room-opens", "2020-01-01T00:00:00Z", "--admit-per-second", "100"];
    document(&run(&server, false, &[&USUAL[..], &started, &["--order-time", "1s", "--json"]].concat()));
    let refused = |buyer: &str| {
        let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
        let answer = server.order(&format!("key-{buyer}-{}", ticket(&server, 1, "ann").body["serving"]), &body);
        assert_eq!(answer.body["code"], "not-admitted", "{}", answer.text);
        answer.text[answer.text.find('{').expect("a body")..].to_string()
    };
    let explained = |problem: &str| {
        let file = scratch.path().join("no.json");
        std::fs::write(&file, problem).expect("written");
        let file = file.to_str().expect("a path").to_owned();
        run(&server, false, &["explain", "--refusal", &file, "--drop", "1"])
    };
    let said = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(said(&explained(&refused("eve"))).contains("the buyer had no ticket"));
    ticket(&server, 1, "bob");
    for number in 0..40 {
        ticket(&server, 1, &format!("late-{number}"));
    }
    let told = said(&explained(&refused("late-39")));
    assert!(told.contains("position 41 waited") && told.contains("had been admitted"), "{told}");
    // The first buyers let their second pass, so others are admitted.
    until("the next buyers are admitted", || {
        server.public("GET", "/v1/drops/1/room").body["serving"].as_u64().is_some_and(|serving| serving > 2)
    });
    let late = refused("ann");
    let told = said(&explained(&late));
    assert!(told.contains("position 0 was admitted at ") && told.contains("for 1 s until "), "{told}");
    let mut altered: Value = serde_json::from_str(&late).expect("JSON");
    altered["serving"] = json!(40);
    assert_eq!(explained(&altered.to_string()).status.code(), Some(1), "a refusal that the audit contradicts");
    server.stop();
}

/// The times from the creation of a drop to its start: the next one, if the machine was too slow.
const GATHERING: [&str; 3] = ["+4s", "+15s", "+1m"];

/// Creates a drop whose draw waits for a beacon, and takes three tickets before its start. Returns the drop.
fn gathered(server: &Server) -> String {
    for start in GATHERING {
        let room = ["--start", start, "--room-opens", "2020-01-01T00:00:00Z", "--admit-per-second", "2"];
        let draw =
            ["--draw", "random", "--beacon", "required", "--beacon-seconds", "10m", "--order-time", "1h", "--json"];
        let made = document(&run(server, false, &[&USUAL[..], &room, &draw].concat()));
        assert_eq!(
            (&made["room"]["beacon"], &made["room"]["beacon_seconds"]),
            (&json!("required"), &json!(600)),
            "{made}"
        );
        let drop = made["id"].as_u64().expect("a number");
        for buyer in ["ann", "bob", "eve"] {
            ticket(server, drop, buyer);
        }
        if server.public("GET", &format!("/v1/drops/{drop}/draw")).body["state"] == "pending" {
            return drop.to_string();
        }
    }
    panic!("the machine is too slow for three tickets")
}

#[test]
fn a_draw_gets_its_beacon_once_and_each_of_its_tickets_is_explained() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let drop = gathered(&server);
    let beacon = |value: &str, more: &[&str]| {
        let usual = ["drop", "beacon", &drop, "--value", value, "--source", "a public die"];
        run(&server, false, &[&usual[..], more].concat())
    };
    let explained = |ticket: &str, more: &[&str]| {
        run(&server, false, &[&["explain", "--ticket", ticket, "--drop", &drop], more].concat())
    };
    let failed = |output: &Output, code: i32, words: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(words), "{code} {words}: {output:?}");
    };
    failed(&beacon("c0ffee", &[]), 1, "The root of the tickets is not published yet");
    let early = String::from_utf8(explained("1", &[]).stdout).expect("text");
    assert!(early.contains("its position is not known before the draw"), "{early}");
    until("the tickets are fixed", || {
        server.public("GET", &format!("/v1/drops/{drop}/draw")).body["state"] == "awaiting_beacon"
    });
    failed(&beacon("coffee", &[]), 64, "/value");
    let posted = document(&beacon("c0ffee", &["--reason", "as announced", "--json"]));
    assert_eq!((&posted["beacon"], &posted["beacon_source"]), (&json!("c0ffee"), &json!("a public die")), "{posted}");
    until("the tickets are drawn", || server.public("GET", &format!("/v1/drops/{drop}/draw")).body["state"] == "drawn");
    failed(&beacon("c0ffee", &[]), 1, "The draw is done");
    failed(&run(&server, false, &["drop", "beacon", "99", "--value", "00", "--source", "x"]), 1, "draws no tickets");

    // Two units admit two buyers, and the third one waits.
    until("two buyers are admitted", || {
        server.public("GET", &format!("/v1/drops/{drop}/room")).body["serving"] == json!(2)
    });
    for (number, buyer) in ["ann", "bob", "eve"].into_iter().enumerate() {
        let number = (number + 1).to_string();
        let position = ticket(&server, drop.parse().expect("a number"), buyer).body["position"].clone();
        let told = document(&explained(&number, &["--json"]));
        assert_eq!((&told["ticket"]["position"], &told["ticket"]["serving"]), (&position, &json!(2)), "{told}");
        let kinds: Vec<&str> =
            told["history"].as_array().expect("events").iter().filter_map(|e| e["kind"].as_str()).collect();
        let drawn = ["ticket_taken", "drop_started", "room_tickets_fixed", "room_beacon_posted", "room_drawn"];
        assert_eq!(&kinds[..5], drawn);
        let words = String::from_utf8(explained(&number, &[]).stdout).expect("text");
        if position.as_u64() == Some(2) {
            assert_eq!((kinds.len(), &told["ticket"]["ahead"]), (5, &json!(0)), "{told}");
            assert!(words.contains("position 2 is not admitted: 2 were, 0 are ahead"), "{words}");
        } else {
            assert_eq!((kinds[5], told["ticket"]["order_until"].is_string()), ("room_served", true), "{told}");
            assert!(words.contains("the buyer was admitted, and could order until "), "{words}");
        }
    }
    failed(&explained("4", &[]), 1, "has 3 tickets, and no ticket 4");
    failed(&explained("one", &[]), 64, "--ticket one: must be a whole number");
    server.stop();
}

#[test]
fn a_place_in_the_line_is_explained_until_it_is_an_order_or_given_up() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    document(&run(&server, false, &[&USUAL[..], &["--start", "now", "--per-buyer", "2", "--json"]].concat()));
    let join = |buyer: &str, quantity: u16| {
        let headers = format!("{JSON}Idempotency-Key: {buyer}\r\n");
        let body = json!({ "buyer": buyer, "quantity": quantity }).to_string();
        let joined = call(server.0.server.public_address, "POST", "/v1/drops/1/standby", &headers, &body);
        assert_eq!(joined.status, 202, "{}", joined.text);
        joined.headers["firstcome-seq"].clone()
    };
    let explained = |joined: &str, more: &[&str]| {
        run(&server, false, &[&["explain", "--standby", joined, "--drop", "1"], more].concat())
    };
    let words = |joined: &str| String::from_utf8(explained(joined, &[]).stdout).expect("text");
    let order =
        |buyer: &str| server.order(&format!("order-{buyer}"), &json!({ "buyer": buyer, "quantity": 1 }).to_string());
    let (first, _second) = (order("ann"), order("bob"));
    let (two, one, gone) = (join("eve", 2), join("ivy", 1), join("max", 1));
    assert!(words(&one).contains("1 unit, waits at position 2 of 3"), "{}", words(&one));

    let id = first.body["id"].as_str().expect("an id");
    let cancelled = call(server.0.server.public_address, "POST", &format!("/v1/orders/{id}/cancel"), JSON, "");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let granted = document(&explained(&one, &["--json"]));
    let path = "/v1/drops/1/standby?buyer=ivy";
    let place = call(server.0.server.public_address, "GET", path, "Idempotency-Key: ivy\r\n", "").body;
    assert_eq!(
        (&granted["standby"]["order"], &granted["standby"]["state"]),
        (&place["order"]["code"], &json!("ended"))
    );
    assert!(words(&one).contains("units came back, and the buyer was the next in line: order FC-"), "{}", words(&one));
    let waits = words(&two);
    assert!(waits.contains("waits at position 1 of 2; 1 later and smaller wish"), "{waits}");

    let left = call(server.0.server.public_address, "DELETE", "/v1/drops/1/standby?buyer=max", "", "");
    assert_eq!(left.status, 204, "{}", left.text);
    assert!(words(&gone).contains("left the line at the buyer's wish"), "{}", words(&gone));
    let closed = run(&server, false, &["drop", "close", "1", "--reason", "over"]);
    assert!(closed.status.success(), "{closed:?}");
    assert!(words(&two).contains("the drop ended, and its line with it"), "{}", words(&two));
    let none = explained("1", &[]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    server.stop();
}
