//! How long a connection may stay in what it is doing, and how many frames it may send. No I/O and no timers.

use std::time::{Duration, Instant};

use crate::config::WireLimits;

/// Why a connection was closed by the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// No frame came, or no good HELLO where one is needed.
    Silent,
    /// The rest of a frame took too long.
    SlowFrame,
    /// No further frame came.
    Idle,
    /// The client did not read its answers.
    SlowReader,
    /// The client kept its half open after the last word.
    Lingering,
    /// Too many frames.
    Flood,
}

/// All causes, with their labels in metrics, in the order of [`Cause`].
pub(super) const CAUSES: [&str; 6] = ["silent", "slow_frame", "idle", "slow_reader", "lingering", "flood"];

/// How long a client may take to close its half after the last word.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection is waiting for, since when.
pub(super) struct Pace {
    first_frame: Duration,
    frame: Duration,
    idle: Duration,
    write: Duration,
    /// The first frame, or a good HELLO.
    beginning: Option<Instant>,
    /// The rest of a frame.
    within: Option<Instant>,
    /// Any frame.
    quiet: Option<Instant>,
    /// That the client reads.
    stuck: Option<Instant>,
    /// That it closes its half.
    leaving: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limits: &WireLimits, accepted: Instant) -> Pace {
        Pace {
            first_frame: limits.first_frame_timeout,
            frame: limits.frame_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
            beginning: Some(accepted),
            within: None,
            quiet: None,
            stuck: None,
            leaving: None,
        }
    }

    /// The client has said what it had to say first.
    pub(super) fn begun(&mut self) {
        self.beginning = None;
    }

    /// A frame came.
    pub(super) fn heard(&mut self) {
        self.within = None;
        self.quiet = None;
    }

    /// Nothing more is there to be read. A trickle does not move what began before.
    pub(super) fn listening(&mut self, within_a_frame: bool, nothing_to_do: bool, now: Instant) {
        if within_a_frame {
            self.within.get_or_insert(now);
        }
        if nothing_to_do {
            self.quiet.get_or_insert(now);
        }
    }

    /// Nothing is read at the moment: that is ours, not the client's.
    pub(super) fn not_listening(&mut self) {
        self.within = None;
        self.quiet = None;
    }

    /// Something cannot be written for now.
    pub(super) fn stuck(&mut self, now: Instant) {
        self.stuck.get_or_insert(now);
    }

    /// Everything is written.
    pub(super) fn flushed(&mut self) {
        self.stuck = None;
    }

    /// The last word is said.
    pub(super) fn leaving(&mut self, now: Instant) {
        self.not_listening();
        self.beginning = None;
        self.leaving = Some(now);
    }

    /// Until when the present state may last, and what it is called if it lasts longer.
    pub(super) fn deadline(&self) -> Option<(Instant, Cause)> {
        [
            (self.beginning, self.first_frame, Cause::Silent),
            (self.within, self.frame, Cause::SlowFrame),
            (self.quiet, self.idle, Cause::Idle),
            (self.stuck, self.write, Cause::SlowReader),
            (self.leaving, LINGER, Cause::Lingering),
        ]
        .into_iter()
        .filter_map(|(since, long, cause)| Some((since?.checked_add(long)?, cause)))
        .min_by_key(|(at, _)| *at)
    }
}

/// How many frames a connection may send: so many a second, and a second's worth at once.
pub(super) struct Allowance {
    each: Duration,
    /// When all that was sent is paid for.
    paid_at: Instant,
}

/// What may be owed.
const CREDIT: Duration = Duration::from_secs(1);

impl Allowance {
    pub(super) fn new(per_second: u32, now: Instant) -> Allowance {
        Allowance { each: CREDIT / per_second.max(1), paid_at: now }
    }

    /// Pays for frames; `false` if that is more than it may owe.
    pub(super) fn pay(&mut self, frames: u32, now: Instant) -> bool {
        let due = self.paid_at.max(now).checked_add(self.each.saturating_mul(frames));
        let Some(due) = due.filter(|due| due.saturating_duration_since(now) <= CREDIT) else { return false };
        self.paid_at = due;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn pace(accepted: Instant) -> Pace {
        let limits = WireLimits {
            first_frame_timeout: S,
            frame_timeout: 2 * S,
            idle_timeout: 30 * S,
            write_timeout: 4 * S,
            ..WireLimits::default()
        };
        Pace::new(&limits, accepted)
    }

    #[test]
    fn each_state_has_its_own_deadline() {
        let at = Instant::now();
        let mut pace = pace(at);
        assert_eq!(pace.deadline(), Some((at + S, Cause::Silent)));
        pace.heard();
        assert_eq!(pace.deadline(), Some((at + S, Cause::Silent)), "a frame alone is not always a beginning");
        pace.begun();
        assert_eq!(pace.deadline(), None);
        pace.listening(false, true, at);
        assert_eq!(pace.deadline(), Some((at + 30 * S, Cause::Idle)));
        pace.listening(true, false, at + S);
        pace.listening(true, false, at + 2 * S);
        assert_eq!(pace.deadline(), Some((at + 3 * S, Cause::SlowFrame)), "a trickle does not move it");
        pace.heard();
        assert_eq!(pace.deadline(), None);
        pace.stuck(at);
        pace.stuck(at + S);
        assert_eq!(pace.deadline(), Some((at + 4 * S, Cause::SlowReader)), "a sip does not move it");
        pace.flushed();
        pace.listening(true, true, at);
        pace.leaving(at);
        assert_eq!(pace.deadline(), Some((at + LINGER, Cause::Lingering)));
    }

    #[test]
    fn a_connection_may_send_a_seconds_worth_at_once_and_then_at_its_pace() {
        let at = Instant::now();
        let mut allowance = Allowance::new(10, at);
        assert!((0..10).all(|_| allowance.pay(1, at)));
        assert!(!allowance.pay(1, at), "the eleventh");
        assert!(allowance.pay(1, at + S / 10) && !allowance.pay(1, at + S / 10));
        assert!(allowance.pay(10, at + 60 * S) && !allowance.pay(1, at + 60 * S), "a pause saves up no more");
        assert!(!Allowance::new(10, at).pay(11, at) && !Allowance::new(1, at).pay(u32::MAX, at));
    }
}
