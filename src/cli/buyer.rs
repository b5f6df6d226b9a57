//! `firstcome buyer`: reads, sets and removes the tiers that operators give to buyers.

use clap::{Args, Subcommand};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Map;

use super::verbs::arguments::{ArgumentForm, BodyArgument, BodyBuilder};
use super::verbs::table::{TableColumn, number, text};
use super::verbs::{ALL_VERBS, AdminArgs, OperatorSession, Verb, VerbCall, VerbListener};
use crate::client::http::block_on;
use crate::exit::Exit;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome buyer tier get buyer-7
  firstcome buyer tier set buyer-7 verified --reason 'called us, is a person'
  firstcome buyer tier clear buyer-7";

const SET_EXAMPLES: &str = "Examples:
  firstcome buyer tier set buyer-7 verified --reason 'called us, is a person'
  firstcome buyer tier set buyer-8 suspected --expires +7d --reason '400 orders a minute'

A tier of an operator wins over the buyer's token and over the risk score. It is in force at once.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct BuyerArgs {
    #[command(subcommand)]
    noun: BuyerNoun,
}

#[derive(Subcommand, Debug)]
enum BuyerNoun {
    /// Read, set or remove the tier of a buyer
    #[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
    Tier {
        #[command(subcommand)]
        verb: TierVerb,
    },
}

#[derive(Subcommand, Debug)]
enum TierVerb {
    /// Read the tier of a buyer, and its origin
    #[command(after_help = format!("Examples:\n  firstcome buyer tier get buyer-7\n\n{ALL_VERBS}"))]
    Get(BuyerName),
    /// Set the tier of a buyer
    #[command(after_help = format!("{SET_EXAMPLES}\n\n{ALL_VERBS}"))]
    Set {
        #[command(flatten)]
        buyer: BuyerName,
        /// Tier: suspected, new, verified or premium
        tier: String,
        /// Exclusive end: an RFC 3339 time, or a time from now such as +7d [default: none]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Reason for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Remove the tier that an operator has set
    #[command(after_help = format!("Examples:\n  firstcome buyer tier clear buyer-7\n\n{ALL_VERBS}"))]
    Clear(BuyerName),
}

/// The buyer, and the server that knows them.
#[derive(Args, Debug)]
struct BuyerName {
    /// The buyer, as the shop names them
    buyer: String,
    #[command(flatten)]
    admin: AdminArgs,
}

const TIER: &[TableColumn] = &[
    text("buyer"),
    text("tier"),
    text("source"),
    text("reason"),
    text("expires_at"),
    number("risk_score"),
    text("risk_signals"),
];

static GET: Verb = verb(Method::GET, "", "the tier of buyer {} was not read");
static SET: Verb = verb(Method::PUT, "buyer {} has the tier:", "the tier of buyer {} was not set");
static CLEAR: Verb =
    verb(Method::DELETE, "buyer {} has no tier of an operator", "the tier of buyer {} was not removed");

const fn verb(method: Method, done: &'static str, undone: &'static str) -> Verb {
    Verb {
        method,
        listener: VerbListener::Admin,
        path: "/v1/buyers/{}/tier",
        has_key: false,
        done,
        undone,
        missing: "a buyer has 1 to 128 bytes without control characters",
        columns: TIER,
    }
}

/// Runs a verb.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub fn run(args: &BuyerArgs) -> Result<(), Exit> {
    let BuyerNoun::Tier { verb } = &args.noun;
    block_on(async {
        match verb {
            TierVerb::Get(name) => {
                let path = name.in_path();
                name.session()?.show(&GET, &name.call(&path)).await
            }
            TierVerb::Set { buyer: name, tier, expires, reason } => {
                let mut body = BodyBuilder::new(Map::new(), wall_clock());
                let argument = |flag, member, form, text| BodyArgument { flag, member, form, text };
                body.put(&[
                    argument("TIER", "tier", ArgumentForm::Text, Some(tier.as_str())),
                    argument("--expires", "expires_at", ArgumentForm::Instant, expires.as_deref()),
                    argument("--reason", "reason", ArgumentForm::Text, Some(reason.as_str())),
                ]);
                let path = name.in_path();
                let call = VerbCall { body: Some(body.finish()?), ..name.call(&path) };
                name.session()?.change(&SET, &call).await
            }
            TierVerb::Clear(name) => {
                let path = name.in_path();
                name.session()?.change(&CLEAR, &name.call(&path)).await
            }
        }
    })
}

impl BuyerName {
    fn session(&self) -> Result<OperatorSession<'_>, Exit> {
        OperatorSession::new(&self.admin, None)
    }

    /// Returns the buyer as a part of a path.
    fn in_path(&self) -> String {
        utf8_percent_encode(&self.buyer, NON_ALPHANUMERIC).to_string()
    }

    fn call<'a>(&'a self, path: &'a str) -> VerbCall<'a> {
        VerbCall { subject: &self.buyer, parameter: Some(path), ..VerbCall::default() }
    }
}
