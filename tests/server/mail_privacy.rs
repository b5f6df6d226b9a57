//! No address and no name of a buyer is in a log line, metric, event, webhook, capture or row of the audit, whatever becomes of
//! the mails; nor is the password of the mail server in a finding of `preflight`, which sends no mail.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::mail_sink::MailSink;
use crate::process::{Client, Process, wait_until};
use crate::webhook_sink::{Sink, SinkReply};
use firstcome::types::SigningSecret;
use rustix::process::Signal;
use serde_json::{Value, json};

/// A part of every address and name in this test.
const MARKER: &str = "zq-mark";

fn secret(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    path
}

fn mails_to(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("FIRSTCOME__MAIL__HOST", "127.0.0.1".into()),
        ("FIRSTCOME__MAIL__PORT", port.to_string()),
        ("FIRSTCOME__MAIL__TLS", "none".into()),
        ("FIRSTCOME__MAIL__FROM", "shop@shop.example".into()),
        ("FIRSTCOME__OUTBOX__RETRY_SECONDS", "0,0".into()),
    ]
}

fn contact(name: &str) -> Value {
    json!({ "email": format!("{name}@mail.example"), "name": format!("{MARKER}-name") })
}

/// Everything that becomes of a mail: sent, greylisted, refused with the address in the answer, no address, given up.
fn mails(server: &Process, sink: &MailSink, log: &dyn Fn() -> String) {
    let mut client = Client::connect(server.public).expect("connected");
    let mut order = |buyer: &str, email: &str| {
        let contact = json!({ "email": email, "name": format!("{MARKER}-name") });
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": contact });
        assert_eq!(client.post("/v1/drops/1/orders", buyer, &body).expect("answered").status, 201);
    };
    sink.mode("grey");
    order("b1", "zq-mark-1@mail.example");
    wait_until("it is sent at the second attempt", || sink.received().len() == 1);
    order("b2", "nobody-zq-mark-2@mail.example");
    wait_until("it is refused, with the address in the answer", || sink.events("refused").len() == 1);
    order("b3", "zq-mark-3");
    sink.mode("ok");
    let mut admin = Client::connect(server.admin).expect("connected");
    let spec = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100, "increments": [[0, 10]],
                       "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    assert_eq!(admin.post("/v1/auctions", "one", &spec).expect("answered").status, 201);
    for (number, name) in [(0, "zq-mark-4"), (1, "grey-zq-mark-5"), (2, "nobody-zq-mark-6")] {
        let body = json!({ "buyer": format!("a{number}"), "amount": 100 + 10 * number, "contact": contact(name) });
        let placed = client.post("/v1/auctions/1/bids", name, &body).expect("answered");
        assert!(placed.status == 201 && !placed.body.to_string().contains(MARKER), "{:?}", placed.body);
    }
    let outbid = || sink.received().len() == 3;
    wait_until("two are outbid", outbid);
    let cancelled = admin.post("/v1/auctions/1/cancel", "c", &json!({ "reason": "x" })).expect("answered");
    assert_eq!(cancelled.status, 200);
    wait_until("the losers are told", || sink.received().len() == 5 && sink.events("refused").len() == 2);
    sink.mode("tempfail");
    let body = json!({ "buyer": "b4", "quantity": 1, "contact": contact("zq-mark-7") });
    assert_eq!(client.post("/v1/drops/1/orders", "b4", &body).expect("answered").status, 201);
    wait_until("three mails are given up", || log().matches("mail given up").count() == 3);
}

#[test]
fn no_log_metric_event_webhook_capture_or_audit_row_has_a_buyers_address_or_name() {
    let scratch = tempfile::tempdir().expect("scratch");
    let of = |name: &str| scratch.path().join(name);
    let (data, log_file, capture) = (of("data"), of("log"), of("sale.capture"));
    let (sink, webhooks) = (MailSink::new(), Sink::new(|_| SinkReply::Status(204)));
    let key = secret(scratch.path(), "outbox.secret", &SigningSecret::random().reveal());
    let mut environment = mails_to(sink.port);
    environment.extend([
        ("FIRSTCOME__LOG__LEVEL", "debug".to_string()),
        ("FIRSTCOME__CAPTURE__FILE", capture.display().to_string()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_URL", webhooks.url()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_SECRET_FILE", key.display().to_string()),
        ("FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS", "127.0.0.0/8".to_string()),
    ]);
    let said = Stdio::from(std::fs::File::create(&log_file).expect("made"));
    let mut server = Process::start_saying(&data, &environment, said);
    server.create_drop(100);
    let log = || std::fs::read_to_string(&log_file).expect("read");
    mails(&server, &sink, &log);
    wait_until("the shop hears of the end", || {
        webhooks.received().iter().any(|heard| heard.kind() == "auction.cancelled")
    });
    for path in ["/metrics", "/v1/audit", "/v1/webhook-endpoints", "/v1/drops/1", "/v1/auctions/1/bids"] {
        let address =
            if path.starts_with("/v1/drops") || path.ends_with("bids") { server.public } else { server.admin };
        let mut client = Client::connect(address).expect("connected");
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).expect("sent");
        let text = client.read_to_end();
        assert!(text.starts_with("HTTP/1.1 200 ") && !text.contains(MARKER), "{path}: {text}");
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let heard: String =
        webhooks.received().iter().map(|heard| format!("{:?} {}\n", heard.headers, heard.text)).collect();
    assert!(heard.contains("auction.cancelled") && !heard.contains(MARKER), "{heard}");
    assert!(!log().contains(MARKER) && !log().contains("mail.example"), "{}", log());
    let captured = std::fs::read(&capture).expect("a capture");
    let has = |text: &str| captured.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!captured.is_empty() && !has(MARKER) && !has("mail.example"));
    // Contacts are in their tables, and in no other.
    let connection = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
    let audited: i64 = connection
        .query_row("SELECT count(*) FROM audit WHERE detail LIKE '%zq-mark%'", [], |row| row.get(0))
        .expect("counted");
    let kept: i64 = connection
        .query_row("SELECT count(*) FROM bidder_contacts WHERE email LIKE '%zq-mark%'", [], |row| row.get(0))
        .expect("counted");
    assert_eq!((audited, kept), (0, 3));
}

#[test]
fn preflight_says_whether_the_mail_server_takes_the_login_and_sends_no_mail() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]);
    server.create_drop(10);
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = secret(scratch.path(), "certificate.pem", &certificate.cert.pem());
    let key = secret(scratch.path(), "key.pem", &certificate.signing_key.serialize_pem());
    let sink = MailSink::encrypted(&pem, &key);
    let good = secret(scratch.path(), "good", "shop\ncorrect horse\n");
    let bad = secret(scratch.path(), "bad", "shop\nwrong horse\n");
    let check = |port: u16, credentials: &Path, trusts: bool| -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        let (public, admin) = (server.public.to_string(), server.admin.to_string());
        command.args(["preflight", "1", "--json", "--public", &public, "--admin", &admin]).arg("--data").arg(&data);
        command.envs(mails_to(port)).env("FIRSTCOME__MAIL__HOST", "localhost").env("FIRSTCOME__MAIL__TLS", "starttls");
        command.env("FIRSTCOME__MAIL__TIMEOUT_MS", "3000").env("FIRSTCOME__MAIL__CREDENTIALS_FILE", credentials);
        if trusts {
            command.env("FIRSTCOME__MAIL__AUTHORITIES_FILE", &pem);
        }
        let output = command.output().expect("run");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(!told.to_string().contains("horse"), "{told:#}");
        let checks = told["checks"].as_array().expect("a list").clone();
        let found = checks.into_iter().find(|check| check["check"] == "mail server").expect("the check");
        let text = |name: &str| found[name].as_str().expect("a text").to_owned();
        (text("verdict"), text("found"))
    };
    let of = |what: &str| format!("localhost:{} {what}", sink.port).replace(" :", ":");
    let pass = ("pass".to_owned(), of("answers by STARTTLS and takes the login"));
    assert_eq!(check(sink.port, &good, true), pass);
    let (verdict, found) = check(sink.port, &bad, true);
    assert_eq!((verdict.as_str(), found), ("fail", of(": status 535")));
    assert_eq!(check(sink.port, &good, false), ("fail".to_owned(), of(": tls")));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address").port();
    assert_eq!(check(closed, &good, true), ("fail".to_owned(), format!("localhost:{closed}: unreachable")));
    sink.mode("hang");
    assert_eq!(check(sink.port, &good, true), ("fail".to_owned(), of(": timed-out")));
    assert!(sink.received().is_empty() && sink.events("refused").is_empty(), "no mail");
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}
