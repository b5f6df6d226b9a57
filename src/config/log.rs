//! The settings of the log and of the access log.

use tracing::level_filters::LevelFilter;

use super::setting::{Setting, setting};
use super::values::{count, number, one_of};

pub(super) const SETTINGS: &[Setting] = &[
    setting!("log.level", "info", "level", "error, warn, info, debug or trace", |c, t| c.log_level = match t.trim() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err("error, warn, info, debug or trace".into()),
    }),
    setting!("log.format", "text", "text, json", "one line per event, on standard error", |c, t| c.log_json =
        one_of(t, "json", "text")?),
    setting!(
        "log.access_one_in",
        "0",
        "requests",
        "access log on standard output, in the same format: a line for one HTTP request of so many on each worker; 1: for each, 0: none",
        |c, t| c.access_log.one_in = number(t, 0, 1_000_000_000)?
    ),
    setting!(
        "log.access_queue_lines",
        "8192",
        "lines",
        "lines of the access log that wait for a slow reader, about 1 MB; further ones are dropped and counted, and no request waits",
        |c, t| c.access_log.queue_lines = count(t, 1, 1 << 20)?
    ),
];
