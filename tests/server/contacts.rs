//! Names, telephone numbers and addresses of buyers are in `contacts` and in the answers of the contact routes, and
//! nowhere else: every text of a contact that this test sends has a marker, which it then looks for everywhere.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::http::{Answer, call, listen, until};
use crate::process::Process;
use crate::webhook_sink::{ReceivedWebhook, Sink, SinkReply};
use firstcome::types::SigningSecret;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What every text of a contact in this test begins with.
const MARKER: &str = "zq-mark";

/// A client that keeps what it heard, and knows which answers may show a contact.
struct Client {
    public: SocketAddr,
    admin: SocketAddr,
    markers: Cell<u32>,
    keys: Cell<u32>,
    heard: RefCell<String>,
}

impl Client {
    fn contact(&self) -> Value {
        let text = |field: &str| {
            self.markers.set(self.markers.get() + 1);
            format!("{MARKER}-{field}-{:04}", self.markers.get())
        };
        json!({ "name": text("name"), "email": text("email"), "phone": text("phone"), "address": text("address") })
    }

    fn send(&self, address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.keys.set(self.keys.get() + 1);
        let headers = format!("Content-Type: application/json\r\nIdempotency-Key: k{}\r\n{headers}", self.keys.get());
        call(address, method, path, &headers, body)
    }

    /// An exchange whose answer must not show a contact.
    #[track_caller]
    fn quiet(&self, address: SocketAddr, method: &str, path: &str, body: &str, expected: u16) -> Answer {
        let answer = self.send(address, method, path, "", body);
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
        self.heard.borrow_mut().push_str(&format!("{method} {:?}\n{}\n", answer.headers, answer.text));
        answer
    }

    fn order(&self, buyer: &str, contact: Option<&Value>) -> String {
        let mut body = json!({ "buyer": buyer, "quantity": 1 });
        if let Some(contact) = contact {
            body["contact"] = contact.clone();
        }
        let answer = self.quiet(self.public, "POST", "/v1/drops/1/orders", &body.to_string(), 201);
        answer.body["id"].as_str().expect("an id").into()
    }

    fn check_out(&self, order: &str, contact: &Value, expected: u16) {
        let body = json!({ "contact": contact }).to_string();
        self.quiet(self.public, "POST", &format!("/v1/orders/{order}/checkout"), &body, expected);
    }

    fn operate(&self, order: &str, what: &str, body: &Value) {
        self.quiet(self.admin, "POST", &format!("/v1/orders/{order}/{what}"), &body.to_string(), 200);
    }
}

/// Requests that are refused, or are none, with a contact in each.
fn refused(client: &Client, live: &str) {
    let (public, admin) = (client.public, client.admin);
    let contact = || client.contact();
    let with = |body: Value, field: &str, value: Value| {
        let mut body = body;
        body[field] = value;
        body.to_string()
    };
    let whole = || json!({ "buyer": "eve", "quantity": 1, "contact": contact() });
    // Refusals: the limit, and what is not there.
    let order = "/v1/drops/1/orders";
    client.quiet(public, "POST", order, &with(whole(), "buyer", "ann".into()), 409);
    client.quiet(public, "POST", "/v1/drops/99/orders", &whole().to_string(), 404);
    client.check_out(firstcome::api::json::scalars::ORDER_ID_EXAMPLE, &contact(), 404);
    // Bodies that are none.
    for (field, value) in [
        ("contact", json!(format!("{MARKER}-text"))),
        ("contact", json!([contact()])),
        ("contact", json!({ "name": [contact()] })),
        ("contact", json!({ "name": format!("{MARKER}\u{7}") })),
        ("contact", json!({ "email": format!("{MARKER}\n") })),
        ("contact", json!({ "phone": format!("{MARKER}\u{85}") })),
        ("contact", json!({ "address": format!("{MARKER}\u{1b}[2J") })),
        ("contact", json!({ "address": format!("{MARKER}{}", "x".repeat(500)) })),
        ("contact", json!({ "colour": contact()["name"] })),
        ("buyer", json!(format!("{MARKER}\u{0}"))),
        ("buyer", json!({ "name": contact()["name"] })),
        ("quantity", contact()["phone"].clone()),
    ] {
        client.quiet(public, "POST", order, &with(whole(), field, value), 400);
    }
    let whole = whole().to_string();
    client.quiet(public, "POST", order, &whole[..whole.len() - 3], 400);
    client.quiet(public, "POST", order, &format!("{whole}{whole}"), 400);
    client.quiet(public, "POST", order, &json!(contact()["name"]).to_string(), 400);
    client.heard.borrow_mut().push_str(&a_megabyte(public));
    let both = json!({ "phone": contact()["phone"], "email": contact()["email"] });
    client.quiet(admin, "POST", "/v1/orders/search", &both.to_string(), 400);
    // What does not belong there at all.
    let text = contact()["email"].as_str().expect("text").to_string();
    for path in ["/v1/orders?email=", "/v1/orders?state=", "/v1/orders?drop_id=", "/v1/audit?order_id="] {
        let expected = if path.ends_with("order_id=") { 404 } else { 400 };
        client.quiet(admin, "GET", &format!("{path}{text}"), "", expected);
    }
    client.quiet(admin, "GET", &format!("/v1/orders/{text}/contact"), "", 404);
    client.quiet(
        public,
        "POST",
        &format!("/v1/orders/{text}/checkout"),
        &json!({ "contact": contact() }).to_string(),
        404,
    );
    let refund = json!({ "amount": contact()["phone"], "reason": "a mistake" });
    client.quiet(admin, "POST", &format!("/v1/orders/{live}/refund"), &refund.to_string(), 400);
}

/// An address of a megabyte: refused when its length is announced. What is said of it.
fn a_megabyte(public: SocketAddr) -> String {
    let mut stream = TcpStream::connect(public).expect("connected");
    let head = "POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = format!(r#"{{"buyer":"eve","quantity":1,"contact":{{"address":"{MARKER}{}"#, "x".repeat(1000));
    write!(stream, "{head}Idempotency-Key: megabyte\r\nContent-Length: 1048576\r\n\r\n{body}").expect("sent");
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("answered");
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("body-too-large"), "{told}");
    told
}

/// The tables of a file, and which of their rows have this text in them: (table, row).
fn rows_with(file: &Path, text: &str) -> Vec<(String, String)> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opened");
    let names = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).expect("prepared");
        let rows = statement.query_map([], |row| row.get(0)).expect("asked");
        rows.map(|row| row.expect("a name")).collect()
    };
    let mut found = Vec::new();
    for table in names("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).expect("prepared");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("asked");
        while let Some(row) = rows.next().expect("a row") {
            let mut whole = Vec::new();
            for column in 0..columns {
                match row.get_ref(column).expect("a value") {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => whole.extend_from_slice(bytes),
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => {}
                }
                whole.push(b' ');
            }
            if has(&whole, text) {
                found.push((table.clone(), String::from_utf8_lossy(&whole).into_owned()));
            }
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The files of a directory that have this text anywhere.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().expect("a type").is_file());
    files
        .filter(|file| has(&std::fs::read(file.path()).expect("read"), text))
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn of_many_erased_contacts_no_page_keeps_a_copy_and_after_a_kill_the_log_has_none_either() {
    const ORDERS: u32 = 120;
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let start = || Process::start_saying(&data, &[], Stdio::null());
    let mut process = start();
    let (public, admin) = (process.public, process.admin);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": ORDERS,
                       "per_buyer_limit": ORDERS, "starts_at": "2020-01-01T00:00:00Z" });
    let head = |key: u32| format!("Content-Type: application/json\r\nIdempotency-Key: k{key}\r\n");
    assert_eq!(call(admin, "POST", "/v1/drops", &head(0), &drop.to_string()).status, 201);
    let order = |number: u32| {
        let text = |field: &str| format!("{MARKER}-{field}-{number:06}");
        let contact = json!({ "name": text("name"), "email": format!("{}@example.org", text("e")),
                              "phone": format!("+49 30 {number:08}"), "address": text("address").repeat(6) });
        let body = json!({ "buyer": "ann", "quantity": 1, "contact": contact }).to_string();
        let made = call(public, "POST", "/v1/drops/1/orders", &head(number), &body);
        assert_eq!(made.status, 201, "{}", made.text);
        made.body["id"].as_str().expect("an id").to_string()
    };
    let mut orders: Vec<String> = (1..=ORDERS).map(order).collect();
    // Another order of erasures than that of the rows.
    orders.sort_unstable_by_key(|id| id.chars().rev().collect::<String>());
    for id in &orders {
        assert_eq!(call(admin, "DELETE", &format!("/v1/orders/{id}/contact"), "", "").status, 204);
    }
    process.signal(Signal::KILL);
    process.wait();
    let mut process = start();
    until("no file has an erased contact", || files_with(&data, MARKER).is_empty());
    process.signal(Signal::TERM);
    assert!(process.wait().success());
    assert_eq!(files_with(&data, MARKER), Vec::<String>::new());
}

#[test]
fn a_contact_is_in_its_table_and_in_the_answers_of_its_routes_and_nowhere_else() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, log, capture) =
        (scratch.path().join("data"), scratch.path().join("log"), scratch.path().join("sale.capture"));
    let sink = Sink::new(|_| SinkReply::Status(204));
    let secret = scratch.path().join("outbox.secret");
    std::fs::write(&secret, SigningSecret::random().reveal()).expect("written");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("set");
    let settings = [
        ("FIRSTCOME__LOG__LEVEL", "trace".to_string()),
        ("FIRSTCOME__CAPTURE__FILE", capture.display().to_string()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_URL", sink.url()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_SECRET_FILE", secret.display().to_string()),
        ("FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS", "127.0.0.0/8".to_string()),
    ];
    let mut process =
        Process::start_saying(&data, &settings, Stdio::from(std::fs::File::create(&log).expect("a file")));
    let client = Client {
        public: process.public,
        admin: process.admin,
        markers: Cell::default(),
        keys: Cell::default(),
        heard: RefCell::default(),
    };
    let (public, admin) = (client.public, client.admin);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 9,
                       "starts_at": "2020-01-01T00:00:00Z" });
    client.quiet(admin, "POST", "/v1/drops", &drop.to_string(), 201);

    let (in_one_step, corrected_before, corrected) = (client.contact(), client.contact(), client.contact());
    let mut paid = String::new();
    let streamed = listen(
        public,
        "/v1/drops/1/stream",
        || paid = client.order("ann", Some(&in_one_step)),
        &["event: snapshot", "event: update"],
    );
    let later = client.order("bob", None);
    client.check_out(&later, &corrected_before, 200);
    client.check_out(&later, &corrected, 200);
    let payment = json!({ "reference": "bank-1", "amount": 100, "currency": "EUR", "reason": "seen" });
    for order in [&paid, &later] {
        client.operate(order, "payments", &payment);
        client.operate(order, "refund", &json!({ "amount": 40, "reason": "a scratch" }));
    }
    refused(&client, &paid);

    // What shows a contact: its own routes, audited. A search finds orders by it and does not show it.
    let read = |order: &str| client.send(admin, "GET", &format!("/v1/orders/{order}/contact"), "", "");
    assert_eq!(read(&paid).body, in_one_step);
    assert_eq!(read(&later).body, corrected);
    for field in ["phone", "email"] {
        let search = json!({ field: corrected[field] }).to_string();
        let found = client.quiet(admin, "POST", "/v1/orders/search", &search, 200);
        assert_eq!(found.body["data"][0]["id"], json!(later), "{}", found.text);
        let search = json!({ field: corrected_before[field] }).to_string();
        assert_eq!(client.quiet(admin, "POST", "/v1/orders/search", &search, 200).body["data"], json!([]));
    }
    let exported = client.send(admin, "GET", "/v1/orders?contacts=true", "Accept: text/csv\r\n", "");
    let line = ["name", "email", "phone", "address"].map(|field| corrected[field].as_str().expect("text")).join(",");
    assert!(exported.text.lines().any(|row| row.ends_with(&line)), "{}", exported.text);
    for path in ["/v1/orders", "/v1/audit", "/metrics", "/v1/orders?drop_id=1&limit=50"] {
        client.quiet(admin, "GET", path, "", 200);
    }
    let plain = client.send(admin, "GET", "/v1/orders", "Accept: text/csv\r\n", "");
    client.heard.borrow_mut().push_str(&plain.text);
    let followed =
        listen(admin, "/v1/audit?follow=true", || {}, &["order_reserved", "contact_read", "contacts_exported"]);

    let database = data.join("firstcome.db");
    let found = rows_with(&database, MARKER);
    assert!(found.len() == 2 && found.iter().all(|(table, _)| table == "contacts"), "{found:#?}");

    client.quiet(admin, "DELETE", &format!("/v1/orders/{later}/contact"), "", 204);
    client.quiet(admin, "GET", &format!("/v1/orders/{later}/contact"), "", 404);
    let audit = client.quiet(admin, "GET", "/v1/audit", "", 200).text;
    for kind in ["contact_read", "contact_erased", "contacts_exported", "contact_corrected"] {
        assert!(audit.contains(kind), "{kind}: {audit}");
    }
    let found = rows_with(&database, MARKER);
    assert!(matches!(&found[..], [(_, row)] if has(row.as_bytes(), in_one_step["name"].as_str().expect("text"))));
    client.quiet(admin, "DELETE", &format!("/v1/orders/{paid}/contact"), "", 204);
    assert_eq!(rows_with(&database, MARKER), []);
    // Nor has any file of the data directory, while the server runs, a page with what was erased or corrected.
    until("no file has an erased contact", || files_with(&data, MARKER).is_empty());

    let refunds = || sink.received().iter().filter(|heard| heard.kind() == "order.refunded").count();
    until("the endpoint has heard of both refunds", || refunds() == 2);
    let told: Vec<String> =
        sink.received().iter().map(|ReceivedWebhook { headers, text, .. }| format!("{headers:?} {text}")).collect();
    let told = told.join("\n");
    process.signal(Signal::TERM);
    assert!(process.wait().success());
    let said = std::fs::read(&log).expect("its log");
    assert!(has(&said, "operator command"), "it says what operators do");
    let captured = std::fs::read(&capture).expect("a capture");
    assert!(has(&captured, "bank-1"), "the capture has the commands");
    let heard = client.heard.take();
    for (place, bytes) in [
        ("answers", heard.as_bytes()),
        ("the drop's stream", streamed.as_bytes()),
        ("the audit's stream", followed.as_bytes()),
        ("the log", &said[..]),
        ("the capture", &captured[..]),
        ("the webhooks", told.as_bytes()),
    ] {
        let at = bytes.windows(MARKER.len()).position(|window| window == MARKER.as_bytes());
        let around = |at: usize| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(200)..(at + 60).min(bytes.len())]).into_owned()
        };
        assert_eq!(at.map(around), None, "a contact is in {place}");
    }
}
