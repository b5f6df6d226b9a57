//! `firstcome recover`: saves the data of a file after a disk fault.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::output;
use crate::store::open::DATABASE_FILE;
use crate::store::recover::{AcceptedRisks, recover_telling};
use crate::types::DropId;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome recover --data /var/lib/firstcome
  firstcome recover --accept-loss=17             accept that 17 acknowledged events are lost

Run it before any reboot: after a disk fault, data that exists only in the OS page cache would be lost.

The file is copied, the copy is verified and takes its place. The old files are kept beside it.

Exit code 65: the copy does not verify, or events are missing; the message says how many.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RecoverArgs {
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

/// Recovers a file. An error leaves the files as they were.
///
/// # Errors
/// The exit code of the storage error.
pub fn run(args: &RecoverArgs) -> Result<(), Exit> {
    let accepted = AcceptedRisks { loss: args.accept_loss, without_watermark: args.without_watermark };
    let begins = || output::note("copying and verifying the file; do not reboot before this ends");
    let recovered = recover_telling(&args.data, wall_clock(), accepted, begins)
        .map_err(|error| Exit::new(error.exit_code(), error.told(&args.data.join(DATABASE_FILE))))?;
    if let Some(report) = &recovered.report {
        output::line(format!(
            "verified: {} drops, {} orders, {} events; {} units held, {} sold",
            report.drops, report.orders, report.events, report.held, report.sold
        ));
    }
    if recovered.lost > 0 {
        output::line(format!("{} events are lost; the audit log records it, and a new epoch began", recovered.lost));
    }
    if let Some(paused) = of_paused_draws(&recovered.paused) {
        output::line(paused);
    }
    if args.without_watermark && recovered.lost == 0 {
        output::line("a new epoch began: no cached response of the earlier file stands for this one");
    }
    output::line(format!("recovered: start the server again; the old files are in {}", recovered.kept.display()));
    Ok(())
}

/// Returns what to do with drops that are paused because their draw may be among what is lost; `None` without any.
pub(super) fn of_paused_draws(paused: &[DropId]) -> Option<String> {
    let drops: Vec<String> = paused.iter().map(ToString::to_string).collect();
    (!drops.is_empty()).then(|| {
        format!(
            "paused: drop {}. What is missing may have drawn its tickets and published the seed. Close it and sell by a new drop, or resume it to draw again, by a seed that may be known",
            drops.join(", ")
        )
    })
}
