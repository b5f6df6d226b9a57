//! Timeouts of an HTTP connection: a record of what it waits for. No I/O and no timers: `monitored_stream` notes what the
//! socket does, and `connection` notes requests and responses, and closes a connection that is too slow.
//!
//! A request costs two readings of the clock and no timer. (hyper's own header timeout creates and drops a timer per
//! request, and does not cover the first byte, idleness apart from heads, or clients that do not read.)

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::config::ConnectionLimits;
use crate::deadlines::{LINGER, STOPPING_MAX, Wait, earliest};

/// The reason why the server closed an HTTP connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseCause {
    /// The client sent nothing at all.
    Silent,
    /// The head of a request took too long.
    SlowHead,
    /// No further request came.
    Idle,
    /// The client did not read its response.
    SlowReader,
    /// The client kept sending, or kept its half open, after the last response.
    Lingering,
}

/// All causes as labels of metrics, in the order of [`CloseCause`].
pub(super) const CLOSE_CAUSES: [&str; 5] = ["silent", "slow_head", "idle", "slow_reader", "lingering"];

/// The phase of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Waiting for the first byte since then.
    FirstByte(Wait),
    /// The first bytes of a head have just come; most often they are all of it.
    HeadStarted,
    /// Waiting for the rest of a head since then.
    Head(Wait),
    /// Serving a request. Its body and its handler have deadlines of their own.
    Serving,
    Responding,
    /// Waiting for another request since then.
    Idle(Wait),
    /// Waiting for the client to close its half since then.
    Lingering(Wait),
}

/// The phase of a connection, and the longest durations of its waits.
pub(super) struct ConnectionTimeouts {
    first_byte_max: Cell<Duration>,
    head_max: Cell<Duration>,
    idle_max: Cell<Duration>,
    write_max: Cell<Duration>,
    phase: Cell<Phase>,
    /// Waiting for the client to read since then.
    writing: Cell<Option<Wait>>,
    streaming: Cell<bool>,
    has_body: Cell<bool>,
    is_old: Cell<bool>,
}

impl ConnectionTimeouts {
    /// Returns the timeouts of a connection accepted now. A proxy keeps spare connections, so it may be silent as well.
    pub(super) fn new(limits: &ConnectionLimits, is_proxy: bool, accepted: Instant) -> ConnectionTimeouts {
        let (first_byte_max, idle_max) = if is_proxy {
            (limits.proxy_idle_timeout, limits.proxy_idle_timeout)
        } else {
            (limits.first_byte_timeout, limits.idle_timeout)
        };
        ConnectionTimeouts {
            first_byte_max: Cell::new(first_byte_max),
            head_max: Cell::new(limits.header_read_timeout),
            idle_max: Cell::new(idle_max),
            write_max: Cell::new(limits.response_write_timeout),
            phase: Cell::new(Phase::FirstByte(Wait::begun(accepted))),
            writing: Cell::new(None),
            streaming: Cell::new(false),
            has_body: Cell::new(false),
            is_old: Cell::new(false),
        }
    }

    /// Notes that bytes were received. Returns whether they came while a request was being served, or after the last one.
    pub(super) fn received(&self) -> bool {
        match self.phase.get() {
            Phase::FirstByte(_) | Phase::Idle(_) | Phase::Responding => {
                self.phase.set(Phase::HeadStarted);
                false
            }
            Phase::HeadStarted | Phase::Head(_) => false,
            Phase::Serving | Phase::Lingering(_) => true,
        }
    }

    /// Notes that more bytes are wanted and none are there.
    pub(super) fn waiting_for_bytes(&self) {
        match self.phase.get() {
            Phase::HeadStarted => self.phase.set(Phase::Head(Wait::begun(Instant::now()))),
            Phase::Responding => self.phase.set(Phase::Idle(Wait::begun(Instant::now()))),
            Phase::FirstByte(_) | Phase::Head(_) | Phase::Serving | Phase::Idle(_) | Phase::Lingering(_) => {}
        }
    }

    /// Notes that a head is complete, and whether a body follows.
    pub(super) fn request_started(&self, has_body: bool) {
        self.phase.set(Phase::Serving);
        self.streaming.set(false);
        self.has_body.set(has_body);
    }

    /// Returns whether the last head has a body.
    pub(super) fn has_body(&self) -> bool {
        self.has_body.get()
    }

    /// Notes that a response begins; that of an event stream has no end. Returns whether it is the connection's last.
    pub(super) fn response_started(&self, streaming: bool) -> bool {
        self.phase.set(Phase::Responding);
        self.streaming.set(streaming);
        self.is_old.get()
    }

    /// Notes that the connection has reached its greatest age. It ends with its next response, which says so: if it were
    /// closed between two requests, the next one might be on its way already.
    pub(super) fn reached_age_limit(&self) {
        self.is_old.set(true);
    }

    /// Notes that the server has closed its half. Returns whether the client may still be sending: closing the socket
    /// then would discard the response that the client has not read yet.
    pub(super) fn linger(&self) -> bool {
        match self.phase.get() {
            Phase::FirstByte(_) | Phase::Idle(_) => false,
            Phase::HeadStarted | Phase::Head(_) | Phase::Serving | Phase::Responding => {
                self.phase.set(Phase::Lingering(Wait::begun(Instant::now())));
                true
            }
            Phase::Lingering(_) => true,
        }
    }

    /// Returns whether an event stream is being sent.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming.get()
    }

    /// Notes that the socket takes no more bytes for now.
    pub(super) fn write_blocked(&self) {
        if self.writing.get().is_none() {
            self.writing.set(Some(Wait::begun(Instant::now())));
        }
    }

    /// Notes that everything is written.
    pub(super) fn flushed(&self) {
        self.writing.set(None);
    }

    /// Begins every wait again that has not begun again before: the process stood still, and what the client did meanwhile
    /// is not seen yet.
    pub(super) fn begin_again(&self, now: Instant) {
        self.change_waits(|wait| wait.again(now));
    }

    fn change_waits(&self, change: impl Fn(Wait) -> Wait) {
        self.phase.set(match self.phase.get() {
            Phase::FirstByte(wait) => Phase::FirstByte(change(wait)),
            Phase::Head(wait) => Phase::Head(change(wait)),
            Phase::Idle(wait) => Phase::Idle(change(wait)),
            Phase::Lingering(wait) => Phase::Lingering(change(wait)),
            phase @ (Phase::HeadStarted | Phase::Serving | Phase::Responding) => phase,
        });
        self.writing.set(self.writing.get().map(change));
    }

    /// Notes that the server is stopping: a client that is slow must not hold the stop.
    pub(super) fn stopping(&self, now: Instant) {
        self.change_waits(|_| Wait::begun(now));
        for longest in [&self.first_byte_max, &self.head_max, &self.idle_max, &self.write_max] {
            longest.set(longest.get().min(STOPPING_MAX));
        }
    }

    /// Returns the first deadline, and the cause to close the connection then.
    pub(super) fn deadline(&self) -> Option<(Instant, CloseCause)> {
        let (wait, longest, cause) = match self.phase.get() {
            Phase::FirstByte(wait) => (Some(wait), self.first_byte_max.get(), CloseCause::Silent),
            Phase::Head(wait) => (Some(wait), self.head_max.get(), CloseCause::SlowHead),
            Phase::Idle(wait) => (Some(wait), self.idle_max.get(), CloseCause::Idle),
            Phase::Lingering(wait) => (Some(wait), LINGER, CloseCause::Lingering),
            Phase::HeadStarted | Phase::Serving | Phase::Responding => (None, LINGER, CloseCause::Lingering),
        };
        earliest([(wait, longest, cause), (self.writing.get(), self.write_max.get(), CloseCause::SlowReader)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(is_proxy: bool, accepted: Instant) -> ConnectionTimeouts {
        let limits = ConnectionLimits {
            first_byte_timeout: Duration::from_secs(1),
            header_read_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(3),
            proxy_idle_timeout: Duration::from_secs(90),
            response_write_timeout: Duration::from_secs(4),
            ..ConnectionLimits::default()
        };
        ConnectionTimeouts::new(&limits, is_proxy, accepted)
    }

    fn cause(timeouts: &ConnectionTimeouts) -> Option<CloseCause> {
        timeouts.deadline().map(|(_, cause)| cause)
    }

    #[test]
    fn each_phase_has_its_own_deadline() {
        let accepted = Instant::now();
        let timeouts = timeouts(false, accepted);
        assert_eq!(timeouts.deadline(), Some((accepted + Duration::from_secs(1), CloseCause::Silent)));
        timeouts.waiting_for_bytes();
        assert_eq!(
            timeouts.deadline(),
            Some((accepted + Duration::from_secs(1), CloseCause::Silent)),
            "it began at the accept"
        );
        timeouts.received();
        timeouts.waiting_for_bytes();
        let (first, slow) = timeouts.deadline().expect("a deadline");
        assert_eq!(slow, CloseCause::SlowHead);
        timeouts.received();
        timeouts.waiting_for_bytes();
        assert_eq!(timeouts.deadline(), Some((first, CloseCause::SlowHead)), "a trickle does not move it");
        timeouts.request_started(false);
        timeouts.received();
        timeouts.waiting_for_bytes();
        assert_eq!(cause(&timeouts), None, "body and handler have their own");
        timeouts.response_started(false);
        assert_eq!(cause(&timeouts), None);
        timeouts.waiting_for_bytes();
        assert_eq!(cause(&timeouts), Some(CloseCause::Idle));
    }

    #[test]
    fn the_deadline_of_a_client_that_does_not_read_ends_with_the_response_only() {
        let timeouts = timeouts(true, Instant::now());
        timeouts.request_started(false);
        timeouts.response_started(true);
        timeouts.write_blocked();
        let (first, slow) = timeouts.deadline().expect("a deadline");
        assert_eq!(slow, CloseCause::SlowReader);
        timeouts.write_blocked();
        assert_eq!(timeouts.deadline(), Some((first, CloseCause::SlowReader)), "a sip does not move it");
        timeouts.flushed();
        assert_eq!(cause(&timeouts), None);
        assert!(timeouts.is_streaming());
    }

    #[test]
    fn a_stop_and_a_pause_begin_waits_again_and_a_stop_shortens_them() {
        let timeouts = timeouts(true, Instant::now());
        let later = Instant::now() + Duration::from_secs(30);
        timeouts.begin_again(later);
        let again = Some((later + Duration::from_secs(90), CloseCause::Silent));
        assert_eq!(timeouts.deadline(), again);
        timeouts.begin_again(later + Duration::from_secs(1));
        assert_eq!(timeouts.deadline(), again, "once for each wait");
        timeouts.received();
        timeouts.waiting_for_bytes();
        timeouts.begin_again(later);
        assert_eq!(timeouts.deadline(), Some((later + Duration::from_secs(2), CloseCause::SlowHead)));
        timeouts.stopping(later);
        assert_eq!(timeouts.deadline(), Some((later + STOPPING_MAX, CloseCause::SlowHead)));
        timeouts.request_started(false);
        timeouts.response_started(false);
        timeouts.write_blocked();
        timeouts.begin_again(later);
        assert_eq!(timeouts.deadline(), Some((later + STOPPING_MAX, CloseCause::SlowReader)));
    }

    #[test]
    fn a_proxy_may_be_silent_as_long_as_it_may_be_idle() {
        let accepted = Instant::now();
        assert_eq!(timeouts(true, accepted).deadline(), Some((accepted + Duration::from_secs(90), CloseCause::Silent)));
    }
}
