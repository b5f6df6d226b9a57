//! `firstcome reconcile`: compares the payments here with an export of the payment provider.

mod comparing;
mod stripe_export;

use std::path::PathBuf;

use clap::Args;

use self::comparing::{Comparing, DifferenceKind, PaymentDifference, Reconciliation, Side};
use super::report::source::{FileArgs, SaleSource};
use super::verbs::{ALL_VERBS, AdminArgs};
use crate::client::http::{block_on, printable};
use crate::exit::Exit;
use crate::output;
use crate::types::instant::parse_rfc3339;
use crate::types::{Provider, UnixMillis};
use crate::web::report::words::amount;

const EXAMPLES: &str = "Examples:
  firstcome reconcile --stripe-export unified_payments.csv
  firstcome reconcile --stripe-export itemized.csv --from 2026-11-28T00:00:00Z --until 2026-11-29T00:00:00Z
  firstcome reconcile --stripe-export unified_payments.csv --db /backup/2026-11-28.db --json | jq .differences

The export is the CSV of Stripe's page Payments (Export, all columns, time zone UTC), or an itemized report: balance change from activity, payout reconciliation. Payments are the same if their id (pi_...), currency, amount and refunds are. A payment here counts as missing there only if it was recorded within the period of the export: from its first to its last payment, or as --from and --until say. Payments there whose metadata has no order's id are other business of the account; the orders of all shards count as this server's. Nothing is changed. Exit code 1: something differs.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct ReconcileArgs {
    /// CSV of Stripe; - reads standard input
    #[arg(long, value_name = "FILE")]
    stripe_export: PathBuf,
    /// Begin of the period that the export covers, RFC 3339; by default the instant of its first payment
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<UnixMillis>,
    /// End of that period; by default the instant of its last payment
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<UnixMillis>,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

fn instant(text: &str) -> Result<UnixMillis, String> {
    parse_rfc3339(text).ok_or_else(|| "must be a time such as 2026-11-28T00:00:00Z".into())
}

/// Compares.
///
/// # Errors
/// 1 if something differs; 64, 65, 66 or 69 and a line.
pub fn run(args: &ReconcileArgs) -> Result<(), Exit> {
    let name = args.stripe_export.display();
    if args.from.zip(args.until).is_some_and(|(from, until)| from > until) {
        return Err(Exit::usage("--from must not be later than --until"));
    }
    let wrong = |mistake: String| Exit::bad_data(format!("{name}: {mistake}"));
    let export = if args.stripe_export.as_os_str() == "-" {
        stripe_export::read(std::io::stdin().lock()).map_err(wrong)?
    } else {
        let file = std::fs::File::open(&args.stripe_export)
            .map_err(|error| Exit::new(crate::exit::MISSING, format!("{name}: {error}")))?;
        stripe_export::read(file).map_err(wrong)?
    };
    if export.payments.is_empty() && args.from.zip(args.until).is_none() {
        return Err(wrong("has no payments: name the period that it covers with --from and --until".into()));
    }
    let mut comparing = Comparing::new(export, args.from, args.until);
    let source = SaleSource::open(&args.file, &args.admin, None)?;
    block_on(source.payments(None, Some(Provider::Stripe), &mut |payment| {
        comparing.add(&payment);
        Ok(())
    }))?;
    let compared = comparing.finish();
    if args.admin.prints_json() {
        let document = serde_json::to_string(&compared);
        output::line(document.map_err(|error| Exit::bug(format!("the comparison has no JSON: {error}")))?);
    } else {
        print(&compared);
    }
    let count = compared.differences.len();
    if count == 0 { Ok(()) } else { Err(Exit::failed(format!("{count} payments differ from {name}"))) }
}

fn print(compared: &Reconciliation) {
    for kind in DifferenceKind::ALL {
        let of_kind: Vec<&PaymentDifference> = compared.differences.iter().filter(|found| found.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        output::line(format!("{}: {}", kind.words(), of_kind.len()));
        for found in of_kind {
            let order = found.order_code.as_deref().unwrap_or("");
            let reference = printable(&found.reference);
            output::line(format!("  {:<24}  {reference:<30}  {order:<10}  {}", found.at, sides(found)));
        }
    }
    if let (Some(from), Some(until)) = (&compared.from, &compared.until) {
        output::line(format!("period  {from} to {until}"));
    }
    output::line(format!(
        "{} payments there, {} here: {} equal, {} different; {} there are other business, {} here are outside of the period",
        compared.there,
        compared.here,
        compared.equal,
        compared.differences.len(),
        compared.other_business,
        compared.outside_period,
    ));
    if compared.refunds_of_others > 0 {
        output::line(format!("{} payments were refunded that neither side has", compared.refunds_of_others));
    }
}

fn sides(found: &PaymentDifference) -> String {
    let shown = |side: &Side| match found.kind {
        DifferenceKind::Refunded => {
            let due = side.refund_due.map(|due| format!(", {} due", amount(due, &side.currency))).unwrap_or_default();
            format!(
                "{} of {}{due}",
                amount(side.refunded.unwrap_or(0), &side.currency),
                amount(side.amount, &side.currency)
            )
        }
        DifferenceKind::NotHere | DifferenceKind::NotThere | DifferenceKind::Currency | DifferenceKind::Amount => {
            amount(side.amount, &side.currency)
        }
    };
    match (&found.there, &found.here) {
        (Some(there), Some(here)) => format!("{} there, {} here", shown(there), shown(here)),
        (Some(side), None) | (None, Some(side)) => shown(side),
        (None, None) => String::new(),
    }
}
