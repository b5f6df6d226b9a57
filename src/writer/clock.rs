//! The clock of decisions: an anchor to the wall clock plus monotonic time, so that it never jumps and never goes back.
//!
//! Small offsets from the wall clock are slewed away; large ones raise an alert and take effect at a restart only
//! (`src/README.md`, "Time"). No other place reads the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::clock_guard::{ClockError, ClockReading, StartEvidence};
use crate::log::BootMillis;
use crate::store::{BootTime, KeptInstant};
use crate::types::UnixMillis;

/// Largest offset that is slewed away; a larger one raises an alert.
const SLEW_OFFSET_MAX: Duration = Duration::from_secs(1);
/// Slew rate: 5 % of the elapsed time.
const SLEW_DIVISOR: i64 = 20;
/// Step of the times in requests to peers while the clocks differ.
const PEER_STEP_MS: i64 = 10_000;
/// The clock of decisions. Workers read it; the writer keeps it near the wall clock.
pub struct Clock {
    anchor: Instant,
    anchor_us: i64,
    slewed_us: AtomicI64,
    /// The boot clock at the anchor.
    anchor_boot: Option<BootTime>,
    /// The wall clock that the start accepted, minus the anchor: negative if the last event is in the future.
    accepted_ms: i64,
}

/// Returns the wall clock's time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall_clock() -> UnixMillis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).ok().and_then(UnixMillis::new).unwrap_or(UnixMillis::MAX)
}

/// Returns the wall clock's time in whole seconds since 1970; 0 before.
#[must_use]
pub fn wall_clock_second() -> u64 {
    u64::try_from(wall_clock().second()).unwrap_or(0)
}

/// Returns the wall clock's time in microseconds since 1970, for traces.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall_clock_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the time of the boot clock, which goes on while the machine is suspended.
#[must_use]
pub fn boot_clock() -> BootMillis {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    BootMillis(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
}

impl Clock {
    /// Starts a clock at the later of the file's last event and the wall clock, or the boot clock's account of it.
    ///
    /// # Errors
    /// If the wall clock differs too much from what is known, unless the operator accepts the difference with `accept`.
    pub fn start(evidence: &StartEvidence, now: &ClockReading, accept: bool) -> Result<Clock, ClockError> {
        if accept {
            return Ok(Clock::unguarded(evidence.last_event, now));
        }
        evidence.check(now)?;
        // Within one boot a crash and its restart change nothing: a wall clock that was set meanwhile, or before and not
        // believed, is not believed now.
        let wall = evidence.by_boot_clock(now).unwrap_or(now.wall);
        Ok(Clock::unguarded(evidence.last_event, &ClockReading { wall, ..*now }))
    }

    /// Starts a clock without the guard, for a file that has just been made and for tests.
    #[must_use]
    pub fn unguarded(last_event: UnixMillis, now: &ClockReading) -> Clock {
        let anchor = last_event.max(now.wall);
        Clock {
            anchor: now.monotonic,
            anchor_us: anchor.get().saturating_mul(1000),
            slewed_us: AtomicI64::new(0),
            anchor_boot: now.boot,
            accepted_ms: now.wall.get().saturating_sub(anchor.get()),
        }
    }

    /// Returns the instant to keep in the clock file.
    ///
    /// What is known goes on while the machine sleeps, which this clock does not.
    #[must_use]
    pub fn kept_instant(&self, now: &ClockReading) -> KeptInstant {
        let decided = self.at(now.monotonic);
        let asleep_ms = i64::try_from(self.asleep(now).as_millis()).unwrap_or(i64::MAX);
        let known = decided.plus_millis(self.accepted_ms).plus_millis(asleep_ms);
        KeptInstant { known, decided, wall: now.wall, boot: now.boot }
    }

    /// Returns the time that the machine was suspended since the clock began: the boot clock counts it, this one does not.
    pub(super) fn asleep(&self, now: &ClockReading) -> Duration {
        let awake = now.monotonic.saturating_duration_since(self.anchor);
        now.since_boot_reading(self.anchor_boot).map_or(Duration::ZERO, |all| all.saturating_sub(awake))
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
    pub fn slew(&self, now: &ClockReading, elapsed: Duration) -> i64 {
        let offset_ms = now.wall.get().saturating_sub(self.at(now.monotonic).get());
        if is_slewed(offset_ms) {
            let step = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX) / SLEW_DIVISOR;
            let move_us = offset_ms.saturating_mul(1000).clamp(step.saturating_neg(), step);
            self.slewed_us.fetch_add(move_us, Ordering::Relaxed);
        }
        offset_ms
    }

    /// Translates a time of this clock into the wall clock, for a peer that has only its own. Small offsets are left out,
    /// and larger ones rounded to ten seconds, so that repetitions give the same time.
    #[must_use]
    pub fn for_peers(&self, at: UnixMillis, now: &ClockReading) -> UnixMillis {
        let offset_ms = now.wall.get().saturating_sub(self.at(now.monotonic).get());
        if is_slewed(offset_ms) {
            return at;
        }
        let steps = offset_ms.saturating_add(PEER_STEP_MS / 2).div_euclid(PEER_STEP_MS);
        at.plus_millis(steps.saturating_mul(PEER_STEP_MS))
    }
}

/// Returns whether an offset is small enough to be slewed away.
pub(super) fn is_slewed(offset_ms: i64) -> bool {
    offset_ms.unsigned_abs() <= u64::try_from(SLEW_OFFSET_MAX.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> UnixMillis {
        UnixMillis::new(value).expect("in range")
    }

    fn reading(wall: i64) -> ClockReading {
        ClockReading { wall: ms(wall), monotonic: Instant::now(), boot: None }
    }

    #[test]
    fn it_starts_at_the_later_of_file_and_wall_clock() {
        let later_file = Clock::unguarded(ms(2_000_000), &reading(1_990_000));
        assert!(later_file.now() >= ms(2_000_000));
        let later_wall = Clock::unguarded(ms(2_000_000), &reading(2_500_000));
        assert!(later_wall.now() >= ms(2_500_000));
    }

    #[test]
    fn a_start_with_a_wrong_wall_clock_is_refused_unless_the_operator_accepts_it() {
        let last_event = ms(100_000_000);
        let evidence = StartEvidence { last_event, kept: None, orders_live: true, anything_due: true };
        let hours_behind = reading(50_000_000);
        assert_eq!(Clock::start(&evidence, &hours_behind, false).err(), Some(ClockError::Behind(50_000)));
        assert!(Clock::start(&evidence, &hours_behind, true).is_ok_and(|clock| clock.now() >= last_event));
    }

    #[test]
    fn the_wall_clock_is_that_of_the_file_system_in_both_units() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let made = file.as_file().metadata().expect("read").modified().expect("a time");
        let made_ms = made.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let made_ms = i64::try_from(made_ms).expect("in range");
        for clock_ms in [wall_clock().get(), i64::try_from(wall_clock_us() / 1000).expect("in range")] {
            assert!((clock_ms - made_ms).abs() < 60_000, "{clock_ms} {made_ms}");
        }
    }

    #[test]
    fn small_offsets_are_slewed_at_5_percent_and_large_ones_are_left() {
        let start = reading(1_000_000_000);
        let clock = Clock::unguarded(UnixMillis::ZERO, &start);
        let slewed = |clock: &Clock| clock.slewed_us.load(Ordering::Relaxed);
        let off = |ms: i64| ClockReading { wall: clock.at(start.monotonic).plus_millis(ms), ..start };
        clock.slew(&off(800), Duration::from_secs(1));
        assert_eq!(slewed(&clock), 50_000, "5 % of a second");
        clock.slew(&off(-500), Duration::from_secs(2));
        assert_eq!(slewed(&clock), -50_000);
        clock.slew(&off(5000), Duration::from_secs(1));
        assert_eq!(slewed(&clock), -50_000, "an offset of 5 s is alarmed, not followed");
    }

    #[test]
    fn peers_get_times_by_the_wall_clock_and_repetitions_the_same() {
        let start = reading(1_000_000_000);
        let clock = Clock::unguarded(UnixMillis::ZERO, &start);
        let expires = ms(1_000_900_000);
        let told = |wall_ahead_ms: i64| {
            let wall = start.wall.plus_millis(wall_ahead_ms);
            clock.for_peers(expires, &ClockReading { wall, ..start }).since(expires)
        };
        assert_eq!((told(900), told(599_400), told(600_300)), (0, 600_000, 600_000));
        let behind = ClockReading { wall: start.wall.plus_millis(-7_200_000), ..start };
        assert_eq!(expires.since(clock.for_peers(expires, &behind)), 7_200_000);
    }
}
