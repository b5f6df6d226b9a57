//! A webhook endpoint that records what it receives, and replies as the test replies.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::Value;

#[derive(Clone)]
pub struct ReceivedWebhook {
    pub headers: BTreeMap<String, String>,
    pub text: String,
    pub body: Value,
}

impl ReceivedWebhook {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().expect("a type")
    }
    pub fn seq(&self) -> u64 {
        self.body["data"]["seq"].as_u64().expect("a number")
    }
    pub fn order(&self) -> u64 {
        self.body["data"]["order_seq"].as_u64().unwrap_or(0)
    }
    /// Returns true if one of the signatures was made with the secret: an independent implementation of Standard Webhooks.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        let text = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.text);
        let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()));
        self.headers["webhook-signature"].split(' ').any(|signature| signature == format!("v1,{tag}"))
    }
}

#[derive(Clone, Copy)]
pub enum SinkReply {
    Status(u16),
    /// A status with one header line.
    With(u16, &'static str),
    /// Never replies, and keeps the connection open.
    Nothing,
    /// Closes the connection without a reply.
    Close,
}

type Script = Box<dyn FnMut(&ReceivedWebhook) -> SinkReply + Send>;

pub struct Sink {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<ReceivedWebhook>>>,
    script: Arc<Mutex<Script>>,
}

impl Sink {
    pub fn new(script: impl FnMut(&ReceivedWebhook) -> SinkReply + Send + 'static) -> Sink {
        Sink::listen(TcpListener::bind("127.0.0.1:0").expect("bound"), script)
    }

    pub fn listen(listener: TcpListener, script: impl FnMut(&ReceivedWebhook) -> SinkReply + Send + 'static) -> Sink {
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (all, replies) = (Arc::clone(&received), Arc::clone(&script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, replies) = (Arc::clone(&all), Arc::clone(&replies));
                std::thread::spawn(move || serve(stream, &all, &replies));
            }
        });
        Sink { address, received, script }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }
    pub fn reply_with(&self, script: impl FnMut(&ReceivedWebhook) -> SinkReply + Send + 'static) {
        *self.script.lock() = Box::new(script);
    }
    pub fn received(&self) -> Vec<ReceivedWebhook> {
        self.received.lock().clone()
    }
    pub fn seqs(&self) -> Vec<u64> {
        self.received.lock().iter().map(ReceivedWebhook::seq).collect()
    }
}

fn serve(mut stream: TcpStream, received: &Mutex<Vec<ReceivedWebhook>>, script: &Mutex<Script>) {
    let (mut bytes, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
            }
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            fields.map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
        let length: usize = headers["content-length"].parse().expect("a length");
        while bytes.len() < end + length {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
            }
        }
        let text = String::from_utf8(bytes[end..end + length].to_vec()).expect("text");
        bytes.drain(..end + length);
        let one = ReceivedWebhook { headers, body: serde_json::from_str(&text).expect("JSON"), text };
        // The script decides before the test sees the delivery, after which the test may change the script.
        let reply = script.lock()(&one);
        received.lock().push(one);
        let response = match reply {
            SinkReply::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
            SinkReply::With(status, line) => format!("HTTP/1.1 {status} X\r\n{line}\r\nContent-Length: 0\r\n\r\n"),
            SinkReply::Nothing => continue,
            SinkReply::Close => return,
        };
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}
