//! `firstcome remedy`: the last orders of a drop, taken back. The runbook for the day when something was sold that should
//! not have been.

use clap::{Args, value_parser};
use serde_json::{Value, json};

use crate::exit::{self, Exit};
use crate::load::Admin;
use crate::output;
use crate::types::{Amount, Currency, OrderRange, money};

const EXAMPLES: &str = "Examples:
  firstcome remedy 7 --last 20                       show the last 20 live and paid orders; nothing is done
  firstcome remedy 7 --run 1201-1234 --yes --reason 'ten more than there are'
                                                     cancel and refund what that look showed
  firstcome remedy 7 --last 20 --json | jq '.orders[].order.code'

A look names its orders: the run. Only a run is undone, newest first, and it can be repeated: the same orders, each once.
Live orders are cancelled and their units are free again, so pause the drop first. Paid ones are refunded in full and
their units stay sold; add --while-selling if a drop that sells is meant.
Buyers learn of it by what the outbox delivers to your endpoints: order.cancelled (by: operator), order.refunded,
refund.requested. The reason stays in the audit. A payment through a provider is refunded there: the order is refund_due until that is reported.

Where operators have tokens, it needs an operator's in the variable FIRSTCOME_TOKEN.
Exit code: 0 done; 1 something was not done: repeat it; 64 wrong argument; 69 no server, or it refuses.";

/// `remedy`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RemedyArgs {
    /// The drop's number
    #[arg(value_parser = value_parser!(u32).range(1..))]
    drop: u32,
    /// Look at this many of its last live and paid orders, and do nothing
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000), required_unless_present = "run",
        conflicts_with_all = ["run", "yes", "reason", "while_selling"])]
    last: Option<u32>,
    /// The orders that a look showed
    #[arg(long, value_name = "RUN", value_parser = run_of, requires_all = ["yes", "reason"])]
    run: Option<OrderRange>,
    /// Cancel and refund them
    #[arg(long, requires = "run")]
    yes: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", requires = "run")]
    reason: Option<String>,
    /// Although the drop sells
    #[arg(long, requires = "run")]
    while_selling: bool,
    /// As JSON, for other programs
    #[arg(long)]
    json: bool,
    /// The server's admin listener: host:port or http://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: String,
}

fn run_of(text: &str) -> Result<OrderRange, String> {
    OrderRange::parse(text).ok_or_else(|| "a run is what a look with --last shows, such as 1201-1234".into())
}

/// Shows the last orders of a drop, or undoes those of a run.
///
/// # Errors
/// 1, 64 or 69 and a line.
pub fn run(args: &RemedyArgs) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let mut admin = Admin::connect(&args.admin).await?;
        match (args.run, &args.reason) {
            (Some(run), Some(reason)) => undo(args, &mut admin, run, reason).await,
            (_, _) => look(args, &mut admin).await,
        }
    })
}

async fn look(args: &RemedyArgs, admin: &mut Admin) -> Result<(), Exit> {
    let (drop, last) = (args.drop, args.last.unwrap_or(1));
    let found = admin.call("GET", &format!("/v1/drops/{drop}/remedy?last={last}"), None).await?;
    if args.json {
        output::line(found);
        return Ok(());
    }
    let orders = list(&found);
    let Some(run) = found["run"].as_str() else {
        output::line(format!("drop {drop} has no live and no paid orders"));
        return Ok(());
    };
    output::line(format!(
        "{:>10}  {:10}  {:16}  {:>5}  {:>18}  {:24}  {:7}  buyer",
        "order", "code", "state", "units", "amount", "reserved", "to do"
    ));
    let mut counts = [0u32; 2];
    for entry in orders {
        let order = &entry["order"];
        let cancels = text(&entry["to_do"]) == "cancel";
        counts[usize::from(!cancels)] += 1;
        output::line(format!(
            "{:>10}  {:10}  {:16}  {:>5}  {:>18}  {:24}  {:7}  {}",
            order["seq"],
            text(&order["code"]),
            text(&order["state"]),
            order["quantity"],
            left(order),
            text(&order["reserved_at"]),
            text(&entry["to_do"]),
            text(&order["buyer"]),
        ));
    }
    output::line(format!("run {run}: {} to cancel, {} to refund", counts[0], counts[1]));
    let state = text(&found["drop_state"]);
    if sells(state) {
        output::line(format!("drop {drop} is {state}: what is cancelled would be sold again at once. Pause it first:"));
        output::line(format!(
            "  curl -X POST http://{}/v1/drops/{drop}/pause -H 'Content-Type: application/json' -d '{{\"reason\":\"...\"}}'",
            args.admin.trim_start_matches("http://").trim_end_matches('/')
        ));
    }
    output::line("nothing was done. To do it:");
    output::line(format!("  firstcome remedy {drop} --run {run} --yes --reason '...'"));
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn list(answer: &Value) -> &[Value] {
    answer["orders"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a drop in this state takes orders, or will without anybody's doing.
fn sells(state: &str) -> bool {
    matches!(state, "live" | "sold_out" | "scheduled")
}

/// What of an order's amount has not gone back, and is not owed back, yet.
fn left(order: &Value) -> String {
    let number = |name: &str| order[name].as_u64().unwrap_or(0);
    let back = number("refunded_amount").saturating_add(number("refund_due_amount"));
    let amount = Amount::new(number("amount").saturating_sub(back)).unwrap_or(Amount::ZERO);
    Currency::new(text(&order["currency"])).map(|currency| money::shown(amount, currency)).unwrap_or_default()
}

/// What became of the orders of a run.
#[derive(Default)]
struct Tally {
    cancelled: u32,
    refunded: u32,
    requested: u32,
    not_needed: u32,
    not_done: Option<String>,
}

async fn undo(args: &RemedyArgs, admin: &mut Admin, run: OrderRange, reason: &str) -> Result<(), Exit> {
    let path = format!("/v1/drops/{}/remedy", args.drop);
    let now = admin.call("GET", &format!("{path}?last=1"), None).await?;
    let state = text(&now["drop_state"]);
    if sells(state) && !args.while_selling {
        let line = format!(
            "drop {} is {state}: what is cancelled would be sold again at once; pause it, or add --while-selling",
            args.drop
        );
        return Err(Exit::usage(line));
    }
    if !args.json {
        output::line(format!("run {run}; the same command repeats it, each order is undone once"));
    }
    let mut tally = Tally::default();
    let mut all = Vec::new();
    let mut body = json!({ "run": run.to_string(), "reason": reason });
    loop {
        let answer = match admin.call("POST", &path, Some(&body)).await {
            Ok(answer) => answer,
            // What came before it is done and told; whether this was, a repeat finds out.
            Err(failed) if failed.code == exit::UNAVAILABLE && tally.any() => {
                tally.not_done = Some(failed.message);
                break;
            }
            Err(failed) => return Err(failed),
        };
        for entry in list(&answer) {
            tally.add(entry);
            if !args.json {
                output::line(line_of(entry));
            }
        }
        all.extend(list(&answer).iter().cloned());
        match answer["next_below"].as_u64() {
            Some(below) => body["below"] = below.into(),
            None => break,
        }
    }
    tally.tell(args, run, &all)
}

fn line_of(entry: &Value) -> String {
    let order = &entry["order"];
    let ending = match text(&entry["ending"]) {
        "not_needed" => "not needed: it ended otherwise".into(),
        "not_done" => format!("NOT DONE: {}", text(&entry["problem"])),
        _ => String::new(),
    };
    let line = format!("{:>10}  {:10}  {:16}  {ending}", order["seq"], text(&order["code"]), text(&order["state"]));
    line.trim_end().to_owned()
}

impl Tally {
    fn add(&mut self, entry: &Value) {
        match (text(&entry["ending"]), text(&entry["order"]["state"])) {
            ("done", "cancelled") => self.cancelled += 1,
            ("done", "refund_due") => self.requested += 1,
            ("done", _) => self.refunded += 1,
            ("not_done", _) => self.not_done = Some(text(&entry["problem"]).to_owned()),
            _ => self.not_needed += 1,
        }
    }

    fn any(&self) -> bool {
        self.cancelled + self.refunded + self.requested + self.not_needed > 0
    }

    fn tell(&self, args: &RemedyArgs, run: OrderRange, all: &[Value]) -> Result<(), Exit> {
        let Tally { cancelled, refunded, requested, not_needed, not_done } = self;
        if args.json {
            output::line(json!({
                "drop_id": args.drop, "run": run.to_string(), "orders": all, "cancelled": cancelled,
                "refunded": refunded, "refunds_requested": requested, "not_needed": not_needed,
                "complete": not_done.is_none(),
            }));
        } else {
            output::line(format!(
                "{cancelled} cancelled, {refunded} refunded, {requested} refunds requested from their provider, \
                 {not_needed} not needed"
            ));
            output::note(
                "your endpoints hear order.cancelled, order.refunded and refund.requested, to tell their buyers",
            );
        }
        match not_done {
            None => Ok(()),
            Some(why) => Err(Exit::failed(format!("not everything was done ({why}): repeat the same command"))),
        }
    }
}
