//! One connection, from its first frame to its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::commands::{Guest, Waiting};
use super::frame::{Inbox, Malformed, Sender};
use super::listener::Wire;
use super::messages::{Reply, Request};
use super::pace::{Allowance, Cause, Pace};
use super::reason;

/// Where there is no deadline, the timer still needs one.
const FAR: Duration = Duration::from_secs(3600);
/// Answers that wait for the client to read them; then nothing more is read of it.
const OUT_BYTES_MAX: usize = 16 * 1024;
/// While so much waits, nothing is told of auctions.
const NEWS_BYTES_MAX: usize = 4096;
/// Buffers of a quiet connection that are larger go back: a quiet connection takes less than 4 kB.
const KEPT_BYTES: usize = 512;
/// Answers that wait, likewise.
const KEPT_WAITING: usize = 4;
/// How often a busy connection goes round before others have their turn.
const ROUNDS_MAX: usize = 16;
/// What a HELLO costs: a signature takes as long to verify as so many frames to answer.
const HELLO_FRAMES: u32 = 100;
/// What a SUBSCRIBE costs, which may read the file.
const SUBSCRIBE_FRAMES: u32 = 20;

/// Serves one connection to its end; then the place is given back.
pub async fn serve<S, P>(wire: Rc<Wire>, socket: S, peer: IpAddr, place: P)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    {
        let mut talk = Talk::new(&wire, socket, peer);
        let mut timer = pin!(tokio::time::sleep(FAR));
        let mut stopping = wire.parts.stopping.clone();
        let mut stop = pin!(stopping.changed());
        let ended = poll_fn(|context| -> Poll<io::Result<()>> {
            loop {
                if let Poll::Ready(ended) = talk.work(context) {
                    return Poll::Ready(ended);
                }
                if let Poll::Ready(()) = talk.watch(timer.as_mut(), context)? {
                    continue;
                }
                if !talk.is_open() || stop.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                // What is in flight is answered; what was not taken never happened.
                talk.close(Some((reason::DRAINING, "the server is ending".into())));
            }
        });
        // Clients break off, time out and talk nonsense all day: that is theirs to notice.
        let _theirs = ended.await.map_err(|error| tracing::debug!(%error, "a connection ended early"));
    }
    drop(place);
}

/// What a connection is at.
enum Phase {
    /// Frames are taken.
    Open,
    /// What was taken is answered, then this is said.
    Closing(Option<(u8, String)>),
    /// Everything is said; what still comes is read until the client closes its half: a socket that is closed with
    /// unread bytes resets the connection, and the client loses the last word.
    Leaving,
}

struct Talk<'w, S> {
    wire: &'w Wire,
    socket: S,
    guest: Guest,
    pace: Pace,
    allowance: Allowance,
    inbox: Inbox,
    /// Answers that wait for the writer, and those behind them.
    waiting: VecDeque<Waiting<'w>>,
    /// How many of them are an OK.
    oks_waiting: usize,
    /// Answers that wait for the client; the first `sent` bytes have left.
    outbox: Vec<u8>,
    sent: usize,
    flushed: bool,
    /// The client has closed its half.
    ended: bool,
    phase: Phase,
}

impl<'w, S: AsyncRead + AsyncWrite + Unpin> Talk<'w, S> {
    fn new(wire: &'w Wire, socket: S, peer: IpAddr) -> Talk<'w, S> {
        let (now, limits) = (Instant::now(), &wire.parts.limits);
        Talk {
            wire,
            socket,
            guest: Guest::new(peer),
            pace: Pace::new(limits, now),
            allowance: Allowance::new(limits.frames_per_second_max, now),
            inbox: Inbox::default(),
            waiting: VecDeque::new(),
            oks_waiting: 0,
            outbox: Vec::new(),
            sent: 0,
            flushed: true,
            ended: false,
            phase: Phase::Open,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Takes no more frames; says this when all that were taken are answered.
    fn close(&mut self, last_word: Option<(u8, String)>) {
        if self.is_open() {
            self.pace.not_listening();
            self.pace.begun();
            self.phase = Phase::Closing(last_word);
        }
    }

    fn close_malformed(&mut self, malformed: Malformed) {
        self.wire.malformed(malformed);
        self.close(Some((reason::MALFORMED, malformed.to_string())));
    }

    /// Goes on as far as it goes; ready at the connection's end.
    fn work(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        for _ in 0..ROUNDS_MAX {
            let mut moved = self.collect(context) | self.tell(context);
            if self.is_open() {
                moved |= self.hear(now, context)?;
            }
            if let Phase::Closing(last_word) = &mut self.phase
                && self.waiting.is_empty()
                && let Some((code, message)) = last_word.take()
            {
                Reply::Error { code, message: &message }.write(&mut self.outbox);
            }
            let written = self.write(now, context)?.is_ready();
            if written && self.waiting.is_empty() && matches!(self.phase, Phase::Closing(_)) {
                ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
                self.phase = Phase::Leaving;
                self.pace.leaving(now);
            }
            if let Phase::Leaving = self.phase {
                return self.leave(context);
            }
            if !moved {
                self.rest();
                return Poll::Pending;
            }
        }
        // Others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes the writer's answers in their order.
    fn collect(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.outbox.len().saturating_sub(self.sent) < OUT_BYTES_MAX
            && let Some(Poll::Ready(reply)) = self.waiting.front_mut().map(|first| first.poll(self.wire, context))
        {
            self.waiting.pop_front();
            if let Reply::Ok { .. } = reply {
                self.oks_waiting = self.oks_waiting.saturating_sub(1);
            }
            reply.write(&mut self.outbox);
            moved = true;
        }
        moved
    }

    /// Tells of auctions, but never before the OK of their SUBSCRIBE, and not while the client has yet to read what was
    /// said before: then it hears of the latest state later.
    fn tell(&mut self, context: &mut Context<'_>) -> bool {
        if !self.guest.listens() || !self.is_open() {
            return false;
        }
        self.guest.ear.wake(context);
        let may = self.oks_waiting == 0 && self.outbox.len().saturating_sub(self.sent) < NEWS_BYTES_MAX;
        may && self.guest.tell(self.wire, &mut self.outbox)
    }

    /// Whether one more frame may be taken.
    fn has_room(&self) -> bool {
        self.is_open()
            && self.waiting.len() < self.wire.parts.limits.in_flight_max
            && self.outbox.len().saturating_sub(self.sent) < OUT_BYTES_MAX
    }

    /// Reads, and takes the frames that came.
    fn hear(&mut self, now: Instant, context: &mut Context<'_>) -> io::Result<bool> {
        let moved = self.take_frames(now);
        if !self.has_room() {
            self.pace.not_listening();
            return Ok(moved);
        }
        if self.ended {
            if self.inbox.is_empty() {
                self.close(None);
            } else {
                self.close_malformed(Malformed::Truncated);
            }
            return Ok(true);
        }
        let mut scratch = self.wire.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Pending => {
                let nothing_to_do = self.waiting.is_empty() && self.outbox.is_empty();
                self.pace.listening(!self.inbox.is_empty(), nothing_to_do, now);
                Ok(moved)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                self.ended = buffer.filled().is_empty();
                self.inbox.put(buffer.filled());
                Ok(true)
            }
        }
    }

    fn take_frames(&mut self, now: Instant) -> bool {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut moved = false;
        while self.has_room() {
            let request = match inbox.next(Sender::Client) {
                Ok(None) => break,
                Ok(Some(frame)) => Request::read(frame),
                Err(malformed) => Err(malformed),
            };
            moved = true;
            match request {
                Ok(request) => self.take(request, now),
                Err(malformed) => self.close_malformed(malformed),
            }
        }
        self.inbox = inbox;
        moved
    }

    fn take(&mut self, request: Request<'_>, now: Instant) {
        self.pace.heard();
        let cost = match request {
            Request::Hello { .. } => HELLO_FRAMES,
            Request::Subscribe { .. } => SUBSCRIBE_FRAMES,
            Request::Bid(_) | Request::Ping(_) | Request::Reserve(_) => 1,
        };
        let cost = cost.min(self.wire.parts.limits.frames_per_second_max);
        if !self.allowance.pay(cost, now) {
            self.wire.closed(Cause::Flood);
            self.close(Some((reason::RATE_LIMITED, "too many frames at once".into())));
            return;
        }
        let answer = self.guest.take(self.wire, request, now);
        if self.guest.is_known(self.wire, now) {
            self.pace.begun();
        }
        match answer {
            Waiting::Known(reply) if self.waiting.is_empty() => reply.write(&mut self.outbox),
            answer @ (Waiting::Known(_) | Waiting::OnItsWay(_)) => {
                if let Waiting::Known(Reply::Ok { .. }) = answer {
                    self.oks_waiting = self.oks_waiting.saturating_add(1);
                }
                self.waiting.push_back(answer);
            }
        }
    }

    /// Writes what is to be said; ready when all of it has left.
    fn write(&mut self, now: Instant, context: &mut Context<'_>) -> io::Result<Poll<()>> {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.flushed = false;
            match Pin::new(&mut self.socket).poll_write(context, rest)? {
                Poll::Pending => {
                    self.pace.stuck(now);
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
                self.pace.stuck(now);
                return Ok(Poll::Pending);
            }
            self.flushed = true;
        }
        self.pace.flushed();
        Ok(Poll::Ready(()))
    }

    /// Nothing moves: buffers that are larger than a quiet connection's go back.
    fn rest(&mut self) {
        self.inbox.give_back_above(KEPT_BYTES);
        if self.outbox.is_empty() {
            self.outbox.shrink_to(KEPT_BYTES);
        }
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT_WAITING {
            self.waiting.shrink_to(KEPT_WAITING);
        }
    }

    /// Reads what still comes, until the client closes its half.
    fn leave(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = self.wire.scratch.borrow_mut();
        while !self.ended {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            self.ended = buffer.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for what becomes overdue; ready if there is something to do. One timer per connection: it is moved when a
    /// deadline comes nearer, not when it moves away; then it wakes once too early and is set anew.
    fn watch(&mut self, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> io::Result<Poll<()>> {
        loop {
            let slow = self.pace.deadline();
            let late = self.waiting.front().and_then(Waiting::submitted);
            let late = late.and_then(|submitted| submitted.checked_add(self.wire.parts.reply_deadline));
            let next = [slow.map(|(at, _)| at), late].into_iter().flatten().min();
            if let Some(next) = next.filter(|next| *next < timer.deadline().into_std()) {
                timer.as_mut().reset(next.into());
            }
            if timer.as_mut().poll(context).is_pending() {
                return Ok(Poll::Pending);
            }
            let now = Instant::now();
            timer.as_mut().reset(next.filter(|next| *next > now).unwrap_or(now + FAR).into());
            if late.is_some_and(|at| at <= now)
                && let Some(first) = self.waiting.pop_front()
            {
                first.late(self.wire).write(&mut self.outbox);
                return Ok(Poll::Ready(()));
            }
            if let Some((_, cause)) = slow.filter(|(at, _)| *at <= now) {
                self.wire.closed(cause);
                match cause {
                    Cause::SlowFrame => {
                        self.close_malformed(Malformed::Truncated);
                        return Ok(Poll::Ready(()));
                    }
                    Cause::Silent | Cause::Idle | Cause::SlowReader | Cause::Lingering | Cause::Flood => {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        }
    }
}
