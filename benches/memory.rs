//! Resident bytes of the engine for each live order and for each remembered key, allocator included.
//!
//! Every figure is of a process of its own, which holds nothing else: the difference to a process that holds nothing,
//! divided by the count.
//!
//! `cargo bench --bench memory`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

mod measure;

use std::process::Command as Process;

use firstcome::engine::{Command, Effect, OrderCommand, Outcome, State};
use measure::sale::{create, order, take};
use measure::{is_smoke_test, record};
use serde_json::json;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The variable that tells a process of this bench what to hold: a word and a count.
const HOLD: &str = "FIRSTCOME_BENCH_HOLD";
const COUNTS: [u32; 4] = [30_000, 100_000, 300_000, 1_000_000];
/// The server's default.
const KEYS_MAX: usize = 1_000_000;
/// What the README promises.
const BYTES_OF_LIVE_ORDER: u32 = 200;
const BYTES_OF_KEY: u32 = 40;

fn main() {
    if let Ok(hold) = std::env::var(HOLD) {
        let (what, count) = hold.split_once(' ').expect("a word and a count");
        return hold_and_tell(what, count.parse().expect("a count"));
    }
    println!("orders     bytes of a live order, its key included     bytes of a remembered key");
    let nothing = resident("live", 0);
    for count in COUNTS {
        let count = if is_smoke_test() { count / 100 } else { count };
        let each = |what| resident(what, count).saturating_sub(nothing) / u64::from(count);
        let (live, key) = (each("live"), each("ended"));
        println!("{count:8}  {live:42}  {key:28}");
        record(&format!("memory of {count:09}"), json!({ "orders": count, "live_bytes": live, "key_bytes": key }));
    }
    let both = BYTES_OF_LIVE_ORDER + BYTES_OF_KEY;
    println!("the aim is {both} ({BYTES_OF_LIVE_ORDER} and its key) and {BYTES_OF_KEY}");
}

/// Resident bytes of a process that holds this.
fn resident(what: &str, count: u32) -> u64 {
    let program = std::env::current_exe().expect("this program");
    // What is freed goes back to the system at once here, in a server a little later: tables that grew leave much.
    let told = Process::new(program)
        .env(HOLD, format!("{what} {count}"))
        .env("MIMALLOC_PURGE_DELAY", "0")
        .output()
        .expect("run");
    assert!(told.status.success(), "{told:?}");
    String::from_utf8_lossy(&told.stdout).trim().parse().expect("a number")
}

fn hold_and_tell(what: &str, count: u32) {
    let mut state = State::new(KEYS_MAX);
    let mut events = Vec::new();
    take(&mut state, &create(u32::MAX), &mut events);
    for number in 0..count {
        let Outcome::Accepted(Effect::Reserved(reservation)) = take(&mut state, &order(number), &mut events) else {
            panic!("order {number} was refused")
        };
        if what == "ended" {
            take(&mut state, &Command::Order(OrderCommand::Cancel { order: reservation.order }), &mut events);
            state.release_settled();
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    println!("{}", kilobytes * 1024);
    assert_eq!(state.orders_in_memory(), if what == "ended" { 0 } else { usize::try_from(count).expect("small") });
}
