//! `firstcome route` before nodes that a test plays: what reaches which node, what is sent again, and what never is.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::process::{Client, wait_until};
use crate::router::{NodeAddresses, Router};
use crate::stand_in::{Arrived, Part, Reaction, StandIn};
use serde_json::json;

/// Limits with which a test need not wait long.
const QUICK: &str = "[limits]\nview_ttl_ms = 100\nwrite_deadline_ms = 3000\nread_deadline_ms = 1000\nconnect_timeout_ms = 300\nanswer_timeout_ms = 1500";

fn addresses(nodes: &[&StandIn]) -> Vec<NodeAddresses> {
    nodes.iter().map(|node| (node.public, node.admin)).collect()
}

/// A node that says yes to all.
fn obliging(part: Part, name: &'static str) -> StandIn {
    StandIn::start(part, move |request| {
        Reaction::json(if request.method == "GET" { 200 } else { 201 }, &json!({ "by": name, "path": request.path }))
    })
}

fn follows(leader: &StandIn) -> Part {
    Part::Follows(Some(leader.admin_url()), 100)
}

const ORDER: &str = "POST /v1/drops/1/orders";
const KEYED: &str = "Content-Type: application/json\r\nIdempotency-Key: k1\r\n";
const KEYLESS: &str = "Content-Type: application/json\r\n";
const BODY: &str = "{\"buyer\":\"ann\",\"quantity\":1}";

/// An address at which no program listens.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address")
}

#[test]
fn writes_reach_the_leader_of_their_shard_and_reads_all_its_nodes() {
    let leader = obliging(Part::Leads, "a");
    let follower = obliging(follows(&leader), "b");
    let other = obliging(Part::Leads, "c");
    other.is_of(3);
    let router = Router::start(&[(0, addresses(&[&follower, &leader])), (3, addresses(&[&other]))], QUICK);
    let of_3 = (3 << 24) | 5;
    for turn in 0..10 {
        let answer = router.send(router.public, ORDER, KEYED, BODY);
        assert_eq!((answer.status, answer.body["by"].as_str()), (201, Some("a")));
        assert_eq!(answer.header("Firstcome-Shard"), Some("0"));
        let answer = router.send(router.public, &format!("POST /v1/drops/{of_3}/orders"), KEYED, BODY);
        assert_eq!((answer.body["by"].as_str(), answer.header("Firstcome-Shard")), (Some("c"), Some("3")), "{turn}");
        router.get("/v1/drops/1");
    }
    let count = |node: &StandIn, method: &str| node.arrived().iter().filter(|request| request.method == method).count();
    assert_eq!((count(&leader, "POST"), count(&follower, "POST"), count(&other, "POST")), (10, 0, 10));
    assert!(count(&leader, "GET") >= 3 && count(&follower, "GET") >= 3, "reads take turns");
    let pause = router.send(router.admin, &format!("POST /v1/drops/{of_3}/pause"), KEYLESS, "{\"reason\":\"x\"}");
    assert_eq!(pause.body["by"], "c");
    let unknown = router.get(&format!("/v1/drops/{}", (4 << 24) | 1));
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("unknown-shard")));
    assert!(
        (router.metric("firstcome_route_requests_total", &[("shard", "3"), ("result", "answered")]) - 11.0).abs() < 0.5
    );
    router.stop();
}

#[test]
fn a_takeover_is_followed_by_the_word_of_a_node_at_once_and_by_the_view_within_its_time_to_live() {
    let first = obliging(Part::Leads, "a");
    let next = obliging(follows(&first), "b");
    let next_public = next.public_url();
    let deposed = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&deposed);
    // A node that says who leads before any look at it can.
    let leader = StandIn::start(Part::Leads, move |_| match told.load(Ordering::Relaxed) {
        0 => Reaction::json(201, &json!({ "by": "x" })),
        _ => Reaction::not_leader(Some(&next_public)),
    });
    let slow_view = QUICK.replace("view_ttl_ms = 100", "view_ttl_ms = 60000");
    let router = Router::start(&[(0, addresses(&[&leader, &next]))], &slow_view);
    assert_eq!(router.send(router.public, ORDER, KEYLESS, BODY).body["by"], "x");
    deposed.store(1, Ordering::Relaxed);
    let answer = router.send(router.public, ORDER, KEYLESS, BODY);
    assert_eq!(answer.body["by"], "b", "a redirect is followed, with or without a key: nothing was decided");
    assert_eq!(router.send(router.public, ORDER, KEYLESS, BODY).body["by"], "b");
    assert_eq!(leader.arrived().len(), 2, "the next request goes to the next leader at once");
    assert!(router.metric("firstcome_route_leader_changes_total", &[]) >= 2.0);

    // By looks alone.
    let (one, other) = (obliging(Part::Leads, "one"), obliging(Part::Silent, "other"));
    let router = Router::start(&[(0, addresses(&[&one, &other]))], QUICK);
    assert_eq!(router.send(router.public, ORDER, KEYLESS, BODY).body["by"], "one");
    one.is_now(follows(&other));
    other.is_now(Part::Leads);
    let began = Instant::now();
    wait_until("the next leader", || router.send(router.public, ORDER, KEYLESS, BODY).body["by"] == "other");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_write_that_no_leader_took_waits_for_the_next_one_and_says_in_time_that_there_is_none() {
    let follower = obliging(Part::Follows(None, 100), "b");
    let dead = (closed(), closed());
    let router = Router::begin(&[(0, vec![dead, addresses(&[&follower])[0]])], QUICK);
    wait_until("the view", || router.get_admin("/readyz").status == 200);
    let began = Instant::now();
    let answer = router.send(router.public, ORDER, KEYLESS, BODY);
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("shard-unavailable")));
    assert_eq!((answer.body["applied"].as_str(), answer.body["shard"].as_u64()), (Some("no"), Some(0)));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert!((2_900..10_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(follower.arrived().len(), 0);
    // It becomes the leader while a write waits.
    let address = router.public;
    let waiting = std::thread::spawn(move || {
        let mut client = Client::connect(address).expect("connected");
        client.post("/v1/drops/1/orders", "k", &json!({ "buyer": "ann", "quantity": 1 })).expect("answered")
    });
    follower.is_now(Part::Leads);
    assert_eq!(waiting.join().expect("a client").body["by"], "b");
}

#[test]
fn a_write_of_unknown_outcome_is_sent_again_only_if_a_repeat_has_no_second_effect() {
    for reaction in ["cut", "hang", "unknown"] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let leader = StandIn::start(Part::Leads, move |_| match (counter.fetch_add(1, Ordering::Relaxed), reaction) {
            (0, "cut") => Reaction::Cut,
            (0, "hang") => Reaction::Hang,
            (0, _) => Reaction::json(503, &json!({ "code": "outcome-unknown", "applied": "unknown" })),
            _ => Reaction::Answer(201, "Idempotent-Replayed: true\r\n".into(), "{}".into()),
        });
        let router = Router::start(&[(0, addresses(&[&leader]))], QUICK);
        // No key, and a key at a route that has none.
        for (line, head) in [(ORDER, KEYLESS), ("POST /v1/drops/1/stock", KEYED)] {
            taken.store(0, Ordering::Relaxed);
            let address = if line == ORDER { router.public } else { router.admin };
            let answer = router.send(address, line, head, BODY);
            assert_eq!(
                (answer.status, answer.body["code"].as_str()),
                (503, Some("outcome-unknown")),
                "{reaction} {line}"
            );
            assert_eq!(answer.body["applied"], "unknown");
            assert_eq!(taken.load(Ordering::Relaxed), 1, "{reaction} {line}: it was sent once");
        }
        taken.store(0, Ordering::Relaxed);
        let answer = router.send(router.public, ORDER, KEYED, BODY);
        assert_eq!((answer.status, answer.is_repeat()), (201, true), "{reaction}");
        assert_eq!(taken.load(Ordering::Relaxed), 2, "{reaction}");
    }
}

#[test]
fn a_repeat_that_is_not_admitted_never_says_that_the_first_attempt_had_no_effect() {
    for (status, code) in [(503, "overloaded"), (503, "read-only"), (429, "rate-limited"), (401, "unauthorized")] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let leader = StandIn::start(Part::Leads, move |_| match counter.fetch_add(1, Ordering::Relaxed) {
            0 => Reaction::Cut,
            _ => Reaction::json(status, &json!({ "code": code, "applied": "no" })),
        });
        let router = Router::start(&[(0, addresses(&[&leader]))], &QUICK.replace("3000", "500"));
        let answer = router.send(router.public, ORDER, KEYED, BODY);
        assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("outcome-unknown")), "{code}");
        assert_eq!(answer.body["applied"], "unknown");
        assert!(taken.load(Ordering::Relaxed) > 1, "{code}: it was tried again");
        // Without an attempt before it the answer is passed back.
        assert_eq!(router.send(router.public, ORDER, KEYED, BODY).body["code"], code);
    }
}

#[test]
fn a_repeatable_write_leaves_a_leader_that_hangs_when_another_leads() {
    let hung = StandIn::start(Part::Leads, |_| Reaction::Hang);
    let next = obliging(Part::Follows(None, 100), "b");
    let limits = QUICK.replace("answer_timeout_ms = 1500", "answer_timeout_ms = 20000").replace("3000", "20000");
    let router = Router::start(&[(0, addresses(&[&hung, &next]))], &limits);
    let address = router.public;
    let began = Instant::now();
    let waiting = std::thread::spawn(move || {
        let mut client = Client::connect(address).expect("connected");
        client.post("/v1/drops/1/orders", "k", &json!({ "buyer": "ann", "quantity": 1 })).expect("answered")
    });
    wait_until("the request hangs", || hung.arrived().len() == 1);
    hung.is_now(Part::Silent);
    next.is_now(Part::Leads);
    assert_eq!(waiting.join().expect("a client").body["by"], "b");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn a_read_goes_to_another_node_while_one_is_dead_hangs_or_is_behind() {
    let leader = obliging(Part::Leads, "leader");
    let hung = StandIn::start(follows(&leader), |_| Reaction::Hang);
    let behind = StandIn::start(follows(&leader), |_| Reaction::json(503, &json!({ "code": "behind" })));
    let mut nodes = addresses(&[&hung, &behind, &leader]);
    nodes.push((closed(), closed()));
    let router = Router::start(&[(0, nodes)], QUICK);
    for _ in 0..8 {
        let answer = router.get("/v1/drops/1");
        assert_eq!((answer.status, answer.body["by"].as_str()), (200, Some("leader")));
    }
    assert!(behind.arrived().len() + hung.arrived().len() > 0, "they were asked, too");
    // What is behind at the leader as well is said.
    let alone = StandIn::start(Part::Leads, |_| Reaction::json(503, &json!({ "code": "behind" })));
    let router = Router::start(&[(0, addresses(&[&alone]))], QUICK);
    assert_eq!(router.get("/v1/drops/1").body["code"], "behind");
}

#[test]
fn a_dead_and_a_slow_shard_do_not_hold_up_another() {
    let slow = StandIn::start(Part::Leads, |_| Reaction::Hang);
    let well = obliging(Part::Leads, "well");
    well.is_of(2);
    let limits = format!("{QUICK}\nin_flight_per_shard_max = 4").replace("1500", "8000").replace("= 1000", "= 8000");
    let shards = [(0, addresses(&[&slow])), (1, vec![(closed(), closed())]), (2, addresses(&[&well]))];
    let router = Router::begin(&shards, &limits);
    wait_until("two leaders", || router.metric("firstcome_route_leader_known", &[]) > 1.5);
    let address = router.public;
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                Client::connect(address).expect("connected").get("/v1/drops/1").map(|a| a.status)
            })
        })
        .collect();
    wait_until("they hang", || slow.arrived().len() == 4);
    // The bound of a shard is its own.
    let busy = router.get("/v1/drops/1");
    assert_eq!((busy.status, busy.body["code"].as_str()), (503, Some("overloaded")));
    assert_eq!((busy.body["applied"].as_str(), busy.header("Retry-After")), (Some("no"), Some("1")));
    let admin = router.admin;
    let operator = std::thread::spawn(move || {
        let mut client = Client::connect(admin).expect("connected");
        drop(client.post("/v1/drops/1/close", "k", &json!({ "reason": "x" })));
    });
    wait_until("buyers do not shut an operator out", || {
        slow.arrived().iter().any(|request| request.path.ends_with("close"))
    });
    for number in 0..20 {
        let began = Instant::now();
        let answer = router.get(&format!("/v1/drops/{}", (2 << 24) | 1));
        assert_eq!(answer.body["by"], "well");
        assert!(began.elapsed() < Duration::from_secs(2), "{number}: {:?}", began.elapsed());
    }
    drop(router);
    operator.join().expect("an operator");
    waiting.into_iter().for_each(|client| drop(client.join().expect("a client")));
}

#[test]
fn forged_headers_do_not_pass_and_those_of_a_trace_do() {
    let leader = obliging(Part::Leads, "a");
    let router = Router::start(&[(0, addresses(&[&leader]))], QUICK);
    let forged = "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nFirstcome-Shard: 9\r\n\
                  Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nRequest-Id: mine-1\r\n\
                  traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nAuthorization: Bearer t\r\n";
    let answer = router.send(router.public, "GET /v1/drops/1", forged, "");
    assert_eq!((answer.status, answer.header("Request-Id")), (200, Some("mine-1")));
    let arrived = leader.arrived();
    let request: &Arrived = arrived.last().expect("one");
    assert_eq!(request.headers("X-Forwarded-For"), ["127.0.0.1"]);
    for gone in ["Forwarded", "X-Real-IP", "X-Secret", "TE", "Connection", "Firstcome-Shard"] {
        assert!(request.headers(gone).is_empty(), "{gone}: {}", request.head);
    }
    assert_eq!(request.headers("Request-Id"), ["mine-1"]);
    assert_eq!(request.headers("Authorization"), ["Bearer t"]);
    assert_eq!(request.headers("traceparent").len(), 1);
    assert_eq!(request.headers("Host"), [leader.public.to_string()]);
    // Behind a proxy that the file trusts its words are kept.
    let trusting = format!("trusted_proxies = [\"127.0.0.0/8\"]\n{QUICK}");
    let router = Router::start(&[(0, addresses(&[&leader]))], &trusting);
    router.send(router.public, "GET /v1/drops/1", "X-Forwarded-For: 1.2.3.4\r\n", "");
    assert_eq!(leader.arrived().last().expect("one").headers("X-Forwarded-For"), ["1.2.3.4"]);
}

#[test]
fn the_bounds_of_bodies_heads_hosts_and_connections_hold() {
    let leader = obliging(Part::Leads, "a");
    let router = Router::start(&[(0, addresses(&[&leader]))], &format!("{QUICK}\nconnections_max = 3"));
    let long = router.send(router.public, ORDER, KEYED, &"x".repeat(9_000));
    assert_eq!((long.status, long.body["code"].as_str()), (413, Some("body-too-large")));
    let webhook = router.send(router.public, "POST /v1/payments/stripe", "", &"x".repeat(60_000));
    assert_eq!(webhook.status, 201, "webhooks may be longer");
    assert_eq!(router.get(&format!("/v1/drops/1?{}", "x".repeat(3_000))).status, 414);
    let head = router.send(router.public, "GET /v1/drops/1", &format!("X: {}\r\n", "x".repeat(20_000)), "");
    assert_eq!(head.status, 431);
    let mut client = Client::connect(router.admin).expect("connected");
    client.send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").expect("sent");
    let answer = client.receive().expect("answered");
    assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("forbidden")));
    for (path, status) in [("/nothing", 404), ("/v1/drops/1/pause", 404)] {
        assert_eq!(router.get(path).status, status, "{path}");
    }
    let wrong = router.send(router.public, "DELETE /v1/drops/1", "", "");
    assert_eq!((wrong.status, wrong.header("Allow")), (405, Some("GET, HEAD")));
    drop(client);
    // Connections beyond the bound are closed at once.
    let address = router.public;
    let three: Vec<_> = (0..3).map(|_| Client::connect(router.public).expect("connected")).collect();
    assert_eq!(router.get_admin("/healthz").status, 200, "operators have connections of their own");
    drop(three);
    wait_until("a fourth is closed", || {
        let mut open: Vec<_> = (0..4).map(|_| Client::connect(address).expect("connected")).collect();
        let answers: Vec<_> = open.iter_mut().map(|client| client.get("/v1/drops/1").is_ok()).collect();
        answers == [true, true, true, false]
    });
}

#[test]
fn an_event_stream_is_passed_on_piece_by_piece() {
    let (sender, receiver) = mpsc::channel();
    let receiver = parking_lot::Mutex::new(Some(receiver));
    let leader = StandIn::start(Part::Leads, move |_| receiver.lock().take().map_or(Reaction::Cut, Reaction::Pieces));
    let router = Router::start(&[(0, addresses(&[&leader]))], QUICK);
    let mut stream = TcpStream::connect(router.public).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(b"GET /v1/drops/1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.is_empty()), "the head comes before any piece");
    for number in 0..3 {
        sender.send(format!("data: {number}\n\n")).expect("it reads");
        assert!(lines.any(|line| line == format!("data: {number}")), "it is not held back");
    }
    drop(sender);
    assert!(lines.any(|line| line == "0"), "its end is passed on");
}
