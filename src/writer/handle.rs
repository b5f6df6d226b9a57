//! What others hold of the writer: submit a command, get a ticket. Never blocks, never undoes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::oneshot;

use super::replies::ReplyMailboxes;
use super::{Clock, replies};
use crate::engine::{Command, Outcome};
use crate::store::Beside;
use crate::telemetry::traces::{Stages, WriteTimeline};
use crate::types::{DigestKey, Published, UnixMillis};

/// Whose command it is: the last places of the queue are for operators, and only buyers' commands grow too old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A buyer's.
    Buyer,
    /// An operator's, the auditor's, a payment's.
    Operator,
}

/// A command on its way to the writer.
#[derive(Debug)]
pub struct Submission {
    /// What is asked.
    pub command: Command,
    /// What travels beside it into rows.
    pub beside: Option<Beside>,
    /// Whose it is.
    pub class: Class,
}

/// The writer's answer.
#[derive(Debug)]
pub enum WriterReply {
    /// Decided, and everything that the decision saw is durable.
    Decided(Decided),
    /// It waited too long in the queue: nothing was decided.
    TooOld,
    /// It was accepted, but not applied, and never will be.
    NotApplied(NotApplied),
    /// A fault came after it was accepted: whether it took effect is unknown until it is repeated with the same key.
    Unknown,
}

impl WriterReply {
    /// Its way here, for a trace.
    #[must_use]
    pub fn timeline(&self, accepted: Instant) -> WriteTimeline {
        let stages = match self {
            WriterReply::Decided(Decided { timing: Timing { queue, decide, commit }, committed, .. }) => {
                Some(Stages { queue: *queue, decide: *decide, commit: *commit, committed: *committed })
            }
            WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => None,
        };
        WriteTimeline { accepted, stages }
    }
}

/// Why an accepted command was not applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotApplied {
    /// The disk is full.
    ReadOnly,
    /// The program is ending.
    Ending,
}

/// A decision, with its instant and what it took.
#[derive(Debug)]
pub struct Decided {
    /// What was decided.
    pub outcome: Outcome,
    /// At which instant.
    pub at: UnixMillis,
    /// How long it took.
    pub timing: Timing,
    /// When its batch was durable; between its decision and the commit the rest of the batch was decided.
    pub committed: Instant,
}

/// How long a command took, stage by stage.
#[derive(Clone, Copy, Default, Debug)]
pub struct Timing {
    /// From the edge to the writer.
    pub queue: Duration,
    /// Advance, prefetch, decide, evolve.
    pub decide: Duration,
    /// Record and commit of its batch.
    pub commit: Duration,
}

/// Why a command was not let into the queue. Nothing was decided, and nothing will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmitError {
    /// The queue is full for this class.
    QueueFull {
        /// How many commands wait.
        depth: usize,
    },
    /// The disk is full.
    ReadOnly,
    /// The program is ending.
    Stopping,
}

/// A submitted command's place in the queue.
pub(super) struct QueuedCommand {
    pub(super) submission: Submission,
    pub(super) accepted: Instant,
    pub(super) reply: replies::ReplyAddress,
}

/// What goes through the channel.
pub(super) enum WriterMessage {
    /// A command.
    Command(QueuedCommand),
    /// Look at the stop flag.
    Wake,
}

/// What the handles and the thread share.
pub(super) struct WriterShared {
    pub(super) stopping: AtomicBool,
    pub(super) read_only: AtomicBool,
    /// Commands decided per second, as last measured; at least 1.
    pub(super) drain_per_second: AtomicU32,
    pub(super) ports: ReplyMailboxes,
}

/// Everybody's way to the writer. Cheap to clone.
#[derive(Clone)]
pub struct WriterHandle {
    pub(super) sender: Sender<WriterMessage>,
    pub(super) shared: Arc<WriterShared>,
    pub(super) reserve: usize,
    /// The clock of decisions.
    pub clock: Arc<Clock>,
    /// The newest versions.
    pub published: Arc<Published>,
    /// The key of the file's digests.
    pub digest_key: DigestKey,
}

/// A claim to an answer. Dropping it undoes nothing.
pub struct Ticket {
    receiver: oneshot::Receiver<WriterReply>,
    accepted: Instant,
}

impl Ticket {
    /// When the command got its place in the queue.
    #[must_use]
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Waits for the answer. `Unknown` if the writer has gone.
    pub async fn answer(self) -> WriterReply {
        self.receiver.await.unwrap_or(WriterReply::Unknown)
    }

    /// Looks for the answer, for those who wait for many at once. `Unknown` if the writer has gone.
    pub fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<WriterReply> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.unwrap_or(WriterReply::Unknown))
    }

    /// Waits for the answer on a thread without a runtime (tests, tools).
    #[must_use]
    pub fn wait(self) -> WriterReply {
        self.receiver.blocking_recv().unwrap_or(WriterReply::Unknown)
    }
}

impl WriterHandle {
    /// Hands a command over; its answer comes directly. Never blocks.
    ///
    /// # Errors
    /// If it was not let in: then it never takes effect.
    pub fn submit(&self, submission: Submission) -> Result<Ticket, SubmitError> {
        self.submit_to(submission, None)
    }

    /// Hands a command over; its answer comes through a port, together with the others of its batch (one wake-up per
    /// batch and thread). Never blocks.
    ///
    /// # Errors
    /// If it was not let in: then it never takes effect.
    pub fn submit_from(&self, submission: Submission, port: usize) -> Result<Ticket, SubmitError> {
        self.submit_to(submission, Some(port))
    }

    fn submit_to(&self, submission: Submission, port: Option<usize>) -> Result<Ticket, SubmitError> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(SubmitError::Stopping);
        }
        if self.is_read_only() {
            return Err(SubmitError::ReadOnly);
        }
        if submission.class == Class::Buyer {
            // Threads that look at the same moment may overshoot by one each: the reserve is larger than that.
            self.check_buyer_capacity()?;
        }
        let (sender, receiver) = oneshot::channel();
        let reply = replies::ReplyAddress { port, sender };
        let accepted = Instant::now();
        let queued = QueuedCommand { submission, accepted, reply };
        match self.sender.try_send(WriterMessage::Command(queued)) {
            Ok(()) => Ok(Ticket { receiver, accepted }),
            Err(TrySendError::Full(_)) => Err(SubmitError::QueueFull { depth: self.sender.len() }),
            Err(TrySendError::Disconnected(_)) => Err(SubmitError::Stopping),
        }
    }

    /// Whether nothing is sold at the moment because the disk is full.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.read_only.load(Ordering::Relaxed)
    }

    /// Whether a buyer's command would be let in at the moment: asked before its body is read, it turns a crowd away at
    /// the least cost.
    ///
    /// # Errors
    /// If the queue is full but for the operators' reserve.
    pub fn check_buyer_capacity(&self) -> Result<(), SubmitError> {
        let depth = self.sender.len();
        let places = self.queue_capacity().saturating_sub(self.reserve);
        if depth >= places { Err(SubmitError::QueueFull { depth }) } else { Ok(()) }
    }

    /// How many commands wait.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.sender.len()
    }

    /// How many commands can wait.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.sender.capacity().unwrap_or(0)
    }

    /// How long the queue takes to drain at the pace last measured: what a client that was turned away should wait.
    #[must_use]
    pub fn drain_time(&self) -> Duration {
        let per_second = self.shared.drain_per_second.load(Ordering::Relaxed).max(1);
        let depth = u32::try_from(self.queue_depth()).unwrap_or(u32::MAX);
        Duration::from_secs(1).saturating_mul(depth) / per_second
    }

    /// Passes the answers that come through a port on to their tickets; runs as long as the port's thread serves.
    pub async fn deliver(&self, port: usize) {
        self.shared.ports.deliver(port).await;
    }

    /// Lets nothing more in; the writer decides what it has, commits, and ends.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // A full queue needs no wake-up: the writer is awake.
        let _full = self.sender.try_send(WriterMessage::Wake);
    }
}
