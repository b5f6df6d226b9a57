//! Replies of the writer. The replies of one batch to one worker travel together: one lock and one wake-up.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::engine::Outcome;
use crate::telemetry::traces::{Stages, WriteTimeline};
use crate::types::UnixMillis;

/// The writer's reply to one command.
#[derive(Debug)]
pub enum WriterReply {
    /// The command was decided, and everything that the decision saw is durable.
    Decided(Decided),
    /// The command waited too long in the queue and was not decided.
    TooOld,
    /// The command was queued, but not applied, and never will be.
    NotApplied(NotApplied),
    /// A fault occurred after the command was queued. Only a repeat with the same key shows whether it took effect.
    Unknown,
}

impl WriterReply {
    /// Returns the command's timeline, for a trace. `accepted` is the instant at which it was queued.
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

/// Reason why a queued command was not applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotApplied {
    /// The disk is full, or another program has the file locked.
    ReadOnly,
    /// The program is shutting down, or ends after a fault.
    Ending,
    /// Another node of the cluster decides, or none does.
    NotLeader,
    /// A command of the class `Repeat` that repeats nothing.
    NoRepeat,
}

/// A decision with its instant and its timing.
#[derive(Debug)]
pub struct Decided {
    pub outcome: Outcome,
    /// Instant of the decision, by the clock of decisions.
    pub at: UnixMillis,
    pub timing: Timing,
    /// Instant at which the batch was durable. The rest of the batch was decided between decision and commit.
    pub committed: Instant,
}

/// Durations of a command's stages.
#[derive(Clone, Copy, Default, Debug)]
pub struct Timing {
    /// From the queueing to the writer.
    pub queue: Duration,
    /// Advance, prefetch, decide and evolve.
    pub decide: Duration,
    /// Record and commit of the whole batch.
    pub commit: Duration,
}

/// Destination of a reply.
pub(super) struct ReplyAddress {
    /// Index of the worker's mailbox; `None` sends the reply directly.
    pub(super) mailbox: Option<usize>,
    pub(super) sender: oneshot::Sender<WriterReply>,
}

type AddressedReply = (oneshot::Sender<WriterReply>, WriterReply);

#[derive(Default)]
struct ReplyMailbox {
    waiting: Mutex<Vec<AddressedReply>>,
    notify: Notify,
}

/// One mailbox per worker.
pub(super) struct ReplyMailboxes(Vec<ReplyMailbox>);

impl ReplyMailboxes {
    pub(super) fn new(count: usize) -> ReplyMailboxes {
        ReplyMailboxes((0..count).map(|_| ReplyMailbox::default()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Passes replies on to their tickets, on the thread that waits for them: waking a task of the same thread needs no
    /// system call.
    pub(super) async fn deliver(&self, mailbox: usize) {
        let Some(mailbox) = self.0.get(mailbox) else { return };
        let mut taken = Vec::new();
        loop {
            mailbox.notify.notified().await;
            std::mem::swap(&mut taken, &mut *mailbox.waiting.lock());
            for (sender, reply) in taken.drain(..) {
                // Disconnecting does not cancel a command: the reply of a client that left is dropped.
                let _left = sender.send(reply);
            }
        }
    }
}

/// The replies of a batch, sorted by mailbox.
pub(super) struct ReplyBatch {
    by_mailbox: Vec<Vec<AddressedReply>>,
}

impl ReplyBatch {
    pub(super) fn new(mailboxes: usize) -> ReplyBatch {
        ReplyBatch { by_mailbox: (0..mailboxes).map(|_| Vec::new()).collect() }
    }

    /// Sends a direct reply at once; keeps a reply to a mailbox until [`ReplyBatch::send`].
    pub(super) fn push(&mut self, address: ReplyAddress, reply: WriterReply) {
        match address.mailbox.and_then(|mailbox| self.by_mailbox.get_mut(mailbox)) {
            Some(replies) => replies.push((address.sender, reply)),
            None => {
                let _left = address.sender.send(reply);
            }
        }
    }

    /// Hands the replies over and wakes each worker at most once.
    pub(super) fn send(&mut self, mailboxes: &ReplyMailboxes) {
        for (replies, mailbox) in self.by_mailbox.iter_mut().zip(&mailboxes.0) {
            if !replies.is_empty() {
                mailbox.waiting.lock().append(replies);
                mailbox.notify.notify_one();
            }
        }
    }
}
