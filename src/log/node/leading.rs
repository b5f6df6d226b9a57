//! The way of a node into a leadership, and the entries that it appends in it.

use std::sync::Arc;

use super::{Node, NodeState, Output, Stop};
use crate::failpoints::{self, Bug};
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
        let output = match (target, answer) {
            (None, LogAnswer::Head(head)) => {
                let compared = self.compare(*head);
                self.has_all = false;
                let target = compared.is_ok_and(|fits| fits).then_some(*head);
                self.role = NodeState::CatchingUp { lease, target, until };
                return compared.map_or_else(|stop| self.stop(stop), |_| Output::Nothing);
            }
            (Some(head), LogAnswer::Furthest(number)) if *number > head.number && !self.head_doubted => {
                // Or the member has told an old head.
                self.head_doubted = true;
                self.role = NodeState::CatchingUp { lease, target: None, until };
                return Output::Nothing;
            }
            (Some(head), LogAnswer::Furthest(number)) => return self.has_caught_up(now, wall, (lease, head), *number),
            (Some(_), _) => self.followed(now, answer),
            (None, _) => Output::Nothing,
        };
        if !matches!(self.role, NodeState::Stopped) {
            self.role = NodeState::CatchingUp { lease, target, until };
        }
        output
    }

    /// Compares a head that a member told with the file. `false`: the file has more, and another member must say so, too.
    pub(super) fn compare(&mut self, head: Head) -> Result<bool, Stop> {
        if !self.went_back(head) {
            return Ok(true);
        }
        if self.head_doubted || failpoints::enabled(Bug::OneMemberBelieved) {
            return Err(Stop::LogWentBack);
        }
        self.head_doubted = true;
        Ok(false)
    }

    /// Returns whether the log ends before the file, or otherwise.
    fn went_back(&self, head: Head) -> bool {
        head.number < self.applied.number || (head.number == self.applied.number && head != self.applied)
    }

    /// Everything up to the head is applied, and no other node has an entry beyond `furthest`: an epoch begins. No entry came
    /// after the head was read, since only this node may append.
    fn has_caught_up(
        &mut self,
        now: BootMillis,
        wall: UnixMillis,
        (lease, head): (Lease, Head),
        furthest: u64,
    ) -> Output {
        if head != self.applied {
            return self.stop(Stop::LogWentBack);
        }
        if furthest > head.number {
            // Without a valid lease another node may have appended.
            let is_sure = lease.is_valid(&self.settings, now);
            return if is_sure { self.stop(Stop::OthersAreAhead) } else { self.follow(now) };
        }
        self.head_doubted = false;
        let at = self.heard.begins_at(wall);
        let Head { number, epoch, seq, link, .. } = head;
        let (number, epoch, tenure) = (number.saturating_add(1), epoch.saturating_add(1), lease.tenure);
        let entry = Entry { number, epoch, tenure, seq, before: link, link, at, batch: Batch::default() };
        // An entry without events is short.
        let bytes = entry.encode().unwrap_or_default();
        let append = Append::new(lease.tenure, head, entry.head(), bytes.into());
        self.role = NodeState::Beginning { lease, append, at };
        Output::Nothing
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
