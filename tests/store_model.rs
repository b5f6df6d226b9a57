//! Random commands through the engine and into a real SQLite file: what is loaded from the file is what the engine has
//! in memory, after every few batches and at the end; and `verify` agrees.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;

use firstcome::engine::Admitted;
use firstcome::store::{Batch, PerSecondTally, Recorder, Store, StoreError, early, load, verify};
use firstcome::types::UnixMillis;

use model::World;

const KEYS_MAX: usize = 40;
const COMMANDS_PER_WORLD: usize = 600;

/// Runs a world. What is due is done in transactions of at most `events_max` events, each followed by a load: one that
/// ends within an instant is what a crash there leaves.
fn run_world(seed: u64, events_max: usize) {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let digests = store.digest_key.clone();
    let mut world = World::new(seed, digests.clone());
    let loaded = load::load(&store.connection, &digests, KEYS_MAX).expect("an empty file");
    let mut state = loaded.state;
    let mut recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
    let (mut batch, mut tally) = (Batch::default(), PerSecondTally::default());
    for step in 0..COMMANDS_PER_WORLD {
        let at = world.instant(&state);
        loop {
            let room = events_max.saturating_sub(batch.events.len());
            if state.advance(at, &mut batch.events, room) {
                break;
            }
            record(&mut recorder, &mut batch, &mut tally)
                .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
            state.release_settled();
            let mut loaded = load::load(&store.connection, &digests, KEYS_MAX)
                .unwrap_or_else(|error| panic!("seed {seed} step {step}: in the middle of what is due: {error}"))
                .state;
            let (mut alive, mut rest, mut rest_loaded) = (state.clone(), Vec::new(), Vec::new());
            assert!(alive.advance(at, &mut rest, usize::MAX) && loaded.advance(at, &mut rest_loaded, usize::MAX));
            assert_eq!(rest_loaded, rest, "seed {seed} step {step}: the rest of what is due");
            assert!(loaded == alive, "seed {seed} step {step}: in the middle of what is due");
        }
        let command = world.command(&state);
        let mut admitted = Admitted::default();
        if let Some(order) = command.named_order().filter(|order| state.order(*order).is_none()) {
            admitted.order = load::load_order(&store.connection, &digests, order).expect("read");
        }
        if let Some(event) = command.named_event() {
            early::load_about(&store.connection, event, &mut admitted).expect("read");
        }
        state.admit(admitted);
        let first = batch.events.len();
        let outcome = state.decide(&command, &mut batch.events);
        for event in &batch.events[first..] {
            state.evolve(event);
        }
        if let (Some(event), Some(private_data)) = (batch.events.get(first), world.private_data(&command)) {
            batch.private_data.push((event.seq, private_data));
        }
        world.learn(&state, &outcome);
        if let Some(id) = command.named_drop().filter(|id| state.drop_entry(*id).is_some()) {
            tally.count(id, at, &outcome, std::time::Duration::ZERO);
        }
        if world.random.one_in(4) || step + 1 == COMMANDS_PER_WORLD {
            record(&mut recorder, &mut batch, &mut tally)
                .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
            state.release_settled();
            if step % 50 < 4 || step + 1 == COMMANDS_PER_WORLD {
                let mut loaded = load::load(&store.connection, &digests, KEYS_MAX)
                    .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"))
                    .state;
                let mut none = Vec::new();
                assert!(loaded.advance(state.at(), &mut none, usize::MAX));
                assert_eq!(none, [], "seed {seed} step {step}: something was still due");
                assert_eq!(loaded.orders_by_state(), state.orders_by_state(), "seed {seed} step {step}");
                assert!(loaded == state, "seed {seed} step {step}: loaded\n{loaded:#?}\nin memory\n{state:#?}");
            }
        }
    }
    drop(recorder);
    let report = verify::verify_connection(&store.connection).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    assert_eq!(report.last_seq, state.seq());
}

/// Makes the batch durable and empties it.
fn record(recorder: &mut Recorder<'_>, batch: &mut Batch, tally: &mut PerSecondTally) -> Result<(), StoreError> {
    recorder.begin()?;
    recorder.record(batch, tally)?;
    recorder.commit()?;
    batch.clear();
    Ok(())
}

#[test]
fn a_crash_between_two_events_of_one_instant_leaves_a_file_that_loads() {
    if let Some(seed) = model::replayed_seed() {
        return run_world(seed, 1);
    }
    for seed in 0..model::scaled(30, 6) {
        run_world(seed.wrapping_mul(0x9e37_79b9) ^ 0xb0d5, 1 + usize::try_from(seed % 3).expect("small"));
    }
}

#[test]
fn what_is_loaded_from_the_file_is_what_the_engine_has_in_memory() {
    if let Some(seed) = model::replayed_seed() {
        return run_world(seed, usize::MAX);
    }
    for seed in 0..model::scaled(60, 6) {
        run_world(seed.wrapping_mul(0x9e37_79b9) ^ 0xf1c0, usize::MAX);
    }
}
