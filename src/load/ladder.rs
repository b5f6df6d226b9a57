//! A ladder: offered rates, one rung after another, until the server no longer keeps them.
//!
//! Each rung is a run of its own against a drop of its own: open-loop, latencies from the intended start, every buyer asks
//! once. `rung` has the verdict, `scrape` reads the server's own figures meanwhile, `page` and `plot` draw; only this file runs.
//!
//! Invariant: bounded in time (each rung is cut off) and in connections; a rung that was cut off never counts as kept.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::behavior::Crowd;
use super::drops;
use super::numbers::grouped;
use super::plan::LoadPlan;
use super::run::load;
use crate::client::http::block_on;
use crate::exit::Exit;
use plan::GRACE;
use result::LadderResult;
use rung::Rung;
use scrape::MetricsScraper;

mod page;
mod plan;
mod plot;
mod result;
mod rung;
mod scrape;

pub(crate) use page::page;
pub(crate) use plan::LadderPlan;

/// The first rung is offered for so long before it counts: connections, caches and the file are warm then.
const WARM_UP_SECONDS: u32 = 1;
/// The finding about requests without a definite answer, which the success share of a rung shows.
const ANSWERED: &str = "everybody_answered";

/// Runs the ladder, and hands over each line of its table as soon as it is known.
///
/// # Errors
/// As for a run.
pub(crate) fn run<'a>(
    plan: &'a LoadPlan,
    ladder: &'a LadderPlan,
    line: &mut dyn FnMut(String),
) -> Result<LadderResult<'a>, Exit> {
    line(format!(
        "{}, {}, {} s a rung, {} connections on {} threads; latency in ms from the intended start",
        plan.public.authority,
        ladder.mix(),
        ladder.rung_seconds,
        grouped(plan.connections as u64),
        plan.threads
    ));
    line(Rung::heading());
    let start = Instant::now();
    if let Some(first) = ladder.rates.first() {
        measure(plan, ladder, *first, WARM_UP_SECONDS, start)?;
    }
    let start = Instant::now();
    let scraper = MetricsScraper::start(plan.admin.unshared()?, start)?;
    let mut rungs = Vec::with_capacity(ladder.rates.len());
    for rate in &ladder.rates {
        let rung = measure(plan, ladder, *rate, ladder.rung_seconds, start)?;
        line(rung.line(ladder.p99_max));
        rungs.push(rung);
    }
    let result = LadderResult { plan, ladder, rungs, samples: scraper.stop() };
    line(result.knee());
    Ok(result)
}

/// Offers one rate for some seconds to a drop of its own.
fn measure(plan: &LoadPlan, ladder: &LadderPlan, rate: u32, seconds: u32, start: Instant) -> Result<Rung, Exit> {
    let arrivals = u64::from(rate) * u64::from(seconds);
    let buyers = match ladder.reads_percent {
        100 => arrivals,
        reads => (arrivals * u64::from(100 - reads) / 100).max(1),
    };
    let buyers = u32::try_from(buyers).unwrap_or(u32::MAX);
    let rung_plan = LoadPlan {
        buyers,
        rate: Some(rate),
        reads_percent: ladder.reads_percent,
        crowd: Crowd::Plain,
        asks_once: true,
        deadline: Duration::from_secs(u64::from(seconds)) + GRACE,
        ..plan.clone()
    };
    let reservation_seconds = ladder.longest().as_secs();
    let drop = drops::NewDrop {
        seed: plan.seed,
        units: buyers,
        reservation_seconds,
        payment_seconds: reservation_seconds.max(plan.payment_seconds()),
        blind_ms: 0,
    };
    let before = block_on(drops::create(&plan.admin, &drop))?;
    let (from, cpu) = (start.elapsed(), cpu_time());
    let found = load(&rung_plan, before)?;
    let (to, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    let check = found.check(plan, before, false);
    let broken = check.findings.into_iter().filter(|finding| !finding.holds && finding.name != ANSWERED);
    let broken = broken.map(|finding| finding.sentence).collect();
    Ok(Rung::new(rate, found.schedule.total(), (from, to), cpu, &found.ledger, &found.meter, broken))
}

/// CPU time of this process, on the cores that it shares with the server.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
