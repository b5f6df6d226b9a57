//! Writers as nodes of a cluster over a simulated log: one thread each for the writer and for its way to the log.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

#[path = "../file_rows/mod.rs"]
mod file_rows;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{Head, LogAnswer, LogJob, LogLanes, LogReply, LogRequest, NodeSettings};
use firstcome::sqlite::{self, Access};
use firstcome::store::chain::ChainLink;
use firstcome::store::{Durability, Store};
use firstcome::types::Seq;
use firstcome::writer::clock::{boot_clock, wall_clock};
use firstcome::writer::{NodeRole, NodeView, ReplicaParts, WriterExit, WriterHandle, WriterOptions};
use parking_lot::Mutex;

use self::file_rows::rows_of_tables_but;
use crate::writing::{options, prepare, run};

/// Longest wait for what must happen.
const WAIT: Duration = Duration::from_secs(60);
const LEASE_MS: u64 = 2000;

/// The way between a node and the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    Whole,
    /// Nothing is carried out.
    Cut,
    /// So many requests are carried out, and their answers are lost.
    LosesAnswers(u32),
}

pub struct Replica {
    pub handle: WriterHandle,
    network: Arc<Mutex<Network>>,
    thread: Option<JoinHandle<WriterExit>>,
}

impl Replica {
    pub fn connect(&self, network: Network) {
        *self.network.lock() = network;
    }
}

pub struct Replicas {
    pub nodes: Vec<Replica>,
    log: Arc<Mutex<SimulatedLog>>,
    scratch: tempfile::TempDir,
}

/// Carries the requests of one node out, one after another.
fn lanes(log: &Arc<Mutex<SimulatedLog>>, network: &Arc<Mutex<Network>>) -> LogLanes {
    let (jobs, taken) = unbounded::<LogJob>();
    let (answered, replies) = unbounded();
    let (log, network) = (Arc::clone(log), Arc::clone(network));
    std::thread::spawn(move || {
        for LogJob { lane, number, request } in taken {
            let mut way = network.lock();
            let answer = match *way {
                Network::Cut => LogAnswer::Unknown,
                Network::Whole => log.lock().carry_out(&request, boot_clock().0),
                Network::LosesAnswers(left) => {
                    let answer = log.lock().carry_out(&request, boot_clock().0);
                    let is_lost = left > 0 && matches!(request, LogRequest::Append { .. } | LogRequest::Head { .. });
                    *way = Network::LosesAnswers(left.saturating_sub(u32::from(is_lost)));
                    if is_lost { LogAnswer::Unknown } else { answer }
                }
            };
            drop(way);
            if answer == LogAnswer::Unknown {
                // A request that is given up takes its time.
                std::thread::park_timeout(Duration::from_millis(20));
            }
            if answered.send(LogReply { lane, number, answer }).is_err() {
                return;
            }
        }
    });
    let submit = move |job| {
        let _ended = jobs.send(job);
    };
    LogLanes { submit: Box::new(submit), replies }
}

fn directory(scratch: &Path, node: usize) -> std::path::PathBuf {
    scratch.join(format!("n{node}"))
}

/// Makes the nodes' directories: one file, and copies of it.
fn make_files(scratch: &Path, nodes: usize) -> Head {
    let store = Store::open(&directory(scratch, 0), wall_clock()).expect("made");
    for node in 1..nodes {
        let copy = directory(scratch, node);
        std::fs::create_dir(&copy).expect("made");
        let path = copy.join("firstcome.db");
        store.connection.execute("VACUUM INTO ?1", [path.to_str().expect("a path")]).expect("copied");
    }
    Head::before_all(Seq::ZERO, ChainLink::START)
}

impl Replicas {
    pub fn start(count: usize) -> Replicas {
        let scratch = tempfile::tempdir().expect("scratch");
        let head = make_files(scratch.path(), count);
        let log = Arc::new(Mutex::new(SimulatedLog::new(head, 4096, LEASE_MS)));
        let nodes = (0..count).map(|node| start(scratch.path(), &log, node)).collect();
        Replicas { nodes, log, scratch }
    }

    /// Waits for a leader.
    pub fn leader(&self) -> usize {
        self.leader_besides(usize::MAX)
    }

    /// Waits for a leader that is another node than `one`.
    pub fn leader_besides(&self, one: usize) -> usize {
        let leads = |node: &Replica| node.handle.node.as_ref().is_some_and(|view| view.role() == NodeRole::Leader);
        until("a leader", || self.nodes.iter().enumerate().position(|(position, node)| position != one && leads(node)))
    }

    /// Waits until all nodes that run have applied what the log has.
    pub fn settle(&self) {
        let head = self.log.lock().head();
        for node in self.nodes.iter().filter(|node| node.thread.is_some()) {
            until("the entries", || (node.handle.node.as_ref()?.applied() >= head.number).then_some(()));
        }
    }

    pub fn directory(&self, node: usize) -> std::path::PathBuf {
        directory(self.scratch.path(), node)
    }

    pub fn backup_of_the_log(&self) -> SimulatedLog {
        self.log.lock().clone()
    }

    pub fn restore_the_log(&self, backup: SimulatedLog) {
        *self.log.lock() = backup;
    }

    /// A node says in the log that it has the entries up to this one.
    pub fn announce(&self, number: u64) {
        self.log.lock().announce(number);
    }

    /// Waits for the end of a node by a fault. Returns its line and exit code.
    pub fn fault(&mut self, node: usize) -> (String, u8) {
        let exit = self.nodes[node].thread.take().expect("it runs").join().expect("the writer's thread");
        let WriterExit::Fault { message, exit_code } = exit else { panic!("{exit:?}") };
        (message, exit_code)
    }

    /// Changes a row of a node's file behind its back.
    pub fn change(&self, node: usize, sql: &str) {
        let path = directory(self.scratch.path(), node).join("firstcome.db");
        let other = sqlite::open(&path, Access::Write).expect("opened");
        other.execute_batch(sql).expect("changed");
    }

    pub fn stop(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.handle.stop();
        let exit = node.thread.take().expect("it runs").join().expect("the writer's thread");
        assert!(matches!(exit, WriterExit::Orderly), "{exit:?}");
    }

    /// Stops all nodes once they have everything, and compares their files.
    pub fn end_with_equal_files(mut self) {
        self.settle();
        let running: Vec<_> = (0..self.nodes.len()).filter(|node| self.nodes[*node].thread.is_some()).collect();
        // The leader first: what another one appends then has no figures of sales.
        let leader = self.leader();
        self.stop(leader);
        self.settle();
        for node in running.iter().copied().filter(|node| *node != leader) {
            self.stop(node);
        }
        let files: Vec<_> = running.iter().map(|node| rows(&directory(self.scratch.path(), *node))).collect();
        for other in &files[1..] {
            assert_eq!(other, &files[0]);
        }
    }
}

fn start(scratch: &Path, log: &Arc<Mutex<SimulatedLog>>, node: usize) -> Replica {
    let options = WriterOptions { durability: Durability::Interval(Duration::from_secs(1)), ..options() };
    let (mut writer, handle) = prepare(&directory(scratch, node), options);
    let network = Arc::new(Mutex::new(Network::Whole));
    let view = Arc::new(NodeView::new(format!("n{node}")));
    let settings = NodeSettings { lease_ms: LEASE_MS, silence_ms: 1500 + 200 * node as u64, ..NodeSettings::default() };
    let handle = writer.replicate(ReplicaParts { lanes: lanes(log, &network), view, settings }, handle);
    Replica { handle, network, thread: Some(run(writer)) }
}

/// Waits for a condition, and returns its value.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WAIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "no {what} in {WAIT:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The rows of every table but those that each node has for itself.
fn rows(directory: &Path) -> Vec<String> {
    let connection = sqlite::open(&directory.join("firstcome.db"), Access::Read).expect("opened");
    rows_of_tables_but(&connection, &["meta", "log_position"])
}
