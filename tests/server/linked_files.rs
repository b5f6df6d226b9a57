//! Links in place of the files of the data directory, and of the directory itself: a server and every tool refuse a file that
//! has another name or lies elsewhere, and a directory may be a link as long as it leads to the same one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::process::{Client, Process};
use firstcome::store::verify;
use rustix::process::Signal;

const FILES: [&str; 5] =
    ["firstcome.db", "firstcome.db-wal", "firstcome.db-shm", "firstcome.watermark", "firstcome.lock"];
const COMMANDS: [&str; 4] = ["serve", "verify", "recover", "migrate"];

fn firstcome(command: &str, data: &Path) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    run.arg(command).arg("--data").arg(data);
    if command == "serve" {
        run.args(["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"]);
    }
    run.stdin(Stdio::null()).output().expect("run")
}

fn sell(data: &Path, buyers: std::ops::Range<u32>) {
    let mut server = Process::start(data, &[]);
    if buyers.start == 0 {
        server.create_drop(1000);
    }
    order(&server, buyers);
    server.kill();
}

fn order(server: &Process, buyers: std::ops::Range<u32>) {
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in buyers {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
}

/// Events that a whole data directory has.
fn events(directory: &Path) -> u64 {
    let report = verify::verify(directory).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
    report.events
}

#[test]
fn a_file_that_is_a_link_or_has_a_second_name_is_refused_by_every_command() {
    for name in FILES {
        for way in ["link", "second name", "directory", "FIFO"] {
            let scratch = tempfile::tempdir().expect("scratch");
            let (data, elsewhere) = (scratch.path().join("data"), scratch.path().join("elsewhere"));
            sell(&data, 0..3);
            match way {
                "second name" => fs::hard_link(data.join(name), &elsewhere).expect("linked"),
                "link" => {
                    fs::rename(data.join(name), &elsewhere).expect("moved");
                    symlink(&elsewhere, data.join(name)).expect("linked");
                }
                other => {
                    fs::rename(data.join(name), &elsewhere).expect("moved");
                    let (made, path) = (if other == "FIFO" { "mkfifo" } else { "mkdir" }, data.join(name));
                    assert!(Command::new(made).arg(path).status().expect("run").success());
                }
            }
            for command in COMMANDS {
                let refused = firstcome(command, &data);
                let told = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert_eq!(refused.status.code(), Some(64), "{command}, {name}, {way}: {told}");
                assert!(told.contains(name), "{command}, {name}, {way}: it names the file: {told}");
            }
            match way {
                "second name" => fs::remove_file(&elsewhere).expect("removed"),
                "directory" => fs::remove_dir(data.join(name)).expect("removed"),
                _ => fs::remove_file(data.join(name)).expect("removed"),
            }
            if way != "second name" {
                fs::rename(&elsewhere, data.join(name)).expect("moved back");
            }
            sell(&data, 3..5);
            assert_eq!(events(&data), 6, "{name}, {way}");
        }
    }
}

#[test]
fn a_note_that_is_a_link_or_has_a_second_name_is_refused_by_every_command_and_never_written_through() {
    for way in ["link", "second name", "directory", "FIFO"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, note, elsewhere) =
            (scratch.path().join("data"), scratch.path().join("data.firstcome"), scratch.path().join("elsewhere"));
        sell(&data, 0..3);
        let before = fs::read(&note).expect("a note");
        match way {
            "second name" => fs::hard_link(&note, &elsewhere).expect("linked"),
            "link" => {
                fs::rename(&note, &elsewhere).expect("moved");
                symlink(&elsewhere, &note).expect("linked");
            }
            other => {
                fs::remove_file(&note).expect("removed");
                let made = if other == "FIFO" { "mkfifo" } else { "mkdir" };
                assert!(Command::new(made).arg(&note).status().expect("run").success());
            }
        }
        for command in COMMANDS {
            let refused = firstcome(command, &data);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(64), "{command}, {way}: {told}");
            assert!(told.contains("data.firstcome"), "{command}, {way}: it names the note: {told}");
        }
        if elsewhere.exists() {
            assert_eq!(fs::read(&elsewhere).expect("read"), before, "{way}");
        }
    }
}

#[test]
fn a_note_that_becomes_a_link_under_the_running_server_is_not_written_through() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, note, target) =
        (scratch.path().join("data"), scratch.path().join("data.firstcome"), scratch.path().join("target"));
    for linked in [true, false] {
        let _from_before = fs::remove_file(&target);
        fs::write(&target, "a file of another program").expect("written");
        let mut server = Process::start_saying(&data, &[], Stdio::null());
        if linked {
            server.create_drop(1000);
        }
        order(&server, if linked { 0..3 } else { 3..6 });
        fs::remove_file(&note).expect("a note");
        if linked {
            symlink(&target, &note).expect("linked");
        } else {
            fs::hard_link(&target, &note).expect("linked");
        }
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(fs::read_to_string(&target).expect("read"), "a file of another program", "link: {linked}");
        let written = fs::read_to_string(&note).expect("a note");
        assert!(written.contains(" seq ") && !note.is_symlink(), "{written}");
    }
    assert_eq!(events(&data), 7);
}

/// A data directory that is a link.
struct Linked {
    data: PathBuf,
    target: PathBuf,
    other: PathBuf,
}

fn linked(scratch: &Path) -> Linked {
    let (data, above) = (scratch.join("data"), scratch.join("disk"));
    let (target, other) = (above.join("first"), above.join("second"));
    fs::create_dir_all(&target).expect("made");
    symlink(&target, &data).expect("linked");
    Linked { data, target, other }
}

#[test]
fn a_directory_that_is_a_link_serves_and_is_missed_when_it_leads_elsewhere() {
    let scratch = tempfile::tempdir().expect("scratch");
    let Linked { data, target, other } = linked(scratch.path());
    sell(&data, 0..3);
    let mut server = Process::start_saying(&data, &[], Stdio::null());
    order(&server, 3..5);
    fs::create_dir(&other).expect("made");
    fs::remove_file(&data).expect("removed");
    symlink(&other, &data).expect("linked");
    assert_eq!(server.wait().code(), Some(72));
    assert!(!other.join(FILES[0]).exists());
    assert_eq!(events(&target), 6, "the directory has everything");
    let mut kept = fs::read_dir(scratch.path()).expect("read").map(|entry| entry.expect("read").path());
    let kept = kept.find(|path| path.to_string_lossy().contains("data.rescued-")).expect("a copy");
    assert_eq!(events(&kept), 6, "the copy has everything");
}

#[test]
fn a_link_that_leads_to_an_empty_directory_or_nowhere_makes_no_empty_database() {
    let scratch = tempfile::tempdir().expect("scratch");
    let Linked { data, target, other } = linked(scratch.path());
    sell(&data, 0..3);
    fs::create_dir(&other).expect("made");
    fs::remove_file(&data).expect("removed");
    symlink(&other, &data).expect("linked");
    let refused = firstcome("serve", &data);
    assert_eq!(refused.status.code(), Some(66), "{refused:?}");
    assert!(!other.join(FILES[0]).exists());
    fs::remove_dir_all(&other).expect("removed");
    for command in COMMANDS {
        let refused = firstcome(command, &data);
        assert!(matches!(refused.status.code(), Some(64 | 66)), "{command}: {refused:?}");
        assert!(!other.exists(), "{command}");
    }
    fs::rename(&target, &other).expect("moved");
    sell(&data, 3..5);
    assert_eq!(events(&data), 6);
}

#[test]
fn a_link_that_leads_to_an_older_copy_begins_a_new_epoch() {
    let scratch = tempfile::tempdir().expect("scratch");
    let Linked { data, target, other } = linked(scratch.path());
    sell(&data, 0..3);
    fs::create_dir(&other).expect("made");
    for name in ["firstcome.db", "firstcome.db-wal", "firstcome.watermark"] {
        fs::copy(target.join(name), other.join(name)).expect("copied");
    }
    sell(&data, 3..5);
    fs::remove_file(&data).expect("removed");
    symlink(&other, &data).expect("linked");
    let log = scratch.path().join("log");
    let environment = [("FIRSTCOME__LOG__LEVEL", "warn".to_string())];
    drop(Process::start_saying(&data, &environment, Stdio::from(fs::File::create(&log).expect("made"))));
    let told = fs::read_to_string(&log).expect("read");
    assert!(told.contains("a new epoch begins"), "{told}");
}

#[test]
fn a_second_name_that_comes_while_the_server_runs_is_told_before_the_next_start_refuses_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let server = Process::start_saying(&data, &[], Stdio::from(fs::File::create(&log).expect("made")));
    server.create_drop(1000);
    fs::hard_link(data.join(FILES[0]), scratch.path().join("snapshot")).expect("linked");
    let told = || fs::read_to_string(&log).expect("read");
    crate::process::wait_until("it tells", || told().contains("the next start will refuse it"));
    order(&server, 0..3);
}

#[test]
fn a_link_that_takes_the_place_of_a_file_while_the_server_runs_is_told_with_the_command_that_helps() {
    for name in FILES {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, log, moved) =
            (scratch.path().join("data"), scratch.path().join("log"), scratch.path().join("elsewhere"));
        let mut server = Process::start_saying(&data, &[], Stdio::from(fs::File::create(&log).expect("made")));
        server.create_drop(1000);
        order(&server, 0..3);
        let path = data.join(name);
        // At once, so that no look finds nothing there.
        fs::hard_link(&path, &moved).expect("linked");
        symlink(&moved, scratch.path().join("link")).expect("linked");
        fs::rename(scratch.path().join("link"), &path).expect("moved");
        let told = || fs::read_to_string(&log).expect("read");
        let command = format!("mv -T {} {}", moved.display(), path.display());
        crate::process::wait_until("it tells", || told().contains(&command));
        assert!(told().contains("the next start will refuse it"), "{}", told());
        order(&server, 3..5);
        let words: Vec<&str> = command.split(' ').collect();
        assert!(Command::new(words[0]).args(&words[1..]).status().expect("run").success());
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0), "{name}: {}", told());
        assert!(firstcome("verify", &data).status.success(), "{name}");
        sell(&data, 5..6);
    }
}

#[test]
fn what_the_message_about_second_names_says_mends_all_files_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, snapshot, copy) =
        (scratch.path().join("data"), scratch.path().join("snapshot"), scratch.path().join("copy"));
    sell(&data, 0..3);
    let run = |arguments: [&str; 2], from: &Path, to: &Path| {
        assert!(Command::new(arguments[0]).arg(arguments[1]).arg(from).arg(to).status().expect("run").success());
    };
    run(["cp", "-al"], &data, &snapshot);
    let refused = firstcome("serve", &data);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(64) && told.contains("cp -r"), "{told}");
    run(["cp", "-r"], &data, &copy);
    sell(&copy, 3..5);
    assert_eq!(events(&copy), 6);
    fs::remove_dir_all(&snapshot).expect("removed");
    sell(&data, 3..5);
    assert_eq!(events(&data), 6);
}
