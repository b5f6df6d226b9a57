//! A simulated cluster: nodes with the real engine, a simulated log, and a network that is not to be trusted.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

mod judge;
mod member;

use std::collections::BTreeMap;

use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{BootMillis, LogAnswer, LogRequest, NodeSettings};

use crate::model::Random;
pub use judge::{Judge, Seen};
use member::{Lane, Member};

/// Length of a run, and of the quiet time after it in which everything heals, in milliseconds.
const RUN_MS: u64 = 12_000;
const QUIET_MS: u64 = 15_000;
/// The last part of the quiet time, in which leaders append nothing and the others catch up.
const SILENT_MS: u64 = 700;
/// An answer that takes longer is given up.
const TIMEOUT_MS: u64 = 800;
/// Entries that the log keeps. In some worlds so few that a node which was away finds its next one overwritten.
const SLOTS: [usize; 4] = [64, 64, 64, 8];

/// What travels.
enum Travelling {
    Request { member: usize, life: u64, lane: Lane, number: u64, sent: BootMillis, request: LogRequest },
    Answer { member: usize, life: u64, lane: Lane, number: u64, sent: BootMillis, answer: LogAnswer },
}

pub struct Cluster {
    seed: u64,
    now: u64,
    random: Random,
    log: SimulatedLog,
    members: Vec<Member>,
    travelling: BTreeMap<(u64, u64), Travelling>,
    sent: u64,
    judge: Judge,
}

impl Cluster {
    pub fn new(seed: u64) -> Cluster {
        let mut random = Random(seed);
        let (first, judge) = Member::first_file(&mut random);
        let count = 2 + usize::try_from(random.below(4)).expect("small");
        let settings = NodeSettings::default();
        let log = SimulatedLog::new(first.head(), random.pick(&SLOTS), settings.lease_ms);
        let members = (0..count).map(|_| Member::new(first.clone(), &mut random, settings)).collect();
        Cluster { seed, now: 0, random, log, members, travelling: BTreeMap::new(), sent: 0, judge }
    }

    /// Runs the world to its end, and returns what happened in it.
    pub fn run(mut self) -> Seen {
        while self.now < RUN_MS + QUIET_MS {
            self.now += 5 + self.random.below(40);
            let is_quiet = self.now >= RUN_MS;
            self.deliver();
            if !is_quiet {
                self.trouble();
            }
            for member in 0..self.members.len() {
                self.step(member, is_quiet);
            }
        }
        let what = format!("seed {}", self.seed);
        self.judge.end(&what, &self.log, &self.members)
    }

    /// Kills, stops, cuts off, and damages.
    fn trouble(&mut self) {
        let member = usize::try_from(self.random.below(self.members.len() as u64)).expect("small");
        let for_ms = self.now + self.random.below(7000);
        match self.random.below(220) {
            0 => {
                self.judge.seen.kills += 1;
                self.members[member].kill(for_ms, &mut self.judge);
            }
            1 => {
                self.judge.seen.stops += 1;
                self.members[member].stopped_until = for_ms;
            }
            2 => self.members[member].cut_off_until = for_ms,
            3 => {
                let bit = usize::try_from(self.random.below(400)).expect("small");
                self.log.damage(self.log.head().number, bit);
                self.judge.seen.damaged += 1;
            }
            4 if self.random.one_in(6) => {
                self.judge.seen.spoiled += 1;
                self.members[member].spoil();
            }
            _ => {}
        }
    }

    fn step(&mut self, index: usize, is_quiet: bool) {
        let is_silent = self.now >= RUN_MS + QUIET_MS - SILENT_MS;
        let Cluster { now, random, log, members, judge, .. } = self;
        let member = &mut members[index];
        if is_quiet {
            (member.stopped_until, member.cut_off_until) =
                (member.stopped_until.min(*now), member.cut_off_until.min(*now));
        }
        let mut requests = member.step(*now, TIMEOUT_MS, random, log, judge, is_quiet, is_silent);
        while let Some((lane, number, sent, request)) = requests.pop() {
            let life = self.members[index].life;
            self.send(index, Travelling::Request { member: index, life, lane, number, sent, request }, is_quiet);
        }
    }

    /// Sends something on its way, perhaps twice, late, or to nowhere.
    fn send(&mut self, member: usize, travelling: Travelling, is_quiet: bool) {
        let twice = !is_quiet && self.random.one_in(25);
        let lost = !is_quiet && (self.random.one_in(25) || self.members[member].cut_off_until > self.now);
        let mut delay = 1 + self.random.below(15);
        if !is_quiet && self.random.one_in(25) {
            delay += self.random.below(2500);
        }
        if twice && let Travelling::Request { member, life, lane, number, sent, request } = &travelling {
            let again = self.now + delay + self.random.below(1500);
            let (member, life, lane, number, sent) = (*member, *life, *lane, *number, *sent);
            self.sent += 1;
            let copy = Travelling::Request { member, life, lane, number, sent, request: request.clone() };
            self.travelling.insert((again, self.sent), copy);
        }
        if !lost {
            self.sent += 1;
            self.travelling.insert((self.now + delay, self.sent), travelling);
        }
    }

    fn deliver(&mut self) {
        let is_quiet = self.now >= RUN_MS;
        while let Some(entry) = self.travelling.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Travelling::Request { member, life, lane, number, sent, request } => {
                    let answer = self.log.carry_out(&request, self.now);
                    self.judge.carried_out(self.now, &request, &answer);
                    self.send(member, Travelling::Answer { member, life, lane, number, sent, answer }, is_quiet);
                }
                Travelling::Answer { member, life, lane, number, sent, answer } => {
                    let Cluster { now, members, judge, .. } = self;
                    members[member].take(*now, life, lane, number, sent, &answer, judge);
                }
            }
        }
    }
}
