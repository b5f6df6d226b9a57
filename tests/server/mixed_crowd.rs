//! `rush --crowd mixed` against the real server: small populations, with the real door and with one that is off.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::http::{Server, serve_with};
use firstcome::config::{Config, KeyFile};
use serde_json::Value;

fn key_file(directory: &Path, name: &str, secret: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, secret).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path
}

/// A server with the settings that the crowd needs.
fn serve_the_crowd(directory: &Path, change: impl FnOnce(&mut Config)) -> (Server, PathBuf) {
    let path = key_file(directory, "token.key", "a secret of thirty-two bytes or more");
    let key = KeyFile { kid: None, path: path.clone() };
    let server = serve_with(directory, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.public_url = "https://shop.example".into();
        config.hs256_secret_files = vec![key];
        config.identity_audience = "shop".into();
        change(config);
    });
    (server, path)
}

fn rush(server: &Server, key: &Path, more: &[&str]) -> Output {
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let key = key.to_str().expect("a path");
    let addresses = ["--public", &public, "--admin", &admin, "--crowd", "mixed", "--token-key", key];
    Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("rush").args(addresses).args(more).output().expect("run")
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("written")).expect("JSON")
}

/// Runs a crowd at a server of its own, again where the machine was too slow for the load: bots' requests that it sends late have
/// no regular intervals. Returns the server, the process and its result.
fn rush_on_time(scratch: &Path, arguments: &[&str]) -> (Server, Output, Value) {
    for attempt in ["first", "second", "third"] {
        let directory = scratch.join(attempt);
        std::fs::create_dir(&directory).expect("made");
        let (server, key) = serve_the_crowd(&directory, |_| {});
        let file = directory.join("result.json");
        let ran = rush(&server, &key, &[arguments, &["--json", file.to_str().expect("a path")]].concat());
        let result = json_of(&file);
        if result["aims"]["late"]["reached"] == true {
            return (server, ran, result);
        }
        server.stop();
    }
    panic!("the machine is too slow for the load")
}

const SMALL: [&str; 6] = ["--percent", "3", "--sale-seconds", "8", "--seed", "11"];

#[test]
fn people_pass_and_bots_are_suspected_for_reasons_that_the_table_names() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, ran, result) = rush_on_time(scratch.path(), &SMALL);
    let table = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{table}{}", String::from_utf8_lossy(&ran.stderr));
    for part in ["requests by kind", "suspected buyers by signal", "units by kind", "aims"] {
        assert!(table.contains(part), "{table}");
    }
    let kind = |name: &str| &result["kinds"][name];
    for name in ["people", "campuses"] {
        let requests = &kind(name)["requests"];
        assert!(requests["all"].as_u64() > Some(100), "{table}");
        assert_eq!(result["aims"][name]["reached"], true, "{table}");
        assert!(kind(name)["units"].as_u64() > Some(5), "{table}");
    }
    for name in ["fast_bots", "distributed_bots"] {
        assert_eq!(kind(name)["requests"]["failed"], 0, "{table}");
        let (buyers, suspected) = (kind(name)["buyers"].as_u64(), kind(name)["suspected"].as_u64());
        assert!(suspected.map(|count| count * 10) >= buyers.map(|count| count * 7), "{name}: {table}");
        assert!(kind(name)["signals"]["no_read_before_purchase"].as_u64() >= Some(1), "{table}");
        assert!(kind(name)["signals"]["regular_intervals"].as_u64() >= Some(1), "{table}");
    }
    assert_eq!(result["aims"]["units"]["reached"], true, "{table}");
    assert_eq!(result["suspected_writes_per_minute"], 1, "{table}");
    server.stop();
}

#[test]
fn the_crowd_waits_in_a_room_and_speed_gains_bots_nothing_in_its_draw() {
    let scratch = tempfile::tempdir().expect("scratch");
    let room = ["--waiting-room", "--draw", "random", "--order-seconds", "6", "--sale-seconds", "20", "--check"];
    let (server, ran, result) =
        rush_on_time(scratch.path(), &[&room[..], &["--percent", "3", "--seed", "11"]].concat());
    let table = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{table}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(table.contains("tickets by kind"), "{table}");
    let sum = |member: &str| -> u64 {
        result["kinds"].as_object().expect("kinds").values().filter_map(|kind| kind[member].as_u64()).sum()
    };
    let told = server.public("GET", "/v1/drops/1/room").body;
    assert_eq!((&told["draw"], told["tickets"].as_u64()), (&Value::from("random"), Some(sum("tickets"))), "{told}");
    let people = &result["kinds"]["people"];
    assert!(people["tickets"].as_u64() > Some(20) && people["polls"].as_u64() > people["tickets"].as_u64(), "{table}");
    assert!(sum("units") > 20 && Some(sum("units")) == result["units_taken"].as_u64(), "{table}");
    server.stop();
}

#[test]
fn check_fails_where_the_door_does_not_know_bots() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, key) = serve_the_crowd(scratch.path(), |config| config.risk.enabled = false);
    let ran = rush(&server, &key, &[&SMALL[..], &["--check"]].concat());
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}{}", String::from_utf8_lossy(&ran.stdout));
    assert!(told.contains("requests of fast bots") && told.contains("requests of distributed bots"), "{told}");
    server.stop();
}

#[test]
fn a_server_without_the_settings_is_refused_with_what_it_lacks() {
    let scratch = tempfile::tempdir().expect("scratch");
    let refused = |server: Server, key: &Path, part: &str| {
        let ran = rush(&server, key, &SMALL);
        let told = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(64), "{told}");
        assert!(told.contains(part) && told.contains("trusted_proxies = "), "{told}");
        server.stop();
    };
    let directory = |name: &str| {
        let path = scratch.path().join(name);
        std::fs::create_dir(&path).expect("made");
        path
    };
    let (server, _) = serve_the_crowd(&directory("other-key"), |_| {});
    let other = key_file(scratch.path(), "other.key", "another secret of thirty-two bytes or more");
    refused(server, &other, "does not accept the tokens");
    let (server, key) = serve_the_crowd(&directory("exempt"), |config| config.trusted_proxies.clear());
    refused(server, &key, "exempt");
    let (server, key) = serve_the_crowd(&directory("one-client"), |config| {
        config.trusted_proxies.clear();
        config.limits.loopback_is_client = true;
    });
    refused(server, &key, "all addresses for one");
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anything_is_sent() {
    for (arguments, part) in [
        (&["--crowd", "mixed"][..], "--token-key"),
        (&["--check"], "--crowd mixed"),
        (&["--waiting-room"], "--crowd mixed"),
        (&["--crowd", "mixed", "--token-key", "/no/such/file"], "/no/such/file"),
        (&["--crowd", "mixed", "--token-key", "/dev/null", "--drop", "1"], "a drop of its own"),
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("rush").args(arguments).output().expect("run");
        let told = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(64), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}
