//! A simulated cluster: nodes with the real engine, a simulated log, and a network that is not to be trusted.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "only some commands matter to a helper")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

mod judge;
mod member;

use std::collections::BTreeMap;
use std::sync::Arc;

use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{BootMillis, Entry, LogAnswer, LogRequest, NodeSettings};
use firstcome::types::Shard;

use crate::model::Random;
pub use judge::{Judge, Seen};
use member::{Lane, Member};

/// Length of a run, and of the quiet time after it in which everything heals, in milliseconds.
pub const RUN_MS: u64 = 12_000;
const QUIET_MS: u64 = 15_000;
/// The last part of the quiet time, in which leaders append nothing and the others catch up.
const SILENT_MS: u64 = 700;
/// An answer that takes longer is given up.
pub const TIMEOUT_MS: u64 = 800;
/// Entries that the log keeps. In some worlds so few that a node which was away finds its next one overwritten.
const SLOTS: [usize; 4] = [64, 64, 64, 8];

/// The sender of a request, to whom its answer goes.
#[derive(Clone, Copy)]
pub struct Sender {
    member: usize,
    /// A node that was killed does not get the answers of its life before.
    life: u64,
    lane: Lane,
    number: u64,
    sent: BootMillis,
}

/// A message on its way.
#[derive(Clone)]
enum Travelling {
    Request(Sender, LogRequest),
    Answer(Sender, LogAnswer),
}

/// A step of the world.
#[derive(Clone, Copy)]
pub struct Moment {
    now: u64,
    /// Everything heals, and no client comes.
    is_quiet: bool,
    /// Leaders append nothing.
    is_silent: bool,
}

/// The nodes of one shard. Their log is elsewhere: it may be one of several.
pub struct Cluster {
    seed: u64,
    pub shard: Shard,
    pub now: u64,
    random: Random,
    members: Vec<Member>,
    travelling: BTreeMap<(u64, u64), Travelling>,
    sent: u64,
    judge: Judge,
    /// Times from and until which the log takes no requests.
    pub outages: Vec<(u64, u64)>,
}

impl Cluster {
    /// Makes so many nodes of a shard, or two to five, and their log.
    pub fn new(seed: u64, shard: Shard, nodes: Option<usize>) -> (Cluster, SimulatedLog) {
        let mut random = Random(seed);
        let (first, judge) = Member::first_file(shard, &mut random);
        let count = 2 + usize::try_from(random.below(4)).expect("small");
        let settings = NodeSettings::default();
        let log = SimulatedLog::new(first.head(), random.pick(&SLOTS), settings.lease_ms);
        let nodes = 0..nodes.unwrap_or(count);
        let members = nodes.map(|_| Member::new(first.clone(), &mut random, settings)).collect();
        let (travelling, outages) = (BTreeMap::new(), Vec::new());
        (Cluster { seed, shard, now: 0, random, members, travelling, sent: 0, judge, outages }, log)
    }

    /// Runs a world of one shard to its end, and returns what happened in it.
    pub fn run(seed: u64) -> Seen {
        let (mut cluster, mut log) = Cluster::new(seed, Shard::SINGLE, None);
        while !cluster.is_over() {
            cluster.tick(&mut log);
        }
        cluster.end(&log)
    }

    pub fn is_over(&self) -> bool {
        self.now >= RUN_MS + QUIET_MS
    }

    /// Lets some milliseconds pass.
    pub fn tick(&mut self, log: &mut SimulatedLog) {
        self.now += 5 + self.random.below(40);
        let is_quiet = self.now >= RUN_MS;
        self.deliver(log);
        if !is_quiet {
            self.trouble(log);
        }
        for member in 0..self.members.len() {
            self.step(member, is_quiet, log);
        }
    }

    /// All entries that the log took.
    pub fn history(&self) -> &[Arc<Entry>] {
        self.judge.history()
    }

    /// Judges the end of a world, and returns what happened in it.
    pub fn end(self, log: &SimulatedLog) -> Seen {
        let what = format!("seed {}, shard {}", self.seed, self.shard.get());
        self.judge.end(&what, log, &self.members)
    }

    /// Kills, stops, cuts off, and damages.
    fn trouble(&mut self, log: &mut SimulatedLog) {
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
                log.damage(log.head().number, bit);
                self.judge.seen.damaged += 1;
            }
            4 if self.random.one_in(6) => {
                self.judge.seen.spoiled += 1;
                self.members[member].spoil();
            }
            5 | 6 => {
                let is_held = self.random.one_in(2);
                log.hold_head(is_held);
                self.judge.seen.held_heads += u64::from(is_held);
            }
            _ => {}
        }
    }

    fn step(&mut self, index: usize, is_quiet: bool, log: &mut SimulatedLog) {
        let is_silent = self.now >= RUN_MS + QUIET_MS - SILENT_MS;
        let Cluster { now, random, members, judge, .. } = self;
        let member = &mut members[index];
        if is_quiet {
            member.stopped_until = member.stopped_until.min(*now);
            member.cut_off_until = member.cut_off_until.min(*now);
        }
        if is_quiet {
            log.hold_head(false);
        }
        log.announce(member.file.head.number);
        let moment = Moment { now: *now, is_quiet, is_silent };
        for (sender, request) in member.step(index, moment, random, log, judge) {
            self.send(Travelling::Request(sender, request), is_quiet);
        }
    }

    /// Sends something on its way, perhaps twice, late, or to nowhere.
    fn send(&mut self, travelling: Travelling, is_quiet: bool) {
        let (Travelling::Request(sender, _) | Travelling::Answer(sender, _)) = &travelling;
        let is_cut_off = self.members[sender.member].cut_off_until > self.now;
        let mut arrives = self.now + 1 + self.random.below(15);
        if !is_quiet && self.random.one_in(25) {
            arrives += self.random.below(2500);
        }
        if !is_quiet && self.random.one_in(25) && matches!(travelling, Travelling::Request(..)) {
            let again = arrives + self.random.below(1500);
            self.put_on_way(again, travelling.clone());
        }
        if is_quiet || !(is_cut_off || self.random.one_in(25)) {
            self.put_on_way(arrives, travelling);
        }
    }

    fn put_on_way(&mut self, arrives: u64, travelling: Travelling) {
        self.sent += 1;
        self.travelling.insert((arrives, self.sent), travelling);
    }

    fn deliver(&mut self, log: &mut SimulatedLog) {
        let is_quiet = self.now >= RUN_MS;
        let is_away = self.outages.iter().any(|(from, until)| (*from..*until).contains(&self.now));
        while let Some(entry) = self.travelling.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Travelling::Request(..) if is_away => {}
                Travelling::Request(sender, request) => {
                    let mut answer = log.carry_out(&request, self.now);
                    if matches!(request, LogRequest::Await { .. }) && self.random.one_in(4) {
                        answer = LogAnswer::NoNews;
                    }
                    self.judge.carried_out(self.now, &request, &answer);
                    self.send(Travelling::Answer(sender, answer), is_quiet);
                }
                Travelling::Answer(sender, answer) => {
                    let Cluster { now, members, judge, .. } = self;
                    members[sender.member].take(*now, sender, &answer, judge);
                }
            }
        }
    }
}
