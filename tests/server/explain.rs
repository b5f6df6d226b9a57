//! `firstcome explain`: orders, buyers and refusals, by the real program against a real server.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::http::{Answer, Server, call, serve, serve_with, until};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

fn explain(server: &Server, arguments: &[&str]) -> Output {
    let admin = server.0.server.admin_address.to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    program.arg("explain").args(arguments).args(["--admin", &admin]).stdin(Stdio::null()).output().expect("run")
}

/// The lines of a success.
fn told(server: &Server, arguments: &[&str]) -> String {
    let output = explain(server, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The code and the lines of standard error.
fn refused(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn create(server: &Server, key: &str, more: &Value) {
    let mut drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 4990, "total": 4,
                           "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 3 });
    for (name, value) in more.as_object().expect("an object") {
        drop[name] = value.clone();
    }
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
}

fn place(server: &Server, drop: u32, buyer: &str, quantity: u16, key: &str) -> Answer {
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let body = json!({ "buyer": buyer, "quantity": quantity }).to_string();
    call(server.0.server.public_address, "POST", &format!("/v1/drops/{drop}/orders"), &headers, &body)
}

fn order(server: &Server, drop: u32, buyer: &str, quantity: u16, key: &str) -> Value {
    let made = place(server, drop, buyer, quantity, key);
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

fn operate(server: &Server, path: &str, body: &Value) {
    let answer = server.admin("POST", path, body);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document[member].as_str().expect("a text")
}

fn pay(server: &Server, order: &Value, reference: &str) {
    let (id, amount) = (text(order, "id"), &order["amount"]);
    let body = json!({ "reference": reference, "amount": amount, "currency": "EUR", "reason": "seen" });
    operate(server, &format!("/v1/orders/{id}/payments"), &body);
}

/// Saves the problem of a refusal, as a client does.
fn save(scratch: &Path, name: &str, refusal: &Answer) -> String {
    assert!(refusal.status >= 400, "{}", refusal.text);
    let path = scratch.join(name);
    std::fs::write(&path, &refusal.text).expect("written");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn an_order_is_told_from_its_reservation_to_its_end() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.payments.sandbox = true);
    create(&server, "one", &json!({}));
    create(&server, "short", &json!({ "reservation_seconds": 1 }));
    let paid = order(&server, 1, "ann", 2, "paid");
    let contact = json!({ "contact": { "email": "ann@example.org" } }).to_string();
    let path = format!("/v1/orders/{}/checkout", text(&paid, "id"));
    assert_eq!(call(server.0.server.public_address, "POST", &path, JSON, &contact).status, 200);
    let waits = told(&server, &[text(&paid, "code")]);
    assert!(waits.contains("awaiting payment; its units come back at "), "{waits}");
    pay(&server, &paid, "BANK-1");
    let id = text(&paid, "id");
    operate(&server, &format!("/v1/orders/{id}/refund"), &json!({ "restock_quantity": 2, "reason": "came back" }));
    let story = told(&server, &[text(&paid, "code")]);
    for words in [
        "order FC-",
        "2 x for 99.80 EUR, buyer ann, ",
        "the buyer reserved 2 units\n",
        "the buyer gave a contact, and the order awaits its payment\n",
        "99.80 EUR came in (manual BANK-1): 2 units sold; reason: seen\n",
        "99.80 EUR was refunded, and 2 units went on sale again; reason: came back\n",
    ] {
        assert!(story.contains(words), "{words}: {story}");
    }
    assert_eq!(told(&server, &[id]), story, "by its id as by its code");
    assert!(!story.contains("ann@example.org") && !story.contains(id), "no contact, and no key to the order: {story}");

    let document: Value = serde_json::from_str(&told(&server, &[id, "--json"])).expect("JSON");
    let served = server.admin("GET", &format!("/v1/orders/{id}/history"), &json!({})).body;
    assert_eq!(document["history"], served["data"], "the words of the route are the same");
    let two = server.admin("GET", &format!("/v1/orders/{id}/history?limit=2"), &json!({})).body;
    assert_eq!((two["data"].as_array().map(Vec::len), &two["has_more"]), (Some(2), &json!(true)));
    let rest = server.admin("GET", &format!("/v1/orders/{id}/history?after={}", two["next_after"]), &json!({})).body;
    let joined: Vec<Value> =
        [&two, &rest].iter().flat_map(|page| page["data"].as_array().expect("events").clone()).collect();
    assert_eq!(json!(joined), served["data"]);

    let twice = order(&server, 1, "cat", 1, "twice");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let page = format!("/pay/{}/sandbox", text(&twice, "id"));
    assert_eq!(call(server.0.server.public_address, "POST", &page, form, "what=pay_twice&seen=1").status, 303);
    let story = told(&server, &[text(&twice, "code")]);
    assert!(story.contains("49.90 EUR came in (sandbox play-") && story.contains("): 1 unit sold\n"), "{story}");
    assert!(story.contains("is owed back, because the order was paid before\n"), "{story}");

    let given_back = order(&server, 1, "bob", 1, "given-back");
    let path = format!("/v1/orders/{}/cancel", text(&given_back, "id"));
    assert_eq!(server.public("POST", &path).status, 200);
    let story = told(&server, &[text(&given_back, "code")]);
    assert!(
        story.contains("buyer bob, cancelled\n") && story.contains("the buyer cancelled the order, and 1 unit"),
        "{story}"
    );
    let expired = order(&server, 2, "bob", 1, "expired");
    let path = format!("/v1/orders/{}", text(&expired, "id"));
    until("the order expires", || server.public("GET", &path).body["state"] == "expired");
    let story = told(&server, &[text(&expired, "code")]);
    assert!(story.contains("the time to pay ran out, and 1 unit came back"), "{story}");
}

#[test]
fn a_buyer_in_a_drop_has_all_their_orders_told() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "one", &json!({}));
    let (first, second) = (order(&server, 1, "ann", 1, "a"), order(&server, 1, "ann", 1, "b"));
    let other = order(&server, 1, "bob", 1, "c");
    let stories = told(&server, &["--buyer", "ann", "--drop", "1"]);
    assert!(stories.contains(text(&first, "code")) && stories.contains(text(&second, "code")), "{stories}");
    assert!(!stories.contains(text(&other, "code")), "{stories}");
    let document: Value =
        serde_json::from_str(&told(&server, &["--buyer", "bob", "--drop", "1", "--json"])).expect("JSON");
    assert_eq!(document["data"][0]["order"]["code"], other["code"]);
    let (code, line) = refused(&explain(&server, &["--buyer", "eve", "--drop", "1"]));
    assert_eq!((code, line.as_str()), (Some(1), "firstcome: buyer eve has no order in drop 1\n"));
}

#[test]
fn each_reason_of_a_refused_order_is_decided_again_on_the_state_it_saw() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let saved = |name: &str, refusal: &Answer| save(scratch.path(), name, refusal);
    create(&server, "one", &json!({}));
    create(&server, "later", &json!({ "starts_at": "2999-01-01T00:00:00Z" }));
    create(&server, "capped", &json!({ "identity_limits": { "email": 1 } }));
    let mine = order(&server, 1, "ann", 2, "a");
    pay(&server, &mine, "BANK-1");
    let limit = saved("limit", &place(&server, 1, "ann", 2, "b"));
    let returned = order(&server, 1, "gil", 1, "back");
    assert_eq!(server.public("POST", &format!("/v1/orders/{}/cancel", text(&returned, "id"))).status, 200);
    order(&server, 1, "bob", 1, "c");
    let sold_out = saved("sold-out", &place(&server, 1, "cat", 2, "d"));
    let not_started = saved("not-started", &place(&server, 2, "ann", 1, "e"));
    operate(&server, "/v1/drops/1/pause", &json!({ "reason": "look" }));
    let paused = saved("paused", &place(&server, 1, "dan", 1, "f"));
    operate(&server, "/v1/drops/1/resume", &json!({ "reason": "well" }));
    let gone = saved(
        "gone",
        &server.admin("PATCH", "/v1/drops/1", &json!({ "expected_revision": 1, "reason": "r", "name": "M" })),
    );
    operate(&server, "/v1/drops/1/close", &json!({ "reason": "over" }));
    let ended = saved("ended", &place(&server, 1, "dan", 1, "g"));
    let capped = |key: &str| {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        let body = json!({ "buyer": key, "quantity": 1, "contact": { "email": "ann@example.org" } }).to_string();
        call(server.0.server.public_address, "POST", "/v1/drops/3/orders", &headers, &body)
    };
    assert_eq!(capped("h").status, 201);
    let identity = saved("identity", &capped("i"));
    // Later events change nothing about what was seen then.
    operate(&server, "/v1/drops/3/stock", &json!({ "delta": 50, "expected_total": 4, "reason": "found" }));
    let all = |file: &str, drop: &str, buyer: &str, quantity: &str| {
        told(&server, &["--refusal", file, "--drop", drop, "--buyer", buyer, "--quantity", quantity])
    };
    for (story, state) in [
        (all(&limit, "1", "ann", "2"), "sold 2"),
        (all(&sold_out, "1", "cat", "2"), "available 1"),
        (all(&not_started, "2", "ann", "1"), "state scheduled"),
        (all(&paused, "1", "dan", "1"), "state paused"),
        (all(&ended, "1", "dan", "1"), "state ended"),
        (all(&gone, "1", "dan", "1"), "revision 3"),
    ] {
        assert!(story.starts_with("refused at ") && story.contains(state), "{state}: {story}");
        assert!(story.contains("decided again, the same: "), "{story}");
    }
    let story = all(&identity, "3", "i", "1");
    assert!(story.contains("not decided again: the cap was 1"), "{story}");
    let story = told(&server, &["--refusal", &limit, "--drop", "1"]);
    assert!(story.contains("not decided again: name the buyer with --buyer"), "{story}");

    let other = explain(&server, &["--refusal", &sold_out, "--drop", "1", "--buyer", "cat", "--quantity", "1"]);
    let (code, line) = refused(&other);
    assert!(code == Some(1) && line.contains("the order would have been accepted"), "{line}");
    let (code, line) =
        refused(&explain(&server, &["--refusal", &limit, "--drop", "1", "--buyer", "bob", "--quantity", "2"]));
    assert!(code == Some(1) && line.contains("is not what the audit gives"), "the units of another buyer: {line}");
    let text = std::fs::read_to_string(&sold_out).expect("read");
    let mut later: Value = serde_json::from_str(&text).expect("JSON");
    later["as_of_seq"] = 99_999.into();
    let path = scratch.path().join("later.json");
    std::fs::write(&path, later.to_string()).expect("written");
    let later = ["--refusal", path.to_str().expect("a path"), "--drop", "1", "--quantity", "2"];
    let (code, line) = refused(&explain(&server, &later));
    assert!(code == Some(1) && line.contains("audit ends before it"), "{line}");
    let mut document = vec!["--refusal", &sold_out, "--drop", "1", "--quantity", "2", "--json"];
    let json: Value = serde_json::from_str(&told(&server, &document)).expect("JSON");
    assert_eq!((&json["same"], &json["state"]["held"]), (&json!(true), &json!(1)), "{json}");
    document[1] = "/no/such/file";
    assert_eq!(refused(&explain(&server, &document)).0, Some(64));
}

#[test]
fn the_refusal_of_a_room_whose_units_are_sold_comes_before_the_limits_and_is_decided_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let room = json!({ "opens_at": "2019-01-01T00:00:00Z", "admit_per_second": 100, "order_seconds": 3600 });
    create(&server, "room", &json!({ "total": 1, "per_buyer_limit": 1, "room": room }));
    let taken = call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", JSON, r#"{"buyer":"ann"}"#);
    assert_eq!(taken.status, 201, "{}", taken.text);
    until("ann is admitted", || server.public("GET", "/v1/drops/1/room").body["serving"] == 1);
    let held = order(&server, 1, "ann", 1, "a");
    let waits = place(&server, 1, "eve", 2, "early");
    assert_eq!(text(&waits.body, "code"), "not-admitted", "a unit is held: {}", waits.text);
    pay(&server, &held, "BANK-1");
    let sold = place(&server, 1, "eve", 2, "late");
    assert_eq!((sold.status, text(&sold.body, "code")), (410, "sold-out"), "{}", sold.text);
    let file = save(scratch.path(), "all-sold", &sold);
    let story = told(&server, &["--refusal", &file, "--drop", "1", "--buyer", "eve", "--quantity", "2"]);
    assert!(story.contains("decided again, the same: every unit was sold"), "{story}");
    // The same words about the state before the payment are false.
    let mut early = waits.body;
    early["code"] = "sold-out".into();
    early["status"] = 410.into();
    let path = scratch.path().join("early.json");
    std::fs::write(&path, early.to_string()).expect("written");
    let early = ["--refusal", path.to_str().expect("a path"), "--drop", "1", "--buyer", "eve", "--quantity", "2"];
    let (code, line) = refused(&explain(&server, &early));
    assert!(code == Some(1) && line.contains("a unit was free or held"), "{line}");
}

#[test]
fn a_refused_request_about_an_order_is_decided_again_from_its_history() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "short", &json!({ "reservation_seconds": 1 }));
    create(&server, "long", &json!({}));
    let (expired, paid) = (order(&server, 1, "ann", 1, "a"), order(&server, 2, "ann", 1, "b"));
    pay(&server, &paid, "BANK-1");
    let path = format!("/v1/orders/{}", text(&expired, "id"));
    until("the order expires", || server.public("GET", &path).body["state"] == "expired");
    let contact = json!({ "contact": { "email": "ann@example.org" } }).to_string();
    let late = call(server.0.server.public_address, "POST", &format!("{path}/checkout"), JSON, &contact);
    let late = save(scratch.path(), "late", &late);
    let cancel = server.public("POST", &format!("/v1/orders/{}/cancel", text(&paid, "id")));
    let cancel = save(scratch.path(), "cancel", &cancel);
    for (order, file, state) in [(&expired, &late, "expired"), (&paid, &cancel, "paid")] {
        let story = told(&server, &[text(order, "code"), "--refusal", file]);
        assert!(story.contains(&format!("decided again, the same: the order was {state}\n")), "{story}");
    }
    let (code, line) = refused(&explain(&server, &[text(&paid, "code"), "--refusal", &late]));
    assert!(code == Some(1) && line.contains("the order was paid"), "{line}");
}

#[test]
fn a_recorded_order_is_told_by_its_number_whatever_came_of_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let now = firstcome::types::text::rfc3339(firstcome::writer::clock::wall_clock());
    create(&server, "blind", &json!({ "total": 2, "blind_ms": 5000, "starts_at": now }));
    for (buyer, quantity) in [("ann", 1), ("eve", 3), ("max", 1), ("bob", 1)] {
        assert_eq!(place(&server, 1, buyer, quantity, buyer).status, 202, "{buyer}");
    }
    let left = call(server.0.server.public_address, "DELETE", "/v1/drops/1/standby?buyer=max", "", "");
    assert_eq!(left.status, 204, "{}", left.text);
    let number = |ticket: &str| told(&server, &["--ticket", ticket, "--drop", "1"]);
    let waits = number("1");
    assert!(waits.contains("recorded order 1 of drop 1: 1 unit, not drawn yet: it is not decided yet"), "{waits}");
    until("all are decided", || !number("1").contains("not decided") && !number("4").contains("not decided"));
    for ticket in ["1", "4"] {
        let granted = number(ticket);
        for part in [
            &format!("the blind window recorded the order of 1 as no. {ticket}"),
            "the blind window ended: orders 1 to 4 are drawn",
            "the draw gave each of them a position",
            "its turn came in the order of the draw: order FC-",
            ": it became order FC-",
        ] {
            assert!(granted.contains(part), "{part}: {granted}");
        }
    }
    let lost = number("2");
    assert!(lost.contains(": it became no order: at its turn fewer units were left than it asked for"), "{lost}");
    let document = told(&server, &["--ticket", "2", "--drop", "1", "--json"]);
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let order = &document["recorded_order"];
    assert_eq!((&order["number"], &order["quantity"], &order["state"]), (&json!(2), &json!(3), &json!("ended")));
    assert!(order["position"].as_u64().is_some_and(|position| position < 4) && order.get("order").is_none(), "{order}");
    let joined = order["joined_seq"].to_string();
    assert_eq!(told(&server, &["--standby", &joined, "--drop", "1"]), lost, "the same by the event");
    assert!(number("3").contains(": it became no order: the buyer took it back"), "{}", number("3"));
    let (code, words) = refused(&explain(&server, &["--ticket", "5", "--drop", "1"]));
    assert_eq!((code, words.contains("drop 1 has 4 recorded orders, and no ticket 5")), (Some(1), true), "{words}");
    server.stop();
}

#[test]
fn unknown_orders_are_1_and_wrong_arguments_64_all_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (code, line) = refused(&explain(&server, &["FC-C1SM"]));
    assert!(code == Some(1) && line.lines().count() == 1 && line.contains("there is no such order"), "{line}");
    let file = scratch.path().join("no.json");
    std::fs::write(&file, "{}").expect("written");
    let file = file.to_str().expect("a path");
    let wrong = ["--refusal", file, "--drop", "x", "--quantity", "0"];
    let (code, lines) = refused(&explain(&server, &wrong));
    assert_eq!((code, lines.lines().count()), (Some(64), 3), "{lines}");
    for arguments in
        [&[][..], &["--drop", "1"], &["--buyer", "ann"], &["FC-C1SM", "--buyer", "ann", "--drop", "1"], &["FC-C1TM"]]
    {
        let (code, lines) = refused(&explain(&server, arguments));
        assert_eq!((code, lines.lines().count()), (Some(64), 1), "{arguments:?}: {lines}");
    }
    let rejected = r#"{"code":"rate-limited","title":"Too many requests","detail":"Nothing was decided."}"#;
    std::fs::write(file, rejected).expect("written");
    let story = told(&server, &["--refusal", file, "--drop", "1"]);
    assert!(story.contains("not decided again: the request was rejected before a decision"), "{story}");
}
