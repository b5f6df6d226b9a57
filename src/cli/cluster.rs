//! `firstcome cluster`: makes the log of a cluster, shows the state of its members and nodes, and makes its key.

#[cfg(feature = "cluster")]
mod init;
#[cfg(feature = "cluster")]
mod status;
mod status_view;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::exit::Exit;
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
database is damaged; 66 there is no database; 69 no quorum of etcd answers; 73 a server runs on the directory; 78 the
members must be put in order first.";

const STATUS_EXAMPLES: &str = "Examples:
  firstcome cluster status --cluster /etc/firstcome/cluster.toml
  firstcome cluster status --cluster /etc/firstcome/cluster.toml --json | jq '.nodes[] | {node, lag}'

Exit codes: 0 all is well; 1 something is wrong, a line each on standard error; 64 wrong arguments or a wrong file of the
cluster; 69 no quorum of etcd answers.";

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
        ClusterCommand::Key => print_key(),
    }
}

#[cfg(feature = "cluster")]
fn run_init(file: &ClusterFile, data: &std::path::Path) -> Result<(), Exit> {
    init::run(&file.read()?, data)
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
    output::secret(hex::encode(&key))
        .map_err(|error| Exit::cannot_create(format!("the key could not be written to standard output: {error}")))
}
