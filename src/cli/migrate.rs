//! `firstcome migrate`: brings the file of an older version to this version's schema.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::output;
use crate::store::migrate::migrate;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome migrate --data /var/lib/firstcome

The file is copied, the copy is migrated and verified, and takes its place. The old files are kept beside it.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MigrateArgs {
    /// Directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
}

/// Migrates a file. An error leaves the files as they were.
///
/// # Errors
/// The exit code of the storage error.
pub fn run(args: &MigrateArgs) -> Result<(), Exit> {
    let migrated =
        migrate(&args.data, wall_clock()).map_err(|error| Exit::new(error.exit_code(), error.to_string()))?;
    let (from, kept) = match (migrated.from, migrated.kept) {
        (Some(from), Some(kept)) => (from, kept),
        (_, Some(kept)) => {
            output::line(format!("an interrupted run is completed: the old files are in {}", kept.display()));
            return Ok(());
        }
        (_, None) => {
            output::line("nothing to do: the file has the schema of this version");
            return Ok(());
        }
    };
    if let Some(report) = migrated.report {
        output::line(format!("verified: {} drops, {} orders, {} events", report.drops, report.orders, report.events));
    }
    output::line(format!("migrated from schema {from}: the old files are in {}", kept.display()));
    Ok(())
}
