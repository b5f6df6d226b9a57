//! `firstcome replay FILE --to URL`: the buyers of a capture once more, over real HTTP, on drops made anew.
//!
//! Requests of different buyers race as they do in life, so who gets a unit may differ from the capture; totals stand
//! side by side, and what must hold of any run is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::DropView;
use super::drops;
use super::outcome::Outcome;
use super::report::grouped;
use super::target::Target;
use crate::capture::format::{RecordReader, Trouble};
use crate::capture::replay::Pace;
use crate::exit::Exit;
use crate::output;
use crate::types::DropId;
use script::Script;
use walk::{Books, Site, walk};

mod script;
mod walk;

/// Above every time limit of a request, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Where a capture is sent, and how.
pub(in crate::cli) struct Again<'a> {
    pub(in crate::cli) public: &'a str,
    pub(in crate::cli) admin: &'a str,
    pub(in crate::cli) connections: usize,
    pub(in crate::cli) allow_remote: bool,
    pub(in crate::cli) pace: Pace,
}

/// Sends what a capture's buyers asked, and compares.
///
/// # Errors
/// 64 a wrong address, 65 the file, 69 no server, 1 something that must hold does not.
pub(in crate::cli) fn run<R: Read>(again: &Again<'_>, reader: &mut RecordReader<R>) -> Result<(), Exit> {
    let target = |text| Target::parse(text, again.allow_remote).map_err(|mistake| Exit::usage(mistake));
    let (public, admin) = (target(again.public)?, target(again.admin)?);
    let read = Script::read(reader, again.connections);
    let mut script = read.map_err(|trouble: Trouble| Exit::bad_data(trouble.to_string()))?;
    script.keep_ordered_drops();
    super::blocking(async {
        let mut made = BTreeMap::new();
        for (id, wanted) in &script.drops {
            made.insert(*id, drops::create_from(&admin, body(*id, wanted)).await?.id);
        }
        let start = Instant::now();
        let site = Site { public: public.clone(), drops: made.clone(), pace: again.pace, start };
        let lanes = std::mem::take(&mut script.lanes);
        let requests = lanes.iter().map(Vec::len).sum::<usize>();
        let books = storm(Arc::new(site), lanes).await?;
        let took = start.elapsed();
        let mut after = BTreeMap::new();
        for (id, new) in &made {
            after.insert(*id, drops::see_patiently(&public, *new).await?);
        }
        conclude(&Run { script: &script, requests, books: &books, after: &after, took })
    })
}

fn body(id: DropId, wanted: &script::Wanted) -> serde_json::Value {
    let spec = &wanted.spec;
    json!({
        "sku": format!("REPLAY-{id}"),
        "name": format!("Drop {id} of a capture"),
        "currency": spec.currency.as_str(),
        "unit_price": spec.unit_price.get(),
        "total": wanted.units,
        "per_buyer_limit": spec.per_buyer_limit,
        "reservation_seconds": spec.reservation_seconds,
        "payment_seconds": spec.payment_seconds,
    })
}

async fn storm(site: Arc<Site>, lanes: Vec<Vec<script::Step>>) -> Result<Books, Exit> {
    let bug = |what: String| Exit::bug(format!("the replay failed: {what}"));
    let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).map_err(|error| bug(error.to_string()));
    let mut walking = JoinSet::new();
    for steps in lanes.into_iter().filter(|steps| !steps.is_empty()) {
        walking.spawn(walk(Arc::clone(&site), steps, histogram()?));
    }
    let mut sum = walk(site, Vec::new(), histogram()?).await;
    while let Some(walked) = walking.join_next().await {
        let books = walked.map_err(|error| bug(error.to_string()))?;
        for (outcome, count) in books.outcomes {
            *sum.outcomes.entry(outcome).or_default() += count;
        }
        for (drop_id, units) in books.units {
            *sum.units.entry(drop_id).or_default() += units;
        }
        sum.without_order += books.without_order;
        sum.ids.extend(books.ids);
        sum.latency.add(&books.latency).map_err(|error| bug(error.to_string()))?;
    }
    Ok(sum)
}

struct Run<'a> {
    script: &'a Script,
    requests: usize,
    books: &'a Books,
    after: &'a BTreeMap<DropId, DropView>,
    took: Duration,
}

fn conclude(run: &Run<'_>) -> Result<(), Exit> {
    let Run { script, requests, books, took, .. } = run;
    let requests = *requests as u64;
    output::line(format!(
        "sent      {} requests in {:.2} s: {:.0}/s (recorded: {:.0}/s over {:.2} s)",
        grouped(requests),
        took.as_secs_f64(),
        per_second(requests, *took),
        per_second(requests, script.took),
        script.took.as_secs_f64()
    ));
    output::line(format!(
        "left out  {} operators' commands and requests on older orders, {} requests on orders that were not made here",
        grouped(script.left_out),
        grouped(books.without_order)
    ));
    let quantile = |q: f64| millis(books.latency.value_at_quantile(q));
    output::line(format!(
        "latency   p50 {}, p95 {}, p99 {}, p99.9 {}, max {} ms from request to answer",
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        quantile(0.999),
        millis(books.latency.max())
    ));
    output::line("");
    output::line(format!("{:<40} {:>10} {:>10}", "outcomes", "recorded", "here"));
    for outcome in Outcome::ALL {
        let count = |counts: &BTreeMap<Outcome, u64>| counts.get(&outcome).copied().unwrap_or(0);
        let (then, here) = (count(&script.recorded), count(&books.outcomes));
        if then + here > 0 {
            output::line(format!("  {:<38} {:>10} {:>10}", outcome.words().1, grouped(then), grouped(here)));
        }
    }
    output::line("");
    output::line("check");
    let mut failed = Vec::new();
    for (holds, sentence) in findings(run) {
        output::line(format!("  {:<7} {sentence}", if holds { "ok" } else { "FAILED" }));
        if !holds {
            failed.push(format!("check failed: {sentence}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(failed.join("\n"))) }
}

/// What must hold of any run, sentence by sentence.
fn findings(run: &Run<'_>) -> Vec<(bool, String)> {
    let Run { script, books, after, took, .. } = run;
    let indefinite = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::RateLimited
                | Outcome::Overloaded
                | Outcome::Draining
                | Outcome::ReadOnly
                | Outcome::OtherTurnedAway
                | Outcome::Unknown
                | Outcome::Internal
                | Outcome::TimedOut
                | Outcome::ConnectionLost
                | Outcome::NotConnected
                | Outcome::Strange
        )
    };
    let open: u64 = books.outcomes.iter().filter(|(outcome, _)| indefinite(outcome)).map(|(_, count)| count).sum();
    let ids: BTreeSet<[u8; 16]> = books.ids.iter().map(|id| id.to_bytes()).collect();
    let mut findings = vec![
        (open == 0, format!("every request has a definite answer ({} have none)", grouped(open))),
        (ids.len() == books.ids.len(), format!("{} orders have an id each", grouped(books.ids.len() as u64))),
    ];
    for (id, view) in *after {
        let DropView { total, available, held, sold, .. } = *view;
        findings.push((
            view.is_conserved(),
            format!("drop {id} (here {}): total {total} = available {available} + held {held} + sold {sold}", view.id),
        ));
        let units = books.units.get(id).copied().unwrap_or(0);
        let taken = i64::try_from(view.taken()).unwrap_or(i64::MAX);
        let payment = script.drops.get(id).map_or(u32::MAX, |wanted| wanted.spec.payment_seconds);
        let window = view.reservation_seconds.min(u64::from(payment));
        if open == 0 && *took < Duration::from_secs(window) {
            let told = format!("drop {id}: {units} units acknowledged and not given back; the server counts {taken}");
            findings.push((taken == units, told));
        } else {
            let told = format!(
                "drop {id}: the server counts {taken} units, of {units} acknowledged and not given back; others lapsed"
            );
            findings.push((open > 0 || taken <= units, told));
        }
    }
    findings
}

fn millis(micros: u64) -> String {
    format!("{:.3}", Duration::from_micros(micros).as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
