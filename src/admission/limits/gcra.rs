//! The generic cell rate algorithm (ITU-T I.371, annex A, as virtual scheduling): one number a client, the theoretical
//! arrival time of the next request, if requests came at the quota's rate.
//!
//! `governor` has the same algorithm. Its keyed stores are a `HashMap` behind a mutex or a `DashMap`: they grow with each new
//! key until `retain_recent` walks over all of them, so a flood of keys decides on their size (see [`super::table`]).

use std::time::Duration;

use crate::types::policy_state::WINDOW_SECONDS;

/// Nanoseconds since the start of the door. 0 is before it.
pub(super) type Nanos = u64;

const WINDOW: Nanos = WINDOW_SECONDS * 1_000_000_000;

/// A number of requests in each window, all of which may come at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    pub(super) limit: u32,
    /// The time in which room for one request comes back.
    pub(super) interval: Nanos,
    /// The time in which all of it comes back.
    burst: Nanos,
}

impl Quota {
    /// Returns the quota of so many requests a window; `None` for 0, which means no limit.
    pub(super) fn new(limit: u32) -> Option<Quota> {
        // Rounded up: at no time is there more room than the limit.
        let interval = WINDOW.checked_next_multiple_of(limit.into())?.checked_div(limit.into())?;
        Some(Quota { limit, interval, burst: interval.saturating_mul(limit.into()) })
    }

    /// Returns the arrival time after one more request.
    ///
    /// # Errors
    /// The time after which there is room for it.
    pub(super) fn next(self, arrival: Nanos, now: Nanos) -> Result<Nanos, Nanos> {
        let next = arrival.max(now).saturating_add(self.interval);
        let latest = now.saturating_add(self.burst);
        if next <= latest { Ok(next) } else { Err(next.saturating_sub(latest)) }
    }

    /// Returns the arrival time after which there is no room.
    pub(super) fn used_up(self, now: Nanos) -> Nanos {
        now.saturating_add(self.burst)
    }

    /// Returns the requests for which there is room, and the time until there is room for one more.
    pub(super) fn room(self, arrival: Nanos, now: Nanos) -> (u32, Duration) {
        let free = now.saturating_add(self.burst).saturating_sub(arrival.max(now));
        let remaining = free.checked_div(self.interval).unwrap_or(0);
        let more = remaining.saturating_add(1).saturating_mul(self.interval).saturating_sub(free);
        (u32::try_from(remaining).unwrap_or(self.limit), Duration::from_nanos(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_of_a_window_may_come_at_once_and_then_one_in_each_interval() {
        for limit in [1, 7, 60, 100, 1_000_000] {
            let quota = Quota::new(limit).expect("a limit");
            let (mut arrival, mut now) = (0, 5);
            for left in (0..limit).rev() {
                arrival = quota.next(arrival, now).expect("room");
                assert_eq!(quota.room(arrival, now).0, left);
            }
            for _ in 0..3 {
                let wait = quota.next(arrival, now).expect_err("no room");
                assert_eq!(wait, quota.interval);
                assert!(quota.next(arrival, now + wait - 1).is_err(), "not a nanosecond earlier");
                now += wait;
                arrival = quota.next(arrival, now).expect("exactly then");
            }
        }
        assert_eq!(Quota::new(0), None);
    }
}
