//! A node's knowledge of its place in a cluster. The writer and the log's thread write it; serving threads read it, and a
//! cached response takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Class;
use super::clock::{boot_clock, wall_clock};
use super::handover::Handover;
use crate::failpoints::{self, Bug};
use crate::log::BootMillis;
use crate::types::{Seq, UnixMillis};

/// The addresses under which the leader of a cluster can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderAddress {
    pub node: String,
    /// URL of its public listener, without a slash at the end.
    pub public_url: String,
    /// URL of its admin listener, without a slash at the end.
    pub admin_url: String,
    /// Host and port of its listener of the wire protocol.
    pub wire: String,
}

/// The part that a node has in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeRole {
    /// The leader decides and appends, and its lease is surely valid.
    Leader,
    /// A follower applies entries, and answers reads.
    Follower,
    /// The node neither leads nor follows any more, and must not serve: its file is not what the log says.
    Stopped,
}

/// Share of etcd's quota from which buyers' commands are rejected, in percent: what is under way must still fit.
const LOG_USE_BUYERS_MAX: u8 = 60;
/// Share of etcd's quota from which all commands are rejected, in percent. At 100 etcd takes no write until an operator has
/// made room, not even that of a lease.
const LOG_USE_MAX: u8 = 80;

/// Stands for a clock that was not compared yet.
const NOT_COMPARED: i64 = i64::MIN;

/// The knowledge that a node of a cluster has of itself and of its leader.
#[derive(Debug)]
pub struct NodeView {
    name: String,
    /// Time of the boot clock until which this node surely leads, in milliseconds; 0 while it does not.
    leads_until: AtomicU64,
    /// Number of the last entry in its file.
    applied: AtomicU64,
    /// The instant of that entry, in milliseconds since 1970; 0 before the first.
    applied_at: AtomicI64,
    /// Last event of its file that is surely on its disk.
    synced: AtomicU64,
    /// Lead of its wall clock over the leaders', in milliseconds; [`NOT_COMPARED`] until it could compare.
    clock_lead_ms: AtomicI64,
    /// Share of its quota that the log's database has, in percent.
    log_use: AtomicU8,
    stopped: AtomicBool,
    /// The log answers, and the leader appends nothing.
    leader_silent: AtomicBool,
    /// True once the node leaves its cluster: it follows, but does not campaign any more.
    leaves: AtomicBool,
    /// True once it has left: no other node counts on it.
    has_left: AtomicBool,
    leader: Mutex<Option<Arc<LeaderAddress>>>,
    is_copying: Arc<AtomicBool>,
    handover: Arc<Handover>,
}

/// The right to copy the node's file, which one thread has at a time.
#[derive(Debug)]
pub struct CopyTurn(Arc<AtomicBool>);

impl Drop for CopyTurn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl NodeView {
    /// Returns the view of a follower that has applied nothing yet.
    #[must_use]
    pub fn new(name: String) -> NodeView {
        NodeView {
            name,
            leads_until: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            applied_at: AtomicI64::new(0),
            synced: AtomicU64::new(0),
            clock_lead_ms: AtomicI64::new(NOT_COMPARED),
            log_use: AtomicU8::new(0),
            stopped: AtomicBool::new(false),
            leader_silent: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            leader: Mutex::new(None),
            is_copying: Arc::default(),
            handover: Arc::default(),
        }
    }

    /// The node's name in its cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the node's role at this moment. Reads the boot clock.
    #[must_use]
    pub fn role(&self) -> NodeRole {
        if self.stopped.load(Ordering::Relaxed) {
            NodeRole::Stopped
        } else if boot_clock() < BootMillis(self.leads_until.load(Ordering::Acquire)) {
            NodeRole::Leader
        } else {
            NodeRole::Follower
        }
    }

    /// Returns whether the node leads, as far as the writer knows: its lease may have ended a moment ago. What is decided
    /// then is fenced.
    #[must_use]
    pub fn may_lead(&self) -> bool {
        self.leads_until.load(Ordering::Relaxed) != 0
    }

    /// Returns whether the node must not serve any more. Reads no clock.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Notes that the node leaves its cluster: until it is started again it follows, and does not lead.
    pub fn set_leaving(&self) {
        self.leaves.store(true, Ordering::Release);
    }

    /// Returns whether the node leaves its cluster.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Acquire)
    }

    /// Notes that the node has withdrawn its announcement.
    pub fn set_left(&self) {
        self.has_left.store(true, Ordering::Release);
    }

    /// Returns whether the node has withdrawn its announcement, because it leaves its cluster.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// Number of the last entry in the node's file.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Returns how far the node's state may be behind, in milliseconds: 0 while it leads, otherwise the age of the last
    /// entry, of which there is one a second; at least 1. `None` before the first.
    #[must_use]
    pub fn stale_ms(&self) -> Option<u64> {
        if self.role() == NodeRole::Leader || (failpoints::enabled(Bug::FreshWithoutLease) && self.may_lead()) {
            return Some(0);
        }
        let at = self.applied_at.load(Ordering::Acquire);
        let at = UnixMillis::new(at).filter(|at| *at != UnixMillis::ZERO)?;
        // A wall clock behind the leader's would make the entry younger than it is.
        let behind_ms = self.clock_lead_ms().map_or(0, |lead| u64::try_from(lead.saturating_neg()).unwrap_or(0));
        Some(wall_clock().since(at).saturating_add(behind_ms).max(1))
    }

    /// Returns the right to copy the node's file, unless a copy is under way.
    #[must_use]
    pub fn copy_turn(&self) -> Option<CopyTurn> {
        let was_copying = self.is_copying.swap(true, Ordering::Acquire);
        (!was_copying).then(|| CopyTurn(Arc::clone(&self.is_copying)))
    }

    /// The handover of the leadership to another node.
    #[must_use]
    pub fn handover(&self) -> &Arc<Handover> {
        &self.handover
    }

    /// The leader's addresses. `None` while no node leads, or none is known.
    #[must_use]
    pub fn leader(&self) -> Option<Arc<LeaderAddress>> {
        self.leader.lock().clone()
    }

    /// The addresses to which clients are sent: those of a leader other than this node, unless it hangs or is cut off. The log
    /// names such a one until its lease has ended.
    #[must_use]
    pub fn leader_for_clients(&self) -> Option<Arc<LeaderAddress>> {
        if self.leader_silent.load(Ordering::Relaxed) {
            return None;
        }
        self.leader().filter(|leader| leader.node != self.name)
    }

    /// Notes whether the leader appends nothing although the log answers.
    pub fn set_leader_silent(&self, is_silent: bool) {
        self.leader_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Notes the leader that the log names.
    pub fn set_leader(&self, leader: Option<LeaderAddress>) {
        let mut known = self.leader.lock();
        if known.as_deref() != leader.as_ref() {
            *known = leader.map(Arc::new);
        }
    }

    /// Notes until when the node surely leads; `None` if it does not.
    pub fn set_leads_until(&self, until: Option<BootMillis>) {
        self.leads_until.store(until.map_or(0, |until| until.0), Ordering::Release);
    }

    /// Sets the entry at which the file of this node ends at its start. How old the state is stays unknown until the next
    /// entry.
    pub fn begin_at(&self, number: u64) {
        self.applied.store(number, Ordering::Release);
    }

    /// Notes the number and the instant of the last entry in the file.
    pub fn set_applied(&self, number: u64, at: UnixMillis) {
        self.applied.store(number, Ordering::Release);
        self.applied_at.store(at.get(), Ordering::Release);
    }

    /// Last event of the node's file that is surely on its disk.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Relaxed)
    }

    /// Returns how far the node's wall clock is ahead of the leaders', in milliseconds. `None` until it could compare.
    #[must_use]
    pub fn clock_lead_ms(&self) -> Option<i64> {
        Some(self.clock_lead_ms.load(Ordering::Relaxed)).filter(|lead| *lead != NOT_COMPARED)
    }

    /// Returns whether the log has too little room for a command of this class.
    #[must_use]
    pub fn log_is_short(&self, class: Class) -> bool {
        let most = if class.is_of_operator() { LOG_USE_MAX } else { LOG_USE_BUYERS_MAX };
        self.log_use.load(Ordering::Relaxed) >= most
    }

    /// Notes the share of its quota that the log's database has, in percent.
    pub fn set_log_use(&self, percent: u8) {
        let before = self.log_use.swap(percent, Ordering::Relaxed);
        if percent >= LOG_USE_BUYERS_MAX && before < LOG_USE_BUYERS_MAX {
            tracing::error!(percent, "etcd's database has much of its quota: nothing is sold until there is room");
        }
    }

    /// Notes the last event on the disk, and the lead of the wall clock.
    pub fn set_health(&self, synced: Seq, clock_lead_ms: Option<i64>) {
        self.synced.store(synced.get(), Ordering::Relaxed);
        self.clock_lead_ms.store(clock_lead_ms.unwrap_or(NOT_COMPARED), Ordering::Relaxed);
    }

    /// Notes that the node must not serve any more.
    pub fn set_stopped(&self) {
        self.leads_until.store(0, Ordering::Release);
        self.stopped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_to_another_node_that_leads_and_not_to_one_that_is_silent() {
        let view = NodeView::new("n1".into());
        let leader = |node: &str| {
            let (node, public_url, admin_url) = (node.into(), "http://a".into(), "http://b".into());
            Some(LeaderAddress { node, public_url, admin_url, wire: "c:1".into() })
        };
        view.set_leader(leader("n1"));
        assert!(view.leader_for_clients().is_none());
        view.set_leader(leader("n2"));
        for (is_silent, is_named) in [(false, true), (true, false), (false, true)] {
            view.set_leader_silent(is_silent);
            assert_eq!(view.leader_for_clients().is_some(), is_named);
        }
    }

    #[test]
    fn a_lease_that_ended_makes_a_follower_and_a_node_that_stopped_stays_stopped() {
        let view = NodeView::new("n1".into());
        assert_eq!((view.role(), view.stale_ms()), (NodeRole::Follower, None));
        view.set_leads_until(Some(boot_clock().plus(60_000)));
        assert_eq!((view.role(), view.stale_ms()), (NodeRole::Leader, Some(0)));
        view.set_leads_until(Some(boot_clock()));
        assert_eq!((view.role(), view.may_lead()), (NodeRole::Follower, true));
        view.set_leads_until(None);
        view.set_applied(7, wall_clock());
        assert_eq!((view.synced(), view.clock_lead_ms()), (0, None));
        view.set_health(Seq::new(5).expect("in range"), Some(-3));
        assert_eq!((view.synced(), view.clock_lead_ms()), (5, Some(-3)));
        assert!(!view.may_lead() && view.applied() == 7 && view.stale_ms().is_some_and(|age| age < 60_000));
        view.set_stopped();
        view.set_leads_until(Some(boot_clock().plus(60_000)));
        assert_eq!(view.role(), NodeRole::Stopped);
    }
}
