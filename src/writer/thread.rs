//! The loop: wait, drain, decide, record, commit, publish, reply.
//!
//! Runs on its own named thread; owns the store and the state. Its end is the program's end: an ordered one after
//! `WriterHandle::stop`, or a fault, after which a supervisor starts the process again and nothing acknowledged is
//! missing.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::checkpoint::{self, Checkpointer};
use super::clock::wall_clock;
use super::handle::{Answer, Class, Decided, Message, Queued, Shared, Timing, WriterHandle};
use super::replies::{Outgoing, Ports, Reply};
use super::{Clock, Pin, pin};
use crate::engine::{Outcome, State};
use crate::store::{Batch, Durability, Loaded, Recorder, SecondsTally, Store, StoreError, load};
use crate::telemetry::WriterMeter;
use crate::types::{DropId, Published, SnapshotGate, UnixMillis};

/// How long answers get to leave the process before it ends after a fault.
const REPLY_GRACE: Duration = Duration::from_millis(100);
/// How long somebody else may keep the file from being written before the process ends.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// Per-second work: figures, clock, meters.
const TICK: Duration = Duration::from_secs(1);

/// What a queue is taken to drain at before it was measured: half of what a small machine does.
const DRAIN_PER_SECOND_AT_FIRST: u32 = 20_000;

/// How the writer works. Named and explained in `config`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Places in the queue.
    pub queue_capacity: usize,
    /// Places that are for operators.
    pub queue_reserve: usize,
    /// How long a buyer's command may wait and still be decided.
    pub queue_wait_max: Duration,
    /// Commands per batch.
    pub batch_commands_max: usize,
    /// Events per transaction.
    pub batch_events_max: usize,
    /// What a commit waits for.
    pub durability: Durability,
    /// Which core.
    pub pin: Pin,
    /// When to checkpoint.
    pub checkpoint: checkpoint::Limits,
    /// How many serving threads get their answers through a port.
    pub ports: usize,
}

/// How the writer ended.
#[derive(Debug)]
pub enum Stopped {
    /// As asked: everything accepted was decided and committed.
    Orderly,
    /// A fault: its line for the log, and the exit code.
    Fault {
        /// What happened.
        message: String,
        /// The exit code of the process (design section 9).
        exit_code: u8,
    },
}

/// The writer before it starts.
pub struct Writer {
    store: Store,
    loaded: Loaded,
    clock: Arc<Clock>,
    published: Arc<Published>,
    gate: Arc<SnapshotGate>,
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
    meter: WriterMeter,
    options: Options,
}

impl Writer {
    /// Puts a writer together, publishes what the file holds, and gives the handle to it.
    #[must_use]
    pub fn new(
        store: Store,
        loaded: Loaded,
        clock: Arc<Clock>,
        gate: Arc<SnapshotGate>,
        meter: WriterMeter,
        options: Options,
    ) -> (Writer, WriterHandle) {
        let (sender, receiver) = bounded(options.queue_capacity);
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            drain_per_second: AtomicU32::new(DRAIN_PER_SECOND_AT_FIRST),
            ports: Ports::new(options.ports),
        });
        let published = Arc::new(Published::default());
        for entry in loaded.state.drops() {
            published.publish_version(entry.id, entry.version);
        }
        published.publish_seq(loaded.state.seq());
        let handle = WriterHandle {
            sender,
            shared: Arc::clone(&shared),
            reserve: options.queue_reserve,
            clock: Arc::clone(&clock),
            published: Arc::clone(&published),
            digest_key: store.digest_key.clone(),
        };
        (Writer { store, loaded, clock, published, gate, receiver, shared, meter, options }, handle)
    }

    /// Runs until it is stopped or a fault ends it. Call it on the thread that is to be the writer's.
    #[must_use]
    pub fn run(self) -> Stopped {
        if let Some(core) = pin::pin(self.options.pin) {
            tracing::info!(core, "the writer is pinned");
        }
        let receiver = self.receiver.clone();
        let stopped = match catch_unwind(AssertUnwindSafe(|| self.run_loop())) {
            Ok(Ok(())) => Stopped::Orderly,
            Ok(Err(error)) => Stopped::Fault { exit_code: error.exit_code(), message: error.to_string() },
            Err(panic) => Stopped::Fault { exit_code: 70, message: words_of(&*panic) },
        };
        if let Stopped::Fault { .. } = stopped {
            // Dropping what waits answers it as unknown; then the answers get a moment to leave.
            while receiver.try_recv().is_ok() {}
            let (_never, nothing) = bounded::<()>(0);
            let _elapsed = nothing.recv_timeout(REPLY_GRACE);
        }
        stopped
    }

    fn run_loop(self) -> Result<(), StoreError> {
        let Writer { mut store, loaded, clock, published, gate, receiver, shared, meter, options } = self;
        let checkpointer = Checkpointer::new(&mut store.connection, gate, options.checkpoint)?;
        let recorder = Recorder::new(&store.connection, loaded.link)?;
        let ports = options.ports;
        let mut running = Running {
            store: &store,
            recorder,
            checkpointer,
            state: loaded.state,
            batch: Batch::default(),
            replies: Vec::new(),
            outgoing: Outgoing::new(ports),
            tally: SecondsTally::default(),
            sync: Sync::new(options.durability),
            drained: 0,
            last_tick: Instant::now(),
            clock: &clock,
            published: &published,
            shared: &shared,
            meter,
            options: &options,
            receiver: &receiver,
        };
        loop {
            let first = running.wait();
            let stopping = shared.stopping.load(Ordering::SeqCst);
            if running.drain(first)? == 0 {
                // Quiet: what is due is done by the clock. While commands wait, their own instants move the state, so
                // that each is judged at the instant at which it was accepted, however long it queued.
                running.advance(clock.now())?;
            }
            running.flush()?;
            running.checkpoint()?;
            running.tick_if_due()?;
            if stopping && receiver.is_empty() {
                return running.end();
            }
        }
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".into())
}

/// An answer that waits for its batch to be durable.
struct Waiting {
    reply: Reply,
    outcome: Outcome,
    at: UnixMillis,
    timing: Timing,
}

/// The writer at work.
struct Running<'a> {
    store: &'a Store,
    recorder: Recorder<'a>,
    checkpointer: Checkpointer,
    state: State,
    batch: Batch,
    replies: Vec<Waiting>,
    outgoing: Outgoing,
    tally: SecondsTally,
    sync: Sync,
    /// Commands decided since the last tick.
    drained: u32,
    last_tick: Instant,
    clock: &'a Clock,
    published: &'a Published,
    shared: &'a Shared,
    meter: WriterMeter,
    options: &'a Options,
    receiver: &'a Receiver<Message>,
}

impl Running<'_> {
    /// Waits for a command, but not past the next due instant, the next tick or the next sync.
    fn wait(&self) -> Option<Message> {
        let mut until = self.last_tick + TICK;
        if let Some(due) = self.state.next_due() {
            until = until.min(self.clock.instant_of(due));
        }
        if let Some(sync) = self.sync.due_at() {
            until = until.min(sync);
        }
        self.receiver.recv_deadline(until).ok()
    }

    /// Decides what is there, up to a batch; never waits to fill it. Returns how many commands there were.
    fn drain(&mut self, first: Option<Message>) -> Result<usize, StoreError> {
        let mut commands = 0usize;
        let mut next = first;
        while let Some(message) = next {
            if let Message::Command(queued) = message {
                commands = commands.saturating_add(1);
                self.take(queued)?;
            }
            next = if commands < self.options.batch_commands_max { self.receiver.try_recv().ok() } else { None };
        }
        if commands > 0 {
            self.meter.batch_commands(commands);
            self.drained = self.drained.saturating_add(u32::try_from(commands).unwrap_or(u32::MAX));
        }
        Ok(commands)
    }

    /// Decides one command: stamp, advance, prefetch, decide, evolve.
    fn take(&mut self, queued: Queued) -> Result<(), StoreError> {
        let Queued { submission, accepted, reply } = queued;
        let started = Instant::now();
        let queue = started.saturating_duration_since(accepted);
        self.meter.queue_wait(queue);
        if submission.class == Class::Buyer && queue > self.options.queue_wait_max {
            self.meter.too_old();
            self.outgoing.push(reply, Answer::TooOld);
            return Ok(());
        }
        let at = self.clock.at(accepted).max(self.state.at());
        self.advance(at)?;
        if let Some(order) = submission.command.named_order()
            && self.state.order(order).is_none()
            && let Some(found) = load::load_order(&self.store.connection, &self.store.digest_key, order)?
        {
            self.state.admit_order(found);
        }
        let first = self.batch.events.len();
        let outcome = self.state.decide(&submission.command, &mut self.batch.events);
        for event in &self.batch.events[first..] {
            self.state.evolve(event);
        }
        if let (Some(event), Some(beside)) = (self.batch.events.get(first), submission.beside) {
            self.batch.beside.push((event.seq, beside));
        }
        if let Some(command) = submission.command.index() {
            self.meter.outcome(command, outcome.index());
        }
        if let Some(drop_id) = submission.command.named_drop().filter(|id| self.state.drop_entry(*id).is_some()) {
            self.tally.count(drop_id, at, &outcome, queue);
        }
        let decide = started.elapsed();
        self.meter.decide(decide);
        self.replies.push(Waiting { reply, outcome, at, timing: Timing { queue, decide, commit: Duration::ZERO } });
        if self.batch.events.len() >= self.options.batch_events_max { self.flush() } else { Ok(()) }
    }

    /// Does what is due up to `at`, in as many transactions as it takes.
    fn advance(&mut self, at: UnixMillis) -> Result<(), StoreError> {
        loop {
            let room = self.options.batch_events_max.saturating_sub(self.batch.events.len());
            if self.state.advance(at, &mut self.batch.events, room) {
                return Ok(());
            }
            self.flush()?;
        }
    }

    /// Makes everything decided so far durable, publishes it, and sends the answers.
    fn flush(&mut self) -> Result<(), StoreError> {
        let mut commit = Duration::ZERO;
        let must_sync = self.sync.is_due();
        if !self.batch.events.is_empty() || must_sync {
            commit = self.commit()?;
        }
        if !self.batch.events.is_empty() {
            self.publish(commit);
            self.batch.clear();
            self.state.release_settled();
        }
        for waiting in self.replies.drain(..) {
            let Waiting { reply, outcome, at, timing } = waiting;
            let decided = Decided { outcome, at, timing: Timing { commit, ..timing } };
            self.outgoing.push(reply, Answer::Decided(decided));
        }
        self.outgoing.send(&self.shared.ports);
        Ok(())
    }

    /// One transaction: begin, record, commit.
    fn commit(&mut self) -> Result<Duration, StoreError> {
        let started = Instant::now();
        self.sync.prepare(&self.store.connection)?;
        self.begin()?;
        let nothing_else = self.batch.events.is_empty() && self.tally.is_empty();
        self.recorder.record(&self.batch, &mut self.tally)?;
        if nothing_else {
            self.recorder.heartbeat(self.state.at())?;
        }
        let recorded = Instant::now();
        self.meter.record(recorded.saturating_duration_since(started));
        self.recorder.commit()?;
        self.sync.committed();
        self.meter.commit(recorded.elapsed());
        Ok(started.elapsed())
    }

    /// Opens the transaction; if somebody else writes to the file, tries again for a second.
    fn begin(&mut self) -> Result<(), StoreError> {
        let until = Instant::now() + BUSY_RETRY;
        loop {
            match self.recorder.begin() {
                Err(error)
                    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                        && Instant::now() < until =>
                {
                    std::thread::yield_now();
                }
                other => return Ok(other?),
            }
        }
    }

    /// Publishes the versions of the drops that the batch changed: after COMMIT, before the answers.
    fn publish(&mut self, commit: Duration) {
        let mut touched: BTreeMap<DropId, UnixMillis> = BTreeMap::new();
        for event in &self.batch.events {
            if let Some(drop_id) = event.kind.drop_id() {
                touched.insert(drop_id, event.at);
            }
        }
        for (drop_id, at) in touched {
            if let Some(entry) = self.state.drop_entry(drop_id) {
                self.published.publish_version(drop_id, entry.version);
            }
            self.tally.count_commit(drop_id, at, commit);
        }
        self.published.publish_seq(self.state.seq());
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let started = Instant::now();
        if let Some(done) = self.checkpointer.run_if_due(&self.store.connection)? {
            self.meter.checkpoint(started.elapsed(), done == checkpoint::Done::Busy);
        }
        Ok(())
    }

    /// Once a second: figures that no commit took along, the clock, the meters, the pace.
    fn tick_if_due(&mut self) -> Result<(), StoreError> {
        let elapsed = self.last_tick.elapsed();
        if elapsed < TICK {
            return Ok(());
        }
        self.last_tick = Instant::now();
        if !self.tally.is_empty() {
            self.commit()?;
        }
        let offset_ms = self.clock.slew(wall_clock(), elapsed);
        self.meter.tick(offset_ms, self.checkpointer.wal_bytes(), self.state.keys_evicted());
        self.measure_pace(elapsed);
        Ok(())
    }

    /// How many commands a second the writer manages: what it did while the queue stayed full, else its best.
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

    /// An ordered end: everything is committed; the log goes into the database.
    fn end(mut self) -> Result<(), StoreError> {
        if !self.tally.is_empty() || self.sync.is_dirty() {
            self.sync.make_due();
            self.commit()?;
        }
        self.checkpointer.reset(&self.store.connection)?;
        self.meter.tick(0, self.checkpointer.wal_bytes(), self.state.keys_evicted());
        Ok(())
    }
}

/// When commits wait for the disk.
struct Sync {
    durability: Durability,
    /// Whether the connection waits for the disk at a commit.
    full: bool,
    /// Since when something is committed that may not be on the disk.
    dirty_since: Option<Instant>,
}

impl Sync {
    fn new(durability: Durability) -> Sync {
        // The store opens with synchronous=FULL.
        Sync { durability, full: true, dirty_since: None }
    }

    fn is_dirty(&self) -> bool {
        self.dirty_since.is_some()
    }

    fn due_at(&self) -> Option<Instant> {
        match self.durability {
            Durability::Full => None,
            Durability::Interval(interval) => self.dirty_since.map(|since| since + interval),
        }
    }

    /// Whether the interval has passed since something was committed without waiting for the disk.
    fn is_due(&self) -> bool {
        self.due_at().is_some_and(|at| at <= Instant::now())
    }

    fn make_due(&mut self) {
        if let Durability::Interval(interval) = &mut self.durability {
            *interval = Duration::ZERO;
        }
    }

    /// Sets the connection for the next commit.
    fn prepare(&mut self, connection: &rusqlite::Connection) -> Result<(), StoreError> {
        let full = match self.durability {
            Durability::Full => true,
            Durability::Interval(_) => self.is_due(),
        };
        if full != self.full {
            crate::store::open::set_synchronous(connection, full)?;
            self.full = full;
        }
        Ok(())
    }

    fn committed(&mut self) {
        if self.full {
            self.dirty_since = None;
        } else if self.dirty_since.is_none() {
            self.dirty_since = Some(Instant::now());
        }
    }
}
