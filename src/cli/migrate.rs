//! `firstcome migrate`: brings the file of an older version to this version's schema.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::output;
use crate::store::migrate::migrate;
use crate::store::open::DATABASE_FILE;
use crate::store::recover::AcceptedRisks;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome migrate --data /var/lib/firstcome

The file is copied, the copy is compared with its watermark, migrated and verified, and takes its place. The old files
are kept beside it.

After an interruption run it again. If another file was put in the place of the old one meanwhile, that file is taken,
and the finished copy of the old one is kept as unused-….

Exit code 65: the copy does not verify, or events are missing; the message says how many. 74: the last run ended with a
storage fault; run `firstcome recover`.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MigrateArgs {
    /// Directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
    /// Proceed although exactly N acknowledged events are missing; N is in the error message
    #[arg(long, value_name = "N")]
    accept_loss: Option<u64>,
    /// Proceed without a watermark of this file; missing events cannot be detected then
    #[arg(long)]
    without_watermark: bool,
}

/// Migrates a file. An error leaves the files as they were.
///
/// # Errors
/// The exit code of the storage error.
pub fn run(args: &MigrateArgs) -> Result<(), Exit> {
    let accepted = AcceptedRisks { loss: args.accept_loss, without_watermark: args.without_watermark };
    let migrated = migrate(&args.data, wall_clock(), accepted)
        .map_err(|error| Exit::new(error.exit_code(), error.told(&args.data.join(DATABASE_FILE))))?;
    let Some(kept) = migrated.kept else {
        output::line("nothing to do: the file has the schema of this version");
        return Ok(());
    };
    if let Some(report) = migrated.report {
        output::line(format!("verified: {} drops, {} orders, {} events", report.drops, report.orders, report.events));
    }
    if migrated.lost > 0 {
        output::line(format!("{} events are lost; the audit log records it, and a new epoch began", migrated.lost));
    }
    let done = match migrated.from {
        Some(from) => format!("migrated from schema {from}"),
        None => "an interrupted run is completed".into(),
    };
    output::line(format!("{done}: the old files are in {}", kept.display()));
    Ok(())
}
