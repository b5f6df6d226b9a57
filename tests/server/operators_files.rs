//! The data directory as operators treat it: backups that are put back, commands typed as root, any umask.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::{Client, Process};
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::{Store, verify};
use firstcome::writer::clock::wall_clock;

const PARTS: [&str; 3] = ["firstcome.db", "firstcome.db-wal", "firstcome.watermark"];

fn sell(data: &Path, buyers: std::ops::Range<u32>) {
    let mut server = Process::start(data, &[]);
    if buyers.start == 0 {
        server.create_drop(1000);
    }
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in buyers {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
    server.kill();
}

/// Copies the files of a stopped server; removes those that `to` has.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for name in PARTS.into_iter().chain(["firstcome.db-shm"]) {
        let _absent = fs::remove_file(to.join(name));
    }
    for name in PARTS {
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
}

/// The epoch of a drop's version.
fn epoch(data: &Path) -> u64 {
    let server = Process::start(data, &[]);
    let answer = Client::connect(server.public).expect("connected").get("/v1/drops/1").expect("answered");
    let version = answer.body["version"].as_str().expect("a version");
    let tag = answer.header("ETag").expect("an ETag");
    assert!(tag.contains(version), "{tag}: the ETag shows the version");
    version.split_once('-').expect("epoch-seq").0.parse().expect("a number")
}

#[test]
fn a_backup_that_is_put_back_begins_a_new_epoch_each_time() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    sell(&data, 0..5);
    copy(&data, &backup);
    assert_eq!(epoch(&data), 1);
    assert_eq!(epoch(&data), 1, "a restart is no new epoch");
    for expected in 2..4 {
        sell(&data, 10 * expected..10 * expected + 3);
        copy(&backup, &data);
        assert_eq!(epoch(&data), u64::from(expected), "the backup has the epoch of the first file");
        assert_eq!(epoch(&data), u64::from(expected), "once per copy");
    }
    assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
    recover(&data, wall_clock(), AcceptedRisks::default()).expect("recovered");
    assert_eq!(epoch(&data), 3, "a recovery without a loss keeps the epoch");
}

#[test]
fn adopting_a_file_without_its_watermark_begins_a_new_epoch_each_time() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    sell(&data, 0..5);
    copy(&data, &backup);
    for expected in 2..4 {
        sell(&data, 10 * expected..10 * expected + 3);
        copy(&backup, &data);
        fs::remove_file(data.join(PARTS[2])).expect("removed");
        let accepted = AcceptedRisks { loss: None, without_watermark: true };
        recover(&data, wall_clock(), accepted).expect("recovered");
        assert_eq!(epoch(&data), u64::from(expected));
    }
    assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o777
}

#[test]
fn the_files_are_their_owners_alone_whatever_the_umask_says() {
    for umask in ["000", "022", "777"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        let script = format!(
            "umask {umask}; exec {} serve --data {} --public 127.0.0.1:0 --admin 127.0.0.1:0 --wire 127.0.0.1:0",
            env!("CARGO_BIN_EXE_firstcome"),
            data.display()
        );
        let mut shell = Command::new("sh");
        let mut server = shell.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run");
        // The last of them: it is written before anything is served.
        let clock = data.join("firstcome.clock");
        crate::process::wait_until("it has its files", || fs::metadata(&clock).is_ok_and(|found| found.len() > 0));
        server.kill().expect("killed");
        server.wait().expect("ended");
        assert_eq!(mode(&data), 0o700, "umask {umask}");
        for entry in fs::read_dir(&data).expect("read") {
            let path = entry.expect("read").path();
            assert_eq!(mode(&path), 0o600, "umask {umask}: {}", path.display());
        }
        recover(&data, wall_clock(), AcceptedRisks::default()).expect("recovered");
        assert_eq!((mode(&data.join(PARTS[0])), mode(&data.join(PARTS[2]))), (0o600, 0o600));
    }
}

#[test]
fn a_start_says_so_of_files_that_others_can_read() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    drop(Store::open(&data, wall_clock()).expect("made"));
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("set");
    fs::set_permissions(data.join(PARTS[0]), fs::Permissions::from_mode(0o644)).expect("set");
    let environment = [("FIRSTCOME__LOG__LEVEL", "warn".to_string())];
    let to = Stdio::from(fs::File::create(&log).expect("made"));
    drop(Process::start_saying(&data, &environment, to));
    let told = fs::read_to_string(&log).expect("read");
    assert!(told.contains("0755") && told.contains("0644") && told.contains("chmod go-rwx"), "{told}");
}

/// A user that owns nothing else.
const SERVICE: u32 = 54_321;

fn firstcome_as(user: u32, command: &str, data: &Path) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    if command == "serve" {
        run.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"]);
    } else {
        run.args([command, "--data"]);
    }
    run.arg(data).stdin(Stdio::null()).uid(user).gid(user).output().expect("run")
}

fn owners(directory: &Path) -> Vec<(String, u32, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("read") {
        let entry = entry.expect("read");
        let meta = entry.metadata().expect("read");
        found.push((entry.path().display().to_string(), meta.uid(), meta.mode() & 0o777));
        if meta.is_dir() {
            found.extend(owners(&entry.path()));
        }
    }
    found
}

#[test]
fn recover_and_migrate_as_root_leave_the_files_to_their_owner() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root: not run");
        return;
    }
    for (command, dump) in [("recover", None), ("migrate", Some(include_str!("../fixtures/schema-2.sql")))] {
        let scratch = tempfile::tempdir().expect("scratch");
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
        let data = scratch.path().join("data");
        match dump {
            None => sell(&data, 0..3),
            Some(dump) => {
                fs::create_dir(&data).expect("made");
                let old = rusqlite::Connection::open(data.join(PARTS[0])).expect("opened");
                old.execute_batch(dump).expect("loaded");
                drop(old);
                crate::writing::mark_older_file(&data, 0);
            }
        }
        chown(&data, Some(SERVICE), Some(SERVICE)).expect("given");
        for entry in fs::read_dir(&data).expect("read") {
            chown(entry.expect("read").path(), Some(SERVICE), Some(SERVICE)).expect("given");
        }
        fs::set_permissions(data.join(PARTS[0]), fs::Permissions::from_mode(0o640)).expect("set");
        let done = firstcome_as(0, command, &data);
        assert!(done.status.success(), "{done:?}");
        for (path, owner, _) in owners(&data) {
            assert_eq!(owner, SERVICE, "{command}: {path}");
        }
        assert_eq!(mode(&data.join(PARTS[0])), 0o640, "{command}: the mode of the file that it replaced");
    }
}

#[test]
fn a_file_of_another_user_is_a_matter_of_permission_and_not_of_the_disk() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root: not run");
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let data = scratch.path().join("data");
    sell(&data, 0..3);
    let names: Vec<_> = fs::read_dir(&data).expect("read").map(|entry| entry.expect("read").path()).collect();
    for foreign in std::iter::once(data.clone()).chain(names.clone()) {
        for path in names.iter().chain([&data]) {
            let owner = if *path == foreign { 0 } else { SERVICE };
            chown(path, Some(owner), Some(owner)).expect("given");
        }
        for command in ["serve", "recover", "verify"] {
            let only_read = command == "verify" && ![PARTS[0]].iter().any(|name| foreign.ends_with(name));
            if only_read {
                continue;
            }
            let refused = firstcome_as(SERVICE, command, &data);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(77), "{command}, {} of root: {told}", foreign.display());
            assert!(told.contains("permission denied") && !told.contains("storage fault"), "{told}");
        }
    }
}

#[test]
fn a_server_whose_disk_is_full_is_not_ready() {
    let scratch = tempfile::tempdir().expect("scratch");
    let environment = [("FIRSTCOME__WRITER__FREE_BYTES_MIN", "1000000000000000".to_string())];
    let server = Process::start(&scratch.path().join("data"), &environment);
    let ready = || Client::connect(server.admin).expect("connected").get("/readyz").expect("answered");
    crate::process::wait_until("the server is read-only", || ready().status != 200);
    let answer = ready();
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("read-only")));
}

/// Sells, and stops the server in order. Returns what it said.
fn sell_and_stop(data: &Path, buyers: std::ops::Range<u32>) -> String {
    let log = data.with_extension("log");
    let environment = [("FIRSTCOME__LOG__LEVEL", "warn".to_string())];
    let mut server = Process::start_saying(data, &environment, Stdio::from(fs::File::create(&log).expect("made")));
    if buyers.start == 0 {
        server.create_drop(1000);
    }
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in buyers {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let told = fs::read_to_string(log).expect("read");
    told.lines().filter(|line| !line.starts_with("shutting down")).map(|line| format!("{line}\n")).collect()
}

/// Writes the older files into the ones that lie there, as `cp -a backup/. data/`, `rsync --inplace` and `dd` do.
fn copy_into(backup: &Path, data: &Path) {
    for entry in fs::read_dir(backup).expect("read") {
        let from = entry.expect("read").path();
        let to = data.join(from.file_name().expect("a name"));
        let before = fs::metadata(&to).ok().map(|found| found.ino());
        fs::write(&to, fs::read(&from).expect("read")).expect("written");
        assert!(before.is_none_or(|inode| fs::metadata(&to).expect("there").ino() == inode), "the same file");
    }
}

#[test]
fn a_backup_that_is_copied_into_the_files_that_lie_there_begins_a_new_epoch() {
    for command in ["serve", "recover"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
        sell_and_stop(&data, 0..5);
        fs::create_dir(&backup).expect("made");
        for name in PARTS.into_iter().chain(["firstcome.db-shm", "firstcome.clock"]) {
            fs::copy(data.join(name), backup.join(name)).expect("copied");
        }
        assert_eq!(sell_and_stop(&data, 5..15), "", "a restart is no new epoch");
        copy_into(&backup, &data);
        if command == "recover" {
            recover(&data, wall_clock(), AcceptedRisks::default()).expect("recovered");
        } else {
            let told = sell_and_stop(&data, 15..16);
            assert!(told.contains("a new epoch begins") && told.contains("10 events are missing"), "{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        assert_eq!(epoch(&data), 2, "{command}");
        assert_eq!(epoch(&data), 2, "{command}: once per copy");
        // The copy is of the first epoch, and the note knows of the second.
        copy_into(&backup, &data);
        assert_eq!(epoch(&data), 3, "{command}");
        assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
    }
}

#[test]
fn a_running_server_keeps_the_note_up_to_date_and_a_kill_leaves_one_that_is_true() {
    for durability in ["full", "interval"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        let environment = [("FIRSTCOME__WRITER__DURABILITY", durability.to_string())];
        let mut server = Process::start_saying(&data, &environment, Stdio::null());
        server.create_drop(1000);
        let mut client = Client::connect(server.public).expect("connected");
        for buyer in 0..5 {
            assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
        }
        let note = || fs::read_to_string(scratch.path().join("data.firstcome")).expect("read");
        crate::process::wait_until("the note has the orders", || note().contains(" seq 6 link "));
        server.kill();
        assert_eq!(epoch(&data), 1, "{durability}");
    }
}

#[test]
fn a_note_that_is_empty_cut_or_no_note_is_refused_with_what_to_do_and_what_that_says_helps() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, note) = (scratch.path().join("data"), scratch.path().join("data.firstcome"));
    sell_and_stop(&data, 0..5);
    let whole = fs::read(&note).expect("a note");
    let cut = whole[..whole.len() / 3].to_vec();
    for bad in [Vec::new(), b"nothing\n".to_vec(), vec![0xff; 4096], vec![0; 300], cut] {
        fs::write(&note, &bad).expect("written");
        for command in ["serve", "recover", "migrate"] {
            let refused = firstcome_as(0, command, &data);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(64), "{command}, {bad:?}: {told}");
            let told = told.lines().last().expect("a line");
            assert!(told.contains("data.firstcome") && told.contains("delete it"), "{command}, {bad:?}: {told}");
            assert_eq!(fs::read(&note).expect("there"), bad, "it is left as it is");
        }
        assert!(firstcome_as(0, "verify", &data).status.success(), "as the message says");
        fs::remove_file(&note).expect("removed");
        assert_eq!(sell_and_stop(&data, 0..1), "");
        assert!(fs::read_to_string(&note).expect("written again").starts_with("file "));
    }
}

#[test]
fn a_note_that_the_user_may_not_read_is_a_matter_of_permission() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root: not run");
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let data = scratch.path().join("data");
    sell(&data, 0..3);
    chown(&data, Some(SERVICE), Some(SERVICE)).expect("given");
    for entry in fs::read_dir(&data).expect("read") {
        chown(entry.expect("read").path(), Some(SERVICE), Some(SERVICE)).expect("given");
    }
    let refused = firstcome_as(SERVICE, "serve", &data);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(77) && told.contains("data.firstcome"), "{told}");
    assert!(told.contains("give it to the user of the server with `chown`, or delete it"), "{told}");
    chown(scratch.path().join("data.firstcome"), Some(SERVICE), Some(SERVICE)).expect("given");
    let done = firstcome_as(SERVICE, "recover", &data);
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_note_is_written_beside_and_renamed_and_both_are_on_the_disk() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("calls"));
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=openat,write,fsync,rename,pwrite64", "-o"]).arg(&log);
    if !Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success()) {
        println!("needs strace: not run");
        return;
    }
    // A start that has a database and cannot listen writes the note and ends.
    drop(Store::open(&data, wall_clock()).expect("made"));
    fs::remove_file(scratch.path().join("data.firstcome")).expect("removed");
    command.arg(env!("CARGO_BIN_EXE_firstcome")).args(["serve", "--public", "192.0.2.1:1", "--data"]).arg(&data);
    let ended = command.stdin(Stdio::null()).output().expect("run");
    let calls = fs::read_to_string(&log).unwrap_or_default();
    if calls.is_empty() {
        println!("strace cannot be used here ({ended:?}): not run");
        return;
    }
    let line =
        |text: &str| calls.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text}: {calls}"));
    let above = scratch.path().display();
    let order = [
        line("data.firstcome.next\", O_RDWR|O_CREAT|O_EXCL"),
        line(&format!("{above}/data.firstcome.next>, \"file ")),
        calls
            .lines()
            .position(|line| line.contains("fsync(") && line.contains("data.firstcome.next>"))
            .expect("a sync"),
        line(&format!("rename(\"{above}/data.firstcome.next\", \"{above}/data.firstcome\")")),
        calls
            .lines()
            .position(|line| line.contains("fsync(") && line.contains(&format!("<{above}>)")))
            .expect("a sync"),
    ];
    assert!(order.is_sorted(), "{order:?}: {calls}");
}

#[test]
fn a_directory_or_a_file_that_may_not_be_used_is_a_matter_of_permission_with_the_advice_that_fits() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root: not run");
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let above = scratch.path().join("above");
    let data = above.join("data");
    fs::create_dir(&above).expect("made");
    sell(&data, 0..3);
    let names: Vec<_> = fs::read_dir(&data).expect("read").map(|entry| entry.expect("read").path()).collect();
    for path in names.iter().chain([&data, &above]) {
        chown(path, Some(SERVICE), Some(SERVICE)).expect("given");
    }
    let files = ["", "firstcome.db", "firstcome.watermark"].map(|name| data.join(name));
    for (path, bits) in
        files.iter().flat_map(|path| [0o000, 0o400, 0o500].map(|bits| (path, bits))).chain([(&above, 0)])
    {
        let before = mode(path);
        fs::set_permissions(path, fs::Permissions::from_mode(bits)).expect("set");
        for command in ["serve", "recover", "migrate", "verify"] {
            if command == "verify" && bits != 0 {
                continue;
            }
            let refused = firstcome_as(SERVICE, command, &data);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            let what = format!("{command}, {} {bits:o}: {told}", path.display());
            assert_eq!(refused.status.code(), Some(77), "{what}");
            assert!(told.contains("chmod -R u+rwX") && !told.contains("chown"), "{what}");
            let foreign = firstcome_as(SERVICE + 1, command, &data);
            let told = String::from_utf8_lossy(&foreign.stderr).into_owned();
            assert!(foreign.status.code() == Some(77) && told.contains("chown"), "{what}: as another user: {told}");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(before)).expect("set");
    }
}

#[test]
fn a_file_of_another_page_size_is_refused_for_good_and_made_again_by_recover() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    sell_and_stop(&data, 0..5);
    let other = rusqlite::Connection::open(data.join(PARTS[0])).expect("opened");
    other.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM").expect("made again");
    drop(other);
    let refused = firstcome_as(rustix::process::geteuid().as_raw(), "serve", &data);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(65), "{told}");
    assert!(told.contains("8192") && told.contains("firstcome recover --data"), "{told}");
    recover(&data, wall_clock(), AcceptedRisks::default()).expect("recovered");
    assert_eq!(sell_and_stop(&data, 5..7), "");
    let report = verify::verify(&data).expect("verified");
    assert_eq!((report.problems, report.orders), (Vec::new(), 7));
}

#[test]
fn a_recovery_that_is_refused_leaves_no_copy_behind() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    sell_and_stop(&data, 0..5);
    fs::remove_file(data.join(PARTS[2])).expect("removed");
    let refused = recover(&data, wall_clock(), AcceptedRisks::default()).expect_err("there is no watermark");
    assert_eq!(refused.exit_code(), 65, "{refused}");
    let names = fs::read_dir(&data).expect("read").map(|entry| entry.expect("read").file_name());
    assert!(!names.into_iter().any(|name| name == "rebuilding"));
}
