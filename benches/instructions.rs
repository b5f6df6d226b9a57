//! What must not get more expensive, as work for valgrind to count: instructions do not depend on what else the machine
//! does. `scripts/instructions.sh` runs each case under callgrind and holds the counts against `instructions.toml`.
//!
//! Without arguments: a line per case, its name and how many operations it counts. With a name: that case, whose
//! operations, and nothing else, run within [`counted`]. A case of HTTP also takes a number of requests: there all that
//! the serving thread does is counted, twice, and the difference is what the requests took; for orders, all that the writer's
//! thread does, too. So it is with the door's case,
//! which counts the door's functions alone.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

#[path = "limit/client.rs"]
#[expect(dead_code, reason = "other benches send for a time")]
mod client;
mod measure;
#[path = "instructions/parts.rs"]
mod parts;
#[path = "instructions/served.rs"]
mod served;
#[path = "limit/server.rs"]
mod server;

use measure::is_smoke_test;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A case: its name, how many operations it counts, and what runs it.
type Case = (&'static str, u32, fn(u32));

const CASES: [Case; 16] = [
    ("decide-and-evolve-an-order", 2_000, parts::order),
    ("refuse-sold-out", 2_000, parts::refusal),
    ("refuse-limit-reached", 2_000, parts::limit),
    ("repeat-a-key", 2_000, parts::repeat),
    ("checkout", 2_000, parts::checkout),
    ("expiry", 2_000, parts::expiry),
    ("record-an-order-in-batches-of-256", 2_048, parts::record),
    ("capture-write-a-record", 2_000, parts::capture_write),
    ("capture-read-a-record", 2_000, parts::capture_read),
    ("read-the-body-of-an-order", 2_000, parts::read_body),
    ("write-the-body-of-an-order", 2_000, parts::write_body),
    ("http-get-a-hot-drop", 2_000, served::hot_reads),
    ("http-get-a-hot-drop-with-limits", 2_000, served::limited_reads),
    ("http-order", 500, served::orders),
    ("http-batch-of-100-orders", 60, served::batches),
    ("door-of-a-hot-read", 2_000, served::limited_reads),
];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    match (arguments.next(), arguments.next()) {
        (None, _) if std::env::args().any(|argument| argument == "--list") => {
            CASES.iter().for_each(|(name, count, _)| println!("{name} {count}"));
        }
        (None, _) => {
            assert!(is_smoke_test(), "scripts/instructions.sh runs this");
            CASES.iter().for_each(|(_, _, run)| run(20));
        }
        (Some(wanted), count) => {
            let (_, usual, run) = CASES.iter().find(|(name, _, _)| *name == wanted).expect("a case");
            run(count.map_or(*usual, |count| count.parse().expect("a number")));
        }
    }
}

/// What callgrind counts: it looks for this name.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}
