//! `firstcome recover`.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::output;
use crate::store::recover::{AcceptedRisks, recover};
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome recover --data /var/lib/firstcome
  firstcome recover --accept-loss=17             17 answered orders are gone for good, and you accept that

Run it before any reboot: after a fault of the disk, what only the system's memory still shows would be gone.
The file is copied, the copy is verified, and takes its place; the old files are kept beside it. Exit code 65: the copy
does not verify, or events are missing (the line says how many).";

/// `recover`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RecoverArgs {
    /// The directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
    /// Go on although exactly N answered events are missing; N is what the refusal says
    #[arg(long, value_name = "N")]
    accept_loss: Option<u64>,
    /// Go on although the watermark is gone or another file's: whether events are missing cannot be told then
    #[arg(long)]
    without_watermark: bool,
}

/// Recovers a file.
///
/// # Errors
/// One line and the exit code; nothing has changed then.
pub fn run(args: &RecoverArgs) -> Result<(), Exit> {
    output::note("copying and verifying the file; do not reboot before this ends");
    let accepted = AcceptedRisks { loss: args.accept_loss, without_watermark: args.without_watermark };
    let recovered =
        recover(&args.data, wall_clock(), accepted).map_err(|error| Exit::new(error.exit_code(), error.to_string()))?;
    if let Some(report) = &recovered.report {
        output::line(format!(
            "verified: {} drops, {} orders, {} events; {} units held, {} sold",
            report.drops, report.orders, report.events, report.held, report.sold
        ));
    }
    if recovered.lost > 0 {
        output::line(format!("{} events are lost; the audit says so, and the file's next epoch began", recovered.lost));
    }
    output::line(format!("recovered: start the server again; the old files are in {}", recovered.kept.display()));
    Ok(())
}
