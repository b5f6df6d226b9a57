//! The door under a crowd: what its table takes with a million addresses, and how long a good client's admission takes then.
//!
//! A good client is a buyer with a token. A thousand of them come in turn: at an empty door, and at one whose table holds a
//! million addresses while newcomers arrive between their requests.
//!
//! `cargo bench --bench door`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

mod measure;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use firstcome::admission::Caller;
use firstcome::admission::address::ClientAddress;
use firstcome::admission::limits::{Client, Door};
use firstcome::config::{Config, RiskSettings};
use firstcome::telemetry::Telemetry;
use firstcome::types::{BuyerText, Tier};
use measure::{is_smoke_test, median, pairs, record};
use serde_json::json;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ADDRESSES: u32 = 1_000_000;
const GOOD_CLIENTS: u32 = 1_000;
/// Newcomers between two requests of good clients.
const NEWCOMERS: u32 = 10;
/// What the issue allows the table.
const BYTES_MAX: u64 = 64 << 20;

/// The percentiles of a good client's admission.
struct Percentiles {
    p50: Duration,
    p99: Duration,
}

fn main() {
    let (addresses, requests) = if is_smoke_test() { (10_000, 1_000) } else { (ADDRESSES, 200_000) };
    let before = resident();
    let (empty, full) = (door(), door());
    fill(&full, addresses);
    let bytes = resident().saturating_sub(before);
    println!("{addresses} addresses: {bytes} resident bytes; at most {BYTES_MAX} are allowed");
    assert!(bytes <= BYTES_MAX, "the table takes more than it may");
    let mut crowd = addresses;
    let mut ratios = Vec::new();
    for _ in 0..pairs(9) {
        let alone = admit(&empty, requests, || {});
        let beside = admit(&full, requests, || {
            for number in crowd..crowd + NEWCOMERS {
                arrive(&full, number);
            }
            crowd += NEWCOMERS;
        });
        println!(
            "empty: p50 {:?}, p99 {:?}; full, with newcomers: p50 {:?}, p99 {:?}",
            alone.p50, alone.p99, beside.p50, beside.p99
        );
        ratios.push(beside.p99.as_secs_f64() / alone.p99.as_secs_f64());
    }
    let ratio = median(&mut ratios);
    println!("p99 of a good client beside the empty door's: {ratio:.2} (median; the aim is 2)");
    record("the door", json!({ "addresses": addresses, "bytes": bytes, "p99_ratio": ratio }));
}

fn door() -> Door {
    let settings = Config::defaults().admission;
    Door::new(&settings, &RiskSettings::default(), false, &Telemetry::new())
}

fn at(door: &Door, number: u32) -> Client {
    door.client(ClientAddress::new(Ipv4Addr::from(0x0a00_0000 + number).into()), true, false)
}

/// Lets one address come without a token.
fn arrive(door: &Door, number: u32) {
    let _passed_or_not = door.write(at(door, number), &Caller::Anonymous, Instant::now());
}

fn fill(door: &Door, addresses: u32) {
    (0..addresses).for_each(|number| arrive(door, number));
}

/// Admits requests of good clients, and times each; `between` runs before each of them.
fn admit(door: &Door, requests: u32, mut between: impl FnMut()) -> Percentiles {
    let buyers: Vec<Caller> = (0..GOOD_CLIENTS)
        .map(|number| Caller::Buyer(BuyerText::new(&format!("buyer-{number}")).expect("a buyer"), Tier::Premium))
        .collect();
    let campus = ClientAddress::new(Ipv4Addr::new(198, 51, 100, 1).into());
    let mut times: Vec<Duration> = buyers
        .iter()
        .cycle()
        .take(usize::try_from(requests).expect("small"))
        .map(|caller| {
            between();
            let began = Instant::now();
            let client = door.client(campus, true, false);
            let _passed_or_not = black_box(door.write(client, caller, began));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    Percentiles { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}
