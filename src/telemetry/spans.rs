//! Spans of traces for a collector: taken from `tracing`, and queued without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Id, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::traces::TARGET;
use crate::types::{hex, random};

/// Capacity of the queue to the collector: some seconds of all traces.
const WAITING_MAX: usize = 4096;

/// A span that has ended.
#[derive(Clone, PartialEq, Debug)]
pub struct FinishedSpan {
    pub name: &'static str,
    pub trace: [u8; 16],
    pub id: [u8; 8],
    /// Parent span, in this process or in the client's.
    pub parent: Option<[u8; 8]>,
    /// True for the root span of this process; its parent is the client's, or `None`.
    pub is_request: bool,
    /// Start in microseconds since 1970.
    pub start_unix_us: u64,
    /// Duration in whole microseconds.
    pub took_us: u64,
    pub fields: Vec<(&'static str, FieldValue)>,
}

/// Value of a field.
#[derive(Clone, PartialEq, Debug)]
pub enum FieldValue {
    Text(String),
    Number(u64),
}

/// Receiving end of the queue of spans, and the number of dropped ones.
pub struct SpanReceiver {
    /// Spans in the order of their end.
    pub ended: Receiver<FinishedSpan>,
    dropped: Arc<AtomicU64>,
}

impl SpanReceiver {
    /// Returns the number of dropped spans since the last call.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// Layer of `tracing` that collects the spans of traces only.
pub struct SpanLayer {
    ended: Sender<FinishedSpan>,
    dropped: Arc<AtomicU64>,
}

/// Returns a layer and the receiver of its spans.
#[must_use]
pub fn channel() -> (SpanLayer, SpanReceiver) {
    channel_of(WAITING_MAX)
}

fn channel_of(waiting_max: usize) -> (SpanLayer, SpanReceiver) {
    let (sender, ended) = crossbeam_channel::bounded(waiting_max);
    let dropped = Arc::new(AtomicU64::new(0));
    (SpanLayer { ended: sender, dropped: Arc::clone(&dropped) }, SpanReceiver { ended, dropped })
}

/// Passes the spans of traces at every log level.
pub(super) fn only_traces<S>() -> impl Filter<S> {
    let traces = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == TARGET);
    traces.with_max_level_hint(LevelFilter::INFO)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut told = SpanAttributes::default();
        attributes.record(&mut told);
        let mut own = [0u8; 8];
        random::fill(&mut own);
        let name = attributes.metadata().name();
        let made = match span.parent() {
            Some(parent) => parent.extensions().get::<FinishedSpan>().map(|request| told.stage(name, own, request)),
            None => told.request(name, own),
        };
        if let Some(made) = made {
            span.extensions_mut().insert(made);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let ended = context.span(&id).and_then(|span| span.extensions_mut().remove::<FinishedSpan>());
        if let Some(ended) = ended
            && self.ended.try_send(ended).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Fields of a new span.
#[derive(Default)]
struct SpanAttributes {
    trace_id: String,
    parent_id: Option<String>,
    start_unix_us: u64,
    start_us: u64,
    took_us: u64,
    others: Vec<(&'static str, FieldValue)>,
}

impl SpanAttributes {
    fn request(self, name: &'static str, id: [u8; 8]) -> Option<FinishedSpan> {
        Some(FinishedSpan {
            name,
            trace: of_hex(&self.trace_id)?,
            id,
            parent: self.parent_id.as_deref().and_then(of_hex),
            is_request: true,
            start_unix_us: self.start_unix_us,
            took_us: self.took_us,
            fields: self.others,
        })
    }

    fn stage(self, name: &'static str, id: [u8; 8], request: &FinishedSpan) -> FinishedSpan {
        FinishedSpan {
            name,
            trace: request.trace,
            id,
            parent: Some(request.id),
            is_request: false,
            start_unix_us: request.start_unix_us.saturating_add(self.start_us),
            took_us: self.took_us,
            fields: self.others,
        }
    }
}

impl Visit for SpanAttributes {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "start_unix_us" => self.start_unix_us = value,
            "start_us" => self.start_us = value,
            "took_us" => self.took_us = value,
            name => self.others.push((name, FieldValue::Number(value))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace_id = value.into(),
            "parent_id" => self.parent_id = Some(value.into()),
            name => self.others.push((name, FieldValue::Text(value.into()))),
        }
    }

    /// Traces have no other types of fields.
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn trace() {
        let request = tracing::info_span!(
            target: TARGET,
            parent: None,
            "request",
            request_id = "r",
            trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
            parent_id = Option::<&str>::None,
            start_unix_us = 1_000u64,
            took_us = 90u64,
        );
        drop(tracing::info_span!(target: TARGET, parent: &request, "queue", start_us = 5u64, took_us = 10u64));
        drop(tracing::info_span!("another"));
        tracing::info!(target: TARGET, "a line");
    }

    #[test]
    fn stages_end_inside_their_request_with_the_times_that_they_say() {
        let (layer, spans) = channel();
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(only_traces()));
        tracing::subscriber::with_default(subscriber, trace);
        let [queue, request]: [FinishedSpan; 2] = spans.ended.try_iter().collect::<Vec<_>>().try_into().expect("two");
        assert_eq!((queue.name, request.name), ("queue", "request"));
        assert_eq!((queue.start_unix_us, queue.took_us), (1_005, 10));
        assert_eq!((request.start_unix_us, request.took_us), (1_000, 90));
        assert_eq!((queue.parent, queue.trace), (Some(request.id), request.trace));
        assert!(request.is_request && !queue.is_request && request.parent.is_none());
        assert_eq!(request.fields, [("request_id", FieldValue::Text("r".into()))]);
        assert_ne!(queue.id, request.id);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_nobody_waits() {
        let (layer, spans) = channel_of(3);
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(only_traces()));
        tracing::subscriber::with_default(subscriber, || (0..5).for_each(|_| trace()));
        assert_eq!((spans.ended.len(), spans.take_dropped(), spans.take_dropped()), (3, 7, 0));
    }
}
