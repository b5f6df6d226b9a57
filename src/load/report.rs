//! The report of a run: the table, and the same as JSON. Pure; times are in seconds and milliseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::check::CheckResult;
use super::ledger::{BuyerEnd, Ledger};
use super::meter::{Latencies, LatencyMeter, RequestKind};
use super::numbers::{grouped, rounded};
use super::outcome::RequestOutcome;
use super::plan::LoadPlan;
use super::streams::StreamFigures;

/// The percentiles that are shown, with their names in the table and in JSON.
const PERCENTILES: [(f64, &str, &str); 4] =
    [(50.0, "p50", "p50"), (95.0, "p95", "p95"), (99.0, "p99", "p99"), (99.9, "p99.9", "p99_9")];

/// The figures of a run, and the result of its check.
pub(crate) struct RunReport<'a> {
    pub(super) plan: &'a LoadPlan,
    pub(super) drop_id: u32,
    pub(super) arrivals: u64,
    pub(super) buyers: u64,
    pub(super) ledger: Ledger,
    pub(super) meter: LatencyMeter,
    pub(super) streams: Option<StreamFigures>,
    pub(super) result: CheckResult,
}

impl RunReport<'_> {
    /// From the start to the last answer, never zero.
    fn duration(&self) -> Duration {
        Duration::from_nanos(self.meter.last_ns.max(1))
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.duration().as_secs_f64()
    }

    fn answers(&self) -> u64 {
        RequestKind::ALL.into_iter().map(|kind| self.meter.of(kind).service.len()).sum()
    }

    /// The table, line by line.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut lines = self.heading();
        lines.push(String::new());
        lines.push("outcomes".to_owned());
        for outcome in RequestOutcome::ALL {
            let count = self.ledger.counted(outcome);
            if count > 0 {
                lines.push(format!("  {:<34}{:>14}", outcome.words().1, grouped(count)));
            }
        }
        lines.push(String::new());
        lines.extend(self.latencies());
        lines.extend(self.streams.as_ref().map(streams_line));
        lines.push(String::new());
        lines.extend(self.check());
        lines
    }

    fn heading(&self) -> Vec<String> {
        let plan = self.plan;
        let offered = match plan.rate {
            Some(rate) => format!("{} arrivals at {}/s", grouped(self.arrivals), grouped(u64::from(rate))),
            None => format!("{} arrivals, all at once", grouped(self.arrivals)),
        };
        let reads = self.arrivals - self.buyers;
        let reads = if reads > 0 { format!(", of them {} reads only", grouped(reads)) } else { String::new() };
        let orders = self.meter.of(RequestKind::Orders).service.len();
        let sold_out = self
            .meter
            .sold_out_ns
            .map(|at_ns| format!(", first \"sold out\" after {}", seconds(Duration::from_nanos(at_ns))));
        vec![
            format!(
                "drop {} at {}, {} crowd, seed {}, {} connections on {} threads",
                self.drop_id,
                plan.public.authority,
                plan.crowd.as_str(),
                plan.seed,
                grouped(plan.connections as u64),
                plan.threads
            ),
            format!("offered   {offered}{reads}"),
            format!(
                "achieved  {} answers in {}: {}/s, of them orders {}/s{}",
                grouped(self.answers()),
                seconds(self.duration()),
                rounded(self.per_second(self.answers())),
                rounded(self.per_second(orders)),
                sold_out.unwrap_or_default()
            ),
        ]
    }

    fn latencies(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<40}{:>12}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "latency in ms", "count", "p50", "p95", "p99", "p99.9", "max"
        )];
        for (kind, words) in KIND_WORDS {
            let Latencies { from_intended, service } = self.meter.of(kind);
            if service.is_empty() {
                continue;
            }
            lines.push(latency_line(&format!("  {words}, from the intended start"), from_intended));
            lines.push(latency_line(&format!("  {words}, from request to answer"), service));
        }
        lines
    }

    fn check(&self) -> Vec<String> {
        let mut lines = vec!["check".to_owned()];
        for finding in &self.result.findings {
            let mark = if finding.holds { "ok    " } else { "FAILED" };
            lines.push(format!("  {mark}  {}", finding.sentence));
        }
        lines.push(self.sentence());
        lines
    }

    /// The check in one plain sentence.
    fn sentence(&self) -> String {
        let verdict = &self.result;
        let result = match (verdict.holds(), verdict.exact) {
            (true, true) => "exact",
            (true, false) => "never above the stock; the run outlasted the drop's reservations, so no exact count",
            (false, _) => "the check FAILED",
        };
        format!(
            "{} of {} units held or sold, {} buyers answered: {result}",
            verdict.accepted.map_or("unknown".to_owned(), grouped),
            grouped(verdict.stock),
            grouped(verdict.answered),
        )
    }

    /// The findings that do not hold, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = self.result.findings.iter().filter(|finding| !finding.holds);
        failed.map(|finding| format!("check failed: {}", finding.sentence)).collect()
    }

    /// The report as JSON: the same figures under stable names.
    pub(crate) fn json(&self) -> Value {
        let plan = self.plan;
        without_nulls(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "debug_build": cfg!(debug_assertions),
            "seed": plan.seed,
            "crowd": plan.crowd.as_str(),
            "drop_id": self.drop_id,
            "own_drop": plan.drop_id.is_none(),
            "expire": plan.expire,
            "connections": plan.connections,
            "threads": plan.threads,
            "offered": {
                "arrivals": self.arrivals,
                "buyers": self.buyers,
                "reads": self.arrivals - self.buyers,
                "all_at_once": plan.rate.is_none(),
                "rate_per_second": plan.rate,
            },
            "achieved": {
                "duration_seconds": self.duration().as_secs_f64(),
                "sold_out_after_seconds": self.meter.sold_out_ns.map(|at| Duration::from_nanos(at).as_secs_f64()),
                "answers": self.answers(),
                "answers_per_second": self.per_second(self.answers()),
                "orders_per_second": self.per_second(self.meter.of(RequestKind::Orders).service.len()),
                "reads_per_second": self.per_second(self.meter.of(RequestKind::Reads).service.len()),
                "reserved_per_second": self.per_second(self.ledger.counted(RequestOutcome::Reserved)),
            },
            "outcomes": self.outcomes_json(),
            "buyers": self.buyers_json(),
            "latency_ms": self.latencies_json(),
            "streams": self.streams.as_ref().map(streams_json),
            "check": self.check_json(),
        }))
    }

    fn outcomes_json(&self) -> Value {
        let counts = RequestOutcome::ALL
            .into_iter()
            .map(|outcome| (outcome.words().0.to_owned(), Value::from(self.ledger.counted(outcome))));
        Value::Object(counts.collect::<Map<String, Value>>())
    }

    fn buyers_json(&self) -> Value {
        let ended = |end| self.ledger.ended(end);
        json!({
            "keep_a_unit": ended(BuyerEnd::Keeps),
            "cancelled": ended(BuyerEnd::Cancelled),
            "lapsed": ended(BuyerEnd::Lapsed),
            "unsatisfied": self.result.demand - ended(BuyerEnd::Keeps),
            "gave_up": ended(BuyerEnd::GaveUp),
            "wrong_answer": ended(BuyerEnd::Violation),
            "cut_off": self.result.cut_off,
        })
    }

    fn latencies_json(&self) -> Value {
        let kinds = RequestKind::ALL.into_iter().map(|kind| {
            let Latencies { from_intended, service } = self.meter.of(kind);
            let value = json!({
                "count": service.len(),
                "from_intended_start": percentiles_json(from_intended),
                "from_request_to_answer": percentiles_json(service),
            });
            (kind.as_str().to_owned(), value)
        });
        Value::Object(kinds.collect::<Map<String, Value>>())
    }

    fn check_json(&self) -> Value {
        let verdict = &self.result;
        let findings = verdict
            .findings
            .iter()
            .map(|finding| json!({ "name": finding.name, "holds": finding.holds, "detail": finding.sentence }));
        json!({
            "holds": verdict.holds(),
            "exact": verdict.exact,
            "accepted": verdict.accepted,
            "stock": verdict.stock,
            "demand": verdict.demand,
            "sentence": self.sentence(),
            "findings": findings.collect::<Vec<Value>>(),
        })
    }
}

/// Members without a value are left out, as the server does.
fn without_nulls(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let members = members.into_iter().filter(|(_, member)| !member.is_null());
    Value::Object(members.map(|(name, member)| (name, without_nulls(member))).collect())
}

/// The kinds of requests, with their names in the table.
const KIND_WORDS: [(RequestKind, &str); 3] =
    [(RequestKind::Orders, "orders"), (RequestKind::FollowUps, "checkouts etc."), (RequestKind::Reads, "reads")];

fn latency_line(name: &str, histogram: &Histogram<u64>) -> String {
    let mut line = format!("{name:<40}{:>12}", grouped(histogram.len()));
    for (percentile, _, _) in PERCENTILES {
        line.push_str(&format!("{:>11}", millis(histogram.value_at_percentile(percentile))));
    }
    line.push_str(&format!("{:>11}", millis(histogram.max())));
    line
}

fn percentiles_json(histogram: &Histogram<u64>) -> Value {
    let mut values: Map<String, Value> = PERCENTILES
        .into_iter()
        .map(|(percentile, _, name)| (name.to_owned(), json!(histogram.value_at_percentile(percentile) as f64 / 1e3)))
        .collect();
    values.insert("max".to_owned(), json!(histogram.max() as f64 / 1e3));
    Value::Object(values)
}

/// The streams in one line: the delay of the oldest change that each update shows.
fn streams_line(streams: &StreamFigures) -> String {
    let delay = |percentile| millis(streams.delays.value_at_percentile(percentile));
    format!(
        "  {} streams, {} updates after the answer: p50 {}, p99 {}, max {}; {:.2} % within 250 ms; {} of CPU to read",
        grouped(streams.open),
        grouped(streams.updates),
        delay(50.0),
        delay(99.0),
        millis(streams.delays.max()),
        streams.in_time_percent(),
        seconds(streams.cpu)
    )
}

fn streams_json(streams: &StreamFigures) -> Value {
    json!({
        "open": streams.open,
        "updates": streams.updates,
        "delay_ms": percentiles_json(&streams.delays),
        "within_250_ms_percent": streams.in_time_percent(),
        "cpu_seconds": streams.cpu.as_secs_f64(),
    })
}

/// Microseconds as milliseconds: `1,234.567`.
fn millis(micros: u64) -> String {
    format!("{}.{:03}", grouped(micros / 1_000), micros % 1_000)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(value), text);
        }
        assert_eq!(millis(1_234_567), "1,234.567");
        assert_eq!(rounded(43_210.6), "43,211");
    }
}
