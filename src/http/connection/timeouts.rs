//! How long a connection may stay in what it is doing. No I/O and no timers: `guarded` notes what the socket does,
//! `connection` notes requests and answers, and closes what is too slow.
//!
//! One timer per connection watches all of this, and is moved only when a deadline comes nearer: a request costs two
//! looks at the clock and no timer. (hyper's own header time-out makes and drops a timer per request, and knows nothing
//! of the first byte, of idleness apart from heads, or of clients that do not read.)

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::config::ConnectionLimits;

/// Why a connection was closed by the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseCause {
    /// It said nothing at all.
    Silent,
    /// A request's head took too long.
    SlowHead,
    /// No further request came.
    Idle,
    /// The client did not read its answer.
    SlowReader,
    /// The client went on sending, or kept its half open, after the last answer.
    Lingering,
}

/// All causes, with their labels in metrics, in the order of [`CloseCause`].
pub(super) const CLOSE_CAUSES: [&str; 5] = ["silent", "slow_head", "idle", "slow_reader", "lingering"];

/// How long a client may take to close its half after the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// What the client is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Its first byte, since then.
    FirstByte(Instant),
    /// The rest of a head whose first bytes have just come; most often there is none.
    Heard,
    /// The rest of a head, since then.
    Head(Instant),
    /// Nothing: a request is being served. Its body and its handler have deadlines of their own.
    Busy,
    /// That its answer leaves.
    Answered,
    /// Another request, since then.
    NextRequest(Instant),
    /// That the client closes its half, since then.
    Leaving(Instant),
}

/// What bytes are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BytesOf {
    /// They begin a head.
    NewHead,
    /// They go on with it.
    Head,
    /// A body, or nothing that matters.
    Other,
}

/// What a connection is doing, and until when it may.
pub(super) struct ConnectionTimeouts {
    first_byte: Duration,
    head: Duration,
    idle: Duration,
    write: Duration,
    phase: Cell<Phase>,
    /// Since when something is waiting to be written.
    stuck: Cell<Option<Instant>>,
    streaming: Cell<bool>,
    body: Cell<bool>,
    old: Cell<bool>,
}

impl ConnectionTimeouts {
    /// A connection that was accepted now. A proxy keeps connections in stock: it may be silent, too.
    pub(super) fn new(limits: &ConnectionLimits, is_proxy: bool, accepted: Instant) -> ConnectionTimeouts {
        let (first_byte, idle) = if is_proxy {
            (limits.proxy_idle_timeout, limits.proxy_idle_timeout)
        } else {
            (limits.first_byte_timeout, limits.idle_timeout)
        };
        ConnectionTimeouts {
            first_byte,
            head: limits.header_read_timeout,
            idle,
            write: limits.response_write_timeout,
            phase: Cell::new(Phase::FirstByte(accepted)),
            stuck: Cell::new(None),
            streaming: Cell::new(false),
            body: Cell::new(false),
            old: Cell::new(false),
        }
    }

    /// Bytes came: what of?
    pub(super) fn heard(&self) -> BytesOf {
        match self.phase.get() {
            Phase::FirstByte(_) | Phase::NextRequest(_) | Phase::Answered => {
                self.phase.set(Phase::Heard);
                BytesOf::NewHead
            }
            Phase::Heard | Phase::Head(_) => BytesOf::Head,
            Phase::Busy | Phase::Leaving(_) => BytesOf::Other,
        }
    }

    /// More bytes are wanted, and none are there.
    pub(super) fn listening(&self) {
        match self.phase.get() {
            Phase::Heard => self.phase.set(Phase::Head(Instant::now())),
            Phase::Answered => self.phase.set(Phase::NextRequest(Instant::now())),
            Phase::FirstByte(_) | Phase::Head(_) | Phase::Busy | Phase::NextRequest(_) | Phase::Leaving(_) => {}
        }
    }

    /// A head is complete, and whether a body follows.
    pub(super) fn requested(&self, body: bool) {
        self.phase.set(Phase::Busy);
        self.streaming.set(false);
        self.body.set(body);
    }

    /// Whether a body follows, or followed, the last head.
    pub(super) fn has_body(&self) -> bool {
        self.body.get()
    }

    /// An answer begins; a stream's has no end. Returns whether it is to be the last of its connection.
    pub(super) fn answered(&self, streaming: bool) -> bool {
        self.phase.set(Phase::Answered);
        self.streaming.set(streaming);
        self.old.get()
    }

    /// The connection is so old that it ends with its next answer. That says so: closed between two requests, the next
    /// one might be on its way already.
    pub(super) fn grown_old(&self) {
        self.old.set(true);
    }

    /// The server has closed its half. Returns whether the client may still be sending: closing the other half under it
    /// would throw away the answer that it has not read yet.
    pub(super) fn leaving(&self) -> bool {
        match self.phase.get() {
            Phase::FirstByte(_) | Phase::NextRequest(_) => false,
            Phase::Heard | Phase::Head(_) | Phase::Busy | Phase::Answered => {
                self.phase.set(Phase::Leaving(Instant::now()));
                true
            }
            Phase::Leaving(_) => true,
        }
    }

    /// Whether an event stream is being sent.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming.get()
    }

    /// Something cannot be written for now.
    pub(super) fn stuck(&self) {
        if self.stuck.get().is_none() {
            self.stuck.set(Some(Instant::now()));
        }
    }

    /// Everything is written.
    pub(super) fn flushed(&self) {
        self.stuck.set(None);
    }

    /// Until when the present state may last, and what it is called if it lasts longer.
    pub(super) fn deadline(&self) -> Option<(Instant, CloseCause)> {
        let reading = match self.phase.get() {
            Phase::FirstByte(since) => since.checked_add(self.first_byte).map(|at| (at, CloseCause::Silent)),
            Phase::Head(since) => since.checked_add(self.head).map(|at| (at, CloseCause::SlowHead)),
            Phase::NextRequest(since) => since.checked_add(self.idle).map(|at| (at, CloseCause::Idle)),
            Phase::Leaving(since) => since.checked_add(LINGER).map(|at| (at, CloseCause::Lingering)),
            Phase::Heard | Phase::Busy | Phase::Answered => None,
        };
        let writing =
            self.stuck.get().and_then(|since| since.checked_add(self.write)).map(|at| (at, CloseCause::SlowReader));
        match (reading, writing) {
            (Some(reading), Some(writing)) => Some(if reading.0 <= writing.0 { reading } else { writing }),
            (one, None) | (None, one) => one,
        }
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
    fn each_state_has_its_own_deadline() {
        let accepted = Instant::now();
        let timeouts = timeouts(false, accepted);
        assert_eq!(timeouts.deadline(), Some((accepted + Duration::from_secs(1), CloseCause::Silent)));
        timeouts.listening();
        assert_eq!(
            timeouts.deadline(),
            Some((accepted + Duration::from_secs(1), CloseCause::Silent)),
            "it began at the accept"
        );
        timeouts.heard();
        timeouts.listening();
        let (first, slow) = timeouts.deadline().expect("a deadline");
        assert_eq!(slow, CloseCause::SlowHead);
        timeouts.heard();
        timeouts.listening();
        assert_eq!(timeouts.deadline(), Some((first, CloseCause::SlowHead)), "a trickle does not move it");
        timeouts.requested(false);
        timeouts.heard();
        timeouts.listening();
        assert_eq!(cause(&timeouts), None, "body and handler have their own");
        timeouts.answered(false);
        assert_eq!(cause(&timeouts), None);
        timeouts.listening();
        assert_eq!(cause(&timeouts), Some(CloseCause::Idle));
    }

    #[test]
    fn a_client_that_does_not_read_has_a_deadline_that_only_the_end_of_the_answer_ends() {
        let timeouts = timeouts(true, Instant::now());
        timeouts.requested(false);
        timeouts.answered(true);
        timeouts.stuck();
        let (first, slow) = timeouts.deadline().expect("a deadline");
        assert_eq!(slow, CloseCause::SlowReader);
        timeouts.stuck();
        assert_eq!(timeouts.deadline(), Some((first, CloseCause::SlowReader)), "a sip does not move it");
        timeouts.flushed();
        assert_eq!(cause(&timeouts), None);
        assert!(timeouts.is_streaming());
    }

    #[test]
    fn a_proxy_may_be_silent_as_long_as_it_may_be_idle() {
        let accepted = Instant::now();
        assert_eq!(timeouts(true, accepted).deadline(), Some((accepted + Duration::from_secs(90), CloseCause::Silent)));
    }
}
