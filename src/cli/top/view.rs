//! Computes the screen's figures from pages of metrics. Pure: no terminal, no clock, no server.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use crate::client::http::printable;
use crate::telemetry::catalogue as metric;
use crate::telemetry::outcome_rates::{FigureLevel, OutcomeRate, outcome_rates};
use crate::telemetry::page::{BucketHistogram, MetricsPage, Percentile};

/// Window of rates and percentiles. The server updates its metrics once a second, so a window of one second could have no
/// update, or two.
const WINDOW: Duration = Duration::from_secs(5);
/// Window of the queue's peak.
const PEAK_WINDOW: Duration = Duration::from_secs(60);
/// Threshold of the queue's alert, in percent.
const QUEUE_ALARM_PERCENT: f64 = 80.0;
const QUEUE_WATCH_PERCENT: f64 = 50.0;
/// Limits of the published plan for the 95th percentile of reads and writes, in seconds.
const READS_P95_MAX: f64 = 0.2;
const WRITES_P95_MAX: f64 = 0.15;
const MB: f64 = 1_048_576.0;

/// The server's figures at one instant.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Time since the program's start.
    pub(super) at: Duration,
    pub(super) page: MetricsPage,
    /// The drop of `--drop`, as its route returns it.
    pub(super) drop: Option<Value>,
}

/// State of the connection to the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ConnectionState {
    /// Neither a response nor a failure so far.
    Waiting,
    /// The last request succeeded.
    Fresh,
    /// Requests have failed for some seconds.
    Lost { reason: String, for_seconds: u64 },
}

/// All figures of the screen.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct View {
    pub(super) server: String,
    pub(super) state: ConnectionState,
    pub(super) seq: f64,
    pub(super) events_per_second: Option<f64>,
    pub(super) batch: Option<f64>,
    pub(super) queue: QueueFigures,
    pub(super) latencies: Vec<LatencyRow>,
    pub(super) outcomes: Vec<OutcomeRate>,
    pub(super) stock: Vec<StockRow>,
    pub(super) facts: Vec<Fact>,
}

/// Figures of the writer's queue, in commands.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct QueueFigures {
    pub(super) depth: f64,
    pub(super) capacity: f64,
    pub(super) peak: f64,
}

/// Row of the table of latencies; times in seconds.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct LatencyRow {
    pub(super) name: &'static str,
    pub(super) per_second: Option<f64>,
    pub(super) p50: Option<Percentile>,
    pub(super) p95: Option<Percentile>,
    pub(super) p99: Option<Percentile>,
    pub(super) level: FigureLevel,
}

/// Units of a drop.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct StockRow {
    pub(super) drop: String,
    /// State from the drop's route; empty from metrics alone.
    pub(super) state: String,
    pub(super) total: f64,
    pub(super) available: f64,
    pub(super) held: f64,
    pub(super) sold: f64,
    /// The drop's waiting room, if there is one.
    pub(super) room: Option<RoomLine>,
}

/// The line of a drop's waiting room, in buyers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct RoomLine {
    pub(super) waiting: f64,
    pub(super) admitted: f64,
    /// Admitted buyers without an order; `None` until the writer has counted them.
    pub(super) idle: Option<f64>,
    pub(super) is_serving: bool,
    /// Seconds for which its draw has waited for its beacon, while it does.
    pub(super) beacon_wait: Option<f64>,
}

/// A named figure of the part "health".
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) level: FigureLevel,
}

impl QueueFigures {
    pub(super) fn percent(&self) -> f64 {
        if self.capacity > 0.0 { (self.depth / self.capacity * 100.0).clamp(0.0, 100.0) } else { 0.0 }
    }

    pub(super) fn level(&self) -> FigureLevel {
        match self.percent() {
            percent if percent > QUEUE_ALARM_PERCENT => FigureLevel::Alarm,
            percent if percent > QUEUE_WATCH_PERCENT => FigureLevel::Warning,
            _ => FigureLevel::Normal,
        }
    }
}

/// Recent samples, the newest last.
#[derive(Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// Depth of the queue at each sample, kept for longer than the pages.
    depths: VecDeque<(Duration, f64)>,
}

impl History {
    /// Adds a sample and drops old ones. At least two stay, because rates need two.
    pub(super) fn push(&mut self, sample: Sample) {
        let (at, depth) = (sample.at, sample.page.value(metric::QUEUE_DEPTH.name).unwrap_or(0.0));
        self.samples.push_back(sample);
        self.depths.push_back((at, depth));
        let before = |length: Duration| at.saturating_sub(length);
        while self.samples.len() > 2 && self.samples.front().is_some_and(|oldest| oldest.at < before(WINDOW)) {
            self.samples.pop_front();
        }
        while self.depths.front().is_some_and(|(at, _)| *at < before(PEAK_WINDOW)) {
            self.depths.pop_front();
        }
    }

    /// Computes the view; `None` without a sample.
    pub(super) fn view(&self, server: &str, state: ConnectionState) -> Option<View> {
        let now = self.samples.back()?;
        let then = self.samples.front().filter(|sample| sample.at < now.at);
        let peak = self.depths.iter().map(|(_, depth)| *depth).fold(0.0, f64::max);
        let change = Difference { now, then };
        let value = |metric: &metric::Metric| now.page.value(metric.name).unwrap_or(0.0);
        Some(View {
            server: printable(server),
            state,
            seq: value(&metric::SEQ),
            events_per_second: change.seconds().map(|seconds| {
                let before = then.and_then(|sample| sample.page.value(metric::SEQ.name)).unwrap_or(0.0);
                (value(&metric::SEQ) - before).max(0.0) / seconds
            }),
            batch: change.histogram(metric::BATCH_COMMANDS.name, &[]).mean(),
            queue: QueueFigures { depth: value(&metric::QUEUE_DEPTH), capacity: value(&metric::QUEUE_CAPACITY), peak },
            latencies: latencies(&change),
            outcomes: outcomes(&change),
            stock: stock(now),
            facts: facts(&change),
        })
    }
}

/// Difference between two samples.
struct Difference<'history> {
    now: &'history Sample,
    then: Option<&'history Sample>,
}

impl Difference<'_> {
    fn seconds(&self) -> Option<f64> {
        self.then.map(|then| self.now.at.saturating_sub(then.at).as_secs_f64()).filter(|seconds| *seconds > 0.0)
    }

    /// Returns the values since the earlier sample; without one, none, because values since the server's start would
    /// pass for current ones.
    fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> BucketHistogram {
        let Some(then) = self.then else { return BucketHistogram::default() };
        self.now.page.histogram(name, labels).since(&then.page.histogram(name, labels))
    }

    fn rate(&self, metric: &metric::Metric, labels: &[(&str, &str)]) -> f64 {
        let (Some(then), Some(seconds)) = (self.then, self.seconds()) else { return 0.0 };
        self.now.page.rates_since(&then.page, seconds, metric.name, "", labels).into_values().sum()
    }

    fn value(&self, metric: &metric::Metric) -> f64 {
        self.now.page.value(metric.name).unwrap_or(0.0)
    }
}

fn latencies(change: &Difference<'_>) -> Vec<LatencyRow> {
    const ORDERS: &[(&str, &str)] = &[("route", "/v1/drops/{drop_id}/orders")];
    let row = |name, metric: &metric::Metric, labels: &[(&str, &str)], p95_max: f64| {
        let values = change.histogram(metric.name, labels);
        let p95 = values.percentile(0.95);
        let beyond = match p95 {
            Some(Percentile::At(seconds)) => seconds > p95_max,
            Some(Percentile::Above(_)) => true,
            None => false,
        };
        LatencyRow {
            name,
            per_second: change.seconds().map(|seconds| values.count() / seconds),
            p50: values.percentile(0.5),
            p95,
            p99: values.percentile(0.99),
            level: if beyond { FigureLevel::Alarm } else { FigureLevel::Normal },
        }
    };
    vec![
        row("in the queue", &metric::QUEUE_WAIT, &[], WRITES_P95_MAX),
        row("decide", &metric::DECIDE, &[], WRITES_P95_MAX),
        row("record", &metric::RECORD, &[], WRITES_P95_MAX),
        row("commit", &metric::COMMIT, &[], WRITES_P95_MAX),
        row("orders, whole", &metric::HTTP_REQUEST, ORDERS, WRITES_P95_MAX),
        row("reads", &metric::READ, &[], READS_P95_MAX),
    ]
}

/// Returns the outcomes, without control characters: the metrics may be those of another server.
fn outcomes(change: &Difference<'_>) -> Vec<OutcomeRate> {
    let (Some(then), Some(seconds)) = (change.then, change.seconds()) else { return Vec::new() };
    let rates = outcome_rates(&change.now.page, &then.page, seconds).into_iter();
    rates.map(|rate| OutcomeRate { name: printable(&rate.name), ..rate }).collect()
}

/// Returns the drops in the metrics, or only the drop of `--drop`.
fn stock(now: &Sample) -> Vec<StockRow> {
    if let Some(drop) = &now.drop {
        // Counts below 2^32.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let units = |name: &str| drop[name].as_u64().unwrap_or(0) as f64;
        return vec![StockRow {
            drop: format!("{} {}", drop["id"], printable(drop["name"].as_str().unwrap_or(""))),
            state: drop["state"].as_str().unwrap_or("").replace('_', " "),
            total: units("total"),
            available: units("available"),
            held: units("held"),
            sold: units("sold"),
            room: room_of(now, &drop["id"].to_string()),
        }];
    }
    let units = |drop: &str, state: &str| now.page.sum(metric::DROP_UNITS.name, &[("drop", drop), ("state", state)]);
    let mut drops: Vec<&str> = now.page.sum_by(metric::DROP_UNITS.name, "drop", &[]).into_keys().collect();
    // The newest drop comes first; it is usually the one on sale.
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.parse::<u32>().unwrap_or(0)));
    let of = |drop: &str| StockRow {
        drop: printable(drop),
        state: String::new(),
        total: units(drop, "total"),
        available: units(drop, "available"),
        held: units(drop, "held"),
        sold: units(drop, "sold"),
        room: room_of(now, drop),
    };
    drops.into_iter().map(of).collect()
}

/// Returns the line of a drop's waiting room from the metrics; `None` without one.
fn room_of(now: &Sample, drop: &str) -> Option<RoomLine> {
    let of = |metric: &metric::Metric| now.page.sum_by(metric.name, "drop", &[]).get(drop).copied();
    let is_serving = of(&metric::ROOM_SERVING)? > 0.0;
    let tickets = |state| now.page.sum(metric::ROOM_TICKETS.name, &[("drop", drop), ("state", state)]);
    Some(RoomLine {
        waiting: tickets("waiting"),
        admitted: tickets("admitted"),
        idle: of(&metric::ROOM_IDLE),
        is_serving,
        beacon_wait: of(&metric::ROOM_BEACON_WAIT),
    })
}

fn facts(change: &Difference<'_>) -> Vec<Fact> {
    let page = &change.now.page;
    let level = |value: f64, warning: f64, alarm: f64| match value {
        value if value >= alarm => FigureLevel::Alarm,
        value if value >= warning => FigureLevel::Warning,
        _ => FigureLevel::Normal,
    };
    let never = f64::INFINITY;
    let mut facts = Vec::new();
    let mut fact = |name, value: String, level| facts.push(Fact { name, value, level });
    let (over, under) = (change.value(&metric::OVERSOLD), change.value(&metric::UNDERSOLD));
    let wrong = level(over.max(under), 1.0, 1.0);
    fact("oversold", format!("{}, undersold {}", whole(over), whole(under)), wrong);
    let mismatched = change.value(&metric::MISMATCHED);
    let counters = if mismatched > 0.0 { format!("{} drops disagree", whole(mismatched)) } else { "agree".into() };
    fact("counters", counters, level(mismatched, 1.0, 1.0));
    let lag = change.value(&metric::AUDIT_LAG);
    fact("auditor behind", format!("{} events", whole(lag)), level(lag, 100_000.0, never));
    let due = change.value(&metric::REFUNDS_DUE);
    fact("refunds due", whole(due), level(due, 1.0, never));
    let open = |listener| page.sum(metric::CONNECTIONS.name, &[("listener", listener)]);
    fact("buyers connected", format!("{}, wire {}", whole(open("public")), whole(open("wire"))), FigureLevel::Normal);
    let (files, files_max) = (change.value(&metric::DESCRIPTORS), change.value(&metric::DESCRIPTORS_MAX));
    fact(
        "descriptors",
        format!("{} of {}", whole(files), whole(files_max)),
        level(files, files_max * 0.8, files_max * 0.95),
    );
    let wal = change.value(&metric::WAL_BYTES);
    fact("write-ahead log", format!("{:.1} MB", wal / MB), level(wal, 80.0 * MB, 256.0 * MB));
    let free = change.value(&metric::DISK_FREE);
    let read_only = change.value(&metric::READ_ONLY) > 0.0;
    let disk = if read_only { "READ-ONLY: no sales".into() } else { format!("{:.1} GB free", free / 1024.0 / MB) };
    fact("disk", disk, if read_only { FigureLevel::Alarm } else { level(-free, -2048.0 * MB, -512.0 * MB) });
    let clock = change.value(&metric::CLOCK_OFFSET);
    fact("clock off by", format!("{clock:+.3} s"), level(clock.abs(), 0.2, 1.0));
    let (age, dead) = (change.value(&metric::OUTBOX_AGE), change.value(&metric::OUTBOX_DEAD));
    fact("outbox age", seconds(age), level(age, 30.0, 120.0));
    fact("dead letters", whole(dead), level(dead, 1.0, never));
    let broken = change.value(&metric::OUTBOX_BROKEN);
    fact("endpoints broken", whole(broken), level(broken, 1.0, never));
    fact("memory", format!("{:.0} MB", change.value(&metric::RESIDENT) / MB), FigureLevel::Normal);
    let running = page.sum(metric::AUCTIONS.name, &[("state", "live")]);
    let bids: f64 = change.rate(&metric::OUTCOMES, &[("command", "place_bid")]);
    fact("auctions", format!("{} live, {}/s bids", whole(running), rate(bids)), FigureLevel::Normal);
    facts
}

/// Formats a number without decimals, with commas.
pub(super) fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

/// Formats a rate per second.
pub(super) fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 { format!("{value:.1}") } else { whole(value) }
}

/// Formats a time, given in seconds.
pub(super) fn seconds(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0 s".into(),
        value if value < 0.000_999_5 => format!("{:.0} us", value * 1e6),
        value if value < 0.009_95 => format!("{:.1} ms", value * 1e3),
        value if value < 0.999_5 => format!("{:.0} ms", value * 1e3),
        value if value < 9.95 => format!("{value:.1} s"),
        value => format!("{} s", whole(value)),
    }
}

#[cfg(test)]
mod tests;
