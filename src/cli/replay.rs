//! `firstcome replay`: a capture once more, through an engine of its own.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Exit, output};
use crate::capture::format::{RecordReader, Trouble};
use crate::capture::replay::{Pace, Replayed, replay};
use crate::engine::OUTCOME_NAMES;

const EXAMPLES: &str = "Examples:
  firstcome replay sale.capture              as fast as it goes
  firstcome replay sale.capture --speed 1    at the pace at which it was recorded
  firstcome replay sale.capture --speed 10   ten times as fast

Exit code: 0 the same outcomes and events; 1 a difference; 65 the file is damaged or no capture; 66 there is none.
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
    let refuse = |trouble: Trouble| told(65, &trouble);
    let file = File::open(&args.file).map_err(|error| told(66, &error))?;
    let mut reader = RecordReader::open(BufReader::with_capacity(1 << 16, file)).map_err(refuse)?;
    let database = reader.header.database();
    output::line(format!("{}: a capture of database {database}, epoch {}", args.file.display(), reader.header.epoch));
    let found = replay(&mut reader, args.speed).map_err(refuse)?;
    for line in report(&found) {
        output::line(line);
    }
    if let Some(offset) = found.torn_at {
        output::note(format!("the file ends within a record at byte {offset}: what comes before was replayed"));
    }
    match found.difference {
        Some((offset, what)) => Err(told(1, &format_args!("at byte {offset}: {what}"))),
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
