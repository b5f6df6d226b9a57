//! `firstcome health`: asks a running server whether it is alive or ready, for container runtimes and load balancers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::serve::load_config;
use crate::client::http::{HttpClient, RequestError, block_on};
use crate::config::Config;
use crate::exit::Exit;
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome health                             the server on this machine answers
  firstcome health --ready                     it takes traffic: it neither ends nor is read-only
  firstcome health --role leader               it is the node of its cluster that decides
  firstcome health --admin 10.0.0.5:8081

The request is GET /healthz, GET /readyz or GET /readyz?role= on the admin listener, which need no token.

Exit codes: 0; 1 not ready; 64 wrong arguments or settings; 69 no answer.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// Admin listener of the server; by default `admin.listen` of the settings [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Ask whether the server takes traffic instead of whether it answers
    #[arg(long)]
    ready: bool,
    /// Ask whether the node of a cluster is ready for this role; any: it serves reads
    #[arg(long, value_name = "ROLE", value_parser = ["leader", "follower", "any"])]
    role: Option<String>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Asks the server once.
///
/// # Errors
/// 1 if it is not ready, 69 if it does not answer.
pub fn run(args: &HealthArgs) -> Result<(), Exit> {
    let address = match &args.admin {
        Some(address) => address.clone(),
        None => own_address(&load_config(args.config.as_deref(), &[])?),
    };
    let client = HttpClient::new(&address, "--admin", args.ca.as_deref())?;
    let path = match &args.role {
        Some(role) => format!("/readyz?role={role}"),
        None if args.ready => "/readyz".into(),
        None => "/healthz".into(),
    };
    block_on(async {
        match client.get_text(&path).await {
            Ok(_) => {
                output::line("ok");
                Ok(())
            }
            Err(RequestError::Status(503, problem)) => Err(Exit::failed(format!("{}: {problem}", client.url))),
            Err(error) => Err(client.exit(&format!("GET {path}"), &error)),
        }
    })
}

/// Returns the admin listener's URL as this machine reaches it.
fn own_address(config: &Config) -> String {
    let mut address: SocketAddr = config.admin_listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{}://{address}", Config::scheme(&config.admin_tls))
}
