//! The line behind a drop that is sold out, through the real server: places, grants, restarts, mails, webhooks' data, and what
//! `verify` finds.

use std::path::Path;

use crate::http::{Answer, Server, call, serve, until};
use firstcome::store::verify;
use rusqlite::Connection;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

/// A drop of one unit that ann holds.
fn sold_out(directory: &Path) -> (Server, String) {
    let server = serve(directory);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1,
                       "starts_at": "2020-01-01T00:00:00Z" });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    let order = server.order("ann", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!(order.status, 201, "{}", order.text);
    let id = order.body["id"].as_str().expect("an id").to_owned();
    (server, id)
}

fn join(server: &Server, buyer: &str, contact: Option<&str>) -> Answer {
    let mut body = json!({ "buyer": buyer, "quantity": 1 });
    if let Some(email) = contact {
        body["contact"] = json!({ "email": email });
    }
    let headers = format!("{JSON}Idempotency-Key: key-{buyer}\r\n");
    call(server.0.server.public_address, "POST", "/v1/drops/1/standby", &headers, &body.to_string())
}

fn find(server: &Server, buyer: &str) -> Answer {
    let headers = format!("Idempotency-Key: key-{buyer}\r\n");
    call(server.0.server.public_address, "GET", &format!("/v1/drops/1/standby?buyer={buyer}"), &headers, "")
}

fn cancel(server: &Server, order: &str) {
    assert_eq!(server.public("POST", &format!("/v1/orders/{order}/cancel")).status, 200);
}

fn problems(directory: &Path) -> Vec<String> {
    verify::verify(&directory.join("data")).expect("verified").problems
}

#[test]
fn the_line_survives_a_restart_and_the_next_buyer_gets_the_unit_in_the_same_commit() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, order) = sold_out(scratch.path());
    for (index, buyer) in ["zoe", "bob", "eve"].into_iter().enumerate() {
        let joined = join(&server, buyer, None);
        assert_eq!((joined.status, &joined.body["position"]), (202, &json!(index + 1)), "{}", joined.text);
        assert_eq!((&joined.body["held"], &joined.body["available"]), (&json!(1), &json!(0)));
    }
    let path = "/v1/drops/1/standby?buyer=bob";
    assert_eq!(call(server.0.server.public_address, "DELETE", path, "", "").status, 204);
    server.stop();
    let server = serve(scratch.path());
    assert_eq!(find(&server, "eve").body["position"], 2);
    cancel(&server, &order);
    let late = server.order("late", r#"{"buyer":"dan","quantity":1}"#);
    assert_eq!((late.status, &late.body["standby"]), (409, &json!(1)), "the unit is zoe's: {}", late.text);
    let granted = find(&server, "zoe").body;
    assert_eq!((&granted["state"], &granted["order"]["state"]), (&json!("ordered"), &json!("reserved")), "{granted}");
    let again = join(&server, "zoe", None);
    assert_eq!((again.status, &again.body["order"]["id"]), (202, &granted["order"]["id"]), "{}", again.text);
    server.stop();
    let server = serve(scratch.path());
    assert_eq!(find(&server, "zoe").body["order"]["id"], granted["order"]["id"], "also after a restart");
    assert_eq!(find(&server, "eve").body["position"], 1);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
}

#[test]
fn a_contact_moves_to_the_order_or_is_erased_with_the_place_in_the_line() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, order) = sold_out(scratch.path());
    for buyer in ["bob", "eve", "ivy"] {
        assert_eq!(join(&server, buyer, Some(&format!("{buyer}@example.org"))).status, 202);
    }
    let contacts = |table: &str| -> Vec<String> {
        let connection = Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
        let mut statement = connection.prepare(&format!("SELECT email FROM {table} ORDER BY email")).expect("prepared");
        statement.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read")
    };
    assert_eq!(contacts("standby_contacts"), ["bob@example.org", "eve@example.org", "ivy@example.org"]);
    cancel(&server, &order);
    let granted = find(&server, "bob").body;
    assert_eq!(granted["order"]["state"], "awaiting_payment", "{granted}");
    assert!(granted["order"]["payment_url"].is_string(), "{granted}");
    assert_eq!(contacts("contacts"), ["bob@example.org"]);
    let path = "/v1/drops/1/standby?buyer=eve";
    assert_eq!(call(server.0.server.public_address, "DELETE", path, "", "").status, 204);
    assert_eq!(contacts("standby_contacts"), ["ivy@example.org"]);
    assert_eq!(server.admin("POST", "/v1/drops/1/close", &json!({ "reason": "done" })).status, 200);
    assert_eq!(contacts("standby_contacts"), Vec::<String>::new());
    let told = call(server.0.server.admin_address, "GET", "/v1/audit", "", "");
    assert!(told.text.contains("standby_joined") && !told.text.contains("example.org"), "{}", told.text);
    assert!(!told.text.contains("ivy"), "the audit tells no buyer of a line: {}", told.text);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
}

#[test]
fn who_stands_by_while_a_unit_is_free_is_told_of_the_order_and_the_next_one_of_a_place() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(1).status, 201);
    let joined = join(&server, "ann", None);
    assert_eq!((joined.status, &joined.body["state"]), (202, &json!("ordered")), "{}", joined.text);
    assert_eq!(joined.body["order"]["id"], find(&server, "ann").body["order"]["id"], "{}", joined.text);
    let next = join(&server, "bob", None);
    assert_eq!((next.status, &next.body["state"]), (202, &json!("waiting")), "{}", next.text);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
}

#[test]
fn a_buyer_who_was_passed_over_is_found_by_verify() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, order) = sold_out(scratch.path());
    for buyer in ["bob", "eve"] {
        assert_eq!(join(&server, buyer, None).status, 202);
    }
    cancel(&server, &order);
    assert_eq!(find(&server, "bob").body["state"], "ordered");
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
    let connection = Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
    let altered = |sql: &str| -> Value {
        connection.execute_batch("BEGIN").expect("begun");
        connection.execute_batch(sql).expect("changed");
        let found = verify::verify_connection(&connection).expect("verified").problems;
        connection.execute_batch("ROLLBACK").expect("rolled back");
        json!(found)
    };
    for (sql, fault) in [
        // The second in line got the unit: the audit says so, and the chain that it was altered.
        (
            "UPDATE audit SET detail = replace(detail, '\"joined_seq\":3', '\"joined_seq\":4')",
            "entry 3 of the line was passed over",
        ),
        ("UPDATE standby SET order_seq = NULL", "entry 3 of a line: order_seq is empty, the audit gives "),
        ("UPDATE standby SET buyer = 'dan' WHERE seq = 4", "the chain breaks"),
        (
            "DELETE FROM standby WHERE seq = 4",
            "2 buyers joined a line, 1 have a row: entry 4 of the line of drop 1 has none",
        ),
        ("UPDATE drops SET standby = 0", "standby"),
    ] {
        let found = altered(sql).to_string();
        assert!(found.contains(fault), "{sql}: {found}");
    }
}

#[test]
fn contacts_of_a_line_longer_than_one_step_erases_are_all_erased_after_the_end() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, _) = sold_out(scratch.path());
    for number in 0..520 {
        let buyer = format!("buyer{number}");
        assert_eq!(join(&server, &buyer, Some(&format!("{buyer}@example.org"))).status, 202);
    }
    let contacts = || -> u32 {
        let connection = Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
        connection.query_row("SELECT count(*) FROM standby_contacts", [], |row| row.get(0)).expect("counted")
    };
    assert_eq!(contacts(), 520);
    assert_eq!(server.admin("POST", "/v1/drops/1/close", &json!({ "reason": "done" })).status, 200);
    until("all contacts are erased", || contacts() == 0);
    server.stop();
    assert_eq!(problems(scratch.path()), Vec::<String>::new());
}

#[test]
fn a_repeated_joining_is_marked_also_while_units_are_free() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, order) = sold_out(scratch.path());
    let replayed = |answer: &Answer| answer.headers.get("idempotent-replayed").cloned();
    let joined = join(&server, "zoe", None);
    assert_eq!((joined.status, replayed(&joined)), (202, None), "{}", joined.text);
    // A paused drop offers nothing, so the unit stays free.
    assert_eq!(server.admin("POST", "/v1/drops/1/pause", &json!({ "reason": "look" })).status, 200);
    cancel(&server, &order);
    let again = join(&server, "zoe", None);
    assert_eq!((again.status, &again.body["available"]), (202, &json!(1)), "{}", again.text);
    assert_eq!(replayed(&again).as_deref(), Some("true"));
    server.stop();
}
