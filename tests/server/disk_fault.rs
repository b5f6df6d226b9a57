//! A failed write, as an operator meets it: the real binary ends with 74, does not start again, is recovered, and sells
//! on with everything that it had acknowledged.

#![allow(clippy::print_stdout, reason = "the test says what it did not run")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::{Client, Process};
use firstcome::store::verify;

fn firstcome(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let listen: &[&str] = if arguments == ["serve"] {
        &["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"]
    } else {
        &[]
    };
    command.args(arguments).args(listen).arg("--data").arg(data).stdin(Stdio::null()).output().expect("run")
}

#[test]
fn a_failed_write_ends_it_with_74_until_somebody_recovers_the_file() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let log = scratch.path().join("log");
    let mut server = Process::start_saying(&data, &[], Stdio::from(std::fs::File::create(&log).expect("made")));
    server.create_drop(1000);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in 0..20 {
        assert_eq!(client.order(&format!("before-{buyer}")).expect("answered").status, 201);
    }
    let bytes = std::fs::metadata(data.join("firstcome.db-wal")).expect("a log").len();
    server.limit_file_size(bytes);
    let answer = client.order("during").expect("an answer, within the grace");
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("outcome-unknown")));
    assert_eq!(answer.body["applied"], "unknown");
    assert_eq!(server.wait().code(), Some(74));
    let ended = std::fs::read_to_string(&log).expect("read");
    assert!(ended.contains("firstcome.db or its log") && ended.contains("File too large (os error 27)"), "{ended}");

    let refused = firstcome(&["serve"], &data);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(74), "{told}");
    assert!(told.contains("firstcome recover") && told.contains("before any reboot"), "{told}");
    let fault = std::fs::read_to_string(data.join("firstcome.fault")).expect("the mark");
    assert!(fault.starts_with("exit 74: "), "{fault}");

    let recovered = firstcome(&["recover"], &data);
    assert!(recovered.status.success(), "{recovered:?}");
    let server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in 0..20 {
        assert!(client.order(&format!("before-{buyer}")).expect("answered").is_repeat(), "buyer {buyer} had an order");
    }
    assert_eq!(client.order("during").expect("answered").status, 201, "what was unknown is known after a retry");
    drop(server);
    let report = verify::verify(&data).expect("verified");
    assert_eq!((report.problems, report.orders), (Vec::new(), 21));
}

/// Runs a command whose reads of `file` fail as those of a bad sector do: the n-th, or also all after it.
fn with_unreadable(file: &str, reads: &str, arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60", "strace", "-f", "-o", "/dev/null", "-P"]).arg(data.join(file));
    command.args(["-e", &format!("inject=pread64:error=EIO:when={reads}"), env!("CARGO_BIN_EXE_firstcome")]);
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().expect("run")
}

#[test]
fn a_read_that_the_disk_refuses_is_a_fault_of_the_disk_and_never_damage() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]);
    server.create_drop(1000);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in 0..100 {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !traced.is_ok_and(|ended| ended.success()) {
        println!("needs strace, and the right to use it: not run");
        return;
    }
    // A killed server leaves its log; the database alone is read after an ordered end.
    let mut killed = Process::start(&data, &[]);
    let mut client = Client::connect(killed.public).expect("connected");
    for buyer in 100..140 {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
    killed.kill();
    let serve = ["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"];
    let cases: [(&[&str], &[&str]); 3] = [
        (&["verify"], &["1", "2", "3", "5", "8", "12", "20", "30"]),
        (&["recover"], &["1", "3", "5", "12", "20", "30"]),
        (&serve, &["1+", "3+", "8+", "20+"]),
    ];
    let mut refused = 0;
    // The log first: a recovery empties it. A start may have no need to read it.
    for file in ["firstcome.db-wal", "firstcome.db"] {
        let cases = cases.iter().take(if file == "firstcome.db" { 3 } else { 2 });
        for (arguments, counts) in cases {
            for reads in *counts {
                let ran = with_unreadable(file, reads, arguments, &data);
                let told = String::from_utf8_lossy(&ran.stderr).into_owned();
                let case = format!("{} {file} {reads}: {told}", arguments[0]);
                if ran.status.success() {
                    // It had fewer reads.
                    assert_ne!(arguments[0], "serve", "{case}");
                    continue;
                }
                refused += 1;
                assert_eq!(ran.status.code(), Some(74), "{case}");
                assert!(told.contains("Input/output error (os error 5)"), "{case}");
                assert!(!told.contains("restore a backup") && !told.contains("malformed"), "{case}");
                if arguments[0] == "recover" {
                    // It may have ended behind its swap: the same command again completes it.
                    let mut again = Command::new(env!("CARGO_BIN_EXE_firstcome"));
                    let again = again.args(["recover", "--data"]).arg(&data).output().expect("run");
                    assert!(again.status.success(), "{case}{}", String::from_utf8_lossy(&again.stderr));
                }
            }
        }
    }
    assert!(refused > 15, "{refused}");
    let report = verify::verify(&data).expect("verified");
    assert_eq!((report.problems, report.orders), (Vec::new(), 140));
}
