//! What a connection of the binary protocol costs that has nothing to say, in the real binary.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Process;
use firstcome::wire::messages::{Echo, Reply, Request, Reserve};

/// What the owner asks for.
const BYTES_MAX: u64 = 4096;
const CONNECTIONS: usize = 800;
/// Frames sent at once: they make the buffers grow, and a quiet connection has given them back.
const BURST: usize = 64;

/// Orders and pings at once, and all their answers.
fn busy_then_idle(server: &Process, burst: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.wire).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(burst).expect("sent");
    let (mut heard, mut answers) = (Vec::new(), 0);
    while answers < BURST {
        let mut piece = [0u8; 8192];
        let count = stream.read(&mut piece).expect("answered");
        assert_ne!(count, 0, "closed");
        heard.extend_from_slice(&piece[..count]);
        while let Some((_, taken)) = Reply::first(&heard).expect("a frame") {
            heard.drain(..taken);
            answers += 1;
        }
    }
    stream
}

#[test]
fn a_connection_that_was_busy_and_is_idle_takes_less_than_4_kb() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Process::start(&scratch.path().join("data"), &[]);
    server.create_drop(1);
    let mut burst = Vec::new();
    for number in 0..BURST {
        let key = [u8::try_from(number).expect("small"); 16];
        let long = "x".repeat(128);
        let request = if number % 2 == 0 {
            Request::Reserve(Reserve { drop_id: 1, quantity: 1, key, buyer: long.as_bytes() })
        } else {
            Request::Ping(Echo::new(b"12345678").expect("eight"))
        };
        assert!(request.write(&mut burst));
    }
    // What the process needs anyway is there before it is measured.
    let mut held: Vec<TcpStream> = (0..100).map(|_| busy_then_idle(&server, &burst)).collect();
    let before = server.resident_bytes();
    held.extend((0..CONNECTIONS).map(|_| busy_then_idle(&server, &burst)));
    let grown = server.resident_bytes().saturating_sub(before);
    let each = grown / u64::try_from(CONNECTIONS).expect("small");
    assert!(each <= BYTES_MAX, "{each} bytes each");
    drop(held);
}
