//! Cases over a real socket: hyper, the serving thread, and the client with its two calls for each request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use firstcome::config::{Config, PinCore};
use firstcome::server::start;
use firstcome::writer::{Class, Submission, WriterReply};

use super::counted;
use super::measure::sale;

/// One request after the other on one connection; no thread but the serving one has anything to do.
pub(crate) fn hot_reads(count: u32) {
    read(count, |_| {});
}

/// The same as a client that is not exempt from rate limits.
pub(crate) fn limited_reads(count: u32) {
    read(count, |config| {
        config.limits.loopback_is_client = true;
        config.admission.address_reads = 1_000_000;
    });
}

fn read(count: u32, change: impl FnOnce(&mut Config)) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut config = Config::defaults();
    config.data = scratch.path().join("data");
    config.public_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = config.public_listen;
    config.wire_listen = config.public_listen;
    config.http_threads = 1;
    config.pin_core = PinCore::Off;
    change(&mut config);
    let running = start(config, |message, _| panic!("the writer ended: {message}")).expect("a server");
    let submission = Submission { command: sale::create(10_000), private_data: None, class: Class::Operator };
    let made = running.writer.submit(submission).expect("room").wait();
    assert!(matches!(made, WriterReply::Decided(_)), "{made:?}");

    let address = running.server.public_address;
    let request = format!("GET /v1/drops/1 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut stream = TcpStream::connect(address).expect("connected");
    let mut piece = [0u8; 4096];
    counted(&mut || {
        for _ in 0..count {
            stream.write_all(request.as_bytes()).expect("sent");
            let length = stream.read(&mut piece).expect("an answer");
            assert!(piece[..length].starts_with(b"HTTP/1.1 200 OK\r\n"), "another answer");
        }
    });
    drop(stream);
    running.stop().expect("an orderly end");
}
