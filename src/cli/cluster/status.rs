//! `firstcome cluster status`: the members of etcd, the log and the nodes.

use super::block_on;
use super::status_view::{json, problems, tables};
use crate::config::ClusterConfig;
use crate::exit::Exit;
use crate::log::checks::warnings;
use crate::log::etcd_members::EtcdMembers;
use crate::output;

/// Shows the state of a cluster.
///
/// # Errors
/// 1: one line for each thing that is wrong. 69: no quorum of etcd answers.
pub(super) fn run(cluster: &ClusterConfig, as_json: bool) -> Result<(), Exit> {
    let found = block_on(async {
        let members = EtcdMembers::connect(cluster).await.map_err(|mistake| Exit::usage(mistake.to_string()))?;
        Ok(members.findings(false).await)
    })??;
    let wrong = problems(cluster, &found);
    if as_json {
        output::line(json(cluster, &found, &wrong));
    } else {
        tables(cluster, &found).into_iter().for_each(output::line);
    }
    for line in warnings(cluster, &found).into_iter().filter(|line| !wrong.contains(line)) {
        output::note(line);
    }
    match &found.log {
        _ if wrong.is_empty() => Ok(()),
        Ok(_) => Err(Exit::failed(wrong.join("\n"))),
        Err(_) => Err(Exit::unavailable(wrong.join("\n"))),
    }
}
