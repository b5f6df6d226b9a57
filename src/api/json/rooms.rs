//! Bodies of waiting rooms and tickets.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::encoding::{CreatedBody, optional_time, time, to_bytes, to_created, version_text};
use super::requests::{buyer_field, read_as_buyer};
use super::scalars;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::{room_rules, rules};
use crate::engine::{RoomSpec, TicketReceipt};
use crate::read::{AdmissionRate, RoomRow};
use crate::types::{BeaconRule, BuyerText, RoomClaims, RoomDraw, RoomPatch, RoomState, TicketDigest, UnixMillis};

/// The most buyers whom a room admits in a second: more than a server decides orders.
pub const ADMIT_PER_SECOND_MAX: u32 = 1_000_000;
/// The longest time for an order, in seconds: an hour.
pub const ORDER_SECONDS_MAX: u32 = 3600;
/// The most admitted buyers without an order, in percent of the available units.
pub const OVERSUBSCRIBE_PERCENT_MAX: u32 = 1000;

/// The chances of a ticket, as far as they are certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TicketOdds {
    /// Neither of the others.
    Open,
    /// At least as many tickets are ahead as units are left or can come back: it depends on buyers who do not order.
    Short,
    /// Every unit is sold, or the drop has ended.
    None,
}

impl TicketOdds {
    pub(super) const ALL: [TicketOdds; 3] = [TicketOdds::Open, TicketOdds::Short, TicketOdds::None];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            TicketOdds::Open => "open",
            TicketOdds::Short => "short",
            TicketOdds::None => "none",
        }
    }
}

/// The words of a draw that waits for a beacon, and of one that does not.
pub(super) const REQUIRED: &str = "required";
pub(super) const NONE: &str = "none";

pub(super) const fn beacon_need(is_required: bool) -> &'static str {
    if is_required { REQUIRED } else { NONE }
}

/// The time that a draw waits for its beacon where the drop does not say, and the longest, in seconds.
const BEACON_SECONDS: u32 = 300;
const BEACON_SECONDS_MAX: u32 = 3600;

/// Names the fields of a new drop's room.
pub(super) fn new_room(fields: &mut BodyFields) -> Option<RoomSpec> {
    let opens_at = fields.required("opens_at", rules::instant());
    let draw = room_draw(fields);
    let admit_per_second = fields.required("admit_per_second", rules::whole_u32_to(1, ADMIT_PER_SECOND_MAX));
    let order_seconds = fields.defaulted("order_seconds", 120, rules::whole_u32_to(1, ORDER_SECONDS_MAX));
    let percent = rules::whole_u32_to(100, OVERSUBSCRIBE_PERCENT_MAX);
    let oversubscribe_percent = fields.defaulted("oversubscribe_percent", 100, percent);
    Some(RoomSpec {
        opens_at: opens_at?,
        draw: draw?,
        admit_per_second: admit_per_second?,
        order_seconds,
        oversubscribe_percent,
    })
}

/// Names the fields of changes of a room; `None` if they change nothing.
pub(super) fn room_patch(fields: &mut BodyFields) -> Option<RoomPatch> {
    let patch = RoomPatch {
        opens_at: fields.optional("opens_at", rules::instant()),
        admit_per_second: fields.optional("admit_per_second", rules::whole_u32_to(1, ADMIT_PER_SECOND_MAX)),
        order_seconds: fields.optional("order_seconds", rules::whole_u32_to(1, ORDER_SECONDS_MAX)),
        oversubscribe_percent: fields
            .optional("oversubscribe_percent", rules::whole_u32_to(100, OVERSUBSCRIBE_PERCENT_MAX)),
    };
    (patch != RoomPatch::default()).then_some(patch)
}

/// Names the fields of the rule of positions. A beacon belongs to a random draw only.
fn room_draw(fields: &mut BodyFields) -> Option<RoomDraw> {
    let draw = fields.defaulted_name("draw", RoomDraw::Arrival, RoomDraw::as_str, room_rules::room_draw());
    let needed = fields.defaulted_name("beacon", false, beacon_need, room_rules::beacon_need());
    let seconds = fields.optional("beacon_seconds", rules::whole_u32_to(1, BEACON_SECONDS_MAX));
    if seconds.is_some() && !needed {
        fields.refuse("beacon_seconds", "belongs to `beacon: required`");
        return None;
    }
    if !needed {
        return Some(draw);
    }
    let with_beacon = draw.with_beacon(BeaconRule { seconds: seconds.unwrap_or(BEACON_SECONDS) });
    if with_beacon.is_none() {
        fields.refuse("beacon", "belongs to `draw: random`");
    }
    with_beacon
}

/// `POST /v1/drops/{drop_id}/tickets`. If a token proves the buyer, the body may omit the buyer and must not name another.
///
/// # Errors
/// `forbidden`, `malformed`, or `validation` with every mistake.
pub fn parse_ticket(body: &[u8], proven: Option<&BuyerText>) -> Result<BuyerText, Problem> {
    read_as_buyer(body, |fields, names_another| buyer_field(fields, proven, names_another))
}

/// The waiting room in front of a drop, as operators made it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RoomRule")]
pub(super) struct RoomRuleJson {
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    opens_at: UnixMillis,
    #[schemars(with = "scalars::RoomDraw")]
    draw: &'static str,
    /// `required` if the draw waits for public randomness; missing where nothing is drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::BeaconNeed")]
    beacon: Option<&'static str>,
    /// The most seconds that the draw waits for its beacon; missing without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1))]
    beacon_seconds: Option<u32>,
    /// The most buyers who are admitted in a second.
    #[schemars(range(min = 1))]
    admit_per_second: u32,
    /// Seconds that an admitted buyer has for an order.
    #[schemars(range(min = 1))]
    order_seconds: u32,
    /// The most admitted buyers without an order, in percent of the available units.
    #[schemars(range(min = 100))]
    oversubscribe_percent: u32,
}

impl RoomRuleJson {
    pub(super) fn of(spec: &RoomSpec) -> RoomRuleJson {
        let RoomSpec { opens_at, draw, admit_per_second, order_seconds, oversubscribe_percent } = *spec;
        let beacon_seconds = draw.beacon().map(|rule| rule.seconds);
        let beacon = draw.is_random().then(|| beacon_need(beacon_seconds.is_some()));
        RoomRuleJson {
            opens_at,
            draw: draw.as_str(),
            beacon,
            beacon_seconds,
            admit_per_second,
            order_seconds,
            oversubscribe_percent,
        }
    }
}

/// A drop's waiting room, the same for every buyer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Room")]
pub(super) struct RoomJson {
    #[schemars(range(min = 1))]
    drop_id: u32,
    #[schemars(with = "scalars::RoomState")]
    state: &'static str,
    /// True while an operator has paused the drop: no buyer is admitted, positions stay, and no time to order passes.
    paused: bool,
    /// Milliseconds of all pauses that are over. As much as it grows, `order_until` of a ticket is later for a buyer whose time to
    /// order had not passed when the pause began.
    #[schemars(range(min = 0))]
    paused_ms: i64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    opens_at: UnixMillis,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    starts_at: UnixMillis,
    #[schemars(with = "scalars::RoomDraw")]
    draw: &'static str,
    /// Seconds that an admitted buyer has for an order.
    #[schemars(range(min = 1))]
    order_seconds: u32,
    /// Number of tickets that were taken.
    tickets: u32,
    /// Tickets at positions below it have been admitted.
    serving: u32,
    /// Number of tickets whose time to order had begun and not passed at the last admission.
    admitted: u32,
    /// Units that are free.
    available: u32,
    /// Units of unpaid orders: some may come back.
    held: u32,
    /// Admitted buyers without an order who can still place one.
    idle: u32,
    /// Buyers who stand by; units that come back are theirs.
    standby: u32,
    /// Tickets admitted per second over the last three times 10 seconds before `updated_at`, as far as the room served in
    /// all of them, else since it began to serve; missing before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.0))]
    rate: Option<f64>,
    /// The slowest rate over 10 seconds of these; missing in the first 10 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.0))]
    rate_least: Option<f64>,
    /// The fastest rate over 10 seconds of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.0))]
    rate_most: Option<f64>,
    /// `none` when every unit is sold, so that no unit is left or comes back by itself, and once the drop has ended.
    #[schemars(with = "scalars::RoomOdds")]
    odds: &'static str,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    updated_at: UnixMillis,
    #[schemars(with = "scalars::Version")]
    version: String,
}

/// Returns the body of a room.
#[must_use]
pub fn room_body(row: &RoomRow, claims: RoomClaims, epoch: u64) -> Bytes {
    let bounds = row.rate.and_then(|rate| rate.bounds());
    to_bytes(&RoomJson {
        drop_id: row.drop_id.get(),
        state: row.state().as_str(),
        paused: row.paused,
        paused_ms: row.paused_ms,
        opens_at: row.spec.opens_at,
        starts_at: row.starts_at,
        draw: row.spec.draw.as_str(),
        order_seconds: row.spec.order_seconds,
        tickets: row.tickets,
        serving: row.serving,
        admitted: row.serving.saturating_sub(row.window_from),
        available: row.available,
        held: row.held,
        idle: claims.idle,
        standby: claims.standby,
        rate: row.rate.map(|rate| rate.mean),
        rate_least: bounds.map(|(least, _)| least),
        rate_most: bounds.map(|(_, most)| most),
        odds: if row.has_no_odds() { "none" } else { "open" },
        updated_at: row.updated_at,
        version: version_text(epoch, row.version),
    })
}

/// A buyer's place in a waiting room.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Ticket")]
pub(super) struct TicketJson {
    #[schemars(range(min = 1))]
    drop_id: u32,
    /// Number of the ticket, from 1 in the order of arrival.
    #[schemars(range(min = 1))]
    number: u32,
    /// Number of tickets before it in the line; it never changes. Missing until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    position: Option<u32>,
    #[schemars(with = "scalars::RoomState")]
    state: &'static str,
    /// Tickets at positions below it have been admitted.
    serving: u32,
    /// True while an operator has paused the drop: no buyer is admitted, positions stay, and no time to order passes.
    paused: bool,
    /// Milliseconds of all pauses that are over, as in the body of the room.
    #[schemars(range(min = 0))]
    paused_ms: i64,
    /// Until when the buyer can order, for an admitted ticket; it may just have passed. While the drop is paused it is missing,
    /// unless the time had passed before.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    order_until: Option<UnixMillis>,
    /// Number of tickets before it that are not admitted yet; missing once it is admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    ahead: Option<u32>,
    /// Tickets admitted per second, as the room has it; of a ticket that waits in a room that admits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.0))]
    rate: Option<f64>,
    /// The time until its own admission, at the fastest and the slowest rate of the last 30 seconds; missing while the slowest is
    /// 0, in the first 10 s, and while no unit is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WaitEstimateJson")]
    estimate: Option<WaitEstimateJson>,
    /// `none` when every unit is sold or the drop has ended; `short` when the buyers before it (those with tickets ahead, admitted
    /// ones without an order, and those who stand by), counted with one unit each, can take every unit that is left or can come
    /// back.
    #[schemars(with = "scalars::TicketOdds")]
    odds: &'static str,
    /// The digest under which the ticket is drawn: keep it for the proof. Missing where nothing is drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{32}$"))]
    digest: Option<String>,
}

/// The range of a waiting time, in seconds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WaitEstimate")]
struct WaitEstimateJson {
    from: u64,
    until: u64,
}

/// Returns the body of a ticket; rate and claims are those of its room.
#[must_use]
pub fn ticket_body(
    receipt: &TicketReceipt,
    claims: RoomClaims,
    rate: Option<AdmissionRate>,
    digest: Option<TicketDigest>,
) -> CreatedBody {
    let left = receipt.available.saturating_add(receipt.held);
    let ahead = receipt.ahead();
    let odds = match ahead {
        _ if left == 0 || receipt.state == RoomState::Over => TicketOdds::None,
        Some(ahead) if ahead >= claims.leave(receipt.available, receipt.held) => TicketOdds::Short,
        Some(_) | None => TicketOdds::Open,
    };
    // While no unit is free, the instant of the next admission is not known.
    let wait = ahead.and_then(|ahead| rate?.wait_for(ahead)).filter(|_| receipt.available > 0);
    let drop_id = receipt.drop_id.get();
    let ticket = TicketJson {
        drop_id,
        number: receipt.number.get(),
        position: receipt.position.map(|position| position.0),
        state: receipt.state.as_str(),
        serving: receipt.serving,
        paused: receipt.paused,
        paused_ms: receipt.paused_ms,
        order_until: receipt.order_until,
        ahead,
        rate: rate.map(|rate| rate.mean),
        estimate: wait.map(|(from, until)| WaitEstimateJson { from, until }),
        odds: odds.as_str(),
        digest: digest.map(|digest| digest.to_string()),
    };
    to_created(format_args!("/v1/drops/{drop_id}/room"), &ticket)
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 3] {
    let mut ticket = BodyFields::describe(|fields| buyer_field(fields, None, &mut false));
    ticket["properties"]["buyer"]["description"] = "Required, unless a buyer's token proves the buyer.".into();
    let mut room = BodyFields::describe(new_room);
    let mut describe = |name: &str, words: &str| room["properties"][name]["description"] = words.into();
    describe("opens_at", "From when on tickets are taken; before the drop's `starts_at`.");
    describe(
        "draw",
        "`arrival`: positions are in the order in which the tickets were taken. `random`: those that were taken before the \
         start are drawn at it, and later ones queue behind them.",
    );
    describe("beacon", "`required`: the draw waits for public randomness that an operator posts after the start.");
    describe("beacon_seconds", "The most seconds that it waits, 300 by default; then the draw goes on without.");
    describe("order_seconds", "Seconds that an admitted buyer has for an order.");
    describe("oversubscribe_percent", "The most admitted buyers without an order, in percent of the available units.");
    let mut patch = BodyFields::describe(room_patch);
    let mut describe = |name: &str, words: &str| patch["properties"][name]["description"] = words.into();
    describe("opens_at", "Until the room is open; before the drop's `starts_at`.");
    describe("admit_per_second", "Until the room is open, and once the sale has started.");
    describe("order_seconds", "Until the room is open.");
    describe("oversubscribe_percent", "Until the room is open, and once the sale has started.");
    [("NewTicket", ticket), ("NewRoom", room), ("RoomPatch", patch)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_room_has_its_bounds() {
        use crate::api::json::parse_drop;
        use serde_json::json;
        let refused = |name: &str, value: Value| {
            let mut room = json!({ "opens_at": "2026-01-01T00:00:00Z", "admit_per_second": 10 });
            room[name] = value;
            let body = json!({
                "sku": "S", "name": "N", "currency": "EUR", "unit_price": 1, "total": 1,
                "starts_at": "2026-01-02T00:00:00Z", "room": room,
            });
            match parse_drop(body.to_string().as_bytes()) {
                Ok(spec) => {
                    assert!(spec.room.is_some());
                    Vec::new()
                }
                Err(Problem::Validation(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
                Err(other) => panic!("{other:?}"),
            }
        };
        for (name, least, most) in
            [("admit_per_second", 1, 1_000_000), ("order_seconds", 1, 3600), ("oversubscribe_percent", 100, 1000)]
        {
            for (value, is_good) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
                let expected = if is_good { Vec::new() } else { vec![format!("/room/{name}")] };
                assert_eq!(refused(name, json!(value)), expected, "{name} {value}");
            }
        }
        assert_eq!(refused("draw", json!("arrival")), Vec::<String>::new());
        assert_eq!(refused("draw", json!("random")), Vec::<String>::new());
        assert_eq!(refused("beacon", json!("none")), Vec::<String>::new());
        assert_eq!(refused("beacon", json!("required")), ["/room/beacon"], "nothing is drawn");
        assert_eq!(refused("beacon_seconds", json!(5)), ["/room/beacon_seconds"], "no beacon is waited for");
        assert_eq!(refused("draw", json!("lottery")), ["/room/draw"]);
        assert_eq!(refused("opens_at", json!("soon")), ["/room/opens_at"]);
        assert_eq!(refused("admits", json!(1)), ["/room/admits"]);
    }

    #[test]
    fn changes_of_a_room_have_the_same_bounds_and_none_is_no_change() {
        use crate::api::json::parse_patch;
        use serde_json::json;
        let read = |room: Value| {
            let body = json!({ "expected_revision": 1, "reason": "r", "room": room }).to_string();
            parse_patch(body.as_bytes()).map(|(_, patch, _)| patch.room)
        };
        assert_eq!(read(json!({})), Ok(None));
        let patch = RoomPatch { admit_per_second: Some(7), ..RoomPatch::default() };
        assert_eq!(read(json!({ "admit_per_second": 7 })), Ok(Some(patch)));
        let wrong = json!({ "opens_at": "soon", "admit_per_second": 0, "order_seconds": 3601,
                            "oversubscribe_percent": 99, "draw": "random" });
        let Err(Problem::Validation(errors)) = read(wrong) else { panic!("mistakes pass") };
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        let members = ["opens_at", "admit_per_second", "order_seconds", "oversubscribe_percent", "draw"];
        assert_eq!(pointers, members.map(|member| format!("/room/{member}")));
    }
}
