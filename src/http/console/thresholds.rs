//! The alerts that one look at the gauges can judge, for servers without a Prometheus. Their conditions are those of
//! `dashboards/alerts.yml`; how long a condition must hold is left out.

use crate::api::json::console::{ConsoleAlert, ConsoleGauge};
use crate::telemetry::catalogue as metric;
use crate::telemetry::page::MetricsPage;
use crate::web::runbooks;

/// An alert, and the gauge that it judges.
struct Threshold {
    alert: &'static str,
    severity: &'static str,
    /// The condition in the rules of Prometheus.
    condition: &'static str,
    /// Words for people; the value stands behind them, a share before them.
    summary: &'static str,
    value: fn(&MetricsPage) -> f64,
    limit: f64,
    /// The value must not fall below the limit, instead of not rising above it.
    is_floor: bool,
}

const fn above(
    alert: &'static str,
    severity: &'static str,
    condition: &'static str,
    summary: &'static str,
    value: fn(&MetricsPage) -> f64,
    limit: f64,
) -> Threshold {
    Threshold { alert, severity, condition, summary, value, limit, is_floor: false }
}

fn of(page: &MetricsPage, metric: &metric::Metric) -> f64 {
    page.value(metric.name).unwrap_or(0.0)
}

fn share(page: &MetricsPage, part: &metric::Metric, whole: &metric::Metric) -> f64 {
    let whole = of(page, whole);
    if whole > 0.0 { of(page, part) / whole } else { 0.0 }
}

const THRESHOLDS: &[Threshold] = &[
    above(
        "FirstcomeOversold",
        "page",
        "firstcome_oversold_units > 0",
        "units oversold",
        |page| of(page, &metric::OVERSOLD),
        0.0,
    ),
    above(
        "FirstcomeUndersold",
        "page",
        "firstcome_undersold_units > 0",
        "units undersold",
        |page| of(page, &metric::UNDERSOLD),
        0.0,
    ),
    above(
        "FirstcomeCountersDisagree",
        "page",
        "firstcome_mismatched_drops > 0",
        "drops that are paused because counters and recount disagree",
        |page| of(page, &metric::MISMATCHED),
        0.0,
    ),
    above(
        "FirstcomeReadOnly",
        "page",
        "firstcome_read_only == 1",
        "read-only: nothing is sold",
        |page| of(page, &metric::READ_ONLY),
        0.0,
    ),
    Threshold {
        alert: "FirstcomeDiskLow",
        severity: "page",
        condition: "firstcome_disk_free_bytes < 2147483648",
        summary: "bytes free on the disk of the database",
        // Not measured yet in the first second.
        value: |page| match of(page, &metric::DISK_FREE) {
            free if free > 0.0 => free,
            _ => f64::MAX,
        },
        limit: 2_147_483_648.0,
        is_floor: true,
    },
    above(
        "FirstcomeQueueFull",
        "page",
        "firstcome_writer_queue_depth / firstcome_writer_queue_capacity > 0.8",
        "of the writer's queue is used",
        |page| share(page, &metric::QUEUE_DEPTH, &metric::QUEUE_CAPACITY),
        0.8,
    ),
    above(
        "FirstcomeDescriptorsLow",
        "page",
        "firstcome_open_descriptors / firstcome_max_descriptors > 0.8",
        "of the file descriptors are open",
        |page| share(page, &metric::DESCRIPTORS, &metric::DESCRIPTORS_MAX),
        0.8,
    ),
    above(
        "FirstcomeRefundsDue",
        "ticket",
        "firstcome_refunds_due > 0",
        "refunds due",
        |page| of(page, &metric::REFUNDS_DUE),
        0.0,
    ),
    above(
        "FirstcomeRefundsGivenUp",
        "ticket",
        "sum by (instance) (firstcome_provider_refunds_given_up) > 0",
        "refunds that are left to an operator",
        |page| page.sum(metric::PROVIDER_REFUNDS_GIVEN_UP.name, &[]),
        0.0,
    ),
    above(
        "FirstcomeWalGrowing",
        "page",
        "firstcome_wal_bytes > 134217728",
        "bytes in the write-ahead log",
        |page| of(page, &metric::WAL_BYTES),
        134_217_728.0,
    ),
    above(
        "FirstcomeClockOff",
        "page",
        "firstcome_clock_offset_seconds > 1 or firstcome_clock_offset_seconds < -1",
        "seconds between the wall clock and the clock of decisions",
        |page| of(page, &metric::CLOCK_OFFSET).abs(),
        1.0,
    ),
    above(
        "FirstcomeMemoryHigh",
        "page",
        "firstcome_resident_memory_bytes > 1610612736",
        "bytes of memory that are resident",
        |page| of(page, &metric::RESIDENT),
        1_610_612_736.0,
    ),
    above(
        "FirstcomeKeysForgotten",
        "ticket",
        "firstcome_idempotency_keys_evicted > 0",
        "idempotency keys that were forgotten too early",
        |page| of(page, &metric::KEYS_EVICTED),
        0.0,
    ),
    above(
        "FirstcomeOutboxLate",
        "ticket",
        "firstcome_outbox_age_seconds > 300",
        "seconds that the outbox is behind",
        |page| of(page, &metric::OUTBOX_AGE),
        300.0,
    ),
    above(
        "FirstcomeEndpointDead",
        "ticket",
        "firstcome_outbox_breakers_open > 0",
        "webhook endpoints that do not answer",
        |page| of(page, &metric::OUTBOX_BROKEN),
        0.0,
    ),
    above(
        "FirstcomeDeadLetters",
        "ticket",
        "firstcome_outbox_dead_letters > 0",
        "deliveries that were given up",
        |page| of(page, &metric::OUTBOX_DEAD),
        0.0,
    ),
    above(
        "FirstcomeNodeBehind",
        "ticket",
        "firstcome_node_stale_seconds > 5",
        "seconds that this node is behind",
        |page| of(page, &metric::NODE_STALE),
        5.0,
    ),
];

/// Returns each gauge beside its threshold, and the alerts of those that are beyond it.
pub(in crate::http) fn judge(page: &MetricsPage) -> (Vec<ConsoleGauge>, Vec<ConsoleAlert>) {
    let gauges: Vec<(ConsoleGauge, &Threshold)> = THRESHOLDS.iter().map(|rule| (measured(rule, page), rule)).collect();
    let alerts = gauges.iter().filter(|(gauge, _)| gauge.fires).map(|(gauge, rule)| alert(gauge, rule)).collect();
    (gauges.into_iter().map(|(gauge, _)| gauge).collect(), alerts)
}

fn measured(rule: &Threshold, page: &MetricsPage) -> ConsoleGauge {
    let value = (rule.value)(page);
    ConsoleGauge {
        name: rule.alert,
        severity: rule.severity,
        condition: rule.condition,
        value,
        threshold: rule.limit,
        fires: if rule.is_floor { value < rule.limit } else { value > rule.limit },
    }
}

fn alert(gauge: &ConsoleGauge, rule: &Threshold) -> ConsoleAlert {
    let summary = if rule.limit > 0.0 && rule.limit < 1.0 {
        format!("{:.0} % {}", gauge.value * 100.0, rule.summary)
    } else if rule.alert == "FirstcomeReadOnly" {
        rule.summary.to_owned()
    } else {
        format!("{}: {:.0}", rule.summary, gauge.value)
    };
    ConsoleAlert {
        name: rule.alert.into(),
        severity: rule.severity.into(),
        state: "firing".into(),
        summary,
        description: None,
        since: None,
        has_runbook: runbooks::page(rule.alert).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_the_rules() {
        let rules = include_str!("../../../dashboards/alerts.yml");
        for rule in THRESHOLDS {
            let (_, text) = rules.split_once(&format!("- alert: {}\n", rule.alert)).expect("an alert of this name");
            let text = text.split("- alert: ").next().unwrap_or("");
            assert!(text.contains(&format!("expr: {}\n", rule.condition)), "{}", rule.alert);
            assert!(text.contains(&format!("severity: {} ", rule.severity)), "{}", rule.alert);
            assert!(runbooks::page(rule.alert).is_some(), "{}", rule.alert);
        }
    }

    #[test]
    fn a_gauge_beyond_its_threshold_fires_and_one_at_it_does_not() {
        let page = |text: &str| MetricsPage::parse(text).expect("a page");
        let fires = |text: &str| judge(&page(text)).1.into_iter().map(|alert| alert.name).collect::<Vec<_>>();
        assert!(fires("").is_empty(), "nothing is known yet");
        assert!(fires("firstcome_refunds_due 0\nfirstcome_outbox_age_seconds 300\n").is_empty());
        assert_eq!(fires("firstcome_refunds_due 2\n"), ["FirstcomeRefundsDue"]);
        assert_eq!(fires("firstcome_disk_free_bytes 5\n"), ["FirstcomeDiskLow"]);
        let queue = "firstcome_writer_queue_depth 90\nfirstcome_writer_queue_capacity 100\n";
        assert_eq!(judge(&page(queue)).1[0].summary, "90 % of the writer's queue is used");
    }
}
