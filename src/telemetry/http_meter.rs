//! What a serving thread records of HTTP.

use std::time::Duration;

use super::Telemetry;
use super::catalogue as metric;
use super::local::{LocalCounter, LocalGauge, LocalHistogram};

/// Where a read found its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadSource {
    /// A ready body.
    Hot,
    /// The file.
    Cold,
}

/// The statuses that are told apart; all others count as `other`.
const STATUSES: [(u16, &str); 20] = [
    (200, "200"),
    (201, "201"),
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

/// What streams tell of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamKind {
    /// A drop's changes.
    Drop,
    /// An auction's changes.
    Auction,
    /// The audit.
    Audit,
}

const STREAMS: [&str; 3] = ["drop", "auction", "audit"];

/// A route's labels.
#[derive(Clone, Copy)]
pub struct MeteredRoute {
    /// Its path, with names in braces.
    pub path: &'static str,
    /// Its method.
    pub method: &'static str,
    /// With which route's its latencies are counted: its own path, or one for all that nobody waits for in a sale.
    pub timed_as: &'static str,
}

/// The closed sets of labels that the edge knows.
#[derive(Clone, Copy)]
pub struct HttpMeterLabels<'a> {
    /// The routes; told by their index from here on.
    pub routes: &'a [MeteredRoute],
    /// The codes of problems; told by their index from here on.
    pub problems: &'static [&'static str],
    /// Which of the serving threads this is, if it is one of them.
    pub worker: Option<usize>,
}

struct RouteMeter {
    route: MeteredRoute,
    statuses: [LocalCounter; STATUSES.len()],
    seconds: LocalHistogram,
}

/// What a serving thread records.
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
    /// The meter of a serving thread.
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

    /// A request was answered.
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

    /// A client was told of a problem.
    pub fn problem(&mut self, code: usize) {
        if let Some((_, counter)) = self.problems.get_mut(code) {
            counter.bump();
        }
    }

    /// A stream was opened.
    pub fn stream_opened(&mut self, of: StreamKind) {
        let streams = &mut self.streams[of as usize];
        streams.set(streams.get().saturating_add(1));
    }

    /// A stream was closed.
    pub fn stream_closed(&mut self, of: StreamKind) {
        let streams = &mut self.streams[of as usize];
        streams.set(streams.get().saturating_sub(1));
    }

    /// A drop or an order was read.
    pub fn read(&mut self, source: ReadSource, took: Duration) {
        let index = usize::from(source == ReadSource::Cold);
        if let (Some(count), Some(seconds)) = (self.reads.get_mut(index), self.read_seconds.get_mut(index)) {
            count.bump();
            seconds.record_duration(took);
        }
    }

    /// Once a second: hands everything over.
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
