//! The thread of a node's log: it carries the writer's requests to etcd, tells other nodes how far this one is, and reads
//! which node leads.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::ClusterConfig;
use crate::exit::{self, Exit};
use crate::log::announcement::{HandoverAnnouncement, LeaderAnnouncement, NodeAnnouncement};
use crate::log::etcd::{EtcdLog, LeaderKey};
use crate::log::etcd_connect::open_log;
use crate::log::meta::LogMeta;
use crate::log::{Lane, LogAnswer, LogJob, LogLanes, LogReply};
use crate::types::hex;
use crate::writer::{LeaderAddress, NodeView};

/// Interval at which the leader's addresses are read: half of the time in which a lease ends, so that redirects follow a
/// takeover soon.
const LEADER_EVERY: Duration = Duration::from_millis(500);
/// Interval at which the node tells others how far it is.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// Pause before the leader's key is watched again through another member.
const WATCH_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Time for which the others leave the leadership to the node that the last leader has named.
const SUCCESSOR_FIRST: Duration = Duration::from_millis(500);
/// Interval at which the room of the log is looked at: a sale of 40,000 orders/s fills 1 % of 4 GiB in 4 s.
const ROOM_EVERY: Duration = Duration::from_secs(2);
/// Longest time for the first answer of a log: three members may just be electing a leader.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(20);

/// The running thread.
pub(super) struct LogThread {
    stop: mpsc::UnboundedSender<LogJob>,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Ends the thread, after the writer.
    pub(super) fn stop(self) {
        // The writer's end of the channel is gone by then, and this is the last one.
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

/// Starts the thread, and waits until the log has answered.
///
/// # Errors
/// One line if the log cannot be reached, is another file's, or the thread could not start.
pub(super) fn start(
    cluster: &ClusterConfig,
    file_id: [u8; 16],
    view: Arc<NodeView>,
) -> Result<(LogLanes, LogThread), Exit> {
    let (jobs, taken) = mpsc::unbounded_channel();
    let (answered, replies) = unbounded();
    let (opened, is_open) = bounded(1);
    let cluster = cluster.clone();
    let thread = std::thread::Builder::new()
        .name("fc-node".into())
        .spawn(move || run(&cluster, file_id, &view, taken, answered, &opened))
        .map_err(|error| Exit::system(format!("the log's thread could not start: {error}")))?;
    await_opened(&is_open)?;
    let stop = jobs.clone();
    let submit = Box::new(move |job| {
        let _ended = jobs.send(job);
    });
    Ok((LogLanes { submit, replies }, LogThread { stop, thread }))
}

fn await_opened(is_open: &Receiver<Result<(), Exit>>) -> Result<(), Exit> {
    is_open.recv().unwrap_or_else(|_| Err(Exit::bug("the log's thread panicked")))
}

fn run(
    cluster: &ClusterConfig,
    file_id: [u8; 16],
    view: &Arc<NodeView>,
    jobs: mpsc::UnboundedReceiver<LogJob>,
    answered: Sender<LogReply>,
    opened: &Sender<Result<(), Exit>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _left = opened.send(Err(Exit::system(format!("no runtime for the log: {error}"))));
            return;
        }
    };
    runtime.block_on(async {
        match open(cluster, file_id).await {
            Ok(log) => {
                let _waits = opened.send(Ok(()));
                serve(&Arc::new(log), cluster, view, jobs, answered).await;
            }
            Err(exit) => {
                let _waits = opened.send(Err(exit));
            }
        }
    });
}

/// Opens the log, and compares the file that it is of with this node's.
async fn open(cluster: &ClusterConfig, file_id: [u8; 16]) -> Result<EtcdLog, Exit> {
    let usage = |error: crate::config::ConfigError| Exit::usage(error.to_string());
    let unknown_ring = open_log(cluster, crate::log::etcd::SLOTS).await.map_err(usage)?;
    let meta = read_meta(&unknown_ring, cluster).await?;
    let expected = hex::encode(&file_id);
    if meta.file_id != expected {
        return Err(Exit::bad_data(format!(
            "the log of cluster {} is of the file {}, and this node has the file {expected}: this directory is another \
             cluster's, or was not made with a copy of another node's file",
            cluster.cluster, meta.file_id
        )));
    }
    open_log(cluster, meta.slots).await.map_err(usage)
}

async fn read_meta(log: &EtcdLog, cluster: &ClusterConfig) -> Result<LogMeta, Exit> {
    let until = Instant::now() + FIRST_ANSWER_MAX;
    loop {
        let error = match log.meta().await {
            Ok(Some(meta)) => return Ok(meta),
            Ok(None) => {
                return Err(Exit::new(
                    exit::MISSING,
                    format!(
                        "cluster {} has no log under {}: make one with `firstcome cluster init`",
                        cluster.cluster,
                        cluster.prefix()
                    ),
                ));
            }
            Err(error) => error,
        };
        if Instant::now() >= until {
            let members = cluster.members.join(", ");
            return Err(Exit::unavailable(format!("no member of the log answers ({members}): {error}")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Carries requests out until the writer and [`LogThread`] are gone.
async fn serve(
    log: &Arc<EtcdLog>,
    cluster: &ClusterConfig,
    view: &Arc<NodeView>,
    mut jobs: mpsc::UnboundedReceiver<LogJob>,
    answered: Sender<LogReply>,
) {
    log.lead_as(address_of(cluster).to_bytes());
    let vacancy = Arc::new(Vacancy { node: cluster.node.clone(), successor: Mutex::default(), told: answered.clone() });
    drop(tokio::spawn(watch_leader(Arc::clone(log), Arc::clone(view), Arc::clone(&vacancy))));
    drop(tokio::spawn(watch_entries(Arc::clone(log))));
    drop(tokio::spawn(hand_over(Arc::clone(log), Arc::clone(view), address_of(cluster))));
    let mut look = every(LEADER_EVERY);
    let mut announce = every(ANNOUNCE_EVERY);
    let mut room = every(ROOM_EVERY);
    let quota_bytes = cluster.quota_bytes;
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => drop(tokio::spawn(carry_out(Arc::clone(log), job, answered.clone()))),
                None => return log.withdraw().await,
            },
            _ = look.tick() => drop(tokio::spawn(see_leader(Arc::clone(log), Arc::clone(view), Arc::clone(&vacancy)))),
            _ = room.tick() => drop(tokio::spawn(see_room(Arc::clone(log), Arc::clone(view), quota_bytes))),
            // The leadership goes to nodes that announce themselves.
            _ = announce.tick() => {
                if view.leaves() {
                    log.withdraw().await;
                    if !view.may_lead() {
                        view.set_left();
                    }
                    continue;
                }
                let node = NodeAnnouncement {
                    address: address_of(cluster),
                    applied: view.applied(),
                    synced_seq: view.synced(),
                    clock_offset_ms: view.clock_lead_ms(),
                };
                let log = Arc::clone(log);
                // A node that cannot announce itself still follows and leads.
                drop(tokio::spawn(async move { drop(log.announce(node.to_bytes()).await) }));
            }
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval_at(Instant::now(), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn carry_out(log: Arc<EtcdLog>, job: LogJob, answered: Sender<LogReply>) {
    let LogJob { lane, number, request } = job;
    let answer = log.carry_out(&request).await;
    let _ended = answered.send(LogReply { lane, number, answer });
    log.compact_if_due().await;
}

/// Reads which node leads, for redirects. What a member does not answer leaves the last answer.
async fn see_leader(log: Arc<EtcdLog>, view: Arc<NodeView>, vacancy: Arc<Vacancy>) {
    if let Ok(leader) = log.leader().await {
        if leader.is_none() {
            vacancy.tell();
        }
        view.set_leader(leader.map(|leader| {
            let LeaderAnnouncement { node, public_url, admin_url, wire } = leader;
            LeaderAddress { node, public_url, admin_url, wire }
        }));
    }
}

/// Watches the leader's key, so that a follower campaigns and redirects follow as soon as it changes.
async fn watch_leader(log: Arc<EtcdLog>, view: Arc<NodeView>, vacancy: Arc<Vacancy>) {
    loop {
        let changed = |key| {
            match key {
                LeaderKey::Put { successor } => vacancy.set_successor(successor),
                LeaderKey::Deleted => vacancy.tell(),
            }
            // A node that waits for an entry campaigns at once.
            log.end_waits();
            drop(tokio::spawn(see_leader(Arc::clone(&log), Arc::clone(&view), Arc::clone(&vacancy))));
        };
        log.watch_leader(changed).await;
        tokio::time::sleep(WATCH_AGAIN_AFTER).await;
    }
}

async fn watch_entries(log: Arc<EtcdLog>) {
    log.watch_entries().await;
}

/// Names the successor in the log for each handover that an operator asks for.
async fn hand_over(log: Arc<EtcdLog>, view: Arc<NodeView>, leader: LeaderAnnouncement) {
    loop {
        let to = view.handover().asked().await;
        let mut found = log.nodes().await.unwrap_or_default();
        found.retain(|node| node.address.node != leader.node && to.as_ref().is_none_or(|to| *to == node.address.node));
        let successor = found.into_iter().max_by_key(|node| node.applied).map(|node| node.address.node);
        let named = match successor {
            Some(successor) => {
                let announced = HandoverAnnouncement { leader: leader.clone(), successor };
                let is_named = log.name_successor(&announced).await.unwrap_or(false);
                is_named.then_some(announced.successor)
            }
            None => None,
        };
        view.handover().set_named(named);
    }
}

/// The news that no node leads: the writer gets it, unless the leadership goes to another node.
struct Vacancy {
    node: String,
    /// The node that the last leader has named, and when this one learned it.
    successor: Mutex<Option<(String, Instant)>>,
    told: Sender<LogReply>,
}

impl Vacancy {
    fn set_successor(&self, successor: Option<String>) {
        *self.successor.lock() = successor.map(|successor| (successor, Instant::now()));
    }

    fn tell(&self) {
        let named = self.successor.lock().as_ref().filter(|(_, at)| at.elapsed() < SUCCESSOR_FIRST).cloned();
        let number = match named {
            Some((successor, _)) if successor == self.node => LogReply::NAMED,
            Some(_) => return,
            None => 0,
        };
        let _ended = self.told.send(LogReply { lane: Lane::Vacancy, number, answer: LogAnswer::Gone });
    }
}

/// Compares the length of the log's database with its quota.
async fn see_room(log: Arc<EtcdLog>, view: Arc<NodeView>, quota_bytes: u64) {
    if let Ok(bytes) = log.database_bytes().await {
        let percent = bytes.saturating_mul(100) / quota_bytes.max(1);
        view.set_log_use(u8::try_from(percent).unwrap_or(u8::MAX));
    }
}

fn address_of(cluster: &ClusterConfig) -> LeaderAnnouncement {
    let crate::config::AdvertisedAddresses { public_url, admin_url, wire } = cluster.advertise.clone();
    LeaderAnnouncement { node: cluster.node.clone(), public_url, admin_url, wire }
}
