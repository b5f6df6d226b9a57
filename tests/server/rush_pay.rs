//! `rush --crowd pay` against the real server: buyers who pay by signed webhooks, and storms of copies of them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::http::{Server, serve_with};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firstcome::config::Config;
use serde_json::Value;

fn secret_file(directory: &Path, name: &str, byte: u8) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("whsec_{}\n", STANDARD.encode([byte; 32]))).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path
}

/// A server that takes webhooks, and the file of the secret.
fn serve_payments(directory: &Path, change: impl FnOnce(&mut Config)) -> (Server, PathBuf) {
    let secret = secret_file(directory, "provider.secret", 7);
    let server = serve_with(directory, |config| {
        config.payments.standard_webhooks_secret_files = vec![secret.clone()];
        change(config);
    });
    (server, secret)
}

fn rush(server: &Server, secret: &Path, more: &[&str]) -> Output {
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["rush", "--public", &public, "--admin", &admin, "--crowd", "pay", "--webhook-secret"]).arg(secret);
    command.args(more).output().expect("run")
}

fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

/// Runs to success; gives the JSON and the text.
fn paid(server: &Server, secret: &Path, scratch: &Path, more: &[&str]) -> (Value, String) {
    let file = scratch.join("result.json");
    let ran = rush(server, secret, &[more, &["--json", file.to_str().expect("a path")]].concat());
    let text = said(&ran);
    assert_eq!(ran.status.code(), Some(0), "{text}");
    assert!(!text.contains("whsec") && !text.contains("@example.com"), "no secret and no contact: {text}");
    let result: Value = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    for check in result["checks"].as_array().expect("checks") {
        let sentence = check["sentence"].as_str().expect("a sentence");
        assert!(text.contains(&format!("  ok      {sentence}")), "{text}");
    }
    (result, text)
}

#[test]
fn every_order_is_paid_by_its_webhook_and_the_money_is_exact() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, secret) = serve_payments(scratch.path(), |_| {});
    let (result, text) =
        paid(&server, &secret, scratch.path(), &["--buyers", "300", "--units", "250", "--connections", "16"]);
    let counts = &result["counts"];
    for (name, count) in [("ordered", 250), ("checked_out", 250), ("paid", 250), ("sold_out", 50), ("applied", 250)] {
        assert_eq!(counts[name], count, "{name}: {text}");
    }
    assert_eq!(result["received_cents"], 250 * 1_999, "{text}");
    assert!(result["paid_per_second"].as_f64() > Some(0.0), "{text}");
    assert!(result["latency_ms"]["paid"]["p99"].as_f64() >= result["latency_ms"]["webhooks"]["p50"].as_f64(), "{text}");
    let drop = server.public("GET", &format!("/v1/drops/{}", result["drop"])).body;
    assert_eq!((&drop["sold"], &drop["held"]), (&250.into(), &0.into()), "{drop}");
    server.stop();
}

#[test]
fn a_storm_of_twenty_copies_of_each_event_counts_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, secret) = serve_payments(scratch.path(), |_| {});
    let small = ["--buyers", "60", "--units", "60", "--connections", "12", "--copies", "20"];
    let (result, text) = paid(&server, &secret, scratch.path(), &small);
    let counts = &result["counts"];
    assert_eq!((&counts["deliveries"], &counts["paid"]), (&1_200.into(), &60.into()), "{text}");
    assert_eq!(counts["applied"].as_u64().zip(counts["duplicates"].as_u64()), Some((60, 1_140)), "{text}");
    assert_eq!(result["received_cents"], 60 * 1_999, "{text}");
    // A second run has orders and events of its own, even with the same seed.
    let seed = result["seed"].to_string();
    let again = [&small[..], &["--seed", &seed, "--rate", "200"]].concat();
    let (result, text) = paid(&server, &secret, scratch.path(), &again);
    assert_eq!((&result["counts"]["applied"], &result["counts"]["deliveries"]), (&60.into(), &1_200.into()), "{text}");
    server.stop();
}

#[test]
fn a_server_that_does_not_take_the_signature_is_refused_before_the_load() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, secret) = serve_payments(scratch.path(), |_| {});
    let small = ["--buyers", "3", "--units", "3"];
    let other = secret_file(scratch.path(), "other.secret", 9);
    let ran = rush(&server, &other, &small);
    assert!(ran.status.code() == Some(64) && said(&ran).contains("does not take the signature"), "{}", said(&ran));
    let ran = rush(&server, &secret, &[&small[..], &["--webhook-provider", "sandbox"]].concat());
    assert!(ran.status.code() == Some(64) && said(&ran).contains("payments.sandbox_secret_files"), "{}", said(&ran));
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).expect("set");
    let ran = rush(&server, &secret, &small);
    assert!(ran.status.code() == Some(64) && said(&ran).contains("--webhook-secret"), "{}", said(&ran));
    server.stop();
}

#[test]
fn listeners_of_two_servers_are_refused_before_a_drop_of_the_other_one_is_sold() {
    let (scratch, elsewhere) = (tempfile::tempdir().expect("scratch"), tempfile::tempdir().expect("scratch"));
    let (server, secret) = serve_payments(scratch.path(), |_| {});
    let (other, _) = serve_payments(elsewhere.path(), |_| {});
    let drop_id = server.create(40).body["id"].clone();
    let admin = other.0.server.admin_address.to_string();
    let public = server.0.server.public_address.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["rush", "--public", &public, "--admin", &admin, "--crowd", "pay", "--webhook-secret"]).arg(&secret);
    let ran = command.args(["--buyers", "3", "--units", "3"]).output().expect("run");
    assert!(ran.status.code() == Some(64) && said(&ran).contains("must be of one server"), "{}", said(&ran));
    let drop = server.public("GET", &format!("/v1/drops/{drop_id}")).body;
    assert_eq!(drop["available"], 40, "{drop}");
    server.stop();
    other.stop();
}

#[test]
fn a_sale_that_is_not_done_in_time_fails_and_says_which_check_does_not_hold() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, secret) = serve_payments(scratch.path(), |_| {});
    // Ten buyers a second for a second, of a hundred.
    let ran = rush(&server, &secret, &["--buyers", "100", "--units", "100", "--rate", "10", "--deadline", "1"]);
    let text = said(&ran);
    assert!(ran.status.code() == Some(1) && text.contains("FAILED: ") && text.contains("of 100 buyers"), "{text}");
    server.stop();
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anything_is_sent() {
    for (arguments, part) in [
        (&["--crowd", "pay"][..], "--webhook-secret"),
        (&["--copies", "20"], "--crowd pay"),
        (&["--crowd", "plain", "--html", "plots.html"], "--html needs --ladder"),
        (&["--crowd", "pay", "--webhook-secret", "/no/such/file"], "no such file"),
        (&["--crowd", "pay", "--webhook-secret", "/dev/null", "--drop", "1"], "a drop of its own"),
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("rush").args(arguments).output().expect("run");
        assert!(ran.status.code() == Some(64) && said(&ran).contains(part), "{arguments:?}: {}", said(&ran));
    }
}
