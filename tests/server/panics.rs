//! Background threads of the real program that panic: what happens is logged and counted at once, and the work goes on or
//! the process ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::http::{call, until};
use crate::process::Process;
use crate::webhook_sink::{Sink, SinkReply};
use firstcome::types::SigningSecret;

/// Starts the program with an endpoint and payment links. `thread` panics once.
fn start(directory: &Path, sink: &Sink, thread: &str) -> Process {
    let secret = |name: &str| {
        let path = directory.join(name);
        std::fs::write(&path, SigningSecret::random().reveal()).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        path.to_str().expect("a path").to_owned()
    };
    let settings = [
        ("FIRSTCOME_PANIC", thread.to_owned()),
        ("RUST_BACKTRACE", "0".into()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_URL", sink.url()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_SECRET_FILE", secret("outbox.secret")),
        ("FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS", "127.0.0.0/8".into()),
        ("FIRSTCOME__PAYMENTS__PROVIDER", "standard-webhooks".into()),
        ("FIRSTCOME__PAYMENTS__STANDARD_WEBHOOKS_SECRET_FILES", secret("payments.secret")),
        ("FIRSTCOME__PAYMENTS__LINK_TEMPLATE", "https://pay.example/{order_id}?s={signature}".into()),
    ];
    Process::start(&directory.join("data"), &settings)
}

fn panics(server: &Process, thread: &str) -> f64 {
    let page = call(server.admin, "GET", "/metrics", "", "").text;
    let series = format!("firstcome_thread_panics_total{{thread=\"{thread}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0.0)
}

#[test]
fn work_that_panics_is_counted_and_begins_again_while_the_sale_goes_on() {
    for thread in ["fc-outbox", "fc-sessions", "fc-auditor", "fc-draw", "fc-query"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let sink = Sink::new(|_| SinkReply::Status(204));
        let mut server = start(scratch.path(), &sink, thread);
        server.create_drop(5);
        // The first query panics; its client receives 503.
        let list = || call(server.public, "GET", "/v1/drops", "", "");
        let first = list().status;
        assert!(first == 200 || (first == 503 && thread == "fc-query"), "{thread}: {first}");
        until("the panic is counted", || panics(&server, thread) == 1.0);
        let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
        let body = r#"{"buyer":"ann","quantity":1}"#;
        let sold = call(server.public, "POST", "/v1/drops/1/orders", headers, body);
        assert_eq!(sold.status, 201, "{thread}: {}", sold.text);
        let id = sold.body["id"].as_str().expect("an id").to_owned();
        let json = "Content-Type: application/json\r\n";
        let checked_out =
            call(server.public, "POST", &format!("/v1/orders/{id}/checkout"), json, r#"{"contact":{"name":"N"}}"#);
        assert_eq!(checked_out.status, 200, "{thread}: {}", checked_out.text);
        until("the order is sent", || sink.received().iter().any(|one| one.kind() == "order.checked_out"));
        until("the session is made", || {
            let page = call(server.admin, "GET", "/metrics", "", "").text;
            page.lines().any(|line| line == "firstcome_payment_sessions_total{result=\"made\"} 1")
        });
        until("the recount has come to the end", || {
            let page = call(server.admin, "GET", "/metrics", "", "").text;
            page.lines().any(|line| line == "firstcome_audit_lag 0")
        });
        assert_eq!(list().status, 200, "{thread}");
        assert_eq!(panics(&server, thread), 1.0, "{thread}");
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(server.wait().code(), Some(0), "{thread}");
    }
}

#[test]
fn a_worker_that_panics_ends_the_process_with_70() {
    let scratch = tempfile::tempdir().expect("scratch");
    // It may end before it has said where it listens.
    let ended = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"])
        .arg(scratch.path().join("data"))
        .envs([("FIRSTCOME_PANIC", "fc-http"), ("RUST_BACKTRACE", "0")])
        .stdin(Stdio::null())
        .output()
        .expect("ended");
    let log = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(70), "{log}");
    assert!(log.contains("a background thread panicked"), "{log}");
}
