//! A stub of a payment provider, a shop that asks it, and the sessions in the shop's file.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstcome::config::PaymentSettings;
use firstcome::types::{Provider, hex};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::http::{Server, serve_with};
use crate::provider_webhooks::{PAYOS_KEY, hmac, secret_file, settings};

#[derive(Clone, Debug)]
pub struct StubRequest {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Returns status, further header lines and body for the n-th request; `None` leaves it unanswered.
pub type StubResponses = Box<dyn Fn(usize, &StubRequest) -> Option<(u16, &'static str, String)> + Send + Sync>;

pub struct StubProvider {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<StubRequest>>>,
}

impl StubProvider {
    pub fn new(answers: StubResponses) -> StubProvider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let requests: Arc<Mutex<Vec<StubRequest>>> = Arc::default();
        let (known, answers) = (Arc::clone(&requests), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, answers) = (Arc::clone(&known), Arc::clone(&answers));
                std::thread::spawn(move || serve_stub(stream, &known, &answers));
            }
        });
        StubProvider { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<StubRequest> {
        self.requests.lock().clone()
    }
}

pub fn serve_stub(stream: TcpStream, known: &Mutex<Vec<StubRequest>>, answers: &StubResponses) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_string());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let asked = StubRequest { line: line.trim_end().into(), headers, body: String::from_utf8(body).expect("text") };
        let number = {
            let mut known = known.lock();
            known.push(asked.clone());
            known.len()
        };
        let Some((status, more, body)) = answers(number, &asked) else {
            // Wait until the client closes the connection.
            let _closed = reader.read_line(&mut String::new());
            return;
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{more}\r\n");
        if (&stream).write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

pub fn with_stripe(directory: &Path, url: &str) -> PaymentSettings {
    PaymentSettings {
        provider: Some(Provider::Stripe),
        stripe_api_key_file: Some(secret_file(directory, "stripe-key", "sk_test_stub")),
        stripe_url: url.into(),
        session_timeout: Duration::from_millis(500),
        ..settings(directory)
    }
}

pub fn shop(directory: &Path, payments: PaymentSettings) -> Server {
    serve_with(directory, |config| {
        config.payments = payments;
        config.public_url = "https://drops.example".into();
    })
}

pub fn new_drop(server: &Server, currency: &str) {
    let drop = json!({ "sku": "S", "name": "Größe & <Ruhm>", "currency": currency, "unit_price": 3000, "total": 50,
                       "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 50, "payment_seconds": 3600 });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
}

pub fn order(server: &Server, key: &str) -> Value {
    let answer = server.order(key, r#"{"buyer":"ann","quantity":2,"contact":{"email":"ann@example.org"}}"#);
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body
}

/// Returns the sessions in the file: (order, provider, reference, URL).
pub fn sessions(directory: &Path) -> Vec<(u64, String, String, String)> {
    let file = directory.join("data").join("firstcome.db");
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opened");
    let mut statement = connection
        .prepare("SELECT order_seq, provider, reference, url FROM sessions ORDER BY order_seq")
        .expect("a statement");
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?, row.get(2)?, row.get(3)?)));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

pub fn made(number: usize) -> Option<(u16, &'static str, String)> {
    let url = format!("https://checkout.stripe.com/c/pay/cs_{number}");
    Some((200, "", json!({ "id": format!("cs_{number}"), "url": url }).to_string()))
}

pub fn with_payos(directory: &Path, url: &str) -> PaymentSettings {
    PaymentSettings {
        provider: Some(Provider::Payos),
        payos_api_key_file: Some(secret_file(directory, "payos-key", "payos-api-key")),
        payos_client_id: "client-7".into(),
        payos_url: url.into(),
        ..settings(directory)
    }
}

/// A response of PayOS, signed.
pub fn signed_by_payos(data: &Value) -> String {
    let sorted: BTreeMap<&String, &Value> = data.as_object().expect("an object").iter().collect();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let signed: Vec<String> = sorted.into_iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let signature = hex::encode(&hmac(PAYOS_KEY.as_bytes(), &[signed.join("&").as_bytes()]));
    json!({ "code": "00", "desc": "success", "data": data, "signature": signature }).to_string()
}
