//! `firstcome route` before three real nodes of a shard: buyers who know the router alone, while leaders die, hang and hand over.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod nodes;
mod process;
mod router;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nodes::{Buyers, Nodes, assert_equal_files, check};
use process::{Answer, Client, wait_until};
use router::Router;
use serde_json::json;

const BUYERS: usize = 8;
/// Orders after which a fault counts as survived.
const AFTER: u64 = 60;

fn get(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut client = Client::connect(address).expect("connected");
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).expect("sent");
    client.receive().expect("answered")
}

#[test]
fn buyers_of_a_router_lose_no_order_and_read_their_own_whatever_happens_to_the_leader() {
    let mut nodes = Nodes::start(3);
    let first = nodes.leader();
    let addresses = nodes.nodes.iter().flatten().map(|node| (node.public, node.admin)).collect();
    let router = Router::start(&[(0, addresses)], "");
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1_000_000,
        "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400 });
    let made = Client::connect(router.admin)
        .and_then(|mut client| client.post("/v1/drops", "create", &drop))
        .expect("answered");
    assert_eq!((made.status, &made.body["id"]), (201, &json!(1)), "{:?}", made.body);
    let buyers = Buyers::begin(BUYERS, vec![router.public]);
    buyers.wait_for(AFTER);

    // One's own order, through any node that the router asks.
    let mut named = BTreeSet::new();
    for number in 0..20 {
        let placed = Client::connect(router.public)
            .and_then(|mut client| client.order(&format!("own-{number}")))
            .expect("answered");
        assert_eq!(placed.status, 201, "{:?}", placed.body);
        let (id, seq) = (placed.body["id"].as_str().expect("an id"), placed.header("Firstcome-Seq").expect("a number"));
        let read = get(router.public, &format!("/v1/orders/{id}"), &format!("Firstcome-Min-Seq: {seq}\r\n"));
        assert_eq!((read.status, read.body["id"].as_str()), (200, Some(id)), "{:?}", read.body);
        named.insert(read.header("Firstcome-Node").expect("a node says it").to_string());
    }
    assert!(named.len() > 1, "reads take turns: {named:?}");
    let mut gaps = vec![("in order", buyers.wait_for(AFTER))];

    let handed = Client::connect(router.admin)
        .and_then(|mut client| client.post("/v1/node/handover", "none", &json!({})))
        .expect("answered");
    assert_eq!(handed.status, 200, "{:?}", handed.body);
    gaps.push(("handover", buyers.wait_for(AFTER)));
    let second = nodes.leader();
    assert_ne!(first, second);

    nodes.node(second).stand_still(|| {
        wait_until("another leader", || router.metric("firstcome_route_leader_changes_total", &[]) > 2.5);
        gaps.push(("paused leader", buyers.wait_for(AFTER)));
    });
    let third = nodes.leader();
    buyers.wait_for(AFTER);
    nodes.kill(third);
    gaps.push(("killed leader", buyers.wait_for(AFTER)));

    let mut ledger = buyers.end();
    for (fault, gap) in &gaps {
        println!("{fault}: {} ms without an order through the router", gap.as_millis());
        assert!(gap.as_secs() < 10, "{fault}: {gap:?}");
    }
    let (accepted, unknown, other) = (ledger.accepted.len(), ledger.unknown.len(), ledger.not_applied.len());
    println!("{accepted} accepted, {unknown} unknown, {other} not applied");
    // All orders have keys, so only those buyers are left with an unknown one who lose patience with the router: the odd ones.
    let is_impatient = |key: &String| {
        key.strip_prefix('b')
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok())
            .is_some_and(|buyer| buyer % 2 == 1)
    };
    assert!(ledger.unknown.iter().all(is_impatient), "{:?}", ledger.unknown);
    assert_eq!(other, 0, "none was sent away: {:?}", ledger.not_applied);
    for number in 0..20 {
        let key = format!("own-{number}");
        let again = Client::connect(router.public).and_then(|mut client| client.order(&key)).expect("answered");
        assert!(again.is_repeat(), "{key}: {:?}", again.body);
        ledger.accepted.push((key, again.body["id"].as_str().expect("an id").to_string()));
    }
    check(&ledger, router.public);
    let leader = nodes.leader();
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
    router.stop();
}
