//! Which writes are traced, and what a trace says.
//!
//! It is made after the answer, out of durations that the writer and the edge measure anyway: so what was slow is always
//! traced, the writer knows nothing of it, and a write that is not traced costs two comparisons.
//!
//! In a trace: the request's id, its route, its status, where its time went. Never a path, a buyer, an order or a key.

mod parent;

use std::time::{Duration, Instant};

use metrics::Counter;
pub use parent::TraceParent;

use super::{Telemetry, catalogue as metric};
use crate::types::{hex, random};

/// Spans and lines of traces, among all that the program tells.
pub const TARGET: &str = "firstcome::trace";
/// Traces that one thread makes in a second, for each reason by itself: an overload, or a client that wants all of its
/// requests traced, floods neither the log nor a collector, and does not hide what was slow.
pub const TRACES_PER_SECOND_MAX: u32 = 20;

const SECOND: Duration = Duration::from_secs(1);

/// When writes are traced.
#[derive(Clone, Copy, Debug)]
pub struct TraceOptions {
    /// From here on one was slow.
    pub slow: Option<Duration>,
    /// One in so many, of each thread; 0: none.
    pub one_in: u64,
}

/// TraceReason a write is traced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceReason {
    /// It was slow.
    Slow,
    /// Its sender traces it too.
    Asked,
    /// It is one in so many.
    Sampled,
}

const REASONS: usize = 3;

/// Decides for one thread which writes are traced.
pub struct Tracer {
    slow: Duration,
    one_in: u64,
    /// Writes until the next one that is taken.
    left: u64,
    windows: [RateWindow; REASONS],
    told: Counter,
    left_out: Counter,
}

/// Traces of the second that began then.
#[derive(Clone, Copy)]
struct RateWindow {
    began: Instant,
    traces: u32,
}

impl Tracer {
    /// The tracer of a thread.
    #[must_use]
    pub fn new(telemetry: &Telemetry, options: TraceOptions) -> Tracer {
        let traces = |result| telemetry.counter(&metric::TRACES, &[("result", result)]);
        // What never comes is a number that is never reached.
        let one_in = if options.one_in == 0 { u64::MAX } else { options.one_in };
        Tracer {
            slow: options.slow.unwrap_or(Duration::MAX),
            one_in,
            left: one_in,
            windows: [RateWindow { began: Instant::now(), traces: 0 }; REASONS],
            told: traces("told"),
            left_out: traces("left_out"),
        }
    }

    /// Whether a write is traced that took so long.
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
            (false, true) => TraceReason::Asked,
            (false, false) => TraceReason::Sampled,
        };
        let window = &mut self.windows[why as usize];
        if now.saturating_duration_since(window.began) >= SECOND {
            *window = RateWindow { began: now, traces: 0 };
        }
        let room = window.traces < TRACES_PER_SECOND_MAX;
        window.traces = window.traces.saturating_add(u32::from(room));
        if room { &self.told } else { &self.left_out }.increment(1);
        room.then_some(why)
    }
}

/// A write's way through the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriteTimeline {
    /// When it got its place in the queue.
    pub accepted: Instant,
    /// What was measured there; nothing if no decision came back: it waited too long, or nobody knows.
    pub stages: Option<Stages>,
}

/// How long a decided write took there.
#[derive(Clone, Copy, Debug)]
pub struct Stages {
    /// From its place in the queue to the writer.
    pub queue: Duration,
    /// Its decision. Then the rest of its batch is decided.
    pub decide: Duration,
    /// Record and commit of its batch.
    pub commit: Duration,
    /// When that had ended.
    pub committed: Instant,
}

impl WriteTimeline {
    /// From its place in the queue on: what a client's own slowness, before, is no part of.
    #[must_use]
    pub fn took(&self, answered: Instant) -> Duration {
        answered.saturating_duration_since(self.accepted)
    }
}

/// A write that was answered, and is traced.
pub struct WriteTrace<'a> {
    /// The request's id; frames have none.
    pub request_id: Option<&'a str>,
    /// Its route, with names in braces; of a frame its type.
    pub route: &'static str,
    /// Its method; of a frame `frame`.
    pub method: &'static str,
    /// The answer's status; of a frame its reason.
    pub status: u16,
    /// The code of the problem that it is.
    pub problem: Option<&'static str>,
    /// When the request's head was there.
    pub started: Instant,
    /// When the answer was there.
    pub answered: Instant,
    /// The same in microseconds since 1970.
    pub answered_unix_us: u64,
    /// What came between.
    pub timeline: WriteTimeline,
    /// Whose trace it is part of.
    pub parent: Option<TraceParent>,
}

/// A stage: when it began after the request's head was there, and how long it took.
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
    /// Tells it: spans for those who collect them, and a line.
    pub fn tell(&self, why: TraceReason) {
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
            TraceReason::Slow => line!(info, "a slow write"),
            TraceReason::Asked => line!(debug, "a write that its sender traces"),
            TraceReason::Sampled => line!(debug, "a write, one in so many"),
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
                // It ends here: what it says was measured before.
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
