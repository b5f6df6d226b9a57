//! The guard of a start: is the wall clock right enough to go on with this file?
//!
//! A wrong wall clock at a start expires orders and ends drops and auctions for good. The guard compares it with the
//! instant that the last run kept (`store/clock_file.rs`), carried on by the boot clock if the machine has not been
//! booted since: then any length of a stop is known, and a step of more than an hour is refused. Otherwise a stop of more than an hour looks like a wrong clock. If no
//! instant was kept, as before the first start of this version, it compares with the last event, and only live orders count.

use std::time::{Duration, Instant};

use super::clock::wall_clock;
use crate::failpoints::{self, Bug};
use crate::store::{BootTime, KeptInstant};
use crate::types::UnixMillis;

/// Largest lag of the wall clock behind what the file knows.
const BEHIND_MAX_MS: i64 = 60 * 1000;
/// Largest lead of the wall clock over what the file knows, while anything is due that a wrong clock would end; if no
/// instant was kept, while orders are live.
const AHEAD_MAX_MS: i64 = 60 * 60 * 1000;

/// The wall clock differs too much from what the file knows.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockError {
    #[error(
        "the wall clock is {0} s behind the file's last known instant; set the clock, or start with --accept-clock"
    )]
    Behind(i64),
    #[error(
        "the wall clock is {behind} s behind the file's last known instant and the {counted} s that the boot clock \
         (/proc/uptime) counted since: set the wall clock; if it is right, the uptime is another one than the last run's, \
         as of a container: start with --accept-clock"
    )]
    BehindBootClock {
        /// Lag of the wall clock, in seconds.
        behind: i64,
        /// Time that the boot clock counted since the last known instant, in seconds.
        counted: i64,
    },
    #[error(
        "the wall clock is {0} s ahead of the file's last known instant, and live orders, or live or scheduled drops or \
         auctions would expire, begin or end by it; set the clock, or start with --accept-clock"
    )]
    Ahead(i64),
    #[error(
        "the wall clock is {0} s ahead of the clock of this boot since the last run: it was set while nothing ran; set the \
         clock, or start with --accept-clock"
    )]
    Stepped(i64),
}

/// One reading of all clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    pub wall: UnixMillis,
    pub monotonic: Instant,
    /// `None` where the system has no boot clock.
    pub boot: Option<BootTime>,
}

impl ClockReading {
    /// Reads the clocks of this machine.
    #[must_use]
    pub fn take() -> ClockReading {
        ClockReading { wall: wall_clock(), monotonic: Instant::now(), boot: boot_time() }
    }

    /// Returns the time from an earlier reading to this one by the boot clock, if both are of one boot.
    pub(super) fn since_boot_reading(&self, earlier: Option<BootTime>) -> Option<Duration> {
        let (now, earlier) = (self.boot?, earlier?);
        let elapsed = u64::try_from(now.since_boot_ms.saturating_sub(earlier.since_boot_ms)).ok()?;
        (now.boot_id == earlier.boot_id).then(|| Duration::from_millis(elapsed))
    }
}

fn boot_time() -> Option<BootTime> {
    static BOOT_ID: std::sync::OnceLock<Option<[u8; 16]>> = std::sync::OnceLock::new();
    let boot_id = (*BOOT_ID.get_or_init(|| parse_boot_id(&std::fs::read("/proc/sys/kernel/random/boot_id").ok()?)))?;
    let since_boot_ms = parse_uptime(&std::fs::read_to_string("/proc/uptime").ok()?)?;
    Some(BootTime { boot_id, since_boot_ms })
}

/// Parses the time since the boot, suspended time included, in milliseconds: the first number of `/proc/uptime`, in seconds
/// with two decimals. (The clock itself is not read by `rustix`, whose first call ends a program under valgrind.)
fn parse_uptime(text: &str) -> Option<i64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: i64 = hundredths.parse().ok().filter(|_| hundredths.len() == 2)?;
    seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(hundredths.checked_mul(10)?)
}

/// Parses the hexadecimal digits of a UUID.
fn parse_boot_id(text: &[u8]) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text
        .iter()
        .filter_map(|byte| char::from(*byte).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    let mut id = [0u8; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = (pair[0] << 4) | pair[1];
    }
    (id != [0; 16]).then_some(id)
}

/// Everything that a start knows about time before it believes the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct StartEvidence {
    /// Instant of the file's last event; zero in a new file.
    pub last_event: UnixMillis,
    /// The instant that the last run kept in the clock file.
    pub kept: Option<KeptInstant>,
    /// Orders are live: a clock far ahead would expire them.
    pub orders_live: bool,
    /// Orders are live, or drops or auctions live or scheduled: a wrong clock would end something for good.
    pub anything_due: bool,
}

impl StartEvidence {
    /// Compares the wall clock with what is known.
    ///
    /// # Errors
    /// If the two differ too much.
    pub fn check(&self, now: &ClockReading) -> Result<(), ClockError> {
        let kept = self.kept.filter(|_| !failpoints::enabled(Bug::ClockByLastEvent));
        // An empty file has nothing that a wrong clock could end or forget.
        if self.last_event == UnixMillis::ZERO {
            return Ok(());
        }
        let counted = kept.and_then(|kept| now.since_boot_reading(kept.boot)).unwrap_or_default();
        let counted_ms = i64::try_from(counted.as_millis()).unwrap_or(i64::MAX);
        // The earliest and the likeliest time that it can be now.
        let (earliest, likeliest) = match kept {
            None => (self.last_event, self.last_event),
            Some(kept) => {
                let later = |at: UnixMillis| at.plus_millis(counted_ms);
                // The last event by the clock that the start before had accepted.
                let offset_ms = kept.known.get().saturating_sub(kept.decided.get());
                let last_event = self.last_event.plus_millis(offset_ms);
                // A wall clock that was set by a step while the server ran may have been corrected then.
                (last_event.max(later(kept.known.min(kept.wall))), last_event.max(later(kept.known)))
            }
        };
        let behind_ms = earliest.get().saturating_sub(now.wall.get());
        if behind_ms > BEHIND_MAX_MS {
            let behind = behind_ms / 1000;
            // Without what the boot clock counted the wall clock would do: one of the two is wrong.
            let by_boot_clock = behind_ms.saturating_sub(counted_ms) <= BEHIND_MAX_MS;
            return Err(if by_boot_clock {
                ClockError::BehindBootClock { behind, counted: counted_ms / 1000 }
            } else {
                ClockError::Behind(behind)
            });
        }
        let ahead_ms = now.wall.get().saturating_sub(likeliest.get());
        // The last event tells little: a right clock is far ahead of it in a quiet shop that has a drop scheduled.
        let ends_something = if kept.is_some() { self.anything_due } else { self.orders_live };
        if ahead_ms > AHEAD_MAX_MS && ends_something {
            return Err(ClockError::Ahead(ahead_ms / 1000));
        }
        // Within one boot it is known how long the stop was. Even where nothing is due, a file of the future would forget
        // idempotency keys and could not go back.
        let stepped_ms = kept.and_then(|kept| self.lead_over_boot_clock_ms(&kept, now)).unwrap_or(0);
        if stepped_ms > AHEAD_MAX_MS { Err(ClockError::Stepped(stepped_ms / 1000)) } else { Ok(()) }
    }

    /// Returns the time that the boot clock makes of the last run's, if a wall clock ahead of it would end something early.
    #[must_use]
    pub fn by_boot_clock(&self, now: &ClockReading) -> Option<UnixMillis> {
        let kept = self.kept.filter(|_| self.anything_due)?;
        let elapsed = i64::try_from(now.since_boot_reading(kept.boot)?.as_millis()).ok()?;
        let expected = kept.known.plus_millis(elapsed);
        (now.wall.get().saturating_sub(expected.get()) > BEHIND_MAX_MS).then_some(expected)
    }

    /// The lead of the wall clock over what the boot clock makes of the later of the kept instants; `None` after a boot.
    fn lead_over_boot_clock_ms(&self, kept: &KeptInstant, now: &ClockReading) -> Option<i64> {
        let elapsed = i64::try_from(now.since_boot_reading(kept.boot)?.as_millis()).ok()?;
        let expected = self.last_event.max(kept.known.max(kept.wall).plus_millis(elapsed));
        Some(now.wall.get().saturating_sub(expected.get()))
    }
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
    fn the_uptime_is_read_to_ten_milliseconds() {
        assert_eq!(parse_uptime("6935.47 12345.67\n"), Some(6_935_470));
        for wrong in ["", "6935", "6935.4 1", "x.47", "99999999999999999999.00"] {
            assert_eq!(parse_uptime(wrong), None, "{wrong}");
        }
        assert!(ClockReading::take().boot.is_some(), "Linux has both files");
    }

    #[test]
    fn without_a_kept_instant_the_wall_clock_is_compared_with_the_last_event() {
        let start = |wall, orders_live| {
            let evidence = StartEvidence { last_event: ms(100_000_000), kept: None, orders_live, anything_due: true };
            evidence.check(&reading(wall))
        };
        assert_eq!(start(100_000_000 - 60_001, false), Err(ClockError::Behind(60)));
        assert_eq!(start(100_000_000 - 60_000, false), Ok(()));
        assert_eq!(start(100_000_000 + 3_600_001, true), Err(ClockError::Ahead(3600)));
        assert_eq!(start(100_000_000 + 3_600_000, true), Ok(()));
        assert_eq!(start(100_000_000 + 3_600_001, false), Ok(()), "a drop that is due alone proves nothing");
        let new_file =
            StartEvidence { last_event: UnixMillis::ZERO, kept: None, orders_live: false, anything_due: false };
        assert_eq!(new_file.check(&reading(1_700_000_000_000)), Ok(()), "a new file has no last instant");
    }

    #[test]
    fn this_machine_has_a_boot_clock_that_goes_forward() {
        let (first, second) = (ClockReading::take(), ClockReading::take());
        assert!(second.since_boot_reading(first.boot).is_some());
        let other = first.boot.map(|boot| BootTime { boot_id: [9; 16], ..boot });
        assert_eq!(second.since_boot_reading(other), None);
        assert_eq!(parse_boot_id(b"00112233-4455-6677-8899-aabbccddeeff\n").map(|id| id[15]), Some(0xff));
        assert_eq!(parse_boot_id(b"0011"), None);
    }
}
