//! `firstcome route`: the front for the nodes of several shards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::service_manager;
use crate::client::wire::read_authorities;
use crate::config::{ConfigError, ShardsConfig};
use crate::exit::Exit;
use crate::output;
use crate::route::{RunningRoute, nginx, start};
use crate::telemetry::logging;

const EXAMPLES: &str = "Examples:
  firstcome route --shards shards.toml
  firstcome route --shards shards.toml --public 0.0.0.0:8080
  firstcome route --shards shards.toml --print-nginx > /etc/nginx/conf.d/firstcome-shards.conf

src/log/README.md (\"Shards and the router\") has the file, the rules and the limits.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RouteArgs {
    /// TOML file with the nodes of each shard
    #[arg(long, value_name = "FILE")]
    shards: PathBuf,
    /// Address of the public listener, for buyers
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    public: SocketAddr,
    /// Address of the admin listener, for operators: a loopback address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Print the maps of nginx that send requests to the shards, and end
    #[arg(long)]
    print_nginx: bool,
    /// Log lines of this level and above: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
    /// Log as JSON, one object a line
    #[arg(long)]
    log_json: bool,
}

/// Runs the router until SIGTERM, SIGINT or SIGQUIT.
///
/// # Errors
/// 64: all mistakes of the file and the arguments, one line each. 69: an address is in use.
pub fn run(args: &RouteArgs) -> Result<(), Exit> {
    let (config, authorities) = read(&args.shards, args.admin)?;
    if args.print_nginx {
        output::line(nginx(&config).trim_end());
        return Ok(());
    }
    logging::init(args.log_level, args.log_json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime for signals: {error}")))?;
    let shards = config.shards.len();
    let running = start(config, &authorities, args.public, args.admin)?;
    let ended = runtime.block_on(until_signal(&running, shards));
    running.stop();
    logging::flush();
    ended
}

/// Reads the file of shards and what it names.
fn read(file: &Path, admin: SocketAddr) -> Result<(ShardsConfig, Vec<CertificateDer<'static>>), Exit> {
    let mut mistakes = Vec::new();
    if !admin.ip().is_loopback() {
        mistakes.push(format!(
            "--admin {admin}: expected a loopback address: nodes without operators' tokens would obey every host that reaches \
             it"
        ));
    }
    let config = ShardsConfig::read(file);
    if let Err(more) = &config {
        mistakes.extend(more.iter().map(ConfigError::to_string));
    }
    let authorities = config.as_ref().ok().and_then(|config| config.ca.as_deref()).map(read_authorities).transpose();
    match (config, authorities) {
        (Ok(config), Ok(authorities)) if mistakes.is_empty() => Ok((config, authorities.unwrap_or_default())),
        (_, authorities) => {
            mistakes.extend(authorities.err());
            Err(Exit::usage(mistakes.join("\n")))
        }
    }
}

async fn until_signal(running: &RunningRoute, shards: usize) -> Result<(), Exit> {
    let failed = |error: std::io::Error| Exit::system(format!("no signal handler: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut quit = signal(SignalKind::quit()).map_err(failed)?;
    output::line(format!("firstcome {} routes to {shards} shards", env!("CARGO_PKG_VERSION")));
    output::line(format!("  buyers     http://{}/v1/drops", running.public));
    output::line(format!("  operators  http://{}/metrics", running.admin));
    tracing::info!(public = %running.public, admin = %running.admin, shards, "routing");
    service_manager::ready();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
    }
    service_manager::stopping();
    tracing::info!("ending: answering the requests that are in flight");
    Ok(())
}
