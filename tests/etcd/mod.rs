//! Three members of etcd on this machine: Debian's package `etcd-server`.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Etcd {
    directory: tempfile::TempDir,
    clients: Vec<u16>,
    peers: Vec<u16>,
    members: Vec<Option<Child>>,
}

/// Ports that are free now, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    held.iter().map(|listener| listener.local_addr().expect("bound").port()).collect()
}

impl Etcd {
    pub fn start(count: usize) -> Etcd {
        let directory = tempfile::tempdir().expect("scratch");
        let mut ports = free_ports(2 * count);
        let peers = ports.split_off(count);
        let mut etcd = Etcd { directory, clients: ports, peers, members: (0..count).map(|_| None).collect() };
        (0..count).for_each(|member| etcd.run(member));
        etcd
    }

    /// Starts a member, again if it ran before.
    pub fn run(&mut self, member: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let all = self.peers.iter().enumerate().map(|(at, port)| format!("m{at}={}", url(*port)));
        let (client, peer) = (url(self.clients[member]), url(self.peers[member]));
        let process = Command::new("etcd")
            .args(["--name", &format!("m{member}"), "--log-level", "error", "--snapshot-count", "2000"])
            .arg("--data-dir")
            .arg(self.data(member))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &all.collect::<Vec<_>>().join(",")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
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

    /// The members' URLs, from this one on.
    pub fn urls_from(&self, first: usize) -> Vec<String> {
        let count = self.clients.len();
        (0..count).map(|at| format!("http://127.0.0.1:{}", self.clients[(first + at) % count])).collect()
    }

    fn data(&self, member: usize) -> PathBuf {
        self.directory.path().join(format!("m{member}"))
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
