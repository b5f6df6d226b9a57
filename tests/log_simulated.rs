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
