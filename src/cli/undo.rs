//! `firstcome remedy`, alias `undo-orders`: shows the last orders of a drop, then cancels and refunds them, after a sale of
//! something that should not have been sold.

use std::path::PathBuf;

use clap::{Args, value_parser};
use serde_json::{Value, json};

use crate::client::http::{HttpClient, block_on};
use crate::exit::Exit;
use crate::output;
use crate::types::{Amount, Currency, OrderRange, money};

const EXAMPLES: &str = "Examples:
  firstcome remedy 7 --last 20                       list the last 20 orders; change nothing
  firstcome remedy 7 --run 1201-1234 --orders 20 --yes --reason 'twenty more than there are'
                                                     cancel and refund the orders of that range
  firstcome remedy 7 --last 20 --json | jq '.orders[].order.code'

The orders that --last lists form a range. Only a range is undone, newest order first, and only if it has no more orders than --orders says. The command can be repeated: each order is undone once.

Live orders are cancelled and their units become available again, so pause the drop first. Paid orders are refunded in full and their units stay sold. Add --while-selling to proceed while the drop is on sale.

Buyers learn of it through the events that the outbox delivers to your endpoints: order.cancelled (by: operator), order.refunded, refund.requested. The reason is recorded in the audit log only. A payment through a provider is refunded there: the order stays refund_due until the provider reports it.

If operators have tokens, set FIRSTCOME_TOKEN to a token with the role operator.

Exit codes: 0 done; 1 some orders were not undone, repeat the command; 64 wrong argument; 69 the server is unreachable or refuses.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct UndoArgs {
    /// Number of the drop
    #[arg(value_parser = value_parser!(u32).range(1..))]
    drop: u32,
    /// List this many of the last live and paid orders; change nothing
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000), required_unless_present = "run",
        conflicts_with_all = ["run", "orders", "yes", "reason", "while_selling"])]
    last: Option<u32>,
    /// Range of orders as printed by --last
    #[arg(long, value_name = "RANGE", value_parser = parse_range, requires_all = ["orders", "yes", "reason"])]
    run: Option<OrderRange>,
    /// Number of orders that --last printed; a range with more is refused, and nothing is undone
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000), requires = "run")]
    orders: Option<u32>,
    /// Cancel and refund the orders of the range
    #[arg(long, requires = "run")]
    yes: bool,
    /// Reason for the audit log
    #[arg(long, value_name = "TEXT", requires = "run")]
    reason: Option<String>,
    /// Proceed even while the drop is on sale
    #[arg(long, requires = "run")]
    while_selling: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Admin listener of the server: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: String,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

fn parse_range(text: &str) -> Result<OrderRange, String> {
    OrderRange::parse(text).ok_or_else(|| "expected a range that --last printed, such as 1201-1234".into())
}

/// Lists the last orders of a drop, or undoes those of a range.
///
/// # Errors
/// 1, 64 or 69 and a line.
pub fn run(args: &UndoArgs) -> Result<(), Exit> {
    let admin = HttpClient::for_admin(&args.admin, "--admin", args.ca.as_deref())?;
    block_on(async {
        match (args.run, &args.reason) {
            (Some(range), Some(reason)) => undo(args, &admin, range, reason).await,
            (_, _) => preview(args, &admin).await,
        }
    })
}

fn route(drop: u32) -> String {
    format!("/v1/drops/{drop}/remedy")
}

async fn list_last(admin: &HttpClient, drop: u32, last: u32) -> Result<Value, Exit> {
    let path = format!("{}?last={last}", route(drop));
    admin.get_json(&path).await.map_err(|error| admin.exit(&format!("GET {path}"), &error))
}

async fn preview(args: &UndoArgs, admin: &HttpClient) -> Result<(), Exit> {
    let (drop, last) = (args.drop, args.last.unwrap_or(1));
    let found = list_last(admin, drop, last).await?;
    if args.json {
        output::line(found);
        return Ok(());
    }
    let Some(range) = found["run"].as_str() else {
        output::line(format!("drop {drop} has no live and no paid orders"));
        return Ok(());
    };
    let (cancelled, refunded) = print_table(list(&found));
    output::line(format!("range {range}: {cancelled} to cancel, {refunded} to refund"));
    let state = text(&found["drop_state"]);
    if is_on_sale(state) {
        output::line(format!("drop {drop} is {state}: cancelled units would be sold again at once. Pause it first:"));
        output::line(format!("  firstcome drop pause {drop} --admin {} --reason '...'", admin.url));
    }
    output::line("nothing was changed. To undo these orders:");
    let count = list(&found).len();
    output::line(format!("  firstcome remedy {drop} --run {range} --orders {count} --yes --reason '...'"));
    Ok(())
}

/// Prints a row per order; returns how many are to be cancelled and refunded.
fn print_table(orders: &[Value]) -> (usize, usize) {
    output::line(format!(
        "{:>10}  {:10}  {:16}  {:>5}  {:>18}  {:24}  {:7}  buyer",
        "order", "code", "state", "units", "amount", "reserved", "to do"
    ));
    for entry in orders {
        let order = &entry["order"];
        output::line(format!(
            "{:>10}  {:10}  {:16}  {:>5}  {:>18}  {:24}  {:7}  {}",
            order["seq"],
            text(&order["code"]),
            text(&order["state"]),
            order["quantity"],
            refundable(order),
            text(&order["reserved_at"]),
            text(&entry["to_do"]),
            text(&order["buyer"]),
        ));
    }
    let cancelled = orders.iter().filter(|entry| text(&entry["to_do"]) == "cancel").count();
    (cancelled, orders.len().saturating_sub(cancelled))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn list(answer: &Value) -> &[Value] {
    answer["orders"].as_array().map_or(&[], Vec::as_slice)
}

/// A drop in one of these states takes orders, or will without an operator's command.
fn is_on_sale(state: &str) -> bool {
    matches!(state, "live" | "sold_out" | "scheduled")
}

/// Formats the part of an order's amount that is neither refunded nor due to be.
fn refundable(order: &Value) -> String {
    let number = |name: &str| order[name].as_u64().unwrap_or(0);
    let refunded = number("refunded_amount").saturating_add(number("refund_due_amount"));
    let amount = Amount::new(number("amount").saturating_sub(refunded)).unwrap_or(Amount::ZERO);
    Currency::new(text(&order["currency"])).map(|currency| money::shown(amount, currency)).unwrap_or_default()
}

/// Numbers of orders by result.
#[derive(Default)]
struct UndoSummary {
    cancelled: u32,
    refunded: u32,
    refunds_requested: u32,
    not_needed: u32,
    /// Problem of the last order that was not undone, or error of the last request.
    failure: Option<String>,
}

async fn undo(args: &UndoArgs, admin: &HttpClient, range: OrderRange, reason: &str) -> Result<(), Exit> {
    let now = list_last(admin, args.drop, 1).await?;
    let state = text(&now["drop_state"]);
    if is_on_sale(state) && !args.while_selling {
        let line = format!(
            "drop {} is {state}: cancelled units would be sold again at once; pause it, or add --while-selling",
            args.drop
        );
        return Err(Exit::usage(line));
    }
    if !args.json {
        output::line(format!("range {range}; the command can be repeated: each order is undone once"));
    }
    let path = route(args.drop);
    let mut summary = UndoSummary::default();
    let mut all = Vec::new();
    let mut body = json!({ "run": range.to_string(), "reason": reason, "orders_max": args.orders });
    loop {
        let answer = match admin.post_json(&path, &body, None).await {
            Ok(answer) => answer,
            // The parts before this one are done and printed. A repeat finds out about this one.
            Err(error) if summary.has_any() => {
                summary.failure = Some(admin.exit(&format!("POST {path}"), &error).message);
                break;
            }
            Err(error) => return Err(admin.exit(&format!("POST {path}"), &error)),
        };
        for entry in list(&answer) {
            summary.add(entry);
            if !args.json {
                output::line(result_line(entry));
            }
        }
        all.extend(list(&answer).iter().cloned());
        match answer["next_below"].as_u64() {
            Some(below) => body["below"] = below.into(),
            None => break,
        }
    }
    summary.finish(args, range, &all)
}

fn result_line(entry: &Value) -> String {
    let order = &entry["order"];
    let result = match text(&entry["ending"]) {
        "not_needed" => "not needed: it ended otherwise".into(),
        "not_done" => format!("NOT DONE: {}", text(&entry["problem"])),
        _ => String::new(),
    };
    let line = format!("{:>10}  {:10}  {:16}  {result}", order["seq"], text(&order["code"]), text(&order["state"]));
    line.trim_end().to_owned()
}

impl UndoSummary {
    fn add(&mut self, entry: &Value) {
        match (text(&entry["ending"]), text(&entry["order"]["state"])) {
            ("done", "cancelled") => self.cancelled += 1,
            ("done", "refund_due") => self.refunds_requested += 1,
            ("done", _) => self.refunded += 1,
            ("not_done", _) => self.failure = Some(text(&entry["problem"]).to_owned()),
            _ => self.not_needed += 1,
        }
    }

    fn has_any(&self) -> bool {
        self.cancelled + self.refunded + self.refunds_requested + self.not_needed > 0
    }

    fn finish(&self, args: &UndoArgs, range: OrderRange, all: &[Value]) -> Result<(), Exit> {
        let UndoSummary { cancelled, refunded, refunds_requested, not_needed, failure } = self;
        if args.json {
            output::line(json!({
                "drop_id": args.drop, "run": range.to_string(), "orders": all, "cancelled": cancelled,
                "refunded": refunded, "refunds_requested": refunds_requested, "not_needed": not_needed,
                "complete": failure.is_none(),
            }));
        } else {
            output::line(format!(
                "{cancelled} cancelled, {refunded} refunded, {refunds_requested} refunds requested from their provider, \
                 {not_needed} not needed"
            ));
            output::note(
                "your endpoints receive order.cancelled, order.refunded and refund.requested, to inform the buyers",
            );
        }
        match failure {
            None => Ok(()),
            Some(reason) => {
                Err(Exit::failed(format!("some orders were not undone ({reason}): repeat the same command")))
            }
        }
    }
}
