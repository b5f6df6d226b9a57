//! The handle to the writer: it submits commands and returns tickets. It never blocks, and a queued command cannot be
//! taken back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::oneshot;

use super::Clock;
use super::node_view::{NodeRole, NodeView};
use super::replies::{ReplyAddress, ReplyMailboxes, WriterReply};
use super::room_figures::RoomFigures;
use crate::engine::Command;
use crate::failpoints::{self, Bug};
use crate::store::PrivateData;
use crate::store::open_files::KnownFiles;
use crate::types::{BuyerText, DigestKey, DropId, Published, Tier};

/// Class of a command. The last slots of the queue are reserved for operators, and only buyers' commands become too old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    Buyer,
    /// A buyer's order that is decided only if it repeats an earlier one: its key is known.
    Repeat,
    /// Commands of operators, the auditor and payment providers.
    Operator,
    /// An operator's creation that is decided only if it repeats an earlier one: its key is known.
    OperatorRepeat,
}

impl Class {
    /// Returns true if the command has the queue slots that are kept for operators.
    #[must_use]
    pub const fn is_of_operator(self) -> bool {
        match self {
            Class::Buyer | Class::Repeat => false,
            Class::Operator | Class::OperatorRepeat => true,
        }
    }
}

/// A command to be queued for the writer.
#[derive(Debug)]
pub struct Submission {
    pub command: Command,
    /// Data for rows that is neither logged nor in events.
    pub private_data: Option<PrivateData>,
    pub class: Class,
}

/// Reason why a command was not queued. Nothing was decided, and nothing will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmitError {
    /// The queue is full for the command's class.
    QueueFull {
        /// Number of queued commands.
        depth: usize,
    },
    /// The disk is full, or another program has the file locked.
    ReadOnly,
    /// The program is shutting down.
    Stopping,
    /// Another node of the cluster decides, or none does.
    NotLeader,
}

/// A command in the queue.
pub(super) struct QueuedCommand {
    pub(super) submission: Submission,
    pub(super) accepted: Instant,
    pub(super) reply: ReplyAddress,
}

/// A message of the writer's queue.
pub(super) enum WriterMessage {
    Command(QueuedCommand),
    /// Makes the writer check the stop flag.
    Wake,
}

/// State shared between the handles and the writer's thread.
pub(super) struct WriterShared {
    pub(super) stopping: AtomicBool,
    pub(super) read_only: AtomicBool,
    /// The content of lost files is being copied out.
    pub(super) rescuing: AtomicBool,
    /// Commands decided per second when last measured; at least 1.
    pub(super) drain_per_second: AtomicU32,
    pub(super) rooms: RoomFigures,
    pub(super) mailboxes: ReplyMailboxes,
}

/// The handle through which commands are submitted. Cheap to clone.
#[derive(Clone)]
pub struct WriterHandle {
    pub(super) sender: Sender<WriterMessage>,
    pub(super) shared: Arc<WriterShared>,
    pub(super) reserve: usize,
    /// Clock of decisions, which the writer keeps near the wall clock.
    pub clock: Arc<Clock>,
    /// Newest durable version of each drop, and the last durable event.
    pub published: Arc<Published>,
    pub digest_key: DigestKey,
    pub(super) files: Arc<KnownFiles>,
    /// The node's place in its cluster; `None` on a single machine.
    pub node: Option<Arc<NodeView>>,
}

/// A pending reply. Dropping it does not cancel the command.
pub struct Ticket {
    receiver: oneshot::Receiver<WriterReply>,
    accepted: Instant,
}

impl Ticket {
    /// Instant at which the command was queued.
    #[must_use]
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Waits for the reply. Returns `Unknown` if the writer has ended.
    pub async fn answer(self) -> WriterReply {
        self.receiver.await.unwrap_or(WriterReply::Unknown)
    }

    /// Polls for the reply, for callers that wait for many tickets. Returns `Unknown` if the writer has ended.
    pub fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<WriterReply> {
        Pin::new(&mut self.receiver).poll(context).map(|reply| reply.unwrap_or(WriterReply::Unknown))
    }

    /// Waits for the reply on a thread without a runtime (tests, tools).
    #[must_use]
    pub fn wait(self) -> WriterReply {
        self.receiver.blocking_recv().unwrap_or(WriterReply::Unknown)
    }
}

impl WriterHandle {
    /// Returns a lookup of the tiers that operators have set and that are in force.
    pub fn operator_tiers(&self) -> impl Fn(&BuyerText) -> Option<Tier> + Send + Sync + use<> {
        let (tiers, key, clock) =
            (Arc::clone(&self.published.operator_tiers), self.digest_key.clone(), Arc::clone(&self.clock));
        move |buyer| tiers.of(|| key.buyer(buyer.as_str()), || clock.now())
    }

    /// Queues a command. Its reply comes directly. Never blocks.
    ///
    /// # Errors
    /// If the command was rejected: it never takes effect.
    pub fn submit(&self, submission: Submission) -> Result<Ticket, SubmitError> {
        self.submit_to(submission, None)
    }

    /// Queues a command. Its reply comes through a worker's mailbox, together with the others of its batch (one wake-up
    /// per batch and worker). Never blocks.
    ///
    /// # Errors
    /// If the command was rejected: it never takes effect.
    pub fn submit_from(&self, submission: Submission, mailbox: usize) -> Result<Ticket, SubmitError> {
        self.submit_to(submission, Some(mailbox))
    }

    fn submit_to(&self, submission: Submission, mailbox: Option<usize>) -> Result<Ticket, SubmitError> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(SubmitError::Stopping);
        }
        if self.is_read_only() {
            return Err(SubmitError::ReadOnly);
        }
        if let Some(node) = &self.node {
            if !node.may_lead() {
                return Err(SubmitError::NotLeader);
            }
            if node.log_is_short(submission.class) {
                return Err(SubmitError::ReadOnly);
            }
        }
        if !submission.class.is_of_operator() {
            // Workers that check at the same moment may exceed the limit by one each: the reserve is larger than that.
            self.check_buyer_capacity()?;
        }
        let (sender, receiver) = oneshot::channel();
        let reply = ReplyAddress { mailbox, sender };
        let accepted = Instant::now();
        let queued = QueuedCommand { submission, accepted, reply };
        match self.sender.try_send(WriterMessage::Command(queued)) {
            Ok(()) => Ok(Ticket { receiver, accepted }),
            Err(TrySendError::Full(_)) => Err(SubmitError::QueueFull { depth: self.sender.len() }),
            Err(TrySendError::Disconnected(_)) => Err(SubmitError::Stopping),
        }
    }

    /// Returns whether background work may act for the shop: call others, or submit commands by itself. In a cluster that is
    /// the leader's alone. Reads the boot clock there.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.node.as_ref().is_none_or(|node| node.role() == NodeRole::Leader)
    }

    /// Returns whether the file may be read for clients: not on a node of a cluster whose file is not what the log says.
    #[must_use]
    pub fn may_serve(&self) -> bool {
        self.node.as_ref().is_none_or(|node| !node.is_stopped() || failpoints::enabled(Bug::StoppedNodeServes))
    }

    /// Returns true while nothing is sold: the disk is full, or another program has the file locked.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.read_only.load(Ordering::Relaxed)
    }

    /// Returns true while the process must not end: what was acknowledged is in its open files only, and the writer copies it
    /// out, or will as soon as it looks.
    #[must_use]
    pub fn has_the_only_copy(&self) -> bool {
        self.shared.rescuing.load(Ordering::SeqCst) || self.files.content_is_lost()
    }

    /// Checks that the queue has room for a buyer's command. Called before the body is read, it rejects a crowd at the
    /// least cost.
    ///
    /// # Errors
    /// If the queue is full except for the operators' reserve.
    pub fn check_buyer_capacity(&self) -> Result<(), SubmitError> {
        let depth = self.sender.len();
        let buyer_capacity = self.queue_capacity().saturating_sub(self.reserve);
        if depth >= buyer_capacity { Err(SubmitError::QueueFull { depth }) } else { Ok(()) }
    }

    /// Number of queued commands.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.sender.len()
    }

    /// Number of commands that can be queued, including the reserve.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.sender.capacity().unwrap_or(0)
    }

    /// Admitted buyers without an order of these rooms, as the writer counted them within the last second or two; a room that was
    /// not asked for before has none.
    #[must_use]
    pub fn admitted_idle(&self, rooms: &[DropId]) -> Vec<(DropId, u64)> {
        self.shared.rooms.ask(rooms)
    }

    /// Time that the queue takes to drain at the pace last measured: how long a rejected client should wait.
    #[must_use]
    pub fn drain_time(&self) -> Duration {
        let per_second = self.shared.drain_per_second.load(Ordering::Relaxed).max(1);
        let depth = u32::try_from(self.queue_depth()).unwrap_or(u32::MAX);
        Duration::from_secs(1).saturating_mul(depth) / per_second
    }

    /// Passes the replies in a worker's mailbox on to their tickets, for as long as the worker runs.
    pub async fn deliver(&self, mailbox: usize) {
        self.shared.mailboxes.deliver(mailbox).await;
    }

    /// Rejects further commands. The writer decides and commits the queued ones, and ends.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // A full queue needs no wake-up: the writer is awake.
        let _full = self.sender.try_send(WriterMessage::Wake);
    }
}
