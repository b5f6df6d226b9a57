//! `firstcome preflight`: may this sale begin? Looks at the running server, its machine and those who watch it.
//!
//! Reads only, about thirty requests: it may be run beside a sale. What it writes is a small file beside the database,
//! to see how fast the disk is, and, to an Alertmanager that was named, one alert that means nothing.

mod alerts;
mod finding;
mod machine;
mod secrets;
mod server;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, value_parser};
use hyper::Method;
use serde_json::Value;

use super::serve;
use crate::client::http::{HttpClient, RequestError, TimedResponse, block_on, printable};
use crate::client::metrics::MetricsPage;
use crate::config::{Config, TlsFiles};
use crate::exit::Exit;
use crate::output;
use crate::telemetry::catalogue as metric;
use crate::writer::clock::wall_clock;
use finding::{Finding, Verdict};

const EXAMPLES: &str = "Examples:
  firstcome preflight 7 --config firstcome.toml --backup /backup/latest.db
  firstcome preflight 7 --prometheus http://127.0.0.1:9090 --alertmanager http://127.0.0.1:9093
  firstcome preflight 7 --json | jq '.checks[] | select(.verdict != \"pass\")'

Run it on the server's machine, as the server's user, with the server's own --config and FIRSTCOME__ variables: from
them it knows where the server is, its limits and its secrets. It reads only and harms no running sale; an Alertmanager
that is named gets one alert (FirstcomePreflight, severity none) that ends by itself after a minute.
Where operators have tokens, it needs an operator's in the variable FIRSTCOME_TOKEN.
Exit code: 0 all pass or warn; 1 something fails; 64 wrong argument or setting; 69 no server, it refuses, or no such drop.";

/// `preflight`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PreflightArgs {
    /// The drop's number
    #[arg(value_parser = value_parser!(u32).range(1..))]
    drop: u32,
    /// The server's TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the database, where the settings do not say
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The server's public listener, if not as the settings say
    #[arg(long, value_name = "ADDR")]
    public: Option<String>,
    /// The server's admin listener, if not as the settings say
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Trust this authority (PEM) besides the web's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The newest backup: how old is it?
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Prometheus: does it see the server, has it the alert rules?
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Alertmanager: does an alert get through?
    #[arg(long, value_name = "URL")]
    alertmanager: Option<String>,
    /// As JSON, for other programs
    #[arg(long)]
    json: bool,
}

/// The alert rules that Prometheus should have.
const RULES: &str = include_str!("../../dashboards/alerts.yml");

/// Looks at everything and says what it found.
///
/// # Errors
/// 1, 64 or 69 and a line.
pub fn run(args: &PreflightArgs) -> Result<(), Exit> {
    let flags: Vec<(&'static str, String)> = args.data.iter().map(|data| ("data", data.clone())).collect();
    let config = serve::load_config(args.config.as_deref(), &flags)?;
    let places = Places::of(args, &config)?;
    let (title, findings) = block_on(look(args, &config, &places))?;
    if args.json {
        output::line(finding::json(args.drop, &places.admin.url, &findings));
    } else {
        output::line(title);
        finding::table(&findings).iter().for_each(output::line);
    }
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    let failed: Vec<&str> = failed.map(|finding| finding.check).collect();
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(format!("not ready: {}", failed.join(", ")))) }
}

/// Whom it asks.
struct Places {
    public: HttpClient,
    admin: HttpClient,
    prometheus: Option<HttpClient>,
    alertmanager: Option<HttpClient>,
}

impl Places {
    fn of(args: &PreflightArgs, config: &Config) -> Result<Places, Exit> {
        let public = args.public.clone().unwrap_or_else(|| local_url(config.public_listen, &config.public_tls));
        let admin = args.admin.clone().unwrap_or_else(|| local_url(config.admin_listen, &config.admin_tls));
        let ca = args.ca.as_deref();
        let optional =
            |address: &Option<String>, flag| address.as_ref().map(|text| HttpClient::new(text, flag, ca)).transpose();
        Ok(Places {
            public: HttpClient::new(&public, "--public", ca)?,
            admin: HttpClient::for_admin(&admin, "--admin", ca)?,
            prometheus: optional(&args.prometheus, "--prometheus")?,
            alertmanager: optional(&args.alertmanager, "--alertmanager")?,
        })
    }
}

async fn look(args: &PreflightArgs, config: &Config, places: &Places) -> Result<(String, Vec<Finding>), Exit> {
    let Places { public, admin, prometheus, alertmanager } = places;
    let told = |error: RequestError| admin.exit("/metrics", &error);
    let text = admin.get_text("/metrics").await.map_err(told)?;
    let page = MetricsPage::parse(&text).map_err(|wrong| told(RequestError::Invalid(wrong.to_string())))?;
    let path = format!("/v1/drops/{}", args.drop);
    let (drop, answer) = the_drop(public, &path, args.drop).await?;
    let wall = wall_clock();

    let total = drop["total"].as_u64().unwrap_or(0);
    let ready = admin.request(Method::GET, "/readyz", None).await.map(|_| ());
    let clock = server::clock(&answer.reply.headers, answer.elapsed, wall, &page);
    let plays = public.request(Method::GET, "/", None).await.is_ok();
    let descriptors_max =
        page.value(metric::DESCRIPTORS_MAX.name).map(|_| server::count(&page, &metric::DESCRIPTORS_MAX));

    let mut findings = server::readiness(ready, &page, config);
    findings.extend([server::drop_state(&drop), server::stock(&drop, &page), server::leftovers(&drop)]);
    findings.push(server::reads(public, &path).await.map_err(|error| public.exit(&path, &error))?);
    findings.extend([machine::clock_is_kept(), clock]);
    findings.extend([server::room(&page, config, total), machine::disk_syncs(&config.data)]);
    findings.extend(machine::kernel(config, descriptors_max));
    findings.push(secrets::secrets(config, plays));
    findings.push(server::endpoints(admin, &page, config).await);
    findings.push(machine::backup(args.backup.as_deref()));
    findings.extend(alerts::rules(prometheus.as_ref(), &alerts::names(RULES)).await);
    findings.push(alerts::test_alert(alertmanager.as_ref(), args.drop).await);

    let name = printable(drop["name"].as_str().unwrap_or(""));
    Ok((format!("before the sale of drop {}, {name}, {total} units, at {}", args.drop, admin.url), findings))
}

/// The drop as buyers see it, and the answer that it came with.
async fn the_drop(public: &HttpClient, path: &str, id: u32) -> Result<(Value, TimedResponse), Exit> {
    let answer = match public.request(Method::GET, path, None).await {
        Ok(answer) => answer,
        Err(error @ RequestError::Status(404, _)) => {
            let line = format!("{}: there is no drop {id} ({error}); GET /v1/drops lists them", public.url);
            return Err(Exit::unavailable(line));
        }
        Err(error) => return Err(public.exit(path, &error)),
    };
    let drop = serde_json::from_slice(&answer.reply.body)
        .map_err(|error| public.exit(path, &RequestError::Invalid(error.to_string())))?;
    Ok((drop, answer))
}

/// Returns the URL of a listener of this configuration, as reached from its own machine.
fn local_url(listen: SocketAddr, tls: &Option<TlsFiles>) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    format!("{}://{}", Config::scheme(tls), SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        let listen = |text: &str| text.parse().expect("an address");
        assert_eq!(local_url(listen("0.0.0.0:81"), &None), "http://127.0.0.1:81");
        assert_eq!(local_url(listen("[::]:81"), &Some(TlsFiles::default())), "https://[::1]:81");
        assert_eq!(local_url(listen("10.1.2.3:81"), &None), "http://10.1.2.3:81");
    }
}
