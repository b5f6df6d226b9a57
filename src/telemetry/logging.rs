//! Logs: one line per event on standard error, as text for people or JSON for machines.
//!
//! Never in a log: bodies, contacts, buyers' texts, the random part of an order's id, keys, tokens.

use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(level: &str, json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // It fails only if logging was started before: then that stays.
    let _started_before = if json { builder.json().try_init() } else { builder.try_init() };
}
