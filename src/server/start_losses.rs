//! The record of events that the file has lost, at a start.

use crate::store::beside::Replaced;
use crate::store::{Loaded, Store, StoreError, accepted_loss};
use crate::types::{DropId, Seq};
use crate::writer::Clock;

/// Tells that the file is a copy of the one that lay there, which has ended at event `found`.
fn tell_of_a_copy(store: &Store, replaced: Replaced, found: Seq) {
    let missing = match replaced.known {
        None => String::new(),
        Some(known) if known > found => format!(
            "; it ends at event {found}, and the one before had event {known}: at least {} events are missing, orders and \
             payments among them",
            known.get().saturating_sub(found.get())
        ),
        Some(known) => format!("; event {known} of the one before is not in it: its history is another one"),
    };
    tracing::error!(
        epoch = store.epoch,
        "the database is a copy of the one that lay here: a new epoch begins{missing}"
    );
}

/// Tells of drops that are paused because their draw may be among what is lost.
fn tell_of_draws(paused: &[DropId]) {
    for drop_id in paused {
        tracing::error!(
            drop_id = drop_id.get(),
            "the drop is paused: its draw may have been published by events that are missing. Close it and sell by a new drop, or resume it to draw again"
        );
    }
}

/// Records what a power failure took, and that the file is a copy of the one that lay there.
pub(super) fn record_losses(store: &mut Store, loaded: &mut Loaded, clock: &Clock) -> Result<(), StoreError> {
    if let Some(lost) = store.lost {
        tracing::error!(
            events = lost.events,
            "a power loss took events that --durability interval does not promise to keep"
        );
        tell_of_draws(&accepted_loss::record(store, loaded, clock.now(), lost.events)?);
    }
    let found = loaded.state.seq();
    if let Some((replaced, paused)) = accepted_loss::of_a_copy(store, loaded, clock.now())? {
        tell_of_a_copy(store, replaced, found);
        tell_of_draws(&paused);
    }
    Ok(())
}
