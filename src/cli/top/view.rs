//! From pages of metrics to what the screen says. Pure: no terminal, no clock, no server.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use crate::client::http::printable;
use crate::client::metrics::{BucketHistogram, MetricsPage, Percentile};
use crate::telemetry::catalogue as metric;

/// Rates and percentiles are those of this long: the server hands its figures over once a second, so a single second
/// may show none and the next one two.
const WINDOW: Duration = Duration::from_secs(5);
/// The queue's peak is that of this long.
const PEAK_WINDOW: Duration = Duration::from_secs(60);
/// From here on the queue is in danger, in percent: the alert's threshold.
const QUEUE_ALARM_PERCENT: f64 = 80.0;
const QUEUE_WATCH_PERCENT: f64 = 50.0;
/// The published plan: p95 of reads and of writes.
const READS_P95_MAX: f64 = 0.2;
const WRITES_P95_MAX: f64 = 0.15;
const MB: f64 = 1_048_576.0;

/// One look at the server.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Since the program's start.
    pub(super) at: Duration,
    pub(super) page: MetricsPage,
    /// The drop that was asked for, as its route shows it.
    pub(super) drop: Option<Value>,
}

/// Whether there is an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Contact {
    /// Nobody has answered yet, nor failed to.
    Waiting,
    /// The last look is fresh.
    Fresh,
    /// There is none: why, and for how many seconds.
    Gone { why: String, for_seconds: u64 },
}

/// How bad a figure is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    /// As it should be.
    Calm,
    /// To be looked at.
    Watch,
    /// Somebody has to do something.
    Alarm,
}

/// What the screen says.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct View {
    pub(super) server: String,
    pub(super) contact: Contact,
    pub(super) seq: f64,
    pub(super) events_per_second: Option<f64>,
    pub(super) batch: Option<f64>,
    pub(super) queue: Queue,
    pub(super) latencies: Vec<Latency>,
    pub(super) outcomes: Vec<Rate>,
    pub(super) stock: Vec<Stock>,
    pub(super) facts: Vec<Fact>,
}

/// The writer's queue.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Queue {
    pub(super) depth: f64,
    pub(super) capacity: f64,
    pub(super) peak: f64,
}

/// How long something takes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Latency {
    pub(super) name: &'static str,
    pub(super) per_second: Option<f64>,
    pub(super) p50: Option<Percentile>,
    pub(super) p95: Option<Percentile>,
    pub(super) p99: Option<Percentile>,
    pub(super) level: Level,
}

/// How often something happens.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Rate {
    pub(super) name: String,
    pub(super) per_second: f64,
    pub(super) level: Level,
}

/// A drop's units.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stock {
    pub(super) drop: String,
    /// As its route says; metrics do not.
    pub(super) state: String,
    pub(super) total: f64,
    pub(super) available: f64,
    pub(super) held: f64,
    pub(super) sold: f64,
}

/// A figure with its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) level: Level,
}

impl Queue {
    pub(super) fn percent(&self) -> f64 {
        if self.capacity > 0.0 { (self.depth / self.capacity * 100.0).clamp(0.0, 100.0) } else { 0.0 }
    }

    pub(super) fn level(&self) -> Level {
        match self.percent() {
            percent if percent > QUEUE_ALARM_PERCENT => Level::Alarm,
            percent if percent > QUEUE_WATCH_PERCENT => Level::Watch,
            _ => Level::Calm,
        }
    }
}

/// The looks so far, the newest last.
#[derive(Default)]
pub(super) struct Looks {
    looks: VecDeque<Look>,
    /// How deep the queue was at each look, for longer than the pages are kept.
    depths: VecDeque<(Duration, f64)>,
}

impl Looks {
    /// Keeps a look, and forgets those that are too old. The one before stays however long ago it was: rates need two.
    pub(super) fn push(&mut self, look: Look) {
        let (at, depth) = (look.at, look.page.value(metric::QUEUE_DEPTH.name).unwrap_or(0.0));
        self.looks.push_back(look);
        self.depths.push_back((at, depth));
        let before = |length: Duration| at.saturating_sub(length);
        while self.looks.len() > 2 && self.looks.front().is_some_and(|oldest| oldest.at < before(WINDOW)) {
            self.looks.pop_front();
        }
        while self.depths.front().is_some_and(|(at, _)| *at < before(PEAK_WINDOW)) {
            self.depths.pop_front();
        }
    }

    /// What they show. `None` before the first.
    pub(super) fn view(&self, server: &str, contact: Contact) -> Option<View> {
        let now = self.looks.back()?;
        // A single look has nothing before it.
        let then = self.looks.front().filter(|look| look.at < now.at);
        let peak = self.depths.iter().map(|(_, depth)| *depth).fold(0.0, f64::max);
        let change = Change { now, then };
        let value = |metric: &metric::Metric| now.page.value(metric.name).unwrap_or(0.0);
        Some(View {
            server: printable(server),
            contact,
            seq: value(&metric::SEQ),
            events_per_second: change.seconds().map(|seconds| {
                let before = then.and_then(|look| look.page.value(metric::SEQ.name)).unwrap_or(0.0);
                (value(&metric::SEQ) - before).max(0.0) / seconds
            }),
            batch: change.histogram(metric::BATCH_COMMANDS.name, &[]).mean(),
            queue: Queue { depth: value(&metric::QUEUE_DEPTH), capacity: value(&metric::QUEUE_CAPACITY), peak },
            latencies: latencies(&change),
            outcomes: outcomes(&change),
            stock: stock(now),
            facts: facts(&change),
        })
    }
}

/// Two looks: what came between them.
struct Change<'looks> {
    now: &'looks Look,
    then: Option<&'looks Look>,
}

impl Change<'_> {
    fn seconds(&self) -> Option<f64> {
        self.then.map(|then| self.now.at.saturating_sub(then.at).as_secs_f64()).filter(|seconds| *seconds > 0.0)
    }

    /// What came since. Without an earlier look nothing did: values since the server's start would look like now.
    fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> BucketHistogram {
        let Some(then) = self.then else { return BucketHistogram::default() };
        self.now.page.histogram(name, labels).since(&then.page.histogram(name, labels))
    }

    /// Counts per second by a label, those that happen at all.
    fn rates(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> BTreeMap<String, f64> {
        let (Some(then), Some(seconds)) = (self.then, self.seconds()) else { return BTreeMap::new() };
        let before = then.page.sum_by(name, label, labels);
        let mut rates = BTreeMap::new();
        for (value, count) in self.now.page.sum_by(name, label, labels) {
            let before = before.get(value).copied().unwrap_or(0.0);
            // A counter that went back counts from nothing again.
            let more = if count < before { count } else { count - before };
            if more > 0.0 {
                rates.insert(printable(value), more / seconds);
            }
        }
        rates
    }

    fn value(&self, metric: &metric::Metric) -> f64 {
        self.now.page.value(metric.name).unwrap_or(0.0)
    }
}

fn latencies(change: &Change<'_>) -> Vec<Latency> {
    const ORDERS: &[(&str, &str)] = &[("route", "/v1/drops/{drop_id}/orders")];
    let row = |name, metric: &metric::Metric, labels: &[(&str, &str)], p95_max: f64| {
        let values = change.histogram(metric.name, labels);
        let p95 = values.percentile(0.95);
        let beyond = match p95 {
            Some(Percentile::At(seconds)) => seconds > p95_max,
            Some(Percentile::Above(_)) => true,
            None => false,
        };
        Latency {
            name,
            per_second: change.seconds().map(|seconds| values.count() / seconds),
            p50: values.percentile(0.5),
            p95,
            p99: values.percentile(0.99),
            level: if beyond { Level::Alarm } else { Level::Calm },
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

/// Decisions about orders and bids, refusals, those turned away, and 5xx, the most frequent first.
fn outcomes(change: &Change<'_>) -> Vec<Rate> {
    let mut rates = Vec::new();
    let mut add = |rate: (String, f64), level| rates.push(Rate { name: rate.0, per_second: rate.1, level });
    for (command, word) in [
        ("place_order", "order"),
        ("checkout", "checkout"),
        ("cancel_order", "cancel"),
        ("hear_provider", "payment"),
        ("place_bid", "bid"),
    ] {
        for (outcome, rate) in change.rates(metric::OUTCOMES.name, "outcome", &[("command", command)]) {
            add((format!("{word} {}", outcome.replace('_', " ")), rate), Level::Calm);
        }
    }
    for (reason, rate) in change.rates(metric::TURNED_AWAY.name, "reason", &[]) {
        add((format!("turned away: {reason}"), rate), Level::Watch);
    }
    for (reason, rate) in change.rates(metric::CONNECTIONS_REFUSED.name, "reason", &[]) {
        add((format!("not connected: {reason}"), rate), Level::Watch);
    }
    for (status, rate) in change.rates(metric::HTTP_REQUESTS.name, "status", &[]) {
        if status.starts_with('5') {
            add((format!("HTTP {status}"), rate), Level::Alarm);
        }
    }
    for (_, rate) in change.rates(metric::TOO_OLD.name, "", &[]) {
        add(("waited too long".into(), rate), Level::Alarm);
    }
    rates.sort_by(|a, b| b.level.cmp(&a.level).then(b.per_second.total_cmp(&a.per_second)).then(a.name.cmp(&b.name)));
    rates
}

/// The drops whose units the server shows; if one was asked for, that one alone.
fn stock(now: &Look) -> Vec<Stock> {
    if let Some(drop) = &now.drop {
        // Counts below 2^32.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let units = |name: &str| drop[name].as_u64().unwrap_or(0) as f64;
        return vec![Stock {
            drop: format!("{} {}", drop["id"], printable(drop["name"].as_str().unwrap_or(""))),
            state: drop["state"].as_str().unwrap_or("").replace('_', " "),
            total: units("total"),
            available: units("available"),
            held: units("held"),
            sold: units("sold"),
        }];
    }
    let units = |drop: &str, state: &str| now.page.sum(metric::DROP_UNITS.name, &[("drop", drop), ("state", state)]);
    let mut drops: Vec<&str> = now.page.sum_by(metric::DROP_UNITS.name, "drop", &[]).into_keys().collect();
    // The newest first: that is the one on sale.
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.parse::<u32>().unwrap_or(0)));
    let of = |drop: &str| Stock {
        drop: printable(drop),
        state: String::new(),
        total: units(drop, "total"),
        available: units(drop, "available"),
        held: units(drop, "held"),
        sold: units(drop, "sold"),
    };
    drops.into_iter().map(of).collect()
}

fn facts(change: &Change<'_>) -> Vec<Fact> {
    let page = &change.now.page;
    let at = |value: f64, watch: f64, alarm: f64| match value {
        value if value >= alarm => Level::Alarm,
        value if value >= watch => Level::Watch,
        _ => Level::Calm,
    };
    let never = f64::INFINITY;
    let mut facts = Vec::new();
    let mut fact = |name, value: String, level| facts.push(Fact { name, value, level });
    let (over, under) = (change.value(&metric::OVERSOLD), change.value(&metric::UNDERSOLD));
    let wrong = at(over.max(under), 1.0, 1.0);
    fact("oversold", format!("{}, undersold {}", whole(over), whole(under)), wrong);
    let mismatched = change.value(&metric::MISMATCHED);
    let counters = if mismatched > 0.0 { format!("{} drops disagree", whole(mismatched)) } else { "agree".into() };
    fact("counters", counters, at(mismatched, 1.0, 1.0));
    let lag = change.value(&metric::AUDIT_LAG);
    fact("auditor behind", format!("{} events", whole(lag)), at(lag, 100_000.0, never));
    let due = change.value(&metric::REFUNDS_DUE);
    fact("refunds due", whole(due), at(due, 1.0, never));
    let open = |listener| page.sum(metric::CONNECTIONS.name, &[("listener", listener)]);
    fact("buyers connected", format!("{}, frames {}", whole(open("public")), whole(open("wire"))), Level::Calm);
    let (files, files_max) = (change.value(&metric::DESCRIPTORS), change.value(&metric::DESCRIPTORS_MAX));
    fact(
        "descriptors",
        format!("{} of {}", whole(files), whole(files_max)),
        at(files, files_max * 0.8, files_max * 0.95),
    );
    let wal = change.value(&metric::WAL_BYTES);
    fact("write-ahead log", format!("{:.1} MB", wal / MB), at(wal, 80.0 * MB, 256.0 * MB));
    let free = change.value(&metric::DISK_FREE);
    let full = change.value(&metric::READ_ONLY) > 0.0;
    let disk = if full { "FULL: nothing is sold".into() } else { format!("{:.1} GB free", free / 1024.0 / MB) };
    fact("disk", disk, if full { Level::Alarm } else { at(-free, -2048.0 * MB, -512.0 * MB) });
    let clock = change.value(&metric::CLOCK_OFFSET);
    fact("clock off by", format!("{clock:+.3} s"), at(clock.abs(), 0.2, 1.0));
    let (age, dead) = (change.value(&metric::OUTBOX_AGE), change.value(&metric::OUTBOX_DEAD));
    fact("outbox age", seconds(age), at(age, 30.0, 120.0));
    fact("dead letters", whole(dead), at(dead, 1.0, never));
    let broken = change.value(&metric::OUTBOX_BROKEN);
    fact("endpoints broken", whole(broken), at(broken, 1.0, never));
    fact("memory", format!("{:.0} MB", change.value(&metric::RESIDENT) / MB), Level::Calm);
    let running = page.sum(metric::AUCTIONS.name, &[("state", "live")]);
    let bids: f64 = change.rates(metric::OUTCOMES.name, "command", &[("command", "place_bid")]).into_values().sum();
    fact("auctions", format!("{} live, {}/s bids", whole(running), rate(bids)), Level::Calm);
    facts
}

/// A whole number, with commas.
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

/// How often, per second.
pub(super) fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 { format!("{value:.1}") } else { whole(value) }
}

/// How long.
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
