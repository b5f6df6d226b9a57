//! `firstcome preflight`: checks before a sale that the running server, its machine and its monitoring are ready.
//!
//! With `--plan` it compares the plan of a sale with this machine instead, without a server.
//!
//! About thirty requests that only read, so it may run during a sale. It writes a small file beside the database, to
//! measure the disk, and one test alert to the Alertmanager that was given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, value_parser};
use hyper::Method;
use serde_json::Value;

use super::serve;
use crate::client::http::{HttpClient, RequestError, TimedResponse, block_on, printable};
use crate::config::{Config, TlsFiles};
use crate::exit::Exit;
use crate::output;
use crate::preflight::finding::{self, Finding, Verdict};
use crate::preflight::{alerts, backup, machine, mail_server, plan, price, public_url, room, secrets, server};
use crate::telemetry::catalogue as metric;
use crate::telemetry::page::MetricsPage;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome preflight 7 --config firstcome.toml --backup /backup/latest.db
  firstcome preflight 7 --prometheus http://127.0.0.1:9090 --alertmanager http://127.0.0.1:9093
  firstcome preflight 7 --json | jq '.checks[] | select(.verdict != \"pass\")'
  firstcome preflight --plan --config firstcome.toml

Run it on the server's machine, as the server's user, with the server's own --config and FIRSTCOME__ variables: they give the server's addresses, limits and secrets.

It only reads and does not disturb a running sale. With --alertmanager it sends one test alert (FirstcomePreflight, severity none), which ends after a minute.

With --plan it needs no server: it compares the settings plan.buyers, plan.units, plan.orders_per_second and plan.reads_per_second with this machine in less than ten seconds. It measures fsyncs where the database is or will be, lets the real engine and store record orders in a scratch database there, which is removed, also after Ctrl-C, and never opens the real one. The scratch database has durability full and full batches, whatever the settings are. Of a cluster it measures neither the log nor other nodes: scripts/cluster/drill.sh does. Run it on an idle machine, not during a sale: it takes a core and the disk.

If operators have tokens, set FIRSTCOME_TOKEN to a token with the role operator.

Exit codes: 0 all checks pass or warn; 1 a check fails, the plan does not fit, or a signal ended the trial; 64 wrong argument or setting; 69 the server is unreachable or refuses, or there is no such drop; 73 with --plan: nothing can be written beside the database.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PreflightArgs {
    /// Number of the drop
    #[arg(value_parser = value_parser!(u32).range(1..), required_unless_present = "plan")]
    drop: Option<u32>,
    /// Compare the plan of the settings (plan.orders_per_second and others) with this machine, without a server
    #[arg(long, conflicts_with_all = ["drop", "public", "admin", "ca", "backup", "prometheus", "alertmanager"])]
    plan: bool,
    /// TOML file with the server's settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the database, if the settings do not name it
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Public listener of the server, if other than in the settings
    #[arg(long, value_name = "ADDR")]
    public: Option<String>,
    /// Admin listener of the server, if other than in the settings
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Newest backup of the database, to check its content and its age
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Prometheus, to check that it scrapes the server and has the alert rules
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Alertmanager, to check with a test alert that alerts get through
    #[arg(long, value_name = "URL")]
    alertmanager: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs all checks and prints the findings.
///
/// # Errors
/// 1 a check fails, 64 or 69.
pub fn run(args: &PreflightArgs) -> Result<(), Exit> {
    let flags: Vec<(&'static str, String)> = args.data.iter().map(|data| ("data", data.clone())).collect();
    let config = serve::load_config(args.config.as_deref(), &flags)?;
    let Some(drop) = args.drop else { return compare_plan(args, &config) };
    let systems = Systems::of(args, &config)?;
    let (title, findings) = block_on(check_all(args, drop, &config, &systems))?;
    let json = || finding::json(drop, &systems.admin.url, &findings);
    print(args, &title, &findings, json);
    conclude("not ready", &findings)
}

/// Compares the plan of the settings with this machine.
fn compare_plan(args: &PreflightArgs, config: &Config) -> Result<(), Exit> {
    let planned = &config.plan;
    let needed = [
        ("plan.buyers", planned.buyers),
        ("plan.units", planned.units),
        ("plan.orders_per_second", planned.orders_per_second),
    ];
    let missing: Vec<&str> = needed.into_iter().filter(|(_, value)| *value == 0).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        let line = format!(
            "--plan needs a plan: set {} in --config, and plan.reads_per_second if pages poll the server",
            missing.join(", ")
        );
        return Err(Exit::usage(line));
    }
    if cfg!(debug_assertions) {
        output::note("this is a debug build: it is several times slower than the one that sells (cargo run --release)");
    }
    let measured = plan::measure(config).map_err(Exit::cannot_create)?;
    let findings = plan::judge(planned, config, &measured);
    let title = format!(
        "the plan of {} buyers, {} units, {} orders/s and {} reads/s on this machine",
        planned.buyers, planned.units, planned.orders_per_second, planned.reads_per_second
    );
    print(args, &title, &findings, || finding::with_checks(plan::json(planned, &measured), &findings));
    if !args.json {
        let fits = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
        output::line(if fits { "the plan fits this machine" } else { "the plan does not fit this machine" });
    }
    conclude("the plan does not fit", &findings)
}

fn print(args: &PreflightArgs, title: &str, findings: &[Finding], json: impl FnOnce() -> Value) {
    if args.json {
        output::line(json());
    } else {
        output::line(title);
        finding::table(findings).iter().for_each(output::line);
    }
}

/// The end of the command: 1 if a check fails.
fn conclude(what: &str, findings: &[Finding]) -> Result<(), Exit> {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    let failed: Vec<&str> = failed.map(|finding| finding.check).collect();
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(format!("{what}: {}", failed.join(", ")))) }
}

/// The systems that are checked.
struct Systems {
    public: HttpClient,
    admin: HttpClient,
    prometheus: Option<HttpClient>,
    alertmanager: Option<HttpClient>,
}

impl Systems {
    fn of(args: &PreflightArgs, config: &Config) -> Result<Systems, Exit> {
        let public = args.public.clone().unwrap_or_else(|| local_url(config.public_listen, &config.public_tls));
        let admin = args.admin.clone().unwrap_or_else(|| local_url(config.admin_listen, &config.admin_tls));
        let ca = args.ca.as_deref();
        let optional =
            |address: &Option<String>, flag| address.as_ref().map(|text| HttpClient::new(text, flag, ca)).transpose();
        Ok(Systems {
            public: HttpClient::new(&public, "--public", ca)?,
            admin: HttpClient::for_admin(&admin, "--admin", ca)?,
            prometheus: optional(&args.prometheus, "--prometheus")?,
            alertmanager: optional(&args.alertmanager, "--alertmanager")?,
        })
    }
}

async fn check_all(
    args: &PreflightArgs,
    drop_id: u32,
    config: &Config,
    systems: &Systems,
) -> Result<(String, Vec<Finding>), Exit> {
    let Systems { public, admin, prometheus, alertmanager } = systems;
    let failed = |error: RequestError| admin.exit("/metrics", &error);
    let text = admin.get_text("/metrics").await.map_err(failed)?;
    let page = MetricsPage::parse(&text).map_err(|wrong| failed(RequestError::Invalid(wrong.to_string())))?;
    let path = format!("/v1/drops/{drop_id}");
    let (drop, response) = read_drop(public, &path, drop_id).await?;
    let wall = wall_clock();

    let total = drop["total"].as_u64().unwrap_or(0);
    let ready = admin.request(Method::GET, "/readyz", None).await.map(|_| ());
    let clock = server::clock(&response.reply.headers, response.elapsed, wall, &page);
    // The form of play money refuses JSON where there is one (415), and is not found elsewhere.
    let form = public.request(Method::POST, "/pay/preflight/sandbox", Some(&Value::Null)).await;
    let has_play_money = matches!(form, Err(RequestError::Status(415, _)));
    let descriptors_max =
        page.value(metric::DESCRIPTORS_MAX.name).map(|_| server::count(&page, &metric::DESCRIPTORS_MAX));

    let mut findings = server::readiness(ready, &page, config);
    findings.extend([server::drop_state(&drop), server::stock(&drop, &page), server::leftovers(&drop)]);
    findings.extend(room::room(&drop, config));
    findings.push(price::price(&drop, config));
    findings.push(public_url::public_url(public).await);
    findings.push(server::reads(public, &path).await.map_err(|error| public.exit(&path, &error))?);
    findings.extend([machine::clock_synchronization(), machine::clock_guard(config.accept_clock), clock]);
    findings.extend([server::disk_space(&page, config, total), machine::disk_kind(&config.data)]);
    findings.push(machine::disk_syncs(&config.data));
    findings.extend(machine::kernel(config, descriptors_max));
    findings.push(secrets::secrets(config, has_play_money));
    let listed = admin.get_json("/v1/webhook-endpoints").await.map_err(|error| error.to_string());
    findings.push(server::endpoints(listed, &page, config).await);
    findings.extend(mail_server::mail_server(config).await);
    findings.push(backup::backup(args.backup.as_deref(), &config.data));
    findings.extend(alerts::rules(prometheus.as_ref(), &alerts::all_names()).await);
    findings.push(alerts::test_alert(alertmanager.as_ref(), drop_id).await);

    let name = printable(drop["name"].as_str().unwrap_or(""));
    Ok((format!("before the sale of drop {drop_id}, {name}, {total} units, at {}", admin.url), findings))
}

/// Reads the drop as buyers see it; returns its JSON and the response.
async fn read_drop(public: &HttpClient, path: &str, id: u32) -> Result<(Value, TimedResponse), Exit> {
    let response = match public.request(Method::GET, path, None).await {
        Ok(response) => response,
        Err(error @ RequestError::Status(404, _)) => {
            let line = format!("{}: there is no drop {id} ({error}); GET /v1/drops lists them", public.url);
            return Err(Exit::unavailable(line));
        }
        Err(error) => return Err(public.exit(path, &error)),
    };
    let drop = serde_json::from_slice(&response.reply.body)
        .map_err(|error| public.exit(path, &RequestError::Invalid(error.to_string())))?;
    Ok((drop, response))
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
