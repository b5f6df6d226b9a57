//! `firstcome rush`: its arguments and its output. The load itself is in `load`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::exit::{self, Exit};
use crate::load::bids::{self, LoadParams};
use crate::load::{ladder, mixed, pay, rooms, run};
use crate::output;
use check::{MixedPlan, RushPlan};

mod arguments;
mod check;
mod crowd_options;

pub use arguments::RushArgs;

/// Runs the load, prints the result, and fails if the check does.
///
/// # Errors
/// See the exit codes in the help; 73 where a file cannot be written.
pub fn run(args: RushArgs) -> Result<(), Exit> {
    let (json, html) = (args.json.clone(), args.ladder.html.clone());
    let RushPlan { plan, ladder, bids, mixed, room, pay } = check::plan(args)?;
    let json = json.as_deref().map(|path| create("--json", path)).transpose()?;
    if cfg!(debug_assertions) {
        output::note("this is a debug build: the check holds, the figures mean nothing (cargo run --release)");
    }
    if let Some(MixedPlan { crowd, fails_if_missed }) = mixed {
        let report = mixed::run(&crowd)?;
        print(report.table());
        write_json(json, &report.json())?;
        return if fails_if_missed { conclude(&report.failures()) } else { Ok(()) };
    }
    if let Some(room) = room {
        let report = rooms::run(&room)?;
        print(report.table());
        write_json(json, &report.json())?;
        return conclude(&report.failures());
    }
    if let Some(pay) = pay {
        let report = pay::run(&pay)?;
        print(report.table());
        write_json(json, &report.json())?;
        return conclude(&report.failures());
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
        let mut html = html.as_deref().map(|path| create("--html", path)).transpose()?;
        let result = ladder::run(&plan, &ladder, &mut |line| output::line(line))?;
        if !result.has_metrics() {
            output::note("the admin listener gave no /metrics: the page has no queue and no batches");
        }
        write_json(json, &result.json())?;
        if let Some((file, name)) = &mut html {
            let written = file.write_all(ladder::page(&result).as_bytes());
            written.map_err(|error| unwritten(name, &error))?;
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

/// Creates a file for a result; returns it with its name for errors.
fn create(flag: &str, path: &Path) -> Result<(File, String), Exit> {
    let name = format!("{flag} {}", path.display());
    match File::create(path) {
        Ok(file) => Ok((file, name)),
        Err(error) => Err(unwritten(&name, &error)),
    }
}

fn unwritten(name: &str, error: &io::Error) -> Exit {
    Exit::cannot_create(format!("{name}: {error}{}", exit::next_step(error)))
}

fn write_json(file: Option<(File, String)>, value: &serde_json::Value) -> Result<(), Exit> {
    let Some((mut file, name)) = file else { return Ok(()) };
    writeln!(file, "{value:#}").map_err(|error| unwritten(&name, &error))
}

/// The end of the command: 1 if anything of the check does not hold.
fn conclude(failures: &[String]) -> Result<(), Exit> {
    if failures.is_empty() { Ok(()) } else { Err(Exit::failed(failures.join("\n"))) }
}
