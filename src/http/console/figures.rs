//! The figures of a frame, from two pages of metrics.

use std::time::Duration;

use crate::api::json::console::{
    ConsoleAuction, ConsoleDrop, ConsoleFrame, ConsoleGauges, ConsoleLatency, ConsoleOutcome, ConsolePoint,
    ConsoleRates,
};
use crate::http::worker::Worker;
use crate::read::metrics_sample::MetricsSample;
use crate::telemetry::catalogue as metric;
use crate::telemetry::outcome_rates::{FigureLevel, OutcomeRate, outcome_rates};
use crate::telemetry::page::{MetricsPage, Percentile};

/// The stage of a whole order in [`ConsoleRates`].
const ORDER: &str = "order";
const ORDER_ROUTE: &[(&str, &str)] = &[("route", "/v1/drops/{drop_id}/orders")];
/// Outcomes that a frame names, the worst first.
const OUTCOMES_MAX: usize = 12;

fn of(page: &MetricsPage, metric: &metric::Metric) -> f64 {
    page.value(metric.name).filter(|value| value.is_finite()).unwrap_or(0.0)
}

/// Returns the frame of a page.
pub(super) fn frame(
    worker: &Worker,
    page: &MetricsPage,
    sample: MetricsSample,
    rates: Option<ConsoleRates>,
) -> ConsoleFrame {
    let drops = sample.drops.into_iter().map(|drop| ConsoleDrop {
        id: drop.id.get(),
        name: drop.name,
        total: drop.total,
        available: drop.total.saturating_sub(drop.held).saturating_sub(drop.sold),
        held: drop.held,
        sold: drop.sold,
    });
    let auctions = sample.auctions.into_iter().map(|auction| ConsoleAuction {
        id: auction.id.get(),
        name: auction.name,
        current: auction.current.map(|price| price.get()),
        bids: auction.bids,
        ends_at: auction.ends_at,
    });
    ConsoleFrame {
        at: worker.writer.clock.now(),
        seq: worker.writer.published.seq(),
        read_only: worker.writer.is_read_only(),
        queue_depth: of(page, &metric::QUEUE_DEPTH),
        queue_capacity: of(page, &metric::QUEUE_CAPACITY),
        rates,
        gauges: gauges(page),
        drops: drops.collect(),
        auctions: auctions.collect(),
        recent: None,
    }
}

fn gauges(page: &MetricsPage) -> ConsoleGauges {
    let value = |metric: &metric::Metric| of(page, metric);
    let open = |listener| page.sum(metric::CONNECTIONS.name, &[("listener", listener)]);
    ConsoleGauges {
        oversold_units: value(&metric::OVERSOLD),
        undersold_units: value(&metric::UNDERSOLD),
        mismatched_drops: value(&metric::MISMATCHED),
        audit_lag: value(&metric::AUDIT_LAG),
        refunds_due: value(&metric::REFUNDS_DUE),
        outbox_age_seconds: value(&metric::OUTBOX_AGE),
        outbox_waiting: value(&metric::OUTBOX_WAITING),
        dead_letters: value(&metric::OUTBOX_DEAD),
        breakers_open: value(&metric::OUTBOX_BROKEN),
        mail_dead_letters: value(&metric::MAIL_DEAD),
        sessions_waiting: value(&metric::SESSIONS_WAITING),
        wal_bytes: value(&metric::WAL_BYTES),
        database_bytes: value(&metric::DATABASE_BYTES),
        disk_free_bytes: value(&metric::DISK_FREE),
        resident_bytes: value(&metric::RESIDENT),
        descriptors: value(&metric::DESCRIPTORS),
        descriptors_max: value(&metric::DESCRIPTORS_MAX),
        clock_offset_seconds: value(&metric::CLOCK_OFFSET),
        suspected_buyers: value(&metric::SUSPECTED_BUYERS),
        buyers_connected: open("public"),
        wire_connections: open("wire"),
        streams: page.sum(metric::STREAMS.name, &[]),
        backup_last_seconds: value(&metric::BACKUP_LAST),
        backup_interval_seconds: value(&metric::BACKUP_INTERVAL),
        backup_bytes: value(&metric::BACKUP_BYTES),
        backup_took_seconds: value(&metric::BACKUP_SECONDS),
        backups_made: page.sum(metric::BACKUPS.name, &[("result", "made")]),
        backups_failed: page.sum(metric::BACKUPS.name, &[("result", "failed")]),
    }
}

/// Returns the point of the charts, if the frame has rates.
pub(super) fn point(frame: &ConsoleFrame) -> Option<ConsolePoint> {
    let rates = frame.rates.as_ref()?;
    Some(ConsolePoint {
        at: frame.at,
        orders: rates.orders,
        turned_down: rates.refused + rates.rejected,
        queue_depth: frame.queue_depth,
        p99_ms: rates.latencies.iter().find(|latency| latency.stage == ORDER).and_then(|latency| latency.p99_ms),
    })
}

/// Returns the rates between two pages.
pub(super) fn rates(now: &MetricsPage, then: &MetricsPage, between: Duration) -> Option<ConsoleRates> {
    let seconds = between.as_secs_f64();
    if seconds <= 0.0 {
        return None;
    }
    let change = Change { now, then, seconds };
    let outcomes = outcomes(&change);
    let orders = change.rate(metric::OUTCOMES.name, &[("command", "place_order"), ("outcome", "accepted")]);
    let decided = change.rate(metric::OUTCOMES.name, &[("command", "place_order")]);
    let repeated = change.rate(metric::OUTCOMES.name, &[("command", "place_order"), ("outcome", "repeated")]);
    Some(ConsoleRates {
        events: rounded((of(now, &metric::SEQ) - of(then, &metric::SEQ)).max(0.0) / seconds),
        orders,
        refused: rounded((decided - orders - repeated).max(0.0)),
        rejected: rounded(change.rate(metric::TURNED_AWAY.name, &[]) + change.rate(metric::TOO_OLD.name, &[])),
        errors: rounded(outcomes.iter().filter(|one| one.name.starts_with("HTTP 5")).map(|one| one.per_second).sum()),
        bids: change.rate(metric::OUTCOMES.name, &[("command", "place_bid"), ("outcome", "accepted")]),
        outcomes: outcomes.into_iter().take(OUTCOMES_MAX).collect(),
        latencies: latencies(&change),
    })
}

/// One digit after the point is enough for people, and short.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 }
}

struct Change<'pages> {
    now: &'pages MetricsPage,
    then: &'pages MetricsPage,
    seconds: f64,
}

impl Change<'_> {
    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        rounded((self.now.sum(name, labels) - self.then.sum(name, labels)).max(0.0) / self.seconds)
    }
}

fn outcomes(change: &Change<'_>) -> Vec<ConsoleOutcome> {
    let shown = |rate: OutcomeRate| ConsoleOutcome {
        name: rate.name,
        level: match rate.level {
            FigureLevel::Normal => "normal",
            FigureLevel::Warning => "warning",
            FigureLevel::Alarm => "alarm",
        },
        per_second: rounded(rate.per_second),
    };
    outcome_rates(change.now, change.then, change.seconds).into_iter().map(shown).collect()
}

fn latencies(change: &Change<'_>) -> Vec<ConsoleLatency> {
    let stage = |stage, metric: &metric::Metric, labels: &[(&str, &str)]| {
        let values = change.now.histogram(metric.name, labels).since(&change.then.histogram(metric.name, labels));
        let ms = |share| {
            values.percentile(share).map(|found| match found {
                Percentile::At(seconds) | Percentile::Above(seconds) => (seconds * 100_000.0).round() / 100.0,
            })
        };
        ConsoleLatency {
            stage,
            per_second: rounded(values.count() / change.seconds),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        }
    };
    vec![
        stage("queue", &metric::QUEUE_WAIT, &[]),
        stage("decide", &metric::DECIDE, &[]),
        stage("record", &metric::RECORD, &[]),
        stage("commit", &metric::COMMIT, &[]),
        stage(ORDER, &metric::HTTP_REQUEST, ORDER_ROUTE),
        stage("read", &metric::READ, &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(orders: u32, sold_out: u32, rejected: u32) -> MetricsPage {
        let text = format!(
            "firstcome_seq {orders}\n\
             firstcome_outcomes_total{{command=\"place_order\",outcome=\"accepted\"}} {orders}\n\
             firstcome_outcomes_total{{command=\"place_order\",outcome=\"sold_out\"}} {sold_out}\n\
             firstcome_outcomes_total{{command=\"place_order\",outcome=\"repeated\"}} {sold_out}\n\
             firstcome_turned_away_total{{reason=\"queue\"}} {rejected}\n\
             firstcome_writer_commit_seconds_bucket{{le=\"0.01\"}} {orders}\n\
             firstcome_writer_commit_seconds_bucket{{le=\"+Inf\"}} {orders}\n\
             firstcome_writer_commit_seconds_sum 1\n"
        );
        MetricsPage::parse(&text).expect("a page")
    }

    #[test]
    fn rates_are_differences_per_second_and_a_repeat_is_no_refusal() {
        let found = rates(&page(300, 40, 9), &page(100, 20, 3), Duration::from_secs(2)).expect("rates");
        assert_eq!((found.orders, found.refused, found.rejected, found.events), (100.0, 10.0, 3.0, 100.0));
        let names: Vec<&str> = found.outcomes.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["rejected: queue", "order accepted", "order repeated", "order sold out"]);
        let commit = found.latencies.iter().find(|latency| latency.stage == "commit").expect("a stage");
        assert_eq!((commit.per_second, commit.p50_ms), (100.0, Some(5.0)));
        assert!(found.latencies.iter().all(|latency| latency.stage != ORDER || latency.p99_ms.is_none()));
    }

    #[test]
    fn a_restarted_server_has_no_rates_below_zero_and_an_instant_has_none() {
        let found = rates(&page(1, 0, 0), &page(100, 20, 3), Duration::from_secs(1)).expect("rates");
        assert_eq!((found.orders, found.refused, found.rejected, found.events), (0.0, 0.0, 0.0, 0.0));
        assert!(rates(&page(2, 0, 0), &page(1, 0, 0), Duration::ZERO).is_none());
    }
}
