//! Buyers who place orders at any node, and note every answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::address_of;
use crate::process::{Answer, Client, wait_until};

/// Everything that buyers were answered.
#[derive(Default)]
pub struct Ledger {
    /// The key of each order that was accepted, with its id.
    pub accepted: Vec<(String, String)>,
    /// Keys whose outcome is not known: the connection broke, or the answer said so.
    pub unknown: Vec<String>,
    /// Keys of orders that were certainly not decided.
    pub not_applied: Vec<String>,
}

/// Pause of a buyer between two orders: the test checks each of them.
const PAUSE: Duration = Duration::from_millis(15);
/// Keys that were answered as not applied and are looked at again.
const NOT_APPLIED_CHECKED: usize = 300;
/// Longest wait of a buyer for an answer: of those with even numbers, who hear that an outcome is unknown, and of the others,
/// whom a node that hangs does not keep from the next one.
const PATIENCE: [Duration; 2] = [Duration::from_secs(3), Duration::from_millis(700)];

/// The part of the buyers that the test sees while they buy.
struct Shared {
    stop: AtomicBool,
    addresses: Mutex<Vec<SocketAddr>>,
    accepted: AtomicU64,
    /// Time of the last accepted order, and the longest time between two of them.
    gap: Mutex<(Instant, Duration)>,
}

/// Buyers who place orders at any node until they are stopped.
pub struct Buyers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Ledger>>,
}

impl Buyers {
    pub fn begin(count: usize, addresses: Vec<SocketAddr>) -> Buyers {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            addresses: Mutex::new(addresses),
            accepted: AtomicU64::new(0),
            gap: Mutex::new((Instant::now(), Duration::ZERO)),
        });
        let threads = (0..count).map(|buyer| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || buy(buyer, &shared))
        });
        Buyers { threads: threads.collect(), shared }
    }

    /// The nodes that buyers know, from now on.
    pub fn know(&self, addresses: Vec<SocketAddr>) {
        *self.shared.addresses.lock() = addresses;
    }

    /// Waits for so many further orders. Returns the longest time without one since the last call.
    pub fn wait_for(&self, more: u64) -> Duration {
        let before = self.shared.accepted.load(Ordering::Relaxed);
        wait_until("further orders", || self.shared.accepted.load(Ordering::Relaxed) >= before + more);
        let mut gap = self.shared.gap.lock();
        std::mem::take(&mut gap.1)
    }

    pub fn end(self) -> Ledger {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for thread in self.threads {
            let one = thread.join().expect("a buyer");
            all.accepted.extend(one.accepted);
            all.unknown.extend(one.unknown);
            all.not_applied.extend(one.not_applied);
        }
        all
    }
}

fn buy(buyer: usize, shared: &Shared) -> Ledger {
    let mut ledger = Ledger::default();
    let (mut at, mut client, patience) = (buyer, None, PATIENCE[buyer % 2]);
    for order in 0_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("b{buyer}-o{order}");
        let body = json!({ "buyer": key, "quantity": 1 });
        let address = {
            let known = shared.addresses.lock();
            known[at % known.len()]
        };
        let mut open = client.take().or_else(|| Client::connect_patiently(address, patience).ok());
        let answer = open.as_mut().map(|client| client.post("/v1/drops/1/orders", &key, &body));
        match answer {
            Some(Ok(answer)) if answer.status == 201 => {
                let id = answer.body["id"].as_str().expect("an id").to_string();
                ledger.accepted.push((key, id));
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let mut gap = shared.gap.lock();
                *gap = (Instant::now(), gap.1.max(gap.0.elapsed()));
                client = open;
                std::thread::park_timeout(PAUSE);
                continue;
            }
            // The leader's address, of which the next order makes use.
            Some(Ok(answer)) if answer.status == 307 => {
                let leader = answer.header("Location").and_then(address_of);
                client = leader.and_then(|leader| Client::connect_patiently(leader, patience).ok());
                ledger.not_applied.push(key);
                if client.is_some() {
                    continue;
                }
            }
            Some(Ok(answer)) if answer.body["code"] == "outcome-unknown" => ledger.unknown.push(key),
            Some(Ok(_)) | None => ledger.not_applied.push(key),
            Some(Err(_)) => ledger.unknown.push(key),
        }
        // Another node, a little later.
        at += 1;
        std::thread::park_timeout(Duration::from_millis(10));
    }
    ledger
}

/// Orders with a key until the outcome is known: a busy machine may be late. Returns the answer, and whether one before it was late.
fn ask(client: &mut Client, key: &str) -> (Answer, bool) {
    let body = json!({ "buyer": key, "quantity": 1 });
    let mut is_late = false;
    for _ in 0..20 {
        let answer = client.post("/v1/drops/1/orders", key, &body).expect("answered");
        if answer.body["code"] != "outcome-unknown" {
            return (answer, is_late);
        }
        is_late = true;
    }
    panic!("{key}: its outcome stays unknown");
}

/// Asks what became of every unknown order, by its key, and compares everything with what the leader has.
pub fn check(ledger: &Ledger, leader: SocketAddr) {
    let mut client = Client::connect(leader).expect("connected");
    for key in &ledger.unknown {
        let (answer, _) = ask(&mut client, key);
        assert_eq!(answer.status, 201, "{key}: {:?}", answer.body);
    }
    let not_applied = &ledger.not_applied[ledger.not_applied.len().saturating_sub(NOT_APPLIED_CHECKED)..];
    for key in not_applied {
        let (answer, is_late) = ask(&mut client, key);
        assert!(
            answer.status == 201 && (is_late || !answer.is_repeat()),
            "{key} was answered as not applied: {:?}",
            answer.body
        );
    }
    for (key, id) in &ledger.accepted {
        let answer = client.get(&format!("/v1/orders/{id}")).expect("answered");
        assert_eq!(answer.status, 200, "{key} was accepted as {id}");
        assert_eq!(answer.body["state"], "reserved", "{key}: {:?}", answer.body);
    }
    let sold = ledger.accepted.len() + ledger.unknown.len() + not_applied.len();
    let drop: Value = client.get("/v1/drops/1").expect("answered").body;
    assert_eq!(drop["held"], sold, "each key has one order: {drop}");
}
