//! A cluster of real processes: three members of etcd and three nodes, under buyers whose every answer is noted.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
#[path = "cluster_nodes/fault.rs"]
mod fault;
mod model;
mod nodes;
mod process;

use std::time::{Duration, Instant};

use fault::{Fault, Roles};
use model::Random;
use nodes::{Buyers, Nodes, assert_equal_files, check};

const BUYERS: usize = 8;
/// Orders after which a fault counts as survived.
const AFTER: u64 = 60;
/// Longest time without an order, on a machine that has other work: twice what a cluster promises.
const GAP_MAX: Duration = Duration::from_secs(10);

#[test]
fn whatever_dies_nothing_acknowledged_is_lost_and_writes_come_back() {
    let mut nodes = Nodes::start(3);
    let first = nodes.leader();
    nodes.node(first).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);
    let mut table = Vec::new();
    for fault in faults() {
        let roles = Roles::of(&nodes);
        println!("{fault:?}: {roles:?}");
        let began = Instant::now();
        fault.begin(&mut nodes, roles);
        buyers.know(nodes.public());
        let mut longest = if fault.writes_go_on() { buyers.wait_for(AFTER) } else { Duration::ZERO };
        std::thread::park_timeout(fault.lasts().saturating_sub(began.elapsed()));
        let lasted = began.elapsed();
        fault.end(&mut nodes, roles);
        buyers.know(nodes.public());
        let gap = buyers.wait_for(AFTER);
        // Without members the time counts from their return.
        longest = longest.max(if fault.writes_go_on() { gap } else { gap.saturating_sub(lasted) });
        table.push((fault, longest));
    }
    let ledger = buyers.end();
    for (fault, gap) in &table {
        println!("{fault:?}: {} ms without an order", gap.as_millis());
    }
    let slow: Vec<_> = table.iter().filter(|(_, gap)| *gap > GAP_MAX).collect();
    assert!(slow.is_empty(), "too long without an order: {slow:?}");
    let (accepted, unknown, other) = (ledger.accepted.len(), ledger.unknown.len(), ledger.not_applied.len());
    println!("{accepted} accepted, {unknown} unknown, {other} not applied");
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
    for member in 0..3 {
        assert!(nodes.etcd.holds(member, b"/firstcome/drill/0/log/"), "the log is there");
        assert!(!nodes.etcd.holds(member, b"b0-o1"), "a buyer's name is on the disk of a member in clear");
    }
}

/// Every fault once; with `FIRSTCOME_TEST_FAULTS` so many of them at random, by the seed `FIRSTCOME_TEST_SEED`.
#[expect(clippy::print_stdout, reason = "the seed replays a run")]
fn faults() -> Vec<Fault> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(count) = number("FIRSTCOME_TEST_FAULTS") else { return Fault::ALL.into() };
    let seed = number("FIRSTCOME_TEST_SEED").unwrap_or(15);
    println!("{count} faults, seed {seed}");
    let mut random = Random(seed);
    // A disk that fails leaves one node less.
    let lasting = &Fault::ALL[..Fault::ALL.len() - 1];
    (0..count).map(|_| random.pick(lasting)).collect()
}
