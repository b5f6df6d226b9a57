//! `firstcome rush --bids`: the real program against the real server.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use firstcome::types::Amount;
use serde_json::Value;

use super::auctions::auction;
use super::hello;
use super::peer::Site;
use super::program::talk_to;

/// A storm on the site; `more` may say another `--wire`.
fn rush(site: &Site, more: &[&str]) -> Output {
    let (wire, admin) = (site.server.0.server.wire_address, site.server.0.server.admin_address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["rush", "--admin", &admin.to_string()]);
    if !more.contains(&"--wire") {
        command.args(["--wire", &wire.to_string()]);
    }
    command.args(more).stdin(Stdio::null()).output().expect("run")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A storm whose check holds; what its file says.
fn good(site: &Site, more: &[&str]) -> Value {
    let scratch = tempfile::tempdir().expect("scratch");
    let json = scratch.path().join("bids.json");
    let done = rush(site, &[more, &["--json", json.to_str().expect("a path")]].concat());
    let told = text(&done);
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(told.contains("acknowledged") && told.contains("check        exact"), "{told}");
    let found: Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
    assert_eq!(found["exact"], true);
    found
}

#[test]
fn a_storm_of_bids_is_counted_and_every_price_is_the_highest_acknowledged_bid() {
    let site = Site::open(|_| {});
    for number in 1..=3 {
        auction(&site, number, |_| {});
    }
    // One connection for each auction: all its bids are accepted.
    let found = good(&site, &["--bids", "100", "--auctions", "1-3", "--connections", "3", "--pipeline", "8"]);
    assert_eq!((found["answers"]["acknowledged"].as_u64(), found["acknowledged"].as_u64()), (Some(300), Some(300)));
    // Many on one auction, with a pace: some come too late, none is without an answer.
    let found = good(&site, &["--bids", "5", "--auctions", "1", "--connections", "20", "--pace-ms", "5"]);
    assert_eq!(found["answered"], 100);
    let nothing = rush(&site, &["--bids", "5", "--auctions", "9", "--connections", "1"]);
    assert_eq!(nothing.status.code(), Some(69), "no such auction");
    site.end();
}

#[test]
fn bidders_who_think_for_long_say_something_first_and_are_not_taken_for_dead() {
    let site = Site::open(|config| config.wire.first_frame_timeout = Duration::from_millis(700));
    // Their bids are spread over the pace: most come later than a first frame may.
    let found = good(&site, &["--bids", "1", "--connections", "20", "--pace-ms", "2000", "--new-auctions", "20"]);
    assert_eq!(found["acknowledged"], 20);
    site.end();
}

#[test]
fn rush_makes_its_own_auctions_where_none_are_named() {
    let site = Site::open(|_| {});
    let found = good(&site, &["--bids", "10", "--connections", "4", "--new-auctions", "4"]);
    assert_eq!((found["auctions"].as_u64(), found["acknowledged"].as_u64()), (Some(4), Some(40)));
    let prices = site.server.public("GET", "/v1/auctions").body;
    let prices: Vec<_> = prices["data"].as_array().expect("a page").iter().map(|auction| &auction["current"]).collect();
    assert_eq!(prices, [10, 10, 10, 10], "each bid is one more than the one before");
    site.end();
}

#[test]
fn who_listens_hears_of_the_last_price() {
    let site = Site::open(|_| {});
    let found = good(&site, &["--bids", "20", "--connections", "4", "--new-auctions", "2", "--subscribers", "30"]);
    assert_eq!(found["subscribers"], 30);
    let latest = found["last_price_ms"]["max"].as_f64().expect("a figure");
    assert!(latest > 0.0 && latest < 5_000.0, "{latest}");
    site.end();
}

#[test]
fn a_bid_that_is_not_decided_fails_the_check() {
    let site = Site::open(|config| config.auctions.exposure_limit = Amount::new(5));
    let done = rush(&site, &["--bids", "10", "--connections", "1"]);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    assert!(text(&done).contains("5 bids were not decided: limit-reached"), "{}", text(&done));
    site.end();
}

#[test]
fn where_tokens_are_wanted_each_connection_says_hello_with_one() {
    let site = hello::site(|_| {});
    let scratch = tempfile::tempdir().expect("scratch");
    let tokens = [7, 8, 9].map(|user| hello::token(&user.to_string(), 600)).join("\n");
    let file = hello::write(scratch.path().join("tokens"), tokens.as_bytes());
    let file = file.to_str().expect("a path");
    let with = ["--bids", "10", "--connections", "3", "--subscribers", "3", "--tokens", file];
    let found = good(&site, &with);
    assert_eq!(found["answered"], 30);
    // Named ones are looked up with a token, too.
    good(&site, &["--bids", "10", "--connections", "3", "--auctions", "1", "--tokens", file]);
    let leader = site.server.public("GET", "/v1/auctions/1/bids").body;
    assert!(["7", "8", "9"].contains(&leader["data"][0]["buyer"].as_str().expect("a buyer")), "{leader}");
    let without = rush(&site, &["--bids", "1", "--connections", "1"]);
    assert!(!without.status.success(), "{}", text(&without));
    let none = hello::write(scratch.path().join("none"), b"nonsense");
    let wrong = rush(&site, &["--bids", "1", "--tokens", none.to_str().expect("a path")]);
    assert_eq!(wrong.status.code(), Some(64), "{}", text(&wrong));
    assert!(!text(&wrong).contains("nonsense"), "a secret: {}", text(&wrong));
    site.server.stop();
}

#[test]
fn frames_go_under_tls_where_the_address_says_so() {
    let (site, certificate) = hello::under_tls();
    let to = format!("tls://localhost:{}", site.server.0.server.wire_address.port());
    let ca = certificate.to_str().expect("a path");
    let with = ["--bids", "50", "--connections", "2", "--subscribers", "2", "--wire", &to, "--ca", ca];
    assert_eq!(good(&site, &with)["answered"], 100);
    let (output, said, noted) = talk_to(&["--to", &to, "--ca", ca], "ping hi\nbid 1 7 5000\n");
    assert_eq!(output.status.code(), Some(0), "{said}{noted}");
    assert!(said.contains("<- PONG hi") && said.contains("<- RESULT accepted"), "{said}");
    let (output, ..) = talk_to(&["--to", &to], "ping hi\n");
    assert_eq!(output.status.code(), Some(69), "nobody whom the web trusts has signed it");
    site.server.stop();
}
