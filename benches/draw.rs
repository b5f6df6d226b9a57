//! The draw of a million tickets: seconds, the longest slice, and memory.
//!
//! A slice is what one call does before its caller can do other work: 4,096 tickets. It is measured as CPU time of the thread, so
//! that a busy machine does not lengthen it. Memory is the growth of the process up to its peak, allocator included.
//!
//! `cargo bench --bench draw`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

mod measure;

use std::num::NonZeroU32;
use std::time::Duration;

use firstcome::engine::draw::{DrawRun, DrawStep, Drawn, TicketSet, TreeBuilder};
use firstcome::types::{Beacon, Digest, Seed, TicketDigest, TicketNumber};
use measure::{own_cpu_time, record};
use serde_json::json;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TICKETS: u32 = 1_000_000;
const SLICE: NonZeroU32 = NonZeroU32::new(4096).expect("not 0");
/// The draw may delay a thread that interleaves it with other work by this much at a time.
const SLICE_MAX: Duration = Duration::from_millis(20);
/// Prefix, number and position of a ticket, and a third beside for pages and buckets.
const BYTES_OF_TICKET_MAX: u64 = 24;

fn main() {
    let tickets = TICKETS;
    let before = peak();
    let seed = Seed::random();
    let commitment = seed.commitment();
    let digest = |number: u32| TicketDigest::of(&commitment, &Digest(u128::from(number).to_be_bytes()));
    let began = own_cpu_time();
    let mut builder = TreeBuilder::default();
    (1..=tickets).for_each(|number| builder.push(&digest(number)));
    let tree = builder.finish();
    let tree_time = own_cpu_time() - began;
    let began = own_cpu_time();
    let (drawn, longest) = draw(&tree.tickets(), &seed);
    let draw_time = own_cpu_time() - began;
    let bytes = peak().saturating_sub(before) / u64::from(tickets);
    let last = TicketNumber::new(tickets).expect("not 0");
    let block: Vec<_> = tree.block_of(last).map(digest).collect();
    let began = own_cpu_time();
    let path = tree.path(last, &block).expect("a ticket of the tree");
    let path_time = own_cpu_time() - began;
    println!(
        "{tickets} tickets: tree {tree_time:?}, draw {draw_time:?}, its longest slice {longest:?} (at most {SLICE_MAX:?}), \
         {bytes} bytes for each ticket at the peak (at most {BYTES_OF_TICKET_MAX}); a path of {} nodes {path_time:?}",
        path.len()
    );
    assert!(drawn.order.position(last).is_some(), "every ticket has a position");
    assert!(longest <= SLICE_MAX, "a slice takes too long");
    assert!(bytes <= BYTES_OF_TICKET_MAX, "the draw takes too much memory");
    let seconds = |time: Duration| time.as_secs_f64();
    record(
        "the draw",
        json!({
            "tickets": tickets, "tree_seconds": seconds(tree_time), "draw_seconds": seconds(draw_time),
            "longest_slice_seconds": seconds(longest), "bytes_of_ticket": bytes, "path_seconds": seconds(path_time),
        }),
    );
}

/// Draws in slices, and returns the CPU time of the longest one.
fn draw(tickets: &TicketSet, seed: &Seed) -> (Drawn, Duration) {
    let mut longest = Duration::ZERO;
    let mut run = DrawRun::new(tickets, seed, &Beacon::default());
    loop {
        let began = own_cpu_time();
        let step = run.step(SLICE);
        longest = longest.max(own_cpu_time() - began);
        match step {
            DrawStep::More(next) => run = next,
            DrawStep::Done(drawn) => return (drawn, longest),
        }
    }
}

/// The most resident bytes that this process has had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}
