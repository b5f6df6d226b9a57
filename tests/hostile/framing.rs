//! Requests that two readers might read in two ways, and requests that are too large.

use super::raw::{LOOK, Raw, Said, Site, order};

/// Sends this and everything behind it in one piece; the server closes the connection.
fn told(site: &Site, bytes: &str) -> Said {
    let mut raw = site.connect();
    raw.send(bytes).expect("sent");
    raw.hear_all()
}

/// A request that would be a second one if the first were read wrongly; its order would show.
fn smuggled() -> String {
    order("smuggled", "")
}

fn nothing_was_smuggled(site: Site) {
    let drop = site.server.public("GET", "/v1/drops/1");
    assert_eq!((drop.body["held"].as_u64(), drop.body["available"].as_u64()), (Some(0), Some(9)));
    site.end();
}

#[test]
fn heads_that_may_be_read_in_two_ways_are_refused_and_what_follows_is_not_served() {
    let site = Site::open(|_| {});
    let post = |headers: &str| format!("POST /v1/drops/1/orders HTTP/1.1\r\nHost: shop\r\n{headers}\r\n");
    let get = |headers: &str| format!("GET /v1/drops/1 HTTP/1.1\r\n{headers}\r\n");
    let heads = [
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n")),
        ("a list of lengths", post("Content-Length: 5, 5\r\n")),
        ("a signed length", post("Content-Length: +5\r\n")),
        ("a length in hex", post("Content-Length: 0x5\r\n")),
        ("a length beyond 64 bits", post("Content-Length: 18446744073709551621\r\n")),
        ("chunked is not the last coding", post("Transfer-Encoding: chunked, identity\r\n")),
        ("a coding of its own", post("Transfer-Encoding: xchunked\r\n")),
        ("chunked inside another coding", post("Transfer-Encoding: gzip, chunked\r\n")),
        ("two codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        ("a coding that hides behind a tab", post("Transfer-Encoding: \x0bchunked\r\n")),
        ("a space before the colon", post("Content-Length : 5\r\n")),
        ("a folded line", post("X: a\r\n Content-Length: 5\r\n")),
        ("a bare LF between headers", post("X: a\nContent-Length: 5\r\n")),
        ("a bare LF at the end of the head", "GET /v1/drops/1 HTTP/1.1\r\nHost: shop\r\n\n".into()),
        ("bare LFs alone", "GET /v1/drops/1 HTTP/1.1\nHost: shop\n\n".into()),
        ("a bare CR in a value", post("X: a\rContent-Length: 5\r\n")),
        ("a NUL in a value", post("X: a\0b\r\n")),
        ("no Host", get("")),
        ("two Hosts", get("Host: shop\r\nHost: shop\r\n")),
        ("a Host that is none", get("Host: shop, evil\r\n")),
        ("a Host with a path", get("Host: shop/evil\r\n")),
        ("the absolute form without a host", "GET http:///v1/drops/1 HTTP/1.1\r\nHost: shop\r\n\r\n".into()),
        ("the absolute form with a user", "GET http://ann@shop/v1/drops/1 HTTP/1.1\r\nHost: shop\r\n\r\n".into()),
        ("the absolute form of another scheme", "GET ftp://shop/v1/drops/1 HTTP/1.1\r\nHost: shop\r\n\r\n".into()),
        ("the absolute form without Host", "GET http://shop/v1/drops/1 HTTP/1.1\r\n\r\n".into()),
        ("a tunnel", "CONNECT evil:80 HTTP/1.1\r\nHost: shop\r\n\r\n".into()),
        ("a version of its own", "GET /v1/drops/1 HTTP/1.7\r\nHost: shop\r\n\r\n".into()),
        ("two spaces", "GET  /v1/drops/1 HTTP/1.1\r\nHost: shop\r\n\r\n".into()),
    ];
    for (what, head) in heads {
        let said = told(&site, &(head + "0\r\n\r\n" + &smuggled()));
        assert_eq!((said.statuses(), said.closed), (vec![400], true), "{what}: {said:?}");
    }
    nothing_was_smuggled(site);
}

#[test]
fn a_length_beside_a_coding_is_not_believed_and_the_connection_ends() {
    let site = Site::open(|_| {});
    for headers in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        let head = format!(
            "POST /v1/drops/1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n{headers}\r\n"
        );
        let said = told(&site, &(head + "0\r\n\r\n" + &smuggled()));
        assert_eq!((said.statuses(), said.closed), (vec![400], true), "{said:?}");
    }
    nothing_was_smuggled(site);
}

#[test]
fn chunks_that_may_be_read_in_two_ways_are_refused() {
    let site = Site::open(|_| {});
    let chunks = [
        ("a size that is none", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a size that ends in a bare LF", "5\nhello\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("more bytes than the size says", "3\r\nhello\r\n0\r\n\r\n"),
        ("digits after a space", "1 0\r\nhello\r\n0\r\n\r\n"),
    ];
    for (what, chunks) in chunks {
        let head = "POST /v1/drops/1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let said = told(&site, &format!("{head}{chunks}{}", smuggled()));
        assert_eq!((said.statuses(), said.closed), (vec![400], true), "{what}: {said:?}");
    }
    nothing_was_smuggled(site);
}

#[test]
fn an_honest_body_in_chunks_is_an_order() {
    let site = Site::open(|_| {});
    let body = "{\n  \"buyer\": \"ann\",\n  \"quantity\": 1\n}";
    let (one, two) = body.split_at(11);
    let head =
        "POST /v1/drops/1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n";
    let chunks = format!("{:x};why=not\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\nTrailer: t\r\n\r\n", one.len(), two.len());
    let mut raw = site.connect();
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}{LOOK}")).expect("sent");
    assert_eq!(raw.hear("\"version\"", 2).statuses(), [201, 200]);
    drop(raw);
    site.end();
}

#[test]
fn two_lengths_that_agree_are_one_and_a_body_that_nobody_asked_for_is_no_request() {
    let site = Site::open(|_| {});
    let inner = smuggled();
    let twice = format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", inner.len());
    let mut raw = site.connect();
    raw.send(format!("GET /v1/drops/1 HTTP/1.1\r\nHost: shop\r\n{twice}\r\n{inner}")).expect("sent");
    raw.close_its_half();
    assert_eq!(raw.hear_all().statuses(), [200], "the body was not taken for a request");
    nothing_was_smuggled(site);
}

#[test]
fn the_older_protocol_needs_no_host_and_the_newer_is_not_spoken() {
    let site = Site::open(|_| {});
    let said = told(&site, "GET /v1/drops/1 HTTP/1.0\r\n\r\n");
    assert!(said.text.starts_with("HTTP/1.0 200 "), "{said:?}");
    let said = told(&site, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(said.statuses().len(), usize::from(!said.text.is_empty()), "{said:?}");
    assert!(!said.text.contains(" 200 "), "{said:?}");
    site.end();
}

#[test]
fn what_is_too_large_is_told_so_although_the_client_goes_on_sending() {
    let site = Site::open(|_| {});
    let head =
        "POST /v1/drops/1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n";
    let body = " ".repeat(1 << 20);
    let announced = told(&site, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!((announced.statuses(), announced.closed), (vec![413], true), "{announced:?}");
    assert!(announced.text.contains("body-too-large") && announced.text.contains("8192"), "{announced:?}");
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", format!("1000\r\n{}\r\n", " ".repeat(4096)).repeat(64));
    let chunked = told(&site, &chunked);
    assert_eq!(chunked.statuses(), [413], "{chunked:?}");

    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let get =
        |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{headers}\r\n");
    let path = |bytes: usize| format!("/v1/drops?{}", "a".repeat(bytes - 11));
    for (what, request, status) in [
        ("headers that fit", get("/v1/drops/1", &lines(98)), 200),
        ("too many headers", get("/v1/drops/1", &lines(99)), 431),
        ("a header of 20 kB", get("/v1/drops/1", &format!("X: {}\r\n", "y".repeat(20_000))), 431),
        ("a long path that fits", get(&path(2048), ""), 400),
        ("a path that is too long", get(&path(2050), ""), 414),
    ] {
        let said = told(&site, &request);
        assert_eq!((said.statuses(), said.closed), (vec![status], true), "{what}: {said:?}");
    }
    site.end();
}

#[test]
fn the_absolute_form_is_served_as_the_path_and_its_host_is_the_one_that_counts() {
    let site = Site::open(|_| {});
    let form = |url: &str, host: &str| format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let body = |said: Said| {
        assert_eq!(said.statuses(), [200], "{said:?}");
        said.text.split_once("\r\n\r\n").expect("a head").1.to_string()
    };
    let by_path = body(told(&site, &form("/v1/drops/1", "shop")));
    for url in ["http://shop/v1/drops/1", "HTTP://shop:8080/v1/drops/1", "https://[::1]:1/v1/drops/1"] {
        assert_eq!(body(told(&site, &form(url, "shop"))), by_path, "{url}");
    }
    assert_eq!(body(told(&site, &form("http://other/v1/drops/1", "shop"))), by_path, "the header is ignored");
    let bidden = "OPTIONS http://shop HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    assert_eq!(told(&site, bidden).statuses().len(), 1, "a URL without a path");
    let admin = |url: &str, host: &str| {
        let mut raw = Raw::connect(site.server.0.server.admin_address);
        raw.send(form(url, host)).expect("sent");
        raw.hear_all().statuses()
    };
    assert_eq!(admin("http://localhost/healthz", "rebound.example"), [200]);
    assert_eq!(admin("http://rebound.example/healthz", "localhost"), [403], "a rebound name");
    nothing_was_smuggled(site);
}
