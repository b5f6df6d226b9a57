//! Bodies of requests. Each request has one function that names its fields; it reads bodies and makes the schema.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::rooms;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::engine::spec::BLIND_MS_MAX;
use crate::engine::{DropPatch, DropSpec};
use crate::types::{
    Amount, BuyerText, ChallengeKind, ChallengeRule, Contact, Currency, IdentityLimits, OrderRange, Quantity, Seq, Tier,
};

/// The longest SKU, in bytes.
pub const SKU_BYTES_MAX: usize = 100;
/// The longest name of a drop, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// The longest description, in bytes: it fits a body with everything else.
pub const DESCRIPTION_BYTES_MAX: usize = 4000;
/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
/// The longest reference, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 255;

/// The longest payment fingerprint, in bytes.
const FINGERPRINT_BYTES_MAX: usize = 128;

/// The longest short code of an order in a search, in bytes.
const CODE_BYTES_MAX: usize = 40;

/// `POST /v1/drops/{drop_id}/orders`.
pub struct OrderRequest {
    pub buyer: BuyerText,
    pub quantity: Quantity,
    pub contact: Option<Contact>,
    /// The shop's own token of the card or account that pays.
    pub payment_fingerprint: Option<Box<str>>,
    pub placing: Placing,
}

/// The wish of a buyer: an order, or a place in the line behind a drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placing {
    Order,
    /// An order; where too few units are free, a place in the line.
    OrderOrStandBy,
    /// A place in the line.
    StandBy,
}

/// The common case, parsed without a tree. Other bodies are parsed again by [`BodyFields`], which reports every mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainOrder<'a> {
    #[serde(borrow, default)]
    buyer: Option<Cow<'a, str>>,
    quantity: u16,
    #[serde(default)]
    standby: bool,
}

impl OrderRequest {
    /// Reads a body. If a token proves the buyer, the body may omit the buyer and must not name another.
    ///
    /// # Errors
    /// `forbidden`, `malformed`, or `validation` with every mistake.
    pub fn parse(body: &[u8], proven: Option<&BuyerText>) -> Result<OrderRequest, Problem> {
        // The derive reads an array as well, member by member.
        if body.trim_ascii_start().starts_with(b"{")
            && let Ok(plain) = serde_json::from_slice::<PlainOrder<'_>>(body)
            && let Some(quantity) = Quantity::new(plain.quantity)
        {
            let buyer = match (plain.buyer, proven) {
                (Some(buyer), None) => BuyerText::new(&buyer),
                (Some(buyer), Some(proven)) => (buyer == proven.as_str()).then(|| proven.clone()),
                (None, proven) => proven.cloned(),
            };
            if let Some(buyer) = buyer {
                let placing = if plain.standby { Placing::OrderOrStandBy } else { Placing::Order };
                return Ok(OrderRequest { buyer, quantity, contact: None, payment_fingerprint: None, placing });
            }
        }
        read_as_buyer(body, |fields, names_another| order(fields, proven, names_another))
    }

    /// Reads the body of a buyer who stands by.
    ///
    /// # Errors
    /// `forbidden`, `malformed`, or `validation` with every mistake.
    pub fn parse_standby(body: &[u8], proven: Option<&BuyerText>) -> Result<OrderRequest, Problem> {
        read_as_buyer(body, |fields, names_another| wish(fields, proven, names_another))
    }
}

/// Reads a buyer's request, unless it names another buyer than the token.
pub(super) fn read_as_buyer<T>(
    body: &[u8],
    read: impl FnOnce(&mut BodyFields, &mut bool) -> Option<T>,
) -> Result<T, Problem> {
    let mut names_another = false;
    let made = BodyFields::read(body, |fields| read(fields, &mut names_another));
    if names_another {
        return Err(Problem::Forbidden("The token belongs to another buyer; omit `buyer` from the body."));
    }
    made
}

/// Returns the token's buyer, else the buyer in the body.
pub(super) fn buyer_field(
    fields: &mut BodyFields,
    proven: Option<&BuyerText>,
    names_another: &mut bool,
) -> Option<BuyerText> {
    if proven.is_none() {
        fields.is_needed("buyer");
    }
    let named = fields.optional("buyer", rules::buyer());
    if let (Some(named), Some(proven)) = (&named, proven) {
        *names_another = named != proven;
    }
    proven.cloned().or(named)
}

pub(super) fn order(
    fields: &mut BodyFields,
    proven: Option<&BuyerText>,
    names_another: &mut bool,
) -> Option<OrderRequest> {
    let wish = wish(fields, proven, names_another);
    let stands_by = fields.defaulted("standby", false, rules::flag());
    Some(OrderRequest { placing: if stands_by { Placing::OrderOrStandBy } else { Placing::Order }, ..wish? })
}

fn wish(fields: &mut BodyFields, proven: Option<&BuyerText>, names_another: &mut bool) -> Option<OrderRequest> {
    let buyer = buyer_field(fields, proven, names_another);
    let quantity = fields.required("quantity", rules::quantity());
    let contact = fields.object("contact", "Contact", contact);
    let payment_fingerprint = fields.optional("payment_fingerprint", rules::text(FINGERPRINT_BYTES_MAX));
    let placing = Placing::StandBy;
    Some(OrderRequest { buyer: buyer?, quantity: quantity?, contact, payment_fingerprint, placing })
}

pub(super) fn contact(fields: &mut BodyFields) -> Option<Contact> {
    fields.count(1, 4, "must have at least one of name, email, phone, address");
    Some(Contact {
        name: fields.optional("name", rules::contact_text()),
        email: fields.optional("email", rules::contact_text()),
        phone: fields.optional("phone", rules::contact_text()),
        address: fields.optional("address", rules::contact_address()),
    })
}

/// `POST /v1/orders/{order_id}/checkout`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_checkout(body: &[u8]) -> Result<Contact, Problem> {
    BodyFields::read(body, checkout)
}

fn checkout(fields: &mut BodyFields) -> Option<Contact> {
    fields.is_required("contact");
    fields.object("contact", "Contact", contact)
}

/// `{reason}`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_reason(body: &[u8]) -> Result<Box<str>, Problem> {
    BodyFields::read(body, reason)
}

pub(super) fn reason(fields: &mut BodyFields) -> Option<Box<str>> {
    fields.required("reason", rules::text(REASON_BYTES_MAX))
}

/// `POST /v1/drops`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_drop(body: &[u8]) -> Result<DropSpec, Problem> {
    BodyFields::read(body, new_drop)
}

fn new_drop(fields: &mut BodyFields) -> Option<DropSpec> {
    let sku = fields.required("sku", rules::text(SKU_BYTES_MAX));
    let name = fields.required("name", rules::text(NAME_BYTES_MAX));
    let description = fields.optional("description", rules::long_text(DESCRIPTION_BYTES_MAX));
    let image_url = fields.optional("image_url", rules::image_url());
    let currency = fields.required("currency", rules::currency());
    let unit_price = fields.required("unit_price", rules::unit_price());
    let total = fields.required("total", rules::whole_u32(0));
    let starts_at = fields.required("starts_at", rules::instant());
    let ends_at = fields.optional("ends_at", rules::instant());
    let per_buyer_limit = fields.defaulted("per_buyer_limit", 1, rules::whole_u32(1));
    let reservation_seconds = fields.defaulted("reservation_seconds", 120, rules::seconds());
    let payment_seconds = fields.defaulted("payment_seconds", 900, rules::seconds());
    let identity_limits = identity_limits_field(fields);
    let kind = fields.defaulted_name("challenge", ChallengeKind::None, ChallengeKind::as_str, rules::challenge());
    let below = fields.defaulted_name("challenge_below", Tier::Verified, Tier::as_str, rules::challenge_below());
    let room = fields.object("room", "NewRoom", rooms::new_room).map(Box::new);
    let blind_ms = fields.defaulted("blind_ms", 0, rules::whole_u32_to(0, u32::from(BLIND_MS_MAX)));
    if room.is_some() && blind_ms > 0 {
        fields.refuse("blind_ms", "belongs to a drop without a waiting room");
    }
    Some(DropSpec {
        sku: sku?,
        name: name?,
        description,
        image_url,
        currency: currency?,
        unit_price: unit_price?,
        total: total?,
        starts_at: starts_at?,
        ends_at,
        per_buyer_limit,
        reservation_seconds,
        payment_seconds,
        identity_limits: identity_limits.unwrap_or_default(),
        challenge: ChallengeRule { kind, below },
        room,
        // Made beside its seed, once the whole request is known to be good.
        commitment: None,
        blind_ms: u16::try_from(blind_ms).unwrap_or(BLIND_MS_MAX),
    })
}

fn identity_limits_field(fields: &mut BodyFields) -> Option<IdentityLimits> {
    fields.object("identity_limits", "IdentityLimits", identity_limits)
}

#[expect(clippy::unnecessary_wraps, reason = "as all functions that name fields")]
fn identity_limits(fields: &mut BodyFields) -> Option<IdentityLimits> {
    Some(IdentityLimits {
        email: fields.optional("email", rules::whole_u32(1)),
        phone: fields.optional("phone", rules::whole_u32(1)),
        payment: fields.optional("payment", rules::whole_u32(1)),
        address: fields.optional("address", rules::whole_u32(1)),
    })
}

/// Reads changes of a drop: the expected revision, the changes, the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_patch(body: &[u8]) -> Result<(u32, DropPatch, Box<str>), Problem> {
    BodyFields::read(body, patch)
}

fn patch(fields: &mut BodyFields) -> Option<(u32, DropPatch, Box<str>)> {
    let expected_revision = fields.required("expected_revision", rules::whole_u32(1));
    let reason = reason(fields);
    let patch = DropPatch {
        name: fields.optional("name", rules::text(NAME_BYTES_MAX)),
        description: fields.optional("description", rules::long_text(DESCRIPTION_BYTES_MAX)),
        image_url: fields.optional("image_url", rules::image_url()),
        unit_price: fields.optional("unit_price", rules::unit_price()),
        starts_at: fields.optional("starts_at", rules::instant()),
        ends_at: fields.optional("ends_at", rules::instant()),
        per_buyer_limit: fields.optional("per_buyer_limit", rules::whole_u32(1)),
        reservation_seconds: fields.optional("reservation_seconds", rules::seconds()),
        payment_seconds: fields.optional("payment_seconds", rules::seconds()),
        identity_limits: identity_limits_field(fields),
        challenge: fields.optional("challenge", rules::challenge()),
        challenge_below: fields.optional("challenge_below", rules::challenge_below()),
        room: fields.object("room", "RoomPatch", rooms::room_patch),
    };
    Some((expected_revision?, patch, reason?))
}

/// Reads a stock adjustment: the delta, the expected total, the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_stock(body: &[u8]) -> Result<(i64, u32, Box<str>), Problem> {
    BodyFields::read(body, stock)
}

fn stock(fields: &mut BodyFields) -> Option<(i64, u32, Box<str>)> {
    let delta = fields.required("delta", rules::delta());
    let expected_total = fields.required("expected_total", rules::whole_u32(0));
    let reason = reason(fields);
    Some((delta?, expected_total?, reason?))
}

/// `POST /v1/orders/{id}/payments`.
pub struct PaymentRequest {
    pub reference: Box<str>,
    pub amount: Amount,
    pub currency: Currency,
    pub reason: Box<str>,
}

/// Reads a payment.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_payment(body: &[u8]) -> Result<PaymentRequest, Problem> {
    BodyFields::read(body, payment)
}

fn payment(fields: &mut BodyFields) -> Option<PaymentRequest> {
    let reference = fields.required("reference", rules::text(REFERENCE_BYTES_MAX));
    let amount = fields.required("amount", rules::amount());
    let currency = fields.required("currency", rules::currency());
    let reason = reason(fields);
    Some(PaymentRequest { reference: reference?, amount: amount?, currency: currency?, reason: reason? })
}

/// Reads a refund: the amount, the units that become available again, the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_refund(body: &[u8]) -> Result<(Option<Amount>, u16, Box<str>), Problem> {
    BodyFields::read(body, refund)
}

fn refund(fields: &mut BodyFields) -> Option<(Option<Amount>, u16, Box<str>)> {
    let amount = fields.optional("amount", rules::amount());
    let restock_quantity = fields.defaulted("restock_quantity", 0, rules::restock_quantity());
    Some((amount, restock_quantity, reason(fields)?))
}

/// `POST /v1/orders/{id}/refund-settled`.
pub struct SettlementRequest {
    pub reference: Box<str>,
    /// The reference of the payment that was owed.
    pub payment: Option<Box<str>>,
    pub amount: Option<Amount>,
    pub reason: Box<str>,
}

/// Reads the settlement of a refund.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_settled(body: &[u8]) -> Result<SettlementRequest, Problem> {
    BodyFields::read(body, settled)
}

fn settled(fields: &mut BodyFields) -> Option<SettlementRequest> {
    let reference = fields.required("reference", rules::text(REFERENCE_BYTES_MAX));
    let payment = fields.optional("payment", rules::text(REFERENCE_BYTES_MAX));
    let amount = fields.optional("amount", rules::amount());
    let reason = reason(fields);
    Some(SettlementRequest { reference: reference?, payment, amount, reason: reason? })
}

/// Maximum number of orders in a preview of an undo.
pub const UNDO_ORDERS_MAX: u32 = 1000;

/// `POST /v1/drops/{drop_id}/remedy`.
pub struct Undo {
    pub run: OrderRange,
    /// Only orders below this number, if given.
    pub below: Option<Seq>,
    /// Number of live and paid orders above which nothing is undone.
    pub orders_max: Option<u32>,
    pub reason: Box<str>,
}

/// Reads an undo.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_undo(body: &[u8]) -> Result<Undo, Problem> {
    BodyFields::read(body, undo)
}

fn undo(fields: &mut BodyFields) -> Option<Undo> {
    let run = fields.required("run", rules::run());
    let below = fields.optional("below", rules::seq());
    let orders_max = fields.optional("orders_max", rules::whole_u32_to(1, UNDO_ORDERS_MAX));
    let reason = reason(fields);
    Some(Undo { run: run?, below, orders_max, reason: reason? })
}

/// The key of a search for orders.
pub enum OrderSearch {
    Phone(Box<str>),
    Email(Box<str>),
    Code(Box<str>),
}

/// Reads a search.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_search(body: &[u8]) -> Result<OrderSearch, Problem> {
    BodyFields::read(body, search)
}

fn search(fields: &mut BodyFields) -> Option<OrderSearch> {
    fields.count(1, 1, "must have exactly one of phone, email, code");
    let phone = fields.optional("phone", rules::contact_text()).map(OrderSearch::Phone);
    let email = fields.optional("email", rules::contact_text()).map(OrderSearch::Email);
    let code = fields.optional("code", rules::text(CODE_BYTES_MAX)).map(OrderSearch::Code);
    phone.or(email).or(code)
}

/// Returns the schema of caps on identities, which requests and responses share.
pub(super) fn identity_limits_schema() -> Value {
    let mut schema = BodyFields::describe(identity_limits);
    schema["description"] =
        "The most units of the drop that orders with the same identity may hold and have bought together.".into();
    schema
}

fn new_order_schema() -> Value {
    let mut schema = BodyFields::describe(|fields| order(fields, None, &mut false));
    schema["properties"]["buyer"]["description"] = BUYER_REQUIRED.into();
    schema["properties"]["standby"]["description"] = STANDBY.into();
    schema
}

fn new_standby_schema() -> Value {
    let mut schema = BodyFields::describe(|fields| wish(fields, None, &mut false));
    schema["properties"]["buyer"]["description"] = BUYER_REQUIRED.into();
    schema["properties"]["contact"]["description"] =
        "With it the order that the entry becomes awaits its payment, and the buyer gets an e-mail.".into();
    schema
}

pub(super) const STANDBY: &str = "Where too few units are free, the buyer joins the line instead of a refusal.";

const BUYER_REQUIRED: &str = "Required, unless a buyer's token proves the buyer.";

/// Returns the schemas of these requests.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Contact", BodyFields::describe(contact)),
        ("NewOrder", new_order_schema()),
        ("NewStandby", new_standby_schema()),
        ("Checkout", BodyFields::describe(checkout)),
        ("NewDrop", BodyFields::describe(new_drop)),
        ("DropPatch", BodyFields::describe(patch)),
        ("Reason", BodyFields::describe(reason)),
        ("StockAdjustment", BodyFields::describe(stock)),
        ("Undo", BodyFields::describe(undo)),
        ("Payment", BodyFields::describe(payment)),
        ("Refund", BodyFields::describe(refund)),
        ("RefundSettlement", BodyFields::describe(settled)),
        ("OrderSearch", BodyFields::describe(search)),
    ]
}
