//! The verbs for operators, each by the real program against a real server.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::http::{Server, call, serve, serve_with, serve_with_admin_tls, until};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";
const REASON: [&str; 2] = ["--reason", "a test"];

fn program(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    program.args(arguments).env_remove("FIRSTCOME_TOKEN").stdin(Stdio::null()).output().expect("run")
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    let (admin, public) = (server.0.server.admin_address.to_string(), server.0.server.public_address.to_string());
    let mut all = arguments.to_vec();
    all.extend(["--admin", &admin]);
    let reads_at_public = ["drop list", "drop show", "drop stock", "drop clone", "auction list"];
    if reads_at_public.iter().any(|verb| arguments.join(" ").starts_with(verb)) {
        all.extend(["--public", &public]);
    }
    program(&all)
}

/// The lines of a success.
fn said(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The document of a success.
fn document(server: &Server, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(server, &[arguments, &["--json"]].concat())).expect("JSON")
}

/// The code and the lines of a failure, which prints nothing else.
fn refused(output: &Output) -> (i32, Vec<String>) {
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty(), "{output:?}");
    let lines = lines.lines().map(|line| line.strip_prefix("firstcome: ").expect("a line of ours").to_owned());
    (output.status.code().expect("a code"), lines.collect())
}

fn create_drop(server: &Server, total: &str, more: &[&str]) -> Value {
    let usual = ["drop", "create", "--sku", "S-1", "--name", "A shoe", "--price", "49.90", "--currency", "eur"];
    document(server, &[&usual[..], &["--total", total, "--start", "now", "--per-buyer", "9"], more].concat())
}

fn order(server: &Server, key: &str, body: &Value) -> Value {
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    call(server.0.server.public_address, "POST", "/v1/drops/1/orders", &headers, &body.to_string()).body
}

fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document[member].as_str().expect("a text")
}

#[test]
fn a_drop_is_created_listed_shown_paused_resumed_restocked_cloned_and_closed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let options = ["--end", "+2h", "--reservation", "3m", "--payment", "900", "--cap-email", "2", "--cap-phone", "4"];
    let made = create_drop(&server, "10", &[&options[..], &["--key", "first"]].concat());
    assert_eq!((&made["unit_price"], &made["currency"], &made["total"]), (&json!(4990), &json!("EUR"), &json!(10)));
    assert_eq!((&made["reservation_seconds"], &made["payment_seconds"]), (&json!(180), &json!(900)));
    assert_eq!(made["identity_limits"], json!({ "email": 2, "phone": 4 }));
    let drops = || document(&server, &["drop", "list"])["data"].as_array().expect("drops").len();
    assert_eq!(drops(), 1);
    // The arguments of a repeat are the same instants, so these are spelled out.
    let fixed = ["--start", "2026-01-01T00:00:00Z", "--total", "5", "--key", "second"];
    let usual = ["drop", "create", "--sku", "S", "--name", "N", "--price", "1", "--currency", "JPY"];
    let again = || document(&server, &[&usual[..], &fixed].concat())["id"].clone();
    assert_eq!((again(), again()), (json!(2), json!(2)), "a repeat with the same key makes no other drop");
    assert_eq!(drops(), 2);

    let table = said(&server, &["drop", "list"]);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows.len() == 3 && rows[0].contains("available") && rows[1].contains("49.90 EUR"), "{table}");
    assert!(rows[2].contains("1 JPY") && rows[2].contains("2026-01-01T00:00:00Z"), "{table}");
    let shown = said(&server, &["drop", "show", "1"]);
    assert!(shown.contains("identity_limits") && shown.contains("email 2, phone 4"), "{shown}");

    let paused = said(&server, &[&["drop", "pause", "1"], &REASON[..]].concat());
    assert!(paused.starts_with("drop 1 is paused: no new orders\n") && paused.contains("paused"), "{paused}");
    assert_eq!(order(&server, "a", &json!({ "buyer": "ann", "quantity": 1 }))["code"], "drop-paused");
    assert_eq!(document(&server, &[&["drop", "resume", "1"], &REASON[..]].concat())["state"], "live");
    let stock = |change: [&str; 2]| document(&server, &[&["drop", "stock", "1"], &change[..], &REASON].concat());
    assert_eq!(stock(["--add", "5"])["total"], 15);
    assert_eq!(stock(["--remove", "3"])["total"], 12);
    let (code, lines) = refused(&run(&server, &[&["drop", "stock", "1", "--remove", "13"], &REASON[..]].concat()));
    assert_eq!((code, lines.len()), (64, 1), "{lines:?}");
    assert!(lines[0].starts_with("the stock of drop 1 was not changed: ") && lines[0].contains("/delta"), "{lines:?}");

    let copy = document(&server, &["drop", "clone", "1", "--start", "2030-01-01T00:00:00Z", "--name", "Again"]);
    for member in ["sku", "unit_price", "total", "per_buyer_limit", "reservation_seconds", "identity_limits"] {
        let original = document(&server, &["drop", "show", "1"]);
        assert_eq!(copy[member], original[member], "{member}");
    }
    assert_eq!((&copy["id"], text(&copy, "name"), text(&copy, "state")), (&json!(3), "Again", "scheduled"));
    let lasts = |drop: &Value| {
        let at = |member| firstcome::types::instant::parse_instant(text(drop, member)).expect("an instant");
        at("ends_at").since(at("starts_at"))
    };
    assert_eq!(lasts(&copy), lasts(&made), "the window is as long as that of the original");
    let cheaper = document(&server, &["drop", "clone", "2", "--start", "+1h", "--price", "250", "--total", "7"]);
    assert_eq!((&cheaper["unit_price"], &cheaper["total"]), (&json!(250), &json!(7)), "in the original's currency");

    let closed = said(&server, &[&["drop", "close", "1"], &REASON[..]].concat());
    assert!(closed.starts_with("drop 1 has ended for good\n"), "{closed}");
    let (code, lines) = refused(&run(&server, &[&["drop", "pause", "1"], &REASON[..]].concat()));
    assert!(code == 1 && lines.len() == 1 && lines[0].starts_with("drop 1 was not paused: Ended: "), "{lines:?}");
}

#[test]
fn orders_are_listed_shown_searched_refunded_and_settled() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.payments.sandbox = true);
    create_drop(&server, "10", &[]);
    let contact = json!({ "email": "ann@example.org", "phone": "+49 30 901820" });
    let made = order(&server, "a", &json!({ "buyer": "ann", "quantity": 2, "contact": contact }));
    let (id, code) = (text(&made, "id").to_owned(), text(&made, "code").to_owned());
    let other = order(&server, "b", &json!({ "buyer": "bob", "quantity": 1 }));
    let payment = json!({ "reference": "BANK-1", "amount": 9980, "currency": "EUR", "reason": "seen" });
    assert_eq!(server.admin("POST", &format!("/v1/orders/{id}/payments"), &payment).status, 200);

    let codes = |arguments: &[&str]| {
        let page = document(&server, &[&["order"], arguments].concat());
        let orders = page["data"].as_array().expect("orders").iter();
        orders.map(|order| text(order, "code").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&["list"]), [code.as_str(), text(&other, "code")]);
    assert_eq!(codes(&["list", "--drop", "1", "--state", "paid"]), [code.as_str()]);
    assert_eq!(codes(&["list", "--drop", "2"]), Vec::<String>::new());
    assert_eq!(codes(&["list", "--refund-due"]), Vec::<String>::new());
    for by in [["--email", "Ann@example.org"], ["--phone", "+49 30 901820"], ["--code", &code.to_lowercase()]] {
        assert_eq!(codes(&[&["search"], &by[..]].concat()), [code.as_str()], "{by:?}");
    }
    for named in [&code, &id, &code.to_lowercase()] {
        let shown = document(&server, &["order", "show", named]);
        assert_eq!((text(&shown["order"], "id"), &shown["payments"][0]["reference"]), (id.as_str(), &json!("BANK-1")));
    }
    let shown = said(&server, &["order", "show", &code]);
    assert!(shown.contains("99.80 EUR") && shown.contains("payments:") && shown.contains("BANK-1"), "{shown}");

    let refund = ["order", "refund", &code, "--amount", "10.00", "--key", "ticket-7", "--reason", "a scratch"];
    for time in ["first", "repeat"] {
        let refunded = document(&server, &refund);
        assert_eq!((&refunded["refunded_amount"], text(&refunded, "state")), (&json!(1000), "paid"), "{time}");
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let page = format!("/pay/{}/sandbox", text(&other, "id"));
    assert_eq!(call(server.0.server.public_address, "POST", &page, form, "what=pay_twice&seen=1").status, 303);
    let twice = text(&other, "code");
    assert_eq!(codes(&["list", "--refund-due"]), [twice], "an order is paid once");
    let settle = ["order", "settle", twice, "--reference", "BACK-1", "--amount", "49.90", "--reason", "transferred"];
    let settled = said(&server, &settle);
    assert!(settled.starts_with(&format!("the refund of order {twice} is settled:\n")), "{settled}");
    assert_eq!(codes(&["list", "--refund-due"]), Vec::<String>::new());
    let whole = said(&server, &["order", "refund", &code, "--restock", "2", "--reason", "came back"]);
    assert!(whole.starts_with(&format!("order {code} is refunded:\n")) && whole.contains("99.80 EUR"), "{whole}");
    assert_eq!(document(&server, &["drop", "show", "1"])["sold"], 1, "its units are on sale again");
    let (exit, lines) = refused(&run(&server, &["order", "refund", &code, "--reason", "once more"]));
    assert!(
        exit != 0 && lines.len() == 1 && lines[0].starts_with(&format!("order {code} was not refunded: ")),
        "{lines:?}"
    );
}

#[test]
fn a_list_goes_over_pages_up_to_its_limit_and_names_where_to_go_on() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create_drop(&server, "200", &[]);
    let seqs: Vec<u64> = (0..103)
        .map(|number| {
            let made = order(&server, &number.to_string(), &json!({ "buyer": format!("b{number}"), "quantity": 1 }));
            made["seq"].as_u64().expect("a number")
        })
        .collect();
    let page = document(&server, &["order", "list", "--limit", "102"]);
    let listed: Vec<u64> = page["data"].as_array().expect("orders").iter().filter_map(|o| o["seq"].as_u64()).collect();
    assert_eq!((listed.as_slice(), &page["has_more"]), (&seqs[..102], &json!(true)));
    let after = page["next_after"].to_string();
    let rest = run(&server, &["order", "list", "--after", &after]);
    let table = String::from_utf8_lossy(&rest.stdout).into_owned();
    assert!(table.lines().count() == 2 && table.contains("b102") && rest.stderr.is_empty(), "{rest:?}");
    let some = run(&server, &["order", "list", "--limit", "5"]);
    let note = String::from_utf8_lossy(&some.stderr).into_owned();
    assert_eq!(note, format!("there may be more: repeat with --after {}\n", seqs[4]));
    assert_eq!(String::from_utf8_lossy(&some.stdout).lines().count(), 6);
    let none = run(&server, &["order", "list", "--state", "paid"]);
    assert_eq!((none.status.code(), String::from_utf8_lossy(&none.stderr).as_ref()), (Some(0), "nothing found\n"));
}

#[test]
fn an_auction_is_created_listed_and_cancelled() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let usual = ["auction", "create", "--sku", "S", "--name", "The first", "--currency", "EUR", "--start-price", "100"];
    let more =
        ["--start", "now", "--end", "+1h", "--soft-close", "60s", "--buy-now", "900.50", "--reserve-price", "200"];
    let steps = ["--increment", "0=1.00", "--increment", "500=10.00"];
    let made = document(&server, &[&usual[..], &more, &steps].concat());
    assert_eq!((&made["start_price"], &made["buy_now"]), (&json!(10_000), &json!(90_050)));
    let bid = json!({ "buyer": "ann", "amount": 10_000 }).to_string();
    let headers = format!("{JSON}Idempotency-Key: bid\r\n");
    let placed = call(server.0.server.public_address, "POST", "/v1/auctions/1/bids", &headers, &bid);
    assert_eq!(placed.body["minimum_next"], 10_100, "the first step: {}", placed.text);
    let table = said(&server, &["auction", "list"]);
    assert!(table.contains("100.00 EUR") && table.contains("ann") && table.contains("The first"), "{table}");
    let cancelled = said(&server, &["auction", "cancel", "1", "--reason", "it is lost"]);
    assert!(cancelled.starts_with("auction 1 is cancelled\n"), "{cancelled}");
    assert_eq!(document(&server, &["auction", "list"])["data"][0]["state"], "cancelled");
    let wrong = ["--start", "soon", "--end", "+1h", "--increment", "1", "--increment", "0=x", "--buy-now", "1,5"];
    let (code, lines) = refused(&run(&server, &[&usual[..], &wrong].concat()));
    assert_eq!((code, lines.len()), (64, 4), "{lines:?}");
}

#[test]
fn an_endpoint_is_created_with_its_secret_listed_and_its_dead_deliveries_are_sent_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        config.outbox.retry_waits = vec![Duration::ZERO];
        config.outbox.timeout = Duration::from_millis(300);
    });
    // A port on which no server listens.
    let closed = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    let url = format!("http://{closed}/hooks");
    let create = ["endpoint", "create", "--url", &url, "--events", "drop.paused, drop.resumed", "--key", "hooks"];
    let made = said(&server, &create);
    let secret = made.lines().last().and_then(|line| line.strip_prefix("secret ")).expect("a secret");
    assert!(made.starts_with("endpoint created:\n") && secret.starts_with("whsec_"), "{made}");
    let again = run(&server, &create);
    assert!(again.status.success() && !String::from_utf8_lossy(&again.stdout).contains("secret"), "{again:?}");
    let listed = document(&server, &["endpoint", "list"]);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["data"][0]["events"], json!(["drop.paused", "drop.resumed"]));
    assert!(listed["data"][0]["secret"].is_null(), "{listed}");
    let id = listed["data"][0]["id"].to_string();

    create_drop(&server, "10", &[]);
    said(&server, &[&["drop", "pause", "1"], &REASON[..]].concat());
    until("the delivery is given up", || {
        document(&server, &["endpoint", "deliveries", &id])["data"].as_array().is_some_and(|dead| !dead.is_empty())
    });
    let dead = said(&server, &["endpoint", "deliveries", &id, "--state", "dead"]);
    assert!(dead.contains("drop.paused"), "{dead}");
    let resent = said(&server, &["endpoint", "resend", &id, "--from", "1", "--reason", "it is well again"]);
    assert!(resent.starts_with(&format!("endpoint {id} receives its events again\n")), "{resent}");
    let (code, lines) = refused(&run(&server, &["endpoint", "resend", "x", "--from", "y", "--reason", "z"]));
    assert_eq!((code, lines.len()), (64, 2), "{lines:?}");
    let (code, lines) = refused(&run(&server, &["endpoint", "create", "--url", "ftp://x", "--events", "order.eaten"]));
    assert!(code == 64 && lines.len() == 1 && lines[0].contains("/events"), "{lines:?}");
}

#[test]
fn the_tier_of_a_buyer_is_set_read_and_cleared() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let buyer = "ann@example.org / café";
    let set = ["buyer", "tier", "set", buyer, "suspected", "--expires", "+7d", "--reason", "400 orders a minute"];
    let told = said(&server, &set);
    assert!(told.starts_with(&format!("buyer {buyer} has the tier:\n")) && told.contains("suspected"), "{told}");
    let read = document(&server, &["buyer", "tier", "get", buyer]);
    assert_eq!((text(&read, "buyer"), text(&read, "tier"), text(&read, "source")), (buyer, "suspected", "operator"));
    let cleared = said(&server, &["buyer", "tier", "clear", buyer]);
    assert_eq!(cleared, format!("buyer {buyer} has no tier of an operator\n"));
    let read = said(&server, &["buyer", "tier", "get", buyer]);
    assert!(read.contains("source") && read.contains("default"), "{read}");
    let (code, lines) = refused(&run(&server, &["buyer", "tier", "set", buyer, "gold", "--reason", "x"]));
    assert!(code == 64 && lines.len() == 1 && lines[0].contains("/tier"), "{lines:?}");
}

#[test]
fn wrong_ids_are_1_with_what_to_do() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    create_drop(&server, "10", &[]);
    let made = order(&server, "a", &json!({ "buyer": "ann", "quantity": 1 }));
    // The id of this order with other random bits names no order.
    let mut id = text(&made, "id").to_owned();
    let last = if id.pop() == Some('0') { '1' } else { '0' };
    id.push(last);
    for (arguments, words) in [
        (&["drop", "show", "99"][..], "drop 99 was not read: there is no such drop; `firstcome drop list`"),
        (&["drop", "pause", "99", "--reason", "x"], "drop 99 was not paused: there is no such drop"),
        (&["drop", "clone", "99", "--start", "now"], "drop 99 was not read: there is no such drop"),
        (
            &["order", "show", "FC-C1SM"],
            "order FC-C1SM was not found: there is no such order; `firstcome order search`",
        ),
        (&["order", "show", &id], "was not found: there is no such order"),
        (&["order", "refund", &id, "--reason", "x"], "was not found: there is no such order"),
        (&["auction", "cancel", "99", "--reason", "x"], "auction 99 was not cancelled: there is no such auction"),
        (&["endpoint", "deliveries", "99"], "the deliveries of endpoint 99 were not listed: there is no such endpoint"),
    ] {
        let (code, lines) = refused(&run(&server, arguments));
        assert!(code == 1 && lines.len() == 1 && lines[0].contains(words), "{arguments:?}: {code} {lines:?}");
    }
}

#[test]
fn bad_arguments_are_64_all_at_once_and_send_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let wrong = [
        ("--price", "49,90"),
        ("--currency", "EUR"),
        ("--total", "many"),
        ("--start", "tomorrow"),
        ("--end", "+2"),
        ("--reservation", "soon"),
        ("--per-buyer", "1.5"),
    ];
    let arguments: Vec<&str> = wrong.iter().flat_map(|(flag, value)| [*flag, *value]).collect();
    let (code, lines) = refused(&run(&server, &[&["drop", "create", "--name", "N"], &arguments[..]].concat()));
    assert_eq!((code, lines.len()), (64, 7), "{lines:?}");
    for (flag, value) in wrong.iter().filter(|(flag, _)| *flag != "--currency") {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{flag} {value}: "))), "{flag}: {lines:?}");
    }
    assert!(lines.contains(&"--sku is missing".to_owned()), "{lines:?}");
    assert_eq!(document(&server, &["drop", "list"])["data"], json!([]));
    for (arguments, count) in [
        (&["drop", "pause", "x", "--reason", "r"][..], 1),
        (&["drop", "stock", "x", "--add", "0", "--reason", "r"], 2),
        (&["drop", "stock", "1", "--reason", "r"], 1),
        (&["order", "list", "--drop", "x", "--state", "eaten"], 2),
        (&["order", "show", "FC-C1TM"], 1),
        (&["order", "search"], 1),
        (&["order", "search", "--email", "a", "--phone", "b"], 1),
        (&["order", "list", "--limit", "0"], 1),
        (&["auction", "cancel", "x", "--reason", "r"], 1),
        (&["buyer", "tier", "set", "ann", "new", "--expires", "later", "--reason", "r"], 1),
    ] {
        let (code, lines) = refused(&run(&server, arguments));
        assert_eq!((code, lines.len()), (64, count), "{arguments:?}: {lines:?}");
    }
    // Mistakes that only the server knows are one line with every place.
    let usual = ["drop", "create", "--sku", "S", "--name", "N", "--price", "1", "--currency", "EUR", "--total", "1"];
    let more = ["--start", "now", "--reservation", "0", "--challenge", "riddle"];
    let (code, lines) = refused(&run(&server, &[&usual[..], &more].concat()));
    assert!(code == 64 && lines.len() == 1, "{code} {lines:?}");
    assert!(lines[0].contains("/reservation_seconds") && lines[0].contains("/challenge"), "{lines:?}");
}

#[test]
fn a_wrong_server_and_no_server_are_69_and_name_the_flag_to_set() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (admin, public) = (server.0.server.admin_address.to_string(), server.0.server.public_address.to_string());
    let closed = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address").to_string();
    let pause = ["drop", "pause", "1", "--reason", "x", "--admin"];
    let (code, lines) = refused(&program(&[&pause[..], &[&closed]].concat()));
    assert!(code == 69 && lines.len() == 1, "{code} {lines:?}");
    assert!(lines[0].contains(&closed) && lines[0].contains("is `firstcome serve` running? --admin"), "{lines:?}");
    let (code, lines) = refused(&program(&["drop", "list", "--admin", &admin, "--public", &closed]));
    assert!(code == 69 && lines[0].contains("--public sets its address"), "{lines:?}");
    let (code, lines) = refused(&program(&["drop", "list", "--admin", "a b", "--public", "c d"]));
    assert_eq!((code, lines.len()), (64, 2), "{lines:?}");
    let (code, lines) = refused(&program(&["order", "list", "--admin", &public]));
    assert!(code != 0 && lines.len() == 1 && lines[0].contains("--admin must be the admin listener"), "{lines:?}");
}

#[test]
fn a_token_comes_from_a_file_or_the_environment_and_a_wrong_one_is_69() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let make = |role: &str, more: &[&str]| {
        let usual = ["token", "create", "--role", role, "--name", role, "--data", data.to_str().expect("a path")];
        let made = program(&[&usual[..], more].concat());
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).expect("text").trim().to_owned()
    };
    let operator = make("operator", &["--before-first-start"]);
    let server = serve(scratch.path());
    let viewer = make("viewer", &[]);
    let file = |name: &str, token: &str, mode: u32| {
        let path = scratch.path().join(name);
        std::fs::write(&path, token).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        path.to_str().expect("a path").to_owned()
    };
    let list = ["order", "list"];
    let (code, lines) = refused(&run(&server, &list));
    assert!(code == 69 && lines.len() == 1, "{code} {lines:?}");
    assert!(lines[0].contains("FIRSTCOME_TOKEN") && lines[0].contains("--token-file"), "{lines:?}");
    let good = file("good", &format!("{operator}\n"), 0o600);
    assert_eq!(said(&server, &[&list[..], &["--token-file", &good]].concat()), "");
    let wrong = file("wrong", "fc_000000000000_nothing", 0o600);
    let (code, lines) = refused(&run(&server, &[&list[..], &["--token-file", &wrong]].concat()));
    assert!(code == 69 && !lines[0].contains("nothing"), "{code} {lines:?}");
    let weak = file("weak", &viewer, 0o600);
    until("the server takes the new token", || {
        let (code, lines) = refused(&run(&server, &[&list[..], &["--token-file", &weak]].concat()));
        code == 69 && lines[0].contains("token with a higher role")
    });
    let open = file("open", &operator, 0o644);
    let (code, lines) = refused(&run(&server, &[&list[..], &["--token-file", &open]].concat()));
    assert!(code == 64 && lines[0].contains("chmod 600"), "a secret that others can read: {lines:?}");
    let (code, lines) = refused(&run(&server, &[&list[..], &["--token-file", "/no/such/file"]].concat()));
    assert_eq!((code, lines.len()), (64, 1), "{lines:?}");
    let admin = server.0.server.admin_address.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(list).args(["--admin", &admin]).env("FIRSTCOME_TOKEN", &operator).stdin(Stdio::null());
    assert!(command.output().expect("run").status.success());
}

#[test]
fn an_admin_listener_under_tls_is_reached_with_its_authority() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (_server, url, authority) = serve_with_admin_tls(scratch.path());
    let list = |more: &[&str]| program(&[&["order", "list", "--admin", &url], more].concat());
    let (code, lines) = refused(&list(&[]));
    assert!(code == 69 && lines[0].contains("--ca"), "{lines:?}");
    assert_eq!(list(&["--ca", &authority]).status.code(), Some(0));
}

#[test]
fn man_pages_and_completions_have_every_verb() {
    let scratch = tempfile::tempdir().expect("scratch");
    assert!(program(&["man", "--to", scratch.path().to_str().expect("a path")]).status.success());
    for page in ["drop-clone", "order-settle", "auction-create", "endpoint-resend", "buyer-tier-set"] {
        let file = Path::new(scratch.path()).join(format!("firstcome-{page}.1"));
        let text = std::fs::read_to_string(&file).expect("a page");
        assert!(text.contains("Examples:"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(program(&["completions", shell]).stdout).expect("text");
        for word in ["clone", "settle", "deliveries", "tier", "restock", "token-file"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
