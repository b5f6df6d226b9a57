//! Timeouts of a wire connection: a record of what it waits for. No I/O and no timers.

use std::time::{Duration, Instant};

use crate::config::WireLimits;
use crate::deadlines::{LINGER, STOPPING_MAX, Wait, earliest};

/// The reason why the server closed a wire connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WireCloseCause {
    /// No frame came, or no valid HELLO where one is required.
    Silent,
    /// The rest of a frame took too long.
    SlowFrame,
    /// No further frame came.
    Idle,
    /// The client did not read its replies.
    SlowReader,
    /// The client kept its half open after the last reply.
    Lingering,
    /// The client exceeded the limit of frames per second.
    Flood,
}

/// All causes as labels of metrics, in the order of [`WireCloseCause`].
pub(super) const WIRE_CLOSE_CAUSES: [&str; 6] = ["silent", "slow_frame", "idle", "slow_reader", "lingering", "flood"];

/// The starts of a connection's waits, and their longest durations.
pub(super) struct WireTimeouts {
    first_frame_max: Duration,
    frame_max: Duration,
    idle_max: Duration,
    write_max: Duration,
    /// Waiting for the first frame, or for a valid HELLO, since then.
    opening: Option<Wait>,
    /// Waiting for the rest of a frame since then.
    in_frame: Option<Wait>,
    /// Waiting for any frame since then.
    idle: Option<Wait>,
    /// Waiting for the client to read since then.
    writing: Option<Wait>,
    /// Waiting for the client to close its half since then.
    lingering: Option<Wait>,
}

impl WireTimeouts {
    pub(super) fn new(limits: &WireLimits, accepted: Instant) -> WireTimeouts {
        WireTimeouts {
            first_frame_max: limits.first_frame_timeout,
            frame_max: limits.frame_timeout,
            idle_max: limits.idle_timeout,
            write_max: limits.write_timeout,
            opening: Some(Wait::begun(accepted)),
            in_frame: None,
            idle: None,
            writing: None,
            lingering: None,
        }
    }

    /// Notes that the client has sent what must come first.
    pub(super) fn opened(&mut self) {
        self.opening = None;
    }

    /// Notes a frame, or that the server does not read for now, which is no fault of the client.
    pub(super) fn not_waiting_for_frames(&mut self) {
        self.in_frame = None;
        self.idle = None;
    }

    /// Notes that no more bytes are there to read. Single bytes of a frame do not extend its deadline.
    pub(super) fn waiting_for_bytes(&mut self, in_frame: bool, idle: bool, now: Instant) {
        if in_frame {
            self.in_frame.get_or_insert(Wait::begun(now));
        }
        if idle {
            self.idle.get_or_insert(Wait::begun(now));
        }
    }

    /// Notes that the socket takes no more bytes for now.
    pub(super) fn write_blocked(&mut self, now: Instant) {
        self.writing.get_or_insert(Wait::begun(now));
    }

    /// Notes that everything is written.
    pub(super) fn flushed(&mut self) {
        self.writing = None;
    }

    /// Notes that the last reply is written.
    pub(super) fn linger(&mut self, now: Instant) {
        self.not_waiting_for_frames();
        self.opening = None;
        self.lingering = Some(Wait::begun(now));
    }

    /// Begins every wait again that has not begun again before: the process stood still, and what the client did meanwhile
    /// is not seen yet.
    pub(super) fn begin_again(&mut self, now: Instant) {
        self.change_waits(|wait| wait.again(now));
    }

    fn change_waits(&mut self, change: impl Fn(Wait) -> Wait) {
        for wait in [&mut self.opening, &mut self.in_frame, &mut self.idle, &mut self.writing, &mut self.lingering] {
            *wait = wait.map(&change);
        }
    }

    /// Notes that the server is stopping: a client that does not read its replies must not hold the stop.
    pub(super) fn stopping(&mut self, now: Instant) {
        self.change_waits(|_| Wait::begun(now));
        self.write_max = self.write_max.min(STOPPING_MAX);
    }

    /// Returns the first deadline, and the cause to close the connection then.
    pub(super) fn deadline(&self) -> Option<(Instant, WireCloseCause)> {
        earliest([
            (self.opening, self.first_frame_max, WireCloseCause::Silent),
            (self.in_frame, self.frame_max, WireCloseCause::SlowFrame),
            (self.idle, self.idle_max, WireCloseCause::Idle),
            (self.writing, self.write_max, WireCloseCause::SlowReader),
            (self.lingering, LINGER, WireCloseCause::Lingering),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn each_wait_has_its_own_deadline() {
        let at = Instant::now();
        let limits = WireLimits {
            first_frame_timeout: S,
            frame_timeout: 2 * S,
            idle_timeout: 30 * S,
            write_timeout: 4 * S,
            ..WireLimits::default()
        };
        let mut timeouts = WireTimeouts::new(&limits, at);
        assert_eq!(timeouts.deadline(), Some((at + S, WireCloseCause::Silent)));
        timeouts.not_waiting_for_frames();
        assert_eq!(timeouts.deadline(), Some((at + S, WireCloseCause::Silent)), "a frame alone is not enough");
        timeouts.opened();
        assert_eq!(timeouts.deadline(), None);
        timeouts.waiting_for_bytes(false, true, at);
        assert_eq!(timeouts.deadline(), Some((at + 30 * S, WireCloseCause::Idle)));
        timeouts.waiting_for_bytes(true, false, at + S);
        timeouts.waiting_for_bytes(true, false, at + 2 * S);
        assert_eq!(timeouts.deadline(), Some((at + 3 * S, WireCloseCause::SlowFrame)), "a trickle does not move it");
        timeouts.not_waiting_for_frames();
        assert_eq!(timeouts.deadline(), None);
        timeouts.write_blocked(at);
        timeouts.write_blocked(at + S);
        assert_eq!(timeouts.deadline(), Some((at + 4 * S, WireCloseCause::SlowReader)), "a sip does not move it");
        timeouts.flushed();
        timeouts.waiting_for_bytes(true, true, at);
        timeouts.linger(at);
        assert_eq!(timeouts.deadline(), Some((at + LINGER, WireCloseCause::Lingering)));
        timeouts.begin_again(at + S);
        let again = Some((at + S + LINGER, WireCloseCause::Lingering));
        assert_eq!(timeouts.deadline(), again);
        timeouts.begin_again(at + 2 * S);
        assert_eq!(timeouts.deadline(), again, "once for each wait");
    }

    #[test]
    fn a_stop_leaves_a_slow_reader_a_second() {
        let at = Instant::now();
        let mut timeouts = WireTimeouts::new(&WireLimits { write_timeout: 40 * S, ..WireLimits::default() }, at);
        timeouts.opened();
        timeouts.write_blocked(at);
        timeouts.stopping(at + 5 * S);
        assert_eq!(timeouts.deadline(), Some((at + 5 * S + STOPPING_MAX, WireCloseCause::SlowReader)));
    }
}
