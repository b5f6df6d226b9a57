//! `firstcome cluster`: makes the log of a cluster, shows the state of its members and nodes, and makes its key.

#[cfg(feature = "cluster")]
mod adopt;
mod handover;
#[cfg(feature = "cluster")]
mod init;
#[cfg(feature = "cluster")]
mod join;
mod leave;
#[cfg(feature = "cluster")]
mod promote;
#[cfg(feature = "cluster")]
mod status;
mod status_view;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::exit::{self, Exit};
use crate::output;
use crate::types::{hex, random};

const EXAMPLES: &str = "Examples:
  firstcome cluster key | install -m 600 /dev/stdin /etc/firstcome/cluster.key
  firstcome cluster init --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data
  firstcome serve --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data
  firstcome cluster status --cluster /etc/firstcome/cluster.toml

src/log/README.md describes the file of a cluster and how it is operated.";

const INIT_EXAMPLES: &str = "Examples:
  firstcome cluster init --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data

The log begins after the last event of this database. All nodes of the cluster begin with copies of it.

Exit codes: 64 wrong arguments or a wrong file of the cluster, there is a log already, or the database was a node's; 65 the
database is damaged, or of another shard; 66 there is no database; 69 no quorum of etcd answers; 73 a server runs on the directory; 78 the
members must be put in order first.";

const STATUS_EXAMPLES: &str = "Examples:
  firstcome cluster status --cluster /etc/firstcome/cluster.toml
  firstcome cluster status --cluster /etc/firstcome/cluster.toml --json | jq '.nodes[] | {node, lag}'

Exit codes: 0 all is well; 1 something is wrong, a line each on standard error; 64 wrong arguments or a wrong file of the
cluster; 69 no quorum of etcd answers.";

const JOIN_EXAMPLES: &str = "Examples:
  firstcome cluster join --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data --from https://n2.example:8081
  firstcome serve --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data

Copies the file of a running follower while the sale goes on, verifies it, and applies what the log got meanwhile. The
token of an owner is in --token-file or in the variable FIRSTCOME_TOKEN. After an interruption the same command begins
again; no server starts in the directory before it has ended.

Exit codes: 64 wrong arguments, or the directory has a database; 65 the copy is damaged, or of another log; 69 the node or
a quorum of etcd is unreachable or refuses; 73 a process uses the directory; 74 the disk; 78 the members must be put in
order first.";

const ADOPT_EXAMPLES: &str = "Examples:
  firstcome cluster adopt --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data
                                        says up to which entry the database of this node goes
  firstcome cluster adopt --cluster /etc/firstcome/cluster.toml --data /var/lib/firstcome/data --accept-n 48211

For a cluster whose etcd has lost its data. Stop all nodes first. The new log begins after the last event of this database,
which must be the longest of all nodes: what only another one has is lost. The others join again.

Exit codes: 64 wrong arguments, the number is another one, or there is a log; 65 the database is damaged, or of another
shard; 66 there is no database; 69 no quorum of etcd answers; 73 a server runs on the directory; 78 the members must be put
in order first.";

const HANDOVER_EXAMPLES: &str = "Examples:
  firstcome cluster handover --admin https://n1.example:8081
  firstcome cluster handover --admin https://n1.example:8081 --to n2

The leader ends its batch, gives the leadership up, and another node leads a moment later. Nothing is lost; buyers whose
request comes in that moment are told to repeat it. The token of an owner is in the variable FIRSTCOME_TOKEN.

Exit codes: 0 another node leads; 64 wrong arguments; 69 the node is unreachable, does not lead, or no other one can.";

const LEAVE_EXAMPLES: &str = "Examples:
  firstcome cluster leave --admin https://n1.example:8081
  systemctl disable --now firstcome-node@n1

The node hands over if it leads, withdraws its announcement, and does not lead again before its server is started anew. Until it
is stopped it follows and serves reads. Nothing else names it, so that its directory may then be put aside. The token of an
owner is in the variable FIRSTCOME_TOKEN.

Exit codes: 0 it has left; 64 wrong arguments; 69 the node is unreachable, or leads and no other one can.";

const PROMOTE_EXAMPLES: &str = "Examples:
  firstcome cluster promote --cluster /etc/firstcome/cluster.toml

The node that `node` in the file names leads next: the present leader, which the log names, hands over to it. The token of an
owner there is in the variable FIRSTCOME_TOKEN, and is sent to that address.

Exit codes: 0 it leads; 64 wrong arguments or a wrong file of the cluster; 69 no quorum of etcd answers, or the leader is
unreachable or refuses.";

const KEY_EXAMPLES: &str = "Examples:
  firstcome cluster key | install -m 600 /dev/stdin /etc/firstcome/cluster.key

The key is the only line on standard output: 64 hexadecimal digits, as `openssl rand -hex 32` makes them. Copy it to all nodes
of the cluster (`key_file`), and keep a copy elsewhere: without it no entry of the log can be read.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Subcommand, Debug)]
enum ClusterCommand {
    /// Make the log of a cluster from a database on which no server runs
    #[command(after_help = INIT_EXAMPLES)]
    Init {
        #[command(flatten)]
        file: ClusterFile,
        /// Directory of the database
        #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
        data: PathBuf,
    },
    /// Show the members of etcd, the log and the nodes, and what is wrong with them
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        #[command(flatten)]
        file: ClusterFile,
        /// Print JSON instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Make the database of a new node from another node's, while the sale goes on
    #[command(after_help = JOIN_EXAMPLES)]
    Join {
        #[command(flatten)]
        file: ClusterFile,
        /// Directory of the new database, which has none yet
        #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
        data: PathBuf,
        /// Admin listener of a node that follows: host:port, http://host:port or https://host:port
        #[arg(long, value_name = "URL")]
        from: String,
        /// File with the token of an owner there
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// With https://: trust the authorities in this PEM file as well
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Copy the leader if it is the only node
        #[arg(long)]
        from_leader: bool,
    },
    /// Make a new log from the longest database, after etcd has lost its data
    #[command(after_help = ADOPT_EXAMPLES)]
    Adopt {
        #[command(flatten)]
        file: ClusterFile,
        /// Directory of the database
        #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
        data: PathBuf,
        /// Number of the last entry that the database has; without it nothing is changed
        #[arg(long, value_name = "N")]
        accept_n: Option<u64>,
    },
    /// Hand the leadership over to another node, before the leader is stopped
    #[command(after_help = HANDOVER_EXAMPLES)]
    Handover {
        /// Admin listener of the leader: host:port, http://host:port or https://host:port
        #[arg(long, value_name = "URL", default_value = "127.0.0.1:8081")]
        admin: String,
        /// Name of the node that is to lead; otherwise the one that is furthest
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        /// With https://: trust the authorities in this PEM file as well
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Let a node lead no more, before it is stopped for good or for long
    #[command(after_help = LEAVE_EXAMPLES)]
    Leave {
        /// Admin listener of the node: host:port, http://host:port or https://host:port
        #[arg(long, value_name = "URL", default_value = "127.0.0.1:8081")]
        admin: String,
        /// With https://: trust the authorities in this PEM file as well
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Let this node lead: the present leader hands over to it
    #[command(after_help = PROMOTE_EXAMPLES)]
    Promote {
        #[command(flatten)]
        file: ClusterFile,
        /// Admin listener of the leader, if it is not the one that the log names
        #[arg(long, value_name = "URL")]
        admin: Option<String>,
        /// With https://: trust the authorities in this PEM file as well
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Print a new key of a cluster
    #[command(after_help = KEY_EXAMPLES)]
    Key,
}

#[derive(Args, Debug)]
struct ClusterFile {
    /// TOML file of the cluster
    #[arg(long, value_name = "FILE")]
    cluster: PathBuf,
}

/// Runs one of the verbs.
///
/// # Errors
/// The exit code, and one line for each mistake.
pub fn run(args: &ClusterArgs) -> Result<(), Exit> {
    match &args.command {
        ClusterCommand::Init { file, data } => run_init(file, data),
        ClusterCommand::Status { file, json } => run_status(file, *json),
        ClusterCommand::Join { file, data, from, token_file, ca, from_leader } => {
            let source = CopySource {
                url: from,
                token_file: token_file.as_deref(),
                ca: ca.as_deref(),
                from_leader: *from_leader,
            };
            run_join(file, data, &source)
        }
        ClusterCommand::Adopt { file, data, accept_n } => run_adopt(file, data, *accept_n),
        ClusterCommand::Handover { admin, to, ca } => handover::run(admin, ca.as_deref(), to.as_deref()),
        ClusterCommand::Leave { admin, ca } => leave::run(admin, ca.as_deref()),
        ClusterCommand::Promote { file, admin, ca } => run_promote(file, admin.as_deref(), ca.as_deref()),
        ClusterCommand::Key => print_key(),
    }
}

#[cfg(feature = "cluster")]
fn run_init(file: &ClusterFile, data: &std::path::Path) -> Result<(), Exit> {
    init::run(&file.read()?, data)
}

/// The place of a copy.
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "this build joins nothing"))]
struct CopySource<'a> {
    url: &'a str,
    token_file: Option<&'a std::path::Path>,
    ca: Option<&'a std::path::Path>,
    from_leader: bool,
}

#[cfg(feature = "cluster")]
fn run_join(file: &ClusterFile, data: &std::path::Path, source: &CopySource<'_>) -> Result<(), Exit> {
    join::run(&file.read()?, data, source)
}

#[cfg(feature = "cluster")]
fn run_adopt(file: &ClusterFile, data: &std::path::Path, accept_n: Option<u64>) -> Result<(), Exit> {
    adopt::run(&file.read()?, data, accept_n)
}

#[cfg(feature = "cluster")]
fn run_promote(file: &ClusterFile, admin: Option<&str>, ca: Option<&std::path::Path>) -> Result<(), Exit> {
    promote::run(&file.read()?, admin, ca)
}

#[cfg(feature = "cluster")]
fn run_status(file: &ClusterFile, json: bool) -> Result<(), Exit> {
    status::run(&file.read()?, json)
}

#[cfg(feature = "cluster")]
impl ClusterFile {
    fn read(&self) -> Result<crate::config::ClusterConfig, Exit> {
        let refused = |mistakes: &[crate::config::ConfigError]| {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            Exit::usage(lines.join("\n"))
        };
        let cluster = crate::config::ClusterConfig::read(&self.cluster, None).map_err(|mistakes| refused(&mistakes))?;
        let mistakes = cluster.mistakes_of_files();
        if mistakes.is_empty() { Ok(cluster) } else { Err(refused(&mistakes)) }
    }
}

/// Runs requests to etcd on this thread.
#[cfg(feature = "cluster")]
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?.block_on(work))
}

#[cfg(not(feature = "cluster"))]
fn run_init(file: &ClusterFile, _: &std::path::Path) -> Result<(), Exit> {
    Err(not_built(file))
}

#[cfg(not(feature = "cluster"))]
fn run_join(file: &ClusterFile, _: &std::path::Path, _: &CopySource<'_>) -> Result<(), Exit> {
    Err(not_built(file))
}

#[cfg(not(feature = "cluster"))]
fn run_adopt(file: &ClusterFile, _: &std::path::Path, _: Option<u64>) -> Result<(), Exit> {
    Err(not_built(file))
}

#[cfg(not(feature = "cluster"))]
fn run_promote(file: &ClusterFile, _: Option<&str>, _: Option<&std::path::Path>) -> Result<(), Exit> {
    Err(not_built(file))
}

#[cfg(not(feature = "cluster"))]
fn run_status(file: &ClusterFile, _: bool) -> Result<(), Exit> {
    Err(not_built(file))
}

#[cfg(not(feature = "cluster"))]
fn not_built(file: &ClusterFile) -> Exit {
    let file = file.cluster.display();
    Exit::usage(format!("{file}: this build has no replicated log (cargo build --release --features cluster has one)"))
}

fn print_key() -> Result<(), Exit> {
    let mut key = [0; 32];
    random::fill(&mut key);
    output::secret(hex::encode(&key)).map_err(|error| {
        let step = exit::next_step(&error);
        Exit::cannot_create(format!("the key could not be written to standard output: {error}{step}"))
    })
}
