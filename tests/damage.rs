//! Damaged, older, swapped and missing files: a start goes on with everything that was acknowledged, or refuses with
//! its exit code. It never begins with less.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;
mod writing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use firstcome::engine::{Command, PaymentCommand, RecordPayment};
use firstcome::store::fault_marker::FaultMarker;
use firstcome::store::migrate::migrate;
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::watermark::{Watermark, WatermarkRecord, WatermarkState};
use firstcome::store::{Store, StoreError, accepted_loss, load, verify};
use firstcome::types::Seq;
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{Class, Submission, WriterHandle};
use writing::{create, decided, end, options, order, prepare, run};

const DATABASE: &str = "firstcome.db";
const LOG: &str = "firstcome.db-wal";
const WATERMARK: &str = "firstcome.watermark";

type Files = BTreeMap<&'static str, Vec<u8>>;

fn read_files(directory: &Path) -> Files {
    [DATABASE, LOG, WATERMARK]
        .into_iter()
        .filter_map(|name| std::fs::read(directory.join(name)).ok().map(|bytes| (name, bytes)))
        .collect()
}

fn write_files(directory: &Path, files: &Files) -> PathBuf {
    if directory.exists() {
        std::fs::remove_dir_all(directory).expect("removed");
    }
    std::fs::create_dir(directory).expect("made");
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).expect("written");
    }
    directory.to_path_buf()
}

/// What clients were told: every order with its key, its buyer and its state, every event, every counter.
fn told(directory: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(directory.join(DATABASE)).expect("opened");
    let mut lines = Vec::new();
    for sql in [
        "SELECT format('order %d %s %d %s %s %d %d %d %s %d %d', seq, hex(secret), drop_id, buyer, hex(key_digest),
             quantity, returned, unit_price, state, received, refunded) FROM orders ORDER BY seq",
        "SELECT format('event %d %s %d %d %d', seq, kind, order_seq, quantity, amount) FROM audit ORDER BY seq",
        "SELECT format('drop %d %d %d %d', id, total, held, sold) FROM drops ORDER BY id",
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

/// Starts on these files: either everything is there, or it is refused with a code of the table.
fn never_less(directory: &Path, files: &Files, expected: &[String], what: &str) -> bool {
    let directory = write_files(directory, files);
    match start(&directory) {
        Ok(()) => {
            assert_eq!(told(&directory), expected, "{what}: it started, and something is not as it was told");
            true
        }
        Err(error) => {
            let code = error.exit_code();
            assert!([65, 66, 74].contains(&code), "{what}: exit {code}, {error}");
            false
        }
    }
}

fn pay(handle: &WriterHandle, order: u64) {
    let order = Seq::new(order).expect("in range");
    let currency = firstcome::types::Currency::new("EUR").expect("a currency");
    let amount = firstcome::types::Amount::new(100).expect("small");
    let command = Command::Payment(PaymentCommand::Record(RecordPayment {
        order,
        reference: "ref".into(),
        amount,
        currency,
        reason: "test".into(),
    }));
    decided(handle.submit(Submission { command, private_data: None, class: Class::Operator }).expect("let in"));
}

/// A sale in three stages; the files as a process that is killed leaves them after each, and what was told by the end.
/// Between the first and the second the log goes into the database.
fn sale(scratch: &Path, name: &str) -> (Vec<Files>, Vec<String>) {
    let directory = scratch.join(name);
    let mut stages = Vec::new();
    for stage in 0..2u64 {
        let (writer, handle) = prepare(&directory, options());
        let thread = run(writer);
        if stage == 0 {
            decided(create(&handle, 100, 3600));
        }
        for part in 0..2u64 {
            for buyer in 0..12 {
                decided(order(&handle, &format!("{name} {stage} {part} {buyer}")).expect("let in"));
            }
            pay(&handle, 3 + 26 * stage + 13 * part);
            if stage + part > 0 {
                stages.push(read_files(&directory));
            }
        }
        if stage == 1 {
            // The told ones are what the file has while it is whole.
            let lines = told(&directory);
            end(&handle, thread);
            return (stages, lines);
        }
        end(&handle, thread);
    }
    unreachable!("the last stage returns")
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_or_harmless() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (stages, expected) = sale(scratch.path(), "sale");
    let whole = stages.last().expect("a stage");
    let target = scratch.path().join("copy");
    assert!(never_less(&target, whole, &expected, "unharmed"));
    let (mut started, mut refused) = (0, 0);
    let per_file = if cfg!(debug_assertions) { 60 } else { 1500 };
    for name in [DATABASE, LOG, WATERMARK] {
        let bits = whole[name].len() * 8;
        let stride = (bits / per_file).max(1) | 1;
        for bit in (0..bits).step_by(stride) {
            let mut files = whole.clone();
            files.get_mut(name).expect("there")[bit / 8] ^= 1 << (bit % 8);
            if never_less(&target, &files, &expected, &format!("bit {bit} of {name}")) {
                started += 1;
            } else {
                refused += 1;
            }
        }
    }
    println!("{started} started with everything, {refused} refused");
    assert!(started > 0 && refused > 0, "{started} started, {refused} refused: the test sees both");
}

#[test]
fn a_file_that_was_cut_anywhere_is_noticed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (stages, expected) = sale(scratch.path(), "sale");
    let whole = stages.last().expect("a stage");
    let target = scratch.path().join("copy");
    let cuts = if cfg!(debug_assertions) { 12 } else { 120 };
    for name in [DATABASE, LOG, WATERMARK] {
        let length = whole[name].len();
        for cut in (0..length).step_by((length / cuts).max(1)) {
            let mut files = whole.clone();
            files.get_mut(name).expect("there").truncate(cut);
            let what = format!("{name} cut to {cut} of {length} bytes");
            let started = never_less(&target, &files, &expected, &what);
            // The log has pages that the database has not yet; nothing else has what the log has.
            assert!(!started || name != LOG, "{what}: it cannot have everything");
        }
    }
}

#[test]
fn older_files_and_other_sales_files_are_refused() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (stages, expected) = sale(scratch.path(), "sale");
    let (others, _) = sale(scratch.path(), "other");
    let whole = stages.last().expect("a stage");
    let target = scratch.path().join("copy");
    let strangers = stages.iter().rev().skip(1).chain(&others);
    for (n, stranger) in strangers.enumerate() {
        for swapped in [&[DATABASE][..], &[LOG], &[WATERMARK], &[DATABASE, LOG]] {
            let mut files = whole.clone();
            for name in swapped {
                files.insert(name, stranger[name].clone());
            }
            never_less(&target, &files, &expected, &format!("{swapped:?} of {n}"));
        }
    }
    for name in [DATABASE, LOG, WATERMARK] {
        let mut files = whole.clone();
        files.remove(name);
        assert!(!never_less(&target, &files, &expected, &format!("without {name}")), "without {name}");
    }
    let mut gone = whole.clone();
    gone.remove(DATABASE);
    let error = start(&write_files(&target, &gone)).expect_err("refused");
    assert!(error.exit_code() == 66 && !target.join(DATABASE).exists(), "{error}");
}

#[test]
fn a_loss_must_be_quoted_exactly_and_begins_a_new_epoch() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (stages, expected) = sale(scratch.path(), "sale");
    let mut files = stages.last().expect("a stage").clone();
    let log = files.get_mut(LOG).expect("there");
    let cut = log.len() / 2;
    log.truncate(cut);
    let directory = write_files(&scratch.path().join("copy"), &files);
    let Err(StoreError::EventsMissing { missing, .. }) = start(&directory) else { panic!("events are missing") };
    assert!(missing > 0);
    let quoted = |loss| recover(&directory, wall_clock(), AcceptedRisks { loss, without_watermark: false });
    for wrong in [None, Some(missing - 1), Some(missing + 1)] {
        let error = quoted(wrong).expect_err("refused");
        assert!(error.to_string().contains(&format!("{missing} events are missing")), "{error}");
        assert_eq!(read_files(&directory), files, "nothing has changed");
    }
    let recovered = quoted(Some(missing)).expect("recovered");
    assert_eq!(recovered.lost, missing);
    assert_eq!(std::fs::read(recovered.kept.join(LOG)).expect("kept"), files[LOG], "the old files are kept");
    let store = Store::open(&directory, wall_clock()).expect("starts");
    assert_eq!(store.epoch, 2);
    load::load_verified(&store, 1000).expect("loaded");
    drop(store);
    let lines = told(&directory);
    assert!(lines.iter().any(|line| line.contains("events_lost")), "{lines:#?}");
    // An order that was paid later is reserved again; who had which order, with which key, stays.
    let claim = |line: &String| line.split(' ').take(6).collect::<Vec<_>>().join(" ");
    let claims: Vec<String> = expected.iter().map(claim).collect();
    assert!(lines.iter().filter(|line| line.starts_with("order")).all(|line| claims.contains(&claim(line))));
    assert_eq!(verify::verify(&directory).expect("verified").problems, Vec::<String>::new());
}

#[test]
fn what_interval_does_not_promise_is_counted_recorded_and_no_reason_to_refuse() {
    let scratch = tempfile::tempdir().expect("scratch");
    let directory = scratch.path().join("data");
    let (writer, handle) = prepare(&directory, options());
    let thread = run(writer);
    decided(create(&handle, 10, 60));
    end(&handle, thread);
    // Seven more events were answered and not yet on the disk when the power went.
    let WatermarkState::Present(mark) = Watermark::read(&directory).expect("read") else { panic!("a watermark") };
    let ahead = WatermarkRecord { seq: Seq::new(mark.seq.get() + 7).expect("in range"), ..mark };
    Watermark::open(&directory).expect("opened").write(&ahead).expect("written");
    let mut store = Store::open(&directory, wall_clock()).expect("starts");
    assert_eq!(store.lost.map(|lost| lost.events), Some(7));
    let mut loaded = load::load_verified(&store, 1000).expect("loaded");
    accepted_loss::record(&mut store, &mut loaded, wall_clock(), 7).expect("recorded");
    drop(store);
    let again = Store::open(&directory, wall_clock()).expect("starts");
    assert_eq!((again.epoch, again.lost), (2, None), "told once");
    drop(again);
    assert_eq!(verify::verify(&directory).expect("verified").problems, Vec::<String>::new());
    // The process may end between the record and the watermark: the record explains the older watermark.
    Watermark::open(&directory).expect("opened").establish(&ahead).expect("written");
    assert_eq!(Store::open(&directory, wall_clock()).expect("starts").lost, None);
}

#[test]
fn what_an_interrupted_copy_leaves_is_thrown_away() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (stages, expected) = sale(scratch.path(), "sale");
    let whole = stages.last().expect("a stage");
    let directory = write_files(&scratch.path().join("copy"), whole);
    std::fs::create_dir(directory.join("rebuilding")).expect("made");
    std::fs::write(directory.join("rebuilding").join(DATABASE), "half a copy").expect("written");
    recover(&directory, wall_clock(), AcceptedRisks::default()).expect("recovered");
    start(&directory).expect("starts");
    assert_eq!(told(&directory), expected);
}

/// Files of older schemas.
const OLDER: [(i64, &str); 5] = [
    (1, include_str!("fixtures/schema-1.sql")),
    (2, include_str!("fixtures/schema-2.sql")),
    (3, include_str!("fixtures/schema-3.sql")),
    (4, include_str!("fixtures/schema-4.sql")),
    (5, include_str!("fixtures/schema-5.sql")),
];

#[test]
fn files_of_older_schemas_are_refused_and_migrated() {
    for (schema, dump) in OLDER {
        migrate_from(schema, dump);
    }
}

fn migrate_from(schema: i64, dump: &str) {
    let scratch = tempfile::tempdir().expect("scratch");
    let directory = scratch.path().join("data");
    std::fs::create_dir(&directory).expect("made");
    let old = rusqlite::Connection::open(directory.join(DATABASE)).expect("opened");
    old.execute_batch(dump).expect("loaded");
    drop(old);
    let before = told(&directory);
    let error = start(&directory).expect_err("refused");
    assert!(error.exit_code() == 65 && error.to_string().contains("firstcome migrate"), "{error}");
    let with_risks =
        |loss, without_watermark| migrate(&directory, wall_clock(), AcceptedRisks { loss, without_watermark });
    if schema >= 2 {
        // Only programs of schema 1 wrote no watermark.
        let refused = with_risks(None, false).expect_err("refused");
        assert!(refused.to_string().contains("firstcome migrate --without-watermark"), "{refused}");
        writing::mark_older_file(&directory, 3);
        let refused = with_risks(None, false).expect_err("refused");
        assert!(refused.to_string().contains("firstcome migrate --accept-loss=3"), "{refused}");
        assert!(with_risks(Some(2), false).is_err(), "another loss than the one that was quoted");
        assert_eq!(told(&directory), before, "nothing is changed");
        writing::mark_older_file(&directory, 0);
    }
    let migrated = with_risks(None, false).expect("migrated");
    assert_eq!((migrated.from, migrated.lost), (Some(schema), 0));
    start(&directory).expect("starts");
    assert_eq!(told(&directory), before);
    assert_eq!(verify::verify(&directory).expect("verified").problems, Vec::<String>::new());
    let schema = |path: &Path| -> Vec<String> {
        let connection = rusqlite::Connection::open(path).expect("opened");
        let mut statement =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").expect("prepared");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("asked");
        let without_comments = |sql: String| {
            let lines = sql.lines().map(|line| line.split("--").next().unwrap_or("").to_string());
            lines.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "")
        };
        rows.map(|sql| without_comments(sql.expect("read"))).collect()
    };
    let fresh = scratch.path().join("fresh");
    drop(Store::open(&fresh, wall_clock()).expect("made"));
    assert_eq!(schema(&directory.join(DATABASE)), schema(&fresh.join(DATABASE)), "as if it had been made now");
    assert_eq!(with_risks(None, false).expect("nothing to do").kept, None);
}

#[test]
fn a_loss_that_a_migration_finds_is_recorded_and_a_watermark_of_another_file_is_refused() {
    let scratch = tempfile::tempdir().expect("scratch");
    for (schema, dump) in OLDER {
        let directory = scratch.path().join(format!("data-{schema}"));
        std::fs::create_dir(&directory).expect("made");
        let old = rusqlite::Connection::open(directory.join(DATABASE)).expect("opened");
        old.execute_batch(dump).expect("loaded");
        drop(old);
        let other = WatermarkRecord {
            file_id: [9; 16],
            epoch: 4,
            seq: Seq::new(1).expect("in range"),
            link: firstcome::store::chain::ChainLink::START,
            synced: Seq::ZERO,
        };
        Watermark::open(&directory).expect("opened").establish(&other).expect("written");
        let refused = migrate(&directory, wall_clock(), AcceptedRisks::default()).expect_err("refused");
        assert!(refused.to_string().contains("belongs to another file"), "{refused}");
        let (accepted, lost) = if schema >= 2 {
            writing::mark_older_file(&directory, 3);
            (AcceptedRisks { loss: Some(3), without_watermark: false }, 3)
        } else {
            (AcceptedRisks { loss: None, without_watermark: true }, 0)
        };
        let migrated = migrate(&directory, wall_clock(), accepted).expect("migrated");
        assert_eq!(migrated.lost, lost);
        let store = Store::open(&directory, wall_clock()).expect("starts");
        // The watermark of another file has epoch 4; the dumps of schemas 4 and 5 are in their second.
        let expected = match schema {
            1 => 5,
            4 | 5 => 3,
            _ => 2,
        };
        assert_eq!(store.epoch, expected, "a new epoch");
    }
}

#[test]
fn a_file_of_this_schema_that_was_put_back_after_an_interrupted_migration_is_completed_by_the_next() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (stages, expected) = sale(scratch.path(), "sale");
    let directory = write_files(&scratch.path().join("data"), stages.last().expect("a stage"));
    // As an interruption before the swap leaves it: the mark, and a finished copy of another file.
    marker_of(&directory)
        .raise("a rebuild of the file was interrupted; run the same command again to complete it")
        .expect("written");
    std::fs::create_dir(directory.join("rebuilt")).expect("made");
    std::fs::write(directory.join("rebuilt").join("origin.json"), "{}").expect("written");
    assert_eq!(start(&directory).expect_err("refused").exit_code(), 74);
    let migrated = migrate(&directory, wall_clock(), AcceptedRisks::default()).expect("completed");
    assert!(migrated.kept.is_some_and(|kept| kept.join(DATABASE).exists()), "the file that was put back is kept");
    start(&directory).expect("starts");
    assert_eq!(told(&directory), expected);
    // A fault of the disk is not for a migration to clear.
    marker_of(&directory).raise("exit 74: the disk failed").expect("written");
    let refused = migrate(&directory, wall_clock(), AcceptedRisks::default()).expect_err("refused");
    assert!(refused.exit_code() == 74 && refused.to_string().contains("firstcome recover"), "{refused}");
    assert_eq!(start(&directory).expect_err("refused").exit_code(), 74);
}

fn marker_of(directory: &Path) -> FaultMarker {
    FaultMarker::open(directory).expect("opened")
}

#[test]
fn an_emptied_database_is_a_matter_of_the_file_and_not_of_the_disk() {
    let scratch = tempfile::tempdir().expect("scratch");
    drop(Store::open(scratch.path(), wall_clock()).expect("made"));
    for name in [DATABASE, LOG] {
        std::fs::write(scratch.path().join(name), "").expect("emptied");
    }
    let refused = verify::verify(scratch.path()).expect_err("it is empty");
    assert!(refused.exit_code() == 65 && refused.to_string().contains("it is empty"), "{refused}");
}
