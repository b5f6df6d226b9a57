//! The copy of a database beside its writer, which commits and checkpoints all the time: each copy is one state that there was.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use firstcome::store::{Store, StoreError};
use firstcome::types::UnixMillis;
use rusqlite::Connection;

const ROWS: i64 = 3000;
/// Units of all rows together: a transaction moves some from one row to another.
const UNITS: i64 = ROWS * 1000;

/// Numbers that look random, from the seed on.
fn next(seed: &mut u64) -> i64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    i64::try_from(*seed >> 33).expect("31 bits")
}

fn prepare(connection: &Connection) {
    connection
        .execute_batch(
            "CREATE TABLE moved (id INTEGER PRIMARY KEY, units INTEGER NOT NULL, note TEXT NOT NULL);
             CREATE INDEX moved_by_units ON moved (units);
             CREATE TABLE moves (id INTEGER PRIMARY KEY, note TEXT NOT NULL);",
        )
        .expect("made");
    let mut insert = connection.prepare("INSERT INTO moved VALUES (?1, 1000, ?2)").expect("prepared");
    connection.execute_batch("BEGIN").expect("begun");
    for id in 0..ROWS {
        insert.execute((id, "x".repeat(usize::try_from(id % 900).expect("small")))).expect("inserted");
    }
    connection.execute_batch("COMMIT").expect("committed");
}

/// Moves units between rows, checkpoints in every way, and tells the number of the last move.
fn write(store: &Store, seed: u64, done: &AtomicU64, ended: &AtomicBool) {
    let connection = &store.connection;
    let mut seed = seed;
    let mut number = 0;
    while !ended.load(Ordering::SeqCst) {
        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
        for _ in 0..next(&mut seed) % 20 {
            let (from, to, units) = (next(&mut seed) % ROWS, next(&mut seed) % ROWS, next(&mut seed) % 50);
            let note = "y".repeat(usize::try_from(next(&mut seed) % 900).expect("small"));
            let mut change = connection
                .prepare_cached("UPDATE moved SET units = units + ?2, note = ?3 WHERE id = ?1")
                .expect("prepared");
            change.execute((from, -units, &note)).expect("changed");
            change.execute((to, units, &note)).expect("changed");
        }
        number += 1;
        let note = "z".repeat(usize::try_from(next(&mut seed) % 2000).expect("small"));
        connection.execute("INSERT INTO moves VALUES (?1, ?2)", (number, note)).expect("inserted");
        // The database shrinks no more than it grows: free pages come and go.
        if number % 50 == 0 {
            connection.execute("DELETE FROM moves WHERE id < ?1 - 200", [number]).expect("deleted");
        }
        connection.execute_batch("COMMIT").expect("committed");
        done.store(u64::try_from(number).expect("positive"), Ordering::SeqCst);
        let way = match next(&mut seed) % 12 {
            0 => "TRUNCATE",
            1..4 => "PASSIVE",
            _ => continue,
        };
        let Some(_turn) = store.live_copy.checkpoint_turn() else { continue };
        connection.query_row(&format!("PRAGMA wal_checkpoint({way})"), [], |_| Ok(())).expect("copied");
    }
}

/// Checks a copy: sound, one state, and one of the time in which it was made. Returns the number of its last move.
fn check(copy: &Path, before: u64, after: u64) -> u64 {
    let connection = Connection::open(copy).expect("opened");
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(sound, "ok");
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!(one("SELECT sum(units) FROM moved"), UNITS, "a half transaction");
    let last = u64::try_from(one("SELECT max(id) FROM moves")).expect("positive");
    assert!(
        (before..=after + 1).contains(&last),
        "the state of move {last}, and the copy was made from {before} to {after}"
    );
    last
}

#[test]
fn a_copy_beside_a_writer_that_checkpoints_all_the_time_is_one_of_its_states() {
    let seed = std::env::var("FIRSTCOME_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        u64::from(std::process::id())
            ^ u64::try_from(std::time::UNIX_EPOCH.elapsed().expect("now").as_millis()).expect("small")
    });
    println!("seed {seed}");
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(&scratch.path().join("data"), UnixMillis::ZERO).expect("made");
    prepare(&store.connection);
    let copies = std::sync::Arc::clone(&store.live_copy);
    let (done, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // The connection goes to the thread that writes.
        let mut store = store;
        let (done, ended) = (&done, &ended);
        scope.spawn(move || {
            store.lost = None;
            write(&store, seed, done, ended);
        });
        while done.load(Ordering::SeqCst) < 100 {
            std::thread::yield_now();
        }
        let copied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..20 {
                let path = scratch.path().join(format!("copy-{number}.db"));
                let file = File::options().create_new(true).read(true).write(true).open(&path).expect("made");
                let before = done.load(Ordering::SeqCst);
                // The writer gets some commits and checkpoints in between two pieces.
                let pace = |_| -> Result<(), StoreError> {
                    let here = done.load(Ordering::SeqCst);
                    while done.load(Ordering::SeqCst) < here + 8 {
                        std::thread::yield_now();
                    }
                    Ok(())
                };
                copies.copy_to(&file, &path, pace).expect("copied");
                check(&path, before, done.load(Ordering::SeqCst));
                std::fs::remove_file(&path).expect("removed");
            }
        }));
        ended.store(true, Ordering::SeqCst);
        copied.expect("every copy is right");
    });
}

#[test]
fn a_copy_of_a_database_with_an_empty_log_or_without_a_checkpoint_is_whole() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(&scratch.path().join("data"), UnixMillis::ZERO).expect("made");
    prepare(&store.connection);
    store.connection.execute_batch("INSERT INTO moves VALUES (1, '')").expect("inserted");
    let copy = |name: &str| {
        let path = scratch.path().join(name);
        let file = File::options().create_new(true).read(true).write(true).open(&path).expect("made");
        store.live_copy.copy_to(&file, &path, |_| Ok(())).expect("copied");
        check(&path, 1, 1);
    };
    copy("all in the log");
    store.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("copied");
    copy("a log that is copied as a whole");
    store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("copied");
    copy("no log");
    let path = scratch.path().join("ended");
    let file = File::options().create_new(true).read(true).write(true).open(&path).expect("made");
    let refused = || StoreError::Backup { path: path.clone(), what: "is not wanted".into() };
    assert!(store.live_copy.copy_to(&file, &path, |_| Err(refused())).is_err());
    copy("after one that was given up");
}
