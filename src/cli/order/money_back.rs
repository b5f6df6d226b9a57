//! `firstcome order refund` and `firstcome order settle`.

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value};

use super::{IN_A_LIST, MISSING, find, id_of, payments_of};
use crate::cli::verbs::arguments::{ArgumentForm, BodyArgument, BodyBuilder};
use crate::cli::verbs::{ALL_VERBS, AdminArgs, KeyArgs, OperatorSession, Verb, VerbCall, VerbListener};
use crate::exit::Exit;
use crate::types::Currency;
use crate::writer::clock::wall_clock;

const REFUND_EXAMPLES: &str = "Examples:
  firstcome order refund FC-C1SM --reason 'came back'
  firstcome order refund FC-C1SM --amount 10.00 --reason 'a scratch'
  firstcome order refund FC-C1SM --restock 1 --reason 'came back unused' --key ticket-77

Without --amount all that is left is refunded. The units stay sold unless --restock puts some on sale again. A payment through a provider is refunded there: the order stays refund_due until the provider reports it. A repeat with the same --key refunds nothing more.";

const SETTLE_EXAMPLES: &str = "Examples:
  firstcome order settle FC-C1SM --reference BANK-77 --reason 'transferred'
  firstcome order settle FC-C1SM --reference BANK-78 --payment pi_123 --amount 10.00 --reason 'the second half'

Without --amount all that is due is settled; --payment names one of several payments. A repeat with the same --reference settles nothing more.";

#[derive(Args, Debug)]
#[command(after_help = format!("{REFUND_EXAMPLES}\n\n{ALL_VERBS}"))]
pub(super) struct RefundArgs {
    /// Code or id of the order
    order: String,
    /// Amount to refund, such as 10.00 [default: all that is left]
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<String>,
    /// Units that go on sale again [default: 0]
    #[arg(long, value_name = "N")]
    restock: Option<String>,
    /// Reason for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Debug)]
#[command(after_help = format!("{SETTLE_EXAMPLES}\n\n{ALL_VERBS}"))]
pub(super) struct SettleArgs {
    /// Code or id of the order
    order: String,
    /// Reference of the transfer that gave the money back
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// Reference of the payment that was owed
    #[arg(long, value_name = "TEXT")]
    payment: Option<String>,
    /// Amount that went back, such as 10.00 [default: all that is due]
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<String>,
    /// Reason for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    admin: AdminArgs,
}

static REFUND: Verb = changes("/v1/orders/{}/refund", true, "order {} is refunded:", "order {} was not refunded");
static SETTLE: Verb = changes(
    "/v1/orders/{}/refund-settled",
    false,
    "the refund of order {} is settled:",
    "no refund of order {} was settled",
);

const fn changes(path: &'static str, has_key: bool, done: &'static str, undone: &'static str) -> Verb {
    let (method, listener) = (Method::POST, VerbListener::Admin);
    Verb { method, listener, path, has_key, done, undone, missing: MISSING, columns: IN_A_LIST }
}

pub(super) async fn refund(args: &RefundArgs) -> Result<(), Exit> {
    let session = OperatorSession::new(&args.admin, None)?;
    let order = find(&session, &args.order).await?;
    let mut body = BodyBuilder::new(Map::new(), wall_clock());
    body.amounts_in(currency_of(&order));
    body.put(&[
        argument("--amount", "amount", ArgumentForm::Money, args.amount.as_deref()),
        argument("--restock", "restock_quantity", ArgumentForm::Whole, args.restock.as_deref()),
        argument("--reason", "reason", ArgumentForm::Text, Some(&args.reason)),
    ]);
    change(&session, &REFUND, &order, body, Some(&args.key)).await
}

pub(super) async fn settle(args: &SettleArgs) -> Result<(), Exit> {
    let session = OperatorSession::new(&args.admin, None)?;
    let order = find(&session, &args.order).await?;
    let mut body = BodyBuilder::new(Map::new(), wall_clock());
    if args.amount.is_some() {
        // A payment may have come in another currency than that of the order.
        let payments = payments_of(&session, &order).await?;
        let owed = payments.iter().find(|payment| match &args.payment {
            Some(reference) => payment["reference"].as_str() == Some(reference),
            None => payment["refund_due_amount"].as_u64() != Some(0),
        });
        body.amounts_in(currency_of(owed.unwrap_or(&order)));
    }
    body.put(&[
        argument("--reference", "reference", ArgumentForm::Text, Some(&args.reference)),
        argument("--payment", "payment", ArgumentForm::Text, args.payment.as_deref()),
        argument("--amount", "amount", ArgumentForm::Money, args.amount.as_deref()),
        argument("--reason", "reason", ArgumentForm::Text, Some(&args.reason)),
    ]);
    change(&session, &SETTLE, &order, body, None).await
}

fn currency_of(document: &Value) -> Option<Currency> {
    document["currency"].as_str().and_then(Currency::new)
}

const fn argument<'a>(
    flag: &'static str,
    member: &'static str,
    form: ArgumentForm,
    text: Option<&'a str>,
) -> BodyArgument<'a> {
    BodyArgument { flag, member, form, text }
}

async fn change(
    session: &OperatorSession<'_>,
    verb: &Verb,
    order: &Value,
    body: BodyBuilder,
    key: Option<&KeyArgs>,
) -> Result<(), Exit> {
    let subject = order["code"].as_str().unwrap_or("");
    let call =
        VerbCall { subject, parameter: Some(id_of(order)), body: Some(body.finish()?), key, ..VerbCall::default() };
    session.change(verb, &call).await
}
