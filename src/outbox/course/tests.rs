//! A course under a clock of our own, and endpoints that do as a test says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::types::Seq;

const SECOND: i64 = 1000;

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("in range")
}

fn schedule() -> Schedule {
    Schedule::new([5, 300].map(Duration::from_secs).to_vec())
}

fn wanted(n: u64, order: u64) -> Wanted {
    Wanted { seq: seq(n), order: Some(seq(order)), at: UnixMillis::new(i64::try_from(n).expect("small")).expect("ok") }
}

fn failed(status: u16) -> Ended {
    Ended::Failed { trouble: Trouble::Status(status), retry_after: None }
}

/// A course, and the rows that its marks make, as `store` writes them.
struct World {
    course: Course,
    now: UnixMillis,
    position: Seq,
    waiting: BTreeMap<Seq, (u8, UnixMillis)>,
    dead: Vec<Seq>,
    marks: usize,
}

impl World {
    fn new() -> World {
        let course = Course::new(schedule(), 8, Stored::default());
        let (waiting, dead) = (BTreeMap::new(), Vec::new());
        World { course, now: UnixMillis::ZERO, position: Seq::ZERO, waiting, dead, marks: 0 }
    }
    fn events(&mut self, events: &[(u64, u64)]) {
        let wanted: Vec<Wanted> = events.iter().map(|(seq, order)| wanted(*seq, *order)).collect();
        let last = wanted.last().expect("some").seq;
        self.course.looked_at(last, &wanted);
    }
    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_millis(ms);
    }
    /// Everything that may be sent now.
    fn send_all(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(seq) = self.course.next(self.now) {
            self.course.sent(seq);
            sent.push(seq.get());
        }
        sent
    }
    fn end(&mut self, n: u64, ended: Ended) {
        self.course.ended(seq(n), ended, self.now, 0);
    }
    fn write_down(&mut self) {
        let Some(ToMark { position, marks }) = self.course.take_marks() else { return };
        assert!(position >= self.position, "the position never goes back");
        self.position = position;
        self.marks += 1;
        for DeliveryMark { seq, fate } in marks {
            match fate {
                // Where it failed and got through between two marks there is no row.
                DeliveryFate::Delivered => drop(self.waiting.remove(&seq)),
                DeliveryFate::Waiting { attempts, next_at, .. } => drop(self.waiting.insert(seq, (attempts, next_at))),
                DeliveryFate::Dead { .. } => {
                    self.waiting.remove(&seq);
                    self.dead.push(seq);
                }
            }
        }
    }
    /// A new course from what is written down.
    fn restart(&mut self, order_of: &BTreeMap<u64, u64>) {
        let row = |(n, (attempts, next_at)): (&Seq, &(u8, UnixMillis))| WaitingRow {
            wanted: wanted(n.get(), order_of[&n.get()]),
            attempts: *attempts,
            next_at: *next_at,
        };
        let waiting = self.waiting.iter().map(row).collect();
        let all = self.waiting.keys().chain(&self.dead);
        let ahead = all.filter(|seq| **seq > self.position).copied().collect();
        self.course = Course::new(schedule(), 8, Stored { position: self.position, waiting, more_rows: false, ahead });
    }
    fn rows(&self) -> Vec<u64> {
        self.waiting.keys().map(|seq| seq.get()).collect()
    }
}

#[test]
fn what_is_delivered_moves_the_position_and_makes_no_row() {
    let mut world = World::new();
    world.events(&[(1, 1), (2, 2), (3, 3)]);
    assert_eq!(world.send_all(), [1, 2, 3]);
    world.end(3, Ended::Delivered);
    world.end(1, Ended::Delivered);
    world.write_down();
    assert_eq!(world.position, seq(1), "2 is not delivered yet");
    world.end(2, Ended::Delivered);
    world.write_down();
    assert_eq!((world.position, world.rows(), world.marks), (seq(3), vec![], 2));
    world.write_down();
    assert_eq!(world.marks, 2, "nothing happened: nothing is written");
}

#[test]
fn events_of_one_order_go_one_after_another_and_others_beside_them() {
    let mut world = World::new();
    world.events(&[(1, 1), (2, 1), (3, 3), (4, 1)]);
    assert_eq!(world.send_all(), [1, 3]);
    world.end(1, Ended::Delivered);
    assert_eq!(world.send_all(), [2]);
    world.end(2, failed(500));
    assert!(world.send_all().is_empty(), "4 waits behind 2");
    world.end(3, Ended::Delivered);
    world.write_down();
    assert_eq!((world.position, world.rows()), (seq(4), vec![2, 4]), "so the position can go on");
    world.events(&[(5, 1), (6, 6)]);
    assert_eq!(world.send_all(), [6], "5 waits as well");
    world.end(6, Ended::Delivered);
    world.pass(5 * SECOND);
    assert_eq!(world.send_all(), [2]);
    world.end(2, Ended::Delivered);
    assert_eq!(world.send_all(), [4]);
    world.end(4, Ended::Delivered);
    assert_eq!(world.send_all(), [5]);
    world.end(5, Ended::Delivered);
    world.write_down();
    assert_eq!((world.position, world.rows(), world.dead.len()), (seq(6), vec![], 0));
}

#[test]
fn after_its_last_attempt_a_delivery_is_a_dead_letter_and_its_order_goes_on() {
    let mut world = World::new();
    world.events(&[(1, 1), (2, 1)]);
    for wait in [0, 5, 300] {
        world.pass(wait * SECOND - 1);
        assert_eq!(world.send_all(), if wait == 0 { vec![1] } else { vec![] });
        world.pass(1);
        world.send_all();
        world.end(1, failed(500));
        world.write_down();
    }
    assert_eq!((world.dead.clone(), world.rows()), (vec![seq(1)], vec![2]));
    assert_eq!(world.send_all(), [2]);
}

#[test]
fn a_dead_endpoint_makes_no_row_per_event_and_its_position_waits() {
    let mut world = World::new();
    let events: Vec<(u64, u64)> = (1..=200).map(|n| (n, n)).collect();
    world.events(&events);
    let mut attempts = 0;
    for _ in 0..(2 * 3600) {
        for n in world.send_all() {
            attempts += 1;
            world.end(n, Ended::Failed { trouble: Trouble::Unreachable, retry_after: None });
        }
        world.write_down();
        world.pass(SECOND);
        assert!(world.course.reads_after().is_none() || attempts < 20, "nothing more is looked at");
    }
    let rows = world.waiting.len() + world.dead.len();
    assert!(rows <= 30, "{rows} rows");
    assert!(world.position < seq(31), "the position waits at {}", world.position);
    assert!(attempts < 300, "{attempts} attempts in two hours");
    assert!(world.course.is_broken());
    // It comes back: within a minute all is told.
    world.pass(60 * SECOND);
    let mut told = Vec::new();
    while let Some(n) = world.course.next(world.now) {
        world.course.sent(n);
        world.end(n.get(), Ended::Delivered);
        told.push(n.get());
        if told.len() == 1 {
            // Those that wait have their own time.
            world.pass(400 * SECOND);
        }
    }
    world.write_down();
    assert_eq!(told.len() + world.dead.len(), 200);
    assert_eq!((world.position, world.rows()), (seq(200), vec![]));
}

#[test]
fn a_probe_between_two_attempts_writes_nothing() {
    let mut world = World::new();
    world.events(&(1..=10).map(|n| (n, n)).collect::<Vec<_>>());
    for n in world.send_all() {
        world.end(n, failed(503));
    }
    world.pass(5 * SECOND);
    world.send_all();
    world.end(1, failed(503));
    world.write_down();
    let written = (world.marks, world.waiting.clone());
    assert_eq!(written.1[&seq(1)].0, 2, "two attempts");
    for _ in 0..4 {
        world.pass(60 * SECOND);
        assert_eq!(world.send_all(), [1], "the oldest, once a minute");
        world.end(1, failed(503));
        world.write_down();
    }
    assert_eq!((world.marks, world.waiting.clone()), written);
}

#[test]
fn an_endpoint_that_has_too_much_to_do_gets_less_at_once_and_the_rest_it_asks_for() {
    let mut world = World::new();
    world.events(&(1..=40).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(world.send_all().len(), 8);
    world.end(1, Ended::Failed { trouble: Trouble::Status(429), retry_after: Some(Duration::from_secs(30)) });
    for n in 2..=8 {
        world.course.ended(seq(n), Ended::Delivered, world.now, 0);
        if n == 2 {
            // An answer to what was under way ends the rest: the endpoint is well.
            world.course.breaker.rest(world.now, Some(Duration::from_secs(30)));
            assert!(world.send_all().is_empty());
        }
    }
    world.pass(30 * SECOND);
    assert!(world.send_all().len() <= 8);
    let mut world = World::new();
    world.events(&(1..=40).map(|n| (n, n)).collect::<Vec<_>>());
    let first = world.send_all();
    world.end(first[0], failed(502));
    world.end(first[1], failed(504));
    for n in &first[2..] {
        world.course.ended(seq(*n), Ended::Failed { trouble: Trouble::Status(429), retry_after: None }, world.now, 0);
    }
    assert_eq!(world.course.in_flight_now_max, 1);
}

#[test]
fn a_new_course_from_the_rows_goes_on_where_the_old_one_stood() {
    let mut world = World::new();
    world.events(&[(1, 1), (2, 1), (3, 3)]);
    world.send_all();
    world.end(1, failed(500));
    world.end(3, Ended::Delivered);
    world.write_down();
    world.restart(&BTreeMap::from([(1, 1), (2, 1)]));
    assert_eq!(world.course.reads_after(), Some(seq(3)));
    assert!(world.send_all().is_empty());
    world.pass(5 * SECOND);
    assert_eq!(world.send_all(), [1], "and 2 behind it");
}

/// Endpoints that fail by chance, restarts that forget what is not written: everything is delivered or a dead letter,
/// and no event of an order before an earlier one of it.
#[test]
fn whatever_fails_everything_is_told_in_order_per_order_or_is_a_dead_letter() {
    for seed in 0..300u64 {
        let mut random = seed;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let events: Vec<(u64, u64)> = (1..=60).map(|n| (n, 1 + n % (1 + below(9)))).collect();
        let order_of: BTreeMap<u64, u64> = events.iter().copied().collect();
        let mut world = World::new();
        let (mut told, mut told_since): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        for _ in 0..5000 {
            if let Some(after) = world.course.reads_after() {
                let more: Vec<(u64, u64)> = events.iter().filter(|(n, _)| *n > after.get()).take(7).copied().collect();
                if !more.is_empty() {
                    world.events(&more);
                }
            }
            for n in world.send_all() {
                let before = told_since.iter().rev().find(|told| order_of[told] == order_of[&n]);
                assert!(before.is_none_or(|before| *before < n), "seed {seed}: {n} after {before:?}");
                if below(3) == 0 {
                    world.end(n, failed(500));
                } else {
                    told.push(n);
                    told_since.push(n);
                    world.end(n, Ended::Delivered);
                }
            }
            match below(12) {
                0..=5 => world.write_down(),
                6 => {
                    // What was told and not written down is told again, in order again.
                    told_since.clear();
                    world.restart(&order_of);
                }
                _ => world.pass(20 * SECOND),
            }
            if world.position == seq(60) && world.waiting.is_empty() && !world.course.has_news() {
                break;
            }
        }
        for n in 1..=60 {
            assert!(told.contains(&n) || world.dead.contains(&seq(n)), "seed {seed}: {n} is lost");
        }
        assert_eq!((world.position, world.rows()), (seq(60), vec![]), "seed {seed}");
    }
}
