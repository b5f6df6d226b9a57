//! Nodes that a test plays: they answer probes as a node does, and every other request as the test says.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: String,
    pub path: String,
    pub head: String,
    pub body: String,
}

impl Arrived {
    /// Values of all headers of a name, in their order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// What a node does with a request.
pub enum Reaction {
    /// A status, further head lines, and a body.
    Answer(u16, String, String),
    /// The connection ends without an answer.
    Cut,
    /// No answer comes, and the connection stays.
    Hang,
    /// A body in pieces: each is sent once the one before was taken from the queue.
    Pieces(std::sync::mpsc::Receiver<String>),
}

impl Reaction {
    pub fn json(status: u16, body: &Value) -> Reaction {
        let kind = if status >= 400 || status == 307 { "problem+json" } else { "json" };
        Reaction::Answer(status, format!("Content-Type: application/{kind}\r\n"), body.to_string())
    }

    /// What a node says that does not lead.
    pub fn not_leader(public_url: Option<&str>) -> Reaction {
        let status = if public_url.is_some() { 307 } else { 503 };
        Reaction::json(status, &json!({ "code": "not-leader", "applied": "no", "leader": public_url }))
    }
}

/// The part of a node in its cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Leads,
    /// Follows, with the leader's admin URL and the age of its state.
    Follows(Option<String>, u64),
    /// Answers no probe.
    Silent,
}

type React = dyn Fn(&Arrived) -> Reaction + Send + Sync;

pub struct StandIn {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    part: Arc<Mutex<Part>>,
    /// The head line by which it names its shard.
    shard: Arc<Mutex<String>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl StandIn {
    pub fn start(part: Part, react: impl Fn(&Arrived) -> Reaction + Send + Sync + 'static) -> StandIn {
        let (part, arrived) = (Arc::new(Mutex::new(part)), Arc::new(Mutex::new(Vec::new())));
        let react: Arc<React> = Arc::new(react);
        let shard: Arc<Mutex<String>> = Arc::default();
        let listen = |is_admin: bool| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("its address");
            let (part, arrived, react) = (Arc::clone(&part), Arc::clone(&arrived), Arc::clone(&react));
            let shard = Arc::clone(&shard);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (part, arrived, react) = (Arc::clone(&part), Arc::clone(&arrived), Arc::clone(&react));
                    let shard = Arc::clone(&shard);
                    std::thread::spawn(move || serve(&stream, is_admin, &part, &shard, &arrived, &*react));
                }
            });
            address
        };
        let (public, admin) = (listen(false), listen(true));
        StandIn { public, admin, part, shard, arrived }
    }

    /// From now on every answer names this shard; before, none does.
    pub fn is_of(&self, shard: u64) {
        *self.shard.lock() = format!("Firstcome-Shard: {shard}\r\n");
    }

    pub fn is_now(&self, part: Part) {
        *self.part.lock() = part;
    }

    pub fn public_url(&self) -> String {
        format!("http://{}", self.public)
    }

    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Everything that arrived besides probes.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().clone()
    }
}

fn serve(
    stream: &TcpStream,
    is_admin: bool,
    part: &Mutex<Part>,
    shard: &Mutex<String>,
    arrived: &Mutex<Vec<Arrived>>,
    react: &React,
) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let reaction = if is_admin && request.path.starts_with("/readyz") {
            match part.lock().clone() {
                Part::Leads => Reaction::Answer(200, "Firstcome-Stale-Ms: 0\r\n".into(), "ok\n".into()),
                Part::Silent => Reaction::Cut,
                Part::Follows(leader, age) => Reaction::Answer(
                    503,
                    format!("Content-Type: application/problem+json\r\nFirstcome-Stale-Ms: {age}\r\n"),
                    json!({ "code": "not-leader", "leader": leader }).to_string(),
                ),
            }
        } else {
            arrived.lock().push(request.clone());
            react(&request)
        };
        match reaction {
            Reaction::Answer(status, head, body) => {
                let length = body.len();
                let shard = shard.lock().clone();
                let text = format!("HTTP/1.1 {status} X\r\n{head}{shard}Content-Length: {length}\r\n\r\n");
                let body = if request.method == "HEAD" { "" } else { &body };
                if (&*stream).write_all(format!("{text}{body}").as_bytes()).is_err() {
                    return;
                }
            }
            Reaction::Cut => {
                let _gone = stream.shutdown(Shutdown::Both);
                return;
            }
            Reaction::Hang => {
                // Until the other side gives up.
                let _end = stream.set_read_timeout(Some(Duration::from_secs(60)));
                let _ended = reader.read(&mut [0]);
                return;
            }
            Reaction::Pieces(pieces) => {
                let head = "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut sent = (&*stream).write_all(head.as_bytes());
                for piece in pieces {
                    sent = (&*stream).write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
                }
                let _end = sent.and_then(|()| (&*stream).write_all(b"0\r\n\r\n"));
            }
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Arrived> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut arrived = Arrived { method, path, head, body: String::new() };
    let length = arrived.headers("content-length").first().and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    arrived.body = String::from_utf8(body).ok()?;
    Some(arrived)
}
