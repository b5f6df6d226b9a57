//! The settings of the outbox.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::settings::setting;
use super::values::{count, file, list, millis, networks};
use super::{Config, Setting};
use crate::types::EventFilter;

/// Whom the configuration has told of events, and the bounds of telling.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    pub endpoint_url: String,
    pub endpoint_secret_file: Option<PathBuf>,
    pub endpoint_events: EventFilter,
    pub allow_private_networks: Vec<IpNet>,
    pub authorities_file: Option<PathBuf>,
    pub timeout: Duration,
    pub in_flight_max: usize,
    pub retry_waits: Vec<Duration>,
}

/// The rows of the table that are the outbox's.
pub(super) const SETTINGS: [Setting; 8] = [
    setting!(
        "outbox.endpoint_url",
        "",
        "URL",
        "an endpoint that is told of events, besides those of the admin routes",
        |c, t| c.outbox.endpoint_url = t.trim().into()
    ),
    setting!(
        "outbox.endpoint_secret_file",
        "",
        "file",
        "its secret (`whsec_…`, readable by its owner alone); a new one is taken at the next start, and the old one signs 24 hours more",
        |c, t| c.outbox.endpoint_secret_file = file(t)
    ),
    setting!("outbox.endpoint_events", "*", "list", "what it is told; `*`: everything", |c, t| c
        .outbox
        .endpoint_events =
        events(t)?),
    setting!(
        "outbox.allow_private_networks",
        "",
        "list",
        "networks besides the public internet in which endpoints may be, then also by http://",
        |c, t| c.outbox.allow_private_networks = networks(t)?
    ),
    setting!(
        "outbox.authorities_file",
        "",
        "file",
        "authorities (PEM) that endpoints' certificates may be from, besides the web's",
        |c, t| c.outbox.authorities_file = file(t)
    ),
    setting!("outbox.timeout_ms", "15000", "ms", "for an endpoint's whole answer", |c, t| c.outbox.timeout =
        millis(t, 100, 120_000)?),
    setting!("outbox.in_flight_max", "8", "deliveries", "of one endpoint at once", |c, t| c.outbox.in_flight_max =
        count(t, 1, 256)?),
    setting!(
        "outbox.retry_seconds",
        "5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400",
        "list",
        "waits between the attempts of a delivery, each up to a tenth longer by chance; after the last it is a dead letter",
        |c, t| c.outbox.retry_waits = waits(t)?
    ),
];

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            endpoint_url: String::new(),
            endpoint_secret_file: None,
            endpoint_events: EventFilter::ALL,
            allow_private_networks: Vec::new(),
            authorities_file: None,
            timeout: Duration::ZERO,
            in_flight_max: 0,
            retry_waits: Vec::new(),
        }
    }
}

pub(super) fn events(text: &str) -> Result<EventFilter, String> {
    let names = list(text);
    EventFilter::of_names(names.iter().map(String::as_str)).map_err(|_| "names of events, or *".into())
}

pub(super) fn waits(text: &str) -> Result<Vec<Duration>, String> {
    const MOST: u64 = 7 * 24 * 3600;
    let allowed = || format!("at most 30 whole numbers of seconds, each up to {MOST}");
    let seconds: Result<Vec<u64>, _> = list(text).iter().map(|item| item.parse()).collect();
    let seconds = seconds.map_err(|_| allowed())?;
    let good = seconds.len() <= 30 && seconds.iter().all(|seconds| *seconds <= MOST);
    if good { Ok(seconds.into_iter().map(Duration::from_secs).collect()) } else { Err(allowed()) }
}

/// What must hold between these settings.
pub(super) fn relations(config: &Config) -> [([&'static str; 2], bool, String); 1] {
    let outbox = &config.outbox;
    [(
        ["outbox.endpoint_url", "outbox.endpoint_secret_file"],
        outbox.endpoint_url.is_empty() == outbox.endpoint_secret_file.is_none(),
        "outbox.endpoint_url and outbox.endpoint_secret_file go together: nothing is told unsigned".into(),
    )]
}
