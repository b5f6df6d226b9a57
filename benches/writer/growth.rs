//! What an order costs while its file grows: the hot path only appends, so it should cost the same at any size.
//!
//! One writer's file grows to each size. There it takes turns with a writer whose file has a thousand orders; both get
//! the same number of orders, enough for a checkpoint. Every order is live, so memory grows as the file does. What
//! counts is the CPU time of the writer's thread: it does not depend on what else the machine does meanwhile.

use std::path::Path;
use std::time::Duration;

use firstcome::store::Durability;
use serde_json::json;

use super::Turn;
use super::measure::{is_smoke_test, median, pairs, record, spread};
use super::ours::Ours;
use super::shim::Shim;

/// Orders of a small file.
const SMALL: u32 = 1_000;
/// Sizes of the growing file, up to what `FIRSTCOME_BENCH_ORDERS` says (a million).
const SIZES: [u32; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Orders of a turn, and of a filling: as many as fit the queue.
const ORDERS: u32 = 40_960;
const FILLING: u32 = 60_000;
/// The server's default is more; what the table of the README is about is 256.
const BATCH: usize = 256;
/// What the README promises.
const RATIO_AIM: f64 = 1.15;

/// Prints a line for each size.
pub(crate) fn growth(scratch: &Path, shim: &Shim) {
    let asked = std::env::var("FIRSTCOME_BENCH_ORDERS").ok().and_then(|orders| orders.parse().ok());
    let most = if is_smoke_test() { SIZES[0] } else { asked.unwrap_or(SIZES[2]) };
    let turn_orders = if is_smoke_test() { 1_000 } else { ORDERS };
    let directory = tempfile::tempdir_in(scratch).expect("a scratch directory");
    let mut large = Ours::start(&directory.path().join("large"), Durability::Full, BATCH);
    let mut orders = 0;
    println!("\norders in the file; CPU time of the writer in us per order, beside a file of {SMALL}; {BATCH} a batch");
    println!("   orders  CPU time  at {SMALL}  orders/s  ratio by CPU time");
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        while orders < size {
            let filling = FILLING.min(size - orders);
            large.turn(shim, filling, 1);
            // A turn has one more, that holds the writer.
            orders += filling + 1;
        }
        let mut found: Vec<(Turn, Turn)> = Vec::new();
        for _ in 0..pairs(5) {
            let small = small_turn(directory.path(), shim, turn_orders);
            found.push((small, large.turn(shim, turn_orders, 1)));
            orders += turn_orders + 1;
        }
        let each = |value: fn(&(Turn, Turn)) -> f64| median(&mut found.iter().map(value).collect::<Vec<_>>());
        let cpu_us = each(|(_, large)| large.cpu_us());
        let mut ratios: Vec<f64> = found.iter().map(|(small, large)| large.cpu_us() / small.cpu_us()).collect();
        println!(
            "{size:9}  {cpu_us:8.2}  {:7.2}  {:8.0}  {}",
            each(|(small, _)| small.cpu_us()),
            each(|(_, large)| large.per_second()),
            spread(&mut ratios)
        );
        let figure = json!({ "orders": size, "cpu_us": cpu_us, "ratio": median(&mut ratios) });
        record(&format!("growth to {size:09}"), figure);
    }
    println!("the aim at every size is {RATIO_AIM}");
    large.end();
}

/// A turn of a writer with a new file.
fn small_turn(directory: &Path, shim: &Shim, orders: u32) -> Turn {
    let own = tempfile::tempdir_in(directory).expect("a scratch directory");
    let mut small = Ours::start(&own.path().join("small"), Durability::Full, BATCH);
    small.turn(shim, SMALL, 1);
    let turn = small.turn(shim, orders, 1);
    small.end();
    assert!(turn.took > Duration::ZERO, "something was done");
    turn
}
