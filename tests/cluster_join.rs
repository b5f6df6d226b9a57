//! Nodes that join a running cluster, and leaders that hand over, under buyers whose every answer is noted.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod nodes;
mod process;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nodes::{Buyers, Nodes, assert_equal_files, check};
use process::{Client, Pause, wait_until};

const BUYERS: usize = 8;
/// Orders after which the sale goes on.
const AFTER: u64 = 60;

/// The command that joins as a node, from the one that listens there.
fn join(nodes: &Nodes, node: usize, from: usize, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let from = format!("http://{}", nodes.node(from).admin);
    command.args(["cluster", "join", "--from", &from, "--cluster", &nodes.file(node)]).args(more);
    command.arg("--data").arg(nodes.directory(node));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it so that it stops at the last of these places, after what the test does at each one before. It may begin again:
/// the node that it copies may come to lead meanwhile, and a slow machine may keep entries too late.
fn join_until(
    nodes: &Nodes,
    node: usize,
    pause: &Pause,
    places: &[(&str, u64)],
    mut meanwhile: impl FnMut(),
) -> (Child, usize) {
    for _ in 0..10 {
        let from = nodes.follower();
        let mut child = join(nodes, node, from, &[]).envs(pause.at_each(places)).spawn().expect("started");
        for at in 0..places.len() {
            if at > 0 {
                meanwhile();
                pause.go_on();
            }
            if !pause.comes(&mut child) {
                break;
            }
            if at + 1 == places.len() {
                return (child, from);
            }
        }
        let output = child.wait_with_output().expect("ended");
        let lines = text(&output);
        assert!(may_begin_again(&output), "{places:?} did not come: {:?}\n{lines}", output.status);
        println!("n{node} begins again: {lines}");
    }
    panic!("it never came to {places:?}")
}

/// Returns whether a join was refused because the machine is slow, or the nodes changed their roles.
fn may_begin_again(output: &Output) -> bool {
    let lines = text(output);
    output.status.code() == Some(69) && (lines.contains("node-conflict") || lines.contains("has overwritten"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Starts a node that must end by itself.
fn refused(nodes: &Nodes, node: usize, with_cluster: bool) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.arg("serve").arg("--data").arg(nodes.directory(node));
    command.args(["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"]);
    if with_cluster {
        command.args(["--cluster", &nodes.file(node)]);
    }
    let output = command.stdin(Stdio::null()).output().expect("run");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits for so many further entries of the log.
fn entries(nodes: &Nodes, more: u64) {
    let before = nodes.head();
    wait_until("further entries", || {
        std::thread::park_timeout(Duration::from_millis(20));
        nodes.head() >= before + more
    });
}

#[test]
fn a_node_joins_under_buyers_whatever_moment_it_is_killed_at_and_although_the_ring_is_overrun() {
    const SLOTS: u64 = 512;
    let mut nodes = Nodes::start_with_ring(2, SLOTS);
    nodes.node(nodes.leader()).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);
    let pause = Pause::new(nodes.scratch());

    // With entries behind the copy there is something to apply.
    let until_applied = [("JoinVerifies", 1), ("JoinApplies", 2)];
    for places in [&[("JoinCopies", 1)][..], &[("JoinVerifies", 1)], &until_applied, &[("JoinInstalls", 1)]] {
        let (mut child, from) = join_until(&nodes, 2, &pause, places, || entries(&nodes, 3));
        if places == [("JoinVerifies", 1)] {
            // Another one at the same time, and one in a directory of another node.
            let second = join(&nodes, 2, from, &[]).output().expect("run");
            assert_eq!(second.status.code(), Some(73), "{}", text(&second));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        for with_cluster in [true, false] {
            let (code, lines) = refused(&nodes, 2, with_cluster);
            let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("firstcome: ")).collect();
            assert!(
                code == Some(66) && lines.len() == 1 && lines[0].contains("cluster join"),
                "{places:?} {code:?}: {lines:?}"
            );
        }
    }
    assert_eq!(join(&nodes, 1, 0, &[]).output().expect("run").status.code(), Some(73), "a server runs there");
    loop {
        let leader = nodes.leader();
        let output = join(&nodes, 2, leader, &[]).output().expect("run");
        if output.status.code() == Some(69) && text(&output).contains("node-conflict") {
            break;
        }
        assert!(nodes.leader() != leader, "{}", text(&output));
        std::fs::remove_dir_all(nodes.directory(2)).expect("removed");
    }

    // The copy is there, and the log goes once around before it is verified.
    let began = Instant::now();
    let (child, _) = join_until(&nodes, 2, &pause, &[("JoinVerifies", 1)], || {});
    for _ in 0..SLOTS / 50 + 1 {
        entries(&nodes, 50);
    }
    let overrun = began.elapsed();
    pause.go_on();
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", text(&output));
    println!(
        "joined after {} ms, {} of them for the ring:\n{}",
        began.elapsed().as_millis(),
        overrun.as_millis(),
        text(&output)
    );
    nodes.nodes.push(None);
    nodes.run(2);
    wait_until("the new node follows", || nodes.follows(2));
    buyers.know(nodes.public());
    buyers.wait_for(AFTER);
    assert!(!nodes.directory(2).join("joining").exists());
    let output = join(&nodes, 2, 1, &[]).output().expect("run");
    assert_eq!(output.status.code(), Some(73), "{}", text(&output));

    let ledger = buyers.end();
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories: Vec<_> = (0..3).map(|node| nodes.directory(node)).collect();
    nodes.stop_all(leader);
    assert_equal_files(&directories);
    // The directory of a node that was stopped has a database.
    nodes.run(0);
    let output = join(&nodes, 2, 0, &["--from-leader"]).output().expect("run");
    assert!(output.status.code() == Some(64) && text(&output).contains("is there already"), "{}", text(&output));
}

#[test]
fn a_node_follows_from_an_old_copy_of_its_directory_and_joins_no_log_of_another_file() {
    let mut nodes = Nodes::start(3);
    let leader = nodes.leader();
    nodes.node(leader).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);
    let old = (leader + 1) % 3;
    nodes.stop(old);
    let (directory, backup) = (nodes.directory(old), nodes.scratch().join("backup"));
    copy_directory(&directory, &backup);
    nodes.run(old);
    buyers.know(nodes.public());
    buyers.wait_for(AFTER);
    nodes.stop(old);
    std::fs::rename(&directory, nodes.scratch().join("aside")).expect("moved");
    copy_directory(&backup, &directory);
    nodes.run(old);
    wait_until("the restored node follows", || nodes.follows(old));

    // A log of another file, whose node is asked for a copy of this one's.
    nodes.create_log("other", [7; 16]);
    let file = std::fs::read_to_string(nodes.file(0)).expect("read").replace("\"drill\"", "\"other\"");
    let other = nodes.scratch().join("other.toml");
    std::fs::write(&other, file).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["cluster", "join", "--from", &nodes.node(old).admin.to_string()]);
    command.arg("--data").arg(nodes.scratch().join("foreign")).arg("--cluster").arg(&other);
    let output = command.output().expect("run");
    let lines = text(&output);
    let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("firstcome: ")).collect();
    assert!(
        output.status.code() == Some(65)
            && lines.iter().filter(|line| line.contains("the log is of the file")).count() == 1,
        "{lines:?}"
    );
    buyers.know(nodes.public());
    buyers.wait_for(AFTER);

    let ledger = buyers.end();
    let leader = nodes.leader();
    check(&ledger, nodes.node(leader).public);
    let directories: Vec<_> = (0..3).map(|node| nodes.directory(node)).collect();
    nodes.stop_all(leader);
    assert_equal_files(&directories);
}

#[test]
fn a_log_that_is_lost_begins_anew_from_the_longest_file_and_the_others_join_again() {
    let mut nodes = Nodes::start(3);
    let first = nodes.leader();
    nodes.node(first).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);
    // One of them is behind the others.
    let (short, long) = ((first + 1) % 3, (first + 2) % 3);
    nodes.stop(short);
    buyers.know(nodes.public());
    buyers.wait_for(AFTER);
    let before = buyers.end();
    nodes.stop_all(first);
    // While the log is there, nothing is to be accepted.
    for accepted in [None, Some(1)] {
        let told = adopt(&nodes, long, accepted);
        assert_eq!(told.status.code(), Some(64), "{}", text(&told));
        assert!(
            text(&told).contains("a log of this database") && !text(&told).contains("--accept-n"),
            "{}",
            text(&told)
        );
    }

    nodes.etcd.lose_everything();
    let (code, lines) = wait_for_quorum(&nodes, long);
    assert!(code == Some(78) && lines.contains("cluster init"), "{lines}");
    let output = adopt(&nodes, first, Some(1));
    assert!(output.status.code() == Some(64) && text(&output).contains("not up to 1"), "{}", text(&output));
    let numbers: Vec<u64> = (0..3).map(|node| number_in(&text(&adopt(&nodes, node, None)))).collect();
    assert!(numbers[short] < numbers[long] && numbers[first] <= numbers[long], "{numbers:?}");
    let output = adopt(&nodes, long, Some(numbers[long]));
    assert!(output.status.success(), "{}", text(&output));
    println!("{}", text(&output));
    nodes.run(long);
    assert_eq!(nodes.leader(), long);
    for other in [short, first] {
        let (code, lines) = refused(&nodes, other, true);
        assert!(code == Some(65), "{code:?}: {lines}");
        let aside = nodes.scratch().join(format!("aside-{other}"));
        std::fs::rename(nodes.directory(other), aside).expect("moved");
        let output = join(&nodes, other, long, &["--from-leader"]).output().expect("run");
        assert!(output.status.success(), "{}", text(&output));
        nodes.run(other);
    }
    let buyers = Buyers::begin(BUYERS, nodes.public());
    // They begin with the keys of orders that are there.
    let repeated = before.accepted.len() + before.unknown.len() + before.not_applied.len();
    buyers.wait_for(AFTER + u64::try_from(repeated).expect("few"));
    drop(buyers.end());
    let mut client = Client::connect(nodes.node(short).public).expect("connected");
    for (key, id) in &before.accepted {
        let answer = client.get(&format!("/v1/orders/{id}")).expect("answered");
        assert_eq!(answer.status, 200, "{key} was accepted as {id}");
    }
    let leader = nodes.leader();
    let directories = nodes.stop_all(leader);
    assert_equal_files(&directories);
}

fn adopt(nodes: &Nodes, node: usize, accepted: Option<u64>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["cluster", "adopt", "--cluster", &nodes.file(node), "--data"]).arg(nodes.directory(node));
    if let Some(accepted) = accepted {
        command.args(["--accept-n", &accepted.to_string()]);
    }
    command.stdin(Stdio::null()).output().expect("run")
}

/// The number that the command wants to be accepted.
fn number_in(text: &str) -> u64 {
    let (_, after) = text.split_once("--accept-n ").expect("a number");
    after.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Waits until new members have elected a leader, by the refusal of a node.
fn wait_for_quorum(nodes: &Nodes, node: usize) -> (Option<i32>, String) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (code, lines) = refused(nodes, node, true);
        if code != Some(69) || Instant::now() >= until {
            return (code, lines);
        }
    }
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn a_leader_hands_over_under_buyers_and_nothing_is_lost() {
    let mut nodes = Nodes::start(3);
    let first = nodes.leader();
    nodes.node(first).create_drop(1_000_000);
    let buyers = Buyers::begin(BUYERS, nodes.public());
    buyers.wait_for(AFTER);
    let (mut gaps, mut leader) = (Vec::new(), first);
    for round in 0..6 {
        // A node that has just resigned may not lead, so every second node is named.
        let to = (leader + 1) % 3;
        let _gap_before = buyers.wait_for(AFTER);
        let answer = hand_over(&nodes, leader, (round % 2 == 0).then_some(to));
        let gap = buyers.wait_for(AFTER);
        gaps.push(gap);
        println!("round {round}: {} ms without an order; {}", gap.as_millis(), text(&answer).trim());
        assert!(answer.status.success(), "{}", text(&answer));
        let now = nodes.leader();
        assert!(now != leader && (round % 2 == 1 || now == to), "n{leader} handed over to n{now}");
        leader = now;
    }
    // What cannot be: by a node that does not lead, to itself, to one that is not there.
    let follower = (leader + 1) % 3;
    let answer = hand_over(&nodes, follower, None);
    assert!(answer.status.code() == Some(69) && text(&answer).contains("not-leader"), "{}", text(&answer));
    for to in [leader, 9] {
        let answer = hand_over(&nodes, leader, Some(to));
        assert!(answer.status.code() == Some(69) && text(&answer).contains("node-conflict"), "{}", text(&answer));
    }
    assert_eq!(nodes.leader(), leader, "it goes on");
    for round in ["promoted", "leads already"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        let answer = command.args(["cluster", "promote", "--cluster", &nodes.file(follower)]).output().expect("run");
        let told = text(&answer);
        assert!(answer.status.success() && told.contains(&format!("n{follower} leads")), "{round}: {told}");
        assert_eq!(nodes.leader(), follower);
    }
    leader = follower;
    let answer = leave(&nodes, leader);
    let left = std::mem::replace(&mut leader, nodes.leader());
    assert!(
        answer.status.success() && text(&answer).contains(&format!("n{left} has left: n{leader} leads")),
        "{}",
        text(&answer)
    );
    assert!(leave(&nodes, left).status.success(), "a repeat says the same");
    let answer = hand_over(&nodes, leader, Some(left));
    assert!(answer.status.code() == Some(69) && text(&answer).contains("node-conflict"), "{}", text(&answer));
    assert_eq!(nodes.leader(), leader);
    assert!(nodes.follows(left), "until it is stopped");
    let ledger = buyers.end();
    println!(
        "{} accepted, {} unknown, {} not applied",
        ledger.accepted.len(),
        ledger.unknown.len(),
        ledger.not_applied.len()
    );
    check(&ledger, nodes.node(leader).public);
    let directories: Vec<_> = (0..3).map(|node| nodes.directory(node)).collect();
    nodes.stop_all(leader);
    assert_equal_files(&directories);
    gaps.sort();
    assert!(gaps[gaps.len() / 2] < Duration::from_secs(1), "half of them: {gaps:?}");
}

fn leave(nodes: &Nodes, node: usize) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["cluster", "leave", "--admin", &nodes.node(node).admin.to_string()]);
    command.stdin(Stdio::null()).output().expect("run")
}

fn hand_over(nodes: &Nodes, from: usize, to: Option<usize>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["cluster", "handover", "--admin", &nodes.node(from).admin.to_string()]);
    if let Some(to) = to {
        command.args(["--to", &format!("n{to}")]);
    }
    command.stdin(Stdio::null()).output().expect("run")
}
