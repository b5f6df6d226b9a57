//! The real binary stands still, as a paused machine does, and goes on: what has arrived meanwhile is served, although its
//! deadlines are over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::{Client, Process};
use firstcome::wire::messages::{Echo, Reply, Request, Reserve};

/// The longest wait for a client that the server allows, in milliseconds.
const WAIT_MAX_MS: &str = "700";
/// Far beyond every wait.
const PAUSE: Duration = Duration::from_millis(1200);
const ROUNDS: u8 = 3;
const CLIENTS: u8 = 6;

fn order(buyer: &str, key: &str) -> String {
    let body = format!("{{\"buyer\":\"{buyer}\",\"quantity\":1}}");
    format!(
        "POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A client that has sent a part of its request, and what is left of it.
struct Half<C>(C, Vec<u8>);

/// Sends a whole request and a part of the next; the answer to the first shows that the server has read both.
fn half_of(server: &Process, request: &str, sent: usize) -> Half<Client> {
    let mut client = Client::connect(server.public).expect("connected");
    let first = format!("GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\n\r\n{}", &request[..sent]);
    client.send(&first).expect("sent");
    assert_eq!(client.receive().expect("answered").status, 200);
    Half(client, request.as_bytes()[sent..].to_vec())
}

/// The same in frames.
fn half_frame(server: &Process, buyer: &str, key: [u8; 16]) -> Half<TcpStream> {
    let (mut first, mut frame) = (Vec::new(), Vec::new());
    let ping = Request::Ping(Echo::new(b"read").expect("short"));
    let reserve = Request::Reserve(Reserve { drop_id: 1, quantity: 1, key, buyer: buyer.as_bytes() });
    assert!(ping.write(&mut first) && reserve.write(&mut frame), "they fit");
    let rest = frame.split_off(5);
    first.extend_from_slice(&frame);
    let mut stream = TcpStream::connect(server.wire).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(&first).expect("sent");
    assert!(matches!(heard(&mut stream), Some(Heard::Pong)));
    Half(stream, rest)
}

#[derive(PartialEq, Eq, Debug)]
enum Heard {
    Pong,
    Reserved(u8),
    Other,
}

fn heard(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        if let Some((reply, _)) = Reply::first(&bytes).expect("a frame of the protocol") {
            return Some(match reply {
                Reply::Pong(_) => Heard::Pong,
                Reply::Reserved(reserved) => Heard::Reserved(reserved.reason),
                Reply::Result(_)
                | Reply::Error { .. }
                | Reply::Update(_)
                | Reply::Ok { .. }
                | Reply::Ticket(_)
                | Reply::RoomState(_) => Heard::Other,
            });
        }
        let mut more = [0; 256];
        match stream.read(&mut more).expect("answered or closed") {
            0 => return None,
            count => bytes.extend_from_slice(&more[..count]),
        }
    }
}

#[test]
fn requests_that_arrive_while_the_process_stands_still_are_served() {
    let scratch = tempfile::tempdir().expect("scratch");
    let limits = [
        "FIRSTCOME__HTTP__BODY_STALL_TIMEOUT_MS",
        "FIRSTCOME__HTTP__BODY_READ_TIMEOUT_MS",
        "FIRSTCOME__HTTP__HEADER_READ_TIMEOUT_MS",
        "FIRSTCOME__WIRE__FRAME_TIMEOUT_MS",
    ];
    let server = Process::start(&scratch.path().join("data"), &limits.map(|name| (name, WAIT_MAX_MS.to_string())));
    server.create_drop(1_000);
    for round in 0..ROUNDS {
        let (mut halves, mut frames) = (Vec::new(), Vec::new());
        for client in 0..CLIENTS {
            let name = |kind: &str| format!("{kind}-{round}-{client}");
            let (head, body) = (order(&name("head"), &name("head")), order(&name("body"), &name("body")));
            halves.push(half_of(&server, &head, 20));
            halves.push(half_of(&server, &body, body.len() - 5));
            frames.push(half_frame(&server, &name("frame"), [round * CLIENTS + client + 1; 16]));
        }
        server.stand_still(|| {
            for Half(client, rest) in &mut halves {
                client.send(std::str::from_utf8(rest).expect("text")).expect("sent");
            }
            for Half(stream, rest) in &mut frames {
                stream.write_all(rest).expect("sent");
            }
            std::thread::park_timeout(PAUSE);
        });
        for Half(client, _) in &mut halves {
            let answer = client.receive().expect("answered");
            assert_eq!(answer.status, 201, "round {round}: {:?}", answer.body);
        }
        for Half(stream, _) in &mut frames {
            assert_eq!(heard(stream), Some(Heard::Reserved(0)), "round {round}");
        }
    }
}
