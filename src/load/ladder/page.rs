//! The HTML page of a ladder: one self-contained file, no script, light and dark. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::plot::{Band, Plot, PlotSeries, Scale, escaped};
use super::result::LadderResult;
use super::rung::{LatencySummary, Rung, RungVerdict};
use super::scrape::batch_sizes;
use crate::load::numbers::grouped;

/// The style sheet of the page and of its plots.
const STYLE: &str = include_str!("page.css");

/// The page as HTML.
pub(crate) fn page(result: &LadderResult<'_>) -> String {
    let LadderResult { plan, ladder, rungs, .. } = result;
    let title = format!("firstcome ladder: {}", ladder.mix());
    let build = if cfg!(debug_assertions) { " (a debug build: the figures mean nothing)" } else { "" };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n<p class=\"verdict\">{}.</p>\n",
        sentence(&result.knee()),
    );
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        out,
        "<p>firstcome {}{build}, {} on {cores} cores. Open loop: arrivals keep their schedule whatever the server does, \
         and latencies count from the instant at which a request was meant to start. Each rate was offered for {} s on {} \
         connections by {} threads of load, which ran on this machine (load cores). A rung is kept if at least 98 % of \
         its rate and 99.9 % of its arrivals got a good answer and the 99th percentile is within {} ms.</p>",
        env!("CARGO_PKG_VERSION"),
        escaped(&plan.public.authority),
        ladder.rung_seconds,
        grouped(plan.connections as u64),
        plan.threads,
        ladder.p99_max.as_millis(),
    );
    table(result, &mut out);
    figure("Latency over offered rate, in ms (logarithmic)", &latency_plot(result), &mut out);
    figure("Achieved over offered rate, per second", &achieved_plot(rungs), &mut out);
    if result.samples.is_empty() {
        out.push_str("<p>The admin listener gave no metrics, so the figures of queue and batches are missing.</p>\n");
    } else {
        figure("Commands waiting for the writer, over time", &queue_plot(result), &mut out);
        figure("Mean commands per batch (one commit each), over time", &batch_plot(result), &mut out);
        figure("Resident memory of the server in MB, over time", &memory_plot(result), &mut out);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn figure(caption: &str, plot: &Plot, out: &mut String) {
    let _ = writeln!(out, "<figure>\n<figcaption>{}</figcaption>\n{}</figure>", escaped(caption), plot.svg());
}

fn table(result: &LadderResult<'_>, out: &mut String) {
    let p99_max = result.ladder.p99_max;
    out.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for column in Rung::COLUMNS.into_iter().chain(["orders p50", "orders p99"]) {
        let _ = write!(out, "<th>{column}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for rung in &result.rungs {
        let class = if rung.verdict(p99_max) == RungVerdict::Kept { "kept" } else { "missed" };
        let _ = write!(out, "<tr class=\"{class}\">");
        let orders = |micros: u64| match rung.orders.count {
            0 => String::new(),
            _ => format!("{:.2}", micros as f64 / 1e3),
        };
        for cell in rung.cells(p99_max).into_iter().chain([orders(rung.orders.p50), orders(rung.orders.p99)]) {
            let _ = write!(out, "<td>{}</td>", escaped(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn latency_plot(result: &LadderResult<'_>) -> Plot {
    let rungs = &result.rungs;
    let line = |name, pick: fn(&LatencySummary) -> f64| {
        let points = rungs.iter().map(|rung| (f64::from(rung.target), pick(&rung.all) / 1e3));
        PlotSeries { name, points: points.collect() }
    };
    Plot {
        x_title: "offered, arrivals per second; the dashed line is the bound of the 99th percentile",
        y_title: "latency in ms",
        scale: Scale::Log,
        series: vec![
            line("average", |latency| latency.average),
            line("p50", |latency| latency.p50 as f64),
            line("p95", |latency| latency.p95 as f64),
            line("p99", |latency| latency.p99 as f64),
        ],
        bands: Vec::new(),
        bound: Some(result.ladder.p99_max.as_secs_f64() * 1e3),
    }
}

fn achieved_plot(rungs: &[Rung]) -> Plot {
    let offered = rungs.iter().map(|rung| (f64::from(rung.target), f64::from(rung.target)));
    let achieved = rungs.iter().map(|rung| (f64::from(rung.target), rung.achieved));
    Plot {
        x_title: "offered, arrivals per second",
        y_title: "good answers per second",
        scale: Scale::Linear,
        series: vec![
            PlotSeries { name: "achieved", points: achieved.collect() },
            PlotSeries { name: "offered", points: offered.collect() },
        ],
        bands: Vec::new(),
        bound: None,
    }
}

/// A plot over time, with the rungs as bands behind it.
fn over_time(result: &LadderResult<'_>, name: &'static str, points: impl Iterator<Item = (Duration, f64)>) -> Plot {
    let band = |rung: &Rung| Band {
        from: rung.from.as_secs_f64(),
        to: rung.to.as_secs_f64(),
        label: format!("{}/s", grouped(u64::from(rung.target))),
    };
    Plot {
        x_title: "seconds since the start of the ladder",
        y_title: name,
        scale: Scale::Linear,
        series: vec![PlotSeries { name, points: points.map(|(at, value)| (at.as_secs_f64(), value)).collect() }],
        bands: result.rungs.iter().map(band).collect(),
        bound: None,
    }
}

fn queue_plot(result: &LadderResult<'_>) -> Plot {
    over_time(result, "queue depth", result.samples.iter().map(|sample| (sample.at, sample.queue_depth)))
}

fn batch_plot(result: &LadderResult<'_>) -> Plot {
    over_time(result, "commands per batch", batch_sizes(&result.samples).into_iter())
}

fn memory_plot(result: &LadderResult<'_>) -> Plot {
    over_time(result, "MB", result.samples.iter().map(|sample| (sample.at, sample.resident_bytes / 1e6)))
}
