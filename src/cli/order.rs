//! `firstcome order`: lists, shows, searches and refunds orders, and settles refunds.

mod money_back;

use clap::{ArgGroup, Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use self::money_back::{RefundArgs, SettleArgs};
use super::verbs::arguments::whole;
use super::verbs::table::{self, TableColumn, amount, number, text};
use super::verbs::{ALL_VERBS, AdminArgs, OperatorSession, PageArgs, Verb, VerbCall, VerbListener};
use crate::client::http::block_on;
use crate::exit::Exit;
use crate::output;
use crate::types::order_id::{code_of, order_of_code};
use crate::types::{OrderId, OrderState};

const EXAMPLES: &str = "Examples:
  firstcome order list --drop 7 --state paid
  firstcome order search --email ann@example.org
  firstcome order refund FC-C1SM --reason 'came back'
  firstcome order settle FC-C1SM --reference BANK-77 --reason 'transferred'

An order is named by its code or by its id.";

const LIST_EXAMPLES: &str = "Examples:
  firstcome order list --drop 7 --state paid
  firstcome order list --refund-due
  firstcome order list --limit 1000 --json | jq '.data[].code'";

const SHOW_EXAMPLES: &str = "Examples:
  firstcome order show FC-C1SM
  firstcome order show FC-C1SM --json | jq .payments

The JSON has the order and its payments, as the server has them.";

const SEARCH_EXAMPLES: &str = "Examples:
  firstcome order search --email ann@example.org
  firstcome order search --phone '+49 30 901820'
  firstcome order search --code fc-c1sm

At most 100 orders are found. Other users of this machine can see arguments while a command runs.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct OrderArgs {
    #[command(subcommand)]
    verb: OrderVerb,
}

#[derive(Subcommand, Debug)]
enum OrderVerb {
    /// List orders, oldest first
    #[command(after_help = format!("{LIST_EXAMPLES}\n\n{ALL_VERBS}"))]
    List {
        /// Only orders of this drop
        #[arg(long, value_name = "NUMBER")]
        drop: Option<String>,
        /// Only orders in this state: reserved, `awaiting_payment`, paid, cancelled, expired, `refund_due` or refunded
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only orders with money due to their buyers
        #[arg(long)]
        refund_due: bool,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show an order and its payments
    #[command(after_help = format!("{SHOW_EXAMPLES}\n\n{ALL_VERBS}"))]
    Show {
        /// Code or id of the order
        order: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Find orders by contact or code
    #[command(after_help = format!("{SEARCH_EXAMPLES}\n\n{ALL_VERBS}"), group = ArgGroup::new("by").required(true))]
    Search {
        /// E-mail address of the contact
        #[arg(long, value_name = "ADDRESS", group = "by")]
        email: Option<String>,
        /// Phone number of the contact, as it was written
        #[arg(long, value_name = "NUMBER", group = "by")]
        phone: Option<String>,
        /// Code of the order
        #[arg(long, value_name = "CODE", group = "by")]
        code: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Refund an order, or a part of it
    Refund(RefundArgs),
    /// Record that money which was due has gone back to the buyer
    Settle(SettleArgs),
}

pub(super) const MISSING: &str = "there is no such order; `firstcome order search` finds it by contact";

const IN_A_LIST: &[TableColumn] = &[
    text("code"),
    number("drop_id"),
    text("state"),
    number("quantity"),
    amount("amount", "amount"),
    amount("refunded", "refunded_amount"),
    amount("due", "refund_due_amount"),
    text("reserved_at"),
    text("buyer"),
];

const IN_FULL: &[TableColumn] = &[
    text("code"),
    text("id"),
    number("drop_id"),
    text("buyer"),
    text("state"),
    text("end_reason"),
    number("quantity"),
    amount("unit_price", "unit_price"),
    amount("amount", "amount"),
    amount("refunded", "refunded_amount"),
    amount("due", "refund_due_amount"),
    text("reserved_at"),
    text("expires_at"),
    text("paid_at"),
    text("ended_at"),
    text("payment_url"),
    number("seq"),
];

const PAYMENT: &[TableColumn] = &[
    text("provider"),
    text("reference"),
    amount("received", "amount"),
    text("pays"),
    amount("refunded", "refunded_amount"),
    amount("due", "refund_due_amount"),
    number("seq"),
];

static LIST: Verb = reads(Method::GET, "/v1/orders", "orders were not listed", IN_A_LIST);
static SEARCH: Verb = reads(Method::POST, "/v1/orders/search", "orders were not searched", IN_A_LIST);
static FIND: Verb = reads(Method::POST, "/v1/orders/search", "order {} was not read", IN_FULL);
static PAYMENTS: Verb = reads(Method::GET, "/v1/orders/{}/payments", "the payments of order {} were not read", PAYMENT);

const fn reads(method: Method, path: &'static str, undone: &'static str, columns: &'static [TableColumn]) -> Verb {
    Verb { method, listener: VerbListener::Admin, path, has_key: false, done: "", undone, missing: MISSING, columns }
}

/// Runs a verb.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub fn run(args: &OrderArgs) -> Result<(), Exit> {
    block_on(async {
        match &args.verb {
            OrderVerb::List { drop, state, refund_due, page, admin } => {
                let query = filter(drop.as_deref(), state.as_deref(), *refund_due)?;
                let call = VerbCall { query, ..VerbCall::default() };
                OperatorSession::new(admin, None)?.list(&LIST, call, page).await
            }
            OrderVerb::Show { order, admin } => show(order, &OperatorSession::new(admin, None)?).await,
            OrderVerb::Search { email, phone, code, admin } => {
                let session = OperatorSession::new(admin, None)?;
                let by = [("email", email), ("phone", phone), ("code", code)];
                let body = by.into_iter().find_map(|(name, text)| text.as_ref().map(|text| json!({ name: text })));
                let found = session.send(&SEARCH, &VerbCall { body, ..VerbCall::default() }).await?;
                session.print_list(&SEARCH, &found);
                Ok(())
            }
            OrderVerb::Refund(args) => money_back::refund(args).await,
            OrderVerb::Settle(args) => money_back::settle(args).await,
        }
    })
}

/// Returns the query of a list.
fn filter(drop: Option<&str>, state: Option<&str>, refund_due: bool) -> Result<String, Exit> {
    let (mut mistakes, mut parts) = (Vec::new(), Vec::new());
    if let Some(drop) = drop {
        match whole(drop) {
            Ok(number) => parts.push(format!("drop_id={number}")),
            Err(mistake) => mistakes.push(format!("--drop {drop}: {mistake}")),
        }
    }
    if let Some(state) = state {
        match OrderState::parse(state) {
            Some(state) => parts.push(format!("state={}", state.as_str())),
            None => mistakes.push(format!("--state {state}: must be a state of an order, such as paid")),
        }
    }
    if refund_due {
        parts.push("refund_due=true".into());
    }
    if !mistakes.is_empty() {
        return Err(Exit::usage(mistakes.join("\n")));
    }
    Ok(if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) })
}

/// Returns the code of an order that is named by its code or its id.
fn code_of_text(text: &str) -> Result<String, Exit> {
    let by_id = OrderId::parse(text).map(|id| (id.secret.shard(), id.seq));
    let named = by_id.or_else(|| order_of_code(text));
    let named = named.map(|(shard, seq)| code_of(shard, seq));
    named.ok_or_else(|| {
        Exit::usage(format!("{text}: must be the code of an order such as FC-C1SM, without a typing error, or its id"))
    })
}

/// Reads the order that a code or an id names. The admin listener finds orders by their codes.
pub(super) async fn find(session: &OperatorSession<'_>, named: &str) -> Result<Value, Exit> {
    let code = code_of_text(named)?;
    let call = VerbCall { subject: &code, body: Some(json!({ "code": code })), ..VerbCall::default() };
    let mut found = session.send(&FIND, &call).await?;
    let order = found["data"].get_mut(0).map(Value::take).unwrap_or_default();
    let is_the_one = OrderId::parse(named).is_none_or(|id| order["id"].as_str() == Some(&id.to_string()));
    if order.is_null() || !is_the_one {
        return Err(Exit::failed(format!("order {named} was not found: {MISSING}")));
    }
    Ok(order)
}

/// Returns the id in the document of an order.
pub(super) fn id_of(order: &Value) -> &str {
    order["id"].as_str().unwrap_or("")
}

/// Reads the payments of an order.
async fn payments_of(session: &OperatorSession<'_>, order: &Value) -> Result<Vec<Value>, Exit> {
    let subject = order["code"].as_str().unwrap_or("");
    let call = VerbCall { subject, parameter: Some(id_of(order)), ..VerbCall::default() };
    let mut page = session.send(&PAYMENTS, &call).await?;
    Ok(page["data"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

async fn show(named: &str, session: &OperatorSession<'_>) -> Result<(), Exit> {
    let order = find(session, named).await?;
    let payments = payments_of(session, &order).await?;
    if session.prints_json() {
        output::line(json!({ "order": order, "payments": payments }));
        return Ok(());
    }
    table::print_members(IN_FULL, &order);
    if !payments.is_empty() {
        output::line("payments:");
        table::print_rows(PAYMENT, &payments);
    }
    Ok(())
}
