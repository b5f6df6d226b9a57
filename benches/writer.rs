//! The writer in process, commit included, beside a bare SQLite that appends the same rows.
//!
//! Per row of the table: a writer with a new file gets its queue filled while it is held, so that its batches are as
//! large as they may be; then it is let go. The rows that it wrote are read back and appended, batch for batch, to
//! another file with the same tables and settings by nothing but SQLite. The two take turns; what counts is the ratio,
//! pair by pair. At the end both files are compared. fsync is nearly free on some machines, so a sync can take longer
//! than it does: the file layer of the tests waits.
//!
//! `cargo bench --bench writer [full|interval|alone|refusals|growth|headline]`; `FIRSTCOME_BENCH_PAIRS` sets how many
//! pairs (5), `FIRSTCOME_BENCH_ORDERS` how far a file grows (1000000).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

#[path = "writer/bare.rs"]
mod bare;
#[path = "writer/growth.rs"]
mod growth;
mod measure;
#[path = "writer/ours.rs"]
mod ours;
#[path = "../tests/shim/mod.rs"]
mod shim;

use std::path::Path;
use std::time::Duration;

use bare::{Bare, fdatasync};
use firstcome::store::Durability;
use measure::{is_smoke_test, median, pairs, percentile, record, spread};
use ours::Ours;
use serde_json::json;
use shim::Shim;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES: [u32; 5] = [1, 8, 64, 256, 1024];
const DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_micros(500), Duration::from_millis(2), Duration::from_millis(10)];
/// The server's default.
const INTERVAL: Durability = Durability::Interval(Duration::from_millis(20));
/// How many orders a turn has at most, and for how long it waits for the disk, about.
const ORDERS_MAX: u32 = 40_960;
const WAIT_FOR_DISK: Duration = Duration::from_millis(300);
/// What the README promises of batches of 256, `full`.
const RATIO_AIM: f64 = 0.7;

/// What one side did in one turn.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    orders: u32,
    took: Duration,
    cpu: Duration,
}

impl Turn {
    fn per_second(&self) -> f64 {
        f64::from(self.orders) / self.took.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.orders)
    }
}

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let shim = Shim::take();
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| asked.as_ref().is_none_or(|asked| asked == name);
    for (name, durability) in [("full", Durability::Full), ("interval", INTERVAL)] {
        if wanted(name) {
            table(scratch.path(), &shim, name, durability, &BATCHES, &DELAYS);
        }
    }
    if asked.as_deref() == Some("headline") {
        table(scratch.path(), &shim, "full", Durability::Full, &[256], &DELAYS[..1]);
    }
    if wanted("alone") {
        alone(scratch.path());
    }
    if wanted("refusals") {
        refusals(scratch.path(), &shim);
    }
    if wanted("growth") {
        growth::growth(scratch.path(), &shim);
    }
}

fn table(scratch: &Path, shim: &Shim, name: &str, durability: Durability, batches: &[u32], delays: &[Duration]) {
    println!("\nsynchronous {name}; CPU time in us per order");
    println!("batch  delay ms  writer/s    bare/s  writer CPU  bare CPU  ratio");
    let (batches, delays) = if is_smoke_test() { (&BATCHES[2..3], &DELAYS[..2]) } else { (batches, delays) };
    for delay in delays {
        for batch in batches {
            let directory = tempfile::tempdir_in(scratch).expect("a scratch directory");
            let pairs = compare(directory.path(), shim, durability, *batch, *delay);
            let each = |value: fn(&(Turn, Turn)) -> f64| median(&mut pairs.iter().map(value).collect::<Vec<_>>());
            let (writer, bare) = (each(|(ours, _)| ours.per_second()), each(|(_, bare)| bare.per_second()));
            let mut ratios: Vec<f64> = pairs.iter().map(|(a, b)| a.per_second() / b.per_second()).collect();
            println!(
                "{batch:5}  {:8.1}  {writer:8.0}  {bare:8.0}  {:10.2}  {:8.2}  {}",
                delay.as_secs_f64() * 1e3,
                each(|(ours, _)| ours.cpu_us()),
                each(|(_, bare)| bare.cpu_us()),
                spread(&mut ratios)
            );
            if delay.is_zero() {
                let figure =
                    json!({ "ratio": median(&mut ratios), "writer_per_second": writer, "bare_per_second": bare });
                record(&format!("{name}, batches of {batch}"), figure);
            }
        }
    }
    println!("the aim with full and batches of 256 is {RATIO_AIM}");
}

/// The writer and bare SQLite in turn.
fn compare(directory: &Path, shim: &Shim, durability: Durability, batch: u32, delay: Duration) -> Vec<(Turn, Turn)> {
    let mut ours = Ours::start(&directory.join("ours"), durability, usize::try_from(batch).expect("small"));
    let mut bare = Bare::start(&directory.join("bare"), &ours.database, durability);
    let orders = orders_of_a_turn(batch, delay);
    let mut found = Vec::new();
    for pair in 0..=pairs(5) {
        shim.delay_syncs(delay);
        let our_turn = ours.turn(shim, orders, 1);
        let batches = bare.read_batches(&ours.database);
        let bare_turn = bare.turn(&batches, &ours.database);
        shim.delay_syncs(Duration::ZERO);
        assert_eq!(our_turn.orders, bare_turn.orders, "the same orders");
        // The first pair warms up.
        if pair > 0 {
            found.push((our_turn, bare_turn));
        }
    }
    bare.compare(&ours.database);
    ours.end();
    found
}

/// Enough batches for a figure, few enough for an evening.
fn orders_of_a_turn(batch: u32, delay: Duration) -> u32 {
    let commit = delay + Duration::from_micros(100);
    let commits = u32::try_from(WAIT_FOR_DISK.as_micros() / commit.as_micros()).expect("few");
    let orders = commits.saturating_mul(batch).min(ORDERS_MAX);
    if is_smoke_test() { batch * 4 } else { orders.next_multiple_of(batch) }
}

/// One order whose buyer is alone, beside what it cannot do without: one page made durable.
fn alone(scratch: &Path) {
    let directory = tempfile::tempdir_in(scratch).expect("a scratch directory");
    let mut ours = Ours::start(&directory.path().join("ours"), Durability::Full, 256);
    let mut file = std::fs::File::create(directory.path().join("pages")).expect("made");
    let times = if is_smoke_test() { 5 } else { 4_000 };
    let (mut orders, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..times {
        orders.push(ours.alone().as_secs_f64() * 1e6);
        syncs.push(fdatasync(&mut file).as_secs_f64() * 1e6);
    }
    println!("\none durable order, alone; in us   p50      p95      p99");
    for (name, values, figure) in [
        ("order, from submit to answer", &mut orders, "order, alone"),
        ("fdatasync of one appended page", &mut syncs, "fdatasync, alone"),
    ] {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| percentile(values, share));
        println!("{name:30}  {p50:7.1}  {p95:7.1}  {p99:7.1}");
        record(figure, json!({ "p50_us": p50, "p95_us": p95, "p99_us": p99 }));
    }
    ours.end();
}

/// Refusals through the queue: nothing is recorded, but each is decided, metered and answered.
fn refusals(scratch: &Path, shim: &Shim) {
    let directory = tempfile::tempdir_in(scratch).expect("a scratch directory");
    let mut ours = Ours::start(&directory.path().join("ours"), Durability::Full, 256);
    let turns: Vec<Turn> =
        (0..=pairs(9)).map(|_| ours.turn(shim, if is_smoke_test() { 100 } else { ORDERS_MAX }, 2)).skip(1).collect();
    let mut rates: Vec<f64> = turns.iter().map(Turn::per_second).collect();
    let mut cpu: Vec<f64> = turns.iter().map(Turn::cpu_us).collect();
    let (rate, cpu) = (median(&mut rates), median(&mut cpu));
    println!("\nrefusals (sold out) through the queue: {rate:.0}/s, {cpu:.2} us of CPU time each");
    record("refusals", json!({ "per_second": rate, "cpu_us": cpu }));
    ours.end();
}
