//! The checks of a node's cluster at its start: all that is wrong with etcd and with the log's keys, a line each.

use std::time::{Duration, Instant};

use crate::config::ClusterConfig;
use crate::exit::Exit;
use crate::log::Head;
use crate::log::checks::{Findings, LogFinding, refusals, warnings};
use crate::log::etcd_members::EtcdMembers;
use crate::store::Store;
use crate::store::log_position::{self, LogPosition};
use crate::types::hex;

/// Longest wait for a quorum: members that start with the node, or are just electing a leader.
const QUORUM_WAIT_MAX: Duration = Duration::from_secs(20);
const QUORUM_WAIT_STEP: Duration = Duration::from_millis(200);

/// Checks a cluster for the node of a database.
///
/// # Errors
/// 69: no quorum of etcd answers. 78: one line for each thing that must be put in order first. 65: the database and the log
/// do not go together any more.
pub(super) fn check(cluster: &ClusterConfig, store: &Store) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Exit::system(format!("no runtime for the checks of the cluster: {error}")))?;
    let found = runtime.block_on(find(cluster)).map_err(|mistake| Exit::usage(mistake.to_string()))?;
    for line in warnings(cluster, &found) {
        tracing::warn!("{line}");
    }
    let refused = refusals(cluster, Some(&hex::encode(&store.file_id)), &found);
    match &found.log {
        Ok(log) if refused.is_empty() => check_position(store, log),
        Ok(_) => Err(Exit::cluster(refused.join("\n"))),
        Err(_) => Err(Exit::unavailable(refused.join("\n"))),
    }
}

/// Compares the end of the database with that of the log.
fn check_position(store: &Store, log: &LogFinding) -> Result<(), Exit> {
    let path = store.path.display();
    let position = log_position::read(&store.connection).map_err(|error| Exit::disk(format!("{path}: {error}")))?;
    let (Some(position), Some(meta), Some(head)) = (position, log.meta.present(), log.head.present()) else {
        return Ok(());
    };
    judge_position(position, head, meta.slots).map_or(Ok(()), |what| Err(Exit::bad_data(format!("{path}: {what}"))))
}

/// Returns why a database with the entries up to `position` does not go on with the log.
fn judge_position(position: LogPosition, head: &Head, slots: u64) -> Option<String> {
    let (own, last) = (position.number, head.number);
    let is_of_head = (position.epoch, position.tenure) == (head.epoch, head.tenure.0);
    if own > last || (own == last && !is_of_head) {
        return Some(format!(
            "has the entries of the log up to {own}, and the log ends at entry {last}: etcd lost entries, or was restored from \
             a copy, or `firstcome cluster adopt` did not end and must be repeated; the database with the most entries is the \
             better witness: keep the databases of all nodes, and start none"
        ));
    }
    (last - own > slots).then(|| {
        format!(
            "has the entries of the log up to {own}, and the log has only the last {slots} before {last}: begin this node with a \
             new copy of another node's database"
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Tenure;
    use crate::store::chain::ChainLink;
    use crate::types::Seq;

    #[test]
    fn a_database_goes_on_with_a_log_that_has_its_end_and_what_follows() {
        let head = Head { number: 100, epoch: 3, tenure: Tenure(9), seq: Seq::ZERO, link: ChainLink::START };
        let judged = |number, epoch, tenure| judge_position(LogPosition { number, epoch, tenure }, &head, 8);
        for (number, epoch, tenure) in [(100, 3, 9), (99, 3, 9), (92, 1, 2)] {
            assert_eq!(judged(number, epoch, tenure), None, "{number}");
        }
        for (number, epoch, tenure, part) in [
            (101, 3, 9, "etcd lost entries"),
            (100, 2, 9, "etcd lost entries"),
            (100, 3, 8, "etcd lost entries"),
            (91, 1, 2, "new copy"),
        ] {
            assert!(judged(number, epoch, tenure).is_some_and(|told| told.contains(part)), "{number}");
        }
    }
}
