//! The way of a node into a leadership, and the entries that it appends in it.

use std::sync::Arc;

use super::{Node, NodeState, Output, Stop};
use crate::log::append::{Append, Fate};
use crate::log::times::{BootMillis, Lease};
use crate::log::{Entry, Head, LogAnswer};
use crate::store::Batch;
use crate::types::UnixMillis;

impl Node {
    /// Appends a batch that was decided and recorded after [`Node::head`]. `to` is the head after it.
    ///
    /// # Panics
    /// If the node may not append: it does not lead, or an entry is under way.
    pub fn append(&mut self, to: Head, bytes: Arc<[u8]>) {
        let NodeState::Leading { lease, append: append @ None, .. } = &mut self.role else {
            panic!("only a leader without an entry under way appends")
        };
        assert!(to.number == self.applied.number.saturating_add(1), "entries are numbered without a gap");
        *append = Some(Append::new(lease.tenure, self.applied, to, bytes));
    }

    pub(super) fn caught_up(
        &mut self,
        now: BootMillis,
        wall: UnixMillis,
        (lease, target, until): (Lease, Option<Head>, BootMillis),
        answer: &LogAnswer,
    ) -> Output {
        let (target, output) = match (target, answer) {
            (None, LogAnswer::Head(head)) => {
                self.has_all = false;
                (Some(*head), Output::Nothing)
            }
            (Some(_), _) => (target, self.followed(now, answer)),
            (None, _) => (None, Output::Nothing),
        };
        if matches!(self.role, NodeState::Stopped) {
            return output;
        }
        self.role = NodeState::CatchingUp { lease, target, until };
        self.begin_if_caught_up(wall);
        if matches!(self.role, NodeState::Stopped) { Output::Stopped(Stop::LogWentBack) } else { output }
    }

    /// Returns whether the log ends before the file, or otherwise.
    pub(super) fn went_back(&self, head: Head) -> bool {
        head.number < self.applied.number || (head.number == self.applied.number && head != self.applied)
    }

    /// Begins an epoch once everything up to the head is applied.
    fn begin_if_caught_up(&mut self, wall: UnixMillis) {
        let NodeState::CatchingUp { lease, target: Some(head), .. } = self.role else { return };
        if self.went_back(head) {
            self.role = NodeState::Stopped;
        } else if head == self.applied {
            let at = self.heard.begins_at(wall);
            let Head { number, epoch, seq, link, .. } = head;
            let (number, epoch, tenure) = (number.saturating_add(1), epoch.saturating_add(1), lease.tenure);
            let entry = Entry { number, epoch, tenure, seq, before: link, link, at, batch: Batch::default() };
            // An entry without events is short.
            if let Ok(bytes) = entry.encode() {
                let append = Append::new(lease.tenure, head, entry.head(), bytes.into());
                self.role = NodeState::Beginning { lease, append, at };
            }
        }
    }

    /// The leader's append has ended.
    pub(super) fn ended(
        &mut self,
        now: BootMillis,
        wall: UnixMillis,
        lease: Lease,
        epoch: u64,
        to: Head,
        fate: Fate,
    ) -> Output {
        if matches!(fate, Fate::Stands | Fate::StandsBehind(_)) {
            self.applied = to;
            self.heard.note_own(now, wall);
        }
        match fate {
            Fate::Stands => self.role = NodeState::Leading { lease, epoch, append: None },
            Fate::StandsBehind(_) | Fate::NotApplied(_) | Fate::Unknown => {
                self.follow(now);
            }
        }
        Output::Appended(fate)
    }
}
