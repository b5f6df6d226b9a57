//! Choice of the traced writes, and the content of traces.
//!
//! A trace is made after the reply, from durations that the writer and the workers measure anyway. Every slow write can
//! therefore be traced, the writer does not know of traces, and an untraced write costs two comparisons.
//!
//! A trace has the request's id, route, status and the durations of its stages. It never has a path, a buyer, an order or
//! a key.

mod parent;

use std::time::{Duration, Instant};

use metrics::Counter;
pub use parent::TraceParent;

use super::{Telemetry, catalogue as metric};
use crate::types::{hex, random};

/// Target of the spans and log lines of traces.
pub const TARGET: &str = "firstcome::trace";
/// Maximum number of traces per thread, second and reason: an overload, or a client that requests traces of everything,
/// floods neither the log nor a collector, and does not hide slow writes.
pub const TRACES_PER_SECOND_MAX: u32 = 20;

const SECOND: Duration = Duration::from_secs(1);

/// Options for the choice of traced writes.
#[derive(Clone, Copy, Debug)]
pub struct TraceOptions {
    /// Minimum duration of a slow write; `None` traces none as slow.
    pub slow: Option<Duration>,
    /// One write in so many is traced on each thread; 0: none.
    pub one_in: u64,
}

/// Reason for a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceReason {
    Slow,
    /// The client traces the request and asks for it.
    Requested,
    Sampled,
}

const REASONS: usize = 3;

/// Chooses the traced writes of one thread.
pub struct Tracer {
    slow: Duration,
    one_in: u64,
    /// Number of writes until the next sampled one.
    left: u64,
    windows: [RateWindow; REASONS],
    emitted: Counter,
    dropped: Counter,
}

/// Number of traces in the second that began at `began`.
#[derive(Clone, Copy)]
struct RateWindow {
    began: Instant,
    traces: u32,
}

impl Tracer {
    #[must_use]
    pub fn new(telemetry: &Telemetry, options: TraceOptions) -> Tracer {
        let traces = |result| telemetry.counter(&metric::TRACES, &[("result", result)]);
        // 0 means never: a count that is never reached.
        let one_in = if options.one_in == 0 { u64::MAX } else { options.one_in };
        Tracer {
            slow: options.slow.unwrap_or(Duration::MAX),
            one_in,
            left: one_in,
            windows: [RateWindow { began: Instant::now(), traces: 0 }; REASONS],
            emitted: traces("told"),
            dropped: traces("left_out"),
        }
    }

    /// Returns the reason to trace a write with this duration. `None` if it is not traced.
    #[inline]
    pub fn wants(&mut self, took: Duration, asked: bool, now: Instant) -> Option<TraceReason> {
        self.left = self.left.wrapping_sub(1);
        if took < self.slow && self.left > 0 && !asked { None } else { self.choose(took, asked, now) }
    }

    #[cold]
    fn choose(&mut self, took: Duration, asked: bool, now: Instant) -> Option<TraceReason> {
        if self.left == 0 {
            self.left = self.one_in;
        }
        let why = match (took >= self.slow, asked) {
            (true, _) => TraceReason::Slow,
            (false, true) => TraceReason::Requested,
            (false, false) => TraceReason::Sampled,
        };
        let window = &mut self.windows[why as usize];
        if now.saturating_duration_since(window.began) >= SECOND {
            *window = RateWindow { began: now, traces: 0 };
        }
        let room = window.traces < TRACES_PER_SECOND_MAX;
        window.traces = window.traces.saturating_add(u32::from(room));
        if room { &self.emitted } else { &self.dropped }.increment(1);
        room.then_some(why)
    }
}

/// Timeline of a write in the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriteTimeline {
    /// Instant at which the command was queued.
    pub accepted: Instant,
    /// Durations in the writer; `None` if there was no decision, or its result is unknown.
    pub stages: Option<Stages>,
}

/// Durations of a decided write in the writer.
#[derive(Clone, Copy, Debug)]
pub struct Stages {
    /// From the queueing to the writer.
    pub queue: Duration,
    /// Decision of this command. The rest of its batch is decided afterwards.
    pub decide: Duration,
    /// Record and commit of the batch.
    pub commit: Duration,
    /// Instant at which the batch was durable.
    pub committed: Instant,
}

impl WriteTimeline {
    /// Returns the duration since the queueing, which excludes the time that a slow client took before.
    #[must_use]
    pub fn took(&self, answered: Instant) -> Duration {
        answered.saturating_duration_since(self.accepted)
    }
}

/// The content of a trace of one answered write.
pub struct WriteTrace<'a> {
    /// Id of the HTTP request; `None` for frames.
    pub request_id: Option<&'a str>,
    /// Path template of the route, or type of the frame.
    pub route: &'static str,
    /// Method of the request; `frame` for frames.
    pub method: &'static str,
    /// Status of the response, or reason code of the reply.
    pub status: u16,
    /// Code of the problem response.
    pub problem: Option<&'static str>,
    /// Instant at which the request's head was complete.
    pub started: Instant,
    /// Instant at which the response was ready.
    pub answered: Instant,
    /// The same instant in microseconds since 1970.
    pub answered_unix_us: u64,
    pub timeline: WriteTimeline,
    /// Client's span, if the client traces the request.
    pub parent: Option<TraceParent>,
}

/// A stage: its start since the completion of the request's head, and its duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StageSpan {
    start_us: u64,
    took_us: u64,
}

impl StageSpan {
    fn new(start: Duration, took: Duration) -> StageSpan {
        StageSpan { start_us: micros(start), took_us: micros(took) }
    }
}

/// The four stages of a decided write.
struct StageSpans {
    queue: StageSpan,
    decide: StageSpan,
    commit: StageSpan,
    reply: StageSpan,
}

impl StageSpans {
    fn out(write: &WriteTrace<'_>, stages: &Stages) -> StageSpans {
        let Stages { queue, decide, commit, committed } = *stages;
        let since_start = |at: Instant| at.saturating_duration_since(write.started);
        let accepted = since_start(write.timeline.accepted);
        let durable = since_start(committed);
        StageSpans {
            queue: StageSpan::new(accepted, queue),
            decide: StageSpan::new(accepted.saturating_add(queue), decide),
            commit: StageSpan::new(durable.saturating_sub(commit), commit),
            reply: StageSpan::new(durable, write.answered.saturating_duration_since(committed)),
        }
    }
}

impl WriteTrace<'_> {
    /// Emits the trace: spans for a collector, and a log line.
    pub fn emit(&self, why: TraceReason) {
        let took = self.answered.saturating_duration_since(self.started);
        let stages = self.timeline.stages.as_ref().map(|stages| StageSpans::out(self, stages));
        let trace_id = self.parent.map_or_else(new_trace_id, |parent| parent.trace_id());
        self.spans(&trace_id, took, stages.as_ref());
        let read_us = micros(self.timeline.accepted.saturating_duration_since(self.started));
        let of = |stage: fn(&StageSpans) -> StageSpan| stages.as_ref().map(|laid| stage(laid).took_us);
        let waited_us = stages.is_none().then(|| micros(self.timeline.took(self.answered)));
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    target: TARGET,
                    parent: None,
                    request_id = self.request_id,
                    method = self.method,
                    route = self.route,
                    status = self.status,
                    problem = self.problem,
                    took_us = micros(took),
                    read_us,
                    queue_us = of(|laid| laid.queue),
                    decide_us = of(|laid| laid.decide),
                    commit_us = of(|laid| laid.commit),
                    reply_us = of(|laid| laid.reply),
                    waited_us,
                    trace_id = %trace_id,
                    $message
                )
            };
        }
        match why {
            TraceReason::Slow => line!(info, "slow write"),
            TraceReason::Requested => line!(debug, "write traced by its client"),
            TraceReason::Sampled => line!(debug, "sampled write"),
        }
    }

    fn spans(&self, trace_id: &str, took: Duration, stages: Option<&StageSpans>) {
        let request = tracing::info_span!(
            target: TARGET,
            parent: None,
            "request",
            request_id = self.request_id,
            method = self.method,
            route = self.route,
            status = self.status,
            problem = self.problem,
            trace_id,
            parent_id = self.parent.map(|parent| parent.span_id()),
            start_unix_us = self.answered_unix_us.saturating_sub(micros(took)),
            took_us = micros(took),
        );
        macro_rules! stage {
            ($name:literal, $stage:expr) => {{
                let StageSpan { start_us, took_us } = $stage;
                // The span ends at once: its durations were measured before.
                drop(tracing::info_span!(target: TARGET, parent: &request, $name, start_us, took_us));
            }};
        }
        match stages {
            Some(laid) => {
                stage!("queue", laid.queue);
                stage!("decide", laid.decide);
                stage!("commit", laid.commit);
                stage!("reply", laid.reply);
            }
            None => {
                let accepted = self.timeline.accepted.saturating_duration_since(self.started);
                stage!("wait", StageSpan::new(accepted, self.timeline.took(self.answered)));
            }
        }
    }
}

fn new_trace_id() -> String {
    let mut id = [0u8; 16];
    random::fill(&mut id);
    hex::encode(&id)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
