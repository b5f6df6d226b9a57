//! Sixteen shards of one cluster, each with three nodes and a log of its own, over four etcds that four shards share each.
//! Each shard has one history, all ids differ, and what happens to one shard changes nothing in another.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod cluster;
mod model;
mod test_drop;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use cluster::{Cluster, RUN_MS, Seen};
use firstcome::config::ClusterConfig;
use firstcome::log::Entry;
use firstcome::log::simulated::SimulatedLog;
use firstcome::store::PrivateData;
use firstcome::types::shard::{NumberSeries, NumberedOrder};
use firstcome::types::{OrderId, Shard};
use model::Random;

/// Shards whose numbers differ in single bits, and the first and last ones.
const SHARDS: [u8; 16] = [0, 1, 2, 3, 4, 7, 8, 15, 16, 32, 64, 127, 128, 129, 254, 255];
const NODES: usize = 3;
const ETCDS: usize = 4;

/// The keys of several logs, as a node's configuration names them.
type Etcd = BTreeMap<String, SimulatedLog>;

/// The prefix of each shard's keys, by the files of its nodes.
fn prefixes() -> Vec<String> {
    let scratch = tempfile::tempdir().expect("scratch");
    let (key, file) = (scratch.path().join("key"), scratch.path().join("cluster.toml"));
    std::fs::write(&key, "5e".repeat(32)).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("set");
    let prefix = |shard: u8| {
        let text = format!(
            "cluster = \"shop\"\nshard = {shard}\nnode = \"n1\"\ntest = true\nmembers = [\"http://127.0.0.1:1\"]\n\
             key_file = {key:?}\n"
        );
        std::fs::write(&file, text).expect("written");
        ClusterConfig::read(&file, None).expect("a good file").prefix()
    };
    SHARDS.into_iter().map(prefix).collect()
}

/// What is left of a world at its end.
struct End {
    histories: Vec<Vec<Arc<Entry>>>,
    seen: Seen,
}

/// Runs a world. From a third of its time on nothing is left of a shard's nodes, if one is named.
fn run(seed: u64, prefixes: &[String], lost: Option<usize>) -> End {
    let mut random = Random(seed);
    let mut etcds: Vec<Etcd> = (0..ETCDS).map(|_| Etcd::new()).collect();
    let mut outages = Vec::new();
    for _ in 0..ETCDS {
        let from = random.below(RUN_MS);
        outages.push((from, from + random.below(4000)));
    }
    let mut shards = Vec::new();
    for (place, shard) in SHARDS.into_iter().map(Shard::new).enumerate() {
        // The same buyers, keys and random bits in all of them: only shards tell their ids apart.
        let (mut cluster, log) = Cluster::new(random.below(u64::MAX), shard, Some(NODES));
        cluster.outages = vec![outages[place % ETCDS]];
        let before = etcds[place % ETCDS].insert(prefixes[place].clone(), log);
        assert!(before.is_none(), "two shards have the keys {}", prefixes[place]);
        shards.push(cluster);
    }
    let is_lost = |place: usize, cluster: &Cluster| lost == Some(place) && cluster.now > RUN_MS / 3;
    let next = |shards: &[Cluster]| {
        let runs = |(place, cluster): &(usize, &Cluster)| !cluster.is_over() && !is_lost(*place, cluster);
        shards.iter().enumerate().filter(runs).min_by_key(|(_, cluster)| cluster.now).map(|(place, _)| place)
    };
    while let Some(place) = next(&shards) {
        let log = etcds[place % ETCDS].get_mut(&prefixes[place]).expect("a log");
        shards[place].tick(log);
    }
    let histories = shards.iter().map(|cluster| cluster.history().to_vec()).collect();
    let mut seen = Seen::default();
    for (place, cluster) in shards.into_iter().enumerate().filter(|(place, _)| lost != Some(*place)) {
        seen.add(cluster.end(&etcds[place % ETCDS][&prefixes[place]]));
    }
    End { histories, seen }
}

/// Every id of every order is of its shard and of no other order; returns their count.
fn check_ids(what: &str, histories: &[Vec<Arc<Entry>>]) -> usize {
    let (mut ids, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    // All files begin as copies of one.
    let series = NumberSeries::of(&[7; 16], 1);
    for (shard, history) in SHARDS.into_iter().map(Shard::new).zip(histories) {
        for entry in history {
            for event in &entry.batch.events {
                assert_eq!(event.drop_id().map(|id| id.shard()), Some(shard), "{what}: {event:?}");
            }
            for (seq, private_data) in &entry.batch.private_data {
                let PrivateData::Order { secret, .. } = private_data else { panic!("no order has {private_data:?}") };
                let id = OrderId { seq: *seq, secret: *secret };
                assert_eq!(id.secret.shard(), shard, "{what}: {id}");
                assert!(ids.insert(id.to_bytes()), "{what}: {id} is an order of two shards");
                let number = shard.order_number(series, *seq).expect("in range");
                assert!(numbers.insert(number), "{what}: {number} is an order of two shards");
                assert_eq!(NumberedOrder::of(number).map(|order| (order.shard, order.seq)), Some((shard, *seq)));
            }
        }
    }
    ids.len()
}

fn numbers_of(history: &[Arc<Entry>]) -> Vec<Vec<u8>> {
    history.iter().map(|entry| entry.encode().expect("short")).collect()
}

#[test]
fn each_of_sixteen_shards_has_one_history_and_what_happens_to_one_changes_nothing_in_another() {
    let prefixes = prefixes();
    let (mut seen, mut orders) = (Seen::default(), 0);
    let seeds = model::replayed_seed().map_or(0..model::scaled(600, 40), |seed| seed..seed + 1);
    for seed in seeds {
        let what = format!("seed {seed}");
        let whole = run(seed, &prefixes, None);
        orders += check_ids(&what, &whole.histories);
        let lost = usize::try_from(seed).expect("small") % SHARDS.len();
        let without = run(seed, &prefixes, Some(lost));
        for (place, (history, ours)) in whole.histories.iter().zip(&without.histories).enumerate() {
            let (history, ours) = (numbers_of(history), numbers_of(ours));
            if place == lost {
                assert!(ours.len() < history.len() && history.starts_with(&ours), "{what}: the lost shard went on");
            } else {
                assert!(history == ours, "{what}: shard {} is not as without a loss elsewhere", SHARDS[place]);
            }
        }
        seen.add(whole.seen);
    }
    println!("{orders} orders; {seen:?}");
    assert!(seen.kills > 0 && seen.takeovers > seen.worlds && seen.unknown > 0, "nothing happened: {seen:?}");
    assert!(seen.left_to_operators * 10 < seen.worlds, "too many end without a leader: {seen:?}");
}
