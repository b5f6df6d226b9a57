//! `firstcome drop`: creates, lists, shows, pauses, resumes, closes and clones drops, changes their stock, and posts
//! the beacons of their draws.

mod fields;
mod room;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use self::fields::{DropFields, RoomPaceFields};
use self::room::BeaconArgs;
use super::verbs::arguments::{BodyBuilder, whole};
use super::verbs::table::{TableColumn, amount, number, text};
use super::verbs::{
    ALL_VERBS, AdminArgs, KeyArgs, OperatorSession, PageArgs, PublicArgs, Verb, VerbCall, VerbListener,
};
use crate::client::http::block_on;
use crate::exit::Exit;
use crate::types::instant::parse_instant;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome drop create --sku SHOE-42 --name 'Limited shoe' --price 49.90 --currency EUR --total 500 --start 2026-12-01T10:00:00Z
  firstcome drop list
  firstcome drop pause 7 --reason 'look into it'
  firstcome drop stock 7 --add 20 --reason 'a box was found'";

const CREATE_EXAMPLES: &str = "Examples:
  firstcome drop create --sku SHOE-42 --name 'Limited shoe' --price 49.90 --currency EUR --total 500 --start 2026-12-01T10:00:00Z
  firstcome drop create --sku T --name Test --price 1 --currency EUR --total 5 --start now --end +2h --per-buyer 2
  firstcome drop create --sku SHOE-42 --name 'Limited shoe' --price 49.90 --currency EUR --total 500 --start +1h --room-opens +30m --admit-per-second 50
  firstcome drop create --sku SHOE-42 --name 'Limited shoe' --price 49.90 --currency EUR --total 500 --start +1h --room-opens +30m --admit-per-second 50 --draw random --beacon required --beacon-seconds 10m

All mistakes are reported at once. A command that is cut off can be repeated with the same --key: it makes no second drop.";

const LIST_EXAMPLES: &str = "Examples:
  firstcome drop list
  firstcome drop list --limit 500 --json | jq '.data[] | select(.state == \"live\") | .id'";

const SHOW_EXAMPLES: &str = "Examples:
  firstcome drop show 7
  firstcome drop show 7 --json | jq .available";

const PAUSE_EXAMPLES: &str = "Examples:
  firstcome drop pause 7 --reason 'look into it'

New orders are refused until `firstcome drop resume`. Checkout, payment and cancellation go on.";

const RESUME_EXAMPLES: &str = "Examples:
  firstcome drop resume 7 --reason 'the price was right'";

const CLOSE_EXAMPLES: &str = "Examples:
  firstcome drop close 7 --reason 'the shop is closed'

This is for good: a closed drop takes no orders again. Live orders may still be paid.";

const STOCK_EXAMPLES: &str = "Examples:
  firstcome drop stock 7 --add 20 --reason 'a box was found'
  firstcome drop stock 7 --remove 5 --reason 'damaged'

The drop is read first, and nothing is changed if another operator changes its total meanwhile. Held and sold units cannot be removed.";

const ROOM_EXAMPLES: &str = "Examples:
  firstcome drop room 7
  firstcome drop room 7 --json | jq .serving
  firstcome drop room 7 --admit-per-second 20 --reason 'the shop is slow'

Until the room opens all of these may change; once the sale has started --admit-per-second and --oversubscribe may. The drop is read first, and nothing is changed if another operator changes it meanwhile.";

const CLONE_EXAMPLES: &str = "Examples:
  firstcome drop clone 7 --start 2026-12-08T10:00:00Z
  firstcome drop clone 7 --start +1h --total 100 --name 'The second chance'

The new drop has everything that the old one has, its first total units included, except what the arguments say. Its window is as long as that of the old one, unless there is --end; a waiting room opens as long before its start, unless there is --room-opens.";

#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{ALL_VERBS}"))]
pub struct DropArgs {
    #[command(subcommand)]
    verb: DropVerb,
}

#[derive(Subcommand, Debug)]
enum DropVerb {
    /// Create a new drop
    #[command(after_help = format!("{CREATE_EXAMPLES}\n\n{ALL_VERBS}"))]
    Create {
        #[command(flatten)]
        fields: Box<DropFields>,
        #[command(flatten)]
        key: KeyArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List drops, the oldest first
    #[command(after_help = format!("{LIST_EXAMPLES}\n\n{ALL_VERBS}"))]
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        public: PublicArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show all of a drop
    #[command(after_help = format!("{SHOW_EXAMPLES}\n\n{ALL_VERBS}"))]
    Show {
        /// Number of the drop
        drop: String,
        #[command(flatten)]
        public: PublicArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Pause a drop: it takes no new orders
    #[command(after_help = format!("{PAUSE_EXAMPLES}\n\n{ALL_VERBS}"))]
    Pause(ReasonArgs),
    /// Resume a drop that was paused
    #[command(after_help = format!("{RESUME_EXAMPLES}\n\n{ALL_VERBS}"))]
    Resume(ReasonArgs),
    /// End a drop for good
    #[command(after_help = format!("{CLOSE_EXAMPLES}\n\n{ALL_VERBS}"))]
    Close(ReasonArgs),
    /// Add or remove free units
    #[command(after_help = format!("{STOCK_EXAMPLES}\n\n{ALL_VERBS}"))]
    Stock {
        /// Number of the drop
        drop: String,
        /// Number of units to add
        #[arg(long, value_name = "N", required_unless_present = "remove", conflicts_with = "remove")]
        add: Option<String>,
        /// Number of free units to remove
        #[arg(long, value_name = "N")]
        remove: Option<String>,
        /// Reason for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        public: PublicArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show the waiting room of a drop, or change its speed
    #[command(after_help = format!("{ROOM_EXAMPLES}\n\n{ALL_VERBS}"))]
    Room {
        /// Number of the drop
        drop: String,
        #[command(flatten)]
        fields: Box<RoomPaceFields>,
        /// Reason for the audit log, of a change
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        public: PublicArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Post the public randomness that the draw of a drop's waiting room waits for
    #[command(after_help = format!("{}\n\n{ALL_VERBS}", room::BEACON_EXAMPLES))]
    Beacon(BeaconArgs),
    /// Create a drop like another one
    #[command(after_help = format!("{CLONE_EXAMPLES}\n\n{ALL_VERBS}"))]
    Clone {
        /// Number of the drop to copy
        drop: String,
        #[command(flatten)]
        fields: Box<DropFields>,
        #[command(flatten)]
        key: KeyArgs,
        #[command(flatten)]
        public: PublicArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Arguments of a change that needs a reason only.
#[derive(Args, Debug)]
struct ReasonArgs {
    /// Number of the drop
    drop: String,
    /// Reason for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    admin: AdminArgs,
}

const MISSING: &str = "there is no such drop; `firstcome drop list` shows those that there are";

const IN_A_LIST: &[TableColumn] = &[
    number("id"),
    text("state"),
    number("total"),
    number("available"),
    number("held"),
    number("sold"),
    amount("price", "unit_price"),
    text("starts_at"),
    text("ends_at"),
    text("sku"),
    text("name"),
];

const IN_FULL: &[TableColumn] = &[
    number("id"),
    text("sku"),
    text("name"),
    text("description"),
    text("image_url"),
    text("state"),
    number("total"),
    number("available"),
    number("held"),
    number("sold"),
    amount("price", "unit_price"),
    text("starts_at"),
    text("ends_at"),
    number("per_buyer_limit"),
    number("reservation_seconds"),
    number("payment_seconds"),
    text("identity_limits"),
    text("challenge"),
    text("challenge_below"),
    text("room"),
    text("commitment"),
    number("standby"),
    number("revision"),
];

static CREATE: Verb = Verb {
    method: Method::POST,
    listener: VerbListener::Admin,
    path: "/v1/drops",
    has_key: true,
    done: "drop created:",
    undone: "no drop was created",
    missing: "",
    columns: IN_A_LIST,
};
static PAUSE: Verb = changes("/v1/drops/{}/pause", "drop {} is paused: no new orders", "drop {} was not paused");
static RESUME: Verb = changes("/v1/drops/{}/resume", "drop {} goes on", "drop {} was not resumed");
static CLOSE: Verb = changes("/v1/drops/{}/close", "drop {} has ended for good", "drop {} was not closed");
static STOCK: Verb = changes("/v1/drops/{}/stock", "drop {} has another total", "the stock of drop {} was not changed");
static LIST: Verb = reads("/v1/drops", "drops were not listed", IN_A_LIST);
static SHOW: Verb = reads("/v1/drops/{}", "drop {} was not read", IN_FULL);

const fn changes(path: &'static str, done: &'static str, undone: &'static str) -> Verb {
    let (method, listener) = (Method::POST, VerbListener::Admin);
    Verb { method, listener, path, has_key: false, done, undone, missing: MISSING, columns: IN_A_LIST }
}

const fn reads(path: &'static str, undone: &'static str, columns: &'static [TableColumn]) -> Verb {
    let (method, listener) = (Method::GET, VerbListener::Public);
    Verb { method, listener, path, has_key: false, done: "", undone, missing: MISSING, columns }
}

/// Runs a verb.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub fn run(args: &DropArgs) -> Result<(), Exit> {
    block_on(async {
        match &args.verb {
            DropVerb::Create { fields, key, admin } => create(fields, key, admin).await,
            DropVerb::List { page, public, admin } => {
                OperatorSession::new(admin, Some(public))?.list(&LIST, VerbCall::default(), page).await
            }
            DropVerb::Show { drop, public, admin } => {
                let drop = number_of(drop)?;
                let call = VerbCall { subject: &drop, ..VerbCall::default() };
                OperatorSession::new(admin, Some(public))?.show(&SHOW, &call).await
            }
            DropVerb::Pause(args) => with_reason(args, &PAUSE).await,
            DropVerb::Resume(args) => with_reason(args, &RESUME).await,
            DropVerb::Close(args) => with_reason(args, &CLOSE).await,
            DropVerb::Stock { drop, add, remove, reason, public, admin } => {
                let change = change_of(drop, add.as_deref(), remove.as_deref())?;
                stock(change, reason, &OperatorSession::new(admin, Some(public))?).await
            }
            DropVerb::Room { drop, fields, reason, public, admin } => {
                room::run(drop, fields, reason.as_deref(), &OperatorSession::new(admin, Some(public))?).await
            }
            DropVerb::Beacon(args) => room::post_beacon(args).await,
            DropVerb::Clone { drop, fields, key, public, admin } => {
                clone(drop, fields, key, &OperatorSession::new(admin, Some(public))?).await
            }
        }
    })
}

/// Checks the number of a drop.
fn number_of(drop: &str) -> Result<String, Exit> {
    let number = whole(drop).ok().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    number.map(|number| number.to_string()).ok_or_else(|| Exit::usage(format!("{drop}: must be the number of a drop")))
}

async fn create(fields: &DropFields, key: &KeyArgs, admin: &AdminArgs) -> Result<(), Exit> {
    let mut body = BodyBuilder::new(Map::new(), wall_clock());
    fields.put(&mut body);
    fields::require_all(&mut body);
    fields.require_room(&mut body);
    let call = VerbCall { body: Some(body.finish()?), key: Some(key), ..VerbCall::default() };
    OperatorSession::new(admin, None)?.change(&CREATE, &call).await
}

async fn with_reason(args: &ReasonArgs, verb: &Verb) -> Result<(), Exit> {
    let drop = number_of(&args.drop)?;
    let body = Some(json!({ "reason": args.reason }));
    let call = VerbCall { subject: &drop, body, ..VerbCall::default() };
    OperatorSession::new(&args.admin, None)?.change(verb, &call).await
}

/// Checks the drop and the units of a change of its stock.
fn change_of(drop: &str, add: Option<&str>, remove: Option<&str>) -> Result<(String, i64), Exit> {
    let units = |flag: &str, text: &str| {
        let number = whole(text).ok().and_then(|number| i64::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| Exit::usage(format!("{flag} {text}: must be a whole number from 1")))
    };
    let delta = match (add, remove) {
        (Some(text), _) => units("--add", text),
        (None, Some(text)) => units("--remove", text).map(|units| -units),
        (None, None) => Err(Exit::usage("--add or --remove is missing")),
    };
    match (number_of(drop), delta) {
        (Ok(drop), Ok(delta)) => Ok((drop, delta)),
        (Err(drop), Err(delta)) => Err(Exit::usage(format!("{}\n{}", drop.message, delta.message))),
        (Err(wrong), _) | (_, Err(wrong)) => Err(wrong),
    }
}

async fn stock((drop, delta): (String, i64), reason: &str, session: &OperatorSession<'_>) -> Result<(), Exit> {
    let before = session.send(&SHOW, &VerbCall { subject: &drop, ..VerbCall::default() }).await?;
    let body = json!({ "delta": delta, "expected_total": before["total"], "reason": reason });
    session.change(&STOCK, &VerbCall { subject: &drop, body: Some(body), ..VerbCall::default() }).await
}

async fn clone(drop: &str, fields: &DropFields, key: &KeyArgs, session: &OperatorSession<'_>) -> Result<(), Exit> {
    let drop = number_of(drop)?;
    let original = session.send(&SHOW, &VerbCall { subject: &drop, ..VerbCall::default() }).await?;
    let mut body = BodyBuilder::new(fields::copied(&original), wall_clock());
    fields.put(&mut body);
    body.require(&[("--start", "starts_at")]);
    let mut body = body.finish()?;
    if let Some(end) = moved_end(&original, &body) {
        body["ends_at"] = end;
    }
    room::move_opening(&original, &mut body);
    session.change(&CREATE, &VerbCall { body: Some(body), key: Some(key), ..VerbCall::default() }).await
}

/// Returns the end of a copy that is to last as long as its original, unless the copy has an end or the original has not.
fn moved_end(original: &Value, copy: &Value) -> Option<Value> {
    let instant = |document: &Value, member: &str| parse_instant(document[member].as_str()?).ok();
    if !copy["ends_at"].is_null() {
        return None;
    }
    let lasts = instant(original, "ends_at")?.since(instant(original, "starts_at")?);
    let end = instant(copy, "starts_at")?.plus_millis(i64::try_from(lasts).ok()?);
    Some(crate::types::text::rfc3339(end).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_lasts_as_long_as_its_original() {
        let original = json!({ "starts_at": "2026-12-01T10:00:00Z", "ends_at": "2026-12-01T12:00:00Z" });
        let copy = json!({ "starts_at": "2026-12-08T10:00:00Z" });
        assert_eq!(moved_end(&original, &copy), Some(json!("2026-12-08T12:00:00.000Z")));
        let ends = json!({ "starts_at": "2026-12-08T10:00:00Z", "ends_at": "2026-12-09T00:00:00Z" });
        assert_eq!(moved_end(&original, &ends), None);
        assert_eq!(moved_end(&json!({ "starts_at": "2026-12-01T10:00:00Z" }), &copy), None, "an open end stays open");
    }
}
