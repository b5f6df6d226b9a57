//! The log in etcd: one key for the head, a ring of keys for the entries, one key for the leader with a lease.
//!
//! One client per member and never the library's balancer, which keeps calling a member that is dead. A member is used until
//! it does not answer in time; then the next one is. A request without an answer is [`LogAnswer::Unknown`]: nothing is
//! tried again below the node, which alone knows how to find out.

mod nodes;
mod tail;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse,
};

use parking_lot::Mutex;

pub use self::nodes::LeaderKey;
use self::tail::Tail;
use super::meta::LogMeta;
use super::seal::Seal;
use super::{Head, LogAnswer, LogRequest, Tenure};

/// Longest time for a request, and for a connection: below the lease, so that a dead member is left before it ends.
const REQUEST_MAX: Duration = Duration::from_millis(800);

/// Longest time for a request that keeps the lease: another member is asked in time to keep it, if one does not answer.
const KEEP_ALIVE_MAX: Duration = Duration::from_millis(400);

/// Entries that the log keeps; older ones are overwritten. Nothing is deleted: compacting at a deletion loses revisions
/// (etcd#17780).
pub const SLOTS: u64 = 4096;

/// Appends between two compactions: what was overwritten takes room until then.
const COMPACT_EVERY: usize = 200;

/// Appends that are kept behind a compaction, for members and readers that are a little late. The revision at which a
/// compaction ends is that of an entry's put, never the newest and never a deletion's (etcd#17780).
const COMPACT_BEHIND: usize = 100;

/// A log in etcd. Requests may be under way at the same time: an append, and one that keeps the lease.
pub struct EtcdLog {
    members: Vec<Client>,
    /// Position of the member that is used.
    used: AtomicUsize,
    /// Position of the member that answered the last read.
    read_from: AtomicUsize,
    /// Members that were asked for another copy since, and did not answer.
    silent: AtomicUsize,
    prefix: String,
    node: String,
    slots: u64,
    lease_seconds: i64,
    seal: Seal,
    /// The lease of the last tenure of this node.
    lease: Mutex<Option<(Tenure, i64)>>,
    /// The lease of the node's announcement.
    announced: Mutex<Option<i64>>,
    /// The value of the leader's key in a tenure of this node.
    leader_value: Mutex<Vec<u8>>,
    /// Revisions of this node's appends since the last compaction, oldest first.
    appended: Mutex<VecDeque<i64>>,
    /// The newest entries, as a member told them by itself.
    tail: Tail,
}

/// The place of a log in etcd, and its bounds.
#[derive(Clone, Debug)]
pub struct EtcdPlace {
    /// The prefix of all keys, with a slash at its end: one per cluster and shard.
    pub prefix: String,
    /// The node's name, which the leader's key shows.
    pub node: String,
    pub slots: u64,
    /// Seconds for which a tenure lives without being kept.
    pub lease_seconds: i64,
}

impl EtcdLog {
    /// Prepares clients of these members; each connects when it is first used.
    ///
    /// # Errors
    /// If a member's URL or the TLS options are wrong, or there is no member.
    pub async fn connect(
        members: &[String],
        options: ConnectOptions,
        place: EtcdPlace,
        seal: Seal,
    ) -> Result<EtcdLog, Error> {
        if members.is_empty() {
            return Err(Error::InvalidArgs("no member of the log is named".into()));
        }
        let options = options.with_connect_timeout(REQUEST_MAX);
        let mut clients = Vec::with_capacity(members.len());
        for member in members {
            clients.push(Client::connect([member], Some(options.clone())).await?);
        }
        let EtcdPlace { prefix, node, slots, lease_seconds } = place;
        Ok(EtcdLog {
            members: clients,
            used: AtomicUsize::new(0),
            read_from: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
            prefix,
            slots,
            lease_seconds,
            seal,
            lease: Mutex::new(None),
            announced: Mutex::new(None),
            leader_value: Mutex::new(node.clone().into_bytes()),
            appended: Mutex::new(VecDeque::new()),
            tail: Tail::default(),
            node,
        })
    }

    /// Creates the log of a file after `head`, unless there is one. Returns whether it was created. Each member is asked once.
    ///
    /// # Errors
    /// The error of the last member that was asked, or [`Error::WatchError`] if it did not answer in time.
    pub async fn create(&self, head: Head, meta: &LogMeta) -> Result<bool, Error> {
        let mut last = Error::WatchError("no member answered in time".into());
        for _ in 0..self.members.len() {
            let (at, mut member) = self.member();
            match tokio::time::timeout(REQUEST_MAX, member.txn(creation(&self.prefix, head, meta))).await {
                Ok(Ok(answer)) => return Ok(answer.succeeded()),
                Ok(Err(error)) => last = error,
                Err(_) => {}
            }
            self.leave(at);
        }
        Err(last)
    }

    /// Reads the constants of the log. `None` if there is no log here.
    ///
    /// # Errors
    /// If the member that is used does not answer; the next one is used from then on.
    pub async fn meta(&self) -> Result<Option<LogMeta>, Error> {
        Ok(self.value(self.meta_key()).await?.and_then(|value| LogMeta::parse(&value)))
    }

    /// Reads the length of the database of the member that is used, in bytes: what etcd compares with its quota.
    ///
    /// # Errors
    /// If the member does not answer; the next one is used from then on.
    pub async fn database_bytes(&self) -> Result<u64, Error> {
        let status = self.in_time(async |mut member: Client| member.status().await).await?;
        Ok(u64::try_from(status.db_size()).unwrap_or(0))
    }

    /// Compacts what was overwritten, once enough was. A compaction that fails is made up for by the next one.
    pub async fn compact_if_due(&self) {
        let revision = {
            let mut appended = self.appended.lock();
            if appended.len() < COMPACT_EVERY + COMPACT_BEHIND {
                return;
            }
            appended.drain(..COMPACT_EVERY).next_back()
        };
        if let Some(revision) = revision {
            let compacted = self.in_time(async |mut member: Client| member.compact(revision, None).await.map(drop));
            let _next_time = compacted.await;
        }
    }

    async fn value(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        let found = self.in_time(async |mut member: Client| member.get(key.clone(), None).await).await?;
        Ok(found.kvs().first().map(|pair| pair.value().to_vec()))
    }

    /// Asks the member that is used, and leaves it if it does not answer in time.
    async fn in_time<T>(&self, ask: impl AsyncFnOnce(Client) -> Result<T, Error>) -> Result<T, Error> {
        let (at, member) = self.member();
        let answer = tokio::time::timeout(REQUEST_MAX, ask(member)).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::WatchError("no answer in time".into())));
        if answer.is_err() {
            self.leave(at);
        }
        answer
    }

    /// Carries out a request.
    pub async fn carry_out(&self, request: &LogRequest) -> LogAnswer {
        if let LogRequest::Await { number } = request {
            return self.await_entry(*number).await;
        }
        let is_doubted =
            matches!(request, LogRequest::Read { elsewhere: true, .. } | LogRequest::Head { elsewhere: true });
        let (at, member) = if is_doubted { self.another_reader() } else { self.member() };
        let longest = if matches!(request, LogRequest::KeepAlive { .. }) { KEEP_ALIVE_MAX } else { REQUEST_MAX };
        let answer = match tokio::time::timeout(longest, self.ask(member, request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Error::LeaseKeepAliveError(_))) => LogAnswer::Gone,
            Ok(Err(_)) | Err(_) => LogAnswer::Unknown,
        };
        if answer == LogAnswer::Unknown {
            self.leave(at);
            if is_doubted {
                self.silent.fetch_add(1, Ordering::Relaxed);
            }
        } else if matches!(request, LogRequest::Read { .. } | LogRequest::Head { .. }) {
            self.note_reader(at);
        }
        answer
    }

    async fn ask(&self, mut member: Client, request: &LogRequest) -> Result<LogAnswer, Error> {
        match request {
            LogRequest::Append { tenure, from, to, bytes } => {
                let sealed = self.seal.close(to.number, bytes);
                self.append(member, *tenure, from, to, sealed).await
            }
            LogRequest::Furthest => {
                let nodes = self.nodes().await?;
                Ok(LogAnswer::Furthest(nodes.iter().map(|node| node.applied).max().unwrap_or(0)))
            }
            LogRequest::Head { .. } => {
                let found = member.get(self.head_key(), None).await?;
                Ok(head_of(found.kvs()).map_or(LogAnswer::Unknown, LogAnswer::Head))
            }
            LogRequest::Read { number, .. } => {
                let found = self.slot(member, *number).await?;
                Ok(LogAnswer::Entry(self.entry_of(found.as_ref()).into()))
            }
            LogRequest::Await { number } => Ok(self.await_entry(*number).await),
            LogRequest::Campaign => self.campaign(member).await,
            LogRequest::KeepAlive { tenure } => match self.lease_of(*tenure) {
                Some(lease) => member.lease_keep_alive(lease).await.map(|_| LogAnswer::Kept),
                None => Ok(LogAnswer::Gone),
            },
            LogRequest::Resign { tenure } => match self.lease_of(*tenure) {
                Some(lease) => {
                    *self.lease.lock() = None;
                    member.lease_revoke(lease).await.map(|_| LogAnswer::Kept)
                }
                None => Ok(LogAnswer::Gone),
            },
        }
    }

    fn lease_of(&self, tenure: Tenure) -> Option<i64> {
        self.lease.lock().filter(|(own, _)| *own == tenure).map(|(_, lease)| lease)
    }

    async fn append(
        &self,
        mut member: Client,
        tenure: Tenure,
        from: &Head,
        to: &Head,
        sealed: Vec<u8>,
    ) -> Result<LogAnswer, Error> {
        let (head, leader, slot) = (self.head_key(), self.leader_key(), self.slot_key(to.number));
        // 0 would be true of an absent key: a number out of range must be no revision.
        let tenure = i64::try_from(tenure.0).ok().filter(|tenure| *tenure > 0).unwrap_or(-1);
        let follows = Compare::value(head.clone(), CompareOp::Equal, from.encode());
        let leads = Compare::create_revision(leader, CompareOp::Equal, tenure);
        let put = [TxnOp::put(head.clone(), to.encode(), None), TxnOp::put(slot, sealed, None)];
        let txn = Txn::new().when([follows, leads]).and_then(put).or_else([TxnOp::get(head, None)]);
        let answer = member.txn(txn).await?;
        if answer.succeeded() {
            if let Some(header) = answer.header() {
                self.appended.lock().push_back(header.revision());
            }
            return Ok(LogAnswer::Appended);
        }
        Ok(match answer.op_responses().first() {
            Some(TxnOpResponse::Get(found)) => head_of(found.kvs()).map_or(LogAnswer::Unknown, LogAnswer::Fenced),
            Some(_) | None => LogAnswer::Unknown,
        })
    }

    async fn campaign(&self, mut member: Client) -> Result<LogAnswer, Error> {
        let (key, node, seconds) = (self.leader_key(), self.leader_value.lock().clone(), self.lease_seconds);
        let lease = member.lease_grant(seconds, None).await?.id();
        let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
        let put = TxnOp::put(key, node, Some(PutOptions::new().with_lease(lease)));
        let answer = member.txn(Txn::new().when([absent]).and_then([put])).await?;
        if !answer.succeeded() {
            // Without it the lease runs out by itself.
            let _unused = member.lease_revoke(lease).await;
            return Ok(LogAnswer::Held);
        }
        // The key was created by this transaction, whose revision it bears.
        let revision = answer.header().and_then(|header| u64::try_from(header.revision()).ok());
        let Some(tenure) = revision.map(Tenure) else { return Ok(LogAnswer::Unknown) };
        *self.lease.lock() = Some((tenure, lease));
        Ok(LogAnswer::Elected(tenure))
    }

    /// Reads the slot of an entry. What has the number is taken from the member's own copy, without asking the others: it was
    /// committed, and never changes. That the entry does not exist yet is for the majority to say; the bytes come again only
    /// if they have changed.
    async fn slot(&self, mut member: Client, number: u64) -> Result<Option<KeyValue>, Error> {
        let key = self.slot_key(number);
        let own = member.get(key.clone(), Some(GetOptions::new().with_serializable())).await?.take_kvs().pop();
        if own.as_ref().is_some_and(|own| Seal::number_of(own.value()) == Some(number)) {
            return Ok(own);
        }
        let later = own.as_ref().map_or(0, |own| own.mod_revision().saturating_add(1));
        let found = member.get(key, Some(GetOptions::new().with_min_mod_revision(later))).await?.take_kvs().pop();
        Ok(found.or(own))
    }

    /// Returns the bytes of an entry; for those that were not encrypted with the log's key, a byte that is no entry.
    fn entry_of(&self, found: Option<&KeyValue>) -> Vec<u8> {
        found.map(|found| self.open_entry(found.value())).unwrap_or_default()
    }

    fn open_entry(&self, sealed: &[u8]) -> Vec<u8> {
        self.seal.open(sealed).unwrap_or_else(|| vec![0])
    }

    /// The member that is used, and its position.
    fn member(&self) -> (usize, Client) {
        self.at(self.used.load(Ordering::Relaxed))
    }

    /// Notes the member that answered the last read.
    fn note_reader(&self, at: usize) {
        self.read_from.store(at, Ordering::Relaxed);
        self.silent.store(0, Ordering::Relaxed);
    }

    /// A member that did not answer the last read, and its position: the copy of that one is doubted.
    fn another_reader(&self) -> (usize, Client) {
        let others = self.members.len().saturating_sub(1).max(1);
        let further = self.silent.load(Ordering::Relaxed) % others;
        self.at(self.read_from.load(Ordering::Relaxed).wrapping_add(1).wrapping_add(further))
    }

    fn at(&self, position: usize) -> (usize, Client) {
        let position = position % self.members.len();
        (position, self.members[position].clone())
    }

    /// Uses the next member from here on, unless another request has left this one before.
    fn leave(&self, at: usize) {
        let next = (at + 1) % self.members.len();
        let _left_before = self.used.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn head_key(&self) -> String {
        format!("{}head", self.prefix)
    }

    fn meta_key(&self) -> String {
        format!("{}meta", self.prefix)
    }

    fn leader_key(&self) -> String {
        format!("{}leader", self.prefix)
    }

    fn slot_key(&self, number: u64) -> String {
        format!("{}log/{:04}", self.prefix, number % self.slots)
    }
}

fn head_of(found: &[KeyValue]) -> Option<Head> {
    Head::decode(found.first()?.value()).ok()
}

/// Returns the transaction that creates a log: its constants and its first head, both or nothing.
pub(super) fn creation(prefix: &str, head: Head, meta: &LogMeta) -> Txn {
    let keys = ["head", "meta"].map(|name| format!("{prefix}{name}"));
    let absent = keys.clone().map(|key| Compare::create_revision(key, CompareOp::Equal, 0));
    let [head_key, meta_key] = keys;
    let puts = [TxnOp::put(head_key, head.encode(), None), TxnOp::put(meta_key, meta.to_bytes(), None)];
    Txn::new().when(absent).and_then(puts)
}
