//! Files that operators put in a wrong place or state: a shorter rescue, an older or foreign log, a table that was dropped, a
//! directory that root made. Each is told for what it is, and nothing that was acknowledged is given up for it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::process::{Client, Process};
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::verify;
use firstcome::store::watermark::{Watermark, WatermarkState};
use firstcome::writer::clock::wall_clock;
use rusqlite::Connection;
use rustix::process::Signal;

const DATABASE: &str = "firstcome.db";
const LOG: &str = "firstcome.db-wal";
const PARTS: [&str; 4] = [DATABASE, "firstcome.db-shm", LOG, "firstcome.watermark"];

fn firstcome(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

/// Runs a verb; returns its exit code and what it printed.
fn run(arguments: &[&str], data: &Path) -> (i32, String) {
    told(&firstcome(arguments, data).output().expect("run"))
}

fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    (output.status.code().unwrap_or(-1), text)
}

fn serve(data: &Path) -> (i32, String) {
    run(&["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"], data)
}

fn sell(server: &Process, buyers: std::ops::Range<u32>) {
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in buyers {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
}

fn stop(mut server: Process) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// A shop with a drop and some orders, stopped in order.
fn shop(data: &Path, buyers: u32) {
    let server = Process::start(data, &[]);
    server.create_drop(1000);
    sell(&server, 0..buyers);
    stop(server);
}

fn acknowledged(directory: &Path) -> Option<u64> {
    match Watermark::read(directory).expect("read") {
        WatermarkState::Present(mark) => Some(mark.seq.get()),
        WatermarkState::Absent | WatermarkState::Unreadable => None,
    }
}

fn problems(directory: &Path) -> Vec<String> {
    verify::verify(directory).expect("verified").problems
}

/// Sells, lets `lose` destroy the files under the server, and returns the rescued directory and the last event.
fn unsound_rescue(scratch: &Path, lose: impl FnOnce(&Path, &Path)) -> (PathBuf, u64) {
    let (data, older, log) = (scratch.join("data"), scratch.join("older"), scratch.join("log"));
    let server = Process::start(&data, &[]);
    server.create_drop(1000);
    sell(&server, 0..20);
    fs::create_dir(&older).expect("made");
    for name in PARTS {
        fs::copy(data.join(name), older.join(name)).expect("copied");
    }
    // The database itself has what is lost later.
    stop(server);
    let mut server = Process::start_saying(&data, &[], Stdio::from(File::create(&log).expect("made")));
    sell(&server, 100..200);
    let last = acknowledged(&data).expect("a watermark");
    lose(&data, &older);
    assert_eq!(server.wait().code(), Some(72));
    let mut inside = fs::read_dir(&data).expect("read").map(|entry| entry.expect("read").path());
    let kept = inside.find(|path| path.display().to_string().contains("rescued-")).expect("a rescue");
    let said = fs::read_to_string(&log).expect("read");
    assert!(said.contains("it is not sound"), "{said}");
    (kept, last)
}

fn write_in_place(data: &Path, older: &Path) {
    for name in PARTS {
        let bytes = fs::read(older.join(name)).expect("read");
        let file = fs::OpenOptions::new().write(true).open(data.join(name)).expect("opened");
        file.write_all_at(&bytes, 0).expect("written");
        // A cut index would end the server by a signal.
        file.set_len(u64::try_from(bytes.len()).expect("in range")).expect("cut");
    }
}

#[test]
fn a_rescue_that_lacks_events_counts_them_by_the_watermark_of_what_was_acknowledged() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (kept, last) = unsound_rescue(scratch.path(), write_in_place);
    assert_eq!(acknowledged(&kept), Some(last));
    let (code, said) = run(&["verify"], &kept);
    assert!(code == 65 && said.contains("events are missing"), "{code}: {said}");
    let (code, said) = serve(&kept);
    let number = said.split("--accept-loss=").nth(1).and_then(|rest| rest.split('`').next()).unwrap_or("").to_string();
    assert!(code == 65 && number.parse::<u64>().is_ok_and(|missing| missing >= 100), "{code}: {said}");
    let (code, said) = run(&["recover", &format!("--accept-loss={number}")], &kept);
    assert!(code == 0 && said.contains(&format!("{number} events are lost")), "{code}: {said}");
    assert_eq!(problems(&kept), Vec::<String>::new());
    // What lies in the place of the lost files tells the same, although an older watermark was written into it.
    assert_eq!(acknowledged(&scratch.path().join("data")), Some(last));
}

#[test]
fn an_empty_rescue_is_refused_and_never_becomes_an_empty_shop() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (kept, last) = unsound_rescue(scratch.path(), |data, _| {
        for name in [LOG, DATABASE] {
            fs::write(data.join(name), "").expect("emptied");
        }
    });
    assert_eq!(acknowledged(&kept), Some(last));
    let elsewhere = scratch.path().join("elsewhere");
    fs::rename(&kept, &elsewhere).expect("moved");
    for verb in ["verify", "recover", "serve"] {
        let (code, said) = if verb == "serve" { serve(&elsewhere) } else { run(&[verb], &elsewhere) };
        assert!(code == 65 && said.contains("empty"), "{verb}: {code}: {said}");
    }
}

#[test]
fn a_part_of_the_schema_that_is_missing_is_named_by_verify_a_start_and_recover() {
    let scratch = tempfile::tempdir().expect("scratch");
    let whole = scratch.path().join("whole");
    shop(&whole, 3);
    for (change, part) in [
        ("DROP TABLE contacts", "the table contacts is missing"),
        ("DROP TABLE drop_seconds", "the table drop_seconds is missing"),
        ("ALTER TABLE keys RENAME TO other", "the table keys is missing"),
        ("PRAGMA foreign_keys = OFF; DROP TABLE drops", "the table drops is missing"),
        ("DROP TABLE meta", "the table meta is missing"),
        ("DROP TABLE chain", "the table chain is missing"),
        ("DROP INDEX payments_not_kept", "the index payments_not_kept is missing"),
        ("ALTER TABLE contacts RENAME COLUMN phone TO other", "the column contacts.phone is missing"),
    ] {
        let data = scratch.path().join("data");
        fs::create_dir(&data).expect("made");
        for name in [DATABASE, "firstcome.watermark"] {
            fs::copy(whole.join(name), data.join(name)).expect("copied");
        }
        Connection::open(data.join(DATABASE)).and_then(|file| file.execute_batch(change)).expect("changed");
        for verb in ["verify", "recover", "serve"] {
            let (code, said) = if verb == "serve" { serve(&data) } else { run(&[verb], &data) };
            assert!(code == 65 && said.contains(part), "{change}: {verb}: {code}: {said}");
        }
        fs::remove_dir_all(&data).expect("removed");
        let _may_not_be_there = fs::remove_file(scratch.path().join("data.firstcome"));
    }
}

#[test]
fn what_a_start_refuses_stops_the_sale_when_another_program_does_it_and_blames_no_disk() {
    for (change, told) in [
        ("DROP TABLE contacts", "the table contacts is missing"),
        ("UPDATE meta SET epoch = 99", "the watermark is older than the file's last recovery"),
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        let mut server = Process::start(&data, &[]);
        server.create_drop(1000);
        sell(&server, 0..3);
        let other = Connection::open(data.join(DATABASE)).expect("opened");
        other.busy_timeout(std::time::Duration::from_secs(5)).expect("set");
        other.execute_batch(change).expect("changed");
        drop(other);
        assert_eq!(server.wait().code(), Some(73), "{change}");
        let (code, said) = run(&["verify"], &data);
        assert!(code == 65 && said.contains(told), "{change}: {code}: {said}");
    }
}

#[test]
fn beside_an_older_or_a_foreign_log_a_whole_database_is_told_to_be_whole_and_no_loss_is_offered() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, other, older) =
        (scratch.path().join("da ta?#%"), scratch.path().join("other"), scratch.path().join("older"));
    let server = Process::start(&data, &[]);
    server.create_drop(1000);
    sell(&server, 0..20);
    fs::copy(data.join(LOG), &older).expect("copied");
    sell(&server, 20..60);
    stop(server);
    let last = acknowledged(&data).expect("a watermark");
    let mut foreign = Process::start(&other, &[]);
    foreign.create_drop(1000);
    sell(&foreign, 0..5);
    foreign.kill();
    let log = data.join(LOG);
    for stray in [older, other.join(LOG)] {
        assert!(fs::copy(&stray, &log).expect("copied") > 0);
        for verb in ["verify", "recover", "serve"] {
            let (code, said) = if verb == "serve" { serve(&data) } else { run(&[verb], &data) };
            let advice = format!("without {} the file has every acknowledged event, up to event {last}", log.display());
            assert!(code == 65 && said.contains(&advice), "{verb}: {code}: {said}");
            assert!(!said.contains("accept-loss") && !said.contains("without-watermark"), "{verb}: {said}");
        }
        let accepted = AcceptedRisks { loss: Some(40), without_watermark: false };
        let refused = recover(&data, wall_clock(), accepted).expect_err("nothing is lost").to_string();
        assert!(refused.contains("every acknowledged event"), "{refused}");
        // As the message says.
        fs::rename(&log, scratch.path().join("away")).expect("moved");
        drop(Process::start(&data, &[]));
        assert_eq!(problems(&data), Vec::<String>::new());
        let sold = Connection::open(data.join(DATABASE)).expect("opened");
        let orders: u32 = sold.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).expect("read");
        assert_eq!(orders, 60);
    }
}

/// A user that owns nothing else.
const SERVICE: u32 = 54_321;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_directory_that_root_makes_belongs_to_the_owner_of_the_directory_above() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let above = scratch.path().join("above");
    fs::create_dir(&above).expect("made");
    chown(&above, Some(SERVICE), Some(SERVICE)).expect("given");
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).expect("read");
    let token = ["token", "create", "--role", "owner", "--name", "ann", "--before-first-start"];
    for (name, first) in [("token", &token[..]), ("recover", &["recover"]), ("migrate", &["migrate"])] {
        let data = above.join(name);
        let (code, said) = run(first, &data);
        assert!(code == 0 || !data.exists() || name != "token", "{name}: {code}: {said}");
        if !data.exists() {
            continue;
        }
        assert_eq!(owner(&data), (SERVICE, SERVICE), "{name}");
        for entry in fs::read_dir(&data).expect("read") {
            let path = entry.expect("read").path();
            assert_eq!(owner(&path), (SERVICE, SERVICE), "{}", path.display());
        }
    }
    // The service then starts there.
    let mut command = firstcome(
        &["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"],
        &above.join("token"),
    );
    let log = scratch.path().join("log");
    let mut server = command
        .uid(SERVICE)
        .gid(SERVICE)
        .stdout(Stdio::null())
        .stderr(File::create(&log).expect("made"))
        .spawn()
        .expect("run");
    crate::process::wait_until("it is ready", || {
        let said = fs::read_to_string(&log).expect("read");
        assert!(!said.contains("permission denied"), "{said}");
        above.join("token").join(DATABASE).exists() && above.join("token.firstcome").exists()
    });
    server.kill().expect("killed");
    server.wait().expect("ended");
}

#[test]
fn permission_refused_to_token_create_has_the_exit_code_of_permission_refused() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let data = scratch.path().join("data");
    shop(&data, 1);
    let missing = scratch.path().join("missing");
    for (verb, data) in [
        (&["token", "create", "--role", "owner", "--name", "ann"][..], &data),
        (&["token", "create", "--role", "owner", "--name", "ann", "--before-first-start"], &missing),
        (&["token", "list"], &data),
        (&["token", "revoke", "0123456789ab"], &data),
    ] {
        let (code, said) = told(&firstcome(verb, data).uid(SERVICE).gid(SERVICE).output().expect("run"));
        assert!(code == 77 && !said.contains("--help"), "{verb:?}: {code}: {said}");
    }
}
