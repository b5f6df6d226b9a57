//! The client of both servers: one thread that keeps one request open on each of its connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use firstcome::types::DropId;

/// Requests for orders, each of another buyer with another key; all of the same length.
pub(crate) struct Orders {
    drop_id: DropId,
    made: u32,
    /// Orders of a request: one, or those of a batch.
    pub(crate) each: u32,
}

impl Orders {
    pub(crate) const fn new(drop_id: DropId) -> Orders {
        Orders { drop_id, made: 0, each: 1 }
    }

    /// Makes the next request.
    pub(crate) fn next(&mut self) -> String {
        if self.each > 1 {
            return self.next_batch();
        }
        self.made += 1;
        let (drop_id, number) = (self.drop_id, self.made);
        let body = format!(r#"{{"buyer":"buyer-{number:010}","quantity":1}}"#);
        format!(
            "POST /v1/drops/{drop_id}/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Idempotency-Key: limit-{number:010}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn next_batch(&mut self) -> String {
        let drop_id = self.drop_id;
        let mut body = String::from("{\"orders\":[");
        for index in 0..self.each {
            self.made += 1;
            let (number, comma) = (self.made, if index == 0 { "" } else { "," });
            let order = format!(
                r#"{comma}{{"drop_id":{drop_id},"key":"limit-{number:010}","buyer":"buyer-{number:010}","quantity":1}}"#
            );
            body.push_str(&order);
        }
        body.push_str("]}");
        format!(
            "POST /v1/orders:batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\
             {body}",
            body.len()
        )
    }
}

/// A client with its connections.
pub(crate) struct Client {
    streams: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, connections: usize) -> Client {
        let connect = |_| {
            let stream = TcpStream::connect(address).expect("connected");
            stream.set_nodelay(true).expect("no delay");
            stream
        };
        Client { streams: (0..connections).map(connect).collect(), buffer: vec![0; 128 * 1024] }
    }

    pub(crate) const fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Sends one request and returns its answer as text.
    pub(crate) fn one(&mut self, request: &str) -> String {
        self.streams[0].write_all(request.as_bytes()).expect("sent");
        let length = read_answer(&mut self.streams[0], &mut self.buffer);
        String::from_utf8(self.buffer[..length].to_vec()).expect("text")
    }

    /// Orders for a time, and returns how many orders were answered. Answers are taken in turn, and each makes place for the next
    /// request on its connection.
    pub(crate) fn drive(&mut self, orders: &mut Orders, turn: Duration) -> u32 {
        let started = Instant::now();
        for stream in &mut self.streams {
            stream.write_all(orders.next().as_bytes()).expect("sent");
        }
        let (mut answered, mut is_last) = (0, false);
        while !is_last {
            is_last = started.elapsed() >= turn;
            for stream in &mut self.streams {
                let length = read_answer(stream, &mut self.buffer);
                check(&self.buffer[..length]);
                answered += orders.each;
                if !is_last {
                    stream.write_all(orders.next().as_bytes()).expect("sent");
                }
            }
        }
        answered
    }
}

/// Reads one answer to its end, and returns its length.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).expect("an answer");
        assert!(read > 0, "the answer broke off: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
        if whole_length(&buffer[..filled]).is_some_and(|whole| whole <= filled) {
            return filled;
        }
    }
}

/// Checks that every order of an answer is reserved.
fn check(answer: &[u8]) {
    let text = std::str::from_utf8(answer).expect("text");
    let is_reserved =
        text.starts_with("HTTP/1.1 201 ") || text.starts_with("HTTP/1.1 200 ") && !text.contains("\"problem\":");
    assert!(is_reserved, "refused: {text}");
}

/// The length of an answer, once its head is there.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("text");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    Some(head + length.parse::<usize>().expect("a number"))
}
