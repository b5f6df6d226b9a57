//! `firstcome cluster promote`: the node of a file leads next.

use std::path::Path;

use super::{block_on, handover};
use crate::config::ClusterConfig;
use crate::exit::Exit;
use crate::log::etcd_members::EtcdMembers;
use crate::output;

/// Asks the node that leads to hand over to this one. `admin` is its admin listener, if it is not the one that the log names.
///
/// # Errors
/// 64 or 69 and a line.
pub(super) fn run(cluster: &ClusterConfig, admin: Option<&str>, ca: Option<&Path>) -> Result<(), Exit> {
    let found = block_on(async {
        let members = EtcdMembers::connect(cluster).await.map_err(|mistake| Exit::usage(mistake.to_string()))?;
        Ok::<_, Exit>(members.findings(false).await)
    })??;
    let log = found.log.map_err(|reason| Exit::unavailable(format!("no quorum of etcd answers: {reason}")))?;
    let Some(leader) = log.leader.present() else {
        return Err(Exit::unavailable("no node leads at this moment: `firstcome cluster status` says why"));
    };
    if leader.node == cluster.node {
        output::line(format!("{} leads already: {}", leader.node, leader.public_url));
        return Ok(());
    }
    handover::run(admin.unwrap_or(&leader.admin_url), ca, Some(&cluster.node))
}
