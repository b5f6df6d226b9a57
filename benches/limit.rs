//! Durable orders over HTTP, beside the least that a server of this shape must do for one.
//!
//! The bare server is hyper on one thread, with the same settings of sockets and connections. It reads the same request,
//! hands it through a bounded crossbeam channel to one thread, and that thread appends as many bytes for each request as our
//! writer does, calls `fdatasync` once for all that wait, and answers each; the answer is as long as ours. It decides nothing,
//! has no SQLite, no metrics and no limits. The same client drives both in turn: one thread that keeps one request open on each
//! of its connections. What counts is the ratio, pair by pair, by rate and by time of the serving thread and the writer on
//! a CPU.
//!
//! `cargo bench --bench limit`; `FIRSTCOME_BENCH_PAIRS` sets how many pairs (9).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

#[path = "limit/bare.rs"]
mod bare;
#[path = "limit/client.rs"]
mod client;
mod measure;
#[path = "limit/server.rs"]
mod server;

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use client::{Client, Orders};
use measure::{cpu_time, find_thread, is_smoke_test, median, spread};
use serde_json::json;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Numbers of connections that are measured.
const CONNECTIONS: [usize; 2] = [64, 512];
/// The turns of each side within a pair, and the time of one.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(200);
/// The share of the bare server's orders per second that ours is to reach.
const RATIO_AIM: f64 = 0.75;
/// The names of our threads.
const OURS: [&str; 2] = ["fc-http-0", "fc-writer"];

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let config = server::settings(scratch.path());
    let running = server::run(config.clone());
    let drop_id = server::make_drop(&running.writer);
    let address = running.server.public_address;
    let mut orders = Orders::new(drop_id);
    let answer = Client::new(address, 1).one(&orders.next());
    let bytes = bytes_per_order(address, &mut orders);
    let bare_address = bare::serve(&config, scratch.path(), &answer, bytes);
    let bare_answer = Client::new(bare_address, 1).one(&orders.next());
    assert_eq!(answer.len(), bare_answer.len(), "both answer with as many bytes:\n{answer}\n{bare_answer}");
    println!("{} bytes an answer, {bytes} bytes written an order", answer.len());
    for connections in CONNECTIONS {
        let side = |name, threads: [&str; 2], address| Side {
            name,
            threads: threads.map(find_thread),
            client: Client::new(address, connections),
            rounds: Vec::new(),
        };
        println!("\n# {connections} connections");
        compare(side("firstcome", OURS, address), side("bare", bare::THREADS, bare_address), &mut orders);
    }
    running.stop().expect("an orderly end");
}

/// The bytes that our writer hands to the file system for an order, with as many in a batch as under load.
fn bytes_per_order(address: SocketAddr, orders: &mut Orders) -> usize {
    let writer = find_thread(OURS[1]);
    let mut client = Client::new(address, CONNECTIONS[0]);
    client.drive(orders, TURN);
    let before = written(&writer);
    let answered = client.drive(orders, TURN);
    let bytes = written(&writer).saturating_sub(before);
    usize::try_from(bytes / u64::from(answered.max(1))).expect("few bytes")
}

/// The bytes that a thread has handed to the file system.
fn written(thread: &str) -> u64 {
    let text = std::fs::read_to_string(format!("{thread}/io")).expect("the thread's figures");
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("the bytes written");
    line.parse().expect("a number")
}

/// Both sides in turn.
fn compare(mut ours: Side, mut bare: Side, orders: &mut Orders) {
    ours.drive(orders);
    bare.drive(orders);
    println!("pair  firstcome/s  bare/s  ratio  CPU us of ours, of bare");
    let (mut ratios, mut costs) = (Vec::new(), Vec::new());
    let turns = if is_smoke_test() { 1 } else { TURNS };
    for pair in 1..=measure::pairs(9) {
        let (mut a, mut b) = (Round::default(), Round::default());
        for _ in 0..turns {
            a += ours.drive(orders);
            b += bare.drive(orders);
        }
        let ratio = a.per_second() / b.per_second();
        println!(
            "{pair:4}  {:11.0}  {:6.0}  {ratio:5.3}  {:5.1}, {:5.1}",
            a.per_second(),
            b.per_second(),
            a.cpu_us(),
            b.cpu_us()
        );
        ratios.push(ratio);
        costs.push(b.cpu_us() / a.cpu_us());
        ours.rounds.push(a);
        bare.rounds.push(b);
    }
    ours.report();
    bare.report();
    println!("ratio by CPU time: {}", spread(&mut costs));
    println!("ratio: {}; the aim is {RATIO_AIM}", spread(&mut ratios));
    let mut rates: Vec<f64> = ours.rounds.iter().map(Round::per_second).collect();
    let figure = json!({ "per_second": median(&mut rates), "ratio": median(&mut ratios) });
    measure::record(&format!("limit, {}", ours.client.connections()), figure);
}

/// One of the two servers, with the client's connections to it.
struct Side {
    name: &'static str,
    /// The serving thread and the writer.
    threads: [String; 2],
    client: Client,
    rounds: Vec<Round>,
}

/// The orders of one server in one pair.
#[derive(Default)]
struct Round {
    orders: u32,
    took: Duration,
    /// Names of the serving thread and of the writer.
    cpu: [Duration; 2],
}

impl Round {
    fn per_second(&self) -> f64 {
        f64::from(self.orders) / self.took.as_secs_f64()
    }

    /// CPU time of an order on one thread, in microseconds.
    fn cpu_us_of(&self, thread: usize) -> f64 {
        self.cpu[thread].as_secs_f64() * 1e6 / f64::from(self.orders.max(1))
    }

    fn cpu_us(&self) -> f64 {
        self.cpu_us_of(0) + self.cpu_us_of(1)
    }
}

impl AddAssign for Round {
    fn add_assign(&mut self, turn: Round) {
        self.orders += turn.orders;
        self.took += turn.took;
        self.cpu[0] += turn.cpu[0];
        self.cpu[1] += turn.cpu[1];
    }
}

impl Side {
    fn drive(&mut self, orders: &mut Orders) -> Round {
        let before = [cpu_time(&self.threads[0]), cpu_time(&self.threads[1])];
        let started = Instant::now();
        let answered = self.client.drive(orders, TURN);
        let took = started.elapsed();
        let cpu_since = |thread: usize| cpu_time(&self.threads[thread]).saturating_sub(before[thread]);
        Round { orders: answered, took, cpu: [cpu_since(0), cpu_since(1)] }
    }

    fn report(&self) {
        let medians = |pick: fn(&Round) -> f64| median(&mut self.rounds.iter().map(pick).collect::<Vec<f64>>());
        println!(
            "{:9}  {:6.0} orders/s; CPU of an order: serving thread {:5.1} us, writer {:5.1} us (medians)",
            self.name,
            medians(Round::per_second),
            medians(|round| round.cpu_us_of(0)),
            medians(|round| round.cpu_us_of(1)),
        );
    }
}
