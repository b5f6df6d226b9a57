//! The start, or the end of a standstill, after a stop in which an auction ended, a winner's time lapsed or a waiting room had buyers to admit: buyers who are
//! offered a unit for an instant in the stop have their time to pay from the start on, and a room admits none before it.

use super::{Batch, Loaded, Recorder, Store, StoreError};
use crate::engine::{Command, FileCommand, Outcome, State};
use crate::types::UnixMillis;

/// Records that no buyer could order or pay until `now`, and does what was due until then, if a unit is offered or a room admits
/// buyers in that time. Returns whether it was.
///
/// # Errors
/// Those of the disk: what is recorded by then is complete.
pub fn record(
    store: &mut Store,
    loaded: &mut Loaded,
    now: UnixMillis,
    batch_events_max: usize,
) -> Result<bool, StoreError> {
    if !loaded.state.offers_a_unit_until(now) {
        return Ok(false);
    }
    let mut batch = Batch::default();
    resume(&mut loaded.state, now, &mut batch);
    let mut is_done = false;
    while !is_done {
        let first = batch.events.len();
        is_done = loaded.state.advance(now, &mut batch.events, batch_events_max.max(1));
        batch.draw_secrets_of_awards(first);
        commit(store, loaded, &std::mem::take(&mut batch))?;
    }
    Ok(true)
}

/// Advances a loaded state to the instant of the start, in one batch.
pub(super) fn advance(state: &mut State, now: UnixMillis, batch: &mut Batch) {
    if state.offers_a_unit_until(now) {
        resume(state, now, batch);
    }
    let first = batch.events.len();
    let is_done = state.advance(now, &mut batch.events, usize::MAX);
    assert!(is_done, "without a bound everything due is done");
    batch.draw_secrets_of_awards(first);
}

/// Records that no buyer could order or pay until `now`. The engine does not advance before this command: everything that is due
/// follows it. Returns the command and its outcome.
pub fn resume(state: &mut State, now: UnixMillis, batch: &mut Batch) -> (Command, Outcome) {
    let first = batch.events.len();
    let command = Command::File(FileCommand::RecordStop { until: now });
    let outcome = state.decide(&command, &mut batch.events);
    for event in &batch.events[first..] {
        state.evolve(event);
    }
    (command, outcome)
}

fn commit(store: &mut Store, loaded: &mut Loaded, batch: &Batch) -> Result<(), StoreError> {
    let mut recorder = Recorder::new(&store.connection, loaded.link)?;
    recorder.begin()?;
    recorder.record(batch)?;
    recorder.commit()?;
    loaded.link = recorder.link();
    drop(recorder);
    loaded.state.release_settled();
    let seq = loaded.state.seq();
    store.watermark.establish(&store.mark(seq, loaded.link, seq))?;
    Ok(())
}
