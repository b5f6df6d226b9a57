//! Spans as a collector gets them: the real program, a stand-in collector on a real socket, and the bytes of OTLP read by
//! the numbers of its published messages.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::process::{Client, Process};
use rustix::process::Signal;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const PATIENCE: Duration = Duration::from_secs(20);

/// A field of a protobuf message.
#[derive(Clone, PartialEq, Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message by their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().expect("8 bytes"))),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                Field::Bytes(take(&mut bytes, length).to_vec())
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number without end");
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn messages(fields: &[(u64, Field)], number: u64) -> Vec<Vec<u8>> {
    let of_number = fields.iter().filter(|(known, _)| *known == number);
    let bytes =
        of_number.filter_map(|(_, field)| if let Field::Bytes(bytes) = field { Some(bytes.clone()) } else { None });
    bytes.collect()
}

fn text(fields: &[(u64, Field)], number: u64) -> String {
    String::from_utf8(messages(fields, number).into_iter().next().unwrap_or_default()).expect("text")
}

fn hex(fields: &[(u64, Field)], number: u64) -> String {
    firstcome::types::hex::encode(&messages(fields, number).into_iter().next().unwrap_or_default())
}

fn number(fields: &[(u64, Field)], wanted: u64) -> u64 {
    let found = fields.iter().find_map(|(known, field)| match field {
        Field::Number(value) if *known == wanted => Some(*value),
        Field::Number(_) | Field::Bytes(_) => None,
    });
    found.unwrap_or(0)
}

/// Attributes: numbers as their digits.
fn attributes(fields: &[(u64, Field)], at: u64) -> BTreeMap<String, String> {
    let pairs = messages(fields, at).into_iter().map(|pair| {
        let pair = self::fields(&pair);
        let value = self::fields(&messages(&pair, 2)[0]);
        let shown = if messages(&value, 1).is_empty() { number(&value, 3).to_string() } else { text(&value, 1) };
        (text(&pair, 1), shown)
    });
    pairs.collect()
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
    is_error: bool,
}

/// The spans of a request's body.
fn spans(body: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for resource_spans in messages(&fields(body), 1) {
        let resource_spans = fields(&resource_spans);
        let resource = attributes(&fields(&messages(&resource_spans, 1)[0]), 1);
        assert_eq!(resource["service.name"], "firstcome");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        for scope_spans in messages(&resource_spans, 2) {
            found.extend(messages(&fields(&scope_spans), 2).iter().map(|span| {
                let span = fields(span);
                let status = messages(&span, 15);
                Span {
                    trace: hex(&span, 1),
                    id: hex(&span, 2),
                    parent: hex(&span, 4),
                    name: text(&span, 5),
                    kind: number(&span, 6),
                    start: number(&span, 7),
                    end: number(&span, 8),
                    attributes: attributes(&span, 9),
                    is_error: status.iter().any(|status| number(&fields(status), 3) == 2),
                }
            }));
        }
    }
    found
}

/// A collector that takes everything.
struct Collector {
    address: SocketAddr,
    heard: Receiver<(String, Vec<u8>)>,
    spans: Vec<Span>,
}

impl Collector {
    fn new() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let (said, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let said = said.clone();
                std::thread::spawn(move || take_requests(stream, &said));
            }
        });
        Collector { address, heard, spans: Vec::new() }
    }

    fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// The spans of a trace, when all of them are there.
    fn trace(&mut self, whose: impl Fn(&Span) -> bool, count: usize) -> Vec<Span> {
        loop {
            let request = self.spans.iter().find(|span| whose(span)).map(|span| span.trace.clone());
            let of_trace: Vec<Span> =
                self.spans.iter().filter(|span| Some(&span.trace) == request.as_ref()).cloned().collect();
            if of_trace.len() >= count {
                assert_eq!(of_trace.len(), count, "{of_trace:#?}");
                return of_trace;
            }
            let (head, body) = self.heard.recv_timeout(PATIENCE).expect("spans");
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            assert!(head.to_lowercase().contains("content-type: application/x-protobuf\r\n"), "{head}");
            self.spans.extend(spans(&body));
        }
    }
}

/// Every request of a connection: its head and its body.
fn take_requests(mut stream: TcpStream, said: &Sender<(String, Vec<u8>)>) {
    let (mut bytes, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let whole = bytes.windows(4).position(|window| window == b"\r\n\r\n").and_then(|at| {
            let head = String::from_utf8(bytes[..at + 4].to_vec()).expect("text");
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
            let end = at + 4 + length;
            (bytes.len() >= end).then(|| (head, bytes[at + 4..end].to_vec(), end))
        });
        if let Some((head, body, end)) = whole {
            bytes.drain(..end);
            if said.send((head, body)).is_err()
                || stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err()
            {
                return;
            }
            continue;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

fn start(scratch: &std::path::Path, url: &str, one_in: &str) -> Process {
    let settings = [
        ("FIRSTCOME__TRACES__OTLP_URL", url.to_string()),
        ("FIRSTCOME__TRACES__ONE_IN", one_in.to_string()),
        ("FIRSTCOME__TRACES__SLOW_MS", "0".to_string()),
    ];
    let process = Process::start(&scratch.join("data"), &settings);
    process.create_drop(1);
    process
}

fn order(process: &Process, buyer: &str, more: &str) -> u16 {
    let body = format!(r#"{{"buyer":"{buyer}","quantity":1}}"#);
    let mut client = Client::connect(process.public).expect("connected");
    let head = "POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let length = body.len();
    let sent = format!("{head}Idempotency-Key: key-of-{buyer}\r\n{more}Content-Length: {length}\r\n\r\n{body}");
    client.send(&sent).expect("sent");
    client.receive().expect("answered").status
}

#[test]
fn a_collector_gets_each_traced_write_as_a_span_with_its_stages_inside() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut collector = Collector::new();
    let mut server = start(scratch.path(), &collector.url(), "1");
    assert_eq!(order(&server, "ann", "Request-Id: the-request\r\n"), 201);
    let trace =
        collector.trace(|span| span.attributes.get("firstcome.request_id").is_some_and(|id| id == "the-request"), 5);
    let request = trace.iter().find(|span| span.name == "request").expect("the request");
    assert_eq!((request.kind, request.parent.as_str(), request.is_error), (2, "", false));
    for (name, value) in [
        ("http.route", "/v1/drops/{drop_id}/orders"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "201"),
    ] {
        assert_eq!(request.attributes[name], value, "{request:?}");
    }
    let mut stages: Vec<&Span> = trace.iter().filter(|span| span.name != "request").collect();
    stages.sort_by_key(|span| (span.start, span.end));
    assert_eq!(
        stages.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(),
        ["queue", "decide", "commit", "reply"]
    );
    let mut before = request.start;
    for stage in stages {
        assert_eq!((&stage.parent, &stage.trace, stage.kind), (&request.id, &request.trace, 1));
        assert!(stage.start >= before && stage.end >= stage.start && stage.end <= request.end, "{trace:#?}");
        before = stage.end;
    }
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    let age = Duration::from_nanos(u64::try_from(now).expect("before 2554").abs_diff(request.end));
    assert!(age < Duration::from_secs(600), "it ended now: {age:?} ago");
    assert_eq!(order(&server, "bea", "Request-Id: sold-out\r\n"), 409);
    let refused =
        collector.trace(|span| span.attributes.get("firstcome.request_id").is_some_and(|id| id == "sold-out"), 5);
    let request = refused.iter().find(|span| span.name == "request").expect("the request");
    assert_eq!((request.attributes["error.type"].as_str(), request.is_error), ("sold-out", false));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let shown = format!("{:?}", collector.spans);
    assert!(!shown.contains("ann") && !shown.contains("key-of"), "{shown}");
}

#[test]
fn a_request_of_a_traced_caller_is_a_part_of_its_trace() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut collector = Collector::new();
    let mut server = start(scratch.path(), &collector.url(), "0");
    assert_eq!(order(&server, "ann", ""), 201);
    assert_eq!(order(&server, "bea", &format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n")), 409);
    // What is left is sent at the end.
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let trace = collector.trace(|_| true, 5);
    let request = trace.iter().find(|span| span.name == "request").expect("the request");
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, CALLER));
    assert!(collector.heard.try_recv().is_err(), "and of nothing else");
}

#[test]
fn a_sale_goes_on_without_its_collector_and_what_is_lost_is_counted() {
    let scratch = tempfile::tempdir().expect("scratch");
    // A port that nobody listens on.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    let mut server = start(scratch.path(), &format!("http://{nobody}/v1/traces"), "1");
    assert_eq!(order(&server, "ann", ""), 201);
    let deadline = Instant::now() + PATIENCE;
    let mut admin = Client::connect(server.admin).expect("connected");
    loop {
        admin.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let shown = admin.read_to_end();
        if shown.lines().any(|line| line == "firstcome_trace_spans_total{result=\"failed\"} 10") {
            break;
        }
        assert!(Instant::now() < deadline, "{shown}");
        std::thread::park_timeout(Duration::from_millis(20));
        admin = Client::connect(server.admin).expect("connected");
    }
    assert_eq!(order(&server, "bea", ""), 409);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[test]
fn a_url_that_leads_nowhere_is_refused_at_the_start() {
    for url in ["ftp://127.0.0.1/v1/traces", "http://127.0.0.1:99999/v1/traces", "http:///v1/traces"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome"))
            .args(["serve", "--data", "/nowhere/at/all"])
            .env("FIRSTCOME__TRACES__OTLP_URL", url)
            .output()
            .expect("run");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{url}: {told}");
        assert!(told.lines().count() == 1 && told.contains("traces.otlp_url"), "{url}: {told}");
    }
}
