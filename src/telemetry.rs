//! Every metric of the program, and its logs.
//!
//! A leaf. Nothing here is global: a process (or a test) may run several servers. The hot paths do not touch shared
//! histograms: they record into their own thread's (`local`), which go to the shared ones once a second.
//!
//! Invariant: labels are closed sets, known at the start; so is the number of series.

pub mod catalogue;
pub mod local;
pub mod logging;
mod meters;
mod process;

use metrics::{Counter, Gauge, Histogram, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

pub use catalogue::{CATALOGUE, Kind, Metric};
pub use meters::{EdgeMeter, ReadSource, WriterLabels, WriterMeter};

/// The metrics of one server.
pub struct Telemetry {
    recorder: Mutex<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}

const METADATA: Metadata<'static> = Metadata::new("firstcome", metrics::Level::INFO, None);

impl Telemetry {
    /// Metrics that nobody has counted yet.
    ///
    /// # Panics
    /// If the catalogue has a histogram without buckets; a test holds that it has not.
    #[must_use]
    pub fn new() -> Telemetry {
        let mut builder = PrometheusBuilder::new();
        for metric in CATALOGUE {
            if let Kind::Histogram(buckets) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.into()), buckets)
                    .unwrap_or_else(|error| panic!("{}: {error}", metric.name));
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        for metric in CATALOGUE {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        Telemetry { recorder: Mutex::new(recorder), handle }
    }

    /// A counter of the catalogue, with labels out of closed sets.
    pub fn counter(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder.lock().register_counter(&key(metric, labels), &METADATA)
    }

    /// A gauge of the catalogue.
    pub fn gauge(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder.lock().register_gauge(&key(metric, labels), &METADATA)
    }

    /// A histogram of the catalogue.
    pub fn histogram(&self, metric: &'static Metric, labels: &[(&'static str, &'static str)]) -> Histogram {
        self.recorder.lock().register_histogram(&key(metric, labels), &METADATA)
    }

    /// Sets a gauge of the catalogue that has no labels.
    pub fn set(&self, metric: &'static Metric, value: u64) {
        meters::set(&self.gauge(metric, &[]), value);
    }

    /// All metrics as Prometheus reads them; looks at the process first.
    #[must_use]
    pub fn render(&self) -> String {
        process::observe(self);
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Folds recorded values into their buckets, so that they take no memory; once a second.
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
    use super::*;
    use std::time::Duration;

    #[test]
    fn recorded_values_appear_after_a_flush_with_help_and_buckets() {
        let telemetry = Telemetry::new();
        let mut meter =
            WriterMeter::new(&telemetry, &WriterLabels { commands: &["place_order"], outcomes: &["accepted"] });
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
    fn names_are_ours_unique_and_in_base_units() {
        let mut names = std::collections::BTreeSet::new();
        for metric in CATALOGUE {
            assert!(metric.name.starts_with("firstcome_"), "{}", metric.name);
            assert!(names.insert(metric.name), "{} twice", metric.name);
            assert!(!metric.help.is_empty() && !metric.name.contains("_ms"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), matches!(metric.kind, Kind::Counter), "{}", metric.name);
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{}", metric.name);
            }
        }
    }
}
