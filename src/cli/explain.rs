//! `firstcome explain`: says what happened to an order, a buyer in a drop, a ticket or a place in a line, or why a request
//! was refused. It reads the audit through the admin listener, so that it works beside a running sale and needs no access to
//! its files.

mod line;
mod past;
mod refusal;
mod rows;
mod standby;

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use hyper::Method;
use serde_json::{Value, json};

use self::refusal::RefusedRequest;
use super::order;
use super::verbs::arguments::whole;
use super::verbs::{ALL_VERBS, AdminArgs, OperatorSession, PageArgs, Verb, VerbCall, VerbListener};
use crate::client::http::{block_on, printable};
use crate::exit::Exit;
use crate::output;
use crate::types::{Amount, Currency, Quantity, money};

const EXAMPLES: &str = "Examples:
  firstcome explain FC-C1SM                            what happened to the order
  firstcome explain --buyer ann --drop 7               all orders of a buyer in a drop
  firstcome explain --ticket 41 --drop 7               a ticket of a waiting room: its position, and when it was admitted;
                                                       or an order that a blind window recorded, and what came of it
  firstcome explain --standby 4711 --drop 7            a place in the line: its position, and what came of it
  firstcome explain --refusal no.json --drop 7 --buyer ann --quantity 2
                                                       decide the refused order again
  firstcome explain FC-C1SM --refusal no.json          decide the refused request about an order again

FILE is the problem document of a refusal, as the client got it. The drop or the order is counted again from the audit up to its as_of_seq, and the engine decides again. The audit has no identities, so caps on them are compared but not decided again; nor are bids and operators' requests.

A ticket or a recorded order is named by its number. A place in the line is named by the event of its joining: Firstcome-Seq of the answer, or joined_seq of its order in the audit. The audit names no buyer of these.

Exit codes of --refusal: 1 if the decision would be another.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"),
    group = ArgGroup::new("subject").args(["order", "refusal", "buyer", "ticket", "standby"]).multiple(true).required(true))]
pub struct ExplainArgs {
    /// Code or id of the order
    #[arg(conflicts_with_all = ["drop", "buyer"])]
    order: Option<String>,
    /// Problem document of a refusal; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    refusal: Option<PathBuf>,
    /// Number of the drop
    #[arg(long, value_name = "NUMBER")]
    drop: Option<String>,
    /// The buyer, as the shop names them
    #[arg(long, value_name = "BUYER", requires = "drop")]
    buyer: Option<String>,
    /// Number of a ticket of the drop's waiting room, or of an order that its blind window recorded
    #[arg(long, value_name = "NUMBER", requires = "drop", conflicts_with_all = ["order", "buyer", "refusal"])]
    ticket: Option<String>,
    /// Event with which a buyer joined the line behind the drop
    #[arg(long, value_name = "EVENT", requires = "drop", conflicts_with_all = ["order", "buyer", "refusal", "ticket"])]
    standby: Option<String>,
    /// Units that the refused order asked for
    #[arg(long, value_name = "N", default_value = "1", requires = "refusal")]
    quantity: String,
    #[command(flatten)]
    admin: AdminArgs,
}

static HISTORY: Verb = reads("/v1/orders/{}/history", "the history of order {} was not read");
static ORDERS: Verb = reads("/v1/orders", "the orders of drop {} were not listed");

const fn reads(path: &'static str, undone: &'static str) -> Verb {
    Verb {
        method: Method::GET,
        listener: VerbListener::Admin,
        path,
        has_key: false,
        done: "",
        undone,
        missing: order::MISSING,
        columns: &[],
    }
}

/// The most orders whose history is printed for a buyer.
const ORDERS_SHOWN_MAX: usize = 50;

/// Explains.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub fn run(args: &ExplainArgs) -> Result<(), Exit> {
    let mut mistakes = Vec::new();
    let mut number = |flag: &str, text: Option<&str>| {
        let text = text?;
        whole(text).map_err(|mistake| mistakes.push(format!("{flag} {text}: {mistake}"))).ok()
    };
    let drop = number("--drop", args.drop.as_deref());
    let (ticket, standby) = (number("--ticket", args.ticket.as_deref()), number("--standby", args.standby.as_deref()));
    let quantity = whole(&args.quantity).ok().and_then(|number| u16::try_from(number).ok()).and_then(Quantity::new);
    if quantity.is_none() {
        mistakes.push(format!("--quantity {}: must be a whole number from 1 to 65535", args.quantity));
    }
    let refused = args.refusal.as_deref().map(RefusedRequest::read).transpose();
    let refused = refused.map_err(|mistake| mistakes.push(mistake)).ok().flatten();
    if args.refusal.is_some() && args.order.is_none() && args.drop.is_none() {
        mistakes.push("--refusal needs --drop, or the order that the refused request was about".into());
    }
    let (true, Some(quantity)) = (mistakes.is_empty(), quantity) else {
        return Err(Exit::usage(mistakes.join("\n")));
    };
    block_on(async {
        let session = OperatorSession::new(&args.admin, None)?;
        if let Some(refused) = &refused {
            refused.require_reach(&session).await?;
        }
        match (drop, ticket, standby) {
            (Some(drop), Some(ticket), _) => return line::explain_ticket(&session, drop, ticket).await,
            (Some(drop), None, Some(joined)) => return standby::explain_standby(&session, drop, joined).await,
            (None, _, _) | (Some(_), None, None) => {}
        }
        match (&refused, &args.order, drop, &args.buyer) {
            (Some(refused), Some(order), _, _) => {
                let order = order::find(&session, order).await?;
                refused.explain_order(&session, &order, &events_of(&session, &order).await?)
            }
            (Some(refused), None, Some(drop), buyer) => {
                let orders = match buyer {
                    Some(buyer) => Some(orders_of(&session, drop, buyer).await?),
                    None => None,
                };
                let orders =
                    orders.as_deref().map(|orders| orders.iter().filter_map(|order| order["seq"].as_u64()).collect());
                refused.explain_drop(&session, drop, orders, quantity).await
            }
            (None, Some(order), _, _) => explain_order(&session, order).await,
            (None, None, Some(drop), Some(buyer)) => explain_buyer(&session, drop, buyer).await,
            (_, None, _, _) => {
                Err(Exit::usage("name an order, or a drop with a buyer, a ticket or a place in its line"))
            }
        }
    })
}

async fn events_of(session: &OperatorSession<'_>, order: &Value) -> Result<Vec<Value>, Exit> {
    let subject = order["code"].as_str().unwrap_or("");
    let call = VerbCall { subject, parameter: Some(order::id_of(order)), ..VerbCall::default() };
    let mut page = session.send(&HISTORY, &call).await?;
    Ok(page["data"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Returns the orders of a buyer in a drop.
async fn orders_of(session: &OperatorSession<'_>, drop: u64, buyer: &str) -> Result<Vec<Value>, Exit> {
    let call = VerbCall { subject: &drop.to_string(), query: format!("?drop_id={drop}"), ..VerbCall::default() };
    let mut page = session.pages(&ORDERS, call, &PageArgs::ALL).await?;
    let mut orders = page["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
    orders.retain(|order| order["buyer"].as_str() == Some(buyer));
    Ok(orders)
}

async fn explain_order(session: &OperatorSession<'_>, named: &str) -> Result<(), Exit> {
    let order = order::find(session, named).await?;
    let events = events_of(session, &order).await?;
    if session.prints_json() {
        output::line(json!({ "order": order, "history": events }));
    } else {
        print_story(&order, &events);
    }
    Ok(())
}

async fn explain_buyer(session: &OperatorSession<'_>, drop: u64, buyer: &str) -> Result<(), Exit> {
    let orders = orders_of(session, drop, buyer).await?;
    if orders.is_empty() {
        return Err(Exit::failed(format!("buyer {} has no order in drop {drop}", printable(buyer))));
    }
    let mut stories = Vec::new();
    for order in orders.iter().take(ORDERS_SHOWN_MAX) {
        let events = events_of(session, order).await?;
        if session.prints_json() {
            stories.push(json!({ "order": order, "history": events }));
        } else {
            print_story(order, &events);
        }
    }
    if session.prints_json() {
        output::line(json!({ "data": stories, "has_more": orders.len() > ORDERS_SHOWN_MAX }));
    } else if orders.len() > ORDERS_SHOWN_MAX {
        output::note(format!("{} more orders are not shown", orders.len() - ORDERS_SHOWN_MAX));
    }
    Ok(())
}

/// Prints the present state of an order and a line for each of its events.
fn print_story(order: &Value, events: &[Value]) {
    let text = |member: &str| printable(order[member].as_str().unwrap_or(""));
    let currency = Currency::new(&text("currency"));
    let amount = order["amount"].as_u64().and_then(Amount::new).zip(currency);
    let costs = amount.map(|(amount, currency)| money::shown(amount, currency)).unwrap_or_default();
    let next = match order["state"].as_str() {
        Some("reserved") => format!("; its units come back at {} unless the buyer goes on", text("expires_at")),
        Some("awaiting_payment") => format!("; its units come back at {} unless it is paid", text("expires_at")),
        Some(_) | None => String::new(),
    };
    output::line(format!(
        "order {} of drop {}: {} x for {costs}, buyer {}, {}{next}",
        text("code"),
        order["drop_id"],
        order["quantity"],
        text("buyer"),
        text("state").replace('_', " "),
    ));
    for event in events {
        let text = |member: &str| printable(event[member].as_str().unwrap_or(""));
        output::line(format!("  {}  event {:<8}  {}", text("at"), event["seq"], text("text")));
    }
}
