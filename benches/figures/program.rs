//! The program that is measured, and the benches of the same profile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The built program.
pub(crate) struct Program {
    pub(crate) profile: String,
    pub(crate) path: PathBuf,
}

impl Program {
    /// The program of the profile that `PROFILE` names, beside this one.
    pub(crate) fn find() -> Result<Program, String> {
        let profile = std::env::var("PROFILE").unwrap_or_else(|_| "dist".into());
        let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        // target/PROFILE/deps/figures-...
        let target = own.ancestors().nth(3).ok_or("this program is in no target directory")?;
        let directory = if profile == "dev" { "debug" } else { &profile };
        let path = target.join(directory).join("firstcome");
        Ok(Program { profile, path })
    }

    pub(crate) fn build(&self) -> Result<(), String> {
        cargo(&["build", "--quiet", "--locked", "--profile", &self.profile, "--bin", "firstcome"])
    }

    pub(crate) fn build_bench(&self, bench: &str) -> Result<(), String> {
        cargo(&["bench", "--quiet", "--locked", "--profile", &self.profile, "--bench", bench, "--no-run"])
    }

    /// Runs a bench, for at most so many seconds, and gives the figures that it recorded, by their names.
    pub(crate) fn bench(
        &self,
        seconds: u32,
        bench: &str,
        arguments: &[&str],
    ) -> Result<BTreeMap<String, Value>, String> {
        let scratch = tempfile::tempdir().map_err(|error| format!("a scratch directory: {error}"))?;
        let record = scratch.path().join("figures.json");
        let mut command = Command::new("timeout");
        command.arg(seconds.to_string()).args(["cargo", "bench", "--quiet", "--locked", "--profile", &self.profile]);
        command.args(["--bench", bench, "--"]).args(arguments);
        command.env("FIRSTCOME_BENCH_JSON", &record).env("CRITERION_HOME", scratch.path().join("criterion"));
        succeeded(&format!("the bench {bench}"), &output(&mut command)?)?;
        let mut figures = criterion_rates(&scratch.path().join("criterion"));
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        for line in text.lines() {
            let figure: Value = serde_json::from_str(line).map_err(|error| format!("a figure of {bench}: {error}"))?;
            figures.insert(figure["name"].as_str().unwrap_or_default().to_owned(), figure);
        }
        if figures.is_empty() { Err(format!("the bench {bench} recorded no figures")) } else { Ok(figures) }
    }
}

/// A figure of a bench.
pub(crate) fn figure(figures: &BTreeMap<String, Value>, name: &str, member: &str) -> Result<f64, String> {
    let value = figures.get(name).and_then(|figure| figure[member].as_f64());
    value.ok_or_else(|| format!("no figure {name}, {member}"))
}

/// Elements per second of the benches that criterion has saved below this directory, by their names.
fn criterion_rates(home: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut directories = vec![home.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        directories.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
        if !directory.ends_with("new") {
            continue;
        }
        let json =
            |file: &str| -> Option<Value> { serde_json::from_slice(&std::fs::read(directory.join(file)).ok()?).ok() };
        let (Some(bench), Some(estimates)) = (json("benchmark.json"), json("estimates.json")) else { continue };
        let estimate = ["slope", "mean"].iter().find_map(|name| estimates[name]["point_estimate"].as_f64());
        let elements = bench["throughput"]["Elements"].as_f64();
        let (Some(nanoseconds), Some(elements), Some(name)) = (estimate, elements, bench["full_id"].as_str()) else {
            continue;
        };
        found.insert(name.to_owned(), serde_json::json!({ "per_second": elements * 1e9 / nanoseconds }));
    }
    found
}

pub(crate) fn output(command: &mut Command) -> Result<Output, String> {
    command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))
}

/// # Errors
/// The end of what the command said, where it failed.
pub(crate) fn succeeded(what: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{what}: {}\n{}", output.status, said.trim_end()))
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("cargo").args(arguments).stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {}: {status}", arguments.join(" "))) }
}

/// The short hash of the revision that is checked out.
pub(crate) fn revision() -> String {
    let found = output(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
    let found = found.ok().filter(|output| output.status.success());
    found.map_or("no revision".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
