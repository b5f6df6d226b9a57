//! A node's knowledge of time: its lease, and the leader that it heard last.

use super::request::{LogAnswer, LogRequest, Tenure};
use crate::failpoints::{self, Bug};
use crate::types::UnixMillis;

/// A time of the node's boot clock (`CLOCK_BOOTTIME`, which goes on while a machine is suspended), in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BootMillis(pub u64);

impl BootMillis {
    /// Returns the time `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> BootMillis {
        BootMillis(self.0.saturating_add(ms))
    }
}

/// Times of a cluster, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct NodeSettings {
    /// Time for which the log keeps a tenure that is not kept alive.
    pub lease_ms: u64,
    /// Part of the lease that is not used: the clocks of node and log may run differently.
    pub lease_margin_ms: u64,
    /// Time without an entry after which a follower campaigns. Longer than the leader's heartbeat of one second.
    pub silence_ms: u64,
    /// Interval at which a follower looks for the next entry.
    pub poll_ms: u64,
    /// Largest difference between a candidate's wall clock and the leader's: with a larger one reservations would lapse
    /// early.
    pub clock_offset_max_ms: u64,
}

impl Default for NodeSettings {
    fn default() -> NodeSettings {
        NodeSettings { lease_ms: 2000, lease_margin_ms: 500, silence_ms: 1500, poll_ms: 20, clock_offset_max_ms: 1000 }
    }
}

/// The lease of a tenure, as its node may rely on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) tenure: Tenure,
    /// The request that was granted last was sent then. `None` once the tenure is known to have ended.
    granted: Option<BootMillis>,
    /// A request to keep the lease was sent then, and has no answer.
    asked: Option<BootMillis>,
}

impl Lease {
    /// Returns the lease of a campaign that was sent at `granted`.
    pub(super) const fn new(tenure: Tenure, granted: BootMillis) -> Lease {
        Lease { tenure, granted: Some(granted), asked: None }
    }

    /// Returns whether the log surely keeps the tenure: its time began after the request was sent.
    pub(super) fn is_valid(&self, settings: &NodeSettings, now: BootMillis) -> bool {
        let usable = settings.lease_ms.saturating_sub(settings.lease_margin_ms);
        self.granted.is_some_and(|granted| now < granted.plus(usable)) || failpoints::enabled(Bug::LeaseNotChecked)
    }

    /// Returns the request that keeps the lease, every quarter of it.
    pub(super) fn request(&mut self, settings: &NodeSettings, now: BootMillis) -> Option<LogRequest> {
        let last = self.asked.or(self.granted)?;
        if now < last.plus(settings.lease_ms / 4) {
            return None;
        }
        self.asked = Some(now);
        Some(LogRequest::KeepAlive { tenure: self.tenure })
    }

    /// Takes the answer to the request that was sent at `sent`.
    pub(super) fn answered(&mut self, sent: BootMillis, answer: &LogAnswer) {
        if self.asked == Some(sent) && *answer == LogAnswer::Kept {
            (self.granted, self.asked) = (Some(sent), None);
        } else if *answer == LogAnswer::Gone {
            self.granted = None;
        }
    }
}

/// Longest time after a look that found nothing in which an entry counts as timely.
const TIMELY_MS: u64 = 200;

/// The last entries of leaders, as this node heard them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Time at which the last entry came; before that, at which the node began to listen.
    since: BootMillis,
    /// The instant of the last entry.
    at: Option<UnixMillis>,
    /// The smallest lead of this node's wall clock over a timely entry at its arrival. An entry comes late, never early: the
    /// smallest one is nearest to the difference of the clocks.
    lead_ms: Option<i64>,
    /// The last look at the log, at this time, found no entry: one that comes now is not older.
    none_at: Option<BootMillis>,
}

impl Heard {
    pub(super) const fn nothing(now: BootMillis) -> Heard {
        Heard { since: now, at: None, lead_ms: None, none_at: None }
    }

    /// Notes that a look at the log, at `asked`, found no entry.
    pub(super) fn note_none(&mut self, asked: BootMillis) {
        self.none_at = Some(asked);
    }

    /// Notes an entry of another node. Clocks are compared by timely ones alone: others may be late by any time.
    pub(super) fn note(&mut self, now: BootMillis, wall: UnixMillis, at: UnixMillis) {
        if self.none_at.take().is_some_and(|none_at| now <= none_at.plus(TIMELY_MS)) {
            let lead_ms = wall.get().saturating_sub(at.get());
            self.lead_ms = Some(self.lead_ms.map_or(lead_ms, |before| before.min(lead_ms)));
        }
        self.note_own(now, at);
    }

    /// Notes an entry of this node.
    pub(super) fn note_own(&mut self, now: BootMillis, at: UnixMillis) {
        (self.since, self.at) = (now, Some(at));
    }

    /// Lead of this node's wall clock over the leaders', in milliseconds.
    pub(super) const fn lead_ms(&self) -> Option<i64> {
        self.lead_ms
    }

    /// The silence begins anew.
    pub(super) fn listen_again(&mut self, now: BootMillis) {
        self.since = self.since.max(now);
    }

    /// Returns whether the node should campaign: no leader was heard for long, and the wall clock is near those of the
    /// leaders before. A node that cannot compare waits three times as long, so that one that can goes first.
    pub(super) fn is_time_to_campaign(&self, settings: &NodeSettings, now: BootMillis) -> bool {
        match self.lead_ms {
            Some(lead_ms) => {
                now >= self.since.plus(settings.silence_ms) && lead_ms.unsigned_abs() <= settings.clock_offset_max_ms
            }
            None => now >= self.since.plus(settings.silence_ms.saturating_mul(3)),
        }
    }

    /// Returns the instant at which an epoch begins: the wall clock's, but none before the last entry's.
    pub(super) fn begins_at(&self, wall: UnixMillis) -> UnixMillis {
        self.at.map_or(wall, |at| at.max(wall))
    }
}
