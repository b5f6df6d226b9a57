//! The commands of the runbook FirstcomeWalGrowing, as it has them: they list the readers of one database, and nobody else.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::process::Process;

/// A shell of SQLite with a snapshot of the database open.
fn reader(data: &Path) -> Option<Child> {
    let mut command = Command::new("sqlite3");
    command.arg(data.join("firstcome.db")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    writeln!(child.stdin.as_mut().expect("piped"), "BEGIN; SELECT count(*) FROM orders;").expect("asked");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("answered");
    assert_eq!(line.trim(), "0");
    Some(child)
}

/// The first block of commands of a page, without the lines that an operator changes.
fn commands(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/runbooks").join(page);
    let text = fs::read_to_string(path).expect("a page");
    let (_, rest) = text.split_once("```sh\n").expect("a block");
    let (block, _) = rest.split_once("```").expect("its end");
    block.lines().filter(|line| !line.contains("# yours")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_commands_list_the_readers_of_this_database_and_neither_the_server_nor_those_of_another() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (mine, other, link) = (scratch.path().join("mine"), scratch.path().join("other"), scratch.path().join("link"));
    let _servers = [Process::start(&mine, &[]), Process::start(&other, &[])];
    let (Some(mut reads_mine), Some(mut reads_other)) = (reader(&mine), reader(&other)) else {
        println!("needs sqlite3: not run");
        return;
    };
    symlink(&mine, &link).expect("linked");
    for data in [&mine, &link] {
        let script =
            format!("data={}\n{}\necho \"readers: $readers\"", data.display(), commands("FirstcomeWalGrowing.md"));
        let ran = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().expect("run");
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(told.contains(&format!("readers: {}\n", reads_mine.id())), "{told}");
        assert!(told.lines().any(|line| line.contains("sqlite3")) && !told.contains(" serve "), "{told}");
    }
    for child in [&mut reads_mine, &mut reads_other] {
        child.kill().expect("our own process");
        child.wait().expect("ended");
    }
}

#[test]
fn the_page_of_a_foreign_lock_says_which_process_is_the_server() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let server = Process::start(&data, &[]);
    let script = format!("data={}\n{}", data.display(), commands("FirstcomeReadOnly.md"));
    let ran = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().expect("run");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    let lock = fs::read_to_string(data.join("firstcome.lock")).expect("read");
    let id: u32 = lock.split_whitespace().next().expect("a process").parse().expect("its id");
    assert!(told.contains(&format!("the server is process {id}: do not end it")), "{told}");
    drop(server);
}
