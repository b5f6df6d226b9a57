//! Runs a capture through an engine and compares: outcomes as they are, events by the digest of their bytes.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::format::{Committed, Record, RecordReader, Recorded, Trouble, digest_of};
use super::snapshot::Restoring;
use crate::engine::{Event, OUTCOME_NAMES, State};
use crate::types::UnixMillis;

/// The longest decision that the histogram tells from longer ones.
const DECIDE_NS_MAX: u64 = 10_000_000_000;
/// Three digits are right.
const DIGITS: u8 = 3;

/// The speed of a replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it was.
    Times(u32),
}

/// The findings of a replay.
pub struct Replayed {
    /// Commands that were decided again.
    pub commands: u64,
    /// Events that they led to.
    pub events: u64,
    pub commits: u64,
    /// States to begin with.
    pub snapshots: u64,
    pub gaps: u64,
    /// Commands that are missing in gaps.
    pub missing: u64,
    pub outcomes: [u64; OUTCOME_NAMES.len()],
    /// From the first to the last command, as it was recorded.
    pub recorded: Duration,
    /// Nanoseconds of advance, decide and evolve, per command.
    pub decide: Histogram<u64>,
    pub deciding: Duration,
    /// The offset of a record that the file ends within.
    pub torn_at: Option<u64>,
    /// The offset of the first outcome or event that differs, and the difference. The replay stops there.
    pub difference: Option<(u64, String)>,
}

/// Replays a file. Memory is that of one record and of the state.
///
/// # Errors
/// If the file is damaged, with the offset. A torn tail is not an error.
pub fn replay<R: Read>(reader: &mut RecordReader<R>, pace: Pace) -> Result<Replayed, Trouble> {
    let decide = Histogram::new_with_bounds(1, DECIDE_NS_MAX, DIGITS)
        .map_err(|error| Trouble::Io(std::io::Error::other(error.to_string())))?;
    let mut running = RunningReplay {
        found: Replayed {
            commands: 0,
            events: 0,
            commits: 0,
            snapshots: 0,
            gaps: 0,
            missing: 0,
            outcomes: [0; OUTCOME_NAMES.len()],
            recorded: Duration::ZERO,
            decide,
            deciding: Duration::ZERO,
            torn_at: None,
            difference: None,
        },
        pace,
        stage: Stage::Nothing,
        events: Vec::new(),
        span: None,
    };
    loop {
        let offset = reader.offset();
        match reader.read() {
            Ok(None) => return Ok(running.found),
            Err(Trouble::Torn { offset }) => {
                running.found.torn_at = Some(offset);
                return Ok(running.found);
            }
            Err(trouble) => return Err(trouble),
            Ok(Some(record)) => {
                // A file that was made up with good checksums may hold a state that no run ever had.
                let done = catch_unwind(AssertUnwindSafe(|| running.take(record)));
                match done.unwrap_or_else(|panic| Err(Wrong::Differs(words_of(&*panic)))) {
                    Ok(()) => {}
                    Err(Wrong::Damaged(what)) => return Err(Trouble::Damaged { offset, what }),
                    Err(Wrong::Differs(what)) => {
                        running.found.difference = Some((offset, what));
                        return Ok(running.found);
                    }
                }
            }
        }
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    format!("the engine panicked: {words}")
}

enum Wrong {
    Damaged(String),
    Differs(String),
}

/// The stage of the replay.
enum Stage {
    /// Nothing to go on with.
    Nothing,
    /// Parts of a state.
    Restoring(Box<Restoring>),
    Running(Box<State>),
}

struct RunningReplay {
    found: Replayed,
    pace: Pace,
    stage: Stage,
    events: Vec<Event>,
    /// The recorded instant from which the pace counts, and when that was here; the last recorded instant.
    span: Option<(UnixMillis, Instant, UnixMillis)>,
}

impl RunningReplay {
    fn take(&mut self, record: Record) -> Result<(), Wrong> {
        match record {
            Record::SnapshotBegun(begun) => {
                self.stage = Stage::Restoring(Box::new(Restoring::new(begun)));
                Ok(())
            }
            Record::SnapshotEnded(parts) => match std::mem::replace(&mut self.stage, Stage::Nothing) {
                Stage::Restoring(restoring) => {
                    self.stage = Stage::Running(Box::new(restoring.end(parts).map_err(Wrong::Damaged)?));
                    self.found.snapshots += 1;
                    Ok(())
                }
                Stage::Nothing | Stage::Running(_) => Err(Wrong::Damaged("the end of no snapshot".into())),
            },
            Record::Gap(dropped) => {
                self.stage = Stage::Nothing;
                self.found.gaps += 1;
                self.found.missing = self.found.missing.saturating_add(dropped);
                Ok(())
            }
            Record::Decided(recorded) => self.decide(&recorded),
            Record::Committed(committed) => self.commit(&committed),
            part @ (Record::Drop(_)
            | Record::Used(_)
            | Record::LiveOrder(_)
            | Record::OrderKey(_)
            | Record::CommandKey(_)
            | Record::Auction(_)
            | Record::Best(_)
            | Record::OfShard(_)
            | Record::IdentityUsed(_)
            | Record::Identities(_)
            | Record::Room(_)
            | Record::Draw(_)
            | Record::Ticket(_)
            | Record::Admission(_)
            | Record::Tier(_)
            | Record::Recorded(_)
            | Record::WindowOver(_)
            | Record::Standby(_)
            | Record::Granted(_)
            | Record::LeftLine(_)
            | Record::Endpoint(_)) => match &mut self.stage {
                Stage::Restoring(restoring) => restoring.take(part).map_err(Wrong::Damaged),
                Stage::Nothing | Stage::Running(_) => Err(Wrong::Damaged("a part of no snapshot".into())),
            },
        }
    }

    fn decide(&mut self, recorded: &Recorded) -> Result<(), Wrong> {
        self.keep_pace(recorded.at);
        let Stage::Running(state) = &mut self.stage else {
            return Err(Wrong::Damaged("a command without a state before it".into()));
        };
        let admitted = recorded.admitted.clone();
        self.events.clear();
        let started = Instant::now();
        state.advance(recorded.at, &mut self.events, usize::MAX);
        state.admit(admitted);
        let first = self.events.len();
        let outcome = state.decide(&recorded.command, &mut self.events);
        for event in &self.events[first..] {
            state.evolve(event);
        }
        let took = started.elapsed();
        self.found.decide.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.found.deciding = self.found.deciding.saturating_add(took);
        self.found.commands += 1;
        self.found.events = self.found.events.saturating_add(self.events.len() as u64);
        if let Some(count) = self.found.outcomes.get_mut(outcome.index()) {
            *count += 1;
        }
        let number = self.found.commands;
        if outcome != recorded.outcome {
            return Err(Wrong::Differs(format!(
                "command {number}, {:?} at {}: recorded {:?}, replayed {outcome:?}",
                recorded.command,
                recorded.at.get(),
                recorded.outcome
            )));
        }
        if digest_of(&self.events) != recorded.events {
            return Err(Wrong::Differs(format!(
                "command {number}, {:?} at {}: the outcome is the same, the events are not; replayed {:?}",
                recorded.command,
                recorded.at.get(),
                self.events
            )));
        }
        Ok(())
    }

    /// Replays events that were due after a batch's last command: exactly as many as there were, for a batch may end between
    /// two that are due at the same instant.
    fn commit(&mut self, committed: &Committed) -> Result<(), Wrong> {
        let Stage::Running(state) = &mut self.stage else {
            return Err(Wrong::Damaged("a commit without a state before it".into()));
        };
        self.found.commits += 1;
        self.events.clear();
        let more = committed.seq.get().saturating_sub(state.seq().get());
        if more > 0 {
            let room = usize::try_from(more).unwrap_or(usize::MAX);
            state.advance(committed.at, &mut self.events, room);
        }
        self.found.events = self.found.events.saturating_add(self.events.len() as u64);
        if state.seq() != committed.seq || digest_of(&self.events) != committed.events {
            return Err(Wrong::Differs(format!(
                "commit {}: recorded up to event {}, replayed up to {}; what was due: {:?}",
                self.found.commits,
                committed.seq,
                state.seq(),
                self.events
            )));
        }
        if committed.released {
            state.release_settled();
        }
        Ok(())
    }

    fn keep_pace(&mut self, at: UnixMillis) {
        let (from, started, _) = *self.span.get_or_insert_with(|| (at, Instant::now(), at));
        self.span = Some((from, started, at));
        self.found.recorded = Duration::from_millis(at.since(from));
        if let Pace::Times(times) = self.pace {
            let until = started + self.found.recorded / times.max(1);
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
        }
    }
}
