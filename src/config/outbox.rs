//! The settings of the outbox.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::Config;
use super::values::list;
use crate::types::EventFilter;

/// Whom the configuration has told of events, and the bounds of telling.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "SETTINGS holds a sentence for each; a second one would drift")]
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
