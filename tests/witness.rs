//! Linearizability by witness: every answer says which event it is, or which one it saw last. Sorted by that, the
//! answers must be what a sequential run gives; and an answer that came back before another request began must not
//! come after it.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "witness/auctions.rs"]
mod auctions;
#[path = "witness/checker.rs"]
mod checker;
mod model;
mod process;
#[path = "witness/room_run.rs"]
mod room_run;
#[path = "witness/rooms.rs"]
mod rooms;
#[path = "witness/standby.rs"]
mod standby;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use checker::{Asked, LIMIT, Moment, STOCK, Seen, Sequential, check_real_time};
use model::Random;
use process::{Answer, Client, Process};
use serde_json::json;

const CLIENTS: usize = 8;
const BUYERS: u64 = 30;

/// One client's life: orders, and everything that can be done with them.
struct Life {
    public: Client,
    admin: Client,
    random: Random,
    name: usize,
    asked: u64,
    mine: Vec<String>,
    seen: Vec<Seen>,
}

impl Life {
    fn choose(&mut self) -> Asked {
        let mine = self.mine.len() as u64;
        let order = (mine > 0).then(|| {
            let at = usize::try_from(self.random.below(mine)).expect("few");
            self.mine[at].clone()
        });
        match (self.random.below(12), order) {
            (0..=1, Some(order)) => Asked::Cancel { order },
            (2..=3, Some(order)) => Asked::Checkout { order },
            (4..=5, Some(order)) => Asked::Pay { order },
            (6..=7, Some(order)) => Asked::Refund { order, restock: self.random.below(2) },
            (8, _) if self.random.one_in(6) => Asked::Restock {
                delta: if self.random.one_in(2) { 1 } else { -1 },
                expected: STOCK + self.random.below(2),
            },
            _ => Asked::Order { buyer: self.random.below(BUYERS), quantity: 1 + self.random.below(2) },
        }
    }

    fn send(&mut self, asked: &Asked) -> Answer {
        let key = format!("{}-{}", self.name, self.asked);
        let reason = "witness";
        let answer = match asked {
            Asked::Order { buyer, quantity } => {
                let body = json!({ "buyer": format!("buyer{buyer}"), "quantity": quantity });
                self.public.post("/v1/drops/1/orders", &key, &body)
            }
            Asked::Cancel { order } => self.public.post(&format!("/v1/orders/{order}/cancel"), &key, &json!({})),
            Asked::Checkout { order } => {
                let body = json!({ "contact": { "email": "a@example.org" } });
                self.public.post(&format!("/v1/orders/{order}/checkout"), &key, &body)
            }
            Asked::Pay { order } => {
                let amount = 100 * self.quantity_of(order);
                let body = json!({ "reference": key, "amount": amount, "currency": "EUR", "reason": reason });
                self.admin.post(&format!("/v1/orders/{order}/payments"), &key, &body)
            }
            Asked::Refund { order, restock } => {
                let body = json!({ "restock_quantity": restock, "reason": reason });
                self.admin.post(&format!("/v1/orders/{order}/refund"), &key, &body)
            }
            Asked::Restock { delta, expected } => {
                let body = json!({ "delta": delta, "expected_total": expected, "reason": reason });
                self.admin.post("/v1/drops/1/stock", &key, &body)
            }
        };
        answer.expect("answered")
    }

    fn quantity_of(&self, order: &str) -> u64 {
        let made = self.seen.iter().find(|seen| seen.status == 201 && seen.body["id"] == order);
        made.and_then(|seen| seen.body["quantity"].as_u64()).expect("one of mine")
    }

    fn live(mut self, requests: u64) -> Vec<Seen> {
        for _ in 0..requests {
            self.asked += 1;
            let asked = self.choose();
            let began = Instant::now();
            let answer = self.send(&asked);
            let ended = Instant::now();
            let is_event = answer.status < 300 && !answer.is_repeat();
            let seq = answer.header("Firstcome-Seq").and_then(|seq| seq.parse().ok());
            let seq =
                seq.or_else(|| answer.body["as_of_seq"].as_u64()).unwrap_or_else(|| panic!("no witness: {answer:?}"));
            if answer.status == 201 {
                self.mine.push(answer.body["id"].as_str().expect("an id").to_string());
            }
            let Answer { status, body, .. } = answer;
            self.seen.push(Seen { asked, when: Moment { began, ended, seq, is_event }, status, body });
        }
        self.seen
    }
}

fn run_clients(public: SocketAddr, admin: SocketAddr, seed: u64, requests: u64) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let lives: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let life = Life {
                    public: Client::connect(public).expect("connected"),
                    admin: Client::connect(admin).expect("connected"),
                    random: Random(seed ^ (name as u64) << 32),
                    name,
                    asked: 0,
                    mine: Vec::new(),
                    seen: Vec::new(),
                };
                scope.spawn(move || life.live(requests))
            })
            .collect();
        lives.into_iter().flat_map(|life| life.join().expect("a client")).collect()
    })
}

#[test]
fn the_answers_are_those_of_one_sequential_run_and_respect_real_time() {
    let seed = model::replayed_seed().unwrap_or(0xfc);
    // As many as fit in two minutes with FIRSTCOME_TEST_SCALE=20 (scripts/soak.sh).
    let requests = model::scaled(4000, 250);
    let scratch = tempfile::tempdir().expect("scratch");
    let mut server = Process::start(&scratch.path().join("data"), &[]);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": STOCK,
        "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400, "payment_seconds": 86_400,
        "per_buyer_limit": LIMIT });
    let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/drops", "create", &drop));
    assert_eq!(made.expect("answered").status, 201);
    let began = Instant::now();
    let mut seen = run_clients(server.public, server.admin, seed, requests);
    let took = began.elapsed();
    server.kill();

    tell_repeated_cancels(&mut seen);
    // Events by their number; what changed nothing right after the event that it saw last.
    seen.sort_by_key(|seen| (seen.when.seq, !seen.when.is_event));
    let mut sequential = Sequential { total: STOCK, ..Sequential::default() };
    for seen in &seen {
        let expected = sequential.answer(seen);
        let code = seen.body["code"].as_str().filter(|_| seen.status >= 400).unwrap_or("");
        assert_eq!((seen.status, code), expected, "seed {seed}, event {}: {seen:?}", seen.when.seq);
        assert!(
            sequential.held + sequential.sold <= sequential.total,
            "seed {seed}, event {}: oversold",
            seen.when.seq
        );
    }
    check_real_time(seen.iter().map(|seen| seen.when), seed);
    let refused = seen.iter().filter(|seen| seen.status >= 400).count();
    println!("{} answers in {took:?}, {refused} refusals: one sequential run, in the order of real time", seen.len());
    assert!(refused > seen.len() / 20 && refused < seen.len(), "both kinds of answers: {refused} of {}", seen.len());
    assert!(took < Duration::from_secs(600));
}

/// A cancel needs no key, so a repeated one answers like the first: only that one, the earliest, was an event.
fn tell_repeated_cancels(seen: &mut [Seen]) {
    seen.sort_by_key(|seen| seen.when.seq);
    let mut cancelled = std::collections::BTreeSet::new();
    for seen in seen.iter_mut().filter(|seen| seen.status == 200) {
        if let Asked::Cancel { order } = &seen.asked {
            seen.when.is_event = cancelled.insert(order.clone());
        }
    }
}
