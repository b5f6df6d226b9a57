//! Cases over a real socket: hyper, the serving thread, and the client with its two calls for each request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use firstcome::config::Config;
use firstcome::server::RunningServer;

use super::client::{Client, Orders};
use super::counted;
use super::server;

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
    let mut config = server::settings(scratch.path());
    change(&mut config);
    let running = server::run(config);
    let drop_id = server::make_drop(&running.writer);
    let address = running.server.public_address;
    let request = format!("GET /v1/drops/{drop_id} HTTP/1.1\r\nHost: {address}\r\n\r\n");
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

/// One order after the other on one connection: each is a batch of the writer by itself.
pub(crate) fn orders(count: u32) {
    order(count, 1, |running| running.server.public_address);
}

/// One batch of 100 orders after the other on one connection.
pub(crate) fn batches(count: u32) {
    order(count, 100, |running| running.server.admin_address);
}

fn order(count: u32, each: u32, address: fn(&RunningServer) -> SocketAddr) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let running = server::run(server::settings(scratch.path()));
    let mut orders = Orders::new(server::make_drop(&running.writer));
    orders.each = each;
    let mut client = Client::new(address(&running), 1);
    counted(&mut || {
        for _ in 0..count {
            let answer = client.one(&orders.next());
            assert!(answer.starts_with("HTTP/1.1 20"), "another answer: {answer}");
        }
    });
    drop(client);
    running.stop().expect("an orderly end");
}
