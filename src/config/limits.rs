//! The limits of connections and requests: how many, how large, how long.

use std::time::Duration;

use super::{Config, Mistake};

/// What a client may take of the server. Each limit is explained where it is set, in `SETTINGS`.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "SETTINGS holds a sentence for each; a second one would drift")]
pub struct Limits {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub loopback_is_client: bool,
    pub listen_backlog: i32,
    pub first_byte_timeout: Duration,
    pub header_read_timeout: Duration,
    pub idle_timeout: Duration,
    pub proxy_idle_timeout: Duration,
    pub body_read_timeout: Duration,
    pub body_stall_timeout: Duration,
    pub response_write_timeout: Duration,
    pub connection_age_max: Duration,
    pub body_bytes_max: usize,
    pub header_bytes_max: usize,
    pub headers_max: usize,
    pub uri_bytes_max: usize,
    pub streams_max: usize,
}

/// A relation between settings: their keys, whether it holds, and what to say if not.
pub(super) type Relation = ([&'static str; 2], bool, String);

/// What must hold between limits of connections.
pub(super) fn relations(config: &Config) -> [Relation; 3] {
    let limits = &config.limits;
    [
        (
            ["http.connections_per_address_max", "http.connections_max"],
            limits.connections_per_address_max <= limits.connections_max,
            "http.connections_per_address_max must be at most http.connections_max: else it bounds nothing".into(),
        ),
        (
            ["http.body_stall_timeout_ms", "http.body_read_timeout_ms"],
            limits.body_stall_timeout <= limits.body_read_timeout,
            "http.body_stall_timeout_ms must be at most http.body_read_timeout_ms: else it bounds nothing".into(),
        ),
        (
            ["http.uri_bytes_max", "http.header_bytes_max"],
            limits.uri_bytes_max < limits.header_bytes_max,
            "http.uri_bytes_max must be below http.header_bytes_max: the path is part of the head".into(),
        ),
    ]
}

/// What the machine allows less of than the limits do; told at the start, because nobody sees it until the storm.
#[must_use]
pub fn warnings(config: &Config, descriptors_max: Option<u64>) -> Vec<Mistake> {
    let limits = &config.limits;
    let mut told = Vec::new();
    let kernel = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    if let Some(kernel) = kernel.and_then(|text| text.trim().parse::<i32>().ok())
        && kernel < limits.listen_backlog
    {
        told.push(Mistake(format!(
            "net.core.somaxconn ({kernel}) cuts http.listen_backlog ({}): a crowd that comes at once waits for retries; sysctl -w net.core.somaxconn={}",
            limits.listen_backlog, limits.listen_backlog
        )));
    }
    let needed = u64::try_from(limits.connections_max).unwrap_or(u64::MAX).saturating_add(DESCRIPTORS_BESIDE);
    if let Some(max) = descriptors_max.filter(|max| *max < needed) {
        told.push(Mistake(format!(
            "the process may open {max} descriptors, http.connections_max needs {needed}; raise ulimit -n (LimitNOFILE)"
        )));
    }
    told
}

/// Descriptors besides those of connections: database, log, listeners, runtimes; on a large machine a few per core.
const DESCRIPTORS_BESIDE: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_too_few_descriptors_is_told() {
        let config = Config::defaults();
        let of_descriptors = |max| warnings(&config, max).iter().filter(|told| told.0.contains("descriptors")).count();
        assert_eq!((of_descriptors(Some(1024)), of_descriptors(Some(20_000)), of_descriptors(None)), (1, 0, 0));
    }
}
