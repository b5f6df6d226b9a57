//! `firstcome cluster` and the start of a node against real members of etcd, as an operator meets them.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use etcd::Etcd;
use process::Process;
use serde_json::Value;

/// Longest wait for three members to elect a leader, and for a node to lead.
const WAIT: Duration = Duration::from_secs(30);

fn firstcome(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(arguments).stdin(Stdio::null()).output().expect("run")
}

fn end_of(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    // Without the lines of its log.
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("firstcome: ")).collect();
    (output.status.code().expect("an exit code"), lines.join("\n"))
}

struct Drill {
    scratch: tempfile::TempDir,
    etcd: Etcd,
}

impl Drill {
    /// Three members that have elected a leader, the key of a cluster, and a database with a drop.
    fn start() -> Drill {
        let (scratch, etcd) = (tempfile::tempdir().expect("scratch"), Etcd::start(3));
        let key = firstcome(&["cluster", "key"]);
        assert!(key.status.success() && key.stdout.len() == 65, "{key:?}");
        fs::write(scratch.path().join("cluster.key"), key.stdout).expect("written");
        fs::set_permissions(scratch.path().join("cluster.key"), fs::Permissions::from_mode(0o600)).expect("set");
        let drill = Drill { scratch, etcd };
        end(Process::start(&drill.data("n1"), &[]));
        drill.await_quorum();
        drill
    }

    fn await_quorum(&self) {
        let until = Instant::now() + WAIT;
        while self.status("n1").0 == 69 {
            assert!(Instant::now() < until, "no leader among the members");
        }
    }

    /// Waits until all is well with so many nodes, and one has begun to lead; returns the status.
    fn await_order(&self, nodes: usize) -> Value {
        let until = Instant::now() + WAIT;
        loop {
            let (code, shown, lines) = self.status("n1");
            let has_begun = shown["head"]["number"].as_u64().is_some_and(|number| number > 0);
            // A single node that leads is a problem of its own.
            let is_well = code == i32::from(nodes == 1) && (nodes > 1 || lines.contains("no other node follows"));
            if is_well && has_begun && shown["nodes"].as_array().is_some_and(|found| found.len() == nodes) {
                return shown;
            }
            assert!(Instant::now() < until, "{code}: {lines}");
        }
    }

    fn data(&self, node: &str) -> PathBuf {
        self.scratch.path().join(node)
    }

    /// The file of a node's cluster.
    fn file(&self, node: &str) -> String {
        let (key, members) = (self.scratch.path().join("cluster.key"), self.etcd.urls_from(0));
        let text =
            format!("cluster = \"shop\"\nnode = {node:?}\ntest = true\nmembers = {members:?}\nkey_file = {key:?}\n");
        let file = self.scratch.path().join(format!("{node}.toml"));
        fs::write(&file, text).expect("written");
        file.to_str().expect("a path").into()
    }

    fn init(&self, node: &str) -> (i32, String) {
        let data = self.data(node);
        let output =
            firstcome(&["cluster", "init", "--cluster", &self.file(node), "--data", data.to_str().expect("a path")]);
        let (code, lines) = end_of(&output);
        (code, if code == 0 { String::from_utf8_lossy(&output.stdout).into_owned() } else { lines })
    }

    /// The exit code of `status`, its JSON and its lines on standard error.
    fn status(&self, node: &str) -> (i32, Value, String) {
        let output = firstcome(&["cluster", "status", "--json", "--cluster", &self.file(node)]);
        let (code, lines) = end_of(&output);
        (code, serde_json::from_slice(&output.stdout).unwrap_or_default(), lines)
    }

    /// Starts a node that must end by itself.
    fn refused(&self, node: &str) -> (i32, String) {
        let (data, file) = (self.data(node), self.file(node));
        let mut arguments = vec!["serve", "--data", data.to_str().expect("a path"), "--cluster", &file];
        for flag in ["--public", "--admin", "--wire"] {
            arguments.extend([flag, "127.0.0.1:0"]);
        }
        end_of(&firstcome(&arguments))
    }

    fn node(&self, node: &str) -> Process {
        Process::start(&self.data(node), &[("FIRSTCOME__CLUSTER__FILE", self.file(node))])
    }

    /// Copies a database on which no server runs.
    fn copy(&self, from: &str, to: &str) {
        copy_directory(&self.data(from), &self.data(to));
    }
}

/// Ends a server in order.
fn end(mut server: Process) {
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn a_log_is_made_once_from_a_database_and_nodes_of_other_databases_are_refused() {
    let drill = Drill::start();

    // A node before its log.
    let (code, lines) = drill.refused("n1");
    assert!(code == 78 && lines.lines().count() == 1 && lines.contains("cluster init --cluster"), "{code}: {lines}");
    let (code, shown, lines) = drill.status("n1");
    assert!(code == 1 && lines.contains("there is no log yet"), "{code}: {lines}");
    assert_eq!((shown["members"].as_array().map(Vec::len), &shown["head"]), (Some(3), &Value::Null));

    // What is in the way of a log.
    let (code, lines) = drill.init("none");
    assert!(code == 66 && lines.contains("there is no database") && !drill.data("none").exists(), "{code}: {lines}");
    let running = Process::start(&drill.data("n1"), &[]);
    let (code, lines) = drill.init("n1");
    assert!(code == 73 && lines.contains("process"), "{code}: {lines}");
    end(running);

    let (code, lines) = drill.init("n1");
    assert!(
        code == 0 && lines.contains("/firstcome/shop/0/") && lines.contains("firstcome serve --cluster"),
        "{lines}"
    );
    let (code, lines) = drill.init("n1");
    assert!(code == 64 && lines.contains("a log of this database"), "{code}: {lines}");
    end(Process::start(&drill.data("other"), &[]));
    let (code, lines) = drill.init("other");
    assert!(code == 64 && lines.contains("a log of another database"), "{code}: {lines}");

    // Nodes of other databases, and without one.
    let (code, lines) = drill.refused("other");
    assert!(code == 78 && lines.contains("copy of another node's"), "{code}: {lines}");
    let (code, lines) = drill.refused("empty");
    assert!(code == 66 && lines.contains("has no database"), "{code}: {lines}");
    assert!(!drill.data("empty").join("firstcome.db").exists(), "no database was made");

    // Two nodes, and a third one of a name that is alive.
    drill.copy("n1", "n2");
    let (_one, _two) = (drill.node("n1"), drill.node("n2"));
    let shown = drill.await_order(2);
    assert!(shown["leader"]["public_url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{shown}");
    let text = firstcome(&["cluster", "status", "--cluster", &drill.file("n1")]);
    println!("{}", String::from_utf8_lossy(&text.stdout));
    copy_directory(&drill.data("other"), &drill.data("again"));
    let file = fs::read_to_string(drill.file("n1")).expect("read");
    fs::write(drill.scratch.path().join("again.toml"), file).expect("written");
    let again = drill.scratch.path().join("again.toml");
    let data = drill.data("again");
    let arguments = ["serve", "--data", data.to_str().expect("a path"), "--cluster", again.to_str().expect("a path")];
    let listen = ["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"];
    let (code, lines) = end_of(&firstcome(&[&arguments[..], &listen].concat()));
    assert!(code == 78 && lines.contains("a process of this name is alive"), "{code}: {lines}");
    assert!(lines.contains("copy of another node's"), "all at once: {lines}");
}

#[test]
fn a_node_with_another_key_and_one_whose_entries_etcd_lost_do_not_start() {
    let mut drill = Drill::start();
    assert_eq!(drill.init("n1").0, 0);
    drill.copy("n1", "before");
    let node = drill.node("n1");
    drill.await_order(1);
    end(node);
    assert_eq!(drill.status("n1").1["nodes"], Value::Array(Vec::new()), "it may start again at once");

    let key = drill.scratch.path().join("cluster.key");
    let kept = fs::read(&key).expect("read");
    fs::write(&key, firstcome(&["cluster", "key"]).stdout).expect("written");
    let (code, lines) = drill.refused("n1");
    assert!(
        code == 78 && lines.lines().count() == 1 && lines.contains("is not the key of this log"),
        "{code}: {lines}"
    );
    fs::write(&key, kept).expect("written");

    // etcd has lost everything, and a log is made from an old copy: the node's file is the better witness.
    drill.etcd = Etcd::start(3);
    drill.await_quorum();
    let (code, lines) = drill.init("n1");
    assert!(code == 64 && lines.contains("was a node's of a log"), "{code}: {lines}");
    assert_eq!(drill.init("before").0, 0);
    let (code, lines) = drill.refused("n1");
    assert!(code == 65 && lines.contains("etcd lost entries"), "{code}: {lines}");
}

#[test]
fn a_file_of_a_cluster_with_mistakes_shows_all_of_them_to_verbs_and_to_a_start() {
    let scratch = tempfile::tempdir().expect("scratch");
    let file = scratch.path().join("cluster.toml");
    fs::write(&file, "cluster = \"Shop\"\nmembers = []\nkey_file = \"/no/such/cluster.key\"\ncolour = 1\n")
        .expect("written");
    let (file, data) = (file.to_str().expect("a path"), scratch.path().join("data"));
    let data = data.to_str().expect("a path");
    for arguments in [
        &["cluster", "status", "--cluster", file][..],
        &["cluster", "init", "--cluster", file, "--data", data],
        &["serve", "--public", "127.0.0.1:0", "--durability", "full", "--cluster", file, "--data", data],
    ] {
        let (code, lines) = end_of(&firstcome(arguments));
        assert_eq!(code, 64, "{lines}");
        for part in ["cluster = ", "node (", "members = ", "no such file: key_file", "colour ("] {
            let found = lines.lines().filter(|line| line.starts_with(&format!("firstcome: {part}"))).count();
            assert_eq!(found, 1, "{part}: {lines}");
        }
        assert_eq!(lines.contains("writer.durability must not be set"), arguments[0] == "serve", "{lines}");
    }
    assert!(!Path::new(data).exists(), "nothing was made");
}
