//! Answers on their way back. Those of one batch and one serving thread go together: one lock, one wake-up.

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::handle::WriterReply;

/// Where an answer goes.
pub(super) struct ReplyAddress {
    /// Through which port; directly if none.
    pub(super) port: Option<usize>,
    /// To whom.
    pub(super) sender: oneshot::Sender<WriterReply>,
}

type Addressed = (oneshot::Sender<WriterReply>, WriterReply);

#[derive(Default)]
struct ReplyMailbox {
    waiting: Mutex<Vec<Addressed>>,
    notify: Notify,
}

/// One port per serving thread.
pub(super) struct ReplyMailboxes(Vec<ReplyMailbox>);

impl ReplyMailboxes {
    pub(super) fn new(count: usize) -> ReplyMailboxes {
        ReplyMailboxes((0..count).map(|_| ReplyMailbox::default()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Passes answers on to their tickets, on the thread that waits for them: waking a task of the own thread is no
    /// system call.
    pub(super) async fn deliver(&self, port: usize) {
        let Some(port) = self.0.get(port) else { return };
        let mut taken = Vec::new();
        loop {
            port.notify.notified().await;
            std::mem::swap(&mut taken, &mut *port.waiting.lock());
            for (sender, answer) in taken.drain(..) {
                // A client that left does not undo what it submitted; its answer goes nowhere.
                let _left = sender.send(answer);
            }
        }
    }
}

/// The answers of a batch, sorted by port.
pub(super) struct ReplyBatch {
    by_port: Vec<Vec<Addressed>>,
}

impl ReplyBatch {
    pub(super) fn new(ports: usize) -> ReplyBatch {
        ReplyBatch { by_port: (0..ports).map(|_| Vec::new()).collect() }
    }

    /// Sends an answer: at once if it goes directly, with [`ReplyBatch::send`] if it goes through a port.
    pub(super) fn push(&mut self, reply: ReplyAddress, answer: WriterReply) {
        match reply.port.and_then(|port| self.by_port.get_mut(port)) {
            Some(port) => port.push((reply.sender, answer)),
            None => {
                let _left = reply.sender.send(answer);
            }
        }
    }

    /// Hands the answers over and wakes each port once.
    pub(super) fn send(&mut self, ports: &ReplyMailboxes) {
        for (outgoing, port) in self.by_port.iter_mut().zip(&ports.0) {
            if !outgoing.is_empty() {
                port.waiting.lock().append(outgoing);
                port.notify.notify_one();
            }
        }
    }
}
