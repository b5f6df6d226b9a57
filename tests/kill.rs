//! kill -9 on the real binary under load, again and again: every acknowledged order is there, nothing twice, and what
//! was unknown is known after the first retry. With the feature `failpoints` some kills come between BEGIN and the
//! replies, at a place where the writer was stopped to wait for them.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "kill/auctions.rs"]
mod auctions;
#[path = "kill/draws.rs"]
mod draws;
mod model;
mod process;
#[path = "kill/rooms.rs"]
mod rooms;
#[path = "kill/standby.rs"]
mod standby;
#[path = "kill/turns.rs"]
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use firstcome::store::verify;
use model::Random;
use process::{Client, Pause, Process, wait_until};

const CONNECTIONS: usize = 8;

/// One connection's buyers: who has which order, and of whom it is not known.
#[derive(Default)]
struct Buyers {
    next: u64,
    orders: BTreeMap<String, String>,
    unknown: Option<String>,
    resolved: u64,
    repeated: u64,
}

impl Buyers {
    /// Orders until the connection breaks; first for whom nothing is known.
    fn order_until_killed(&mut self, n: usize, server: std::net::SocketAddr, answered: &AtomicU64) {
        let Ok(mut client) = Client::connect(server) else { return };
        loop {
            let retried = self.unknown.clone();
            let buyer = retried.clone().unwrap_or_else(|| {
                self.next += 1;
                format!("buyer-{n}-{}", self.next)
            });
            let Ok(answer) = client.order(&buyer) else {
                self.unknown = Some(buyer);
                return;
            };
            assert_eq!(answer.status, 201, "{buyer}: {:?}", answer.body);
            assert!(!answer.is_repeat() || retried.is_some(), "{buyer} had an order before asking for one");
            if retried.is_some() {
                self.resolved += 1;
                self.repeated += u64::from(answer.is_repeat());
            }
            self.unknown = None;
            answered.fetch_add(1, Ordering::Relaxed);
            let id = answer.body["id"].as_str().expect("an id").to_string();
            self.orders.insert(buyer, id);
        }
    }
}

/// Where the next kill comes: at a place of the writer's loop, or anywhere.
fn place(random: &mut Random, pause: &Pause) -> Vec<(&'static str, String)> {
    if !cfg!(feature = "failpoints") || random.one_in(2) {
        return Vec::new();
    }
    let place = random.pick(&["AfterBegin", "BeforeCommit", "AfterCommit", "AfterWatermark"]);
    pause.at(place, 1 + random.below(150))
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_sells_nothing_twice() {
    let seed = model::replayed_seed().unwrap_or(0x5eed);
    let cycles = model::scaled(20, 6);
    let mut random = Random(seed);
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let mut buyers: Vec<Buyers> = (0..CONNECTIONS).map(|_| Buyers::default()).collect();
    let (mut in_commit, mut slowest_start) = (0u64, Duration::ZERO);
    for cycle in 0..cycles {
        let place = place(&mut random, &pause);
        let started = Instant::now();
        let mut server = Process::start(&data, &place);
        slowest_start = slowest_start.max(started.elapsed());
        if cycle == 0 {
            server.create_drop(4_000_000_000);
        }
        let address = server.public;
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for (n, buyers) in buyers.iter_mut().enumerate() {
                let answered = &answered;
                scope.spawn(move || buyers.order_until_killed(n, address, answered));
            }
            if place.is_empty() {
                // Any moment is as good as another: after so many answers, wherever the writer is then.
                let enough = random.below(400);
                wait_until("enough answers", || answered.load(Ordering::Relaxed) >= enough);
            } else {
                pause.wait();
                in_commit += 1;
            }
            server.kill();
        });
    }
    let mut server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    let mut ids = BTreeSet::new();
    let (mut resolved, mut repeated, mut acknowledged) = (0, 0, 0u64);
    for buyers in &mut buyers {
        if let Some(buyer) = buyers.unknown.take() {
            let answer = client.order(&buyer).expect("answered");
            assert_eq!(answer.status, 201, "{buyer}: {:?}", answer.body);
            buyers.orders.insert(buyer, answer.body["id"].as_str().expect("an id").into());
        }
        for (buyer, id) in &buyers.orders {
            let order = client.get(&format!("/v1/orders/{id}")).expect("answered");
            assert_eq!((order.status, order.body["buyer"].as_str()), (200, Some(buyer.as_str())), "seed {seed}");
            assert!(ids.insert(id.clone()), "two buyers have the order {id}");
        }
        acknowledged += u64::try_from(buyers.orders.len()).expect("few");
        resolved += buyers.resolved;
        repeated += buyers.repeated;
    }
    server.kill();
    let report = verify::verify(&data).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    assert_eq!((report.orders, report.held), (acknowledged, acknowledged), "seed {seed}: nothing twice, nothing lost");
    println!(
        "{cycles} kills, {in_commit} of them between BEGIN and the replies; {acknowledged} orders; {resolved} unknown \
         ones resolved by their first retry, {repeated} of them had been committed; slowest start {slowest_start:?}"
    );
    if cfg!(feature = "failpoints") {
        assert!(in_commit * 5 >= cycles, "{in_commit} of {cycles} kills were between BEGIN and the replies");
    }
}
