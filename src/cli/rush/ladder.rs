//! `rush --ladder`: offered rates, one rung after another, until the server no longer keeps them.
//!
//! Each rung is a run of its own against a drop of its own: open-loop, latencies from the intended start, everybody asks
//! once. `rung` judges, `scrape` reads the server's own figures meanwhile, `page` and `plot` draw; only this file runs.
//!
//! Invariant: bounded in time (each rung is cut off) and in connections; a rung that was cut off never counts as kept.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::habits::Crowd;
use super::ledger::{Facts, check};
use super::plan::Plan;
use super::report::grouped;
use super::{Storm, blocking, drops, storm};
use crate::exit::Exit;
use crate::output;
use rung::{Rung, knee};
use scrape::{Sample, Scraper};

mod page;
mod plot;
mod rung;
mod scrape;

/// A rung is cut off this long after its last arrival.
const GRACE: Duration = Duration::from_secs(5);
/// Arrivals of one rung: as many as rush has buyers.
const ARRIVALS_MAX: u64 = 10_000_000;
/// Rungs of a ladder.
const RUNGS_MAX: usize = 64;
/// The first rung is climbed for so long before it counts: connections, caches and the file are warm then.
const WARM_UP_SECONDS: u32 = 1;
/// A drop's reservations outlast the whole climb by this, so that nothing lapses while rungs are measured.
const OUTLAST: Duration = Duration::from_secs(60);
/// A finding that says no more than "somebody was turned away or cut off", which the success share shows.
const ANSWERED: &str = "everybody_answered";

/// The arguments of a ladder.
#[derive(Args, Clone, Debug)]
pub struct LadderArgs {
    /// Climb these rates instead, arrivals per second: 2000,5000,8000,15000,25000,50000
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = value_parser!(u32).range(1..=1_000_000),
        conflicts_with_all = ["buyers", "units", "rate", "reads", "drop", "expire", "crowd"])]
    ladder: Vec<u32>,
    /// With --ladder: looks at the drop to orders, in percent; or `orders`, or `reads`
    #[arg(long, value_name = "MIX", default_value = "94:6", value_parser = parse_mix, requires = "ladder")]
    mix: u8,
    /// With --ladder: how long each rate is offered
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u32).range(1..=600), requires = "ladder")]
    rung_seconds: u32,
    /// With --ladder: a rung with a slower 99th percentile is not kept
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = value_parser!(u32).range(1..=60_000), requires = "ladder")]
    p99_ms: u32,
    /// With --ladder: write a page with plots to this file
    #[arg(long, value_name = "FILE", requires = "ladder")]
    html: Option<PathBuf>,
}

/// A ladder, checked.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    rates: Vec<u32>,
    reads_percent: u8,
    rung_seconds: u32,
    p99_max: Duration,
    html: Option<PathBuf>,
}

impl Ladder {
    /// The ladder that the arguments name, if they name one.
    ///
    /// # Errors
    /// What is wrong with it, a line each.
    pub(super) fn new(args: LadderArgs) -> Result<Option<Ladder>, Vec<String>> {
        let LadderArgs { ladder: rates, mix, rung_seconds, p99_ms, html } = args;
        let Some(highest) = rates.iter().max().copied() else { return Ok(None) };
        let mut mistakes = Vec::new();
        if rates.len() > RUNGS_MAX {
            mistakes.push(format!("--ladder has {} rungs; {RUNGS_MAX} are the most", rates.len()));
        }
        if !rates.is_sorted_by(|lower, higher| lower < higher) {
            mistakes.push("--ladder climbs: each rate must be above the one before".to_owned());
        }
        if u64::from(highest) * u64::from(rung_seconds) > ARRIVALS_MAX {
            let most = grouped(ARRIVALS_MAX);
            mistakes.push(format!("--ladder: {highest}/s for {rung_seconds} s is more than {most} arrivals"));
        }
        let p99_max = Duration::from_millis(u64::from(p99_ms));
        let ladder = Ladder { rates, reads_percent: mix, rung_seconds, p99_max, html };
        if mistakes.is_empty() { Ok(Some(ladder)) } else { Err(mistakes) }
    }

    /// What is offered, in words.
    fn mix(&self) -> String {
        match self.reads_percent {
            0 => "orders only".to_owned(),
            100 => "looks at the drop only".to_owned(),
            reads => format!("looks at the drop and orders {reads}:{}", 100 - reads),
        }
    }

    /// How long the whole climb can take at most.
    fn longest(&self) -> Duration {
        let rungs = u32::try_from(self.rates.len()).unwrap_or(u32::MAX).saturating_add(1);
        (Duration::from_secs(u64::from(self.rung_seconds)) + GRACE + OUTLAST).saturating_mul(rungs)
    }
}

/// `94:6`, `orders` or `reads`: the percentage of looks.
fn parse_mix(text: &str) -> Result<u8, String> {
    let wrong = || "expected reads:orders that add up to 100 (94:6), or `orders`, or `reads`".to_owned();
    match text {
        "orders" => Ok(0),
        "reads" => Ok(100),
        _ => {
            let (reads, orders) = text.split_once(':').ok_or_else(wrong)?;
            match (reads.parse::<u8>(), orders.parse::<u8>()) {
                (Ok(reads), Ok(orders)) if reads.checked_add(orders) == Some(100) => Ok(reads),
                (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(wrong()),
            }
        }
    }
}

/// What a climb found.
pub(super) struct Climb<'a> {
    plan: &'a Plan,
    ladder: &'a Ladder,
    rungs: Vec<Rung>,
    samples: Vec<Sample>,
}

/// Climbs the ladder, printing a line for each rung as it is reached.
///
/// # Errors
/// 1 if the server sold what it had not, or broke its contract; 69 and 73 as for a run.
pub(super) fn climb(plan: &Plan, ladder: &Ladder, json: Option<File>) -> Result<(), Exit> {
    let html = ladder.html.as_ref().map(File::create).transpose();
    let html = html.map_err(|error| Exit::cannot_create(format!("--html: {error}")))?;
    output::line(format_args!(
        "{}, {}, {} s a rung, {} connections on {} threads; latency in ms from the intended start",
        plan.public.authority,
        ladder.mix(),
        ladder.rung_seconds,
        grouped(plan.connections as u64),
        plan.threads
    ));
    output::line(Rung::heading());
    let start = Instant::now();
    if let Some(first) = ladder.rates.first() {
        measure(plan, ladder, *first, WARM_UP_SECONDS, start)?;
    }
    let start = Instant::now();
    let scraper = Scraper::start(plan.admin.clone(), start)?;
    let mut rungs = Vec::with_capacity(ladder.rates.len());
    for rate in &ladder.rates {
        let rung = measure(plan, ladder, *rate, ladder.rung_seconds, start)?;
        output::line(rung.line(ladder.p99_max));
        rungs.push(rung);
    }
    let climb = Climb { plan, ladder, rungs, samples: scraper.stop() };
    conclude(&climb, json, html)
}

/// Offers one rate for some seconds to a drop of its own.
fn measure(plan: &Plan, ladder: &Ladder, rate: u32, seconds: u32, start: Instant) -> Result<Rung, Exit> {
    let arrivals = u64::from(rate) * u64::from(seconds);
    let buyers = match ladder.reads_percent {
        100 => arrivals,
        reads => (arrivals * u64::from(100 - reads) / 100).max(1),
    };
    let buyers = u32::try_from(buyers).unwrap_or(u32::MAX);
    let rung_plan = Plan {
        buyers,
        rate: Some(rate),
        reads_percent: ladder.reads_percent,
        crowd: Crowd::Plain,
        deadline: Duration::from_secs(u64::from(seconds)) + GRACE,
        ..plan.clone()
    };
    let reservation_seconds = ladder.longest().as_secs();
    let drop = drops::NewDrop {
        seed: plan.seed,
        units: buyers,
        reservation_seconds,
        payment_seconds: reservation_seconds.max(plan.payment_seconds()),
    };
    let before = blocking(drops::create(&plan.admin, &drop))?;
    let (from, cpu) = (start.elapsed(), cpu_time());
    let Storm { schedule, ledger, meter, waiting, .. } = storm(&rung_plan, before)?;
    let (to, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    let after = blocking(drops::see_patiently(&plan.public, before.id)).map_err(|exit| exit.message);
    let buyers = schedule.buyers();
    let verdict = check(&Facts { ledger: &ledger, before, after, buyers, waiting, lapses_unwatched: false });
    let broken = verdict.findings.into_iter().filter(|finding| !finding.holds && finding.name != ANSWERED);
    let broken = broken.map(|finding| finding.sentence).collect();
    Ok(Rung::new(rate, schedule.total(), (from, to), cpu, &ledger, &meter, broken))
}

/// How long this process has run on the cores that it shares with the server.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The knee, the files, the exit code.
fn conclude(climb: &Climb<'_>, json: Option<File>, html: Option<File>) -> Result<(), Exit> {
    let p99_max = climb.ladder.p99_max;
    output::line(knee(&climb.rungs, p99_max));
    if climb.samples.is_empty() {
        output::note("the admin listener gave no /metrics: the page has no queue and no batches");
    }
    if let Some(mut file) = json {
        let rungs: Vec<_> = climb.rungs.iter().map(|rung| rung.json(p99_max)).collect();
        let value = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "debug_build": cfg!(debug_assertions),
            "seed": climb.plan.seed,
            "reads_percent": climb.ladder.reads_percent,
            "rung_seconds": climb.ladder.rung_seconds,
            "connections": climb.plan.connections,
            "knee": knee(&climb.rungs, p99_max),
            "rungs": rungs,
        });
        writeln!(file, "{value:#}").map_err(|error| Exit::cannot_create(format!("--json: {error}")))?;
    }
    if let Some(mut file) = html {
        let written = file.write_all(page::page(climb).as_bytes());
        written.map_err(|error| Exit::cannot_create(format!("--html: {error}")))?;
    }
    let broken: Vec<String> = climb.rungs.iter().flat_map(Rung::broken).collect();
    if broken.is_empty() { Ok(()) } else { Err(Exit::failed(broken.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(rates: &[u32], rung_seconds: u32) -> LadderArgs {
        LadderArgs { ladder: rates.to_vec(), mix: 94, rung_seconds, p99_ms: 50, html: None }
    }

    #[test]
    fn a_mix_is_two_numbers_that_make_a_hundred_or_a_word() {
        assert_eq!(parse_mix("94:6"), Ok(94));
        assert_eq!((parse_mix("orders"), parse_mix("reads")), (Ok(0), Ok(100)));
        for wrong in ["", "94", "94:7", "200:56", "a:b", "94:6:0", "-1:101"] {
            assert!(parse_mix(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ladder_climbs_and_has_bounds() {
        assert!(Ladder::new(args(&[], 10)).is_ok_and(|ladder| ladder.is_none()));
        assert!(Ladder::new(args(&[1, 2, 3], 10)).is_ok_and(|ladder| ladder.is_some()));
        let many: Vec<u32> = (1..=65).collect();
        for (rates, seconds) in [(&[2, 2][..], 1), (&[3, 2], 1), (&many, 1), (&[1_000_000], 11)] {
            assert_eq!(Ladder::new(args(rates, seconds)).err().map(|mistakes| mistakes.len()), Some(1), "{rates:?}");
        }
    }
}
