//! Linearizability by witness: every answer says which event it is, or which one it saw last. Sorted by that, the
//! answers must be what a sequential run gives; and an answer that came back before another request began must not
//! come after it.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "witness/auctions.rs"]
mod auctions;
mod model;
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::Random;
use process::{Answer, Client, Process};
use serde_json::{Value, json};

const STOCK: u64 = 40;
const LIMIT: u64 = 3;
const CLIENTS: usize = 8;
const BUYERS: u64 = 30;

/// What was asked.
#[derive(Clone, Debug)]
enum Asked {
    Order { buyer: u64, quantity: u64 },
    Cancel { order: String },
    Checkout { order: String },
    Pay { order: String },
    Refund { order: String, restock: u64 },
    Restock { delta: i64, expected: u64 },
}

/// Where an answer has its place in the sequential run, and the instants around it.
#[derive(Clone, Copy, Debug)]
struct Moment {
    began: Instant,
    ended: Instant,
    /// The event that the outcome is, or the last one that a refusal or a repeat saw.
    seq: u64,
    is_event: bool,
}

/// A request and its answer.
#[derive(Debug)]
struct Seen {
    asked: Asked,
    when: Moment,
    status: u16,
    body: Value,
}

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

/// The sequential run: one drop, by the rules of the contract, as simply as they can be said.
#[derive(Default)]
struct Sequential {
    total: u64,
    held: u64,
    sold: u64,
    used: BTreeMap<u64, u64>,
    orders: BTreeMap<String, Order>,
}

struct Order {
    buyer: u64,
    quantity: u64,
    returned: u64,
    state: &'static str,
}

impl Sequential {
    fn give_back(&mut self, buyer: u64, units: u64) {
        *self.used.entry(buyer).or_default() -= units;
    }

    /// What must have been answered: a status, and a code if it is a problem. Changes the state if it is a success.
    fn answer(&mut self, seen: &Seen) -> (u16, &'static str) {
        match &seen.asked {
            Asked::Order { buyer, quantity } => self.order(*buyer, *quantity, seen),
            Asked::Cancel { order } => self.end(order),
            Asked::Checkout { order } => {
                let order = self.orders.get_mut(order).expect("made before");
                match order.state {
                    "reserved" | "awaiting_payment" => {
                        order.state = "awaiting_payment";
                        (200, "")
                    }
                    _ => (409, "illegal-transition"),
                }
            }
            Asked::Pay { order } => {
                let order = self.orders.get_mut(order).expect("made before");
                match order.state {
                    "reserved" | "awaiting_payment" => {
                        order.state = "paid";
                        self.held -= order.quantity;
                        self.sold += order.quantity;
                        (200, "")
                    }
                    _ => (409, "illegal-transition"),
                }
            }
            Asked::Refund { order, restock } => {
                let order = self.orders.get_mut(order).expect("made before");
                if order.state != "paid" {
                    return (409, "illegal-transition");
                }
                order.state = "refunded";
                order.returned += restock;
                let buyer = order.buyer;
                self.sold -= restock;
                self.give_back(buyer, *restock);
                (200, "")
            }
            Asked::Restock { delta, expected } => {
                if *expected != self.total {
                    return (412, "precondition-failed");
                }
                let total = self.total.checked_add_signed(*delta).expect("small");
                if total < self.held + self.sold {
                    return (400, "validation");
                }
                self.total = total;
                (200, "")
            }
        }
    }

    fn order(&mut self, buyer: u64, quantity: u64, seen: &Seen) -> (u16, &'static str) {
        let used = self.used.entry(buyer).or_default();
        if *used + quantity > LIMIT {
            return (409, "limit-reached");
        }
        if self.total - self.held - self.sold < quantity {
            return (409, "sold-out");
        }
        *used += quantity;
        self.held += quantity;
        let id = seen.body["id"].as_str().unwrap_or("refused").to_string();
        self.orders.insert(id, Order { buyer, quantity, returned: 0, state: "reserved" });
        (201, "")
    }

    fn end(&mut self, order: &str) -> (u16, &'static str) {
        let order = self.orders.get_mut(order).expect("made before");
        match order.state {
            "reserved" | "awaiting_payment" => {
                order.state = "cancelled";
                let (buyer, units) = (order.buyer, order.quantity);
                self.held -= units;
                self.give_back(buyer, units);
                (200, "")
            }
            "cancelled" => (200, ""),
            _ => (409, "illegal-transition"),
        }
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

/// An answer that was there before another request began has the smaller number; for what changed nothing: not the
/// larger.
fn check_real_time(moments: impl Iterator<Item = Moment>, seed: u64) {
    let mut moments: Vec<Moment> = moments.collect();
    let mut by_end: Vec<(Instant, u64)> = moments.iter().map(|moment| (moment.ended, moment.seq)).collect();
    by_end.sort_unstable();
    moments.sort_by_key(|moment| moment.began);
    let (mut ended, mut highest) = (by_end.iter().peekable(), 0);
    for moment in moments {
        while let Some((_, seq)) = ended.next_if(|(at, _)| *at < moment.began) {
            highest = highest.max(*seq);
        }
        let in_order = if moment.is_event { moment.seq > highest } else { moment.seq >= highest };
        assert!(in_order, "seed {seed}: event {highest} was answered before this was asked: {moment:?}");
    }
}
