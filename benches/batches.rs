//! Durable orders in batches over HTTP (`POST /v1/orders:batch`), beside orders in requests of their own, in turn.
//!
//! One server with one serving thread for buyers and one for operators; the same client on one thread keeps 64 requests of one order
//! open, then 4 batches of 100. What counts is the ratio of orders per second, pair by pair.
//!
//! `cargo bench --bench batches`; `FIRSTCOME_BENCH_PAIRS` sets how many pairs (9).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

#[path = "limit/client.rs"]
mod client;
mod measure;
#[path = "limit/server.rs"]
mod server;

use std::time::{Duration, Instant};

use client::{Client, Orders};
use measure::{cpu_time, find_thread, is_smoke_test, median, spread};
use serde_json::json;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in flight: of one order each, and of a batch each.
const SINGLE: usize = 64;
const BATCHES: usize = 4;
const EACH: u32 = 100;
const TURN: Duration = Duration::from_millis(500);
/// The orders per second of batches, by those of single requests, that are to be reached.
const RATIO_AIM: f64 = 3.0;

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let running = server::run(server::settings(scratch.path()));
    let mut orders = Orders::new(server::make_drop(&running.writer));
    let mut single = Client::new(running.server.public_address, SINGLE);
    let mut batches = Client::new(running.server.admin_address, BATCHES);
    orders.each = EACH;
    println!("an answer begins: {}", batches.one(&orders.next()).chars().take(700).collect::<String>());
    println!("{} and {} requests in flight", batches.connections(), single.connections());
    println!("pair  batches: orders/s, writer us  single: orders/s, writer us  ratio");
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for pair in 0..=measure::pairs(9) {
        let a = drive(&mut batches, &mut orders, EACH);
        let b = drive(&mut single, &mut orders, 1);
        let ratio = a.0 / b.0;
        println!("{pair:4}  {:17.0} {:10.1}  {:16.0} {:10.1}  {ratio:5.2}", a.0, a.1, b.0, b.1);
        // The first pair warms both up.
        if pair > 0 || is_smoke_test() {
            ratios.push(ratio);
            rates.push(a.0);
        }
    }
    println!("orders/s in batches: {}", spread(&mut rates));
    println!("ratio: {}; the aim is {RATIO_AIM}", spread(&mut ratios));
    measure::record("batches", json!({ "per_second": median(&mut rates), "ratio": median(&mut ratios) }));
    running.stop().expect("an orderly end");
}

/// Orders per second, and the time of the writer for each in microseconds.
fn drive(client: &mut Client, orders: &mut Orders, each: u32) -> (f64, f64) {
    let writer = find_thread("fc-writer");
    orders.each = each;
    let (started, before) = (Instant::now(), cpu_time(&writer));
    let answered = f64::from(client.drive(orders, TURN));
    let cpu = cpu_time(&writer).saturating_sub(before);
    (answered / started.elapsed().as_secs_f64(), cpu.as_secs_f64() * 1e6 / answered)
}
