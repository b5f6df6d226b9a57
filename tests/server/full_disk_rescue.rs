//! Files that are lost while the disk has no space for a copy of them: the process stays, because only its open files have
//! what was acknowledged; it sells nothing, says what is needed, and ends once the copy is made.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::namespace::{in_a_namespace, mount_disk};
use crate::process::{Client, Process, wait_until};
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::{Store, load, verify};
use firstcome::writer::clock::wall_clock;
use rustix::process::Signal;

const DISK_BYTES: u64 = 16 << 20;

/// A server that has sold on a disk that is full now.
struct FullDisk {
    server: Process,
    scratch: PathBuf,
    data: PathBuf,
    sold: Vec<String>,
}

impl FullDisk {
    fn new(scratch: &Path) -> FullDisk {
        let disk = scratch.join("disk");
        fs::create_dir(&disk).expect("made");
        mount_disk(&disk, DISK_BYTES);
        let data = disk.join("data");
        let environment = [("FREE_BYTES_MIN", "0"), ("CHECKPOINT_WAL_BYTES", "1048576")];
        let environment = environment.map(|(key, value)| (format!("FIRSTCOME__WRITER__{key}"), value.to_string()));
        let environment: Vec<_> = environment.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let log = Stdio::from(File::create(scratch.join("log")).expect("made"));
        let server = Process::start_saying(&data, &environment, log);
        server.create_drop(1_000_000);
        let mut client = Client::connect(server.public).expect("connected");
        let mut sold = Vec::new();
        for number in 0..200 {
            let buyer = format!("buyer-{number}");
            assert_eq!(client.order(&buyer).expect("answered").status, 201);
            sold.push(buyer);
        }
        let mut token = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        token.args(["token", "create", "--role", "owner", "--name", "ann", "--data"]).arg(&data).stdout(Stdio::null());
        assert!(token.status().expect("run").success());
        fill(scratch);
        FullDisk { server, scratch: scratch.to_path_buf(), data, sold }
    }

    fn told(&self) -> String {
        fs::read_to_string(self.scratch.join("log")).expect("read")
    }

    /// Waits until the server tells what it needs. Returns the commands that it tells.
    fn wait_for_line(&self) -> String {
        wait_until("it tells that there is no place", || self.told().contains("there is no place for a copy"));
        let told = self.told();
        let (_, commands) = told.split_once("another disk: ").expect("commands");
        commands.lines().next().expect("a line").to_string()
    }

    fn free(&self) {
        fs::remove_file(self.scratch.join("disk/filler")).expect("removed");
    }

    /// Waits for the end, and for everything in the copy.
    fn check(mut self, what: &str) {
        self.free();
        let status = self.server.wait();
        assert_eq!(status.code(), Some(72), "{what}: {}", self.told());
        let entries = [self.scratch.join("disk"), self.data.clone()].into_iter().filter_map(|at| fs::read_dir(at).ok());
        let mut paths = entries.flatten().map(|entry| entry.expect("read").path());
        let is_copy = |path: &PathBuf| path.to_string_lossy().contains("rescued-");
        let kept = paths.find(is_copy).unwrap_or_else(|| panic!("{what}: nothing is kept: {}", self.told()));
        assert!(paths.find(is_copy).is_none(), "{what}: no half copies are left");
        assert!(self.told().contains(&kept.display().to_string()), "{what}: {}", self.told());
        has_everything(&kept, &self.sold, what);
    }
}

fn has_everything(directory: &Path, sold: &[String], what: &str) {
    assert_eq!(verify::verify(directory).expect("verified").problems, Vec::<String>::new(), "{what}");
    let store = Store::open(directory, wall_clock()).expect("starts");
    load::load_verified(&store, 1000).expect("loaded");
    let mut statement = store.connection.prepare("SELECT buyer FROM orders").expect("prepared");
    let found: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("asked").collect::<Result<_, _>>().expect("read");
    assert!(sold.iter().all(|buyer| found.contains(buyer)), "{what}: {} of {}", found.len(), sold.len());
}

fn lose(disk: &FullDisk, what: &str) {
    match what {
        "directory" => disk.server.remove_directory(&disk.data),
        name => fs::remove_file(disk.data.join(name)).expect("removed"),
    }
}

#[test]
fn a_server_whose_files_are_lost_on_a_full_disk_stays_until_there_is_space_for_a_copy() {
    let test = "a_server_whose_files_are_lost_on_a_full_disk_stays_until_there_is_space_for_a_copy";
    if !in_a_namespace(test, "a full disk") {
        return;
    }
    for what in ["firstcome.db", "firstcome.db-wal", "directory"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let disk = FullDisk::new(scratch.path());
        // Its thread has the database open.
        let mut reader = Client::connect(disk.server.public).expect("connected");
        assert_eq!(reader.get("/v1/drops/1").expect("answered").status, 200);
        lose(&disk, what);
        disk.wait_for_line();
        let answer = Client::connect(disk.server.public).expect("connected").order("late").expect("answered");
        assert_eq!((answer.status, answer.body["applied"].as_str()), (503, Some("no")), "{what}: {:?}", answer.body);
        let ready = || Client::connect(disk.server.admin).expect("connected").get("/readyz").expect("answered").status;
        assert_eq!(ready(), 503, "{what}");
        assert_eq!(reader.get("/v1/drops/1").expect("answered").status, 200, "{what}: reads go on");
        disk.check(what);
        unmount(scratch.path());
    }
}

#[test]
fn an_index_that_is_overwritten_on_a_full_disk_needs_no_process_that_waits() {
    let test = "an_index_that_is_overwritten_on_a_full_disk_needs_no_process_that_waits";
    if !in_a_namespace(test, "a full disk") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let mut disk = FullDisk::new(scratch.path());
    let index = disk.data.join("firstcome.db-shm");
    let mut bytes = fs::read(&index).expect("read");
    bytes[136..].fill(0);
    std::os::unix::fs::FileExt::write_all_at(&OpenOptions::new().write(true).open(&index).expect("opened"), &bytes, 0)
        .expect("written");
    assert_eq!(disk.server.wait().code(), Some(72), "{}", disk.told());
    assert!(disk.told().contains("firstcome recover") && !disk.told().contains("backup"), "{}", disk.told());
    disk.free();
    recover(&disk.data, wall_clock(), AcceptedRisks::default()).expect("recovered");
    has_everything(&disk.data, &disk.sold, "index");
    unmount(scratch.path());
}

#[test]
fn two_signals_end_no_process_that_has_the_only_copy() {
    let test = "two_signals_end_no_process_that_has_the_only_copy";
    if !in_a_namespace(test, "a full disk") {
        return;
    }
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::QUIT]] {
        let scratch = tempfile::tempdir().expect("scratch");
        let disk = FullDisk::new(scratch.path());
        // At once: the server has not looked at its files yet.
        lose(&disk, "directory");
        disk.server.signal(signals[0]);
        wait_until("the first signal is taken", || disk.told().contains("shutting down"));
        disk.server.signal(signals[1]);
        wait_until("the second signal is answered", || disk.told().contains("a third time"));
        disk.wait_for_line();
        disk.check(&format!("{signals:?}"));
        unmount(scratch.path());
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let mut disk = FullDisk::new(scratch.path());
    lose(&disk, "firstcome.db");
    disk.server.signal(Signal::TERM);
    wait_until("the first signal is taken", || disk.told().contains("shutting down"));
    disk.server.signal(Signal::TERM);
    wait_until("the second signal is answered", || disk.told().contains("a third time"));
    disk.server.signal(Signal::TERM);
    assert_eq!(disk.server.wait().code(), Some(130), "the third gives it up");
    unmount(scratch.path());
}

#[test]
fn the_commands_that_the_line_tells_keep_everything() {
    let test = "the_commands_that_the_line_tells_keep_everything";
    if !in_a_namespace(test, "a full disk") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let mut disk = FullDisk::new(scratch.path());
    lose(&disk, "directory");
    let commands = disk.wait_for_line();
    let copy = scratch.path().join("COPY");
    fs::create_dir(&copy).expect("made");
    let ran = Command::new("sh").args(["-c", &commands]).current_dir(scratch.path()).status().expect("run");
    assert!(ran.success(), "{commands}");
    disk.server.kill();
    has_everything(&copy, &disk.sold, &commands);
    recover(&copy, wall_clock(), AcceptedRisks::default()).expect("recovered");
    let server = Process::start(&copy, &[]);
    let audit = Client::connect(server.admin).expect("connected").get("/v1/audit").expect("answered");
    assert_eq!(audit.status, 401, "operators had tokens: {commands}");
    drop(server);
    unmount(scratch.path());
}

#[test]
fn a_watermark_that_finds_no_space_stops_the_sale_until_there_is_some() {
    let test = "a_watermark_that_finds_no_space_stops_the_sale_until_there_is_some";
    if !in_a_namespace(test, "a full disk") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let mut disk = FullDisk::new(scratch.path());
    disk.free();
    let mut client = Client::connect(disk.server.public).expect("connected");
    // After a checkpoint the log has space of its own.
    let database = disk.data.join("firstcome.db");
    let before = fs::metadata(&database).expect("there").len();
    for number in 0.. {
        let buyer = format!("more-{number}");
        assert_eq!(client.order(&buyer).expect("answered").status, 201);
        disk.sold.push(buyer);
        if fs::metadata(&database).expect("there").len() > before {
            break;
        }
    }
    assert_eq!(client.order("one-more").expect("answered").status, 201);
    fill(scratch.path());
    // A hole in the watermark, whose space is taken.
    let mut punch = Command::new("fallocate");
    punch.args(["-p", "-o", "0", "-l", "4096"]).arg(disk.data.join("firstcome.watermark"));
    assert!(punch.status().expect("run").success());
    fill(scratch.path());
    let answer = client.order("during").expect("answered");
    assert_eq!((answer.status, answer.body["applied"].as_str()), (503, Some("unknown")), "{:?}", answer.body);
    let answer = client.order("after").expect("answered");
    assert_eq!((answer.status, answer.body["applied"].as_str()), (503, Some("no")), "{:?}", answer.body);
    disk.free();
    wait_until("the sale goes on by itself", || {
        Client::connect(disk.server.public).expect("connected").order("during").expect("answered").status == 201
    });
    assert!(client.order("during").expect("answered").is_repeat());
    disk.sold.push("during".into());
    disk.server.kill();
    has_everything(&disk.data, &disk.sold, "watermark");
    unmount(scratch.path());
}

fn fill(scratch: &Path) {
    let mut filler = OpenOptions::new().create(true).append(true).open(scratch.join("disk/filler")).expect("opened");
    std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("the disk is full");
}

fn unmount(scratch: &Path) {
    let gone = Command::new("umount").arg(scratch.join("disk")).status().expect("run");
    assert!(gone.success());
}
