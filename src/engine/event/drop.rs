//! Events of drops.

use std::collections::HashMap;

use super::metadata::{EventHeader, StockDelta};
use crate::engine::{CommandKey, DropEntry, DropPatch, DropSpec, Due, State};
use crate::types::DropId;

/// An event of a drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DropEvent {
    Created(DropCreated),
    Patched(DropPatched),
    /// The drop's start came.
    Started,
    /// The drop's end came.
    Ended,
    /// An operator stopped new orders.
    Paused {
        reason: Box<str>,
    },
    /// An operator let orders in again.
    Resumed {
        reason: Box<str>,
    },
    /// An operator ended the drop; its end is this event's instant.
    Closed {
        reason: Box<str>,
    },
    StockAdjusted(StockAdjusted),
    /// The auditor's recount disagrees: the drop is paused.
    MismatchFound,
    /// The auditor's recount agrees again; the drop stays paused until an operator resumes it.
    MismatchCleared,
}

/// The creation of a drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropCreated {
    pub spec: Box<DropSpec>,
    pub key: CommandKey,
}

/// An operator's change of a drop's spec.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropPatched {
    pub patch: Box<DropPatch>,
    pub reason: Box<str>,
}

/// Units were added, or free units removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StockAdjusted {
    /// Units that were added; negative where units were removed.
    pub delta: i64,
    pub reason: Box<str>,
}

impl DropEvent {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            DropEvent::Created(_) => "drop_created",
            DropEvent::Patched(_) => "drop_patched",
            DropEvent::Started => "drop_started",
            DropEvent::Ended => "drop_ended",
            DropEvent::Paused { .. } => "drop_paused",
            DropEvent::Resumed { .. } => "drop_resumed",
            DropEvent::Closed { .. } => "drop_closed",
            DropEvent::StockAdjusted(_) => "stock_adjusted",
            DropEvent::MismatchFound => "mismatch_found",
            DropEvent::MismatchCleared => "mismatch_cleared",
        }
    }

    /// Every event of a drop gives it a new version, whether or not its counters move.
    pub(super) fn stock_delta(&self) -> StockDelta {
        let total = match self {
            DropEvent::Created(created) => i64::from(created.spec.total),
            DropEvent::StockAdjusted(adjusted) => adjusted.delta,
            DropEvent::Patched(_)
            | DropEvent::Started
            | DropEvent::Ended
            | DropEvent::Paused { .. }
            | DropEvent::Resumed { .. }
            | DropEvent::Closed { .. }
            | DropEvent::MismatchFound
            | DropEvent::MismatchCleared => 0,
        };
        StockDelta { total, ..StockDelta::default() }
    }

    /// Returns whether the event counts as a revision: operators' changes after the creation do.
    #[must_use]
    pub const fn revises(&self) -> bool {
        match self {
            DropEvent::Patched(_)
            | DropEvent::Paused { .. }
            | DropEvent::Resumed { .. }
            | DropEvent::Closed { .. }
            | DropEvent::StockAdjusted(_) => true,
            DropEvent::Created(_)
            | DropEvent::Started
            | DropEvent::Ended
            | DropEvent::MismatchFound
            | DropEvent::MismatchCleared => false,
        }
    }
}

pub(in crate::engine) fn evolve(state: &mut State, event: EventHeader, body: &DropEvent) {
    let Some(drop_id) = event.drop_id() else { return };
    if let DropEvent::Created(DropCreated { spec, key }) = body {
        assert_eq!(drop_id.place_in(state.shard), state.drops.len(), "drops are numbered in order");
        state.remember(key, event, u64::from(drop_id.get()));
        state.drops.push(DropEntry::created(drop_id, spec.clone(), event.seq, event.at));
        return state.schedule_window(drop_id);
    }
    let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) else { return };
    if body.revises() {
        entry.count_revision();
    }
    match body {
        DropEvent::Patched(DropPatched { patch, .. }) => {
            let (starts_at, ends_at) = (entry.spec.starts_at, entry.spec.ends_at);
            patch.apply_to(&mut entry.spec);
            entry.capped = !entry.spec.identity_limits.is_empty();
            entry.started = entry.spec.has_started(event.at);
            state.unschedule_window(drop_id, starts_at, ends_at);
            state.schedule_window(drop_id);
        }
        DropEvent::Started => {
            entry.started = true;
            let starts_at = entry.spec.starts_at;
            state.due.remove(&(starts_at, Due::DropStart(drop_id)));
        }
        DropEvent::Ended => end(state, drop_id),
        DropEvent::Closed { .. } => {
            end(state, drop_id);
            if let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) {
                entry.spec.ends_at = Some(event.at);
            }
        }
        DropEvent::Paused { .. } => entry.paused = true,
        DropEvent::Resumed { .. } => entry.paused = false,
        DropEvent::MismatchFound => {
            entry.mismatch = true;
            entry.paused = true;
        }
        DropEvent::MismatchCleared => entry.mismatch = false,
        DropEvent::Created(_) | DropEvent::StockAdjusted(_) => {}
    }
}

fn end(state: &mut State, drop_id: DropId) {
    let Some(entry) = state.drops.get_mut(drop_id.place_in(state.shard)) else { return };
    let (starts_at, ends_at) = (entry.spec.starts_at, entry.spec.ends_at);
    entry.ended = true;
    entry.used = HashMap::default();
    entry.identity_units = HashMap::default();
    state.unschedule_window(drop_id, starts_at, ends_at);
}
