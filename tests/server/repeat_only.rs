//! `Firstcome-Repeat-Only` while the creation that it asks for is still on its way to the file: it waits for it.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use crate::process::{Answer, Client, Pause, Process, wait_until};
use firstcome::telemetry::page::MetricsPage;
use serde_json::{Value, json};

fn create(admin: SocketAddr, path: &'static str, head: &'static str, body: &Value) -> JoinHandle<Answer> {
    let body = body.to_string();
    std::thread::spawn(move || {
        let mut client = Client::connect(admin).expect("connected");
        let length = body.len();
        client
            .send(&format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}\
                 Content-Length: {length}\r\n\r\n{body}"
            ))
            .expect("sent");
        client.receive().expect("answered")
    })
}

/// Commands that wait for the writer.
fn queued(admin: SocketAddr) -> f64 {
    let mut client = Client::connect(admin).expect("connected");
    client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let page = client.read_to_end();
    let (_, body) = page.split_once("\r\n\r\n").expect("a head");
    MetricsPage::parse(body).expect("metrics").sum("firstcome_writer_queue_depth", &[])
}

#[test]
fn a_creation_that_is_not_in_the_file_yet_is_known_to_one_that_asks_for_a_repeat() {
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5,
        "starts_at": "2020-01-01T00:00:00Z" });
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 1000, "increments": [[0, 100]],
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2099-11-21T10:00:00Z" });
    for (path, body) in [("/v1/drops", drop), ("/v1/auctions", auction)] {
        let scratch = tempfile::tempdir().expect("scratch");
        let pause = Pause::new(scratch.path());
        let server = Process::start(&scratch.path().join("data"), &pause.at("BeforeCommit", 1));
        let first = create(server.admin, path, "Idempotency-Key: k\r\n", &body);
        pause.wait();
        let asked = create(server.admin, path, "Idempotency-Key: k\r\nFirstcome-Repeat-Only: true\r\n", &body);
        let other = create(server.admin, path, "Idempotency-Key: new\r\nFirstcome-Repeat-Only: true\r\n", &body);
        wait_until("both are answered, or wait for the writer", || {
            (asked.is_finished() && other.is_finished()) || queued(server.admin) > 1.5
        });
        pause.go_on();
        let [first, asked, other] = [first, asked, other].map(|answer| answer.join().expect("a client"));
        assert_eq!((first.status, first.is_repeat()), (201, false), "{path}: {:?}", first.body);
        assert_eq!((asked.status, asked.is_repeat()), (201, true), "{path}: {:?}", asked.body);
        assert_eq!(asked.body["id"], first.body["id"], "{path}");
        assert_eq!((other.status, &other.body["code"]), (404, &json!("not-found")), "{path}");
        let list = Client::connect(server.public).and_then(|mut client| client.get(path)).expect("answered");
        assert_eq!(list.body["data"].as_array().map(Vec::len), Some(1), "{path}: {:?}", list.body);
    }
}
