//! The writer's thread: wait, drain, decide, record, commit, publish, reply.
//!
//! It owns the store and the state. When it ends, the program ends: in order after `WriterHandle::stop`, or by a fault,
//! after which a supervisor starts the process again and nothing acknowledged is missing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::checkpoint::Checkpointer;
use super::handle::{WriterHandle, WriterMessage, WriterShared};
use super::instant_keeper::InstantKeeper;
use super::options::WriterOptions;
use super::replica::{Replica, ReplicaParts};
use super::replies::{NotApplied, ReplyBatch, ReplyMailboxes, WriterReply};
use super::room_figures::RoomFigures;
use super::sync_policy::SyncPolicy;
use super::writer_loop::WriterLoop;
use super::{Clock, affinity};
use crate::capture::Tap;
use crate::exit;
use crate::store::{Batch, Loaded, Recorder, Severity, Store, StoreError, advice};
use crate::telemetry::WriterMeter;
use crate::types::{Published, SnapshotGate};

/// Time for replies to leave the process before it ends after a fault.
const REPLY_GRACE: Duration = Duration::from_millis(100);
/// Assumed commands per second before the first measurement: half of what a small machine decides.
const DRAIN_PER_SECOND_AT_FIRST: u32 = 20_000;

/// Result of the writer's run.
#[derive(Debug)]
pub enum WriterExit {
    /// Stopped on request: every queued command was decided and committed.
    Orderly,
    /// Ended by a fault, with a line for the log and the exit code.
    Fault {
        message: String,
        /// Exit code of the process (src/exit.rs).
        exit_code: u8,
    },
}

/// The writer before its thread runs.
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
    operators_file: Option<OperatorsFile>,
    replica: Option<ReplicaParts>,
}

/// Source of the content of the operators' tokens file, for a rescue of lost files; `None` without tokens.
pub type OperatorsFile = Box<dyn Fn() -> Option<String> + Send>;

impl Writer {
    /// Builds a writer and its handle, and publishes the versions that the file holds.
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
            rescuing: AtomicBool::new(false),
            drain_per_second: AtomicU32::new(DRAIN_PER_SECOND_AT_FIRST),
            rooms: RoomFigures::default(),
            mailboxes: ReplyMailboxes::new(options.mailboxes),
        });
        let published = Arc::new(Published::of(loaded.state.shard()));
        for entry in loaded.state.drops() {
            let (spec, notes_origins) = (&entry.spec, entry.notes_origins());
            if let Some(claims) = entry.room_claims() {
                published.publish_room(entry.id, entry.version, Some(claims));
            }
            published.publish_drop(entry.id, entry.version, spec.challenge, &spec.identity_limits, notes_origins);
            published.publish_newest_change(entry.version);
        }
        for (buyer, tier) in loaded.state.operator_tiers() {
            published.operator_tiers.publish(buyer, Some(tier));
        }
        published.publish_seq(loaded.state.seq());
        let handle = WriterHandle {
            sender,
            shared: Arc::clone(&shared),
            reserve: options.queue_reserve,
            clock: Arc::clone(&clock),
            published: Arc::clone(&published),
            digest_key: store.digest_key.clone(),
            files: Arc::new(store.files.known().clone()),
            node: None,
        };
        (
            Writer {
                store,
                loaded,
                clock,
                published,
                gate,
                receiver,
                shared,
                meter,
                options,
                tap: None,
                operators_file: None,
                replica: None,
            },
            handle,
        )
    }

    /// Captures every durable batch. The tap must begin with the state of this writer.
    pub fn capture(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Puts the operators' tokens beside a database that is rescued.
    pub fn rescue_with(&mut self, operators_file: OperatorsFile) {
        self.operators_file = Some(operators_file);
    }

    /// Makes the writer a node of a cluster: it follows the log until it is elected. Returns the handle of such a node.
    pub fn replicate(&mut self, parts: ReplicaParts, handle: WriterHandle) -> WriterHandle {
        let node = Some(Arc::clone(&parts.view));
        self.replica = Some(parts);
        WriterHandle { node, ..handle }
    }

    /// Runs on the calling thread until the writer is stopped or a fault ends it.
    ///
    /// `on_fault` gets a fault's line and exit code while the file is still open. The process must end there without
    /// closing the file, because a close may write.
    #[must_use]
    pub fn run(self, on_fault: impl FnOnce(&str, u8)) -> WriterExit {
        let Writer {
            mut store,
            loaded,
            clock,
            published,
            gate,
            receiver,
            shared,
            meter,
            options,
            tap,
            operators_file,
            replica,
        } = self;
        if let Some(core) = affinity::apply(options.affinity) {
            tracing::info!(core, "writer thread pinned");
        }
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let checkpointer = Checkpointer::new(&mut store.connection, gate, options.checkpoint)?;
            let mut meter = meter;
            meter.orders(loaded.state.orders_by_state());
            let (seq, link) = (loaded.state.seq(), loaded.link);
            let replica = replica.map(|parts| Replica::new(parts, &store, seq, link, &clock)).transpose()?;
            let mut writer_loop = WriterLoop {
                recorder: Recorder::new(&store.connection, loaded.link)?,
                store: &store,
                checkpointer,
                sync: SyncPolicy::new(options.durability, loaded.state.seq()),
                state: loaded.state,
                batch: Batch::default(),
                replies: Vec::new(),
                outgoing: ReplyBatch::new(options.mailboxes),
                standstill: None,
                is_unmarked: false,
                drained: 0,
                last_tick: Instant::now(),
                log_has_erased: store.found_log,
                erased_at: Instant::now(),
                instants: InstantKeeper::new(store.clock_file.as_ref()),
                clock: &clock,
                published: &published,
                shared: &shared,
                meter,
                options: &options,
                receiver: &receiver,
                fetched: VecDeque::new(),
                tap,
                operators_file,
                replica,
            };
            run_loop(&mut writer_loop).map_err(|error| writer_loop.explain(error))?;
            writer_loop.end()
        }));
        let (message, exit_code, severity) = match ended {
            Ok(Ok(())) => return WriterExit::Orderly,
            Ok(Err(error)) => {
                let severity = error.severity();
                let named = advice::named(&store.path, Some(&store.connection), error);
                (named.to_string(), named.exit_code(), severity)
            }
            Err(panic) => (panic_message(&*panic), exit::BUG, Severity::Bug),
        };
        reject_queued(&receiver, &shared);
        if severity == Severity::Storage
            && let Err(error) = store.marker.raise(&format!("exit {exit_code}: {message}"))
        {
            tracing::error!(%error, "fault marker not written: run `firstcome recover` before the next start on these files");
        }
        // Replies get a moment to leave the process.
        let (_never, nothing) = bounded::<()>(0);
        let _elapsed = nothing.recv_timeout(REPLY_GRACE);
        on_fault(&message, exit_code);
        WriterExit::Fault { message, exit_code }
    }
}

/// Runs the loop until a stop is requested and every queued command is decided.
fn run_loop(writer_loop: &mut WriterLoop<'_>) -> Result<(), StoreError> {
    loop {
        let first = writer_loop.wait()?;
        let stopping = writer_loop.shared.stopping.load(Ordering::SeqCst);
        // Without commands the clock moves the state. While commands wait, their own instants move it, so that each is
        // decided at the instant at which it was queued, however long it waited. What a command makes due at its own
        // instant, as the offer to the next buyer after a cancellation, is in the commit of that command.
        let is_idle = writer_loop.drain(first)? == 0;
        let until = if is_idle { writer_loop.clock.now() } else { writer_loop.state.at() };
        writer_loop.advance(until)?;
        writer_loop.flush()?;
        writer_loop.erase_if_due()?;
        writer_loop.checkpoint()?;
        writer_loop.tick_if_due()?;
        if stopping && writer_loop.receiver.is_empty() {
            return Ok(());
        }
    }
}

/// Answers the commands that are still queued when a fault ends the writer. They are never decided.
pub(super) fn reject_queued(receiver: &Receiver<WriterMessage>, shared: &WriterShared) {
    shared.stopping.store(true, Ordering::SeqCst);
    let mut outgoing = ReplyBatch::new(shared.mailboxes.count());
    while let Ok(message) = receiver.try_recv() {
        if let WriterMessage::Command(queued) = message {
            outgoing.push(queued.reply, WriterReply::NotApplied(NotApplied::Ending));
        }
    }
    outgoing.send(&shared.mailboxes);
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().cloned();
    message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".into())
}
