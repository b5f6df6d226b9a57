//! The result of a run: the table, the check, and the same as JSON. Pure.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::answers::RoomView;
use super::is_exhausted;
use super::ledger::{RoomCount, RoomLedger, RoomTimed};
use super::line::WaitingLine;
use super::plan::RoomPlan;
use super::probe::Pauses;
use crate::load::numbers::{grouped, rounded};
use crate::load::response::DropView;

/// The server at the end of the run, and its memory before and after the tickets.
pub(super) struct ServerFigures {
    pub(super) drop: DropView,
    pub(super) room: RoomView,
    pub(super) memory_before: Option<f64>,
    pub(super) memory_after: Option<f64>,
}

/// A line of the check.
struct RoomFinding {
    name: &'static str,
    holds: bool,
    sentence: String,
}

/// The figures of a run.
pub(crate) struct RoomReport<'a> {
    plan: &'a RoomPlan,
    ledger: RoomLedger,
    pauses: Pauses,
    server: ServerFigures,
    ticketing: Option<Duration>,
    polled: Option<Duration>,
    /// The time from the first sight of the start to the last unit.
    sold_out_after: Option<Duration>,
    was_cut_off: bool,
}

impl<'a> RoomReport<'a> {
    pub(super) fn new(
        plan: &'a RoomPlan,
        line: &WaitingLine,
        ledger: RoomLedger,
        pauses: Pauses,
        server: ServerFigures,
    ) -> RoomReport<'a> {
        let since = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        RoomReport {
            plan,
            ledger,
            pauses,
            server,
            ticketing: since(Some(line.began), line.tickets_taken_at()),
            polled: line.polled_fast_for(),
            sold_out_after: since(line.serving_since(), line.sold_out_at()),
            was_cut_off: line.was_cut_off(),
        }
    }

    fn tickets_per_second(&self) -> Option<f64> {
        per_second(self.ledger.latencies(RoomTimed::Tickets).len(), self.ticketing)
            .filter(|_| self.ticketing.is_some_and(|took| took < self.plan.gather))
    }

    fn polls_per_second(&self) -> Option<f64> {
        per_second(self.ledger.counted(RoomCount::FastPolls), self.polled)
    }

    fn bytes_per_ticket(&self) -> Option<f64> {
        let more = self.server.memory_after? - self.server.memory_before?;
        let tickets = self.ledger.counted(RoomCount::Tickets);
        (tickets > 0).then(|| more / tickets as f64)
    }

    fn findings(&self) -> Vec<RoomFinding> {
        let (drop, ledger) = (&self.server.drop, &self.ledger);
        let finding = |name, holds, sentence| RoomFinding { name, holds, sentence };
        let standing = ledger.orders.len() as u64;
        let mut findings = vec![
            finding("finished", !self.was_cut_off, "the run ended before its time limit".to_owned()),
            finding(
                "sold_exactly",
                is_exhausted(drop) || self.server.room.serving == self.server.room.tickets,
                format!("{} of {} units are held or sold", grouped(drop.taken()), grouped(drop.total)),
            ),
            finding(
                "conserved",
                drop.is_conserved(),
                format!("available {} + held {} + sold {}", drop.available, drop.held, drop.sold),
            ),
            finding(
                "books_agree",
                standing == drop.taken(),
                format!("{} orders acknowledged, the server counts {}", grouped(standing), grouped(drop.taken())),
            ),
            finding("order_ids_distinct", ledger.orders_doubled() == 0, "every order has its own id".to_owned()),
            finding(
                "tickets_agree",
                ledger.counted(RoomCount::Tickets) == u64::from(self.server.room.tickets),
                format!(
                    "{} tickets acknowledged, the room counts {}",
                    grouped(ledger.counted(RoomCount::Tickets)),
                    grouped(u64::from(self.server.room.tickets))
                ),
            ),
        ];
        let before = findings.len();
        findings.extend(ledger.violations().map(|(violation, count, first)| {
            let sentence = format!("{}: {} times, first buyer {first}", violation.words(), grouped(count));
            finding("promises_kept", false, sentence)
        }));
        if findings.len() == before {
            findings.push(finding("promises_kept", true, "no buyer was served out of order".to_owned()));
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
            "drop {} at {}, {} buyers in a room, draw {}, seed {}, {} connections on {} threads",
            self.server.drop.id,
            plan.public.authority,
            grouped(u64::from(plan.buyers)),
            plan.draw.as_str(),
            plan.seed,
            plan.connections,
            plan.threads
        )];
        let figure = |value: Option<f64>, unit: &str| value.map(|value| format!("{} {unit}", rounded(value)));
        for (name, value) in [
            ("tickets", figure(self.tickets_per_second(), "a second")),
            ("polls", figure(self.polls_per_second(), "a second, one by one, unchanged")),
            ("memory", figure(self.bytes_per_ticket(), "bytes a ticket, of the whole process")),
            (
                "every unit taken",
                self.sold_out_after.map(|after| format!("{:.1} s after the start", after.as_secs_f64())),
            ),
        ] {
            lines.extend(value.map(|value| format!("  {name:<34}{value}")));
        }
        lines.push(String::new());
        for what in RoomCount::ALL {
            let count = self.ledger.counted(what);
            if count > 0 {
                lines.push(format!("  {:<44}{:>14}", what.words().1, grouped(count)));
            }
        }
        lines.push(String::new());
        lines.push(format!("{:<36}{:>10}{:>10}{:>10}{:>10}", "ms", "number", "p50", "p99", "max"));
        for what in RoomTimed::ALL {
            lines.push(times(what.as_str(), self.ledger.latencies(what)));
        }
        lines.push(times("writer, before the start", &self.pauses.waiting));
        lines.push(times("writer, 3 s from the start", &self.pauses.start));
        lines.push(times("writer, after that", &self.pauses.serving));
        lines.push(String::new());
        for finding in self.findings() {
            let mark = if finding.holds { "ok    " } else { "FAILED" };
            lines.push(format!("  {mark}  {}", finding.sentence));
        }
        lines
    }

    pub(crate) fn json(&self) -> Value {
        let counts: Map<String, Value> = RoomCount::ALL
            .into_iter()
            .map(|what| (what.words().0.to_owned(), self.ledger.counted(what).into()))
            .collect();
        let checks: Vec<Value> = self
            .findings()
            .into_iter()
            .map(|finding| json!({ "name": finding.name, "holds": finding.holds, "sentence": finding.sentence }))
            .collect();
        json!({
            "drop": self.server.drop.id,
            "buyers": self.plan.buyers,
            "units": self.server.drop.total,
            "units_taken": self.server.drop.taken(),
            "orders": self.ledger.orders.len(),
            "draw": self.plan.draw.as_str(),
            "seed": self.plan.seed,
            "tickets_per_second": self.tickets_per_second(),
            "polls_per_second": self.polls_per_second(),
            "bytes_per_ticket": self.bytes_per_ticket(),
            "sold_out_seconds": self.sold_out_after.map(|after| after.as_secs_f64()),
            "pause_max_ms": {
                "waiting": ms(self.pauses.waiting.max()),
                "start": ms(self.pauses.start.max()),
                "serving": ms(self.pauses.serving.max()),
            },
            "counts": counts,
            "checks": checks,
        })
    }
}

fn per_second(count: u64, took: Option<Duration>) -> Option<f64> {
    let seconds = took?.as_secs_f64();
    (seconds > 0.0).then(|| count as f64 / seconds)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn times(name: &str, of: &Histogram<u64>) -> String {
    let at = |percent: f64| ms(of.value_at_percentile(percent));
    format!("  {name:<34}{:>10}{:>10.2}{:>10.2}{:>10.2}", grouped(of.len()), at(50.0), at(99.0), ms(of.max()))
}
