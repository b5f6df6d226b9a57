//! Requests that are sent before the ones before them are answered, and arrive in pieces.

use std::net::TcpStream;

use super::raw::{LOOK, Raw, Said, Site};

const BODY: &str = "{\n  \"buyer\": \"ann\",\r\n  \"quantity\": 1\n}\n";

/// Every kind of valid request: as it is, or as the last of its connection.
fn requests(last: bool) -> Vec<(&'static str, String)> {
    let close = if last { "Connection: close\r\n" } else { "" };
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{close}");
    let order = |key: &str, length: &str| {
        let head = head("POST /v1/drops/1/orders");
        format!("{head}Content-Type: application/json\r\nIdempotency-Key: {key}\r\n{length}\r\n")
    };
    let (one, two) = BODY.split_at(11);
    let chunks = format!("{:x};why=not\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\nTrailer: t\r\n\r\n", one.len(), two.len());
    let length = format!("Content-Length: {}\r\n", BODY.len());
    vec![
        ("GET", head("GET /v1/drops/1") + "\r\n"),
        ("HEAD", head("HEAD /v1/drops/1") + "\r\n"),
        ("GET with a body", head("GET /v1/drops/1") + &length + "\r\n" + BODY),
        ("POST without a body", head("POST /v1/orders/none/cancel") + "\r\n"),
        (
            "POST with a body that the route does not have",
            head("POST /v1/orders/none/cancel") + &length + "\r\n" + BODY,
        ),
        ("POST", order("length", &length) + BODY),
        ("POST in chunks", order("chunks", "transfer-encoding: chunked\r\n") + &chunks),
    ]
}

/// What a server answers to two pieces. The second is sent when the first request within the first piece has its answer.
fn answers(site: &Site, first: &str, second: &str, waits: bool) -> Said {
    let mut raw = site.connect();
    raw.send(first).expect("sent");
    if waits {
        raw.hear_unless_closed("HTTP/1.1 ", 1);
    }
    // A server that has ended the connection takes no more.
    let _sent = raw.send(second);
    raw.hear_all()
}

#[test]
fn two_valid_requests_get_the_same_answers_wherever_their_bytes_are_cut() {
    let site = Site::open(|_| {});
    for (one, first) in requests(false) {
        for (two, second) in requests(true) {
            let both = format!("{first}{second}");
            let uncut = answers(&site, &both, "", false).statuses();
            assert_eq!(uncut.len(), 2, "{one}, {two}: {uncut:?}");
            assert!(uncut.iter().all(|status| [200, 201, 404].contains(status)), "{one}, {two}: {uncut:?}");
            for cut in 1..both.len() {
                let (head, tail) = both.split_at(cut);
                let said = answers(&site, head, tail, cut >= first.len());
                assert_eq!(said.statuses(), uncut, "{one}, {two}, cut after {head:?}: {said:?}");
            }
        }
    }
    site.end();
}

#[test]
fn a_body_that_no_route_reads_ends_the_connection_only_if_it_is_too_long_or_does_not_come() {
    let site = Site::open(|limits| limits.body_stall_timeout = std::time::Duration::from_millis(200));
    for (what, headers, body, goes_on) in [
        ("a body", "Content-Length: 5\r\n", "12345", true),
        ("chunks", "Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n0\r\n\r\n", true),
        ("a body that stops", "Content-Length: 5\r\n", "123", false),
        ("a body that does not come", "Content-Length: 5\r\n", "", false),
        ("a body that is announced as too long", "Content-Length: 10000000\r\n", "", false),
    ] {
        for line in ["GET /v1/drops/1", "GET /v1/drops", "GET /v1/nowhere"] {
            let mut raw = site.connect();
            raw.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).expect("sent");
            std::thread::yield_now();
            raw.send(body).expect("sent");
            let first = raw.hear("HTTP/1.1 ", 1);
            let next = raw.send("GET /v1/drops/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let said = raw.hear_all();
            assert_eq!(said.statuses().len() == 2, goes_on, "{what}, {line}: {first:?}, {next:?}, {said:?}");
            assert!(goes_on || said.text.contains("connection: close"), "{what}, {line}: the answer says so: {said:?}");
        }
    }
    site.end();
}

#[test]
fn every_one_of_30000_pipelined_requests_is_answered() {
    let site = Site::open(|_| {});
    let stream = TcpStream::connect(site.server.0.server.public_address).expect("connected");
    let mut sender = Raw::over(stream.try_clone().expect("cloned"));
    let sending = std::thread::spawn(move || {
        sender.send(LOOK.repeat(29_999)).expect("sent");
        sender.send("GET /v1/drops/1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").expect("sent");
    });
    let statuses = Raw::over(stream).hear_all().statuses();
    sending.join().expect("sent");
    assert_eq!(statuses.len(), 30_000);
    assert!(statuses.iter().all(|status| *status == 200));
    site.end();
}

#[test]
fn a_bare_line_feed_is_refused_in_a_later_head_too_whatever_came_before() {
    let site = Site::open(|_| {});
    for (what, first) in requests(false) {
        for cut in [first.len(), first.len() - 1, first.len() / 2] {
            let mut raw = site.connect();
            let (one, two) = first.split_at(cut);
            raw.send(one).expect("sent");
            std::thread::yield_now();
            raw.send(two).expect("sent");
            let said = raw.hear("\r\n\r\n", 1);
            if said.text.contains("connection: close") {
                continue;
            }
            raw.send("GET /v1/drops/1 HTTP/1.1\nHost: shop\r\n\r\n").expect("sent");
            let said = raw.hear_all();
            assert_eq!(said.statuses().last(), Some(&400), "{what}: {said:?}");
        }
    }
    site.end();
}
