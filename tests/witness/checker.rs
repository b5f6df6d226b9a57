//! The checker: what one drop would answer if everything came one after the other, and whether answers respect real time.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

pub const STOCK: u64 = 40;
pub const LIMIT: u64 = 3;

/// What was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    Order { buyer: u64, quantity: u64 },
    Cancel { order: String },
    Checkout { order: String },
    Pay { order: String },
    Refund { order: String, restock: u64 },
    Restock { delta: i64, expected: u64 },
}

/// Where an answer has its place in the sequential run, and the instants around it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub began: Instant,
    pub ended: Instant,
    /// The event that the outcome is, or the last one that a refusal or a repeat saw.
    pub seq: u64,
    pub is_event: bool,
}

/// A request and its answer.
#[derive(Debug)]
pub struct Seen {
    pub asked: Asked,
    pub when: Moment,
    pub status: u16,
    pub body: Value,
}

/// The sequential run: one drop, by the rules of the contract, as simply as they can be said.
#[derive(Default)]
pub struct Sequential {
    pub total: u64,
    pub held: u64,
    pub sold: u64,
    pub used: BTreeMap<u64, u64>,
    pub orders: BTreeMap<String, Order>,
}

pub struct Order {
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
    pub fn answer(&mut self, seen: &Seen) -> (u16, &'static str) {
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

/// An answer that was there before another request began has the smaller number; for what changed nothing: not the
/// larger.
pub fn check_real_time(moments: impl Iterator<Item = Moment>, seed: u64) {
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
