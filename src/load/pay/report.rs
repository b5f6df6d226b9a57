//! The result of a run: the table, the check, and the same as JSON. Pure.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::books::{RecordedMoney, RecordedPayment};
use super::ledger::{PayCount, PayLedger, PayTimed};
use super::plan::PayPlan;
use super::requests::{CURRENCY, UNIT_PRICE};
use crate::load::numbers::{grouped, rounded};
use crate::load::response::DropView;

/// A line of the check.
struct PayFinding {
    name: &'static str,
    holds: bool,
    sentence: String,
}

/// The figures of a run.
pub(crate) struct PayReport<'a> {
    plan: &'a PayPlan,
    ledger: PayLedger,
    began: Instant,
    drop: DropView,
    money: RecordedMoney,
}

impl<'a> PayReport<'a> {
    pub(super) fn new(
        plan: &'a PayPlan,
        ledger: PayLedger,
        began: Instant,
        drop: DropView,
        payments: Vec<RecordedPayment>,
    ) -> PayReport<'a> {
        PayReport { plan, ledger, began, drop, money: RecordedMoney::of(payments, CURRENCY) }
    }

    /// Orders a second from the first request to the last payment, each with its checkout and its payment.
    fn paid_per_second(&self) -> Option<f64> {
        self.per_second(PayCount::Paid, self.ledger.last_paid)
    }

    fn deliveries_per_second(&self) -> Option<f64> {
        self.per_second(PayCount::Deliveries, self.ledger.last_delivery)
    }

    fn per_second(&self, what: PayCount, until: Option<Instant>) -> Option<f64> {
        let seconds = until?.saturating_duration_since(self.began).as_secs_f64();
        (seconds > 0.0).then(|| self.ledger.counted(what) as f64 / seconds)
    }

    fn took(&self) -> Duration {
        self.ledger.last_delivery.map_or(Duration::ZERO, |last| last.saturating_duration_since(self.began))
    }

    fn findings(&self) -> Vec<PayFinding> {
        let (drop, money, ledger) = (&self.drop, &self.money, &self.ledger);
        let finding = |name, holds, sentence| PayFinding { name, holds, sentence };
        let count = |what| ledger.counted(what);
        let (ordered, paid, sold_out) = (count(PayCount::Ordered), count(PayCount::Paid), count(PayCount::SoldOut));
        let buyers = u64::from(self.plan.buyers);
        let expected = paid.saturating_mul(UNIT_PRICE);
        let mut findings = vec![
            finding(
                "everyone_answered",
                count(PayCount::CutOff) == 0 && paid.saturating_add(sold_out) == buyers,
                format!(
                    "{} paid and {} found it sold out, of {} buyers",
                    grouped(paid),
                    grouped(sold_out),
                    grouped(buyers)
                ),
            ),
            finding(
                "sold_exactly",
                drop.sold == paid && drop.held == 0 && paid == buyers.min(u64::from(self.plan.units)),
                format!(
                    "{} orders are paid, the server counts {} sold and {} held",
                    grouped(paid),
                    grouped(drop.sold),
                    drop.held
                ),
            ),
            finding(
                "conserved",
                drop.is_conserved(),
                format!("available {} + held {} + sold {}", drop.available, drop.held, drop.sold),
            ),
            finding(
                "order_ids_distinct",
                ledger.orders_doubled() == 0,
                format!("every one of {} orders has its own id", grouped(ordered)),
            ),
            finding(
                "every_copy_acknowledged",
                count(PayCount::Deliveries) == ordered.saturating_mul(u64::from(self.plan.copies)),
                format!(
                    "{} webhooks acknowledged: {} events, {} copies of each",
                    grouped(count(PayCount::Deliveries)),
                    grouped(ordered),
                    self.plan.copies
                ),
            ),
            finding(
                "paid_once",
                money.payments == paid && money.orders_paid == paid && money.doubled == 0,
                format!(
                    "the server has recorded {} payments, of {} orders, none of them twice",
                    grouped(money.payments),
                    grouped(money.orders_paid)
                ),
            ),
            finding(
                "money_exact",
                money.received == expected && money.refunded == 0 && money.refund_due == 0 && money.foreign == 0,
                format!(
                    "received {} cents, {} orders of {} cents; {} to be paid back",
                    grouped(money.received),
                    grouped(paid),
                    grouped(UNIT_PRICE),
                    grouped(money.refund_due)
                ),
            ),
        ];
        let before = findings.len();
        findings.extend(ledger.violations().map(|(violation, times, first)| {
            let sentence = format!("{}: {} times, first buyer {first}", violation.words(), grouped(times));
            finding("promises_kept", false, sentence)
        }));
        if findings.len() == before {
            findings.push(finding("promises_kept", true, "no event was applied twice, none was refused".to_owned()));
        }
        findings
    }

    /// The checks that do not hold, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let wrong = self.findings().into_iter().filter(|finding| !finding.holds);
        wrong.map(|finding| format!("FAILED: {}", finding.sentence)).collect()
    }

    /// The table, line by line.
    pub(crate) fn table(&self) -> Vec<String> {
        let plan = self.plan;
        let mut lines = vec![format!(
            "drop {} at {}, {} buyers who pay through {}, {} copies of each event, seed {}, {} connections of buyers and {} of the \
             provider on {} threads, {:.2} s",
            self.drop.id,
            plan.public.authority,
            grouped(u64::from(plan.buyers)),
            plan.provider.provider().as_str(),
            plan.copies,
            plan.seed,
            plan.connections,
            plan.provider_connections,
            plan.threads,
            self.took().as_secs_f64()
        )];
        for (name, value, unit) in [
            ("paid orders", self.paid_per_second(), "a second: order, checkout and payment"),
            ("webhooks", self.deliveries_per_second(), "a second"),
        ] {
            lines.extend(value.map(|value| format!("  {name:<34}{} {unit}", rounded(value))));
        }
        lines.push(String::new());
        for what in PayCount::ALL {
            let count = self.ledger.counted(what);
            if count > 0 {
                lines.push(format!("  {:<44}{:>14}", what.words().1, grouped(count)));
            }
        }
        lines.push(String::new());
        lines.push(format!("{:<36}{:>10}{:>10}{:>10}{:>10}{:>10}", "ms", "number", "p50", "p95", "p99", "max"));
        lines.extend(PayTimed::ALL.map(|what| times(what.words().1, self.ledger.latencies(what))));
        lines.push(String::new());
        for finding in self.findings() {
            let mark = if finding.holds { "ok    " } else { "FAILED" };
            lines.push(format!("  {mark}  {}", finding.sentence));
        }
        lines
    }

    pub(crate) fn json(&self) -> Value {
        let counts: Map<String, Value> = PayCount::ALL
            .into_iter()
            .map(|what| (what.words().0.to_owned(), self.ledger.counted(what).into()))
            .collect();
        let latencies: Map<String, Value> = PayTimed::ALL
            .into_iter()
            .map(|what| {
                let of = self.ledger.latencies(what);
                let at = |percent: f64| ms(of.value_at_percentile(percent));
                let shown = json!({ "p50": at(50.0), "p95": at(95.0), "p99": at(99.0), "max": ms(of.max()) });
                (what.words().0.to_owned(), shown)
            })
            .collect();
        let checks: Vec<Value> = self
            .findings()
            .into_iter()
            .map(|finding| json!({ "name": finding.name, "holds": finding.holds, "sentence": finding.sentence }))
            .collect();
        json!({
            "drop": self.drop.id,
            "buyers": self.plan.buyers,
            "units": self.drop.total,
            "copies": self.plan.copies,
            "provider": self.plan.provider.provider().as_str(),
            "seed": self.plan.seed,
            "seconds": self.took().as_secs_f64(),
            "paid_per_second": self.paid_per_second(),
            "webhooks_per_second": self.deliveries_per_second(),
            "received_cents": self.money.received,
            "counts": counts,
            "latency_ms": latencies,
            "checks": checks,
        })
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn times(name: &str, of: &Histogram<u64>) -> String {
    let at = |percent: f64| ms(of.value_at_percentile(percent));
    let (p50, p95, p99) = (at(50.0), at(95.0), at(99.0));
    format!("  {name:<34}{:>10}{p50:>10.2}{p95:>10.2}{p99:>10.2}{:>10.2}", grouped(of.len()), ms(of.max()))
}
