//! Three members of etcd on this machine: Debian's package `etcd-server`.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub struct Etcd {
    directory: tempfile::TempDir,
    clients: Vec<u16>,
    peers: Vec<u16>,
    /// The ports at which other members reach each one: its own, unless something stands between them.
    advertised: Vec<u16>,
    members: Vec<Option<Child>>,
    /// Scheme of the clients' URLs, and further flags of every member.
    scheme: &'static str,
    more: Vec<String>,
}

/// Members elect another leader as soon as those of `scripts/cluster/etcd.service` do.
pub const ELECTIONS: [&str; 4] = ["--heartbeat-interval", "50", "--election-timeout", "500"];

/// Ports of members: below those that a system gives to connections and to listeners without a port of their own, so that
/// none of these takes the port of a member that does not run yet, or is dead for a while.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Ports of [`PORTS`] that are free now, all different. Processes of one machine begin at different places.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let places = u32::from(PORTS.end - PORTS.start);
    let begin = std::process::id().wrapping_mul(97);
    let next = || {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % places;
        PORTS.start + u16::try_from(place).expect("below the number of ports")
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(next).take(places as usize).filter(is_free).take(count).collect()
}

impl Etcd {
    pub fn start(count: usize) -> Etcd {
        Etcd::start_with(count, "http", &[])
    }

    /// Starts members that demand certificates of their clients: `ca.crt`, `member.crt` and `member.key` of a directory.
    pub fn start_tls(count: usize, files: &Path) -> Etcd {
        let file = |name: &str| files.join(name).display().to_string();
        let (ca, certificate, key) = (file("ca.crt"), file("member.crt"), file("member.key"));
        let flags = ["--client-cert-auth", "--trusted-ca-file", &ca, "--cert-file", &certificate, "--key-file", &key];
        Etcd::start_with(count, "https", &flags)
    }

    /// Gives members that do not run yet further flags.
    pub fn add_flags(&mut self, flags: &[&str]) {
        self.more.extend(flags.iter().map(ToString::to_string));
    }

    /// Starts members with further flags.
    pub fn start_with(count: usize, scheme: &'static str, more: &[&str]) -> Etcd {
        let mut etcd = Etcd::prepare(count, |peer| peer);
        etcd.scheme = scheme;
        etcd.add_flags(more);
        etcd.run_all();
        etcd
    }

    /// Prepares members that do not run yet. Each is reached by the others at the address that stands for its own.
    pub fn prepare(count: usize, mut address_for_others: impl FnMut(SocketAddr) -> SocketAddr) -> Etcd {
        let directory = tempfile::tempdir().expect("scratch");
        let mut clients = free_ports(2 * count);
        let peers = clients.split_off(count);
        let advertised = peers.iter().map(|port| address_for_others(([127, 0, 0, 1], *port).into()).port()).collect();
        let members = (0..count).map(|_| None).collect();
        Etcd { directory, clients, peers, advertised, members, scheme: "http", more: Vec::new() }
    }

    /// Starts all members, again if they ran before.
    pub fn run_all(&mut self) {
        (0..self.members.len()).for_each(|member| self.run(member));
    }

    /// Waits until every member answers. A quorum hides a member that could not start until a fault takes another one.
    pub fn wait_for_all(&mut self) {
        for member in 0..self.members.len() {
            self.wait_for(member);
        }
    }

    /// Starts a member, again if it ran before.
    pub fn run(&mut self, member: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let all = self.advertised.iter().enumerate().map(|(at, port)| format!("m{at}={}", url(*port)));
        let (client, peer) = (self.url(member), url(self.peers[member]));
        let advertised = url(self.advertised[member]);
        let process = Command::new("etcd")
            .args(["--name", &format!("m{member}"), "--log-level", "error", "--snapshot-count", "2000"])
            .arg("--data-dir")
            .arg(self.data(member))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &advertised])
            .args(["--initial-cluster", &all.collect::<Vec<_>>().join(",")])
            .args(&self.more)
            .stdout(Stdio::null())
            .spawn()
            .expect("etcd is missing: apt-get install etcd-server");
        self.members[member] = Some(process);
    }

    /// Kills a member; its data stay.
    pub fn kill(&mut self, member: usize) {
        let mut process = self.members[member].take().expect("it runs");
        process.kill().expect("killed");
        process.wait().expect("ended");
    }

    pub fn signal(&self, member: usize, signal: Signal) {
        let process = self.members[member].as_ref().expect("it runs");
        kill_process(Pid::from_child(process), signal).expect("our own process");
    }

    /// Returns whether a member that was started has ended by itself.
    pub fn has_ended(&mut self, member: usize) -> bool {
        self.members[member].as_mut().is_some_and(|process| process.try_wait().expect("our own process").is_some())
    }

    /// Waits for a leader among the members, and returns it.
    pub fn leader(&self) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        loop {
            for member in 0..self.members.len() {
                let found = runtime.block_on(async {
                    let asked = async {
                        let mut client = etcd_client::Client::connect([self.url(member)], None).await?;
                        client.status().await
                    };
                    tokio::time::timeout(Duration::from_millis(500), asked).await
                });
                if let Ok(Ok(found)) = found
                    && found.header().is_some_and(|header| header.member_id() == found.leader())
                {
                    return member;
                }
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until a member answers, and has what the majority has.
    ///
    /// # Panics
    /// If its process has ended.
    pub fn wait_for(&mut self, member: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = self.url(member);
        let answers = async || {
            let mut client = etcd_client::Client::connect([&url], None).await?;
            client.get("any", None).await
        };
        while !runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(1), answers()).await.is_ok_and(|answer| answer.is_ok())
        }) {
            assert!(!self.has_ended(member), "member m{member} of etcd has ended by itself");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Kills all members and takes their data away; they start again, as new ones.
    pub fn lose_everything(&mut self) {
        let count = self.members.len();
        (0..count).for_each(|member| self.kill(member));
        (0..count).for_each(|member| std::fs::remove_dir_all(self.data(member)).expect("removed"));
        (0..count).for_each(|member| self.run(member));
    }

    /// The members' URLs, from this one on.
    pub fn urls_from(&self, first: usize) -> Vec<String> {
        let count = self.clients.len();
        (0..count).map(|at| self.url((first + at) % count)).collect()
    }

    fn url(&self, member: usize) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.clients[member])
    }

    /// The directory of a member's data.
    pub fn data(&self, member: usize) -> PathBuf {
        self.directory.path().join(format!("m{member}"))
    }

    /// Returns whether a file of a member has these bytes: its keys and values, its write-ahead log, a snapshot.
    pub fn holds(&self, member: usize, text: &[u8]) -> bool {
        let mut directories = vec![self.data(member)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
                if entry.path().is_dir() {
                    directories.push(entry.path());
                } else {
                    let mut bytes = std::fs::read(entry.path()).expect("a file");
                    // Most of a log that is allocated in advance.
                    while bytes.ends_with(&[0; 4096]) {
                        bytes.truncate(bytes.len() - 4096);
                    }
                    if bytes.windows(text.len()).any(|part| part == text) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// The file of a member's keys and values.
    pub fn database(&self, member: usize) -> PathBuf {
        self.data(member).join("member/snap/db")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for process in self.members.iter_mut().flatten() {
            let _ended = process.kill();
            let _ended = process.wait();
        }
    }
}
