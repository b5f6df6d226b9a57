//! The writer's work on one command without its threads: prefetch, decide, evolve, and what the next commit records.

use firstcome::engine::{Admitted, Command, Outcome, State};
use firstcome::store::{Batch, PrivateData, Recorder, Store, early, load, settlements};
use firstcome::types::{Shard, UnixMillis};

use super::World;

/// A state whose commands become rows of a file.
pub struct Recording<'store> {
    pub state: State,
    pub batch: Batch,
    store: &'store Store,
}

impl<'store> Recording<'store> {
    /// Returns the recording of an empty file, and its recorder.
    pub fn begin(store: &'store Store, keys_max: usize) -> (Recording<'store>, Recorder<'store>) {
        let loaded = load::load(&store.connection, &store.digest_key, keys_max).expect("an empty file");
        let recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
        let recording = Recording { state: loaded.state, batch: Batch::default(), store };
        (recording, recorder)
    }

    /// The same, of an empty file whose ids will be of this shard.
    pub fn begin_shard(store: &'store Store, keys_max: usize, shard: Shard) -> (Recording<'store>, Recorder<'store>) {
        let (mut recording, recorder) = Recording::begin(store, keys_max);
        recording.state.settle_shard(shard).expect("without drops");
        (recording, recorder)
    }

    /// Does what is due up to an instant.
    pub fn advance(&mut self, at: UnixMillis) {
        assert!(self.advance_by(at, usize::MAX));
    }

    /// Does what is due up to an instant, until the batch holds `events_max` events. Returns whether all is done.
    pub fn advance_by(&mut self, at: UnixMillis, events_max: usize) -> bool {
        let room = events_max.saturating_sub(self.batch.events.len());
        let first = self.batch.events.len();
        let is_done = self.state.advance(at, &mut self.batch.events, room);
        self.batch.draw_secrets_of_awards(first);
        is_done
    }

    /// Decides a command of a world, which learns from the outcome.
    pub fn decide(&mut self, world: &mut World, command: &Command, at: UnixMillis) {
        let private_data = world.private_data(command);
        let outcome = self.decide_with(command, private_data, at);
        world.learn(&self.state, &outcome);
    }

    /// Decides a command with its private data.
    pub fn decide_with(&mut self, command: &Command, private_data: Option<PrivateData>, at: UnixMillis) -> Outcome {
        let Recording { state, batch, store } = self;
        let mut admitted = Admitted::default();
        if let Some(order) = command.named_order().filter(|order| state.order(*order).is_none()) {
            load::load_named(&store.connection, &store.digest_key, order, &mut admitted).expect("read");
        }
        if let Some(event) = command.named_event() {
            // References of settlements are no events' names here: amounts stay as they are.
            let mut event = event.clone();
            early::load_about(&store.connection, &store.digest_key, &mut event, &mut admitted).expect("read");
        }
        if let Some(settle) = command.named_settlement() {
            settlements::load_known_refunds(&store.connection, &store.digest_key, settle, &mut admitted).expect("read");
        }
        state.admit(admitted);
        let first = batch.events.len();
        let outcome = state.decide(command, &mut batch.events);
        for event in &batch.events[first..] {
            state.evolve(event);
        }
        if let (Some(event), Some(private_data)) = (batch.events.get(first), private_data) {
            batch.private_data.push((event.seq, private_data));
        }
        if let Some(id) = command.named_drop().filter(|id| state.drop_entry(*id).is_some()) {
            batch.tally.count(id, at, &outcome, std::time::Duration::ZERO);
        }
        outcome
    }

    /// Commits what was decided. `what` names the run and the step in a failure.
    pub fn commit(&mut self, recorder: &mut Recorder<'_>, what: &str) {
        drop(self.take_and_commit(recorder, what));
    }

    /// Commits what was decided, and returns it.
    pub fn take_and_commit(&mut self, recorder: &mut Recorder<'_>, what: &str) -> Batch {
        recorder.begin().expect("begun");
        recorder.record(&self.batch).unwrap_or_else(|error| panic!("{what}: {error}"));
        recorder.commit().expect("committed");
        self.state.release_settled();
        std::mem::take(&mut self.batch)
    }
}
