//! The engine alone: advance, decide and evolve, without queue and file.
//!
//! `cargo bench --bench engine`

#![expect(clippy::expect_used, reason = "a bench: what fails ends it")]

mod measure;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use firstcome::engine::{Command, Event, OrderCommand, Outcome, State};
use firstcome::types::Seq;
use measure::is_smoke_test;
use measure::sale::{self, RESERVATION_SECONDS, START, order, sold_out, state};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As the writer's.
const EVENTS_MAX: usize = 4096;

/// A count, or a small one where it is only to be seen that the bench runs.
fn count(usual: u32) -> u32 {
    if is_smoke_test() { 1_000 } else { usual }
}

/// One command as the writer takes it.
fn take(state: &mut State, command: &Command, events: &mut Vec<Event>) -> Outcome {
    black_box(sale::take(state, black_box(command), events))
}

/// Times `iterations` runs of `run` over its commands, on a fresh state for each round of them.
fn rounds(iterations: u64, commands: &[Command], fresh: impl Fn() -> State) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = usize::try_from(iterations).expect("few");
    let mut events = Vec::new();
    while left > 0 {
        let round = &commands[..left.min(commands.len())];
        let mut state = fresh();
        let started = Instant::now();
        for command in round {
            take(&mut state, command, &mut events);
        }
        took += started.elapsed();
        left -= round.len();
    }
    took
}

fn orders(criterion: &mut Criterion) {
    let commands: Vec<Command> = (0..count(100_000)).map(order).collect();
    let mut group = criterion.benchmark_group("decide and evolve");
    group.throughput(Throughput::Elements(1));
    group.bench_function("an accepted order", |bencher| {
        bencher.iter_custom(|iterations| rounds(iterations, &commands, || state(u32::MAX)));
    });
    let live = count(100_000);
    // The first event made the drop, the orders follow.
    let checkouts: Vec<Command> = (0..u64::from(live))
        .map(|number| Command::Order(OrderCommand::Checkout { order: Seq::new(number + 2).expect("a number") }))
        .collect();
    group.sample_size(10);
    group.bench_function("a checkout among 100,000 live orders", |bencher| {
        bencher.iter_custom(|iterations| rounds(iterations, &checkouts, || sold_out(live)));
    });
    group.finish();
}

fn refusals(criterion: &mut Criterion) {
    let live = count(1_000_000);
    let mut state = sold_out(live);
    // More than the caches hold, so that looking up keys costs what it costs.
    let late: Vec<Command> = (live..live + count(100_000)).map(order).collect();
    let again: Vec<Command> = (0..live).step_by(7).map(order).collect();
    let mut group = criterion.benchmark_group("decide, a million remembered keys");
    group.throughput(Throughput::Elements(1));
    let mut events = Vec::new();
    for (name, commands) in [("sold out", &late), ("the same key again", &again)] {
        let mut next = commands.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| take(&mut state, next.next().expect("for ever"), &mut events));
        });
    }
    group.finish();
}

fn expiry(criterion: &mut Criterion) {
    let live = count(100_000);
    let mut group = criterion.benchmark_group("advance");
    group.throughput(Throughput::Elements(u64::from(live)));
    group.sample_size(10);
    group.bench_function("100,000 reservations that lapse at one instant", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                let mut state = sold_out(live);
                let mut events = Vec::with_capacity(EVENTS_MAX);
                let started = Instant::now();
                while !state.advance(START.plus_seconds(RESERVATION_SECONDS), &mut events, EVENTS_MAX) {
                    events.clear();
                    state.release_settled();
                }
                took += started.elapsed();
            }
            took
        });
    });
    group.finish();
}

criterion_group!(benches, orders, refusals, expiry);
criterion_main!(benches);
