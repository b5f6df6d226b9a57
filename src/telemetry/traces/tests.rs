use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Id, Metadata, Subscriber};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn tracer(slow: Option<Duration>, one_in: u64) -> (Telemetry, Tracer) {
    let telemetry = Telemetry::new();
    let tracer = Tracer::new(&telemetry, TraceOptions { slow, one_in });
    (telemetry, tracer)
}

#[test]
fn what_is_slow_is_traced_and_what_is_not_is_not() {
    let (_telemetry, mut tracer) = tracer(Some(250 * MS), 0);
    let now = Instant::now();
    assert_eq!(tracer.wants(249 * MS, false, now), None);
    assert_eq!(tracer.wants(250 * MS, false, now), Some(TraceReason::Slow));
    assert_eq!(tracer.wants(250 * MS, true, now), Some(TraceReason::Slow), "slow says more than asked");
    assert_eq!(tracer.wants(MS, true, now), Some(TraceReason::Requested));
}

#[test]
fn without_settings_nothing_is_traced_but_what_its_sender_traces() {
    let (_telemetry, mut tracer) = tracer(None, 0);
    let now = Instant::now();
    assert!((0..1000).all(|_| tracer.wants(3600 * SECOND, false, now).is_none()));
    assert_eq!(tracer.wants(MS, true, now), Some(TraceReason::Requested));
}

#[test]
fn one_in_so_many_is_counted_and_not_thrown() {
    let (_telemetry, mut tracer) = tracer(None, 3);
    let now = Instant::now();
    let taken: Vec<bool> = (0..9).map(|_| tracer.wants(MS, false, now).is_some()).collect();
    assert_eq!(taken, [false, false, true].repeat(3));
    let (_telemetry, mut every) = self::tracer(None, 1);
    assert!((0..10).all(|_| every.wants(MS, false, now) == Some(TraceReason::Sampled)));
}

#[test]
fn an_overload_makes_a_bounded_number_of_traces_and_the_rest_is_counted() {
    let (telemetry, mut tracer) = tracer(Some(250 * MS), 0);
    let now = Instant::now();
    let told = (0..100).filter(|_| tracer.wants(SECOND, false, now).is_some()).count();
    assert_eq!(told, 20);
    assert_eq!(
        tracer.wants(MS, true, now),
        Some(TraceReason::Requested),
        "what was slow takes no place of what was asked for"
    );
    let later = now + SECOND;
    assert_eq!(tracer.wants(SECOND, false, later), Some(TraceReason::Slow), "the next second");
    let shown = telemetry.render();
    for line in ["firstcome_traces_total{result=\"told\"} 22", "firstcome_traces_total{result=\"left_out\"} 80"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

/// A span or an event: its name, its parent, its fields.
type TracedSpan = (String, Option<u64>, Vec<(String, String)>);

/// Spans and events as they come.
#[derive(Clone, Default)]
struct TraceRecorder(Arc<Mutex<Vec<TracedSpan>>>);

struct SpanFields(Vec<(String, String)>);

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name().into(), format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().into(), value.into()));
    }
}

impl Subscriber for TraceRecorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = SpanFields(Vec::new());
        span.record(&mut fields);
        let mut seen = self.0.lock();
        seen.push((span.metadata().name().into(), span.parent().map(Id::into_u64), fields.0));
        Id::from_u64(u64::try_from(seen.len()).expect("few"))
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = SpanFields(Vec::new());
        event.record(&mut fields);
        self.0.lock().push((format!("{} line", event.metadata().level()), None, fields.0));
    }
    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A write that began 100 ms before its answer, got its place after 10 ms, and took these stages.
fn told(stages: Option<Stages>, started: Instant, parent: Option<TraceParent>, why: TraceReason) -> TraceRecorder {
    let seen = TraceRecorder::default();
    let write = WriteTrace {
        request_id: Some("r-1"),
        route: "/v1/drops/{drop_id}/orders",
        method: "POST",
        status: 503,
        problem: Some("overloaded"),
        started,
        answered: started + 100 * MS,
        answered_unix_us: 2_000_000,
        timeline: WriteTimeline { accepted: started + 10 * MS, stages },
        parent,
    };
    tracing::subscriber::with_default(seen.clone(), || write.emit(why));
    seen
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_trace_has_a_span_for_each_stage_inside_its_request_and_one_line() {
    let started = Instant::now();
    let stages = Stages { queue: 5 * MS, decide: MS, commit: 20 * MS, committed: started + 90 * MS };
    let parent = TraceParent::read(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let seen = told(Some(stages), started, parent, TraceReason::Slow);
    let seen = seen.0.lock();
    let names: Vec<&str> = seen.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request", "queue", "decide", "commit", "reply", "INFO line"]);
    assert_eq!(
        seen.iter().map(|(_, parent, _)| *parent).collect::<Vec<_>>()[..5],
        [None, Some(1), Some(1), Some(1), Some(1)]
    );
    let (_, _, request) = &seen[0];
    assert_eq!(field(request, "start_unix_us"), Some("1900000"));
    assert_eq!(field(request, "trace_id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(field(request, "parent_id"), Some("00f067aa0ba902b7"));
    let times: Vec<_> = seen[1..5].iter().map(|(_, _, f)| (field(f, "start_us"), field(f, "took_us"))).collect();
    let expected = [("10000", "5000"), ("15000", "1000"), ("70000", "20000"), ("90000", "10000")];
    assert_eq!(times, expected.map(|(start, took)| (Some(start), Some(took))));
    let (_, _, line) = &seen[5];
    for (name, value) in [
        ("message", "slow write"),
        ("request_id", "r-1"),
        ("route", "/v1/drops/{drop_id}/orders"),
        ("status", "503"),
        ("problem", "overloaded"),
        ("took_us", "100000"),
        ("read_us", "10000"),
        ("queue_us", "5000"),
        ("decide_us", "1000"),
        ("commit_us", "20000"),
        ("reply_us", "10000"),
    ] {
        assert_eq!(field(line, name), Some(value), "{name}");
    }
    assert_eq!(field(line, "waited_us"), None);
}

#[test]
fn a_write_without_a_decision_says_how_long_it_waited_for_one() {
    let seen = told(None, Instant::now(), None, TraceReason::Sampled);
    let seen = seen.0.lock();
    let names: Vec<&str> = seen.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["request", "wait", "DEBUG line"]);
    assert_eq!(field(&seen[0].2, "trace_id").map(str::len), Some(32), "one of its own");
    assert_eq!((field(&seen[1].2, "start_us"), field(&seen[1].2, "took_us")), (Some("10000"), Some("90000")));
    assert_eq!((field(&seen[2].2, "waited_us"), field(&seen[2].2, "queue_us")), (Some("90000"), None));
}
