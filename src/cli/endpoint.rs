//! `firstcome endpoint`: creates and lists webhook endpoints, lists their failed deliveries and delivers again.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::verbs::arguments::{ArgumentForm, BodyArgument, BodyBuilder, whole};
use super::verbs::table::{TableColumn, number, text};
use super::verbs::{ALL_VERBS, AdminArgs, KeyArgs, OperatorSession, PageArgs, Verb, VerbCall, VerbListener};
use crate::client::http::block_on;
use crate::exit::{self, Exit};
use crate::output;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome endpoint create --url https://shop.example/hooks --events order.paid,order.expired
  firstcome endpoint list
  firstcome endpoint deliveries 120 --state dead
  firstcome endpoint resend 120 --from 1 --reason 'the shop is well again'";

const CREATE_EXAMPLES: &str = "Examples:
  firstcome endpoint create --url https://shop.example/hooks
  firstcome endpoint create --url https://shop.example/hooks --events order.paid,order.expired --json | jq -r .secret

The secret that signs the webhooks is printed once and never shown again: keep it. Without --events the endpoint receives every event.";

const LIST_EXAMPLES: &str = "Examples:
  firstcome endpoint list
  firstcome endpoint list --json | jq '.data[] | select(.dead > 0) | .id'";

const DELIVERIES_EXAMPLES: &str = "Examples:
  firstcome endpoint deliveries 120
  firstcome endpoint deliveries 120 --state waiting --limit 500";

const RESEND_EXAMPLES: &str = "Examples:
  firstcome endpoint resend 120 --from 1 --reason 'the shop is well again'
  firstcome endpoint resend 120 --from 5000 --all --reason 'the shop lost its database'

Without --all only deliveries that were given up are sent again. With --all every event from there on is: the shop must know what it has seen.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct EndpointArgs {
    #[command(subcommand)]
    verb: EndpointVerb,
}

#[derive(Subcommand, Debug)]
enum EndpointVerb {
    /// Create a webhook endpoint and print its secret once
    #[command(after_help = format!("{CREATE_EXAMPLES}\n\n{ALL_VERBS}"))]
    Create {
        /// URL that receives the events
        #[arg(long, value_name = "URL")]
        url: String,
        /// Types of events, with commas between them [default: all]
        #[arg(long, value_name = "TYPES")]
        events: Option<String>,
        #[command(flatten)]
        key: KeyArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List all webhook endpoints
    #[command(after_help = format!("{LIST_EXAMPLES}\n\n{ALL_VERBS}"))]
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List failed deliveries of an endpoint
    #[command(after_help = format!("{DELIVERIES_EXAMPLES}\n\n{ALL_VERBS}"))]
    Deliveries {
        /// Number of the endpoint
        endpoint: String,
        /// Deliveries that were given up (dead), or that wait for their next attempt (waiting)
        #[arg(long, value_parser = ["dead", "waiting"], default_value = "dead")]
        state: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Deliver again, starting at an event
    #[command(after_help = format!("{RESEND_EXAMPLES}\n\n{ALL_VERBS}"))]
    Resend {
        /// Number of the endpoint
        endpoint: String,
        /// Number of the first event
        #[arg(long, value_name = "SEQ")]
        from: String,
        /// Deliver every event from there on, also those that were delivered
        #[arg(long)]
        all: bool,
        /// Reason for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

const ENDPOINT: &[TableColumn] = &[
    number("id"),
    text("state"),
    number("waiting"),
    number("dead"),
    number("position"),
    text("created_at"),
    text("url"),
    text("events"),
];

const DELIVERY: &[TableColumn] = &[
    number("seq"),
    text("type"),
    number("order_seq"),
    text("at"),
    number("attempts"),
    text("next_at"),
    text("trouble"),
];

const MISSING: &str = "there is no such endpoint; `firstcome endpoint list` shows those that there are";

static CREATE: Verb = Verb {
    method: Method::POST,
    listener: VerbListener::Admin,
    path: "/v1/webhook-endpoints",
    has_key: true,
    done: "endpoint created:",
    undone: "no endpoint was created",
    missing: "",
    columns: ENDPOINT,
};
static LIST: Verb = verb(Method::GET, "/v1/webhook-endpoints", "", "endpoints were not listed", ENDPOINT);
static DELIVERIES: Verb = verb(
    Method::GET,
    "/v1/webhook-endpoints/{}/deliveries",
    "",
    "the deliveries of endpoint {} were not listed",
    DELIVERY,
);
static RESEND: Verb = verb(
    Method::POST,
    "/v1/webhook-endpoints/{}/resend",
    "endpoint {} receives its events again",
    "nothing is delivered again to endpoint {}",
    ENDPOINT,
);

const fn verb(
    method: Method,
    path: &'static str,
    done: &'static str,
    undone: &'static str,
    columns: &'static [TableColumn],
) -> Verb {
    Verb { method, listener: VerbListener::Admin, path, has_key: false, done, undone, missing: MISSING, columns }
}

/// Runs a verb.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake; 73 if a secret could not be printed.
pub fn run(args: &EndpointArgs) -> Result<(), Exit> {
    block_on(async {
        match &args.verb {
            EndpointVerb::Create { url, events, key, admin } => {
                let mut body = BodyBuilder::new(Map::new(), wall_clock());
                body.put(&[
                    BodyArgument { flag: "--url", member: "url", form: ArgumentForm::Text, text: Some(url) },
                    BodyArgument {
                        flag: "--events",
                        member: "events",
                        form: ArgumentForm::List,
                        text: events.as_deref(),
                    },
                ]);
                create(body.finish()?, key, &OperatorSession::new(admin, None)?).await
            }
            EndpointVerb::List { admin } => {
                let session = OperatorSession::new(admin, None)?;
                let page = session.send(&LIST, &VerbCall::default()).await?;
                session.print_list(&LIST, &page);
                Ok(())
            }
            EndpointVerb::Deliveries { endpoint, state, page, admin } => {
                let endpoint = number_of("ENDPOINT", endpoint)?.to_string();
                let call = VerbCall { subject: &endpoint, query: format!("?state={state}"), ..VerbCall::default() };
                OperatorSession::new(admin, None)?.list(&DELIVERIES, call, page).await
            }
            EndpointVerb::Resend { endpoint, from, all, reason, admin } => {
                let (endpoint, from) = both(number_of("ENDPOINT", endpoint), number_of("--from", from))?;
                let body = Some(json!({ "from_seq": from, "all": all, "reason": reason }));
                let call = VerbCall { subject: &endpoint.to_string(), body, ..VerbCall::default() };
                OperatorSession::new(admin, None)?.change(&RESEND, &call).await
            }
        }
    })
}

fn number_of(argument: &str, text: &str) -> Result<u64, Exit> {
    whole(text).map_err(|mistake| Exit::usage(format!("{argument} {text}: {mistake}")))
}

/// Joins two arguments, or their mistakes.
fn both(first: Result<u64, Exit>, second: Result<u64, Exit>) -> Result<(u64, u64), Exit> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(first), Err(second)) => Err(Exit::usage(format!("{}\n{}", first.message, second.message))),
        (Err(wrong), _) | (_, Err(wrong)) => Err(wrong),
    }
}

/// Creates an endpoint. Its secret is printed with care: it exists nowhere else.
async fn create(body: Value, key: &KeyArgs, session: &OperatorSession<'_>) -> Result<(), Exit> {
    let answer = session.send(&CREATE, &VerbCall { body: Some(body), key: Some(key), ..VerbCall::default() }).await?;
    let id = &answer["id"];
    let lost = |error: std::io::Error| {
        Exit::cannot_create(format!(
            "endpoint {id} was created, and its secret could not be written to standard output: {error}{}; make a new \
             secret with POST /v1/webhook-endpoints/{id}/rotate-secret",
            exit::next_step(&error)
        ))
    };
    if session.prints_json() {
        return output::secret(&answer).map_err(lost);
    }
    session.print_change(&CREATE, "", &answer);
    match answer["secret"].as_str() {
        Some(secret) => output::secret(format!("secret {secret}")).map_err(lost),
        None => {
            output::note("this key made the endpoint before: its secret was shown then");
            Ok(())
        }
    }
}
