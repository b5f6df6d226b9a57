//! The limits of connections and requests: how many, how large, how long.

use super::model::{Config, ConfigError, ConnectionLimits, TlsFiles};

/// A relation between settings: their keys, its truth, and the error if it does not hold.
pub(super) type Relation = ([&'static str; 2], bool, String);

pub(super) fn relations(config: &Config) -> [Relation; 6] {
    let limits = &config.limits;
    let whole = |files: &Option<TlsFiles>| {
        files
            .as_ref()
            .is_none_or(|files| ![&files.certificate, &files.key].iter().any(|path| path.as_os_str().is_empty()))
    };
    [
        (
            ["public_url", "public.listen"],
            !config.public_url.is_empty() || !config.public_listen.ip().is_unspecified(),
            format!(
                "public_url must be set if public.listen is every address ({}): orders' payment_url needs the address that buyers use, such as https://shop.example",
                config.public_listen
            ),
        ),
        (
            ["public.tls_certificate", "public.tls_key"],
            whole(&config.public_tls),
            "public.tls_certificate and public.tls_key must both be set".into(),
        ),
        (
            ["admin.tls_certificate", "admin.tls_key"],
            whole(&config.admin_tls),
            "admin.tls_certificate and admin.tls_key must both be set".into(),
        ),
        (
            ["http.connections_per_address_max", "http.connections_max"],
            limits.connections_per_address_max <= limits.connections_max,
            "http.connections_per_address_max must be at most http.connections_max; otherwise it has no effect".into(),
        ),
        (
            ["http.body_stall_timeout_ms", "http.body_read_timeout_ms"],
            limits.body_stall_timeout <= limits.body_read_timeout,
            "http.body_stall_timeout_ms must be at most http.body_read_timeout_ms; otherwise it has no effect".into(),
        ),
        (
            ["http.uri_bytes_max", "http.header_bytes_max"],
            limits.uri_bytes_max < limits.header_bytes_max,
            "http.uri_bytes_max must be below http.header_bytes_max, because the path is part of the head".into(),
        ),
    ]
}

/// Connections of operators beyond `http.connections_max`, so that buyers cannot shut operators out.
pub const OPERATOR_CONNECTIONS_MAX: usize = 256;
/// Connections of buyers for which a start wants descriptors.
const CONNECTIONS_MIN: usize = 16;
/// Maximum number of listeners per worker.
const LISTENERS_MAX: usize = 16;

impl ConnectionLimits {
    /// Number of connections that can wait at one listener: the kernel caps the configured backlog.
    fn backlog_of_one(&self, somaxconn: Option<i32>) -> usize {
        let backlog = self.listen_backlog.min(somaxconn.unwrap_or(i32::MAX)).max(1);
        usize::try_from(backlog).unwrap_or(1)
    }

    /// Number of listeners per worker that lets all allowed connections arrive at the same instant: a connection that
    /// finds a full backlog waits a second or longer before it tries again.
    #[must_use]
    pub fn listeners_per_thread(&self, threads: usize, somaxconn: Option<i32>) -> usize {
        let of_all_threads = self.backlog_of_one(somaxconn).saturating_mul(threads.max(1));
        self.connections_max.div_ceil(of_all_threads).clamp(1, LISTENERS_MAX)
    }
}

/// The kernel's bound of a listener's backlog, if it is readable.
#[must_use]
pub fn somaxconn() -> Option<i32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

/// Warnings about limits of the machine that are below the configured ones. Logged at the start, because under normal
/// load they go unnoticed.
#[must_use]
pub fn warnings(config: &Config, somaxconn: Option<i32>, descriptors_max: Option<u64>) -> Vec<ConfigError> {
    let (limits, threads) = (&config.limits, config.serving_threads());
    let mut told = Vec::new();
    let listeners = limits.listeners_per_thread(threads, somaxconn).saturating_mul(threads);
    let backlog = limits.backlog_of_one(somaxconn).saturating_mul(listeners);
    if backlog < limits.connections_max {
        told.push(ConfigError(format!(
            "listen backlog: {backlog} connections can arrive at once, http.connections_max is {}; raise http.listen_backlog ({}) and the kernel's net.core.somaxconn",
            limits.connections_max, limits.listen_backlog
        )));
    }
    let needed = u64::try_from(limits.connections_max).unwrap_or(u64::MAX).saturating_add(descriptors_beside(threads));
    if let Some(max) = descriptors_max.filter(|max| *max < needed) {
        told.push(ConfigError(format!(
            "file descriptors: the process may open {max}, http.connections_max needs {needed}; fewer connections are accepted; raise ulimit -n (LimitNOFILE)"
        )));
    }
    told
}

/// Reduces `http.connections_max` to what the process has descriptors for: further connections are closed at once, and
/// opening files for the sale never fails.
pub fn settle_connections_max(config: &mut Config, descriptors_max: Option<u64>) {
    let Some(max) = descriptors_max else { return };
    let free = max.saturating_sub(descriptors_beside(config.serving_threads()));
    let free = usize::try_from(free).unwrap_or(usize::MAX).max(CONNECTIONS_MIN);
    config.limits.connections_max = config.limits.connections_max.min(free);
}

/// Refuses a limit of open descriptors with which the threads cannot start, or no client could connect.
///
/// # Errors
/// The number that is needed, and the number that the process has.
pub fn check_descriptors(
    config: &Config,
    somaxconn: Option<i32>,
    descriptors_max: Option<u64>,
) -> Result<(), ConfigError> {
    let needed = descriptors_min(config, somaxconn);
    let Some(max) = descriptors_max.filter(|max| *max < needed) else { return Ok(()) };
    Err(ConfigError(format!(
        "file descriptors: the process may open {max}, and {needed} are needed for http.threads = {} and {CONNECTIONS_MIN} \
         connections: raise `ulimit -n` (systemd: LimitNOFILE) to at least {needed}, or set fewer http.threads",
        config.serving_threads()
    )))
}

/// Descriptors without which no server starts: files and outgoing calls, and for each thread its runtime, its connection to
/// the database, and its listeners with a spare descriptor for each.
fn descriptors_min(config: &Config, somaxconn: Option<i32>) -> u64 {
    const OF_ALL: usize = 64;
    const OF_A_THREAD: usize = 12;
    /// A listener for HTTP and one for the wire protocol, with their spare descriptors.
    const OF_A_LISTENER: usize = 4;
    let threads = config.serving_threads();
    let listeners = config.limits.listeners_per_thread(threads, somaxconn).saturating_mul(OF_A_LISTENER);
    let of_threads = threads.saturating_mul(listeners.saturating_add(OF_A_THREAD));
    u64::try_from(of_threads.saturating_add(OF_ALL).saturating_add(CONNECTIONS_MIN)).unwrap_or(u64::MAX)
}

/// Descriptors besides those of buyers' connections: database, log and listeners, connections of operators, and each
/// worker's runtime and reader.
fn descriptors_beside(threads: usize) -> u64 {
    const OF_ALL: u64 = 64;
    const OF_A_THREAD: u64 = 32;
    let operators = u64::try_from(OPERATOR_CONNECTIONS_MAX).unwrap_or(u64::MAX);
    let of_threads = u64::try_from(threads).unwrap_or(u64::MAX).saturating_mul(OF_A_THREAD);
    OF_ALL.saturating_add(operators).saturating_add(of_threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_can_come_at_once_whatever_the_kernel_cuts() {
        let limits = Config::defaults().limits;
        assert_eq!(limits.listeners_per_thread(2, Some(4096)), 2);
        assert_eq!(limits.listeners_per_thread(64, Some(4096)), 1);
        assert_eq!(limits.listeners_per_thread(2, Some(128)), LISTENERS_MAX);
        assert_eq!(limits.listeners_per_thread(2, None), 2);
    }

    #[test]
    fn a_machine_that_allows_too_little_is_told() {
        let mut config = Config::defaults();
        config.http_threads = 2;
        let told = |somaxconn, descriptors| warnings(&config, somaxconn, descriptors).len();
        assert_eq!(told(Some(4096), Some(20_000)), 0);
        assert_eq!(told(None, None), 0);
        assert_eq!(told(Some(128), Some(20_000)), 1);
        assert_eq!(told(Some(128), Some(1024)), 2);
    }

    #[test]
    fn too_few_descriptors_for_the_threads_are_refused_with_the_number_that_is_needed() {
        let mut config = Config::defaults();
        let needed = |threads, descriptors| {
            config.http_threads = threads;
            check_descriptors(&config, Some(4096), Some(descriptors)).err().map(|error| error.to_string())
        };
        let mut told = needed;
        assert!(told(2, 40).is_some_and(|line| line.contains("may open 40, and 120 are needed")));
        assert_eq!((told(2, 119).is_some(), told(2, 120)), (true, None));
        assert!(told(128, 1024).is_some_and(|line| line.contains("2128 are needed")));
        assert_eq!(check_descriptors(&Config::defaults(), None, None), Ok(()));
    }

    #[test]
    fn no_more_connections_are_let_in_than_there_are_descriptors() {
        let max = |descriptors| {
            let mut config = Config::defaults();
            config.http_threads = 2;
            settle_connections_max(&mut config, descriptors);
            config.limits.connections_max
        };
        assert_eq!([max(None), max(Some(20_000)), max(Some(12_384))], [12_000; 3]);
        assert_eq!((max(Some(12_383)), max(Some(1024)), max(Some(20))), (11_999, 640, 16));
    }
}
