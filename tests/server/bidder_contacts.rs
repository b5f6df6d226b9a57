//! Contacts that come with bids: the newest is kept, the winner's order gets it, and an erasure leaves no copy.

use std::path::Path;

use crate::bidding::{auction, bid, look, made};
use crate::http::{Server, call, serve, serve_with, until};
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

const MARKER: &str = "zq-mark";

fn ends_in(seconds: u32) -> Value {
    json!({ "ends_at": rfc3339(wall_clock().plus_seconds(seconds)) })
}

fn contact(of: &str) -> Value {
    json!({ "name": format!("{MARKER}-{of}"), "email": format!("{MARKER}-{of}@mail.example") })
}

fn bids(server: &Server, id: &Value, key: &str, (buyer, amount): (&str, u64), contact: &Value) -> Value {
    let placed = bid(server, id, key, &json!({ "buyer": buyer, "amount": amount, "contact": contact }));
    assert_eq!(placed.status, 201, "{}", placed.text);
    placed.body
}

fn admin(server: &Server, method: &str, path: &str) -> crate::http::Answer {
    call(server.0.server.admin_address, method, path, "", "")
}

/// Returns the kept contacts of bidders: bid, buyer, e-mail, whether the buyer has the order.
fn kept(directory: &Path) -> Vec<(u64, String, Option<String>, bool)> {
    let file = directory.join("data/firstcome.db");
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opened");
    let sql = "SELECT bid_seq, buyer, email, order_seq IS NOT NULL FROM bidder_contacts ORDER BY bid_seq";
    let mut statement = connection.prepare(sql).expect("prepared");
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?, row.get(2)?, row.get(3)?)))
        .expect("asked");
    rows.collect::<Result<_, _>>().expect("read")
}

/// Returns the files of the data directory with this text in them.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("data")).expect("listed").map(|entry| entry.expect("an entry"));
    let has = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    entries.filter(|entry| has(&entry.path())).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn search(server: &Server, email: &str) -> Vec<Value> {
    let found = server.admin("POST", "/v1/orders/search", &json!({ "email": email }));
    found.body["data"].as_array().expect("a list").clone()
}

#[test]
fn the_newest_contact_of_a_bidder_becomes_that_of_the_order_and_an_erasure_takes_both() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &ends_in(4)));
    let first = bids(&server, &id, "a", ("ann", 100), &contact("early"));
    assert_eq!(first.get("contact"), None, "no answer repeats it");
    bids(&server, &id, "b", ("bob", 110), &json!({ "phone": "+49 1" }));
    let newest = bids(&server, &id, "c", ("ann", 130), &contact("ann"));
    let low = json!({ "buyer": "ann", "amount": 1, "contact": contact("refused") });
    assert_eq!(bid(&server, &id, "d", &low).status, 409, "a refused bid leaves nothing");
    // A repeat is no new bid, and changes no contact.
    let again = json!({ "buyer": "ann", "amount": 130, "contact": contact("again") });
    assert_eq!(bid(&server, &id, "e", &again).body["seq"], newest["seq"]);
    assert_eq!(bid(&server, &id, "f", &json!({ "buyer": "cyd", "amount": 120 })).status, 409);
    let rows = kept(scratch.path());
    let email = contact("ann")["email"].as_str().map(String::from);
    let anns = (newest["seq"].as_u64().expect("a number"), String::from("ann"), email, false);
    assert_eq!((rows.len(), &rows[1]), (2, &anns), "the newest of each");
    let of = |name: &str| format!("{MARKER}-{name}");
    until("the overwritten one is in no file", || files_with(scratch.path(), &of("early")).is_empty());
    for name in ["refused", "again"] {
        assert_eq!(files_with(scratch.path(), &of(name)), Vec::<String>::new());
    }
    until("the auction ends", || look(&server, &id)["state"] == "ended");
    until("the winner has an order", || kept(scratch.path())[1].3);
    let order = server.public("GET", &format!("/v1/auctions/{id}/order?buyer=ann")).body;
    let path = format!("/v1/orders/{}/contact", order["id"].as_str().expect("an id"));
    assert_eq!(admin(&server, "GET", &path).body, contact("ann"), "the order has it without a checkout");
    let found = search(&server, contact("ann")["email"].as_str().expect("text"));
    assert_eq!((found.len(), &found[0]["id"]), (1, &order["id"]));
    let verified = firstcome::store::verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(verified.problems, Vec::<String>::new());
    assert_eq!(admin(&server, "DELETE", &path).status, 204);
    assert_eq!(kept(scratch.path()).len(), 1, "the loser's is left");
    until("no file has it", || files_with(scratch.path(), MARKER).is_empty());
    let audit = admin(&server, "GET", "/v1/audit").text;
    assert!(audit.contains("contact_erased") && !audit.contains(MARKER), "{audit}");
    server.stop();
    let verified = firstcome::store::verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(verified.problems, Vec::<String>::new());
}

#[test]
fn an_owner_erases_a_bidders_contact_and_that_of_the_order_which_it_won() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |_| {});
    let id = made(&auction(&server, "one", &ends_in(3)));
    bids(&server, &id, "a", ("ann", 100), &contact("ann"));
    bids(&server, &id, "b", ("bob & co", 110), &contact("bob"));
    let version = look(&server, &id)["version"].clone();
    let erase = |buyer: &str| admin(&server, "DELETE", &format!("/v1/auctions/{id}/bidder-contact?buyer={buyer}"));
    assert_eq!(erase("ann").status, 204);
    assert_eq!((erase("ann").status, erase("eve").status), (404, 404), "there is none");
    assert_eq!(look(&server, &id)["version"], version, "nothing that clients see has changed");
    until("no file has the loser's", || files_with(scratch.path(), &format!("{MARKER}-ann")).is_empty());
    until("the winner has an order", || kept(scratch.path()).iter().any(|row| row.3));
    let order = server.public("GET", &format!("/v1/auctions/{id}/order?buyer=bob%20%26%20co")).body;
    let path = format!("/v1/orders/{}/contact", order["id"].as_str().expect("an id"));
    assert_eq!(admin(&server, "GET", &path).body, contact("bob"));
    assert_eq!(erase("bob%20%26%20co").status, 204);
    assert_eq!(admin(&server, "GET", &path).status, 404, "the order's contact went with it");
    until("no file has it", || files_with(scratch.path(), MARKER).is_empty());
    let audit = admin(&server, "GET", "/v1/audit").text;
    assert_eq!(audit.matches("bidder_contact_erased").count(), 2, "{audit}");
    server.stop();
    let verified = firstcome::store::verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(verified.problems, Vec::<String>::new());
    // A restart knows the same.
    let server = serve(scratch.path());
    assert_eq!(look(&server, &id)["state"], "ended");
    server.stop();
}
