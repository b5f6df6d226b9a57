//! Nodes as processes of their own over members of etcd, and buyers who note every answer.

#![allow(dead_code, unused_imports, reason = "each test uses its part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a helper cares for one answer")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

mod buyers;
#[path = "../file_rows/mod.rs"]
mod file_rows;
mod proxy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use etcd_client::ConnectOptions;
use firstcome::log::etcd::{EtcdLog, EtcdPlace, SLOTS};
use firstcome::log::meta::LogMeta;
use firstcome::log::seal::Seal;
use firstcome::log::{Entry, Head, LogAnswer, LogRequest};
use firstcome::sqlite::{self, Access};
use firstcome::store::chain::ChainLink;
use firstcome::store::{Store, log_position};
use firstcome::types::Seq;
use firstcome::writer::clock::wall_clock;
use rustix::process::Signal;

pub use self::buyers::{Buyers, check};
use self::file_rows::rows_of_tables_but;
use self::proxy::Proxy;
pub use self::proxy::Way;
use crate::etcd::{ELECTIONS, Etcd};
use crate::process::{Client, Process, wait_until};

/// The key of entries of all tests.
const KEY: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

pub struct Nodes {
    pub etcd: Etcd,
    pub nodes: Vec<Option<Process>>,
    /// The ways of each node to the members.
    ways: Vec<Vec<Proxy>>,
    /// The ways of other members to each one.
    peers: Vec<Proxy>,
    /// Settings of every node.
    settings: Vec<(&'static str, String)>,
    scratch: tempfile::TempDir,
}

impl Nodes {
    /// Starts three members and so many nodes of one new file.
    pub fn start(count: usize) -> Nodes {
        Nodes::start_with_ring(count, SLOTS)
    }

    /// The same, over a log of so many slots.
    pub fn start_with_ring(count: usize, slots: u64) -> Nodes {
        Nodes::start_prepared(count, slots, &[], |_, _| {})
    }

    /// The same, with settings of every node, and after what the test does with the directories of nodes and of members.
    pub fn start_prepared(
        count: usize,
        slots: u64,
        settings: &[(&'static str, &str)],
        prepare: impl FnOnce(&[PathBuf], &[PathBuf]),
    ) -> Nodes {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut peers = Vec::new();
        let mut etcd = Etcd::prepare(3, |peer| {
            peers.push(Proxy::start(peer));
            peers[peers.len() - 1].address
        });
        let directories: Vec<PathBuf> = (0..count).map(|node| directory(scratch.path(), node)).collect();
        let members: Vec<PathBuf> = (0..3).map(|member| etcd.data(member)).collect();
        prepare(&directories, &members);
        etcd.add_flags(&ELECTIONS);
        etcd.run_all();
        make_files(scratch.path(), count, &etcd, slots);
        etcd.wait_for_all();
        let members = || etcd.urls_from(0).into_iter().map(|url| address_of(&url).expect("an address"));
        // One more node may join.
        let ways = (0..=count).map(|_| members().map(Proxy::start).collect()).collect();
        let settings = settings.iter().map(|(key, value)| (*key, (*value).to_string())).collect();
        let mut nodes = Nodes { nodes: Vec::new(), ways, peers, settings, etcd, scratch };
        for node in 0..count {
            nodes.nodes.push(None);
            nodes.run(node);
        }
        nodes
    }

    pub fn directory(&self, node: usize) -> PathBuf {
        directory(self.scratch.path(), node)
    }

    /// Starts a node, again if it ran before.
    pub fn run(&mut self, node: usize) {
        self.nodes[node] = Some(Process::start(&self.directory(node), &self.settings(node)));
    }

    /// Starts a node that may end instead; its log goes to a file.
    pub fn run_or_end(&mut self, node: usize, log: &Path) -> Result<(), ExitStatus> {
        let command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        let log = std::fs::File::create(log).expect("made").into();
        let started = Process::start_or_end(command, &self.directory(node), &self.settings(node), log)?;
        self.nodes[node] = Some(started);
        Ok(())
    }

    fn settings(&self, node: usize) -> Vec<(&'static str, String)> {
        let mut settings = self.settings.clone();
        settings.push(("FIRSTCOME__CLUSTER__FILE", self.file(node)));
        settings
    }

    /// Writes the file of a node's cluster, and returns its path.
    pub fn file(&self, node: usize) -> String {
        let file = self.scratch.path().join(format!("n{node}.toml"));
        let mut members: Vec<String> =
            self.ways[node].iter().map(|proxy| format!("http://{}", proxy.address)).collect();
        members.rotate_left(node % 3);
        let text = format!(
            "test = true\ncluster = \"drill\"\nnode = \"n{node}\"\nmembers = {members:?}\nkey_file = {:?}\n",
            key_file(self.scratch.path())
        );
        std::fs::write(&file, text).expect("written");
        file.to_str().expect("a path").to_string()
    }

    /// Makes a log of another file, which is empty.
    pub fn create_log(&self, cluster: &str, file_id: [u8; 16]) {
        create_log(&self.etcd, cluster, file_id, SLOTS);
    }

    /// Number of the last entry of the log.
    pub fn head(&self) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let log = open_log(&self.etcd, "drill", SLOTS).await;
            loop {
                if let LogAnswer::Head(head) = log.carry_out(&LogRequest::Head { elsewhere: false }).await {
                    return head.number;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }

    /// Returns whether a member has the entry of a number, undamaged.
    pub fn has_entry(&self, member: usize, number: u64) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let urls = &self.etcd.urls_from(member)[..1];
            let log = open_log_at(urls, "drill", SLOTS).await;
            let answer = log.carry_out(&LogRequest::Read { number, elsewhere: false }).await;
            let LogAnswer::Entry(bytes) = answer else { panic!("{answer:?}") };
            Entry::decode(&bytes).is_ok_and(|entry| entry.number == number)
        })
    }

    /// A directory of the test's own.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// From now on no file of a node may grow beyond its longest one.
    pub fn fill_disk(&self, node: usize) {
        let files = std::fs::read_dir(self.directory(node)).expect("a directory");
        let longest = files.map(|file| file.expect("a file").metadata().expect("its length").len()).max();
        self.node(node).limit_file_size(longest.expect("files"));
    }

    /// Sets the ways of a node to all members.
    pub fn connect(&self, node: usize, way: Way) {
        self.ways[node].iter().for_each(|proxy| proxy.set(way));
    }

    /// Sets the ways of the other members to a member: what it sends them are answers there.
    pub fn connect_peers(&self, member: usize, way: Way) {
        self.peers[member].set(way);
    }

    pub fn node(&self, node: usize) -> &Process {
        self.nodes[node].as_ref().expect("it runs")
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").kill();
    }

    /// Waits until one of the nodes takes orders, and returns it.
    pub fn leader(&self) -> usize {
        wait_until("a leader", || self.a_leader().is_some());
        self.a_leader().unwrap_or_else(|| self.leader())
    }

    /// Waits until one of the nodes takes orders, and returns another one that runs.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        let runs = |node: &usize| *node != leader && self.nodes[*node].is_some();
        (0..self.nodes.len()).find(runs).expect("a second node")
    }

    /// Returns whether a node follows, and its state is not old.
    pub fn follows(&self, node: usize) -> bool {
        let Ok(mut client) = Client::connect(self.node(node).admin) else { return false };
        client.get("/readyz?role=follower").is_ok_and(|answer| answer.status == 200)
    }

    fn a_leader(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|node| self.leads(*node))
    }

    /// Returns whether a node takes orders now.
    pub fn leads(&self, node: usize) -> bool {
        self.nodes[node].as_ref().is_some_and(|process| leads(process.admin))
    }

    /// Stops all nodes that run, in order, the leader first: what another one appends then has no events. Returns their
    /// directories.
    pub fn stop_all(&mut self, leader: usize) -> Vec<PathBuf> {
        let mut directories = vec![self.directory(leader)];
        self.stop(leader);
        for node in (0..self.nodes.len()).filter(|node| *node != leader) {
            if self.nodes[node].is_some() {
                let directory = self.directory(node);
                wait_until("the entries", || position(&directory) >= position(&directories[0]));
                self.stop(node);
                directories.push(directory);
            }
        }
        directories
    }

    /// Stops a node in order.
    pub fn stop(&mut self, node: usize) {
        let mut process = self.nodes[node].take().expect("it runs");
        process.signal(Signal::TERM);
        let status = process.wait();
        assert!(status.success(), "n{node}: {status}");
    }

    pub fn public(&self) -> Vec<SocketAddr> {
        self.nodes.iter().flatten().map(|process| process.public).collect()
    }
}

/// Returns whether a node leads, and its lease is valid.
fn leads(admin: SocketAddr) -> bool {
    let Ok(mut client) = Client::connect(admin) else { return false };
    client.get("/readyz?role=leader").is_ok_and(|answer| answer.status == 200)
}

fn directory(scratch: &Path, node: usize) -> PathBuf {
    scratch.join(format!("n{node}"))
}

fn key_file(scratch: &Path) -> PathBuf {
    scratch.join("key")
}

/// Makes a file and its copies, and the log of it.
fn make_files(scratch: &Path, count: usize, etcd: &Etcd, slots: u64) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = std::fs::OpenOptions::new();
    let mut key = key.create(true).write(true).truncate(true).mode(0o600).open(key_file(scratch)).expect("made");
    std::io::Write::write_all(&mut key, KEY.as_bytes()).expect("written");
    let store = Store::open(&directory(scratch, 0), wall_clock()).expect("made");
    for node in 1..count {
        std::fs::create_dir_all(directory(scratch, node)).expect("made");
        let path = directory(scratch, node).join("firstcome.db");
        store.connection.execute("VACUUM INTO ?1", [path.to_str().expect("a path")]).expect("copied");
    }
    create_log(etcd, "drill", store.file_id, slots);
}

/// Makes the log of a file that is empty.
fn create_log(etcd: &Etcd, cluster: &str, file_id: [u8; 16], slots: u64) {
    let seal = Seal::parse(KEY).expect("a key");
    let (head, meta) = (Head::before_all(Seq::ZERO, ChainLink::START), LogMeta::new(&file_id, slots, &seal));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let log = open_log(etcd, cluster, slots).await;
        let until = Instant::now() + Duration::from_secs(30);
        while log.create(head, &meta).await.is_err() {
            assert!(Instant::now() < until, "no leader among the members");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

async fn open_log(etcd: &Etcd, cluster: &str, slots: u64) -> EtcdLog {
    open_log_at(&etcd.urls_from(0), cluster, slots).await
}

async fn open_log_at(urls: &[String], cluster: &str, slots: u64) -> EtcdLog {
    let place = EtcdPlace { prefix: format!("/firstcome/{cluster}/0/"), node: "init".into(), slots, lease_seconds: 2 };
    let seal = Seal::parse(KEY).expect("a key");
    EtcdLog::connect(urls, ConnectOptions::new(), place, seal).await.expect("URLs")
}

/// Returns the host and port of a URL.
pub fn address_of(url: &str) -> Option<SocketAddr> {
    url.split_once("//")?.1.split('/').next()?.parse().ok()
}

/// Waits until the files of two nodes are at the same entry, and compares the rows of their tables.
pub fn assert_equal_files(directories: &[PathBuf]) {
    let rows: Vec<Vec<String>> = directories.iter().map(|directory| rows(directory)).collect();
    for (directory, other) in directories.iter().zip(&rows) {
        assert!(other == &rows[0], "{} at {:?} differs", directory.display(), position(directory));
    }
}

/// Number of the last entry in the file of a node.
pub fn position(directory: &Path) -> Option<u64> {
    let connection = sqlite::open(&directory.join("firstcome.db"), Access::Read).expect("opened");
    log_position::read(&connection).expect("read").map(|position| position.number)
}

/// The rows of every table but those that each node has for itself.
fn rows(directory: &Path) -> Vec<String> {
    let connection = sqlite::open(&directory.join("firstcome.db"), Access::Read).expect("opened");
    rows_of_tables_but(&connection, &["meta", "log_position", "drop_seconds"])
}
