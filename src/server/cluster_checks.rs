//! The checks of a node's cluster at its start: all that is wrong with etcd and with the log's keys, a line each.

use std::time::{Duration, Instant};

use crate::config::ClusterConfig;
use crate::exit::Exit;
use crate::log::checks::{Findings, refusals, warnings};
use crate::log::etcd_members::EtcdMembers;
use crate::types::hex;

/// Longest wait for a quorum: members that start with the node, or are just electing a leader.
const QUORUM_WAIT_MAX: Duration = Duration::from_secs(20);
const QUORUM_WAIT_STEP: Duration = Duration::from_millis(200);

/// Checks a cluster for the node whose database has this id.
///
/// # Errors
/// 69: no quorum of etcd answers. 78: one line for each thing that must be put in order first.
pub(super) fn check(cluster: &ClusterConfig, file_id: &[u8; 16]) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Exit::system(format!("no runtime for the checks of the cluster: {error}")))?;
    let found = runtime.block_on(find(cluster)).map_err(|mistake| Exit::usage(mistake.to_string()))?;
    for line in warnings(cluster, &found) {
        tracing::warn!("{line}");
    }
    let refused = refusals(cluster, Some(&hex::encode(file_id)), &found);
    match &found.log {
        _ if refused.is_empty() => Ok(()),
        Ok(_) => Err(Exit::cluster(refused.join("\n"))),
        Err(_) => Err(Exit::unavailable(refused.join("\n"))),
    }
}

async fn find(cluster: &ClusterConfig) -> Result<Findings, crate::config::ConfigError> {
    let members = EtcdMembers::connect(cluster).await?;
    let until = Instant::now() + QUORUM_WAIT_MAX;
    while members.findings(false).await.log.is_err() && Instant::now() < until {
        tokio::time::sleep(QUORUM_WAIT_STEP).await;
    }
    let found = members.findings(true).await;
    Ok(Findings { has_rival: members.has_rival().await, ..found })
}
