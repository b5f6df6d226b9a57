//! Metrics of a worker for HTTP.

use std::time::Duration;

use super::Telemetry;
use super::catalogue as metric;
use super::local::{LocalCounter, LocalGauge, LocalHistogram};

/// Source of a read's response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadSource {
    /// The worker's response cache.
    Hot,
    /// The database, through the worker's reader.
    Cold,
}

/// Statuses with a label of their own; all others count as `other`.
const STATUSES: [(u16, &str); 21] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (409, "409"),
    (410, "410"),
    (412, "412"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
    (0, "other"),
];

/// Subject of an event stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamKind {
    Drop,
    Auction,
    Audit,
    Console,
    Room,
}

const STREAMS: [&str; 5] = ["drop", "auction", "audit", "console", "room"];

/// Labels of a route.
#[derive(Clone, Copy)]
pub struct MeteredRoute {
    /// Path template, with names in braces.
    pub path: &'static str,
    pub method: &'static str,
    /// Label of its latencies: its own path, or one label for all routes that no buyer waits for.
    pub timed_as: &'static str,
}

/// Closed sets of labels of HTTP.
#[derive(Clone, Copy)]
pub struct HttpMeterLabels<'a> {
    /// Routes, given by their index in calls.
    pub routes: &'a [MeteredRoute],
    /// Problem codes, given by their index in calls.
    pub problems: &'static [&'static str],
    /// Number of the worker; `None` for other threads.
    pub worker: Option<usize>,
}

struct RouteMeter {
    route: MeteredRoute,
    statuses: [LocalCounter; STATUSES.len()],
    seconds: LocalHistogram,
}

/// Meter of a worker, flushed once a second.
pub struct HttpMeter {
    routes: Vec<RouteMeter>,
    requests: LocalCounter,
    worker: Option<usize>,
    problems: Vec<(&'static str, LocalCounter)>,
    streams: [LocalGauge; STREAMS.len()],
    reads: [LocalCounter; 2],
    read_seconds: [LocalHistogram; 2],
}

impl HttpMeter {
    #[must_use]
    pub fn new(telemetry: &Telemetry, labels: HttpMeterLabels<'_>) -> HttpMeter {
        let routes = labels.routes.iter().map(|route| RouteMeter {
            route: *route,
            statuses: std::array::from_fn(|_| LocalCounter::new()),
            seconds: LocalHistogram::new(telemetry.histogram(&metric::HTTP_REQUEST, &[("route", route.timed_as)])),
        });
        let streams = |of| LocalGauge::new(telemetry.gauge(&metric::STREAMS, &[("of", of)]));
        let read = |source| LocalHistogram::new(telemetry.histogram(&metric::READ, &[("source", source)]));
        HttpMeter {
            routes: routes.collect(),
            requests: LocalCounter::new(),
            worker: labels.worker,
            problems: labels.problems.iter().map(|code| (*code, LocalCounter::new())).collect(),
            streams: STREAMS.map(streams),
            reads: [LocalCounter::new(), LocalCounter::new()],
            read_seconds: [read("hot"), read("cold")],
        }
    }

    /// Counts an answered request and its duration.
    pub fn request(&mut self, route: usize, status: u16, took: Duration) {
        let Some(meter) = self.routes.get_mut(route) else { return };
        let other = STATUSES.len().saturating_sub(1);
        let status = STATUSES.iter().position(|(known, _)| *known == status).unwrap_or(other);
        if let Some(counter) = meter.statuses.get_mut(status) {
            counter.bump();
        }
        meter.seconds.record_duration(took);
        self.requests.bump();
    }

    /// Counts a problem response.
    pub fn problem(&mut self, code: usize) {
        if let Some((_, counter)) = self.problems.get_mut(code) {
            counter.bump();
        }
    }

    pub fn stream_opened(&mut self, of: StreamKind) {
        let streams = &mut self.streams[of as usize];
        streams.set(streams.get().saturating_add(1));
    }

    pub fn stream_closed(&mut self, of: StreamKind) {
        let streams = &mut self.streams[of as usize];
        streams.set(streams.get().saturating_sub(1));
    }

    /// Counts a read of a drop or an order, and its duration.
    pub fn read(&mut self, source: ReadSource, took: Duration) {
        let index = usize::from(source == ReadSource::Cold);
        if let (Some(count), Some(seconds)) = (self.reads.get_mut(index), self.read_seconds.get_mut(index)) {
            count.bump();
            seconds.record_duration(took);
        }
    }

    /// Adds everything to the shared metrics, once a second.
    pub fn flush(&mut self, telemetry: &Telemetry) {
        for meter in &mut self.routes {
            meter.seconds.flush();
            for (counter, (_, status)) in meter.statuses.iter_mut().zip(STATUSES) {
                let labels = [("route", meter.route.path), ("method", meter.route.method), ("status", status)];
                counter.flush(|| telemetry.counter(&metric::HTTP_REQUESTS, &labels));
            }
        }
        if let Some(worker) = self.worker {
            self.requests.flush(|| telemetry.numbered_counter(&metric::WORKER_REQUESTS, "worker", worker));
        }
        for (code, counter) in &mut self.problems {
            counter.flush(|| telemetry.counter(&metric::PROBLEMS, &[("code", *code)]));
        }
        self.streams.iter_mut().for_each(LocalGauge::flush);
        for (index, source) in ["hot", "cold"].into_iter().enumerate() {
            if let (Some(count), Some(seconds)) = (self.reads.get_mut(index), self.read_seconds.get_mut(index)) {
                count.flush(|| telemetry.counter(&metric::READS, &[("source", source)]));
                seconds.flush();
            }
        }
    }
}
