//! Frequencies of outcomes between two looks at the metrics, for people who watch a sale: `firstcome top` and the console.

use super::catalogue as metric;
use super::page::MetricsPage;

/// Severity of a figure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FigureLevel {
    Normal,
    Warning,
    /// The operator has to act.
    Alarm,
}

/// Frequency of an outcome.
#[derive(Clone, PartialEq, Debug)]
pub struct OutcomeRate {
    /// Words for people, such as `order sold out`.
    pub name: String,
    pub per_second: f64,
    pub level: FigureLevel,
}

/// Commands of buyers and providers, and their words.
const COMMANDS: [(&str, &str); 5] = [
    ("place_order", "order"),
    ("checkout", "checkout"),
    ("cancel_order", "cancel"),
    ("hear_provider", "payment"),
    ("place_bid", "bid"),
];

/// Returns the outcomes of orders and bids, rejections and 5xx, ordered by severity and frequency. `seconds` is the time between
/// the pages, above 0.
#[must_use]
pub fn outcome_rates(now: &MetricsPage, then: &MetricsPage, seconds: f64) -> Vec<OutcomeRate> {
    let mut rates = Vec::new();
    let mut add = |name: String, level, per_second| rates.push(OutcomeRate { name, per_second, level });
    let since = |metric: &metric::Metric, label, labels: &[(&str, &str)]| {
        now.rates_since(then, seconds, metric.name, label, labels)
    };
    for (command, word) in COMMANDS {
        for (outcome, rate) in since(&metric::OUTCOMES, "outcome", &[("command", command)]) {
            add(format!("{word} {}", outcome.replace('_', " ")), FigureLevel::Normal, rate);
        }
    }
    for (reason, rate) in since(&metric::TURNED_AWAY, "reason", &[]) {
        add(format!("rejected: {}", reason.replace('_', " ")), FigureLevel::Warning, rate);
    }
    for (reason, rate) in since(&metric::CONNECTIONS_REFUSED, "reason", &[]) {
        add(format!("not connected: {}", reason.replace('_', " ")), FigureLevel::Warning, rate);
    }
    for (status, rate) in since(&metric::HTTP_REQUESTS, "status", &[]) {
        if status.starts_with('5') {
            add(format!("HTTP {status}"), FigureLevel::Alarm, rate);
        }
    }
    for (_, rate) in since(&metric::TOO_OLD, "", &[]) {
        add("waited too long".into(), FigureLevel::Alarm, rate);
    }
    rates.sort_by(|a, b| b.level.cmp(&a.level).then(b.per_second.total_cmp(&a.per_second)).then(a.name.cmp(&b.name)));
    rates
}
