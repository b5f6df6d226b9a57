//! `firstcome cluster init`: makes the log of a cluster, which begins after the last event of a database.

use std::path::Path;

use super::block_on;
use crate::config::{ClusterConfig, Config};
use crate::exit::{self, Exit};
use crate::log::Head;
use crate::log::checks::{Findings, KeyState, LogFinding, member_refusals};
use crate::log::etcd::SLOTS;
use crate::log::etcd_connect::seal;
use crate::log::etcd_members::{Creation, EtcdMembers};
use crate::log::meta::LogMeta;
use crate::output;
use crate::store::open::{self, DATABASE_FILE};
use crate::store::recover::explain;
use crate::store::{Loaded, Store, StoreError, load, log_position};
use crate::types::hex;
use crate::writer::clock::wall_clock;

/// Makes the log. The database is locked, verified and not changed.
///
/// # Errors
/// The exit code, and one line for each reason.
pub(super) fn run(cluster: &ClusterConfig, data: &Path) -> Result<(), Exit> {
    let (store, loaded) = open_verified(cluster, data)?;
    refuse_file(&store)?;
    make_log(cluster, &store, &loaded, false)?;
    tell(cluster, data, &store, &loaded);
    Ok(())
}

/// Locks and verifies a database that is there, and refuses one of another shard than the cluster's file names.
pub(super) fn open_verified(cluster: &ClusterConfig, data: &Path) -> Result<(Store, Loaded), Exit> {
    let database = data.join(DATABASE_FILE);
    if open::is_new(data) {
        let database = database.display();
        return Err(Exit::new(
            exit::MISSING,
            format!("{database}: there is no database; name its directory with --data"),
        ));
    }
    let told = |error: StoreError| {
        let error = explain(&database, error);
        Exit::new(error.exit_code(), error.told(&database))
    };
    let store = Store::open(data, wall_clock()).map_err(told)?;
    let mut loaded = load::load_verified(&store, Config::defaults().idempotency_keys_max)
        .map_err(|error| told(store.with_cause(error)))?;
    loaded.settle_shard(cluster.shard).map_err(told)?;
    Ok((store, loaded))
}

/// Makes the log, which begins after the last event of a database. With `finds_own`, one that was made of this database
/// before and has no entry yet counts as made.
pub(super) fn make_log(cluster: &ClusterConfig, store: &Store, loaded: &Loaded, finds_own: bool) -> Result<(), Exit> {
    let seal = seal(cluster).map_err(|mistake| Exit::usage(mistake.to_string()))?;
    let meta = LogMeta::new(&store.file_id, SLOTS, &seal);
    let head = Head::before_all(loaded.state.seq(), loaded.link);
    block_on(create(cluster, &meta, head, finds_own))?
}

/// Refuses a log of a database while etcd has one there, before anything is asked of the operator. Where etcd does not answer, it
/// is not known, and making the log tells.
pub(super) fn refuse_while_there(cluster: &ClusterConfig, store: &Store, loaded: &Loaded) -> Result<(), Exit> {
    let seal = seal(cluster).map_err(|mistake| Exit::usage(mistake.to_string()))?;
    let meta = LogMeta::new(&store.file_id, SLOTS, &seal);
    let head = Head::before_all(loaded.state.seq(), loaded.link);
    block_on(async {
        let members = EtcdMembers::connect(cluster).await.map_err(|mistake| Exit::usage(mistake.to_string()))?;
        match &members.findings(false).await.log {
            Ok(log) if !is_own(log, &meta, &head) => refuse_existing(cluster, &meta, log),
            Ok(_) | Err(_) => Ok(()),
        }
    })?
}

/// Refuses a file that is not the whole of what was acknowledged, or that has entries of a log.
fn refuse_file(store: &Store) -> Result<(), Exit> {
    let path = store.path.display();
    if store.lost.is_some() || store.replaced.is_some() {
        return Err(Exit::bad_data(format!(
            "{path}: events are missing, or the file is a copy of the one that lay here: start the server once without a \
             cluster, which records it, and stop it in order"
        )));
    }
    let position = log_position::read(&store.connection).map_err(|error| Exit::disk(format!("{path}: {error}")))?;
    match position {
        None => Ok(()),
        Some(position) => Err(Exit::usage(format!(
            "{path}: this database was a node's of a log, and has its entries up to {}: a new log does not go on behind them",
            position.number
        ))),
    }
}

async fn create(cluster: &ClusterConfig, meta: &LogMeta, head: Head, finds_own: bool) -> Result<(), Exit> {
    let members = EtcdMembers::connect(cluster).await.map_err(|mistake| Exit::usage(mistake.to_string()))?;
    let found = members.findings(true).await;
    let refused = member_refusals(cluster, &found);
    match &found {
        Findings { log: Err(_), .. } => return Err(Exit::unavailable(refused.join("\n"))),
        Findings { log: Ok(log), .. } if finds_own && is_own(log, meta, &head) => return Ok(()),
        Findings { log: Ok(log), .. } => refuse_existing(cluster, meta, log)?,
    }
    if !refused.is_empty() {
        return Err(Exit::cluster(refused.join("\n")));
    }
    refuse_beside_nodes(cluster, &found)?;
    match members.create(meta, head).await {
        Ok(Creation::Created) => Ok(()),
        Ok(Creation::Exists) => Err(Exit::usage(exists(cluster, "a log that was just made"))),
        Err(reasons) => Err(Exit::unavailable(format!(
            "{}head: it is unknown whether the log was made ({reasons}): see `firstcome cluster status`",
            cluster.prefix()
        ))),
    }
}

fn is_own(log: &LogFinding, meta: &LogMeta, head: &Head) -> bool {
    log.meta.present().is_some_and(|found| found.file_id == meta.file_id) && log.head.present() == Some(head)
}

/// Refuses a new log while nodes say how far they are in another one: a node that finds them ahead of its log does not lead.
fn refuse_beside_nodes(cluster: &ClusterConfig, found: &Findings) -> Result<(), Exit> {
    let Ok(log) = &found.log else { return Ok(()) };
    let alive: Vec<&str> = log.nodes.keys().map(String::as_str).collect();
    if alive.is_empty() {
        return Ok(());
    }
    Err(Exit::usage(format!(
        "{}nodes: {} run, or were killed less than 5 s ago: stop all nodes, then type this again",
        cluster.prefix(),
        alive.join(", ")
    )))
}

fn refuse_existing(cluster: &ClusterConfig, own: &LogMeta, log: &LogFinding) -> Result<(), Exit> {
    let which = match &log.meta {
        KeyState::Absent if log.head == KeyState::Absent => return Ok(()),
        KeyState::Present(meta) if meta.file_id == own.file_id => "a log of this database".to_owned(),
        KeyState::Present(meta) => format!("a log of another database ({})", meta.file_id),
        KeyState::Absent | KeyState::Unreadable => "something that is no log of this program".to_owned(),
    };
    Err(Exit::usage(exists(cluster, &which)))
}

fn exists(cluster: &ClusterConfig, which: &str) -> String {
    format!(
        "{}: etcd has {which} there; `cluster` and `shard` in {} name another log, or it is used as it is",
        cluster.prefix(),
        cluster.file.display()
    )
}

fn tell(cluster: &ClusterConfig, data: &Path, store: &Store, loaded: &Loaded) {
    let (file, data) = (cluster.file.display(), data.display());
    output::line(format!(
        "made the log of cluster {}, shard {}: {}",
        cluster.cluster,
        cluster.shard.get(),
        cluster.prefix()
    ));
    output::line(format!("  database  {data}, id {}", hex::encode(&store.file_id)));
    output::line(format!("  begins    after event {}", loaded.state.seq()));
    output::line("next:");
    output::line(format!("  1. on this node:        firstcome serve --cluster {file} --data {data}"));
    output::line(
        "  2. on each other node:  `firstcome cluster join`, and then the same; or copy the directory before the first start",
    );
    output::line(format!("  3. firstcome cluster status --cluster {file}"));
}
