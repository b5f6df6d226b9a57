//! Figures of waiting rooms that no row has: admitted buyers without an order.
//!
//! The metrics ask for some rooms, and the writer counts those once a second. Neither waits for the other: the writer leaves a
//! second out while a reader has the lock.

use parking_lot::Mutex;

use crate::engine::State;
use crate::types::DropId;

/// The rooms that were asked for last, each with its count once the writer has made it.
#[derive(Default)]
pub(super) struct RoomFigures(Mutex<Vec<(DropId, Option<u64>)>>);

impl RoomFigures {
    /// Asks for these rooms, which are few, and returns the counts that are known of them.
    pub(super) fn ask(&self, rooms: &[DropId]) -> Vec<(DropId, u64)> {
        let mut asked = self.0.lock();
        let known = |room: &DropId| asked.iter().find(|(id, _)| id == room).and_then(|(_, count)| *count);
        let counts: Vec<(DropId, Option<u64>)> = rooms.iter().map(|room| (*room, known(room))).collect();
        asked.clone_from(&counts);
        drop(asked);
        counts.into_iter().filter_map(|(room, count)| Some((room, count?))).collect()
    }

    /// Counts the rooms that were asked for.
    pub(super) fn count(&self, state: &State) {
        let Some(mut asked) = self.0.try_lock() else { return };
        for (drop_id, count) in asked.iter_mut() {
            let room = state.drop_entry(*drop_id).and_then(|entry| entry.room.as_ref());
            *count = room.map(|room| room.admitted_idle(state.at()));
        }
    }
}
