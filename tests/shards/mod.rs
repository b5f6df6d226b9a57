//! Two shards of one cluster over a real member of etcd, each a node, a file and a log of its own.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::etcd::Etcd;
use crate::process::{Client, Process, wait_until};
use crate::provider_webhooks::{PAYOS_KEY, secret_file};

pub const SHARDS: [u8; 2] = [3, 5];
/// Longest wait for a member to elect itself.
const WAIT: Duration = Duration::from_secs(30);

pub struct Shards {
    scratch: tempfile::TempDir,
    etcd: Etcd,
}

impl Shards {
    /// One member, and the database and the log of each shard.
    pub fn start() -> Shards {
        let (scratch, etcd) = (tempfile::tempdir().expect("scratch"), Etcd::start(1));
        secret_file(scratch.path(), "cluster.key", &"5e".repeat(32));
        let shards = Shards { scratch, etcd };
        for shard in SHARDS {
            end(Process::start(&shards.data(shard), &[]));
            let until = Instant::now() + WAIT;
            while shards.init(shard, shard).0 != 0 {
                assert!(Instant::now() < until, "no log of shard {shard}");
            }
        }
        shards
    }

    pub fn data(&self, shard: u8) -> PathBuf {
        self.scratch.path().join(format!("data{shard}"))
    }

    /// The file of a node of a shard.
    pub fn file(&self, shard: u8) -> String {
        let (key, members) = (self.scratch.path().join("cluster.key"), self.etcd.urls_from(0));
        let text = format!(
            "cluster = \"shop\"\nshard = {shard}\nnode = \"n{shard}\"\ntest = true\nmembers = {members:?}\nkey_file = {key:?}\n"
        );
        let file = self.scratch.path().join(format!("shard{shard}.toml"));
        std::fs::write(&file, text).expect("written");
        file.to_str().expect("a path").into()
    }

    pub fn init(&self, shard: u8, of: u8) -> (i32, String) {
        let data = self.data(of);
        end_of(&firstcome(&[
            "cluster",
            "init",
            "--cluster",
            &self.file(shard),
            "--data",
            data.to_str().expect("a path"),
        ]))
    }

    /// Starts the node of a shard, and waits until it leads.
    pub fn run(&self, shard: u8) -> Process {
        let secret = secret_file(self.scratch.path(), "payos", PAYOS_KEY);
        let environment = [
            ("FIRSTCOME__CLUSTER__FILE", self.file(shard)),
            ("FIRSTCOME__PAYMENTS__PAYOS_CHECKSUM_KEY_FILES", secret.to_str().expect("a path").into()),
        ];
        let process = Process::start(&self.data(shard), &environment);
        let leads = || Client::connect(process.admin).and_then(|mut client| client.get("/readyz?role=leader"));
        wait_until("it leads", || leads().expect("answered").status == 200);
        process
    }

    /// Starts a server that must end by itself, before it serves anything.
    pub fn refused(&self, data: u8, more: &[&str]) -> (i32, String) {
        let data = self.data(data);
        let mut arguments = vec!["serve", "--data", data.to_str().expect("a path")];
        for flag in ["--public", "--admin", "--wire"] {
            arguments.extend([flag, "127.0.0.1:0"]);
        }
        arguments.extend(more);
        let output = firstcome(&arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "it says nowhere that it serves");
        end_of(&output)
    }
}

pub fn firstcome(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.env("FIRSTCOME__LOG__LEVEL", "error").args(arguments).stdin(Stdio::null()).output().expect("run")
}

pub fn end_of(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("firstcome: ")).collect();
    (output.status.code().expect("an exit code"), lines.join("\n"))
}

/// Ends a server in order.
pub fn end(mut server: Process) {
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
}
