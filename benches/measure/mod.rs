//! What the benches share: how they are called, CPU time of threads, medians and spreads; and what is sold, in `sale`.

#![allow(dead_code, reason = "each bench uses its part")]
#![allow(clippy::expect_used, reason = "a bench: what fails ends it")]
#![allow(unreachable_pub, missing_docs, reason = "a bench's own module")]

pub mod sale;

use std::io::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Whether it is only to be seen that the bench runs: `cargo test --benches` calls it without `--bench`.
pub fn is_smoke_test() -> bool {
    let mut arguments = std::env::args();
    !arguments.any(|argument| argument == "--bench") || std::env::args().any(|argument| argument == "--test")
}

/// How many pairs: as `FIRSTCOME_BENCH_PAIRS` says, else so many; one where it is only to be seen that it runs.
pub fn pairs(usual: usize) -> usize {
    let asked = std::env::var("FIRSTCOME_BENCH_PAIRS").ok().and_then(|pairs| pairs.parse().ok());
    if is_smoke_test() { 1 } else { asked.unwrap_or(usual) }
}

/// The kernel's directory of a thread of this process.
pub fn find_thread(name: &str) -> String {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let mut paths = tasks.map(|task| task.path().display().to_string());
    let named = |path: &String| std::fs::read_to_string(format!("{path}/comm")).is_ok_and(|found| found.trim() == name);
    paths.find(named).unwrap_or_else(|| panic!("no thread is called {name}"))
}

/// How long a thread has run on a CPU.
pub fn cpu_time(thread: &str) -> Duration {
    let text = std::fs::read_to_string(format!("{thread}/schedstat")).expect("the scheduler's figures");
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// How long this thread has run on a CPU.
pub fn own_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("not negative")
}

/// Appends a figure to the file that `FIRSTCOME_BENCH_JSON` names, for `cargo bench --bench figures`.
pub fn record(name: &str, mut figure: serde_json::Value) {
    let Ok(path) = std::env::var("FIRSTCOME_BENCH_JSON") else { return };
    figure["name"] = name.into();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a file for figures");
    writeln!(file, "{figure}").expect("written");
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The value below which this share of all lies.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The median, and the lowest and highest.
pub fn spread(values: &mut [f64]) -> String {
    let middle = median(values);
    let (low, high) = (values.first().copied().unwrap_or(f64::NAN), values.last().copied().unwrap_or(f64::NAN));
    format!("median {middle:.3}, from {low:.3} to {high:.3} over {} pairs", values.len())
}
