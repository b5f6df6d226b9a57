//! The retry schedule: the time of the next attempt after a failed one, until the delivery is given up.

use std::time::Duration;

use crate::types::UnixMillis;

/// The longest wait that an endpoint may ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Waits grow by up to a tenth, so that deliveries that failed together are not repeated together.
const JITTER_PARTS: u64 = 10;

/// The waits between attempts: the n-th follows the n-th attempt. After the last attempt a delivery is given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    #[must_use]
    pub fn new(waits: Vec<Duration>) -> RetrySchedule {
        RetrySchedule(waits)
    }

    /// Returns the time of the next attempt after `attempts` attempts, the last of which failed at `now`; `None` if it
    /// was the last one. `retry_after` is the wait that the endpoint asked for; `chance` is random and spreads the waits.
    #[must_use]
    pub fn next_at(
        &self,
        attempts: u8,
        now: UnixMillis,
        retry_after: Option<Duration>,
        chance: u32,
    ) -> Option<UnixMillis> {
        let made = usize::from(attempts.max(1));
        let wait = self.0.get(made.saturating_sub(1))?;
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let jitter = (wait / JITTER_PARTS).saturating_mul(u64::from(chance % 1024)) / 1024;
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let asked = u64::try_from(asked.as_millis()).unwrap_or(0);
        let wait = wait.saturating_add(jitter).max(asked);
        Some(now.plus_millis(i64::try_from(wait).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::ZERO;

    fn schedule() -> RetrySchedule {
        RetrySchedule::new([5, 300, 1800].map(Duration::from_secs).to_vec())
    }

    fn wait(attempts: u8, retry_after: Option<u64>, chance: u32) -> Option<u64> {
        let next = schedule().next_at(attempts, NOW, retry_after.map(Duration::from_secs), chance)?;
        Some(next.since(NOW))
    }

    #[test]
    fn each_attempt_has_its_wait_and_the_last_has_none() {
        assert_eq!(
            [1, 2, 3, 4].map(|attempts| wait(attempts, None, 0)),
            [Some(5_000), Some(300_000), Some(1_800_000), None]
        );
    }

    #[test]
    fn chance_makes_a_wait_longer_by_a_tenth_at_most() {
        let waits: Vec<u64> = (0..2000).filter_map(|chance| wait(2, None, chance * 7919)).collect();
        assert!(waits.iter().all(|wait| (300_000..330_000).contains(wait)));
        assert!(waits.iter().any(|wait| *wait > 325_000), "it spreads");
    }

    #[test]
    fn what_the_other_side_asks_for_is_honoured_up_to_a_day() {
        assert_eq!(wait(1, Some(60), 0), Some(60_000));
        assert_eq!(wait(2, Some(60), 0), Some(300_000), "never sooner than the schedule");
        assert_eq!(wait(1, Some(10 * 24 * 3600), 0), Some(24 * 3600 * 1000));
        assert_eq!(wait(4, Some(60), 0), None);
    }
}
