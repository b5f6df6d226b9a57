//! `firstcome cluster join`: makes the database of a new node from a copy of another node's, and from the entries of the log
//! that came meanwhile.

mod apply;
mod spool;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use self::apply::Applier;
use self::spool::Spool;
use super::CopySource;
use crate::client::http::{HttpClient, RequestError};
use crate::config::ClusterConfig;
use crate::config::secret_file::{self, FileProtection};
use crate::egress::SendError;
use crate::exit::Exit;
use crate::failpoints::{self, PausePoint};
use crate::log::checks::{refusals, warnings};
use crate::log::etcd::EtcdLog;
use crate::log::etcd_connect::open_log;
use crate::log::etcd_members::EtcdMembers;
use crate::log::meta::LogMeta;
use crate::log::{Head, LogAnswer, LogRequest};
use crate::output;
use crate::store::StoreError;
use crate::store::joining::{GrowingStore, Joining};
use crate::store::open::DATABASE_FILE;
use crate::types::hex;
use crate::writer::clock::wall_clock;

/// Longest time in which a node makes its copy: a large file on a slow disk.
const COPY_MAX: Duration = Duration::from_secs(30 * 60);
/// Longest wait for another copy of that node's file to end: that of a join which was killed ends when its connection does.
const TURN_MAX: Duration = Duration::from_secs(30);
/// Interval of looks whether it has ended.
const TURN_EVERY: Duration = Duration::from_secs(1);
/// Longest pause between two pieces of it.
const PIECE_MAX: Duration = Duration::from_secs(60);
/// Longest token in its file, in bytes.
const TOKEN_BYTES_MAX: u64 = 4096;
/// Longest time for the head of the log: members that are just electing a leader.
const HEAD_MAX: Duration = Duration::from_secs(20);
/// Entries that the started node may read by itself: it follows from its position on.
const BEHIND_MAX: u64 = 16;

/// Joins.
///
/// # Errors
/// The exit code, and one line for each reason. The directory is one in which the same command begins again.
pub(super) fn run(cluster: &ClusterConfig, data: &Path, source: &CopySource<'_>) -> Result<(), Exit> {
    let node = client(cluster, source)?;
    let told = |error: StoreError| Exit::new(error.exit_code(), error.told(&data.join(DATABASE_FILE)));
    let joining = Joining::begin(data).map_err(told)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    let meta = runtime.block_on(check(cluster))?;
    let log = runtime.block_on(open_log(cluster, meta.slots)).map_err(|mistake| Exit::usage(mistake.to_string()))?;
    let log = Log { runtime, log };
    let began = log.head()?;
    let spool = Spool::begin(cluster, meta.slots, began, joining.spool())?;
    let part = joining.create_part().map_err(told)?;
    let bytes = log.runtime.block_on(download(&node, source, &part))?;
    failpoints::pause(PausePoint::JoinVerifies);
    output::line(format!("copied {bytes} bytes; verifying"));
    let growing = joining.open(&part, wall_clock()).map_err(told)?;
    refuse_other(&growing, &meta, log.head()?, source)?;
    let complete = catch_up(growing, &log, spool)?;
    let (entry, seq) = (complete.position.number, complete.seq);
    joining.install(complete).map_err(told)?;
    tell(cluster, data, entry, seq.get());
    Ok(())
}

/// Returns the client of the node that is copied. Its file has contacts of buyers: they travel encrypted between machines.
fn client(cluster: &ClusterConfig, source: &CopySource<'_>) -> Result<HttpClient, Exit> {
    let (scheme, host) = source.url.split_once("://").unwrap_or(("http", source.url));
    let plain = (!scheme.eq_ignore_ascii_case("https")).then_some(host);
    if plain.is_some_and(|host| !is_loopback(host)) && !cluster.test {
        return Err(Exit::usage(format!(
            "--from {}: a copy has buyers' contacts: it needs https:// unless it comes from this machine",
            source.url
        )));
    }
    let client = HttpClient::for_admin(source.url, "--from", source.ca)?;
    let Some(file) = source.token_file else { return Ok(client) };
    let token = secret_file::read("--token-file", file, FileProtection::Secret, TOKEN_BYTES_MAX)
        .map_err(|mistake| Exit::usage(mistake.to_string()))?;
    client.with_token(String::from_utf8_lossy(&token).trim())
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('/');
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Checks the members and the log as a start does. Returns the constants of the log.
async fn check(cluster: &ClusterConfig) -> Result<LogMeta, Exit> {
    let members = EtcdMembers::connect(cluster).await.map_err(|mistake| Exit::usage(mistake.to_string()))?;
    let found = members.findings(true).await;
    warnings(cluster, &found).into_iter().for_each(output::note);
    let refused = refusals(cluster, None, &found);
    match &found.log {
        Err(_) => Err(Exit::unavailable(refused.join("\n"))),
        Ok(_) if !refused.is_empty() => Err(Exit::cluster(refused.join("\n"))),
        Ok(log) => log.meta.present().cloned().ok_or_else(|| Exit::cluster(no_log(cluster))),
    }
}

fn no_log(cluster: &ClusterConfig) -> String {
    format!("{}: there is no log yet: make one with `firstcome cluster init`", cluster.prefix())
}

/// The log, asked by this thread.
struct Log {
    runtime: Runtime,
    log: EtcdLog,
}

impl Log {
    fn head(&self) -> Result<Head, Exit> {
        let until = Instant::now() + HEAD_MAX;
        while Instant::now() < until {
            if let LogAnswer::Head(head) = self.ask(&LogRequest::Head { elsewhere: false }) {
                return Ok(head);
            }
        }
        Err(Exit::unavailable("no member of the log answers: `firstcome cluster status` shows them"))
    }

    /// Reads the slot of an entry; `None` if no member answers.
    fn slot(&self, number: u64, elsewhere: bool) -> Option<std::sync::Arc<[u8]>> {
        let answer = self.ask(&LogRequest::Read { number, elsewhere });
        if let LogAnswer::Entry(bytes) = answer { Some(bytes) } else { None }
    }

    fn ask(&self, request: &LogRequest) -> LogAnswer {
        let answer = self.runtime.block_on(self.log.carry_out(request));
        if answer == LogAnswer::Unknown {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        answer
    }
}

/// Writes the copy into its file. Returns its length.
async fn download(node: &HttpClient, source: &CopySource<'_>, mut part: &File) -> Result<u64, Exit> {
    let path = if source.from_leader { "/v1/node/copy?from_leader=true" } else { "/v1/node/copy" };
    let failed = |error: RequestError| node.exit(&format!("GET {path}"), &error);
    output::note("waiting for the copy, which the other node makes first");
    let until = Instant::now() + TURN_MAX;
    let mut response = loop {
        match node.open(path, COPY_MAX).await {
            Ok(response) => break response,
            Err(RequestError::Status(503, problem)) if problem.starts_with("overloaded") && Instant::now() < until => {
                output::note("that node makes another copy: waiting for its end");
                tokio::time::sleep(TURN_EVERY).await;
            }
            Err(error) => return Err(failed(error)),
        }
    };
    let length = response.headers.get(hyper::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length: u64 = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let (mut bytes, mut told) = (0_u64, Instant::now());
    let broken = |error: SendError| node.exit(&format!("GET {path}"), &RequestError::NoResponse(error));
    while let Some(piece) = response.piece(PIECE_MAX).await.map_err(broken)? {
        part.write_all(&piece).map_err(|error| Exit::disk(format!("the copy could not be written: {error}")))?;
        bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            output::note(format!("{bytes} of {length} bytes"));
        }
        failpoints::pause(PausePoint::JoinCopies);
    }
    if bytes != length || bytes == 0 {
        return Err(Exit::unavailable(format!(
            "{}: the copy broke off after {bytes} of {length} bytes: run the same command again",
            node.url
        )));
    }
    Ok(bytes)
}

/// Refuses the file of another log, and one that the log does not reach.
fn refuse_other(growing: &GrowingStore, meta: &LogMeta, head: Head, source: &CopySource<'_>) -> Result<(), Exit> {
    let found = hex::encode(&growing.store.file_id);
    if found != meta.file_id {
        return Err(Exit::bad_data(format!(
            "{}: that node has the file {found}, and the log is of the file {}: name a node of this cluster and shard",
            source.url, meta.file_id
        )));
    }
    let number = growing.position.number;
    if number > head.number {
        return Err(Exit::bad_data(format!(
            "{}: the copy has entry {number}, and the log ends with entry {}: the log has lost entries; join with nothing \
             before that is understood",
            source.url, head.number
        )));
    }
    Ok(())
}

/// Applies what came after the copy, until the node can follow by itself.
fn catch_up(growing: GrowingStore, log: &Log, mut spool: Spool) -> Result<GrowingStore, Exit> {
    let mut applier = Applier::new(&growing)?;
    loop {
        let head = log.head()?;
        while applier.number() < head.number {
            let next = applier.number().saturating_add(1);
            let bytes = match spool.read(next)? {
                Some(bytes) => bytes,
                // The copy is a little older than the first entry that was kept.
                None => ring_entry(log, next)?,
            };
            applier.apply(&bytes)?;
            failpoints::pause(PausePoint::JoinApplies);
        }
        let now = log.head()?;
        if applier.number().saturating_add(BEHIND_MAX) >= now.number {
            break;
        }
    }
    spool.stop();
    let (position, seq, link) = applier.end();
    Ok(GrowingStore { position, seq, link, ..growing })
}

/// Reads an entry that was not kept from the log itself.
fn ring_entry(log: &Log, number: u64) -> Result<Vec<u8>, Exit> {
    for attempt in 0..20 {
        let Some(bytes) = log.slot(number, attempt % 2 == 1) else { continue };
        match crate::log::Entry::decode(&bytes) {
            Ok(entry) if entry.number == number => return Ok(bytes.to_vec()),
            Ok(entry) if entry.number > number => {
                return Err(Exit::unavailable(format!(
                    "the copy ends before entry {number}, which the log has overwritten: that node is far behind; join from \
                     another one"
                )));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(Exit::unavailable(format!(
        "entry {number} of the log cannot be read: `firstcome cluster status` shows its members"
    )))
}

fn tell(cluster: &ClusterConfig, data: &Path, entry: u64, seq: u64) {
    let (file, data): (_, PathBuf) = (cluster.file.display(), data.into());
    let data = data.display();
    output::line(format!("joined cluster {}: {data} has everything up to entry {entry}, event {seq}", cluster.cluster));
    output::line("tokens of operators are each node's own: `firstcome token create`, or copy operators.json");
    output::line("next, before the log overwrites what comes after that entry:");
    output::line(format!("  firstcome serve --cluster {file} --data {data}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_own_addresses_are_loopback() {
        for host in ["127.0.0.1:8081", "localhost:8081/", "[::1]:8081", "localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["n1.example:8081", "10.0.0.1:1", "localhost.example:1", "127.0.0.1.example:1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
