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
    /// Time without any answer after which a leader does not keep its lease any more: its requests may arrive, and no other
    /// node could lead. Within it the lease is asked for at two members.
    pub unheard_ms: u64,
    /// Time without an entry after which a follower campaigns. Longer than the leader's heartbeat of one second.
    pub silence_ms: u64,
    /// Longest time for which an elected node may apply what it lacks before its first entry; then it resigns: its key or
    /// its disk may be what is wrong.
    pub catch_up_max_ms: u64,
    /// Time between two campaigns, while the lease of a leader that is silent has not ended.
    pub campaign_again_ms: u64,
    /// Interval at which a follower asks for the next entry.
    pub poll_ms: u64,
    /// Interval at which a follower that waits for the next entry looks at the log itself. Not longer than `TIMELY_MS`,
    /// so that clocks are compared by most entries that come after it.
    pub look_ms: u64,
    /// Largest difference between a candidate's wall clock and the leader's: with a larger one reservations would lapse
    /// early.
    pub clock_offset_max_ms: u64,
}

impl Default for NodeSettings {
    fn default() -> NodeSettings {
        NodeSettings {
            lease_ms: 2000,
            lease_margin_ms: 500,
            unheard_ms: 1200,
            silence_ms: 1500,
            catch_up_max_ms: 10_000,
            campaign_again_ms: 200,
            poll_ms: 20,
            look_ms: TIMELY_MS,
            clock_offset_max_ms: 1000,
        }
    }
}

/// The lease of a tenure, as its node may rely on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) tenure: Tenure,
    /// The request that was granted last was sent then. `None` once the log has said that the tenure has ended.
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
        self.valid_until(settings).is_some_and(|until| now < until) || failpoints::enabled(Bug::LeaseNotChecked)
    }

    /// Returns the time until which the log surely keeps the tenure; `None` once it is known to have ended.
    pub(super) fn valid_until(&self, settings: &NodeSettings) -> Option<BootMillis> {
        self.granted.map(|granted| granted.plus(settings.lease_ms.saturating_sub(settings.lease_margin_ms)))
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

    /// Returns whether the log has said that the tenure has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.granted.is_none()
    }

    /// Takes the answer to the request that was sent at `sent`. The time of a lease that is kept begins with its request, so
    /// a late answer grants what is left of it. A tenure that was not known to be kept for a while is still the same one:
    /// another begins only after the log has ended it, and then no answer keeps it.
    pub(super) fn answered(&mut self, sent: BootMillis, answer: &LogAnswer) {
        if *answer == LogAnswer::Gone {
            self.granted = None;
        } else if self.asked == Some(sent) && *answer == LogAnswer::Kept {
            self.granted = self.granted.map(|granted| granted.max(sent));
            self.asked = None;
        }
    }
}

/// Longest time after a look that found nothing in which an entry counts as timely.
const TIMELY_MS: u64 = 200;

/// Time after which a comparison of clocks is forgotten, as long as newer ones come: one leader with a wrong clock must not
/// keep its followers from leading after it.
const COMPARED_MS: u64 = 10_000;

/// The smallest lead of a wall clock over entries of the last [`COMPARED_MS`] to twice that. An entry comes late, never
/// early: the smallest lead is nearest to the difference of the clocks.
#[derive(Clone, Copy, Debug)]
struct Lead {
    since: BootMillis,
    smallest_ms: i64,
    before_ms: Option<i64>,
}

impl Lead {
    const fn new(now: BootMillis, lead_ms: i64) -> Lead {
        Lead { since: now, smallest_ms: lead_ms, before_ms: None }
    }

    fn with(self, now: BootMillis, lead_ms: i64) -> Lead {
        if now >= self.since.plus(COMPARED_MS) {
            return Lead { since: now, smallest_ms: lead_ms, before_ms: Some(self.smallest_ms) };
        }
        Lead { smallest_ms: self.smallest_ms.min(lead_ms), ..self }
    }

    fn smallest_ms(self) -> i64 {
        self.before_ms.map_or(self.smallest_ms, |before| before.min(self.smallest_ms))
    }
}

/// The last entries of leaders, as this node heard them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Time at which the last entry came; before that, at which the node began to listen.
    since: BootMillis,
    /// The instant of the last entry.
    at: Option<UnixMillis>,
    /// The lead of this node's wall clock over timely entries at their arrival.
    lead: Option<Lead>,
    /// The last look at the log, at this time, found no entry: one that comes now is not older.
    none_at: Option<BootMillis>,
    /// The log has said in this epoch that no node leads.
    is_vacant: bool,
}

impl Heard {
    pub(super) const fn nothing(now: BootMillis) -> Heard {
        Heard { since: now, at: None, lead: None, none_at: None, is_vacant: false }
    }

    /// Notes whether it is known that no node leads.
    pub(super) fn note_vacancy(&mut self, is_vacant: bool) {
        self.is_vacant = is_vacant;
    }

    /// Notes that a look at the log, at `asked`, found no entry.
    pub(super) fn note_none(&mut self, asked: BootMillis) {
        self.none_at = Some(asked);
    }

    /// Notes an entry of another node. Clocks are compared by timely ones alone: others may be late by any time.
    pub(super) fn note(&mut self, now: BootMillis, wall: UnixMillis, at: UnixMillis) {
        if self.none_at.take().is_some_and(|none_at| now <= none_at.plus(TIMELY_MS)) {
            let lead_ms = wall.get().saturating_sub(at.get());
            self.lead = Some(self.lead.map_or_else(|| Lead::new(now, lead_ms), |lead| lead.with(now, lead_ms)));
        }
        self.note_own(now, at);
    }

    /// Notes an entry of this node.
    pub(super) fn note_own(&mut self, now: BootMillis, at: UnixMillis) {
        (self.since, self.at) = (now, Some(at));
    }

    /// Returns the time at which the last entry came; before the first, at which the node began to listen.
    pub(super) fn since(&self) -> BootMillis {
        self.since
    }

    /// Returns the instant of the last entry.
    pub(super) fn at(&self) -> Option<UnixMillis> {
        self.at
    }

    /// Lead of this node's wall clock over the leaders', in milliseconds.
    pub(super) fn lead_ms(&self) -> Option<i64> {
        self.lead.map(|lead| lead.smallest_ms())
    }

    /// The silence begins anew.
    pub(super) fn listen_again(&mut self, now: BootMillis) {
        self.since = self.since.max(now);
        self.is_vacant = false;
    }

    /// Returns whether the node should campaign: no leader was heard for long, and the wall clock is near those of the
    /// leaders before. A node that cannot compare waits three times as long, so that one that can goes first.
    pub(super) fn is_time_to_campaign(&self, settings: &NodeSettings, now: BootMillis) -> bool {
        match self.lead_ms() {
            Some(lead_ms) => {
                (self.is_vacant || now >= self.since.plus(settings.silence_ms))
                    && lead_ms.unsigned_abs() <= settings.clock_offset_max_ms
            }
            None => now >= self.since.plus(settings.silence_ms.saturating_mul(3)),
        }
    }

    /// Returns the instant at which an epoch begins: the wall clock's, but none before the last entry's.
    pub(super) fn begins_at(&self, wall: UnixMillis) -> UnixMillis {
        self.at.map_or(wall, |at| at.max(wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_of_clocks_is_forgotten_once_newer_ones_came_for_long() {
        let wall = |ms: i64| UnixMillis::new(ms).expect("in range");
        let mut heard = Heard::nothing(BootMillis(0));
        let mut hear = |boot: u64, lead_ms: i64| {
            heard.note_none(BootMillis(boot));
            heard.note(BootMillis(boot), wall(1_000_000 + lead_ms), wall(1_000_000));
            heard.lead_ms()
        };
        // A leader whose clock is five seconds ahead of this node's.
        assert_eq!((hear(0, -5000), hear(1000, -4990)), (Some(-5000), Some(-5000)));
        // The next one has a right clock.
        assert_eq!((hear(2000, 30), hear(11_000, 20)), (Some(-5000), Some(-5000)));
        assert_eq!((hear(21_500, 25), hear(21_600, 10)), (Some(20), Some(10)));
    }

    #[test]
    fn a_late_answer_grants_what_is_left_of_a_lease_and_none_revives_an_ended_tenure() {
        let settings = NodeSettings::default();
        let mut lease = Lease::new(Tenure(1), BootMillis(0));
        let sent = BootMillis(600);
        assert!(lease.request(&settings, sent).is_some());
        assert!(!lease.is_valid(&settings, BootMillis(1500)), "1500 ms of the lease are usable");
        lease.answered(sent, &LogAnswer::Kept);
        assert!(lease.is_valid(&settings, BootMillis(2099)) && !lease.is_valid(&settings, BootMillis(2100)));
        let again = BootMillis(2600);
        assert!(lease.request(&settings, again).is_some());
        lease.answered(BootMillis(1), &LogAnswer::Gone);
        lease.answered(again, &LogAnswer::Kept);
        assert!(lease.has_ended() && !lease.is_valid(&settings, again));
        assert!(lease.request(&settings, BootMillis(9000)).is_none());
    }
}
