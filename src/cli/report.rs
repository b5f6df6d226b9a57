//! `firstcome report`: the report of a drop's sale, from a running server or from a file.

mod files;
pub mod source;
mod summary;
mod tables;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use self::files::NewFile;
use self::source::{FileArgs, SaleSource};
use super::verbs::arguments::whole;
use super::verbs::{ALL_VERBS, AdminArgs};
use crate::api::json::report::DropReport;
use crate::client::http::block_on;
use crate::exit::Exit;
use crate::output;
use crate::types::DropId;
use crate::web;

const EXAMPLES: &str = "Examples:
  firstcome report 7                                   the most important figures
  firstcome report 7 --html drop-7.html                a page with pictures, to look at, send and print
  firstcome report 7 --csv drop-7/                     orders.csv, payments.csv and refunds.csv
  firstcome report 7 --json | jq .lost_demand
  firstcome report 7 --db /backup/2026-11-28.db --config /etc/firstcome/firstcome.toml

The report has no buyers, order ids and contacts. It comes from the running server, which counts it in short steps beside the sale; with --db from a file, such as a backup, of which nothing is changed. Files are written for their owner alone (mode 0600), and get their names once they are complete; a file that exists is replaced only with --overwrite. Requests that were rejected before a decision are known to the server alone.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct ReportArgs {
    /// Number of the drop
    drop: String,
    /// Write the report as one page for browsers and printers, which needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write orders.csv, payments.csv and refunds.csv into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    overwrite: bool,
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
        if let Some(path) = &args.html {
            write_page(path, args.overwrite, &report)?;
        }
        if let Some(directory) = &args.csv {
            tables::write(&source, &report, drop, directory, args.overwrite).await?;
        }
        if args.admin.prints_json() {
            output::line(String::from_utf8_lossy(&report.body()));
        } else {
            summary::print(&report);
        }
        Ok(())
    })
}

fn write_page(path: &Path, overwrite: bool, report: &DropReport) -> Result<(), Exit> {
    let mut file = NewFile::create(path, overwrite)?;
    let written = file.write_all(web::report::page(report).as_bytes());
    written.map_err(|error| file.unwritten(&error))?;
    file.finish()
}
