//! What a capture holds replays: the same outcomes and, byte for byte, the same events; after a gap it goes on.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for some records")]

mod captured;

use std::path::PathBuf;

use captured::{Sale, limits, records, replayed};
use firstcome::capture::format::Record;
use firstcome::capture::recorder::Limits;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("scratch");
    let path = scratch.path().join("sale.capture");
    (scratch, path)
}

#[test]
fn every_command_of_random_sales_is_captured_and_replays() {
    let (mut admitted, mut due_alone) = (0u32, 0u32);
    for seed in 0..captured::model::scaled(200, 25) {
        let (_scratch, path) = scratch();
        // Few keys may be remembered in every other world, so that some are forgotten early.
        let keys_max = if seed % 2 == 0 { 1_000_000 } else { 20 };
        let (mut sale, recorder) = Sale::new(seed, keys_max, &path, limits());
        let thread = std::thread::spawn(|| recorder.run());
        sale.batches(60);
        let (decided, events) = (sale.decided, sale.state.seq().get());
        drop(sale);
        thread.join().expect("recorded");
        let bytes = std::fs::read(&path).expect("a file");
        let found = replayed(&bytes).expect("whole");
        assert_eq!(found.difference, None, "seed {seed}");
        assert_eq!((found.commands, found.events), (decided, events), "seed {seed}");
        assert_eq!((found.snapshots, found.gaps, found.torn_at), (1, 0, None));
        for (_, record) in records(&bytes) {
            match record {
                Record::Decided(recorded) => admitted += u32::from(!recorded.admitted.is_empty()),
                Record::Committed(committed) => due_alone += u32::from(committed.events != 0),
                _ => {}
            }
        }
    }
    assert!(admitted > 10 && due_alone > 10, "loaded orders ({admitted}) and expiries alone ({due_alone}) are in it");
}

#[test]
fn after_a_gap_comes_a_snapshot_and_the_replay_goes_on() {
    for seed in 0..captured::model::scaled(60, 24) {
        let (_scratch, path) = scratch();
        let (mut sale, recorder) = Sale::new(seed, 1000, &path, Limits { waiting_max: 150, ..limits() });
        // Nobody records yet: what does not fit is left out.
        sale.batches(80);
        let begun = std::fs::metadata(&path).expect("a file").len();
        let thread = std::thread::spawn(|| recorder.run());
        let grown = || std::fs::metadata(&path).is_ok_and(|file| file.len() > begun);
        while !grown() {
            std::thread::yield_now();
        }
        for _ in 0..40 {
            sale.batches(1);
            std::thread::yield_now();
        }
        let decided = sale.decided;
        let settled = sale.state.seq();
        drop(sale);
        thread.join().expect("recorded");
        let bytes = std::fs::read(&path).expect("a file");
        let found = replayed(&bytes).expect("whole");
        assert_eq!(found.difference, None, "seed {seed}");
        assert!(found.gaps >= 1 && found.missing > 0, "seed {seed}: {} gaps", found.gaps);
        assert!(found.commands + found.missing <= decided, "seed {seed}");
        let committed = records(&bytes).into_iter().rev().find_map(|(_, record)| match record {
            Record::Committed(committed) => Some(committed.seq),
            _ => None,
        });
        assert!(committed.is_some_and(|seq| seq <= settled));
    }
}

#[test]
fn a_batch_that_was_thrown_away_leaves_nothing() {
    let (_scratch, path) = scratch();
    let (mut sale, recorder) = Sale::new(5, 1000, &path, limits());
    sale.batches(20);
    sale.flush();
    let (durable, before) = (sale.durable.lock().clone(), sale.decided);
    for _ in 0..5 {
        sale.step();
    }
    // The disk was full: the state is loaded again.
    sale.throw_away();
    assert!(sale.state == durable);
    sale.batches(20);
    let decided = sale.decided;
    drop(sale);
    recorder.run();
    let found = replayed(&std::fs::read(&path).expect("a file")).expect("whole");
    assert_eq!(found.difference, None);
    assert!(found.commands >= before && found.commands <= decided - 5, "{} of {decided}", found.commands);
    assert_eq!(found.gaps, 1);
}

#[test]
fn a_full_capture_ends_and_what_it_has_replays() {
    let (_scratch, path) = scratch();
    let (mut sale, recorder) = Sale::new(9, 1000, &path, Limits { bytes_max: 20_000, ..limits() });
    sale.batches(400);
    drop(sale);
    recorder.run();
    let bytes = std::fs::read(&path).expect("a file");
    assert!(bytes.len() < 40_000, "{} bytes", bytes.len());
    let found = replayed(&bytes).expect("whole");
    assert!(found.commands > 50);
    assert_eq!((found.difference, found.torn_at), (None, None));
}

#[test]
fn a_file_that_is_there_is_left_alone_and_nobody_else_may_read_a_capture() {
    use std::os::unix::fs::PermissionsExt;
    let (_scratch, path) = scratch();
    std::fs::write(&path, "mine").expect("written");
    let (_sale, recorder) = Sale::new(1, 1000, &path, limits());
    assert_eq!(std::fs::read(&path).expect("read"), b"mine");
    assert_eq!(recorder.path().extension().expect("a number"), "1");
    let mode = std::fs::metadata(recorder.path()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
