//! A loss that an operator accepted: it becomes an event, and the file's next epoch begins, so that versions and ETags of
//! lost events never match later ones.

use super::beside::{self, Replaced};
use super::{Batch, Loaded, Recorder, Store, StoreError, resumption};
use crate::engine::{Command, FileCommand};
use crate::types::{Seq, UnixMillis};

/// Records that `lost` events up to the last acknowledged one are missing, and raises the epoch. Records nothing on an
/// error.
pub fn record(store: &mut Store, loaded: &mut Loaded, at: UnixMillis, lost: u64) -> Result<(), StoreError> {
    let epoch = store.epoch;
    record_above(store, loaded, at, lost, epoch)
}

/// Records a loss, or none, and begins the epoch after `epoch`, in one transaction.
pub(super) fn record_above(
    store: &mut Store,
    loaded: &mut Loaded,
    at: UnixMillis,
    lost: u64,
    epoch: u64,
) -> Result<(), StoreError> {
    let acknowledged = loaded.state.seq().get().saturating_add(lost);
    let acknowledged = Seq::new(acknowledged).unwrap_or(Seq::ZERO);
    let mut batch = Batch::default();
    let at = at.max(loaded.state.at());
    resumption::advance(&mut loaded.state, at, &mut batch);
    loaded.state.apply(at, &Command::File(FileCommand::RecordLoss { lost, acknowledged }), &mut batch.events);
    let mut recorder = Recorder::new(&store.connection, loaded.link)?;
    recorder.begin()?;
    if epoch > store.epoch {
        let raised = i64::try_from(epoch).unwrap_or(i64::MAX);
        store.connection.execute("UPDATE meta SET epoch = ?1 WHERE id = 1", [raised])?;
    }
    recorder.record(&batch)?;
    recorder.commit()?;
    loaded.link = recorder.link();
    drop(recorder);
    loaded.state.release_settled();
    store.epoch = store.epoch.max(epoch).saturating_add(1);
    let seq = loaded.state.seq();
    store.watermark.establish(&store.mark(seq, loaded.link, seq))?;
    store.lost = None;
    Ok(())
}

/// Begins a new epoch if the file is a copy that was put in the place of the one that lay there, which may have had other
/// events since: versions and ETags of those must never stand for its own. Returns what lay there.
pub fn of_a_copy(store: &mut Store, loaded: &mut Loaded, at: UnixMillis) -> Result<Option<Replaced>, StoreError> {
    let Some(replaced) = store.replaced.take() else { return Ok(None) };
    record_above(store, loaded, at, 0, replaced.epoch)?;
    let seq = loaded.state.seq();
    beside::write_of(&store.path, &store.mark(seq, loaded.link, seq));
    Ok(Some(replaced))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::store::load::load;

    fn epoch_after(directory: &Path, change: impl FnOnce(&mut Store, &mut Loaded)) -> (u64, u64) {
        let mut store = Store::open(directory, UnixMillis::ZERO).expect("opened");
        let mut loaded = load(&store.connection, &store.digest_key, 10).expect("loaded");
        change(&mut store, &mut loaded);
        let stored: i64 = store.connection.query_row("SELECT epoch FROM meta", [], |row| row.get(0)).expect("read");
        (store.epoch, u64::try_from(stored).expect("positive"))
    }

    #[test]
    fn an_epoch_begins_above_the_higher_one_of_the_file_and_the_note() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert_eq!(epoch_after(scratch.path(), |_, _| {}), (1, 1));
        let above = |epoch| {
            move |store: &mut Store, loaded: &mut Loaded| {
                record_above(store, loaded, UnixMillis::ZERO, 0, epoch).expect("recorded");
            }
        };
        assert_eq!(epoch_after(scratch.path(), above(7)), (8, 8));
        assert_eq!(epoch_after(scratch.path(), above(8)), (9, 9));
        assert_eq!(epoch_after(scratch.path(), above(3)), (10, 10));
        let loss = |store: &mut Store, loaded: &mut Loaded| {
            record(store, loaded, UnixMillis::ZERO, 5).expect("recorded");
        };
        assert_eq!(epoch_after(scratch.path(), loss), (11, 11));
    }
}
