//! The real server on port 0, the real file, and a plain HTTP client that fails on any problem that is not whole.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

pub mod contract;
pub mod proof_of_work;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstcome::config::{Config, TlsFiles};
use firstcome::server::{RunningServer, start, start_viewed};
use firstcome::writer::NodeView;
use serde_json::{Value, json};

/// The real server on port 0.
pub struct Server(pub RunningServer);

pub fn serve(directory: &Path) -> Server {
    serve_with(directory, |_| {})
}

/// The same, with other settings.
pub fn serve_with(directory: &Path, change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config(directory);
    change(&mut config);
    try_serve(config).unwrap_or_else(|(code, message)| panic!("{code}: {message}"))
}

/// The same, as the node of a cluster with this view.
pub fn serve_node(directory: &Path, node: &Arc<NodeView>, change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config(directory);
    change(&mut config);
    let ended = |message: &str, code| panic!("the writer ended with {code}: {message}");
    let running = start_viewed(config, Some(Arc::clone(node)), ended);
    Server(running.unwrap_or_else(|exit| panic!("{}: {}", exit.code, exit.message)))
}

/// The same, with its admin listener under TLS: the server, the listener's URL, and the file of its authority.
pub fn serve_with_admin_tls(directory: &Path) -> (Server, String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let files = TlsFiles { certificate: directory.join("c.pem"), key: directory.join("k.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).expect("set");
    let server = serve_with(directory, |config| config.admin_tls = Some(files.clone()));
    let url = format!("https://localhost:{}", server.0.server.admin_address.port());
    (server, url, files.certificate.to_str().expect("a path").to_string())
}

/// The settings of a server on port 0.
pub fn config(directory: &Path) -> Config {
    let mut config = Config::defaults();
    config.data = directory.join("data");
    config.public_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = config.public_listen;
    config.wire_listen = config.public_listen;
    config.http_threads = 2;
    config.compare_interval = Duration::from_millis(30);
    config
}

/// The real server with settings of its own, or the exit code and what it says.
pub fn try_serve(config: Config) -> Result<Server, (u8, String)> {
    let running = start(config, |message, code| panic!("the writer ended with {code}: {message}"));
    running.map(Server).map_err(|exit| (exit.code, exit.message))
}

pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

pub fn call(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    call_announcing(body.len(), address, method, path, headers, body)
}

/// Announces a body of so many bytes, and sends the beginning of it.
pub fn call_announcing(
    length: usize,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).expect("connected");
    let host = if headers.contains("Host: ") { String::new() } else { format!("Host: {address}\r\n") };
    let head = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let answer = answer(&text);
    let Answer { status, headers, text, .. } = &answer;
    contract::check(&contract::Exchange { method, path, sent: body, status: *status, headers, text: Some(text) });
    answer
}

/// An answer as it came over the wire.
pub fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let known = headers.entry(name.to_lowercase()).or_default();
        // A header that is there twice is a list.
        *known = if known.is_empty() { value.into() } else { format!("{known}, {value}") };
    }
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_string() };
    Answer {
        status: status.expect("a status"),
        headers,
        body: serde_json::from_str(&body).unwrap_or(Value::Null),
        text: body,
    }
}

/// A body without the lengths between its pieces.
fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        whole.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
    }
    whole
}

impl Server {
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = "Content-Type: application/json\r\nIdempotency-Key: admin-1\r\n";
        call(self.0.server.admin_address, method, path, headers, &body.to_string())
    }
    pub fn public(&self, method: &str, path: &str) -> Answer {
        call(self.0.server.public_address, method, path, "", "")
    }
    pub fn order(&self, key: &str, body: &str) -> Answer {
        let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        call(self.0.server.public_address, "POST", "/v1/drops/1/orders", &headers, body)
    }
    pub fn create(&self, total: u32) -> Answer {
        let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": total,
                           "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 2 });
        self.admin("POST", "/v1/drops", &drop)
    }
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.0.server.admin_address).expect("connected");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }
    pub fn stop(self) {
        self.0.stop().unwrap_or_else(|exit| panic!("{}: {}", exit.code, exit.message));
    }
}

pub fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Reads what a stream that does not end says, until it has said this.
pub fn listen(address: SocketAddr, path: &str, mut then: impl FnMut(), wanted: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sent");
    let (mut heard, mut bytes) = (String::new(), [0u8; 4096]);
    let mut asked = false;
    while !wanted.iter().all(|word| heard.contains(word)) {
        let read = stream.read(&mut bytes).expect("it says more in time");
        assert_ne!(read, 0, "the stream ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
        if !asked && heard.contains(wanted[0]) {
            asked = true;
            then();
        }
    }
    let (head, _) = heard.split_once("\r\n\r\n").expect("a head");
    let Answer { status, headers, .. } = answer(&format!("{}\r\n\r\n", head.replace("chunked", "")));
    contract::check(&contract::Exchange { method: "GET", path, sent: "", status, headers: &headers, text: None });
    heard
}
