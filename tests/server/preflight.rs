//! `firstcome preflight` by the real program against the real server, and against stand-ins for those who watch it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use crate::http::{Server, serve, serve_with, until};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The program, with what leads it to this server. No other program is found: what this machine's clock says is no
/// matter of the test.
fn preflight(server: &Server, data: &Path, arguments: &[&str]) -> Output {
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.arg("preflight").args(arguments).args(["--public", &public, "--admin", &admin]).arg("--data").arg(data);
    command.env("PATH", "").output().expect("run")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The verdict of each check, and what it says.
fn verdicts(output: &Output) -> BTreeMap<String, (String, String)> {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(output)));
    let failed = told["fail"].as_u64().expect("a count") > 0;
    assert_eq!(output.status.code(), Some(i32::from(failed)), "{told:#}");
    let text = |value: &Value| value.as_str().expect("a text").to_string();
    let of = |check: &Value| {
        let passes = check["verdict"] == "pass";
        assert_eq!(passes, check.get("to_do").is_none(), "what does not pass says what to do: {check}");
        (text(&check["check"]), (text(&check["verdict"]), text(&check["found"])))
    };
    told["checks"].as_array().expect("a list").iter().map(of).collect()
}

fn metric(server: &Server, name: &str) -> f64 {
    server.metric(name)
}

/// Makes a backup into one file; the server is idle.
fn back_up(data: &Path, to: &Path) {
    std::fs::copy(data.join("firstcome.db"), to).expect("copied");
    std::fs::copy(data.join("firstcome.db-wal"), to.with_extension("db-wal")).expect("copied");
    let copy = rusqlite::Connection::open(to).expect("opened");
    copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("one file");
}

#[test]
fn a_backup_is_read_and_must_be_a_whole_copy_of_this_database() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, data) = (serve(scratch.path()), scratch.path().join("data"));
    assert_eq!(server.create(40).status, 201);
    let place = |name: &str| scratch.path().join(name);
    back_up(&data, &place("good.db"));
    for n in 0..5 {
        assert_eq!(server.order(&format!("k{n}"), &format!("{{\"buyer\":\"b{n}\",\"quantity\":1}}")).status, 201);
    }
    let good = std::fs::read(place("good.db")).expect("read");
    let other = tempfile::tempdir().expect("scratch");
    let elsewhere = serve(other.path());
    assert_eq!(elsewhere.create(40).status, 201);
    back_up(&other.path().join("data"), &place("other.db"));
    elsewhere.stop();
    let write = |name: &str, bytes: &[u8]| std::fs::write(place(name), bytes).expect("written");
    write("random.db", &(0..20_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect::<Vec<_>>());
    write("page.db", &good[..4096]);
    write("cut.db", &good[..good.len() / 2]);
    write("nothing.db", b"");
    std::fs::copy(data.join("firstcome.db"), place("without-log.db")).expect("copied");
    let theirs = rusqlite::Connection::open(place("theirs.db")).expect("opened");
    theirs.execute_batch("CREATE TABLE theirs (x)").expect("made");
    drop(theirs);
    // A branch of the same file: it sold something else since.
    std::fs::copy(place("good.db"), place("branch.db")).expect("copied");
    let branch = rusqlite::Connection::open(place("branch.db")).expect("opened");
    branch
        .execute_batch("UPDATE chain SET hash = zeroblob(32) WHERE seq = (SELECT max(seq) FROM chain)")
        .expect("changed");
    drop(branch);
    for (name, verdict, part) in [
        ("good.db", "pass", "5 events behind"),
        ("random.db", "fail", "is not a firstcome database"),
        ("page.db", "fail", "page.db "),
        ("cut.db", "fail", "is damaged"),
        ("nothing.db", "fail", "empty"),
        ("without-log.db", "fail", "without-log.db "),
        ("theirs.db", "fail", "is not a firstcome database"),
        ("other.db", "fail", "is of another database: its file id is"),
        ("branch.db", "fail", "another history"),
    ] {
        let path = place(name);
        let before = (std::fs::read(&path).expect("read"), std::fs::read_dir(scratch.path()).expect("read").count());
        let found = verdicts(&preflight(&server, &data, &["1", "--json", "--backup", path.to_str().expect("a path")]));
        let (given, told) = &found["backup"];
        assert!(given == verdict && told.contains(part), "{name}: {given} {told}");
        let after = (std::fs::read(&path).expect("read"), std::fs::read_dir(scratch.path()).expect("read").count());
        assert!(before == after, "{name}: only read");
    }
    server.stop();
}

#[test]
fn a_data_directory_in_memory_is_a_warning() {
    let Ok(scratch) = tempfile::tempdir_in("/dev/shm") else { return };
    let (server, data) = (serve(scratch.path()), scratch.path().join("data"));
    assert_eq!(server.create(40).status, 201);
    let found = verdicts(&preflight(&server, &data, &["1", "--json"]));
    let (given, told) = &found["disk kind"];
    assert!(given == "warn" && told.contains("tmpfs"), "{given} {told}");
    server.stop();
}

#[test]
fn a_good_server_passes_and_nothing_of_it_is_changed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, data) = (serve(scratch.path()), scratch.path().join("data"));
    assert_eq!(server.create(40).status, 201);
    until("the auditor has counted", || metric(&server, "firstcome_audit_lag") == 0.0);
    let backup = scratch.path().join("backup.db");
    back_up(&data, &backup);
    let files = || std::fs::read_dir(&data).expect("a directory").count();
    let before = (metric(&server, "firstcome_seq "), files(), server.public("GET", "/v1/drops/1").text);
    let output = preflight(&server, &data, &["1", "--json", "--backup", backup.to_str().expect("a path")]);
    let found = verdicts(&output);
    let verdict = |check: &str| found.get(check).unwrap_or_else(|| panic!("no {check}: {found:#?}")).0.as_str();
    for check in ["server", "limits", "drop", "stock", "left over", "clock guard", "disk room", "backup"] {
        assert_eq!(verdict(check), "pass", "{check}: {found:#?}");
    }
    for check in ["clock kept", "secrets", "endpoints", "alert rules", "test alert"] {
        assert_eq!(verdict(check), "warn", "{check}: {found:#?}");
    }
    for check in ["clock offset", "disk syncs", "descriptors", "somaxconn", "SYN cookies", "hot reads"] {
        verdict(check);
    }
    assert_eq!(before, (metric(&server, "firstcome_seq "), files(), server.public("GET", "/v1/drops/1").text));
    server.stop();
}

#[test]
fn what_is_wrong_is_a_line_with_what_to_do_and_exit_code_1() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let server = serve_with(scratch.path(), |config| {
        config.payments.sandbox = true;
        config.queue_capacity = 300;
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    assert_eq!(server.create(40).status, 201);
    assert_eq!(server.order("k1", "{\"buyer\":\"ann\",\"quantity\":2}").status, 201);
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let endpoint = json!({ "url": format!("http://{gone}/hooks/very-secret"), "events": ["*"] });
    let made = server.admin("POST", "/v1/webhook-endpoints", &endpoint);
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(server.admin("POST", "/v1/drops/1/close", &json!({ "reason": "x" })).status, 200);
    let found = verdicts(&preflight(&server, &data, &["1", "--json", "--backup", "/no/such/file"]));
    for (check, verdict, part) in [
        ("limits", "warn", "the queue holds 300 commands, these settings say 8192"),
        ("drop", "fail", "ended"),
        ("left over", "warn", "2 units are held"),
        ("secrets", "fail", "play money"),
        // Preflight's own settings name no network: it calls no address on this machine.
        ("endpoints", "fail", "must begin with https://"),
        ("backup", "fail", "/no/such/file"),
    ] {
        let (given, told) = &found[check];
        assert!(given == verdict && told.contains(part), "{check}: {given} {told}");
        assert!(!told.contains("very-secret"), "{told}");
    }
    let table = preflight(&server, &data, &["1"]);
    assert_eq!(table.status.code(), Some(1));
    let text = said(&table);
    assert!(text.contains("  FAIL  secrets") && text.contains("do: start the server without --demo"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("firstcome: not ready: drop")), "{text}");
    server.stop();
}

#[test]
fn a_drop_a_server_or_a_token_that_is_missing_ends_it_with_69_and_a_line() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, data) = (serve(scratch.path()), scratch.path().join("data"));
    let output = preflight(&server, &data, &["7"]);
    assert!(output.status.code() == Some(69) && said(&output).contains("there is no drop 7"), "{}", said(&output));
    let path = data.to_str().expect("a path");
    let mut token = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let made = token.args(["token", "create", "--data", path, "--role", "viewer", "--name", "eve"]).output();
    assert!(made.expect("run").status.success());
    until("the server has seen the token", || {
        crate::http::call(server.0.server.admin_address, "GET", "/v1/audit", "", "").status == 401
    });
    let output = preflight(&server, &data, &["7"]);
    assert!(output.status.code() == Some(69) && said(&output).contains("FIRSTCOME_TOKEN"), "{}", said(&output));
    let addresses = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    server.stop();
    let mut gone = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let output =
        gone.args(["preflight", "1", "--public", &addresses.0, "--admin", &addresses.1]).output().expect("run");
    assert_eq!((output.status.code(), said(&output).lines().count()), (Some(69), 1), "{}", said(&output));
    assert!(said(&output).contains("is `firstcome serve` running?"), "{}", said(&output));
}

#[test]
fn wrong_settings_end_it_with_64() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let output = command.args(["preflight", "1"]).env("FIRSTCOME__WRITER__QUEUE_CAPACITY", "many").output();
    let output = output.expect("run");
    assert!(output.status.code() == Some(64) && said(&output).contains("writer.queue_capacity"), "{}", said(&output));
}

/// Somebody who answers paths with JSON, and keeps what was posted.
struct Standin {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Value>>>,
}

impl Standin {
    fn new(answers: Vec<(&'static str, Value)>) -> Standin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &answers, &kept);
            }
        });
        Standin { address, posted }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(mut stream: TcpStream, answers: &[(&'static str, Value)], posted: &Mutex<Vec<Value>>) {
    let (mut bytes, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                if head.starts_with("POST ") {
                    posted.lock().push(serde_json::from_str(body).expect("JSON"));
                }
                let path = head.split(' ').nth(1).expect("a path");
                let found = answers.iter().find(|(known, _)| path.starts_with(known));
                let (status, body) = found.map_or((404, Value::Null), |(_, body)| (200, body.clone()));
                let body = body.to_string();
                let head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                return stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

#[test]
fn those_who_watch_are_asked_and_one_alert_that_means_nothing_is_fired() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, data) = (serve(scratch.path()), scratch.path().join("data"));
    assert_eq!(server.create(40).status, 201);
    let rule = |name: &str| json!({ "name": name, "query": "firstcome_oversold_units > 0", "state": "inactive", "health": "ok" });
    let ours =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/alerts.yml")).expect("rules");
    let names = ours.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    let rules: Vec<Value> = names.map(rule).collect();
    assert!(rules.len() > 10, "{rules:?}");
    let prometheus = Standin::new(vec![
        ("/api/v1/query?query=firstcome_seq", json!({ "data": { "result": [{ "value": [0, "1"] }] } })),
        ("/api/v1/rules", json!({ "data": { "groups": [{ "name": "g", "rules": rules }] } })),
    ]);
    let standing = json!([{ "labels": { "alertname": "FirstcomePreflight" }, "status": { "state": "active" },
                            "receivers": [{ "name": "pager" }] }]);
    let alertmanager = Standin::new(vec![("/api/v2/alerts", standing)]);
    let urls = (prometheus.url(), alertmanager.url());
    let watched = ["1", "--json", "--prometheus", &urls.0, "--alertmanager", &urls.1];
    let found = verdicts(&preflight(&server, &data, &watched));
    for check in ["scraped", "alert rules", "test alert"] {
        assert_eq!(found[check].0, "pass", "{check}: {found:#?}");
    }
    assert!(found["test alert"].1.ends_with("goes to pager"), "{found:#?}");
    let fired = alertmanager.posted.lock().clone();
    assert_eq!(fired.len(), 1, "one, and no more");
    let labels = json!({ "alertname": "FirstcomePreflight", "severity": "none", "drop": "1" });
    assert_eq!(fired[0][0]["labels"], labels);
    assert!(fired[0][0]["endsAt"].as_str() > fired[0][0]["startsAt"].as_str(), "it ends by itself: {fired:#?}");
    assert!(prometheus.posted.lock().is_empty());

    // The two in each other's place: neither knows what it is asked.
    let found =
        verdicts(&preflight(&server, &data, &["1", "--json", "--prometheus", &urls.1, "--alertmanager", &urls.0]));
    for check in ["scraped", "alert rules", "test alert"] {
        assert_eq!(found[check].0, "fail", "{check}: {found:#?}");
    }
    server.stop();
}
