//! Metrics, logs and traces.
//!
//! A leaf. Nothing here is global, because a process (or a test) may run several servers. Counters and gauges are the
//! exporter's, histograms are our own (`histogram` has the reason). Hot paths record into values of their own thread
//! (`local`), which are added to the shared ones once a second.
//!
//! Invariant: labels are closed sets, so the number of series is bounded. The few series of single drops and auctions are
//! made again for each scrape (`transient_series`).

pub mod access_log;
pub mod catalogue;
pub mod histogram;
mod http_meter;
pub mod local;
pub mod logging;
mod mail;
mod meters;
mod outbox;
pub mod outcome_rates;
pub mod page;
pub mod panics;
mod process;
mod route;
#[cfg(feature = "otlp")]
pub mod spans;
pub mod traces;
mod transient_series;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use crate::types::version::{REVISION, VERSION};
use catalogue::Buckets;
pub use catalogue::{CATALOGUE, Metric, MetricKind};
use histogram::SharedHistogram;
pub use http_meter::{HttpMeter, HttpMeterLabels, MeteredRoute, ReadSource, StreamKind};
pub use mail::{MailMeter, MailOutcome};
pub use meters::{WriterLabels, WriterMeter};
pub use outbox::OutboxMeter;
pub use panics::PanicMeter;
pub use route::{RouteResult, RouterMeter};
pub use transient_series::TransientSeries;
pub use wire::{FrameResult, WireMeter};

/// The metrics of one server.
pub struct Telemetry {
    recorder: Mutex<PrometheusRecorder>,
    handle: PrometheusHandle,
    histograms: Mutex<Histograms>,
}

type LabelSet = Vec<(&'static str, &'static str)>;
/// Histograms by name and labels, in the order of the output.
type Histograms = BTreeMap<(&'static str, LabelSet), Arc<SharedHistogram>>;

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}

const METADATA: Metadata<'static> = Metadata::new("firstcome", metrics::Level::INFO, None);

impl Telemetry {
    /// Returns the metrics of a server, all at their initial values.
    #[must_use]
    pub fn new() -> Telemetry {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        for metric in CATALOGUE {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, None, help),
                MetricKind::Gauge => recorder.describe_gauge(name, None, help),
                MetricKind::Histogram(_) => {} // `render` writes it
            }
        }
        let telemetry = Telemetry { recorder: Mutex::new(recorder), handle, histograms: Mutex::default() };
        telemetry.set_labelled(&catalogue::BUILD_INFO, &[("version", VERSION), ("revision", REVISION)], 1);
        telemetry
    }

    /// Returns a counter of the catalogue. Labels must be from closed sets.
    pub fn counter(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder.lock().register_counter(&key(metric, labels), &METADATA)
    }

    /// Returns a counter of the catalogue for a numbered part of the process, such as a worker.
    pub fn numbered_counter(&self, metric: &'static Metric, label: &'static str, number: usize) -> Counter {
        let key = metrics::Key::from_parts(metric.name, vec![Label::new(label, number.to_string())]);
        self.recorder.lock().register_counter(&key, &METADATA)
    }

    /// Returns a counter of the catalogue for a shard, and a value of another label.
    pub fn shard_counter(
        &self,
        metric: &'static Metric,
        shard: u8,
        label: Option<(&'static str, &'static str)>,
    ) -> Counter {
        let mut labels = vec![Label::new("shard", shard.to_string())];
        labels.extend(label.map(|(name, value)| Label::from_static_parts(name, value)));
        self.recorder.lock().register_counter(&metrics::Key::from_parts(metric.name, labels), &METADATA)
    }

    /// Returns a gauge of the catalogue for a shard.
    pub fn shard_gauge(&self, metric: &'static Metric, shard: u8) -> Gauge {
        let key = metrics::Key::from_parts(metric.name, vec![Label::new("shard", shard.to_string())]);
        self.recorder.lock().register_gauge(&key, &METADATA)
    }

    /// Returns a gauge of the catalogue. Labels must be from closed sets.
    pub fn gauge(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder.lock().register_gauge(&key(metric, labels), &METADATA)
    }

    /// Returns a histogram of the catalogue. Labels must be from closed sets. With labels it is shown from its first value
    /// on.
    pub fn histogram(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> Arc<SharedHistogram> {
        const NONE: &Buckets = &Buckets { bounds: &[], per_unit: 1 };
        let buckets = match metric.kind {
            MetricKind::Histogram(buckets) => buckets,
            MetricKind::Counter | MetricKind::Gauge => NONE,
        };
        let mut histograms = self.histograms.lock();
        let new = || Arc::new(SharedHistogram::new(buckets, labels));
        Arc::clone(histograms.entry((metric.name, labels.to_vec())).or_insert_with(new))
    }

    /// Sets a gauge without labels.
    pub fn set(&self, metric: &'static Metric, value: u64) {
        meters::set(&self.gauge(metric, &[]), value);
    }

    /// Sets a gauge with labels.
    pub fn set_labelled(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)], value: u64) {
        meters::set(&self.gauge(metric, labels), value);
    }

    /// Returns all metrics in the text format of Prometheus, in the order of their names.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_with(&TransientSeries::default())
    }

    /// Returns the counts of a counter with one label, by its values. The exporter shows values in its text only.
    #[must_use]
    pub fn counts_by_label(&self, metric: &'static Metric) -> Vec<(String, u64)> {
        let text = self.handle.render();
        let counts = text.lines().filter_map(|line| {
            let (labels, count) = line.strip_prefix(metric.name)?.strip_prefix('{')?.split_once("} ")?;
            let (_, value) = labels.split_once("=\"")?;
            Some((value.strip_suffix('"')?.to_owned(), count.parse().ok()?))
        });
        let mut counts: Vec<(String, u64)> = counts.collect();
        counts.sort_unstable();
        counts
    }

    /// Returns the same with additional series of this scrape.
    #[must_use]
    pub fn render_with(&self, passing: &TransientSeries) -> String {
        process::observe(self);
        let (scalars, histograms, passing) = (self.handle.render(), self.render_histograms(), passing.render());
        let texts = [&scalars, &histograms, &passing, &process::render()];
        let mut families: Vec<&str> = texts.iter().flat_map(|text| text.split("\n\n")).map(str::trim).collect();
        families.retain(|family| !family.is_empty());
        families.sort_unstable();
        families.join("\n\n") + "\n"
    }

    fn render_histograms(&self) -> String {
        let (mut text, mut family) = (String::new(), "");
        for ((name, _), histogram) in self.histograms.lock().iter().filter(|(_, histogram)| !histogram.is_unused()) {
            if family != *name {
                family = name;
                let help = CATALOGUE.iter().find(|metric| metric.name == *name).map_or("", |metric| metric.help);
                text.push_str(&format!("\n# HELP {name} {help}\n# TYPE {name} histogram\n"));
            }
            histogram.render(name, &mut text);
        }
        text
    }

    /// Runs the exporter's maintenance, once a second: it frees the values of its own histograms.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn key(metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> metrics::Key {
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::from_static_parts(name, value)).collect();
    metrics::Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests {
    use super::local::LocalHistogram;
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_version_and_the_revision_are_labels_of_one_series() {
        let text = Telemetry::new().render();
        let series = format!("firstcome_build_info{{version=\"{VERSION}\",revision=\"{REVISION}\"}} 1\n");
        assert!(text.contains(&series) && text.matches("firstcome_build_info{").count() == 1, "{text}");
    }

    #[test]
    fn recorded_values_appear_after_a_flush_with_help_and_buckets() {
        let telemetry = std::sync::Arc::new(Telemetry::new());
        let mut meter =
            WriterMeter::new(&telemetry, WriterLabels { commands: &["place_order"], outcomes: &["accepted"] });
        meter.queue_wait(Duration::from_micros(300));
        meter.outcome(0, 0);
        meter.tick(0, 4096, 0);
        let text = telemetry.render();
        assert!(text.contains("# HELP firstcome_writer_queue_wait_seconds"), "{text}");
        assert!(text.contains("firstcome_writer_queue_wait_seconds_count 1"), "{text}");
        assert!(text.contains("firstcome_outcomes_total{command=\"place_order\",outcome=\"accepted\"} 1"), "{text}");
        assert!(text.contains("firstcome_wal_bytes 4096"), "{text}");
        assert!(text.contains("firstcome_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn a_counter_is_read_by_the_values_of_its_label() {
        let telemetry = Telemetry::new();
        telemetry.counter(&catalogue::TURNED_AWAY, &[("reason", "queue")]).increment(3);
        telemetry.counter(&catalogue::TURNED_AWAY, &[("reason", "forbidden")]).increment(2);
        let counts = telemetry.counts_by_label(&catalogue::TURNED_AWAY);
        assert_eq!(counts, [("forbidden".to_owned(), 2), ("queue".to_owned(), 3)]);
    }

    #[test]
    fn names_are_ours_unique_and_in_base_units() {
        let mut names = std::collections::BTreeSet::new();
        for metric in CATALOGUE {
            // The standard metrics of a process have names of their own.
            let is_ours = ["firstcome_", "process_"].iter().any(|prefix| metric.name.starts_with(prefix));
            assert!(is_ours, "{}", metric.name);
            assert!(names.insert(metric.name), "{} twice", metric.name);
            assert!(!metric.help.is_empty() && !metric.name.contains("_ms"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), matches!(metric.kind, MetricKind::Counter), "{}", metric.name);
            if let MetricKind::Histogram(buckets) = metric.kind {
                assert!(buckets.bounds.is_sorted_by(|low, high| low < high), "{}", metric.name);
                assert_eq!(buckets.per_unit == 1_000_000_000, metric.name.ends_with("_seconds"), "{}", metric.name);
            }
        }
    }

    #[test]
    fn a_million_values_take_no_more_room_than_one_and_each_falls_into_its_bucket() {
        let telemetry = Telemetry::new();
        let mut local = LocalHistogram::new(telemetry.histogram(&catalogue::COMMIT, &[]));
        for nanos in 0..1_000_000 {
            local.record_duration(Duration::from_nanos(nanos));
        }
        local.record_duration(Duration::from_secs(60));
        local.flush();
        local.flush();
        let text = telemetry.render();
        for line in [
            "_bucket{le=\"0.00001\"} 10001",
            "_bucket{le=\"0.0005\"} 500001",
            "_bucket{le=\"10\"} 1000000",
            "_bucket{le=\"+Inf\"} 1000001",
            "_sum 559.9995",
            "_count 1000001",
        ] {
            let line = format!("firstcome_writer_commit_seconds{line}");
            assert!(text.lines().any(|shown| shown == line), "no {line} in {text}");
        }
        assert_eq!(text.matches("firstcome_writer_commit_seconds").count(), 2 + 21 + 2, "{text}");
    }

    #[test]
    fn families_come_once_with_help_and_labelled_histograms_when_they_are_used() {
        let telemetry = Telemetry::new();
        let route = |path, method| MeteredRoute { path, method, timed_as: path };
        let routes = [route("/a", "GET"), route("/a", "POST"), route("/b", "GET")];
        let labels = HttpMeterLabels { routes: &routes, problems: &["malformed", "sold-out"], worker: Some(3) };
        let mut edge = HttpMeter::new(&telemetry, labels);
        edge.request(0, 200, Duration::from_micros(20));
        edge.request(1, 418, Duration::from_micros(20));
        edge.problem(1);
        edge.stream_opened(StreamKind::Drop);
        edge.stream_opened(StreamKind::Auction);
        edge.flush(&telemetry);
        edge.stream_closed(StreamKind::Auction);
        edge.flush(&telemetry);
        let text = telemetry.render();
        assert!(text.contains("firstcome_http_request_seconds_count{route=\"/a\"} 2"), "{text}");
        assert!(text.contains("{route=\"/a\",method=\"POST\",status=\"other\"} 1"), "{text}");
        assert!(!text.contains("/b"), "{text}");
        assert!(
            text.contains("firstcome_problems_total{code=\"sold-out\"} 1\n") && !text.contains("malformed"),
            "{text}"
        );
        assert!(text.contains("firstcome_worker_requests_total{worker=\"3\"} 2"), "{text}");
        assert!(text.contains("firstcome_streams{of=\"drop\"} 1"), "{text}");
        assert!(text.contains("firstcome_streams{of=\"auction\"} 0"), "{text}");
        let typed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(typed.is_sorted(), "{typed:?}");
        for (name, _) in typed.iter().filter_map(|line| line.split_once(' ')) {
            assert_eq!(text.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
        }
    }
}
