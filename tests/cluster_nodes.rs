//! A cluster of real processes: three members of etcd and three nodes, under buyers whose every answer is noted.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod model;
mod nodes;
mod process;

use model::Random;
use nodes::{Buyers, Nodes, Way, assert_equal_files, check};
use rustix::process::Signal;

const BUYERS: usize = 8;
/// Orders after which a fault counts as survived.
const AFTER: u64 = 60;

#[test]
fn whatever_dies_nothing_acknowledged_is_lost_and_writes_come_back() {
    let mut nodes = Nodes::start(3);
    let first = nodes.leader();
    nodes.node(first).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);
    let mut table = Vec::new();
    for fault in faults() {
        let leader = nodes.leader();
        println!("{fault:?}, n{leader} leads");
        fault.begin(&mut nodes, leader);
        buyers.know(nodes.public());
        if fault.writes_go_on() {
            table.push((fault, buyers.wait_for(AFTER)));
        }
        fault.end(&mut nodes, leader);
        buyers.know(nodes.public());
        let gap = buyers.wait_for(AFTER);
        if !fault.writes_go_on() {
            table.push((fault, gap));
        }
    }
    let ledger = buyers.end();
    for (fault, gap) in table {
        println!("{fault:?}: {} ms without an order", gap.as_millis());
    }
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

/// A fault, and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    LeaderKilled,
    FollowerKilled,
    LeaderPaused,
    MemberKilled(usize),
    LeaderAndMemberKilled,
    AllMembersKilled,
    /// Nothing passes between the leader and the members.
    LeaderCutOff,
    /// The leader's requests arrive, and no answer comes back.
    LeaderWithoutAnswers,
    /// Each request of every node takes 100 ms more, and each answer.
    SlowNetwork,
    /// No file of the leader may grow any more: it ends, and its directory needs a new copy.
    LeaderDiskFails,
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

impl Fault {
    /// Each member in turn, because one of them leads the others.
    const ALL: [Fault; 12] = [
        Fault::LeaderKilled,
        Fault::FollowerKilled,
        Fault::LeaderPaused,
        Fault::MemberKilled(0),
        Fault::MemberKilled(1),
        Fault::MemberKilled(2),
        Fault::LeaderAndMemberKilled,
        Fault::AllMembersKilled,
        Fault::LeaderCutOff,
        Fault::LeaderWithoutAnswers,
        Fault::SlowNetwork,
        Fault::LeaderDiskFails,
    ];

    fn writes_go_on(self) -> bool {
        self != Fault::AllMembersKilled
    }

    fn begin(self, nodes: &mut Nodes, leader: usize) {
        match self {
            Fault::LeaderKilled => nodes.kill(leader),
            Fault::FollowerKilled => nodes.kill((leader + 1) % 3),
            Fault::LeaderPaused => nodes.node(leader).signal(Signal::STOP),
            Fault::MemberKilled(member) => nodes.etcd.kill(member),
            Fault::LeaderAndMemberKilled => {
                nodes.etcd.kill(leader);
                nodes.kill(leader);
            }
            Fault::AllMembersKilled => (0..3).for_each(|member| nodes.etcd.kill(member)),
            Fault::LeaderCutOff => nodes.connect(leader, Way::Cut),
            Fault::LeaderWithoutAnswers => nodes.connect(leader, Way::NoAnswers),
            Fault::SlowNetwork => (0..3).for_each(|node| nodes.connect(node, Way::Slow)),
            Fault::LeaderDiskFails => nodes.fill_disk(leader),
        }
    }

    fn end(self, nodes: &mut Nodes, leader: usize) {
        match self {
            Fault::LeaderKilled => nodes.run(leader),
            Fault::FollowerKilled => nodes.run((leader + 1) % 3),
            Fault::LeaderPaused => nodes.node(leader).signal(Signal::CONT),
            Fault::MemberKilled(member) => nodes.etcd.run(member),
            Fault::LeaderAndMemberKilled => {
                nodes.etcd.run(leader);
                nodes.run(leader);
            }
            Fault::AllMembersKilled => (0..3).for_each(|member| nodes.etcd.run(member)),
            Fault::LeaderCutOff | Fault::LeaderWithoutAnswers => nodes.connect(leader, Way::Open),
            Fault::SlowNetwork => (0..3).for_each(|node| nodes.connect(node, Way::Open)),
            Fault::LeaderDiskFails => nodes.kill(leader),
        }
    }
}
