//! Compression of responses: who gets it, what it is of, and what it never is of.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::http::contract::{Exchange, check};
use crate::http::{Server, answer, call, serve, serve_with};
use firstcome::http::routes::{Listener, ROUTES};
use flate2::read::GzDecoder;
use hyper::Method;
use serde_json::json;

/// A response as it came.
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn has(&self, name: &str, value: &str) -> bool {
        self.headers.get(name).is_some_and(|known| known == value)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.has("content-encoding", "gzip") {
            GzDecoder::new(&self.body[..]).read_to_string(&mut text).expect("gzip");
        } else {
            text = String::from_utf8(self.body.clone()).expect("text");
        }
        text
    }
}

/// Sends a request without a body, and holds the decompressed response against the OpenAPI document.
fn send(address: SocketAddr, method: &str, path: &str, headers: &str) -> Reply {
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answered");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = answer(&String::from_utf8_lossy(&bytes[..end]));
    let reply = Reply { status: head.status, headers: head.headers, body: bytes[end..].to_vec() };
    if !reply.headers.contains_key("transfer-encoding") {
        let text = if method == "HEAD" { String::new() } else { reply.text() };
        let (status, headers) = (reply.status, &reply.headers);
        check(&Exchange { method, path, sent: "", status, headers, text: Some(&text) });
    }
    reply
}

const GZIP: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

/// Makes so many drops that a page of them is above the minimum.
fn with_drops(server: &Server) {
    for number in 0..10 {
        let drop = json!({ "sku": "S", "name": format!("Sneaker {number}"), "currency": "EUR", "unit_price": 100,
                           "total": 5, "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 5 });
        let headers = format!("Content-Type: application/json\r\nIdempotency-Key: k{number}\r\n");
        let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
        assert_eq!(made.status, 201, "{}", made.text);
    }
}

#[test]
fn large_responses_without_a_secret_are_compressed_for_clients_that_accept_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    with_drops(&server);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    for (address, path, share) in [
        (public, "/openapi.json", 8),
        (public, "/v1/drops", 4),
        (public, "/v1/drops?limit=100", 4),
        (admin, "/metrics", 5),
    ] {
        let plain = send(address, "GET", path, "");
        assert!(!plain.headers.contains_key("content-encoding"), "{path}: nobody asked");
        // Twice: the second comes from what the first made.
        for _ in 0..2 {
            let small = send(address, "GET", path, GZIP);
            assert_eq!(small.status, 200, "{path}");
            assert!(small.has("content-encoding", "gzip"), "{path}: {:?}", small.headers);
            assert!(
                small.body.len() * share < plain.body.len(),
                "{path}: {} of {}",
                small.body.len(),
                plain.body.len()
            );
            assert!(path == "/metrics" || small.text() == plain.text(), "{path}");
            for reply in [&plain, &small] {
                assert!(reply.has("vary", "Accept-Encoding"), "{path}: {:?}", reply.headers);
                assert!(reply.has("content-length", &reply.body.len().to_string()), "{path}: {:?}", reply.headers);
            }
            let head = send(address, "HEAD", path, GZIP);
            assert!(head.has("content-encoding", "gzip") && head.body.is_empty(), "{path}: {:?}", head.headers);
            assert_eq!(head.headers.get("etag"), small.headers.get("etag"), "{path}");
        }
        let refused = send(address, "GET", path, "Accept-Encoding: gzip;q=0, *\r\n");
        assert!(!refused.headers.contains_key("content-encoding"), "{path}: gzip is not acceptable");
    }
    assert!(send(admin, "GET", "/metrics", GZIP).text().contains("firstcome_seq 10\n"));
    server.stop();
}

#[test]
fn the_compressed_form_of_a_page_has_a_tag_of_its_own() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    with_drops(&server);
    let public = server.0.server.public_address;
    let tag_of = |headers: &str| send(public, "GET", "/v1/drops", headers).headers["etag"].clone();
    let (plain, small) = (tag_of(""), tag_of(GZIP));
    assert_eq!(small, format!("{}-gzip\"", plain.trim_end_matches('"')));
    let again = |accept: &str, tag: &str| {
        let reply = send(public, "GET", "/v1/drops", &format!("{accept}If-None-Match: {tag}\r\n"));
        assert!(reply.has("vary", "Accept-Encoding"), "{:?}", reply.headers);
        assert!(reply.status == 200 || !reply.headers.contains_key("content-encoding"), "{:?}", reply.headers);
        (reply.status, reply.headers["etag"].clone())
    };
    assert_eq!(again("", &plain), (304, plain.clone()));
    assert_eq!(again(GZIP, &small), (304, small.clone()));
    assert_eq!(again(GZIP, &format!("W/{small}")), (304, small.clone()));
    assert_eq!(again(GZIP, &format!("{plain}, {small}")), (304, small.clone()));
    assert_eq!(again("", &small), (200, plain.clone()), "other bytes");
    assert_eq!(again(GZIP, &plain), (200, small.clone()), "other bytes");
    // A change is seen in both forms.
    assert_eq!(server.order("o", r#"{"buyer":"ann","quantity":1}"#).status, 201);
    for (accept, old) in [("", &plain), (GZIP, &small)] {
        let (status, new) = again(accept, old);
        assert!(status == 200 && new != *old, "{status} {new}");
        assert!(send(public, "GET", "/v1/drops", accept).text().contains("\"available\":4"));
    }
    server.stop();
}

#[test]
fn a_secret_is_never_compressed_with_the_text_of_a_client() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.gzip_bytes_min = 1;
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    with_drops(&server);
    let order = server.order("o", r#"{"buyer":"ann","quantity":1,"contact":{"email":"ann@example.org"}}"#);
    let id = order.body["id"].as_str().expect("an id");
    let hook = json!({ "url": "http://127.0.0.1:9/hooks", "events": ["order.paid"] });
    assert_eq!(server.admin("POST", "/v1/webhook-endpoints", &hook).status, 201);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    let mut compressed = Vec::new();
    for route in ROUTES.iter().filter(|route| route.method == Method::GET && !route.path.ends_with("/stream")) {
        let path = route.path.replace("{order_id}", id).replace("{drop_id}", "1").replace("{auction_id}", "1");
        let path = path.replace("{endpoint_id}", "12").replace("{buyer}", "ann");
        let path = if route.operation == "PreviewUndo" { format!("{path}?last=1") } else { path };
        let address = if route.listener == Listener::Public { public } else { admin };
        let reply = send(address, "GET", &path, GZIP);
        if reply.headers.contains_key("content-encoding") {
            compressed.push(route.path);
        } else {
            assert!(!reply.headers.get("vary").is_some_and(|vary| vary.contains("Encoding")), "{path}");
        }
    }
    let lists = ["/v1/drops", "/v1/auctions", "/v1/console/drops", "/v1/console/auctions"];
    assert_eq!(compressed, [&lists[..], &["/metrics", "/openapi.json", "/openapi.json", "/docs"]].concat());
    for query in ["", "?contacts=true"] {
        let csv = send(admin, "GET", &format!("/v1/orders{query}"), &format!("{GZIP}Accept: text/csv\r\n"));
        assert!(csv.text().contains(id) && !csv.headers.contains_key("content-encoding"), "{:?}", csv.headers);
    }
    server.stop();
}

#[test]
fn small_responses_are_sent_as_they_are_and_none_is_compressed_where_the_minimum_is_0() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(5).status, 201);
    let small = send(server.0.server.public_address, "GET", "/v1/drops", GZIP);
    assert!(small.body.len() < 1400 && !small.headers.contains_key("content-encoding"), "{:?}", small.headers);
    assert!(small.has("vary", "Accept-Encoding"), "with more drops it would be compressed: {:?}", small.headers);
    server.stop();
    // `0` in the settings.
    let server = serve_with(scratch.path(), |config| config.gzip_bytes_min = usize::MAX);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    for (address, path) in [(public, "/openapi.json"), (public, "/v1/drops"), (admin, "/metrics")] {
        assert!(!send(address, "GET", path, GZIP).headers.contains_key("content-encoding"), "{path}");
    }
    server.stop();
}
