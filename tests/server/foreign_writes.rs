//! Other programs that write the database while the server sells: it answers `read-only`, verifies the file on a thread of its
//! own, and goes on if nothing was changed; it ends if something was, and never because the verification could not be made.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::process::{Client, Pause, Process, wait_until};
use firstcome::store::verify;
use rusqlite::Connection;

const DATABASE: &str = "firstcome.db";

/// A server that has sold a little, and its log.
struct Sale {
    server: Process,
    client: Client,
    data: PathBuf,
    log: PathBuf,
    sold: u32,
}

fn sale(scratch: &Path, environment: &[(&str, String)]) -> Sale {
    let (data, log) = (scratch.join("data"), scratch.join("log"));
    let environment: Vec<_> =
        environment.iter().cloned().chain([("FIRSTCOME__LOG__LEVEL", "info".to_string())]).collect();
    let server = Process::start_saying(&data, &environment, Stdio::from(File::create(&log).expect("made")));
    server.create_drop(1000);
    let client = Client::connect(server.public).expect("connected");
    let mut sale = Sale { server, client, data, log, sold: 0 };
    for _ in 0..20 {
        assert_eq!(sale.order(), 201);
    }
    sale
}

impl Sale {
    /// Orders as a new buyer. Returns the status: 201, or a 503 that says that nothing was applied.
    fn order(&mut self) -> u16 {
        let answer = self.client.order(&format!("buyer-{}", self.sold)).expect("answered");
        match answer.status {
            201 => self.sold += 1,
            503 => assert_eq!(
                (answer.body["code"].as_str(), answer.body["applied"].as_str()),
                (Some("read-only"), Some("no"))
            ),
            other => panic!("{other}: {:?}", answer.body),
        }
        answer.status
    }

    fn other(&self) -> Connection {
        Connection::open(self.data.join(DATABASE)).expect("opened")
    }

    fn has_told(&self, what: &str) -> bool {
        std::fs::read_to_string(&self.log).expect("read").contains(what)
    }

    /// Waits until orders get this status.
    fn until_orders_get(&mut self, status: u16) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while self.order() != status {
            assert!(std::time::Instant::now() < deadline, "orders do not get {status}");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    fn end(mut self) {
        self.server.kill();
        let report = verify::verify(&self.data).expect("verified");
        assert_eq!((report.problems, report.orders), (Vec::new(), u64::from(self.sold)));
    }
}

#[test]
fn what_changes_nothing_is_verified_and_the_sale_goes_on() {
    for sql in [
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "VACUUM",
        "UPDATE meta SET synced_at_ms = synced_at_ms + 1",
        "CREATE TABLE notes (text)",
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut sale = sale(scratch.path(), &[]);
        sale.other().execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        wait_until(&format!("{sql} is noticed"), || sale.has_told("another program has written the database"));
        wait_until(&format!("{sql} is verified"), || sale.has_told("the database is verified: sales resume"));
        sale.until_orders_get(201);
        assert!(!sale.data.join("firstcome.fault").exists() || !sale.has_told("exit"), "{sql}");
        sale.end();
    }
}

#[test]
fn a_change_of_what_was_sold_ends_the_server_within_seconds_although_no_lock_was_seen() {
    for sql in ["UPDATE drops SET total = total + 1", "DELETE FROM orders WHERE seq = 3", "DROP TABLE sessions"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut sale = sale(scratch.path(), &[]);
        let other = sale.other();
        other.pragma_update(None, "foreign_keys", false).expect("set");
        other.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(sale.server.wait().code(), Some(73), "{sql}");
    }
}

#[test]
fn the_writer_answers_while_the_file_is_verified() {
    if !cfg!(feature = "failpoints") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let pause = Pause::new(scratch.path());
    let mut sale = sale(scratch.path(), &pause.at("FileCheck", 1));
    sale.other().execute_batch("PRAGMA wal_checkpoint(PASSIVE)").expect("copied");
    pause.wait();
    // The verification stands still for good.
    for _ in 0..50 {
        assert_eq!(sale.order(), 503);
        assert_eq!(sale.client.get("/v1/drops/1").expect("answered").status, 200);
    }
    let mut admin = Client::connect(sale.server.admin).expect("connected");
    assert_eq!(admin.get("/readyz").expect("answered").status, 503);
    let page = std::fs::metadata(sale.data.join(DATABASE)).expect("there").modified().expect("a time");
    sale.other().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("copied");
    assert_eq!(sale.order(), 503, "a further write changes nothing");
    assert!(std::fs::metadata(sale.data.join(DATABASE)).expect("there").modified().expect("a time") >= page);
    sale.end();
}

#[test]
fn a_verification_that_cannot_be_made_is_made_later_and_is_no_fault() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut sale = sale(scratch.path(), &[]);
    let other = sale.other();
    // The server can open nothing: no descriptor is left.
    let before = sale.server.use_up_descriptors();
    other.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").expect("copied");
    wait_until("it is tried", || sale.has_told("cannot be verified now"));
    assert_eq!(sale.order(), 503);
    sale.server.allow_descriptors(before);
    sale.until_orders_get(201);
    assert!(sale.has_told("the database is verified: sales resume"));
    sale.end();
}

#[test]
fn an_ordered_end_during_a_verification_waits_for_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut sale = sale(scratch.path(), &[]);
    let other = sale.other();
    other.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").expect("copied");
    sale.server.signal(rustix::process::Signal::TERM);
    assert_eq!(sale.server.wait().code(), Some(0));

    let scratch = tempfile::tempdir().expect("scratch");
    let mut sale = self::sale(scratch.path(), &[]);
    sale.other().execute_batch("UPDATE drops SET total = total + 1").expect("changed");
    sale.server.signal(rustix::process::Signal::TERM);
    assert_eq!(sale.server.wait().code(), Some(73), "an ordered end after it is no success");
}
