//! A loss that an operator accepted: it becomes an event, and the file's next epoch begins, so that versions and ETags of
//! lost events never match later ones.
//!
//! A draw that is not done in such a file may be done in the lost events, and its seed published. So that there is no second
//! draw with a known seed, its drop is paused, and a paused drop is not drawn (`server/draw_task.rs`).

use super::beside::{self, Replaced};
use super::{Batch, Loaded, Recorder, Store, StoreError, resumption};
use crate::engine::{ChangeDrop, Command, DropCommand, FileCommand, State};
use crate::failpoints::{self, Bug};
use crate::types::{DrawState, DropId, Seq, UnixMillis};

/// The reason of the pause of a drop whose draw may have been published, for the audit.
const MAY_BE_DRAWN: &str =
    "events of this drop may be lost, and its draw among them: to resume it draws again, with a seed that may be known";

/// An epoch that begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEpoch {
    /// The number of events that are known to be missing.
    pub(super) lost: u64,
    /// The highest epoch before it.
    pub(super) above: u64,
    /// Drops whose draw is not done are paused.
    pub(super) pauses_draws: bool,
}

/// Records that `lost` events up to the last acknowledged one are missing, and raises the epoch. Records nothing on an
/// error. Returns the drops that are paused because their draw may be among what is lost.
pub fn record(store: &mut Store, loaded: &mut Loaded, at: UnixMillis, lost: u64) -> Result<Vec<DropId>, StoreError> {
    let above = store.epoch;
    record_above(store, loaded, at, NewEpoch { lost, above, pauses_draws: true })
}

/// Pauses drops whose draw is not done, and returns those that are paused then.
fn pause_draws(state: &mut State, at: UnixMillis, batch: &mut Batch) -> Vec<DropId> {
    let open: Vec<(DropId, bool)> =
        state.drops().filter(|entry| !entry.ended).map(|entry| (entry.id, entry.paused)).collect();
    let mut paused = Vec::new();
    for (drop_id, is_paused) in open {
        if state.draw_mut(drop_id).is_none_or(|draw| draw.state() == DrawState::Drawn) {
            continue;
        }
        paused.push(drop_id);
        if !is_paused {
            let pause = ChangeDrop { drop_id, reason: MAY_BE_DRAWN.into() };
            state.apply(at, &Command::Drop(DropCommand::Pause(pause)), &mut batch.events);
        }
    }
    paused
}

/// Records a loss, or none, and begins the epoch after another one, in one transaction. Returns the drops that are paused because
/// their draw may be among what is lost.
pub(super) fn record_above(
    store: &mut Store,
    loaded: &mut Loaded,
    at: UnixMillis,
    begins: NewEpoch,
) -> Result<Vec<DropId>, StoreError> {
    let NewEpoch { lost, above: epoch, pauses_draws } = begins;
    let acknowledged = loaded.state.seq().get().saturating_add(lost);
    let acknowledged = Seq::new(acknowledged).unwrap_or(Seq::ZERO);
    let mut batch = Batch::default();
    let at = at.max(loaded.state.at());
    resumption::advance(&mut loaded.state, at, &mut batch);
    loaded.state.apply(at, &Command::File(FileCommand::RecordLoss { lost, acknowledged }), &mut batch.events);
    let pauses_draws = pauses_draws && !failpoints::enabled(Bug::RestoredDrawsAgain);
    let paused = if pauses_draws { pause_draws(&mut loaded.state, at, &mut batch) } else { Vec::new() };
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
    Ok(paused)
}

/// Begins a new epoch if the file is a copy that was put in the place of the one that lay there, which may have had other
/// events since: versions and ETags of those must never stand for its own. Returns what lay there, and the drops that are
/// paused because their draw may be among what is lost.
pub fn of_a_copy(
    store: &mut Store,
    loaded: &mut Loaded,
    at: UnixMillis,
) -> Result<Option<(Replaced, Vec<DropId>)>, StoreError> {
    let Some(replaced) = store.replaced.take() else { return Ok(None) };
    // A copy that has the last event that is known has lost none: a directory that was moved.
    let begins = NewEpoch { lost: 0, above: replaced.epoch, pauses_draws: replaced.known.is_some() };
    let paused = record_above(store, loaded, at, begins)?;
    let seq = loaded.state.seq();
    beside::write_of(&store.path, &store.mark(seq, loaded.link, seq));
    Ok(Some((replaced, paused)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::engine::{AuctionCommand, AuctionSpec, CommandKey, CreateAuction, PlaceBid};
    use crate::store::load::load;
    use crate::store::{PrivateData, verify};
    use crate::types::{AuctionId, BuyerText, Currency, Digest, Increment, UnitPrice};

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
                let begins = NewEpoch { lost: 0, above: epoch, pauses_draws: true };
                record_above(store, loaded, UnixMillis::ZERO, begins).expect("recorded");
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

    /// An auction from the first instant to the thousandth.
    fn auction() -> AuctionSpec {
        let price = |minor| UnitPrice::new(minor).expect("a price");
        AuctionSpec {
            sku: "S".into(),
            name: "N".into(),
            currency: Currency::new("EUR").expect("a currency"),
            start_price: price(100),
            reserve_price: None,
            increments: [Increment { from: price(0), step: price(10) }].into_iter().collect(),
            buy_now: None,
            starts_at: UnixMillis::ZERO,
            ends_at: UnixMillis::ZERO.plus_millis(1000),
            soft_close_seconds: 0,
            extensions_max: 0,
            hard_end_at: None,
            payment_seconds: 900,
            offer_next: true,
            exposure_limit: None,
        }
    }

    #[test]
    fn an_auction_that_ended_before_a_loss_is_accepted_leaves_its_winner_the_whole_time_to_pay() {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
        let mut loaded = load(&store.connection, &store.digest_key, 10).expect("loaded");
        let mut batch = Batch::default();
        let key = CommandKey { digest: Digest([1; 16]), params: Digest([2; 16]) };
        let create = Command::Auction(AuctionCommand::Create(CreateAuction { key, spec: Box::new(auction()) }));
        let bid = Command::Auction(AuctionCommand::Bid(PlaceBid {
            auction_id: AuctionId::new(1).expect("not 0"),
            buyer: store.digest_key.buyer("ann"),
            amount: UnitPrice::new(100).expect("a price"),
            maximum: None,
            key: None,
        }));
        for command in [create, bid] {
            loaded.state.apply(UnixMillis::ZERO, &command, &mut batch.events);
        }
        let buyer = BuyerText::new("ann").expect("a buyer");
        batch.private_data.push((loaded.state.seq(), PrivateData::Bid { buyer }));
        let mut recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
        recorder.begin().and_then(|()| recorder.record(&batch)).and_then(|()| recorder.commit()).expect("recorded");
        loaded.link = recorder.link();
        drop(recorder);

        let accepted = UnixMillis::ZERO.plus_seconds(3600);
        record(&mut store, &mut loaded, accepted, 5).expect("recorded");
        let expires_at: UnixMillis =
            store.connection.query_row("SELECT expires_at_ms FROM orders", [], |row| row.get(0)).expect("an award");
        assert_eq!(expires_at, accepted.plus_seconds(900));
        assert_eq!(verify::verify_connection(&store.connection).expect("verified").problems, Vec::<String>::new());
    }
}
