//! `rush` against the real server. `--ladder`: every rung is measured, and the page stands on its own. `--crowd room`: buyers are
//! served in their order.

use std::path::Path;
use std::process::{Command, Output};

use crate::http::serve;
use serde_json::Value;

fn rush(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("rush").args(arguments).output().expect("run")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("written")
}

#[test]
fn a_ladder_measures_every_rung_and_writes_a_page_that_needs_nothing_else() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let (html, json) = (scratch.path().join("ladder.html"), scratch.path().join("ladder.json"));
    let paths = (html.to_str().expect("a path"), json.to_str().expect("a path"));
    let done = rush(&[
        "--ladder=100,200",
        "--rung-seconds=1",
        "--mix=90:10",
        "--connections=4",
        "--public",
        &public,
        "--admin",
        &admin,
        "--html",
        paths.0,
        "--json",
        paths.1,
    ]);
    let table = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{table}{}", String::from_utf8_lossy(&done.stderr));
    let knee = table.lines().last().expect("a last line");
    assert!(knee.contains("knee"), "{table}");

    let figures: Value = serde_json::from_str(&read(&json)).expect("JSON");
    let rungs = figures["rungs"].as_array().expect("rungs");
    assert_eq!(rungs.len(), 2, "the rung that warms up is not among them");
    for (rung, rate) in rungs.iter().zip([100, 200]) {
        assert_eq!(rung["target_per_second"], rate);
        assert_eq!(rung["success_share"], 1.0, "{rung}");
        let latency = &rung["latency_ms"];
        let counts = ["all", "orders", "reads"].map(|kind| latency[kind]["count"].as_u64().expect("a count"));
        assert_eq!(counts, [rate, rate / 10, rate * 9 / 10]);
        assert!(latency["all"]["p50"].as_f64() <= latency["all"]["p99"].as_f64(), "{latency}");
    }

    let page = read(&html);
    assert!(page.to_lowercase().contains(knee), "the page says what the table says");
    assert_eq!(page.matches("<tr class=").count(), 2);
    assert_eq!(page.matches("<svg").count(), 5, "latency, rate, queue, batches, memory");
    for outside in ["<script", "<link", "src=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    server.0.stop().expect("an orderly end");
}

#[test]
fn a_crowd_in_a_room_takes_every_unit_and_nobody_is_served_out_of_order() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let json = scratch.path().join("room.json");
    let done = rush(&[
        "--crowd=room",
        "--buyers=600",
        "--units=30",
        "--gather-seconds=2",
        "--poll-seconds=1",
        "--admit-per-second=100",
        "--order-seconds=2",
        "--connections=8",
        "--seed=1",
        "--public",
        &public,
        "--admin",
        &admin,
        "--json",
        json.to_str().expect("a path"),
    ]);
    let table = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{table}{}", String::from_utf8_lossy(&done.stderr));
    let figures: Value = serde_json::from_str(&read(&json)).expect("JSON");
    assert_eq!((figures["units_taken"].as_u64(), figures["orders"].as_u64()), (Some(30), Some(30)), "{figures}");
    for (count, least) in
        [("tickets", 590), ("tickets_asked_twice", 1), ("polls", 100), ("early_refused", 1), ("gone", 1)]
    {
        assert!(figures["counts"][count].as_u64() >= Some(least), "{count}: {figures}");
    }
    server.0.stop().expect("an orderly end");
}

#[test]
fn a_ladder_that_makes_no_sense_is_refused_before_it_loads_anybody() {
    for (arguments, part) in [
        (&["--ladder=200,100"][..], "rates must ascend"),
        (&["--ladder=1000", "--mix=94:7"], "add up to 100"),
        (&["--ladder=1000", "--rate=5"], "cannot be used with"),
        (&["--html=page.html"], "--ladder"),
        (&["--ladder=1000", "--rung-seconds=0"], "--rung-seconds"),
    ] {
        let refused = rush(arguments);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}
