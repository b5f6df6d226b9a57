//! `firstcome report`: the report of a drop's sale, from a running server or from a file.

pub mod source;
mod summary;

use std::path::PathBuf;

use clap::Args;

use self::source::{FileArgs, SaleSource};
use super::verbs::arguments::whole;
use super::verbs::{ALL_VERBS, AdminArgs};
use crate::client::http::block_on;
use crate::exit::Exit;
use crate::output;
use crate::types::DropId;

const EXAMPLES: &str = "Examples:
  firstcome report 7                                   the most important figures
  firstcome report 7 --json | jq .lost_demand
  firstcome report 7 --db /backup/2026-11-28.db --config /etc/firstcome/firstcome.toml

The report has no buyers, order ids and contacts. It comes from the running server, which counts it in short steps beside the sale; with --db from a file, such as a backup, of which nothing is changed. Requests that were rejected before a decision are known to the server alone.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct ReportArgs {
    /// Number of the drop
    drop: String,
    #[command(flatten)]
    file: FileArgs,
    /// With --db: configuration whose settings `plan.` the sale is compared with; a server has its own
    #[arg(long, value_name = "FILE", requires = "db")]
    config: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Reports.
///
/// # Errors
/// 1, 64, 65, 66 or 69 and a line for each mistake.
pub fn run(args: &ReportArgs) -> Result<(), Exit> {
    let drop = whole(&args.drop).ok().and_then(|number| u32::try_from(number).ok()).and_then(DropId::new);
    let drop = drop.ok_or_else(|| Exit::usage(format!("{}: must be the number of a drop", args.drop)))?;
    block_on(async {
        let source = SaleSource::open(&args.file, &args.admin, args.config.as_deref())?;
        let report = source.report(drop).await?;
        if args.admin.prints_json() {
            output::line(String::from_utf8_lossy(&report.body()));
        } else {
            summary::print(&report);
        }
        Ok(())
    })
}
