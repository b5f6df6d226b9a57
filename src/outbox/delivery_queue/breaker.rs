//! The circuit breaker: lets only probes through after several failures in a row.

use std::time::Duration;

use crate::types::UnixMillis;

/// Failures in a row that open the breaker: then only the oldest delivery is tried.
pub const FAILURES_MAX: u32 = 5;
/// Time between two probes, in milliseconds: a repaired endpoint is noticed long before the schedule's next attempt.
const PROBE_INTERVAL_MS: i64 = 60_000;
/// The longest pause of all its deliveries that an endpoint may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

#[derive(Default, Debug)]
pub(super) struct Breaker {
    failures: u32,
    probed_at: UnixMillis,
    paused_until: UnixMillis,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    pub(super) fn delivered(&mut self) {
        self.failures = 0;
        self.paused_until = UnixMillis::ZERO;
    }

    pub(super) fn failed(&mut self, now: UnixMillis) {
        self.failures = self.failures.saturating_add(1);
        self.probed_at = now;
    }

    /// Returns true if the oldest delivery may be tried: it is due by its schedule, or a probe is due.
    pub(super) fn may_probe(&self, now: UnixMillis, due_at: UnixMillis) -> bool {
        now >= due_at || now >= self.probed_at.plus_millis(PROBE_INTERVAL_MS)
    }

    /// Pauses all deliveries for as long as the endpoint asked for.
    pub(super) fn pause(&mut self, now: UnixMillis, retry_after: Option<Duration>) {
        let wait = retry_after.unwrap_or_default().min(PAUSE_MAX);
        let until = now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(0));
        self.paused_until = self.paused_until.max(until);
    }

    pub(super) fn is_paused(&self, now: UnixMillis) -> bool {
        now < self.paused_until
    }
}
