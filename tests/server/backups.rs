//! The commands of the page on backups, as they stand there, beside a server that sells.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::{Client, Process};
use firstcome::store::verify;
use rustix::process::Signal;
use serde_json::json;

/// The blocks of commands of the section, without the lines that an operator changes.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/RECOVERY.md")).expect("a page");
    let (_, section) = page.split_once("### Backups by hand").expect("the section");
    let (section, _) = section.split_once("\n### ").expect("its end");
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("its end").0);
    blocks.map(|block| block.lines().filter(|line| !line.contains("# yours")).collect::<Vec<_>>().join("\n")).collect()
}

/// Types commands, with the program of this test and without systemd.
fn type_all(commands: &str, data: &Path, backup: &Path) {
    let setup = format!(
        "set -e; systemctl() {{ :; }}; firstcome() {{ {} \"$@\"; }}; data={} backup={}",
        env!("CARGO_BIN_EXE_firstcome"),
        data.display(),
        backup.display()
    );
    let ran =
        Command::new("sh").args(["-c", &format!("{setup}\n{commands}")]).stdin(Stdio::null()).output().expect("run");
    assert!(ran.status.success(), "{ran:?}");
}

fn epoch(data: &Path) -> u64 {
    let server = Process::start(data, &[]);
    let answer = Client::connect(server.public).expect("connected").get("/v1/drops/1").expect("answered");
    let version = answer.body["version"].as_str().expect("a version");
    version.split_once('-').expect("epoch-seq").0.parse().expect("a number")
}

#[test]
fn a_backup_made_and_restored_as_the_page_says_is_whole_sells_on_and_begins_a_new_epoch() {
    if !Command::new("sqlite3").arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        println!("needs sqlite3: not run");
        return;
    }
    let commands = commands();
    assert_eq!(commands.len(), 2, "making and restoring");
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup.db"));
    let mut server = Process::start(&data, &[]);
    server.create_drop(100_000);
    let address = server.public;
    let order = |buyer: &str| {
        let status = Client::connect(address).expect("connected").order(buyer).expect("answered").status;
        assert_eq!(status, 201, "{buyer}");
    };
    (0..50).for_each(|buyer| order(&format!("before-{buyer}")));
    let ended = AtomicBool::new(false);
    let meanwhile = std::thread::scope(|scope| {
        let seller = scope.spawn(|| {
            let mut sold = 0;
            while sold < 20 || !ended.load(Ordering::SeqCst) {
                order(&format!("meanwhile-{sold}"));
                sold += 1;
            }
            sold
        });
        type_all(&commands[0], &data, &backup);
        ended.store(true, Ordering::SeqCst);
        seller.join().expect("sold")
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    for expected in 2..4 {
        type_all(&commands[1], &data, &backup);
        fs::rename(scratch.path().join("data.broken"), scratch.path().join(format!("broken-{expected}")))
            .expect("moved");
        let report = verify::verify(&data).expect("verified");
        assert_eq!(report.problems, Vec::<String>::new());
        assert!((50..=50 + meanwhile).contains(&report.orders), "{} orders, {meanwhile} meanwhile", report.orders);
        assert_eq!(epoch(&data), expected, "each restore begins its own");
        let mut server = Process::start(&data, &[]);
        let mut client = Client::connect(server.public).expect("connected");
        assert!(client.order("before-7").expect("answered").is_repeat(), "its keys are remembered");
        assert_eq!(client.order(&format!("after-{expected}")).expect("answered").status, 201);
        server.kill();
    }
}

#[test]
fn an_index_that_does_not_belong_to_its_table_is_found_in_a_copy() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, copy) = (scratch.path().join("data"), scratch.path().join("copy.db"));
    let server = Process::start(&data, &[]);
    server.create_drop(100);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in ["ann", "bob"] {
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": format!("{buyer}@shop.example") } });
        assert_eq!(client.post("/v1/drops/1/orders", buyer, &body).expect("answered").status, 201);
    }
    let connection = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
    connection.execute("VACUUM INTO ?1", [copy.to_str().expect("a path")]).expect("copied");
    assert_eq!(verify_copy(&copy).0, Some(0));
    // Each tree of pages is sound, and has the entries of the other index.
    let altered = rusqlite::Connection::open(&copy).expect("opened");
    let swapped = altered.execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT sum(rootpage) FROM sqlite_schema
             WHERE name IN ('contacts_by_email', 'contacts_by_phone')) - rootpage
         WHERE name IN ('contacts_by_email', 'contacts_by_phone');",
    );
    swapped.expect("altered");
    drop(altered);
    let (code, said) = verify_copy(&copy);
    assert!(code == Some(65) && said.contains("index contacts_by_email"), "{said}");
}

fn verify_copy(copy: &Path) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("verify").arg(copy).output().expect("run");
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn a_copy_without_a_watermark_is_verified_by_itself_and_says_what_it_cannot_prove() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backups) = (scratch.path().join("data"), scratch.path().join("backups"));
    fs::create_dir(&backups).expect("made");
    let copy = backups.join("latest.db");
    let server = Process::start(&data, &[]);
    server.create_drop(100);
    let mut client = Client::connect(server.public).expect("connected");
    (0..20).for_each(|buyer| drop(client.order(&format!("b{buyer}")).expect("answered")));
    let connection = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
    connection.execute("VACUUM INTO ?1", [copy.to_str().expect("a path")]).expect("copied");
    let (code, said) = verify_copy(&copy);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("verified: ") && said.contains("has no watermark"), "{said}");
    assert_eq!(fs::read_dir(&backups).expect("read").count(), 1, "nothing is made beside it");
    let altered = rusqlite::Connection::open(&copy).expect("opened");
    altered.execute("UPDATE drops SET held = held - 1", []).expect("altered");
    drop(altered);
    let (code, said) = verify_copy(&copy);
    assert!(code == Some(65) && said.contains("do not sell from this file"), "{said}");
    let whole = fs::read(&copy).expect("read");
    fs::write(&copy, &whole[..whole.len() / 2]).expect("cut");
    assert_eq!(verify_copy(&copy).0, Some(65));
    fs::write(&copy, b"not a database at all, and long enough to look like one").expect("written");
    assert_eq!(verify_copy(&copy).0, Some(65));
    assert_eq!(verify_copy(&data).0, Some(64), "a directory");
    assert_eq!(verify_copy(&backups.join("other.db")).0, Some(66));
}
