//! The queue of one endpoint's deliveries: what is sent next, what became of it, what has to be written down. Pure: it
//! is told the time and the answers.
//!
//! An endpoint has a *position*: every event up to it is delivered, or stands in `deliveries` because it failed. So a
//! healthy endpoint costs a mark now and then, and no row per event. Events of one order go one after another; when one
//! fails, the later ones of its order get rows too and wait behind it.
//!
//! The breaker: after [`FAILURES_MAX`] failures in a row only the oldest delivery is tried, and nothing else gets a row:
//! a dead endpoint's position waits, however much is sold meanwhile.

mod breaker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use breaker::Breaker;
pub use breaker::FAILURES_MAX;

use super::RetrySchedule;
use crate::engine::endpoints::MARKS_MAX;
use crate::types::{AttemptError, DeliveryMark, DeliveryState, Seq, UnixMillis};

/// Events that are looked at ahead of the oldest undelivered one.
pub const SCAN_AHEAD_MAX: usize = 256;
/// Deliveries of one endpoint that failed and wait; above it the position waits too.
pub const WAITING_MAX: usize = 1000;
/// Events that an endpoint does not want are passed over without a mark, up to so many.
const SKIPPED_MAX: u64 = 100_000;

/// An event that the endpoint wants, as far as its queue needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedEvent {
    /// Its number.
    pub seq: Seq,
    /// Its order; events without one wait for each other.
    pub order: Option<Seq>,
    /// When it happened.
    pub at: UnixMillis,
}

/// A delivery that waits, as its row has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredDelivery {
    /// Which event.
    pub wanted: QueuedEvent,
    /// Attempts so far.
    pub attempts: u8,
    /// When it is due again.
    pub next_at: UnixMillis,
}

/// Where a queue stood when it was written down last.
#[derive(Clone, Default, Debug)]
pub struct StoredQueue {
    /// Everything up to it is delivered or has a row.
    pub position: Seq,
    /// The oldest deliveries that wait.
    pub waiting: Vec<StoredDelivery>,
    /// Whether there are more than these.
    pub more_rows: bool,
    /// The events after the position that have a row of any kind.
    pub ahead: BTreeSet<Seq>,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttemptResult {
    /// A status of 2xx.
    Delivered,
    /// Anything else.
    Failed {
        /// What it was.
        trouble: AttemptError,
        /// What the endpoint asked for.
        retry_after: Option<Duration>,
    },
}

impl AttemptResult {
    /// Whether it got through.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, AttemptResult::Delivered)
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
}

/// What has to be written down: the new position, and what became of single deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Everything up to it is delivered or has a row.
    pub position: Seq,
    /// In the order of their events.
    pub marks: Vec<DeliveryMark>,
}

/// The queue of one endpoint's deliveries.
pub struct DeliveryQueue {
    schedule: RetrySchedule,
    in_flight_max: usize,
    /// As it was written down last.
    position: Seq,
    /// The last event that was looked at.
    scanned_to: Seq,
    pending: BTreeMap<Seq, PendingDelivery>,
    /// The undelivered events of each order: the first goes first.
    by_order: BTreeMap<Option<Seq>, BTreeSet<Seq>>,
    in_flight: usize,
    /// How many may be in flight at the moment: falls when the endpoint asks for mercy.
    in_flight_now_max: usize,
    breaker: Breaker,
    rows: usize,
    /// Events after the position that have a row: they are not taken for new ones.
    ahead: BTreeSet<Seq>,
    /// More rows wait in the file than were taken into memory.
    more_rows: bool,
    /// What changed and is not written down.
    marks: BTreeMap<Seq, DeliveryMark>,
    /// Whether anything was delivered since the last mark.
    delivered: bool,
}

impl DeliveryQueue {
    /// A queue from what the file has.
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
            in_flight_now_max: in_flight_max.max(1),
            breaker: Breaker::default(),
            rows: 0,
            ahead: stored.ahead,
            more_rows: stored.more_rows,
            marks: BTreeMap::new(),
            delivered: false,
        };
        for row in &stored.waiting {
            queue.add(row.wanted, row.attempts, row.next_at, true);
        }
        queue
    }

    fn add(&mut self, wanted: QueuedEvent, attempts: u8, next_at: UnixMillis, has_row: bool) {
        let QueuedEvent { seq, order, at } = wanted;
        self.pending.insert(seq, PendingDelivery { order, at, attempts, next_at, in_flight: false, has_row });
        self.by_order.entry(order).or_default().insert(seq);
        self.rows = self.rows.saturating_add(usize::from(has_row));
    }

    /// From where to look at more events, if there is room for them.
    #[must_use]
    pub fn scan_from(&self) -> Option<Seq> {
        let fresh = self.pending.len().saturating_sub(self.rows);
        // A row waits until all before it has been looked at: an earlier event of its order may have to be told again.
        let stuck = self.pending.first_key_value().is_some_and(|(seq, _)| *seq > self.scanned_to);
        let room = fresh < SCAN_AHEAD_MAX && (stuck || (self.rows < WAITING_MAX && !self.more_rows));
        // While the breaker is open nothing but the oldest is tried: more to look at is of no use.
        (room && (stuck || !self.breaker.is_open() || self.pending.is_empty())).then_some(self.scanned_to)
    }

    /// Takes in what was looked at: the wanted events up to `scanned_to`.
    pub fn add_scanned(&mut self, scanned_to: Seq, wanted: &[QueuedEvent]) {
        for wanted in wanted.iter().filter(|wanted| !self.ahead.remove(&wanted.seq)).copied().collect::<Vec<_>>() {
            self.add(wanted, 0, UnixMillis::ZERO, false);
        }
        self.scanned_to = self.scanned_to.max(scanned_to);
    }

    /// Whether rows in the file are left that memory had no room for, and now has.
    #[must_use]
    pub fn needs_reload(&self) -> bool {
        self.more_rows && self.pending.is_empty() && self.marks.is_empty()
    }

    /// What to send now.
    #[must_use]
    pub fn next(&self, now: UnixMillis) -> Option<Seq> {
        if self.in_flight >= self.in_flight_now_max || self.breaker.rests(now) {
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
        self.pending.range(..=self.scanned_to).find(|(seq, pending)| may(seq, pending)).map(|(seq, _)| *seq)
    }

    /// Notes that an event is being sent.
    pub fn sent(&mut self, seq: Seq) {
        if let Some(pending) = self.pending.get_mut(&seq) {
            pending.in_flight = true;
            self.in_flight = self.in_flight.saturating_add(1);
        }
    }

    /// Notes how an attempt ended. `chance` spreads the next one. Returns whether the delivery is given up.
    pub fn ended(&mut self, seq: Seq, ended: AttemptResult, now: UnixMillis, chance: u32) -> bool {
        let Some(pending) = self.pending.get_mut(&seq) else { return false };
        self.in_flight = self.in_flight.saturating_sub(usize::from(pending.in_flight));
        pending.in_flight = false;
        match ended {
            AttemptResult::Delivered => {
                self.breaker.delivered();
                self.in_flight_now_max = self.in_flight_now_max.saturating_add(1).min(self.in_flight_max);
                self.delivered = true;
                let had_row = self.forget(seq);
                if had_row {
                    self.mark(seq, DeliveryState::Delivered);
                } else {
                    self.marks.remove(&seq);
                }
                false
            }
            AttemptResult::Failed { trouble, retry_after } => self.failed(seq, trouble, retry_after, now, chance),
        }
    }

    fn failed(
        &mut self,
        seq: Seq,
        trouble: AttemptError,
        retry_after: Option<Duration>,
        now: UnixMillis,
        chance: u32,
    ) -> bool {
        if matches!(trouble, AttemptError::Status(429 | 502 | 504)) {
            // It has too much to do: half as much at once, and all of it rests as long as it asks for.
            self.in_flight_now_max = (self.in_flight_now_max / 2).max(1);
            self.breaker.rest(now, retry_after);
        }
        let was_open = self.breaker.is_open();
        self.breaker.failed(now);
        let Some(pending) = self.pending.get_mut(&seq) else { return false };
        if was_open && pending.has_row && now < pending.next_at {
            // A probe between two attempts of the schedule: nothing to write down.
            return false;
        }
        pending.attempts = pending.attempts.saturating_add(1);
        let attempts = pending.attempts;
        match self.schedule.next_at(attempts, now, retry_after, chance) {
            Some(next_at) => {
                pending.next_at = next_at;
                let new_row = !std::mem::replace(&mut pending.has_row, true);
                self.rows = self.rows.saturating_add(usize::from(new_row));
                self.mark(seq, DeliveryState::Waiting { attempts, next_at, trouble });
                false
            }
            None => {
                self.forget(seq);
                self.mark(seq, DeliveryState::Dead { attempts, trouble });
                true
            }
        }
    }

    /// Forgets a delivery; whether it had a row.
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

    /// What has to be written down, if anything. It is then taken as written: if it cannot be, begin a new queue.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.persist_blocked();
        let first_fresh = self.pending.iter().find(|(_, pending)| !pending.has_row).map(|(seq, _)| *seq);
        let mut marks = std::mem::take(&mut self.marks);
        if marks.len() > MARKS_MAX
            && let Some(seq) = marks.keys().nth(MARKS_MAX).copied()
        {
            self.marks = marks.split_off(&seq);
        }
        // A row that is not written yet holds the position as a delivery without one does.
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

    /// Later events of an order whose delivery failed get rows, so that the position can go on without them.
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

    /// Whether so many events were passed over since the last mark that it is worth one.
    #[must_use]
    pub fn has_skipped_many(&self) -> bool {
        self.rows == self.pending.len() && self.scanned_to.get().saturating_sub(self.position.get()) > SKIPPED_MAX
    }

    /// Whether something changed that is not written down.
    #[must_use]
    pub fn has_unsaved_changes(&self) -> bool {
        self.delivered || !self.marks.is_empty()
    }

    /// When the oldest undelivered event happened that is known here.
    #[must_use]
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.pending.values().next().map(|pending| pending.at)
    }

    /// Whether only the oldest delivery is tried.
    #[must_use]
    pub fn is_breaker_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Deliveries that failed and wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests;
