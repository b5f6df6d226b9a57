//! What `/metrics` says of single drops and auctions, and how many series it has at most, whatever clients send.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::bidding::{auction, bid, made};
use crate::http::{Server, call, serve, serve_with, until};
use firstcome::engine::COMMAND_NAMES;
use firstcome::http::routes::{Listener, ROUTES};
use firstcome::telemetry::CATALOGUE;
use serde_json::json;

/// What a Prometheus is promised (the README says it).
const SERIES_MAX: usize = 3_000;

fn metrics(server: &Server) -> String {
    server.admin("GET", "/metrics", &json!({})).text
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|shown| shown == line)
}

fn drop_body(name: &str, total: u32, starts_at: &str) -> serde_json::Value {
    json!({ "sku": "S", "name": name, "currency": "EUR", "unit_price": 100, "total": total, "starts_at": starts_at })
}

fn create(server: &Server, key: &str, total: u32, starts_at: &str) {
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let body = drop_body(key, total, starts_at).to_string();
    assert_eq!(call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &body).status, 201);
}

/// Sends these bytes, and waits until the server has said all that it wants to.
fn send(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("connected");
    // A server that has heard enough closes: what was not sent by then does not matter.
    let _closed = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let _reset = stream.read_to_end(&mut Vec::new());
}

#[test]
fn stock_is_shown_of_the_twenty_live_drops_that_changed_last_beside_the_plan() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.plan.depletion_seconds = 600;
        config.plan.requests_per_second = 9000;
    });
    assert_eq!(server.create(5).status, 201);
    for number in 2..=25 {
        create(&server, &format!("k{number}"), number, "2020-01-01T00:00:00Z");
    }
    create(&server, "later", 7, "2999-01-01T00:00:00Z");
    let shown = || {
        let text = metrics(&server);
        let drops =
            text.lines().filter_map(|line| line.strip_prefix("firstcome_drop_units{drop=\"")?.split('"').next());
        (drops.map(str::to_owned).collect::<BTreeSet<_>>(), text)
    };
    until("the newest are shown", || shown().0.contains("26"));
    let (drops, text) = shown();
    assert_eq!((drops.len(), drops.contains("1"), drops.contains("25")), (20, false, true), "{text}");
    assert!(has(&text, "firstcome_drop_planned_units{drop=\"25\"} 0"), "long after its ten minutes: {text}");
    assert!(!text.contains("firstcome_drop_planned_units{drop=\"26\"}"), "it has not started");
    assert!(has(&text, "firstcome_plan_requests_per_second 9000"), "{text}");
    assert!(has(&text, "firstcome_drop_info{drop=\"25\",name=\"k25\"} 1"), "{text}");
    assert_eq!(text.matches("\nfirstcome_drop_info{").count(), 20, "{text}");

    // What changes comes in, what ends goes.
    assert_eq!(server.order("o1", r#"{"buyer":"ann","quantity":1}"#).status, 201);
    let order = server.order("o2", r#"{"buyer":"bob","quantity":2}"#);
    let id = order.body["id"].as_str().expect("an id");
    assert_eq!(call(server.0.server.public_address, "POST", &format!("/v1/orders/{id}/cancel"), "", "").status, 200);
    assert_eq!(server.admin("POST", "/v1/drops/26/close", &json!({ "reason": "x" })).status, 200);
    until("the changed one is shown, the ended one is not", || {
        let (drops, _) = shown();
        drops.contains("1") && !drops.contains("26")
    });
    until("orders are counted", || has(&metrics(&server), "firstcome_orders{state=\"cancelled\"} 1"));
    let text = metrics(&server);
    for (state, units) in [("total", 5), ("held", 1), ("sold", 0), ("available", 4)] {
        assert!(has(&text, &format!("firstcome_drop_units{{drop=\"1\",state=\"{state}\"}} {units}")), "{text}");
    }
    assert!(has(&text, "firstcome_orders{state=\"reserved\"} 1"), "{text}");
    assert!(!has(&text, "firstcome_database_bytes 0"), "{text}");
    server.stop();

    let server = serve(scratch.path());
    until("a start counts them again", || has(&metrics(&server), "firstcome_orders{state=\"cancelled\"} 1"));
    let text = metrics(&server);
    assert!(!text.contains("firstcome_drop_planned_units{"), "no plan, no figures of it");
    assert!(!text.contains("firstcome_plan_requests_per_second "), "no plan, no figures of it");
    server.stop();
}

#[test]
fn auctions_show_price_bids_and_time_left_while_they_are_live() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &json!({})));
    let quiet = made(&auction(&server, "two", &json!({})));
    assert_eq!(bid(&server, &id, "b", &json!({ "buyer": "ann", "amount": 150 })).status, 201);
    until("both are shown", || has(&metrics(&server), "firstcome_auctions{state=\"live\"} 2"));
    let text = metrics(&server);
    assert!(has(&text, &format!("firstcome_auction_price{{auction=\"{id}\"}} 150")), "{text}");
    assert_eq!(text.matches("\nfirstcome_auction_info{").count(), 2, "{text}");
    assert!(has(&text, &format!("firstcome_auction_bids{{auction=\"{id}\"}} 1")), "{text}");
    assert!(has(&text, &format!("firstcome_auction_bids{{auction=\"{quiet}\"}} 0")), "{text}");
    assert!(!text.contains(&format!("firstcome_auction_price{{auction=\"{quiet}\"}}")), "no bid, no price");
    assert!(text.contains(&format!("firstcome_auction_remaining_seconds{{auction=\"{id}\"}} ")), "{text}");
    assert!(!text.contains("firstcome_drop_units"), "their hidden drops are in no list");
    let path = format!("/v1/auctions/{quiet}/cancel");
    assert_eq!(server.admin("POST", &path, &json!({ "reason": "x" })).status, 200);
    until("a cancelled one is counted and not shown", || {
        let text = metrics(&server);
        has(&text, "firstcome_auctions{state=\"cancelled\"} 1")
            && !text.contains(&format!("firstcome_auction_bids{{auction=\"{quiet}\"}}"))
    });
    server.stop();
}

#[test]
fn streams_problems_and_threads_are_counted() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(5).status, 201);
    let listening = || until("the stream is counted", || has(&metrics(&server), "firstcome_streams{of=\"drop\"} 1"));
    crate::http::listen(server.0.server.public_address, "/v1/drops/1/stream", listening, &["event: snapshot"]);
    until("the stream has ended", || has(&metrics(&server), "firstcome_streams{of=\"drop\"} 0"));
    assert_eq!(server.public("GET", "/v1/drops/77").status, 404);
    assert_eq!(server.public("GET", "/v1/nothing").status, 404);
    until("problems are counted", || has(&metrics(&server), "firstcome_problems_total{code=\"not-found\"} 2"));
    let text = metrics(&server);
    let requests: u64 = text
        .lines()
        .filter_map(|line| line.strip_prefix("firstcome_worker_requests_total{worker=\"")?.rsplit(' ').next())
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(requests, 3, "buyers' threads, not the operators': {text}");
    server.stop();
}

#[test]
fn hostile_clients_make_no_series() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    for number in 0..200 {
        create(&server, &format!("d{number}"), 10, "2020-01-01T00:00:00Z");
        made(&auction(&server, &format!("a{number}"), &json!({})));
    }
    // On one connection each, without waiting: what is asked does not matter, only what is counted of it.
    let head =
        |method: &str, path: &str, more: &str| format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let methods = ["GET", "POST", "LOCK", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW", "ZZ"];
    for (round, address) in [public, admin].into_iter().cycle().take(40).enumerate() {
        let mut asked = String::new();
        for number in 0..60 {
            let which = round * 60 + number;
            let method = methods[which % methods.len()];
            asked += &head("GET", &format!("/v1/drops/{which}"), "Content-Length: 0\r\n");
            asked += &head("GET", &format!("/{which}/secret?token={which}"), &format!("X-{which}: {which}\r\n"));
            asked += &head("GET", &format!("/v1/auctions/{which}/bids"), "");
            asked += &head(method, &format!("/v1/{method}/{which}"), "Content-Length: 0\r\n");
        }
        send(address, asked.as_bytes());
        send(address, format!("Z\u{1}{round} / HTTP/1.1\r\n\r\n").as_bytes());
        let path = format!("/v1/payments/provider-{round}");
        let status = call(public, "POST", &path, "Content-Type: application/json\r\n", "{}").status;
        assert_eq!(status, 404);
    }
    for kind in 0..=u8::MAX {
        send(server.0.server.wire_address, &[kind, 3, kind, kind, kind, kind, 0xff]);
    }
    until("figures are handed over", || metrics(&server).contains("firstcome_wire_malformed_total"));
    let text = metrics(&server);
    let (all, drops) = (series(&text), text.matches("\nfirstcome_drop_units{").count());
    assert_eq!(drops, 4 * 20, "{text}");
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let said = said.join("\n");
    for word in ["secret", "token=", "provider-", "BREW", "drop=\"1\"", "LOCK"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    println!("{all} series after hostile clients");
    assert!(all < 1_000, "{all} series: {said}");
    server.stop();
}

/// What no test can bring about at once: every route with every answer that it may give, every command with every
/// outcome. All of it together stays below the promise.
#[test]
fn all_series_that_there_can_be_are_below_the_promise() {
    let buckets = |name: &str| {
        let metric = CATALOGUE.iter().find(|metric| metric.name == name).expect("in the catalogue");
        match metric.kind {
            firstcome::telemetry::MetricKind::Histogram(buckets) => buckets.bounds.len() + 3,
            firstcome::telemetry::MetricKind::Counter | firstcome::telemetry::MetricKind::Gauge => 1,
        }
    };
    let mut answered = BTreeSet::new();
    let mut timed = BTreeSet::from(["other", "operators"]);
    for route in ROUTES {
        for status in route.success {
            answered.insert((route.path, route.method.as_str(), *status));
        }
        for code in route.problem_codes() {
            answered.insert((route.path, route.method.as_str(), code.kind().status.as_u16()));
            answered.extend(code.redirect().map(|status| (route.path, route.method.as_str(), status.as_u16())));
        }
        if route.listener == Listener::Public {
            timed.insert(route.path);
        }
    }
    let latencies = timed.len() * buckets("firstcome_http_request_seconds");
    println!("{} counts of requests, {latencies} series of latencies", answered.len());
    // The others by hand, with every label that they can have: 20 drops with 7 series each, 20 auctions with 4, 128
    // threads, 29 problems, 24 fates of frames, 36 of providers' events, 7 of challenges, 200 of the other histograms, 132
    // more.
    let others = 783;
    // No command has more than eight of the outcomes.
    let outcomes = COMMAND_NAMES.len() * 8;
    let all = answered.len() + latencies + outcomes + others;
    assert!(all < SERIES_MAX, "{all}: {} requests, {latencies} latencies", answered.len());
}

#[test]
fn the_line_of_a_waiting_room_is_shown_and_its_admitted_buyers_without_an_order() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let mut body = drop_body("a room", 10, "2020-01-01T00:00:00Z");
    body["room"] = json!({ "opens_at": "2019-01-01T00:00:00Z", "admit_per_second": 1000 });
    body["total"] = 3.into();
    let headers = "Content-Type: application/json\r\nIdempotency-Key: room\r\n";
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", headers, &body.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
    for buyer in ["a", "b", "c", "d", "e"] {
        let body = json!({ "buyer": buyer }).to_string();
        let headers = "Content-Type: application/json\r\n";
        let ticket = call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", headers, &body);
        assert_eq!(ticket.status, 201, "{}", ticket.text);
    }
    let shows = |lines: &[&str]| {
        until("the line of the room", || {
            let text = metrics(&server);
            lines.iter().all(|line| has(&text, line))
        });
    };
    // As many are admitted as there are units.
    shows(&[
        "firstcome_rooms{state=\"serving\"} 1",
        "firstcome_room_tickets{drop=\"1\",state=\"admitted\"} 3",
        "firstcome_room_tickets{drop=\"1\",state=\"waiting\"} 2",
        "firstcome_room_serving{drop=\"1\"} 1",
        "firstcome_room_admitted_idle{drop=\"1\"} 3",
    ]);
    let order = server.order("key-a", &json!({ "buyer": "a", "quantity": 1 }).to_string());
    assert_eq!(order.status, 201, "{}", order.text);
    shows(&["firstcome_room_admitted_idle{drop=\"1\"} 2", "firstcome_drop_paused{drop=\"1\"} 0"]);
    assert_eq!(server.admin("POST", "/v1/drops/1/pause", &json!({ "reason": "r" })).status, 200);
    shows(&["firstcome_drop_paused{drop=\"1\"} 1", "firstcome_room_serving{drop=\"1\"} 1"]);
    assert_eq!(server.admin("POST", "/v1/drops/1/resume", &json!({ "reason": "r" })).status, 200);
    shows(&["firstcome_drop_paused{drop=\"1\"} 0"]);
}

#[test]
fn a_draw_that_waits_for_its_beacon_says_so() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let at = |ms: i64| {
        let now = jiff::Timestamp::now().as_millisecond();
        jiff::Timestamp::from_millisecond(now + ms).expect("an instant").to_string()
    };
    let mut body = drop_body("drawn", 10, &at(700));
    body["room"] = json!({
        "opens_at": at(-1_000), "admit_per_second": 10, "draw": "random", "beacon": "required", "beacon_seconds": 3,
    });
    let headers = "Content-Type: application/json\r\nIdempotency-Key: drawn\r\n";
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", headers, &body.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
    let ticket = json!({ "buyer": "a" }).to_string();
    let headers = "Content-Type: application/json\r\n";
    assert_eq!(call(server.0.server.public_address, "POST", "/v1/drops/1/tickets", headers, &ticket).status, 201);
    let waits = |text: &str| text.contains("\nfirstcome_room_beacon_wait_seconds{drop=\"1\"} ");
    until("the wait for the beacon", || {
        let text = metrics(&server);
        waits(&text)
            && has(&text, "firstcome_rooms{state=\"drawing\"} 1")
            && has(&text, "firstcome_room_serving{drop=\"1\"} 0")
    });
    // Its time passes: the draw goes on without a beacon.
    until("the room serves", || {
        let text = metrics(&server);
        !waits(&text) && has(&text, "firstcome_rooms{state=\"serving\"} 1")
    });
}

#[test]
fn buyers_who_stand_by_are_shown_while_there_are_any() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(1).status, 201);
    let taken = server.order("ann", r#"{"buyer":"ann","quantity":1}"#);
    let id = taken.body["id"].as_str().expect("an id");
    let shows = |server: &Server, count: Option<u32>| {
        let wanted = count.map(|count| format!("firstcome_drop_standby{{drop=\"1\"}} {count}"));
        until("the line behind the drop", || {
            let text = metrics(server);
            let shown = text.lines().find(|line| line.starts_with("firstcome_drop_standby{"));
            text.contains("firstcome_drop_units{drop=\"1\"") && shown == wanted.as_deref()
        });
    };
    shows(&server, None);
    for buyer in ["bob", "eve", "ivy"] {
        let body = json!({ "buyer": buyer, "quantity": 1, "standby": true }).to_string();
        assert_eq!(server.order(buyer, &body).status, 202);
    }
    shows(&server, Some(3));
    // One gets the unit that comes back, one leaves, and one stays over a restart.
    let public = server.0.server.public_address;
    assert_eq!(call(public, "POST", &format!("/v1/orders/{id}/cancel"), "", "").status, 200);
    assert_eq!(call(public, "DELETE", "/v1/drops/1/standby?buyer=eve", "", "").status, 204);
    shows(&server, Some(1));
    server.stop();
    let server = serve(scratch.path());
    shows(&server, Some(1));
    assert_eq!(call(server.0.server.public_address, "DELETE", "/v1/drops/1/standby?buyer=ivy", "", "").status, 204);
    shows(&server, None);
    server.stop();
}
