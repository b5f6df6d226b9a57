//! Event streams of the drop that are open during a run, as storefronts open them: the delay of its changes at each stream.
//!
//! A change is a unit that was taken. Its delay is the time from the answer to the order that took it to the event that shows
//! it. An event that shows several changes counts once, with the oldest of them: a run of orders alone, in which units never
//! return, knows which that is. All streams are read on a thread of their own, whose CPU time is counted.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

use super::meter::{DIGITS, LATENCY_US_MAX};
use super::plan::LoadPlan;
use super::response::DropView;
use super::shared::nanos;
use crate::exit::Exit;

/// The longest wait for the last change after the last answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval of looks whether it has arrived everywhere.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The longest wait for the first event of a stream.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// The reader sleeps this long after each millisecond in which it reads: woken for every update, it would take a core from the server that
/// real clients do not take. Delays are at most this much too long.
const PAUSE: Duration = Duration::from_millis(4);
/// The largest event that is read, with the response's head before it.
const EVENT_BYTES_MAX: usize = 64 << 10;
/// The delay within which buyers are to see a change, in microseconds.
const AIM_US: u64 = 250_000;

/// The instants at which orders were answered, in their order.
pub(super) struct AnswerTimes {
    began: Instant,
    answers: AtomicU64,
    /// Nanoseconds since `began`; 0: not yet.
    at_ns: Box<[AtomicU64]>,
}

impl AnswerTimes {
    fn new(units: u64) -> AnswerTimes {
        let units = usize::try_from(units).unwrap_or(usize::MAX);
        let at_ns = std::iter::repeat_with(AtomicU64::default).take(units).collect();
        AnswerTimes { began: Instant::now(), answers: AtomicU64::new(0), at_ns }
    }

    /// Notes that one more unit is known to be taken.
    pub(super) fn note(&self) {
        let number = usize::try_from(self.answers.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
        if let Some(at_ns) = self.at_ns.get(number) {
            at_ns.store(nanos(self.began.elapsed()), Ordering::Release);
        }
    }

    /// The time since the answer that made this number of taken units known; zero if it has not come yet.
    fn since(&self, taken: u64) -> Duration {
        let index = usize::try_from(taken).ok().and_then(|taken| taken.checked_sub(1));
        let at_ns = index.and_then(|index| self.at_ns.get(index)).map_or(0, |at_ns| at_ns.load(Ordering::Acquire));
        match at_ns {
            0 => Duration::ZERO,
            at_ns => self.began.elapsed().saturating_sub(Duration::from_nanos(at_ns)),
        }
    }
}

/// The figures of the streams of a run.
pub(super) struct StreamFigures {
    pub(super) open: u64,
    /// Events that showed a change.
    pub(super) updates: u64,
    /// The delay of the oldest change of each, in microseconds.
    pub(super) delays: Histogram<u64>,
    /// CPU time that reading them took.
    pub(super) cpu: Duration,
    /// Streams that did not show the last change, each with the reason if one is known.
    pub(super) behind: Vec<String>,
}

impl StreamFigures {
    /// The share of the updates that came in time, in percent.
    pub(super) fn in_time_percent(&self) -> f64 {
        if self.delays.is_empty() { 100.0 } else { self.delays.percentile_below(AIM_US) }
    }
}

/// The thread of all streams.
pub(super) struct Streams {
    pub(super) answers: Arc<AnswerTimes>,
    thread: JoinHandle<Result<StreamFigures, String>>,
    /// Tells the thread how many units are taken at the end.
    last: oneshot::Sender<u64>,
}

impl Streams {
    /// Opens the streams, and waits until each has its first event. None where the plan has none.
    ///
    /// # Errors
    /// A stream was refused or is not there (69), no thread (71).
    pub(super) fn open(plan: &LoadPlan, drop: DropView) -> Result<Option<Streams>, Exit> {
        if plan.streams == 0 {
            return Ok(None);
        }
        let answers = Arc::new(AnswerTimes::new(drop.available));
        let (last, told) = oneshot::channel();
        let (ready, readies) = bounded(plan.streams);
        let request = format!(
            "GET /v1/drops/{}/stream HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            drop.id, plan.public.authority
        );
        let all = StreamsJob { address: plan.public.address, request: request.into(), taken: drop.taken() };
        let (count, times) = (plan.streams, Arc::clone(&answers));
        let thread = std::thread::Builder::new()
            .name("rush-streams".to_owned())
            .spawn(move || read_all(&all, count, times, &ready, told))
            .map_err(|error| Exit::system(format!("no thread: {error}")))?;
        for _ in 0..count {
            let opened = readies.recv().map_err(|_| Exit::system("the thread of the streams did not start"))?;
            opened.map_err(|why| Exit::unavailable(format!("a stream of drop {}: {why}", drop.id)))?;
        }
        Ok(Some(Streams { answers, thread, last }))
    }

    /// Waits some seconds until every stream has shown this number of taken units, and closes them.
    ///
    /// # Errors
    /// The thread failed (70).
    pub(super) fn close(self, taken: u64) -> Result<StreamFigures, Exit> {
        let failed = |what: String| Exit::bug(format!("the thread of the streams failed: {what}"));
        // A thread that is gone is noticed when it is joined.
        let _gone = self.last.send(taken);
        self.thread.join().map_err(|_| failed("it panicked".to_owned()))?.map_err(failed)
    }
}

type ReadySender = Sender<Result<(), String>>;

/// The job of the thread, the same for all streams.
struct StreamsJob {
    address: SocketAddr,
    request: Box<str>,
    /// Units that were taken before the run.
    taken: u64,
}

fn read_all(
    job: &StreamsJob,
    count: usize,
    answers: Arc<AnswerTimes>,
    ready: &ReadySender,
    last: oneshot::Receiver<u64>,
) -> Result<StreamFigures, String> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let delays = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).map_err(|error| error.to_string())?;
    let shown = Rc::new(Shown { before: job.taken, answers, updates: Cell::new(0), delays: RefCell::new(delays) });
    let streams: Vec<_> = std::iter::repeat_with(|| Rc::new(Stream::new(job.taken))).take(count).collect();
    let last = runtime.block_on(async {
        tokio::task::spawn_local(async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                // The whole thread, not only this task.
                std::thread::park_timeout(PAUSE);
            }
        });
        for stream in &streams {
            let (stream, shown, ready) = (Rc::clone(stream), Rc::clone(&shown), ready.clone());
            let (address, request) = (job.address, job.request.clone());
            tokio::task::spawn_local(async move {
                let Err(why) = stream.read(address, &request, &shown, &ready).await;
                // The other end is closed once all are open, or one has failed.
                let _not_waited_for = ready.send(Err(why.clone()));
                *stream.ended.borrow_mut() = Some(why);
            });
        }
        let last = last.await.unwrap_or(job.taken);
        let until = Instant::now() + PATIENCE;
        while streams.iter().any(|stream| stream.is_behind(last)) && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        last
    });
    drop(runtime); // ends the tasks
    let shown = Rc::into_inner(shown).ok_or("a stream is still read")?;
    Ok(StreamFigures {
        open: count as u64,
        updates: shown.updates.get(),
        delays: shown.delays.into_inner(),
        cpu: Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default(),
        behind: streams.iter().filter(|stream| stream.shown.get() < last).map(|stream| stream.why()).collect(),
    })
}

/// The updates of all streams.
struct Shown {
    /// Units that were taken before the run.
    before: u64,
    answers: Arc<AnswerTimes>,
    updates: Cell<u64>,
    delays: RefCell<Histogram<u64>>,
}

impl Shown {
    /// Notes an event after one that showed this number of taken units.
    fn note(&self, taken_before: u64) {
        self.updates.set(self.updates.get().saturating_add(1));
        let oldest = self.answers.since(taken_before.saturating_sub(self.before).saturating_add(1));
        self.delays.borrow_mut().saturating_record(u64::try_from(oldest.as_micros()).unwrap_or(u64::MAX));
    }
}

/// One open stream.
struct Stream {
    /// Taken units as its last event showed them.
    shown: Cell<u64>,
    ended: RefCell<Option<String>>,
}

impl Stream {
    const fn new(taken: u64) -> Stream {
        Stream { shown: Cell::new(taken), ended: RefCell::new(None) }
    }

    /// True if the stream is open and will show more than it has.
    fn is_behind(&self, last: u64) -> bool {
        self.shown.get() < last && self.ended.borrow().is_none()
    }

    fn why(&self) -> String {
        self.ended.borrow().clone().unwrap_or_else(|| "the last change did not come".to_owned())
    }

    /// Reads events until the stream ends, which is an error.
    async fn read(
        &self,
        address: SocketAddr,
        request: &str,
        shown: &Shown,
        ready: &ReadySender,
    ) -> Result<std::convert::Infallible, String> {
        let opening = async {
            let mut connection = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            connection.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
            let mut input = Vec::with_capacity(2_048);
            while event(&input)?.is_none() {
                fill(&mut connection, &mut input).await?;
                refused(&input)?;
            }
            Ok::<_, String>((connection, input))
        };
        let opened = tokio::time::timeout(FIRST_WITHIN, opening).await;
        let (mut connection, mut input) = opened.map_err(|_| "no event came".to_owned())??;
        // The other end is closed if another stream failed.
        let _not_waited_for = ready.send(Ok(()));
        loop {
            while let Some((drop, bytes)) = event(&input)? {
                input.drain(..bytes);
                let before = self.shown.replace(drop.taken());
                if drop.taken() > before {
                    shown.note(before);
                }
            }
            fill(&mut connection, &mut input).await?;
        }
    }
}

async fn fill(connection: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), String> {
    if input.len() >= EVENT_BYTES_MAX {
        return Err("an event is too large".to_owned());
    }
    match connection.read_buf(input).await {
        Ok(0) => Err("the server ended it".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Tells why the server did not answer with a stream.
///
/// # Errors
/// Another status than 200.
fn refused(input: &[u8]) -> Result<(), String> {
    let line = input.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    if "HTTP/1.1 200".starts_with(&*line) || line.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(format!("the server answered {line}"))
    }
}

/// The first complete event, with the number of bytes to its end; none while it is incomplete. The server sends an event as one
/// chunk, so what is between two events (the response's head, the sizes of chunks, heartbeats) is skipped.
///
/// # Errors
/// The event is no drop.
fn event(input: &[u8]) -> Result<Option<(DropView, usize)>, String> {
    const DATA: &[u8] = b"\ndata: ";
    const END: &[u8] = b"\n\n";
    let Some(from) = find(input, DATA).map(|at| at + DATA.len()) else { return Ok(None) };
    let Some(length) = input.get(from..).and_then(|rest| find(rest, END)) else { return Ok(None) };
    let to = from + length;
    let drop = serde_json::from_slice(&input[from..to]).map_err(|error| format!("no drop in an event: {error}"))?;
    Ok(Some((drop, to + END.len())))
}

fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    const EVENT: &str = "event: update\nid: 1-2\nretry: 1000\ndata: {\"id\":7,\"total\":9,\"available\":6,\"held\":2,\
                         \"sold\":1,\"per_buyer_limit\":1,\"reservation_seconds\":60}\n\n";

    #[test]
    fn an_event_is_found_between_the_framing() {
        let input = format!("{HEAD}a0\r\n{EVENT}\r\n10\r\n: still here\n\n\r\na0\r\n{EVENT}\r\n").into_bytes();
        let (first, bytes) = event(&input).expect("a drop").expect("complete");
        assert_eq!((first.id, first.taken()), (7, 3));
        let (second, more) = event(&input[bytes..]).expect("a drop").expect("complete");
        assert_eq!(second, first);
        assert_eq!(event(&input[bytes + more..]), Ok(None));
        assert_eq!(event(&input[..bytes - 1]), Ok(None));
    }

    #[test]
    fn another_status_is_a_refusal() {
        assert_eq!(refused(HEAD.as_bytes()), Ok(()));
        assert_eq!(refused(b"HTTP/1."), Ok(()));
        assert!(refused(b"HTTP/1.1 503 Service Unavailable\r\n").is_err());
    }

    #[test]
    fn a_change_is_as_old_as_the_answer_that_made_it_known() {
        let times = AnswerTimes::new(2);
        assert_eq!(times.since(1), Duration::ZERO);
        times.note();
        let first = times.since(1);
        assert!(times.since(1) >= first);
        assert_eq!((times.since(0), times.since(2), times.since(3)), (Duration::ZERO, Duration::ZERO, Duration::ZERO));
    }
}
