//! A loss that an operator accepted: it becomes an event, and the file's next epoch begins, so that versions and ETags of
//! lost events never match later ones.

use super::{Batch, Loaded, PerSecondTally, Recorder, Store, StoreError};
use crate::engine::{Command, FileCommand};
use crate::types::{Seq, UnixMillis};

/// Records that `lost` events up to the last acknowledged one are missing, and raises the epoch. Records nothing on an
/// error.
pub fn record(store: &mut Store, loaded: &mut Loaded, at: UnixMillis, lost: u64) -> Result<(), StoreError> {
    let acknowledged = loaded.state.seq().get().saturating_add(lost);
    let acknowledged = Seq::new(acknowledged).unwrap_or(Seq::ZERO);
    let mut batch = Batch::default();
    let at = at.max(loaded.state.at());
    loaded.state.apply(at, &Command::File(FileCommand::RecordLoss { lost, acknowledged }), &mut batch.events);
    let mut recorder = Recorder::new(&store.connection, loaded.link)?;
    recorder.begin()?;
    recorder.record(&batch, &mut PerSecondTally::default())?;
    recorder.commit()?;
    loaded.link = recorder.link();
    drop(recorder);
    loaded.state.release_settled();
    store.epoch = store.epoch.saturating_add(1);
    let seq = loaded.state.seq();
    store.watermark.establish(&store.mark(seq, loaded.link, seq))?;
    store.lost = None;
    Ok(())
}
