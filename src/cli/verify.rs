//! `firstcome verify`: recounts everything in a database file.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::output;
use crate::store::open::DATABASE_FILE;
use crate::store::verify;
use crate::types::Shard;

const EXAMPLES: &str = "Examples:
  firstcome verify
  firstcome verify --data /var/lib/firstcome

The file is only read.

Exit codes: 0 everything agrees; 65 problems were found, one line each; 66 the file is missing.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
}

/// Verifies a file and prints its totals.
///
/// # Errors
/// 65 with a line per problem, or the error that prevented reading.
pub fn run(args: &VerifyArgs) -> Result<(), Exit> {
    let report = verify::verify(&args.data)
        .map_err(|error| Exit::new(error.exit_code(), error.told(&args.data.join(DATABASE_FILE))))?;
    output::line(format!(
        "{}: {} drops, {} orders, {} events in {} links, up to event {}; {} units held, {} sold{}",
        args.data.display(),
        report.drops,
        report.orders,
        report.events,
        report.links,
        report.last_seq,
        report.held,
        report.sold,
        if report.shard == Shard::SINGLE { String::new() } else { format!("; shard {}", report.shard.get()) }
    ));
    if report.problem_count == 0 {
        output::line(
            "verified: every counter agrees with the orders and with the audit log, and the hash chain is complete",
        );
        return Ok(());
    }
    let mut lines = report.problems;
    let listed = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if report.problem_count > listed {
        lines.push(format!("and {} more", report.problem_count.saturating_sub(listed)));
    }
    lines.push(format!("{} problems: do not sell from this file; restore a backup", report.problem_count));
    Err(Exit::bad_data(lines.join("\n")))
}
