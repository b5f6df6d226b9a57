//! The same for a line behind a drop that is sold out: orders that may stand by or not, joinings, looks, leaves and cancels.
//! The orders that the line gave out are part of the run: none is late, and no buyer is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::model::{self, Random};
use super::process::{Client, Process};
use super::{Moment, check_real_time};

const CLIENTS: u64 = 8;
const BUYERS_PER_CLIENT: u64 = 4;
const STOCK: u64 = 6;

#[derive(Clone, Debug)]
enum Asked {
    Order { buyer: u64, quantity: u64, stands_by: bool },
    Join { buyer: u64, quantity: u64 },
    Find { buyer: u64 },
    Leave { buyer: u64 },
    Cancel { order: String },
}

#[derive(Debug)]
struct Seen {
    asked: Asked,
    when: Moment,
    status: u16,
    body: Value,
}

struct Life {
    name: u64,
    public: Client,
    random: Random,
    asked: u64,
    orders: Vec<String>,
    /// The key with which a buyer joined the line last.
    joined: BTreeMap<u64, String>,
    /// Orders that were cancelled, and those above.
    known: BTreeSet<String>,
}

impl Life {
    fn choose(&mut self) -> Asked {
        let buyer = self.name * BUYERS_PER_CLIENT + self.random.below(BUYERS_PER_CLIENT);
        let quantity = 1 + self.random.below(2);
        match self.random.below(12) {
            0..=2 => Asked::Order { buyer, quantity, stands_by: self.random.one_in(2) },
            3 => Asked::Join { buyer, quantity },
            4..=7 => Asked::Find { buyer },
            8 if self.random.one_in(3) => Asked::Leave { buyer },
            _ if self.orders.is_empty() => Asked::Find { buyer },
            _ => {
                let index = self.random.below(u64::try_from(self.orders.len()).expect("few"));
                Asked::Cancel { order: self.orders.swap_remove(usize::try_from(index).expect("few")) }
            }
        }
    }

    fn ask(&mut self, asked: Asked) -> Seen {
        let key = format!("{}-{}", self.name, self.asked);
        let line = |buyer: u64| format!("/v1/drops/1/standby?buyer=buyer{buyer}");
        let began = Instant::now();
        let answer = match &asked {
            Asked::Order { buyer, quantity, stands_by } => {
                let body = json!({ "buyer": format!("buyer{buyer}"), "quantity": quantity, "standby": stands_by });
                self.public.post("/v1/drops/1/orders", &key, &body)
            }
            Asked::Join { buyer, quantity } => {
                let body = json!({ "buyer": format!("buyer{buyer}"), "quantity": quantity });
                self.public.post("/v1/drops/1/standby", &key, &body)
            }
            Asked::Find { buyer } => {
                // With the key of the joining the answer has the order.
                let key = self.joined.get(buyer).map_or("none", String::as_str);
                let head =
                    format!("GET {} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\n\r\n", line(*buyer));
                self.public.send(&head).and_then(|()| self.public.receive())
            }
            Asked::Leave { buyer } => {
                let request = format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", line(*buyer));
                self.public.send(&request).and_then(|()| self.public.receive())
            }
            Asked::Cancel { order } => self.public.post(&format!("/v1/orders/{order}/cancel"), &key, &json!({})),
        };
        let (answer, ended) = (answer.expect("answered"), Instant::now());
        let seq = answer.header("Firstcome-Seq").and_then(|seq| seq.parse().ok());
        let seq = seq.or_else(|| answer.body["as_of_seq"].as_u64()).unwrap_or_else(|| panic!("no witness: {answer:?}"));
        let is_event = answer.status < 300 && !answer.is_repeat() && !matches!(asked, Asked::Find { .. });
        if let Asked::Order { buyer, .. } | Asked::Join { buyer, .. } = asked
            && (answer.status == 202 && !answer.is_repeat())
        {
            self.joined.insert(buyer, key);
        }
        let order = if answer.status == 201 { &answer.body["id"] } else { &answer.body["order"]["id"] };
        if let Some(order) = order.as_str().filter(|_| answer.status < 300)
            && self.known.insert(order.to_string())
        {
            self.orders.push(order.to_string());
        }
        Seen { asked, when: Moment { began, ended, seq, is_event }, status: answer.status, body: answer.body }
    }

    fn live(mut self, requests: u64) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..requests {
            self.asked += 1;
            let asked = self.choose();
            seen.push(self.ask(asked));
        }
        seen
    }
}

/// The number of the event that made an order: the first 48 bits of its id.
fn seq_in(id: &Value) -> u64 {
    let digits: String = id.as_str().expect("an id").chars().filter(|digit| *digit != '-').take(12).collect();
    u64::from_str_radix(&digits, 16).expect("an id")
}

struct Entry {
    joined: u64,
    buyer: u64,
    quantity: u64,
}

/// The sequential run, by the rules of the contract.
#[derive(Default)]
struct Sequential {
    line: Vec<Entry>,
    held: u64,
    /// Units of live orders.
    orders: BTreeMap<u64, u64>,
    /// The last order that a buyer got from the line.
    granted: BTreeMap<u64, u64>,
    /// Orders that the answer of a joining told, by the event of the joining.
    told: BTreeMap<u64, u64>,
    grants: u64,
    passed_over: u64,
}

impl Sequential {
    fn next(&self) -> Option<usize> {
        self.line.iter().position(|entry| entry.quantity <= STOCK - self.held)
    }

    fn grant(&mut self, order: u64, joined: u64) {
        let index = self.next().unwrap_or_else(|| panic!("event {order}: no units are free for the line"));
        let Entry { joined: first, buyer, quantity } = self.line.remove(index);
        assert_eq!(first, joined, "event {order}: a buyer was passed over");
        assert!(self.told.get(&joined).is_none_or(|told| *told == order), "event {order}: another order was told");
        self.held += quantity;
        self.orders.insert(order, quantity);
        self.granted.insert(buyer, order);
        self.grants += 1;
        self.passed_over += u64::from(index > 0);
    }

    /// Compares the answer of a buyer who stands by, or who joins by it.
    fn stand_by(&mut self, buyer: u64, quantity: u64, seen: &Seen) {
        let place = self.line.iter().position(|entry| entry.buyer == buyer);
        assert_eq!(seen.when.is_event, place.is_none(), "{seen:?}");
        if place.is_none() {
            self.line.push(Entry { joined: seen.when.seq, buyer, quantity });
        }
        if seen.body["state"] == "ordered" {
            // Units were free: the order that the next event makes is told with the answer.
            assert_eq!(self.next().map(|index| self.line[index].buyer), Some(buyer), "{seen:?}");
            self.told.insert(seen.when.seq, seq_in(&seen.body["order"]["id"]));
        } else if self.held == STOCK {
            // With units free the answer tells the place of a moment later, which is not that of the number.
            self.check_place(buyer, seen);
        }
    }

    fn check(&mut self, seen: &Seen) {
        assert!(self.next().is_none(), "units were free for the line before {seen:?}");
        let code = seen.body["code"].as_str().filter(|_| seen.status >= 400).unwrap_or("");
        let expect = |status, name| assert_eq!((seen.status, code), (status, name), "{seen:?}");
        match seen.asked {
            Asked::Order { quantity, .. } if quantity <= STOCK - self.held => {
                expect(201, "");
                assert_eq!(seq_in(&seen.body["id"]), seen.when.seq, "{seen:?}");
                self.held += quantity;
                self.orders.insert(seen.when.seq, quantity);
            }
            Asked::Order { stands_by: false, .. } => {
                expect(409, "sold-out");
                assert_eq!(seen.body["standby"], json!(self.line.len()), "{seen:?}");
            }
            Asked::Order { buyer, quantity, stands_by: true } | Asked::Join { buyer, quantity } => {
                expect(202, "");
                self.stand_by(buyer, quantity, seen);
            }
            Asked::Find { buyer } => {
                match (self.line.iter().any(|entry| entry.buyer == buyer), self.granted.get(&buyer)) {
                    (true, _) => {
                        expect(200, "");
                        self.check_place(buyer, seen);
                    }
                    (false, Some(order)) => {
                        expect(200, "");
                        assert_eq!(seen.body["state"], "ordered", "{seen:?}");
                        // Missing if the buyer has joined with another key since.
                        let told = seen.body.get("order").map(|told| seq_in(&told["id"]));
                        assert!(told.is_none_or(|told| told == *order), "{seen:?}");
                    }
                    (false, None) => expect(404, "not-found"),
                }
            }
            Asked::Leave { buyer } => match self.line.iter().position(|entry| entry.buyer == buyer) {
                Some(place) => {
                    expect(204, "");
                    self.line.remove(place);
                }
                None => expect(404, "not-found"),
            },
            Asked::Cancel { .. } => {
                expect(200, "");
                let units = self.orders.remove(&seq_in(&seen.body["id"])).expect("a live order");
                self.held -= units;
            }
        }
    }

    /// Compares what an answer says of a buyer's place in the line.
    fn check_place(&self, buyer: u64, seen: &Seen) {
        let place = self.line.iter().position(|entry| entry.buyer == buyer).expect("in the line");
        let expected = json!([self.line[place].quantity, place + 1, self.line.len(), STOCK - self.held, self.held]);
        let told = ["quantity", "position", "standby", "available", "held"].map(|name| seen.body[name].clone());
        assert_eq!((json!(told), &seen.body["state"]), (expected, &json!("waiting")), "{seen:?}");
    }
}

/// The orders that the line gave out: the event, and the event by which the buyer joined.
fn grants(data: &Path) -> Vec<(u64, u64)> {
    let file = Connection::open(data.join("firstcome.db")).expect("opened");
    let mut rows =
        file.prepare("SELECT seq, detail FROM audit WHERE kind = 'order_reserved' ORDER BY seq").expect("read");
    let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))).expect("read");
    let joined = |row: rusqlite::Result<(i64, Option<String>)>| {
        let (seq, detail) = row.expect("a row");
        let detail: Value = serde_json::from_str(&detail?).expect("JSON");
        Some((seq.unsigned_abs(), detail["joined_seq"].as_u64()?))
    };
    rows.filter_map(joined).collect()
}

#[test]
fn the_answers_of_a_line_are_those_of_one_sequential_run_and_respect_real_time() {
    let seed = model::replayed_seed().unwrap_or(0x57b);
    let requests = model::scaled(2000, 250);
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": STOCK,
        "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400, "per_buyer_limit": 1000 });
    let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/drops", "create", &drop));
    assert_eq!(made.expect("answered").status, 201);
    let public = server.public;
    let mut seen: Vec<Seen> = std::thread::scope(|scope| {
        let lives: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let (client, random) = (Client::connect(public).expect("connected"), Random(seed ^ name << 32));
                let (orders, known) = (Vec::new(), BTreeSet::new());
                let joined = BTreeMap::new();
                let life = Life { name, public: client, random, asked: 0, orders, joined, known };
                scope.spawn(move || life.live(requests))
            })
            .collect();
        lives.into_iter().flat_map(|life| life.join().expect("a client")).collect()
    });
    server.kill();

    // Events by their number; what changed nothing right after the event that it saw last.
    seen.sort_by_key(|seen| (seen.when.seq, !seen.when.is_event));
    let mut grants = grants(&data).into_iter().peekable();
    let mut sequential = Sequential::default();
    for seen in &seen {
        while let Some((order, joined)) = grants.next_if(|(order, _)| *order <= seen.when.seq) {
            sequential.grant(order, joined);
        }
        sequential.check(seen);
        assert!(sequential.held <= STOCK, "seed {seed}: oversold");
    }
    check_real_time(seen.iter().map(|seen| seen.when), seed);
    let count = |status: u16| seen.iter().filter(|seen| seen.status == status).count();
    let Sequential { grants, passed_over, .. } = sequential;
    println!(
        "seed {seed}: {} answers, {} orders, {grants} from the line, {passed_over} of them before a larger wish, {} \
         places told, {} left",
        seen.len(),
        count(201),
        count(202),
        count(204)
    );
    assert!(grants > 10 && passed_over > 0 && count(204) > 0, "seed {seed}: the line was stood in");
}
