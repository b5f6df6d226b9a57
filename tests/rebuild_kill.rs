//! `recover` and `migrate`, killed after every system call that changes a file (pages written in a row are one). Whatever they leave: a server starts with
//! everything that was acknowledged, or is refused; and the same command, run again, keeps everything.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::print_stdout, reason = "the test says what it tried")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod tracing_kill;
mod writing;

use std::collections::BTreeMap;
use std::path::Path;

use firstcome::store::fault_marker::MARKER_FILE;
use firstcome::store::migrate::migrate;
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::restore::{RestorePlan, restore};
use firstcome::store::{Store, StoreError, load, verify};
use firstcome::writer::clock::wall_clock;
use tracing_kill::kill_after;
use writing::{create, decided, end, options, order, prepare, run};

const PARTS: [&str; 3] = ["firstcome.db", "firstcome.db-wal", "firstcome.watermark"];

/// One test at a time: a process that another test starts holds the locks of this one until its exec.
static ONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

type Files = BTreeMap<&'static str, Vec<u8>>;

fn read_files(directory: &Path) -> Files {
    PARTS.into_iter().filter_map(|name| std::fs::read(directory.join(name)).ok().map(|bytes| (name, bytes))).collect()
}

/// Puts these files into a directory, in place of those that it has.
fn put(directory: &Path, files: &Files) {
    std::fs::create_dir_all(directory).expect("made");
    for name in PARTS.into_iter().chain(["firstcome.db-shm", MARKER_FILE]) {
        let _absent = std::fs::remove_file(directory.join(name));
    }
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).expect("written");
    }
}

/// What clients were told: every order, every event, every counter.
fn told(directory: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(directory.join(PARTS[0])).expect("opened");
    let mut lines = Vec::new();
    for sql in [
        "SELECT format('order %d %d %s %d %s', seq, drop_id, buyer, quantity, state) FROM orders ORDER BY seq",
        "SELECT format('event %d %s %d', seq, kind, quantity) FROM audit ORDER BY seq",
        "SELECT format('drop %d %d', id, total) FROM drops ORDER BY id",
    ] {
        let mut statement = connection.prepare(sql).expect("prepared");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("asked");
        lines.extend(rows.collect::<Result<Vec<_>, _>>().expect("read"));
    }
    lines
}

fn start(directory: &Path) -> Result<(), StoreError> {
    let store = Store::open(directory, wall_clock())?;
    load::load_verified(&store, 1000).map(drop)
}

/// Sells to some buyers. The files are read while the log holds the sale, as a process that is killed leaves them.
fn sell(directory: &Path, buyers: &[String]) -> Files {
    let (writer, handle) = prepare(directory, options());
    let thread = run(writer);
    if handle.published.seq() == 0 {
        decided(create(&handle, 1000, 3600));
    }
    for buyer in buyers {
        decided(order(&handle, buyer).expect("let in"));
    }
    let files = read_files(directory);
    end(&handle, thread);
    files
}

fn buyers(prefix: &str, count: u32) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// A sale, and the same sale some orders later.
fn sales(scratch: &Path) -> (Files, Files) {
    let directory = scratch.join("sale");
    sell(&directory, &buyers("early", 4));
    (sell(&directory, &buyers("before", 6)), sell(&directory, &buyers("later", 5)))
}

/// Kills a command after each call that changes a file, and checks what follows.
fn kill_everywhere(scratch: &Path, command: &str, files: &Files, check: impl Fn(&Path, &str)) {
    kill_everywhere_with(scratch, command, &[], files, check);
}

/// The same with further arguments.
fn kill_everywhere_with(scratch: &Path, command: &str, more: &[&str], files: &Files, check: impl Fn(&Path, &str)) {
    for calls in 1.. {
        let directory = scratch.join(format!("{command}-{calls}"));
        put(&directory, files);
        let killed = kill_after(&[&[command, "--data", directory.to_str().expect("a path")], more].concat(), calls);
        let what = match &killed {
            Some(call) => format!("{command} killed after change {calls} ({call})"),
            None => format!("{command} came to its end"),
        };
        check(&directory, &what);
        std::fs::remove_dir_all(&directory).expect("removed");
        if killed.is_none() {
            println!("{command}: killed after each of {} changes", calls - 1);
            assert!(calls > 30, "{command} makes few changes: {calls}");
            return;
        }
    }
}

#[test]
fn a_recovery_that_is_killed_anywhere_keeps_what_is_sold_before_and_after_it() {
    let _one = ONE.lock();
    let scratch = tempfile::tempdir().expect("scratch");
    let (files, _) = sales(scratch.path());
    put(&scratch.path().join("expected"), &files);
    let before = told(&scratch.path().join("expected"));
    kill_everywhere(scratch.path(), "recover", &files, |directory, what| {
        let mut expected = before.clone();
        match start(directory) {
            Ok(()) => {
                sell(directory, &buyers("between", 3));
                expected = told(directory);
                assert!(before.iter().all(|line| expected.contains(line)), "{what}: it started with less");
            }
            Err(error) => assert_eq!(error.exit_code(), 74, "{what}: {error}"),
        }
        recover(directory, wall_clock(), AcceptedRisks::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        start(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(told(directory), expected, "{what}");
        assert_eq!(verify::verify(directory).expect("verified").problems, Vec::<String>::new());
    });
}

#[test]
fn a_migration_that_is_killed_anywhere_is_completed_by_the_next() {
    let _one = ONE.lock();
    let scratch = tempfile::tempdir().expect("scratch");
    let old = scratch.path().join("old");
    std::fs::create_dir(&old).expect("made");
    let connection = rusqlite::Connection::open(old.join(PARTS[0])).expect("opened");
    connection.execute_batch(include_str!("fixtures/schema-2.sql")).expect("loaded");
    drop(connection);
    writing::mark_older_file(&old, 0);
    let (files, before) = (read_files(&old), told(&old));
    kill_everywhere(scratch.path(), "migrate", &files, |directory, what| {
        if let Err(error) = start(directory) {
            assert!([65, 74].contains(&error.exit_code()), "{what}: {error}");
        }
        migrate(directory, wall_clock(), AcceptedRisks::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        start(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(told(directory), before, "{what}");
    });
}

#[test]
fn a_rebuilt_file_never_takes_the_place_of_files_that_have_moved_on() {
    let _one = ONE.lock();
    let scratch = tempfile::tempdir().expect("scratch");
    let (files, later) = sales(scratch.path());
    put(&scratch.path().join("expected"), &later);
    let expected = told(&scratch.path().join("expected"));
    kill_everywhere(scratch.path(), "recover", &files, |directory, what| {
        // An operator puts a later backup back, and takes the marker away.
        put(directory, &later);
        match start(directory) {
            Ok(()) => assert!(!directory.join("rebuilt").exists(), "{what}: it starts beside a rebuilt file"),
            Err(error) => assert_eq!(error.exit_code(), 74, "{what}: {error}"),
        }
        recover(directory, wall_clock(), AcceptedRisks::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        start(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        // What was put back is a copy, if the note of a file before it is there: then a new epoch begins.
        let mut found = told(directory);
        found.retain(|line| !line.ends_with(" events_lost 0"));
        assert_eq!(found, expected, "{what}: acknowledged sales are gone");
    });
}

#[test]
fn a_restore_that_is_killed_anywhere_leaves_the_old_file_or_is_completed_by_the_next() {
    let _one = ONE.lock();
    let scratch = tempfile::tempdir().expect("scratch");
    let (files, later) = sales(scratch.path());
    let (early, backup) = (scratch.path().join("early"), scratch.path().join("backup.db"));
    put(&early, &files);
    let expected = told(&early);
    let copied = rusqlite::Connection::open(early.join(PARTS[0])).expect("opened");
    copied.execute("VACUUM INTO ?1", [backup.to_str().expect("a path")]).expect("copied");
    put(&scratch.path().join("late"), &later);
    let before = told(&scratch.path().join("late"));
    let events = |lines: &[String]| lines.iter().filter(|line| line.starts_with("event ")).count();
    let lost = u64::try_from(events(&before) - events(&expected)).expect("more");
    let accepted = format!("--accept-loss={lost}");
    let more = [backup.to_str().expect("a path"), accepted.as_str()];
    let is_restored = |directory: &Path| {
        let mut found = told(directory);
        found.retain(|line| !line.contains(" events_lost "));
        found == expected
    };
    kill_everywhere_with(scratch.path(), "restore", &more, &later, |directory, what| {
        match start(directory) {
            Ok(()) => {
                assert!(told(directory) == before || is_restored(directory), "{what}: neither the one nor the other")
            }
            Err(error) => assert_eq!(error.exit_code(), 74, "{what}: {error}"),
        }
        let plan = RestorePlan { backup: &backup, directory, newer: None, accept_loss: Some(lost), now: wall_clock() };
        match restore(&plan) {
            Ok(_) => {}
            // It had come to its end: the event of the loss is what the backup lacks now.
            Err(StoreError::OtherLoss { missing: 1, .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        assert!(is_restored(directory), "{what}");
        start(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(verify::verify(directory).expect("verified").problems, Vec::<String>::new(), "{what}");
    });
}
