//! The judge: the one history, and every answer that a client got.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firstcome::engine::{Effect, EventBody, OrderEvent, Outcome, Subject};
use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{Entry, Head, LogAnswer, LogRequest, Node, Stop};
use firstcome::types::{Digest, Seq};

use super::member::{File, Member, START, command, orders_by_key};
use crate::model::Random;

/// One try of a client; a retry has another number and the same key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    pub number: u64,
    pub key: u64,
}

/// What happened in runs.
#[derive(Default, Debug)]
pub struct Seen {
    pub worlds: u64,
    pub kills: u64,
    pub stops: u64,
    pub damaged: u64,
    pub held_heads: u64,
    pub spoiled: u64,
    pub takeovers: u64,
    pub doubts: u64,
    pub late: u64,
    pub fenced: u64,
    pub entries: u64,
    pub decided: u64,
    pub refused: u64,
    pub unknown: u64,
    pub not_applied: u64,
    pub diverged: u64,
    pub overrun: u64,
    pub retried: u64,
    pub expired: u64,
    /// Worlds that end with good nodes of which none may lead.
    pub left_to_operators: u64,
}

impl Seen {
    fn fields(&mut self) -> [&mut u64; 20] {
        [
            &mut self.worlds,
            &mut self.kills,
            &mut self.stops,
            &mut self.damaged,
            &mut self.held_heads,
            &mut self.spoiled,
            &mut self.takeovers,
            &mut self.doubts,
            &mut self.late,
            &mut self.fenced,
            &mut self.entries,
            &mut self.decided,
            &mut self.refused,
            &mut self.unknown,
            &mut self.not_applied,
            &mut self.diverged,
            &mut self.overrun,
            &mut self.retried,
            &mut self.expired,
            &mut self.left_to_operators,
        ]
    }

    pub fn add(&mut self, mut other: Seen) {
        for (sum, part) in self.fields().into_iter().zip(other.fields()) {
            *sum += *part;
        }
    }

    /// Returns whether everything happened that these worlds are for.
    pub fn is_complete(&mut self) -> bool {
        // The last field is a rare end, which is bounded and not wanted.
        self.fields().into_iter().rev().skip(1).all(|count| *count > 0)
    }
}

/// What a client was told.
enum Told {
    /// The order of its key.
    Order(Seq),
    Refused,
    NotApplied,
    Unknown,
}

pub struct Judge {
    pub seen: Seen,
    first: File,
    history: Vec<Arc<Entry>>,
    /// The time at which each entry was appended.
    appended_at: Vec<u64>,
    told: Vec<(Attempt, Told)>,
    retries: Vec<u64>,
    attempts: u64,
    keys: u64,
    /// A node with a wrong clock campaigned, as it may when it has heard no other in time.
    odd_led: bool,
}

impl Judge {
    pub fn new(first: File) -> Judge {
        Judge {
            seen: Seen::default(),
            first,
            history: Vec::new(),
            appended_at: Vec::new(),
            told: Vec::new(),
            retries: Vec::new(),
            attempts: 0,
            keys: 0,
            odd_led: false,
        }
    }

    pub fn history(&self) -> &[Arc<Entry>] {
        &self.history
    }

    /// Returns a client's next try: of a new order, or of one whose outcome is unknown.
    pub fn attempt(&mut self, random: &mut Random) -> Attempt {
        self.attempts += 1;
        if random.one_in(3)
            && let Some(key) = self.retries.pop()
        {
            self.seen.retried += 1;
            return Attempt { number: self.attempts, key };
        }
        self.keys += 1;
        Attempt { number: self.attempts, key: self.keys }
    }

    /// A node campaigns. One with a wrong clock may only if it could not compare it, and then its instants are the log's.
    pub fn campaigns(&mut self, is_odd: bool, has_compared: bool) {
        assert!(
            !is_odd || !has_compared || self.odd_led,
            "a node with a wrong clock campaigns although it heard others"
        );
        self.odd_led |= is_odd;
    }

    /// The log has carried out a request.
    pub fn carried_out(&mut self, now: u64, request: &LogRequest, answer: &LogAnswer) {
        match (request, answer) {
            (LogRequest::Append { bytes, .. }, LogAnswer::Appended) => {
                let entry = Entry::decode(bytes).expect("an entry");
                let before = self.history.last().map_or(self.first.head, |entry| entry.head());
                assert_eq!(entry.number, before.number + 1, "a gap in the history");
                assert_eq!(entry.before, before.link, "entry {} does not follow", entry.number);
                assert!(entry.epoch >= before.epoch, "an old leader's entry {} behind a new one's", entry.number);
                self.history.push(Arc::new(entry));
                self.appended_at.push(now);
                self.seen.entries += 1;
            }
            (LogRequest::Append { .. }, LogAnswer::Fenced(_)) => self.seen.fenced += 1,
            _ => {}
        }
    }

    pub fn decided(&mut self, attempts: Vec<(Attempt, Outcome)>) {
        for (attempt, outcome) in attempts {
            self.seen.decided += 1;
            let told = match outcome {
                Outcome::Accepted(Effect::Reserved(reservation)) => Told::Order(reservation.order),
                Outcome::Repeated { subject: Subject::Order(order), .. } => Told::Order(order),
                Outcome::Refused { .. } => Told::Refused,
                other => panic!("{other:?} is no outcome of an order"),
            };
            self.told.push((attempt, told));
        }
    }

    /// A leader answers without an entry: nobody else may have appended.
    pub fn answered_without_entry(
        &mut self,
        epoch: u64,
        head: Head,
        log: &SimulatedLog,
        attempts: Vec<(Attempt, Outcome)>,
    ) {
        assert_eq!(log.head(), head, "the leader of epoch {epoch} answers from an old state");
        self.seen.refused += 1;
        self.decided(attempts);
    }

    pub fn not_applied(&mut self, attempt: Attempt) {
        self.seen.not_applied += 1;
        self.told.push((attempt, Told::NotApplied));
    }

    pub fn unknown(&mut self, attempts: Vec<(Attempt, Outcome)>) {
        for (attempt, _) in attempts {
            self.seen.unknown += 1;
            self.retries.push(attempt.key);
            self.told.push((attempt, Told::Unknown));
        }
    }

    pub fn stopped(&mut self, stop: Stop, is_spoiled: bool) {
        match stop {
            Stop::Diverged if is_spoiled => self.seen.diverged += 1,
            Stop::Overrun => self.seen.overrun += 1,
            Stop::Diverged | Stop::LogWentBack | Stop::OthersAreAhead | Stop::Newer { .. } => {
                panic!("a good node stops: {stop:?}")
            }
        }
    }

    /// Compares all answers and all files with the history.
    pub fn end(mut self, what: &str, log: &SimulatedLog, members: &[Member]) -> Seen {
        let last = self.history.last().map_or(self.first.head, |entry| entry.head());
        assert_eq!(log.head(), last, "{what}");
        self.compare_answers(what);
        self.compare_lapses(what);
        let mut state = self.first.state.clone();
        for event in self.history.iter().flat_map(|entry| &entry.batch.events) {
            state.evolve(event);
        }
        state.release_settled();
        for (index, member) in members.iter().enumerate().filter(|(_, member)| !member.is_stopped_for_good) {
            assert_eq!(member.file.head, last, "{what}: node {index} has another head");
            // A leader's state has come to its last decision, a follower's to the last event: both go on alike.
            let at = member.file.state.at().max(state.at());
            let (mut own, mut ours) = ((member.file.state.clone(), Vec::new()), (state.clone(), Vec::new()));
            assert!(own.0.advance(at, &mut own.1, usize::MAX) && ours.0.advance(at, &mut ours.1, usize::MAX));
            assert!(own == ours, "{what}: node {index} has another state");
        }
        // Entries that were all late by a second look like a clock that is ahead: such a node waits for an operator.
        let may_lead = |node: &Node| node.clock_lead_ms().is_none_or(|lead_ms| lead_ms.abs() <= 1000);
        let is_good = |member: &Member| !member.is_stopped_for_good && !member.is_odd;
        let able = |member: &Member| is_good(member) && may_lead(&member.node);
        self.seen.worlds += 1;
        self.seen.left_to_operators +=
            u64::from(members.iter().any(is_good) && !members.iter().any(able) && !self.odd_led);
        // A leader with a wrong clock that nobody could compare makes all others wrong: an operator's case.
        if members.iter().any(able) && !self.odd_led {
            let nodes: Vec<_> = members.iter().map(|member| &member.node).collect();
            assert!(nodes.iter().any(|node| node.leads().is_some()), "{what}: nobody leads in the end: {nodes:#?}");
        }
        self.seen
    }

    fn compare_answers(&self, what: &str) {
        let orders = orders_by_key(&self.history);
        let key_of = |attempt: &Attempt| -> Digest {
            match command(*attempt, self.first.drop_id()) {
                firstcome::engine::Command::Order(firstcome::engine::OrderCommand::Place(order)) => order.key,
                other => panic!("{other:?} is no order"),
            }
        };
        let mut perhaps = BTreeSet::new();
        for (attempt, told) in &self.told {
            let found = orders.get(&key_of(attempt)).map(|(_, seq)| *seq);
            match told {
                Told::Order(order) => {
                    assert_eq!(found, Some(*order), "{what}: attempt {attempt:?} was promised an order");
                    perhaps.insert(attempt.key);
                }
                Told::Unknown => {
                    perhaps.insert(attempt.key);
                }
                Told::Refused | Told::NotApplied => {}
            }
        }
        for (attempt, told) in &self.told {
            if matches!(told, Told::NotApplied | Told::Refused) && !perhaps.contains(&attempt.key) {
                let found = orders.get(&key_of(attempt));
                assert_eq!(found, None, "{what}: {attempt:?} was told that it was not applied, or refused");
            }
        }
    }

    /// No reservation lapses before its time by any right clock.
    fn compare_lapses(&mut self, what: &str) {
        const RIGHT_WITHIN_MS: i64 = 300;
        let mut expires_at = BTreeMap::new();
        for (entry, appended_at) in self.history.iter().zip(&self.appended_at) {
            for event in &entry.batch.events {
                match &event.body {
                    EventBody::Order(order) if order.reservation().is_some() => {
                        let Some((reserved, _)) = order.reservation() else { continue };
                        expires_at.insert(event.seq, reserved.expires_at);
                    }
                    EventBody::Order(OrderEvent::Expired { .. }) => {
                        self.seen.expired += 1;
                        let order = event.order().expect("an order's event");
                        let due = expires_at[&order].get() - START;
                        let now = i64::try_from(*appended_at).expect("small");
                        assert!(self.odd_led || now + RIGHT_WITHIN_MS >= due, "{what}: order {order} lapses early");
                    }
                    _ => {}
                }
            }
        }
    }
}
