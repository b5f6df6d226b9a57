//! The delivery queue of one endpoint: which event is due next, and which results have to be stored. It does no I/O:
//! callers pass the time and the results.
//!
//! An endpoint has a *position*: every event up to it is delivered, or has a row in `deliveries` because it failed. So a
//! healthy endpoint costs a checkpoint now and then, and no row per event. Events of one order are sent one after
//! another; if one fails, the later ones of its order get rows too and wait behind it.
//!
//! The circuit breaker: after [`FAILURES_MAX`] failures in a row only the oldest delivery is tried, and no other gets a
//! row. The position of a dead endpoint stays where it is, however many events follow.

mod breaker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use breaker::Breaker;
pub use breaker::FAILURES_MAX;

use super::RetrySchedule;
use crate::engine::endpoints::MARKS_MAX;
use crate::types::{AttemptError, DeliveryMark, DeliveryState, Seq, UnixMillis};

/// Events without a row that the queue holds in memory.
pub const SCAN_AHEAD_MAX: usize = 256;
/// Failed deliveries of one endpoint that wait for their next attempt; above it the position waits too.
pub const WAITING_MAX: usize = 1000;
/// Events outside the endpoint's filter that are skipped without a checkpoint.
const SKIPPED_MAX: u64 = 100_000;

/// An event that the endpoint's filter selects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedEvent {
    pub seq: Seq,
    /// The event's order. Events without an order are sent one after another too.
    pub order: Option<Seq>,
    pub at: UnixMillis,
}

/// A waiting delivery as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredDelivery {
    pub event: QueuedEvent,
    pub attempts: u8,
    pub next_at: UnixMillis,
}

/// The state of a queue at its last stored checkpoint.
#[derive(Clone, Default, Debug)]
pub struct StoredQueue {
    /// Every event up to it is delivered or has a row.
    pub position: Seq,
    /// The oldest waiting deliveries.
    pub waiting: Vec<StoredDelivery>,
    /// The file has more waiting deliveries than `waiting`.
    pub more_rows: bool,
    /// Events after the position that have a row.
    pub ahead: BTreeSet<Seq>,
}

/// The result of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttemptResult {
    /// The endpoint answered with a status of 2xx.
    Delivered,
    Failed {
        error: AttemptError,
        /// The wait that the endpoint asked for.
        retry_after: Option<Duration>,
    },
    /// One of the event's recipients has a result, and the next is due. Mails only.
    Partly,
    /// This one is to be tried later; the endpoint works. Mails only.
    Deferred(AttemptError),
    /// This one will never be taken: it is given up at once. The endpoint works. Mails only.
    Rejected(AttemptError),
}

impl AttemptResult {
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, AttemptResult::Delivered | AttemptResult::Partly)
    }
}

#[derive(Clone, Copy, Debug)]
struct PendingDelivery {
    order: Option<Seq>,
    at: UnixMillis,
    attempts: u8,
    next_at: UnixMillis,
    in_flight: bool,
    has_row: bool,
    /// The event has further recipients. Deliveries to one recipient come first.
    partly: bool,
}

/// The changes to store: the new position, and the state of single deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Every event up to it is delivered or has a row.
    pub position: Seq,
    pub marks: Vec<DeliveryMark>,
}

/// The deliveries of one endpoint.
pub struct DeliveryQueue {
    schedule: RetrySchedule,
    in_flight_max: usize,
    /// The position of the last checkpoint.
    position: Seq,
    /// The last event that has been read.
    scanned_to: Seq,
    pending: BTreeMap<Seq, PendingDelivery>,
    /// The undelivered events of each order; only the first of each is sent.
    by_order: BTreeMap<Option<Seq>, BTreeSet<Seq>>,
    in_flight: usize,
    /// Requests that may be in flight now: halved when the endpoint is overloaded, at most `in_flight_max`.
    in_flight_limit: usize,
    breaker: Breaker,
    rows: usize,
    /// Events after the position that have a row: a scan must not add them again.
    ahead: BTreeSet<Seq>,
    /// The file has more waiting deliveries than were loaded.
    more_rows: bool,
    /// Changes since the last checkpoint.
    marks: BTreeMap<Seq, DeliveryMark>,
    /// Any event was delivered since the last checkpoint.
    delivered: bool,
}

impl DeliveryQueue {
    /// Restores a queue from the file.
    #[must_use]
    pub fn new(schedule: RetrySchedule, in_flight_max: usize, stored: StoredQueue) -> DeliveryQueue {
        let mut queue = DeliveryQueue {
            schedule,
            in_flight_max: in_flight_max.max(1),
            position: stored.position,
            scanned_to: stored.position,
            pending: BTreeMap::new(),
            by_order: BTreeMap::new(),
            in_flight: 0,
            in_flight_limit: in_flight_max.max(1),
            breaker: Breaker::default(),
            rows: 0,
            ahead: stored.ahead,
            more_rows: stored.more_rows,
            marks: BTreeMap::new(),
            delivered: false,
        };
        for row in &stored.waiting {
            queue.add(row.event, row.attempts, row.next_at, true);
        }
        queue
    }

    fn add(&mut self, event: QueuedEvent, attempts: u8, next_at: UnixMillis, has_row: bool) {
        let QueuedEvent { seq, order, at } = event;
        self.pending
            .insert(seq, PendingDelivery { order, at, attempts, next_at, in_flight: false, has_row, partly: false });
        self.by_order.entry(order).or_default().insert(seq);
        self.rows = self.rows.saturating_add(usize::from(has_row));
    }

    /// Returns the event after which to read more, if there is room for them.
    #[must_use]
    pub fn scan_from(&self) -> Option<Seq> {
        let fresh = self.pending.len().saturating_sub(self.rows);
        // A row waits until all events before it are scanned: an earlier event of its order may have to be sent again.
        let stuck = self.pending.first_key_value().is_some_and(|(seq, _)| *seq > self.scanned_to);
        let room = fresh < SCAN_AHEAD_MAX && (stuck || (self.rows < WAITING_MAX && !self.more_rows));
        // While the breaker is open only the oldest delivery is tried: more events are of no use.
        (room && (stuck || !self.breaker.is_open() || self.pending.is_empty())).then_some(self.scanned_to)
    }

    /// Adds the selected events up to `scanned_to`.
    pub fn add_scanned(&mut self, scanned_to: Seq, events: &[QueuedEvent]) {
        for event in events.iter().filter(|event| !self.ahead.remove(&event.seq)).copied().collect::<Vec<_>>() {
            self.add(event, 0, UnixMillis::ZERO, false);
        }
        self.scanned_to = self.scanned_to.max(scanned_to);
    }

    /// Returns true if the file has more rows than were loaded, and there is room for them now.
    #[must_use]
    pub fn needs_reload(&self) -> bool {
        self.more_rows && self.pending.is_empty() && self.marks.is_empty()
    }

    /// Returns the next event to send at `now`.
    #[must_use]
    pub fn next_due(&self, now: UnixMillis) -> Option<Seq> {
        if self.in_flight >= self.in_flight_limit || self.breaker.is_paused(now) {
            return None;
        }
        if self.breaker.is_open() {
            let (seq, oldest) = self.pending.first_key_value().filter(|(seq, _)| **seq <= self.scanned_to)?;
            let may = self.in_flight == 0 && self.breaker.may_probe(now, oldest.next_at);
            return may.then_some(*seq);
        }
        let may = |seq: &Seq, pending: &PendingDelivery| {
            let first = self.by_order.get(&pending.order).and_then(BTreeSet::first);
            !pending.in_flight && pending.next_at <= now && first == Some(seq)
        };
        let due = || self.pending.range(..=self.scanned_to).filter(|(seq, pending)| may(seq, pending));
        due().find(|(_, pending)| !pending.partly).or_else(|| due().next()).map(|(seq, _)| *seq)
    }

    pub fn mark_in_flight(&mut self, seq: Seq) {
        if let Some(pending) = self.pending.get_mut(&seq) {
            pending.in_flight = true;
            self.in_flight = self.in_flight.saturating_add(1);
        }
    }

    /// Records the result of an attempt. `chance` is a random number that spreads retries. Returns true if the delivery
    /// is given up.
    pub fn record_result(&mut self, seq: Seq, result: AttemptResult, now: UnixMillis, chance: u32) -> bool {
        let Some(pending) = self.pending.get_mut(&seq) else { return false };
        self.in_flight = self.in_flight.saturating_sub(usize::from(pending.in_flight));
        pending.in_flight = false;
        match result {
            AttemptResult::Delivered => {
                self.breaker.delivered();
                self.in_flight_limit = self.in_flight_limit.saturating_add(1).min(self.in_flight_max);
                self.delivered = true;
                let had_row = self.forget(seq);
                if had_row {
                    self.mark(seq, DeliveryState::Delivered);
                } else {
                    self.marks.remove(&seq);
                }
                false
            }
            AttemptResult::Partly => {
                self.breaker.delivered();
                pending.partly = true;
                // With a row the position does not wait for the last recipient.
                let new_row = !std::mem::replace(&mut pending.has_row, true);
                if new_row {
                    self.rows = self.rows.saturating_add(1);
                    let attempts = pending.attempts;
                    self.mark(seq, DeliveryState::Waiting { attempts, next_at: now, trouble: AttemptError::Behind });
                }
                false
            }
            AttemptResult::Failed { error, retry_after } => {
                if matches!(error, AttemptError::Status(429 | 502 | 504)) {
                    // The endpoint is overloaded: half as many requests, and none for as long as it asks.
                    self.in_flight_limit = (self.in_flight_limit / 2).max(1);
                    self.breaker.pause(now, retry_after);
                }
                let was_open = self.breaker.is_open();
                self.breaker.failed(now);
                self.failed(seq, error, retry_after, (now, was_open), chance)
            }
            AttemptResult::Deferred(error) => {
                self.breaker.delivered();
                self.failed(seq, error, None, (now, false), chance)
            }
            AttemptResult::Rejected(error) => {
                self.breaker.delivered();
                let attempts = pending.attempts.saturating_add(1);
                self.give_up(seq, attempts, error)
            }
        }
    }

    fn failed(
        &mut self,
        seq: Seq,
        error: AttemptError,
        retry_after: Option<Duration>,
        (now, was_open): (UnixMillis, bool),
        chance: u32,
    ) -> bool {
        let Some(pending) = self.pending.get_mut(&seq) else { return false };
        if was_open && pending.has_row && now < pending.next_at {
            // A probe between two attempts of the schedule: nothing to store.
            return false;
        }
        pending.attempts = pending.attempts.saturating_add(1);
        let attempts = pending.attempts;
        match self.schedule.next_at(attempts, now, retry_after, chance) {
            Some(next_at) => {
                pending.next_at = next_at;
                let new_row = !std::mem::replace(&mut pending.has_row, true);
                self.rows = self.rows.saturating_add(usize::from(new_row));
                self.mark(seq, DeliveryState::Waiting { attempts, next_at, trouble: error });
                false
            }
            None => self.give_up(seq, attempts, error),
        }
    }

    fn give_up(&mut self, seq: Seq, attempts: u8, error: AttemptError) -> bool {
        self.forget(seq);
        self.mark(seq, DeliveryState::Dead { attempts, trouble: error });
        true
    }

    /// Removes a delivery. Returns true if it had a row.
    fn forget(&mut self, seq: Seq) -> bool {
        let Some(pending) = self.pending.remove(&seq) else { return false };
        if let Some(lane) = self.by_order.get_mut(&pending.order) {
            lane.remove(&seq);
            if lane.is_empty() {
                self.by_order.remove(&pending.order);
            }
        }
        self.rows = self.rows.saturating_sub(usize::from(pending.has_row));
        pending.has_row
    }

    fn mark(&mut self, seq: Seq, fate: DeliveryState) {
        self.marks.insert(seq, DeliveryMark { seq, fate });
    }

    /// Returns the changes to store, if any. The queue then counts them as stored: if the writer does not store them, a
    /// new queue has to be restored from the file.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.persist_blocked();
        let first_fresh = self.pending.iter().find(|(_, pending)| !pending.has_row).map(|(seq, _)| *seq);
        let mut marks = std::mem::take(&mut self.marks);
        if marks.len() > MARKS_MAX
            && let Some(seq) = marks.keys().nth(MARKS_MAX).copied()
        {
            self.marks = marks.split_off(&seq);
        }
        // A row that is not stored yet holds the position, as a delivery without a row does.
        let held = first_fresh.into_iter().chain(self.marks.keys().next().copied()).min();
        let position = held.map_or(self.scanned_to, |seq| Seq::new(seq.get().saturating_sub(1)).unwrap_or(Seq::ZERO));
        let position = position.max(self.position);
        let passed = position.get().saturating_sub(self.position.get());
        let worth = !marks.is_empty() || (self.delivered && passed > 0) || passed > SKIPPED_MAX;
        if !worth {
            return None;
        }
        self.position = position;
        self.delivered = false;
        Some(Checkpoint { position, marks: marks.into_values().collect() })
    }

    /// Gives rows to later events of an order whose delivery failed, so that the position can pass them.
    fn persist_blocked(&mut self) {
        if self.breaker.is_open() {
            return;
        }
        let mut behind = Vec::new();
        for lane in self.by_order.values().filter(|lane| lane.len() > 1) {
            let mut lane = lane.iter().filter_map(|seq| self.pending.get(seq).map(|pending| (*seq, pending)));
            if lane.next().is_some_and(|(_, first)| first.has_row && first.attempts > 0) {
                behind.extend(lane.filter(|(_, pending)| !pending.has_row).map(|(seq, _)| seq));
            }
        }
        for seq in behind {
            if let Some(pending) = self.pending.get_mut(&seq) {
                pending.has_row = true;
                self.rows = self.rows.saturating_add(1);
            }
            let next_at = UnixMillis::ZERO;
            self.mark(seq, DeliveryState::Waiting { attempts: 0, next_at, trouble: AttemptError::Behind });
        }
    }

    /// Returns true if enough events were skipped since the last checkpoint to be worth one.
    #[must_use]
    pub fn has_skipped_many(&self) -> bool {
        self.rows == self.pending.len() && self.scanned_to.get().saturating_sub(self.position.get()) > SKIPPED_MAX
    }

    #[must_use]
    pub fn has_unsaved_changes(&self) -> bool {
        self.delivered || !self.marks.is_empty()
    }

    /// Returns the time of the oldest undelivered event in the queue.
    #[must_use]
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.pending.values().next().map(|pending| pending.at)
    }

    /// Returns true while only the oldest delivery is tried.
    #[must_use]
    pub fn is_breaker_open(&self) -> bool {
        self.breaker.is_open()
    }
}

#[cfg(test)]
mod tests;
