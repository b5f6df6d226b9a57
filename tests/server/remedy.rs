//! The last orders of a drop, taken back: a look first, then its run, by the real program against the real server.

use std::process::{Command, Output};

use crate::http::{Server, call, serve, serve_with_admin_tls};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

fn remedy(server: &Server, arguments: &[&str]) -> Output {
    let admin = server.0.server.admin_address.to_string();
    let program =
        Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("remedy").args(arguments).args(["--admin", &admin]).output();
    program.expect("run")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn create(server: &Server, key: &str, total: u32) {
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": total,
                       "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 99 });
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
}

/// An order on a drop: its id and its number.
fn order(server: &Server, drop: u32, key: &str) -> (String, u64) {
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let body = json!({ "buyer": "ann", "quantity": 1 }).to_string();
    let made = call(server.0.server.public_address, "POST", &format!("/v1/drops/{drop}/orders"), &headers, &body);
    assert_eq!(made.status, 201, "{}", made.text);
    (made.body["id"].as_str().expect("an id").into(), made.body["seq"].as_u64().expect("a number"))
}

fn operate(server: &Server, order: &str, what: &str, body: &Value) {
    let answer = server.admin("POST", &format!("/v1/orders/{order}/{what}"), body);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn pay(server: &Server, order: &str) {
    operate(
        server,
        order,
        "payments",
        &json!({ "reference": "R", "amount": 100, "currency": "EUR", "reason": "seen" }),
    );
}

fn state(server: &Server, order: &str) -> Value {
    server.public("GET", &format!("/v1/orders/{order}")).body
}

fn seq(server: &Server) -> f64 {
    server.metric("firstcome_seq ")
}

fn pause(server: &Server) {
    assert_eq!(server.admin("POST", "/v1/drops/1/pause", &json!({ "reason": "look into it" })).status, 200);
}

#[test]
fn a_look_changes_nothing_and_its_run_takes_back_what_it_showed_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "one", 20);
    create(&server, "two", 20);
    let names = ["before", "held", "elsewhere", "given back", "paid", "in part", "awaiting"];
    let drops = names.map(|name| if name == "elsewhere" { 2 } else { 1 });
    let made: Vec<(String, u64)> =
        names.iter().zip(drops).map(|(name, drop)| order(&server, drop, &name.replace(' ', "-"))).collect();
    let id = |name: &str| made[names.iter().position(|known| *known == name).expect("an order")].0.as_str();
    for name in ["before", "paid", "in part"] {
        pay(&server, id(name));
    }
    operate(&server, id("in part"), "refund", &json!({ "amount": 40, "reason": "a scratch" }));
    assert_eq!(server.public("POST", &format!("/v1/orders/{}/cancel", id("given back"))).status, 200);
    let contact = json!({ "contact": { "email": "ann@example.org" } }).to_string();
    call(server.0.server.public_address, "POST", &format!("/v1/orders/{}/checkout", id("awaiting")), JSON, &contact);

    let before = seq(&server);
    let shown = remedy(&server, &["1", "--last", "4", "--json"]);
    let look: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let listed: Vec<(&str, &str)> = look["orders"]
        .as_array()
        .expect("orders")
        .iter()
        .map(|entry| (entry["order"]["id"].as_str().expect("an id"), entry["to_do"].as_str().expect("a word")))
        .collect();
    assert_eq!(
        listed,
        [(id("awaiting"), "cancel"), (id("in part"), "refund"), (id("paid"), "refund"), (id("held"), "cancel")]
    );
    let run = look["run"].as_str().expect("a run").to_string();
    assert_eq!(run, format!("{}-{}", made[1].1, made[6].1));
    let table = said(&remedy(&server, &["1", "--last", "4"]));
    for part in
        [&format!("remedy 1 --run {run} --orders 4 --yes"), "2 to cancel, 2 to refund", "0.60 EUR", "Pause it first"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!((seq(&server) - before).abs() < 0.5, "a look is no event");

    let act = ["1", "--run", &run, "--orders", "4", "--yes", "--reason", "too many"];
    let selling = remedy(&server, &act);
    assert_eq!(selling.status.code(), Some(64), "{}", said(&selling));
    assert!(said(&selling).contains("drop 1 is live"), "{}", said(&selling));
    assert!((seq(&server) - before).abs() < 0.5);
    pause(&server);
    let done = remedy(&server, &act);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("2 cancelled, 2 refunded"), "{}", said(&done));

    for (name, ended, refunded, why) in [
        ("before", "paid", 0, None),
        ("held", "cancelled", 0, Some("cancelled_by_operator")),
        ("given back", "cancelled", 0, Some("cancelled_by_buyer")),
        ("elsewhere", "reserved", 0, None),
        ("paid", "refunded", 100, Some("refunded")),
        ("in part", "refunded", 100, Some("refunded")),
        ("awaiting", "cancelled", 0, Some("cancelled_by_operator")),
    ] {
        let now = state(&server, id(name));
        assert_eq!((now["state"].as_str(), now["refunded_amount"].as_u64()), (Some(ended), Some(refunded)), "{name}");
        assert_eq!(now["end_reason"].as_str(), why, "{name}");
    }
    let drop = server.public("GET", "/v1/drops/1").body;
    assert_eq!((drop["held"].as_u64(), drop["sold"].as_u64()), (Some(0), Some(3)), "refunded units stay sold");
    let audit = call(server.0.server.admin_address, "GET", "/v1/audit", "", "").text;
    assert_eq!(audit.lines().filter(|line| line.contains(r#""reason":"too many""#)).count(), 4, "{audit}");
    assert_eq!(audit.lines().filter(|line| line.contains(r#""by":"operator""#)).count(), 2, "{audit}");

    let after = seq(&server);
    let again = remedy(&server, &act);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(said(&again).contains("0 cancelled, 0 refunded"), "{}", said(&again));
    assert!((seq(&server) - after).abs() < 0.5, "a repeat changes nothing");
    assert_eq!(state(&server, id("before"))["state"], "paid", "and reaches no further back");
    server.stop();
    let report = firstcome::store::verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

#[test]
fn a_long_run_goes_in_parts_and_one_that_broke_off_goes_on_where_it_stopped() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "one", 60);
    let made: Vec<(String, u64)> = (0..50).map(|n| order(&server, 1, &format!("k{n}"))).collect();
    made.iter().step_by(2).for_each(|(id, _)| pay(&server, id));
    pause(&server);
    let run = format!("{}-{}", made[5].1, made[49].1);
    let body = json!({ "run": run, "reason": "the first part" });
    let part = server.admin("POST", "/v1/drops/1/remedy", &body).body;
    let done = part["orders"].as_array().expect("orders");
    assert!(done.iter().all(|entry| entry["ending"] == "done"), "{part}");
    assert_eq!((done.len(), part["next_below"].as_u64()), (20, Some(made[30].1)), "newest first");
    let rest = remedy(&server, &["1", "--run", &run, "--orders", "25", "--yes", "--reason", "the rest", "--json"]);
    let told: Value = serde_json::from_slice(&rest.stdout).expect("JSON");
    assert_eq!(
        (told["cancelled"].as_u64(), told["refunded"].as_u64(), told["complete"].as_bool()),
        (Some(13), Some(12), Some(true))
    );
    for (n, (id, _)) in made.iter().enumerate() {
        let live = if n % 2 == 0 { "paid" } else { "reserved" };
        let gone = if n % 2 == 0 { "refunded" } else { "cancelled" };
        assert_eq!(state(&server, id)["state"], if n < 5 { live } else { gone }, "{n}");
    }
    server.stop();
}

#[test]
fn a_range_with_more_orders_than_the_preview_listed_is_refused_and_nothing_is_undone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "one", 60);
    let made: Vec<(String, u64)> = (0..50).map(|n| order(&server, 1, &format!("k{n}"))).collect();
    pause(&server);
    for (run, orders) in [("1-999999", "25"), ("1-999999", "49"), (&*format!("{}-999999", made[48].1), "1")] {
        let refused = remedy(&server, &["1", "--run", run, "--orders", orders, "--yes", "--reason", "x"]);
        let told = said(&refused);
        assert!(refused.status.code() == Some(69) && told.contains("/orders_max"), "{run}: {told}");
        assert!(told.contains(&format!("more than {orders} live and paid orders")), "{run}: {told}");
    }
    assert!(made.iter().all(|(id, _)| state(&server, id)["state"] == "reserved"));
    // A request that goes on below another one cannot say what that one did.
    let body = json!({ "run": "1-999999", "reason": "x", "orders_max": 2, "below": made[40].1 });
    let refused = server.admin("POST", "/v1/drops/1/remedy", &body);
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("this request undid nothing") && !refused.text.contains("nothing was undone"));
    // A repeat with the same number, after a part was undone, goes on.
    let run = format!("{}-{}", made[20].1, made[49].1);
    let body = json!({ "run": run, "reason": "the first part", "orders_max": 30 });
    assert_eq!(server.admin("POST", "/v1/drops/1/remedy", &body).status, 200);
    for cancelled in ["10 cancelled", "0 cancelled"] {
        let done = said(&remedy(&server, &["1", "--run", &run, "--orders", "30", "--yes", "--reason", "the rest"]));
        assert!(done.contains(cancelled), "{done}");
    }
    server.stop();
}

#[test]
fn a_run_needs_a_look_a_yes_and_a_reason() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create(&server, "one", 1);
    assert!(said(&remedy(&server, &["1", "--last", "5"])).contains("no live and no paid orders"));
    for arguments in [
        &["1"][..],
        &["1", "--last", "0"],
        &["1", "--last", "5", "--yes", "--reason", "x"],
        &["1", "--run", "1-2"],
        &["1", "--run", "1-2", "--yes"],
        &["1", "--run", "1-2", "--yes", "--reason", "x"],
        &["1", "--run", "1-2", "--orders", "0", "--yes", "--reason", "x"],
        &["1", "--run", "2", "--orders", "1", "--yes", "--reason", "x"],
        &["1", "--run", "FIRST-LAST", "--orders", "1", "--yes", "--reason", "x"],
        &["1", "--run", "1-2", "--orders", "COUNT", "--yes", "--reason", "x"],
        &["0", "--last", "5"],
    ] {
        let output = remedy(&server, arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", said(&output));
    }
    let unknown = remedy(&server, &["9", "--last", "5"]);
    assert!(unknown.status.code() == Some(69) && said(&unknown).contains("404 not-found"), "{}", said(&unknown));
    server.stop();
}

#[test]
fn an_admin_listener_with_tls_is_reached_with_its_authority() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, url, ca) = serve_with_admin_tls(scratch.path());
    let undo = |more: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        program.args(["undo-orders", "1", "--last", "5", "--admin", &url]).args(more).output().expect("run")
    };
    let untrusted = undo(&[]);
    assert_eq!(untrusted.status.code(), Some(69), "{}", said(&untrusted));
    assert!(said(&untrusted).contains("--ca trusts"), "{}", said(&untrusted));
    let trusted = undo(&["--ca", &ca]);
    assert!(said(&trusted).contains("404 not-found"), "the server responds: {}", said(&trusted));
    server.stop();
}
