//! Writers as nodes of a cluster, with real files, over a simulated log: one decides, the others' files become equal, and
//! a leader that is cut off loses its place without losing anything it acknowledged.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod replicas;
mod writing;

use std::time::Duration;

use firstcome::engine::Outcome;
use firstcome::writer::{NodeRole, NotApplied, SubmitError, WriterReply};
use replicas::{Network, Replicas};
use writing::{create, decided, order, submit_resume};

#[test]
fn one_node_decides_and_the_files_of_all_become_equal() {
    let replicas = Replicas::start(3);
    let leader = replicas.leader();
    decided(create(&replicas.nodes[leader].handle, 5, 600));
    for buyer in 0..8 {
        let outcome = decided(order(&replicas.nodes[leader].handle, &format!("b{buyer}")).expect("let in")).outcome;
        assert_eq!(matches!(outcome, Outcome::Accepted(_)), buyer < 5, "{outcome:?}");
    }
    replicas.settle();
    for (position, node) in replicas.nodes.iter().enumerate() {
        let role = node.handle.node.as_ref().expect("a node").role();
        assert_eq!(role == NodeRole::Leader, position == leader);
        if position != leader {
            assert_eq!(order(&node.handle, "late").err(), Some(SubmitError::NotLeader));
        }
    }
    replicas.end_with_equal_files();
}

#[test]
fn a_leader_that_is_cut_off_is_followed_by_another_and_follows_it_later() {
    let replicas = Replicas::start(3);
    let first = replicas.leader();
    decided(create(&replicas.nodes[first].handle, 50, 600));
    decided(order(&replicas.nodes[first].handle, "before").expect("let in"));
    replicas.nodes[first].connect(Network::Cut);
    // It is appended and never answered, until the network is back.
    let hanging = order(&replicas.nodes[first].handle, "during").expect("let in");
    let second = replicas.leader_besides(first);
    decided(order(&replicas.nodes[second].handle, "after").expect("let in"));
    replicas.nodes[first].connect(Network::Whole);
    let reply = hanging.wait();
    assert!(matches!(reply, WriterReply::NotApplied(NotApplied::NotLeader)), "another entry has its number: {reply:?}");
    replicas.settle();
    assert_eq!(order(&replicas.nodes[first].handle, "later").err(), Some(SubmitError::NotLeader));
    replicas.end_with_equal_files();
}

#[test]
fn an_entry_whose_answer_was_lost_is_found_in_the_log_and_counts_once() {
    let replicas = Replicas::start(2);
    let leader = replicas.leader();
    decided(create(&replicas.nodes[leader].handle, 50, 600));
    replicas.nodes[leader].connect(Network::LosesAnswers(3));
    let outcome = decided(order(&replicas.nodes[leader].handle, "ann").expect("let in")).outcome;
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    replicas.nodes[leader].connect(Network::Whole);
    let again = decided(order(&replicas.nodes[leader].handle, "ann").expect("let in")).outcome;
    assert!(matches!(again, Outcome::Repeated { .. }), "{again:?}");
    replicas.end_with_equal_files();
}

#[test]
fn a_batch_that_breaks_a_rule_of_the_tables_is_in_no_log() {
    let replicas = Replicas::start(2);
    let leader = replicas.leader();
    decided(create(&replicas.nodes[leader].handle, 3, 600));
    replicas.settle();
    // Behind the leader's back all units are sold: the next order of its file breaks a rule.
    replicas.change(leader, "UPDATE drops SET sold = total");
    let reply = order(&replicas.nodes[leader].handle, "ann").expect("let in").wait();
    assert!(matches!(reply, WriterReply::Unknown), "a bug of the file is nothing that a client can know: {reply:?}");
    let second = replicas.leader_besides(leader);
    let outcome = decided(order(&replicas.nodes[second].handle, "ann").expect("let in")).outcome;
    assert!(matches!(outcome, Outcome::Accepted(_)), "the order is in no log: {outcome:?}");
}

#[test]
fn a_leader_whose_log_is_nearly_full_takes_operators_commands_and_then_none() {
    let replicas = Replicas::start(1);
    let leader = &replicas.nodes[replicas.leader()].handle;
    let view = leader.node.as_ref().expect("a node");
    decided(create(leader, 5, 600));
    for (percent, buyers, operators) in [(59, true, true), (60, false, true), (79, false, true), (80, false, false)] {
        view.set_log_use(percent);
        let taken = |submitted: Result<firstcome::writer::Ticket, SubmitError>| match submitted {
            Ok(ticket) => matches!(ticket.wait(), WriterReply::Decided(_)),
            Err(error) => {
                assert_eq!(error, SubmitError::ReadOnly, "at {percent} %");
                false
            }
        };
        assert_eq!(taken(order(leader, "ann")), buyers, "at {percent} %");
        assert_eq!(taken(submit_resume(leader)), operators, "at {percent} %");
    }
}

#[test]
fn a_node_whose_log_has_lost_entries_stops_and_keeps_its_file() {
    let mut replicas = Replicas::start(2);
    let first = replicas.leader();
    let second = 1 - first;
    decided(create(&replicas.nodes[first].handle, 5, 600));
    replicas.settle();
    let backup = replicas.backup_of_the_log();
    replicas.nodes[second].connect(Network::Cut);
    for buyer in ["ann", "bob", "cyd", "dan", "eve"] {
        decided(order(&replicas.nodes[first].handle, buyer).expect("let in"));
    }
    // An operator puts a backup of the log in its place: the other node has everything that it knows.
    replicas.nodes[first].connect(Network::Cut);
    replicas.restore_the_log(backup);
    replicas.nodes[second].connect(Network::Whole);
    assert_eq!(replicas.leader_besides(first), second);
    replicas.nodes[first].connect(Network::Whole);
    let (message, exit_code) = replicas.fault(first);
    assert_eq!(exit_code, 65, "{message}");
    assert!(message.contains("the log ends before event 6 of this file"), "{message}");
}

#[test]
fn a_node_does_not_lead_while_another_says_that_it_has_more_than_the_log() {
    let mut replicas = Replicas::start(2);
    let first = replicas.leader();
    let second = 1 - first;
    decided(create(&replicas.nodes[first].handle, 5, 600));
    replicas.settle();
    let backup = replicas.backup_of_the_log();
    replicas.nodes[second].connect(Network::Cut);
    decided(order(&replicas.nodes[first].handle, "ann").expect("let in"));
    replicas.nodes[first].connect(Network::Cut);
    let longest = replicas.backup_of_the_log().head().number;
    replicas.restore_the_log(backup);
    replicas.announce(longest);
    replicas.nodes[second].connect(Network::Whole);
    let (message, exit_code) = replicas.fault(second);
    assert_eq!(exit_code, 65, "{message}");
    assert!(message.contains("another node has entries that the log has lost"), "{message}");
}

#[test]
fn an_ordered_stop_of_the_leader_hands_over_at_once() {
    let mut replicas = Replicas::start(3);
    let first = replicas.leader();
    decided(create(&replicas.nodes[first].handle, 50, 600));
    replicas.settle();
    let since = std::time::Instant::now();
    replicas.stop(first);
    let second = replicas.leader_besides(first);
    assert!(since.elapsed() < Duration::from_secs(30), "a leader");
    decided(order(&replicas.nodes[second].handle, "ann").expect("let in"));
    replicas.end_with_equal_files();
}

#[test]
fn a_leader_that_stops_while_the_log_is_away_ends_in_order_and_its_last_order_is_unknown() {
    let mut replicas = Replicas::start(2);
    let leader = replicas.leader();
    decided(create(&replicas.nodes[leader].handle, 5, 600));
    replicas.settle();
    for node in &replicas.nodes {
        node.connect(Network::Cut);
    }
    let hanging = order(&replicas.nodes[leader].handle, "ann").expect("let in");
    replicas.stop(leader);
    let reply = hanging.wait();
    assert!(matches!(reply, WriterReply::Unknown), "{reply:?}");
}

#[test]
fn the_file_of_a_node_sells_nothing_without_its_cluster() {
    let mut replicas = Replicas::start(1);
    let leader = replicas.leader();
    decided(create(&replicas.nodes[leader].handle, 5, 600));
    replicas.stop(leader);
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"])
        .arg(replicas.directory(leader))
        .output()
        .expect("started");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{told}");
    assert!(told.contains("is the database of a node") && told.contains("--cluster FILE"), "{told}");
}
