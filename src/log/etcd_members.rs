//! The members of etcd, asked for their state and for the log's keys: for the checks of a start, and for operators.
//!
//! Nothing here deletes a key, and the probe of a request's size writes none: a compaction at a deletion can lose revisions
//! (etcd#17780).

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmType, Client, Compare, CompareOp, Error, GetOptions, KeyValue, StatusResponse, Txn, TxnOp,
    TxnOpResponse,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Head;
use super::announcement::{LeaderAnnouncement, NodeAnnouncement};
use super::checks::{
    AlarmKind, Findings, KeyState, KnownMember, LogFinding, MemberAlarm, MemberFinding, MemberStatus, is_nearly_full,
};
use super::etcd::creation;
use super::etcd_connect::{connect_options, seal};
use super::meta::LogMeta;
use super::seal::Seal;
use crate::config::{ClusterConfig, ConfigError};

/// Longest time for a request: a member that elects its leader answers within it.
const REQUEST_MAX: Duration = Duration::from_secs(2);
/// Length of the probe: the longest entry twice, and below etcd's limit of 1.5 MiB.
const PROBE_BYTES: usize = 1 << 20;
/// Interval of looks at the key of another process.
const RIVAL_STEP: Duration = Duration::from_millis(200);
/// Time in which a process that is alive writes its key again: it does so once a second.
const RIVAL_MAX: Duration = Duration::from_secs(3);
/// Longest error of a member in a message.
const ERROR_CHARS_MAX: usize = 200;

/// Clients of the members, one for each.
pub struct EtcdMembers {
    cluster: ClusterConfig,
    seal: Seal,
    members: Vec<(String, Client)>,
}

/// The end of a creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creation {
    Created,
    /// There is a log under the prefix, or a part of one.
    Exists,
}

impl EtcdMembers {
    /// Prepares the clients; each connects when it is first used.
    ///
    /// # Errors
    /// One line if a file of TLS or of the key cannot be read, or a URL is wrong.
    pub async fn connect(cluster: &ClusterConfig) -> Result<EtcdMembers, ConfigError> {
        let options = connect_options(cluster)?.with_connect_timeout(REQUEST_MAX);
        let mut members = Vec::with_capacity(cluster.members.len());
        for url in &cluster.members {
            let client = Client::connect([url], Some(options.clone())).await;
            let client = client.map_err(|error| ConfigError(format!("members: {url}: {}", told(&error))))?;
            members.push((url.clone(), client));
        }
        Ok(EtcdMembers { cluster: cluster.clone(), seal: seal(cluster)?, members })
    }

    /// Asks all members at the same time; `probes` asks each to take a request of 1 MiB, too. Does not look for rivals.
    pub async fn findings(&self, probes: bool) -> Findings {
        let mut asked = JoinSet::new();
        for (at, (_, client)) in self.members.iter().enumerate() {
            let (client, key, quota) = (client.clone(), self.key("meta"), self.cluster.quota_bytes);
            asked.spawn(async move { (at, status(client, key, probes, quota).await) });
        }
        let log = self.log().await;
        let unasked = |(url, _): &(String, Client)| MemberFinding { url: url.clone(), answer: Err("no answer".into()) };
        let mut members: Vec<MemberFinding> = self.members.iter().map(unasked).collect();
        while let Some(answered) = asked.join_next().await {
            if let Ok((at, answer)) = answered {
                members[at].answer = answer;
            }
        }
        Findings { members, log, has_rival: false }
    }

    /// Returns whether a process is alive under the node's name: it writes its key again while this one looks. A process that
    /// ended leaves its key until the lease ends.
    pub async fn has_rival(&self) -> bool {
        let until = Instant::now() + RIVAL_MAX;
        let key = self.key(&format!("nodes/{}", self.cluster.node));
        let mut first = None;
        loop {
            let found = self.first_answer(Txn::new().and_then([TxnOp::get(key.clone(), None)])).await;
            // Without an answer nothing is known; the other checks tell that.
            let Ok(answers) = found else { return false };
            let Some(revision) = answers.first().and_then(|kvs| kvs.first()).map(KeyValue::mod_revision) else {
                return false;
            };
            if *first.get_or_insert(revision) != revision {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            sleep(RIVAL_STEP).await;
        }
    }

    /// Creates the log: its constants and its first head, both or nothing.
    ///
    /// # Errors
    /// The reasons of all members, if none answered.
    pub async fn create(&self, meta: &LogMeta, head: Head) -> Result<Creation, String> {
        let txn = creation(&self.cluster.prefix(), head, meta);
        let mut reasons = Vec::new();
        for (url, client) in &self.members {
            match within(client.clone().txn(txn.clone())).await {
                Ok(answer) if answer.succeeded() => return Ok(Creation::Created),
                // The request before may have been carried out without an answer.
                Ok(_) if !reasons.is_empty() => return self.created(meta, head).await,
                Ok(_) => return Ok(Creation::Exists),
                Err(reason) => reasons.push(format!("{url}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }

    /// Returns whether the log is the one that was to be created.
    async fn created(&self, meta: &LogMeta, head: Head) -> Result<Creation, String> {
        let found = self.log().await?;
        let is_own = found.meta.present() == Some(meta) && found.head.present() == Some(&head);
        Ok(if is_own { Creation::Created } else { Creation::Exists })
    }

    /// Reads the log's keys at one moment, with a quorum.
    async fn log(&self) -> Result<LogFinding, String> {
        let nodes = self.key("nodes/");
        let gets = ["meta", "head", "leader"].map(|name| TxnOp::get(self.key(name), None));
        let of_nodes = TxnOp::get(nodes.clone(), Some(GetOptions::new().with_prefix()));
        let txn = Txn::new().and_then(gets.into_iter().chain([of_nodes]).collect::<Vec<_>>());
        let answers = self.first_answer(txn).await?;
        let values = |at: usize| answers.get(at).map_or(&[][..], Vec::as_slice);
        let name = |kv: &KeyValue| {
            let name = kv.key_str().ok().and_then(|key| key.strip_prefix(&nodes)).unwrap_or("");
            one_line(name)
        };
        let node = |kv: &KeyValue| (name(kv), NodeAnnouncement::parse(kv.value()));
        let meta = state(values(0), LogMeta::parse);
        Ok(LogFinding {
            is_of_key: meta.present().is_none_or(|meta| meta.is_of_key(&self.seal)),
            meta,
            head: state(values(1), |bytes| Head::decode(bytes).ok()),
            leader: state(values(2), LeaderAnnouncement::parse),
            nodes: values(3).iter().map(node).collect::<BTreeMap<_, _>>(),
        })
    }

    /// Returns the keys and values that the first member with an answer gives, for each get of a transaction.
    async fn first_answer(&self, txn: Txn) -> Result<Vec<Vec<KeyValue>>, String> {
        let mut reasons = Vec::new();
        for (url, client) in &self.members {
            match within(client.clone().txn(txn.clone())).await {
                Ok(answer) => {
                    let values = |response| match response {
                        TxnOpResponse::Get(mut found) => found.take_kvs(),
                        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => Vec::new(),
                    };
                    return Ok(answer.op_responses().into_iter().map(values).collect());
                }
                Err(reason) => reasons.push(format!("{url}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.cluster.prefix())
    }
}

fn state<T>(found: &[KeyValue], parse: impl Fn(&[u8]) -> Option<T>) -> KeyState<T> {
    match found.first() {
        None => KeyState::Absent,
        Some(kv) => parse(kv.value()).map_or(KeyState::Unreadable, KeyState::Present),
    }
}

/// Asks one member for its state.
async fn status(mut member: Client, key: String, probes: bool, quota_bytes: u64) -> Result<MemberStatus, String> {
    let answer = within(member.status()).await?;
    let known = within(member.member_list()).await?;
    let known = known.members().iter().map(|member| KnownMember {
        id: member.id(),
        name: one_line(member.name()),
        is_voting: !member.is_learner(),
    });
    let mut status = MemberStatus { known: known.collect(), ..status_of(&answer) };
    if status.leader == 0 {
        return Ok(status);
    }
    if let Ok(alarms) = within(member.alarm(AlarmAction::Get, AlarmType::None, None)).await {
        let kind = |kind| match kind {
            AlarmType::Nospace => AlarmKind::NoSpace,
            AlarmType::Corrupt => AlarmKind::Corrupt,
            AlarmType::None => AlarmKind::Other,
        };
        let alarms = alarms.alarms().iter();
        status.alarms =
            alarms.map(|alarm| MemberAlarm { member_id: alarm.member_id(), kind: kind(alarm.alarm()) }).collect();
    }
    // etcd raises its alarm at a request that would not fit any more.
    if probes && !is_nearly_full(&status, quota_bytes) {
        status.refused_probe = probe(member, key).await.err();
    }
    Ok(status)
}

fn status_of(answer: &StatusResponse) -> MemberStatus {
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let (cluster_id, member_id) = answer.header().map_or((0, 0), |header| (header.cluster_id(), header.member_id()));
    MemberStatus {
        cluster_id,
        member_id,
        version: one_line(answer.version()),
        leader: answer.leader(),
        db_bytes: bytes(answer.db_size()),
        db_bytes_in_use: bytes(answer.raft_used_db_size()),
        quota_bytes: Some(bytes(answer.db_size_quota())).filter(|quota| *quota > 0),
        ..MemberStatus::default()
    }
}

/// Asks a member to put 1 MiB if something is true that never is: the request goes all its way, and no key is written.
async fn probe(mut member: Client, key: String) -> Result<(), String> {
    let never = Compare::create_revision(key.clone(), CompareOp::Equal, -1);
    let put = TxnOp::put(key, vec![0; PROBE_BYTES], None);
    within(member.txn(Txn::new().when([never]).and_then([put]))).await.map(drop)
}

async fn within<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(REQUEST_MAX, request).await {
        Ok(answer) => answer.map_err(|error| told(&error)),
        Err(_) => Err(format!("no answer within {} s", REQUEST_MAX.as_secs())),
    }
}

/// Returns an error of the library in one line: the status of a call without its headers, and the causes behind it.
fn told(error: &Error) -> String {
    let (mut text, mut source) = if let Error::GRpcStatus(status) = error {
        (status.message().to_owned(), status.source())
    } else {
        (error.to_string(), error.source())
    };
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    one_line(&text)
}

/// Returns a text of another process cut and escaped for one line of a terminal.
fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().take(ERROR_CHARS_MAX).map(escape).collect()
}
