//! `firstcome route` whose file names nodes under shards that are not theirs: they are left out, and no client is told that
//! something does not exist which another shard has.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod process;
mod provider_webhooks;
mod router;
mod shards;
mod stand_in;

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use process::{Answer, Client, Process, wait_until};
use router::{NodeAddresses, Router};
use serde_json::{Value, json};
use shards::{SHARDS, Shards};
use stand_in::{Part, Reaction, StandIn};

const QUICK: &str =
    "[limits]\nview_ttl_ms = 100\nwrite_deadline_ms = 800\nread_deadline_ms = 500\nconnect_timeout_ms = 300";
const KEYED: &str = "Content-Type: application/json\r\nIdempotency-Key: k1\r\n";
const KEYLESS: &str = "Content-Type: application/json\r\n";
/// The gauge of nodes that are left out.
const MISPLACED: &str = "firstcome_route_misplaced_nodes";

fn addresses(node: &Process) -> NodeAddresses {
    (node.public, node.admin)
}

fn create_drop(admin: SocketAddr, key: &str) -> Answer {
    let drop = json!({ "sku": "S", "name": "N", "currency": "VND", "unit_price": 3000, "total": 50,
        "starts_at": "2020-01-01T00:00:00.000Z" });
    Client::connect(admin).and_then(|mut client| client.post("/v1/drops", key, &drop)).expect("answered")
}

fn drops(node: &Process) -> Value {
    Client::connect(node.public).and_then(|mut client| client.get("/v1/drops")).expect("answered").body["data"].clone()
}

fn place(router: &Router, drop: &Value, head: &str) -> Answer {
    place_for("ann", router, drop, head)
}

fn place_for(buyer: &str, router: &Router, drop: &Value, head: &str) -> Answer {
    let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
    router.send(router.public, &format!("POST /v1/drops/{drop}/orders"), head, &body)
}

/// Lines of a router's log with these words.
fn said(log: &Path, words: &str) -> Vec<String> {
    let log = std::fs::read_to_string(log).expect("a log");
    log.lines().filter(|line| line.contains(words)).map(String::from).collect()
}

fn is_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("shard-unavailable")), "{:?}", answer.body);
    assert_eq!((answer.header("Retry-After"), answer.body["applied"].as_str()), (Some("1"), Some("no")));
}

#[test]
fn a_router_whose_file_swaps_two_shards_answers_neither_until_it_has_the_right_file() {
    let shards = Shards::start();
    let nodes = SHARDS.map(|shard| shards.run(shard));
    let made = [0, 1].map(|node| create_drop(nodes[node].admin, "first").body["id"].clone());
    let scratch = tempfile::tempdir().expect("scratch");
    let log = scratch.path().join("log");
    let logging = |shards: &[(u8, Vec<NodeAddresses>)]| {
        Router::begin_logging(shards, QUICK, "info", Some(File::create(&log).expect("a file")))
    };

    let router = logging(&[(SHARDS[0], vec![addresses(&nodes[1])]), (SHARDS[1], vec![addresses(&nodes[0])])]);
    for drop in &made {
        is_unavailable(&router.get(&format!("/v1/drops/{drop}")));
        is_unavailable(&place(&router, drop, KEYED));
        is_unavailable(&place(&router, drop, KEYLESS));
    }
    is_unavailable(&router.get("/v1/drops"));
    is_unavailable(&create_drop(router.admin, "second"));
    assert!(nodes.iter().all(|node| drops(node).as_array().is_some_and(|drops| drops.len() == 1)), "nothing was made");
    assert!(router.metric(MISPLACED, &[]) > 1.5 && router.metric("firstcome_route_leader_known", &[]) < 0.5);
    let (status, ready) = router.own("/readyz");
    assert!(status.contains(" 503"), "{status}: {ready}");
    let warnings = said(&log, "left out");
    assert_eq!(warnings.len(), 2, "one for each node: {warnings:?}");
    for (node, (file, own)) in [(1, (3, 5)), (0, (5, 3))] {
        let url = format!("http://{}", nodes[node].public);
        let line = format!("left out: {url} is under shard {file} in the file, and says {own}\n");
        assert!(ready.contains(&line), "{ready}");
        let warning = warnings.iter().find(|warning| warning.contains(&url)).expect("it names the node");
        assert!(warning.contains(&format!("shard_of_file={file}")), "{warning}");
        assert!(warning.contains(&format!("shard_of_node={own}")), "{warning}");
        assert!(warning.contains("correct the file"), "it says what to do: {warning}");
    }
    assert_eq!(said(&log, "leads"), Vec::<String>::new());
    router.stop();

    // A node of another shard beside the right one.
    let router = logging(&[(SHARDS[0], nodes.iter().map(addresses).collect())]);
    wait_until("one is left out", || (router.metric(MISPLACED, &[("shard", "3")]) - 1.0).abs() < 0.1);
    wait_until("the other leads", || router.metric("firstcome_route_leader_known", &[]) > 0.5);
    for turn in 0..20 {
        assert_eq!(router.get(&format!("/v1/drops/{}", made[0])).status, 200, "{turn}");
        assert_eq!(place_for(&format!("buyer {turn}"), &router, &made[0], KEYED).status, 201, "{turn}");
    }
    assert_eq!((said(&log, "leads").len(), said(&log, "left out").len()), (1, 1), "nothing flaps");
    assert!(router.own("/readyz").1.starts_with("ok\nleft out: "), "the shard has a node");
    router.stop();

    let right: Vec<_> = SHARDS.iter().zip(&nodes).map(|(shard, node)| (*shard, vec![addresses(node)])).collect();
    let router = Router::start(&right, QUICK);
    for (shard, drop) in SHARDS.iter().zip(&made) {
        let answer = router.get(&format!("/v1/drops/{drop}"));
        assert_eq!((answer.status, answer.header("Firstcome-Shard")), (200, Some(&*shard.to_string())));
        assert_eq!(place(&router, drop, KEYED).status, 201);
    }
    assert_eq!(router.own("/readyz").1, "ok\n");
    router.stop();
}

#[test]
fn a_node_that_names_another_shard_is_left_out_with_its_next_answer_and_comes_back_when_it_agrees() {
    let leader = StandIn::start(Part::Leads, |request| {
        Reaction::json(if request.method == "GET" { 200 } else { 201 }, &json!({ "by": "leader" }))
    });
    let not_found = |_: &stand_in::Arrived| Reaction::json(404, &json!({ "code": "not-found" }));
    let other = StandIn::start(Part::Follows(Some(leader.admin_url()), 100), not_found);
    leader.is_of(3);
    other.is_of(3);
    let nodes = vec![(leader.public, leader.admin), (other.public, other.admin)];
    // Answers tell it before any look can.
    let router = Router::start(&[(3, nodes)], &QUICK.replace("view_ttl_ms = 100", "view_ttl_ms = 60000"));
    let drop = json!((3 << 24) | 1);
    let path = format!("/v1/drops/{drop}");
    wait_until("the router has seen both", || router.metric("firstcome_route_nodes", &[]) > 1.5);
    other.is_of(7);
    for turn in 0..10 {
        let answer = router.get(&path);
        assert_eq!((answer.status, answer.body["by"].as_str()), (200, Some("leader")), "{turn}");
    }
    assert!((router.metric(MISPLACED, &[]) - 1.0).abs() < 0.1);
    assert_eq!(other.arrived().len(), 1, "it is not asked again");

    leader.is_of(7);
    let keyless = place(&router, &drop, KEYLESS);
    assert_eq!(
        (keyless.status, keyless.header("Firstcome-Shard")),
        (201, Some("7")),
        "it was taken, and is not repeated"
    );
    is_unavailable(&router.get(&path));
    is_unavailable(&place(&router, &drop, KEYED));
    assert!((router.metric(MISPLACED, &[]) - 2.0).abs() < 0.1);

    leader.is_of(3);
    wait_until("it comes back", || router.get(&path).status == 200);
    assert_eq!(place(&router, &drop, KEYED).body["by"], "leader");
    router.stop();

    let unnamed = StandIn::start(Part::Leads, not_found);
    let router = Router::begin(&[(3, vec![(unnamed.public, unnamed.admin)])], QUICK);
    wait_until("a node without a shard is no node of shard 3", || router.metric(MISPLACED, &[]) > 0.5);
    is_unavailable(&router.get(&path));
    unnamed.is_of(3);
    wait_until("it has one now", || router.metric("firstcome_route_leader_known", &[]) > 0.5);
    assert_eq!(router.get(&path).status, 404, "what its own shard does not have");
}
