//! The log and its traces as an operator gets them: the real program, its real standard error.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::process::{Answer, Client, Process};
use rustix::process::Signal;
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const STAGES: [&str; 5] = ["read_us", "queue_us", "decide_us", "commit_us", "reply_us"];

/// A server that logs into a file.
struct Logged {
    process: Process,
    log: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Logged {
    fn start(format: &str, level: &str, settings: &[(&'static str, &str)]) -> Logged {
        let scratch = tempfile::tempdir().expect("scratch");
        let log = scratch.path().join("log");
        let mut environment =
            vec![("FIRSTCOME__LOG__FORMAT", format.to_string()), ("FIRSTCOME__LOG__LEVEL", level.to_string())];
        environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_string())));
        let file = File::create(&log).expect("made");
        let process = Process::start_saying(&scratch.path().join("data"), &environment, Stdio::from(file));
        process.create_drop(100_000);
        Logged { process, log, _scratch: scratch }
    }

    /// Orders one unit, with these header lines.
    fn order(&self, key: &str, more: &str) -> Answer {
        let body = r#"{"buyer":"Ann-the-buyer","quantity":1,"contact":{"email":"ann@example.org"}}"#;
        let mut client = Client::connect(self.process.public).expect("connected");
        let head = "POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let length = body.len();
        client
            .send(&format!("{head}Idempotency-Key: {key}\r\n{more}Content-Length: {length}\r\n\r\n{body}"))
            .expect("sent");
        client.receive().expect("answered")
    }

    fn written(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    /// Ends it in order; what it has logged.
    fn end(mut self) -> String {
        self.process.signal(Signal::TERM);
        assert!(self.process.wait().success());
        self.written()
    }
}

/// The fields of every line, which is JSON.
fn lines(log: &str) -> Vec<Value> {
    let parsed = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    parsed.map(|line: Value| line["fields"].clone()).collect()
}

/// Those that are traces of orders.
fn traces(log: &str) -> Vec<Value> {
    let route = Value::from("/v1/drops/{drop_id}/orders");
    lines(log).into_iter().filter(|fields| fields["route"] == route).collect()
}

fn micros(fields: &Value, name: &str) -> u64 {
    fields[name].as_u64().unwrap_or_else(|| panic!("no {name} in {fields}"))
}

#[test]
fn a_traced_write_is_one_line_with_its_stages_and_nothing_of_its_buyer() {
    let settings = [("FIRSTCOME__TRACES__ONE_IN", "1"), ("FIRSTCOME__TRACES__SLOW_MS", "0")];
    let server = Logged::start("json", "trace", &settings);
    let answer = server.order("the-key-of-ann", "Request-Id: the-request-1\r\n");
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let id = answer.body["id"].as_str().expect("an id").to_string();
    let mut client = Client::connect(server.process.public).expect("connected");
    let cancelled = client.post(&format!("/v1/orders/{id}/cancel"), "k", &Value::Null).expect("answered");
    assert_eq!(cancelled.status, 200, "{:?}", cancelled.body);
    let again = server.order("the-key-of-ann", "Request-Id: the-request-2\r\n");
    assert_eq!(again.status, 201, "{:?}", again.body);
    let refused = server.order("another-key", "Request-Id: bad id\r\nIdempotency-Key: two\r\n");
    assert_eq!(refused.status, 400, "never submitted: {:?}", refused.body);
    let log = server.end();
    let orders = traces(&log);
    assert_eq!(orders.len(), 2, "{log}");
    for (fields, request_id) in orders.iter().zip(["the-request-1", "the-request-2"]) {
        assert_eq!(fields["request_id"], request_id);
        assert_eq!((&fields["method"], &fields["status"]), (&"POST".into(), &201.into()), "{fields}");
        let stages: u64 = STAGES.iter().map(|stage| micros(fields, stage)).sum();
        assert!(stages <= micros(fields, "took_us"), "{fields}");
        assert!(micros(fields, "queue_us") > 0 || micros(fields, "decide_us") > 0, "{fields}");
    }
    assert!(micros(&orders[0], "commit_us") > 0, "it waited for the disk: {}", orders[0]);
    let cancel = "/v1/orders/{order_id}/cancel";
    assert!(lines(&log).iter().any(|fields| fields["route"] == cancel), "{log}");
    for private in ["Ann-the-buyer", "ann@example.org", "the-key-of-ann", id.as_str()] {
        assert!(!log.contains(private), "{private} in {log}");
    }
}

#[test]
fn a_refusal_is_traced_with_its_problem() {
    let server = Logged::start("json", "debug", &[("FIRSTCOME__TRACES__ONE_IN", "1")]);
    let body = serde_json::json!({ "reason": "a test" });
    let mut admin = Client::connect(server.process.admin).expect("connected");
    assert_eq!(admin.post("/v1/drops/1/pause", "k", &body).expect("answered").status, 200);
    assert_eq!(server.order("k", "").status, 503);
    let orders = traces(&server.end());
    assert_eq!(orders.len(), 1);
    assert_eq!((&orders[0]["problem"], &orders[0]["status"]), (&"drop-paused".into(), &503.into()));
}

#[test]
fn what_no_sender_wants_traced_is_not_and_what_a_sender_traces_is_in_their_trace() {
    let server = Logged::start("json", "debug", &[("FIRSTCOME__TRACES__SLOW_MS", "0")]);
    let parent = |flags: &str| format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-{flags}\r\n");
    assert_eq!(server.order("1", "Request-Id: plain\r\n").status, 201);
    assert_eq!(server.order("2", &format!("Request-Id: unsampled\r\n{}", parent("00"))).status, 409, "one each");
    assert_eq!(server.order("3", &format!("Request-Id: two\r\n{}{}", parent("01"), parent("01"))).status, 409);
    assert_eq!(server.order("4", &format!("Request-Id: sampled\r\n{}", parent("01"))).status, 409);
    let log = server.end();
    let told = traces(&log);
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!((&told[0]["request_id"], &told[0]["trace_id"]), (&"sampled".into(), &TRACE.into()));
    assert_eq!(told[0]["problem"], "limit-reached");
}

#[test]
fn a_slow_write_is_told_at_the_usual_level_and_others_are_not() {
    let settings = [("FIRSTCOME__TRACES__SLOW_MS", "1"), ("FIRSTCOME__TRACES__ONE_IN", "1")];
    let server = Logged::start("text", "info", &settings);
    let deadline = Instant::now() + Duration::from_secs(20);
    for round in 0.. {
        if server.written().contains("slow write") {
            break;
        }
        assert!(Instant::now() < deadline, "never slow: {}", server.written());
        order_together(&server, round);
    }
    let log = server.end();
    let line = log.lines().find(|line| line.contains("slow write")).expect("a line");
    assert!(line.contains(" INFO ") && line.contains("commit_us=") && line.contains("request_id="), "{line}");
    assert!(!log.contains("sampled write"), "that is for the level debug: {log}");
}

/// Orders that come together wait for each other.
fn order_together(server: &Logged, round: u32) {
    std::thread::scope(|scope| {
        for place in 0..16 {
            scope.spawn(move || {
                let mut client = Client::connect(server.process.public).expect("connected");
                client.order(&format!("b{round}-{place}")).expect("answered")
            });
        }
    });
}

#[test]
fn an_order_of_the_binary_protocol_is_traced_by_its_type_and_reason() {
    let server = Logged::start("json", "debug", &[("FIRSTCOME__TRACES__ONE_IN", "1")]);
    let mut stream = TcpStream::connect(server.process.wire).expect("connected");
    for drop_id in [1u32, 2] {
        // RESERVE: a drop, one unit, a key, a buyer.
        let payload = [&drop_id.to_be_bytes()[..], &[1], &[7; 16], b"Ann-the-buyer"].concat();
        let length = u8::try_from(payload.len()).expect("short");
        stream.write_all(&[&[0x09, length][..], &payload].concat()).expect("sent");
        let mut answer = [0u8; 2];
        stream.read_exact(&mut answer).expect("answered");
        stream.read_exact(&mut vec![0u8; usize::from(answer[1])]).expect("answered");
    }
    drop(stream);
    let log = server.end();
    let told: Vec<Value> = lines(&log).into_iter().filter(|fields| fields["method"] == "frame").collect();
    assert_eq!(told.len(), 1, "what there is no drop for is not submitted: {log}");
    assert_eq!((&told[0]["route"], &told[0]["status"]), (&"reserve".into(), &0.into()));
    let stages: u64 = STAGES.iter().map(|stage| micros(&told[0], stage)).sum();
    assert!(stages <= micros(&told[0], "took_us"), "{}", told[0]);
    assert!(!log.contains("Ann-the-buyer"), "{log}");
}

#[test]
fn every_line_of_a_json_log_is_json_whatever_clients_send() {
    let server = Logged::start("json", "trace", &[("FIRSTCOME__TRACES__ONE_IN", "1")]);
    let long = "x".repeat(2000);
    for request in [
        format!("GET /v1/{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "GET /\u{1b}[2J\u{7} HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: \u{1b}[2J\"\\\r\n\r\n".into(),
        "POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nRequest-Id: \"}\\\r\nContent-Length: 0\r\n\r\n".into(),
        "\u{0}\u{1}\u{2}\r\n\r\n".into(),
    ] {
        let mut client = Client::connect(server.process.public).expect("connected");
        client.send(&request).expect("sent");
        // What it is told does not matter here.
        let _answer = client.receive();
    }
    assert_eq!(server.order("k", "Request-Id: \"\\\r\n").status, 201);
    let log = server.end();
    assert!(traces(&log).len() == 1 && lines(&log).len() > 2, "{log}");
}
