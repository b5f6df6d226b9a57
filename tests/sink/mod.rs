//! An endpoint that hears what it is told, and answers as a test says.

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

/// What the endpoint was told.
#[derive(Clone)]
pub struct Heard {
    pub headers: BTreeMap<String, String>,
    pub text: String,
    pub body: Value,
}

impl Heard {
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
    /// Whether one of the signatures is this secret's (Standard Webhooks 1.0.0, written once more).
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        let text = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.text);
        let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()));
        self.headers["webhook-signature"].split(' ').any(|signature| signature == format!("v1,{tag}"))
    }
}

/// What it answers.
#[derive(Clone, Copy)]
pub enum Say {
    Status(u16),
    /// A status and a header line.
    With(u16, &'static str),
    /// Nothing, ever.
    Nothing,
    /// The connection is closed.
    Close,
}

type Script = Box<dyn FnMut(&Heard) -> Say + Send>;

pub struct Sink {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    script: Arc<Mutex<Script>>,
}

impl Sink {
    pub fn new(script: impl FnMut(&Heard) -> Say + Send + 'static) -> Sink {
        Sink::listen(TcpListener::bind("127.0.0.1:0").expect("bound"), script)
    }

    pub fn listen(listener: TcpListener, script: impl FnMut(&Heard) -> Say + Send + 'static) -> Sink {
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (all, says) = (Arc::clone(&heard), Arc::clone(&script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, says) = (Arc::clone(&all), Arc::clone(&says));
                std::thread::spawn(move || serve(stream, &all, &says));
            }
        });
        Sink { address, heard, script }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }
    pub fn says(&self, script: impl FnMut(&Heard) -> Say + Send + 'static) {
        *self.script.lock() = Box::new(script);
    }
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }
    pub fn seqs(&self) -> Vec<u64> {
        self.heard.lock().iter().map(Heard::seq).collect()
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<Heard>>, script: &Mutex<Script>) {
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
        let one = Heard { headers, body: serde_json::from_str(&text).expect("JSON"), text };
        heard.lock().push(one.clone());
        let say = script.lock()(&one);
        let answer = match say {
            Say::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
            Say::With(status, line) => format!("HTTP/1.1 {status} X\r\n{line}\r\nContent-Length: 0\r\n\r\n"),
            Say::Nothing => continue,
            Say::Close => return,
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
