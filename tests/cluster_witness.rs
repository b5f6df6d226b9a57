//! The answers of three nodes are those of one sequential run: orders and cancels by clients who ask any node, refusals, and
//! reads of the drop that a node calls fresh, while the leader is paused and another one leads, and while one dies.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "witness/checker.rs"]
mod checker;
mod etcd;
mod model;
mod nodes;
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checker::{Asked, LIMIT, Moment, STOCK, Seen, Sequential, check_real_time};
use model::Random;
use nodes::{Nodes, address_of};
use parking_lot::Mutex;
use process::{Answer, Client, wait_until};
use serde_json::{Value, json};

const CLIENTS: u64 = 8;
const BUYERS: u64 = 30;
/// Longest wait of a client for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time for which clients go on between two faults.
const BETWEEN: Duration = Duration::from_millis(1500);

/// A read of the drop: the event that the answer is as of.
#[derive(Debug)]
struct Read {
    when: Moment,
    is_fresh: bool,
    held: u64,
}

/// The part of the clients that the test sees.
struct Shared {
    stop: AtomicBool,
    nodes: Mutex<Vec<SocketAddr>>,
}

/// A client who asks any node, and follows redirects.
struct Life<'a> {
    shared: &'a Shared,
    random: Random,
    name: u64,
    /// The node that was asked last; orders go there until it does not take them.
    open: Option<(SocketAddr, Client)>,
    mine: Vec<String>,
    seen: Vec<Seen>,
    /// Cancels of which an attempt had no answer: when the first one began.
    unclear: BTreeMap<String, Instant>,
    reads: Vec<Read>,
}

/// The end of a command that was sent until it was decided.
struct Decided {
    answer: Answer,
    began: Instant,
    ended: Instant,
    /// An attempt before had no answer, and began then.
    unclear: Option<Instant>,
}

impl Life<'_> {
    fn live(mut self) -> Self {
        for number in 0_u64.. {
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.random.below(10) {
                0..=2 => self.order(number),
                3 if !self.mine.is_empty() => self.cancel(),
                _ => self.read(),
            }
            std::thread::park_timeout(Duration::from_millis(self.random.below(8)));
        }
        self
    }

    fn any_node(&mut self) -> SocketAddr {
        let nodes = self.shared.nodes.lock();
        self.random.pick(&nodes)
    }

    fn order(&mut self, number: u64) {
        let (buyer, quantity) = (self.random.below(BUYERS), 1 + self.random.below(2));
        let body = json!({ "buyer": format!("buyer{buyer}"), "quantity": quantity });
        let Decided { answer, began, ended, unclear } =
            self.decide("/v1/drops/1/orders", &format!("{}-{number}", self.name), &body);
        let is_event = answer.status == 201;
        let when = if is_event {
            let id = answer.body["id"].as_str().expect("an id").to_string();
            let seq = seq_in(&id);
            self.mine.push(id);
            // An attempt without an answer may be what was decided.
            Moment { began: unclear.unwrap_or(began), ended, seq, is_event }
        } else {
            Moment { began, ended, seq: answer.body["as_of_seq"].as_u64().expect("a witness"), is_event }
        };
        let Answer { status, body, .. } = answer;
        self.seen.push(Seen { asked: Asked::Order { buyer, quantity }, when, status, body });
    }

    /// Cancels an order, once.
    fn cancel(&mut self) {
        let at = usize::try_from(self.random.below(self.mine.len() as u64)).expect("few");
        let order = self.mine.swap_remove(at);
        let path = format!("/v1/orders/{order}/cancel");
        let Decided { answer, began, ended, unclear } = self.decide(&path, "cancel", &json!({}));
        assert_eq!(answer.status, 200, "{answer:?}");
        let seq = answer.header("Firstcome-Seq").and_then(|seq| seq.parse().ok()).expect("a number");
        if let Some(unclear) = unclear {
            self.unclear.insert(order.clone(), unclear);
        }
        let when = Moment { began, ended, seq, is_event: true };
        let Answer { status, body, .. } = answer;
        self.seen.push(Seen { asked: Asked::Cancel { order }, when, status, body });
    }

    /// Sends a command, again with the same key, until an answer says what became of it.
    fn decide(&mut self, path: &str, key: &str, body: &Value) -> Decided {
        let (until, mut unclear) = (Instant::now() + Duration::from_secs(60), None);
        loop {
            assert!(Instant::now() < until, "{path} with the key {key} is never decided");
            let began = Instant::now();
            let (address, mut client) = match self.open.take() {
                Some(open) => open,
                None => {
                    let address = self.any_node();
                    let Ok(client) = Client::connect_patiently(address, PATIENCE) else { continue };
                    (address, client)
                }
            };
            let answer = client.post(path, key, body);
            let ended = Instant::now();
            match answer {
                Ok(answer) if [200, 201, 409].contains(&answer.status) => {
                    self.open = Some((address, client));
                    return Decided { answer, began, ended, unclear };
                }
                Ok(answer) if answer.status == 307 => {
                    let leader = answer.header("Location").and_then(address_of).expect("an address");
                    self.open = Client::connect_patiently(leader, PATIENCE).ok().map(|client| (leader, client));
                }
                Ok(answer) => {
                    assert!(answer.status >= 500, "{answer:?}");
                    if answer.body["applied"] != "no" {
                        unclear.get_or_insert(began);
                    }
                }
                Err(_) => {
                    unclear.get_or_insert(began);
                }
            }
            if self.open.is_none() {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
    }

    /// Reads the drop through any node; without an answer nothing is known.
    fn read(&mut self) {
        let address = self.any_node();
        let Ok(mut client) = Client::connect_patiently(address, PATIENCE) else { return };
        for _ in 0..3 {
            let began = Instant::now();
            let Ok(answer) = client.get("/v1/drops/1") else { return };
            let ended = Instant::now();
            if answer.status != 200 {
                return;
            }
            let seq = seq_of(&answer.body["version"]);
            let is_fresh = answer.header("Firstcome-Stale-Ms") == Some("0");
            let held = answer.body["held"].as_u64().expect("a number");
            let when = Moment { began, ended, seq, is_event: false };
            self.reads.push(Read { when, is_fresh, held });
        }
    }
}

/// The number of the event that made an order: the first 48 bits of its id.
fn seq_in(id: &str) -> u64 {
    let digits: String = id.chars().filter(|digit| *digit != '-').take(12).collect();
    u64::from_str_radix(&digits, 16).expect("an id")
}

/// The number in a version, `epoch-seq`.
fn seq_of(version: &Value) -> u64 {
    let number = version.as_str().and_then(|version| version.rsplit('-').next());
    number.and_then(|seq| seq.parse().ok()).expect("a version")
}

/// Pauses a leader until another one decides, lets it go on, and then kills one.
fn take_over_twice(nodes: &mut Nodes, shared: &Shared) {
    std::thread::park_timeout(BETWEEN);
    let paused = nodes.leader();
    nodes.node(paused).stand_still(|| {
        wait_until("another leader", || (0..3).any(|node| node != paused && nodes.leads(node)));
        std::thread::park_timeout(BETWEEN);
    });
    std::thread::park_timeout(BETWEEN);
    let killed = nodes.leader();
    nodes.kill(killed);
    *shared.nodes.lock() = nodes.public();
    nodes.leader();
    std::thread::park_timeout(BETWEEN);
    nodes.run(killed);
    *shared.nodes.lock() = nodes.public();
    std::thread::park_timeout(BETWEEN);
}

#[test]
fn the_answers_of_three_nodes_are_those_of_one_sequential_run_whoever_leads_and_fresh_reads_are_fresh() {
    let seed = model::replayed_seed().unwrap_or(0x3fc);
    let mut nodes = Nodes::start(3);
    let admin = nodes.node(nodes.leader()).admin;
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": STOCK,
        "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400, "per_buyer_limit": LIMIT });
    let made = Client::connect(admin).and_then(|mut admin| admin.post("/v1/drops", "create", &drop));
    assert_eq!(made.expect("answered").status, 201);
    for node in 0..3 {
        wait_until("the drop is there", || {
            Client::connect(nodes.node(node).public)
                .and_then(|mut client| client.get("/v1/drops/1"))
                .is_ok_and(|answer| answer.status == 200)
        });
    }
    let shared = Shared { stop: AtomicBool::new(false), nodes: Mutex::new(nodes.public()) };
    let lives: Vec<Life<'_>> = std::thread::scope(|scope| {
        let lives: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let life = Life {
                    shared: &shared,
                    random: Random(seed ^ name << 32),
                    name,
                    open: None,
                    mine: Vec::new(),
                    seen: Vec::new(),
                    unclear: BTreeMap::new(),
                    reads: Vec::new(),
                };
                scope.spawn(move || life.live())
            })
            .collect();
        take_over_twice(&mut nodes, &shared);
        shared.stop.store(true, Ordering::Relaxed);
        lives.into_iter().map(|life| life.join().expect("a client")).collect()
    });
    check(lives, nodes.node(nodes.leader()).public, seed);
}

fn check(lives: Vec<Life<'_>>, leader: SocketAddr, seed: u64) {
    let mut leader = Client::connect(leader).expect("connected");
    let (mut seen, mut reads, mut unclear) = (Vec::new(), Vec::new(), 0);
    for life in lives {
        seen.extend(life.seen.into_iter().map(|mut seen| {
            // An attempt that had no answer may be what was decided: the order says in which event.
            if let Asked::Cancel { order } = &seen.asked
                && let Some(began) = life.unclear.get(order)
            {
                let found = leader.get(&format!("/v1/orders/{order}")).expect("answered");
                (seen.when.began, seen.when.seq) = (*began, seq_of(&found.body["version"]));
                unclear += 1;
            }
            seen
        }));
        reads.extend(life.reads);
    }
    // Events by their number; what changed nothing right after the event that it saw last.
    seen.sort_by_key(|seen| (seen.when.seq, !seen.when.is_event));
    let mut sequential = Sequential { total: STOCK, ..Sequential::default() };
    let mut held_after = BTreeMap::from([(0, 0)]);
    for seen in &seen {
        let expected = sequential.answer(seen);
        let code = seen.body["code"].as_str().filter(|_| seen.status >= 400).unwrap_or("");
        assert_eq!((seen.status, code), expected, "seed {seed}, event {}: {seen:?}", seen.when.seq);
        assert!(sequential.held <= STOCK, "seed {seed}, event {}: oversold", seen.when.seq);
        let _before = held_after.insert(seen.when.seq, sequential.held);
    }
    let end = leader.get("/v1/drops/1").expect("answered").body;
    assert_eq!(end["held"], sequential.held, "seed {seed}: no event is unknown");
    for read in &reads {
        let (_, held) = held_after.range(..=read.when.seq).next_back().expect("the first one");
        assert_eq!(read.held, *held, "seed {seed}: {read:?}");
    }
    let fresh = reads.iter().filter(|read| read.is_fresh).count();
    let refused = seen.iter().filter(|seen| seen.status >= 400).count();
    println!(
        "{} answers, {refused} of them refusals, {unclear} cancels known later, {fresh} fresh reads and {} others",
        seen.len(),
        reads.len() - fresh
    );
    assert!(refused > seen.len() / 20 && refused < seen.len(), "both kinds of answers: {refused} of {}", seen.len());
    assert!(fresh > 100 && fresh < reads.len(), "both kinds of reads: {fresh} of {}", reads.len());
    let fresh = reads.into_iter().filter(|read| read.is_fresh).map(|read| read.when);
    check_real_time(seen.iter().map(|seen| seen.when).chain(fresh), seed);
}
