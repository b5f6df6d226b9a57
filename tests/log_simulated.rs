//! Nodes of a cluster over a simulated log: requests and answers are lost, late and twice; nodes are killed, stopped, cut
//! off, and have clocks that run differently. There is one history; every decided answer is in it, every *not applied* is
//! not, no refusal comes from an old leader, and all files are the same in the end.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod cluster;
mod model;
mod test_drop;

use cluster::Cluster;
use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{BootMillis, Head, LogRequest, Node, NodeSettings};
use firstcome::store::chain::ChainLink;
use firstcome::types::{Seq, UnixMillis};

#[test]
fn whatever_happens_to_nodes_and_network_there_is_one_history_and_every_answer_is_true() {
    if let Some(seed) = model::replayed_seed() {
        Cluster::run(seed);
        return;
    }
    let mut seen = cluster::Seen::default();
    for seed in 0..model::scaled(20_000, 3000) {
        let seed = seed.wrapping_mul(0x9e37_79b9) ^ 0xc1a5;
        seen.add(Cluster::run(seed));
    }
    println!("{seen:?}");
    assert!(seen.left_to_operators * 20 < seen.worlds, "too many end without a leader: {seen:?}");
    assert!(seen.is_complete(), "something never happened: {seen:?}");
}

#[test]
fn a_leader_whose_lease_is_not_kept_decides_nothing_after_it() {
    let settings = NodeSettings::default();
    let head = Head::before_all(Seq::ZERO, ChainLink::START);
    let mut log = SimulatedLog::new(head, 64, settings.lease_ms);
    let mut node = Node::new(settings, head, BootMillis(0));
    let (mut elected, mut decides) = (None, Vec::new());
    for now in (0..10_000).step_by(10) {
        // What would keep the lease is lost on its way; everything else arrives.
        let _lost = node.lease_request(BootMillis(now));
        if let Some(request) = node.request(BootMillis(now)) {
            if request == LogRequest::Campaign && elected.is_none() {
                elected = Some(now);
            }
            let answer = log.carry_out(&request, now);
            drop(node.answered(BootMillis(now), UnixMillis::ZERO, &answer));
        }
        if node.may_decide(BootMillis(now)) {
            decides.push(now);
        }
        if elected.is_some_and(|elected| now >= elected + 4000) {
            break;
        }
    }
    let elected = elected.expect("it campaigns");
    let last = *decides.last().expect("it led");
    let usable = settings.lease_ms - settings.lease_margin_ms;
    assert!(last < elected + usable, "elected at {elected}, and decides until {last}");
    assert!(last + 20 >= elected + usable, "the whole lease is used: {elected}, {last}");
}
