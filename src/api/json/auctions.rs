//! Auctions and bids: what is sent, what is answered.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::encoding::{time, to_bytes};
use super::requests::{NAME_BYTES_MAX, SKU_BYTES_MAX, read_for, whose};
use super::scalars;
use crate::api::problem::{FieldError, Problem};
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::config::AuctionSettings;
use crate::engine::AuctionSpec;
use crate::read::{AuctionRow, BidRow};
use crate::types::{AuctionId, BuyerText, Currency, Increment, Seq, UnitPrice, UnixMillis};

/// The longest soft close, in seconds: an hour.
const SOFT_CLOSE_SECONDS_MAX: u32 = 3600;
/// How often the end may move, at most; and what it is if nothing is said.
const EXTENSIONS_MAX: u32 = 1000;

/// The sale of one unit to whoever asks the highest price.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Auction")]
pub(super) struct AuctionJson<'a> {
    #[schemars(range(min = 1))]
    id: u32,
    sku: &'a str,
    name: &'a str,
    #[schemars(with = "scalars::Currency")]
    currency: &'a str,
    #[schemars(with = "scalars::AuctionState")]
    state: &'static str,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    starts_at: UnixMillis,
    /// As late bids have moved it.
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    ends_at: UnixMillis,
    #[schemars(range(max = UnitPrice::MAX))]
    start_price: u64,
    /// Whether the price is enough to sell. What would be enough is secret.
    reserve_met: bool,
    /// The price; there from the first bid on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = UnitPrice::MAX))]
    current: Option<u64>,
    /// Who leads; there from the first bid on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    buyer: Option<&'a str>,
    /// Accepted bids.
    bids: u32,
    /// The least that the next bid must be.
    #[schemars(range(max = UnitPrice::MAX))]
    minimum_next: u64,
    /// For how much it can be had at once; there until the first bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = UnitPrice::MAX))]
    buy_now: Option<u64>,
    /// The hidden drop, whose orders the winner's is one of.
    #[schemars(range(min = 1))]
    drop_id: u32,
    #[schemars(with = "scalars::Version")]
    version: String,
}

/// An auction.
#[must_use]
pub fn auction_body(row: &AuctionRow, epoch: u64) -> Bytes {
    to_bytes(&AuctionJson {
        id: row.id.get(),
        sku: &row.sku,
        name: &row.name,
        currency: row.currency.as_str(),
        state: row.state.as_str(),
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        start_price: row.start_price.get(),
        reserve_met: row.reserve_met,
        current: row.current.map(UnitPrice::get),
        buyer: row.leader.as_deref(),
        bids: row.bids,
        minimum_next: row.minimum_next().get(),
        buy_now: row.open_buy_now().map(UnitPrice::get),
        drop_id: row.drop_id.get(),
        version: format!("{epoch}-{}", row.version),
    })
}

/// An accepted bid, and where its auction stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Bid")]
pub(super) struct BidJson<'a> {
    #[schemars(range(min = 1))]
    auction_id: u32,
    buyer: &'a str,
    /// What was asked.
    #[schemars(range(max = UnitPrice::MAX))]
    amount: u64,
    /// Whether it is the bid that leads.
    leading: bool,
    /// The price.
    #[schemars(range(max = UnitPrice::MAX))]
    current: u64,
    /// The least that the next bid must be.
    #[schemars(range(max = UnitPrice::MAX))]
    minimum_next: u64,
    /// When the auction ends, as late bids have moved it.
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    ends_at: UnixMillis,
    /// The bid's number.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    at: UnixMillis,
}

/// A fresh bid, without reading its row.
#[must_use]
pub fn receipt_body(receipt: &crate::engine::BidReceipt, buyer: &str, at: UnixMillis) -> Bytes {
    to_bytes(&BidJson {
        auction_id: receipt.auction_id.get(),
        buyer,
        amount: receipt.amount.get(),
        leading: receipt.leading,
        current: receipt.current.get(),
        minimum_next: receipt.minimum_next.get(),
        ends_at: receipt.ends_at,
        seq: receipt.seq.get(),
        at,
    })
}

/// A bid as it is now.
#[must_use]
pub fn bid_body(bid: &BidRow, auction: &AuctionRow) -> Bytes {
    to_bytes(&BidJson {
        auction_id: auction.id.get(),
        buyer: &bid.buyer,
        amount: bid.amount.get(),
        leading: auction.leader_seq == Some(bid.seq),
        current: auction.current.unwrap_or(bid.current).get(),
        minimum_next: auction.minimum_next().get(),
        ends_at: auction.ends_at,
        seq: bid.seq.get(),
        at: bid.at,
    })
}

/// An accepted bid among others.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BidRecord")]
pub(super) struct BidRecordJson<'a> {
    #[schemars(range(min = 1))]
    auction_id: u32,
    buyer: &'a str,
    /// What was asked.
    #[schemars(range(max = UnitPrice::MAX))]
    amount: u64,
    /// Whether it is the bid that leads.
    leading: bool,
    /// The price after it.
    #[schemars(range(max = UnitPrice::MAX))]
    current: u64,
    /// The bid's number.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    at: UnixMillis,
}

/// A bid on a page of them.
#[must_use]
pub fn bid_record_body(bid: &BidRow, auction: AuctionId, leader: Option<Seq>) -> Bytes {
    to_bytes(&BidRecordJson {
        auction_id: auction.get(),
        buyer: &bid.buyer,
        amount: bid.amount.get(),
        leading: leader == Some(bid.seq),
        current: bid.current.get(),
        seq: bid.seq.get(),
        at: bid.at,
    })
}

/// `POST /v1/auctions/{auction_id}/bids`.
pub struct BidRequest {
    /// Who.
    pub buyer: BuyerText,
    /// What he asks.
    pub amount: UnitPrice,
    /// What he would pay at most.
    pub maximum: Option<UnitPrice>,
}

/// Reads a bid. Where a token names the buyer, the body need not, and must not name another.
///
/// # Errors
/// `forbidden`, `malformed`, or `validation` with every mistake.
pub fn parse_bid(body: &[u8], proven: Option<&BuyerText>) -> Result<BidRequest, Problem> {
    let request = read_for(body, |fields, is_anothers| bid(fields, proven, is_anothers))?;
    if request.maximum.is_some_and(|maximum| maximum < request.amount) {
        return Err(Problem::invalid("/maximum", "must be at least the amount"));
    }
    Ok(request)
}

fn bid(fields: &mut BodyFields, proven: Option<&BuyerText>, is_anothers: &mut bool) -> Option<BidRequest> {
    let buyer = whose(fields, proven, is_anothers);
    let amount = fields.required("amount", rules::unit_price());
    let maximum = fields.optional("maximum", rules::unit_price());
    Some(BidRequest { buyer: buyer?, amount: amount?, maximum })
}

/// Reads who wants to buy now.
///
/// # Errors
/// `forbidden`, `malformed`, or `validation` with every mistake.
pub fn parse_buy_now(body: &[u8], proven: Option<&BuyerText>) -> Result<BuyerText, Problem> {
    read_for(body, |fields, is_anothers| whose(fields, proven, is_anothers))
}

/// Reads a new auction.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_auction(body: &[u8], settings: &AuctionSettings) -> Result<AuctionSpec, Problem> {
    let spec = BodyFields::read(body, |fields| new_auction(fields, settings))?;
    let mut errors = Vec::new();
    let mut refuse = |wrong: bool, pointer: &str, detail: &str| {
        if wrong {
            errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        }
    };
    refuse(spec.ends_at <= spec.starts_at, "/ends_at", "must be after starts_at");
    refuse(spec.hard_end_at.is_some_and(|hard| hard < spec.ends_at), "/hard_end_at", "must not be before ends_at");
    refuse(spec.buy_now.is_some_and(|price| price < spec.start_price), "/buy_now", "must be at least start_price");
    if errors.is_empty() { Ok(spec) } else { Err(Problem::Validation(errors)) }
}

fn new_auction(fields: &mut BodyFields, settings: &AuctionSettings) -> Option<AuctionSpec> {
    let sku = fields.required("sku", rules::text(SKU_BYTES_MAX));
    let name = fields.required("name", rules::text(NAME_BYTES_MAX));
    let currency: Option<Currency> = fields.required("currency", rules::currency());
    let start_price = fields.required("start_price", rules::unit_price());
    let starts_at = fields.required("starts_at", rules::instant());
    let ends_at = fields.required("ends_at", rules::instant());
    let reserve_price = fields.optional("reserve_price", rules::unit_price());
    let increments = fields.optional("increments", rules::increments());
    let buy_now = fields.optional("buy_now", rules::unit_price());
    let soft_close_seconds = fields.defaulted("soft_close_seconds", 0, rules::whole_u32_to(0, SOFT_CLOSE_SECONDS_MAX));
    let extensions_max = fields.defaulted("extensions_max", EXTENSIONS_MAX, rules::whole_u32_to(0, EXTENSIONS_MAX));
    let hard_end_at = fields.optional("hard_end_at", rules::instant());
    Some(AuctionSpec {
        sku: sku?,
        name: name?,
        currency: currency?,
        start_price: start_price?,
        reserve_price,
        increments: increments.unwrap_or_else(usual_increments),
        buy_now,
        starts_at: starts_at?,
        ends_at: ends_at?,
        soft_close_seconds,
        extensions_max,
        hard_end_at,
        payment_seconds: settings.payment_seconds,
        offer_next: settings.offer_next,
        exposure_limit: settings.exposure_limit,
    })
}

/// 1 below 1,000 minor units; from each power of ten on a hundredth of it: 1 % of the price at most, 0.1 % at least, in
/// every currency.
fn usual_increments() -> Box<[Increment]> {
    let powers = (3..=10).map(|power| 10u64.pow(power)).map(|from| (from, from / 100));
    let price = UnitPrice::new;
    let made = std::iter::once((0, 1)).chain(powers);
    made.filter_map(|(from, step)| Some(Increment { from: price(from)?, step: price(step)? })).collect()
}

/// The schemas of what is sent.
pub(super) fn request_schemas() -> [(&'static str, Value); 3] {
    let settings = AuctionSettings::default();
    let whose_description = "Needed, unless a buyer's token says who it is.";
    let mut bid = BodyFields::describe(|fields| bid(fields, None, &mut false));
    let mut buy_now = BodyFields::describe(|fields| whose(fields, None, &mut false));
    bid["properties"]["buyer"]["description"] = whose_description.into();
    buy_now["properties"]["buyer"]["description"] = whose_description.into();
    bid["properties"]["maximum"]["description"] =
        "What he would pay at most: a secret. The server bids for him up to it, no more than is needed.".into();
    let mut auction = BodyFields::describe(|fields| new_auction(fields, &settings));
    let mut describe = |name: &str, words: &str| auction["properties"][name]["description"] = words.into();
    describe("reserve_price", "Below it nothing is sold. Whether it is met is shown, the amount is not.");
    describe(
        "increments",
        "Pairs of a price from 0 on, ascending, and by how much a bid must exceed a price from there on. If left out: 1 \
         below 1000, and from each power of ten on a hundredth of it.",
    );
    describe("buy_now", "For this it is sold at once, until the first bid.");
    describe("soft_close_seconds", "A bid in the last so many seconds moves the end so many seconds away; 0: never.");
    describe("extensions_max", "How often the end may move.");
    describe("hard_end_at", "The end never moves beyond it.");
    [("NewBid", bid), ("NewPurchase", buy_now), ("NewAuction", auction)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(with: &Value) -> Vec<String> {
        let mut body = serde_json::json!({
            "sku": "S", "name": "N", "currency": "EUR", "start_price": 100,
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z",
        });
        body.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
        match parse_auction(body.to_string().as_bytes(), &AuctionSettings::default()) {
            Ok(_) => Vec::new(),
            Err(Problem::Validation(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_member_of_an_auction_has_its_bounds() {
        use serde_json::json;
        let good = [
            json!({}),
            json!({ "increments": [[0, 1]], "extensions_max": 1000, "soft_close_seconds": 3600 }),
            json!({ "increments": (0..20).map(|n| json!([n, 1])).collect::<Vec<_>>() }),
            json!({ "hard_end_at": "2026-01-02T00:00:00Z", "buy_now": 100, "reserve_price": 0 }),
        ];
        for with in good {
            assert_eq!(refused(&with), Vec::<String>::new(), "{with}");
        }
        let wrong = [
            ("increments", json!([])),
            ("increments", json!([[1, 1]])),
            ("increments", json!([[0, 0]])),
            ("increments", json!([[0, 1, 2]])),
            ("increments", json!([[0, 1], [0, 2]])),
            ("increments", json!([[0, 1], [20, 2], [10, 3]])),
            ("increments", (0..21).map(|n| json!([n, 1])).collect()),
            ("soft_close_seconds", json!(3601)),
            ("extensions_max", json!(1001)),
            ("ends_at", json!("2026-01-01T00:00:00Z")),
            ("hard_end_at", json!("2026-01-01T23:59:59.999Z")),
            ("buy_now", json!(99)),
            ("start_price", json!(-1)),
            ("reserve_price", json!(100_000_000_001u64)),
        ];
        for (name, value) in wrong {
            assert_eq!(refused(&json!({ name: value })), [format!("/{name}")], "{name} {value}");
        }
    }

    #[test]
    fn the_usual_increments_are_at_most_a_hundredth_of_the_price() {
        let increments = usual_increments();
        let above = |price| Increment::above(&increments, UnitPrice::new(price).expect("in range")).get() - price;
        assert_eq!([above(0), above(999), above(1000), above(9999)], [1, 1, 10, 10]);
        assert_eq!([above(10_000), above(12_345_678), above(10_000_000_000)], [100, 100_000, 100_000_000]);
    }
}
