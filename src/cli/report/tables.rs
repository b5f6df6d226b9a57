//! The tables of `firstcome report --csv`: orders, payments and refunds of a drop.
//!
//! Amounts stand twice: in major units with a point (`amount`), and as whole minor units (`amount_minor`). A text that a
//! spreadsheet would take for a formula has an apostrophe before it. Buyers, contacts and ids of orders are left out.

use std::path::{Path, PathBuf};

use csv::{Terminator, Writer, WriterBuilder};
use serde_json::Value;

use super::files::{NewFile, exists};
use super::source::SaleSource;
use crate::api::json::payment_entry::PaymentEntry;
use crate::api::json::report::DropReport;
use crate::exit::Exit;
use crate::store::ownership::create_private_directory;
use crate::types::order_id::code_of;
use crate::types::text::plain_cell;
use crate::types::{DropId, Seq};
use crate::web::report::words::amount;

const ORDERS: (&str, &[&str]) = (
    "orders.csv",
    &[
        "order",
        "seq",
        "drop_id",
        "state",
        "end_reason",
        "quantity",
        "currency",
        "unit_price",
        "unit_price_minor",
        "amount",
        "amount_minor",
        "refunded",
        "refunded_minor",
        "refund_due",
        "refund_due_minor",
        "reserved_at",
        "paid_at",
        "ended_at",
    ],
);
const PAYMENTS: (&str, &[&str]) = (
    "payments.csv",
    &[
        "order",
        "order_seq",
        "drop_id",
        "provider",
        "reference",
        "recorded_at",
        "pays",
        "currency",
        "amount",
        "amount_minor",
        "refunded",
        "refunded_minor",
        "refund_due",
        "refund_due_minor",
        "seq",
    ],
);
const REFUNDS: (&str, &[&str]) = (
    "refunds.csv",
    &[
        "order",
        "order_seq",
        "at",
        "kind",
        "provider",
        "payment_reference",
        "refund_reference",
        "currency",
        "amount",
        "amount_minor",
        "units_restocked",
        "reason",
        "seq",
    ],
);

/// Kinds of events that are rows of refunds.
const REFUND_KINDS: [&str; 6] =
    ["order_refunded", "refund_requested", "refund_settled", "refund_reported", "refund_failed", "chargeback_created"];

/// A table that is being written.
struct CsvTable {
    path: PathBuf,
    writer: Writer<NewFile>,
}

impl CsvTable {
    fn create(directory: &Path, (name, columns): (&str, &[&str]), overwrite: bool) -> Result<CsvTable, Exit> {
        let path = directory.join(name);
        let file = NewFile::create(&path, overwrite)?;
        let writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(file);
        let mut table = CsvTable { path, writer };
        table.row(columns)?;
        Ok(table)
    }

    fn row<T: AsRef<[u8]>>(&mut self, cells: &[T]) -> Result<(), Exit> {
        self.writer.write_record(cells).map_err(|error| self.unwritten(error))
    }

    fn unwritten(&self, error: csv::Error) -> Exit {
        let text = error.to_string();
        if let csv::ErrorKind::Io(error) = error.into_kind() {
            return Exit::unwritten(self.path.display(), &error);
        }
        Exit::cannot_create(format!("{}: {text}", self.path.display()))
    }

    fn finish(self) -> Result<(), Exit> {
        let CsvTable { path, writer } = self;
        let file = writer.into_inner().map_err(|error| Exit::unwritten(path.display(), error.error()))?;
        file.finish()
    }
}

/// Writes the three tables into a directory, which is made if it is missing.
///
/// # Errors
/// 64 for files that exist; 73 or 77 if they cannot be written; those of the source.
pub(super) async fn write(
    source: &SaleSource<'_>,
    report: &DropReport,
    drop: DropId,
    directory: &Path,
    overwrite: bool,
) -> Result<(), Exit> {
    if !directory.is_dir() {
        create_private_directory(directory).map_err(|error| Exit::unwritten(directory.display(), &error))?;
    }
    let paths = [ORDERS, PAYMENTS, REFUNDS].map(|(name, _)| directory.join(name));
    let there: Vec<String> = paths
        .iter()
        .filter(|path| !overwrite && path.symlink_metadata().is_ok())
        .map(|path| exists(path).message)
        .collect();
    if !there.is_empty() {
        return Err(Exit::usage(there.join("\n")));
    }
    let mut orders = CsvTable::create(directory, ORDERS, overwrite)?;
    source.orders(drop, &mut |order| orders.row(&order_cells(order))).await?;
    let mut payments = CsvTable::create(directory, PAYMENTS, overwrite)?;
    source.payments(Some(drop), None, &mut |payment| payments.row(&payment_cells(&payment))).await?;
    let mut refunds = CsvTable::create(directory, REFUNDS, overwrite)?;
    let currency = &report.drop.currency;
    source
        .audit(drop, &mut |event| {
            let is_refund = event["kind"].as_str().is_some_and(|kind| REFUND_KINDS.contains(&kind));
            if is_refund { refunds.row(&refund_cells(event, drop, currency)) } else { Ok(()) }
        })
        .await?;
    for table in [orders, payments, refunds] {
        table.finish()?;
    }
    Ok(())
}

/// Returns an amount in major units with a point, without its currency.
fn major(minor: u64, currency: &str) -> String {
    amount(minor, currency).split(' ').next().unwrap_or("").to_owned()
}

fn text(document: &Value, member: &str) -> String {
    plain_cell(document[member].as_str().unwrap_or("")).into_owned()
}

fn number(document: &Value, member: &str) -> u64 {
    document[member].as_u64().unwrap_or(0)
}

fn order_cells(order: &Value) -> Vec<String> {
    let currency = text(order, "currency");
    let mut cells = vec![
        text(order, "code"),
        number(order, "seq").to_string(),
        number(order, "drop_id").to_string(),
        text(order, "state"),
        text(order, "end_reason"),
        number(order, "quantity").to_string(),
        currency.clone(),
    ];
    for member in ["unit_price", "amount", "refunded_amount", "refund_due_amount"] {
        let minor = number(order, member);
        cells.extend([major(minor, &currency), minor.to_string()]);
    }
    cells.extend(["reserved_at", "paid_at", "ended_at"].map(|member| text(order, member)));
    cells
}

fn payment_cells(payment: &PaymentEntry) -> Vec<String> {
    let mut cells = vec![
        payment.order_code.clone(),
        payment.order_seq.to_string(),
        payment.drop_id.to_string(),
        payment.provider.clone(),
        plain_cell(&payment.reference).into_owned(),
        payment.at.clone(),
        payment.pays.to_string(),
        payment.currency.clone(),
    ];
    for minor in [payment.amount, payment.refunded_amount, payment.refund_due_amount] {
        cells.extend([major(minor, &payment.currency), minor.to_string()]);
    }
    cells.push(payment.seq.to_string());
    cells
}

/// Returns the cells of an event. Money of another currency than the drop's is in the detail.
fn refund_cells(event: &Value, drop: DropId, drop_currency: &str) -> Vec<String> {
    let detail = &event["detail"];
    let order = event["order_seq"].as_u64().and_then(Seq::new).unwrap_or_default();
    let currency = detail["foreign_currency"].as_str().unwrap_or(drop_currency);
    let minor = event["amount"].as_u64().or_else(|| detail["foreign_amount"].as_u64());
    let minor = minor.or_else(|| detail["amount"].as_u64()).unwrap_or(0);
    vec![
        code_of(drop.shard(), order),
        order.to_string(),
        text(event, "at"),
        text(event, "kind"),
        text(detail, "provider"),
        text(detail, "reference"),
        text(detail, "refund_reference"),
        currency.to_owned(),
        major(minor, currency),
        minor.to_string(),
        number(event, "quantity").to_string(),
        text(detail, "reason"),
        number(event, "seq").to_string(),
    ]
}
