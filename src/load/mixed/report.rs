//! The result of a run: counts by kind, the aims, the table and the JSON. Pure.

use serde_json::{Map, Value, json};

use super::plan::CrowdPlan;
use super::population::{BuyerKind, Population};
use super::signals::SuspectedSignals;
use super::tally::{CrowdTally, KindTallies, KindTally, VerdictCounts, share};
use crate::load::numbers::grouped;
use crate::load::response::DropView;

/// The least share of the requests of fast and of distributed bots that is held back.
const BOTS_HELD_BACK_MIN: f64 = 0.95;
/// The share of the requests of people and of campuses that is held back is below this.
const PEOPLE_HELD_BACK_MAX: f64 = 0.01;
/// The share of requests without an answer of the door is at most this; with more, the other shares mean nothing.
const FAILED_MAX: f64 = 0.01;

/// The load is at most this late (bots' requests, p99): intervals that the load itself makes irregular are no bot's.
const LATE_MS_MAX: f64 = 100.0;

/// An aim, and whether it is reached.
pub(super) struct CrowdAim {
    pub(super) name: &'static str,
    pub(super) sentence: String,
    pub(super) value: f64,
    pub(super) bound: f64,
    pub(super) is_reached: bool,
}

/// The figures of a run.
pub(crate) struct CrowdReport<'a> {
    plan: &'a CrowdPlan,
    drop_id: u32,
    units: u64,
    kinds: KindTallies,
    figures: CrowdFigures,
}

/// The figures of a run that belong to no kind.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct CrowdFigures {
    /// Units that the server holds or has sold at the end.
    pub(super) taken: u64,
    pub(super) suspected_quota: u32,
    /// The delay of the load itself at the 99th percentile of bots' requests, in milliseconds.
    pub(super) late_ms: f64,
}

impl<'a> CrowdReport<'a> {
    pub(super) fn new(
        plan: &'a CrowdPlan,
        population: &Population,
        tally: &CrowdTally,
        suspected: &SuspectedSignals,
        after: DropView,
    ) -> CrowdReport<'a> {
        let mut kinds: KindTallies = BuyerKind::ALL.into_iter().map(|kind| (kind, KindTally::default())).collect();
        for (member, buyer) in population.members.iter().zip(&tally.buyers) {
            let signals = suspected.get(&member.number).map_or(&[][..], Vec::as_slice);
            kinds.entry(member.kind).or_default().add(buyer, signals);
        }
        let figures = CrowdFigures {
            taken: after.taken(),
            suspected_quota: tally.suspected_quota,
            late_ms: tally.late.value_at_percentile(99.0) as f64 / 1_000.0,
        };
        CrowdReport { plan, drop_id: after.id, units: after.total, kinds, figures }
    }

    /// The table, line by line.
    pub(crate) fn table(&self) -> Vec<String> {
        let plan = self.plan;
        let mut lines = vec![format!(
            "drop {} at {}, mixed crowd, population {}, seed {}, {} % of its size, {} s of sale",
            self.drop_id,
            plan.public.authority,
            plan.population.as_str(),
            plan.seed,
            plan.percent,
            plan.sale.as_secs()
        )];
        lines.push(String::new());
        lines.extend(confusion(&self.kinds));
        lines.push(String::new());
        lines.extend(suspicions(&self.kinds));
        lines.push(String::new());
        lines.extend(shares(&self.kinds));
        lines.push(String::new());
        if plan.room.is_some() {
            lines.extend(waiting(&self.kinds));
            lines.push(String::new());
        }
        lines.push(format!(
            "a person sends {:.1} writes a minute, a suspected buyer has {}",
            person_rate(&self.kinds),
            self.figures.suspected_quota
        ));
        lines.push(String::new());
        lines.push("aims".to_owned());
        for aim in self.aims() {
            let mark = if aim.is_reached { "ok    " } else { "MISSED" };
            lines.push(format!("  {mark}  {}", aim.sentence));
        }
        lines
    }

    fn aims(&self) -> Vec<CrowdAim> {
        let mut aims = aims(&self.kinds, &self.figures);
        if self.plan.room.is_some() {
            // A bot in a room sends a ticket and an order, as a person does: there is no pace to hold back, and the draw decides.
            aims.retain(|aim| !["fast_bots", "distributed_bots", "bots_units"].contains(&aim.name));
        }
        aims
    }

    /// The aims that are missed, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let missed = self.aims().into_iter().filter(|aim| !aim.is_reached);
        missed.map(|aim| format!("missed: {}", aim.sentence)).collect()
    }

    pub(crate) fn json(&self) -> Value {
        let kinds: Map<String, Value> =
            self.kinds.iter().map(|(kind, tally)| (kind.words().0.to_owned(), kind_json(*kind, tally))).collect();
        let aims: Map<String, Value> = self
            .aims()
            .into_iter()
            .map(|aim| {
                (aim.name.to_owned(), json!({ "value": aim.value, "bound": aim.bound, "reached": aim.is_reached }))
            })
            .collect();
        json!({
            "population": self.plan.population.as_str(),
            "seed": self.plan.seed,
            "percent": self.plan.percent,
            "sale_seconds": self.plan.sale.as_secs(),
            "drop": self.drop_id,
            "room": self.plan.room.map(|room| json!({ "draw": room.draw.as_str(), "order_seconds": room.order_seconds })),
            "units": self.units,
            "units_taken": self.figures.taken,
            "person_writes_per_minute": person_rate(&self.kinds),
            "suspected_writes_per_minute": self.figures.suspected_quota,
            "late_ms_p99": self.figures.late_ms,
            "kinds": kinds,
            "aims": aims,
        })
    }
}

/// Writes a minute of people and students while they try.
fn person_rate(kinds: &KindTallies) -> f64 {
    kinds.get(&BuyerKind::Person).map_or(0.0, KindTally::writes_per_minute)
}

/// The aims of the door, from the counts.
pub(super) fn aims(kinds: &KindTallies, figures: &CrowdFigures) -> Vec<CrowdAim> {
    // A limit that is not below a person's rate slows no buyer.
    let slowed_counts = f64::from(figures.suspected_quota) < person_rate(kinds);
    let held_back = |kind: BuyerKind| kinds.get(&kind).map_or(0.0, |tally| tally.requests.held_back(slowed_counts));
    let mut aims = Vec::new();
    for kind in [BuyerKind::FastBot, BuyerKind::DistributedBot] {
        let ((name, words), value) = (kind.words(), held_back(kind));
        let sentence =
            format!("{:.1} % of the requests of {words} are rejected or slowed: at least 95 %", 100.0 * value);
        let is_reached = value >= BOTS_HELD_BACK_MIN;
        aims.push(CrowdAim { name, sentence, value, bound: BOTS_HELD_BACK_MIN, is_reached });
    }
    for kind in [BuyerKind::Person, BuyerKind::Student] {
        let ((name, words), value) = (kind.words(), held_back(kind));
        let sentence = format!("{:.2} % of the requests of {words} are rejected or slowed: below 1 %", 100.0 * value);
        let is_reached = value < PEOPLE_HELD_BACK_MAX;
        aims.push(CrowdAim { name, sentence, value, bound: PEOPLE_HELD_BACK_MAX, is_reached });
    }
    let bots = |count: fn(&KindTally) -> u64| -> (u64, u64) {
        let of_bots = kinds.iter().filter(|(kind, _)| kind.is_bot()).map(|(_, tally)| count(tally)).sum();
        (of_bots, kinds.values().map(count).sum())
    };
    let (bots_units, units) = bots(|tally| tally.units);
    let (bots_buyers, buyers) = bots(|tally| tally.buyers);
    let (value, bound) = (share(bots_units, units), share(bots_buyers, buyers));
    aims.push(CrowdAim {
        name: "bots_units",
        sentence: format!(
            "bots are {:.1} % of the buyers and got {:.1} % of the units: not more",
            100.0 * bound,
            100.0 * value
        ),
        value,
        bound,
        is_reached: value <= bound && units > 0,
    });
    let all = kinds
        .values()
        .fold((0, 0), |(failed, all), tally| (failed + tally.requests.failed, all + tally.requests.all()));
    let value = share(all.0, all.1);
    aims.push(CrowdAim {
        name: "failed",
        sentence: format!("{:.2} % of all requests got no answer of the door: at most 1 %", 100.0 * value),
        value,
        bound: FAILED_MAX,
        is_reached: value <= FAILED_MAX && all.1 > 0,
    });
    aims.push(CrowdAim {
        name: "late",
        sentence: format!("bots' requests were sent at most {:.0} ms late (p99): at most 100 ms", figures.late_ms),
        value: figures.late_ms,
        bound: LATE_MS_MAX,
        is_reached: figures.late_ms <= LATE_MS_MAX,
    });
    aims.push(CrowdAim {
        name: "units",
        sentence: format!("the server counts {} units, the buyers {}", grouped(figures.taken), grouped(units)),
        value: units as f64,
        bound: figures.taken as f64,
        // A unit whose answer was lost is the server's alone.
        is_reached: units <= figures.taken && figures.taken - units <= all.0,
    });
    aims
}

/// The confusion table: requests of each kind by the door's verdict, and buyers that were suspected.
fn confusion(kinds: &KindTallies) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<20}{:>9}{:>11}{:>11}{:>10}{:>11}{:>9}{:>12}{:>11}",
        "requests by kind", "buyers", "requests", "admitted", "slowed", "rejected", "failed", "held back", "suspected"
    )];
    for (kind, tally) in kinds {
        let VerdictCounts { admitted, slowed, rejected, failed } = tally.requests;
        lines.push(format!(
            "  {:<18}{:>9}{:>11}{:>11}{:>10}{:>11}{:>9}{:>10.2} %{:>11}",
            kind.words().1,
            grouped(tally.buyers),
            grouped(tally.requests.all()),
            grouped(admitted),
            grouped(slowed),
            grouped(rejected),
            grouped(failed),
            100.0 * tally.requests.held_back(true),
            grouped(tally.suspected)
        ));
    }
    lines
}

/// The signals of suspected buyers, and the people among them.
fn suspicions(kinds: &KindTallies) -> Vec<String> {
    let mut lines = vec!["suspected buyers by signal; people and students among them are false positives".to_owned()];
    for (kind, tally) in kinds {
        let signals: Vec<String> =
            tally.signals.iter().map(|(signal, count)| format!("{signal} {}", grouped(*count))).collect();
        let signals = if signals.is_empty() { "-".to_owned() } else { signals.join(", ") };
        let wrong = if kind.is_bot() || tally.suspected == 0 { "" } else { " false positives" };
        lines.push(format!("  {:<18}{:>9}{wrong}  {signals}", kind.words().1, grouped(tally.suspected)));
    }
    lines
}

/// The shares of buyers and of units.
fn shares(kinds: &KindTallies) -> Vec<String> {
    let buyers: u64 = kinds.values().map(|tally| tally.buyers).sum();
    let units: u64 = kinds.values().map(|tally| tally.units).sum();
    let mut lines =
        vec![format!("{:<20}{:>9}{:>10}{:>10}{:>10}", "units by kind", "buyers", "of all", "units", "of all")];
    for (kind, tally) in kinds {
        lines.push(format!(
            "  {:<18}{:>9}{:>8.1} %{:>10}{:>8.1} %",
            kind.words().1,
            grouped(tally.buyers),
            100.0 * share(tally.buyers, buyers),
            grouped(tally.units),
            100.0 * share(tally.units, units)
        ));
    }
    lines
}

/// The tickets of the waiting room, and what its buyers got.
fn waiting(kinds: &KindTallies) -> Vec<String> {
    let all: u64 = kinds.values().map(|tally| tally.tickets).sum();
    let mut lines =
        vec![format!("{:<20}{:>9}{:>10}{:>12}{:>10}", "tickets by kind", "tickets", "of all", "with units", "polls")];
    for (kind, tally) in kinds {
        lines.push(format!(
            "  {:<18}{:>9}{:>8.1} %{:>10.1} %{:>10}",
            kind.words().1,
            grouped(tally.tickets),
            100.0 * share(tally.tickets, all),
            100.0 * share(tally.units, tally.tickets),
            grouped(tally.polls)
        ));
    }
    lines
}

fn kind_json(kind: BuyerKind, tally: &KindTally) -> Value {
    let VerdictCounts { admitted, slowed, rejected, failed } = tally.requests;
    json!({
        "is_bot": kind.is_bot(),
        "buyers": tally.buyers,
        "requests": {
            "all": tally.requests.all(),
            "admitted": admitted,
            "slowed": slowed,
            "rejected": rejected,
            "failed": failed,
        },
        "writes": tally.writes,
        "writes_per_minute": tally.writes_per_minute(),
        "suspected": tally.suspected,
        "signals": tally.signals,
        "units": tally.units,
        "tickets": tally.tickets,
        "polls": tally.polls,
    })
}
