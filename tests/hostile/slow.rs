//! Clients that take their time.

use std::time::{Duration, Instant};

use serde_json::json;

use super::http::until;
use super::raw::{LOOK, Site, order};

const SHORT: Duration = Duration::from_millis(100);

/// Sends a byte every few milliseconds until the server has had enough of it.
fn trickle(raw: &mut super::raw::Raw, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        if raw.send([byte]).is_err() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn who_says_nothing_is_closed() {
    let site = Site::open(|limits| limits.first_byte_timeout = SHORT);
    let mut silent: Vec<_> = (0..20).map(|_| site.connect()).collect();
    for raw in &mut silent {
        assert_eq!(raw.hear_all().text, "");
    }
    assert_eq!(site.closed("silent"), 20.0);
    site.end();
}

#[test]
fn a_head_that_trickles_is_closed_although_it_never_pauses() {
    let site = Site::open(|limits| limits.header_read_timeout = SHORT);
    let mut raw = site.connect();
    let endless =
        b"GET /v1/drops/1 HTTP/1.1\r\nHost: shop\r\nX: ".iter().copied().chain(std::iter::repeat_n(b'a', 4000));
    trickle(&mut raw, endless);
    assert_eq!(raw.hear_all().text, "");
    assert_eq!(site.closed("slow_head"), 1.0);
    let mut second = site.connect();
    second.send(LOOK).expect("sent");
    second.hear("\"version\"", 1);
    second.send("GET ").expect("sent");
    assert_eq!(second.hear_all().statuses(), [200], "the second head of a connection has the deadline too");
    assert_eq!(site.closed("slow_head"), 2.0);
    site.end();
}

#[test]
fn a_body_that_trickles_is_refused_although_it_never_pauses() {
    let site = Site::open(|limits| {
        limits.body_read_timeout = 2 * SHORT;
        limits.body_stall_timeout = Duration::from_secs(600);
    });
    let mut raw = site.connect();
    let head =
        order("slow", "").split("{").next().expect("a head").replace("Content-Length: 29", "Content-Length: 8000");
    assert!(head.contains("8000"));
    raw.send(head).expect("sent");
    trickle(&mut raw, std::iter::repeat_n(b' ', 4000));
    let said = raw.hear_all();
    assert_eq!(said.statuses(), [400], "{said:?}");
    assert!(said.text.contains("did not arrive in time"), "{said:?}");
    site.end();
}

#[test]
fn a_body_that_stops_is_refused_before_its_time_is_over() {
    let site = Site::open(|limits| {
        limits.body_read_timeout = Duration::from_secs(600);
        limits.body_stall_timeout = SHORT;
    });
    let mut raw = site.connect();
    let whole = order("stop", "");
    raw.send(&whole[..whole.len() - 3]).expect("sent");
    let said = raw.hear_all();
    assert_eq!(said.statuses(), [400], "{said:?}");
    assert_eq!(site.server.public("GET", "/v1/drops/1").body["held"], 0, "nothing was ordered");
    site.end();
}

#[test]
fn an_idle_connection_is_closed_after_its_answer() {
    let site = Site::open(|limits| limits.idle_timeout = 10 * SHORT);
    let mut raw = site.connect();
    raw.send(LOOK).expect("sent");
    assert_eq!(raw.hear_all().statuses(), [200]);
    until("it is counted", || site.closed("idle") >= 1.0);
    site.end();
}

#[test]
fn a_client_that_does_not_read_its_answers_is_closed() {
    let site = Site::open(|limits| limits.response_write_timeout = SHORT);
    let mut raw = site.connect();
    // Many requests and not one answer read: at last nothing more fits into the buffers between the two.
    let many = LOOK.repeat(100);
    while site.closed("slow_reader") < 1.0 {
        if raw.send(&many).is_err() {
            break;
        }
    }
    until("it is counted", || site.closed("slow_reader") >= 1.0);
    site.end();
}

#[test]
fn a_client_that_closes_its_half_still_gets_its_answers() {
    let site = Site::open(|_| {});
    let mut raw = site.connect();
    raw.send(order("half", "") + LOOK).expect("sent");
    raw.close_its_half();
    let said = raw.hear_all();
    assert_eq!(said.statuses(), [201, 200], "{said:?}");
    site.end();
}

#[test]
fn a_client_that_leaves_a_stream_frees_its_place_although_nothing_happens() {
    let site = Site::open(|limits| limits.streams_max = 1);
    for _ in 0..5 {
        // One place per thread: without the ones given back there would soon be none.
        let stream = "GET /v1/drops/1/stream HTTP/1.1\r\nHost: shop\r\n\r\n";
        let heard = || {
            let mut raw = site.connect();
            raw.send(stream).expect("sent");
            raw.hear("HTTP/1.1 ", 1).statuses()
        };
        until("there is a place", || heard() == [200]);
    }
    site.end();
}

#[test]
fn an_old_connection_is_closed_after_an_answer_and_a_stream_lives_on() {
    let site = Site::open(|limits| limits.connection_age_max = SHORT);
    let mut stream = site.connect();
    stream.send("GET /v1/drops/1/stream HTTP/1.1\r\nHost: shop\r\n\r\n").expect("sent");
    stream.hear("event: snapshot", 1);
    let mut raw = site.connect();
    let mut asked = 0;
    let until = Instant::now() + Duration::from_secs(20);
    while raw.send(LOOK).is_ok() {
        assert!(Instant::now() < until, "it grows old for ever");
        asked += 1;
        if raw.hear("\"version\"", asked).text.contains("connection: close") {
            break;
        }
    }
    let said = raw.hear_all();
    assert_eq!(said.statuses().len(), asked, "each request had its answer: {said:?}");
    let order = json!({ "buyer": "ann", "quantity": 1 });
    assert_eq!(site.server.order("k", &order.to_string()).status, 201);
    stream.hear("event: update", 1);
    drop(stream);
    site.end();
}
