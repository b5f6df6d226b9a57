//! Bodies of auctions and bids.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::encoding::{CreatedBody, time, to_bytes, to_created, version_text};
use super::requests::{NAME_BYTES_MAX, SKU_BYTES_MAX, buyer_field, contact, read_as_buyer};
use super::scalars;
use crate::api::problem::{FieldError, Problem};
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::config::AuctionSettings;
use crate::engine::AuctionSpec;
use crate::read::{AuctionRow, BidRow};
use crate::types::{AuctionId, BuyerText, Contact, Currency, Increment, Seq, UnitPrice, UnixMillis};

/// The longest soft close, in seconds: an hour.
const SOFT_CLOSE_SECONDS_MAX: u32 = 3600;
/// The maximum and the default of extensions.
const EXTENSIONS_MAX: u32 = 1000;

/// The sale of one unit to the highest bidder.
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
    /// The end, as late bids have extended it.
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    ends_at: UnixMillis,
    #[schemars(range(max = UnitPrice::MAX))]
    start_price: u64,
    /// True if the price reaches the reserve price, which is secret.
    reserve_met: bool,
    /// The current price; present from the first bid on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = UnitPrice::MAX))]
    current: Option<u64>,
    /// The leading buyer; present from the first bid on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    buyer: Option<&'a str>,
    /// Number of accepted bids.
    bids: u32,
    /// The minimum of the next bid.
    #[schemars(range(max = UnitPrice::MAX))]
    minimum_next: u64,
    /// The fixed price; present until the first bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = UnitPrice::MAX))]
    buy_now: Option<u64>,
    /// The hidden drop that has the winner's order.
    #[schemars(range(min = 1))]
    drop_id: u32,
    #[schemars(with = "scalars::Version")]
    version: String,
}

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
        version: version_text(epoch, row.version),
    })
}

/// An accepted bid, with the state of its auction.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Bid")]
pub(super) struct BidJson<'a> {
    #[schemars(range(min = 1))]
    auction_id: u32,
    buyer: &'a str,
    /// The amount that the buyer bid.
    #[schemars(range(max = UnitPrice::MAX))]
    amount: u64,
    /// True if this bid leads the auction.
    leading: bool,
    /// The current price of the auction.
    #[schemars(range(max = UnitPrice::MAX))]
    current: u64,
    /// The minimum of the next bid.
    #[schemars(range(max = UnitPrice::MAX))]
    minimum_next: u64,
    /// The auction's end, as late bids have extended it.
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    ends_at: UnixMillis,
    /// The sequence number of the bid.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    at: UnixMillis,
}

/// Returns the body of a new bid, without reading its row.
#[must_use]
pub fn receipt_body(receipt: &crate::engine::BidReceipt, buyer: &str, at: UnixMillis) -> CreatedBody {
    created_bid(&BidJson {
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

/// Returns the body of a bid with its auction's present state.
#[must_use]
pub fn bid_body(bid: &BidRow, auction: &AuctionRow) -> CreatedBody {
    created_bid(&BidJson {
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

/// A bid's path is that of the page which has only this bid.
fn created_bid(bid: &BidJson<'_>) -> CreatedBody {
    let before = bid.seq.saturating_sub(1);
    to_created(format_args!("/v1/auctions/{}/bids?after={before}&limit=1", bid.auction_id), bid)
}

/// An accepted bid in a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BidRecord")]
pub(super) struct BidRecordJson<'a> {
    #[schemars(range(min = 1))]
    auction_id: u32,
    buyer: &'a str,
    /// The amount that the buyer bid.
    #[schemars(range(max = UnitPrice::MAX))]
    amount: u64,
    /// True if this bid leads the auction.
    leading: bool,
    /// The price after this bid.
    #[schemars(range(max = UnitPrice::MAX))]
    current: u64,
    /// The sequence number of the bid.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    at: UnixMillis,
}

/// Returns the body of a bid in a list.
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
    pub buyer: BuyerText,
    pub amount: UnitPrice,
    /// The most that the buyer would pay.
    pub maximum: Option<UnitPrice>,
    /// For mails about the auction, and for the order that it may award.
    pub contact: Option<Contact>,
}

/// Reads a bid. If a token proves the buyer, the body may omit the buyer and must not name another.
///
/// # Errors
/// `forbidden`, `malformed`, or `validation` with every mistake.
pub fn parse_bid(body: &[u8], proven: Option<&BuyerText>) -> Result<BidRequest, Problem> {
    let request = read_as_buyer(body, |fields, names_another| bid(fields, proven, names_another))?;
    if request.maximum.is_some_and(|maximum| maximum < request.amount) {
        return Err(Problem::invalid("/maximum", "must be at least the amount"));
    }
    Ok(request)
}

fn bid(fields: &mut BodyFields, proven: Option<&BuyerText>, names_another: &mut bool) -> Option<BidRequest> {
    let buyer = buyer_field(fields, proven, names_another);
    let amount = fields.required("amount", rules::unit_price());
    let maximum = fields.optional("maximum", rules::unit_price());
    let contact = fields.object("contact", "Contact", contact);
    Some(BidRequest { buyer: buyer?, amount: amount?, maximum, contact })
}

/// Reads the buyer of a purchase.
///
/// # Errors
/// `forbidden`, `malformed`, or `validation` with every mistake.
pub fn parse_buy_now(body: &[u8], proven: Option<&BuyerText>) -> Result<BuyerText, Problem> {
    read_as_buyer(body, |fields, names_another| buyer_field(fields, proven, names_another))
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

/// Returns the default increments: 1 below 1,000 minor units; from each power of ten on, a hundredth of it. That is 0.1 %
/// to 1 % of the price in every currency.
fn usual_increments() -> Box<[Increment]> {
    let powers = (3..=10).map(|power| 10u64.pow(power)).map(|from| (from, from / 100));
    let price = UnitPrice::new;
    let made = std::iter::once((0, 1)).chain(powers);
    made.filter_map(|(from, step)| Some(Increment { from: price(from)?, step: price(step)? })).collect()
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 3] {
    let settings = AuctionSettings::default();
    let buyer_description = "Required, unless a buyer's token proves the buyer.";
    let mut bid = BodyFields::describe(|fields| bid(fields, None, &mut false));
    let mut buy_now = BodyFields::describe(|fields| buyer_field(fields, None, &mut false));
    bid["properties"]["buyer"]["description"] = buyer_description.into();
    buy_now["properties"]["buyer"]["description"] = buyer_description.into();
    bid["properties"]["maximum"]["description"] =
        "The most that the buyer would pay; secret. The server bids for the buyer up to it, no more than is necessary."
            .into();
    let mut auction = BodyFields::describe(|fields| new_auction(fields, &settings));
    let mut describe = |name: &str, words: &str| auction["properties"][name]["description"] = words.into();
    describe("reserve_price", "The minimum price for a sale; secret. `reserve_met` shows if it is reached.");
    describe(
        "increments",
        "Pairs of a price, ascending from 0, and the step by which bids must exceed prices from there on. Default: 1 \
         below 1000, and from each power of ten on a hundredth of it.",
    );
    describe("buy_now", "A fixed price for an immediate purchase, until the first bid.");
    describe(
        "soft_close_seconds",
        "A bid within this many seconds of the end moves the end to this many seconds after the bid; 0: never.",
    );
    describe("extensions_max", "The maximum number of extensions.");
    describe("hard_end_at", "The end never moves beyond this time.");
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
