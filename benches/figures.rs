//! The figures that firstcome is to reach, each measured here and now beside its target.
//!
//! `cargo bench --bench figures -- [ROW...]`; without rows all of them: some ten minutes, and the builds before.
//! `list` names the rows; `idle` is one more, which takes three minutes and is not among all of them.
//!
//! Loopback only, load generator included; every row has an end. Exit code 0: every figure is reached; 1: a figure is not,
//! or could not be measured. A missed latency is UNCLEAR where the idle machine's scheduling alone was later, or the host
//! took more than 2 % of the machine meanwhile.
//!
//! `PROFILE` is the profile that is measured (`dist`); `release` builds in a third of the time and is a little slower.
//! `FIRSTCOME_BENCH_ORDERS=10000000` lets the growing file grow to that (a million); `FIRSTCOME_BENCH_RESERVES` is the number
//! of orders of a run over the wire protocol (400,000).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench: it prints")]

#[path = "figures/in_process.rs"]
mod in_process;
#[path = "figures/machine.rs"]
mod machine;
#[path = "figures/over_http.rs"]
mod over_http;
#[path = "figures/over_wire.rs"]
mod over_wire;
#[path = "figures/program.rs"]
mod program;
#[path = "figures/server.rs"]
mod server;
#[path = "figures/table.rs"]
mod table;
#[path = "figures/wire_orders.rs"]
mod wire_orders;

use std::process::ExitCode;
use std::time::Instant;

use program::Program;
use table::Table;

/// A row of the table: its name, the benches that it runs, and the measurement.
struct Row {
    name: &'static str,
    benches: &'static [&'static str],
    measure: fn(&Program, &mut Table) -> Result<(), String>,
}

const fn row(
    name: &'static str,
    benches: &'static [&'static str],
    measure: fn(&Program, &mut Table) -> Result<(), String>,
) -> Row {
    Row { name, benches, measure }
}

const ROWS: [Row; 20] = [
    row("writer", &["writer"], in_process::writer),
    row("alone", &["writer"], in_process::alone),
    row("refusals", &["engine", "writer"], in_process::refusals),
    row("orders", &[], over_http::orders),
    row("open-loop", &[], over_http::open_loop),
    row("checkouts", &[], over_http::checkouts),
    row("reads", &["reads"], in_process::reads),
    row("ladder", &[], over_http::ladder),
    row("mix", &[], over_http::mix),
    row("reserves", &[], wire_orders::reserves),
    row("bids", &[], over_wire::bids),
    row("bids-10k", &[], over_wire::bids_at_a_rate),
    row("bidders", &[], over_wire::bidders),
    row("subscribers", &[], over_wire::subscribers),
    row("memory", &["memory"], in_process::memory),
    row("lapse", &["http"], in_process::lapse),
    row("growth", &["writer"], in_process::growth),
    row("start", &[], over_http::restart),
    row("binary", &[], in_process::binary),
    row("scrape", &[], over_http::scrape),
];

/// Runs only when it is asked for by name.
const IDLE: Row = row("idle", &[], over_wire::idle);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let asked: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let known = |name: &str| ROWS.iter().chain([&IDLE]).find(|row| row.name == name);
    if asked == ["list"] || !is_bench {
        ROWS.iter().for_each(|row| println!("{}", row.name));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = asked.iter().find(|name| known(name).is_none()) {
        let names: Vec<&str> = ROWS.iter().chain([&IDLE]).map(|row| row.name).collect();
        eprintln!("no such row: {unknown}; rows are {}", names.join(" "));
        return ExitCode::from(64);
    }
    let rows: Vec<&Row> =
        if asked.is_empty() { ROWS.iter().collect() } else { asked.iter().filter_map(|name| known(name)).collect() };
    match measure(&rows) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the program and the benches, measures the rows, and gives the number of figures that are not reached.
fn measure(rows: &[&Row]) -> Result<usize, String> {
    let began = Instant::now();
    let program = Program::find()?;
    println!("== building ({})", program.profile);
    program.build()?;
    let mut benches: Vec<&str> = rows.iter().flat_map(|row| row.benches).copied().collect();
    benches.sort_unstable();
    benches.dedup();
    for bench in benches {
        program.build_bench(bench)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("== {cores} cores, {}, {}", program::revision(), program.profile);
    let mut table = Table::default();
    for row in rows {
        if let Err(why) = (row.measure)(&program, &mut table) {
            table.broken(row.name, &why);
        }
    }
    println!("== {} figures not reached, {} s", table.not_reached, began.elapsed().as_secs());
    Ok(table.not_reached)
}
