//! Rows that other benches measure, and the size of the program.

use super::program::{Program, figure, output, succeeded};
use super::table::{Table, number};

pub(crate) fn writer(program: &Program, table: &mut Table) -> Result<(), String> {
    let figures = program.bench(300, "writer", &["headline"])?;
    let of = |member: &str| figure(&figures, "full, batches of 256", member);
    table.at_least("writer in process, full, batches of 256: share of bare SQLite", of("ratio")?, 0.7, "");
    table.shown("... durable orders (the aim is 150,000)", of("writer_per_second")?, "/s");
    table.shown("... bare append of the same rows", of("bare_per_second")?, "/s");
    Ok(())
}

pub(crate) fn alone(program: &Program, table: &mut Table) -> Result<(), String> {
    let figures = program.bench(120, "writer", &["alone"])?;
    table.shown("one durable order in process, alone: p95", figure(&figures, "order, alone", "p95_us")?, " us");
    table.shown("... one fdatasync beside it: p95", figure(&figures, "fdatasync, alone", "p95_us")?, " us");
    Ok(())
}

pub(crate) fn refusals(program: &Program, table: &mut Table) -> Result<(), String> {
    let arguments = ["a million remembered", "--warm-up-time", "1", "--measurement-time", "3"];
    let figures = program.bench(300, "engine", &arguments)?;
    for (name, found) in &figures {
        let name = name.rsplit('/').next().unwrap_or(name);
        let rate = found["per_second"].as_f64().ok_or("no rate")?;
        table.at_least(&format!("decide with a million remembered keys: {name}"), rate, 2_000_000.0, "/s");
    }
    let figures = program.bench(120, "writer", &["refusals"])?;
    table.shown("... refusals through the queue", figure(&figures, "refusals", "per_second")?, "/s");
    Ok(())
}

pub(crate) fn reads(program: &Program, table: &mut Table) -> Result<(), String> {
    let figures = program.bench(300, "reads", &[])?;
    let of = |name: &str, member: &str| figure(&figures, name, member);
    table.at_least("status reads, one by one: share of bare hyper", of("drop, hot, 1", "ratio")?, 0.9, "");
    table.shown("... one serving thread", of("drop, hot, 1", "per_second")?, "/s");
    table.at_least("... 16 pipelined, one serving thread", of("drop, hot, 16", "per_second")?, 300_000.0, "/s");
    table.shown("... 16 pipelined: share of bare hyper", of("drop, hot, 16", "ratio")?, "");
    let what = "an order, read from the file each time, one by one: share of bare hyper";
    table.shown(what, of("order, cold, 1", "ratio")?, "");
    table.shown("... one serving thread", of("order, cold, 1", "per_second")?, "/s");
    Ok(())
}

pub(crate) fn memory(program: &Program, table: &mut Table) -> Result<(), String> {
    for found in program.bench(120, "memory", &[])?.values() {
        let of = |member: &str| found[member].as_f64().ok_or_else(|| format!("no {member}"));
        let what = format!("a live order and its key in memory, {} of them", number(of("orders")?));
        table.below(&what, of("live_bytes")?, 241.0, " B");
        table.below("... a key whose order has ended", of("key_bytes")?, 41.0, " B");
    }
    Ok(())
}

pub(crate) fn lapse(program: &Program, table: &mut Table) -> Result<(), String> {
    let figures = program.bench(120, "http", &["lapse"])?;
    let nothing = figure(&figures, "lapse of nothing", "p99_ms")?;
    table.shown("5,000 orders/s while nothing lapses: p99", nothing, " ms");
    let of = |member: &str| figure(&figures, "lapse of all reservations at once", member);
    table.shown("... for 2 s around 100,000 reservations lapsing at once: p99", of("p99_ms")?, " ms");
    table.shown("... the slowest", of("max_ms")?, " ms");
    Ok(())
}

pub(crate) fn growth(program: &Program, table: &mut Table) -> Result<(), String> {
    for found in program.bench(1_200, "writer", &["growth"])?.values() {
        let of = |member: &str| found[member].as_f64().ok_or_else(|| format!("no {member}"));
        let what = format!("CPU time of an order, {} in the file: times that of 1,000", number(of("orders")?));
        table.below(&what, of("ratio")?, 1.15, "");
        table.shown("... of the writer", of("cpu_us")?, " us");
    }
    Ok(())
}

pub(crate) fn binary(program: &Program, table: &mut Table) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|error| format!("a scratch directory: {error}"))?;
    let stripped = scratch.path().join("stripped");
    let mut strip = std::process::Command::new("strip");
    succeeded("strip", &output(strip.arg("-o").arg(&stripped).arg(&program.path))?)?;
    let bytes = std::fs::metadata(&stripped).map_err(|error| format!("the stripped program: {error}"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    table.below("the binary, stripped", bytes as f64 / 1e6, 15.0, " MB");
    Ok(())
}
