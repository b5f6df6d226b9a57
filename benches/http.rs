//! Durable orders over HTTP, end to end: the server in this process, `rush` as the load in another.
//!
//! Every order is of a new buyer and is accepted. The numbers of connections take turns. The CPU time is the whole
//! server's: serving threads, writer and auditor.
//!
//! `cargo bench --bench http [orders|lapse]`; `FIRSTCOME_BENCH_PAIRS` sets how many rounds (5). `lapse`: what buyers
//! notice of a hundred thousand reservations that lapse in one instant.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

#[path = "http/lapse.rs"]
mod lapse;
mod measure;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use firstcome::config::Config;
use firstcome::server::{RunningServer, start};
use measure::{is_smoke_test, median, pairs};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections, and orders in a round of them.
const ROUNDS: [(u32, u32); 3] = [(1, 10_000), (64, 60_000), (512, 100_000)];

/// What one round showed.
struct Round {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| asked.as_ref().is_none_or(|asked| asked == name);
    if wanted("orders") {
        orders(scratch.path());
    }
    if wanted("lapse") {
        lapse::lapse(scratch.path());
    }
}

/// A configuration for free ports.
fn config(data: &Path) -> Config {
    let mut config = Config::defaults();
    config.data = data.to_path_buf();
    config.public_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = config.public_listen;
    config.wire_listen = config.public_listen;
    config
}

fn orders(scratch: &Path) {
    let config = config(&scratch.join("data"));
    let running = start(config, |message, _| panic!("the writer ended: {message}")).expect("a server");
    let mut found: [Vec<Round>; ROUNDS.len()] = std::array::from_fn(|_| Vec::new());
    for _ in 0..pairs(5) {
        for (rounds, (connections, orders)) in found.iter_mut().zip(ROUNDS) {
            let orders = if is_smoke_test() { 100 } else { orders };
            rounds.push(round(&running, scratch, connections, orders));
        }
    }
    running.stop().expect("an orderly end");
    println!("connections  orders/s (lowest to highest)   p50 ms   p99 ms  server CPU us/order; medians");
    for (rounds, (connections, _)) in found.iter().zip(ROUNDS) {
        let values = |pick: fn(&Round) -> f64| rounds.iter().map(pick).collect::<Vec<f64>>();
        let mut rates = values(|round| round.per_second);
        let middle = median(&mut rates);
        let (low, high) = (rates.first().expect("a round"), rates.last().expect("a round"));
        println!(
            "{connections:11}  {middle:7.0} ({low:.0} to {high:.0})  {:14.2}  {:7.2}  {:8.1}",
            median(&mut values(|round| round.p50_ms)),
            median(&mut values(|round| round.p99_ms)),
            median(&mut values(|round| round.cpu_us)),
        );
    }
}

fn round(running: &RunningServer, scratch: &Path, connections: u32, orders: u32) -> Round {
    let cpu = process_cpu_time();
    let figures = rush(running, scratch, connections, orders, &[]);
    let cpu = process_cpu_time().saturating_sub(cpu);
    let number = |path: &str| figures.pointer(path).and_then(Value::as_f64).expect("a figure");
    Round {
        per_second: number("/achieved/orders_per_second"),
        p50_ms: number("/latency_ms/orders/from_request_to_answer/p50"),
        p99_ms: number("/latency_ms/orders/from_request_to_answer/p99"),
        cpu_us: cpu.as_secs_f64() * 1e6 / f64::from(orders),
    }
}

/// So many orders by `rush`, all of them accepted; gives its figures.
fn rush(running: &RunningServer, scratch: &Path, connections: u32, orders: u32, more: &[&str]) -> Value {
    let figures = scratch.join("rush.json");
    let mut rush = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    rush.args(["rush", "--crowd", "plain"]).args(more);
    for (name, value) in [("--buyers", orders), ("--units", orders), ("--connections", connections)] {
        rush.args([name, &value.to_string()]);
    }
    rush.args(["--public", &running.server.public_address.to_string()]);
    rush.args(["--admin", &running.server.admin_address.to_string()]);
    rush.arg("--json").arg(&figures).stdin(Stdio::null()).stdout(Stdio::null());
    let ended = rush.status().expect("run");
    assert!(ended.success(), "rush ended with {ended}");
    let text = std::fs::read_to_string(&figures).expect("written");
    serde_json::from_str(&text).expect("JSON")
}

fn process_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("not negative")
}
