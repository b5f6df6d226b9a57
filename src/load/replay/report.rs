//! The comparison of a replay with its capture.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::connection::ReplayCounts;
use super::script::ReplayScript;
use crate::load::numbers::grouped;
use crate::load::outcome::RequestOutcome;
use crate::load::response::DropView;
use crate::types::DropId;

/// The figures of a replay, and the drops after it.
pub(crate) struct ReplayReport {
    pub(super) script: ReplayScript,
    pub(super) requests: u64,
    pub(super) counts: ReplayCounts,
    /// The new drops at the end, by the recorded ids.
    pub(super) after: BTreeMap<DropId, DropView>,
    /// From the first request to the last answer.
    pub(super) took: Duration,
}

impl ReplayReport {
    /// The table, line by line, with the check at its end.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut lines = self.figures();
        lines.push(String::new());
        lines.extend(self.outcomes());
        lines.extend([String::new(), "check".to_owned()]);
        for (holds, sentence) in self.findings() {
            lines.push(format!("  {:<7} {sentence}", if holds { "ok" } else { "FAILED" }));
        }
        lines
    }

    /// The findings that do not hold, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = self.findings().into_iter().filter(|(holds, _)| !holds);
        failed.map(|(_, sentence)| format!("check failed: {sentence}")).collect()
    }

    fn figures(&self) -> Vec<String> {
        let ReplayReport { script, requests, counts, took, .. } = self;
        let quantile = |q: f64| millis(counts.latency.value_at_quantile(q));
        vec![
            format!(
                "sent      {} requests in {:.2} s: {:.0}/s (recorded: {:.0}/s over {:.2} s)",
                grouped(*requests),
                took.as_secs_f64(),
                per_second(*requests, *took),
                per_second(*requests, script.took),
                script.took.as_secs_f64()
            ),
            format!(
                "left out  {} operators' commands and requests on older orders, {} requests on orders that were not made here",
                grouped(script.left_out),
                grouped(counts.without_order)
            ),
            format!(
                "latency   p50 {}, p95 {}, p99 {}, p99.9 {}, max {} ms from request to answer",
                quantile(0.5),
                quantile(0.95),
                quantile(0.99),
                quantile(0.999),
                millis(counts.latency.max())
            ),
        ]
    }

    fn outcomes(&self) -> Vec<String> {
        let mut lines = vec![format!("{:<40} {:>10} {:>10}", "outcomes", "recorded", "here")];
        for outcome in RequestOutcome::ALL {
            let count = |counts: &BTreeMap<RequestOutcome, u64>| counts.get(&outcome).copied().unwrap_or(0);
            let (then, here) = (count(&self.script.recorded), count(&self.counts.outcomes));
            if then + here > 0 {
                lines.push(format!("  {:<38} {:>10} {:>10}", outcome.words().1, grouped(then), grouped(here)));
            }
        }
        lines
    }

    /// The invariants of any replay, each with its sentence.
    fn findings(&self) -> Vec<(bool, String)> {
        let ReplayReport { script, counts, after, took, .. } = self;
        let indefinite = |outcome: &RequestOutcome| {
            matches!(
                outcome,
                RequestOutcome::RateLimited
                    | RequestOutcome::Overloaded
                    | RequestOutcome::Draining
                    | RequestOutcome::ReadOnly
                    | RequestOutcome::NotLeader
                    | RequestOutcome::OtherRejected
                    | RequestOutcome::Unknown
                    | RequestOutcome::Internal
                    | RequestOutcome::TimedOut
                    | RequestOutcome::ConnectionLost
                    | RequestOutcome::NotConnected
                    | RequestOutcome::Invalid
            )
        };
        let open: u64 = counts.outcomes.iter().filter(|(outcome, _)| indefinite(outcome)).map(|(_, count)| count).sum();
        let ids: BTreeSet<[u8; 16]> = counts.ids.iter().map(|id| id.to_bytes()).collect();
        let mut findings = vec![
            (open == 0, format!("every request has a definite answer ({} have none)", grouped(open))),
            (ids.len() == counts.ids.len(), format!("{} orders have an id each", grouped(counts.ids.len() as u64))),
        ];
        for (id, view) in after {
            let DropView { total, available, held, sold, .. } = *view;
            findings.push((
                view.is_conserved(),
                format!(
                    "drop {id} (here {}): total {total} = available {available} + held {held} + sold {sold}",
                    view.id
                ),
            ));
            let units = counts.units.get(id).copied().unwrap_or(0);
            let taken = i64::try_from(view.taken()).unwrap_or(i64::MAX);
            let payment = script.drops.get(id).map_or(u32::MAX, |wanted| wanted.spec.payment_seconds);
            let window = view.reservation_seconds.min(u64::from(payment));
            if open == 0 && *took < Duration::from_secs(window) {
                let sentence =
                    format!("drop {id}: {units} units acknowledged and not returned; the server counts {taken}");
                findings.push((taken == units, sentence));
            } else {
                let sentence = format!(
                    "drop {id}: the server counts {taken} units, of {units} acknowledged and not returned; others lapsed"
                );
                findings.push((open > 0 || taken <= units, sentence));
            }
        }
        findings
    }
}

fn millis(micros: u64) -> String {
    format!("{:.3}", Duration::from_micros(micros).as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
