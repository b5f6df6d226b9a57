//! The steps of the writer's loop: take commands, decide them, make the batch durable, publish it, reply.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::checkpoint::{self, Checkpointer};
use super::handle::{QueuedCommand, WriterMessage, WriterShared};
use super::instant_keeper::InstantKeeper;
use super::options::WriterOptions;
use super::replica::Replica;
use super::replies::{Decided, NotApplied, ReplyAddress, ReplyBatch, Timing, WriterReply};
use super::standstill::Standstill;
use super::sync_policy::SyncPolicy;
use super::thread::OperatorsFile;
use super::{Clock, ClockReading};
use crate::capture::Tap;
use crate::engine::{DropEvent, EventBody, Outcome, State};
use crate::failpoints::{self, Bug, PausePoint};
use crate::store::{Batch, Recorder, Severity, Store, StoreError, beside, load};
use crate::telemetry::WriterMeter;
use crate::types::{DropId, Published, UnixMillis};

/// Time that another program may lock the file before commands are rejected.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// Pause between two steps of an erasure, in which commands have their turn.
const ERASURE_PAUSE: Duration = Duration::from_millis(10);
/// Interval of the per-second work: figures, clock, meters, disk space.
const TICK: Duration = Duration::from_secs(1);

/// Commands taken out of the queue before the first of them is decided: see [`State::look_ahead`]. More loads than a
/// processor keeps in flight gain nothing.
const LOOK_AHEAD: usize = 16;

/// A reply that waits until its batch is durable.
pub(super) struct PendingReply {
    pub(super) reply: ReplyAddress,
    /// `None` for a creation that was to be a repeat and whose key is new: nothing was decided.
    pub(super) outcome: Option<Outcome>,
    pub(super) at: UnixMillis,
    pub(super) timing: Timing,
}

/// The state of the writer's loop.
pub(super) struct WriterLoop<'a> {
    pub(super) store: &'a Store,
    pub(super) recorder: Recorder<'a>,
    pub(super) checkpointer: Checkpointer,
    pub(super) state: State,
    pub(super) batch: Batch,
    pub(super) replies: Vec<PendingReply>,
    pub(super) outgoing: ReplyBatch,
    pub(super) sync: SyncPolicy,
    /// Cause of a standstill: nothing is decided, and the state does not advance.
    pub(super) standstill: Option<Standstill>,
    /// True while the watermark is behind the file, because it found no space.
    pub(super) is_unmarked: bool,
    /// Number of commands taken since the last tick.
    pub(super) drained: u32,
    pub(super) last_tick: Instant,
    /// True while the log has pages with a contact that was erased.
    pub(super) log_has_erased: bool,
    /// The last step of an erasure.
    pub(super) erased_at: Instant,
    pub(super) instants: InstantKeeper<'a>,
    pub(super) clock: &'a Clock,
    pub(super) published: &'a Published,
    pub(super) shared: &'a WriterShared,
    pub(super) meter: WriterMeter,
    pub(super) options: &'a WriterOptions,
    pub(super) receiver: &'a Receiver<WriterMessage>,
    /// Commands taken out of the queue and not decided yet.
    pub(super) fetched: VecDeque<QueuedCommand>,
    /// Destination of captured batches.
    pub(super) tap: Option<Tap>,
    pub(super) operators_file: Option<OperatorsFile>,
    /// The node of a cluster; `None` on a single machine.
    pub(super) replica: Option<Replica<'a>>,
}

impl WriterLoop<'_> {
    /// Waits for a command until the next due instant, the next tick or the next sync.
    pub(super) fn wait(&mut self) -> Result<Option<WriterMessage>, StoreError> {
        let mut until = self.last_tick + TICK;
        if self.is_erasing() {
            until = until.min(self.erased_at + ERASURE_PAUSE);
        }
        if !self.stands_still() {
            if let Some(due) = self.state.next_due() {
                until = until.min(self.clock.instant_of(due));
            }
            // The entries of a cluster, one a second at least, wait for the disk in their turn.
            if let Some(sync) = self.sync.due_at().filter(|_| self.replica.is_none()) {
                until = until.min(sync);
            }
        }
        if self.replica.is_some() {
            return self.wait_with_log(until);
        }
        Ok(self.receiver.recv_deadline(until).ok())
    }

    /// Decides the queued commands, up to a batch; never waits to fill it. Returns the number of commands.
    pub(super) fn drain(&mut self, first: Option<WriterMessage>) -> Result<usize, StoreError> {
        let mut commands = 0usize;
        let mut next = first;
        while next.is_some() {
            let left = self.options.batch_commands_max.saturating_sub(commands);
            self.fetch(next, left.min(LOOK_AHEAD));
            self.state.look_ahead(self.fetched.iter().map(|queued| &queued.submission.command));
            while let Some(queued) = self.fetched.pop_front() {
                commands = commands.saturating_add(1);
                if let Err(fault) = self.take(queued) {
                    self.reject_fetched();
                    return Err(fault);
                }
            }
            next = if commands < self.options.batch_commands_max { self.receiver.try_recv().ok() } else { None };
        }
        if commands > 0 {
            self.meter.batch_commands(commands);
            self.drained = self.drained.saturating_add(u32::try_from(commands).unwrap_or(u32::MAX));
        }
        Ok(commands)
    }

    /// Takes `first` and the commands queued behind it, up to `max` in all.
    fn fetch(&mut self, first: Option<WriterMessage>, max: usize) {
        let mut next = first;
        while let Some(message) = next {
            match message {
                WriterMessage::Command(queued) => self.fetched.push_back(queued),
                WriterMessage::Wake => {}
            }
            next = if self.fetched.len() < max { self.receiver.try_recv().ok() } else { None };
        }
    }

    /// Answers the fetched commands when a fault ends the writer. They are never decided.
    fn reject_fetched(&mut self) {
        for QueuedCommand { reply, .. } in self.fetched.drain(..) {
            self.outgoing.push(reply, WriterReply::NotApplied(NotApplied::Ending));
        }
        self.outgoing.send(&self.shared.mailboxes);
    }

    /// Advances the state to `at`, in as many transactions as needed.
    pub(super) fn advance(&mut self, at: UnixMillis) -> Result<(), StoreError> {
        while !self.stands_still() {
            let room = self.options.batch_events_max.saturating_sub(self.batch.events.len());
            let first = self.batch.events.len();
            let is_done = self.state.advance(at, &mut self.batch.events, room);
            self.batch.draw_secrets_of_awards(first);
            if let Some(replica) = &mut self.replica {
                // Counted, so that the commands behind them leave room.
                let _is_full = replica.add(&self.batch.events[first..], &[]);
            }
            if is_done {
                return Ok(());
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Makes everything decided so far durable, publishes it, and sends the replies.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.replica.is_some() {
            return self.flush_entry();
        }
        let mut commit = Duration::ZERO;
        let must_sync = self.sync.is_due() && !self.is_read_only();
        if failpoints::enabled(Bug::PublishBeforeCommit) {
            self.publish(commit);
        }
        if !self.batch.events.is_empty() || must_sync {
            match self.commit() {
                Ok(took) => commit = took,
                Err(error) => return self.not_committed(error),
            }
        }
        let changed = !self.batch.events.is_empty();
        if changed {
            self.publish(commit);
        }
        self.send_replies(commit);
        if let Some(tap) = &mut self.tap {
            tap.hand_over(&mut self.batch.events, self.state.seq());
        }
        if changed {
            self.batch.clear_events();
            self.state.release_settled();
        }
        Ok(())
    }

    pub(super) fn send_replies(&mut self, commit: Duration) {
        let committed = Instant::now();
        for waiting in self.replies.drain(..) {
            let PendingReply { reply, outcome, at, timing } = waiting;
            let timing = Timing { commit, ..timing };
            let answer = match outcome {
                Some(outcome) => WriterReply::Decided(Decided { outcome, at, timing, committed }),
                None => WriterReply::NotApplied(NotApplied::NoRepeat),
            };
            self.outgoing.push(reply, answer);
        }
        self.outgoing.send(&self.shared.mailboxes);
    }

    /// Gives every command of the batch the same reply: refused ones as well, because their decisions saw the batch.
    pub(super) fn reply_to_all(&mut self, reply: impl Fn() -> WriterReply) {
        for waiting in self.replies.drain(..) {
            self.outgoing.push(waiting.reply, reply());
        }
        self.outgoing.send(&self.shared.mailboxes);
    }

    /// Runs one transaction: begin, record, commit, and the watermark. Returns its duration.
    pub(super) fn commit(&mut self) -> Result<Duration, StoreError> {
        let started = Instant::now();
        self.sync.prepare(&self.store.connection)?;
        self.begin()?;
        failpoints::pause(PausePoint::AfterBegin);
        let nothing_else = self.batch.events.is_empty() && self.batch.tally.is_empty();
        self.recorder.record(&self.batch)?;
        if nothing_else {
            self.recorder.heartbeat(self.state.at())?;
        }
        let recorded = Instant::now();
        self.meter.record(recorded.saturating_duration_since(started));
        failpoints::pause(PausePoint::BeforeCommit);
        self.recorder.commit()?;
        self.batch.tally.clear();
        failpoints::pause(PausePoint::AfterCommit);
        let synced = self.sync.committed(self.state.seq());
        self.mark(synced)?;
        failpoints::pause(PausePoint::AfterWatermark);
        self.meter.commit(recorded.elapsed());
        Ok(started.elapsed())
    }

    /// Opens the transaction. If another process writes to the file, retries for [`BUSY_RETRY`].
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        let until = Instant::now() + if self.is_read_only() { Duration::ZERO } else { BUSY_RETRY };
        loop {
            match self.recorder.begin() {
                Ok(()) => return Ok(()),
                Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => {
                    return Err(error.into());
                }
                Err(_) if Instant::now() < until => std::thread::yield_now(),
                Err(_) => return Err(StoreError::ForeignWriter { path: self.store.path.clone() }),
            }
        }
    }

    /// Handles a failed commit: replies to every command of the batch, and returns an error if the writer must end.
    pub(super) fn not_committed(&mut self, error: StoreError) -> Result<(), StoreError> {
        let error = self.store.with_cause(error);
        match error.severity() {
            // Autocommit is on again: SQLite has rolled back, and nothing of the batch is in the file.
            Severity::Full if self.is_rolled_back() => {
                self.reply_to_all(|| WriterReply::NotApplied(NotApplied::ReadOnly));
                if !failpoints::enabled(Bug::FullKeepsMemory) {
                    self.reload_state()?;
                }
                self.become_read_only(&error.to_string());
                Ok(())
            }
            Severity::ForeignWriter if self.is_rolled_back() => self.stand_still_while_locked(),
            Severity::ForeignWriter
            | Severity::Full
            | Severity::Bug
            | Severity::FileLost
            | Severity::Log
            | Severity::Storage => {
                if failpoints::enabled(Bug::FaultIsNotApplied) {
                    self.reply_to_all(|| WriterReply::NotApplied(NotApplied::Ending));
                }
                self.reply_to_all(|| WriterReply::Unknown);
                if failpoints::enabled(Bug::GoOnAfterFault) && self.is_rolled_back() {
                    return self.reload_state();
                }
                Err(error)
            }
        }
    }

    /// Rolls the transaction back if it is open. Returns true if nothing of it is left.
    pub(super) fn is_rolled_back(&self) -> bool {
        let connection = &self.store.connection;
        connection.is_autocommit() || (connection.execute_batch("ROLLBACK").is_ok() && connection.is_autocommit())
    }

    /// Replaces the state by that of the file, which does not have the failed batch.
    pub(super) fn reload_state(&mut self) -> Result<(), StoreError> {
        let keys_max = self.state.idempotency_keys_max();
        let mut loaded = load::load(&self.store.connection, &self.store.digest_key, keys_max)?;
        loaded.settle_shard(self.state.shard())?;
        self.state = loaded.state;
        self.log_has_erased |= self.recorder.take_has_erased();
        self.recorder = Recorder::new(&self.store.connection, loaded.link)?;
        self.batch.clear_events();
        self.batch.tally.clear();
        if let Some(tap) = &mut self.tap {
            tap.thrown_away(self.state.seq());
        }
        Ok(())
    }

    /// Publishes the versions of the drops that the batch changed: after COMMIT, before the replies.
    pub(super) fn publish(&mut self, commit: Duration) {
        let mut touched: BTreeMap<DropId, UnixMillis> = BTreeMap::new();
        let mut has_new_price = false;
        for event in &self.batch.events {
            if let Some(drop_id) = event.drop_id() {
                touched.insert(drop_id, event.at);
            }
            if let EventBody::Buyer(body) = &event.body {
                let buyer = body.buyer();
                self.published.operator_tiers.publish(buyer, self.state.operator_tier(&buyer));
            }
            has_new_price |= matches!(event.body, EventBody::Drop(DropEvent::Patched(_)));
        }
        if has_new_price {
            self.published.note_price_change();
        }
        let mut newest = None;
        for (drop_id, at) in touched {
            if let Some(entry) = self.state.drop_entry(drop_id) {
                let (challenge, identity_limits) = (entry.spec.challenge, &entry.spec.identity_limits);
                if entry.spec.room.is_some() {
                    self.published.publish_room(drop_id, entry.version, entry.room_claims());
                }
                self.published.publish_drop(drop_id, entry.version, challenge, identity_limits, entry.notes_origins());
                newest = newest.max(Some(entry.version));
            }
            self.batch.tally.count_commit(drop_id, at, commit);
        }
        if let Some(newest) = newest {
            self.published.publish_newest_change(newest);
        }
        self.published.publish_seq(self.state.seq());
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        let Some(due) = self.checkpointer.due() else { return Ok(()) };
        if self.store.live_copy.holds_checkpoints() {
            return Ok(());
        }
        // A checkpoint would hide that the database was cut.
        self.look()?;
        if self.is_unverified() {
            return Ok(());
        }
        let Some(_turn) = self.store.live_copy.checkpoint_turn() else { return Ok(()) };
        let started = Instant::now();
        let ran =
            self.checkpointer.run(due, &self.store.connection).map_err(|error| self.store.with_cause(error.into()));
        self.store.files.note_written();
        match ran {
            Ok(done) => self.meter.checkpoint(started.elapsed(), done == checkpoint::CheckpointResult::Busy),
            // The log has everything; only the database cannot grow.
            Err(error) if error.severity() == Severity::Full => self.become_read_only(&error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Does the per-second work: figures that no commit wrote, disk space, clock, meters and pace.
    pub(super) fn tick_if_due(&mut self) -> Result<(), StoreError> {
        let elapsed = self.last_tick.elapsed();
        if elapsed < TICK {
            return Ok(());
        }
        self.last_tick = Instant::now();
        self.look()?;
        if self.replica.is_some() {
            self.resign_if_it_cannot_write();
            self.heartbeat()?;
        } else if !self.batch.tally.is_empty()
            && !self.is_read_only()
            && let Err(error) = self.commit()
        {
            self.not_committed(error)?;
        }
        self.empty_log_of_erased()?;
        self.end_standstill()?;
        let now = ClockReading::take();
        let offset_ms = self.clock.slew(&now, elapsed);
        self.instants.keep_if_due(self.clock, &now, offset_ms);
        self.meter.orders(self.state.orders_by_state());
        self.meter.tick(offset_ms, self.checkpointer.wal_bytes(), self.state.keys_evicted());
        self.shared.rooms.count(&self.state);
        self.measure_pace(elapsed);
        Ok(())
    }

    /// Returns whether contacts of ended lines are left that may be erased now.
    fn is_erasing(&self) -> bool {
        self.recorder.is_erasing() && !self.is_read_only()
    }

    /// Erases a few more contacts of ended lines, in a transaction of its own: every node does so at its own pace.
    pub(super) fn erase_if_due(&mut self) -> Result<(), StoreError> {
        if !self.is_erasing() || self.erased_at.elapsed() < ERASURE_PAUSE {
            return Ok(());
        }
        self.erased_at = Instant::now();
        match self.erase_more() {
            Ok(()) => Ok(()),
            Err(error) => self.not_committed(error),
        }
    }

    fn erase_more(&mut self) -> Result<(), StoreError> {
        self.sync.prepare(&self.store.connection)?;
        self.begin()?;
        self.recorder.erase_more()?;
        self.recorder.commit()?;
        let synced = self.sync.committed(self.state.seq());
        self.mark(synced)
    }

    /// Empties the log after a contact was erased. Readers with a snapshot may prevent it: the next tick tries again.
    fn empty_log_of_erased(&mut self) -> Result<(), StoreError> {
        self.log_has_erased |= self.recorder.take_has_erased();
        // While more is erased, the log would only have to be emptied again.
        if !self.log_has_erased || self.is_unverified() || self.is_erasing() {
            return Ok(());
        }
        let Some(_turn) = self.store.live_copy.checkpoint_turn() else { return Ok(()) };
        let started = Instant::now();
        let ran = self.checkpointer.reset(&self.store.connection).map_err(|error| self.store.with_cause(error.into()));
        self.store.files.note_written();
        match ran {
            Ok(done) => {
                self.log_has_erased = done == checkpoint::CheckpointResult::Busy;
                self.meter.checkpoint(started.elapsed(), self.log_has_erased);
                Ok(())
            }
            Err(error) if error.severity() == Severity::Full => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Measures the commands per second: the rate while the queue stayed filled, otherwise the best rate so far.
    fn measure_pace(&mut self, elapsed: Duration) {
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let pace = u64::from(self.drained).saturating_mul(1000) / millis;
        let pace = u32::try_from(pace).unwrap_or(u32::MAX).max(1);
        let known = self.shared.drain_per_second.load(Ordering::Relaxed);
        if pace > known || !self.receiver.is_empty() {
            self.shared.drain_per_second.store(pace, Ordering::Relaxed);
        }
        self.drained = 0;
    }

    /// Ends in order: commits what is left and copies the log into the database.
    pub(super) fn end(mut self) -> Result<(), StoreError> {
        self.look()?;
        self.wait_for_verdict()?;
        self.leave_cluster();
        if !self.is_read_only() {
            if !self.batch.tally.is_empty() || self.sync.is_dirty() {
                self.sync.make_due();
                self.commit()?;
            }
            let turn = self.store.live_copy.last_checkpoint_turn();
            let reset = self.checkpointer.reset(&self.store.connection).map_err(StoreError::from);
            drop(turn);
            match reset {
                Err(error) if error.severity() != Severity::Full => return Err(error),
                // The log keeps what the database has no space for.
                Ok(_) | Err(_) => {}
            }
        }
        self.meter.tick(0, self.checkpointer.wal_bytes(), self.state.keys_evicted());
        self.instants.keep_at_end(self.clock);
        let seq = self.state.seq();
        if !self.is_read_only() && self.sync.synced() == seq {
            beside::write_of(&self.store.path, &self.store.mark(seq, self.recorder.link(), seq));
        }
        Ok(())
    }
}
