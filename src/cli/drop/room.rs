//! `firstcome drop room` and `firstcome drop beacon`: the waiting room of a drop, and the beacon of its draw.

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::fields::RoomPaceFields;
use super::{MISSING, SHOW, number_of};
use crate::cli::verbs::arguments::BodyBuilder;
use crate::cli::verbs::table::{TableColumn, number, text};
use crate::cli::verbs::{AdminArgs, OperatorSession, Verb, VerbCall, VerbListener};
use crate::exit::Exit;
use crate::types::instant::parse_instant;
use crate::types::text::rfc3339;
use crate::writer::clock::wall_clock;

pub(super) const BEACON_EXAMPLES: &str = "Examples:
  firstcome drop beacon 7 --value 8d61a6ac35b0b64b --source 'drand, round 4242'
  firstcome drop beacon 7 --value 8d61a6ac35b0b64b --source 'drand, round 4242' --reason 'as announced before the sale' --json

The value is taken once, after the tickets are fixed and before the draw; it cannot be replaced. Post the value that was announced before the room opened, so that no buyer needs to believe that it was not chosen.";

/// The beacon of a draw.
#[derive(Args, Debug)]
pub(super) struct BeaconArgs {
    /// Number of the drop
    drop: String,
    /// Public randomness: 1 to 64 bytes in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    value: String,
    /// Place where buyers can look the value up, such as a beacon's name and round
    #[arg(long, value_name = "TEXT")]
    source: String,
    /// Reason for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

const COLUMNS: &[TableColumn] = &[
    number("drop_id"),
    text("state"),
    text("paused"),
    number("paused_ms"),
    text("opens_at"),
    text("starts_at"),
    text("draw"),
    number("tickets"),
    number("serving"),
    number("admitted"),
    number("available"),
    number("held"),
    number("idle"),
    number("standby"),
    number("rate"),
    text("odds"),
    number("order_seconds"),
    text("updated_at"),
];

static ROOM: Verb = Verb {
    method: Method::GET,
    listener: VerbListener::Public,
    path: "/v1/drops/{}/room",
    has_key: false,
    done: "",
    undone: "the room of drop {} was not read",
    missing: "there is no such drop, or it has no waiting room; `firstcome drop list` shows the drops that there are",
    columns: COLUMNS,
};

static PATCH: Verb = Verb {
    method: Method::PATCH,
    listener: VerbListener::Admin,
    path: "/v1/drops/{}",
    has_key: false,
    done: "the room of drop {} is changed",
    undone: "the room of drop {} was not changed",
    missing: MISSING,
    columns: CHANGED,
};

static BEACON: Verb = Verb {
    method: Method::POST,
    listener: VerbListener::Admin,
    path: "/v1/drops/{}/room/beacon",
    has_key: false,
    done: "the draw of drop {} has its beacon:",
    undone: "the draw of drop {} got no beacon",
    missing: "there is no such drop, or its waiting room draws no tickets; `firstcome drop room` shows the room",
    columns: DRAWN,
};

const DRAWN: &[TableColumn] =
    &[number("drop_id"), text("state"), text("beacon"), text("beacon_source"), text("tickets"), text("result")];

const CHANGED: &[TableColumn] = &[number("id"), text("state"), text("starts_at"), text("room"), number("revision")];

/// Shows a room; changes it, if there are arguments.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub(super) async fn run(
    drop: &str,
    fields: &RoomPaceFields,
    reason: Option<&str>,
    session: &OperatorSession<'_>,
) -> Result<(), Exit> {
    let drop = number_of(drop)?;
    let call = VerbCall { subject: &drop, ..VerbCall::default() };
    match (fields.is_given(), reason) {
        (false, None) => session.show(&ROOM, &call).await,
        (false, Some(_)) => Err(Exit::usage("--reason: there is no change, such as --admit-per-second 20")),
        (true, None) => Err(Exit::usage("--reason is missing: a change needs one for the audit log")),
        (true, Some(reason)) => {
            let mut body = BodyBuilder::new(Map::new(), wall_clock());
            fields.put(&mut body);
            let mut body = body.finish()?;
            let before = session.send(&SHOW, &VerbCall { subject: &drop, ..VerbCall::default() }).await?;
            body["expected_revision"] = before["revision"].clone();
            body["reason"] = json!(reason);
            session.change(&PATCH, &VerbCall { subject: &drop, body: Some(body), ..VerbCall::default() }).await
        }
    }
}

/// Posts the beacon of a draw.
///
/// # Errors
/// 1, 64 or 69 and a line for each mistake.
pub(super) async fn post_beacon(args: &BeaconArgs) -> Result<(), Exit> {
    let drop = number_of(&args.drop)?;
    let mut body = json!({ "value": args.value, "source": args.source });
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    let call = VerbCall { subject: &drop, body: Some(body), ..VerbCall::default() };
    OperatorSession::new(&args.admin, None)?.change(&BEACON, &call).await
}

/// Moves the opening of a copy's room, so that it opens as long before the start as its original did, unless an argument has
/// set it.
pub(super) fn move_opening(original: &Value, copy: &mut Value) {
    let instant = |value: &Value| parse_instant(value.as_str()?).ok();
    if copy["room"]["opens_at"] != original["room"]["opens_at"] {
        return;
    }
    let moved = || {
        let before = instant(&original["starts_at"])?.since(instant(&original["room"]["opens_at"])?);
        let opens_at = instant(&copy["starts_at"])?.plus_millis(-i64::try_from(before).ok()?);
        Some(rfc3339(opens_at))
    };
    if let Some(opens_at) = moved() {
        copy["room"]["opens_at"] = opens_at.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_copy_opens_as_long_before_its_start() {
        let room = json!({ "opens_at": "2026-12-01T09:30:00.000Z", "admit_per_second": 5 });
        let original = json!({ "starts_at": "2026-12-01T10:00:00Z", "room": room });
        let mut copy = json!({ "starts_at": "2026-12-08T10:00:00Z", "room": room });
        move_opening(&original, &mut copy);
        assert_eq!(copy["room"], json!({ "opens_at": "2026-12-08T09:30:00.000Z", "admit_per_second": 5 }));
        copy["room"]["opens_at"] = "2026-12-08T08:00:00Z".into();
        move_opening(&original, &mut copy);
        assert_eq!(copy["room"]["opens_at"], "2026-12-08T08:00:00Z", "an argument has set it");
        let plain = json!({ "starts_at": "2026-12-01T10:00:00Z" });
        let mut copy = json!({ "starts_at": "2026-12-08T10:00:00Z" });
        move_opening(&plain, &mut copy);
        assert_eq!(copy, json!({ "starts_at": "2026-12-08T10:00:00Z" }), "no room");
    }
}
