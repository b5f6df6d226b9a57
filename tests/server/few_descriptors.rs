//! A server under a limit of open descriptors: it starts with all its threads, or not at all and with a line that says how
//! many it needs.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::{Client, Process};

/// The program, by a shell that limits its descriptors first, and ends one that stays although it should not.
fn limited(descriptors: u64, threads: u32, within: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -n {descriptors}; exec {within} {} \"$@\"", env!("CARGO_BIN_EXE_firstcome"));
    shell.args(["-c", &script, "sh"]).env("FIRSTCOME__HTTP__THREADS", threads.to_string());
    shell
}

fn refused(descriptors: u64, threads: u32, data: &Path) -> Output {
    let mut command = limited(descriptors, threads, "timeout -s KILL 30");
    command.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"]);
    command.arg(data).stdin(Stdio::null()).output().expect("run")
}

/// The number in the line of a refusal.
fn needed(told: &str) -> u64 {
    let (_, rest) = told.split_once(" at least ").unwrap_or_else(|| panic!("no number: {told}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().expect("digits").parse().expect("a number")
}

#[test]
fn a_start_with_too_few_descriptors_ends_with_71_and_the_number_that_is_enough() {
    for (descriptors, threads) in [(40, 2), (64, 1), (256, 64)] {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        let output = refused(descriptors, threads, &data);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(71), "{descriptors}, {threads}: {told}");
        assert!(told.contains("raise `ulimit -n` (systemd: LimitNOFILE)") && !told.contains("serving"), "{told}");
        assert!(!data.exists(), "nothing was made");
        let enough = needed(&told);
        assert_eq!(refused(enough - 1, threads, &data).status.code(), Some(71), "{told}");

        let server = Process::start_through(limited(enough, threads, ""), &data, &[], Stdio::inherit());
        server.create_drop(100);
        for buyer in 0..2 * threads.min(4) {
            let mut client = Client::connect(server.public).expect("connected");
            assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
        }
        let ready = Client::connect(server.admin).expect("connected").get("/readyz").expect("answered");
        assert_eq!(ready.status, 200, "{descriptors}, {threads}");
        assert!(u64::try_from(server.descriptors()).expect("few") + 8 < enough, "{threads}: {}", server.descriptors());
    }
}
