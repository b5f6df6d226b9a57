//! A node of a cluster as its clients see it: reads say of which state they are, writes are sent on to the leader, and what
//! must not serve does not. The view that the log keeps up to date is set by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::http::{answer, call, listen, serve};
use crate::peer::{Peer, Said, ping, pong, reserve};
use crate::viewed_node::{LEADER_ADMIN, LEADER_PUBLIC, LEADER_WIRE, Node, follow, is, lead, leader};
use firstcome::api::code::Code;
use firstcome::http::routes::{Listener, ROUTES, Route};
use firstcome::types::Seq;
use firstcome::wire::messages::{Bid, Request};
use firstcome::writer::LeaderAddress;
use firstcome::writer::clock::{boot_clock, wall_clock};
use hyper::Method;
use serde_json::json;

const JSON: &str = "Content-Type: application/json\r\n";

/// A path of the route whose drop, auction and endpoint may exist.
fn path_of(route: &Route) -> String {
    let path = route.path.replace("{drop_id}", "1").replace("{auction_id}", "1").replace("{endpoint_id}", "1");
    let path = path.replace("{buyer}", "ann");
    let order = firstcome::api::json::scalars::ORDER_ID_EXAMPLE;
    path.replace("{order_id}", order).replace("{provider}", "sandbox")
}

fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().copied().filter(|route| !route.is_page)
}

fn address_of(node: &Node, route: &Route) -> SocketAddr {
    match route.listener {
        Listener::Public => node.public(),
        Listener::Admin => node.admin(),
    }
}

#[test]
fn every_write_at_a_follower_is_sent_on_to_the_address_that_the_log_names() {
    let node = Node::following();
    let (mut writes, before) = (0, node.seq());
    for route in routes().filter(|route| !route.is_read() && route.submits()) {
        let (path, method) = (path_of(route), route.method.as_str());
        let (address, leader) = match route.listener {
            Listener::Public => (node.public(), LEADER_PUBLIC),
            Listener::Admin => (node.admin(), LEADER_ADMIN),
        };
        // Neither the body nor the key was looked at.
        let sent = call(address, method, &path, "Host: localhost\r\nContent-Type: text/plain\r\n", "{");
        assert_eq!((sent.status, &sent.body["code"]), (307, &json!("not-leader")), "{path}: {}", sent.text);
        assert_eq!(sent.headers["location"], format!("{leader}{path}"));
        assert_eq!((&sent.body["leader"], &sent.body["applied"]), (&json!(leader), &json!("no")), "{path}");
        assert!(!sent.headers.contains_key("retry-after"));
        writes += 1;
    }
    assert!(writes > 20, "{writes}");
    // With its query, where there is one.
    let hook = call(node.public(), "POST", "/v1/payments/sandbox?from=here&x=1", JSON, "{}");
    assert_eq!(hook.headers["location"], format!("{LEADER_PUBLIC}/v1/payments/sandbox?from=here&x=1"));
    // Reads that are audited are commands, too.
    let contacts = "/v1/orders?contacts=true&drop_id=1";
    let export = call(node.admin(), "GET", contacts, "Accept: text/csv\r\n", "");
    assert_eq!((export.status, &export.headers["location"]), (307, &format!("{LEADER_ADMIN}{contacts}")));
    assert_eq!(node.seq(), before, "nothing was decided");

    for nobody in [None, Some(LeaderAddress { node: "a".into(), ..leader() })] {
        node.view.set_leader(nobody);
        let sent = node.server.order("k", r#"{"buyer":"ann","quantity":1}"#);
        is(&sent, Code::NotLeader);
        assert_eq!((&sent.headers["retry-after"][..], sent.body.get("leader")), ("1", None));
        assert!(!sent.headers.contains_key("location"), "nobody is sent round in a circle");
    }
    node.server.stop();
}

#[test]
fn a_follower_makes_no_challenge_since_only_the_leader_knows_which_were_used() {
    let node = Node::following();
    let sent = call(node.public(), "GET", "/v1/drops/1/challenge", "", "");
    assert_eq!((sent.status, &sent.body["code"]), (307, &json!("not-leader")), "{}", sent.text);
    assert_eq!(sent.headers["location"], format!("{LEADER_PUBLIC}/v1/drops/1/challenge"));
    lead(&node.view);
    assert_eq!(call(node.public(), "GET", "/v1/drops/1/challenge", "", "").status, 200);
    node.server.stop();
}

#[test]
fn a_follower_tells_no_buyers_tier_since_only_the_leader_sees_their_signals() {
    let node = Node::following();
    let path = "/v1/buyers/ann/tier";
    let sent = call(node.admin(), "GET", path, "", "");
    assert_eq!((sent.status, &sent.headers["location"]), (307, &format!("{LEADER_ADMIN}{path}")), "{}", sent.text);
    lead(&node.view);
    assert_eq!(call(node.admin(), "GET", path, "", "").body["tier"], "new");
    node.server.stop();
}

#[test]
fn a_redirect_waits_for_no_body_and_names_no_host_of_the_request() {
    let node = Node::following();
    let mut stream = TcpStream::connect(node.public()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let head = "POST /v1/drops/1/orders HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n").expect("sent");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("answered and closed, without the body");
    let sent = answer(&heard);
    assert_eq!((sent.status, &sent.headers["location"]), (307, &format!("{LEADER_PUBLIC}/v1/drops/1/orders")));
    assert!(!heard.contains("evil.example"), "{heard}");
    node.server.stop();
}

#[test]
fn every_read_of_a_node_says_of_which_state_it_is_and_none_of_a_single_machine_does() {
    const HEADERS: [&str; 3] = ["firstcome-node", "firstcome-as-of", "firstcome-stale-ms"];
    let scratch = tempfile::tempdir().expect("scratch");
    let alone = serve(scratch.path());
    alone.create(9);
    let node = Node::leading(|_, _| {});
    let mut reads = 0;
    for route in routes().filter(|route| route.is_read()) {
        let path = path_of(route);
        if path.ends_with("/stream") {
            continue;
        }
        let as_of = format!("{}-{}", 1, node.seq());
        for method in ["GET", "HEAD"] {
            let of_node = call(address_of(&node, route), method, &path, "", "");
            let said = HEADERS.map(|name| of_node.headers.get(name).map(String::as_str));
            assert_eq!(said, [Some("a"), Some(as_of.as_str()), Some("0")], "{path}");
            let address = match route.listener {
                Listener::Public => alone.0.server.public_address,
                Listener::Admin => alone.0.server.admin_address,
            };
            let of_one = call(address, method, &path, "", "");
            assert!(!HEADERS.iter().any(|name| of_one.headers.contains_key(*name)), "{path}");
        }
        reads += 1;
    }
    assert!(reads > 15, "{reads}");
    let drop = node.get("/v1/drops/1", "");
    let tag = drop.headers["etag"].clone();
    let unchanged = node.get("/v1/drops/1", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((unchanged.status, &unchanged.headers["firstcome-node"][..]), (304, "a"));
    let order = node.server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    assert!(!HEADERS.iter().any(|name| order.headers.contains_key(*name)), "a write is the leader's");

    // A follower is as old as its last entry; before the first its age is not known.
    follow(&node.view);
    assert!(!node.get("/v1/drops/1", "").headers.contains_key("firstcome-stale-ms"));
    node.view.set_applied(7, wall_clock().plus_millis(-3_000));
    for _ in ["cold", "hot"] {
        let stale: u64 = node.get("/v1/drops/1", "").headers["firstcome-stale-ms"].parse().expect("a number");
        assert!((3_000..60_000).contains(&stale), "{stale}");
    }
    // The lease has ended, though the writer has not noticed.
    node.view.set_leads_until(Some(boot_clock()));
    assert_ne!(node.get("/v1/drops/1", "").headers["firstcome-stale-ms"], "0");
    listen(node.public(), "/v1/drops/1/stream", || {}, &["event: snapshot", "firstcome-as-of: 1-"]);
    alone.stop();
    node.server.stop();
}

#[test]
fn a_read_waits_for_the_event_that_it_names_or_is_behind() {
    let node = Node::following();
    let seq = node.decides_meanwhile("first");
    assert_eq!(node.seq(), seq);
    let drop = node.get("/v1/drops/1", "");
    let version = drop.body["version"].as_str().expect("a version").to_string();
    for there in [seq.to_string(), version, "0".into(), "0-281474976710655".into()] {
        let read = node.get("/v1/drops/1", &format!("Firstcome-Min-Seq: {there}\r\n"));
        assert_eq!((read.status, &read.body["held"]), (200, &json!(1)), "{there}");
    }
    // The event comes while the read waits, or before it begins: it is in the answer either way.
    for round in 0..3 {
        let next = node.seq() + 1;
        let mut stream = TcpStream::connect(node.public()).expect("connected");
        let head = "GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        write!(stream, "{head}Firstcome-Min-Seq: 1-{next}\r\n\r\n").expect("sent");
        node.server.0.writer.published.publish_seq(Seq::new(next).expect("in range"));
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("answered");
        let read = answer(&heard);
        assert_eq!((read.status, &read.headers["firstcome-as-of"]), (200, &format!("1-{next}")), "{round}");
    }
    let next = node.seq() + 1;
    for (name, path) in [("drop", "/v1/drops/1"), ("list", "/v1/drops"), ("page", "/openapi.json")] {
        let began = Instant::now();
        let behind = node.get(path, &format!("Firstcome-Min-Seq: {next}\r\n"));
        is(&behind, Code::Behind);
        assert!(began.elapsed() >= Duration::from_millis(200), "{name}: {:?}", began.elapsed());
        assert_eq!((&behind.body["leader"], &behind.headers["retry-after"][..]), (&json!(LEADER_PUBLIC), "1"));
        assert_eq!(behind.headers["firstcome-as-of"], format!("1-{}", next - 1), "not what did not come");
    }
    node.server.stop();
}

#[test]
fn what_is_read_is_never_older_than_the_state_that_the_answer_names() {
    const ORDERS: usize = 300;
    let node = Node::leading(|_, _| {});
    let total = json!({ "delta": 1000, "expected_total": 9, "reason": "a test" });
    assert_eq!(node.server.admin("POST", "/v1/drops/1/stock", &total).status, 200);
    let sold = AtomicUsize::new(0);
    let end = |version: &str| -> u64 { version.rsplit('-').next().and_then(|seq| seq.parse().ok()).expect("a number") };
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (node, sold) = (&node, &sold);
            scope.spawn(move || {
                for number in 0..ORDERS / 2 {
                    let buyer = format!("b{writer}-{number}");
                    let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
                    assert_eq!(node.server.order(&buyer, &body).status, 201);
                    sold.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for path in ["/v1/drops/1", "/v1/drops"] {
            let (node, sold) = (&node, &sold);
            scope.spawn(move || {
                while sold.load(Ordering::SeqCst) < ORDERS {
                    let read = node.get(path, "");
                    let drop = read.body.get("data").map_or(&read.body, |data| &data[0]);
                    // Every event here changes the drop.
                    let version = end(drop["version"].as_str().expect("a version"));
                    let as_of = end(&read.headers["firstcome-as-of"]);
                    assert!(version >= as_of, "{path}: the drop of event {version}, said to be of event {as_of}");
                }
            });
        }
    });
    node.server.stop();
}

#[test]
fn reads_that_wait_count_in_flight() {
    let node = Node::leading(|_, config| {
        config.in_flight_per_client_max = 2;
        config.admission.address_reads = 8;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    let ask = |client: &str| {
        let mut stream = TcpStream::connect(node.public()).expect("connected");
        let head = format!("GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n");
        write!(stream, "{head}Connection: close\r\nFirstcome-Min-Seq: 1000\r\n\r\n").expect("sent");
        stream
    };
    let mut crowd: Vec<_> = (0..12).map(|_| ask("203.0.113.7")).collect();
    crowd.push(ask("203.0.113.8"));
    let said: Vec<u16> = crowd
        .into_iter()
        .map(|mut stream| {
            let mut heard = String::new();
            stream.read_to_string(&mut heard).expect("answered");
            assert!(!heard.contains("address-reads"), "a read without a place in flight gets its charge back: {heard}");
            answer(&heard).status
        })
        .collect();
    assert_eq!(said.last(), Some(&503), "another client waits");
    let turned_away = said.iter().filter(|status| **status == 429).count();
    assert!((1..=10).contains(&turned_away), "{said:?}");
    assert_eq!(said.len() - 1 - turned_away, said[..12].iter().filter(|status| **status == 503).count(), "{said:?}");
    // What does not wait is served as ever.
    assert_eq!(node.get("/v1/drops/1", "X-Forwarded-For: 203.0.113.7\r\n").status, 200);
    node.server.stop();
}

#[test]
fn a_single_machine_waits_for_an_event_too_and_what_is_no_event_is_a_mistake() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(9).status, 201);
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    let get = |address, path: &str, headers: &str| call(address, "GET", path, headers, "");
    let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    let mine = get(public, "/v1/drops/1", &format!("Firstcome-Min-Seq: {}\r\n", order.headers["firstcome-seq"]));
    assert_eq!((mine.status, &mine.body["held"]), (200, &json!(1)));
    let behind = get(public, "/v1/drops/1", "Firstcome-Min-Seq: 1000\r\n");
    is(&behind, Code::Behind);
    assert_eq!((behind.body.get("leader"), behind.headers.get("firstcome-as-of")), (None, None));
    // Many wait at once, and none of them holds up the others of its thread.
    let began = Instant::now();
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(public).expect("connected");
            let head = "GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
            write!(stream, "{head}Firstcome-Min-Seq: 1000\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    for mut stream in waiting {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("answered");
        is(&answer(&heard), Code::Behind);
    }
    assert!(began.elapsed() < Duration::from_millis(64 * 200 / 2 / 4), "one after the other: {:?}", began.elapsed());
    for bad in ["soon", "", "-1", "1-", "1.0", "1000000000000000", "1\r\nFirstcome-Min-Seq: 1"] {
        for (address, path) in [(public, "/v1/drops/1"), (admin, "/v1/audit")] {
            let wrong = get(address, path, &format!("Firstcome-Min-Seq: {bad}\r\n"));
            is(&wrong, Code::Validation);
        }
    }
    for route in routes().filter(|route| route.is_read()) {
        let address = if route.listener == Listener::Public { public } else { admin };
        is(&get(address, &path_of(route), "Firstcome-Min-Seq: soon\r\n"), Code::Validation);
        // Of an epoch that has not begun: nothing to wait for.
        is(&get(address, &path_of(route), "Firstcome-Min-Seq: 999-1\r\n"), Code::Behind);
    }
    // A write does not know the header.
    let headers = format!("{JSON}Idempotency-Key: w\r\nFirstcome-Min-Seq: soon\r\n");
    let order = call(public, "POST", "/v1/drops/1/orders", &headers, r#"{"buyer":"bob","quantity":1}"#);
    assert_eq!(order.status, 201, "{}", order.text);
    server.stop();
}

#[test]
fn a_node_is_ready_for_the_role_that_it_has() {
    let scratch = tempfile::tempdir().expect("scratch");
    let alone = serve(scratch.path());
    let ready = |query: &str| call(alone.0.server.admin_address, "GET", &format!("/readyz{query}"), "", "");
    for (query, status) in [("", 200), ("?role=any", 200), ("?role=leader", 200), ("?role=follower", 503)] {
        assert_eq!(ready(query).status, status, "{query}");
    }
    for bad in ["?role=boss", "?role=", "?roles=any", "?role=any&role=any"] {
        is(&ready(bad), Code::Validation);
    }
    alone.stop();

    let node = Node::leading(|_, _| {});
    let statuses =
        |node: &Node| ["", "?role=any", "?role=leader", "?role=follower"].map(|query| node.ready(query).status);
    assert_eq!(statuses(&node), [200, 200, 200, 503], "it leads");
    node.view.set_leads_until(Some(boot_clock()));
    assert_eq!(statuses(&node), [200, 200, 503, 503], "its lease has ended, and its state has no age");
    follow(&node.view);
    node.view.set_applied(1, wall_clock());
    assert_eq!(statuses(&node), [200, 200, 503, 200], "it follows");
    let not_leader = node.ready("?role=leader");
    is(&not_leader, Code::NotLeader);
    assert_eq!(not_leader.body["leader"], LEADER_ADMIN);
    assert!(!not_leader.headers.contains_key("location"), "balancers take a redirect for health");
    node.view.set_applied(1, wall_clock().plus_millis(-6_000));
    assert_eq!(statuses(&node), [200, 200, 503, 503], "its state is too old");
    is(&node.ready("?role=follower"), Code::Behind);
    node.view.set_stopped();
    for query in ["", "?role=any", "?role=leader", "?role=follower"] {
        is(&node.ready(query), Code::Draining);
    }
    node.server.stop();
}

#[test]
fn a_node_that_must_not_serve_answers_nothing_but_that() {
    let node = Node::following();
    let mut peer = Peer::connect(&node.server);
    assert_eq!(peer.ask(ping("before")), pong("before"));
    let mut stream = TcpStream::connect(node.public()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    write!(stream, "GET /v1/drops/1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut first = [0u8; 16];
    stream.read_exact(&mut first).expect("it begins");
    node.view.set_stopped();
    let (mut rest, deadline) = (String::new(), Instant::now() + Duration::from_secs(10));
    while !rest.ends_with("0\r\n\r\n") {
        assert!(Instant::now() < deadline, "the stream goes on: {rest}");
        let mut piece = [0u8; 4096];
        let read = stream.read(&mut piece).expect("the stream ends");
        assert_ne!(read, 0, "{rest}");
        rest.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    for route in routes() {
        let answer = call(address_of(&node, route), route.method.as_str(), &path_of(route), JSON, "{}");
        if matches!(route.path, "/healthz" | "/metrics") {
            assert_eq!(answer.status, 200, "{}", route.path);
        } else {
            is(&answer, Code::Draining);
        }
    }
    let waits = node.get("/v1/drops/1", &format!("Firstcome-Min-Seq: {}\r\n", node.seq()));
    is(&waits, Code::Draining);
    let bid = Request::Bid(Bid { auction_id: 1, user_id: 7, amount: 1500 });
    let subscribe = Request::Subscribe { auction_id: 1, from_seq: 0 };
    for request in [reserve(1, "ann"), bid, subscribe, Request::Hello { version: 1, token: b"" }] {
        assert_eq!(peer.ask(request).no(), 22, "{request:?}");
    }
    assert_eq!(peer.ask(ping("after")), pong("after"));
    drop(peer);
    node.server.stop();
}

#[test]
fn over_the_wire_a_command_at_a_follower_gets_its_answer_and_then_the_leader_s_address() {
    let node = Node::following();
    let bid = || Request::Bid(Bid { auction_id: 1, user_id: 7, amount: 1500 });
    // While nobody leads, the connection stays.
    node.view.set_leader(None);
    let mut peer = Peer::connect(&node.server);
    for _ in 0..3 {
        assert_eq!(peer.ask(reserve(1, "ann")).no(), 26);
        assert_eq!(peer.ask(ping("on")), pong("on"));
    }
    node.view.set_leader(Some(leader()));
    assert_eq!(peer.ask(ping("on")), pong("on"), "who only listens is not sent away");
    peer.send(&[ping("one"), reserve(1, "ann"), ping("two")]);
    let said = peer.hear_all();
    let (last, before) = said.split_last().expect("answers");
    assert_eq!((&before[0], before[1].no(), before.len()), (&pong("one"), 26, 2), "{before:?}");
    assert_eq!(*last, Said::Error(26, LEADER_WIRE.into()));

    lead(&node.view);
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100, "increments": [[0, 10]],
                          "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    assert_eq!(node.server.admin("POST", "/v1/auctions", &auction).status, 201);
    let mut subscriber = Peer::connect(&node.server);
    let (mut bidder, mut first) = (Peer::connect(&node.server), 0);
    if let Said::Ok(seq) = subscriber.ask(Request::Subscribe { auction_id: 1, from_seq: 0 }) {
        first = seq;
    }
    let is_update = |said: &Said, seq: u64| matches!(said, Said::Update(update) if update.seq >= seq);
    let said = subscriber.hear().expect("the state");
    assert!(first > 0 && is_update(&said, first), "{said:?}");
    assert_eq!(bidder.ask(bid()).no(), 0, "a leader decides");
    follow(&node.view);
    // The follower's subscribers hear what was published, whoever decided it.
    let said = subscriber.hear().expect("an update");
    assert!(is_update(&said, first + 1), "{said:?}");
    assert_eq!(bidder.ask(bid()).no(), 26);
    assert_eq!(bidder.hear(), Some(Said::Error(26, LEADER_WIRE.into())));
    assert_eq!(subscriber.ask(ping("still")), pong("still"));
    drop((peer, subscriber, bidder));
    node.server.stop();
}

#[test]
fn streams_of_a_follower_go_on_with_what_is_published() {
    let node = Node::following();
    let heard = listen(
        node.public(),
        "/v1/drops/1/stream",
        || {
            node.decides_meanwhile("k");
        },
        &["event: snapshot", "event: update", "\"held\":1"],
    );
    assert!(heard.contains("firstcome-node: a"), "{heard}");
    let mut asked = 0;
    let audit = listen(
        node.admin(),
        "/v1/audit?follow=true",
        || {
            asked += 1;
            node.decides_meanwhile("l");
        },
        &["drop_created", "\"order_reserved\""],
    );
    assert!(asked == 1 && audit.contains("firstcome-as-of: "), "{audit}");
    node.server.stop();
}

#[test]
fn a_search_is_a_read_though_it_is_a_post() {
    let node = Node::following();
    let found = node.server.admin("POST", "/v1/orders/search", &json!({ "code": "FC-11" }));
    assert_eq!(found.status, 200, "{}", found.text);
    let search = routes().find(|route| route.operation == "SearchOrders").expect("a route");
    assert_eq!((&search.method, search.submits()), (&Method::POST, false));
    node.server.stop();
}
