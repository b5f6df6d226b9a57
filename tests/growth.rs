//! The file only grows: the bytes of an order that its buyer gives back, again and again, are the document's.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod writing;

use std::path::Path;
use std::time::Duration;

use firstcome::engine::{Command, OrderCommand};
use firstcome::store::Durability;
use firstcome::writer::{Class, Submission, WriterHandle, WriterOptions};
use writing::{create, decided, end, options, order_with_key, prepare, run};

const DOCUMENT: &str = include_str!("../src/README.md");
const CYCLES: u64 = 1000;
/// Most bytes of a cycle, as the document has it.
const CYCLE_BYTES_MAX: u64 = 600;

fn cycle(handle: &WriterHandle, key: u64) {
    let placed = decided(order_with_key(handle, &"b".repeat(64), &key.to_be_bytes()).expect("let in"));
    let order = placed.outcome.order_made().expect("an order");
    let command = Command::Order(OrderCommand::Cancel { order });
    decided(handle.submit(Submission { command, private_data: None, class: Class::Buyer }).expect("let in"));
}

/// Runs cycles, ends in order, and returns the size of the database.
fn size_after(directory: &Path, keys: std::ops::Range<u64>) -> u64 {
    let interval = Durability::Interval(Duration::from_millis(20));
    let (writer, handle) = prepare(directory, WriterOptions { durability: interval, ..options() });
    let thread = run(writer);
    if keys.start == 0 {
        decided(create(&handle, 1, 3600));
    }
    keys.for_each(|key| cycle(&handle, key));
    end(&handle, thread);
    std::fs::metadata(directory.join("firstcome.db")).expect("there").len()
}

#[test]
fn an_order_that_is_given_back_takes_no_more_bytes_than_the_document_says() {
    let scratch = tempfile::tempdir().expect("scratch");
    let directory = scratch.path().join("data");
    let before = size_after(&directory, 0..CYCLES);
    let after = size_after(&directory, CYCLES..2 * CYCLES);
    let bytes = (after - before) / CYCLES;
    println!("{bytes} bytes for each order that was given back");
    assert!(bytes <= CYCLE_BYTES_MAX, "{bytes} bytes");
    assert!(DOCUMENT.contains(&format!("at most {CYCLE_BYTES_MAX} bytes")), "src/README.md names the bound");
}
