//! `firstcome preflight --plan` by the real program: a plan that fits, plans that cannot, a trial that a signal
//! ends, and a file that stays as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::http::{serve, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program with this plan: buyers, units, orders and reads a second.
fn plan(data: &Path, planned: [u32; 4], more: &[&str]) -> Output {
    command(data, planned, more).output().expect("run")
}

fn command(data: &Path, [buyers, units, orders, reads]: [u32; 4], more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["preflight", "--plan", "--data"]).arg(data).args(more);
    for (name, value) in
        [("BUYERS", buyers), ("UNITS", units), ("ORDERS_PER_SECOND", orders), ("READS_PER_SECOND", reads)]
    {
        command.env(format!("FIRSTCOME__PLAN__{name}"), value.to_string());
    }
    // The trial must not depend on how full this machine's disk is.
    command.env("FIRSTCOME__WRITER__FREE_BYTES_MIN", "0");
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The verdict of each check, and all that was told.
fn verdicts(output: &Output) -> (BTreeMap<String, String>, Value) {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(output)));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let checks = told["checks"].as_array().expect("checks");
    (checks.iter().map(|check| (text(&check["check"]), text(&check["verdict"]))).collect(), told)
}

/// Names and contents of the files of a directory.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_plan_that_fits_passes_within_ten_seconds_and_leaves_the_real_file_alone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, data) = (serve(scratch.path()), scratch.path().join("data"));
    assert_eq!(server.create(40).status, 201);
    server.stop();
    let before = files(&data);
    assert!(before.contains_key("firstcome.db"), "{:?}", before.keys());
    let began = Instant::now();
    let output = plan(&data, [50, 20, 5, 10], &["--json"]);
    let took = began.elapsed();
    let (found, told) = verdicts(&output);
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    for check in ["plan: disk", "plan: writer", "plan: cores", "plan: memory", "plan: room", "plan: reads"] {
        assert!(found[check] != "fail", "{check}: {told:#}");
    }
    assert_eq!(found["plan: payments"], "pass", "{told:#}");
    let measured = &told["measured"];
    assert!(measured["trial"]["orders"].as_u64() > Some(100), "the engine has sold: {told:#}");
    assert!(
        measured["trial"]["order_us"].as_f64() > Some(0.5) && measured["fsync_ms"].as_f64() > Some(0.0),
        "{told:#}"
    );
    assert_eq!(told["plan"]["orders_per_second"], 5);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(files(&data) == before, "nothing was written, and nothing is left behind");
}

#[test]
fn a_plan_that_no_machine_serves_fails_and_says_which_part_does_not_fit() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("new");
    let output = plan(&data, [100_000_000, 100_000_000, 1_000_000, 1_000_000], &["--json"]);
    let (found, told) = verdicts(&output);
    assert_eq!(output.status.code(), Some(1), "{told:#}");
    for check in ["plan: disk", "plan: writer", "plan: cores", "plan: memory"] {
        assert_eq!(found[check], "fail", "{check}: {told:#}");
    }
    assert_eq!(found["plan: payments"], "pass", "for information: {told:#}");
    // In words, too; the directory of the first start is not made.
    let output = plan(&data, [10, 10, 1_000_000, 0], &[]);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && text.contains("the plan does not fit this machine"), "{text}");
    assert!(text.contains("1,000,000 orders/s") && text.contains("do: "), "{text}");
    assert_eq!(files(scratch.path()).len(), 0, "nothing is left behind");
}

/// Returns whether the directory of a trial is there.
fn is_on_trial(data: &Path) -> bool {
    let mut entries = std::fs::read_dir(data).expect("readable").filter_map(Result::ok);
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with(".preflight-plan-"))
}

#[test]
fn a_signal_ends_the_trial_and_its_directory_is_removed() {
    for signal in [Signal::INT, Signal::TERM] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut command = command(scratch.path(), [50, 20, 5, 10], &[]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let pid = Pid::from_child(&child);
        let (sender, ended) = mpsc::channel();
        let waiting = std::thread::spawn(move || sender.send(child.wait_with_output()));
        until("the directory of the trial", || is_on_trial(scratch.path()));
        kill_process(pid, signal).expect("our own process");
        let output = ended.recv_timeout(Duration::from_secs(20)).expect("it ends").expect("its output");
        waiting.join().expect("joined").expect("received");
        let text = said(&output);
        assert!(output.status.code() == Some(1) && text.contains("interrupted"), "{signal:?}: {text}");
        assert!(text.contains("run it again"), "{signal:?}: {text}");
        assert_eq!(files(scratch.path()).len(), 0, "{signal:?}: nothing is left behind");
    }
}

#[test]
fn without_a_plan_or_a_directory_it_says_what_is_missing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let output = plan(scratch.path(), [0, 10, 10, 0], &[]);
    let told = said(&output);
    assert!(output.status.code() == Some(64) && told.contains("plan.buyers") && !told.contains("plan.units"), "{told}");
    let output = plan(&scratch.path().join("no/such/place"), [10, 10, 10, 0], &[]);
    assert!(output.status.code() == Some(73) && said(&output).contains("no/such/place"), "{}", said(&output));
    let file = scratch.path().join("a-file");
    std::fs::write(&file, "").expect("written");
    let output = plan(&file, [10, 10, 10, 0], &[]);
    assert!(output.status.code() == Some(73) && said(&output).contains("is not a directory"), "{}", said(&output));
    let output = plan(scratch.path(), [10, 10, 10, 0], &["--prometheus", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    let output = Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("preflight").output().expect("run");
    assert_eq!(output.status.code(), Some(64), "a drop or a plan: {}", said(&output));
}
