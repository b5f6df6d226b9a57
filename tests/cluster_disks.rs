//! Full disks under buyers whose every answer is noted: the leader's, a follower's, a member's. The others go on, and the one
//! whose disk has space again goes on, too.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "the test says what it tried")]

mod etcd;
mod namespace;
mod nodes;
mod process;

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use firstcome::log::etcd::SLOTS;
use namespace::{in_a_namespace, mount_disk};
use nodes::{Buyers, Nodes, assert_equal_files, check};
use process::wait_until;

const BUYERS: usize = 8;
/// Orders after which the sale goes on.
const AFTER: u64 = 150;
const NODE_BYTES: u64 = 24 << 20;
/// Room for two segments of the member's log, of 64 MiB each, and its database.
const MEMBER_BYTES: u64 = 160 << 20;
/// Longest time without an order, on a machine that has other work: twice what a cluster promises.
const GAP_MAX: Duration = Duration::from_secs(10);

#[test]
fn whichever_disk_is_full_nothing_acknowledged_is_lost_and_its_process_goes_on_when_there_is_space() {
    const TEST: &str =
        "whichever_disk_is_full_nothing_acknowledged_is_lost_and_its_process_goes_on_when_there_is_space";
    if !in_a_namespace(TEST, "full disks of a cluster") {
        return;
    }
    let settings = [("FIRSTCOME__WRITER__FREE_BYTES_MIN", "0"), ("FIRSTCOME__WRITER__CHECKPOINT_WAL_BYTES", "1048576")];
    let mut nodes = Nodes::start_prepared(3, SLOTS, &settings, |directories, members| {
        directories.iter().for_each(|directory| make_disk(directory, NODE_BYTES));
        make_disk(&members[0], MEMBER_BYTES);
    });
    nodes.node(nodes.leader()).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);

    let full = nodes.leader();
    fill(&nodes.directory(full));
    let gap = buyers.wait_for(AFTER);
    let next = nodes.leader();
    println!("leader's disk full: {} ms without an order, n{full} gave the leadership to n{next}", gap.as_millis());
    assert!(gap < GAP_MAX && next != full, "{gap:?}, n{next} leads");
    free(&nodes.directory(full));
    wait_until("the node with the full disk follows", || nodes.follows(full));

    let follower = nodes.follower();
    fill(&nodes.directory(follower));
    let gap = buyers.wait_for(2 * AFTER);
    println!("follower's disk full: {} ms without an order", gap.as_millis());
    assert!(gap < GAP_MAX, "{gap:?}");
    free(&nodes.directory(follower));
    wait_until("the follower follows", || nodes.follows(follower));

    fill(&nodes.etcd.data(0));
    let gap = buyers.wait_for(2 * AFTER);
    let has_ended = nodes.etcd.has_ended(0);
    println!("member's disk full: {} ms without an order; it ended: {has_ended}", gap.as_millis());
    assert!(gap < GAP_MAX, "{gap:?}");
    free(&nodes.etcd.data(0));
    if has_ended {
        nodes.etcd.run(0);
    }
    // A majority needs it from here on.
    let other = (nodes.etcd.leader() % 2) + 1;
    nodes.etcd.kill(other);
    let gap = buyers.wait_for(AFTER);
    println!("another member killed: {} ms without an order", gap.as_millis());
    nodes.etcd.run(other);

    let ledger = buyers.end();
    println!("{} accepted, {} unknown", ledger.accepted.len(), ledger.unknown.len());
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
}

fn make_disk(at: &Path, bytes: u64) {
    std::fs::create_dir(at).expect("made");
    mount_disk(at, bytes);
    std::fs::set_permissions(at, Permissions::from_mode(0o700)).expect("set");
}

/// Leaves no byte free on the disk of a directory.
fn fill(directory: &Path) {
    let mut filler = File::create(directory.join("filler")).expect("made");
    std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("the disk is full");
}

fn free(directory: &Path) {
    std::fs::remove_file(directory.join("filler")).expect("removed");
}
