//! A server of the measured program, on free loopback ports, and the load generator of the same program.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::machine::wait;
use super::program::{Program, output, succeeded};

/// The longest time from a server's start to its readiness.
const START_WITHIN: Duration = Duration::from_secs(30);
/// The longest time of one run of the load generator, in seconds.
const LOAD_SECONDS: &str = "300";

/// A running server. Its directory goes away with it.
pub(crate) struct Server<'a> {
    program: &'a Program,
    child: Child,
    scratch: TempDir,
    public: String,
    admin: String,
    wire: String,
    /// Drops that were made, for their keys.
    created: Cell<u32>,
}

impl<'a> Server<'a> {
    pub(crate) fn start(program: &'a Program) -> Result<Server<'a>, String> {
        Server::start_under(program, &[])
    }

    /// Starts a server with these words before its command.
    pub(crate) fn start_under(program: &'a Program, prefix: &[String]) -> Result<Server<'a>, String> {
        let scratch = tempfile::tempdir().map_err(|error| format!("a scratch directory: {error}"))?;
        let child = spawn(program, prefix, &scratch)?;
        let (public, admin, wire) = (String::new(), String::new(), String::new());
        let mut server = Server { program, child, scratch, public, admin, wire, created: Cell::new(0) };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Kills the server, and starts another one on its file.
    pub(crate) fn kill_and_restart(&mut self) -> Result<Duration, String> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|error| format!("the server: {error}"))?;
        let began = Instant::now();
        self.child = spawn(self.program, &[], &self.scratch)?;
        self.wait_until_ready()?;
        let body = r#"{"buyer":"first","quantity":1}"#;
        let head = "Content-Type: application/json\r\nIdempotency-Key: first";
        request(&self.public, &format!("POST /v1/drops/1/orders HTTP/1.1\r\nHost: {}\r\n{head}", self.public), body)?;
        Ok(began.elapsed())
    }

    /// Reads the addresses that the server prints, until it is ready.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < START_WITHIN {
            let printed = std::fs::read_to_string(self.scratch.path().join("serve.out")).unwrap_or_default();
            let address = |name: &str| {
                let line = printed.lines().find_map(|line| line.trim().strip_prefix(name))?;
                let (_, rest) = line.split_once("://")?;
                Some(rest.split('/').next()?.to_owned())
            };
            let wire = address("frames").or_else(|| address("wire"));
            if let (Some(public), Some(admin), Some(wire)) = (address("buyers"), address("operators"), wire) {
                (self.public, self.admin, self.wire) = (public, admin, wire);
                if request(&self.admin, &format!("GET /readyz HTTP/1.1\r\nHost: {}", self.admin), "").is_ok() {
                    return Ok(());
                }
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            wait(Duration::from_millis(5));
        }
        let said = std::fs::read_to_string(self.scratch.path().join("serve.err")).unwrap_or_default();
        Err(format!("the server did not start\n{said}"))
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server in order, and proves its file.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let process = self.child.id().to_string();
        succeeded("kill", &output(Command::new("kill").args(["-TERM", &process]))?)?;
        let status = self.child.wait().map_err(|error| format!("the server: {error}"))?;
        if !status.success() {
            let said = std::fs::read_to_string(self.scratch.path().join("serve.err")).unwrap_or_default();
            return Err(format!("the server ended with {status}\n{said}"));
        }
        let data = self.scratch.path().join("data");
        let verified = output(Command::new(&self.program.path).arg("verify").arg("--data").arg(data))?;
        succeeded("verify", &verified)
    }

    /// Runs the load generator, and gives its report.
    pub(crate) fn load(&self, arguments: &[&str]) -> Result<Value, String> {
        let json: PathBuf = self.scratch.path().join("load.json");
        let mut command = Command::new("timeout");
        command.arg(LOAD_SECONDS).arg(&self.program.path).args(["rush", "--public", &self.public]);
        command.args(["--admin", &self.admin, "--json"]).arg(&json).args(arguments);
        succeeded("the load generator", &output(&mut command)?)?;
        let report = std::fs::read(&json).map_err(|error| format!("{}: {error}", json.display()))?;
        serde_json::from_slice(&report).map_err(|error| format!("the load generator's report: {error}"))
    }

    /// A plain order from each of these buyers, as fast as they are answered.
    pub(crate) fn plain_orders(&self, orders: u32, more: &[&str]) -> Result<Value, String> {
        let count = orders.to_string();
        let mut arguments = vec!["--crowd", "plain", "--buyers", &count, "--units", &count];
        arguments.extend(more);
        self.load(&arguments)
    }

    /// Bids into new auctions over the wire protocol. It fails unless every bid has its reply and every price is the
    /// highest acknowledged bid.
    pub(crate) fn bids(&self, each: u32, more: &[&str]) -> Result<Value, String> {
        let each = each.to_string();
        let mut arguments = vec!["--wire", &self.wire, "--bids", &each];
        arguments.extend(more);
        self.load(&arguments)
    }

    /// The page of metrics.
    pub(crate) fn metrics(&self) -> Result<String, String> {
        let get = format!("GET /metrics HTTP/1.1\r\nHost: {}", self.admin);
        request(&self.admin, &get, "")
    }

    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    pub(crate) fn wire(&self) -> &str {
        &self.wire
    }

    /// The file system of the server's database.
    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Creates a drop on sale; gives its number.
    pub(crate) fn create_drop(&self, units: u32) -> Result<u32, String> {
        let key = self.created.get();
        self.created.set(key + 1);
        let body = format!(
            r#"{{"sku":"WIRE","name":"Wire","currency":"EUR","unit_price":1999,"total":{units},"per_buyer_limit":1,"reservation_seconds":3600,"starts_at":"2020-01-01T00:00:00Z"}}"#
        );
        let head = format!("Host: {}\r\nContent-Type: application/json\r\nIdempotency-Key: figure-{key}", self.admin);
        let made = request(&self.admin, &format!("POST /v1/drops HTTP/1.1\r\n{head}"), &body)?;
        let made: Value = serde_json::from_str(&made).map_err(|error| format!("a drop: {error}"))?;
        made["id"].as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("a drop without an id: {made}"))
    }

    /// Units of a drop that are held.
    pub(crate) fn held(&self, drop_id: u32) -> Result<u64, String> {
        let drop = request(&self.public, &format!("GET /v1/drops/{drop_id} HTTP/1.1\r\nHost: {}", self.public), "")?;
        let drop: Value = serde_json::from_str(&drop).map_err(|error| format!("a drop: {error}"))?;
        drop["held"].as_u64().ok_or_else(|| format!("a drop without its counters: {drop}"))
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // A server that was stopped has ended already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn spawn(program: &Program, prefix: &[String], scratch: &TempDir) -> Result<Child, String> {
    let file = |name: &str| File::create(scratch.path().join(name)).map_err(|error| format!("{name}: {error}"));
    let (out, errors) = (file("serve.out")?, file("serve.err")?);
    let path = program.path.display().to_string();
    let mut words = prefix.iter().chain([&path]);
    let mut command = Command::new(words.next().ok_or("no command")?);
    command.args(words).args(["serve", "--demo", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--wire", "127.0.0.1:0", "--data"]).arg(scratch.path().join("data"));
    command.stdin(Stdio::null()).stdout(out).stderr(errors);
    command.spawn().map_err(|error| format!("{path}: {error}"))
}

/// Sends one request, and gives the body of a response with a good status.
fn request(address: &str, head: &str, body: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    let text = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).map_err(failed)?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(failed)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or_else(|| format!("{address}: no response"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') { Ok(body.to_owned()) } else { Err(format!("{address}: status {status}: {body}")) }
}

/// A kept-alive connection that scrapes `/metrics`.
pub(crate) struct Scraper {
    reader: BufReader<TcpStream>,
    request: String,
}

impl Scraper {
    pub(crate) fn connect(address: &str) -> Result<Scraper, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
        Ok(Scraper { reader: BufReader::new(stream), request })
    }

    pub(crate) fn scrape(&mut self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("a scrape: {error}");
        self.reader.get_mut().write_all(self.request.as_bytes()).map_err(failed)?;
        let (mut length, mut line) = (None, String::new());
        loop {
            line.clear();
            if self.reader.read_line(&mut line).map_err(failed)? == 0 {
                return Err("a scrape: the server closed the connection".into());
            }
            let Some((name, value)) = line.split_once(':') else {
                if line == "\r\n" {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        let mut body = vec![0; length.ok_or("a scrape: no Content-Length")?];
        self.reader.read_exact(&mut body).map_err(failed)
    }
}
