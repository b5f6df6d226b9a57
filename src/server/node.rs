//! The start of a node of a cluster: its view, its way to the log, and the thread of that way.
//!
//! Without `cluster.file` nothing here runs, and a build without the feature `cluster` has none of it.

use super::listeners::Listeners;
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::store::{Store, joining, log_position, open};
use crate::writer::ReplicaParts;

/// The parts of a node, before its writer runs.
pub(super) struct NodeStart {
    pub(super) parts: ReplicaParts,
    pub(super) thread: NodeThread,
}

#[cfg(feature = "cluster")]
pub(super) use super::log_thread::LogThread as NodeThread;

/// Without the feature there is no thread of a node.
#[cfg(not(feature = "cluster"))]
pub(super) enum NodeThread {}

#[cfg(not(feature = "cluster"))]
impl NodeThread {
    pub(super) fn stop(self) {
        match self {}
    }
}

/// Connects a node to its log, if the configuration makes this server one.
///
/// # Errors
/// One line for each reason why the node must not start.
#[cfg(feature = "cluster")]
pub(super) fn join(config: &mut Config, store: &Store, listeners: &Listeners) -> Result<Option<NodeStart>, Exit> {
    use std::sync::Arc;

    use super::{cluster_checks, log_thread};
    use crate::log::NodeSettings;
    use crate::writer::NodeView;

    let mut refused = Vec::new();
    if config.cluster.is_some() && config.capture_file.is_some() {
        refused.push("capture.file: a node of a cluster records no capture: its log is one");
    }
    if config.cluster.is_some() && !config.outbox.endpoint_url.is_empty() {
        refused
            .push("outbox.endpoint_url: in a cluster endpoints are made with POST /v1/endpoints, once for all nodes");
    }
    if !refused.is_empty() {
        return Err(Exit::usage(refused.join("\n")));
    }
    let Some(cluster) = &mut config.cluster else { return Ok(None) };
    crate::store::node_copy::remove_leftover(store.directory());
    joining::remove_leftover(store.directory());
    let url = |tls, address| format!("{}://{address}", Config::scheme(tls));
    let (public, admin) =
        (url(&config.public_tls, listeners.public_address), url(&config.admin_tls, listeners.admin_address));
    cluster.settle_advertised(&public, &admin, listeners.wire_address);
    cluster_checks::check(cluster, store)?;
    let view = Arc::new(NodeView::new(cluster.node.clone()));
    // Otherwise the node would announce that it has nothing, until the first entry that it applies.
    let position = log_position::read(&store.connection).ok().flatten();
    view.begin_at(position.map_or(0, |position| position.number));
    let (lanes, thread) = log_thread::start(cluster, store.file_id, Arc::clone(&view))?;
    let settings = NodeSettings::default();
    Ok(Some(NodeStart { parts: ReplicaParts { lanes, view, settings }, thread }))
}

#[cfg(not(feature = "cluster"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature a start may fail")]
pub(super) fn join(_: &mut Config, _: &Store, _: &Listeners) -> Result<Option<NodeStart>, Exit> {
    Ok(None)
}

/// Most events of an entry: those that are due at once have about 100 bytes each, and fit beside half an entry of commands.
const ENTRY_EVENTS_MAX: usize = 2048;

/// Returns the most events of a batch, which is an entry in a cluster.
pub(super) fn batch_events_max(config: &Config) -> usize {
    let max = config.batch_events_max;
    if config.cluster.is_some() { max.min(ENTRY_EVENTS_MAX) } else { max }
}

/// Refuses to sell from a node's database without its cluster: orders would be in this file alone.
///
/// # Errors
/// One line, if the database was a node's.
pub(super) fn refuse_alone(store: &Store) -> Result<(), Exit> {
    let path = store.path.display();
    let position = log_position::read(&store.connection).map_err(|error| Exit::disk(format!("{path}: {error}")))?;
    let Some(position) = position else { return Ok(()) };
    Err(Exit::cluster(format!(
        "{path} is the database of a node, with the entries of its log up to {}: start it with --cluster FILE, because orders \
         that it takes alone would be in no other node's; to leave the cluster for good, stop all nodes and run \
         `firstcome recover` on it, which makes a database of one machine",
        position.number
    )))
}

/// Refuses to make a database for a node: all nodes of a cluster have copies of one file.
///
/// # Errors
/// One line, if the directory has no database.
pub(super) fn refuse_new_file(config: &Config) -> Result<(), Exit> {
    if joining::is_under_way(&config.data) {
        return Err(Exit::new(
            exit::MISSING,
            format!(
                "{} has no database yet: `firstcome cluster join` was interrupted; run it again with the same --data",
                config.data.display()
            ),
        ));
    }
    if config.cluster.is_none() || !open::is_new(&config.data) {
        return Ok(());
    }
    Err(Exit::new(
        exit::MISSING,
        format!(
            "{} has no database: a node of a cluster begins with a copy of another node's database (`firstcome cluster join`), and \
             the first one with the database that `firstcome cluster init` made the log of",
            config.data.display()
        ),
    ))
}
