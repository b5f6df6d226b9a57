//! `firstcome report`: the real program against a real server and real files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::http::{Answer, Server, call, serve, serve_with, until};
use firstcome::store::verify::verify;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";
/// A name with markup, a formula, letters from right to left, and the mark that turns text around.
const HOSTILE: &str = "=1+1 <script>alert(1)</script> \u{5d0}\u{5d1}\u{5d2}\u{202e} & \"quoted\"";

fn program(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    program.arg("report").args(arguments).stdin(Stdio::null()).output().expect("run")
}

fn of_server(server: &Server, arguments: &[&str]) -> Output {
    let admin = server.0.server.admin_address.to_string();
    program(&[arguments, &["--admin", &admin]].concat())
}

/// The output of a success.
fn done(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn document(output: Output) -> Value {
    serde_json::from_str(&done(output)).expect("JSON")
}

fn refused(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn create(server: &Server, key: &str, more: &Value) {
    let mut drop = json!({ "sku": "S", "name": HOSTILE, "currency": "EUR", "unit_price": 4990, "total": 6,
                           "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 3 });
    for (name, value) in more.as_object().expect("an object") {
        drop[name] = value.clone();
    }
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
}

fn place(server: &Server, drop: u32, buyer: &str, quantity: u16) -> Answer {
    let headers = format!("{JSON}Idempotency-Key: {buyer}-{quantity}\r\n");
    let body = json!({ "buyer": buyer, "quantity": quantity }).to_string();
    call(server.0.server.public_address, "POST", &format!("/v1/drops/{drop}/orders"), &headers, &body)
}

fn order(server: &Server, drop: u32, buyer: &str, quantity: u16) -> String {
    let made = place(server, drop, buyer, quantity);
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["id"].as_str().expect("an id").to_owned()
}

fn operate(server: &Server, order: &str, verb: &str, body: &Value) {
    let answer = server.admin("POST", &format!("/v1/orders/{order}/{verb}"), body);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn pay(server: &Server, order: &str, reference: &str, amount: u64) {
    let body = json!({ "reference": reference, "amount": amount, "currency": "EUR", "reason": "seen" });
    operate(server, order, "payments", &body);
}

fn state_of(server: &Server, order: &str) -> Value {
    server.public("GET", &format!("/v1/orders/{order}")).body["state"].clone()
}

/// A sale with an order of every kind, refusals, refunds and a payment that paid for nothing.
fn sell(server: &Server) {
    create(server, "other", &json!({ "name": "another drop", "total": 3 }));
    create(server, "sale", &json!({ "reservation_seconds": 1 }));
    let expired = order(server, 2, "eve", 1);
    until("the order expires", || state_of(server, &expired) == "expired");
    let longer = json!({ "expected_revision": 1, "reason": "time", "reservation_seconds": 600 });
    assert_eq!(server.admin("PATCH", "/v1/drops/2", &longer).status, 200);
    let paid = order(server, 2, "ann", 2);
    let contact = json!({ "contact": { "email": "ann@example.org" } }).to_string();
    let checkout = format!("/v1/orders/{paid}/checkout");
    assert_eq!(call(server.0.server.public_address, "POST", &checkout, JSON, &contact).status, 200);
    pay(server, &paid, "BANK-1", 9980);
    let cancelled = order(server, 2, "bob", 1);
    assert_eq!(server.public("POST", &format!("/v1/orders/{cancelled}/cancel")).status, 200);
    let refunded = order(server, 2, "cat", 1);
    pay(server, &refunded, "=BANK-2", 4990);
    operate(server, &refunded, "refund", &json!({ "amount": 1000, "reason": "a scratch" }));
    let unpaid = order(server, 2, "dan", 3);
    assert_eq!(place(server, 2, "fay", 1).status, 409, "sold out");
    assert_eq!(place(server, 2, "fay", 2).status, 409, "sold out");
    assert_eq!(place(server, 2, "ann", 3).status, 409, "over the limit");
    assert_eq!(state_of(server, &unpaid), "reserved");
    let others = order(server, 1, "ann", 1);
    pay(server, &others, "BANK-9", 4990);
    until("the figures are written", || {
        report_at(server, 2)["commands"]["outcomes"]["sold_out"] == 2
            && report_at(server, 1)["commands"]["outcomes"]["reserved"] == 1
    });
}

fn report_at(server: &Server, drop: u32) -> Value {
    let answer = server.admin("GET", &format!("/v1/drops/{drop}/report"), &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

fn file_of(scratch: &Path) -> PathBuf {
    scratch.join("data").join("firstcome.db")
}

/// Removes the facts that only a server knows.
fn without_server(mut report: Value) -> Value {
    report.as_object_mut().expect("an object").remove("rejections");
    report
}

fn sum(report: &Value, timeline: &str, pointer: &str) -> u64 {
    let points = report[timeline]["points"].as_array().expect("points");
    points.iter().map(|point| point.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)).sum()
}

#[test]
fn sums_of_the_report_equal_the_tables_and_the_verified_counters() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    sell(&server);
    let report = document(of_server(&server, &["2", "--json"]));
    assert_eq!(report["drop"]["name"], HOSTILE);
    assert_eq!(report["counters_agree"], true);
    let units = |orders: u64, units: u64| json!({ "orders": orders, "units": units });
    for (member, expected) in [
        ("placed", units(5, 8)),
        ("paid", units(2, 3)),
        ("expired", units(1, 1)),
        ("cancelled_by_buyer", units(1, 1)),
        ("cancelled_by_operator", units(0, 0)),
        ("live", units(1, 3)),
    ] {
        assert_eq!(report["orders"][member], expected, "{member}: {}", report["orders"]);
    }
    assert_eq!((&report["orders"]["checked_out"], &report["until_payment"]["count"]), (&json!(1), &json!(2)));
    let lost = &report["lost_demand"];
    assert_eq!((&lost["refused_sold_out"], &lost["refused_limit_reached"]), (&json!(2), &json!(1)));
    assert_eq!((&lost["units_returned"], &lost["units_left_over"]), (&json!(2), &json!(0)));
    assert_eq!(
        report["money"]["payments"],
        json!([{ "provider": "manual", "currency": "EUR", "payments": 2, "not_kept": 0, "received": 14_970,
                 "kept": 13_970, "refunded": 1000, "refund_due": 0 }]),
    );
    assert_eq!(report["money"]["refunds"]["made"], 1);
    for (pointer, expected) in [
        ("/units_reserved", 8),
        ("/units_paid", 3),
        ("/units_expired", 1),
        ("/units_cancelled", 1),
        ("/outcomes/reserved", 5),
        ("/outcomes/sold_out", 2),
        ("/outcomes/limit_reached", 1),
    ] {
        assert_eq!(sum(&report, "whole", pointer), expected, "{pointer}");
    }
    let last = report["whole"]["points"].as_array().and_then(|points| points.last()).expect("a point");
    assert_eq!((&last["total"], &last["held"], &last["sold"]), (&json!(6), &json!(3), &json!(3)));
    assert!(report["drop"]["sold_out_at"].is_string() && report["drop"].get("all_paid_at").is_none());

    let text = report.to_string();
    for secret in ["ann", "example.org", "BANK-1"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let other = document(of_server(&server, &["1", "--json"]));
    assert_eq!(other["orders"]["placed"], units(1, 1), "the orders of another drop are not counted");
    let counters = |report: &Value, member: &str| report["drop"][member].as_u64().expect("a number");
    let (held, sold) = ["held", "sold"].map(|member| counters(&report, member) + counters(&other, member)).into();
    server.stop();
    let verified = verify(&scratch.path().join("data")).expect("verified");
    assert_eq!((verified.problem_count, verified.held, verified.sold), (0, held, sold));
}

#[test]
fn the_report_of_a_server_is_the_report_of_its_file() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    sell(&server);
    let file = file_of(scratch.path());
    let file = file.to_str().expect("a path");
    let served = without_server(document(of_server(&server, &["2", "--json"])));
    assert_eq!(served, document(program(&["2", "--json", "--db", file])), "beside the running server");
    server.stop();
    assert_eq!(served, document(program(&["2", "--json", "--db", file])), "after its end");
    let config = scratch.path().join("plan.toml");
    std::fs::write(&config, "[plan]\ndepletion_seconds = 90\nrequests_per_second = 500\n").expect("written");
    let planned = document(program(&["2", "--json", "--db", file, "--config", config.to_str().expect("a path")]));
    assert_eq!(
        (&planned["plan"]["depletion_seconds"], &planned["plan"]["requests_per_second"]),
        (&json!(90), &json!(500))
    );
    let planned_server = serve_with(scratch.path(), |config| config.plan.depletion_seconds = 90);
    let report = document(of_server(&planned_server, &["2", "--json"]));
    assert_eq!(report["plan"]["sold_out_seconds"], planned["plan"]["sold_out_seconds"]);
    assert!(report["rejections"].as_array().is_some_and(|rejections| !rejections.is_empty()), "{report}");
    planned_server.stop();
}

#[test]
fn a_drop_without_orders_has_a_report_and_a_missing_one_is_a_line() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "empty", &json!({ "total": 0 }));
    create(&server, "later", &json!({ "starts_at": "2999-01-01T00:00:00Z" }));
    for drop in ["1", "2"] {
        let report = document(of_server(&server, &[drop, "--json"]));
        assert_eq!(report["orders"]["placed"], json!({ "orders": 0, "units": 0 }));
        assert!(report.get("whole").is_none() && report["drop"].get("sold_out_at").is_none(), "{report}");
        let text = done(of_server(&server, &[drop]));
        assert!(text.contains("0 requests refused as sold out"), "{text}");
    }
    for missing in ["3", "4294967295"] {
        let (code, line) = refused(&of_server(&server, &[missing]));
        assert_eq!(code, Some(1), "{line}");
        assert!(line.contains(&format!("drop {missing} was not found")) && line.lines().count() == 1, "{line}");
    }
    for wrong in ["0", "-1", "x", "4294967296"] {
        assert_eq!(refused(&of_server(&server, &[wrong])).0, Some(64), "{wrong}");
    }
    server.stop();
    let file = file_of(scratch.path());
    let (code, line) = refused(&program(&["3", "--db", file.to_str().expect("a path")]));
    assert_eq!(code, Some(1), "{line}");
    let nothing = scratch.path().join("nothing.db");
    let (code, line) = refused(&program(&["1", "--db", nothing.to_str().expect("a path")]));
    assert_eq!(code, Some(66), "{line}");
    std::fs::write(&nothing, "no database").expect("written");
    let (code, line) = refused(&program(&["1", "--db", nothing.to_str().expect("a path")]));
    assert_eq!(code, Some(65), "{line}");
}

#[test]
fn the_page_is_one_file_for_its_owner_without_scripts_and_with_names_as_text() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.plan.depletion_seconds = 90);
    sell(&server);
    let path = scratch.path().join("report.html");
    let name = path.to_str().expect("a path");
    done(of_server(&server, &["2", "--html", name]));
    let page = std::fs::read_to_string(&path).expect("read");
    for part in ["<svg", "Stock over time", "&lt;script&gt;", "139.70 EUR", "Plan and sale", "Refused: sold out"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for foreign in ["<script", "http://", "https://", "<link", "<img", "@import", "url(", "ann@", "BANK-1"] {
        assert!(!page.contains(foreign), "{foreign}: {page}");
    }
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);

    std::fs::write(&path, "mine").expect("written");
    let (code, line) = refused(&of_server(&server, &["2", "--html", name]));
    assert_eq!(code, Some(64), "{line}");
    assert!(line.contains("exists already; --overwrite replaces it"), "{line}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "mine");
    done(of_server(&server, &["2", "--html", name, "--overwrite"]));
    assert!(std::fs::read_to_string(&path).expect("read").contains("<svg"));
    let nowhere = scratch.path().join("nowhere").join("r.html");
    assert_eq!(refused(&of_server(&server, &["2", "--html", nowhere.to_str().expect("a path")])).0, Some(64));
    let left: Vec<_> =
        std::fs::read_dir(scratch.path()).expect("a list").map(|entry| entry.expect("one").path()).collect();
    assert!(!left.iter().any(|path| path.to_string_lossy().contains("partial")), "{left:?}");

    create(&server, "later", &json!({ "starts_at": "2999-01-01T00:00:00Z" }));
    let empty = scratch.path().join("empty.html");
    done(of_server(&server, &["3", "--html", empty.to_str().expect("a path")]));
    assert!(std::fs::read_to_string(&empty).expect("read").contains("Nothing has happened yet"));
    server.stop();
}

#[test]
fn tables_have_every_order_payment_and_refund_and_no_formula() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    sell(&server);
    let directory = scratch.path().join("tables");
    let name = directory.to_str().expect("a path");
    done(of_server(&server, &["2", "--csv", name]));
    let table = |directory: &Path, file: &str| -> Vec<Vec<String>> {
        let mut rows = csv::Reader::from_path(directory.join(file)).expect("a table");
        rows.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect()
    };
    let orders = table(&directory, "orders.csv");
    let states: Vec<&str> = orders.iter().map(|row| row[3].as_str()).collect();
    assert_eq!(states, ["expired", "paid", "cancelled", "paid", "reserved"]);
    assert_eq!(orders[1][5..11], ["2", "EUR", "49.90", "4990", "99.80", "9980"]);
    let payments = table(&directory, "payments.csv");
    let cells: Vec<&[String]> = payments.iter().map(|row| &row[3..5]).collect();
    assert_eq!(cells, [["manual", "BANK-1"], ["manual", "'=BANK-2"]], "a formula is a text");
    assert_eq!(payments[1][8..12], ["49.90", "4990", "10.00", "1000"]);
    let refunds = table(&directory, "refunds.csv");
    assert_eq!(refunds.len(), 1);
    assert_eq!((refunds[0][3].as_str(), refunds[0][8].as_str()), ("order_refunded", "10.00"));
    let (code, line) = refused(&of_server(&server, &["2", "--csv", name]));
    assert_eq!((code, line.lines().count()), (Some(64), 3), "{line}");
    done(of_server(&server, &["2", "--csv", name, "--overwrite"]));
    server.stop();
    let other = scratch.path().join("of-the-file");
    let file = file_of(scratch.path());
    done(program(&["2", "--csv", other.to_str().expect("a path"), "--db", file.to_str().expect("a path")]));
    for name in ["orders.csv", "payments.csv", "refunds.csv"] {
        let read = |directory: &Path| std::fs::read_to_string(directory.join(name)).expect("read");
        assert_eq!(read(&directory), read(&other), "{name} of the server and of its file");
    }
}

#[test]
fn a_payment_minutes_after_its_reservation_is_told_in_minutes() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "slow", &json!({}));
    let paid = order(&server, 1, "ann", 1);
    pay(&server, &paid, "BANK-1", 4990);
    server.stop();
    let file = file_of(scratch.path());
    let database = rusqlite::Connection::open(&file).expect("opened");
    let moved = database.execute("UPDATE orders SET reserved_at_ms = reserved_at_ms - 224000", []);
    assert_eq!(moved, Ok(1));
    drop(database);
    let report = document(program(&["1", "--json", "--db", file.to_str().expect("a path")]));
    let longest = report["until_payment"]["max_ms"].as_u64().expect("a duration");
    assert!((224_000..300_000).contains(&longest), "{}", report["until_payment"]);
}
