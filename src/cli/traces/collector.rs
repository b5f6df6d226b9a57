//! Sends spans to a collector: OTLP over HTTP in protobuf, a batch at a time, from a thread of its own.
//!
//! Spans are there to be looked at, not to be kept: what a collector does not take is counted and gone. A collector that
//! is away costs a line a minute, and the sale nothing.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use metrics::Counter;
use prost::Message;
use tokio::runtime::Runtime;

use super::messages::ExportTraceServiceRequest;
use crate::config::ConfigError;
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, Target};
use crate::telemetry::spans::{self, FinishedSpan, SpanLayer, SpanReceiver};
use crate::telemetry::{Telemetry, catalogue as metric};

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// A span waits so long for others at most.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// For a collector's answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For the last batch at an ordered end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between two lines about a collector that takes nothing.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Who gets the spans.
pub(super) struct Collector {
    target: Target,
    client: EgressClient,
    runtime: Runtime,
    spans: SpanReceiver,
}

/// The thread that sends.
pub(super) struct Sending {
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl Collector {
    /// The collector behind a URL, and the layer that hands spans over; nothing if there is no URL.
    ///
    /// The operator himself names it, in his configuration: unlike an endpoint, it may be anywhere, and go without TLS.
    pub(super) fn open(url: &str) -> Result<Option<(SpanLayer, Collector)>, ConfigError> {
        if url.is_empty() {
            return Ok(None);
        }
        let told = |why: String| ConfigError(format!("traces.otlp_url = {url}: {why}"));
        let anywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().ok()).into_iter().flatten().collect();
        let guard = AddressGuard::new(anywhere);
        let target = Target::parse(url, &guard).map_err(|bad| told(bad.to_string()))?;
        let options = ClientOptions { timeout: TIMEOUT, ..ClientOptions::default() };
        let client = EgressClient::new(guard, options).map_err(told)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        let runtime = runtime.map_err(|error| told(error.to_string()))?;
        let (layer, spans) = spans::channel();
        Ok(Some((layer, Collector { target, client, runtime, spans })))
    }

    /// Starts to send.
    pub(super) fn start(self, telemetry: &Telemetry) -> std::io::Result<Sending> {
        let (stop, stopping) = bounded(0);
        let (done, ended) = bounded(1);
        let spans = |result| telemetry.counter(&metric::TRACE_SPANS, &[("result", result)]);
        let mut work = Work {
            collector: self,
            stopping,
            sent: spans("sent"),
            dropped: spans("dropped"),
            failed: spans("failed"),
            complained: None,
        };
        std::thread::Builder::new().name("fc-traces".into()).spawn(move || {
            work.run();
            // A name that is still being resolved must not keep the program from ending.
            work.collector.runtime.shutdown_background();
            drop(done);
        })?;
        Ok(Sending { stop, ended })
    }
}

impl Sending {
    /// Has what is left sent, and waits for that a moment.
    pub(super) fn stop(self) {
        drop(self.stop);
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(FAREWELL) {
            tracing::warn!("the collector of traces did not take the last spans in time");
        }
    }
}

struct Work {
    collector: Collector,
    stopping: Receiver<()>,
    sent: Counter,
    dropped: Counter,
    failed: Counter,
    complained: Option<Instant>,
}

impl Work {
    fn run(&mut self) {
        let mut batch = Vec::with_capacity(BATCH_SPANS_MAX);
        loop {
            let goes_on = self.fill(&mut batch);
            self.dropped.increment(self.collector.spans.take_dropped());
            if !batch.is_empty() {
                self.send(&mut batch);
            }
            if !goes_on && self.collector.spans.ended.is_empty() {
                return;
            }
        }
    }

    /// Waits until a batch is full, or old enough; at the end takes what is there. Returns whether it goes on.
    fn fill(&self, batch: &mut Vec<FinishedSpan>) -> bool {
        let ended = &self.collector.spans.ended;
        let until = Instant::now() + BATCH_INTERVAL;
        while batch.len() < BATCH_SPANS_MAX {
            select! {
                recv(ended) -> span => match span {
                    Ok(span) => batch.push(span),
                    Err(_) => return false,
                },
                // Nothing is said there: its other end is dropped.
                recv(self.stopping) -> _ => {
                    batch.extend(ended.try_iter().take(BATCH_SPANS_MAX.saturating_sub(batch.len())));
                    return false;
                }
                default(until.saturating_duration_since(Instant::now())) => return true,
            }
        }
        true
    }

    fn send(&mut self, batch: &mut Vec<FinishedSpan>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = ExportTraceServiceRequest::of(batch.drain(..)).encode_to_vec();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let call = OutboundRequest { target: &self.collector.target, method: Method::POST, headers, body: body.into() };
        let reply = self.collector.runtime.block_on(self.collector.client.send(call));
        match reply {
            Ok(reply) if reply.status.is_success() => self.sent.increment(count),
            Ok(reply) => self.lost(count, &format!("it answered {}", reply.status.as_u16())),
            Err(failure) => self.lost(count, &failure.to_string()),
        }
    }

    fn lost(&mut self, count: u64, why: &str) {
        self.failed.increment(count);
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained = Some(Instant::now());
            let host = self.collector.target.host();
            tracing::warn!(host, why, "the collector does not take traces: their spans are lost");
        }
    }
}
