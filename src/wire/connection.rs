//! A wire connection, from its first frame to its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{Inbox, Malformed, Sender};
use super::messages::{Reply, Request};
use super::rate_limit::FrameRateLimit;
use super::reason;
use super::replies::reason_of;
use super::session::{QueuedReply, Session};
use super::timeouts::{WireCloseCause, WireTimeouts};
use super::worker::WireWorker;
use crate::deadlines::{DeadlineTimer, noticed_late};

/// Bytes of replies that wait for the client to read them; beyond that no more frames are read.
const OUT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of unread replies beyond which no updates are written.
const UPDATE_BYTES_MAX: usize = 4096;
/// An idle connection keeps buffers of at most this size, so that it takes less than 4 kB.
const IDLE_BUFFER_BYTES: usize = 512;
/// An idle connection keeps a queue of replies of at most this capacity.
const IDLE_QUEUE_CAPACITY: usize = 4;
/// Rounds of work of a busy connection before other tasks run.
const ROUNDS_MAX: usize = 16;
/// Cost of a HELLO in frames: verifying a signature takes as long as answering so many.
const HELLO_FRAMES: u32 = 100;
/// Cost of a SUBSCRIBE or a ROOM in frames: it may read the database.
const SUBSCRIBE_FRAMES: u32 = 20;

/// Serves one connection to its end; the permit is given back then.
pub async fn serve<S, P>(wire: Rc<WireWorker>, socket: S, peer: IpAddr, permit: P)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    {
        let mut connection = Connection::new(&wire, socket, peer);
        let mut timer = DeadlineTimer::new();
        let mut stopping = wire.parts.stopping.clone();
        let mut stop = pin!(stopping.changed());
        let ended = poll_fn(|context| -> Poll<io::Result<()>> {
            loop {
                if let Poll::Ready(ended) = connection.run(context) {
                    return Poll::Ready(ended);
                }
                if let Poll::Ready(()) = connection.poll_timeouts(&mut timer, context)? {
                    continue;
                }
                if !connection.is_open() || stop.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                connection.timeouts.stopping(Instant::now());
                // Commands in flight get their replies; frames that were not read have no effect.
                connection.close(Some((reason::DRAINING, "the server is stopping".into())));
            }
        });
        // Clients disconnect, time out and send malformed frames all the time: the server counts it and goes on.
        let _counted = ended.await.map_err(|error| tracing::debug!(%error, "connection ended early"));
    }
    drop(permit);
}

/// The phase of a connection.
enum ConnectionPhase {
    Open,
    /// Pending commands get their replies, then the ERROR is written.
    Closing(Option<(u8, String)>),
    /// Everything is written, and input is discarded until the client closes its half: closing a socket with unread
    /// bytes resets the connection, and the client loses the last reply.
    Lingering,
}

struct Connection<'w, S> {
    wire: &'w WireWorker,
    socket: S,
    session: Session,
    timeouts: WireTimeouts,
    /// End of the last pause of the process; replies are due a whole deadline later.
    stood_still_until: Option<Instant>,
    rate_limit: FrameRateLimit,
    inbox: Inbox,
    /// Replies that wait for the writer, and those behind them.
    queue: VecDeque<QueuedReply<'w>>,
    /// Number of OK replies in the queue.
    oks_queued: usize,
    /// Replies that wait for the client to read; the first `sent` bytes are written.
    outbox: Vec<u8>,
    sent: usize,
    flushed: bool,
    /// The client has closed its half.
    input_ended: bool,
    phase: ConnectionPhase,
}

impl<'w, S: AsyncRead + AsyncWrite + Unpin> Connection<'w, S> {
    fn new(wire: &'w WireWorker, socket: S, peer: IpAddr) -> Connection<'w, S> {
        let (now, limits) = (Instant::now(), &wire.parts.limits);
        Connection {
            wire,
            socket,
            session: Session::new(peer),
            timeouts: WireTimeouts::new(limits, now),
            stood_still_until: None,
            rate_limit: FrameRateLimit::new(limits.frames_per_second_max, now),
            inbox: Inbox::default(),
            queue: VecDeque::new(),
            oks_queued: 0,
            outbox: Vec::new(),
            sent: 0,
            flushed: true,
            input_ended: false,
            phase: ConnectionPhase::Open,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, ConnectionPhase::Open)
    }

    /// Stops reading frames; the ERROR is written after all pending replies.
    fn close(&mut self, error: Option<(u8, String)>) {
        if self.is_open() {
            self.timeouts.not_waiting_for_frames();
            self.timeouts.opened();
            self.phase = ConnectionPhase::Closing(error);
        }
    }

    fn close_malformed(&mut self, malformed: Malformed) {
        self.wire.count_malformed(malformed);
        self.close(Some((reason::MALFORMED, malformed.to_string())));
    }

    /// Reads, handles and writes until it has to wait; ready at the connection's end.
    fn run(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        for _ in 0..ROUNDS_MAX {
            let mut progress = self.collect_replies(context) | self.write_updates(context);
            if self.is_open() {
                progress |= self.read_frames(now, context)?;
            }
            if let ConnectionPhase::Closing(error) = &mut self.phase
                && self.queue.is_empty()
                && let Some((code, message)) = error.take()
            {
                Reply::Error { code, message: &message }.write(&mut self.outbox);
            }
            let written = self.write(now, context)?.is_ready();
            if written && self.queue.is_empty() && matches!(self.phase, ConnectionPhase::Closing(_)) {
                ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
                self.phase = ConnectionPhase::Lingering;
                self.timeouts.linger(now);
            }
            if let ConnectionPhase::Lingering = self.phase {
                return self.discard_input(context);
            }
            if !progress {
                self.shrink_buffers();
                return Poll::Pending;
            }
        }
        // Other tasks run first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the replies that are there, in the order of their frames.
    fn collect_replies(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.unsent() < OUT_BYTES_MAX
            && let Some(Poll::Ready(reply)) = self.queue.front_mut().map(|first| first.poll(self.wire, context))
        {
            self.queue.pop_front();
            if let Reply::Ok { .. } = reply {
                self.oks_queued = self.oks_queued.saturating_sub(1);
            }
            reply.write(&mut self.outbox);
            self.send_on(&reply);
            progress = true;
        }
        progress
    }

    /// Closes the connection after a reply that names another leader, with the leader's address. While none is known, the
    /// connection stays, and the client sends its command again.
    fn send_on(&mut self, reply: &Reply<'_>) {
        let Some(node) = self.wire.parts.writer.node.as_ref().filter(|_| reason_of(reply) == reason::NOT_LEADER) else {
            return;
        };
        if let Some(leader) = node.leader_for_clients() {
            self.close(Some((reason::NOT_LEADER, leader.wire.clone())));
        }
    }

    /// Writes updates of auctions and rooms, but never before the OK of their subscription, and not while the client has replies to
    /// read: it receives the latest state later then.
    fn write_updates(&mut self, context: &mut Context<'_>) -> bool {
        if !self.session.has_subscriptions() || !self.is_open() {
            return false;
        }
        self.session.waker.register(context);
        let may = self.oks_queued == 0 && self.unsent() < UPDATE_BYTES_MAX;
        may && self.session.write_updates(self.wire, &mut self.outbox)
    }

    /// Returns the number of bytes in the outbox that are not written yet.
    fn unsent(&self) -> usize {
        self.outbox.len().saturating_sub(self.sent)
    }

    /// Returns whether one more frame may be handled.
    fn has_capacity(&self) -> bool {
        self.is_open() && self.queue.len() < self.wire.parts.limits.in_flight_max && self.unsent() < OUT_BYTES_MAX
    }

    /// Reads, and handles the frames that are complete.
    fn read_frames(&mut self, now: Instant, context: &mut Context<'_>) -> io::Result<bool> {
        let progress = self.handle_frames(now);
        if !self.has_capacity() {
            self.timeouts.not_waiting_for_frames();
            return Ok(progress);
        }
        if self.input_ended {
            if self.inbox.is_empty() {
                self.close(None);
            } else {
                self.close_malformed(Malformed::Truncated);
            }
            return Ok(true);
        }
        let mut buffer = self.wire.read_buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Pending => {
                let idle = self.queue.is_empty() && self.outbox.is_empty();
                self.timeouts.waiting_for_bytes(!self.inbox.is_empty(), idle, now);
                Ok(progress)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                self.input_ended = buffer.filled().is_empty();
                self.inbox.put(buffer.filled());
                Ok(true)
            }
        }
    }

    fn handle_frames(&mut self, now: Instant) -> bool {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut progress = false;
        while self.has_capacity() {
            let request = match inbox.next(Sender::Client) {
                Ok(None) => break,
                Ok(Some(frame)) => Request::read(frame),
                Err(malformed) => Err(malformed),
            };
            progress = true;
            match request {
                Ok(request) => self.handle(request, now),
                Err(malformed) => self.close_malformed(malformed),
            }
        }
        self.inbox = inbox;
        progress
    }

    fn handle(&mut self, request: Request<'_>, now: Instant) {
        self.timeouts.not_waiting_for_frames();
        let cost = match request {
            Request::Hello { .. } => HELLO_FRAMES,
            Request::Subscribe { .. } | Request::Room { .. } => SUBSCRIBE_FRAMES,
            Request::Bid(_) | Request::Ping(_) | Request::Reserve(_) | Request::Join(_) => 1,
        };
        let cost = cost.min(self.wire.parts.limits.frames_per_second_max);
        if !self.rate_limit.admit(cost, now) {
            self.wire.count_closed(WireCloseCause::Flood);
            self.close(Some((reason::RATE_LIMITED, "too many frames at once".into())));
            return;
        }
        let reply = self.session.handle(self.wire, request, now);
        if self.session.is_authenticated(self.wire, now) {
            self.timeouts.opened();
        }
        match reply {
            QueuedReply::Ready(reply) if self.queue.is_empty() => {
                reply.write(&mut self.outbox);
                self.send_on(&reply);
            }
            reply @ (QueuedReply::Ready(_) | QueuedReply::Pending(_)) => {
                if let QueuedReply::Ready(Reply::Ok { .. }) = reply {
                    self.oks_queued = self.oks_queued.saturating_add(1);
                }
                self.queue.push_back(reply);
            }
        }
    }

    /// Writes the outbox; ready when all of it is written.
    fn write(&mut self, now: Instant, context: &mut Context<'_>) -> io::Result<Poll<()>> {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.flushed = false;
            match Pin::new(&mut self.socket).poll_write(context, rest)? {
                Poll::Pending => {
                    self.timeouts.write_blocked(now);
                    return Ok(Poll::Pending);
                }
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => self.sent = self.sent.saturating_add(count),
            }
        }
        self.outbox.clear();
        self.sent = 0;
        if !self.flushed {
            if Pin::new(&mut self.socket).poll_flush(context)?.is_pending() {
                self.timeouts.write_blocked(now);
                return Ok(Poll::Pending);
            }
            self.flushed = true;
        }
        self.timeouts.flushed();
        Ok(Poll::Ready(()))
    }

    /// Releases the memory that an idle connection does not need.
    fn shrink_buffers(&mut self) {
        self.inbox.shrink_above(IDLE_BUFFER_BYTES);
        if self.outbox.is_empty() {
            self.outbox.shrink_to(IDLE_BUFFER_BYTES);
        }
        if self.queue.is_empty() && self.queue.capacity() > IDLE_QUEUE_CAPACITY {
            self.queue.shrink_to(IDLE_QUEUE_CAPACITY);
        }
    }

    /// Reads and discards input until the client closes its half.
    fn discard_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = self.wire.read_buffer.borrow_mut();
        while !self.input_ended {
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            self.input_ended = buffer.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the next deadline of the client or of the writer; ready if there is something to do.
    fn poll_timeouts(&mut self, timer: &mut DeadlineTimer, context: &mut Context<'_>) -> io::Result<Poll<()>> {
        loop {
            let slow = self.timeouts.deadline();
            let submitted = self.queue.front().and_then(QueuedReply::submitted);
            let since = submitted.max(submitted.and(self.stood_still_until));
            let late = since.and_then(|since| since.checked_add(self.wire.parts.reply_deadline));
            let next = [slow.map(|(at, _)| at), late].into_iter().flatten().min();
            let Poll::Ready(now) = timer.poll(next, context) else { return Ok(Poll::Pending) };
            if next.is_some_and(|due| noticed_late(due, now)) {
                self.timeouts.begin_again(now);
                // What was submitted before the last pause has waited once more already.
                let is_first = submitted.is_some_and(|at| self.stood_still_until.is_none_or(|until| at > until));
                if is_first {
                    self.stood_still_until = Some(now);
                }
                if is_first || self.timeouts.deadline() != slow {
                    continue;
                }
            }
            if late.is_some_and(|at| at <= now)
                && let Some(first) = self.queue.pop_front()
            {
                first.timed_out(self.wire).write(&mut self.outbox);
                return Ok(Poll::Ready(()));
            }
            if let Some((_, cause)) = slow.filter(|(at, _)| *at <= now) {
                self.wire.count_closed(cause);
                match cause {
                    WireCloseCause::SlowFrame => {
                        self.close_malformed(Malformed::Truncated);
                        return Ok(Poll::Ready(()));
                    }
                    WireCloseCause::Silent
                    | WireCloseCause::Idle
                    | WireCloseCause::SlowReader
                    | WireCloseCause::Lingering
                    | WireCloseCause::Flood => return Err(io::ErrorKind::TimedOut.into()),
                }
            }
        }
    }
}
