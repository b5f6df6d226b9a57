//! The access log of the real program: a line per request, without anything that is secret or personal.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::fs::{File, read_to_string};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A server whose two outputs are files; killed if a test ends early.
struct Serving {
    child: Child,
    /// Addresses of the public and of the admin listener.
    listeners: [String; 2],
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Serving {
    fn start(scratch: &Path, format: &str, one_in: &str) -> Serving {
        let file = |name| File::create(scratch.join(name)).expect("created");
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        command.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"]);
        command.arg("--data").arg(scratch.join("data")).stdin(Stdio::null()).stdout(file("out")).stderr(file("log"));
        command.env("FIRSTCOME__LOG__FORMAT", format).env("FIRSTCOME__LOG__ACCESS_ONE_IN", one_in);
        let child = command.spawn().expect("started");
        let mut serving = Serving { child, listeners: Default::default() };
        let deadline = Instant::now() + Duration::from_secs(60);
        let line = loop {
            assert!(Instant::now() < deadline, "it does not serve");
            let log = read_to_string(scratch.join("log")).expect("read");
            if let Some(line) = log.lines().find(|line| line.contains("serving")) {
                break line.to_string();
            }
            std::thread::park_timeout(Duration::from_millis(10));
        };
        let address = |name: &str| {
            let after = line.split_once(&format!("{name}=")).or_else(|| line.split_once(&format!("\"{name}\":\"")));
            let after = after.expect("an address").1;
            let end = after.find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':');
            after[..end.unwrap_or(after.len())].to_string()
        };
        serving.listeners = [address("public"), address("admin")];
        serving
    }

    fn send(&self, listener: usize, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.listeners[listener]).expect("connected");
        let headers =
            "Authorization: Bearer fc_secret_token\r\nX-Forwarded-For: 203.0.113.9\r\nUser-Agent: secret-agent\r\n";
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nRequest-Id: r-{listener}\r\nConnection: close\r\n{headers}\r\n"
        )
        .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("our own process");
        assert!(self.child.wait().expect("ended").success());
    }
}

const ORDER: &str = "0190a1b2-0000-8000-8000-00000000cafe";

#[test]
fn each_request_is_a_line_with_its_route_and_nothing_secret_or_personal() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Serving::start(scratch.path(), "text", "1");
    server.send(0, &format!("/v1/orders/{ORDER}?key=secret"));
    server.send(0, "/v1/drops");
    server.send(0, "/v1/secret-path");
    let metrics = server.send(1, "/metrics");
    assert!(metrics.contains("firstcome_access_log_lines_total{result=\"dropped\"} 0"), "{metrics}");
    server.stop();
    let out = read_to_string(scratch.path().join("out")).expect("read");
    let lines: Vec<&str> = out.lines().filter(|line| line.contains(" listener=")).collect();
    for (number, parts) in [
        &[
            " listener=public method=GET route=/v1/orders/{order_id} status=400 problem=validation bytes=",
            " request_id=r-0",
        ][..],
        &[" listener=public method=GET route=/v1/drops status=200 bytes=", " took_us="],
        &[" listener=public method=other route=other status=404 problem=not-found"],
        &[" listener=admin method=GET route=/metrics status=200", " request_id=r-1"],
    ]
    .into_iter()
    .enumerate()
    {
        // Two workers take requests, and each line is queued before its response is sent.
        assert!(lines.iter().any(|line| parts.iter().all(|part| line.contains(part))), "{number}: {out}");
    }
    assert_eq!(lines.len(), 4, "{out}");
    for secret in ["secret", ORDER, "cafe", "203.0.113.9", "127.0.0.1", "fc_", "key="] {
        assert!(lines.iter().all(|line| !line.contains(secret)), "{secret}: {out}");
    }
}

#[test]
fn with_json_standard_output_has_lines_of_the_access_log_only() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Serving::start(scratch.path(), "json", "1");
    (0..5).for_each(|_| drop(server.send(1, "/healthz")));
    server.stop();
    let out = read_to_string(scratch.path().join("out")).expect("read");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert!(
        lines.iter().all(|line| line["route"] == "/healthz" && line["status"] == 200 && line["bytes"] == 3),
        "{out}"
    );
}

#[test]
fn without_the_setting_there_is_no_line() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Serving::start(scratch.path(), "text", "0");
    let metrics = server.send(1, "/metrics");
    assert!(!metrics.contains("firstcome_access_log_lines_total{"), "{metrics}");
    server.stop();
    assert!(!read_to_string(scratch.path().join("out")).expect("read").contains("route="));
}
