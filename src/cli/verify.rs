//! `firstcome verify`: recounts everything in a database file.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::Exit;
use crate::output;
use crate::store::open::DATABASE_FILE;
use crate::store::verify::{self, VerifyReport};
use crate::types::Shard;

const EXAMPLES: &str = "Examples:
  firstcome verify
  firstcome verify --data /var/lib/firstcome
  firstcome verify /backup/2026-11-28.db       a copy: what it has is proved, not that nothing is missing at its end

The file is only read. `firstcome preflight --backup` compares a copy with the server's database.

Exit codes: 0 everything agrees; 65 problems were found, one line each; 66 the file is missing.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
    /// A copy of a database, such as a backup, which has no watermark
    #[arg(value_name = "FILE", conflicts_with = "data")]
    copy: Option<PathBuf>,
}

/// Verifies a file and prints its totals.
///
/// # Errors
/// 65 with a line per problem, or the error that prevented reading.
pub fn run(args: &VerifyArgs) -> Result<(), Exit> {
    let (report, has_watermark) = verified(args)?;
    output::line(totals(args.copy.as_deref().unwrap_or(&args.data), &report));
    if report.problem_count == 0 {
        output::line(
            "verified: every counter agrees with the orders and with the audit log, and the hash chain is complete",
        );
        if !has_watermark {
            output::line(format!(
                "a copy has no watermark: whether the server acknowledged more than event {} is not known",
                report.last_seq
            ));
        }
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

/// Returns the report, and whether a watermark says what was acknowledged.
fn verified(args: &VerifyArgs) -> Result<(VerifyReport, bool), Exit> {
    let Some(copy) = &args.copy else {
        return verify::verify(&args.data)
            .map(|report| (report, true))
            .map_err(|error| Exit::new(error.exit_code(), error.told(&args.data.join(DATABASE_FILE))));
    };
    if copy.is_dir() {
        return Err(Exit::usage(format!("{0} is a directory: run firstcome verify --data {0}", copy.display())));
    }
    verify::verify_backup(copy).map_err(|error| Exit::new(error.exit_code(), error.told(copy)))
}

fn totals(place: &Path, report: &VerifyReport) -> String {
    let shard = if report.shard == Shard::SINGLE { String::new() } else { format!("; shard {}", report.shard.get()) };
    format!(
        "{}: {} drops, {} orders, {} events in {} links, up to event {}; {} units held, {} sold{shard}",
        place.display(),
        report.drops,
        report.orders,
        report.events,
        report.links,
        report.last_seq,
        report.held,
        report.sold,
    )
}
