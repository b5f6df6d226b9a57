//! `firstcome restore`: puts a backup into a data directory.

use std::path::PathBuf;

use clap::Args;

use super::recover::of_paused_draws;
use crate::exit::Exit;
use crate::output;
use crate::store::open::DATABASE_FILE;
use crate::store::restore::{MissingSince, RestorePlan, Restored, restore};
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome restore /var/backups/firstcome/firstcome-1a2b3c4d-20261128T073000Z.db.zst --data /var/lib/firstcome/data
  firstcome restore BACKUP --data DIR --newer DIR.broken > missing.csv
                                      list what DIR.broken has beyond the backup: for the providers' reconciliation
  firstcome restore BACKUP --data DIR --accept-loss=17
                                      in place of a database that has 17 events more, which is kept beside it

Stop the server first. The backup is unpacked if it is packed, brought to this version's schema, verified, and takes the place
of the database; a new epoch begins. The old files are kept in before-…, and new ones have their owner and mode.

Standard output has the payments that are missing or have changed since, as CSV; the rest is on standard error.

Exit codes: 64 another number of events is missing; 65 the backup is damaged, cut, of another database or of a newer version,
or older than the database that lies there; 66 there is no file; 73 a server runs on the directory; 74 the disk; 77 the
permissions.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// A backup, plain or packed
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Directory of the database; made if only its last component is missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// List what this database, a file or a data directory, has beyond the backup
    #[arg(long, value_name = "FILE|DIR")]
    newer: Option<PathBuf>,
    /// Proceed although exactly N events of the directory are not in the backup; N is in the error message
    #[arg(long, value_name = "N")]
    accept_loss: Option<u64>,
}

/// Restores a backup. An error leaves the files as they were.
///
/// # Errors
/// The exit code of the storage error.
pub fn run(args: &RestoreArgs) -> Result<(), Exit> {
    let plan = RestorePlan {
        backup: &args.backup,
        directory: &args.data,
        newer: args.newer.as_deref(),
        accept_loss: args.accept_loss,
        now: wall_clock(),
    };
    let restored =
        restore(&plan).map_err(|error| Exit::new(error.exit_code(), error.told(&args.data.join(DATABASE_FILE))))?;
    match &restored.missing {
        Some(Ok(missing)) => tell_missing(missing),
        Some(Err(error)) => output::note(format!("the missing part cannot be listed: {error}")),
        None => {}
    }
    tell(&restored);
    Ok(())
}

fn tell(restored: &Restored) {
    let Some(report) = &restored.report else {
        output::note("an interrupted run was completed; type the command again if this backup is still to be restored");
        return;
    };
    output::note(format!(
        "verified: {} drops, {} orders, {} events; {} units held, {} sold",
        report.drops, report.orders, report.events, report.held, report.sold
    ));
    if !restored.had_watermark {
        output::note("the backup has no watermark beside it: whether it was cut off at its end is not known");
    }
    if restored.lost > 0 {
        output::note(format!("{} events are lost; the audit log records it", restored.lost));
    }
    if let Some(paused) = of_paused_draws(&restored.paused) {
        output::note(paused);
    }
    if restored.missing.is_none() {
        output::note(
            "there is no newer database to compare with: what was sold since the backup is known to providers and the shop alone",
        );
    }
    let kept = &restored.kept;
    let before = if kept.join(DATABASE_FILE).exists() {
        format!("; what lay there before is in {}", kept.display())
    } else {
        String::new()
    };
    output::note(format!("restored: a new epoch began; start the server{before}"));
}

/// Prints what is missing: the payments as CSV, the rest as notes.
fn tell_missing(missing: &MissingSince) {
    let MissingSince { since, until, events, orders, units, payments } = missing;
    output::note(format!("missing since event {since}, up to event {until}: {orders} orders of {units} units"));
    for (kind, count) in events {
        output::note(format!("  {count:>8} {kind}"));
    }
    output::line("order,drop,provider,reference,currency,received,refunded,refund_due,missing");
    for payment in payments {
        output::line(format!(
            "{},{},{},{},{},{},{},{},{}",
            payment.order_seq,
            payment.drop_id,
            payment.provider,
            quoted(&payment.reference),
            payment.currency,
            payment.received,
            payment.refunded,
            payment.refund_due,
            if payment.is_new { "payment" } else { "changes" },
        ));
    }
}

/// Returns a text as a field of CSV that no spreadsheet takes for a formula.
fn quoted(text: &str) -> String {
    let text: String = text.chars().map(|found| if found.is_control() { ' ' } else { found }).collect();
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"']) {
        return text;
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_of_a_provider_is_one_field_and_no_formula() {
        for (text, field) in
            [("pi_3", "pi_3"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "\"'=1+1\""), ("a\nb", "a b")]
        {
            assert_eq!(quoted(text), field);
        }
    }
}
