//! A recorded value of a histogram: in the server's own histogram of a thread, and in that of `metrics` and its exporter.
//!
//! Each run records a second's values of the writer at 50,000 commands, and then does what a second needs: ours adds its
//! buckets to the shared ones, the exporter moves its samples into its buckets.
//!
//! `cargo bench --bench histograms`

#![expect(clippy::expect_used, reason = "a bench: what fails ends it")]

mod measure;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use firstcome::telemetry::local::LocalHistogram;
use firstcome::telemetry::{Telemetry, catalogue};
use measure::is_smoke_test;
use metrics::{Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bounds in seconds, as many as the writer's.
const BOUNDS: [f64; 12] = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3];

/// Durations that fall into several buckets.
fn durations() -> Vec<Duration> {
    let count: u64 = if is_smoke_test() { 100 } else { 50_000 };
    (0..count).map(|number| Duration::from_nanos(500 + number * 7_919 % 200_000)).collect()
}

fn record(criterion: &mut Criterion) {
    let durations = durations();
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(durations.len() as u64));

    let telemetry = Telemetry::new();
    let mut ours = LocalHistogram::new(telemetry.histogram(&catalogue::DECIDE, &[]));
    group.bench_function("ours, records alone", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(rounds, &durations, &mut ours, LocalHistogram::record_duration, LocalHistogram::flush).0
        });
    });
    group.bench_function("ours, with the flush", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(rounds, &durations, &mut ours, LocalHistogram::record_duration, LocalHistogram::flush).1
        });
    });

    let builder = PrometheusBuilder::new().set_buckets(&BOUNDS).expect("bounds");
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    let metadata = Metadata::new("bench", Level::INFO, None);
    let mut exporters = recorder.register_histogram(&Key::from_name("bench_seconds"), &metadata);
    let record = |histogram: &mut metrics::Histogram, duration: Duration| histogram.record(duration.as_secs_f64());
    group.bench_function("the exporter's, records alone", |bencher| {
        bencher.iter_custom(|rounds| timed(rounds, &durations, &mut exporters, record, |_| handle.run_upkeep()).0);
    });
    group.bench_function("the exporter's, with its upkeep", |bencher| {
        bencher.iter_custom(|rounds| timed(rounds, &durations, &mut exporters, record, |_| handle.run_upkeep()).1);
    });
    group.finish();
}

/// Returns the time of all records, and the same with what follows each round.
fn timed<H>(
    rounds: u64,
    durations: &[Duration],
    histogram: &mut H,
    record: impl Fn(&mut H, Duration),
    after: impl Fn(&mut H),
) -> (Duration, Duration) {
    let (mut records, mut all) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let started = Instant::now();
        for duration in durations {
            record(histogram, black_box(*duration));
        }
        records += started.elapsed();
        after(histogram);
        all += started.elapsed();
    }
    (records, all)
}

criterion_group!(benches, record);
criterion_main!(benches);
