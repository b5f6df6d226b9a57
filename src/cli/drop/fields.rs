//! The arguments that describe a new drop.

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::verbs::arguments::{ArgumentForm, BodyArgument, BodyBuilder};

/// Everything that a new drop can have. Texts are read by a [`BodyBuilder`], so that all mistakes are reported at once.
#[derive(Args, Debug)]
pub(super) struct DropFields {
    /// SKU of the shop
    #[arg(long, value_name = "TEXT")]
    sku: Option<String>,
    /// Name that buyers see
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Price of a unit, such as 49.90
    #[arg(long, value_name = "AMOUNT")]
    price: Option<String>,
    /// ISO 4217 code of the currency, such as EUR
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Number of units on sale
    #[arg(long, value_name = "N")]
    total: Option<String>,
    /// Start of the sale: an RFC 3339 time, `now`, or a time from now such as +10m
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// End of the sale, in the same forms [default: none]
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Units that one buyer may hold and buy [default: 1]
    #[arg(long, value_name = "N")]
    per_buyer: Option<String>,
    /// Time until an order without checkout expires, such as 2m [default: 2m]
    #[arg(long, value_name = "TIME")]
    reservation: Option<String>,
    /// Time to pay after checkout, such as 15m [default: 15m]
    #[arg(long, value_name = "TIME")]
    payment: Option<String>,
    /// Description that buyers see
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Picture that buyers see
    #[arg(long, value_name = "URL")]
    image_url: Option<String>,
    /// Units for one e-mail address
    #[arg(long, value_name = "N")]
    cap_email: Option<String>,
    /// Units for one phone number
    #[arg(long, value_name = "N")]
    cap_phone: Option<String>,
    /// Units for one payment fingerprint
    #[arg(long, value_name = "N")]
    cap_payment: Option<String>,
    /// Units for one postal address
    #[arg(long, value_name = "N")]
    cap_address: Option<String>,
    /// Challenge before an order: none, `proof_of_work` or external
    #[arg(long, value_name = "KIND")]
    challenge: Option<String>,
    /// Lowest tier that orders without the challenge: new, verified or premium
    #[arg(long, value_name = "TIER")]
    challenge_below: Option<String>,
    /// Milliseconds after the start in which orders are recorded and drawn, at most 5000
    #[arg(long, value_name = "N")]
    blind_ms: Option<String>,
    #[command(flatten)]
    room: RoomFields,
}

/// Arguments of a waiting room. A drop has one if any of them is given.
#[derive(Args, Debug)]
struct RoomFields {
    #[command(flatten)]
    paces: RoomPaceFields,
    /// Waiting room: rule that gives tickets their positions: arrival or random [default: arrival]
    #[arg(long, value_name = "RULE")]
    draw: Option<String>,
    /// Waiting room: `required` lets a random draw wait for public randomness, posted by `firstcome drop beacon` [default: none]
    #[arg(long, value_name = "RULE")]
    beacon: Option<String>,
    /// Waiting room: the longest wait for the beacon, such as 5m [default: 5m]
    #[arg(long, value_name = "TIME")]
    beacon_seconds: Option<String>,
}

/// Arguments of a waiting room that may change.
#[derive(Args, Debug)]
pub(super) struct RoomPaceFields {
    /// Waiting room: from when on tickets are taken; before the start
    #[arg(long, value_name = "TIME")]
    room_opens: Option<String>,
    /// Waiting room: the most buyers who are admitted in a second
    #[arg(long, value_name = "N")]
    admit_per_second: Option<String>,
    /// Waiting room: time that an admitted buyer has for an order, such as 2m [default: 2m]
    #[arg(long, value_name = "TIME")]
    order_time: Option<String>,
    /// Waiting room: the most admitted buyers without an order, in percent of the available units [default: 100]
    #[arg(long, value_name = "PERCENT")]
    oversubscribe: Option<String>,
}

impl RoomFields {
    /// Puts the arguments that are given into the member `room` of a body.
    fn put(&self, body: &mut BodyBuilder) {
        use ArgumentForm::{Seconds, Text};
        self.paces.put(body);
        let rows: [(&'static str, &'static str, ArgumentForm, &Option<String>); 3] = [
            ("--draw", "room.draw", Text, &self.draw),
            ("--beacon", "room.beacon", Text, &self.beacon),
            ("--beacon-seconds", "room.beacon_seconds", Seconds, &self.beacon_seconds),
        ];
        body.put(&rows.map(|(flag, member, form, text)| BodyArgument { flag, member, form, text: text.as_deref() }));
    }

    /// Returns whether any argument is given.
    fn is_given(&self) -> bool {
        let RoomFields { paces, draw, beacon, beacon_seconds } = self;
        paces.is_given() || [draw, beacon, beacon_seconds].into_iter().any(Option::is_some)
    }
}

impl RoomPaceFields {
    /// Puts the arguments that are given into the member `room` of a body.
    pub(super) fn put(&self, body: &mut BodyBuilder) {
        use ArgumentForm::{Instant, Seconds, Whole};
        let rows: [(&'static str, &'static str, ArgumentForm, &Option<String>); 4] = [
            ("--room-opens", "room.opens_at", Instant, &self.room_opens),
            ("--admit-per-second", "room.admit_per_second", Whole, &self.admit_per_second),
            ("--order-time", "room.order_seconds", Seconds, &self.order_time),
            ("--oversubscribe", "room.oversubscribe_percent", Whole, &self.oversubscribe),
        ];
        body.put(&rows.map(|(flag, member, form, text)| BodyArgument { flag, member, form, text: text.as_deref() }));
    }

    /// Returns whether any argument is given.
    pub(super) fn is_given(&self) -> bool {
        let RoomPaceFields { room_opens, admit_per_second, order_time, oversubscribe } = self;
        [room_opens, admit_per_second, order_time, oversubscribe].into_iter().any(Option::is_some)
    }
}

impl DropFields {
    /// Puts the arguments that are given into a body.
    pub(super) fn put(&self, body: &mut BodyBuilder) {
        use ArgumentForm::{Instant, Money, Seconds, Text, Whole};
        // The currency comes first, for the price.
        body.currency(self.currency.as_deref());
        let rows: [(&'static str, &'static str, ArgumentForm, &Option<String>); 18] = [
            ("--sku", "sku", Text, &self.sku),
            ("--name", "name", Text, &self.name),
            ("--price", "unit_price", Money, &self.price),
            ("--total", "total", Whole, &self.total),
            ("--start", "starts_at", Instant, &self.start),
            ("--end", "ends_at", Instant, &self.end),
            ("--per-buyer", "per_buyer_limit", Whole, &self.per_buyer),
            ("--reservation", "reservation_seconds", Seconds, &self.reservation),
            ("--payment", "payment_seconds", Seconds, &self.payment),
            ("--description", "description", Text, &self.description),
            ("--image-url", "image_url", Text, &self.image_url),
            ("--cap-email", "identity_limits.email", Whole, &self.cap_email),
            ("--cap-phone", "identity_limits.phone", Whole, &self.cap_phone),
            ("--cap-payment", "identity_limits.payment", Whole, &self.cap_payment),
            ("--cap-address", "identity_limits.address", Whole, &self.cap_address),
            ("--challenge", "challenge", Text, &self.challenge),
            ("--challenge-below", "challenge_below", Text, &self.challenge_below),
            ("--blind-ms", "blind_ms", Whole, &self.blind_ms),
        ];
        body.put(&rows.map(|(flag, member, form, text)| BodyArgument { flag, member, form, text: text.as_deref() }));
        self.room.put(body);
    }

    /// Notes the arguments that a waiting room lacks, if there is to be one.
    pub(super) fn require_room(&self, body: &mut BodyBuilder) {
        if self.room.is_given() {
            body.require(&[("--room-opens", "room.opens_at"), ("--admit-per-second", "room.admit_per_second")]);
        }
    }
}

/// Notes the arguments that a new drop lacks.
pub(super) fn require_all(body: &mut BodyBuilder) {
    body.require(&[
        ("--sku", "sku"),
        ("--name", "name"),
        ("--price", "unit_price"),
        ("--currency", "currency"),
        ("--total", "total"),
        ("--start", "starts_at"),
    ]);
}

/// Returns the members of a drop that a copy takes over: everything but its number, its window and its counters. The opening
/// of a waiting room moves with the start.
pub(super) fn copied(drop: &Value) -> Map<String, Value> {
    const TAKEN: [&str; 15] = [
        "sku",
        "name",
        "description",
        "image_url",
        "currency",
        "unit_price",
        "total",
        "per_buyer_limit",
        "reservation_seconds",
        "payment_seconds",
        "identity_limits",
        "challenge",
        "challenge_below",
        "room",
        "blind_ms",
    ];
    let present = TAKEN.into_iter().filter_map(|name| Some((name.to_owned(), drop.get(name)?.clone())));
    present.collect()
}
