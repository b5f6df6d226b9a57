//! The loop: wait, drain, decide, record, commit, publish, reply.
//!
//! Runs on its own named thread; owns the store and the state. Its end is the program's end: an ordered one after
//! `WriterHandle::stop`, or a fault, after which a supervisor starts the process again and nothing acknowledged is
//! missing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::checkpoint::{self, Checkpointer};
use super::handle::{NotApplied, WriterHandle, WriterMessage, WriterReply, WriterShared};
use super::replies::{ReplyBatch, ReplyMailboxes};
use super::sync_policy::SyncPolicy;
use super::writer_loop::WriterLoop;
use super::{Clock, CpuAffinity, affinity};
use crate::capture::Tap;
use crate::exit;
use crate::store::{Batch, Durability, Loaded, PerSecondTally, Recorder, Severity, Store, StoreError};
use crate::telemetry::WriterMeter;
use crate::types::{Published, SnapshotGate};

/// How long answers get to leave the process before it ends after a fault.
const REPLY_GRACE: Duration = Duration::from_millis(100);
/// What a queue is taken to drain at before it was measured: half of what a small machine does.
const DRAIN_PER_SECOND_AT_FIRST: u32 = 20_000;

/// How the writer works. Named and explained in `config`.
#[derive(Clone, Debug)]
pub struct WriterOptions {
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
    pub affinity: CpuAffinity,
    /// When to checkpoint.
    pub checkpoint: checkpoint::CheckpointLimits,
    /// With fewer bytes free on the disk nothing is sold; 0: only a write that fails tells.
    pub free_bytes_min: u64,
    /// How many serving threads get their answers through a port.
    pub ports: usize,
}

/// How the writer ended.
#[derive(Debug)]
pub enum WriterExit {
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
    receiver: Receiver<WriterMessage>,
    shared: Arc<WriterShared>,
    meter: WriterMeter,
    options: WriterOptions,
    tap: Option<Tap>,
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
        options: WriterOptions,
    ) -> (Writer, WriterHandle) {
        let (sender, receiver) = bounded(options.queue_capacity);
        let shared = Arc::new(WriterShared {
            stopping: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            drain_per_second: AtomicU32::new(DRAIN_PER_SECOND_AT_FIRST),
            ports: ReplyMailboxes::new(options.ports),
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
        (Writer { store, loaded, clock, published, gate, receiver, shared, meter, options, tap: None }, handle)
    }

    /// Captures every durable batch. The tap must begin with the state that this writer begins with.
    pub fn capture(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Runs until it is stopped or a fault ends it. Call it on the thread that is to be the writer's.
    ///
    /// `on_fault` gets a fault's line and exit code while the file is still open: the process must end there, without
    /// closing it, for a close may write.
    #[must_use]
    pub fn run(self, on_fault: impl FnOnce(&str, u8)) -> WriterExit {
        let Writer { mut store, loaded, clock, published, gate, receiver, shared, meter, options, tap } = self;
        if let Some(core) = affinity::apply(options.affinity) {
            tracing::info!(core, "the writer is pinned");
        }
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let checkpointer = Checkpointer::new(&mut store.connection, gate, options.checkpoint)?;
            let mut meter = meter;
            meter.orders(loaded.state.orders_by_state());
            let mut writer_loop = WriterLoop {
                recorder: Recorder::new(&store.connection, loaded.link)?,
                store: &store,
                checkpointer,
                sync: SyncPolicy::new(options.durability, loaded.state.seq()),
                state: loaded.state,
                batch: Batch::default(),
                replies: Vec::new(),
                outgoing: ReplyBatch::new(options.ports),
                tally: PerSecondTally::default(),
                read_only: false,
                drained: 0,
                last_tick: Instant::now(),
                clock: &clock,
                published: &published,
                shared: &shared,
                meter,
                options: &options,
                receiver: &receiver,
                fetched: VecDeque::new(),
                tap,
            };
            run_loop(&mut writer_loop)?;
            writer_loop.end()
        }));
        let (message, exit_code, severity) = match ended {
            Ok(Ok(())) => return WriterExit::Orderly,
            Ok(Err(error)) => (error.to_string(), error.exit_code(), error.severity()),
            Err(panic) => (words_of(&*panic), exit::BUG, Severity::Bug),
        };
        turn_away(&receiver, &shared);
        if severity == Severity::Storage
            && let Err(error) = store.marker.raise(&format!("exit {exit_code}: {message}"))
        {
            tracing::error!(%error, "the fault could not be marked: do not start on these files before `firstcome recover`");
        }
        // The answers get a moment to leave.
        let (_never, nothing) = bounded::<()>(0);
        let _elapsed = nothing.recv_timeout(REPLY_GRACE);
        on_fault(&message, exit_code);
        WriterExit::Fault { message, exit_code }
    }
}

/// The loop, until the writer is asked to stop and has decided everything that it has.
fn run_loop(writer_loop: &mut WriterLoop<'_>) -> Result<(), StoreError> {
    loop {
        let first = writer_loop.wait();
        let stopping = writer_loop.shared.stopping.load(Ordering::SeqCst);
        if writer_loop.drain(first)? == 0 {
            // Quiet: what is due is done by the clock. While commands wait, their own instants move the state, so
            // that each is judged at the instant at which it was accepted, however long it queued.
            writer_loop.advance(writer_loop.clock.now())?;
        }
        writer_loop.flush()?;
        writer_loop.checkpoint()?;
        writer_loop.tick_if_due()?;
        if stopping && writer_loop.receiver.is_empty() {
            return Ok(());
        }
    }
}

/// What still waits when the writer ends in a fault was never decided, and never will be.
fn turn_away(receiver: &Receiver<WriterMessage>, shared: &WriterShared) {
    shared.stopping.store(true, Ordering::SeqCst);
    let mut outgoing = ReplyBatch::new(shared.ports.count());
    while let Ok(message) = receiver.try_recv() {
        if let WriterMessage::Command(queued) = message {
            outgoing.push(queued.reply, WriterReply::NotApplied(NotApplied::Ending));
        }
    }
    outgoing.send(&shared.ports);
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".into())
}
