//! Keeps the instant for the guard of the next start: at the start, once a minute, and at an ordered end.

use std::io;
use std::time::{Duration, Instant};

use super::clock::is_slewed;
use super::{Clock, ClockReading};
use crate::store::clock_file::ClockFile;

const INTERVAL: Duration = Duration::from_secs(60);

/// The clock file, and when it was written.
pub(super) struct InstantKeeper<'a> {
    file: Option<&'a ClockFile>,
    kept: Option<Instant>,
}

impl<'a> InstantKeeper<'a> {
    pub(super) fn new(file: Option<&'a ClockFile>) -> InstantKeeper<'a> {
        InstantKeeper { file, kept: None }
    }

    /// Keeps the instant if the last one is old, and logs an offset of the wall clock that is not slewed away: it stays
    /// until a restart.
    pub(super) fn keep_if_due(&mut self, clock: &Clock, now: &ClockReading, offset_ms: i64) {
        if self.kept.is_some_and(|kept| kept.elapsed() < INTERVAL) {
            return;
        }
        self.kept = Some(now.monotonic);
        self.keep(clock, now);
        if !is_slewed(offset_ms) {
            let (seconds, suspended_seconds) = (offset_ms / 1000, clock.asleep(now).as_secs());
            tracing::warn!(
                seconds,
                suspended_seconds,
                "the wall clock is this far ahead of the clock of decisions (behind it, if negative), which stood still while \
                 the machine was suspended: a restart adopts it, but one of 60 s to 1 h within a boot only with --accept-clock while \
                 anything is due: see FirstcomeClockOff"
            );
        }
    }

    /// Keeps the instant of an ordered end, and waits for the disk.
    pub(super) fn keep_at_end(&self, clock: &Clock) {
        keep_and_sync(self.file, clock, &ClockReading::take());
    }

    fn keep(&self, clock: &Clock, now: &ClockReading) {
        warn_of(self.file.map(|file| file.keep(&clock.kept_instant(now))));
    }
}

/// Keeps an instant, and waits for the disk: what a start accepted holds for the next one, however soon this one ends.
pub fn keep_and_sync(file: Option<&ClockFile>, clock: &Clock, now: &ClockReading) {
    warn_of(file.map(|file| file.keep(&clock.kept_instant(now)).and_then(|()| file.sync())));
}

/// A failure only weakens the guard of the next start.
fn warn_of(kept: Option<io::Result<()>>) {
    if let Some(Err(error)) = kept {
        tracing::warn!(%error, "the clock file cannot be written");
    }
}
