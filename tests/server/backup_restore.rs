//! `firstcome backup` beside a server that sells, `firstcome restore` of what it made, and what goes wrong on the way.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::namespace::{in_a_namespace, mount_disk};
use crate::process::{Client, Process, wait_until};
use firstcome::store::verify;
use rustix::process::Signal;
use serde_json::{Value, json};

/// What a command has said on standard output and standard error, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

fn firstcome(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let ran = command.args(arguments).stdin(Stdio::null()).output().expect("run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: ran.status.code(), out: text(&ran.stdout), error: text(&ran.stderr) }
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn backup(server: &Process, to: &Path, more: &[&str]) -> Said {
    let admin = server.admin.to_string();
    firstcome(&[&["backup", "--to", name(to), "--admin", &admin], more].concat())
}

/// Makes a backup, and returns what the server says of it.
fn made(server: &Process, to: &Path, more: &[&str]) -> Value {
    let said = backup(server, to, &[&["--json"], more].concat());
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    serde_json::from_str(&said.out).expect("JSON")
}

fn restore(backup: &Path, data: &Path, more: &[&str]) -> Said {
    firstcome(&[&["restore", name(backup), "--data", name(data)], more].concat())
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("read").map(|entry| entry.expect("read").file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn order(server: &Process, buyer: &str) {
    let status = Client::connect(server.public).expect("connected").order(buyer).expect("answered").status;
    assert_eq!(status, 201, "{buyer}");
}

fn epoch(server: &Process) -> u64 {
    let answer = Client::connect(server.public).expect("connected").get("/v1/drops/1").expect("answered");
    let version = answer.body["version"].as_str().expect("a version");
    version.split_once('-').expect("epoch-seq").0.parse().expect("a number")
}

/// A server that has sold to `before-0` and so on.
fn sold(data: &Path, orders: u32, environment: &[(&str, String)]) -> Process {
    let server = Process::start(data, environment);
    server.create_drop(1_000_000);
    let mut client = Client::connect(server.public).expect("connected");
    (0..orders).for_each(|number| {
        let answer = client.order(&format!("before-{number}")).expect("answered");
        assert_eq!(answer.status, 201);
    });
    server
}

fn stop(mut server: Process) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn backups_made_during_a_rush_are_whole_and_are_restored_and_sold_from() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backups) = (scratch.path().join("data"), scratch.path().join("backups"));
    fs::create_dir(&backups).expect("made");
    // Checkpoints come all the time.
    let small = [("CHECKPOINT_WAL_BYTES", "65536"), ("RESET_WAL_BYTES", "262144")];
    let small = small.map(|(key, value)| (format!("FIRSTCOME__WRITER__{key}"), value.to_string()));
    let small: Vec<_> = small.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let server = sold(&data, 200, &small);
    let (ended, placed) = (AtomicBool::new(false), AtomicU64::new(0));
    let all: Vec<Value> = std::thread::scope(|scope| {
        for seller in 0..3 {
            let (ended, placed, public) = (&ended, &placed, server.public);
            scope.spawn(move || {
                let mut client = Client::connect(public).expect("connected");
                for number in 0.. {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let answer = client.order(&format!("rush-{seller}-{number}")).expect("answered");
                    assert_eq!(answer.status, 201, "{:?}", answer.body);
                    placed.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        wait_until("the rush goes", || placed.load(Ordering::SeqCst) > 100);
        let made = [
            made(&server, &backups.join("plain.db"), &[]),
            made(&server, &backups, &["--compress", "zstd"]),
            made(&server, &backups.join("packed.db.gz"), &["--compress", "gzip"]),
        ];
        ended.store(true, Ordering::SeqCst);
        made.into()
    });
    let taken = backup(&server, &backups.join("plain.db"), &[]);
    assert!(taken.code == Some(1) && taken.error.contains("takes no other file's place"), "{}", taken.error);
    let inside = backup(&server, &data.join("x.db"), &[]);
    assert!(inside.code == Some(1) && inside.error.contains("is in the data directory"), "{}", inside.error);
    stop(server);
    assert_eq!(files(&backups).len(), 6, "three files, each with its watermark: {:?}", files(&backups));
    let whole = verify::verify(&data).expect("verified");
    for (number, made) in all.iter().enumerate() {
        let file = PathBuf::from(made["file"].as_str().expect("a path"));
        assert_eq!(fs::metadata(&file).expect("found").mode() & 0o777, 0o600, "{file:?}");
        assert_eq!(made["bytes"], json!(fs::metadata(&file).expect("found").len()));
        let restored = scratch.path().join(format!("restored-{number}"));
        let said = restore(&file, &restored, &["--newer", name(&data)]);
        assert_eq!(said.code, Some(0), "{}", said.error);
        let report = verify::verify(&restored).expect("verified");
        assert_eq!(
            (report.problems, report.orders),
            (Vec::<String>::new(), made["orders"].as_u64().expect("a number"))
        );
        let missing = whole.orders - report.orders;
        let (since, until) = (&made["seq"], whole.last_seq);
        let told = format!("missing since event {since}, up to event {until}: {missing} orders of {missing} units");
        assert!(said.error.contains(&told), "{told}: {}", said.error);
        let server = Process::start(&restored, &[]);
        assert_eq!(epoch(&server), 2, "a restore begins an epoch");
        let mut client = Client::connect(server.public).expect("connected");
        assert!(client.order("before-7").expect("answered").is_repeat(), "its keys are remembered");
        assert_eq!(client.order("after").expect("answered").status, 201);
        stop(server);
        assert_eq!(verify::verify(&restored).expect("verified").problems, Vec::<String>::new());
    }
    let verified = firstcome(&["verify", name(&backups.join("plain.db"))]);
    assert!(verified.code == Some(0) && !verified.out.contains("no watermark"), "{}{}", verified.out, verified.error);
    let packed = firstcome(&["verify", name(&backups.join("packed.db.gz"))]);
    assert!(packed.code == Some(65) && packed.error.contains("gzip -dc"), "{}", packed.error);
}

#[test]
fn what_is_no_backup_for_a_directory_is_refused_and_nothing_is_changed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let at = |file: &str| scratch.path().join(file);
    let (data, plain, packed) = (at("data"), at("plain.db"), at("packed.db.zst"));
    let server = sold(&data, 30, &[]);
    made(&server, &plain, &[]);
    made(&server, &packed, &["--compress", "zstd"]);
    let in_use = restore(&plain, &data, &[]);
    assert!(in_use.code == Some(73) && in_use.error.contains("is locked by process"), "{}", in_use.error);
    (0..5).for_each(|number| order(&server, &format!("later-{number}")));
    stop(server);
    let before = fs::read(data.join("firstcome.db")).expect("read");
    let refused = |file: &Path, into: &Path, more: &[&str], code: i32, word: &str| {
        let said = restore(file, into, more);
        assert!(said.code == Some(code) && said.error.contains(word), "{file:?}: {:?} {}", said.code, said.error);
    };
    refused(&plain, &data, &[], 65, "--accept-loss=5");
    refused(&plain, &data, &["--accept-loss=4"], 64, "5 events are missing, not 4");
    refused(&at("none.db"), &data, &[], 66, "does not exist");
    refused(&data, &at("new"), &[], 65, "is a directory");

    let whole = (fs::read(&plain).expect("read"), fs::read(&packed).expect("read"));
    fs::write(at("cut.db"), &whole.0[..whole.0.len() / 2]).expect("written");
    refused(&at("cut.db"), &at("new"), &[], 65, "take another backup");
    fs::write(at("cut.db.zst"), &whole.1[..whole.1.len() / 2]).expect("written");
    refused(&at("cut.db.zst"), &at("new"), &[], 65, "cut or damaged");
    fs::write(at("text"), "not a database at all").expect("written");
    refused(&at("text"), &at("new"), &[], 65, "is no backup");
    let change = |file: &str, sql: &str| {
        fs::write(at(file), &whole.0).expect("written");
        let changed = rusqlite::Connection::open(at(file)).expect("opened");
        changed.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).expect("set");
        changed.execute_batch(sql).expect("changed");
    };
    change("altered.db", "UPDATE drops SET held = held - 1");
    refused(&at("altered.db"), &at("new"), &[], 65, "is damaged");
    change("newer.db", "PRAGMA user_version = 99");
    refused(&at("newer.db"), &at("new"), &[], 65, "use the version that wrote the file");
    // One that lost its end, whose counters agree: only its watermark tells.
    change("short.db", "");
    fs::copy(at("plain.db.watermark"), at("short.db.watermark")).expect("copied");
    refused(&at("short.db"), &data, &[], 65, "--accept-loss=5");
    let other = sold(&at("other"), 3, &[]);
    made(&other, &at("other.db"), &[]);
    stop(other);
    refused(&at("other.db"), &data, &[], 65, "another database");
    fs::copy(at("other.db.watermark"), at("short.db.watermark")).expect("copied");
    refused(&at("short.db"), &at("new"), &[], 65, "is not the file that");
    assert_eq!(fs::read(data.join("firstcome.db")).expect("read"), before, "nothing was changed");
    assert!(!at("new/firstcome.db").exists(), "nothing was made");

    let accepted = restore(&plain, &data, &["--accept-loss=5"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.error);
    assert!(accepted.error.contains("5 order_reserved"), "{}", accepted.error);
    let kept = files(&data).into_iter().find(|name| name.starts_with("before-")).expect("the old files");
    assert_eq!(verify::verify_file(&data.join(kept).join("firstcome.db")).expect("verified").orders, 35);
    let server = Process::start(&data, &[]);
    assert_eq!(epoch(&server), 2);
    order(&server, "later-0");
    stop(server);
}

#[test]
fn what_was_paid_since_is_listed_for_the_provider_and_a_lost_directory_is_restored_with_its_owner() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, broken, file) =
        (scratch.path().join("data"), scratch.path().join("data.broken"), scratch.path().join("backup.db"));
    let server = sold(&data, 3, &[]);
    made(&server, &file, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    let placed = client.order("late").expect("answered");
    let id = placed.body["id"].as_str().expect("an id");
    assert_eq!(
        client
            .post(
                &format!("/v1/orders/{id}/checkout"),
                "pay",
                &json!({ "contact": { "name": "Ann", "address": "A street", "email": "ann@shop.example" } })
            )
            .expect("answered")
            .status,
        200
    );
    let mut admin = Client::connect(server.admin).expect("connected");
    let paid = json!({ "reference": "bank, 17", "amount": 100, "currency": "EUR", "reason": "seen" });
    let answer = admin.post(&format!("/v1/orders/{id}/payments"), "paid", &paid).expect("answered");
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    stop(server);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // As a service has them.
        let owned = Command::new("chown").args(["-R", "4711:4712"]).arg(&data).status().expect("run");
        assert!(owned.success());
    }
    fs::set_permissions(data.join("firstcome.db"), PermissionsExt::from_mode(0o640)).expect("set");
    fs::create_dir(&broken).expect("made");
    for part in files(&data) {
        fs::copy(data.join(&part), broken.join(&part)).expect("copied");
    }
    fs::write(data.join("firstcome.db"), "the disk has eaten it").expect("written");
    let asked = restore(&file, &data, &[]);
    assert!(asked.code == Some(65) && asked.error.contains("--accept-loss=3"), "{}", asked.error);
    let said = restore(&file, &data, &["--accept-loss=3", "--newer", name(&broken)]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines[0], "order,drop,provider,reference,currency,received,refunded,refund_due,missing");
    let seq = placed.body["seq"].as_u64().expect("a number");
    assert_eq!(lines[1..], [format!("{seq},1,manual,\"bank, 17\",EUR,100,0,0,payment")]);
    let found = fs::metadata(data.join("firstcome.db")).expect("found");
    assert_eq!(found.mode() & 0o777, 0o640, "the mode of what was replaced");
    if is_root {
        for part in files(&data) {
            let found = fs::metadata(data.join(&part)).expect("found");
            assert_eq!((found.uid(), found.gid()), (4711, 4712), "{part}");
        }
        let back = Command::new("chown").args(["-R", "0:0"]).arg(&data).status().expect("run");
        assert!(back.success());
    }
    stop(Process::start(&data, &[]));
}

/// Files of a directory that an operator would take for a backup.
fn look_whole(directory: &Path) -> Vec<String> {
    let is_one = |name: &String| !name.starts_with('.') && !name.ends_with(".watermark");
    files(directory).into_iter().filter(is_one).collect()
}

#[cfg(feature = "failpoints")]
#[test]
fn a_server_that_is_killed_between_any_two_steps_of_a_backup_leaves_no_file_that_looks_whole() {
    for place in ["BackupCopies", "BackupVerifies", "BackupPacks", "BackupMarks", "BackupNames", "BackupNamed"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, backups) = (scratch.path().join("data"), scratch.path().join("backups"));
        fs::create_dir(&backups).expect("made");
        let pause = crate::process::Pause::new(scratch.path());
        let mut server = sold(&data, 20, &pause.at(place, 1));
        let admin = server.admin.to_string();
        let mut client = Command::new(env!("CARGO_BIN_EXE_firstcome"))
            .args(["backup", "--to", name(&backups), "--compress", "zstd", "--admin", &admin])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        pause.wait();
        order(&server, "meanwhile");
        server.kill();
        assert_eq!(client.wait().expect("ended").code(), Some(69), "{place}");
        let left = look_whole(&backups);
        assert_eq!(left.len(), usize::from(place == "BackupNamed"), "{place}: {left:?}");
        if let [whole] = left.as_slice() {
            let restored = restore(&backups.join(whole), &scratch.path().join("restored"), &[]);
            assert_eq!(restored.code, Some(0), "{place}: {}", restored.error);
        }
        let server = Process::start(&data, &[]);
        let next = made(&server, &backups.join("next.db"), &[]);
        assert_eq!(next["orders"], 21, "{place}");
        assert!(!files(&backups).iter().any(|name| name.ends_with(".growing") || name.ends_with(".mark")), "{place}");
        stop(server);
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_full_disk_leaves_nothing_of_a_backup_and_the_sale_goes_on() {
    if !in_a_namespace("a_full_disk_leaves_nothing_of_a_backup_and_the_sale_goes_on", "a full disk") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, disk) = (scratch.path().join("data"), scratch.path().join("disk"));
    fs::create_dir(&disk).expect("made");
    mount_disk(&disk, 16 << 20);
    let pause = crate::process::Pause::new(scratch.path());
    let server = sold(&data, 50, &pause.at("BackupVerifies", 1));
    let admin = server.admin.to_string();
    let client = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["backup", "--to", name(&disk), "--compress", "zstd", "--admin", &admin])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    pause.wait();
    order(&server, "meanwhile");
    let mut filler = File::create(disk.join("filler")).expect("made");
    std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("the disk is full");
    pause.go_on();
    let ended = client.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("os error 28"), "{said}");
    assert_eq!(files(&disk), ["filler"]);
    let refused = backup(&server, &disk, &[]);
    assert!(refused.code == Some(1) && refused.error.contains("free bytes, and a backup needs"), "{}", refused.error);
    assert_eq!(files(&disk), ["filler"]);
    order(&server, "after");
    // Its blocks are free once nothing has it open.
    drop(filler);
    fs::remove_file(disk.join("filler")).expect("removed");
    assert_eq!(made(&server, &disk, &[])["orders"], 52);
    stop(server);
    let _unmounted = Command::new("umount").arg(&disk).status();
}

#[test]
fn a_schedule_makes_backups_keeps_the_newest_and_tells_their_age() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backups) = (scratch.path().join("data"), scratch.path().join("backups"));
    fs::create_dir(&backups).expect("made");
    fs::write(backups.join("firstcome-of-somebody-else.db"), "").expect("made");
    let settings = [("DIRECTORY", name(&backups)), ("EVERY_SECONDS", "1"), ("KEEP", "2"), ("COMPRESSION", "zstd")];
    let settings = settings.map(|(key, value)| (format!("FIRSTCOME__BACKUP__{key}"), value.to_string()));
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let server = sold(&data, 5, &settings);
    let figure = |wanted: &str| {
        let mut client = Client::connect(server.admin).expect("connected");
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let text = client.read_to_end();
        let line = text.lines().find_map(|line| line.strip_prefix(wanted)).unwrap_or("0").trim().to_string();
        line.parse::<f64>().expect("a number")
    };
    wait_until("three are made", || figure("firstcome_backups_total{result=\"made\"}") >= 3.0);
    stop(server);
    let left = files(&backups);
    let packed: Vec<_> = left.iter().filter(|name| name.ends_with(".db.zst")).collect();
    // The third may have been told before the first was removed, and the end may have come between.
    assert!((2..=3).contains(&packed.len()), "{left:?}");
    assert!(left.contains(&"firstcome-of-somebody-else.db".to_string()), "{left:?}");
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
    let newest = backups.join(packed.last().expect("one"));
    let said = restore(&newest, &scratch.path().join("restored"), &[]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["serve", "--check", "--data", name(&data)]).env("FIRSTCOME__BACKUP__EVERY_SECONDS", "60");
    let checked = command.output().expect("run");
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.code() == Some(64) && told.contains("needs backup.directory"), "{told}");
}
