//! The checks of a cluster at a node's start: what its members and keys say, and what of that forbids a start.

use std::collections::{BTreeMap, BTreeSet};

use super::announcement::{LeaderAnnouncement, NodeAnnouncement};
use super::etcd_version::EtcdVersion;
use super::meta::LogMeta;
use super::{Head, entry};
use crate::config::ClusterConfig;

/// Part of etcd's quota from which a node does not start: at the whole of it etcd takes no writes.
const QUOTA_PERCENT_MAX: u64 = 60;
/// Voting members without which a log does not survive the loss of one.
const VOTING_MIN: usize = 3;

/// The answers of a cluster.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The members of the cluster's file, in its order.
    pub members: Vec<MemberFinding>,
    /// The log's keys, read with a quorum; the reason if no member could.
    pub log: Result<LogFinding, String>,
    /// Another process is alive under the name of this node.
    pub has_rival: bool,
}

/// A member, and its answer or the reason why it gave no answer.
#[derive(Clone, Debug)]
pub struct MemberFinding {
    pub url: String,
    pub answer: Result<MemberStatus, String>,
}

/// The state of a member, as it says.
#[derive(Clone, Default, Debug)]
pub struct MemberStatus {
    pub cluster_id: u64,
    pub member_id: u64,
    pub version: String,
    /// The member that leads etcd, as this one knows; 0 if none does.
    pub leader: u64,
    /// Size of its file, which etcd compares with the quota.
    pub db_bytes: u64,
    /// Size of what is in use in that file.
    pub db_bytes_in_use: u64,
    /// The quota, which members tell from version 3.6 on.
    pub quota_bytes: Option<u64>,
    /// The members of etcd that it knows.
    pub known: Vec<KnownMember>,
    pub alarms: Vec<MemberAlarm>,
    /// The reason why it did not take a request of 1 MiB, if it was asked.
    pub refused_probe: Option<String>,
}

/// A member in another member's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownMember {
    pub id: u64,
    pub name: String,
    /// A member that votes counts for the quorum; a learner does not.
    pub is_voting: bool,
}

/// An alarm of etcd.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MemberAlarm {
    pub member_id: u64,
    pub kind: AlarmKind,
}

/// The kind of an alarm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AlarmKind {
    NoSpace,
    Corrupt,
    /// A kind that this program does not know.
    Other,
}

/// A key of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyState<T> {
    Absent,
    /// The key has a value that is damaged, or of a newer version.
    Unreadable,
    Present(T),
}

/// The keys of the log that are not entries.
#[derive(Clone, Debug)]
pub struct LogFinding {
    pub meta: KeyState<LogMeta>,
    /// The log's entries are encrypted with the key of the cluster's file; true as well if there is no log.
    pub is_of_key: bool,
    pub head: KeyState<Head>,
    pub leader: KeyState<LeaderAnnouncement>,
    /// Nodes that are alive, by name; `None` if the value is unreadable.
    pub nodes: BTreeMap<String, Option<NodeAnnouncement>>,
}

impl<T> KeyState<T> {
    /// The value, if there is one that can be read.
    pub fn present(&self) -> Option<&T> {
        match self {
            KeyState::Present(value) => Some(value),
            KeyState::Absent | KeyState::Unreadable => None,
        }
    }
}

impl Findings {
    /// Members that answered, with their answers.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &MemberStatus)> {
        self.members.iter().filter_map(|member| Some((member.url.as_str(), member.answer.as_ref().ok()?)))
    }

    /// The name of a member, or its id if no member names it.
    #[must_use]
    pub fn member_name(&self, id: u64) -> String {
        let known = self.answers().flat_map(|(_, status)| &status.known).find(|known| known.id == id);
        known
            .filter(|known| !known.name.is_empty())
            .map_or_else(|| format!("member {id:x}"), |known| known.name.clone())
    }
}

/// Returns whether a member's database uses so much of its quota that no node starts.
#[must_use]
pub fn is_nearly_full(status: &MemberStatus, quota_bytes: u64) -> bool {
    status.db_bytes > most_bytes(status.quota_bytes.unwrap_or(quota_bytes))
}

const fn most_bytes(quota_bytes: u64) -> u64 {
    quota_bytes / 100 * QUOTA_PERCENT_MAX
}

/// Returns what forbids a node to start, one line each. `file_id` is the id of its database, if it has one.
#[must_use]
pub fn refusals(cluster: &ClusterConfig, file_id: Option<&str>, found: &Findings) -> Vec<String> {
    let mut lines = member_refusals(cluster, found);
    if let Ok(log) = &found.log {
        refuse_log(cluster, file_id, log, &mut lines);
    }
    if found.has_rival {
        lines.push(format!(
            "node = \"{}\": a process of this name is alive ({}nodes/{}): stop it, or give this node another name",
            cluster.node,
            cluster.prefix(),
            cluster.node
        ));
    }
    lines
}

/// Returns what forbids the use of the members, one line each.
#[must_use]
pub fn member_refusals(cluster: &ClusterConfig, found: &Findings) -> Vec<String> {
    let mut lines = Vec::new();
    refuse_members(cluster, found, &mut lines);
    refuse_alarms(found, &mut lines);
    for (url, status) in found.answers() {
        refuse_version(cluster, url, status, &mut lines);
        refuse_size(cluster, url, status, &mut lines);
        // Without a quorum, or with an alarm, it takes nothing at all.
        let is_cause = status.alarms.is_empty() && found.log.is_ok();
        if let Some(reason) = status.refused_probe.as_ref().filter(|_| is_cause) {
            lines.push(format!(
                "{url}: does not take a request of 1 MiB ({reason}): start etcd without --max-request-bytes, whose default is 1.5 MiB, and see \
                 its disk if it is slow"
            ));
        }
    }
    if let Err(reason) = &found.log {
        lines.push(format!(
            "{}: no quorum of etcd answers: {reason}; start its members, or name the right ones in `members`",
            cluster.file.display()
        ));
    }
    lines
}

/// Returns a line for each member that does not answer.
#[must_use]
pub fn silent_members(found: &Findings) -> Vec<String> {
    let line = |member: &MemberFinding| {
        let (url, reason) = (&member.url, member.answer.as_ref().err()?);
        Some(format!(
            "{url}: does not answer ({reason}): the log goes on without this member, and not without another one"
        ))
    };
    found.members.iter().filter_map(line).collect()
}

/// Returns what an operator should know, although it forbids no start.
#[must_use]
pub fn warnings(cluster: &ClusterConfig, found: &Findings) -> Vec<String> {
    let mut lines = silent_members(found);
    let mut old: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (url, status) in found.answers().filter(|_| cluster.test) {
        if let Some(fault) = EtcdVersion::parse(&status.version).and_then(EtcdVersion::fault) {
            old.entry((&status.version, fault)).or_default().push(url);
        }
    }
    for ((version, fault), urls) in old {
        let urls = urls.join(", ");
        lines.push(format!("{urls}: etcd {version} {fault}: allowed by test = true, for a drill alone"));
    }
    let named: BTreeSet<u64> = found.answers().map(|(_, status)| status.member_id).collect();
    let all_answer = found.members.iter().all(|member| member.answer.is_ok());
    let known = found.answers().next().map(|(_, status)| status.known.as_slice()).unwrap_or_default();
    for member in known.iter().filter(|member| all_answer && !named.contains(&member.id)) {
        let (file, name) = (cluster.file.display(), found.member_name(member.id));
        lines.push(format!("{file}: `members` lacks {name}: without it the node does not survive the loss of others"));
    }
    lines
}

fn refuse_members(cluster: &ClusterConfig, found: &Findings, lines: &mut Vec<String>) {
    let mut first: Option<(&str, u64)> = None;
    let mut seen: BTreeMap<u64, &str> = BTreeMap::new();
    for (url, status) in found.answers() {
        let (first_url, id) = *first.get_or_insert((url, status.cluster_id));
        if id != status.cluster_id {
            lines.push(format!(
                "{url}: is a member of another etcd (cluster {:x}) than {first_url} (cluster {id:x}): name the members of one",
                status.cluster_id
            ));
        } else if let Some(other) = seen.insert(status.member_id, url) {
            lines.push(format!(
                "{url}: is the same member as {other} ({}): name each member by its own URL, none by a proxy or balancer",
                found.member_name(status.member_id)
            ));
        }
    }
    let Some((_, status)) = found.answers().next() else { return };
    let voting = status.known.iter().filter(|known| known.is_voting).count();
    if voting < VOTING_MIN && !cluster.test {
        lines.push(format!(
            "{}: etcd has {voting} voting members, and {VOTING_MIN} are the fewest that survive the loss of one: add members, or \
             set test = true for a drill",
            cluster.file.display()
        ));
    }
}

fn refuse_alarms(found: &Findings, lines: &mut Vec<String>) {
    // Each member tells the alarms of all.
    let alarms: BTreeSet<MemberAlarm> = found.answers().flat_map(|(_, status)| status.alarms.iter().copied()).collect();
    for MemberAlarm { member_id, kind } in alarms {
        let name = found.member_name(member_id);
        lines.push(match kind {
            AlarmKind::NoSpace => format!(
                "{name}: alarm NOSPACE, etcd takes no writes: compact and defragment it or raise --quota-backend-bytes, then \
                 `etcdctl alarm disarm`"
            ),
            AlarmKind::Corrupt => format!(
                "{name}: alarm CORRUPT, its data differ from those of other members: remove the member, and add it again \
                 with an empty directory"
            ),
            AlarmKind::Other => format!("{name}: an alarm of an unknown kind: see `etcdctl alarm list`"),
        });
    }
}

fn refuse_version(cluster: &ClusterConfig, url: &str, status: &MemberStatus, lines: &mut Vec<String>) {
    let version = &status.version;
    match EtcdVersion::parse(version) {
        None => lines.push(format!("{url}: answers with the version {version:?}, which no etcd has: a proxy?")),
        Some(parsed) => {
            if let Some(fault) = parsed.fault()
                && (!cluster.test || parsed.is_worst())
            {
                lines.push(format!("{url}: etcd {version} {fault}: run 3.4.32, 3.5.14 or a later one"));
            }
        }
    }
}

fn refuse_size(cluster: &ClusterConfig, url: &str, status: &MemberStatus, lines: &mut Vec<String>) {
    if let Some(quota) = status.quota_bytes.filter(|quota| *quota != cluster.quota_bytes) {
        lines.push(format!(
            "{url}: has the quota {quota}, and quota_bytes is {} in {}: make them equal",
            cluster.quota_bytes,
            cluster.file.display()
        ));
    }
    let quota = status.quota_bytes.unwrap_or(cluster.quota_bytes);
    if is_nearly_full(status, cluster.quota_bytes) {
        let (db, in_use) = (status.db_bytes, status.db_bytes_in_use);
        let what_to_do = if in_use > most_bytes(quota) {
            "compact it, and see what else writes there: the log wants an etcd of its own"
        } else {
            "defragment it (etcdctl defrag), one member at a time and not during a sale"
        };
        lines.push(format!(
            "{url}: its database has {db} bytes ({in_use} in use), more than {QUOTA_PERCENT_MAX} % of the quota {quota}: \
             {what_to_do}"
        ));
    }
}

fn refuse_log(cluster: &ClusterConfig, file_id: Option<&str>, log: &LogFinding, lines: &mut Vec<String>) {
    let (prefix, file) = (cluster.prefix(), cluster.file.display());
    let meta = match &log.meta {
        KeyState::Present(meta) => meta,
        KeyState::Absent if log.head == KeyState::Absent => {
            return lines.push(format!(
                "{prefix}meta: there is no log yet: make it from a database with `firstcome cluster init --cluster {file} --data DIR`"
            ));
        }
        KeyState::Absent | KeyState::Unreadable => {
            return lines.push(format!(
                "{prefix}meta: is missing or unreadable: this is no log of this program, or a damaged one"
            ));
        }
    };
    if meta.form > entry::VERSION {
        lines.push(format!(
            "{prefix}meta: the log is of version {}, and this program reads up to {}: upgrade it",
            meta.form,
            entry::VERSION
        ));
    }
    if let Some(own) = file_id.filter(|own| *own != meta.file_id) {
        lines.push(format!(
            "{prefix}meta: the log is of the database {}, and this node's is {own}: a node begins with a copy of another node's \
             database, or `cluster` or `shard` is wrong in {file}",
            meta.file_id
        ));
    }
    if !log.is_of_key {
        lines.push(format!(
            "key_file = {}: is not the key of this log ({prefix}meta): copy the file of another node",
            cluster.key_file.display()
        ));
    }
    if log.head.present().is_none() {
        lines.push(format!("{prefix}head: is missing or unreadable: etcd lost data, or was restored in part"));
    }
}

#[cfg(test)]
mod tests;
