//! Sends spans to a collector: OTLP over HTTP in protobuf, one batch at a time, from a thread of its own.
//!
//! Spans are not kept: those that the collector does not accept are counted and dropped. An unreachable collector costs one
//! log line per minute, and never delays the sale.

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
use crate::telemetry::panics::RESTART_PAUSE;
use crate::telemetry::spans::{self, FinishedSpan, SpanLayer, SpanReceiver};
use crate::telemetry::{PanicMeter, Telemetry, catalogue as metric};

/// Limit for the spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// Longest time that a span waits for its batch to fill.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Limit for the collector's response.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for the last batch at shutdown.
const STOP_WITHIN: Duration = Duration::from_secs(1);
/// Time between two log lines about failed exports.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Connection to the collector, and the spans to send.
pub(super) struct Collector {
    target: Target,
    client: EgressClient,
    runtime: Runtime,
    spans: SpanReceiver,
}

/// Handle of the export thread.
pub(super) struct Exporter {
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl Collector {
    /// Returns the collector at a URL, and the layer that passes spans on to it; `None` if the URL is empty.
    ///
    /// The operator's own configuration names the collector: unlike a webhook endpoint, it may lie in any network and needs
    /// no TLS.
    pub(super) fn open(url: &str) -> Result<Option<(SpanLayer, Collector)>, ConfigError> {
        if url.is_empty() {
            return Ok(None);
        }
        let mistake = |reason: String| ConfigError(format!("traces.otlp_url = {url}: {reason}"));
        let anywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().ok()).into_iter().flatten().collect();
        let guard = AddressGuard::new(anywhere);
        let target = Target::parse(url, &guard).map_err(|error| mistake(error.to_string()))?;
        let options = ClientOptions { timeout: TIMEOUT, ..ClientOptions::default() };
        let client = EgressClient::new(guard, options).map_err(mistake)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        let runtime = runtime.map_err(|error| mistake(error.to_string()))?;
        let (layer, spans) = spans::channel();
        Ok(Some((layer, Collector { target, client, runtime, spans })))
    }

    pub(super) fn start(self, telemetry: &Telemetry) -> std::io::Result<Exporter> {
        let (stop, stopping) = bounded(0);
        let (done, ended) = bounded(1);
        let spans = |result| telemetry.counter(&metric::TRACE_SPANS, &[("result", result)]);
        let mut work = ExportLoop {
            collector: self,
            stopping,
            sent: spans("sent"),
            dropped: spans("dropped"),
            failed: spans("failed"),
            warned_at: None,
        };
        let panics = PanicMeter::new(telemetry, "fc-traces");
        std::thread::Builder::new().name("fc-traces".into()).spawn(move || {
            while panics.catch(|| work.run()).is_none() {
                std::thread::park_timeout(RESTART_PAUSE);
            }
            // A pending name lookup must not delay the end of the program.
            work.collector.runtime.shutdown_background();
            drop(done);
        })?;
        Ok(Exporter { stop, ended })
    }
}

impl Exporter {
    /// Sends the remaining spans; waits for that up to a second.
    pub(super) fn stop(self) {
        drop(self.stop);
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(STOP_WITHIN) {
            tracing::warn!("the trace collector did not accept the last spans in time");
        }
    }
}

struct ExportLoop {
    collector: Collector,
    stopping: Receiver<()>,
    sent: Counter,
    dropped: Counter,
    failed: Counter,
    warned_at: Option<Instant>,
}

impl ExportLoop {
    fn run(&mut self) {
        let mut batch = Vec::with_capacity(BATCH_SPANS_MAX);
        loop {
            let running = self.fill(&mut batch);
            self.dropped.increment(self.collector.spans.take_dropped());
            if !batch.is_empty() {
                self.send(&mut batch);
            }
            if !running && self.collector.spans.ended.is_empty() {
                return;
            }
        }
    }

    /// Waits until a batch is full or old enough. Returns false at shutdown, with the remaining spans in the batch.
    fn fill(&self, batch: &mut Vec<FinishedSpan>) -> bool {
        let ended = &self.collector.spans.ended;
        let until = Instant::now() + BATCH_INTERVAL;
        while batch.len() < BATCH_SPANS_MAX {
            select! {
                recv(ended) -> span => match span {
                    Ok(span) => batch.push(span),
                    Err(_) => return false,
                },
                // Its sender is dropped at shutdown and sends nothing.
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
            Ok(reply) => self.count_failed(count, &format!("status {}", reply.status.as_u16())),
            Err(failure) => self.count_failed(count, &failure.to_string()),
        }
    }

    fn count_failed(&mut self, count: u64, reason: &str) {
        self.failed.increment(count);
        if self.warned_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            self.warned_at = Some(Instant::now());
            let host = self.collector.target.host();
            tracing::warn!(host, reason, "the trace collector accepts no spans: they are dropped");
        }
    }
}
