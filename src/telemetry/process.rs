//! Figures of the process from the kernel. Linux only, like the balancing of `SO_REUSEPORT`.

use metrics_process::collector;
use rustix::process::{Resource, getrlimit};

use super::catalogue as metric;
use super::{Metric, MetricKind, Telemetry};

/// Resident memory of this process, in bytes; 0 if it is unknown.
#[must_use]
pub(super) fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()));
    pages.unwrap_or(0).saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(4096))
}

pub(super) fn observe(telemetry: &Telemetry) {
    telemetry.set(&metric::RESIDENT, resident_bytes());
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    telemetry.set(&metric::DESCRIPTORS, u64::try_from(open).unwrap_or(0));
    let max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    telemetry.set(&metric::DESCRIPTORS_MAX, max);
}

/// Returns the metrics of a process that Prometheus' client libraries have in common, in its text format. One that the kernel
/// does not tell is left out. They are text because the counters of `metrics` are whole numbers, and seconds of CPU are not.
pub(super) fn render() -> String {
    let seen = collector::collect();
    let whole = |value: Option<u64>| value.map(|value| value.to_string());
    let families = [
        (&metric::PROCESS_CPU, seen.cpu_seconds_total.map(|seconds| seconds.to_string())),
        (&metric::PROCESS_OPEN_FDS, whole(seen.open_fds)),
        (&metric::PROCESS_MAX_FDS, whole(seen.max_fds)),
        (&metric::PROCESS_VIRTUAL, whole(seen.virtual_memory_bytes)),
        (&metric::PROCESS_VIRTUAL_MAX, whole(seen.virtual_memory_max_bytes)),
        (&metric::PROCESS_RESIDENT, whole(seen.resident_memory_bytes)),
        (&metric::PROCESS_START, whole(seen.start_time_seconds)),
        (&metric::PROCESS_THREADS, whole(seen.threads)),
    ];
    families.iter().filter_map(|(metric, value)| Some(family(metric, value.as_deref()?))).collect()
}

fn family(metric: &Metric, value: &str) -> String {
    let Metric { name, help, kind } = metric;
    let kind = match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram(_) => "untyped",
    };
    format!("\n# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_every_process_are_there_and_true() {
        let text = render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {text}"))
        };
        let before = value("process_cpu_seconds_total");
        assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0, "{text}");
        assert!(value("process_max_fds") >= value("process_open_fds"), "{text}");
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"), "{text}");
        let start = value("process_start_time_seconds");
        assert!((1.7e9..1e10).contains(&start), "seconds since 1970: {text}");
        assert!(value("process_virtual_memory_max_bytes") >= 0.0, "0 stands for no limit");
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");

        let mut number = 0_u64;
        let later = loop {
            number = std::hint::black_box((0..1_000_000_u64).fold(number, u64::wrapping_add));
            let later = collector::collect().cpu_seconds_total.expect("known");
            if later > before {
                break later;
            }
        };
        assert!(later < before + 60.0, "{number}");
    }
}
