//! Clients of a real cluster: three members of etcd and three nodes. A buyer who asks any node gets to the leader, reads their
//! own order through every node, and goes on when the leader dies.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod http;
mod nodes;
mod peer;
mod process;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use firstcome::log::etcd::SLOTS;
use nodes::Nodes;
use peer::{Peer, Said, ping, pong, reserve};
use process::{Answer, Client, wait_until};

fn get(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut client = Client::connect(address).expect("connected");
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).expect("sent");
    client.receive().expect("answered")
}

/// The number at the end of `epoch-seq`.
fn end(version: &str) -> u64 {
    version.rsplit('-').next().and_then(|seq| seq.parse().ok()).expect("a number")
}

/// An order that a buyer placed at a node, or where that node sent them.
struct Placed {
    path: String,
    seq: u64,
    was_sent_on: bool,
}

/// Places an order as a client that follows redirects and waits between two leaders.
fn place(address: SocketAddr, buyer: &str) -> Placed {
    let (mut at, mut was_sent_on, mut placed) = (address, false, None);
    for _ in 0..600 {
        // A leader that hangs is named for a while.
        let client = Client::connect_patiently(at, Duration::from_secs(1));
        let answer = client.and_then(|mut client| client.order(buyer));
        match answer {
            Ok(answer) if answer.status == 201 => {
                placed = Some(answer);
                break;
            }
            Ok(answer) if answer.status == 307 => {
                assert_eq!(answer.body["code"], "not-leader");
                let location = answer.header("Location").expect("an address");
                assert!(location.ends_with("/v1/drops/1/orders"), "{location}");
                let (_, rest) = location.split_once("//").expect("a URL");
                at = rest.split('/').next().and_then(|host| host.parse().ok()).expect("an address");
                was_sent_on = true;
            }
            // No leader, or one that is gone: the node that was asked first learns of the next.
            Ok(_) | Err(_) => {
                at = address;
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
    let answer = placed.unwrap_or_else(|| panic!("{buyer} gets no answer"));
    let id = answer.body["id"].as_str().expect("an id");
    let seq = answer.header("Firstcome-Seq").and_then(|seq| seq.parse().ok()).expect("a number");
    Placed { path: format!("/v1/orders/{id}"), seq, was_sent_on }
}

/// Reads an order through a node, again while the node is behind. Returns how often it was.
fn read_own(address: SocketAddr, order: &Placed) -> usize {
    for behind in 0..100 {
        let read = get(address, &order.path, &format!("Firstcome-Min-Seq: {}\r\n", order.seq));
        if read.status == 200 {
            assert_eq!(read.body["state"], "reserved", "{:?}", read.body);
            let as_of = end(read.header("Firstcome-As-Of").expect("a node says it"));
            assert!(as_of >= order.seq, "{as_of} is before {}", order.seq);
            return behind;
        }
        assert_eq!((read.status, read.body["code"].as_str()), (503, Some("behind")), "{:?}", read.body);
    }
    panic!("{} is behind for good", address)
}

#[test]
fn a_buyer_who_asks_any_node_reads_their_own_order_through_every_node_and_goes_on_when_the_leader_dies() {
    let mut nodes = Nodes::start(3);
    let leader = nodes.leader();
    nodes.node(leader).create_drop(10_000);
    let followers: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    let ready = |nodes: &Nodes, node: usize, role: &str| {
        get(nodes.node(node).admin, &format!("/readyz?role={role}"), "").status == 200
    };
    for follower in &followers {
        wait_until("it follows", || ready(&nodes, *follower, "follower"));
        assert!(!ready(&nodes, *follower, "leader") && ready(&nodes, *follower, "any"));
        wait_until("the drop is there", || get(nodes.node(*follower).public, "/v1/drops/1", "").status == 200);
    }
    assert!(ready(&nodes, leader, "leader") && !ready(&nodes, leader, "follower"));

    let (mut behind, mut reads, mut placed) = (0, 0, Vec::new());
    for number in 0..45 {
        let asked = number % 3;
        let order = place(nodes.node(asked).public, &format!("b{number}"));
        assert_eq!(order.was_sent_on, asked != leader, "the leader stays the same");
        for node in 0..3 {
            behind += read_own(nodes.node(node).public, &order);
            reads += 1;
        }
        placed.push(order);
    }
    println!("{behind} of {reads} reads of one's own order were behind at first");
    assert!(behind * 5 < reads, "the wait is long enough for most: {behind} of {reads}");

    for node in 0..3 {
        let read = get(nodes.node(node).public, "/v1/drops/1", &format!("Firstcome-Min-Seq: {}\r\n", placed[44].seq));
        assert_eq!((read.header("Firstcome-Node"), read.body["held"].as_u64()), (Some(&*format!("n{node}")), Some(45)));
        let stale: u64 = read.header("Firstcome-Stale-Ms").and_then(|age| age.parse().ok()).expect("a number");
        assert!(if node == leader { stale == 0 } else { stale < 5_000 }, "n{node}: {stale} ms");
    }

    the_wire_and_streams_of_a_follower(&nodes, followers[0], leader);

    nodes.kill(leader);
    let next = nodes.leader();
    assert_ne!(next, leader);
    for (number, asked) in followers.iter().cycle().take(6).enumerate() {
        let order = place(nodes.node(*asked).public, &format!("after-{number}"));
        for follower in &followers {
            read_own(nodes.node(*follower).public, &order);
            // What the old leader acknowledged is in the state of every other node.
            read_own(nodes.node(*follower).public, &placed[44]);
        }
    }
    nodes.run(leader);
    wait_until("the old leader follows", || ready(&nodes, leader, "follower"));
    read_own(nodes.node(leader).public, &place(nodes.node(leader).public, "at-last"));
}

#[test]
fn a_leader_that_was_paused_never_calls_an_old_state_fresh() {
    const QUESTIONS: usize = 16;
    let nodes = Nodes::start(3);
    nodes.node(nodes.leader()).create_drop(10_000);
    let (mut fresh, mut old) = (0, 0);
    for round in 0..3 {
        let paused = nodes.leader();
        let others: Vec<usize> = (0..3).filter(|node| *node != paused).collect();
        let mut asking: Vec<Client> =
            (0..QUESTIONS).map(|_| Client::connect(nodes.node(paused).public).expect("connected")).collect();
        // They are known to their threads before the pause.
        for client in &mut asking {
            assert_eq!(client.get("/v1/drops/1").expect("answered").header("Firstcome-Stale-Ms"), Some("0"));
        }
        let mut decided = 0;
        let buyer = format!("late-{round}");
        let mut ordering = Client::connect(nodes.node(paused).public).expect("connected");
        assert_eq!(ordering.get("/healthz").expect("answered").status, 404, "known to its thread, too");
        nodes.node(paused).stand_still(|| {
            decided = place(nodes.node(others[0]).public, &format!("meanwhile-{round}")).seq;
            // Asked after another node has decided, and before this one goes on.
            for client in &mut asking {
                client.send("GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            }
            let body = format!(r#"{{"buyer":"{buyer}","quantity":1}}"#);
            let head = "POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
            let (head, length) = (format!("{head}\r\nIdempotency-Key: {buyer}"), body.len());
            ordering.send(&format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}")).expect("sent");
        });
        let late = ordering.receive().expect("answered");
        assert_eq!((&late.body["code"], &late.body["applied"]), (&"not-leader".into(), &"no".into()), "{late:?}");
        let again = Client::connect(nodes.node(nodes.leader()).public).and_then(|mut client| client.order(&buyer));
        let again = again.expect("answered");
        assert!(again.status == 201 && !again.is_repeat(), "it was said to be not applied: {again:?}");
        for mut client in asking {
            let mut read = client.receive().expect("answered");
            for _ in 0..20 {
                let version = end(read.body["version"].as_str().expect("a version"));
                if read.header("Firstcome-Stale-Ms") == Some("0") {
                    assert!(version >= decided, "event {version} is called fresh, and {decided} was decided before");
                    fresh += 1;
                } else {
                    old += usize::from(version < decided);
                }
                read = client.get("/v1/drops/1").expect("answered");
            }
        }
        wait_until("it follows", || {
            get(nodes.node(paused).admin, "/readyz?role=follower", "").status == 200
                || get(nodes.node(paused).admin, "/readyz?role=leader", "").status == 200
        });
    }
    println!("{fresh} reads were marked fresh after a pause, {old} others were old");
    assert!(old > 0, "no read came before the node knew");
}

fn the_wire_and_streams_of_a_follower(nodes: &Nodes, follower: usize, leader: usize) {
    let wire = |node: usize| {
        let stream = TcpStream::connect(nodes.node(node).wire).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        Peer::over(stream)
    };
    let mut peer = wire(follower);
    assert_eq!(peer.ask(ping("on")), pong("on"));
    assert_eq!(peer.ask(reserve(9, "wired")).no(), 26);
    let Some(Said::Error(26, address)) = peer.hear() else { panic!("no address") };
    assert_eq!(address, nodes.node(leader).wire.to_string());
    assert_eq!(peer.hear(), None, "it is closed");
    let mut at_leader = wire(leader);
    at_leader.ask(reserve(9, "wired")).order();

    let mut stream = TcpStream::connect(nodes.node(follower).public).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    write!(stream, "GET /v1/drops/1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut heard = String::new();
    let mut listen = |word: &str| {
        while !heard.contains(word) {
            let mut piece = [0u8; 4096];
            let read = stream.read(&mut piece).expect("it says more in time");
            assert_ne!(read, 0, "the stream ended: {heard}");
            heard.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    listen("event: snapshot");
    place(nodes.node(leader).public, "streamed");
    listen("\"held\":47");
}

#[test]
fn backups_by_schedule_are_made_by_the_node_that_follows_and_hold_what_the_leader_sold() {
    let backups = tempfile::tempdir().expect("scratch");
    let directory = backups.path().to_str().expect("a path");
    let settings = [
        ("FIRSTCOME__BACKUP__DIRECTORY", directory),
        ("FIRSTCOME__BACKUP__EVERY_SECONDS", "1"),
        ("FIRSTCOME__BACKUP__KEEP", "3"),
        ("FIRSTCOME__BACKUP__COMPRESSION", "none"),
    ];
    let mut nodes = Nodes::start_prepared(2, SLOTS, &settings, |_, _| {});
    let (leader, follower) = (nodes.leader(), nodes.follower());
    nodes.node(leader).create_drop(100);
    for number in 0..20 {
        place(nodes.node(leader).public, &format!("b{number}"));
    }
    let made = |node: usize| {
        let metrics = http::call(nodes.node(node).admin, "GET", "/metrics", "", "").text;
        let line = metrics.lines().find(|line| line.starts_with("firstcome_backups_total{result=\"made\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0u64)
    };
    // Both nodes followed at first: the leader may end one that it began then.
    let before = [leader, follower].map(made);
    wait_until("the follower makes backups", || made(follower) >= before[1] + 5);
    assert!(made(leader) <= before[0] + 1, "the disk of the leader has enough to do");
    nodes.stop_all(leader);
    let is_backup = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "db");
    let entries = std::fs::read_dir(directory).expect("a list").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.filter(is_backup).collect();
    files.sort();
    assert!((2..=3).contains(&files.len()), "{files:?}");
    let newest = files.pop().expect("a backup");
    let verified =
        std::process::Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("verify").arg(&newest).output().expect("run");
    let words = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && words.contains("20 orders"), "{words}{verified:?}");
}
