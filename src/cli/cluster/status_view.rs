//! The state of a cluster as tables, as JSON, and as the lines of what is wrong.

#![cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "a build without etcd shows no state"))]

use serde_json::{Value, json};

use crate::config::ClusterConfig;
use crate::log::announcement::{LeaderAnnouncement, NodeAnnouncement};
use crate::log::checks::{AlarmKind, Findings, LogFinding, MemberStatus, refusals, silent_members};
use crate::log::{Head, NodeSettings};
use crate::types::hex;

/// Entries by which a node may be behind: it tells its place once a second. A quarter of the ring.
const LAG_MAX: u64 = 1024;

/// Returns what is wrong, one line each.
pub(super) fn problems(cluster: &ClusterConfig, found: &Findings) -> Vec<String> {
    let mut lines = refusals(cluster, None, found);
    // Without a quorum the silence of members is in that line.
    if let Ok(log) = &found.log {
        lines.extend(silent_members(found));
        if let Some(head) = log.head.present().filter(|_| log.meta.present().is_some()) {
            lines.extend(node_problems(cluster, log, head));
        }
    }
    lines
}

fn node_problems(cluster: &ClusterConfig, log: &LogFinding, head: &Head) -> Vec<String> {
    let prefix = cluster.prefix();
    let mut lines = Vec::new();
    match log.leader.present() {
        None => lines.push(format!("{prefix}leader: no node leads: nothing is sold; start nodes, or read their logs")),
        Some(leader) if !log.nodes.contains_key(&leader.node) => {
            lines.push(format!("{prefix}nodes/{}: the leader does not tell its place", leader.node));
        }
        Some(leader) if log.nodes.len() == 1 => lines.push(format!(
            "{}: leads, and no other node follows: if it ends, nothing is sold; start another node, or let one join",
            leader.node
        )),
        Some(_) => {}
    }
    for (name, node) in &log.nodes {
        let Some(node) = node else {
            lines.push(format!("{prefix}nodes/{name}: is unreadable: a node of a newer version?"));
            continue;
        };
        let lag = lag(log, head, node);
        if lag > LAG_MAX {
            lines.push(format!("{name}: is {lag} entries behind the log: read its log, and see its disk"));
        }
        let offset_max = NodeSettings::default().clock_offset_max_ms;
        if let Some(offset) = node.clock_offset_ms.filter(|offset| offset.unsigned_abs() > offset_max) {
            lines.push(format!("{name}: its clock is {offset} ms off, so it does not lead: set it (NTP)"));
        }
    }
    lines
}

/// Returns the entries that a node has not applied. The leader makes them: what it announces once in a while is no lag.
fn lag(log: &LogFinding, head: &Head, node: &NodeAnnouncement) -> u64 {
    if leads_log(log, node) {
        return 0;
    }
    // A node may have applied entries since the head was read.
    head.number.saturating_sub(node.applied)
}

fn leads_log(log: &LogFinding, node: &NodeAnnouncement) -> bool {
    log.leader.present().is_some_and(|leader| leader.node == node.address.node)
}

/// Returns the tables, line by line.
pub(super) fn tables(cluster: &ClusterConfig, found: &Findings) -> Vec<String> {
    let mut lines = vec![format!("cluster {}, shard {}: {}", cluster.cluster, cluster.shard.get(), cluster.prefix())];
    let header = ["member", "name", "etcd", "leads", "size", "in use", "alarms"];
    let rows = found.members.iter().map(|member| match &member.answer {
        Ok(status) => [
            member.url.clone(),
            found.member_name(status.member_id),
            status.version.clone(),
            if leads(status) { "yes" } else { "no" }.into(),
            megabytes(status.db_bytes),
            megabytes(status.db_bytes_in_use),
            alarms(status).join(", "),
        ],
        Err(_) => [&member.url, "-", "-", "-", "-", "-", "does not answer"].map(String::from),
    });
    lines.extend(aligned(&header, rows));
    let Ok(log) = &found.log else { return lines };
    lines.push(String::new());
    let head = log.head.present();
    lines.push(head.map_or("log      none".into(), |head| {
        format!("log      entry {}, epoch {}, event {}", head.number, head.epoch, head.seq)
    }));
    lines.push(log.leader.present().map_or("leader   none".into(), |leader| {
        let LeaderAnnouncement { node, public_url, admin_url, wire } = leader;
        format!("leader   {node}: {public_url}, admin {admin_url}, wire {wire}")
    }));
    lines.push(String::new());
    let header = ["node", "applied", "lag", "on disk", "clock", "public"];
    let rows = log.nodes.iter().map(|(name, node)| match node {
        Some(node) => [
            name.clone(),
            node.applied.to_string(),
            match head {
                Some(_) if leads_log(log, node) => "leads".into(),
                Some(head) => lag(log, head, node).to_string(),
                None => "-".into(),
            },
            format!("event {}", node.synced_seq),
            node.clock_offset_ms.map_or("-".into(), |offset| format!("{offset:+} ms")),
            node.address.public_url.clone(),
        ],
        None => [name, "-", "-", "-", "-", "unreadable"].map(String::from),
    });
    lines.extend(aligned(&header, rows));
    lines
}

/// Returns the state as one JSON object.
pub(super) fn json(cluster: &ClusterConfig, found: &Findings, problems: &[String]) -> Value {
    let members = found.members.iter().map(|member| match &member.answer {
        Ok(status) => json!({
            "url": member.url,
            "name": found.member_name(status.member_id),
            "version": status.version,
            "leader": leads(status),
            "db_bytes": status.db_bytes,
            "db_bytes_in_use": status.db_bytes_in_use,
            "quota_bytes": status.quota_bytes.unwrap_or(cluster.quota_bytes),
            "alarms": alarms(status),
            "error": null,
        }),
        Err(reason) => json!({ "url": member.url, "error": reason }),
    });
    let members: Vec<Value> = members.collect();
    let log = found.log.as_ref().ok();
    let head = log.and_then(|log| log.head.present());
    let nodes = log.into_iter().flat_map(|log| log.nodes.iter().map(move |node| (log, node)));
    let nodes = nodes.map(|(log, (name, node))| match node {
        Some(node) => {
            let mut object = serde_json::to_value(node).unwrap_or_default();
            object["lag"] = head.map(|head| lag(log, head, node)).into();
            object
        }
        None => json!({ "node": name, "error": "unreadable" }),
    });
    json!({
        "cluster": cluster.cluster,
        "shard": cluster.shard.get(),
        "prefix": cluster.prefix(),
        "members": members,
        "file_id": log.and_then(|log| log.meta.present()).map(|meta| &meta.file_id),
        "head": head.map(|head| json!({
            "number": head.number,
            "epoch": head.epoch,
            "seq": head.seq.get(),
            "link": hex::encode(&head.link.0),
        })),
        "leader": log.and_then(|log| log.leader.present()),
        "nodes": nodes.collect::<Vec<_>>(),
        "problems": problems,
    })
}

/// Returns whether a member leads etcd.
fn leads(status: &MemberStatus) -> bool {
    status.leader == status.member_id && status.leader != 0
}

/// The alarms of a member itself: each member tells those of all.
fn alarms(status: &MemberStatus) -> Vec<&'static str> {
    let own = status.alarms.iter().filter(|alarm| alarm.member_id == status.member_id);
    own.map(|alarm| match alarm.kind {
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
        AlarmKind::Other => "unknown",
    })
    .collect()
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// Returns the rows under their header, in columns.
fn aligned<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> Vec<String> {
    let mut all = vec![header.map(String::from)];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
