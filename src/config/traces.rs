//! The settings of traces: the choice of writes, and the collector of their spans.

use super::setting::{Setting, setting};
use super::values::{millis, number, url};

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
        |c, t| c.traces.otlp_url = collector(t.trim(), cfg!(feature = "otlp"))?
    ),
];

/// Returns the URL, if this build can send anything there.
fn collector(text: &str, has_exporter: bool) -> Result<String, String> {
    if has_exporter {
        url(text)
    } else if text.is_empty() {
        Ok(String::new())
    } else {
        Err("no value: this build has no exporter of spans (cargo build --release --features otlp has one)".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_an_exporter_refuses_a_collector_and_says_how_to_build_one() {
        let url = "http://127.0.0.1:4318/v1/traces";
        assert_eq!(collector(url, true).as_deref(), Ok(url));
        assert!(collector("not a url", true).is_err());
        assert_eq!(collector("", true), collector("", false), "unset is unset in both");
        assert!(collector(url, false).expect_err("nothing to send with").contains("--features otlp"));
    }
}
