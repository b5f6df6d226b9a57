//! The blind windows of the drops of a state: their ends on the list of what is due, and the step to the next decision.

use super::blind::BlindWindow;
use super::draws::Draw;
use super::{DropEntry, Due, State};
use crate::types::{DropId, UnixMillis};

impl DropEntry {
    /// The draw of its room or of its blind window.
    #[must_use]
    pub fn draw(&self) -> Option<&Draw> {
        match &self.blind {
            Some(window) => Some(&window.draw),
            None => self.room.as_ref()?.draw.as_ref(),
        }
    }

    /// Returns whether the origins of its orders are noted, for the report on who got the units.
    #[must_use]
    pub fn notes_origins(&self) -> bool {
        self.room.is_some() || self.spec.blind_ms > 0
    }

    /// The instant at which its window ends, while that lies ahead and the drop has started.
    pub(super) fn window_end(&self) -> Option<UnixMillis> {
        let window = self.blind.as_deref().filter(|_| self.started && !self.ended)?;
        window.draw.tickets().is_none().then(|| self.spec.window_ends_at())
    }
}

impl State {
    /// Puts the decision of a recorded order off to the instant `at` to which the state advances. So an advance decides one step,
    /// however late it comes: a writer that needs longer than a millisecond for a step has not more to do in the next one.
    /// Returns false if nothing of the kind is due.
    pub(super) fn put_off_decision(&mut self, due_at: UnixMillis, due: Due, at: UnixMillis) -> bool {
        let Due::StandbyOffer(drop_id) = due else { return false };
        let entry = self.drops.get_mut(drop_id.place_in(self.shard)).filter(|entry| entry.blind.is_some());
        let Some(line) = entry.and_then(|entry| entry.standby.as_deref_mut()) else { return false };
        line.offer_at = Some(at);
        self.due.remove(&(due_at, due));
        self.due.insert((at, due))
    }

    /// Puts the end of a drop's blind window on the list of what is due: once the drop has started.
    pub(crate) fn schedule_window_end(&mut self, drop_id: DropId) {
        if let Some(at) = self.drop_entry(drop_id).and_then(DropEntry::window_end) {
            self.due.insert((at, Due::WindowEnd(drop_id)));
        }
    }

    /// Takes the end of a drop's blind window off the list of what is due. Called while it lies ahead.
    pub(crate) fn unschedule_window_end(&mut self, drop_id: DropId) {
        if let Some(at) = self.drop_entry(drop_id).and_then(DropEntry::window_end) {
            self.due.remove(&(at, Due::WindowEnd(drop_id)));
        }
    }

    /// The end of a window has come: these many orders are drawn.
    pub(super) fn end_window(&mut self, drop_id: DropId, recorded: u32) {
        self.unschedule_window_end(drop_id);
        let window = self.window_mut(drop_id);
        let window = window.unwrap_or_else(|| panic!("drop {drop_id} has no window that could end"));
        assert_eq!(window.len(), recorded, "a window ends with the orders that it recorded");
        window.draw.begin(recorded);
    }

    /// The blind window of a drop, until all of it is decided.
    pub(crate) fn window_mut(&mut self, drop_id: DropId) -> Option<&mut BlindWindow> {
        self.drops.get_mut(drop_id.place_in(self.shard))?.blind.as_deref_mut()
    }

    /// Moves a drop's window on to the next order to be decided; without one the window is over, and orders are decided as they
    /// arrive.
    pub(crate) fn settle_window(&mut self, drop_id: DropId) {
        let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) else { return };
        if entry.blind.as_mut().is_some_and(|window| window.settle(entry.standby.as_deref())) {
            entry.blind = None;
        }
    }

    /// Takes a window that is over off a restored state.
    pub(crate) fn forget_window(&mut self, drop_id: DropId) {
        self.unschedule_window_end(drop_id);
        if let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) {
            entry.blind = None;
        }
    }

    /// Moves all windows on, after a load.
    pub(crate) fn settle_windows(&mut self) {
        let with_windows: Vec<_> =
            self.drops.iter().filter(|entry| entry.blind.is_some()).map(|entry| entry.id).collect();
        with_windows.into_iter().for_each(|drop_id| self.settle_window(drop_id));
    }
}
