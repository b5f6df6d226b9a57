//! Standard error that cannot be written or that nobody reads: the server sells on, answers operators, and ends in order.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::Stdio;

use crate::process::{Client, Process};
use rustix::process::Signal;
use serde_json::json;

/// Operators' commands, each of which is a line of the log of about a hundred bytes.
const COMMANDS: u32 = 1200;

/// Sells, logs more than a pipe holds, sells again, and stops it.
fn sells_and_ends(data: &Path, log: Stdio) {
    let environment = [("FIRSTCOME__LOG__LEVEL", "info".to_string())];
    let mut server = Process::start_saying(data, &environment, log);
    server.create_drop(1000);
    let mut buyer = Client::connect(server.public).expect("connected");
    assert_eq!(buyer.order("first").expect("answered").status, 201);
    let mut operator = Client::connect(server.admin).expect("connected");
    for number in 0..COMMANDS {
        let action = if number % 2 == 0 { "pause" } else { "resume" };
        let answer = operator.post(&format!("/v1/drops/1/{action}"), "", &json!({ "reason": "log" }));
        assert_eq!(answer.expect("answered").status, 200);
    }
    assert_eq!(buyer.order("second").expect("answered").status, 201);
    assert_eq!(operator.get("/readyz").expect("answered").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let full = OpenOptions::new().write(true).open("/dev/full").expect("opened");
    sells_and_ends(&scratch.path().join("full"), Stdio::from(full));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    sells_and_ends(&scratch.path().join("closed"), Stdio::from(writer));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    sells_and_ends(&scratch.path().join("data"), Stdio::from(writer));
    drop(reader);
}

#[test]
fn the_last_lines_are_in_the_log_when_it_has_ended() {
    let scratch = tempfile::tempdir().expect("scratch");
    let log = scratch.path().join("log");
    sells_and_ends(&scratch.path().join("data"), Stdio::from(File::create(&log).expect("made")));
    let text = std::fs::read_to_string(&log).expect("read");
    assert!(text.lines().last().is_some_and(|line| line.contains("orderly=true")), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("operator command")).count(), 1201);
}
