//! One offered rate: its figures, its verdict, its line; and the knee of a ladder. Pure.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::load::ledger::Ledger;
use crate::load::meter::{LatencyMeter, RequestKind};
use crate::load::numbers::{grouped, rounded};
use crate::load::outcome::RequestOutcome;

/// A rung is kept if at least this share of the offered rate was answered.
const RATE_SHARE_MIN: f64 = 0.98;
/// ... and at least this share of all arrivals got a good answer.
const SUCCESS_SHARE_MIN: f64 = 0.999;

/// Latencies from the intended start, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct LatencySummary {
    pub(super) count: u64,
    pub(super) average: f64,
    pub(super) p50: u64,
    pub(super) p95: u64,
    pub(super) p99: u64,
    pub(super) p99_9: u64,
    pub(super) max: u64,
}

impl LatencySummary {
    fn of(histogram: &Histogram<u64>) -> LatencySummary {
        LatencySummary {
            count: histogram.len(),
            average: histogram.mean(),
            p50: histogram.value_at_percentile(50.0),
            p95: histogram.value_at_percentile(95.0),
            p99: histogram.value_at_percentile(99.0),
            p99_9: histogram.value_at_percentile(99.9),
            max: histogram.max(),
        }
    }

    fn json(&self) -> Value {
        let millis = |micros: u64| micros as f64 / 1e3;
        json!({
            "count": self.count,
            "average": self.average / 1e3,
            "p50": millis(self.p50),
            "p95": millis(self.p95),
            "p99": millis(self.p99),
            "p99_9": millis(self.p99_9),
            "max": millis(self.max),
        })
    }
}

/// The verdict on a rung: kept, or the reason against it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RungVerdict {
    /// The rate was kept, and the 99th percentile is within the bound.
    Kept,
    /// The rate was kept, but too slowly.
    Slow,
    /// The answers came at a lower rate than the arrivals.
    Behind,
    /// Arrivals were rejected, cut off or lost.
    Failing,
    /// The server oversold, or broke its contract.
    Broken,
}

impl RungVerdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            RungVerdict::Kept => "kept",
            RungVerdict::Slow => "slow",
            RungVerdict::Behind => "behind",
            RungVerdict::Failing => "failing",
            RungVerdict::Broken => "BROKEN",
        }
    }
}

/// One rung.
#[derive(Clone, Debug, Default)]
pub(super) struct Rung {
    /// Arrivals per second, as offered.
    pub(super) target: u32,
    /// Good answers per second.
    pub(super) achieved: f64,
    /// The share of arrivals with a good answer.
    pub(super) success: f64,
    /// The start of the rung, since that of the ladder.
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// CPU time of the load itself, in cores.
    pub(super) load_cores: f64,
    pub(super) all: LatencySummary,
    pub(super) orders: LatencySummary,
    pub(super) reads: LatencySummary,
    broken: Vec<String>,
}

impl Rung {
    /// The figures of a run at this rate.
    pub(super) fn new(
        target: u32,
        arrivals: u64,
        (from, to): (Duration, Duration),
        cpu: Duration,
        ledger: &Ledger,
        meter: &LatencyMeter,
        broken: Vec<String>,
    ) -> Rung {
        let good = ledger.counted(RequestOutcome::Reserved) + ledger.counted(RequestOutcome::DropRead);
        // Up to the last answer, but never shorter than the arrivals themselves took.
        let offered_seconds = arrivals as f64 / f64::from(target);
        let seconds = Duration::from_nanos(meter.last_ns).as_secs_f64().max(offered_seconds);
        let (orders, reads) =
            (&meter.of(RequestKind::Orders).from_intended, &meter.of(RequestKind::Reads).from_intended);
        let mut all = orders.clone();
        // All of a meter's histograms have the same bounds.
        let _same_bounds = all.add(reads);
        Rung {
            target,
            achieved: good as f64 / seconds,
            success: good as f64 / arrivals.max(1) as f64,
            from,
            to,
            load_cores: cpu.as_secs_f64() / to.saturating_sub(from).as_secs_f64().max(1e-9),
            all: LatencySummary::of(&all),
            orders: LatencySummary::of(orders),
            reads: LatencySummary::of(reads),
            broken,
        }
    }

    pub(super) fn verdict(&self, p99_max: Duration) -> RungVerdict {
        if !self.broken.is_empty() {
            RungVerdict::Broken
        } else if self.success < SUCCESS_SHARE_MIN {
            RungVerdict::Failing
        } else if self.achieved < RATE_SHARE_MIN * f64::from(self.target) {
            RungVerdict::Behind
        } else if Duration::from_micros(self.all.p99) > p99_max {
            RungVerdict::Slow
        } else {
            RungVerdict::Kept
        }
    }

    /// The findings that do not hold, a line each.
    pub(super) fn broken(&self) -> impl Iterator<Item = String> {
        let target = grouped(u64::from(self.target));
        self.broken.iter().map(move |sentence| format!("check failed at {target}/s: {sentence}"))
    }

    /// The names of the table's columns.
    pub(super) const COLUMNS: [&'static str; 10] =
        ["target/s", "achieved/s", "average", "p50", "p95", "p99", "p99.9", "success %", "load cores", "verdict"];

    pub(super) fn cells(&self, p99_max: Duration) -> [String; 10] {
        let millis = |micros: u64| format!("{:.2}", micros as f64 / 1e3);
        [
            grouped(u64::from(self.target)),
            rounded(self.achieved),
            format!("{:.2}", self.all.average / 1e3),
            millis(self.all.p50),
            millis(self.all.p95),
            millis(self.all.p99),
            millis(self.all.p99_9),
            floored_percent(self.success),
            format!("{:.2}", self.load_cores),
            self.verdict(p99_max).as_str().to_owned(),
        ]
    }

    /// The heading of the table.
    pub(super) fn heading() -> String {
        in_columns(&Rung::COLUMNS.map(str::to_owned))
    }

    pub(super) fn line(&self, p99_max: Duration) -> String {
        in_columns(&self.cells(p99_max))
    }

    pub(super) fn json(&self, p99_max: Duration) -> Value {
        json!({
            "target_per_second": self.target,
            "achieved_per_second": self.achieved,
            "success_share": self.success,
            "load_cores": self.load_cores,
            "verdict": self.verdict(p99_max).as_str(),
            "latency_ms": { "all": self.all.json(), "orders": self.orders.json(), "reads": self.reads.json() },
            "broken": self.broken,
        })
    }
}

/// A share in percent; only what is whole is shown as 100.
fn floored_percent(share: f64) -> String {
    format!("{:.2}", (share * 10_000.0).floor() / 100.0)
}

fn in_columns(cells: &[String; 10]) -> String {
    cells.iter().map(|cell| format!("{cell:>11}")).collect()
}

/// The end of the kept rungs, in a sentence: between the last rung of an unbroken row of kept ones and the next.
pub(super) fn knee(rungs: &[Rung], p99_max: Duration) -> String {
    let kept = rungs.iter().take_while(|rung| rung.verdict(p99_max) == RungVerdict::Kept).count();
    let rate = |rung: &Rung| format!("{}/s", grouped(u64::from(rung.target)));
    let last_kept = kept.checked_sub(1).and_then(|last| rungs.get(last));
    match (last_kept, rungs.get(kept)) {
        (Some(last), Some(next)) => {
            format!(
                "the knee lies between {} (kept) and {} ({})",
                rate(last),
                rate(next),
                next.verdict(p99_max).as_str()
            )
        }
        (Some(last), None) => format!("no knee up to {}: every rung was kept", rate(last)),
        (None, Some(first)) => format!("the knee lies below {} ({})", rate(first), first.verdict(p99_max).as_str()),
        (None, None) => "no rungs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(50);

    fn rung(target: u32) -> Rung {
        let all = LatencySummary { p99: 50_000, ..LatencySummary::default() };
        Rung { target, achieved: f64::from(target), success: 1.0, all, ..Rung::default() }
    }

    #[test]
    fn a_rung_is_judged_by_the_worst_that_happened() {
        let kept = rung(1_000);
        assert_eq!(kept.verdict(BOUND), RungVerdict::Kept, "on the bound");
        let slow = Rung { all: LatencySummary { p99: 50_001, ..kept.all }, ..kept.clone() };
        assert_eq!(slow.verdict(BOUND), RungVerdict::Slow);
        let behind = Rung { achieved: 979.0, ..slow };
        assert_eq!(behind.verdict(BOUND), RungVerdict::Behind);
        let failing = Rung { success: 0.998, ..behind };
        assert_eq!(failing.verdict(BOUND), RungVerdict::Failing);
        let broken = Rung { broken: vec!["3 units above the stock of 2".into()], ..failing };
        assert_eq!(broken.verdict(BOUND), RungVerdict::Broken);
        assert_eq!(broken.broken().next().as_deref(), Some("check failed at 1,000/s: 3 units above the stock of 2"));
    }

    #[test]
    fn the_knee_is_after_the_first_row_of_kept_rungs() {
        let behind = |target| Rung { achieved: 1.0, ..rung(target) };
        for (rungs, sentence) in [
            (vec![rung(1), rung(2), behind(3_000), rung(4_000)], "between 2/s (kept) and 3,000/s (behind)"),
            (vec![rung(1), rung(2)], "no knee up to 2/s"),
            (vec![behind(1_000), rung(2_000)], "below 1,000/s (behind)"),
            (vec![], "no rungs"),
        ] {
            assert!(knee(&rungs, BOUND).contains(sentence), "{}", knee(&rungs, BOUND));
        }
    }

    #[test]
    fn the_figures_are_of_good_answers_from_the_intended_start() {
        let (mut ledger, mut meter) = (Ledger::default(), LatencyMeter::new().expect("bounds"));
        for n in 0..10 {
            ledger.count(if n < 9 { RequestOutcome::DropRead } else { RequestOutcome::Overloaded });
            meter.record(RequestKind::Reads, 0, 900_000, 1_000_000);
        }
        meter.last_ns = 20_000_000;
        let times = (Duration::ZERO, Duration::from_millis(20));
        let found = Rung::new(1_000, 10, times, Duration::from_millis(10), &ledger, &meter, Vec::new());
        assert!((found.achieved - 450.0).abs() < 0.1 && (found.success - 0.9).abs() < 1e-9, "{found:?}");
        assert!((found.load_cores - 0.5).abs() < 1e-9);
        assert_eq!((found.all.count, found.all.p50, found.orders.count), (10, 1_000, 0));
        assert_eq!(found.verdict(BOUND), RungVerdict::Failing);
    }

    #[test]
    fn almost_all_is_not_shown_as_all() {
        assert_eq!((floored_percent(0.999_999), floored_percent(1.0)), ("99.99".into(), "100.00".into()));
    }
}
