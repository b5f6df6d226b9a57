//! The checks before a sale. `firstcome preflight` makes all of them on the server's machine; a running server makes those about
//! itself that need neither another client nor another machine ([`about_itself`]).

pub mod alerts;
pub mod backup;
pub mod finding;
pub mod machine;
pub mod mail_server;
pub mod memory;
pub mod plan;
pub mod price;
pub mod public_url;
pub mod room;
pub mod secrets;
pub mod server;
pub mod sizing;
pub mod trial;

use std::path::PathBuf;

use serde_json::Value;

use crate::client::http::HttpClient;
use crate::config::Config;
use crate::telemetry::catalogue as metric;
use crate::telemetry::page::MetricsPage;
use finding::Finding;

/// The parts of a server that its own checks read.
pub struct OwnState<'a> {
    pub config: &'a Config,
    pub page: &'a MetricsPage,
    /// The drop as buyers see it, if one is to be checked.
    pub drop: Option<&'a Value>,
    /// The answer of `GET /v1/webhook-endpoints`.
    pub endpoints: Result<Value, String>,
    /// The newest backup that the server has made by itself.
    pub newest_backup: Option<PathBuf>,
}

/// Makes the checks of a running server about itself, in the order of the command's. Those of the machine wait for other programs
/// and for the disk, so that they are made on a thread of their own.
pub async fn about_itself(state: OwnState<'_>) -> Vec<Finding> {
    let OwnState { config, page, drop, endpoints, newest_backup } = state;
    let total = drop.and_then(|drop| drop["total"].as_u64()).unwrap_or(0);
    let descriptors_max =
        page.value(metric::DESCRIPTORS_MAX.name).map(|_| server::count(page, &metric::DESCRIPTORS_MAX));
    let mut findings = server::readiness(Ok(()), page, config);
    if let Some(drop) = drop {
        findings.extend([server::drop_state(drop), server::stock(drop, page), server::leftovers(drop)]);
        findings.extend(room::room(drop, config));
        findings.push(price::price(drop, config));
    }
    findings.push(public_url::judge(&config.public_url));
    findings.push(server::clock_of_decisions(page));
    findings.push(server::disk_space(page, config, total));
    findings.extend(of_the_machine(config.clone(), descriptors_max, newest_backup).await);
    findings.push(server::endpoints(endpoints, page, config).await);
    findings.extend(mail_server::mail_server(config).await);
    findings.extend(prometheus(config).await);
    findings
}

/// Makes the checks that block.
async fn of_the_machine(config: Config, descriptors_max: Option<u64>, newest_backup: Option<PathBuf>) -> Vec<Finding> {
    let checks = move || {
        let directory = config.backup.directory.as_deref();
        let mut findings = vec![machine::clock_synchronization(), machine::clock_guard(config.accept_clock)];
        findings.extend([machine::disk_kind(&config.data), machine::disk_syncs(&config.data)]);
        findings.extend(machine::kernel(&config, descriptors_max));
        findings.push(secrets::secrets(&config, config.payments.sandbox));
        findings.push(backup::of_schedule(directory, newest_backup.as_deref()));
        findings
    };
    tokio::task::spawn_blocking(checks).await.unwrap_or_else(|_| {
        vec![Finding::warn(
            "machine",
            "the checks of the machine ended early",
            "see the server's log, and run it again",
        )]
    })
}

async fn prometheus(config: &Config) -> Vec<Finding> {
    if config.prometheus_url.is_empty() {
        let to_do = "set console.prometheus_url, or check it with: firstcome preflight --prometheus URL";
        return vec![Finding::warn("alert rules", "no Prometheus is set", to_do)];
    }
    match HttpClient::new(&config.prometheus_url, "console.prometheus_url", None) {
        Ok(client) => alerts::rules(Some(&client), &alerts::all_names()).await,
        Err(error) => vec![Finding::fail("alert rules", error.message, "correct console.prometheus_url")],
    }
}
