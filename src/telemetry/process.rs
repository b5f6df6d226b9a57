//! Figures of the process from the kernel. Linux only, like the balancing of `SO_REUSEPORT`.

use rustix::process::{Resource, getrlimit};

use super::Telemetry;
use super::catalogue as metric;

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
