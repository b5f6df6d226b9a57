//! A sale without a writer: an engine, a tap, and a "file" of orders that are no longer in memory.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

#[path = "../model/mod.rs"]
pub mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstcome::capture::format::{Header, Record, RecordReader, Trouble};
use firstcome::capture::recorder::{Limits, begin};
use firstcome::capture::replay::{Pace, Replayed, replay};
use firstcome::capture::{CaptureRecorder, Tap};
use firstcome::engine::{Admitted, EarlyEvent, EventBody, Order, PaymentEvent, State};
use firstcome::types::{Digest, DigestKey, Seq, Shard};
use model::World;
use parking_lot::Mutex;

pub const HEADER: Header = Header { file_id: [7; 16], epoch: 3 };

pub fn limits() -> Limits {
    Limits { load_pause: Duration::ZERO, ..Limits::of_bytes(1 << 30) }
}

pub struct Sale {
    pub world: World,
    pub state: State,
    pub tap: Tap,
    events: Vec<firstcome::engine::Event>,
    /// Orders as they were when they left memory.
    file: BTreeMap<Seq, Order>,
    /// Providers' events that were heard in batches before.
    inbox: BTreeSet<Digest>,
    /// Refunds and chargebacks before their payment, of batches before.
    early: BTreeMap<Seq, EarlyEvent>,
    /// The state after the last commit, as the database has it.
    pub durable: Arc<Mutex<State>>,
    pub decided: u64,
}

impl Sale {
    /// A sale that is captured into `path`.
    pub fn new(seed: u64, keys_max: usize, path: &Path, limits: Limits) -> (Sale, CaptureRecorder) {
        // Every other world is of a shard, and the next of it of shard 0.
        let shard = Shard::new([0, 3, 0, 255][usize::try_from(seed % 4).expect("small")]);
        let mut state = State::new(keys_max);
        state.settle_shard(shard).expect("without drops");
        let durable = Arc::new(Mutex::new(state.clone()));
        let load = {
            let durable = Arc::clone(&durable);
            move || Ok(durable.lock().clone())
        };
        let dropped = metrics::Counter::noop();
        let (tap, recorder) = begin(path, HEADER, &state, limits, dropped, Box::new(load)).expect("a file");
        let mut world = World::new(seed, DigestKey::new(&[7; 32]));
        world.shard = shard;
        let (events, file, inbox, early) = (Vec::new(), BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        (Sale { world, state, tap, events, file, inbox, early, durable, decided: 0 }, recorder)
    }

    /// Decides one command as the writer does.
    pub fn step(&mut self) {
        let at = self.world.instant(&self.state);
        // In several transactions, as the writer's bound makes them.
        while !self.state.advance(at, &mut self.events, 3) {
            self.flush();
        }
        let command = self.world.command(&self.state);
        let mut admitted = Admitted::default();
        if let Some(order) = command.named_order().filter(|order| self.state.order(*order).is_none()) {
            admitted.order = self.file.get(&order).cloned();
        }
        model::admit_about(&command, &self.inbox, &self.early, &mut admitted);
        self.state.admit(admitted.clone());
        let first = self.events.len();
        let outcome = self.state.decide(&command, &mut self.events);
        for event in &self.events[first..] {
            self.state.evolve(event);
        }
        self.world.learn(&self.state, &outcome);
        self.tap.note(self.state.at(), command, admitted, outcome, self.events.len());
        self.decided += 1;
    }

    /// Does what is due when nobody asks for anything.
    pub fn wake(&mut self) {
        let at = self.world.instant(&self.state);
        self.state.advance(at, &mut self.events, usize::MAX);
        self.flush();
    }

    pub fn flush(&mut self) {
        let changed = !self.events.is_empty();
        for order in self.events.iter().filter_map(|event| event.order()) {
            if let Some(order) = self.state.order(order).filter(|order| !order.state.is_live()) {
                self.file.insert(order.seq, order.clone());
            }
        }
        for event in &self.events {
            if let EventBody::Payment(PaymentEvent::ProviderEventRecorded(recorded)) = &event.body {
                self.inbox.insert(recorded.id);
            }
            self.early.extend(model::early_of(event));
        }
        if changed {
            let mut durable = self.state.clone();
            durable.release_settled();
            *self.durable.lock() = durable;
        }
        self.tap.hand_over(&mut self.events, self.state.seq());
        self.events.clear();
        if changed {
            self.state.release_settled();
        }
    }

    /// The batch did not get through: memory is as the file is.
    pub fn throw_away(&mut self) {
        self.events.clear();
        self.state = self.durable.lock().clone();
        self.tap.thrown_away(self.state.seq());
    }

    /// So many batches of random length, with wake-ups between them.
    pub fn batches(&mut self, count: u64) {
        for _ in 0..count {
            for _ in 0..self.world.random.below(12) {
                self.step();
            }
            self.flush();
            if self.world.random.one_in(3) {
                self.wake();
            }
        }
    }
}

pub fn replayed(bytes: &[u8]) -> Result<Replayed, Trouble> {
    replay(&mut RecordReader::open(bytes)?, Pace::Max)
}

/// The records of a file, each with the byte at which it begins.
pub fn records(bytes: &[u8]) -> Vec<(u64, Record)> {
    let mut reader = RecordReader::open(bytes).expect("a header");
    let mut records = Vec::new();
    loop {
        let offset = reader.offset();
        match reader.read().expect("a record") {
            Some(record) => records.push((offset, record)),
            None => return records,
        }
    }
}
