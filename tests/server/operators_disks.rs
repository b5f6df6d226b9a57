//! Disks and files as operators meet them: read-only, too small, immutable, mixed up. Every command ends with one line that names
//! the file, the error of the system, and a next step that helps.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::namespace::in_a_namespace;
use crate::process::{Client, Process};
use firstcome::store::verify;
use rustix::process::Signal;

const PORTS: [&str; 6] = ["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"];

/// Exit code of `timeout` for a server that serves: it ends in order.
const ENDED_IN_TIME: i32 = 124;

/// The program, by a shell that sets limits first, and ends one that stays although it should not.
fn limited(limits: &str, arguments: &[&str], data: &Path) -> Output {
    let mut shell = Command::new("sh");
    let script = format!("{limits} exec timeout -k 20 2 {} \"$@\"", env!("CARGO_BIN_EXE_firstcome"));
    shell.args(["-c", &script, "sh"]).args(arguments).arg("--data").arg(data);
    if arguments[0] == "serve" {
        shell.args(PORTS);
    }
    shell.stdin(Stdio::null()).output().expect("run")
}

/// Exit code and last line of a command that must fail.
fn refused(arguments: &[&str], data: &Path) -> (i32, String) {
    let output = limited("", arguments, data);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("firstcome: ")).collect();
    assert_eq!(lines.len(), 1, "{arguments:?}: one line: {told}");
    (output.status.code().expect("an exit code"), lines[0].to_string())
}

fn order(server: &Process, buyers: std::ops::Range<u32>) {
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in buyers {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
}

fn stop(mut server: Process) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

fn sell(data: &Path, buyers: std::ops::Range<u32>) {
    let mut server = Process::start(data, &[]);
    if buyers.start == 0 {
        server.create_drop(1000);
    }
    order(&server, buyers);
    server.kill();
}

fn mount(arguments: &[&str], at: &Path) {
    assert!(Command::new("mount").args(arguments).arg(at).status().expect("run").success());
}

/// Makes a directory read-only, as a kernel does after an error of the disk.
fn make_read_only(directory: &Path) {
    mount(&["--bind", directory.to_str().expect("a path")], directory);
    mount(&["-o", "remount,bind,ro"], directory);
}

#[test]
fn a_read_only_file_system_is_named_by_serve_and_recover_alike_with_steps_that_help() {
    const TEST: &str = "a_read_only_file_system_is_named_by_serve_and_recover_alike_with_steps_that_help";
    if !in_a_namespace(TEST, "a read-only file system") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
    sell(&data, 0..5);
    make_read_only(&data);
    for command in ["serve", "recover", "migrate"] {
        let (code, told) = refused(&[command], &data);
        assert_eq!(code, 74, "{command}: {told}");
        let advice = format!("`cp -a {} COPY`", data.display());
        assert!(told.contains("read-only (os error 30)") && told.contains(&advice), "{command}: {told}");
        assert!(!told.contains("choose a writable directory"), "{command}: {told}");
    }
    assert!(Command::new("cp").arg("-a").args([&data, &copy]).status().expect("run").success());
    assert!(limited("", &["recover"], &copy).status.success());
    sell(&copy, 5..7);
    assert_eq!(verify::verify(&copy).expect("verified").orders, 7);
}

/// Mounts an ext4 of its own that becomes read-only by an error. Returns the file that causes one, if this machine can.
fn mount_that_fails(scratch: &Path) -> Option<(PathBuf, PathBuf)> {
    let (image, at) = (scratch.join("image"), scratch.join("disk"));
    fs::create_dir(&at).expect("made");
    fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("made");
    let done = |mut command: Command| command.output().is_ok_and(|ran| ran.status.success());
    let mut make = Command::new("mkfs.ext4");
    make.arg("-q").arg(&image);
    let mut mount = Command::new("mount");
    mount.args(["-o", "loop,errors=remount-ro"]).args([&image, &at]);
    if !done(make) || !done(mount) {
        return None;
    }
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read");
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == at.to_str())?;
    let device = Path::new(line.split(' ').next()?).file_name()?.to_owned();
    let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
    trigger.exists().then_some((at, trigger))
}

#[test]
fn a_file_system_that_becomes_read_only_under_the_server_loses_nothing_by_the_steps_that_it_names() {
    const TEST: &str = "a_file_system_that_becomes_read_only_under_the_server_loses_nothing_by_the_steps_that_it_names";
    if !in_a_namespace(TEST, "a file system that becomes read-only") {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let Some((disk, trigger)) = mount_that_fails(scratch.path()) else {
        println!("skipped, no ext4 can be mounted and made to fail here");
        return;
    };
    let (data, copy, log) = (disk.join("data"), scratch.path().join("copy"), scratch.path().join("log"));
    let mut server = Process::start_saying(&data, &[], Stdio::from(fs::File::create(&log).expect("made")));
    server.create_drop(1000);
    order(&server, 0..5);
    fs::write(trigger, "by a test").expect("written");
    let answer = Client::connect(server.public).expect("connected").order("buyer-5");
    assert!(answer.is_ok_and(|answer| answer.status == 503 && answer.body["applied"] == "unknown"));
    assert_eq!(server.wait().code(), Some(74));
    let told = fs::read_to_string(&log).expect("read");
    assert!(
        told.contains("read-only (os error 30)") && told.contains(&format!("`cp -a {} COPY`", data.display())),
        "{told}"
    );
    for command in ["serve", "recover"] {
        let (code, told) = refused(&[command], &data);
        assert!(code == 74 && told.contains("`cp -a "), "{command}: {code} {told}");
    }
    assert!(Command::new("cp").arg("-a").args([&data, &copy]).status().expect("run").success());
    assert!(limited("", &["recover"], &copy).status.success());
    let report = verify::verify(&copy).expect("verified");
    assert!(report.problems.is_empty() && (5..=6).contains(&report.orders), "{report:?}");
    assert!(Command::new("umount").arg(&disk).status().expect("run").success());
}

#[test]
fn verify_where_nothing_can_be_written_reads_or_says_exactly_how() {
    const TEST: &str = "verify_where_nothing_can_be_written_reads_or_says_exactly_how";
    if !in_a_namespace(TEST, "a read-only file system") {
        return;
    }
    for has_index in [true, false] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
        sell(&data, 0..5);
        if !has_index {
            fs::remove_file(data.join("firstcome.db-shm")).expect("removed");
        }
        make_read_only(&data);
        if has_index {
            assert!(limited("", &["verify"], &data).status.success());
            continue;
        }
        let (code, told) = refused(&["verify"], &data);
        assert_eq!(code, 64, "{told}");
        assert!(
            told.contains(&format!("`cp -r {} COPY`", data.display())) && told.contains("verify --data COPY"),
            "{told}"
        );
        assert!(Command::new("cp").arg("-r").args([&data, &copy]).status().expect("run").success());
        assert!(limited("", &["verify"], &copy).status.success());
    }
}

/// Makes a backup with the same pages, as `sqlite3 firstcome.db '.backup FILE'` does; the server is idle.
fn back_up(data: &Path, to: &Path) {
    fs::copy(data.join("firstcome.db"), to).expect("copied");
    fs::copy(data.join("firstcome.db-wal"), to.with_extension("db-wal")).expect("copied");
    let copy = rusqlite::Connection::open(to).expect("opened");
    copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("one file");
}

#[test]
fn a_backup_copied_over_the_database_beside_the_log_of_another_state_gets_advice_that_works() {
    let mut mixed = 0;
    for (first, then) in [(100, 200), (3, 40), (100, 300), (40, 300)] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup.db"));
        let server = Process::start(&data, &[]);
        server.create_drop(1000);
        order(&server, 0..first);
        back_up(&data, &backup);
        order(&server, first..then);
        stop(server);
        sell(&data, then..then + 100);
        fs::copy(&backup, data.join("firstcome.db")).expect("copied");
        let what = format!("{first}, {then}");
        if limited("", &["serve"], &data).status.code() == Some(ENDED_IN_TIME) {
            // The log has every page that has changed since the backup.
            let report = verify::verify(&data).expect("verified");
            assert_eq!((report.problems, report.orders), (Vec::new(), u64::from(then) + 100), "{what}");
            continue;
        }
        mixed += 1;
        for command in ["serve", "recover"] {
            let (code, told) = refused(&[command], &data);
            assert_eq!(code, 65, "{command}, {what}: {told}");
            assert!(!told.contains("--accept-loss"), "{command}, {what}: no advice that would not help: {told}");
            assert!(told.contains("move firstcome.db-wal and firstcome.db-shm"), "{command}, {what}: {told}");
        }
        for name in ["firstcome.db-wal", "firstcome.db-shm"] {
            fs::rename(data.join(name), scratch.path().join(name)).expect("moved");
        }
        let missing = then + 100 - first;
        let accept = format!("--accept-loss={missing}");
        let (code, told) = refused(&["serve"], &data);
        assert!(code == 65 && told.contains(&format!("firstcome recover {accept}`")), "{what}: {told}");
        assert!(limited("", &["recover", &accept], &data).status.success());
        sell(&data, 900..901);
        let report = verify::verify(&data).expect("verified");
        assert_eq!((report.problems, report.orders), (Vec::new(), u64::from(first) + 1), "{what}");
    }
    assert!(mixed >= 2, "{mixed}");
}

#[test]
fn an_empty_database_a_file_called_rebuilt_and_a_binary_fault_marker_are_one_line_each() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    fs::create_dir(&data).expect("made");
    for content in ["nothing at all", "no table"] {
        let database = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
        if content == "no table" {
            database.execute_batch("CREATE TABLE x (y); DROP TABLE x").expect("made");
        }
        drop(database);
        for command in ["recover", "migrate"] {
            let (code, told) = refused(&[command], &data);
            assert!(code == 65 && told.contains("firstcome.db is empty"), "{command}, {content}: {code} {told}");
        }
    }
    let other = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
    other.execute_batch("CREATE TABLE theirs (x)").expect("made");
    drop(other);
    for command in ["recover", "migrate"] {
        let (code, told) = refused(&[command], &data);
        assert!(code == 65 && told.contains("is not a firstcome database"), "{command}: {code} {told}");
    }
    fs::remove_dir_all(&data).expect("removed");

    sell(&data, 0..5);
    for name in ["rebuilt", "rebuilding"] {
        fs::write(data.join(name), "a file").expect("written");
        for command in ["serve", "recover", "migrate"] {
            let (code, told) = refused(&[command], &data);
            assert!(code == 64 && told.contains(&format!("{name} is not a directory")), "{command}: {code} {told}");
        }
        fs::remove_file(data.join(name)).expect("removed");
    }
    for content in [vec![0xffu8; 1024], vec![0; 1024], b"one\ntwo\x1b[2J\n".to_vec()] {
        fs::write(data.join("firstcome.fault"), content).expect("written");
        let (code, told) = refused(&["serve"], &data);
        assert!(code == 74 && told.contains("firstcome.fault is damaged") && told.contains("recover --data"), "{told}");
        assert!(told.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{told:?}");
    }
    assert!(limited("", &["recover"], &data).status.success());
    sell(&data, 5..6);
}

#[test]
fn a_limit_on_file_sizes_is_an_error_with_the_file_and_the_cause_and_ends_no_command_without_a_word() {
    for blocks in [0, 1, 8, 16, 64] {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        sell(&data, 0..100);
        for command in ["recover", "serve", "verify", "migrate"] {
            let output = limited(&format!("ulimit -f {blocks};"), &[command], &data);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let what = format!("{command}, {blocks} blocks: {:?} {told}", output.status);
            let code = output.status.code().expect("no signal ends it");
            if code == 0 || code == ENDED_IN_TIME {
                continue;
            }
            let is_of_the_end = |line: &&str| line.starts_with("firstcome: ") || line.contains("the writer ended: ");
            let line = told.lines().rfind(is_of_the_end).unwrap_or_else(|| panic!("{what}"));
            assert!(line.contains(data.to_str().expect("a path")) && line.contains("os error"), "{what}");
            assert!(line.contains("File too large") && line.contains("`ulimit -f`"), "{what}");
        }
        assert!(limited("", &["verify"], &data).status.success(), "{blocks}");
    }
}

#[test]
fn a_limit_on_file_sizes_ends_tokens_and_results_with_73_the_file_and_a_next_step() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, fresh) = (scratch.path().join("data"), scratch.path().join("fresh"));
    sell(&data, 0..3);
    let create = &["token", "create", "--role", "owner", "--name", "ann"][..];
    let made = limited("", create, &data);
    let token = String::from_utf8_lossy(&made.stdout).trim().to_string();
    let id = token.strip_prefix("fc_").and_then(|rest| rest.split('_').next()).expect("an id");
    let before = fs::read(data.join("operators.json")).expect("read");
    let first = [create, &["--before-first-start"]].concat();
    for (arguments, data) in [(create, &data), (&["token", "revoke", id], &data), (&first, &fresh)] {
        let output = limited("ulimit -f 0;", arguments, data);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let file = data.join("operators.json").display().to_string();
        assert!(output.status.code() == Some(73) && told.contains(&file), "{arguments:?}: {told}");
        assert!(told.contains("File too large") && told.contains("`ulimit -f`"), "{arguments:?}: {told}");
        let is_told = told.contains("the token that was printed is not in force");
        assert_eq!(is_told, arguments.contains(&"create"), "{arguments:?}: {told}");
    }
    assert_eq!(fs::read(data.join("operators.json")).expect("read"), before);
    assert!(!fresh.join("operators.json").exists());

    let result = scratch.path().join("key");
    let to = fs::File::create(&result).expect("made");
    let script = format!("ulimit -f 0; exec {} cluster key", env!("CARGO_BIN_EXE_firstcome"));
    let output = Command::new("sh").args(["-c", &script]).stdout(to).stderr(Stdio::piped()).output().expect("run");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(73) && told.contains("`ulimit -f`"), "{told}");
}

#[test]
fn a_file_that_may_not_be_changed_is_named_with_the_error_of_the_system() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    sell(&data, 0..5);
    let names = fs::read_dir(&data).expect("read").map(|entry| entry.expect("read").path());
    let names: Vec<_> = names.chain([data.clone()]).collect();
    let chattr = |flag: &str, path: &Path| {
        Command::new("chattr").arg(flag).arg(path).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    for path in &names {
        if !chattr("+i", path) {
            println!("chattr cannot be used here: not run");
            return;
        }
        for command in ["serve", "recover"] {
            let (code, told) = refused(&[command], &data);
            let is_named = told.contains(&format!("{}: it is immutable (os error 1)", path.display()));
            assert!(code == 77 && is_named && told.contains("`chattr -i`"), "{command}: {code} {told}");
        }
        assert!(chattr("-i", path));
    }
    sell(&data, 5..6);
}
