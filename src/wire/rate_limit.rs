//! The number of frames that a connection may send.

use std::time::{Duration, Instant};

/// A limit of frames per second, with a second's worth at once (GCRA).
pub(super) struct FrameRateLimit {
    interval: Duration,
    /// The instant at which all frames sent so far are within the rate.
    paid_at: Instant,
}

/// Frames may be ahead of the rate by this much.
const BURST: Duration = Duration::from_secs(1);

impl FrameRateLimit {
    pub(super) fn new(per_second: u32, now: Instant) -> FrameRateLimit {
        FrameRateLimit { interval: BURST / per_second.max(1), paid_at: now }
    }

    /// Counts frames; `false`, and nothing is counted, if they exceed the limit.
    pub(super) fn admit(&mut self, frames: u32, now: Instant) -> bool {
        let due = self.paid_at.max(now).checked_add(self.interval.saturating_mul(frames));
        let Some(due) = due.filter(|due| due.saturating_duration_since(now) <= BURST) else { return false };
        self.paid_at = due;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_connection_may_send_a_seconds_worth_at_once_and_then_at_its_rate() {
        let at = Instant::now();
        let mut limit = FrameRateLimit::new(10, at);
        assert!((0..10).all(|_| limit.admit(1, at)));
        assert!(!limit.admit(1, at), "the eleventh");
        assert!(limit.admit(1, at + S / 10) && !limit.admit(1, at + S / 10));
        assert!(limit.admit(10, at + 60 * S) && !limit.admit(1, at + 60 * S), "a pause saves up no more");
        assert!(!FrameRateLimit::new(10, at).admit(11, at) && !FrameRateLimit::new(1, at).admit(u32::MAX, at));
    }
}
