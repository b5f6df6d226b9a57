//! `firstcome replay`: a capture once more, through an engine of its own, or over HTTP.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use crate::capture::format::{RecordReader, Trouble};
use crate::capture::replay::{self as capture_replay, Pace, Replayed};
use crate::engine::OUTCOME_NAMES;
use crate::exit::{self, Exit};
use crate::load::replay::{self, ReplayParams};
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome replay sale.capture              as fast as it goes
  firstcome replay sale.capture --speed 1    at the pace at which it was recorded
  firstcome replay sale.capture --speed 10   ten times as fast
  firstcome replay sale.capture --to http://127.0.0.1:8080
                                             its buyers once more, over HTTP, on drops made anew

Exit code: 0 the same outcomes and events (--to: all that must hold does); 1 a difference; 64 wrong argument;
65 the file is damaged or no capture; 66 there is none; 69 no server.
A file that ends within a record (a process that was killed) is replayed up to there: exit code 0, and a note.";

/// `replay`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// The capture
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How fast: as fast as it goes, or so many times as fast as it was recorded
    #[arg(long, value_name = "max|N", default_value = "max", value_parser = pace)]
    speed: Pace,
    /// Ask a server instead of an engine: its public listener
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Admin listener of the server, where the drops are created: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", requires = "to")]
    admin: String,
    /// With --admin https://…: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE", requires = "to")]
    ca: Option<PathBuf>,
    /// Connections; what one buyer asks stays on one
    #[arg(long, value_name = "N", default_value_t = 64, requires = "to", value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Load a server on another machine
    #[arg(long, requires = "to")]
    allow_remote: bool,
}

fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "max" => Ok(Pace::Max),
        number => match number.parse() {
            Ok(times) if times > 0 => Ok(Pace::Times(times)),
            Ok(_) | Err(_) => Err("max, or a whole number from 1".into()),
        },
    }
}

/// Replays a capture.
///
/// # Errors
/// See the exit codes in the help.
pub fn run(args: &ReplayArgs) -> Result<(), Exit> {
    let told = |code: u8, what: &dyn std::fmt::Display| Exit::new(code, format!("{}: {what}", args.file.display()));
    let refuse = |trouble: Trouble| told(exit::BAD_DATA, &trouble);
    let file = File::open(&args.file).map_err(|error| told(exit::MISSING, &error))?;
    let mut reader = RecordReader::open(BufReader::with_capacity(1 << 16, file)).map_err(refuse)?;
    let database = reader.header.database();
    output::line(format!("{}: a capture of database {database}, epoch {}", args.file.display(), reader.header.epoch));
    if let Some(public) = &args.to {
        let params = ReplayParams {
            public,
            admin: &args.admin,
            ca: args.ca.as_deref(),
            connections: usize::from(args.connections),
            allow_remote: args.allow_remote,
            pace: args.speed,
        };
        let report = replay::run(&params, &mut reader).map_err(|failed| {
            if failed.code == exit::BAD_DATA { told(exit::BAD_DATA, &failed.message) } else { failed }
        })?;
        for line in report.table() {
            output::line(line);
        }
        let failures = report.failures();
        return if failures.is_empty() { Ok(()) } else { Err(Exit::failed(failures.join("\n"))) };
    }
    let found = capture_replay::replay(&mut reader, args.speed).map_err(refuse)?;
    for line in report(&found) {
        output::line(line);
    }
    if let Some(offset) = found.torn_at {
        output::note(format!("the file ends within a record at byte {offset}: what comes before was replayed"));
    }
    match found.difference {
        Some((offset, what)) => Err(told(exit::FAILED, &format_args!("at byte {offset}: {what}"))),
        None => {
            output::line("the same outcomes and, byte for byte, the same events");
            Ok(())
        }
    }
}

fn report(found: &Replayed) -> Vec<String> {
    let mut lines = vec![format!(
        "  {} commands, {} events, {} commits in {:.1} s of recorded time; {} snapshots, {} gaps with {} commands missing",
        found.commands,
        found.events,
        found.commits,
        found.recorded.as_secs_f64(),
        found.snapshots,
        found.gaps,
        found.missing
    )];
    let outcomes = OUTCOME_NAMES.iter().zip(found.outcomes).filter(|(_, count)| *count > 0);
    let outcomes: Vec<String> = outcomes.map(|(name, count)| format!("{name} {count}")).collect();
    if found.commands > 0 {
        lines.push(format!("  outcomes: {}", outcomes.join(", ")));
        let quantile = |q: f64| micros(found.decide.value_at_quantile(q));
        lines.push(format!(
            "  decided {:.0} commands/s: p50 {}, p95 {}, p99 {}, p99.9 {}, max {} µs a command",
            per_second(found.commands, found.deciding),
            quantile(0.5),
            quantile(0.95),
            quantile(0.99),
            quantile(0.999),
            micros(found.decide.max())
        ));
    }
    lines
}

fn micros(nanos: u64) -> String {
    format!("{:.2}", Duration::from_nanos(nanos).as_secs_f64() * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
