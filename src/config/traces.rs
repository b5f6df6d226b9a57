//! The settings of traces: the choice of writes, and the collector of their spans.

use super::setting::{Setting, setting};
#[cfg(feature = "otlp")]
use super::values::url;
use super::values::{millis, number};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "traces.slow_ms",
        "250",
        "ms",
        "time from the queue to the answer from which on a write is traced as slow; 0: never",
        |c, t| c.traces.slow = Some(millis(t, 0, 120_000)?).filter(|slow| !slow.is_zero())
    ),
    setting!(
        "traces.one_in",
        "0",
        "writes",
        "sampling on each worker: one write of so many is traced; 0: none",
        |c, t| c.traces.one_in = number(t, 0, 1_000_000_000)?
    ),
    setting!(
        "traces.otlp_url",
        "",
        "URL",
        "OTLP collector of spans, such as http://127.0.0.1:4318/v1/traces; needs a build with the feature `otlp`",
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
        Err("no value: this build has no exporter of spans (cargo build --release --features otlp has one)".into())
    }
}
