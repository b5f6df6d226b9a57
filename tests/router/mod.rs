//! A router as a process of its own.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use firstcome::telemetry::page::MetricsPage;

use crate::process::{Answer, Client, wait_until};

pub struct Router {
    child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    _scratch: tempfile::TempDir,
}

/// The addresses of a node's listeners.
pub type NodeAddresses = (SocketAddr, SocketAddr);

/// Writes the file of shards.
pub fn shards_file(shards: &[(u8, Vec<NodeAddresses>)], more: &str) -> String {
    let mut text = format!("{more}\n");
    for (number, nodes) in shards {
        let nodes: Vec<String> = nodes
            .iter()
            .map(|(public, admin)| format!("{{ public_url = \"http://{public}\", admin_url = \"http://{admin}\" }}"))
            .collect();
        text.push_str(&format!("[[shard]]\nnumber = {number}\nnodes = [{}]\n", nodes.join(", ")));
    }
    text
}

impl Router {
    /// Starts a router, and waits until it knows a leader of each shard.
    pub fn start(shards: &[(u8, Vec<NodeAddresses>)], more: &str) -> Router {
        let router = Router::begin(shards, more);
        let count = u32::try_from(shards.len()).expect("few");
        wait_until("a leader of each shard", || {
            (router.metric("firstcome_route_leader_known", &[]) - f64::from(count)).abs() < 0.5
        });
        router
    }

    /// The same, without waiting.
    pub fn begin(shards: &[(u8, Vec<NodeAddresses>)], more: &str) -> Router {
        Router::begin_logging(shards, more, "error", None)
    }

    /// The same, with its log of a level in a file.
    pub fn begin_logging(
        shards: &[(u8, Vec<NodeAddresses>)],
        more: &str,
        level: &str,
        log: Option<std::fs::File>,
    ) -> Router {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = scratch.path().join("shards.toml");
        std::fs::write(&file, shards_file(shards, more)).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        command.args(["route", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", level, "--shards"]);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.map_or(Stdio::inherit(), Stdio::from));
        let mut child = command.spawn().expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut address = |word: &str| -> SocketAddr {
            let line = lines.find_map(|line| line.ok().filter(|line| line.trim_start().starts_with(word)));
            let line = line.unwrap_or_else(|| panic!("the router ended before it told where its {word} connect"));
            let (_, after) = line.split_once("//").expect("a URL");
            after.split('/').next().expect("a host").parse().expect("an address")
        };
        let (public, admin) = (address("buyers"), address("operators"));
        Router { child, public, admin, _scratch: scratch }
    }

    /// The sum of a metric's series with these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        MetricsPage::parse(&self.own("/metrics").1).expect("metrics").sum(name, labels)
    }

    /// The router's own answer at its admin listener: the status line, and the text.
    pub fn own(&self, path: &str) -> (String, String) {
        let mut client = Client::connect(self.admin).expect("connected");
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).expect("sent");
        let page = client.read_to_end();
        let (head, body) = page.split_once("\r\n\r\n").expect("a head");
        (head.lines().next().expect("a line").to_string(), body.to_string())
    }

    pub fn get(&self, path: &str) -> Answer {
        Client::connect(self.public).expect("connected").get(path).expect("answered")
    }

    pub fn get_admin(&self, path: &str) -> Answer {
        Client::connect(self.admin).expect("connected").get(path).expect("answered")
    }

    /// Sends a request with these head lines, which end each with a line break.
    pub fn send(&self, address: SocketAddr, line: &str, head: &str, body: &str) -> Answer {
        let mut client = Client::connect(address).expect("connected");
        let length = body.len();
        client
            .send(&format!("{line} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {length}\r\n\r\n{body}"))
            .expect("sent");
        client.receive().expect("answered")
    }

    /// Ends the router in order.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own process");
        assert!(self.child.wait().expect("ended").success());
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
