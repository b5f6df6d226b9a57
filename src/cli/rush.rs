//! `firstcome rush`: its arguments and its output. The load itself is in `load`.

use std::fs::File;
use std::io::Write;

use crate::exit::Exit;
use crate::load::bids::{self, LoadParams};
use crate::load::{ladder, run};
use crate::output;
use check::RushPlan;

mod arguments;
mod check;

pub use arguments::RushArgs;

/// Runs the load, prints the result, and fails if the check does.
///
/// # Errors
/// See the exit codes in the help; 73 where a file cannot be written.
pub fn run(args: RushArgs) -> Result<(), Exit> {
    let (json, html) = (args.json.clone(), args.ladder.html.clone());
    let RushPlan { plan, ladder, bids } = check::plan(args)?;
    let json = json.as_ref().map(File::create).transpose();
    let json = json.map_err(|error| Exit::cannot_create(format!("--json: {error}")))?;
    if cfg!(debug_assertions) {
        output::note("this is a debug build: the check holds, the figures mean nothing (cargo run --release)");
    }
    if let Some(bids) = bids {
        let params = LoadParams {
            admin: &plan.admin,
            connections: plan.connections,
            threads: plan.threads,
            rate: plan.rate,
            deadline: plan.deadline,
        };
        let report = bids::run(&bids, &params)?;
        print(report.table());
        write_json(json, &report.json())?;
        return conclude(&report.failures());
    }
    if let Some(ladder) = ladder {
        let html = html.as_ref().map(File::create).transpose();
        let mut html = html.map_err(|error| Exit::cannot_create(format!("--html: {error}")))?;
        let result = ladder::run(&plan, &ladder, &mut |line| output::line(line))?;
        if !result.has_metrics() {
            output::note("the admin listener gave no /metrics: the page has no queue and no batches");
        }
        write_json(json, &result.json())?;
        if let Some(file) = &mut html {
            let written = file.write_all(ladder::page(&result).as_bytes());
            written.map_err(|error| Exit::cannot_create(format!("--html: {error}")))?;
        }
        return conclude(&result.failures());
    }
    let report = run::run(&plan)?;
    print(report.table());
    write_json(json, &report.json())?;
    conclude(&report.failures())
}

fn print(lines: Vec<String>) {
    for line in lines {
        output::line(line);
    }
}

fn write_json(file: Option<File>, value: &serde_json::Value) -> Result<(), Exit> {
    let Some(mut file) = file else { return Ok(()) };
    writeln!(file, "{value:#}").map_err(|error| Exit::cannot_create(format!("--json: {error}")))
}

/// The end of the command: 1 if anything of the check does not hold.
fn conclude(failures: &[String]) -> Result<(), Exit> {
    if failures.is_empty() { Ok(()) } else { Err(Exit::failed(failures.join("\n"))) }
}
