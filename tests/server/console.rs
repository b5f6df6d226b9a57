//! The routes of the console: who may read what, how many frames come and to how many consoles, and that no secret of the
//! settings is in any answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{call, serve, serve_with, try_serve, until};
use firstcome::admission::operators::file::change;
use firstcome::admission::operators::{Role, Token};
use firstcome::config::Config;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

/// Consoles that one server serves at once.
const CONSOLES_MAX: usize = 16;

/// Makes a token of a role, and returns it.
fn token(data: &Path, role: Role) -> String {
    let (token, text) = Token::new(role.as_str(), role, wall_clock(), None);
    change(data, |tokens: &mut Vec<Token>| {
        tokens.push(token);
        Ok(())
    })
    .expect("written");
    text
}

/// An open stream of figures.
struct Console {
    stream: TcpStream,
    heard: String,
    is_over: bool,
}

impl Console {
    fn open(admin: SocketAddr, headers: &str) -> Console {
        let mut stream = TcpStream::connect(admin).expect("connected");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
        write!(stream, "GET /v1/console/stream HTTP/1.1\r\nHost: {admin}\r\n{headers}\r\n").expect("sent");
        Console { stream, heard: String::new(), is_over: false }
    }

    /// Reads what has come.
    fn look(&mut self) -> &str {
        let mut bytes = [0u8; 65536];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.is_over = true,
            Ok(read) => self.heard.push_str(&String::from_utf8_lossy(&bytes[..read])),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        &self.heard
    }

    fn frames(&mut self) -> Vec<Value> {
        let lines = self.look().lines().filter_map(|line| line.strip_prefix("data: "));
        lines.filter_map(|json| serde_json::from_str(json).ok()).collect()
    }

    fn wait_for(&mut self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let frames = self.frames();
            if holds(&frames) {
                return frames;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}: {}", self.heard);
        }
    }
}

#[test]
fn a_frame_a_second_tells_of_orders_stock_and_the_queue_and_the_first_one_what_was_before() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(5).status, 201);
    let admin = server.0.server.admin_address;
    let mut console = Console::open(admin, "");
    let frames = console.wait_for("the first frame", |frames| !frames.is_empty());
    assert!(frames[0].get("rates").is_none(), "there is nothing to compare with: {}", frames[0]);
    assert_eq!(frames[0]["recent"], json!([]));
    let began = Instant::now();
    assert_eq!(server.order("one", r#"{"buyer":"ann","quantity":1}"#).status, 201);
    assert_eq!(server.order("two", r#"{"buyer":"bob","quantity":9}"#).body["code"], "limit-reached");
    let sold = |frame: &Value| frame["rates"]["orders"].as_f64().is_some_and(|orders| orders > 0.0);
    let refused = |frame: &Value| frame["rates"]["refused"].as_f64().is_some_and(|refused| refused > 0.0);
    let both = |frames: &[Value]| frames.iter().any(sold) && frames.iter().any(refused) && frames.len() > 4;
    let frames = console.wait_for("the order is counted", both);
    // One comes at once.
    let most = began.elapsed().as_secs() + 2;
    assert!(u64::try_from(frames.len()).expect("few") <= most, "{} in {:?}", frames.len(), began.elapsed());
    let last = frames.last().expect("frames");
    assert_eq!((&last["drops"][0]["held"], &last["drops"][0]["available"]), (&json!(1), &json!(4)));
    assert!(last["queue_capacity"].as_f64().is_some_and(|capacity| capacity > 0.0));
    assert!(last.get("recent").is_none(), "only the first has them");
    let mut second = Console::open(admin, "");
    let frames = second.wait_for("its first frame", |frames| !frames.is_empty());
    let recent = frames[0]["recent"].as_array().expect("what was before");
    assert!(recent.len() >= 3 && recent.iter().any(|point| point["orders"].as_f64() > Some(0.0)), "{recent:?}");
    server.stop();
}

#[test]
fn ten_consoles_get_the_same_frames_and_one_above_the_bound_gets_none() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let admin = server.0.server.admin_address;
    let mut consoles: Vec<Console> = (0..CONSOLES_MAX).map(|_| Console::open(admin, "")).collect();
    let mut seen: Vec<Vec<Value>> = Vec::new();
    for console in &mut consoles {
        seen.push(console.wait_for("frames", |frames| frames.len() > 3));
    }
    let at = |frames: &[Value]| frames.iter().skip(1).map(|frame| frame["at"].clone()).collect::<Vec<_>>();
    let (first, last) = (at(&seen[0]), at(&seen[CONSOLES_MAX - 1]));
    assert!(last.iter().any(|instant| first.contains(instant)), "made once for all: {first:?} {last:?}");
    let refused = call(admin, "GET", "/v1/console/stream", "", "");
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("overloaded")));
    assert!(server.metric("firstcome_streams{of=\"console\"}") > 0.0);
    consoles.pop();
    until("a slot is free", || {
        let mut console = Console::open(admin, "");
        let deadline = Instant::now() + Duration::from_secs(5);
        while console.look().is_empty() && Instant::now() < deadline {}
        console.heard.starts_with("HTTP/1.1 200")
    });
    server.stop();
}

#[test]
fn a_role_reads_what_it_may_and_a_token_that_is_revoked_ends_its_stream() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut tokens = Vec::new();
    let server = serve_with(scratch.path(), |config| {
        tokens = [Role::Viewer, Role::Operator, Role::Owner].map(|role| token(&config.data, role)).to_vec();
    });
    let admin = server.0.server.admin_address;
    let get = |token: &str, path: &str| call(admin, "GET", path, &format!("Authorization: Bearer {token}\r\n"), "");
    for (token, role) in tokens.iter().zip(["viewer", "operator", "owner"]) {
        let session = get(token, "/v1/console/session").body;
        assert_eq!(
            (&session["role"], &session["name"], &session["needs_token"]),
            (&json!(role), &json!(role), &json!(true))
        );
        let may = |path: &str| get(token, path).status;
        for path in ["/v1/console/alerts", "/v1/console/drops", "/v1/console/auctions", "/v1/runbooks/FirstcomeDown"] {
            assert_eq!(may(path), 200, "{role} {path}");
        }
        assert_eq!(may("/v1/settings"), if role == "viewer" { 403 } else { 200 }, "{role}");
    }
    assert_eq!(call(admin, "GET", "/v1/console/session", "", "").status, 401);
    let mut console = Console::open(admin, &format!("Authorization: Bearer {}\r\n", tokens[0]));
    console.wait_for("a frame", |frames| !frames.is_empty());
    change(&scratch.path().join("data"), |tokens: &mut Vec<Token>| {
        tokens.retain(|token| token.role != Role::Viewer);
        Ok(())
    })
    .expect("written");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !console.is_over && !console.look().ends_with("0\r\n\r\n") {
        assert!(Instant::now() < deadline, "the stream goes on without a right");
    }
    assert_eq!(get(&tokens[0], "/v1/console/session").status, 401);
    server.stop();
}

/// Writes a file that only its owner may read.
fn secret_file(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path.to_str().expect("a path").into()
}

#[test]
fn no_secret_of_the_settings_is_in_any_answer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let endpoint = format!("whsec_{}", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY");
    let buyers = "a shop's secret of 32 bytes or more";
    let flags = [
        ("data", scratch.path().join("data").to_str().expect("a path").to_string()),
        ("public.listen", "127.0.0.1:0".into()),
        ("admin.listen", "127.0.0.1:0".into()),
        ("wire.listen", "127.0.0.1:0".into()),
        ("http.threads", "1".into()),
        ("outbox.allow_private_networks", "127.0.0.0/8".into()),
        ("outbox.endpoint_url", "http://127.0.0.1:9/services/TopSecretPath".into()),
        ("outbox.endpoint_secret_file", secret_file(scratch.path(), "TopSecretName", &endpoint)),
        ("identity.audience", "drops".into()),
        ("identity.hs256_secret_files", secret_file(scratch.path(), "TopSecretKey", buyers)),
    ];
    let config = Config::load(None, [], &flags).expect("good settings");
    let server = try_serve(config).unwrap_or_else(|(code, message)| panic!("{code}: {message}"));
    let admin = server.0.server.admin_address;
    let settings = call(admin, "GET", "/v1/settings", "", "");
    let of = |key: &str| {
        let all = settings.body["data"].as_array().expect("settings");
        all.iter().find(|one| one["key"] == key).cloned().unwrap_or_else(|| panic!("no {key}"))
    };
    assert_eq!((&of("http.threads")["value"], &of("http.threads")["source"]), (&json!("1"), &json!("command line")));
    assert_eq!(of("outbox.endpoint_url")["value"], "http://127.0.0.1:9/…");
    assert!(of("outbox.endpoint_secret_file").get("value").is_none());
    assert_eq!(of("writer.queue_capacity")["source"], "default");
    for path in ["/v1/settings", "/v1/console/session", "/v1/console/alerts", "/metrics"] {
        let text = call(admin, "GET", path, "", "").text;
        for secret in ["TopSecret", "QUJDREVG", "a shop's secret"] {
            assert!(!text.contains(secret), "{path} has {secret}");
        }
    }
    server.stop();
}

/// A server that answers each question about alerts with this; counts them.
fn prometheus(answer: String) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            let mut head = [0u8; 4096];
            let read = stream.read(&mut head).expect("read");
            assert!(head[..read].starts_with(b"GET /prom/api/v1/alerts "), "another question");
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let length = answer.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {length}\r\n\r\n{answer}").expect("sent");
        }
    });
    (address, asked)
}

#[test]
fn alerts_are_those_of_prometheus_and_without_it_those_of_the_gauges() {
    let alert = json!({ "labels": { "alertname": "FirstcomeQueueFull", "severity": "page" }, "state": "firing",
                        "annotations": { "summary": "the queue is full" }, "activeAt": "2026-11-28T11:00:00Z" });
    let answer = json!({ "status": "success", "data": { "alerts": [alert] } }).to_string();
    let (address, asked) = prometheus(answer);
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.prometheus_url = format!("http://{address}/prom/"));
    let admin = server.0.server.admin_address;
    for _console in 0..10 {
        let alerts = call(admin, "GET", "/v1/console/alerts", "", "").body;
        assert_eq!(
            (&alerts["source"], &alerts["alerts"][0]["name"]),
            (&json!("prometheus"), &json!("FirstcomeQueueFull"))
        );
    }
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) <= 3, "ten consoles ask no more often than one");
    server.stop();

    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.prometheus_url = "http://127.0.0.1:9".into());
    let alerts = call(server.0.server.admin_address, "GET", "/v1/console/alerts", "", "").body;
    assert_eq!((&alerts["source"], &alerts["alerts"]), (&json!("gauges"), &json!([])));
    assert!(alerts["unheard"].as_str().is_some_and(|reason| reason.contains("127.0.0.1")), "{alerts}");
    let gauges = alerts["gauges"].as_array().expect("gauges");
    assert!(gauges.iter().any(|gauge| gauge["name"] == "FirstcomeRefundsDue" && gauge["fires"] == false));
    server.stop();
    let mut config = crate::http::config(scratch.path());
    config.prometheus_url = "ftp://here".into();
    let refused = try_serve(config).err().expect("refused");
    assert!(refused.0 == 64 && refused.1.contains("console.prometheus_url"), "{refused:?}");
}

/// A server whose operators have tokens of every role.
fn with_tokens(scratch: &Path) -> (crate::http::Server, Vec<String>) {
    let mut tokens = Vec::new();
    let server = serve_with(scratch, |config| {
        tokens = [Role::Viewer, Role::Operator, Role::Owner].map(|role| token(&config.data, role)).to_vec();
    });
    (server, tokens)
}

fn id_of(token: &str) -> &str {
    token.split('_').nth(1).expect("an id")
}

#[test]
fn an_owner_makes_a_token_once_and_revokes_all_but_the_last_owners() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, tokens) = with_tokens(scratch.path());
    let admin = server.0.server.admin_address;
    let ask = |token: &str, method: &str, path: &str, key: &str, body: &Value| {
        let headers =
            format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        call(admin, method, path, &headers, &body.to_string())
    };
    let owner = &tokens[2];
    let wanted = json!({ "name": "ann", "role": "owner", "expires_at": "2999-01-01T00:00:00Z" });
    assert_eq!(ask(&tokens[1], "POST", "/v1/tokens", "a", &wanted).status, 403, "an operator makes none");
    let made = ask(owner, "POST", "/v1/tokens", "a", &wanted);
    assert_eq!(made.status, 201, "{}", made.text);
    let text = made.body["token"].as_str().expect("the secret, once").to_string();
    let again = ask(owner, "POST", "/v1/tokens", "a", &wanted);
    assert_eq!((&again.body["id"], again.body.get("token")), (&made.body["id"], None), "a repeat: {}", again.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(ask(&text, "GET", "/v1/console/session", "x", &json!({})).body["name"], "ann", "it is in force at once");

    let secret = text.rsplit('_').next().expect("a secret");
    let listed = ask(owner, "GET", "/v1/tokens", "x", &json!({}));
    assert_eq!(listed.body["data"].as_array().map(Vec::len), Some(4), "{}", listed.text);
    assert!(!listed.text.contains(secret) && !listed.text.contains("sha256"), "{}", listed.text);
    // It ends in 2999, so that it makes none without an end.
    let longer = ask(&text, "POST", "/v1/tokens", "b", &json!({ "name": "bob", "role": "viewer" }));
    assert_eq!((longer.status, &longer.body["errors"][0]["pointer"]), (400, &json!("/expires_at")));

    let revoke = |by: &str, which: &str| ask(by, "DELETE", &format!("/v1/tokens/{}", id_of(which)), "x", &json!({}));
    assert_eq!(revoke(&tokens[1], &tokens[0]).status, 403);
    assert_eq!((revoke(&text, owner).status, revoke(&text, owner).status), (204, 204), "a repeat changes nothing");
    assert_eq!(ask(owner, "GET", "/v1/tokens", "x", &json!({})).status, 401, "it is revoked at once");
    let last = revoke(&text, &text);
    assert_eq!((last.status, &last.body["code"]), (403, &json!("forbidden")), "{}", last.text);
    assert_eq!(ask(&text, "GET", "/v1/tokens", "x", &json!({})).status, 200, "and stays in force");
    server.stop();
}

#[test]
fn a_request_never_makes_the_first_token_and_a_disk_that_takes_none_changes_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    let body = r#"{"name":"ann","role":"owner"}"#;
    let first = call(server.0.server.admin_address, "POST", "/v1/tokens", headers, body);
    assert_eq!((first.status, &first.body["code"]), (403, &json!("forbidden")), "{}", first.text);
    assert!(first.body["detail"].as_str().is_some_and(|detail| detail.contains("firstcome token create")));
    assert_eq!(call(server.0.server.admin_address, "GET", "/v1/tokens", "", "").body["data"], json!([]));
    server.stop();

    let scratch = tempfile::tempdir().expect("scratch");
    let (server, tokens) = with_tokens(scratch.path());
    // A directory in place of the next version of the file.
    std::fs::create_dir(scratch.path().join("data/operators.json.next")).expect("made");
    let headers = format!("{headers}Authorization: Bearer {}\r\n", tokens[2]);
    let unwritten = call(server.0.server.admin_address, "POST", "/v1/tokens", &headers, body);
    assert_eq!((unwritten.status, &unwritten.body["code"]), (503, &json!("read-only")), "{}", unwritten.text);
    let listed = call(server.0.server.admin_address, "GET", "/v1/tokens", &headers, "");
    assert_eq!(listed.body["data"].as_array().map(Vec::len), Some(3));
    server.stop();
}

#[test]
fn a_server_checks_itself_before_a_sale_one_run_at_a_time() {
    let scratch = tempfile::tempdir().expect("scratch");
    let backups = scratch.path().join("backups");
    std::fs::create_dir(&backups).expect("made");
    let server = serve_with(scratch.path(), |config| {
        config.backup.directory = Some(backups.clone());
        config.payments.sandbox = true;
    });
    assert_eq!(server.create(5).status, 201);
    let admin = server.0.server.admin_address;
    let check = |path: &str| {
        let answer = call(admin, "GET", path, "", "");
        let checks = answer.body["checks"].as_array().cloned().unwrap_or_default();
        let verdict = move |name: &str| {
            let found = checks.iter().find(|check| check["check"] == name);
            found.and_then(|check| check["verdict"].as_str()).map(String::from)
        };
        (answer, verdict)
    };
    let (report, verdict) = check("/v1/preflight?drop_id=1");
    assert_eq!(report.status, 200, "{}", report.text);
    let is = |name: &str, word: &str| assert_eq!(verdict(name).as_deref(), Some(word), "{name}: {}", report.text);
    for name in ["server", "drop", "stock", "left over", "price", "descriptors"] {
        is(name, "pass");
    }
    is("secrets", "fail");
    is("backup", "fail");
    is("endpoints", "warn");
    let of =
        |word: &str| report.body["checks"].as_array().expect("checks").iter().filter(|c| c["verdict"] == word).count();
    assert_eq!(
        (report.body["fail"].as_u64(), report.body["pass"].as_u64()),
        (Some(of("fail") as u64), Some(of("pass") as u64))
    );
    assert!(
        report.body["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .all(|c| (c["verdict"] == "pass") == c.get("to_do").is_none())
    );
    let (general, verdict) = check("/v1/preflight");
    assert!(verdict("server").is_some() && verdict("drop").is_none(), "{}", general.text);
    let order = json!({ "to": backups.to_str().expect("a path") });
    assert_eq!(server.admin("POST", "/v1/backup", &order).status, 200);
    until("the backup is made", || server.admin("GET", "/v1/backup", &json!({})).body["state"] == "made");
    let (report, verdict) = check("/v1/preflight");
    assert_eq!(verdict("backup").as_deref(), Some("pass"), "{}", report.text);

    let all: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| call(admin, "GET", "/v1/preflight", "", ""))).collect();
        runs.into_iter().map(|run| run.join().expect("answered")).collect()
    });
    assert!(all.iter().any(|answer| answer.status == 200));
    assert!(all.iter().all(|answer| answer.status == 200 || answer.body["code"] == "overloaded"));
    server.stop();
}

#[test]
fn the_page_of_the_api_is_on_the_admin_listener_and_on_a_demonstrations_public_one() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.public("GET", "/docs").status, 404, "buyers of a real shop need none");
    let admin = server.0.server.admin_address;
    let page = call(admin, "GET", "/docs", "", "");
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for part in ["id=\"CreateDrop\"", "id=\"PlaceOrder\"", "id=\"schema-Order\"", "href=\"#schema-Order\""] {
        assert!(page.text.contains(part), "{part}");
    }
    assert!(!page.text.contains("<script") && !page.text.contains("https://cdn"));
    let compressed = call(admin, "HEAD", "/docs", "Accept-Encoding: gzip\r\n", "");
    let bytes: usize = compressed.headers["content-length"].parse().expect("a number");
    assert!(bytes < 60_000, "{bytes} bytes");

    let document = call(admin, "GET", "/openapi.json", "", "").body;
    assert_eq!(document["paths"]["/v1/drops"]["post"]["servers"][0]["url"], format!("http://{admin}"));
    let public = server.0.server.public_address;
    assert_eq!(document["servers"][0]["url"], format!("http://{public}"), "where the server listens");
    let told = call(admin, "GET", "/openapi.json", "Host: localhost:9\r\n", "").body;
    assert_eq!(
        told["paths"]["/v1/drops"]["post"]["servers"][0]["url"], "http://localhost:9",
        "where the request came to"
    );
    let for_buyers = server.public("GET", "/openapi.json").text;
    assert!(!for_buyers.contains(&admin.to_string()), "buyers do not learn where operators are");
    server.stop();

    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.payments.sandbox = true);
    assert_eq!(server.public("GET", "/docs").status, 200);
    server.stop();
}
