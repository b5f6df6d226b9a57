//! The payments of a CSV export of Stripe.
//!
//! Two kinds of export are read, told apart by their columns:
//! - the page *Payments* of the dashboard, *Export* with all columns: one row per payment;
//! - the reports *Balance change from activity* and *Payout reconciliation*, itemized: one row per movement.
//!
//! Sources: <https://docs.stripe.com/reports/report-types> for the reports; the columns of the dashboard's export are those of
//! files that its users publish.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use csv::StringRecord;

use crate::types::instant::parse_rfc3339;
use crate::types::{Amount, Currency, OrderId, UnixMillis, money};

/// The most rows of an export: about 400 MB of memory.
const ROWS_MAX: u64 = 2_000_000;

/// A payment at Stripe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ExportedPayment {
    pub(super) received: Amount,
    /// Missing where its refunds are in another currency than the payment.
    pub(super) refunded: Option<Amount>,
    pub(super) currency: Currency,
    pub(super) created_at: UnixMillis,
    /// False if the export has the metadata of payments, and these have no order's id: other business of the account.
    pub(super) may_be_ours: bool,
}

/// An export that was read.
#[derive(Debug)]
pub(super) struct StripeExport {
    /// By the id of their payment intent.
    pub(super) payments: BTreeMap<String, ExportedPayment>,
    /// Payments that failed or were not captured, and have no row of success.
    pub(super) unpaid: BTreeSet<String>,
    /// Refunds of payments that the export does not have, by the id of the payment intent.
    pub(super) refunds_alone: BTreeMap<String, (Currency, Amount)>,
}

/// An export under way.
#[derive(Default)]
struct ExportRows {
    payments: BTreeMap<String, ExportedPayment>,
    unpaid: BTreeSet<String>,
    /// Refunds less those that failed, in minor units, in whatever order the rows come.
    refunds: BTreeMap<String, BTreeMap<Currency, i128>>,
}

impl ExportRows {
    fn went_back(&mut self, intent: &str, currency: Currency, minor: i128) {
        let sums = self.refunds.entry(intent.to_owned()).or_default();
        let net = sums.entry(currency).or_default();
        *net = net.saturating_add(minor);
    }

    fn finish(mut self) -> StripeExport {
        let amount = |net: i128| u64::try_from(net).ok().and_then(Amount::new);
        let mut refunds_alone = BTreeMap::new();
        for (intent, sums) in self.refunds {
            let (mut sums, is_single) = (sums.iter(), sums.len() == 1);
            let Some((currency, net)) = sums.next() else { continue };
            match self.payments.get_mut(&intent) {
                Some(payment) if is_single && *currency == payment.currency => {
                    payment.refunded = Some(amount(*net).unwrap_or(Amount::ZERO));
                }
                Some(payment) => payment.refunded = None,
                None => {
                    if let Some(refunded) = amount(*net).filter(|refunded| *refunded != Amount::ZERO) {
                        refunds_alone.insert(intent, (*currency, refunded));
                    }
                }
            }
        }
        self.unpaid.retain(|intent| !self.payments.contains_key(intent));
        StripeExport { payments: self.payments, unpaid: self.unpaid, refunds_alone }
    }
}

impl StripeExport {
    /// Returns the instants of the first and the last payment.
    pub(super) fn period(&self) -> Option<(UnixMillis, UnixMillis)> {
        let instants = || self.payments.values().map(|payment| payment.created_at);
        instants().min().zip(instants().max())
    }
}

/// Positions of the columns that are read.
struct ExportColumns {
    intent: usize,
    created: usize,
    amount: usize,
    currency: usize,
    /// The order's id in the metadata of the payment.
    order: Option<usize>,
    kind: ExportKind,
}

enum ExportKind {
    Payments {
        refunded: usize,
        status: usize,
        captured: Option<usize>,
    },
    Movements {
        category: usize,
        /// Amount and currency of the account's balance, where a movement names no others.
        settled: (usize, usize),
    },
}

impl ExportColumns {
    fn of(header: &StringRecord) -> Result<ExportColumns, String> {
        let position = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
        let first = |names: &[&str]| names.iter().find_map(|name| position(name));
        let is_of_movements = position("reporting_category").is_some();
        let mut missing = Vec::new();
        let mut need = |names: &[&str]| {
            first(names).unwrap_or_else(|| {
                missing.push(names.first().copied().unwrap_or_default().to_owned());
                0
            })
        };
        let columns = if is_of_movements {
            ExportColumns {
                intent: need(&["payment_intent_id"]),
                created: need(&["created_utc", "created"]),
                amount: need(&["customer_facing_amount", "gross"]),
                currency: need(&["customer_facing_currency", "currency"]),
                order: position("payment_metadata[order_id]"),
                kind: ExportKind::Movements {
                    category: need(&["reporting_category"]),
                    settled: (need(&["gross"]), need(&["currency"])),
                },
            }
        } else {
            ExportColumns {
                intent: need(&["PaymentIntent ID"]),
                created: need(&["Created date (UTC)", "Created (UTC)"]),
                amount: need(&["Amount"]),
                currency: need(&["Currency"]),
                order: position("order_id (metadata)"),
                kind: ExportKind::Payments {
                    refunded: need(&["Amount Refunded"]),
                    status: need(&["Status"]),
                    captured: position("Captured"),
                },
            }
        };
        if missing.is_empty() {
            return Ok(columns);
        }
        Err(format!(
            "no export of Stripe that is known here: it has no column {}. Export the payments of the dashboard with all \
             columns, or an itemized report of balance changes",
            missing.join(", ")
        ))
    }
}

/// Reads an export.
///
/// # Errors
/// The first mistake, with its line: no CSV, missing columns, a malformed amount, currency or instant, too many rows.
pub(super) fn read(file: impl Read) -> Result<StripeExport, String> {
    let mut rows = csv::ReaderBuilder::new().from_reader(file);
    // A spreadsheet that saves the file may put a mark of the byte order before it.
    let mut header = rows.headers().map_err(|error| error.to_string())?.clone();
    if let Some(rest) = header.get(0).and_then(|first| first.strip_prefix('\u{feff}')) {
        header = std::iter::once(rest).chain(header.iter().skip(1)).collect();
    }
    let columns = ExportColumns::of(&header)?;
    let mut export = ExportRows::default();
    let (mut row, mut count) = (StringRecord::new(), 0u64);
    while rows.read_record(&mut row).map_err(|error| error.to_string())? {
        count = count.saturating_add(1);
        if count > ROWS_MAX {
            return Err(format!("more than {ROWS_MAX} rows: export a shorter period"));
        }
        let line = row.position().map_or(0, csv::Position::line);
        add(&mut export, &columns, &row).map_err(|mistake| format!("line {line}: {mistake}"))?;
    }
    Ok(export.finish())
}

fn add(export: &mut ExportRows, columns: &ExportColumns, row: &StringRecord) -> Result<(), String> {
    let cell = |position: usize| row.get(position).unwrap_or("").trim();
    let intent = cell(columns.intent);
    // Movements without a payment: payouts, fees, top-ups.
    if intent.is_empty() {
        return Ok(());
    }
    let may_be_ours = columns.order.is_none_or(|position| OrderId::parse(cell(position)).is_some());
    let created_at = instant(cell(columns.created))?;
    match columns.kind {
        ExportKind::Payments { refunded, status, captured } => {
            let is_captured = captured.is_none_or(|position| cell(position).eq_ignore_ascii_case("true"));
            if !is_captured || !is_paid(cell(status)) {
                export.unpaid.insert(intent.to_owned());
                return Ok(());
            }
            let currency = currency(cell(columns.currency))?;
            let (received, refunded) = (amount(cell(columns.amount), currency)?, amount(cell(refunded), currency)?);
            let payment = ExportedPayment { received, refunded: Some(refunded), currency, created_at, may_be_ours };
            if export.payments.insert(intent.to_owned(), payment).is_some() {
                return Err(format!("a second row of the payment {intent}"));
            }
        }
        ExportKind::Movements { category, settled } => {
            let is_named = !cell(columns.amount).is_empty() && !cell(columns.currency).is_empty();
            let (amount_at, currency_at) = if is_named { (columns.amount, columns.currency) } else { settled };
            let currency = currency(cell(currency_at))?;
            let moved = amount(cell(amount_at).trim_start_matches('-'), currency)?;
            match cell(category) {
                "charge" => {
                    let refunded = Some(Amount::ZERO);
                    let payment = ExportedPayment { received: moved, refunded, currency, created_at, may_be_ours };
                    if export.payments.insert(intent.to_owned(), payment).is_some() {
                        return Err(format!("a second charge of the payment {intent}"));
                    }
                }
                "refund" => export.went_back(intent, currency, i128::from(moved.get())),
                "refund_failure" => export.went_back(intent, currency, -i128::from(moved.get())),
                // Fees, disputes, transfers and others.
                _ => {}
            }
        }
    }
    Ok(())
}

/// Money came in: Stripe writes `Paid`, `Refunded`, `Partial refund`, `Disputed` and others for it.
fn is_paid(status: &str) -> bool {
    const UNPAID: [&str; 9] =
        ["", "failed", "canceled", "cancelled", "incomplete", "uncaptured", "blocked", "pending", "requires action"];
    !UNPAID.iter().any(|unpaid| status.eq_ignore_ascii_case(unpaid))
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::new(&text.to_ascii_uppercase()).ok_or_else(|| format!("{text:?} is no currency"))
}

/// Reads an amount in major units: `149.00`, `1,490.00`, and in the form of other languages `149,00` and `1.490,00`. What could
/// be read in two ways is an error, such as `1,490` in a currency with two digits.
fn amount(text: &str, currency: Currency) -> Result<Amount, String> {
    let digits = money::digits_of(currency);
    let places: Vec<usize> = text.char_indices().filter(|(_, at)| matches!(at, '.' | ',')).map(|(at, _)| at).collect();
    let behind = |at: usize| text.len().saturating_sub(at.saturating_add(1));
    let has_both = text.contains('.') && text.contains(',');
    let point = match places.as_slice() {
        // Without digits after the point, one separator before three digits groups them.
        [only] => Some(*only).filter(|at| digits > 0 || behind(*at) != 3),
        [.., last] if has_both => Some(*last),
        _ => None,
    };
    let (whole, fraction) =
        point.map_or((text, ""), |at| (text.get(..at).unwrap_or(""), text.get(at + 1..).unwrap_or("")));
    let groups: Vec<&str> = whole.split(['.', ',']).collect();
    let is_grouped = groups.len() == 1
        || groups.iter().enumerate().all(|(index, group)| match index {
            0 => (1..=3).contains(&group.len()),
            _ => group.len() == 3,
        });
    let is_exact = if digits == 0 { fraction.bytes().all(|byte| byte == b'0') } else { fraction.len() <= digits };
    let whole = groups.concat();
    let plain = if digits == 0 || fraction.is_empty() { whole } else { format!("{whole}.{fraction}") };
    money::parse(&plain, currency)
        .ok()
        .filter(|_| is_grouped && is_exact)
        .ok_or_else(|| format!("{text:?} is no amount in {}", currency.as_str()))
}

/// Reads an instant in UTC: `2026-11-28 09:30:00`, `2026-11-28 09:30`, or RFC 3339.
fn instant(text: &str) -> Result<UnixMillis, String> {
    let civil = text.replace(' ', "T");
    let forms = [text.to_owned(), format!("{civil}Z"), format!("{civil}:00Z")];
    forms
        .iter()
        .find_map(|form| parse_rfc3339(form))
        .ok_or_else(|| format!("{text:?} is no instant such as 2026-11-28 09:30:00"))
}
