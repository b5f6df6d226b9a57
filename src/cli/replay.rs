//! `firstcome replay`: runs a capture through an engine of its own, or sends it to a server over HTTP.

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
  firstcome replay sale.capture              as fast as possible
  firstcome replay sale.capture --speed 1    at the recorded pace
  firstcome replay sale.capture --speed 10   ten times as fast
  firstcome replay sale.capture --to http://127.0.0.1:8080
                                             send its buyers' requests over HTTP, for new drops

A file that ends within a record, because the process was killed, is replayed up to there: exit code 0, and a note.

If operators have tokens, --to needs a token with the role operator in the variable FIRSTCOME_TOKEN.

Exit codes: 0 the same outcomes and events (with --to: all checks hold); 1 a difference; 64 wrong argument; 65 the file is damaged or not a capture; 66 the file is missing; 69 the server is unreachable.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// File of the capture
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Speed: as fast as possible, or N times the recorded pace
    #[arg(long, value_name = "max|N", default_value = "max", value_parser = parse_pace)]
    speed: Pace,
    /// Send the requests to a server instead: URL of its public listener
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Admin listener of the server, where the drops are created: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", requires = "to")]
    admin: String,
    /// With --admin https://…: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE", requires = "to")]
    ca: Option<PathBuf>,
    /// Number of connections; all requests of a buyer use the same one
    #[arg(long, value_name = "N", default_value_t = 64, requires = "to", value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Allow a server on another machine, with its owner's consent
    #[arg(long, requires = "to")]
    allow_remote: bool,
}

fn parse_pace(text: &str) -> Result<Pace, String> {
    match text {
        "max" => Ok(Pace::Max),
        number => match number.parse() {
            Ok(times) if times > 0 => Ok(Pace::Times(times)),
            Ok(_) | Err(_) => Err("expected max or a whole number from 1".into()),
        },
    }
}

/// Replays a capture and prints the comparison.
///
/// # Errors
/// The exit codes are listed in the help.
pub fn run(args: &ReplayArgs) -> Result<(), Exit> {
    let at_file =
        |code: u8, error: &dyn std::fmt::Display| Exit::new(code, format!("{}: {error}", args.file.display()));
    let refuse = |trouble: Trouble| at_file(exit::BAD_DATA, &trouble);
    let file = File::open(&args.file).map_err(|error| at_file(exit::MISSING, &error))?;
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
            if failed.code == exit::BAD_DATA { at_file(exit::BAD_DATA, &failed.message) } else { failed }
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
        output::note(format!("the file ends within a record at byte {offset}; the records before it were replayed"));
    }
    match found.difference {
        Some((offset, what)) => Err(at_file(exit::FAILED, &format_args!("at byte {offset}: {what}"))),
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
