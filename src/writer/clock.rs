//! The clock of decisions: an anchor to the wall clock plus monotonic time, so that it never jumps and never goes back.
//!
//! Small offsets from the wall clock are slewed away; large ones raise an alert and take effect at a restart only
//! (`src/README.md`, "Time"). No other place reads the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::types::UnixMillis;

/// Largest offset that is slewed away; a larger one raises an alert.
const SLEW_OFFSET_MAX: Duration = Duration::from_secs(1);
/// Slew rate: 5 % of the elapsed time.
const SLEW_DIVISOR: i64 = 20;
/// Largest lag of the wall clock behind the file at a start.
const BEHIND_MAX_MS: i64 = 60 * 1000;
/// Largest lead of the wall clock over the file at a start with live orders, which would all expire at once.
const AHEAD_MAX_MS: i64 = 60 * 60 * 1000;

/// The clock of decisions. Workers read it; the writer keeps it near the wall clock.
pub struct Clock {
    anchor: Instant,
    anchor_us: i64,
    slewed_us: AtomicI64,
}

/// The wall clock differs too much from the file to start.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockError {
    #[error("the wall clock is {0} s behind the file's last event; set the clock, or start with --accept-clock")]
    Behind(i64),
    #[error(
        "the wall clock is {0} s ahead of the file's last event and orders are live; set the clock, or start with --accept-clock"
    )]
    Ahead(i64),
}

/// Returns the wall clock's time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall_clock() -> UnixMillis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).ok().and_then(UnixMillis::new).unwrap_or(UnixMillis::MAX)
}

/// Returns the wall clock's time in microseconds since 1970, for traces.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall_clock_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}

impl Clock {
    /// Starts a clock at the later of the file's last instant and the wall clock.
    ///
    /// # Errors
    /// If the two differ too much, unless the operator accepts the difference with `accept`.
    pub fn start(last_at: UnixMillis, wall: UnixMillis, orders_live: bool, accept: bool) -> Result<Clock, ClockError> {
        let ahead_ms = wall.get().saturating_sub(last_at.get());
        let fresh_file = last_at == UnixMillis::ZERO;
        if !accept && !fresh_file {
            if ahead_ms < -BEHIND_MAX_MS {
                return Err(ClockError::Behind(ahead_ms.saturating_neg() / 1000));
            }
            if ahead_ms > AHEAD_MAX_MS && orders_live {
                return Err(ClockError::Ahead(ahead_ms / 1000));
            }
        }
        let anchor_us = last_at.max(wall).get().saturating_mul(1000);
        Ok(Clock { anchor: Instant::now(), anchor_us, slewed_us: AtomicI64::new(0) })
    }

    /// Returns the clock's time at a monotonic instant.
    #[must_use]
    pub fn at(&self, instant: Instant) -> UnixMillis {
        let elapsed = i64::try_from(instant.saturating_duration_since(self.anchor).as_micros()).unwrap_or(i64::MAX);
        let us = self.anchor_us.saturating_add(elapsed).saturating_add(self.slewed_us.load(Ordering::Relaxed));
        UnixMillis::ZERO.plus_millis(us.div_euclid(1000))
    }

    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.at(Instant::now())
    }

    /// Returns the monotonic instant at which the clock reaches `at`, by its present offset.
    #[must_use]
    pub fn instant_of(&self, at: UnixMillis) -> Instant {
        let now = Instant::now();
        now + Duration::from_millis(at.since(self.at(now)))
    }

    /// Moves the clock towards the wall clock by at most 5 % of `elapsed`, if the offset is small.
    ///
    /// Returns the offset (wall clock minus this clock) in milliseconds.
    pub fn slew(&self, wall: UnixMillis, elapsed: Duration) -> i64 {
        let offset_ms = wall.get().saturating_sub(self.now().get());
        if offset_ms.unsigned_abs() <= u64::try_from(SLEW_OFFSET_MAX.as_millis()).unwrap_or(u64::MAX) {
            let step = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX) / SLEW_DIVISOR;
            let move_us = offset_ms.saturating_mul(1000).clamp(step.saturating_neg(), step);
            self.slewed_us.fetch_add(move_us, Ordering::Relaxed);
        }
        offset_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> UnixMillis {
        UnixMillis::new(value).expect("in range")
    }

    #[test]
    fn it_starts_at_the_later_of_file_and_wall_clock() {
        let later_file = Clock::start(ms(2_000_000), ms(1_990_000), true, false).expect("near");
        assert!(later_file.now() >= ms(2_000_000));
        let later_wall = Clock::start(ms(2_000_000), ms(2_500_000), true, false).expect("near");
        assert!(later_wall.now() >= ms(2_500_000));
    }

    #[test]
    fn it_refuses_a_wall_clock_far_from_the_file_unless_told() {
        let file = ms(100_000_000);
        let start = |wall, live, accept| Clock::start(file, ms(wall), live, accept).map(|_| ());
        assert_eq!(start(100_000_000 - 60_001, false, false), Err(ClockError::Behind(60)));
        assert_eq!(start(100_000_000 - 60_000, false, false), Ok(()));
        assert_eq!(start(100_000_000 + 3_600_001, true, false), Err(ClockError::Ahead(3600)));
        assert_eq!(start(100_000_000 + 3_600_001, false, false), Ok(()));
        assert_eq!(start(1, true, true), Ok(()));
        assert!(
            Clock::start(UnixMillis::ZERO, ms(1_700_000_000_000), false, false).is_ok(),
            "a new file has no last instant"
        );
    }

    #[test]
    fn small_offsets_are_slewed_at_5_percent_and_large_ones_are_left() {
        let clock = Clock::start(UnixMillis::ZERO, ms(1_000_000_000), false, false).expect("new file");
        let slewed = |clock: &Clock| clock.slewed_us.load(Ordering::Relaxed);
        let ahead = clock.now().plus_millis(800);
        clock.slew(ahead, Duration::from_secs(1));
        assert_eq!(slewed(&clock), 50_000, "5 % of a second");
        let behind = clock.now().plus_millis(-500);
        clock.slew(behind, Duration::from_secs(2));
        assert_eq!(slewed(&clock), -50_000);
        clock.slew(clock.now().plus_millis(5000), Duration::from_secs(1));
        assert_eq!(slewed(&clock), -50_000, "an offset of 5 s is alarmed, not followed");
    }
}
