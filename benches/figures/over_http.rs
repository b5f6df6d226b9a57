//! Rows that load a server over HTTP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::machine::{MemoryLimit, Quiet, megabytes, wait, worked_ms};
use super::program::Program;
use super::server::{Scraper, Server};
use super::table::{Table, number};

/// A number of a report, by its JSON pointer.
pub(crate) fn of(report: &Value, pointer: &str) -> Result<f64, String> {
    report.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| format!("the report has no {pointer}"))
}

/// The middle one of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn orders(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let report = server.plain_orders(200_000, &["--connections", "512"])?;
        rates.push(of(&report, "/achieved/reserved_per_second")?);
    }
    server.stop()?;
    let what = "orders over HTTP, full, 512 connections (median of 3; the aim is 60,000)";
    table.at_least(what, median(rates), 45_000.0, "/s");
    Ok(())
}

/// A rung of a ladder: its offered rate, its verdict, and its latencies in ms.
struct Rung(Value);

impl Rung {
    fn target(&self) -> Result<f64, String> {
        of(&self.0, "/target_per_second")
    }

    fn verdict(&self) -> &str {
        self.0["verdict"].as_str().unwrap_or("no verdict")
    }

    fn ms(&self, name: &str) -> Result<f64, String> {
        of(&self.0, &format!("/latency_ms/all/{name}"))
    }
}

fn rungs(server: &Server<'_>, rates: &str, seconds: &str, more: &[&str]) -> Result<Vec<Rung>, String> {
    let mut arguments = vec!["--ladder", rates, "--rung-seconds", seconds];
    arguments.extend(more);
    let report = server.load(&arguments)?;
    let rungs = report["rungs"].as_array().ok_or("the report has no rungs")?;
    Ok(rungs.iter().cloned().map(Rung).collect())
}

pub(crate) fn open_loop(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let quiet = Quiet::measure()?;
    let rungs = rungs(&server, "25000", "10", &["--mix", "orders"])?;
    let load = quiet.after_load()?;
    server.stop()?;
    for rung in rungs {
        if table.was_kept("orders at 25,000/s offered", rung.verdict()) {
            table.below_ms("orders at 25,000/s offered, open loop: p95", rung.ms("p95")?, 20.0, &load);
            table.below_ms("... p99", rung.ms("p99")?, 50.0, &load);
        }
    }
    Ok(())
}

pub(crate) fn checkouts(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let quiet = Quiet::measure()?;
    let report = server.load(&["--crowd", "checkout", "--rate", "2000", "--buyers", "20000", "--units", "20000"])?;
    let load = quiet.after_load()?;
    server.stop()?;
    let p95 = of(&report, "/latency_ms/follow_ups/from_intended_start/p95")?;
    table.below_ms("checkouts at 2,000/s, as many orders beside them: p95", p95, 20.0, &load);
    Ok(())
}

pub(crate) fn ladder(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let quiet = Quiet::measure()?;
    let rungs = rungs(&server, "2000,5000,8000", "10", &[])?;
    let load = quiet.after_load()?;
    server.stop()?;
    for rung in rungs {
        let rate = number(rung.target()?);
        if table.was_kept(&format!("94:6 at {rate}/s"), rung.verdict()) {
            table.below_ms(&format!("94:6 at {rate}/s offered, open loop: average"), rung.ms("average")?, 0.5, &load);
            table.below_ms("... p95", rung.ms("p95")?, 1.0, &load);
        }
    }
    Ok(())
}

/// Megabytes of the program with its caches, and of a live order with its key in bytes.
const RESIDENT_MB: f64 = 45.0;
const ORDER_BYTES: f64 = 240.0;

pub(crate) fn mix(program: &Program, table: &mut Table) -> Result<(), String> {
    let limit = MemoryLimit::new(512);
    let server = Server::start_under(program, &limit.prefix)?;
    let process = server.process();
    table.below("resident after the start", megabytes(process, "VmRSS")?, 12.0, " MB");
    let own = megabytes(process, "RssAnon")?;
    table.shown("... of that its own, the rest is pages of the program's file", own, " MB");
    let quiet = Quiet::measure()?;
    let rungs = rungs(&server, "9000", "60", &[])?;
    let load = quiet.after_load()?;
    let orders = metric(&server.metrics()?, r#"firstcome_outcomes_total{command="place_order",outcome="accepted"}"#)?;
    let (now, peak) = (megabytes(process, "VmRSS")?, megabytes(process, "VmHWM")?);
    server.stop()?;
    let what = format!("94:6 at 9,000/s for 60 s in 512 MB ({})", limit.name);
    for rung in rungs {
        if !table.was_kept(&what, rung.verdict()) {
            continue;
        }
        table.below_ms(&format!("{what}: p50"), rung.ms("p50")?, 1.0, &load);
        table.below_ms("... p99", rung.ms("p99")?, 5.0, &load);
        table.below_ms("... p99.9", rung.ms("p99_9")?, 20.0, &load);
        let bound = RESIDENT_MB + orders * ORDER_BYTES / 1_048_576.0;
        let live = number(orders);
        table.below(&format!("... resident, with {live} live orders and as many keys"), now, bound, " MB");
        table.below("... resident at most", peak, 512.0, " MB");
    }
    Ok(())
}

/// The value of a series on a page of metrics.
fn metric(page: &str, series: &str) -> Result<f64, String> {
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.ok_or_else(|| format!("no metric {series}"))
}

pub(crate) fn restart(program: &Program, table: &mut Table) -> Result<(), String> {
    let seconds = |orders: u32| {
        let mut server = Server::start(program)?;
        server.plain_orders(orders, &[])?;
        Ok::<f64, String>(server.kill_and_restart()?.as_secs_f64())
    };
    let few = seconds(100_000)?;
    table.below("start with 100,000 remembered orders, to the first answered order", few, 2.0, " s");
    table.shown("... with 1,000,000", seconds(1_000_000)?, " s");
    Ok(())
}

/// A run of orders while `/metrics` is scraped, or not.
#[derive(Default)]
struct Turns {
    /// Share of the server's CPU time that its query thread takes, in percent.
    query_percent: Vec<f64>,
    rates: Vec<f64>,
}

impl Turns {
    fn add(&mut self, server: &Server<'_>) -> Result<(), String> {
        let (query, all) = worked_ms(server.process())?;
        let report = server.plain_orders(100_000, &[])?;
        let (query_after, all_after) = worked_ms(server.process())?;
        self.query_percent.push(100.0 * (query_after - query) / (all_after - all));
        self.rates.push(of(&report, "/achieved/reserved_per_second")?);
        Ok(())
    }
}

/// The same load in turn with and without ten scrapes a second, on one server. The part of the server's work that the
/// query thread takes in addition is the cost of scraping; rates alone vary too much on a shared machine.
pub(crate) fn scrape(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let (mut without, mut with) = (Turns::default(), Turns::default());
    for _ in 0..6 {
        without.add(&server)?;
        let mut scraper = Scraper::connect(server.admin())?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let scraping = scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    scraper.scrape()?;
                    wait(Duration::from_millis(100));
                }
                Ok::<(), String>(())
            });
            let turn = with.add(&server);
            over.store(true, Ordering::Release);
            scraping.join().map_err(|_| "the scraping thread panicked".to_owned())?.and(turn)
        })?;
    }
    let series = server.metrics()?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    server.stop()?;
    let more = (lower_median(with.query_percent) - lower_median(without.query_percent)).max(0.0);
    table.below("ten scrapes a second under load: their share of the server's work", more, 2.0, " %");
    let share = lower_median(with.rates) / lower_median(without.rates);
    table.shown("... orders/s with them, as a share of those without (medians of 6)", share, "");
    #[expect(clippy::cast_precision_loss, reason = "a few hundred series")]
    table.shown("... series", series as f64, "");
    Ok(())
}

/// The lower one of the two middle figures of an even number.
fn lower_median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
