//! Flipped bits in a cluster: in pages of a node's database, and in an entry on one member of etcd. They are noticed, and what
//! is served or applied is what the other copies have.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "the seed replays a run")]

mod etcd;
mod model;
mod nodes;
mod process;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use firstcome::log::etcd::SLOTS;
use model::Random;
use nodes::{Buyers, Nodes, assert_equal_files, check, position};
use process::{Client, wait_until};
use serde_json::Value;

const BUYERS: usize = 8;
/// Longest time without an order, on a machine that has other work: twice what a cluster promises.
const GAP_MAX: Duration = Duration::from_secs(10);

/// What a node answers about orders and the drop; `None` where it does not answer.
fn told(node: std::net::SocketAddr, paths: &[String]) -> Vec<Option<Value>> {
    let mut client = Client::connect(node).ok();
    let mut ask = |path: &String| {
        let answer = client.as_mut()?.get(path).ok()?;
        (answer.status < 500).then_some(answer.body)
    };
    paths.iter().map(&mut ask).collect()
}

#[test]
fn a_flipped_bit_in_a_node_s_file_is_never_served_and_the_node_joins_again() {
    let seed = model::replayed_seed().unwrap_or(15);
    let flips = model::scaled(30, 8);
    println!("{flips} flips, seed {seed}");
    let mut random = Random(seed);
    let mut nodes = Nodes::start(3);
    nodes.node(nodes.leader()).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(300);
    let ledger = buyers.end();
    let damaged = nodes.follower();
    nodes.stop(damaged);
    let (directory, backup) = (nodes.directory(damaged), nodes.scratch().join("backup"));
    copy_directory(&directory, &backup);
    let whole = std::fs::read(backup.join("firstcome.db")).expect("read");
    let orders = ledger.accepted.iter().map(|(_, id)| format!("/v1/orders/{id}"));
    let paths: Vec<String> = orders.chain(["/v1/drops/1".into()]).collect();
    let right = told(nodes.node(nodes.leader()).public, &paths);
    let log = nodes.scratch().join("log");
    let mut refused = 0;
    for _ in 0..flips {
        let at = usize::try_from(random.below(whole.len() as u64)).expect("small");
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        std::fs::remove_dir_all(&directory).expect("removed");
        copy_directory(&backup, &directory);
        std::fs::write(directory.join("firstcome.db"), bytes).expect("written");
        let what = format!("seed {seed}, byte {at}");
        let verified =
            Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("verify").arg("--data").arg(&directory).output();
        let is_sound = verified.expect("run").status.success();
        let Err(status) = nodes.run_or_end(damaged, &log) else {
            // A byte of no row.
            assert!(is_sound, "{what}: it serves what `verify` refuses");
            assert!(told(nodes.node(damaged).public, &paths) == right, "{what}");
            wait_until("it follows", || nodes.follows(damaged));
            nodes.kill(damaged);
            continue;
        };
        let lines = std::fs::read_to_string(&log).expect("read");
        assert!(matches!(status.code(), Some(65 | 74)) && lines.contains("firstcome: "), "{what}: {status}, {lines}");
        refused += 1;
    }
    println!("{refused} of {flips} damaged files are refused, the others have the bit in no row");
    assert!(refused > 0, "seed {seed}");

    // The remedy: the directory is moved away, and the node joins again.
    std::fs::rename(&directory, nodes.scratch().join("aside")).expect("moved");
    let mut join = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let from = nodes.node(nodes.follower()).admin.to_string();
    join.args(["cluster", "join", "--from", &from, "--cluster", &nodes.file(damaged), "--data"]).arg(&directory);
    assert!(join.status().expect("run").success());
    nodes.run(damaged);
    wait_until("the node follows again", || nodes.follows(damaged));
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
}

#[test]
fn entries_with_flipped_bits_on_one_member_are_told_and_read_from_another() {
    let mut nodes = Nodes::start(3);
    nodes.node(nodes.leader()).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(60);
    let follower = nodes.follower();
    nodes.stop(follower);
    buyers.know(nodes.public());
    buyers.wait_for(60);
    // The member that this node asks first.
    let member = follower % 3;
    let position = position(&nodes.directory(follower)).expect("a node's file");
    let key = |number: u64| format!("/firstcome/drill/0/log/{:04}", number % SLOTS);
    flip(&mut nodes, member, &[key(position + 2), key(position + 3), key(position + 4)]);
    assert!(!nodes.has_entry(member, position + 2) && nodes.has_entry((member + 1) % 3, position + 2));
    let log = nodes.scratch().join("log");
    nodes.run_or_end(follower, &log).expect("it starts");
    let told = || std::fs::read_to_string(&log).expect("read").matches("asking another member").count();
    wait_until("each damaged entry is told", || told() >= 3);
    wait_until("it follows", || nodes.follows(follower));
    buyers.know(nodes.public());
    buyers.wait_for(60);
    let ledger = buyers.end();
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
}

#[test]
fn a_member_whose_head_has_a_flipped_bit_is_gone_around_and_no_node_starts_by_it() {
    let mut nodes = Nodes::start(3);
    nodes.node(nodes.leader()).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(60);
    // From now on it fails every append that the others take, and answers that the head is a damaged one.
    let member = nodes.leader();
    flip(&mut nodes, member, &["/firstcome/drill/0/head".into()]);
    let mut longest = Duration::ZERO;
    for other in [(member + 1) % 3, (member + 2) % 3] {
        // Nodes that asked the other one ask this one, some of them first.
        nodes.etcd.kill(other);
        longest = longest.max(buyers.wait_for(200));
        nodes.etcd.run(other);
        nodes.etcd.wait_for(other);
        longest = longest.max(buyers.wait_for(60));
    }
    println!("{} ms without an order", longest.as_millis());
    assert!(longest < GAP_MAX, "{longest:?}");
    let ledger = buyers.end();
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
    let log = nodes.scratch().join("log");
    let ended = nodes.run_or_end(member, &log).err().and_then(|status| status.code());
    let lines = std::fs::read_to_string(&log).expect("read");
    assert!(ended == Some(78) && lines.contains("/head: is missing or unreadable"), "{ended:?}: {lines}");
}

/// Flips a bit in the values of keys in the file of a member, in all their revisions.
fn flip(nodes: &mut Nodes, member: usize, keys: &[String]) {
    // bbolt writes its pages every 100 ms; an orderly end would rewrite what is flipped here.
    std::thread::park_timeout(Duration::from_millis(500));
    nodes.etcd.kill(member);
    let mut database = std::fs::read(nodes.etcd.database(member)).expect("read");
    for key in keys {
        let places: Vec<_> =
            (0..database.len() - 100).filter(|at| database[*at..].starts_with(key.as_bytes())).collect();
        assert!(!places.is_empty(), "{key} is in the member's file");
        // Behind the key are its revisions; the value begins with numbers.
        places.iter().for_each(|at| database[at + key.len() + 40] ^= 4);
    }
    std::fs::write(nodes.etcd.database(member), database).expect("written");
    nodes.etcd.run(member);
    nodes.etcd.wait_for(member);
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
