//! The engine alone: advance, decide and evolve, without queue and file.
//!
//! `cargo bench --bench engine`

#![expect(clippy::expect_used, reason = "a bench: what fails ends it")]

mod measure;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use firstcome::engine::{Command, CommandKey, DropSpec, Event, Outcome, State};
use firstcome::types::{Currency, Digest, DropId, Quantity, Seq, UnitPrice, UnixMillis};
use measure::is_smoke_test;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const START: UnixMillis = UnixMillis::ZERO;
const RESERVATION_SECONDS: u32 = 120;
/// As the writer's.
const EVENTS_MAX: usize = 4096;

/// A count, or a small one where it is only to be seen that the bench runs.
fn count(usual: u32) -> u32 {
    if is_smoke_test() { 1_000 } else { usual }
}

/// Uniformly distributed bytes, as keyed digests are (splitmix64).
fn digest(number: u32, purpose: u64) -> Digest {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (high, low) = (mix(u64::from(number) * 4 + purpose), mix(u64::from(number) * 4 + purpose + (1 << 40)));
    Digest(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}

fn order(number: u32) -> Command {
    Command::PlaceOrder {
        drop_id: DropId::new(1).expect("not 0"),
        buyer: digest(number, 0),
        key: digest(number, 1),
        quantity: Quantity::ONE,
        contact_given: false,
    }
}

/// A state with one live drop.
fn state(total: u32) -> State {
    let spec = DropSpec {
        sku: "S".into(),
        name: "N".into(),
        description: None,
        image_url: None,
        currency: Currency::new("EUR").expect("a currency"),
        unit_price: UnitPrice::new(100).expect("a price"),
        total,
        starts_at: START,
        ends_at: None,
        per_buyer_limit: 1,
        reservation_seconds: RESERVATION_SECONDS,
        payment_seconds: 900,
    };
    let key = CommandKey { digest: digest(0, 2), params: digest(0, 3) };
    let mut state = State::new(4_000_000);
    state.apply(START, &Command::CreateDrop { key, spec: Box::new(spec) }, &mut Vec::new());
    state
}

/// A state with so many live orders of a drop that has no more units.
fn sold_out(orders: u32) -> State {
    let mut state = state(orders);
    let mut events = Vec::new();
    for number in 0..orders {
        let outcome = state.apply(START, &order(number), &mut events);
        assert!(matches!(outcome, Outcome::Reserved(_)), "{outcome:?}");
        events.clear();
    }
    state
}

/// One command as the writer takes it.
fn take(state: &mut State, command: &Command, events: &mut Vec<Event>) -> Outcome {
    events.clear();
    black_box(state.apply(START, black_box(command), events))
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
        .map(|number| Command::Checkout { order: Seq::new(number + 2).expect("a number") })
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
