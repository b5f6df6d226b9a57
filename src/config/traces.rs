//! Which writes are traced, and who gets their spans.

use std::time::Duration;

use super::Setting;
use super::settings::setting;
#[cfg(feature = "otlp")]
use super::values::url;
use super::values::{millis, number};

/// When a write is traced.
#[derive(Clone, Debug, Default)]
pub struct TraceSettings {
    pub slow: Option<Duration>,
    pub one_in: u64,
    pub otlp_url: String,
}

/// Its part of the table.
pub(super) const SETTINGS: [Setting; 3] = [
    setting!(
        "traces.slow_ms",
        "250",
        "ms",
        "from a write's place in the queue to its answer, from which on it is traced; 0: none is for being slow",
        |c, t| c.traces.slow = Some(millis(t, 0, 120_000)?).filter(|slow| !slow.is_zero())
    ),
    setting!("traces.one_in", "0", "writes", "of which one is traced, on each thread; 0: none", |c, t| c
        .traces
        .one_in =
        number(t, 0, 1_000_000_000)?),
    setting!(
        "traces.otlp_url",
        "",
        "URL",
        "collector that gets the spans, such as http://127.0.0.1:4318/v1/traces; needs a program with the feature `otlp`",
        |c, t| c.traces.otlp_url = collector(t.trim())?
    ),
];

#[cfg(feature = "otlp")]
fn collector(text: &str) -> Result<String, String> {
    url(text)
}

#[cfg(not(feature = "otlp"))]
fn collector(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Ok(String::new())
    } else {
        Err("this program has no collectors; build one: cargo build --release --features otlp".into())
    }
}
