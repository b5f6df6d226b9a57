//! A node of a cluster: it follows the log, campaigns when no leader is heard, and leads. Without I/O and without a clock:
//! its owner carries requests and answers, says what time it is, records and commits.
//!
//! Two rules carry the promises. An append is fenced by the head and by the tenure, so an old leader's entries never
//! count. A refusal or a fresh read has no entry: it is answered only while the lease is surely valid, when no other
//! node can have appended.

mod following;
mod leading;

use super::append::{Append, Fate, Step};
use super::request::{LogAnswer, LogRequest, Tenure};
use super::times::{BootMillis, Heard, Lease, NodeSettings};
use super::{Entry, Head};
use crate::types::UnixMillis;

/// Reasons why a node neither follows nor leads any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The log has an entry of a newer version: upgrade the node.
    Newer { found: u8 },
    /// The next entry was overwritten: the node must join again.
    Overrun,
    /// The file is not what the log says.
    Diverged,
    /// The log ends before the file: it lost entries, and the file is the better witness.
    LogWentBack,
    /// The log has lost entries that another node has: this node would go on without them.
    OthersAreAhead,
}

/// The next task of the node's owner.
#[derive(Debug)]
pub enum Output {
    Nothing,
    /// Record and commit the entry's batch, then call [`Node::applied`] with the link of the file.
    Apply(Box<Entry>),
    /// The node leads, and may decide.
    Leads,
    /// The append of [`Node::append`] has ended. Unless it stands, the state goes back to the file's.
    Appended(Fate),
    Stopped(Stop),
}

#[derive(Debug)]
enum NodeState {
    Following,
    Campaigning {
        since: BootMillis,
    },
    /// Another node leads, and this one has heard nothing of it: does the log still have what the file has?
    Comparing,
    /// Elected: everything in the log must be applied before the first own entry.
    CatchingUp {
        lease: Lease,
        target: Option<Head>,
        /// The end of the time for it.
        until: BootMillis,
    },
    /// The node gives its tenure back.
    Resigning {
        tenure: Tenure,
    },
    /// The entry that begins the epoch, without events, is under way.
    Beginning {
        lease: Lease,
        append: Append,
        at: UnixMillis,
    },
    Leading {
        lease: Lease,
        epoch: u64,
        append: Option<Append>,
    },
    Stopped,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    settings: NodeSettings,
    applied: Head,
    role: NodeState,
    /// True while a request of the role has no answer.
    waits: bool,
    /// Time at which that request, or the last one, was made.
    asked_at: BootMillis,
    next_poll: BootMillis,
    /// Time before which the node does not campaign: it has resigned.
    campaigns_from: BootMillis,
    /// True once the node is not to lead any more.
    is_retired: bool,
    /// Time before which nothing is asked: the last answer told nothing.
    asks_from: BootMillis,
    /// Time of the log's last answer that told anything.
    answered_at: BootMillis,
    heard: Heard,
    /// The copy of the next entry was wrong: another member is asked, and a second one is believed.
    doubted: bool,
    /// The last look at the log, at `looked_at`, found that the file has all entries: the next one is waited for.
    has_all: bool,
    looked_at: BootMillis,
    /// A head before the file's end was told: another member is asked, and a second one is believed.
    head_doubted: bool,
    /// The owner records an entry.
    applying: bool,
}

impl Node {
    /// Returns a follower whose file ends at `applied`.
    #[must_use]
    pub fn new(settings: NodeSettings, applied: Head, now: BootMillis) -> Node {
        Node {
            settings,
            applied,
            role: NodeState::Following,
            waits: false,
            asked_at: now,
            next_poll: now,
            campaigns_from: now,
            is_retired: false,
            asks_from: now,
            answered_at: now,
            heard: Heard::nothing(now),
            doubted: false,
            has_all: false,
            looked_at: now,
            head_doubted: false,
            applying: false,
        }
    }

    /// The last entry in the file.
    #[must_use]
    pub fn head(&self) -> Head {
        self.applied
    }

    /// Returns the epoch in which the node leads.
    #[must_use]
    pub fn leads(&self) -> Option<u64> {
        if let NodeState::Leading { epoch, .. } = self.role { Some(epoch) } else { None }
    }

    /// Returns whether a member's copy of the next entry was wrong, and another one is asked.
    #[must_use]
    pub fn doubts_entry(&self) -> bool {
        self.doubted
    }

    /// Returns the tenure in which the node leads: its entries bear it.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        if let NodeState::Leading { lease, .. } = self.role { Some(lease.tenure) } else { None }
    }

    /// Returns how far this node's wall clock is ahead of the leaders', in milliseconds. `None` until an entry came in time.
    #[must_use]
    pub fn clock_lead_ms(&self) -> Option<i64> {
        self.heard.lead_ms()
    }

    /// Returns whether the owner may decide a batch: the node leads, its lease is surely valid, and no entry is under way.
    /// Refusals of such a batch may be answered without an entry.
    #[must_use]
    pub fn may_decide(&self, now: BootMillis) -> bool {
        let NodeState::Leading { lease, append: None, .. } = &self.role else { return false };
        lease.is_valid(&self.settings, now)
    }

    /// Returns the time until which the node surely leads; `None` if it does not lead, or its tenure has ended.
    #[must_use]
    pub fn leads_until(&self) -> Option<BootMillis> {
        if let NodeState::Leading { lease, .. } = &self.role { lease.valid_until(&self.settings) } else { None }
    }

    /// Returns the instant of the last entry that the node has, of any leader; `None` before the first.
    #[must_use]
    pub fn heard_at(&self) -> Option<UnixMillis> {
        self.heard.at()
    }

    /// Gives the tenure back after the entry under way. Without effect unless the node leads and none is.
    pub fn resign(&mut self, now: BootMillis) {
        if let NodeState::Leading { lease, append: None, .. } = &self.role {
            self.campaigns_from = now.plus(self.settings.silence_ms.saturating_mul(4));
            self.role = NodeState::Resigning { tenure: lease.tenure };
        }
    }

    /// Takes the news that no node leads: a follower does not wait for the end of the silence. One that the last leader has
    /// named does not wait either because it has resigned before.
    pub fn no_leader(&mut self, now: BootMillis, is_named: bool) {
        if matches!(self.role, NodeState::Following) {
            self.heard.note_vacancy(true);
            if is_named {
                self.campaigns_from = self.campaigns_from.min(now);
            }
        }
    }

    /// Campaigns no more, because the node leaves its cluster.
    pub fn retire(&mut self) {
        self.is_retired = true;
        if let NodeState::CatchingUp { lease, .. } = &self.role
            && !self.waits
        {
            self.role = NodeState::Resigning { tenure: lease.tenure };
        }
    }

    /// Gives the entry under way up, because the process ends: the next start finds in the log what became of it.
    pub fn abandon(&mut self, now: BootMillis) {
        if matches!(self.role, NodeState::Leading { .. }) {
            self.follow(now);
        }
    }

    /// The owner could not commit the entry of [`Node::applied`]: the file still ends at `before`.
    pub fn take_back(&mut self, before: Head) {
        self.applied = before;
    }

    /// The owner could not record the entry of [`Output::Apply`]: it is read again.
    pub fn not_applied(&mut self, now: BootMillis) {
        self.applying = false;
        self.next_poll = now.plus(self.settings.poll_ms);
    }

    /// Returns the next request, if one is due and none is under way.
    pub fn request(&mut self, now: BootMillis) -> Option<LogRequest> {
        if self.waits || self.applying || now < self.asks_from {
            return None;
        }
        self.leave_what_has_ended(now);
        let request = match &self.role {
            NodeState::Following
                if !self.is_retired
                    && now >= self.campaigns_from
                    && self.heard.is_time_to_campaign(&self.settings, now) =>
            {
                self.role = NodeState::Campaigning { since: now };
                LogRequest::Campaign
            }
            NodeState::Following if now < self.next_poll => return None,
            NodeState::CatchingUp { target: Some(head), .. } if head.number <= self.applied.number => {
                LogRequest::Furthest
            }
            NodeState::Following | NodeState::CatchingUp { target: Some(_), .. } => self.next_entry_request(now),
            NodeState::Comparing | NodeState::CatchingUp { target: None, .. } => {
                LogRequest::Head { elsewhere: self.head_doubted }
            }
            NodeState::Resigning { tenure } => LogRequest::Resign { tenure: *tenure },
            NodeState::Beginning { append, .. } | NodeState::Leading { append: Some(append), .. } => append.request(),
            // Nothing keeps the lease any more: what has become of the log?
            NodeState::Leading { append: None, .. } if self.is_unheard(now) => LogRequest::Head { elsewhere: false },
            NodeState::Campaigning { .. } | NodeState::Leading { append: None, .. } | NodeState::Stopped => {
                return None;
            }
        };
        (self.waits, self.asked_at) = (true, now);
        Some(request)
    }

    /// Returns a request that keeps the lease, every quarter of it. It travels beside the others. A node that gets no answers
    /// does not keep its lease: its requests may arrive, and no other node could lead.
    pub fn lease_request(&mut self, now: BootMillis) -> Option<LogRequest> {
        let settings = self.settings;
        if self.is_unheard(now) {
            return None;
        }
        self.lease_mut()?.request(&settings, now)
    }

    /// Takes the answer to the request for the lease that was sent at `sent`.
    pub fn lease_answered(&mut self, now: BootMillis, sent: BootMillis, answer: &LogAnswer) {
        self.note_answer(now, answer);
        if let Some(lease) = self.lease_mut() {
            lease.answered(sent, answer);
        }
    }

    /// Returns whether the log has answered nothing for so long that each member could have been asked, or two.
    fn is_unheard(&self, now: BootMillis) -> bool {
        now >= self.answered_at.plus(self.settings.unheard_ms)
    }

    fn note_answer(&mut self, now: BootMillis, answer: &LogAnswer) {
        if !matches!(answer, LogAnswer::Unknown | LogAnswer::NoNews) {
            self.answered_at = now;
        }
    }

    /// Takes the answer to the last request.
    pub fn answered(&mut self, now: BootMillis, wall: UnixMillis, answer: &LogAnswer) -> Output {
        self.waits = false;
        self.note_answer(now, answer);
        if *answer == LogAnswer::Unknown {
            // Members that refuse at once are not asked as fast as they refuse.
            self.asks_from = now.plus(self.settings.poll_ms);
        }
        match std::mem::replace(&mut self.role, NodeState::Following) {
            NodeState::Following => self.followed(now, answer),
            NodeState::Campaigning { since } => {
                if let LogAnswer::Elected(tenure) = answer {
                    let until = now.plus(self.settings.catch_up_max_ms);
                    self.role = NodeState::CatchingUp { lease: Lease::new(*tenure, since), target: None, until };
                    return Output::Nothing;
                }
                // The lease of a leader that died may have a while to go.
                self.heard.note_vacancy(false);
                self.campaigns_from = now.plus(self.settings.campaign_again_ms);
                if *answer == LogAnswer::Held {
                    self.role = NodeState::Comparing;
                }
                Output::Nothing
            }
            NodeState::Comparing => {
                let LogAnswer::Head(head) = answer else { return Output::Nothing };
                match self.compare(*head) {
                    Ok(true) => {
                        self.head_doubted = false;
                        Output::Nothing
                    }
                    Ok(false) => {
                        self.role = NodeState::Comparing;
                        Output::Nothing
                    }
                    Err(stop) => self.stop(stop),
                }
            }
            NodeState::CatchingUp { lease, target, until } => self.caught_up(now, wall, (lease, target, until), answer),
            // Whatever the answer is: the lease ends by itself.
            NodeState::Resigning { .. } => self.follow(now),
            NodeState::Beginning { lease, append, at } => {
                let head = append.to();
                match append.answered(answer) {
                    Step::Ask(append) => {
                        self.role = NodeState::Beginning { lease, append, at };
                        Output::Nothing
                    }
                    Step::Done(Fate::Stands) => {
                        self.applied = head;
                        self.heard.note_own(now, at);
                        self.role = NodeState::Leading { lease, epoch: head.epoch, append: None };
                        Output::Leads
                    }
                    // It has no events, so nothing is lost: follow.
                    Step::Done(_) => self.follow(now),
                }
            }
            NodeState::Leading { lease, epoch, append: Some(append) } => {
                let to = append.to();
                match append.answered(answer) {
                    Step::Ask(append) => {
                        self.role = NodeState::Leading { lease, epoch, append: Some(append) };
                        Output::Nothing
                    }
                    Step::Done(fate) => self.ended(now, wall, lease, epoch, to, fate),
                }
            }
            role @ (NodeState::Leading { append: None, .. } | NodeState::Stopped) => {
                let others_lead = matches!(answer, LogAnswer::Head(head) if *head != self.applied);
                if others_lead && !matches!(role, NodeState::Stopped) {
                    return self.follow(now);
                }
                self.role = role;
                Output::Nothing
            }
        }
    }

    fn follow(&mut self, now: BootMillis) -> Output {
        self.role = NodeState::Following;
        self.head_doubted = false;
        self.next_poll = now;
        self.heard.listen_again(now);
        Output::Nothing
    }

    fn stop(&mut self, stop: Stop) -> Output {
        self.role = NodeState::Stopped;
        Output::Stopped(stop)
    }

    /// Leaves a tenure that has ended, unless an entry is under way: that is resolved first. One that may have ended is kept:
    /// appends are fenced, and refusals wait for the lease.
    fn leave_what_has_ended(&mut self, now: BootMillis) {
        let (NodeState::CatchingUp { lease, .. } | NodeState::Leading { lease, append: None, .. }) = &self.role else {
            return;
        };
        let (tenure, has_ended) = (lease.tenure, lease.has_ended());
        if has_ended {
            self.follow(now);
        } else if matches!(self.role, NodeState::CatchingUp { until, .. } if now >= until) {
            // Another node goes first, which may be able to.
            self.campaigns_from = now.plus(self.settings.silence_ms.saturating_mul(4));
            self.role = NodeState::Resigning { tenure };
        }
    }

    fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.role {
            NodeState::CatchingUp { lease, .. }
            | NodeState::Beginning { lease, .. }
            | NodeState::Leading { lease, .. } => Some(lease),
            NodeState::Following
            | NodeState::Campaigning { .. }
            | NodeState::Comparing
            | NodeState::Resigning { .. }
            | NodeState::Stopped => None,
        }
    }
}

#[cfg(test)]
mod tests;
