//! The writer's end of a capture: it notes commands as they are decided, and hands them over when their batch is
//! durable. It never waits: where the recorder does not keep up, whole batches are left out, counted, and the file
//! says so.
//!
//! Memory between the writer and the recorder is bounded by `WAITING_MAX` commands and events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Sender, TrySendError};
use metrics::Counter;

use crate::engine::{Admitted, Command, Event, Outcome};
use crate::types::{Seq, UnixMillis};

/// Commands and events that may wait for the recorder: a second and more of the most that the writer decides, 20 MB.
pub const WAITING_MAX: usize = 1 << 16;

/// A command that was decided.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) at: UnixMillis,
    pub(super) command: Command,
    pub(super) admitted: Admitted,
    pub(super) outcome: Outcome,
    /// The number of the batch's events up to this command.
    pub(super) events_until: usize,
}

/// A batch that is durable.
#[derive(Debug)]
pub(super) struct DurableBatch {
    pub(super) noted: Vec<Noted>,
    pub(super) events: Vec<Event>,
    /// The last event before it.
    pub(super) before: Seq,
    /// The last event after it.
    pub(super) after: Seq,
    /// True if memory held live orders only before it, as a state loaded from the file does.
    pub(super) was_clean: bool,
    /// Commands that were left out directly before it; none if nothing was.
    pub(super) gap: Option<u64>,
}

impl DurableBatch {
    pub(super) fn weight(&self) -> usize {
        self.noted.len().saturating_add(self.events.len())
    }
}

/// The writer's end.
pub struct Tap {
    pub(super) sender: Sender<DurableBatch>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) waiting_max: usize,
    pub(super) dropped: Counter,
    pub(super) noted: Vec<Noted>,
    /// The last event of the last durable batch.
    pub(super) seq: Seq,
    /// True if memory holds live orders only, as a state loaded from the file does.
    pub(super) clean: bool,
    /// Commands left out since the last batch that was handed over.
    pub(super) gap: Option<u64>,
}

impl Tap {
    /// Notes a decided command; `events_until` is how many events its batch has now.
    pub fn note(
        &mut self,
        at: UnixMillis,
        command: Command,
        admitted: Admitted,
        outcome: Outcome,
        events_until: usize,
    ) {
        self.noted.push(Noted { at, command, admitted, outcome, events_until });
    }

    /// The batch is durable, up to the event `after`: hands it over, and takes its events.
    pub fn hand_over(&mut self, events: &mut Vec<Event>, after: Seq) {
        if self.noted.is_empty() && events.is_empty() {
            return;
        }
        let was_clean = self.clean;
        let loaded_any = self.noted.iter().any(|noted| !noted.admitted.is_empty());
        self.clean = !events.is_empty() || (self.clean && !loaded_any);
        let before = std::mem::replace(&mut self.seq, after);
        let weight = self.noted.len().saturating_add(events.len());
        let waits = self.waiting.load(Ordering::Relaxed);
        // After a gap the file goes on with a state as the database shows it, which has live orders only.
        let resumes = self.gap.is_none() || was_clean;
        if !resumes || (waits > 0 && waits.saturating_add(weight) > self.waiting_max) {
            return self.leave_out(self.noted.len());
        }
        let room = Vec::with_capacity(self.noted.len());
        let batch = DurableBatch {
            noted: std::mem::replace(&mut self.noted, room),
            events: std::mem::take(events),
            before,
            after,
            was_clean,
            gap: self.gap.take(),
        };
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        match self.sender.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                self.waiting.fetch_sub(weight, Ordering::Relaxed);
                self.gap = batch.gap;
                self.leave_out(batch.noted.len());
            }
        }
    }

    fn leave_out(&mut self, commands: usize) {
        let commands = commands as u64;
        self.dropped.increment(commands);
        self.gap = Some(self.gap.unwrap_or(0).saturating_add(commands));
        self.noted.clear();
    }

    /// The batch was thrown away, and the state loaded again: the file goes on with a snapshot.
    pub fn thrown_away(&mut self, seq: Seq) {
        self.noted.clear();
        self.seq = seq;
        self.clean = true;
        self.gap = Some(self.gap.unwrap_or(0));
    }
}
