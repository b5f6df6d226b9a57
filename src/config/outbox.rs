//! The settings of the outbox.

use std::time::Duration;

use super::limits::Relation;
use super::model::{Config, SuccessRedirect};
use super::setting::{Setting, setting};
use super::values::{count, file, list, millis, networks};
use crate::types::EventFilter;

pub(super) const SETTINGS: &[Setting] = &[
    setting!("outbox.endpoint_url", "", "URL", "webhook endpoint besides those created through the API", |c, t| c
        .outbox
        .endpoint_url =
        t.trim().into()),
    setting!(
        "outbox.endpoint_secret_file",
        "",
        "file",
        "file with the endpoint's secret (`whsec_…`, readable by its owner only); a new one takes effect at the next start, and the old one keeps signing for 24 hours",
        |c, t| c.outbox.endpoint_secret_file = file(t)
    ),
    setting!(
        "outbox.endpoint_events",
        "*",
        "list",
        "event types sent to the endpoint; `*`: all but `standby.left`",
        |c, t| c.outbox.endpoint_events = events(t)?
    ),
    setting!(
        "outbox.allow_private_networks",
        "",
        "list",
        "networks besides the public internet that endpoints may be in, there also with http://",
        |c, t| c.outbox.allow_private_networks = networks(t)?
    ),
    setting!(
        "outbox.authorities_file",
        "",
        "file",
        "certificate authorities (PEM) of endpoints, besides the public ones",
        |c, t| c.outbox.authorities_file = file(t)
    ),
    setting!("outbox.timeout_ms", "15000", "ms", "time for an endpoint's whole response", |c, t| c.outbox.timeout =
        millis(t, 100, 120_000)?),
    setting!(
        "outbox.response_bytes_max",
        "65536",
        "bytes",
        "bytes of an endpoint's response that are read: one that does not end costs no more; the rest is cut off",
        |c, t| c.outbox.response_bytes_max = count(t, 1024, 16 << 20)?
    ),
    setting!("outbox.in_flight_max", "8", "deliveries", "concurrent deliveries per endpoint", |c, t| c
        .outbox
        .in_flight_max =
        count(t, 1, 256)?),
    setting!(
        "outbox.retry_seconds",
        "5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400",
        "list",
        "delays between the attempts of a delivery, each up to a tenth longer at random; after the last the delivery is a dead letter",
        |c, t| c.outbox.retry_waits = waits(t)?
    ),
    setting!(
        "outbox.success_redirects",
        "",
        "list",
        "endpoints that answer with a redirect when they have succeeded, as `HOST=HOST OF THE REDIRECT`: `script.google.com=script.googleusercontent.com`; nothing else, not even a 200, counts as delivered there",
        |c, t| c.outbox.success_redirects = success_redirects(t)?
    ),
];

pub(super) fn events(text: &str) -> Result<EventFilter, String> {
    let names = list(text);
    EventFilter::of_names(names.iter().map(String::as_str)).map_err(|_| "names of event types, or *".into())
}

pub(super) fn waits(text: &str) -> Result<Vec<Duration>, String> {
    const MOST: u64 = 7 * 24 * 3600;
    let allowed = || format!("at most 30 whole numbers of seconds, each up to {MOST}");
    let seconds: Result<Vec<u64>, _> = list(text).iter().map(|item| item.parse()).collect();
    let seconds = seconds.map_err(|_| allowed())?;
    let good = seconds.len() <= 30 && seconds.iter().all(|seconds| *seconds <= MOST);
    if good { Ok(seconds.into_iter().map(Duration::from_secs).collect()) } else { Err(allowed()) }
}

fn success_redirects(text: &str) -> Result<Vec<SuccessRedirect>, String> {
    const REDIRECTS_MAX: usize = 16;
    let good = |host: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        !host.is_empty() && host.len() <= 260 && host.bytes().all(allowed)
    };
    let parse = |item: &String| {
        let (endpoint, location) = item.split_once('=')?;
        let (endpoint, location) = (endpoint.trim(), location.trim());
        (good(endpoint) && good(location))
            .then(|| SuccessRedirect { endpoint: endpoint.into(), location: location.into() })
    };
    let found: Option<Vec<_>> = list(&text.to_ascii_lowercase()).iter().map(parse).collect();
    found.filter(|found| found.len() <= REDIRECTS_MAX).ok_or_else(|| {
        format!("at most {REDIRECTS_MAX} pairs HOST=HOST, such as script.google.com=script.googleusercontent.com")
    })
}

pub(super) fn relations(config: &Config) -> [Relation; 1] {
    let outbox = &config.outbox;
    [(
        ["outbox.endpoint_url", "outbox.endpoint_secret_file"],
        outbox.endpoint_url.is_empty() == outbox.endpoint_secret_file.is_none(),
        "outbox.endpoint_url and outbox.endpoint_secret_file must both be set, because every delivery is signed".into(),
    )]
}
