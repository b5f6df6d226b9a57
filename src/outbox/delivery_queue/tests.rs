//! The delivery queue under a simulated clock, with endpoints that answer as each test says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::types::Seq;

const SECOND: i64 = 1000;

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("in range")
}

fn schedule() -> RetrySchedule {
    RetrySchedule::new([5, 300].map(Duration::from_secs).to_vec())
}

fn event(n: u64, order: u64) -> QueuedEvent {
    QueuedEvent {
        seq: seq(n),
        order: Some(seq(order)),
        at: UnixMillis::new(i64::try_from(n).expect("small")).expect("ok"),
    }
}

fn failed(status: u16) -> AttemptResult {
    AttemptResult::Failed { error: AttemptError::Status(status), retry_after: None }
}

/// A queue, and the rows that its checkpoints make, as `store` writes them.
struct Harness {
    queue: DeliveryQueue,
    now: UnixMillis,
    position: Seq,
    waiting: BTreeMap<Seq, (u8, UnixMillis)>,
    dead: Vec<Seq>,
    marks: usize,
}

impl Harness {
    fn new() -> Harness {
        let queue = DeliveryQueue::new(schedule(), 8, StoredQueue::default());
        let (waiting, dead) = (BTreeMap::new(), Vec::new());
        Harness { queue, now: UnixMillis::ZERO, position: Seq::ZERO, waiting, dead, marks: 0 }
    }
    fn events(&mut self, events: &[(u64, u64)]) {
        let events: Vec<QueuedEvent> = events.iter().map(|(seq, order)| event(*seq, *order)).collect();
        let last = events.last().expect("some").seq;
        self.queue.add_scanned(last, &events);
    }
    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_millis(ms);
    }
    /// Sends everything that is due now.
    fn send_all(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(seq) = self.queue.next_due(self.now) {
            self.queue.mark_in_flight(seq);
            sent.push(seq.get());
        }
        sent
    }
    fn end(&mut self, n: u64, ended: AttemptResult) {
        self.queue.record_result(seq(n), ended, self.now, 0);
    }
    fn save_checkpoint(&mut self) {
        let Some(Checkpoint { position, marks }) = self.queue.take_checkpoint() else { return };
        assert!(position >= self.position, "the position never goes back");
        self.position = position;
        self.marks += 1;
        for DeliveryMark { seq, fate } in marks {
            match fate {
                // Where it failed and got through between two marks there is no row.
                DeliveryState::Delivered => drop(self.waiting.remove(&seq)),
                DeliveryState::Waiting { attempts, next_at, .. } => drop(self.waiting.insert(seq, (attempts, next_at))),
                DeliveryState::Dead { .. } => {
                    self.waiting.remove(&seq);
                    self.dead.push(seq);
                }
            }
        }
    }
    /// A new queue from what is written down.
    fn restart(&mut self, order_of: &BTreeMap<u64, u64>) {
        let row = |(n, (attempts, next_at)): (&Seq, &(u8, UnixMillis))| StoredDelivery {
            event: event(n.get(), order_of[&n.get()]),
            attempts: *attempts,
            next_at: *next_at,
        };
        let waiting = self.waiting.iter().map(row).collect();
        let all = self.waiting.keys().chain(&self.dead);
        let ahead = all.filter(|seq| **seq > self.position).copied().collect();
        self.queue = DeliveryQueue::new(
            schedule(),
            8,
            StoredQueue { position: self.position, waiting, more_rows: false, ahead },
        );
    }
    fn rows(&self) -> Vec<u64> {
        self.waiting.keys().map(|seq| seq.get()).collect()
    }
}

#[test]
fn delivered_events_move_the_position_and_make_no_row() {
    let mut harness = Harness::new();
    harness.events(&[(1, 1), (2, 2), (3, 3)]);
    assert_eq!(harness.send_all(), [1, 2, 3]);
    harness.end(3, AttemptResult::Delivered);
    harness.end(1, AttemptResult::Delivered);
    harness.save_checkpoint();
    assert_eq!(harness.position, seq(1), "2 is not delivered yet");
    harness.end(2, AttemptResult::Delivered);
    harness.save_checkpoint();
    assert_eq!((harness.position, harness.rows(), harness.marks), (seq(3), vec![], 2));
    harness.save_checkpoint();
    assert_eq!(harness.marks, 2, "nothing happened: nothing is written");
}

#[test]
fn one_that_has_further_recipients_lets_others_go_first_and_holds_up_no_position() {
    let mut harness = Harness::new();
    harness.events(&[(1, 1), (2, 2)]);
    assert_eq!(harness.send_all(), [1, 2]);
    harness.end(1, AttemptResult::Partly);
    harness.end(2, AttemptResult::Delivered);
    harness.events(&[(3, 3)]);
    assert_eq!(harness.send_all(), [3, 1], "the new one first");
    harness.end(3, AttemptResult::Delivered);
    harness.save_checkpoint();
    assert_eq!((harness.position, harness.rows()), (seq(3), vec![1]), "a crash repeats 1 alone");
    harness.restart(&BTreeMap::from([(1, 1)]));
    assert_eq!(harness.send_all(), [1]);
    harness.end(1, AttemptResult::Partly);
    assert_eq!(harness.send_all(), [1]);
    harness.end(1, AttemptResult::Delivered);
    harness.save_checkpoint();
    assert_eq!((harness.rows(), harness.dead.len()), (vec![], 0));
}

#[test]
fn events_of_one_order_go_one_after_another_and_other_orders_in_parallel() {
    let mut harness = Harness::new();
    harness.events(&[(1, 1), (2, 1), (3, 3), (4, 1)]);
    assert_eq!(harness.send_all(), [1, 3]);
    harness.end(1, AttemptResult::Delivered);
    assert_eq!(harness.send_all(), [2]);
    harness.end(2, failed(500));
    assert!(harness.send_all().is_empty(), "4 waits behind 2");
    harness.end(3, AttemptResult::Delivered);
    harness.save_checkpoint();
    assert_eq!((harness.position, harness.rows()), (seq(4), vec![2, 4]), "so the position can go on");
    harness.events(&[(5, 1), (6, 6)]);
    assert_eq!(harness.send_all(), [6], "5 waits as well");
    harness.end(6, AttemptResult::Delivered);
    harness.pass(5 * SECOND);
    assert_eq!(harness.send_all(), [2]);
    harness.end(2, AttemptResult::Delivered);
    assert_eq!(harness.send_all(), [4]);
    harness.end(4, AttemptResult::Delivered);
    assert_eq!(harness.send_all(), [5]);
    harness.end(5, AttemptResult::Delivered);
    harness.save_checkpoint();
    assert_eq!((harness.position, harness.rows(), harness.dead.len()), (seq(6), vec![], 0));
}

#[test]
fn after_its_last_attempt_a_delivery_is_a_dead_letter_and_its_order_goes_on() {
    let mut harness = Harness::new();
    harness.events(&[(1, 1), (2, 1)]);
    for wait in [0, 5, 300] {
        harness.pass(wait * SECOND - 1);
        assert_eq!(harness.send_all(), if wait == 0 { vec![1] } else { vec![] });
        harness.pass(1);
        harness.send_all();
        harness.end(1, failed(500));
        harness.save_checkpoint();
    }
    assert_eq!((harness.dead.clone(), harness.rows()), (vec![seq(1)], vec![2]));
    assert_eq!(harness.send_all(), [2]);
}

#[test]
fn a_dead_endpoint_makes_no_row_per_event_and_its_position_waits() {
    let mut harness = Harness::new();
    let events: Vec<(u64, u64)> = (1..=200).map(|n| (n, n)).collect();
    harness.events(&events);
    let mut attempts = 0;
    for _ in 0..(2 * 3600) {
        for n in harness.send_all() {
            attempts += 1;
            harness.end(n, AttemptResult::Failed { error: AttemptError::Unreachable, retry_after: None });
        }
        harness.save_checkpoint();
        harness.pass(SECOND);
        assert!(harness.queue.scan_from().is_none() || attempts < 20, "nothing more is looked at");
    }
    let rows = harness.waiting.len() + harness.dead.len();
    assert!(rows <= 30, "{rows} rows");
    assert!(harness.position < seq(31), "the position waits at {}", harness.position);
    assert!(attempts < 300, "{attempts} attempts in two hours");
    assert!(harness.queue.is_breaker_open());
    // It comes back: within a minute everything is delivered.
    harness.pass(60 * SECOND);
    let mut delivered = Vec::new();
    while let Some(n) = harness.queue.next_due(harness.now) {
        harness.queue.mark_in_flight(n);
        harness.end(n.get(), AttemptResult::Delivered);
        delivered.push(n.get());
        if delivered.len() == 1 {
            // Waiting deliveries have their own time.
            harness.pass(400 * SECOND);
        }
    }
    harness.save_checkpoint();
    assert_eq!(delivered.len() + harness.dead.len(), 200);
    assert_eq!((harness.position, harness.rows()), (seq(200), vec![]));
}

#[test]
fn a_probe_between_two_attempts_writes_nothing() {
    let mut harness = Harness::new();
    harness.events(&(1..=10).map(|n| (n, n)).collect::<Vec<_>>());
    for n in harness.send_all() {
        harness.end(n, failed(503));
    }
    harness.pass(5 * SECOND);
    harness.send_all();
    harness.end(1, failed(503));
    harness.save_checkpoint();
    let written = (harness.marks, harness.waiting.clone());
    assert_eq!(written.1[&seq(1)].0, 2, "two attempts");
    for _ in 0..4 {
        harness.pass(60 * SECOND);
        assert_eq!(harness.send_all(), [1], "the oldest, once a minute");
        harness.end(1, failed(503));
        harness.save_checkpoint();
    }
    assert_eq!((harness.marks, harness.waiting.clone()), written);
}

#[test]
fn an_overloaded_endpoint_gets_fewer_requests_and_the_pause_it_asks_for() {
    let mut harness = Harness::new();
    harness.events(&(1..=40).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(harness.send_all().len(), 8);
    harness
        .end(1, AttemptResult::Failed { error: AttemptError::Status(429), retry_after: Some(Duration::from_secs(30)) });
    for n in 2..=8 {
        harness.queue.record_result(seq(n), AttemptResult::Delivered, harness.now, 0);
        if n == 2 {
            // A successful response ends the pause: the endpoint works.
            harness.queue.breaker.pause(harness.now, Some(Duration::from_secs(30)));
            assert!(harness.send_all().is_empty());
        }
    }
    harness.pass(30 * SECOND);
    assert!(harness.send_all().len() <= 8);
    let mut harness = Harness::new();
    harness.events(&(1..=40).map(|n| (n, n)).collect::<Vec<_>>());
    let first = harness.send_all();
    harness.end(first[0], failed(502));
    harness.end(first[1], failed(504));
    for n in &first[2..] {
        harness.queue.record_result(
            seq(*n),
            AttemptResult::Failed { error: AttemptError::Status(429), retry_after: None },
            harness.now,
            0,
        );
    }
    assert_eq!(harness.queue.in_flight_limit, 1);
}

#[test]
fn a_queue_restored_from_its_rows_continues_where_the_old_one_stopped() {
    let mut harness = Harness::new();
    harness.events(&[(1, 1), (2, 1), (3, 3)]);
    harness.send_all();
    harness.end(1, failed(500));
    harness.end(3, AttemptResult::Delivered);
    harness.save_checkpoint();
    harness.restart(&BTreeMap::from([(1, 1), (2, 1)]));
    assert_eq!(harness.queue.scan_from(), Some(seq(3)));
    assert!(harness.send_all().is_empty());
    harness.pass(5 * SECOND);
    assert_eq!(harness.send_all(), [1], "and 2 behind it");
}

/// Endpoints fail at random, and restarts forget results that are not stored: every event is delivered or a dead letter,
/// and no event of an order is delivered before an earlier one of it.
#[test]
fn with_random_failures_every_event_is_delivered_in_sequence_per_order_or_is_a_dead_letter() {
    for seed in 0..300u64 {
        let mut random = seed;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let events: Vec<(u64, u64)> = (1..=60).map(|n| (n, 1 + n % (1 + below(9)))).collect();
        let order_of: BTreeMap<u64, u64> = events.iter().copied().collect();
        let mut harness = Harness::new();
        let (mut delivered, mut since_restart): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        for _ in 0..5000 {
            if let Some(after) = harness.queue.scan_from() {
                let more: Vec<(u64, u64)> = events.iter().filter(|(n, _)| *n > after.get()).take(7).copied().collect();
                if !more.is_empty() {
                    harness.events(&more);
                }
            }
            for n in harness.send_all() {
                let before = since_restart.iter().rev().find(|delivered| order_of[delivered] == order_of[&n]);
                assert!(before.is_none_or(|before| *before < n), "seed {seed}: {n} after {before:?}");
                if below(3) == 0 {
                    harness.end(n, failed(500));
                } else {
                    delivered.push(n);
                    since_restart.push(n);
                    harness.end(n, AttemptResult::Delivered);
                }
            }
            match below(12) {
                0..=5 => harness.save_checkpoint(),
                6 => {
                    // Deliveries without a stored checkpoint are repeated, in sequence again.
                    since_restart.clear();
                    harness.restart(&order_of);
                }
                _ => harness.pass(20 * SECOND),
            }
            if harness.position == seq(60) && harness.waiting.is_empty() && !harness.queue.has_unsaved_changes() {
                break;
            }
        }
        for n in 1..=60 {
            assert!(delivered.contains(&n) || harness.dead.contains(&seq(n)), "seed {seed}: {n} is lost");
        }
        assert_eq!((harness.position, harness.rows()), (seq(60), vec![]), "seed {seed}");
    }
}
