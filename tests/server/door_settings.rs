//! The settings of the door: contradictions are refused at a start and by SIGHUP, all at once, and what a SIGHUP can change is in
//! force for the next request.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::http::proof_of_work::solve;
use crate::http::{Answer, call, until};
use crate::process::Process;
use firstcome::config::Config;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Settings that contradict each other, and the beginning of what is told.
const CONTRADICTIONS: &[(&[(&str, &str)], &str)] = &[
    (&[("admission.suspected_writes_per_minute", "51")], "admission.suspected_writes_per_minute must be at most"),
    (&[("admission.suspected_writes_per_minute", "0")], "admission.suspected_writes_per_minute must be at most"),
    (&[("admission.new_writes_per_minute", "101")], "admission.new_writes_per_minute must be at most"),
    (&[("admission.verified_writes_per_minute", "0")], "admission.verified_writes_per_minute must be at most"),
    (&[("admission.premium_writes_per_minute", "99")], "admission.verified_writes_per_minute must be at most"),
    (&[("risk.suspect_at", "266")], "risk.suspect_at must be at most the sum of all risk.*_weight (265)"),
    (
        &[
            ("risk.suspect_at", "80"),
            ("risk.challenge_weight", "0"),
            ("risk.regular_intervals_weight", "0"),
            ("risk.many_addresses_weight", "0"),
            ("risk.no_read_before_purchase_weight", "0"),
            ("risk.shared_client_weight", "0"),
        ],
        "risk.suspect_at must be at most the sum of all risk.*_weight (65)",
    ),
    (&[("admission.entries_max", "2500000")], "admission.entries_max (2500000 of 19 bytes)"),
    (
        &[("risk.entries_max", "300000")],
        "admission.entries_max (1000000 of 19 bytes), risk.entries_max (300000 of 136 bytes",
    ),
    (
        &[("challenge.used_max", "5000000")],
        "admission.entries_max (1000000 of 19 bytes), risk.entries_max (100000 of 136 bytes, and 4194304 for reads) and \
         challenge.used_max (5000000 of 8 bytes) together take 76794304 bytes, and may take at most 67108864",
    ),
    (&[("challenge.minnumber", "100001")], "challenge.minnumber must be at most challenge.maxnumber"),
    (&[("challenge.siteverify_url", "https://challenges.example/v0")], "challenge.siteverify_url requires"),
    (&[("challenge.secret_file", "secret")], "challenge.secret_file requires challenge.siteverify_url"),
    (&[("challenge.fail_open", "true")], "challenge.fail_open requires challenge.siteverify_url"),
    (&[("challenge.action", "buy")], "challenge.action requires challenge.siteverify_url"),
];

/// Settings of which some contradict each other and some are wrong by themselves.
const MANY: &[(&str, &str)] = &[
    ("admission.new_writes_per_minute", "500"),
    ("admission.default_tier", "\"gold\""),
    ("admission.exempt", "[\"10.0.0.0/33\"]"),
    ("admission.entries_max", "3500000"),
    ("risk.suspect_at", "266"),
    ("risk.half_life_seconds", "0"),
    ("challenge.minnumber", "100001"),
    ("challenge.fail_open", "true"),
];

fn file_of(settings: &[(&str, &str)]) -> String {
    settings.iter().fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{key} = {value}").expect("a string");
        text
    })
}

fn told_all(said: &str) -> bool {
    MANY.iter().all(|(key, _)| said.contains(key))
}

#[test]
fn settings_that_contradict_each_other_are_refused_each_in_words_of_its_own() {
    for (settings, words) in CONTRADICTIONS {
        let environment = settings.iter().map(|(key, value)| {
            (format!("FIRSTCOME__{}", key.to_uppercase().replace('.', "__")), (*value).to_string())
        });
        let mistakes = Config::load(None, environment, &[]).expect_err(words);
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].starts_with(words), "{settings:?}: {told:#?}");
    }
    let largest =
        [("ADMISSION__ENTRIES_MAX", "2000000"), ("RISK__ENTRIES_MAX", "100000"), ("CHALLENGE__USED_MAX", "1000000")];
    let environment = largest.map(|(key, value)| (format!("FIRSTCOME__{key}"), value.to_string()));
    assert!(Config::load(None, environment, &[]).is_ok(), "67.1 million bytes, and a few are left");
}

/// A server with a file of settings, behind a proxy on this machine.
struct Site {
    process: Process,
    file: PathBuf,
    log: PathBuf,
}

impl Site {
    fn start(directory: &Path, settings: &str) -> Site {
        let (file, log) = (directory.join("f.toml"), directory.join("log"));
        std::fs::write(&file, settings).expect("written");
        let said = std::fs::File::create(&log).expect("made");
        let process = Process::start_through(
            program_with(&file),
            &directory.join("data"),
            &[("FIRSTCOME__LOG__LEVEL", "info".into()), ("FIRSTCOME__TRUSTED_PROXIES", "127.0.0.0/8".into())],
            said.into(),
        );
        Site { process, file, log }
    }

    /// Changes the file and sends the signal; returns the line of the log that begins with SIGHUP.
    fn hang_up(&self, settings: &str) -> String {
        std::fs::write(&self.file, settings).expect("written");
        let lines = || -> Vec<String> {
            let said = std::fs::read_to_string(&self.log).expect("its log");
            said.lines().filter(|line| line.contains("SIGHUP: ")).map(String::from).collect()
        };
        let before = lines().len();
        self.process.signal(Signal::HUP);
        until("the signal is answered", || lines().len() > before);
        assert_eq!(lines().len(), before + 1, "one line");
        lines().pop().expect("a line")
    }

    fn new_drop(&self, key: &str, challenge: &str) -> Answer {
        let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1000, "per_buyer_limit": 50,
                           "starts_at": "2020-01-01T00:00:00Z", "challenge": challenge });
        let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        call(self.process.admin, "POST", "/v1/drops", &headers, &drop.to_string())
    }

    fn challenge(&self) -> Value {
        from_client(self.process.public, "GET", "/v1/drops/1/challenge", "", "").body
    }

    fn order(&self, key: &str, solution: &str) -> Answer {
        let more = format!("Idempotency-Key: {key}\r\nFirstcome-Challenge: {solution}\r\n");
        from_client(self.process.public, "POST", "/v1/drops/1/orders", &more, r#"{"buyer":"ann","quantity":1}"#)
    }
}

fn program_with(file: &Path) -> Command {
    // The arguments come after these.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" --config \"$SETTINGS\"", env!("CARGO_BIN_EXE_firstcome")])
        .env("SETTINGS", file);
    command
}

fn from_client(public: SocketAddr, method: &str, path: &str, more: &str, body: &str) -> Answer {
    let headers = format!("X-Forwarded-For: 192.0.2.1\r\nContent-Type: application/json\r\n{more}");
    call(public, method, path, &headers, body)
}

#[test]
fn a_start_and_a_signal_tell_all_contradictions_at_once_and_the_signal_keeps_what_was() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (file, log) = (scratch.path().join("wrong.toml"), scratch.path().join("wrong.log"));
    std::fs::write(&file, file_of(MANY)).expect("written");
    let said = std::fs::File::create(&log).expect("made");
    let ended = Process::start_or_end(program_with(&file), &scratch.path().join("never"), &[], said.into());
    assert_eq!(ended.err().and_then(|status| status.code()), Some(64));
    let said = std::fs::read_to_string(&log).expect("its log");
    assert!(told_all(&said), "{said}");
    assert!(!scratch.path().join("never").exists(), "no database is made");

    let site = Site::start(scratch.path(), "admission.address_reads_per_minute = 3\n");
    let read = || from_client(site.process.public, "GET", "/v1/drops", "", "").status;
    assert_eq!([read(), read(), read(), read()], [200, 200, 200, 429]);
    let wrong = format!("admission.address_reads_per_minute = 0\n{}", file_of(MANY));
    let line = site.hang_up(&wrong);
    assert!(line.contains("stay as they are") && told_all(&line), "{line}");
    assert_eq!(read(), 429, "the old limit");
    for missing in [true, false] {
        if missing {
            std::fs::remove_file(&site.file).expect("removed");
            std::fs::create_dir(&site.file).expect("made");
            site.process.signal(Signal::HUP);
            until("a file that cannot be read is told", || {
                std::fs::read_to_string(&site.log).expect("its log").matches("stay as they are").count() == 2
            });
            std::fs::remove_dir(&site.file).expect("removed");
        } else {
            assert!(site.hang_up("admission = 1\n[[[").contains("stay as they are"));
        }
        assert_eq!(read(), 429, "the old limit");
    }
    assert!(site.hang_up("admission.address_reads_per_minute = 0\n").contains("are in force"));
    assert_eq!(read(), 200);
}

#[test]
fn a_signal_puts_changed_challenges_in_force_and_a_used_one_stays_used() {
    let scratch = tempfile::tempdir().expect("scratch");
    let settings = |most: u32| format!("risk.enabled = false\n[challenge]\nminnumber = 10\nmaxnumber = {most}\n");
    let site = Site::start(scratch.path(), &settings(20));
    assert_eq!(site.new_drop("1", "proof_of_work").status, 201);
    assert_eq!(site.new_drop("2", "external").status, 400, "there is no service");
    let (used, kept) = (site.challenge(), site.challenge());
    assert_eq!(used["maxnumber"], 20);
    let used = solve(&used);
    assert_eq!(site.order("used", &used).status, 201);

    let line = site.hang_up(&settings(60));
    assert!(line.contains("challenge are in force"), "{line}");
    assert_eq!(site.challenge()["maxnumber"], 60);
    assert_eq!(site.order("again", &used).body["reason"], "replayed", "it is used still");
    assert_eq!(site.order("kept", &solve(&kept)).status, 201, "one that was made before");
    assert_eq!(site.order("new", &solve(&site.challenge())).status, 201);

    // The file names a secret that is not there, and other limits that are good by themselves.
    let secret = scratch.path().join("site.secret");
    let service = format!(
        "admission.address_reads_per_minute = 1\nrisk.enabled = false\n[challenge]\nminnumber = 1\nmaxnumber = 2\n\
         siteverify_url = \"http://127.0.0.1:9/siteverify\"\nsecret_file = \"{}\"\n",
        secret.display()
    );
    let line = site.hang_up(&service);
    assert!(line.contains("stay as they are") && line.contains("challenge.secret_file"), "{line}");
    for _ in 0..3 {
        assert_eq!(site.challenge()["maxnumber"], 60, "neither the challenges nor the limits have changed");
    }
    std::fs::write(&secret, "TopSecret").expect("written");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).expect("set");
    let line = site.hang_up(&service);
    assert!(line.contains("stay as they are") && !line.contains("TopSecret"), "others can read it: {line}");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("set");
    assert!(site.hang_up(&service).contains("are in force"));
    assert_eq!(site.new_drop("2", "external").status, 201, "the service is known from now on");
    let said = std::fs::read_to_string(&site.log).expect("its log");
    assert!(!said.contains("TopSecret"), "{said}");
}
