//! The breaker: stops all but a probe when nothing gets through.

use std::time::Duration;

use crate::types::UnixMillis;

/// Failures in a row after which only the oldest delivery is tried.
pub const FAILURES_MAX: u32 = 5;
/// Between two probes, so that an endpoint that is back is noticed long before the schedule's next attempt.
const PROBE_INTERVAL_MS: i64 = 60_000;
/// The longest that an endpoint may ask for all its deliveries to rest.
const REST_MAX: Duration = Duration::from_secs(3600);

#[derive(Default, Debug)]
pub(super) struct Breaker {
    failures: u32,
    probed_at: UnixMillis,
    rests_until: UnixMillis,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    pub(super) fn delivered(&mut self) {
        self.failures = 0;
        self.rests_until = UnixMillis::ZERO;
    }

    pub(super) fn failed(&mut self, now: UnixMillis) {
        self.failures = self.failures.saturating_add(1);
        self.probed_at = now;
    }

    /// Whether the oldest delivery may be tried: its own time has come, or a probe's.
    pub(super) fn may_probe(&self, now: UnixMillis, due_at: UnixMillis) -> bool {
        now >= due_at || now >= self.probed_at.plus_millis(PROBE_INTERVAL_MS)
    }

    /// The endpoint asked for mercy.
    pub(super) fn rest(&mut self, now: UnixMillis, retry_after: Option<Duration>) {
        let wait = retry_after.unwrap_or_default().min(REST_MAX);
        let until = now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(0));
        self.rests_until = self.rests_until.max(until);
    }

    pub(super) fn rests(&self, now: UnixMillis) -> bool {
        now < self.rests_until
    }
}
