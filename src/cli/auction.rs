//! `firstcome auction`: creates, lists and cancels auctions.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::verbs::arguments::{ArgumentForm, BodyArgument, BodyBuilder, whole};
use super::verbs::table::{TableColumn, amount, number, text};
use super::verbs::{
    ALL_VERBS, AdminArgs, KeyArgs, OperatorSession, PageArgs, PublicArgs, Verb, VerbCall, VerbListener,
};
use crate::client::http::block_on;
use crate::exit::Exit;
use crate::types::{Currency, money};
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome auction create --sku SHOE-1 --name 'The first shoe' --currency EUR --start-price 100 --start now --end +1h
  firstcome auction list
  firstcome auction cancel 3 --reason 'the shoe is lost'";

const CREATE_EXAMPLES: &str = "Examples:
  firstcome auction create --sku SHOE-1 --name 'The first shoe' --currency EUR --start-price 100 --start now --end +1h
  firstcome auction create --sku SHOE-1 --name 'The first shoe' --currency EUR --start-price 100 --start 2026-12-01T10:00:00Z --end 2026-12-01T11:00:00Z --reserve-price 200 --buy-now 900 --soft-close 60s --increment 0=1.00 --increment 500=10.00

An increment is the price from which it applies, and the step; the first one is that of price 0. Without any, a step is at most a hundredth of the price. A command that is cut off can be repeated with the same --key: it makes no second auction.";

const LIST_EXAMPLES: &str = "Examples:
  firstcome auction list
  firstcome auction list --json | jq '.data[] | select(.state == \"live\") | .current'";

const CANCEL_EXAMPLES: &str = "Examples:
  firstcome auction cancel 3 --reason 'the shoe is lost'

This is for good: the auction ends without a winner.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct AuctionArgs {
    #[command(subcommand)]
    verb: AuctionVerb,
}

#[derive(Subcommand, Debug)]
enum AuctionVerb {
    /// Create an auction of one unit
    #[command(after_help = format!("{CREATE_EXAMPLES}\n\n{ALL_VERBS}"))]
    Create {
        #[command(flatten)]
        fields: Box<AuctionFields>,
        #[command(flatten)]
        key: KeyArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List auctions, the oldest first
    #[command(after_help = format!("{LIST_EXAMPLES}\n\n{ALL_VERBS}"))]
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        public: PublicArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Cancel an auction for good
    #[command(after_help = format!("{CANCEL_EXAMPLES}\n\n{ALL_VERBS}"))]
    Cancel {
        /// Number of the auction
        auction: String,
        /// Reason for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Everything that a new auction can have.
#[derive(Args, Debug)]
struct AuctionFields {
    /// SKU of the shop
    #[arg(long, value_name = "TEXT")]
    sku: Option<String>,
    /// Name that buyers see
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// ISO 4217 code of the currency, such as EUR
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Lowest first bid, such as 49.90
    #[arg(long, value_name = "AMOUNT")]
    start_price: Option<String>,
    /// Start: an RFC 3339 time, `now`, or a time from now such as +10m
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// End, in the same forms
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Secret price below which nothing is sold
    #[arg(long, value_name = "AMOUNT")]
    reserve_price: Option<String>,
    /// Price at which the unit is sold at once, before the first bid
    #[arg(long, value_name = "AMOUNT")]
    buy_now: Option<String>,
    /// Time before the end in which a bid extends the auction, such as 60s [default: 0]
    #[arg(long, value_name = "TIME")]
    soft_close: Option<String>,
    /// The most extensions by late bids
    #[arg(long, value_name = "N")]
    extensions_max: Option<String>,
    /// End that no bid extends
    #[arg(long, value_name = "TIME")]
    hard_end: Option<String>,
    /// Price and step from there on, such as 500=10.00; repeated for higher prices
    #[arg(long, value_name = "PRICE=STEP")]
    increment: Vec<String>,
}

const IN_A_LIST: &[TableColumn] = &[
    number("id"),
    text("state"),
    amount("current", "current"),
    number("bids"),
    text("buyer"),
    text("reserve_met"),
    text("starts_at"),
    text("ends_at"),
    number("drop_id"),
    text("sku"),
    text("name"),
];

const MISSING: &str = "there is no such auction; `firstcome auction list` shows those that there are";

static CREATE: Verb = changes("/v1/auctions", true, "auction created:", "no auction was created", "");
static CANCEL: Verb =
    changes("/v1/auctions/{}/cancel", false, "auction {} is cancelled", "auction {} was not cancelled", MISSING);
static LIST: Verb = Verb {
    method: Method::GET,
    listener: VerbListener::Public,
    path: "/v1/auctions",
    has_key: false,
    done: "",
    undone: "auctions were not listed",
    missing: "",
    columns: IN_A_LIST,
};

const fn changes(
    path: &'static str,
    has_key: bool,
    done: &'static str,
    undone: &'static str,
    missing: &'static str,
) -> Verb {
    let (method, listener) = (Method::POST, VerbListener::Admin);
    Verb { method, listener, path, has_key, done, undone, missing, columns: IN_A_LIST }
}

/// Runs a verb.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub fn run(args: &AuctionArgs) -> Result<(), Exit> {
    block_on(async {
        match &args.verb {
            AuctionVerb::Create { fields, key, admin } => {
                let call = VerbCall { body: Some(fields.body()?), key: Some(key), ..VerbCall::default() };
                OperatorSession::new(admin, None)?.change(&CREATE, &call).await
            }
            AuctionVerb::List { page, public, admin } => {
                OperatorSession::new(admin, Some(public))?.list(&LIST, VerbCall::default(), page).await
            }
            AuctionVerb::Cancel { auction, reason, admin } => {
                let number = whole(auction).map_err(|mistake| Exit::usage(format!("{auction}: {mistake}")))?;
                let body = Some(json!({ "reason": reason }));
                let call = VerbCall { subject: &number.to_string(), body, ..VerbCall::default() };
                OperatorSession::new(admin, None)?.change(&CANCEL, &call).await
            }
        }
    })
}

impl AuctionFields {
    /// Returns the body of the request, or every mistake.
    fn body(&self) -> Result<Value, Exit> {
        use ArgumentForm::{Instant, Money, Seconds, Text, Whole};
        let mut body = BodyBuilder::new(Map::new(), wall_clock());
        // The currency comes first, for the prices.
        body.currency(self.currency.as_deref());
        let rows: [(&'static str, &'static str, ArgumentForm, &Option<String>); 10] = [
            ("--sku", "sku", Text, &self.sku),
            ("--name", "name", Text, &self.name),
            ("--start-price", "start_price", Money, &self.start_price),
            ("--start", "starts_at", Instant, &self.start),
            ("--end", "ends_at", Instant, &self.end),
            ("--reserve-price", "reserve_price", Money, &self.reserve_price),
            ("--buy-now", "buy_now", Money, &self.buy_now),
            ("--soft-close", "soft_close_seconds", Seconds, &self.soft_close),
            ("--extensions-max", "extensions_max", Whole, &self.extensions_max),
            ("--hard-end", "hard_end_at", Instant, &self.hard_end),
        ];
        body.put(&rows.map(|(flag, member, form, text)| BodyArgument { flag, member, form, text: text.as_deref() }));
        let currency = self.currency.as_deref().and_then(|code| Currency::new(&code.to_ascii_uppercase()));
        let mut steps = Vec::new();
        for text in &self.increment {
            match increment(text, currency) {
                Ok(pair) => steps.push(pair),
                Err(mistake) => body.mistake(format!("--increment {text}: {mistake}")),
            }
        }
        if !steps.is_empty() {
            body.insert("increments", steps.into());
        }
        body.require(&[
            ("--sku", "sku"),
            ("--name", "name"),
            ("--currency", "currency"),
            ("--start-price", "start_price"),
            ("--start", "starts_at"),
            ("--end", "ends_at"),
        ]);
        body.finish()
    }
}

/// Reads a price and a step, such as 500=10.00.
fn increment(text: &str, currency: Option<Currency>) -> Result<Value, String> {
    let currency = currency.ok_or("needs the currency, such as --currency EUR")?;
    let (price, step) = text.split_once('=').ok_or("must be a price and a step, such as 500=10.00")?;
    let (price, step) = (money::parse(price, currency)?, money::parse(step, currency)?);
    Ok(json!([price.get(), step.get()]))
}
