//! `firstcome cluster adopt`: makes a new log from the longest file of a cluster whose log is lost.

use std::path::Path;

use super::init::{make_log, open_verified, refuse_while_there};
use crate::config::ClusterConfig;
use crate::exit::Exit;
use crate::output;
use crate::store::log_position::{self, LogPosition, PositionWriter};
use crate::store::{Loaded, Store};

const BEFORE_ALL: LogPosition = LogPosition { number: 0, epoch: 0, tenure: 0 };

/// Makes the log. `accepted` is the number of the last entry that the database has of the log that is lost.
///
/// # Errors
/// The exit code, and one line for each reason.
pub(super) fn run(cluster: &ClusterConfig, data: &Path, accepted: Option<u64>) -> Result<(), Exit> {
    let (store, loaded) = open_verified(cluster, data)?;
    let path = store.path.display();
    let disk = |error: rusqlite::Error| Exit::disk(format!("{path}: {error}"));
    let Some(position) = log_position::read(&store.connection).map_err(disk)? else {
        return Err(Exit::usage(format!(
            "{path}: this database was no node's: make its log with `firstcome cluster init`"
        )));
    };
    if let Some(lost) = store.lost {
        output::note(format!(
            "{path}: {} events that it had acknowledged are missing: its disk was not synced",
            lost.events
        ));
    }
    refuse_while_there(cluster, &store, &loaded)?;
    refuse_another(&store, &loaded, position, accepted)?;
    make_log(cluster, &store, &loaded, true)?;
    // Behind the log: whatever ends this, the file keeps its entries' number, and a repeat finds the log and goes on here.
    let mut writer = PositionWriter::new(&store.connection).map_err(disk)?;
    writer.write(BEFORE_ALL).map_err(disk)?;
    tell(cluster, data, &loaded);
    Ok(())
}

/// Refuses the file unless the operator has named its last entry, after a look at those of all nodes.
fn refuse_another(store: &Store, loaded: &Loaded, position: LogPosition, accepted: Option<u64>) -> Result<(), Exit> {
    if accepted == Some(position.number) {
        return Ok(());
    }
    let (path, number, seq) = (store.path.display(), position.number, loaded.state.seq());
    let quoted = accepted.map_or(String::new(), |accepted| format!(", not up to {accepted}"));
    Err(Exit::usage(format!(
        "{path}: it has the entries of its log up to {number} (event {seq}){quoted}; run this on the directory of every node, \
         take the one with the highest entry, and add --accept-n {number} if it is this one: what no file has is lost"
    )))
}

fn tell(cluster: &ClusterConfig, data: &Path, loaded: &Loaded) {
    let (file, data) = (cluster.file.display(), data.display());
    output::line(format!(
        "made a new log of cluster {}, shard {}, which begins after event {} of {data}",
        cluster.cluster,
        cluster.shard.get(),
        loaded.state.seq()
    ));
    output::line("next:");
    output::line(format!("  1. on this node:       firstcome serve --cluster {file} --data {data}"));
    output::line("  2. on each other node: move its directory away, and join with `firstcome cluster join`");
}
