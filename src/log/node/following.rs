//! A follower's way of one entry: it is read, compared with the file that it follows, recorded by the owner, and compared again.

use super::{Node, NodeState, Output, Stop};
use crate::failpoints::{self, Bug};
use crate::log::times::BootMillis;
use crate::log::{Entry, EntryError, Head, LogAnswer, LogRequest};
use crate::store::chain::ChainLink;
use crate::types::UnixMillis;

impl Node {
    /// Takes the link of the file after the entry of [`Output::Apply`] was recorded. `true`: commit it. `false`: roll it
    /// back; the entry is read again from another member, and a second one that differs stops the node.
    pub fn applied(&mut self, now: BootMillis, wall: UnixMillis, entry: &Entry, link: ChainLink) -> Result<bool, Stop> {
        self.applying = false;
        if link != entry.link && !failpoints::enabled(Bug::LinkNotCompared) {
            return self.doubt().map(|()| false);
        }
        self.doubted = false;
        if entry.epoch > self.applied.epoch {
            // The last entries of a leader may come after the news that it is gone.
            self.heard.note_vacancy(false);
        }
        self.applied = Head { link, ..entry.head() };
        self.heard.note(now, wall, entry.at);
        // The next one may be there already.
        self.next_poll = now;
        Ok(true)
    }

    /// Returns the request for the next entry: a look at the log, which any entry before it is found by, or, soon after one
    /// that found none, a wait for what comes.
    pub(super) fn next_entry_request(&mut self, now: BootMillis) -> LogRequest {
        let number = self.applied.number.saturating_add(1);
        if self.has_all && !self.doubted && now < self.looked_at.plus(self.settings.look_ms) {
            return LogRequest::Await { number };
        }
        (self.looked_at, self.has_all) = (now, false);
        LogRequest::Read { number, elsewhere: self.doubted }
    }

    /// Returns whether the leader appends nothing although the log answers: clients should not be sent there. A node that gets
    /// no answers knows nothing of its leader.
    #[must_use]
    pub fn hears_no_leader(&self, now: BootMillis) -> bool {
        let silent_from = self.heard.since().plus(self.settings.silence_ms);
        self.leads().is_none() && now >= silent_from && self.answered_at >= silent_from
    }

    pub(super) fn followed(&mut self, now: BootMillis, answer: &LogAnswer) -> Output {
        // A wait has taken its time.
        self.next_poll = if self.has_all { self.asked_at } else { now }.plus(self.settings.poll_ms);
        let LogAnswer::Entry(bytes) = answer else { return Output::Nothing };
        if bytes.is_empty() {
            return self.found_none();
        }
        let entry = match Entry::decode(bytes) {
            Ok(entry) => entry,
            Err(EntryError::Newer { found }) => return self.stop(Stop::Newer { found }),
            Err(EntryError::Damaged | EntryError::Malformed(_) | EntryError::TooLong { .. }) => {
                // Nothing is known of its number: what is damaged may be an old entry of the slot.
                self.doubted = !self.doubted;
                return Output::Nothing;
            }
        };
        let expected = self.applied.number.saturating_add(1);
        if entry.number < expected {
            // The slot has its entry of the round before.
            self.found_none()
        } else if entry.number > expected {
            self.stop(Stop::Overrun)
        } else if entry.before != self.applied.link || !self.may_follow(&entry) {
            match self.doubt() {
                Ok(()) => Output::Nothing,
                Err(stop) => Output::Stopped(stop),
            }
        } else {
            self.applying = true;
            Output::Apply(Box::new(entry))
        }
    }

    /// A look at the log, or a wait, has found no further entry. Only a look says that there was none.
    fn found_none(&mut self) -> Output {
        if !self.has_all {
            self.heard.note_none(self.asked_at);
            self.has_all = true;
        }
        Output::Nothing
    }

    /// Returns whether an entry's epoch may follow the last one's: an epoch is of one tenure.
    fn may_follow(&self, entry: &Entry) -> bool {
        match entry.epoch.cmp(&self.applied.epoch) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => entry.tenure == self.applied.tenure,
            std::cmp::Ordering::Greater => true,
        }
    }

    /// Notes that a copy does not fit the file. A second copy that does not fit either is believed.
    pub(super) fn doubt(&mut self) -> Result<(), Stop> {
        if self.doubted {
            self.role = NodeState::Stopped;
            return Err(Stop::Diverged);
        }
        self.doubted = true;
        Ok(())
    }
}
